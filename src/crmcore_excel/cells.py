"""Rows to the cells of a sheet and back, exactly.

What a spreadsheet would round, shift or read as something else stands as text: integers of more than 15 digits, decimals,
days before 1900-03-01, instants that the zone shows twice. A text that no cell can hold is kept apart, see :class:`Apart`.
Each sheet gets one generated function per direction, since all rows of a store pass here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

import attrs

from crmcore.errors import NotSupported
from crmcore.interchange.sheets import CellError
from crmcore.storage import Collection, Row
from crmcore.storage.presentation import Unreadable
from crmcore_excel.book import MAX_TEXT
from crmcore_excel.layout import Column, SheetLayout, chunks

WriteRows: TypeAlias = Callable[[Iterable[Row]], Iterator[str]]
ReadRows: TypeAlias = Callable[[Iterable[Sequence[Any]]], list[Row]]

_EXACT = 10**15  #: from here on a number in a cell loses digits
_LEAST, _MOST = -(2**63), 2**63 - 1
_FIRST_DAY, _FIRST_MOMENT = date(1900, 3, 1), datetime(1900, 3, 1)  # noqa: DTZ001 - before, programs disagree
_END = datetime(4600, 1, 1)  # noqa: DTZ001 - from then on 15 digits don't tell a millisecond
_DAY_ZERO, _MOMENT_ZERO, _DAY = date(1899, 12, 30).toordinal(), datetime(1899, 12, 30), timedelta(1)  # noqa: DTZ001
_LAST_SERIAL = 2_958_466

ROW_HEIGHT = 18  #: fixed, so that a long text shows its first line and not all of it

_SURELY_SHORT = MAX_TEXT // 2
_UNSAYABLE = "\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff"
_BROKEN = re.compile(f"[{_UNSAYABLE}]")
_SPECIAL = re.compile(f"[&<>{_UNSAYABLE}]|_x").search
# A workbook writes some characters as _xHHHH_.
_LIKE_ESCAPE = re.compile("_(?=x[0-9A-Fa-f]{4}_)")
_WHOLE = re.compile(r"-?[0-9]{1,20}")
_DECIMAL = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([Ee][+-]?[0-9]{1,9})?")
_ISO_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ISO_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")


@attrs.frozen
class Apart:
    """A text that no cell can hold: empty, longer than 32,767 UTF-16 units, or with characters that XML hasn't.

    Its cell holds :func:`stand_in`; while that stands there, the text is meant.
    """

    collection: str
    field: str
    id: str
    text: str


def apart_rows(texts: Iterable[Apart]) -> list[list[str]]:
    """The texts kept apart as rows of their sheet."""
    return [[text.collection, text.field, text.id, *chunks(json.dumps(text.text))] for text in texts]


def fits(text: str) -> bool:
    """Whether a cell holds the text as it is."""
    return bool(text) and _units(text) <= MAX_TEXT and _BROKEN.search(text) is None


def stand_in(text: str) -> str | None:
    """What the cell holds for a text that is kept apart."""
    shown = _BROKEN.sub("\ufffd", text)
    while _units(shown) > MAX_TEXT:
        shown = shown[: min(len(shown) - 1, MAX_TEXT)]
    return shown or None


def _units(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def escaped(text: str) -> str:
    """A text as it stands in the XML of a workbook."""
    return with_escapes(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def with_escapes(text: str) -> str:
    """A text in which nothing is taken for the escape of a character."""
    return _LIKE_ESCAPE.sub("_x005F_", text) if "_x" in text else text


def text_row(number: int, texts: Iterable[str | None], style: int = 0) -> str:
    """A row of nothing but text as XML."""
    told = "".join(
        f'<c r="{letters(place)}{number}" s="{style}" t="inlineStr"><is><t xml:space="preserve">{escaped(text)}</t></is></c>'
        for place, text in enumerate(texts)
        if text
    )
    return f'<row r="{number}">{told}</row>'


def letters(index: int) -> str:
    """The letters of a column, counted from 0."""
    name = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        name = chr(65 + rest) + name
    return name


# Values to what stands in a cell: a number, a date or date-time as its serial number, or text.


def write_integer(value: int, scale: int = 0) -> float | int | str:
    """An integer; with a scale the decimal number that it counts the smallest units of."""
    if abs(value) >= _EXACT:
        return f"{Decimal(value).scaleb(-scale):f}" if scale else str(value)
    return value / 10**scale if scale else value


def write_day(value: date) -> int | str:
    """A day as its serial number."""
    return value.toordinal() - _DAY_ZERO if value >= _FIRST_DAY else value.isoformat()


def write_instant(value: datetime, zone: tzinfo) -> float | str:
    """An instant as the serial number of the moment on the zone's clock, where that means this instant alone."""
    try:
        local = value.astimezone(zone)
    except OverflowError:
        return _iso(value)
    shown = local.replace(tzinfo=None)
    return (shown - _MOMENT_ZERO) / _DAY if _FIRST_MOMENT <= shown < _END and not local.fold else _iso(value)


def _iso(value: datetime) -> str:
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def cell_value(column: Column, value: Any, zone: tzinfo) -> Any:
    """What stands in the cell for a value of the column's type: the plain twin of :func:`write_rows`."""
    if value is None:
        return None
    match column.type:
        case "text":
            return column.choices.get(value, value)
        case "boolean":
            return column.choices.get("true" if value else "false", value)
        case "integer":
            return write_integer(value, column.scale)
        case "date":
            return write_day(value)
        case "instant":
            return write_instant(value, zone)
        case "decimal":
            return str(value)


def write_rows(
    sheet: SheetLayout, collection: Collection, styles: Sequence[int], zone: tzinfo
) -> tuple[WriteRows, list[Apart]]:
    """The function that gives rows as XML from row 2 on, and the list that it adds texts to which are kept apart.

    ``styles`` are the numbers of the columns' cell formats.
    """
    apart: list[Apart] = []
    fields = [field.name for field in collection.fields]

    def hard(text: str, place: int, id: str) -> str:
        if not fits(text):
            if place == 0:
                raise NotSupported("an id that no cell can hold is not kept in a workbook", collection=collection.name)
            apart.append(Apart(collection.name, fields[place], id, text))
            text = stand_in(text) or ""
        return escaped(text)

    scope: dict[str, Any] = {
        "hard": hard, "special": _SPECIAL, "instant": lambda value: write_instant(value, zone), "integer": write_integer, "day": write_day,
    }  # fmt: skip
    told = []
    for index, column in enumerate(sheet.columns):
        place = collection.position(column.field)
        told.append(_cell_source(column, f"v{place}", place, f'r="{letters(index)}{{n}}" s="{styles[index]}"', scope))
    names = ", ".join(f"v{place}" for place in range(len(fields)))
    told_row = "".join(f"{{c{place}}}" for place in sheet.order(collection))
    source = [
        "def made(rows):",
        "    n = 1",
        f"    for {names} in rows:",
        "        n += 1",
        *(f"        {line}" for lines in told for line in lines),
        f'        yield f\'<row r="{{n}}" ht="{ROW_HEIGHT}" customHeight="1">{told_row}</row>\'',
    ]
    return _made(source, scope), apart


def _cell_source(column: Column, name: str, place: int, head: str, scope: dict[str, Any]) -> list[str]:
    """Lines that make ``c<place>`` of a value."""
    cell = f"c{place}"
    inline = f'<c {head} t="inlineStr"><is><t xml:space="preserve">{{t}}</t></is></c>'
    number = f"<c {head}><v>{{t}}</v></c>"

    def texts(value: str) -> list[str]:
        return [
            f"    t = {value}",
            f"    if not t or len(t) > {_SURELY_SHORT} or special(t): t = hard(t, {place}, v0)",
            f"    {cell} = f'{inline}'",
        ]

    lines = [f"if {name} is None: {cell} = ''", "else:"]
    match column.type:
        case "text" if column.choices:
            scope[f"shown{place}"] = dict(column.choices).get
            return lines + texts(f"shown{place}({name}, {name})")
        case "text":
            return lines + texts(name)
        case "decimal":
            return [*lines, f"    t = str({name})", f"    {cell} = f'{inline}'"]
        case "boolean" if column.choices:
            scope[f"shown{place}"] = {True: column.choices.get("true"), False: column.choices.get("false")}
            plain = f'<c {head} t="b"><v>{{{name}:d}}</v></c>'
            return [
                *lines,
                f"    t = shown{place}[{name}]",
                f"    if t is None: {cell} = f'{plain}'",
                "    else:",
                *(f"    {line}" for line in texts("t")),
            ]
        case "boolean":
            return [*lines, f"    {cell} = f'<c {head} t=\"b\"><v>{{{name}:d}}</v></c>'"]
        case "integer" | "date" | "instant":
            kind = "day" if column.type == "date" else column.type
            made = f"{kind}({name}, {column.scale})" if column.scale else f"{kind}({name})"
            return [
                *lines,
                f"    t = {made}",
                f"    {cell} = f'{inline}' if t.__class__ is str else f'{number}'",
            ]
    raise AssertionError(column.type)


# Cells to values. What can't be read becomes Unreadable and is counted, so that nobody looks for it in vain.


def shown_text(value: Any) -> str:
    """What a cell shows, for a reader."""
    match value:
        case CellError():
            return value.code
        case bool():
            return "TRUE" if value else "FALSE"
        case float():
            return f"{value:.15G}"  # as many digits as a spreadsheet keeps
    return str(value)


class _Values:
    """Reads cells that are not simply what they should be; ``failed`` counts those that can't be read."""

    def __init__(self, zone: tzinfo) -> None:
        self.zone, self.failed = zone, 0

    def unreadable(self, value: Any) -> Any:
        self.failed += 1
        return Unreadable(shown_text(value), why="cell_error" if isinstance(value, CellError) else None)

    def text(self, value: Any) -> Any:
        if value is None or value == "":
            return None
        if type(value) is str:
            return value
        if type(value) in (float, int):
            digits = _digits(value)
            if digits is not None:
                return digits
            self.failed += 1
            return Unreadable(shown_text(value), why="precision_lost")
        return self.unreadable(value)

    def integer(self, value: Any) -> Any:
        if type(value) in (float, int) and value == value // 1 and abs(value) < _EXACT:
            return int(value)
        if value is None or value == "":
            return None
        if type(value) is str and _WHOLE.fullmatch(value) and _LEAST <= int(value) <= _MOST:
            return int(value)
        return self.unreadable(value)

    def scaled(self, value: Any, scale: int) -> Any:
        if value is None or value == "":
            return None
        if type(value) in (float, int) and abs(value) < _EXACT:
            units = round(value * 10**scale)
            if units / 10**scale == value and abs(units) < _EXACT:
                return units
        elif type(value) is str and _DECIMAL.fullmatch(value):
            amount = Decimal(value)
            if amount.adjusted() < 20:
                exact = amount.scaleb(scale)
                if exact == exact.to_integral_value() and _LEAST <= exact <= _MOST:
                    return int(exact)
        return self.unreadable(value)

    def boolean(self, value: Any) -> Any:
        if value is None or value == "":
            return None
        if type(value) is bool:
            return value
        word = value.strip().casefold() if type(value) is str else value
        if word in ("true", 1):
            return True
        if word in ("false", 0):
            return False
        return self.unreadable(value)

    def decimal(self, value: Any) -> Any:
        if value is None or value == "":
            return None
        told = value if type(value) is str else _digits(value) if type(value) in (float, int) else None
        if told is not None and _DECIMAL.fullmatch(told):
            try:
                return Decimal(told)
            except InvalidOperation:
                pass
        return self.unreadable(value)

    def day(self, value: Any) -> Any:
        if value is None or value == "":
            return None
        if type(value) is datetime and value == datetime(value.year, value.month, value.day):  # noqa: DTZ001 - as the cell
            return value.date()
        if type(value) is str and _ISO_DAY.fullmatch(value):
            try:
                return date.fromisoformat(value)
            except ValueError:
                return self.unreadable(value)
        if type(value) is date:
            return value
        # The cell's date format was taken away.
        if type(value) is float and value.is_integer() and 61 <= value < _LAST_SERIAL:
            return date.fromordinal(int(value) + _DAY_ZERO)
        return self.unreadable(value)

    def instant(self, value: Any) -> Any:
        kind = type(value)
        if kind is float and 61 <= value < _LAST_SERIAL:
            value = _MOMENT_ZERO + timedelta(milliseconds=round(value * 86_400_000))
        elif kind is date:
            value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - as the cell
        elif kind is str and _ISO_INSTANT.fullmatch(value):
            try:
                return datetime.fromisoformat(value)
            except ValueError:
                return self.unreadable(value)
        elif kind is not datetime:
            return None if value is None or value == "" else self.unreadable(value)
        if rest := value.microsecond % 1000:
            value += timedelta(microseconds=-rest if rest < 500 else 1000 - rest)
        try:
            return value.replace(tzinfo=self.zone).astimezone(UTC)
        except OverflowError:
            return self.unreadable(value)


def _digits(value: float) -> str | None:
    """A number as it was typed, where its digits are surely all there."""
    if abs(value) >= _EXACT:
        return None
    if value == value // 1:
        return f"{value:.0f}"
    told = f"{Decimal(repr(value)):f}"
    return told if len(told.lstrip("-0.").replace(".", "")) <= 15 else None


@attrs.frozen
class Reading:
    """``read`` makes rows of a sheet's cells; ``failed()`` is how many cells it found unreadable so far."""

    read: ReadRows
    failed: Callable[[], int]


def read_rows(sheet: SheetLayout, collection: Collection, at: Sequence[int], zone: tzinfo) -> Reading:
    """The function that reads rows of cells; ``at`` is where each column of the layout stands, from 0.

    Cells are as the parser gives them: blank ones are None or an empty text, numbers float, dates without a zone.
    """
    values = _Values(zone)
    scope: dict[str, Any] = {"date": date, "datetime": datetime, "UTC": UTC, "values": values}
    told: list[str] = [""] * len(collection.fields)
    for column, index in zip(sheet.columns, at, strict=True):
        place = collection.position(column.field)
        value = f"r[{index}]"
        match column.type:
            case "text" if column.choices:
                scope[f"kept{place}"] = {label: key for key, label in column.choices.items()}.get
                made = f"((kept{place}(v, v) or None) if (v := {value}).__class__ is str else text(v))"
            case "text":
                made = f"((v or None) if (v := {value}).__class__ is str else text(v))"
            case "boolean" if column.choices:
                kept = {column.choices[key]: key == "true" for key in ("true", "false") if key in column.choices}
                scope[f"kept{place}"] = kept.get
                made = f"boolean(kept{place}(v, v) if (v := {value}).__class__ is str else v)"
            case "date":
                made = f"(v if (v := {value}).__class__ is date else day(v))"
            case "integer" if column.scale:
                made = f"scaled({value}, {column.scale})"
            case _:
                made = f"{column.type}({value})"
        told[place] = made
    for name in ("text", "integer", "scaled", "boolean", "decimal", "day", "instant"):
        scope[name] = getattr(values, name)
    read = _made([f"def made(rows): return [({', '.join(told)},) for r in rows]"], scope)
    return Reading(read, lambda: values.failed)


def _made(source: Iterable[str], scope: Mapping[str, Any]) -> Callable[[Any], Any]:
    names = dict(scope)
    exec("\n".join(source), names)  # noqa: S102 - built from types, places and our own names alone
    function: Callable[[Any], Any] = names["made"]
    return function
