"""What stands in cells for kept text that people can't read: a list with semicolons between, what a row is called for its id.

Exact in both directions: where what is shown could be read as anything else, the kept text itself stands in the cell.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Collection as Sized
from typing import Any, TypeAlias

import attrs

from crmcore.storage import Collection, Row, Schema
from crmcore_excel.cells import fits
from crmcore_excel.layout import Column, SheetLayout

Names: TypeAlias = Mapping[str, Mapping[str, str]]
"""What the rows of a collection are called, by their ids."""

_SHORT = 1_000  #: characters that surely fit into a cell, when they are printable
_BETWEEN = re.compile("[;；]")
# Most lists hold one text that needs no care: a telephone number, an address.
_EASY = "[A-Za-z0-9+@._-]{1,1000}"
_ONE_TEXT = re.compile(rf'\["{_EASY}"\]').fullmatch
_PLAIN = re.compile(_EASY).fullmatch
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def names_of(sheets: Sequence[SheetLayout], schema: Schema, rows: Mapping[str, Iterable[Row]]) -> Names:
    """What the rows are called that others refer to; a row that shares its name with another has none."""
    wanted = {column.refers for sheet in sheets for column in sheet.columns if column.refers}
    return {
        sheet.collection: _names(schema.collections[sheet.collection], sheet.called, rows.get(sheet.collection, ()))
        for sheet in sheets
        if sheet.collection in wanted and sheet.called
    }


def _names(collection: Collection, called: Sequence[str], rows: Iterable[Row]) -> dict[str, str]:
    places = [collection.position(name) for name in called]
    names = {str(row[0]): " ".join([str(row[place]) for place in places if row[place] is not None]) for row in rows}
    counts = Counter(names.values())
    return {
        id: name
        for id, name in names.items()
        if counts[name] == 1
        and name not in names
        and ((len(name) < _SHORT and name.isprintable()) or fits(name))
        and name
    }


def without_doubt(
    sheets: Iterable[SheetLayout], schema: Schema, names: Names, rows: Mapping[str, Iterable[Row]]
) -> tuple[SheetLayout, ...]:
    """The sheets, where a column with a text that would be read as something else shows what is kept."""

    def sure(sheet: SheetLayout, column: Column) -> Column:
        if not column.listed and not column.refers:
            return column
        place = schema.collections[sheet.collection].position(column.field)
        values = {row[place] for row in rows.get(sheet.collection, ())} - {None}
        if column.listed and not all(str(value).startswith("[") for value in values):
            column = attrs.evolve(column, listed=False)
        if column.refers:
            known = names.get(column.refers, {})
            if not (values - known.keys()).isdisjoint(known.values()):
                column = attrs.evolve(column, refers=None)
        return column

    return tuple(
        attrs.evolve(sheet, columns=tuple(sure(sheet, column) for column in sheet.columns)) for sheet in sheets
    )


def show_rows(
    sheets: Iterable[SheetLayout], schema: Schema, names: Names, rows: Mapping[str, Sized[Row]]
) -> dict[str, Sized[Row]]:
    """All rows with what people read in place of what is kept."""
    shown = dict(rows)
    for sheet in sheets:
        changes = _changes(sheet, schema, _show_list, names)
        if changes and sheet.collection in shown:
            shown[sheet.collection] = _changed(shown[sheet.collection], changes)
    return shown


def keep_rows(sheet: SheetLayout, schema: Schema, names: Names, rows: list[Row]) -> list[Row]:
    """The rows of a sheet with what is kept in place of what people read; any other text stays as it stands there."""
    changes = _changes(sheet, schema, _keep_list, {name: _reversed(known) for name, known in names.items()})
    return _changed(rows, changes) if changes else rows


def _reversed(names: Mapping[str, str]) -> Mapping[str, str]:
    return {name: id for id, name in names.items()}


def _changes(
    sheet: SheetLayout, schema: Schema, listed: Callable[[str], str], words: Names
) -> list[tuple[int, Callable[[str], str]]]:
    collection = schema.collections[sheet.collection]
    found: list[tuple[int, Callable[[str], str]]] = []
    for column in sheet.columns:
        if column.listed:
            found.append((collection.position(column.field), listed))
        elif column.refers and (known := words.get(column.refers)):
            found.append((collection.position(column.field), lambda text, known=known: known.get(text, text)))  # type: ignore[misc]
    return found


def _changed(rows: Iterable[Row], changes: Sequence[tuple[int, Callable[[str], str]]]) -> list[Row]:
    made = []
    for row in rows:
        values: list[Any] | None = None
        for place, change in changes:
            text = row[place]
            if type(text) is str:
                values = values or list(row)
                values[place] = change(text)
        made.append(tuple(values) if values else row)
    return made


def _show_list(kept: str) -> str:
    if _ONE_TEXT(kept):
        return kept[2:-2]
    try:
        parts = json.loads(kept)
    except ValueError:
        return kept
    if not isinstance(parts, list) or not all(type(part) is str for part in parts):
        return kept
    shown = "; ".join(parts)
    return shown if fits(shown) and _keep_list(shown) == kept else kept


def _keep_list(shown: str) -> str:
    if _PLAIN(shown):
        return f'["{shown}"]'
    if shown.startswith("["):
        return shown
    return _encode([part.strip() for part in _BETWEEN.split(shown) if part.strip()])
