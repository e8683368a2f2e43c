"""The verb report: what the store adds up to."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import click

from crmcore.app.crm import Session
from crmcore.cli.options import day, with_global_options
from crmcore.cli.shell import Shell
from crmcore.interchange.sheets import workbooks
from crmcore.metrics import Due, Table
from crmcore.metrics.tables import plain

KINDS = ("funnel", "due", "activity", "review")


@click.command("report")
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--since", metavar="DATE", callback=day, help="The first day that counts.")
@click.option("--until", metavar="DATE", callback=day, help="The last day that counts.")
@click.option(
    "-o", "--output", metavar="FILE.xlsx", type=click.Path(), help="Into a workbook; the review gets its charts there."
)
@with_global_options
def report(shell: Shell, kind: str, since: date | None, until: date | None, output: str | None) -> None:
    """The funnel, what is due, who followed up, or the whole review with its charts."""
    if kind == "due" and (since or until):
        raise click.UsageError("what is due has no period; there is crmcore due --until")
    if output is not None and Path(output).suffix.lower() != ".xlsx":
        raise click.BadParameter("the name must end in .xlsx", param_hint="--output")
    me = shell.me
    if kind == "review" and output is not None:
        me.reports.write_review(output, since=since, until=until, language=shell.language)
        shell.tell_written(output)
        return
    data, tables = _found(me, kind, since, until)
    if output is not None:
        workbooks().write(Path(output), tables, language=shell.language, zone=me.crm.zone)
        shell.tell_written(output)
    elif shell.json:
        shell.write_json(data)
    else:
        shell.write("\n\n".join(table.to_text(shell.language) for table in tables))


def _found(me: Session, kind: str, since: date | None, until: date | None) -> tuple[Any, tuple[Table, ...]]:
    """A report for programs, and its tables for readers."""
    if kind == "due":
        due = me.reports.due()
        return _plain_due(due), (due.table,)
    if kind == "funnel":
        funnel = me.reports.funnel(since=since, until=until)
        return funnel.to_plain(), funnel.tables
    if kind == "activity":
        activity = me.reports.activity(since=since, until=until)
        return activity.to_plain(), activity.tables
    review = me.reports.review(since=since, until=until)
    return review.to_plain(), review.tables


def _plain_due(due: Due) -> dict[str, Any]:
    figures = {name: getattr(due, name) for name in ("open", "overdue", "at_risk", "overdue_rate")}
    return {**figures, "duties": plain(due.table.records())}
