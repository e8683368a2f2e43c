"""Verbs that write files: export, template."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import attrs
import click

from crmcore.cli.options import table_key, with_global_options
from crmcore.cli.shell import Shell
from crmcore.domain import Money
from crmcore.errors import Language
from crmcore.interchange.sheets import workbooks
from crmcore.metrics import Column, Table
from crmcore.metrics.tables import Cell, currencies, heading, plain

FORMULA_STARTS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""What a spreadsheet takes for the beginning of a formula, in full width too (OWASP, CSV injection)."""


def csv_text(table: Table, currency: str, language: Language) -> str:
    """A table as CSV: every field in quotes, a tab before text that a spreadsheet would take for a formula.

    A tab cannot stand at either end of a stored text, so an import that trims takes it off again and nothing is lost; an
    apostrophe could. Amounts in ``currency`` are bare, others name theirs; moments are local times, as a sheet has no zones.
    """
    file = io.StringIO()
    writer = csv.writer(file, quoting=csv.QUOTE_ALL)
    writer.writerow([heading(column, (), language) for column in table.columns])
    for row in table.rows:
        cells = zip(table.columns, row, strict=True)
        writer.writerow([_csv_cell(column, cell, currency, language) for column, cell in cells])
    return file.getvalue()


def _csv_cell(column: Column, cell: Cell, currency: str, language: Language) -> str:
    named = column.named(cell, language)
    if named is None:
        return ""
    if isinstance(named, Money):
        return f"{named.amount:f}" if named.currency == currency else f"{named.amount:f} {named.currency}"
    if hasattr(named, "tzinfo"):
        return f"{named:%Y-%m-%d %H:%M:%S}"
    if isinstance(named, str) and named.startswith(FORMULA_STARTS):
        return f"\t{named}"
    return str(named)


@click.command("export")
@click.argument("table")
@click.option(
    "-o", "--output", metavar="FILE", default="-", help="A .xlsx or .csv file, or - for CSV on stdout, the default."
)
@click.option("--encoding", help="Of CSV. [default: utf-8-sig in a file, utf-8 on stdout]")
@with_global_options
def export(shell: Shell, table: str, output: str, encoding: str | None) -> None:
    """Writes a table of the playbook with every record, in a form that import takes into another store unchanged.

    TABLE is its key or a label: customers, opportunities … Text that a spreadsheet would run as a formula stays text: by
    its type in a workbook, behind a tab in CSV, which an import takes off.
    """
    me = shell.me
    found = me.exports.table(table_key(shell.playbook, table, "TABLE"))
    if shell.json and output == "-":
        shell.write_json([plain(record) for record in found.records()])
        return
    if output == "-":
        shell.write_bytes(_encoded(csv_text(found, shell.playbook.currency, shell.language), encoding or "utf-8"))
        return
    path = Path(output)
    suffix = path.suffix.lower()
    if suffix == ".xlsx":
        with shell.writing(path):
            workbooks().write(path, [one_currency_or_text(found)], language=shell.language, zone=me.crm.zone)
    elif suffix == ".csv":
        text = csv_text(found, shell.playbook.currency, shell.language)
        _replace(path, _encoded(text, encoding or "utf-8-sig"))
    else:
        raise click.BadParameter("the name must end in .xlsx or .csv", param_hint="--output")
    if shell.json:
        shell.write_json({"file": str(path), "rows": len(found.rows)})
    else:
        shell.say(shell.text("written", rows=f"{len(found.rows):,}", file=path))


def one_currency_or_text(table: Table) -> Table:
    """The table with amounts as text, each with its currency, in every column that holds more than one currency.

    A workbook would part them into two columns, which an import could not put together again.
    """
    mixed = {index for index in range(len(table.columns)) if len(currencies(table, index)) > 1}
    columns = tuple(
        attrs.evolve(column, kind="text") if index in mixed else column for index, column in enumerate(table.columns)
    )
    rows = tuple(
        tuple(
            f"{cell.amount:f} {cell.currency}" if index in mixed and isinstance(cell, Money) else cell
            for index, cell in enumerate(row)
        )
        for row in table.rows
    )
    return attrs.evolve(table, columns=columns, rows=rows) if mixed else table


def _encoded(text: str, encoding: str) -> bytes:
    try:
        return text.encode(encoding)
    except LookupError:
        raise click.BadParameter(f"there is no encoding {encoding}", param_hint="--encoding") from None
    except UnicodeEncodeError:
        raise click.BadParameter(f"{encoding} lacks characters of this table", param_hint="--encoding") from None


def _replace(path: Path, content: bytes) -> None:
    """Puts a file in its place whole or not at all; a device or pipe is written to."""
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as problem:
        raise OSError(problem.errno, problem.strerror, str(path)) from None
    finally:
        draft.unlink(missing_ok=True)


@click.command("template")
@click.argument("tables", metavar="[TABLE]...", nargs=-1)
@click.option("-o", "--output", metavar="FILE.xlsx", required=True, type=click.Path(), help="The workbook to make.")
@with_global_options
def template(shell: Shell, tables: tuple[str, ...], output: str) -> None:
    """Makes an empty workbook to fill in: a sheet for each TABLE of the playbook, with drop-downs and a guide.

    Without TABLE it has all of them. The playbook is the store's, the one that --playbook names, or standard.
    """
    if Path(output).suffix.lower() != ".xlsx":
        raise click.BadParameter("the name must end in .xlsx", param_hint="--output")
    keys = [table_key(shell.playbook, given, "TABLE") for given in tables]
    with shell.writing(output):
        workbooks().template(Path(output), shell.playbook, keys or None, language=shell.language)
    shell.tell_written(output)
