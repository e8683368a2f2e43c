"""The verbs import and imports: files checked row by row, good rows taken in, bad ones named; imports listed and undone."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import attrs
import click

from crmcore.app.import_differences import RowDifference
from crmcore.app.import_rows import Duplicates, Update
from crmcore.app.imports import SheetPlan, SheetResult
from crmcore.cli import issues
from crmcore.cli.exits import OK, REJECTED
from crmcore.cli.options import table_key, with_global_options
from crmcore.cli.shell import Shell
from crmcore.cli.tables import readable, spoken
from crmcore.cli.texts import TEXTS
from crmcore.errors import Issue
from crmcore.interchange.mapping import DATE_ORDERS
from crmcore.interchange.rejections import reason_text
from crmcore.metrics import Column, Table
from crmcore.metrics.tables import Cell, ColumnKind, plain
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
    *((name, "integer") for name in ("created", "updated", "known", "asked", "rejected")),
)
_COUNTS = ("rows", "created", "updated", "known", "asked", "rejected")


@attrs.frozen(kw_only=True)
class Line:
    """What there is to say about one sheet; ``created`` is None in a dry run."""

    file: str
    sheet: str
    table: str | None
    header_row: int | None
    rows: int
    ready: int
    created: int | None
    updated: int
    known: int
    asked: int
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
@click.option("--rejected", metavar="FILE.xlsx", help="A copy of the file with the rejected rows, each with why.")
@click.option(
    "--duplicates",
    type=click.Choice(get_args(Duplicates)),
    default="skip",
    help="What becomes of a row about something on file. [default: skip]",
)
@click.option(
    "--update",
    type=click.Choice(get_args(Update)),
    default="fill",
    help="How an update puts a row together with what is on file. [default: fill]",
)
@click.option("--source", metavar="NAME", help="What the list is called that the rows come from.")
@click.option("--dry-run", is_flag=True, help="Check everything, show what would change, store nothing.")
@with_global_options
def import_(
    shell: Shell, files: tuple[str, ...], table: str | None, rejected: str | None, dry_run: bool, **given: Any
) -> int:
    """Takes in workbooks (.xlsx, .xls …) and text files (.csv …).

    Every bad cell is named with sheet, row, column and code; good rows go in beside bad ones. A row that was taken in once
    is never taken in again, so an import can be repeated.
    """
    me = shell.me
    if table is not None:
        table = table_key(shell.playbook, table, "--table")
    if rejected is not None:
        _check_copy(shell, files, rejected)
    plan = me.imports.plan(files, table=table, **given)
    if dry_run:
        result, changed = plan.rehearse(), plan.differences()
    else:
        with shell.progress(shell.text("importing")) as progress:
            result, changed = plan.apply(progress), []
    lines = [_line(sheet, outcome) for sheet, outcome in zip(plan.sheets, result.sheets, strict=True)]
    if dry_run:
        lines = [attrs.evolve(line, created=None) for line in lines]
    changes = _changes(shell, changed)
    if shell.json:
        run = None if dry_run else result.run
        shell.write_json({**_plain(shell, lines, dry_run), "run": run, "changes": plain(changes.records())})
    else:
        _tell(shell, lines, dry_run)
        if changes.rows:
            shell.write_table(changes)
    if rejected is not None:
        with shell.writing(rejected):
            written = plan.write_rejected(result, rejected, encoding=given["encoding"], language=shell.language)
        if written:
            shell.say(shell.text("file_written", file=rejected))
    return REJECTED if any(line.rejected or line.asked for line in lines) else OK


def _changes(shell: Shell, changed: Iterable[RowDifference]) -> Table:
    """What rows change of records that are on file, a line per field."""
    playbook, language = shell.playbook, shell.language
    rows = tuple(
        (row.source, playbook.label(f"{one.subject}.{one.field}", language), _told(one.before), _told(one.after))
        for row in changed
        if row.outcome in ("updated", "asked")
        for one in row.changes
    )
    english, chinese = TEXTS["import_changes"]
    columns = (spoken("place"), spoken("field"), spoken("was"), spoken("becomes"))
    return Table("changes", chinese, english, columns, rows)


def _told(value: Any) -> str | None:
    """A value of an event for a reader."""
    if isinstance(value, dict) and value.keys() == {"amount", "currency"}:
        return f"{value['currency']} {value['amount']}"
    if isinstance(value, (list, dict)):
        items = (f"{key}={item}" for key, item in value.items()) if isinstance(value, dict) else map(str, value)
        return ";".join(items) or None
    return None if value is None else str(value)


def _check_copy(shell: Shell, files: tuple[str, ...], rejected: str) -> None:
    first, *more = files
    if more:
        raise click.UsageError(shell.text("rejected_of_one"))
    if Path(rejected).suffix.lower() != ".xlsx" or os.path.realpath(rejected) == os.path.realpath(first):
        raise click.UsageError(shell.text("rejected_beside"))


def _line(sheet: SheetPlan, outcome: SheetResult) -> Line:
    return Line(
        file=sheet.file,
        sheet=sheet.sheet,
        table=sheet.table,
        header_row=sheet.header_row,
        rows=sheet.rows,
        ready=outcome.created,
        created=outcome.created,
        updated=outcome.updated,
        known=outcome.known,
        asked=outcome.asked,
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
    totals = {name: sum(sheet[name] or 0 for sheet in sheets) for name in _COUNTS}
    return {"dry_run": dry_run, **totals, "sheets": sheets}


def _tell(shell: Shell, lines: list[Line], dry_run: bool) -> None:
    left_out = {"created" if dry_run else "ready"}
    left_out |= {name for name in ("updated", "asked") if not any(getattr(line, name) for line in lines)}
    columns: list[tuple[str, ColumnKind]] = [(name, kind) for name, kind in _COLUMNS if name not in left_out]
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


@click.group("imports", no_args_is_help=False)
@with_global_options
def imports(shell: Shell) -> None:
    """Imports that took something in: list them, undo one."""


@imports.command("list")
@with_global_options
def list_(shell: Shell) -> None:
    """Every import, the latest first."""
    zone = shell.open().zone
    runs = shell.me.imports.runs()
    columns = (
        spoken("at", "instant"),
        spoken("by"),
        spoken("files"),
        spoken("source", text="source_named"),
        spoken("undone_at", "instant"),
        Column("id", "导入标识", "Import"),
    )
    rows = tuple(
        (
            run.at.astimezone(zone),
            run.by,
            ";".join(run.files),
            run.source,
            run.undone_at and run.undone_at.astimezone(zone),
            run.id,
        )
        for run in runs
    )
    english, chinese = TEXTS["imports"]
    table = Table("imports", chinese, english, columns, rows)
    if shell.json:
        shell.write_json(plain(table.records()))
    elif rows:
        shown = tuple(tuple(readable(cell, zone) for cell in row) for row in rows)
        shell.write_table(attrs.evolve(table, rows=shown))
    else:
        shell.say(shell.text("no_imports"))


@imports.command("undo")
@click.argument("run", metavar="IMPORT")
@with_global_options
def undo(shell: Shell, run: str) -> int:
    """Takes away what an import made and puts back what it changed; what was edited since stays and is listed."""
    with shell.progress(shell.text("undoing")) as progress:
        undone = shell.me.imports.undo(run, progress)
    if shell.json:
        shell.write_json(attrs.asdict(undone))
        return OK
    shell.say(shell.text("undone", removed=f"{undone.removed:,}", restored=f"{undone.restored:,}"))
    if undone.left:
        playbook, language = shell.playbook, shell.language
        rows = tuple(
            (
                one.number,
                one.entity,
                ", ".join(playbook.label(f"{one.entity}.{name}", language) for name in one.fields) or None,
            )
            for one in undone.left
        )
        english, chinese = TEXTS["left_by_undo"]
        shell.write_table(
            Table("left", chinese, english, (spoken("number"), spoken("kind_of_record"), spoken("fields_left")), rows)
        )
    return OK
