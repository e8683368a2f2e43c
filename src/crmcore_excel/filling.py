"""The rows of collections, and of texts, put into the XML of their sheets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from zoneinfo import ZoneInfo

from crmcore.storage import Row
from crmcore_excel.cells import Apart, text_row, write_rows
from crmcore_excel.layout import Marks, SheetLayout
from crmcore_excel.packages import fill, styles_of


def filled(part: bytes | str, sheet: SheetLayout, marks: Marks, rows: Iterable[Row]) -> tuple[str, list[Apart]]:
    """A sheet of headings with the rows of its collection, in the formats of its columns; and the texts kept apart."""
    drawn = text_of(part)
    styles = styles_of(drawn)
    write, apart = write_rows(
        sheet,
        marks.schema.collections[sheet.collection],
        [styles.get(index, 0) for index in range(len(sheet.columns))],
        ZoneInfo(marks.zone),
    )
    return fill(drawn, write(rows)), apart


def filled_with_texts(part: bytes | str, rows: Iterable[Sequence[str]]) -> str:
    """An empty sheet with rows of text."""
    return fill(text_of(part), (text_row(number, row) for number, row in enumerate(rows, 1)))


def text_of(part: bytes | str) -> str:
    """A part as text."""
    return part.decode() if isinstance(part, bytes) else part
