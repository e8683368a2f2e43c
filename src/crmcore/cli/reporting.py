"""The verb report: what the store adds up to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import click

from crmcore.app.crm import Session
from crmcore.app.reports import month_days
from crmcore.cli.options import day, with_global_options
from crmcore.cli.shell import Shell
from crmcore.errors import QueryError
from crmcore.interchange.sheets import workbooks
from crmcore.metrics import Due, Table
from crmcore.metrics.dimensions import FACETS
from crmcore.metrics.tables import plain

_Found = tuple[Any, tuple[Table, ...]]
_MONTH = re.compile(r"(\d{4})-(\d{1,2})")


def _whole(found: Any) -> _Found:
    """A report for programs, and its tables for readers."""
    return found.to_plain(), found.tables


def _due(due: Due) -> _Found:
    figures = {name: getattr(due, name) for name in ("open", "overdue", "at_risk", "overdue_rate")}
    return {**figures, "duties": plain(due.table.records())}, (due.table,)


def _sheet(table: Table) -> _Found:
    return {"customers": plain(table.records())}, (table,)


#: How each report is asked for; those in ``_TIMELESS`` are about now, and have no period.
_REPORTS: Mapping[str, Callable[..., _Found]] = {
    "overview": lambda me, **asked: _whole(me.reports.overview(**asked)),
    "funnel": lambda me, **asked: _whole(me.reports.funnel(**asked)),
    "customers": lambda me, **asked: _whole(me.reports.customer_funnel(**asked)),
    "forecast": lambda me, **asked: _whole(me.reports.forecast(**asked)),
    "due": lambda me, **asked: _due(me.reports.due(**asked)),
    "duties": lambda me, **asked: _whole(me.reports.duties(**asked)),
    "activity": lambda me, **asked: _whole(me.reports.activity(**asked)),
    "service": lambda me, **asked: _whole(me.reports.service(**asked)),
    "risk": lambda me, **asked: _whole(me.reports.risk(**asked)),
    "quality": lambda me, **asked: _whole(me.reports.quality(**asked)),
    "incomplete": lambda me, **asked: _sheet(me.reports.incomplete(**asked)),
    "review": lambda me, **asked: _whole(me.reports.review(**asked)),
    "monthly": lambda me, **asked: _whole(me.reports.review(**asked)),
}
_TIMELESS = ("overview", "due", "risk", "incomplete")
KINDS = tuple(_REPORTS)


def _month(context: click.Context, parameter: click.Parameter, given: str | None) -> tuple[date, date] | None:
    """The first and the last day of a month as ``2026-11``."""
    if given is None:
        return None
    written = _MONTH.fullmatch(given.strip())
    try:
        return month_days(int(written[1]), int(written[2])) if written else _no_month(context, parameter)
    except QueryError:
        return _no_month(context, parameter)


def _no_month(context: click.Context, parameter: click.Parameter) -> tuple[date, date]:
    raise click.BadParameter("this is not a month such as 2026-11", context, parameter)


def _of(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, str | None]:
    """``FIELD=VALUE`` pairs; nothing behind the sign stands for those that don't give it."""
    found: dict[str, str | None] = {}
    for pair in given:
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or name not in FACETS:
            raise click.BadParameter(
                f"it is written field=value; the fields are {', '.join(FACETS)}", context, parameter
            )
        found[name] = value or None
    return found


@click.command("report")
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--since", metavar="DATE", callback=day, help="The first day that counts.")
@click.option("--until", metavar="DATE", callback=day, help="The last day that counts.")
@click.option(
    "--month", metavar="MONTH", callback=_month, help="With monthly: the month, as 2026-11; last month without it."
)
@click.option(
    "--of",
    metavar="FIELD=VALUE",
    multiple=True,
    callback=_of,
    help="Only customers with this owner, tier, stage, industry or source.",
)
@click.option(
    "-o", "--output", metavar="FILE.xlsx", type=click.Path(), help="Into a workbook; the review gets its charts there."
)
@with_global_options
def report(
    shell: Shell,
    kind: str,
    since: date | None,
    until: date | None,
    month: tuple[date, date] | None,
    of: dict[str, str | None],
    output: str | None,
) -> None:
    """Funnels and forecast, duties, activity, service, risk, quality, what is incomplete, or the whole review with its charts."""
    if kind == "due" and (since or until):
        raise click.UsageError("what is due has no period; there is crmcore due --until")
    if kind in _TIMELESS and (since or until):
        raise click.UsageError(f"the report {kind} has no period; it is about now")
    if kind == "monthly" and (since or until):
        raise click.UsageError("a monthly review is of one month: give it with --month")
    if month is not None and kind != "monthly":
        raise click.UsageError("--month goes with crmcore report monthly")
    if output is not None and Path(output).suffix.lower() != ".xlsx":
        raise click.BadParameter("the name must end in .xlsx", param_hint="--output")
    me = shell.me
    if kind == "monthly":
        since, until = month or _last_month(me)
    period = {} if kind in _TIMELESS else {"since": since, "until": until}
    if kind in ("review", "monthly") and output is not None:
        with shell.writing(output):
            me.reports.write_review(output, since=since, until=until, of=of, language=shell.language)
        shell.tell_written(output)
        return
    data, tables = _REPORTS[kind](me, of=of, **period)
    if output is not None:
        with shell.writing(output):
            workbooks().write(Path(output), tables, language=shell.language, zone=me.crm.zone)
        shell.tell_written(output)
    elif shell.json:
        shell.write_json(data)
    else:
        shell.write("\n\n".join(table.to_text(shell.language) for table in tables))


def _last_month(me: Session) -> tuple[date, date]:
    """The month before this one."""
    ended = me.crm.today().replace(day=1) - timedelta(days=1)
    return month_days(ended.year, ended.month)
