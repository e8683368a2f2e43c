"""A copy of an imported file in which the rows that were left out say why, and the wrong cells are red.

An .xlsx keeps all that its owner made of it: only the marked cells, the column with the reasons and the rows that are
hidden are touched. Of any other kind of file the cells go into a plain workbook.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from functools import partial
from pathlib import Path
from typing import Any

from crmcore.errors import NotSupported
from crmcore.interchange.rejected_rows import RejectedRows
from crmcore.interchange.sheets import Cell, CellError, Sheet, read_sheets
from crmcore_excel.packages import copy_package
from crmcore_excel.parts import Parts
from crmcore_excel.replacing import replacing
from crmcore_excel.sheetxml import SheetXML, refused
from crmcore_excel.styles import Styles

RED = "FFFF7C80"  #: alpha, red, green, blue: black text stays readable on it
_REASON_WIDTH = 48


def write_rejected(path: Path, source: Path, sheets: Sequence[RejectedRows], *, encoding: str | None = None) -> None:
    """Writes the copy of ``source``. ``encoding`` is that of a text file.

    Rows that were taken in are hidden; the rest keeps its row numbers. Raises ``ImportRejected`` where the source can't be
    read any more, and what :func:`crmcore_excel.replacing.replacing` raises.
    """
    read = read_sheets(source, encoding=encoding)
    parts = _marked(source, sheets) if zipfile.is_zipfile(source) else None
    if parts is None:
        _write_plain(path, read, {marks.sheet: marks for marks in sheets})
        return
    with replacing(path) as file:
        copy_package(file, parts)


def _marked(source: Path, sheets: Sequence[RejectedRows]) -> Mapping[str, bytes] | None:
    """The parts of the copy; None for a workbook that isn't .xlsx, or whose XML can't be changed without loss."""
    try:
        parts = Parts.of(source)
        named = parts.sheets()
        styles_part = next((one.target for one in parts.relations(parts.workbook).values() if one.kind == "styles"), "")
        styles = Styles(parts.parts[styles_part])
        for marks in sheets:
            name = named[marks.sheet]
            parts.parts[name] = _mark(SheetXML.of(parts.parts[name], name), marks, styles)
        parts.parts[styles_part] = styles.part
    except (NotSupported, KeyError, ValueError, StopIteration):
        return None
    return parts.parts


def _mark(sheet: SheetXML, marks: RejectedRows, styles: Styles) -> bytes:
    header, column = sheet.rows.get(marks.header_row, b""), marks.column
    looks = {cell.column: cell.style for cell in sheet.cells(header)}
    again = any(cell.column == column and cell.filled for cell in sheet.cells(header))
    beside = looks.get(column - 1, 0)
    _put(sheet, marks.header_row, column, marks.heading, lambda *_: looks.get(column) or beside)
    wrong: dict[int, list[int]] = {}
    for row, place in marks.cells:
        wrong.setdefault(row, []).append(place)
    for row in sorted(marks.reasons.keys() | marks.taken):
        if row in marks.taken:
            if again and row in sheet.rows:
                sheet.restyle(row, partial(_ground, styles, frozenset()))
                sheet.change(row, {column: None})
            if row in sheet.rows:
                sheet.hide_row(row)
            continue
        red = frozenset(wrong.get(row, ()))
        sheet.restyle(row, partial(_ground, styles, red), red)
        _put(sheet, row, column, marks.reasons[row])
    if not sheet.wide_enough(column):
        sheet.hide(column, hidden=False, width=_REASON_WIDTH)
    sheet.drop_dimension()
    return sheet.to_bytes()


def _ground(styles: Styles, red: frozenset[int], column: int, style: int) -> int:
    """The style of a cell: red where it is wrong, and no more where a former copy had made it so."""
    return styles.filled(style, RED if column in red else None, RED)


def _put(
    sheet: SheetXML, row: int, column: int, text: str, style: Callable[[int, int, Any], int] | None = None
) -> None:
    if row not in sheet.rows:
        raise refused(sheet.name, ["rows that can't be told apart"])
    sheet.change(row, {column: text}, styles=style)


def _write_plain(path: Path, sheets: Sequence[Sheet], marks: Mapping[str, RejectedRows]) -> None:
    import xlsxwriter

    with (
        replacing(path) as file,
        xlsxwriter.Workbook(file, {"strings_to_formulas": False, "strings_to_urls": False}) as book,
    ):
        for sheet in sheets:
            page = book.add_worksheet(sheet.name if _is_title(sheet.name) else None)
            if sheet.hidden:
                page.hide()
            _write_sheet(book, page, sheet, marks.get(sheet.name))
        visible = next((page for page in book.worksheets() if not page.hidden), None)
        if visible is not None:
            visible.activate()
            visible.set_first_sheet()


def _is_title(name: str) -> bool:
    return 0 < len(name) <= 31 and not set(name) & set("[]:*?/\\") and name[0] != "'" != name[-1]


def _write_sheet(book: Any, page: Any, sheet: Sheet, marks: RejectedRows | None) -> None:
    bold, wrong = {"bold": True}, {"bg_color": f"#{RED[2:]}"}
    made: dict[tuple[bool, bool, str], Any] = {}

    def look(header: bool, red: bool, shown: str) -> Any:
        key = header, red, shown
        if key not in made:
            made[key] = book.add_format({**(bold if header else {}), **(wrong if red else {}), "num_format": shown})
        return made[key]

    for number, cells in enumerate(sheet.rows, sheet.first_row):
        header = marks is not None and number == marks.header_row
        red = {place for row, place in marks.cells if row == number} if marks and number in marks.reasons else set()
        for place in range(1, max([len(cells), *red]) + 1):
            value = cells[place - 1] if place <= len(cells) else None
            if value is not None or place in red:
                _write_cell(page, number - 1, place - 1, value, partial(look, header, place in red))
        if marks is None:
            continue
        if header or number in marks.reasons:
            told = marks.heading if header else marks.reasons[number]
            page.write_string(number - 1, marks.column - 1, told, look(header, False, "@"))
        elif number in marks.taken:
            page.set_row(number - 1, None, None, {"hidden": True})
    if marks is not None:
        page.set_column(0, marks.column - 2, 16)
        page.set_column(marks.column - 1, marks.column - 1, _REASON_WIDTH)


def _write_cell(page: Any, row: int, column: int, value: Cell, look: Callable[[str], Any]) -> None:
    if value is None:
        page.write_blank(row, column, None, look("General"))
    elif isinstance(value, CellError):
        page.write_string(row, column, value.code, look("@"))
    elif isinstance(value, str):
        page.write_string(row, column, value[:32_767], look("@"))
    elif isinstance(value, bool):
        page.write_boolean(row, column, value, look("General"))
    elif isinstance(value, (date, time)):
        with_time, day = isinstance(value, datetime), isinstance(value, date)
        page.write_datetime(
            row, column, value, look("yyyy-mm-dd hh:mm:ss" if with_time else "yyyy-mm-dd" if day else "hh:mm:ss")
        )
    else:
        page.write_number(row, column, value, look("General"))
