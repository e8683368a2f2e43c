"""Our rows put into a person's workbook, so that what they made of it stays: formats, columns, sheets of their own.

Nothing of theirs moves. A row keeps its place, so formulas and what stands beside it stay right; the place of a row that is gone
is cleared, and the next new row takes it. Of their file only the cells change that hold something else than the store does;
every other part, and all else in these sheets, stays byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Collection as Sized
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from itertools import count
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat
from xml.sax.saxutils import quoteattr
from zoneinfo import ZoneInfo

import attrs

from crmcore.errors import CRMError, NotSupported, StoreCorrupt
from crmcore.storage import Row
from crmcore.storage.presentation import Presentation, SheetView
from crmcore_excel.book import MAX_ROWS, free_name
from crmcore_excel.cells import Apart, apart_rows, cell_value, fits, letters, read_rows, stand_in, write_rows
from crmcore_excel.drawing import cell_format, guide_headings, guide_title, list_cells, list_name
from crmcore_excel.filling import filled_with_texts
from crmcore_excel.layout import LISTS, MARKS, TEXTS, Column, Marks, SheetLayout, write_marks
from crmcore_excel.opening import Cells, Opened
from crmcore_excel.parts import Parts, blank_sheet
from crmcore_excel.sheetxml import SheetXML, area, attributes, refused
from crmcore_excel.styles import Styles

_LIST_START = list_name(0)[:-1]
_OUR_LIST = re.compile(rb">\s*=?(?:'?crmcore lists'?!|" + _LIST_START.encode() + rb")")
#: What a person may have put on cells that hold rows.
_TIED_TO_CELLS = frozenset({"legacyDrawing", "drawing", "hyperlinks", "mergeCells"})
_TABLE_ROOT = re.compile(rb"<(?:[\w.-]+:)?(?:table|autoFilter)\s[^<>]*>")
_TABLE_COLUMN = re.compile(rb"""(<(?:[\w.-]+:)?tableColumn\s(?:[^<>]*?\s)?name\s*=\s*)(?:"[^"]*"|'[^']*')""")
_REFERENCE = re.compile(rb"""(\sref\s*=\s*["'])([^"']*)""")


def carry_over(
    opened: Opened, marks: Marks, presentation: Presentation | None, rows: Mapping[str, Sized[Row]]
) -> dict[str, bytes | str]:
    """The parts of the workbook with these rows in it; it was read together with the sheet of the guide.

    Raises :class:`NotSupported` naming in ``details["parts"]`` all that can't be kept, :class:`StoreCorrupt`.
    """
    try:
        return _carried_over(opened, marks, presentation, rows)
    except (expat.ExpatError, ElementTree.ParseError, ValueError, LookupError) as problem:
        if isinstance(problem, CRMError):
            raise
        raise StoreCorrupt(
            f"{opened.path} can't be read to its end", path=str(opened.path), part="workbook"
        ) from problem


def _carried_over(
    opened: Opened, marks: Marks, presentation: Presentation | None, rows: Mapping[str, Sized[Row]]
) -> dict[str, bytes | str]:
    parts = Parts.of(opened.path)
    if lost := parts.unkeepable():
        raise _refused(lost)
    styles = _styles(parts)
    before = {sheet.collection: sheet for sheet in opened.marks.sheets}
    part_of = parts.sheets()
    taken = {title.casefold() for title in part_of}
    apart: list[Apart] = []
    sheets: list[SheetLayout] = []
    carried: list[_Carried] = []
    formulas_gone = False
    for layout in marks.sheets:
        own = rows.get(layout.collection, ())
        old = before.get(layout.collection)
        if old is not None and _is_ours_alone(layout, opened):
            part = part_of[layout.title]
            sheet = SheetXML.of(parts.parts[part], layout.title)
            if _is_plain(sheet):
                parts.parts[part], its_apart = _refilled(sheet, layout, marks, own)
                apart += its_apart
                sheets.append(layout)
                continue
        if old is None:
            title = free_name(layout.title, taken)
            part_of[title] = parts.add_sheet(title, "visible" if layout.shown else "hidden")
            sheet = SheetXML.of(parts.parts[part_of[title]], title)
            one = _Carried.started(sheet, attrs.evolve(layout, title=title), marks, styles)
        else:
            sheet = SheetXML.of(parts.parts[part_of[old.title]], old.title)
            one = _Carried.found(sheet, attrs.evolve(layout, title=old.title), old, opened, marks, styles)
        if lost := one.in_the_way():
            raise _refused(lost)
        apart += one.put(own)
        if orphans := sheet.orphans():
            raise refused(sheet.name, [f"formulas shared with cells of the store, {', '.join(orphans)}"])
        formulas_gone |= sheet.formulas_gone
        _stretch(parts, part_of[one.layout.title], one)
        parts.drop_notes(part_of[one.layout.title], *one.notes_gone())
        carried.append(one)
        sheets.append(one.layout)
    if _choices(sheets) != _choices(opened.marks.sheets):
        _renew_lists(parts, part_of, carried, presentation)
    for one in carried:
        parts.parts[part_of[one.layout.title]] = one.sheet.to_bytes()
    if styles.part != parts.parts.get(_styles_part(parts)):
        parts.parts[_styles_part(parts)] = styles.part
    if presentation is not None:
        _renew_guide(parts, part_of, presentation, opened)
    marks = attrs.evolve(marks, sheets=tuple(sheets), carried=True)
    for title, told in ((TEXTS, apart_rows(apart)), (MARKS, write_marks(marks))):
        _write_own(parts, part_of, title, told)
    if formulas_gone:
        parts.drop_calculation_order()
    if parts.forget_results():
        parts.calculate_on_load()
    parts.unseal()
    return {**parts.parts}


def _refused(lost: Sequence[str]) -> NotSupported:
    return NotSupported(
        f"writing the workbook would lose what somebody made in it: {', '.join(lost)}; move it to a workbook of its own",
        parts=tuple(lost),
    )


def _styles_part(parts: Parts) -> str:
    return next((one.target for one in parts.relations(parts.workbook).values() if one.kind == "styles"), "")


def _styles(parts: Parts) -> Styles:
    part = parts.parts.get(_styles_part(parts))
    if part is None or part[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in part[:4]:
        raise _refused(["styles that can't be read"])
    return Styles(part)


def _is_ours_alone(layout: SheetLayout, opened: Opened) -> bool:
    """Whether a sheet out of sight is as we write it, so that nothing in it needs to be kept: most rows of a store are there."""
    if layout.shown or layout not in opened.marks.sheets:
        return False
    where = opened.found(layout)
    width = len(layout.columns)
    return where.first == 2 and where.at == tuple(range(width)) and all(len(row) == width for row in where.rows)


def _is_plain(sheet: SheetXML) -> bool:
    return not sheet.prefix and 1 in sheet.rows and not _TIED_TO_CELLS.intersection(name for name, _ in sheet.tail)


def _refilled(sheet: SheetXML, layout: SheetLayout, marks: Marks, rows: Sized[Row]) -> tuple[bytes, list[Apart]]:
    """A sheet with its headings, and these rows in place of all others."""
    width = len(layout.columns)
    styles = [sheet.column_style(index + 1) for index in range(width)]
    write, apart = write_rows(layout, marks.schema.collections[layout.collection], styles, ZoneInfo(marks.zone))
    ref = f"A1:{letters(width - 1)}{max(2, len(rows) + 1)}".encode()
    for content in sheet.parts_of_tail("autoFilter"):
        sheet.set_tail("autoFilter", _REFERENCE.sub(lambda found: found[1] + ref, content, count=1))
    sheet.rows = {1: sheet.rows[1], 2: "".join(write(rows)).encode()}
    sheet.drop_dimension()
    return sheet.to_bytes(), apart


@attrs.define(kw_only=True)
class _Carried:
    """A collection's sheet in the person's workbook: where its columns stand (from 1), and which rows hold which id."""

    sheet: SheetXML
    layout: SheetLayout
    marks: Marks
    styles: Styles
    at: dict[str, int]
    heading_row: int
    ids: dict[str, int]
    others: dict[int, Row]
    """Rows of no known id, by number, as they can be read."""
    last: int
    raw: Sequence[Sequence[Any]] = ()
    """The rows below the headings, as the parser gives them."""
    headed: Sequence[int] = ()
    """The columns with a heading: what stands in them belongs to the row."""
    renamed: Mapping[int, str | None] = attrs.field(factory=dict)
    """The headings that changed, by column."""
    gone: set[int] = attrs.field(factory=set)
    """The rows that were cleared."""

    @classmethod
    def started(cls, sheet: SheetXML, layout: SheetLayout, marks: Marks, styles: Styles) -> _Carried:
        """A sheet of its own for a collection that the workbook doesn't have yet."""
        made = cls(
            sheet=sheet, layout=layout, marks=marks, styles=styles, at={}, heading_row=1, ids={}, others={}, last=1
        )
        made._head({}, ())
        return made

    @classmethod
    def found(
        cls, sheet: SheetXML, layout: SheetLayout, old: SheetLayout, opened: Opened, marks: Marks, styles: Styles
    ) -> _Carried:
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
        if missing := [number for number in (*ids.values(), *others) if number not in sheet.rows]:
            raise StoreCorrupt(
                f"the sheet {old.title} can't be read to its end", part=old.title, rows=tuple(missing[:10])
            )
        made = cls(
            sheet=sheet,
            layout=layout,
            marks=marks,
            styles=styles,
            at={column.field: index + 1 for column, index in zip(old.columns, where.at, strict=True)},
            heading_row=where.first - 1,
            ids=ids,
            others=others,
            last=where.first - 1,
            raw=where.rows,
        )
        made._head(
            {column.field: column for column in old.columns}, _heading(opened.sheets[old.title], where.first - 1)
        )
        end = max(where.first + len(where.rows) - 1, *sheet.rows)
        made.last = next((n for n in range(end, where.first - 1, -1) if not made._blank(n)), made.last)
        return made

    def _head(self, old: Mapping[str, Column], headings: Sequence[Any]) -> None:
        """Brings headings up to date: new columns go behind everything else."""
        told = {index: str(value).strip() for index, value in enumerate(headings, 1) if value not in (None, "")}
        there = set(told.values())
        changes: dict[int, str | None] = {}
        columns = []
        for column in self.layout.columns:
            known = old.get(column.field)
            heading = column.heading
            if known is None or known.heading != heading:
                while heading in there:
                    heading = f"{heading} ({column.field})"
            if known is None:
                self.at[column.field] = self._behind_all(headings)
            index = self.at[column.field]
            if known is None or known.heading != heading:
                changes[index] = told[index] = heading
                there.add(heading)
            if (known is None and not column.shown) or (known is not None and known.shown != column.shown):
                self.sheet.hide(index, hidden=not column.shown)
            columns.append(attrs.evolve(column, heading=heading))
        for field in old.keys() - {column.field for column in columns}:
            index = self.at.pop(field)
            told.pop(index, None)
            for number in [n for n in self.sheet.rows if n > self.heading_row]:
                self.sheet.change(number, {index: None})
            changes[index] = None
        self.renamed = changes
        if changes:
            self.sheet.change(self.heading_row, changes)
        self.layout = attrs.evolve(self.layout, columns=tuple(columns))
        self.headed = sorted(told)

    def _behind_all(self, headings: Sequence[Any]) -> int:
        widest = self.sheet.widest() if self.heading_row in self.sheet.rows else 0
        return max(widest, len(headings), *map(len, self.raw), *self.at.values(), 0) + 1

    def _blank(self, number: int) -> bool:
        index = number - self.heading_row - 1
        if 0 <= index < len(self.raw):
            row = self.raw[index]
            if any(row[column - 1] not in (None, "") for column in self.headed if column <= len(row)):
                return False
        xml = self.sheet.rows.get(number)
        if xml is None or not (self.sheet.has_formulas(xml) or b'"e"' in xml or b"'e'" in xml):
            return True
        return not any(cell.filled for cell in self.sheet.cells(xml) if cell.column in self.headed)

    def in_the_way(self) -> list[str]:
        """What lies over our cells so that they can't change alone: merged cells and formulas that fill several."""
        ours = set(self.at.values())
        found = []
        for what, refs in (("merged cells", self.sheet.merged()), ("formula over", self.sheet.formula_areas())):
            for ref in refs:
                place = area(ref)
                if place is None or place[3] < self.heading_row or place[1] > self.last:
                    continue
                columns = set(range(place[0], place[2] + 1))
                if ours.isdisjoint(columns) or (what == "formula over" and columns <= ours):
                    continue
                found.append(f"{what} {ref} in {self.layout.title}")
        return found

    def put(self, rows: Iterable[Row]) -> list[Apart]:
        """Writes the rows, each where it stood; what is gone is cleared. Gives the texts that are kept apart."""
        zone = ZoneInfo(self.marks.zone)
        collection = self.marks.schema.collections[self.layout.collection]
        rows = list(rows)
        now = {row[0] for row in rows}
        places = {id: number for id, number in self.ids.items() if id in now}
        places.update(self._taken_in([row for row in rows if row[0] not in places], collection.positions))
        used = set(places.values())
        self.gone = {*self.ids.values(), *self.others} - used
        blank = (number for number in range(self.heading_row + 1, self.last + 1) if number not in used)
        free = [number for number in blank if number in self.gone or self._blank(number)]
        free.reverse()
        there = self._read(collection, zone)
        ours = {self.at[column.field]: (column, collection.position(column.field)) for column in self.layout.columns}
        exact = any(field.type == "decimal" for field in collection.fields)
        shape = partial(self._shape, {index: column for index, (column, _) in ours.items()})
        apart: list[Apart] = []
        changes: dict[int, dict[int, Any]] = {}
        for number in self.gone:
            others = self.sheet.shared_columns(number) - ours.keys()  # a formula that other rows share stays
            changes[number] = dict.fromkeys(index for index in self.headed if index not in others)
        fresh: set[int] = set()
        for row in rows:
            id = str(row[0])
            number = places.get(id, 0)
            before: Row | None = None
            formulas: set[int] = set()
            if number:
                before = there[number - self.heading_row - 1]
                xml = self.sheet.rows[number]
                if b"f" in xml:
                    formulas = self.sheet.formula_columns(xml) & ours.keys()
                if before == row and not formulas and not exact:
                    continue
            else:
                number = free.pop() if free else self._appended()
                fresh.add(number)
            cells = changes.setdefault(number, {})
            for index, (column, place) in ours.items():
                value = row[place]
                if before is not None and index not in formulas and _same(before[place], value):
                    continue
                shown = cell_value(column, value, zone)
                if isinstance(shown, str) and not fits(shown):
                    if place == 0:
                        raise NotSupported(
                            "an id that no cell can hold is not kept in a workbook", collection=collection.name
                        )
                    apart.append(Apart(collection.name, column.field, id, shown))
                    shown = stand_in(shown)
                    if before is not None and index not in formulas and _same(before[place], shown):
                        continue
                cells[index] = shown
        for number in sorted(changes):
            if changes[number]:
                above = number - 1 if number in fresh and number - 1 > self.heading_row else None
                self.sheet.change(number, changes[number], above, shape)
                if number in fresh:
                    self.sheet.unhide(number)
        self.sheet.stretch_dimension()
        return apart

    def _read(self, collection: Any, zone: ZoneInfo) -> list[Row]:
        """What the rows hold when they are read as we are about to write them."""
        width = max(map(len, self.raw), default=0)
        old = self.at.values()
        raw = self.raw
        if max(old, default=0) > width or any(len(row) < max(old, default=0) for row in raw):
            width = max(old, default=0)
            raw = [(*row, *(None,) * (width - len(row))) for row in raw]
        at = [self.at[column.field] - 1 for column in self.layout.columns]
        return read_rows(self.layout, collection, at, zone).read(raw)

    def _shape(self, columns: Mapping[int, Column], index: int, style: int, value: Any) -> int:
        """The style for a value: its cell's own, unless that would have it read as something else."""
        column = columns.get(index)
        if column is None or isinstance(value, (str, bool)) or value is None:
            return style
        kind = self.styles.kind(style)
        wrong = kind == "duration" or (kind == "date" and column.type == "integer")
        plain = style == 0 and column.type in ("date", "instant")
        return self.styles.with_format(style, cell_format(column)["num_format"]) if wrong or plain else style

    def _taken_in(self, rows: Sequence[Row], positions: Mapping[str, int]) -> dict[Any, int]:
        """New rows that a person added: those that show what stands in a row without an id."""
        fields = [
            positions[column.field] for column in self.layout.columns if column.shown and column.field in positions
        ]
        length = len(self.marks.schema.collections[self.layout.collection].fields)
        waiting: dict[tuple[int, ...], dict[tuple[Any, ...], list[int]]] = {}
        for number, other in sorted(self.others.items(), reverse=True):
            if len(other) == length and (told := tuple(place for place in fields if other[place] is not None)):
                waiting.setdefault(told, {}).setdefault(tuple(other[place] for place in told), []).append(number)
        found: dict[Any, int] = {}
        for row in rows if waiting else ():
            fitting = [
                numbers
                for told, known in waiting.items()
                if (numbers := known.get(tuple(row[place] for place in told)))
            ]
            if fitting:
                found[row[0]] = min(fitting, key=lambda numbers: numbers[-1]).pop()
        return found

    def _appended(self) -> int:
        self.last += 1
        if self.last > MAX_ROWS:
            raise NotSupported("a sheet holds 1,048,575 rows; move to SQLite", collection=self.layout.collection)
        return self.last

    def notes_gone(self) -> tuple[set[tuple[int, int]], set[str]]:
        """The cells of rows that are gone, which lose their notes and links."""
        places = {(index, number) for number in self.gone for index in self.headed}
        names = {f"{letters(index - 1)}{number}" for index, number in places}
        if names:
            self.sheet.drop_links(names)
        return places, names

    def stretched(self, ref: str) -> str | None:
        """The area of a filter or table that ended with the last row, as it ends with it now."""
        place = area(ref)
        if place is None or place[1] != self.heading_row or place[3] >= self.last:
            return None
        return f"{ref.rstrip('0123456789')}{self.last}"

    def drop_downs(self, view: SheetView | None, lists: dict[tuple[str, ...], int]) -> None:
        """Makes our drop-downs anew; others stay."""
        made = []
        for column in self.layout.columns:
            if column.choices:
                field = view.fields.get(column.field) if view else None
                index = lists.setdefault(tuple(column.choices.values()), len(lists))
                letter = letters(self.at[column.field] - 1)
                where = f"{letter}{self.heading_row + 1}:{letter}{MAX_ROWS}"
                made.append((where, list_name(index), bool(field and field.only_choices)))
        self.sheet.set_drop_downs(_OUR_LIST, made)


def _same(one: Any, other: Any) -> bool:
    return one == other and (not isinstance(one, Decimal) or str(one) == str(other))


def _heading(cells: Cells, number: int) -> Sequence[Any]:
    return cells.rows[number - cells.first]


def _choices(sheets: Iterable[SheetLayout]) -> dict[str, dict[str, tuple[str, ...]]]:
    """The words of the drop-downs, by collection and field."""
    return {
        sheet.collection: {column.field: tuple(column.choices.values()) for column in sheet.columns if column.choices}
        for sheet in sheets
    }


def _stretch(parts: Parts, part: str, carried: _Carried) -> None:
    """Filters and tables that ended with the last row end with it again."""

    def longer(found: re.Match[bytes]) -> bytes:
        ref = carried.stretched(found[2].decode())
        return found[0] if ref is None else found[1] + ref.encode()

    sheet = carried.sheet
    for content in sheet.parts_of_tail("autoFilter"):
        tag, close, rest = content.partition(b">")
        sheet.set_tail("autoFilter", _REFERENCE.sub(longer, tag, count=1) + close + rest)
    for one in parts.relations(part).values():
        table = parts.parts.get(one.target) if one.kind == "table" else None
        if table is None or re.search(rb"""\stotalsRowCount\s*=\s*["'][1-9]""", table):
            continue
        made = _with_headings(table, carried)
        made = _TABLE_ROOT.sub(lambda found: _REFERENCE.sub(longer, found[0], count=1), made)
        if made != table:
            parts.parts[one.target] = made


def _with_headings(table: bytes, carried: _Carried) -> bytes:
    """A table whose columns are called as the cells over them are, which programs insist on."""
    root = _TABLE_ROOT.search(table)
    place = area(attributes(root[0]).get("ref", "")) if root else None
    if place is None or place[1] != carried.heading_row or not carried.renamed:
        return table
    column = count(place[0])

    def named(found: re.Match[bytes]) -> bytes:
        heading = carried.renamed.get(next(column))
        return found[0] if not heading else found[1] + quoteattr(heading, {"\n": "_x000a_"}).encode()

    return _TABLE_COLUMN.sub(named, table)


def _write_own(parts: Parts, part_of: dict[str, str], title: str, rows: Iterable[Sequence[str]]) -> None:
    """Writes a sheet of ours that nobody sees."""
    if title not in part_of:
        part_of[title] = parts.add_sheet(title, "veryHidden")
    parts.parts[part_of[title]] = filled_with_texts(blank_sheet(parts.space()), rows).encode()


def _renew_lists(
    parts: Parts, part_of: dict[str, str], carried: Iterable[_Carried], presentation: Presentation | None
) -> None:
    """Writes the words of the drop-downs anew, and the drop-downs that refer to them."""
    lists: dict[tuple[str, ...], int] = {}
    for one in carried:
        one.drop_downs(presentation.sheets.get(one.layout.collection) if presentation else None, lists)
    longest = max(map(len, lists), default=0)
    rows = [[words[number] if number < len(words) else "" for words in lists] for number in range(longest)]
    _write_own(parts, part_of, LISTS, rows)
    parts.name_areas(_LIST_START, {list_name(index): list_cells(index, len(words)) for words, index in lists.items()})


def _renew_guide(parts: Parts, part_of: Mapping[str, str], presentation: Presentation, opened: Opened) -> None:
    """Brings the lines of our guide up to date, above its table; one that a person took apart is theirs."""
    title = guide_title(presentation)
    there, heads = opened.sheets.get(title), guide_headings(presentation)
    if there is None or title not in part_of:
        return
    rows = [[None if value == "" else value for value in row] for row in there.rows]
    head = next((number for number, row in enumerate(rows, there.first) if row[: len(heads)] == heads), 0)
    if head < 2:
        return
    told = {number: row[0] for number, row in enumerate(rows, there.first) if number < head - 1 and row}
    lines = presentation.guide
    if [told.get(number) for number in range(1, head - 1)] == list(lines):
        return
    sheet = SheetXML.of(parts.parts[part_of[title]], title)
    sheet.shift(head - 1, len(lines) - (head - 2))
    for number, line in enumerate(lines, 1):
        if told.get(number) != line or number not in sheet.rows:
            sheet.change(number, {1: line}, number - 1 if number > 1 else None)
    parts.parts[part_of[title]] = sheet.to_bytes()
