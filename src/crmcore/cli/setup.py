"""The verb that makes a store: init."""

from __future__ import annotations

import click

from crmcore.cli.options import with_global_options
from crmcore.cli.shell import Shell


@click.command("init")
@click.option("--switch-playbook", is_flag=True, help="Keeps a store that is there under --playbook from now on.")
@with_global_options
def init(shell: Shell, switch_playbook: bool) -> None:
    """Makes the store, under the playbook that --playbook names; one that is there stays as it is."""
    there = shell.store_is_there()
    if switch_playbook and shell.wanted_playbook is None:
        raise click.UsageError("--switch-playbook goes with --playbook, which names the new one")
    crm = shell.open(create=True, switch=switch_playbook)
    if shell.json:
        shell.write_json({"store": shell.store_shown, "playbook": crm.playbook.key, "made": not there})
        return
    message = "store_there" if there else "store_made"
    shell.say(shell.text(message, store=shell.store_shown, playbook=crm.playbook.key))
