"""The options that every verb takes, before it or after it, and the values that several verbs understand alike."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import wraps
from typing import Any, cast

import click

from crmcore.cli.shell import DEFAULT_STORE, LANGUAGES, Shell
from crmcore.domain import Entity, Record
from crmcore.domain.fields import Unclean
from crmcore.domain.values import fold
from crmcore.errors import Invalid, Issue
from crmcore.interchange.cells import CellKind, CellOptions, parse
from crmcore.playbooks import Playbook

GLOBAL_OPTIONS = (
    click.option(
        "--store",
        metavar="URL",
        help=f"The store; a path ending in .db means SQLite. [env: CRMCORE_STORE; default: {DEFAULT_STORE}]",
    ),
    click.option("--playbook", metavar="KEY|FILE", help="A playbook by key or TOML file. [default: the store's own]"),
    click.option(
        "--as", "acting_as", metavar="USER", help="Who is acting. [env: CRMCORE_USER; default: the login name]"
    ),
    click.option(
        "--keys",
        metavar="SOURCE",
        help="Where the keys are: env:NAME or file:PATH. [default: env:CRMCORE_KEYS where that is set]",
    ),
    click.option("--json", is_flag=True, default=None, help="Data as one JSON document."),
    click.option(
        "--quiet", "-q", is_flag=True, default=None, help="No messages and no progress, only data and errors."
    ),
    click.option(
        "--language", type=click.Choice(LANGUAGES), help="Of labels and messages. [default: from LC_ALL, LANG]"
    ),
    click.option("--debug", is_flag=True, default=None, help="The traceback of an unexpected error."),
)
_NAMES = ("store", "playbook", "acting_as", "keys", "json", "quiet", "language", "debug")


def with_global_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a verb the global options; the function gets a :class:`Shell` in their place, before its own values."""

    @wraps(function)
    def run(*arguments: Any, **values: Any) -> Any:
        shell = click.get_current_context().find_object(Shell)
        assert shell is not None
        shell.take({name: values.pop(name) for name in _NAMES})
        return function(shell, *arguments, **values)

    for option in reversed(GLOBAL_OPTIONS):
        run = option(run)
    return run


def day(context: click.Context, parameter: click.Parameter, given: str | None) -> date | None:
    """Callback of an option: a calendar date, in any form that an import would read without a doubt."""
    if given is None:
        return None
    try:
        found: date = parse("day", given)
    except Unclean:
        raise click.BadParameter("this is not a date such as 2026-11-30", context, parameter) from None
    return found


def cell_options(shell: Shell) -> CellOptions:
    """How a value on the command line is read: as a cell of an import, in the playbook's zone and currency."""
    crm = shell.open()
    return CellOptions(zone=crm.zone, currency=crm.playbook.currency)


def word(playbook: Playbook, field: str, given: str | None, option: str) -> str | None:
    """The key of a choice by its key or any of its labels; a usage error that lists them otherwise."""
    if given is None:
        return None
    key = playbook.choice_key(field, given)
    if key is None:
        known = ", ".join(playbook.vocabulary(field))
        raise click.BadParameter(f"it must be one of {known}, or a label of one", param_hint=option)
    return key


def table_key(playbook: Playbook, given: str, option: str) -> str:
    """The key of a table by its key or any of its labels; a usage error that lists them otherwise."""
    for key, table in playbook.tables.items():
        if fold(given) in map(fold, (key, *table.label.spellings)):
            return key
    raise click.BadParameter(
        f"the playbook has no such table; there are {', '.join(playbook.tables)}", param_hint=option
    )


#: What a use case of its own sets, never ``--set``.
_NOT_SETTABLE = frozenset(
    {*Record.kinds, "number", "stage", "stage_since", "outcome", "pipeline", "owner", "customer_id"}
)


def read_settings(shell: Shell, pairs: tuple[str, ...], cls: type[Entity], option: str = "--set") -> dict[str, Any]:
    """``field=value`` pairs as fields of an entity: fields by key or label, values as an import reads them.

    Raises a usage error for a field that isn't there, and :class:`Invalid` with every value that doesn't fit.
    """
    playbook, options = shell.playbook, cell_options(shell)
    fields = {name: f"{cls.entity}.{name}" for name in cls.kinds if name not in _NOT_SETTABLE}
    names = {
        fold(spelling): name
        for name, field in fields.items()
        for spelling in (name, playbook.label(field, "en"), playbook.label(field, "zh-CN"))
    }
    values: dict[str, Any] = {}
    issues: list[Issue] = []
    for pair in pairs:
        given, equals, content = pair.partition("=")
        name = names.get(fold(given))
        if not equals or name is None:
            hint = f"{cls.entity} has no field {given.strip()} to set" if equals else "it is written field=value"
            raise click.BadParameter(hint, param_hint=option)
        key = playbook.choice_key(fields[name], content)
        try:
            values[name] = key or parse(cast(CellKind, cls.kinds[name].name), content, options=options)
        except Unclean as problem:
            issues.append(Issue(code=problem.code, field=fields[name], facts=problem.facts))
    if issues:
        raise Invalid(issues)
    return values
