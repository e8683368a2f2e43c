"""A worksheet's XML taken apart into its rows, to change a few cells of it: all else stays byte for byte."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import pairwise
from typing import Any
from xml.parsers import expat

import attrs

from crmcore.errors import NotSupported
from crmcore_excel.cells import escaped, letters

_CHUNK = 2**16
_ENCODINGS = {None, "utf-8", "utf8", "us-ascii", "ascii"}
_ATTRIBUTES = rb"""((?:[^<>"']++|"[^"]*+"|'[^']*+')*+)>"""
_ATTRIBUTE = re.compile(rb"""([\w:.-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_PLACE = re.compile(rb"""\sr\s*=\s*["']([A-Za-z]{1,3})[0-9]""")
_ROW_NUMBER = re.compile(rb"""\sr\s*=\s*(?:"[^"]*"|'[^']*')""")
_STYLE = re.compile(rb"""\ss\s*=\s*(?:"[^"]*"|'[^']*')""")
_CELL_ROW = re.compile(rb"""(<(?:[\w.-]+:)?c\s(?:[^<>]*?\s)?r\s*=\s*["'][A-Za-z]{1,3})[0-9]+""")
_AREA = re.compile(r"\$?([A-Za-z]{1,3})\$?([0-9]+)(?::\$?([A-Za-z]{1,3})\$?([0-9]+))?")
# What may stand between elements, and what looks like elements there.
_ASIDE = re.compile(rb"<!--.*?-->|<\?.*?\?>|<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
#: What follows the drop-downs in a sheet.
_AFTER_DROP_DOWNS = frozenset(
    {
        *("hyperlinks", "printOptions", "pageMargins", "pageSetup", "headerFooter", "rowBreaks", "colBreaks"),
        *("customProperties", "cellWatches", "ignoredErrors", "smartTags", "drawing", "legacyDrawing", "drawingHF"),
        *("legacyDrawingHF", "picture", "oleObjects", "controls", "webPublishItems", "tableParts", "extLst"),
        "AlternateContent",
    }
)


class _Enough(Exception):
    """The parser has seen what it was to see."""


def attributes(tag: bytes) -> dict[str, str]:
    """The attributes of a tag as they are written, with their prefixes."""
    return {name.decode(): (one or other).decode() for name, one, other in _ATTRIBUTE.findall(tag)}


def _written(told: Mapping[str, str]) -> str:
    return "".join(f' {name}="{value.replace(chr(34), "&quot;")}"' for name, value in told.items())


def area(ref: str) -> tuple[int, int, int, int] | None:
    """First column, first row, last column and last row of a range, counted from 1."""
    found = _AREA.fullmatch(ref)
    if found is None:
        return None
    left, top = column_number(found[1]), int(found[2])
    return left, top, column_number(found[3] or found[1]), int(found[4] or found[2])


def column_number(name: str) -> int:
    """The number of a column by its letters, counted from 1."""
    number = 0
    for letter in name.upper():
        number = number * 26 + ord(letter) - 64
    return number


@attrs.frozen
class CellXML:
    """A cell of a row's XML and where it stands there; ``column`` counts from 1."""

    column: int
    start: int
    end: int
    tag: bytes
    content: bytes

    @property
    def style(self) -> int:
        return int(attributes(self.tag).get("s", 0))

    @property
    def filled(self) -> bool:
        return bool(self.content.strip())


@attrs.define
class SheetXML:
    """A sheet's XML. ``head`` is all before the rows, ``tail`` what follows them, ``rows`` go by their numbers.

    ``formulas_gone`` says that a formula was replaced, so that the order of calculation is another.
    """

    name: str
    prefix: bytes
    head: bytes
    rows: dict[int, bytes]
    tail: list[tuple[str, bytes]]
    formulas_gone: bool = False
    _masters: set[str] = attrs.field(factory=set)
    _styles: list[tuple[int, int, int]] | None = None
    _row: re.Pattern[bytes] = attrs.field(init=False)
    _cell: re.Pattern[bytes] = attrs.field(init=False)
    _formula: re.Pattern[bytes] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._row, self._cell, self._formula = (_start_tag(self.prefix, name) for name in (b"row", b"c", b"f"))

    @classmethod
    def of(cls, part: bytes, name: str) -> SheetXML:
        """Takes the XML of a sheet apart that was checked before. Raises :class:`NotSupported` naming what it can't change."""
        start, tag = _find_data(part, name)
        prefix = tag[: -len(b"sheetData")]
        opened = _start_tag(prefix, b"sheetData").match(part, start)
        if opened is None:
            raise refused(name, ["rows that can't be told apart"])
        if opened[1].endswith(b"/"):
            head = part[:start] + b"<" + prefix + b"sheetData" + opened[1][:-1].rstrip() + b">"
            region, tail = b"", b"</" + prefix + b"sheetData>" + part[opened.end() :]
        else:
            close = b"</" + prefix + b"sheetData"
            rest = part[opened.end() :]
            if b"<!" in rest or b"<?" in rest:
                rest = _ASIDE.sub(_plain, rest)
            at = rest.index(close)
            head, region, tail = part[: opened.end()], rest[:at], rest[at:]
        if b"AlternateContent" in region:
            raise refused(name, ["alternate content among the rows"])
        rows: dict[int, bytes] = {}
        found = list(_rows(region, prefix))
        tag = b"<" + prefix + b"row"
        for (number, begin, told), (_, end, _) in pairwise((*found, (0, len(region), True))):
            if number in rows:
                raise refused(name, [f"row {number}, which stands there twice,"])
            row = region[begin:end]
            rows[number] = row if told else tag + f' r="{number}"'.encode() + row[len(tag) :]
        before = region[: found[0][1]] if found else region
        return cls(name, prefix, head + before, rows, _children(tail, prefix))

    def to_bytes(self) -> bytes:
        """The XML put together again."""
        return b"".join((self.head, *(self.rows[number] for number in sorted(self.rows)), *(b for _, b in self.tail)))

    def cells(self, row: bytes) -> list[CellXML]:
        """The cells of a row; those that don't say where they stand are counted."""
        found: list[CellXML] = []
        close, column, at = b"</" + self.prefix + b"c", 0, 0
        while match := self._cell.search(row, at):
            tag = match[1]
            place = _PLACE.search(tag)
            column = column_number(place[1].decode()) if place else column + 1
            if tag.endswith(b"/"):
                at, content = match.end(), b""
            else:
                end = row.index(close, match.end())
                content, at = row[match.end() : end], row.index(b">", end) + 1
            found.append(CellXML(column, match.start(), at, tag, content))
        return found

    def has_formulas(self, row: bytes) -> bool:
        """Whether there is a formula in a row."""
        return self._formula.search(row) is not None

    def formula_columns(self, row: bytes) -> set[int]:
        """The columns of a row that hold formulas."""
        if not self.has_formulas(row):
            return set()
        return {cell.column for cell in self.cells(row) if self._formula.search(cell.content)}

    def shared_columns(self, number: int) -> set[int]:
        """The columns of a row whose formula counts for other cells too."""
        row = self.rows.get(number, b"")
        if b"ref=" not in row or not self.has_formulas(row):
            return set()
        return {
            cell.column
            for cell in self.cells(row)
            for tag in self._formula.findall(cell.content)
            if ":" in attributes(tag).get("ref", "")
        }

    def formula_areas(self) -> list[str]:
        """The areas of formulas that fill more cells than their own."""
        return [
            told["ref"]
            for row in self.rows.values()
            if b"ref=" in row
            for tag in self._formula.findall(row)
            if "ref" in (told := attributes(tag)) and told.get("t") in ("array", "dataTable")
        ]

    def widest(self) -> int:
        """The last column with a cell."""
        return max((cell.column for row in self.rows.values() for cell in self.cells(row)), default=0)

    def change(self, number: int, values: Mapping[int, Any], above: int | None = None, styles: Any = None) -> None:
        """Puts values into the cells of a row, by column; None leaves a cell blank. A cell keeps its style; a new one takes that
        of the cell in the row ``above``, else of its row, else of its column. ``styles`` is called with column and style."""
        row = self.rows.get(number)
        model = self.rows.get(above) if above is not None else None
        if row is None:
            if all(value is None for value in values.values()):
                return
            row = self._started(number, model)
        tag_end, closed = self._tag(row)
        told = attributes(row[:tag_end])
        looks = {cell.column: cell.style for cell in self.cells(model)} if model is not None else {}
        own = int(told.get("s", 0)) if told.get("customFormat") in ("1", "true") else 0
        cells = [] if closed else self.cells(row)
        left = dict(values)
        made: list[bytes] = []
        at = tag_end

        def put(column: int, value: Any, style: int) -> None:
            made.append(self._cell_xml(column, number, value, styles(column, style, value) if styles else style))

        waiting = sorted(set(left) - {cell.column for cell in cells})
        waiting.reverse()
        for cell in cells:
            made.append(row[at : cell.start])
            while waiting and waiting[-1] < cell.column:
                column = waiting.pop()
                if left[column] is not None:
                    put(column, left[column], looks.get(column) or own or self.column_style(column))
            if cell.column in left:
                self._note_formula(cell)
                put(cell.column, left[cell.column], cell.style)
            elif _PLACE.search(cell.tag):
                made.append(row[cell.start : cell.end])
            else:
                start = cell.start + 1 + len(self.prefix) + 1
                place = f' r="{letters(cell.column - 1)}{number}"'.encode()
                made.append(row[cell.start : start] + place + row[start : cell.end])
            at = cell.end
        for column in reversed(waiting):
            if left[column] is not None:
                put(column, left[column], looks.get(column) or own or self.column_style(column))
        tag = row[:tag_end]
        if "spans" in told:
            tag = re.sub(rb"""\sspans\s*=\s*(?:"[^"]*"|'[^']*')""", b"", tag, count=1)
        if closed:
            tag = tag.rstrip(b"/> \t\r\n") + b">"
            made += (b"</" + self.prefix + b"row>", row[tag_end:])
        else:
            made.append(row[at:])
        self.rows[number] = tag + b"".join(made)

    def restyle(self, number: int, style: Callable[[int, int], int], blank: Collection[int] = ()) -> None:
        """Gives the cells of a row other styles, called for with column and style. ``blank`` are columns that get a cell where
        there is none."""
        row = self.rows[number]
        cells = self.cells(row)
        end, closed = self._tag(row)
        waiting = sorted(set(blank) - {cell.column for cell in cells}, reverse=True)
        made: list[bytes] = []

        def put(column: int) -> None:
            made.append(self._cell_xml(column, number, None, style(column, self.column_style(column))))

        at = end
        for cell in cells:
            made.append(row[at : cell.start])
            while waiting and waiting[-1] < cell.column:
                put(waiting.pop())
            new, at = style(cell.column, cell.style), cell.end
            if new == cell.style:
                made.append(row[cell.start : cell.end])
                continue
            start = cell.start + 1 + len(self.prefix) + 1
            rest = row[start : cell.end]
            tag = _STYLE.sub(b"", rest[: len(cell.tag)], count=1) + rest[len(cell.tag) :]
            made.append(row[cell.start : start] + f' s="{new}"'.encode() + tag)
        if closed:
            self.rows[number] = row
            return
        if waiting:
            while waiting:
                put(waiting.pop())
        self.rows[number] = row[:end] + b"".join(made) + row[at:]

    def hide_row(self, number: int) -> None:
        """Hides a row; its cells stay."""
        self.unhide(number)
        row = self.rows[number]
        start = len(self.prefix) + len(b"<row")
        self.rows[number] = row[:start] + b' hidden="1"' + row[start:]

    def wide_enough(self, column: int) -> bool:
        """Whether somebody has given the column a width."""
        return any(int(told["min"]) <= column <= int(told["max"]) and "width" in told for told in self._columns())

    def shift(self, first: int, by: int) -> None:
        """Moves the rows from the first one on down, or up over those above."""
        moved = {number: row for number, row in self.rows.items() if number >= first}
        kept = {number: row for number, row in self.rows.items() if number < min(first, first + by)}
        for number, row in moved.items():
            end, _ = self._tag(row)
            tag = _ROW_NUMBER.sub(b"", row[:end])
            start = len(self.prefix) + len(b"<row")
            cells = _CELL_ROW.sub(lambda found, to=number + by: found[1] + str(to).encode(), row[end:])  # type: ignore[misc]
            kept[number + by] = tag[:start] + f' r="{number + by}"'.encode() + tag[start:] + cells
        self.rows = kept

    def drop_dimension(self) -> None:
        """Takes away what the sheet says of its extent."""
        self.head = re.sub(
            b"<" + re.escape(self.prefix) + rb"dimension\s[^<>]*>(?:(?<=/>)|</[^<>]*>)", b"", self.head, count=1
        )

    def unhide(self, number: int) -> None:
        """Shows a row that was hidden."""
        if (row := self.rows.get(number)) is not None:
            end, _ = self._tag(row)
            self.rows[number] = re.sub(rb"""\shidden\s*=\s*(?:"[^"]*"|'[^']*')""", b"", row[:end]) + row[end:]

    def _tag(self, row: bytes) -> tuple[int, bool]:
        found = self._row.match(row)
        assert found is not None
        return found.end(), found[1].endswith(b"/")

    def _started(self, number: int, model: bytes | None) -> bytes:
        look = attributes(model[: self._tag(model)[0]]) if model is not None else {}
        kept = {name: value for name, value in look.items() if name in ("s", "customFormat", "ht", "customHeight")}
        name = self.prefix.decode()
        return f'<{name}row r="{number}"{_written(kept)}></{name}row>'.encode()

    def _note_formula(self, cell: CellXML) -> None:
        for tag in self._formula.findall(cell.content):
            self.formulas_gone = True
            told = attributes(tag)
            if told.get("t") == "shared" and "ref" in told:
                self._masters.add(told.get("si", ""))

    def orphans(self) -> list[str]:
        """The cells whose formula was told in a cell that holds a value now."""
        if not self._masters:
            return []
        return [
            f"{letters(cell.column - 1)}{number}"
            for number, row in self.rows.items()
            if self.has_formulas(row)
            for cell in self.cells(row)
            for tag in self._formula.findall(cell.content)
            if (told := attributes(tag)).get("t") == "shared" and told.get("si") in self._masters and "ref" not in told
        ]

    def _cell_xml(self, column: int, number: int, value: Any, style: int) -> bytes:
        name = self.prefix.decode()
        look = f' s="{style}"' if style else ""
        start = f'<{name}c r="{letters(column - 1)}{number}"{look}'
        if value is None:
            return f"{start}/>".encode() if style else b""
        if isinstance(value, str):
            text = f'<{name}is><{name}t xml:space="preserve">{escaped(value)}</{name}t></{name}is>'
            return f'{start} t="inlineStr">{text}</{name}c>'.encode()
        if isinstance(value, bool):
            return f'{start} t="b"><{name}v>{value:d}</{name}v></{name}c>'.encode()
        return f"{start}><{name}v>{value}</{name}v></{name}c>".encode()

    # Columns: their styles, and whether they are seen.

    def _columns(self) -> list[dict[str, str]]:
        return [attributes(tag) for tag in _start_tag(self.prefix, b"col").findall(self.head)]

    def column_style(self, column: int) -> int:
        """The style of a column's cells."""
        if self._styles is None:
            self._styles = [(int(told["min"]), int(told["max"]), int(told.get("style", 0))) for told in self._columns()]
        return next((style for low, high, style in self._styles if low <= column <= high), 0)

    def hide(self, column: int, hidden: bool, width: int = 12) -> None:
        """Hides a column, or shows it; ``width`` is for one that has none."""
        columns: list[dict[str, str]] = []
        own: dict[str, str] = {"width": str(width), "customWidth": "1"}
        for told in self._columns():
            low, high = int(told["min"]), int(told["max"])
            if not low <= column <= high:
                columns.append(told)
                continue
            own = dict(told)
            if low < column:
                columns.append({**told, "max": str(column - 1)})
            if column < high:
                columns.append({**told, "min": str(column + 1)})
        own.update({"min": str(column), "max": str(column), "hidden": "1" if hidden else "0"})
        columns.append(own)
        self._styles = None
        columns.sort(key=lambda told: int(told["min"]))
        name = self.prefix.decode()
        told_all = "".join(f"<{name}col{_written(told)}/>" for told in columns)
        made = f"<{name}cols>{told_all}</{name}cols>".encode()
        quoted = re.escape(self.prefix)
        there = re.compile(b"<" + quoted + rb"cols(?=[\s/>]).*?(?:</" + quoted + b"cols>)", re.DOTALL)
        self.head, count = there.subn(lambda _: made, self.head, count=1)
        if not count:
            at = self.head.rindex(b"<" + self.prefix + b"sheetData")
            self.head = self.head[:at] + made + self.head[at:]

    def stretch_dimension(self) -> None:
        """Brings what the sheet says of its extent up to date."""
        pattern = re.compile(b"(<" + re.escape(self.prefix) + rb"""dimension\s+ref=)["']([^"']*)["']""")
        found = pattern.search(self.head)
        there = area(found[2].decode()) if found else None
        if found is None or there is None or not self.rows:
            return
        left, top, right, bottom = there
        numbers = [number for number, row in self.rows.items() if self._cell.search(row)]
        if not numbers or (top <= min(numbers) and bottom >= max(numbers)):
            return
        new = f'"{letters(left - 1)}{min(top, *numbers)}:{letters(right - 1)}{max(bottom, *numbers)}"'.encode()
        self.head = self.head[: found.start()] + found[1] + new + self.head[found.end() :]

    # What follows the rows.

    def parts_of_tail(self, name: str) -> list[bytes]:
        """The elements of that name that follow the rows."""
        return [content for found, content in self.tail if found == name]

    def set_tail(self, name: str, content: bytes) -> None:
        """Replaces the first element of that name; an empty one takes it away."""
        for index, (found, _) in enumerate(self.tail):
            if found == name:
                self.tail[index] = (name, content)
                return

    def merged(self) -> list[str]:
        """The areas of merged cells."""
        tags = re.compile(b"<" + re.escape(self.prefix) + rb"mergeCell(?=\s)" + _ATTRIBUTES)
        return [
            attributes(tag).get("ref", "")
            for content in self.parts_of_tail("mergeCells")
            for tag in tags.findall(content)
        ]

    def drop_links(self, places: Collection[str]) -> None:
        """Takes the hyperlinks away that lie on those cells alone."""
        quoted = re.escape(self.prefix)
        link = re.compile(
            b"<" + quoted + rb"hyperlink(?=[\s/>])" + _ATTRIBUTES + b"(?:(?<=/>)|</" + quoted + b"hyperlink>)"
        )
        for content in self.parts_of_tail("hyperlinks"):
            left = link.sub(lambda found: b"" if attributes(found[1]).get("ref") in places else found[0], content)
            if left != content:
                self.set_tail("hyperlinks", left if link.search(left) else b"")

    def set_drop_downs(self, is_ours: re.Pattern[bytes], ours: Collection[tuple[str, str, bool]]) -> None:
        """Makes our drop-downs anew, (area, name of the list, whether nothing else may stand there); others stay."""
        quoted, name = re.escape(self.prefix), self.prefix.decode()
        one = re.compile(
            b"<" + quoted + rb"dataValidation(?=[\s/>]).*?(?:</" + quoted + b"dataValidation>|/>)", re.DOTALL
        )
        others = [
            found
            for content in self.parts_of_tail("dataValidations")
            for found in one.findall(content)
            if not is_ours.search(found)
        ]
        made = [
            f'<{name}dataValidation type="list" allowBlank="1" showErrorMessage="{strict:d}" sqref="{where}">'
            f"<{name}formula1>{source}</{name}formula1></{name}dataValidation>".encode()
            for where, source, strict in ours
        ]
        count = len(others) + len(made)
        whole = b"".join(
            (
                f'<{name}dataValidations count="{count}">'.encode(),
                *others,
                *made,
                f"</{name}dataValidations>".encode(),
            )
        )
        self.tail = [(found, content) for found, content in self.tail if found != "dataValidations"]
        if count:
            at = next(
                (index for index, (found, _) in enumerate(self.tail) if found in _AFTER_DROP_DOWNS), len(self.tail) - 1
            )
            self.tail.insert(at, ("dataValidations", whole))
        newer = re.compile(rb"<(x14:dataValidation)(?=[\s/>]).*?</\1>", re.DOTALL)
        for content in self.parts_of_tail("extLst"):
            left = newer.sub(lambda found: b"" if is_ours.search(found[0]) else found[0], content)
            if left != content:
                left = re.sub(
                    rb"<((?:\w+:)?ext)(?=\s)[^<>]*>\s*<x14:dataValidations[^<>]*>\s*</x14:dataValidations>\s*</\1>",
                    b"",
                    left,
                )
                self.set_tail("extLst", left if re.search(rb"<(?:\w+:)?ext\s", left) else b"")


def refused(name: str, lost: Collection[str]) -> NotSupported:
    """The error for what can't be kept in a sheet, or can't be told apart."""
    told = tuple(f"{what} in {name}" for what in lost)
    return NotSupported(
        f"writing the workbook would lose what somebody made in it: {', '.join(told)}; move it to a workbook of its own",
        parts=told,
    )


def _find_data(part: bytes, name: str) -> tuple[int, bytes]:
    """Where the rows begin, and the name of the element that holds them, as it is written."""
    parser = expat.ParserCreate()
    found: list[tuple[int, bytes]] = []

    def start(tag: str, _: object) -> None:
        if tag.rpartition(":")[2] == "sheetData":
            found.append((parser.CurrentByteIndex, tag.encode()))
            raise _Enough

    def declared(version: str, encoding: str | None, standalone: int) -> None:
        if (encoding and encoding.lower()) not in _ENCODINGS:
            raise refused(name, [f"text in {encoding}"])

    if part[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in part[:4]:
        raise refused(name, ["text in UTF-16"])
    parser.StartElementHandler, parser.XmlDeclHandler = start, declared
    try:
        for at in range(0, len(part), _CHUNK):
            parser.Parse(part[at : at + _CHUNK], False)
    except _Enough:
        return found[0]
    except expat.ExpatError:
        pass
    raise refused(name, ["rows that can't be told apart"])


def _plain(found: re.Match[bytes]) -> bytes:
    text = found[1] or b""
    return text.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b">", b"&gt;")


def _start_tag(prefix: bytes, name: bytes) -> re.Pattern[bytes]:
    return re.compile(b"<" + re.escape(prefix) + name + rb"(?=[\s/>])" + _ATTRIBUTES)


def _rows(region: bytes, prefix: bytes) -> Iterator[tuple[int, int, bool]]:
    """Number and start of each row, and whether it says its number; the others are counted."""
    number = 0
    for found in _start_tag(prefix, b"row").finditer(region):
        told = attributes(found[1]).get("r", "")
        number = int(told) if told.isdecimal() else number + 1
        yield number, found.start(), told.isdecimal()


def _children(tail: bytes, prefix: bytes) -> list[tuple[str, bytes]]:
    """The elements that follow the rows, by their names without prefix; first the end of the rows, last that of the sheet."""
    opened = b"<" + prefix + b"worksheet><" + prefix + b"sheetData>"
    starts: list[tuple[str, int]] = [("", 0)]
    depth = 0
    parser = expat.ParserCreate()

    def start(tag: str, _: object) -> None:
        nonlocal depth
        depth += 1
        if depth == 2 and parser.CurrentByteIndex >= len(opened):
            starts.append((tag.rpartition(":")[2], parser.CurrentByteIndex - len(opened)))

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1
        if depth == 0:
            starts.append(("", parser.CurrentByteIndex - len(opened)))

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.Parse(opened + tail, True)
    ends = [at for _, at in starts[1:]] + [len(tail)]
    return [(name, tail[at:end]) for (name, at), end in zip(starts, ends, strict=True)]
