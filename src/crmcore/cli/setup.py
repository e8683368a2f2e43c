"""Verbs about the store itself: init, doctor."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click

from crmcore import __version__
from crmcore.app.crm import CRM
from crmcore.cli.exits import CORRUPT, OK
from crmcore.cli.options import with_global_options
from crmcore.cli.shell import Shell
from crmcore.errors import CRMError
from crmcore.notify import outbox_facts
from crmcore.plugins import find_backend, schemes
from crmcore.storage.url import StoreURL

_LIBRARIES = ("attrs", "cattrs", "pluggy", "sqlalchemy", "python-calamine", "xlsxwriter", "click", "rich")
_COUNTED = ("customers", "contacts", "opportunities", "follow_ups", "follow_up_plans", "obligations", "events")


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


@click.command("doctor")
@with_global_options
def doctor(shell: Shell) -> int:
    """What runs here, what the store holds, and whether its data are whole."""
    facts: dict[str, Any] = {
        "crmcore": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "backends": schemes(),
        "store": {"url": shell.store_shown},
    }
    trouble: CRMError | None = None
    findings: list[str] = []
    try:
        crm = shell.open()
        facts |= _store_facts(shell, crm)
        findings = crm.store.check()
        facts["findings"] = findings
    except CRMError as error:
        trouble = error
    if shell.json:
        shell.write_json(facts)
    else:
        shell.write("\n".join(_lines(facts)))
    if trouble:
        raise trouble
    return CORRUPT if findings else OK


def _store_facts(shell: Shell, crm: CRM) -> dict[str, Any]:
    capabilities = find_backend(StoreURL.parse(shell.store).scheme).capabilities
    with crm.store.transaction() as transaction:
        counts = {name: transaction.count(name) for name in _COUNTED}
        outbox = outbox_facts(transaction).to_plain()
    return {
        "store": {"url": shell.store_shown, "capabilities": sorted(capabilities), **crm.store.describe()},
        "playbook": {
            "key": crm.playbook.key,
            "title": crm.playbook.title.text(shell.language),
            "timezone": crm.playbook.timezone,
            "currency": crm.playbook.currency,
        },
        "plugins": crm.plugins.names(),
        "counts": counts,
        "outbox": outbox,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _lines(facts: dict[str, Any], indent: str = "") -> list[str]:
    """Nested facts, one a line."""
    lines = []
    for name, value in facts.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", *_lines(value, f"{indent}  ")]
        elif isinstance(value, list):
            lines.append(f"{indent}{name}: {', '.join(map(str, value)) or '-'}")
        else:
            lines.append(f"{indent}{name}: {'-' if value is None else value}")
    return lines
