"""Tables to workbooks: a sheet each, with an overview of key figures and native charts in front."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, tzinfo
from itertools import chain, islice
from pathlib import Path
from typing import Any

import attrs

from crmcore.domain.values import Money
from crmcore.errors import Language
from crmcore.metrics.tables import Cell, Chart, Column, Listing, Table, cell_text, currencies, display_width, heading
from crmcore_excel.book import GREY, HEADER, MAX_ROWS, Book, new_book
from crmcore_excel.overview import write_overview

_SAMPLE = 500  #: rows that a column's width is taken from
_NARROWEST, _WIDEST = 8, 60
_FILTER_ARROW = 3
_LONG_HEADING = 14
_ROW_HEIGHT = 18

_CURRENCY = Column("currency", "货币", "Currency")


def write(
    path: Path,
    tables: Sequence[Table],
    charts: Sequence[Chart] = (),
    *,
    language: Language = "zh-CN",
    zone: tzinfo = UTC,
) -> None:
    """Writes the tables as a workbook, one sheet each; moments in ``zone``, which their headings name.

    With charts an overview comes first; a first table of one row is its key figures and has no sheet of its own. The
    same input gives the same bytes. Raises :class:`Invalid` for texts that a cell can't hold, ValueError for a chart of an
    unknown table or column, and what :func:`crmcore_excel.replacing.replacing` raises.
    """
    _check_charts(tables, charts)
    title = tables[0].title(language) if tables else ""
    with new_book(path, title=title, language=language, zone=zone) as book:
        figures = _figures(tables, charts)
        front = book.sheet("概览" if language == "zh-CN" else "Overview") if charts else None
        places: dict[str, tuple[str, int, dict[str, int]]] = {}
        for table in tables:
            if table is not figures:
                places[table.key] = _write_table(book, table)
        if front is not None:
            write_overview(book, front, figures, charts, places)


def write_listings(
    path: Path, listings: Iterable[Listing], *, language: Language = "zh-CN", zone: tzinfo = UTC
) -> None:
    """Writes any number of rows in bounded memory, one sheet per listing and one more wherever a sheet is full.

    Money has its currency in a column beside it. Raises as :func:`write` does.
    """
    with new_book(path, title="", language=language, zone=zone, streaming=True) as book:
        for listing in listings:
            layout = [_Laid(index, column, column.kind == "money") for index, column in enumerate(listing.columns)]
            rows = iter(listing.rows)
            first = list(islice(rows, _SAMPLE))
            remaining: Iterable[Sequence[Cell]] | None = chain(first, rows)
            while remaining is not None:
                remaining = _fill(book, book.sheet(listing.title(language)), layout, first, remaining)


def _figures(tables: Sequence[Table], charts: Sequence[Chart]) -> Table | None:
    first = tables[0] if charts and tables and len(tables[0].rows) == 1 else None
    return None if first is None or any(chart.table == first.key for chart in charts) else first


def _check_charts(tables: Sequence[Table], charts: Sequence[Chart]) -> None:
    known = {table.key: {column.key for column in table.columns} for table in tables}
    for chart in charts:
        if not {chart.category, *chart.values} <= known.get(chart.table, set()):
            raise ValueError(f"the chart {chart.key} shows a table or a column that isn't there")


@attrs.frozen
class _Laid:
    """A column of a table where it stands in its rows; ``mixed`` money has its currency in the next column."""

    index: int
    column: Column
    mixed: bool = False
    currency: tuple[str, ...] = ()


def _write_table(book: Book, table: Table) -> tuple[str, int, dict[str, int]]:
    """Writes a table; its sheet's name, the number of rows, and which column each key came to."""
    found = [currencies(table, index) for index in range(len(table.columns))]
    layout = [
        _Laid(index, column, mixed=len(found[index]) > 1, currency=found[index])
        for index, column in enumerate(table.columns)
    ]
    sheet = book.sheet(table.title(book.language))
    rest = _fill(book, sheet, layout, table.rows[:_SAMPLE], table.rows)
    if rest is not None:
        raise ValueError(f"the table {table.key} has more rows than a sheet; write it as a Listing")
    last = len(table.rows)
    for offset, note in enumerate(table.notes):
        book.place(sheet, last + 2 + offset, 0, note.text(book.language), book.format(italic=True, font_color=GREY))
    places, at = {}, 0
    for laid in layout:
        places[laid.column.key] = at
        at += 1 + laid.mixed
    return sheet.get_name(), last, places


def _fill(
    book: Book, sheet: Any, layout: list[_Laid], sample: Sequence[Sequence[Cell]], rows: Iterable[Sequence[Cell]]
) -> Iterable[Sequence[Cell]] | None:
    """Fills a sheet; what did not fit, or None."""
    shown = [_heading(book, laid) for laid in layout]
    widths = [_width(book, laid, title, sample) for laid, title in zip(layout, shown, strict=True)]
    headings: list[tuple[str, int]] = []
    for laid, title, width in zip(layout, shown, widths, strict=True):
        headings.append((title, width))
        if laid.mixed:
            headings.append((_CURRENCY.title(book.language), _NARROWEST + _FILTER_ARROW))
    for index, (title, width) in enumerate(headings):
        sheet.set_column(index, index, width)
        book.place(sheet, 0, index, title, book.format(**HEADER))
    wrapped = any(display_width(title) > _LONG_HEADING for title, _ in headings)
    sheet.set_row(0, 2 * _ROW_HEIGHT if wrapped else 1.25 * _ROW_HEIGHT)
    # Higher than the program's own choice: Chinese fonts are cut off otherwise.
    sheet.set_default_row(_ROW_HEIGHT)
    sheet.freeze_panes(1, 0)
    sheet.set_landscape()
    sheet.fit_to_pages(1, 0)
    sheet.repeat_rows(0)
    number, left = 0, iter(rows)
    for number, row in enumerate(islice(left, MAX_ROWS - 1), 1):
        if book.given_up:
            break
        _write_row(book, sheet, number, layout, row)
    if headings:
        sheet.autofilter(0, 0, number, len(headings) - 1)
    following = next(left, None)
    return None if following is None or book.given_up else chain([following], left)


def _write_row(book: Book, sheet: Any, number: int, layout: list[_Laid], row: Sequence[Cell]) -> None:
    at = 0
    for laid in layout:
        cell = row[laid.index]
        book.put(sheet, number, at, laid.column, cell)
        at += 1
        if laid.mixed:
            if isinstance(cell, Money):
                book.put(sheet, number, at, _CURRENCY, cell.currency)
            at += 1


def _heading(book: Book, laid: _Laid) -> str:
    title = heading(laid.column, laid.currency, book.language)
    return f"{title} ({book.zone})" if laid.column.kind == "instant" else title


def _width(book: Book, laid: _Laid, title: str, sample: Iterable[Sequence[Cell]]) -> int:
    texts = (cell_text(laid.column, row[laid.index], book.language, bare=True) for row in sample)
    widest = max((display_width(line) for text in texts for line in text.split("\n")), default=0)
    own = display_width(title)
    if own > _LONG_HEADING:
        own = -(-own // 2) + 1  # it takes two lines
    return max(_NARROWEST, min(_WIDEST, max(widest + 2, own + _FILTER_ARROW)))
