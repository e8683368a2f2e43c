"""What a person changed in a store's workbook, cell by cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import attrs

from crmcore.errors import SchemaMismatch, StoreCorrupt
from crmcore.storage import Collection, Row, Schema
from crmcore.storage.presentation import CellEdit, Edit, Unreadable
from crmcore_excel.cells import letters, read_rows
from crmcore_excel.checkpoints import check_schema, put_back, read_checkpoint
from crmcore_excel.layout import SheetLayout
from crmcore_excel.opening import Found, open_workbook, texts_apart
from crmcore_excel.showing import keep_rows, names_of

_NO_RESULT = Unreadable("=")
"""A formula that nobody worked out: a program that doesn't calculate saved it."""


def edits_between(base: Path, edited: Path, schema: Schema, since: str = "") -> list[Edit]:
    """What stands in ``edited`` and not in ``base``, the workbook as it was written: row by row, sheet by sheet. Where the base
    is a person's, ``since`` is what it is known by: the same change of two bases is two edits.

    A row without an id, with one that isn't known or one that comes a second time is an addition; of its hidden fields
    nothing is told, they came along when it was copied. Of formulas the last result counts.

    Raises as :func:`crmcore_excel.checkpoints.read_checkpoint` does: :class:`StoreCorrupt` names a sheet or heading that is gone,
    or a column of ids that is. :class:`SchemaMismatch` where the two are not of one store and state.
    """
    before = read_checkpoint(base, schema)
    opened = open_workbook(edited)
    check_schema(opened, schema)
    marks = opened.marks
    if (marks.store_id, marks.sequence) != (before.store_id, before.sequence):
        raise SchemaMismatch(
            f"{edited} is not an edited copy of {base}",
            path=str(edited),
            stored=(marks.store_id, marks.sequence),
            expected=(before.store_id, before.sequence),
        )
    state = f"{marks.store_id}\0{marks.sequence}" + (f"\0{since}" if since else "")
    zone = ZoneInfo(marks.zone)
    apart: dict[str, list[tuple[str, str, str]]] = {}
    for name, field, id, text in texts_apart(opened):
        apart.setdefault(name, []).append((field, id, text))
    # What rows were called when the workbook was written, whatever they are called in it now.
    names = names_of(marks.sheets, schema, before.rows)
    found: list[Edit] = []
    for layout in marks.sheets:
        collection = schema.collections[layout.collection]
        where = opened.found(layout)
        read = read_rows(layout, collection, where.at, zone).read(where.rows)
        _mark_formulas(read, layout, collection, where)
        put_back(read, collection, apart.get(collection.name, ()))
        read = keep_rows(layout, schema, names, read)
        sheet = _Sheet(layout=layout, collection=collection, at=where.at, first=where.first, state=state)
        found += sheet.compare(before.rows[collection.name], read, str(edited))
    return found


def _mark_formulas(rows: list[Row], layout: SheetLayout, collection: Collection, where: Found) -> None:
    """A formula without a result is no blank cell."""
    if not where.formulas:
        return
    fields = {index + 1: place for index, place in zip(where.at, layout.order(collection), strict=True)}
    for number, column in where.formulas:
        index, place = number - where.first, fields.get(column)
        if place is not None and 0 <= index < len(rows) and rows[index][place] is None:
            values: list[Any] = list(rows[index])
            values[place] = _NO_RESULT
            rows[index] = tuple(values)


@attrs.frozen(kw_only=True)
class _Sheet:
    """One sheet of the edited workbook: ``at`` is where its columns stand, ``first`` its first row's number; ``state`` names
    the state that was edited, ``seen`` counts rows that say the same."""

    layout: SheetLayout
    collection: Collection
    at: Sequence[int]
    first: int
    state: str
    seen: Counter[str] = attrs.field(factory=Counter)

    def compare(self, base: Sequence[Row], rows: Sequence[Row], path: str) -> Iterator[Edit]:
        """The edits from the base's rows to these."""
        known: Mapping[Any, Row] = {row[0]: row for row in base}
        kept = self._kept(known, rows)
        if base and not kept and any(value is not None for row in rows for value in row):
            heading = next(column.heading for column in self.layout.columns if column.field == "id")
            raise StoreCorrupt.phrased(
                "no row of the sheet {part} has an id that is known; the column {names} was changed",
                path=path,
                part=self.layout.title,
                headings=(heading,),
                names=heading,
            )
        for index, row in enumerate(rows):
            if index in kept:
                before = known[row[0]]
                if row != before:
                    yield self._edit("changed", row[0], index, before, row, range(len(row)))
            elif any(value is not None for value in row):
                blank = (None,) * len(row)
                yield self._edit("added", None, index, blank, row, self._shown())
        there = {rows[index][0] for index in kept}
        for row in base:
            if row[0] not in there:
                id = str(row[0])
                yield Edit(mark=self._mark(f"id {id}"), kind="removed", collection=self.collection.name, id=id, row=0)

    def _kept(self, known: Mapping[Any, Row], rows: Sequence[Row]) -> set[int]:
        """The rows that are the base's own, by index: of several with one id the one that is unchanged, else the first."""
        chosen: dict[Any, int] = {}
        for index, row in enumerate(rows):
            id = row[0]
            if type(id) is str and id in known and (id not in chosen or (row == known[id] != rows[chosen[id]])):
                chosen[id] = index
        return set(chosen.values())

    def _shown(self) -> Sequence[int]:
        """The places of the fields that people see."""
        return [self.collection.positions[column.field] for column in self.layout.columns if column.shown]

    def _edit(self, kind: Any, id: Any, index: int, before: Row, after: Row, places: Sequence[int]) -> Edit:
        number = self.first + index
        stands = {
            self.collection.positions[column.field]: letters(at)
            for column, at in zip(self.layout.columns, self.at, strict=True)
        }
        cells = tuple(
            CellEdit(
                field=self.collection.fields[place].name,
                place=f"{self.layout.title}!{stands[place]}{number}",
                before=before[place],
                after=after[place],
            )
            for place in places
            if before[place] != after[place] or type(before[place]) is not type(after[place])
        )
        told = ascii((id, [(cell.field, cell.before, cell.after) for cell in cells]))
        return Edit(mark=self._mark(told), kind=kind, collection=self.collection.name, id=id, row=number, cells=cells)

    def _mark(self, told: str) -> str:
        """The same for the same edit of the same state, also where it was saved again with others or stands elsewhere by then."""
        self.seen[told] += 1
        return sha256(f"{self.state}\0{self.collection.name}\0{told}\0{self.seen[told]}".encode()).hexdigest()
