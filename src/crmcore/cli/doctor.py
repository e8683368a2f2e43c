"""The verb that says how things stand: doctor. It also works where the store can't be opened, and says why."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click

from crmcore import __version__
from crmcore.app.crm import CRM
from crmcore.app.obligations import Obligations
from crmcore.app.stores import as_known
from crmcore.cli.exits import CORRUPT, OK
from crmcore.cli.options import with_global_options
from crmcore.cli.shell import Shell
from crmcore.errors import CRMError, NotSupported
from crmcore.notify import outbox_facts
from crmcore.plugins import find_backend, schemes
from crmcore.storage.codec import SCHEMA
from crmcore.storage.contract import Store
from crmcore.storage.filesystems import is_remote
from crmcore.storage.sealed_store import SealedStore, described
from crmcore.storage.url import StoreURL

_LIBRARIES = (
    *("attrs", "cattrs", "pluggy", "sqlalchemy", "psycopg", "python-calamine", "xlsxwriter"),
    *("click", "rich"),
)
_COUNTED = ("customers", "contacts", "opportunities", "follow_ups", "follow_up_plans", "obligations", "events")
_SOON = 60
"""So many days before the calendar's confirmed time ends it is said: the notice of next year comes out in November."""


@click.command("doctor")
@with_global_options
def doctor(shell: Shell) -> int:
    """What runs here, what the store is and holds, what to mind, and whether its data are whole."""
    facts: dict[str, Any] = {
        "crmcore": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "backends": schemes(),
        "store": {"url": shell.store_shown},
    }
    trouble: CRMError | None = None
    try:
        _look_at_store(shell, facts)
        crm = shell.open()
        if "findings" not in facts:
            _describe(crm.store, facts)
        facts["store"] |= described(crm.store.encryption if isinstance(crm.store, SealedStore) else None)
        facts |= _crm_facts(shell, crm)
    except CRMError as error:
        trouble = error
        facts["trouble"] = {"code": error.code, "text": error.text(shell.language)}
    facts["warnings"] = [shell.text(f"warning.{key}", **told) for key, told in _warnings(facts)]
    if shell.json:
        shell.write_json(facts)
    else:
        shell.write("\n".join(_lines({name: fact for name, fact in facts.items() if name != "trouble"})))
    if trouble:
        raise trouble
    return CORRUPT if facts["findings"] else OK


def _look_at_store(shell: Shell, facts: dict[str, Any]) -> None:
    """What the backend tells of the store, in whatever format it is kept; adds to the facts as it goes."""
    address = StoreURL.parse(shell.store)
    backend = find_backend(address.scheme)
    facts["store"] |= {"capabilities": sorted(backend.capabilities), "program_format": SCHEMA.version}
    if not shell.store_is_there():
        shell.open()  # says so
    try:
        stored = backend.stored(address)
    except NotSupported:
        return
    if stored is None:
        return
    facts["store"]["format"] = stored.version
    with backend.open(address, as_known(stored)) as store:
        _describe(store, facts)


def _describe(store: Store, facts: dict[str, Any]) -> None:
    facts["store"] |= store.describe()
    facts["findings"] = store.check()


def _crm_facts(shell: Shell, crm: CRM) -> dict[str, Any]:
    shell.me.ask("setting", "read")
    with crm.store.transaction() as transaction:
        counts = {name: transaction.count(name) for name in _COUNTED}
        waiting = outbox_facts(transaction).to_plain()
    until = crm.rulebook.working.calendar.confirmed_until
    return {
        "playbook": {
            "key": crm.playbook.key,
            "title": crm.playbook.title.text(shell.language),
            "timezone": crm.playbook.timezone,
            "currency": crm.playbook.currency,
            "calendar_confirmed_until": until,
            "calendar_days_left": (until - crm.today()).days if until else None,
        },
        "plugins": crm.plugins.names(),
        "counts": counts,
        "outbox": waiting,
        "obligations_outdated": Obligations(crm, "crmcore").outdated(),
    }


def _warnings(facts: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is to be minded, though nothing is broken: key of the text, and its facts."""
    store, playbook = facts["store"], facts.get("playbook", {})
    if is_remote(store.get("filesystem")):
        yield "remote", {"filesystem": store["filesystem"]}
    if store.get("wal_reset_bug") and store.get("journal") == "wal":
        yield "wal_reset_bug", {"version": store["sqlite_version"]}
    if store.get("edits_waiting"):
        yield "edits_waiting", {"count": store["edits_waiting"]}
    if store.get("open_in"):
        yield "open_in" if store["open_in"].get("live") else "stale_owner", {"file": store["open_in"].get("file")}
    left = playbook.get("calendar_days_left")
    if left is not None and left <= _SOON:
        yield "calendar_over" if left < 0 else "calendar_ends", {"day": playbook["calendar_confirmed_until"]}
    if facts.get("obligations_outdated"):
        yield "outdated", {}
    if store.get("encryption_pending"):
        yield "encryption_pending", {}
    if dead := facts.get("outbox", {}).get("dead"):
        yield "dead_letters", {"count": dead}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _lines(facts: dict[str, Any], indent: str = "") -> list[str]:
    """Nested facts, one a line; what is a text of its own on a line of its own."""
    lines = []
    for name, value in facts.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{name}:", *_lines(value, f"{indent}  ")]
        elif isinstance(value, list) and name in ("findings", "warnings") and value:
            lines += [f"{indent}{name}:", *(f"{indent}  {text}" for text in value)]
        elif isinstance(value, (list, dict)):
            lines.append(f"{indent}{name}: {', '.join(map(str, value)) or '-'}")
        else:
            lines.append(f"{indent}{name}: {'-' if value is None else value}")
    return lines
