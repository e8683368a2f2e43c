"""A workbook being written: its cell formats, the names of its sheets, and texts that a cell can't hold."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, tzinfo
from pathlib import Path
from typing import Any

from crmcore.domain.values import MINOR_DIGITS, Money
from crmcore.errors import Invalid, Issue, Language, MissingExtra, language_of
from crmcore.metrics.tables import Cell, Column
from crmcore_excel.replacing import replacing

MAX_TEXT = 32_767  #: UTF-16 units that a cell keeps
MAX_NAME = 31  #: UTF-16 units of a sheet's name
MAX_ROWS = 1_048_576
_EXACT = 10**15  #: from here on a number in a cell loses digits
_FIRST_MOMENT = datetime(1900, 3, 1)  # noqa: DTZ001 - before, spreadsheets disagree on what a serial day means
_MAX_ISSUES = 100

#: The same content always gives the same bytes, so the moment of writing is not among them.
_CREATED = datetime(2000, 1, 1)  # noqa: DTZ001 - a spreadsheet's properties know no zone

_BROKEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
# A workbook writes some characters as _xHHHH_, and the library can't say what looks like two of these at once.
_LIKE_ESCAPES = re.compile("_x[0-9A-Fa-f]{4}_x[0-9A-Fa-f]{4}_")
_LIKE_MARKUP = re.compile(r"<r>.*</r>", re.DOTALL)
_LIKE_ESCAPE = re.compile("_x[0-9A-Fa-f]{4}_")
_NOT_IN_NAMES = re.compile(r"[\[\]:*?/\\\x00-\x1f]")

INK, PALE, LINE, GREY = "#1F3864", "#EEF2F8", "#BFC9D9", "#666666"
HEADER: dict[str, Any] = {
    "bold": True,
    "font_color": "#FFFFFF",
    "bg_color": INK,
    "valign": "vcenter",
    "text_wrap": True,
    "border": 1,
    "border_color": LINE,
}
SHAPES: dict[str, str] = {
    "text": "@",
    "integer": "#,##0",
    "percent": "0.0%",
    "days": "#,##0.0",
    "date": "yyyy-mm-dd",
    "instant": "yyyy-mm-dd hh:mm",
}


class Book:
    """One workbook. ``issues`` collects the texts that don't fit; with any of them nothing is kept."""

    def __init__(self, workbook: Any, language: Language, zone: tzinfo) -> None:
        self.workbook, self.zone = workbook, zone
        self.language: Language = language_of(language)
        self.issues: list[Issue] = []
        self._formats: dict[str, Any] = {}
        self._cell_formats: dict[tuple[str, str | None], Any] = {}
        self._names: set[str] = set()

    def format(self, **properties: Any) -> Any:
        """The cell format of those properties; one for each set of them."""
        key = repr(sorted(properties.items()))
        if key not in self._formats:
            self._formats[key] = self.workbook.add_format(properties)
        return self._formats[key]

    def sheet(self, title: str) -> Any:
        """A new sheet, named after its title as far as the program allows."""
        return self.workbook.add_worksheet(free_name(title, self._names))

    def put(self, sheet: Any, row: int, index: int, column: Column, cell: Cell) -> None:
        """Writes a table's cell, row and index from 0, in the format of its kind."""
        value = self.value(column, cell)
        if value is None:
            return
        kind = "text" if isinstance(value, str) else column.kind
        key = kind, cell.currency if isinstance(cell, Money) else None
        form = self._cell_formats.get(key)
        if form is None:
            # Dates stand to the left as text does, so that a column of both is one column.
            align = {"align": "left"} if kind in ("date", "instant") else {}
            form = self._cell_formats[key] = self.format(num_format=number_format(*key), valign="vcenter", **align)
        self.place(sheet, row, index, value, form, column.key)

    def value(self, column: Column, cell: Cell) -> Any:
        """What is to be written for a cell: None, text, a number or a date. What would lose digits as a number, and a day
        before 1900-03-01, is text."""
        named = column.named(cell, self.language)
        if isinstance(named, Money):
            return named.amount if abs(named.minor) < _EXACT else f"{named.amount:f}"
        if isinstance(named, datetime):
            named = named.astimezone(self.zone).replace(tzinfo=None)
            return named if named >= _FIRST_MOMENT else named.isoformat(sep=" ", timespec="minutes")
        if isinstance(named, date):
            return named if named >= _FIRST_MOMENT.date() else named.isoformat()
        if isinstance(named, (int, float)):
            return named if abs(named) < _EXACT else str(named)
        return named

    def place(self, sheet: Any, row: int, index: int, value: Any, form: Any, field: str = "text") -> None:
        """Writes a value, text as nothing but text; notes an issue where a cell can't hold it."""
        if isinstance(value, date):
            sheet.write_datetime(row, index, value, form)
        elif not isinstance(value, str):
            sheet.write_number(row, index, value, form)
        elif _unsayable(value):
            self._refuse("bad_text", sheet, row, index, field)
        elif _units(value) > MAX_TEXT:
            self._refuse("too_long", sheet, row, index, field, limit=MAX_TEXT)
        elif _LIKE_MARKUP.fullmatch(value):
            # The library takes such a text for markup of its own, unless it comes in pieces.
            sheet.write_rich_string(row, index, self.format(), value[:1], value[1:], form)
        else:
            sheet.write_string(row, index, value, form)

    def _refuse(self, code: str, sheet: Any, row: int, index: int, field: str, **facts: Any) -> None:
        self.issues.append(
            Issue(code=code, field=field, sheet=sheet.get_name(), row=row + 1, column=index + 1, facts=facts)
        )

    @property
    def given_up(self) -> bool:
        """Whether so many issues are known that there is no use in looking for more."""
        return len(self.issues) >= _MAX_ISSUES


def free_name(title: str, taken: set[str]) -> str:
    """A sheet's name as near to its title as the program allows; it is added to those taken, which are casefolded."""
    wanted = _NOT_IN_NAMES.sub(" ", _BROKEN.sub(" ", title)).strip("' ") or "Sheet"
    if wanted.casefold() == "history":  # reserved by the program
        wanted += "_"
    name, number = _cut(wanted, MAX_NAME), 1
    while name.casefold() in taken:
        number += 1
        suffix = f" ({number})"
        name = _cut(wanted, MAX_NAME - len(suffix)) + suffix
    taken.add(name.casefold())
    return name


def number_format(kind: str, currency: str | None = None) -> str:
    """The number format of a kind of cell: money with the decimals of its currency."""
    if kind != "money":
        return SHAPES[kind]
    digits = MINOR_DIGITS.get(currency or "", 2)
    return "#,##0." + "0" * digits if digits else "#,##0"


@contextmanager
def new_book(
    path: Path, *, title: str, language: Language, zone: tzinfo = UTC, streaming: bool = False
) -> Iterator[Book]:
    """A workbook that takes the place of ``path`` once all of it is written; with an issue or an error nothing is left.

    ``streaming`` keeps only the row that is being written in memory. Raises :class:`Invalid` with the issues,
    :class:`MissingExtra`, and what :func:`replacing` raises.
    """
    try:
        import xlsxwriter
        from xlsxwriter.exceptions import FileCreateError
    except ImportError as problem:
        raise MissingExtra('writing workbooks needs XlsxWriter: pip install "crmcore[excel]"') from problem
    with replacing(path) as file, tempfile.TemporaryDirectory() as folder:
        options = {
            "constant_memory": streaming,
            "tmpdir": folder,
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "strings_to_numbers": False,
        }
        workbook = xlsxwriter.Workbook(file, options)
        workbook.set_properties({"title": title, "created": _CREATED})
        book = Book(workbook, language, zone)
        try:
            yield book
        except BaseException:
            # Only to let go of its own files: what went wrong is on its way already.
            with suppress(Exception):
                workbook.close()
            raise
        try:
            workbook.close()
        except FileCreateError as problem:
            raise problem.args[0] from None
        if book.issues:
            raise Invalid(book.issues)


def _unsayable(text: str) -> bool:
    return bool(
        _BROKEN.search(text)
        or (
            "_x" in text
            and (_LIKE_ESCAPES.search(text) or (_LIKE_MARKUP.fullmatch(text) and _LIKE_ESCAPE.search(text)))
        )
    )


def _units(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def _cut(text: str, units: int) -> str:
    while _units(text) > units:
        text = text[:-1]
    return text.rstrip("' ")
