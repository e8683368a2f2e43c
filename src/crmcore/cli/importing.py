"""The verb import: files checked row by row, good rows taken in, bad ones named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import attrs
import click

from crmcore.app.imports import ImportPlan, SheetPlan, SheetResult
from crmcore.cli import issues
from crmcore.cli.exits import OK, REJECTED
from crmcore.cli.options import table_key, with_global_options
from crmcore.cli.shell import Shell
from crmcore.cli.tables import spoken
from crmcore.cli.texts import TEXTS
from crmcore.errors import Issue
from crmcore.interchange.mapping import DATE_ORDERS
from crmcore.interchange.rejections import reason_text
from crmcore.metrics import Table
from crmcore.metrics.tables import Cell, ColumnKind
from crmcore.playbooks.wording import said

MOST_WARNINGS = 5
"""Warnings of one code and sheet that are shown one by one; errors, and what is said of the header, always are."""

_COLUMNS: tuple[tuple[str, ColumnKind], ...] = (
    ("file", "text"),
    ("sheet", "text"),
    ("table", "text"),
    ("header_row", "integer"),
    ("rows", "integer"),
    ("ready", "integer"),
    ("created", "integer"),
    ("known", "integer"),
    ("rejected", "integer"),
)


@attrs.frozen(kw_only=True)
class Line:
    """What there is to say about one sheet; ``created`` and ``known`` are None in a dry run."""

    file: str
    sheet: str
    table: str | None
    header_row: int | None
    rows: int
    ready: int
    created: int | None
    known: int | None
    rejected: int
    note: str | None
    issues: tuple[Issue, ...]


@click.command("import")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path())
@click.option("--table", help="Which table of the playbook the rows are; found from the header otherwise.")
@click.option("--mapping", metavar="FILE.toml", type=click.Path(), help="What strange headers and values mean.")
@click.option("--encoding", help="Of a text file: gb18030, utf-8 … [default: told from the file]")
@click.option("--sheet", metavar="NAME", help="Only this sheet.")
@click.option("--date-order", type=click.Choice(DATE_ORDERS), help="How 03/04/2024 is meant.")
@click.option("--currency", metavar="CODE", help="What a bare amount is in. [default: the playbook's]")
@click.option("--dry-run", is_flag=True, help="Check everything, store nothing.")
@with_global_options
def import_(shell: Shell, files: tuple[str, ...], table: str | None, dry_run: bool, **given: Any) -> int:
    """Takes in workbooks (.xlsx, .xls …) and text files (.csv …).

    Every bad cell is named with sheet, row, column and code; good rows go in beside bad ones. A row that was taken in once
    is never taken in again, so an import can be repeated.
    """
    me = shell.me
    if table is not None:
        table = table_key(shell.playbook, table, "--table")
    plan = me.imports.plan(files, table=table, **given)
    lines = _planned(plan) if dry_run else _applied(shell, plan)
    if shell.json:
        shell.write_json(_plain(shell, lines, dry_run))
    else:
        _tell(shell, lines, dry_run)
    return REJECTED if any(line.rejected for line in lines) else OK


def _planned(plan: ImportPlan) -> list[Line]:
    result = plan.rehearse()
    lines = [_line(sheet, outcome) for sheet, outcome in zip(plan.sheets, result.sheets, strict=True)]
    return [attrs.evolve(line, created=None) for line in lines]


def _applied(shell: Shell, plan: ImportPlan) -> list[Line]:
    with shell.progress(shell.text("importing")) as progress:
        result = plan.apply(progress)
    return [_line(sheet, outcome) for sheet, outcome in zip(plan.sheets, result.sheets, strict=True)]


def _line(sheet: SheetPlan, outcome: SheetResult) -> Line:
    return Line(
        file=sheet.file,
        sheet=sheet.sheet,
        table=sheet.table,
        header_row=sheet.header_row,
        rows=sheet.rows,
        ready=outcome.created,
        created=outcome.created,
        known=outcome.known,
        rejected=outcome.rejected,
        note=sheet.note,
        issues=outcome.issues,
    )


def _plain(shell: Shell, lines: Iterable[Line], dry_run: bool) -> dict[str, Any]:
    sheets = []
    for line in lines:
        found = [
            {
                "code": issue.code,
                "level": issue.level,
                "row": issue.row,
                "column": issue.column,
                "field": issue.field,
                "text": said(issue, shell.known_playbook, shell.language),
            }
            for issue in line.issues
        ]
        sheets.append({**attrs.asdict(line, recurse=False), "issues": found})
    totals = {name: sum(sheet[name] or 0 for sheet in sheets) for name in ("rows", "created", "known", "rejected")}
    return {"dry_run": dry_run, **totals, "sheets": sheets}


def _tell(shell: Shell, lines: list[Line], dry_run: bool) -> None:
    columns: list[tuple[str, ColumnKind]] = [
        (name, kind) for name, kind in _COLUMNS if name != ("created" if dry_run else "ready")
    ]
    english, chinese = TEXTS["import"]
    rows = tuple(tuple(_cell(line, name) for name, _ in columns) for line in lines)
    shell.write_table(Table("import", chinese, english, tuple(spoken(name, kind) for name, kind in columns), rows))
    for line in lines:
        for shown in _issue_lines(shell, line):
            shell.write(shown)
        if line.note:
            why = shell.text("not_a_table") if line.table is None else reason_text("no_rows", shell.language)
            shell.say(f"{line.file} {line.sheet}: {why}")
    if dry_run:
        shell.say(shell.text("dry_run"))


def _cell(line: Line, name: str) -> Cell:
    cell: Cell = getattr(line, name)
    return cell


def _issue_lines(shell: Shell, line: Line) -> Iterable[str]:
    """Every error and the first warnings of each code, in the order of the rows."""
    warnings: Counter[str] = Counter()
    for issue in sorted(line.issues, key=lambda issue: (issue.row or 0, issue.column or 0)):
        level = ""
        if issue.level == "warning":
            warnings[issue.code] += issue.row != line.header_row
            if warnings[issue.code] > MOST_WARNINGS:
                continue
            level = f" ({shell.text('warning')})"
        what = said(issue, shell.known_playbook, shell.language)
        yield f"{line.file} {issues.place(issue)} {issue.code}{level} {what}"
    for code, count in warnings.items():
        if count > MOST_WARNINGS:
            yield f"{line.file} {line.sheet} {shell.text('more_warnings', count=f'{count - MOST_WARNINGS:,}', code=code)}"
