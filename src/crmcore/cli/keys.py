"""Verbs about keys: make a new one, and say which ones a ring has."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from crmcore.cli.options import with_global_options
from crmcore.cli.shell import Shell
from crmcore.storage.keys import KeyRing


@click.group("keys", no_args_is_help=False)
@with_global_options
def keys(shell: Shell) -> None:
    """The keys of what is encrypted and chained; they are kept outside the store, by whoever runs it."""


@keys.command("new")
@with_global_options
def new(shell: Shell) -> None:
    """Prints a fresh key, as a line to be added at the end of a file of keys. Nothing keeps it."""
    ring = KeyRing.generate(datetime.now(UTC).date())
    if shell.json:
        id, _, key = ring.to_text().strip().partition(":")
        shell.write_json({"id": id, "key": key})
        return
    shell.write(ring.to_text().rstrip())
    shell.say(shell.text("key_made"))


@keys.command("list")
@with_global_options
def list_(shell: Shell) -> None:
    """Prints the ids of the ring that --keys names, the current one marked, each with what tells it from another key."""
    ring = shell.key_ring()
    if shell.json:
        shell.write_json({"current": ring.current, "keys": {id: ring.check_value(id) for id in ring.ids}})
        return
    for id in ring.ids:
        shell.write(f"{'*' if id == ring.current else ' '} {id}  {ring.check_value(id)}")
