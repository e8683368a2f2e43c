"""A person at a store's workbook, for the kit: opens it with openpyxl, edits it, saves it again."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any


def edit(path: str, edits: Iterable[Any]) -> None:
    """Makes the edits (``crmcore.testing.PersonsEdit``) in the workbook at the path, by its headings, and saves it."""
    import openpyxl  # type: ignore[import-untyped]

    book: Any = openpyxl.load_workbook(path)
    for one in edits:
        sheet = book[one.collection]
        columns = {cell.value: cell.column for cell in sheet[1]}
        if one.kind == "added":
            row = sheet.max_row + 1
        else:
            row = next(row for row in range(2, sheet.max_row + 1) if sheet.cell(row, columns["id"]).value == one.id)
        if one.kind == "removed":
            sheet.delete_rows(row)
        for name, value in one.values.items():
            # What a person types as a number is one of a spreadsheet's.
            sheet.cell(row, columns[name]).value = float(value) if isinstance(value, Decimal) else value
    book.save(path)
