"""Our rows put into a person's workbook, so that what they made of it stays: formats, columns, sheets of their own.

Nothing of theirs moves. A row keeps its place, so formulas and what stands beside it stay right; the place of a row that is gone
is cleared, and the next new row takes it. openpyxl does the editing; what it would lose is refused before.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Collection as Sized
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from io import BytesIO
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import attrs

from crmcore.errors import MissingExtra, NotSupported, StoreCorrupt
from crmcore.storage import Row
from crmcore.storage.presentation import Presentation, SheetView
from crmcore_excel.book import MAX_ROWS, free_name
from crmcore_excel.cells import Apart, apart_rows, cell_value, fits, letters, read_rows, stand_in, with_escapes
from crmcore_excel.drawing import cell_format, guide_headings, guide_title, list_cells, list_name
from crmcore_excel.filling import filled, filled_with_texts
from crmcore_excel.layout import LISTS, MARKS, TEXTS, Column, Marks, SheetLayout, write_marks
from crmcore_excel.losses import lost_parts
from crmcore_excel.opening import Opened, open_workbook
from crmcore_excel.packages import SEAL, UNSEALED, read_parts, sheet_parts

_DATA_ROWS = re.compile(rb"<sheetData><row\b[^>]*(?<!/)>(?:(?!</?row\b).)*</row>(.*)</sheetData>", re.DOTALL)
#: What a person may have put on cells that hold rows.
_TIED_TO_CELLS = re.compile(rb"<(?:legacyDrawing|drawing|hyperlinks|mergeCells)\b")
_MODIFIED = re.compile(rb"(<dcterms:modified[^>]*>)[^<]*(</dcterms:modified>)")
_MOMENT = rb"\g<1>2000-01-01T00:00:00Z\g<2>"


def carry_over(
    kept: Path, marks: Marks, presentation: Presentation | None, rows: Mapping[str, Sized[Row]]
) -> dict[str, bytes | str]:
    """The parts of the workbook ``kept`` with these rows in it.

    Raises :class:`NotSupported` naming in ``details["parts"]`` all that would be lost, and what
    :func:`crmcore_excel.opening.open_workbook` raises.
    """
    try:
        import openpyxl  # type: ignore[import-untyped]
    except ImportError as problem:
        raise MissingExtra('workbooks need an optional library: pip install "crmcore[excel]"') from problem
    opened = open_workbook(kept)
    lost = lost_parts(kept)
    if lost:
        raise _refused(kept, lost)
    before = {sheet.collection: sheet for sheet in opened.marks.sheets}
    try:
        content, cleared = _without_rows(kept, [sheet.title for sheet in marks.sheets if _is_ours_alone(sheet, opened)])
        book = openpyxl.load_workbook(content, rich_text=True)
    except Exception as problem:  # it raises almost anything
        raise StoreCorrupt(f"{kept} can't be read to its end", path=str(kept), part="workbook") from problem
    taken = {title.casefold() for title in book.sheetnames}
    lists: dict[tuple[str, ...], int] = {}
    apart: list[Apart] = []
    sheets = []
    for layout in marks.sheets:
        own = rows.get(layout.collection, ())
        if layout.title in cleared:
            book[layout.title].auto_filter.ref = f"A1:{letters(len(layout.columns) - 1)}{max(2, len(own) + 1)}"
            sheets.append(layout)
            continue
        view = presentation.sheets.get(layout.collection) if presentation else None
        old = before.get(layout.collection)
        if old is None:
            carried = _Carried.started(book, attrs.evolve(layout, title=free_name(layout.title, taken)), marks)
        else:
            carried = _Carried.found(book, attrs.evolve(layout, title=old.title), old, opened, marks)
        if merged := carried.merged():
            raise _refused(kept, [f"merged cells {area} in {carried.layout.title}" for area in merged])
        apart += carried.put(own)
        carried.choose(view, lists)
        sheets.append(carried.layout)
    marks = attrs.evolve(marks, sheets=tuple(sheets), carried=True)
    _write_lists(book, lists)
    if presentation is not None:
        _renew_guide(book, presentation)
    for title in (TEXTS, MARKS):
        _own_sheet(book, title)
    parts = _saved(book)
    part_of = sheet_parts(parts)
    for layout in sheets:
        if layout.title in cleared:
            name = part_of[layout.title]
            parts[name], its_apart = filled(parts[name], layout, marks, rows.get(layout.collection, ()))
            apart += its_apart
    for title, told in ((TEXTS, apart_rows(apart)), (MARKS, write_marks(marks))):
        parts[part_of[title]] = filled_with_texts(parts[part_of[title]], told)
    return parts


def _is_ours_alone(layout: SheetLayout, opened: Opened) -> bool:
    """Whether a sheet out of sight is as we write it, so that nothing in it needs to be kept: most rows of a store are there."""
    if layout.shown or layout not in opened.marks.sheets:
        return False
    where = opened.found(layout)
    width = len(layout.columns)
    return where.first == 2 and where.at == tuple(range(width)) and all(len(row) == width for row in where.rows)


def _without_rows(path: Path, titles: Sequence[str]) -> tuple[BytesIO, set[str]]:
    """The workbook with nothing but the headings in those sheets, and the titles of those where that could be done."""
    with path.open("rb") as file:
        parts = read_parts(file)
    part_of, cleared = sheet_parts(parts), set()
    for title in titles:
        sheet = parts[part_of[title]]
        found = _DATA_ROWS.search(sheet)
        if found and not _TIED_TO_CELLS.search(sheet, found.end()):
            parts[part_of[title]] = sheet[: found.start(1)] + sheet[found.end(1) :]
            cleared.add(title)
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as package:
        for name, part in parts.items():
            package.writestr(name, part)
    return content, cleared


def _refused(path: Path, lost: Sequence[str]) -> NotSupported:
    return NotSupported(
        f"writing {path} would lose what somebody made in it: {', '.join(lost)}; move it to a workbook of its own",
        path=str(path),
        parts=tuple(lost),
    )


@attrs.define(kw_only=True)
class _Carried:
    """A collection's sheet in the person's workbook: where its columns stand (from 1), and which rows hold which id."""

    sheet: Any
    layout: SheetLayout
    marks: Marks
    at: dict[str, int]
    heading_row: int
    ids: dict[str, int]
    others: dict[int, Row]
    """Rows of no known id, by number, as they can be read."""
    last: int
    headed: Sequence[int] = ()
    """The columns with a heading: what stands in them belongs to the row."""

    @classmethod
    def started(cls, book: Any, layout: SheetLayout, marks: Marks) -> _Carried:
        """A sheet of its own for a collection that the workbook doesn't have yet."""
        sheet = book.create_sheet(layout.title)
        if not layout.shown:
            sheet.sheet_state = "hidden"
        made = cls(sheet=sheet, layout=layout, marks=marks, at={}, heading_row=1, ids={}, others={}, last=1)
        made._head({})
        return made

    @classmethod
    def found(cls, book: Any, layout: SheetLayout, old: SheetLayout, opened: Opened, marks: Marks) -> _Carried:
        """The sheet as it stands in the workbook."""
        where = opened.found(old)
        collection = opened.marks.schema.collections[old.collection]
        read = read_rows(old, collection, where.at, ZoneInfo(opened.marks.zone)).read(where.rows)
        ids: dict[str, int] = {}
        others: dict[int, Row] = {}
        for number, row in enumerate(read, where.first):
            if type(row[0]) is str and row[0] not in ids:
                ids[row[0]] = number
            elif any(value is not None for value in row):
                others[number] = row
        made = cls(
            sheet=book[old.title],
            layout=layout,
            marks=marks,
            at={column.field: index + 1 for column, index in zip(old.columns, where.at, strict=True)},
            heading_row=where.first - 1,
            ids=ids,
            others=others,
            last=where.first - 1,
        )
        made._head({column.field: column for column in old.columns})
        made.last = next(
            (number for number in range(made.sheet.max_row, where.first - 1, -1) if not made._blank(number)), made.last
        )
        return made

    def _head(self, old: Mapping[str, Column]) -> None:
        """Brings headings up to date: new columns go behind everything else."""
        there = {str(cell.value).strip() for cell in self.sheet[self.heading_row] if cell.value is not None}
        columns = []
        for column in self.layout.columns:
            known = old.get(column.field)
            heading = column.heading
            if known is None or known.heading != heading:
                while heading in there:
                    heading = f"{heading} ({column.field})"
            if known is None:
                self.at[column.field] = max(self.sheet.max_column, *self.at.values(), 0) + 1 if self.at else 1
            index = self.at[column.field]
            if known is None or known.heading != heading:
                _put_text(self.sheet.cell(self.heading_row, index), heading)
                there.add(heading)
            if (known is None and not column.shown) or (known is not None and known.shown != column.shown):
                self.sheet.column_dimensions[letters(index - 1)].hidden = not column.shown
            columns.append(attrs.evolve(column, heading=heading))
        for field in old.keys() - {column.field for column in columns}:
            self._clear_column(self.at.pop(field))
        self.layout = attrs.evolve(self.layout, columns=tuple(columns))
        self.headed = [cell.column for cell in self.sheet[self.heading_row] if cell.value is not None]

    def _clear_column(self, index: int) -> None:
        for number in range(self.heading_row, self.sheet.max_row + 1):
            self.sheet.cell(number, index).value = None

    def _blank(self, number: int) -> bool:
        return all(self.sheet.cell(number, index).value is None for index in self.headed)

    def merged(self) -> list[str]:
        """Merged cells over our columns: of several cells they keep one."""
        ours = set(self.at.values())
        return [
            str(area)
            for area in self.sheet.merged_cells.ranges
            if area.max_row >= self.heading_row
            and area.min_row <= self.last
            and not ours.isdisjoint(range(area.min_col, area.max_col + 1))
        ]

    def put(self, rows: Iterable[Row]) -> list[Apart]:
        """Writes the rows, each where it stood; what is gone is cleared. Gives the texts that are kept apart."""
        zone = ZoneInfo(self.marks.zone)
        collection = self.marks.schema.collections[self.layout.collection]
        rows = list(rows)
        now = {row[0] for row in rows}
        places = {id: number for id, number in self.ids.items() if id in now}
        places.update(self._taken_in([row for row in rows if row[0] not in places], collection.positions))
        used = set(places.values())
        headed = self.headed
        gone = {*self.ids.values(), *self.others} - used
        for number in gone:
            for index in headed:
                cell = self.sheet.cell(number, index)
                cell.value = cell.comment = cell.hyperlink = None
        blank = (number for number in range(self.heading_row + 1, self.last + 1) if number not in used)
        free = [number for number in blank if number in gone or self._blank(number)]
        free.reverse()
        model = max(used, default=None)
        apart: list[Apart] = []
        columns = [(column, collection.position(column.field), self.at[column.field]) for column in self.layout.columns]
        for row in rows:
            id = str(row[0])
            number = places.get(id, 0)
            if not number:
                number = free.pop() if free else self._appended()
                self._dress(number, model, headed)
            for column, place, index in columns:
                value = cell_value(column, row[place], zone)
                if isinstance(value, str) and not fits(value):
                    apart.append(Apart(collection.name, column.field, id, value))
                    value = stand_in(value)
                _put(self.sheet.cell(number, index), value)
        self._stretch()
        return apart

    def _taken_in(self, rows: Sequence[Row], positions: Mapping[str, int]) -> dict[Any, int]:
        """New rows that a person added: those that show what stands in a row without an id."""
        fields = [
            positions[column.field] for column in self.layout.columns if column.shown and column.field in positions
        ]
        found: dict[Any, int] = {}
        waiting = dict(self.others)
        for row in rows if waiting and len(self.marks.schema.collections[self.layout.collection].fields) else ():
            for number, other in waiting.items():
                if len(other) == len(row):
                    told = [place for place in fields if other[place] is not None]
                    if told and all(other[place] == row[place] for place in told):
                        found[row[0]] = number
                        del waiting[number]
                        break
        return found

    def _appended(self) -> int:
        self.last += 1
        if self.last > MAX_ROWS:
            raise NotSupported("a sheet holds 1,048,575 rows; move to SQLite", collection=self.layout.collection)
        return self.last

    def _dress(self, number: int, model: int | None, headed: Sequence[int]) -> None:
        """Gives a new row the formats of another."""
        self.sheet.row_dimensions[number].hidden = False
        if model is not None:
            self.sheet.row_dimensions[number].height = self.sheet.row_dimensions[model].height
            for index in headed:
                self.sheet.cell(number, index)._style = copy(self.sheet.cell(model, index)._style)
            return
        for column in self.layout.columns:
            self.sheet.cell(number, self.at[column.field]).number_format = cell_format(column)["num_format"]

    def _stretch(self) -> None:
        """Filters and tables that ended with the last row end with it again."""
        areas = [
            self.sheet.auto_filter,
            *self.sheet.tables.values(),
            *(t.autoFilter for t in self.sheet.tables.values()),
        ]
        for area in areas:
            if area is None or not area.ref:
                continue
            found = re.fullmatch(r"(\$?[A-Z]+\$?)(\d+):(\$?[A-Z]+\$?)(\d+)", area.ref)
            if found and int(found[2]) == self.heading_row and int(found[4]) < self.last:
                area.ref = f"{found[1]}{found[2]}:{found[3]}{self.last}"

    def choose(self, view: SheetView | None, lists: dict[tuple[str, ...], int]) -> None:
        """Makes our drop-downs anew; others stay."""
        from openpyxl.worksheet.datavalidation import DataValidation  # type: ignore[import-untyped]

        validations = self.sheet.data_validations.dataValidation
        validations[:] = [one for one in validations if not str(one.formula1).lstrip("=").startswith(list_name(0)[:-1])]
        for column in self.layout.columns:
            if column.choices:
                field = view.fields.get(column.field) if view else None
                index = lists.setdefault(tuple(column.choices.values()), len(lists))
                made = DataValidation(
                    type="list",
                    formula1=list_name(index),
                    allow_blank=True,
                    showErrorMessage=bool(field and field.only_choices),
                )
                letter = letters(self.at[column.field] - 1)
                made.add(f"{letter}{self.heading_row + 1}:{letter}{MAX_ROWS}")
                self.sheet.add_data_validation(made)


def _put(cell: Any, value: Any) -> None:
    if isinstance(value, str):
        # A text whose letters have formats of their own keeps them.
        if type(cell.value) is str or cell.value is None or str(cell.value) != with_escapes(value):
            _put_text(cell, value)
    elif cell.value is not value:
        cell.value = value


def _put_text(cell: Any, text: str) -> None:
    cell.value = with_escapes(text)
    cell.data_type = "s"  # never a formula


def _own_sheet(book: Any, title: str) -> Any:
    sheet = book[title] if title in book.sheetnames else book.create_sheet(title)
    sheet.delete_rows(1, sheet.max_row)
    sheet.sheet_state = "veryHidden"
    return sheet


def _renew_guide(book: Any, presentation: Presentation) -> None:
    """Brings the lines of our guide up to date, above its table; one that a person took apart is theirs."""
    title = guide_title(presentation)
    if title not in book.sheetnames:
        return
    sheet, heads = book[title], guide_headings(presentation)
    found = range(1, sheet.max_row + 1)
    head = next((n for n in found if [sheet.cell(n, i).value for i in range(1, len(heads) + 1)] == heads), 0)
    if head < 2:
        return
    lines, there = presentation.guide, head - 2
    more = len(lines) - there
    if more:
        heights = {n: row.height for n, row in sheet.row_dimensions.items() if n >= head}
        if more > 0:
            sheet.insert_rows(there + 1, more)
        else:
            sheet.delete_rows(len(lines) + 1, -more)
        for number in heights:
            sheet.row_dimensions[number].height = None
        for number, height in heights.items():
            sheet.row_dimensions[number + more].height = height
    for number, line in enumerate(lines, 1):
        _put(sheet.cell(number, 1), line)


def _write_lists(book: Any, lists: Mapping[tuple[str, ...], int]) -> None:
    from openpyxl.workbook.defined_name import DefinedName  # type: ignore[import-untyped]

    sheet = _own_sheet(book, LISTS)
    for name in [name for name in book.defined_names if name.startswith(list_name(0)[:-1])]:
        del book.defined_names[name]
    for words, index in lists.items():
        book.defined_names[list_name(index)] = DefinedName(list_name(index), attr_text=list_cells(index, len(words)))
        for number, word in enumerate(words, 1):
            _put_text(sheet.cell(number, index + 1), word)


def _saved(book: Any) -> dict[str, bytes | str]:
    from openpyxl.packaging.custom import StringProperty  # type: ignore[import-untyped]

    if SEAL in book.custom_doc_props.names:
        del book.custom_doc_props[SEAL]
    book.custom_doc_props.append(StringProperty(name=SEAL, value=UNSEALED))
    saved = BytesIO()
    book.save(saved)
    parts: dict[str, bytes | str] = {**read_parts(saved)}
    properties = parts["docProps/core.xml"]
    assert isinstance(properties, bytes)
    # The same content always gives the same bytes.
    parts["docProps/core.xml"] = _MODIFIED.sub(_MOMENT, properties)
    return parts
