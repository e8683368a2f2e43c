"""The first sheet of a review: key figures as cards, and native charts in a grid of two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crmcore.metrics.tables import Chart, Table, currencies, heading
from crmcore_excel.book import GREY, INK, LINE, PALE, Book, number_format

#: Where each table came to stand: its sheet, how many rows, and the sheet's column of each key.
Places = Mapping[str, tuple[str, int, Mapping[str, int]]]

_COLUMNS, _COLUMN_WIDTH, _COLUMN_PIXELS = 12, 11, 82
_CARD_SPAN, _CHART_SPAN = 2, 6
_ROW_PIXELS = 20
_CHART_ROWS = 17
_GAP = 5
_SPACER = 8
_PALETTE = ("#2F5597", "#ED7D31", "#70AD47", "#FFC000", "#5B9BD5", "#A5639A", "#44A5A0", "#C55A5A", "#8C8C8C")
_MANY_CATEGORIES = 8


def write_overview(book: Book, sheet: Any, figures: Table | None, charts: Sequence[Chart], places: Places) -> None:
    """Fills the sheet; ``figures`` is a table of one row."""
    sheet.hide_gridlines(2)
    sheet.set_column(0, _COLUMNS - 1, _COLUMN_WIDTH)
    sheet.set_landscape()
    sheet.set_paper(9)  # A4
    sheet.fit_to_pages(1, 0)
    row = _write_figures(book, sheet, figures) if figures else 0
    shown = [chart for chart in charts if places[chart.table][1]]
    for number, chart in enumerate(shown):
        line, side = divmod(number, _COLUMNS // _CHART_SPAN)
        drawn = _draw(book, chart, places[chart.table])
        drawn.set_size({"width": _CHART_SPAN * _COLUMN_PIXELS - _GAP, "height": _CHART_ROWS * _ROW_PIXELS - _GAP})
        offset = {"x_offset": _GAP * side}  # so that both margins are flush with the cards
        sheet.insert_chart(row + line * _CHART_ROWS, side * _CHART_SPAN, drawn, offset)


def _write_figures(book: Book, sheet: Any, figures: Table) -> int:
    """Title, notes and cards; the first row below them."""
    title = book.format(bold=True, font_size=16, font_color=INK)
    book.place(sheet, 0, 0, figures.title(book.language), title)
    sheet.set_row(0, 26)
    row = 1
    for note in figures.notes:
        book.place(sheet, row, 0, note.text(book.language), book.format(font_color=GREY))
        row += 1
    sheet.set_row(row, _SPACER)
    row += 1
    look = {"bg_color": PALE, "align": "center", "valign": "vcenter", "border_color": LINE}
    label = book.format(**look, font_color=GREY, font_size=10, top=1, left=1, right=1)
    per_line = _COLUMNS // _CARD_SPAN
    for index, column in enumerate(figures.columns):
        line, place = divmod(index, per_line)
        top, left = row + line * 3, place * _CARD_SPAN
        cell = figures.rows[0][index]
        found = currencies(figures, index)
        value = book.value(column, cell)
        shape = "@" if isinstance(value, str) or value is None else number_format(column.kind, *found[:1])
        strong = book.format(
            **look, num_format=shape, bold=True, font_size=15, font_color=INK, shrink=True, bottom=1, left=1, right=1
        )
        for offset, form in ((0, label), (1, strong)):
            sheet.merge_range(top + offset, left, top + offset, left + _CARD_SPAN - 1, "", form)
        book.place(sheet, top, left, heading(column, found, book.language), label)
        book.place(sheet, top + 1, left, "–" if value is None else value, strong, column.key)
        sheet.set_row(top + 1, 26)
        sheet.set_row(top + 2, _SPACER)
    return row + 3 * -(-len(figures.columns) // per_line)


def _draw(book: Book, chart: Chart, place: tuple[str, int, Mapping[str, int]]) -> Any:
    sheet, rows, columns = place
    last = min(rows, chart.first or rows)
    drawn = book.workbook.add_chart({"type": chart.kind, **({"subtype": "standard"} if chart.kind == "line" else {})})
    category = columns[chart.category]
    for number, key in enumerate(chart.values):
        at = columns[key]
        drawn.add_series(
            {
                "name": [sheet, 0, at],
                "categories": [sheet, 1, category, last, category],
                "values": [sheet, 1, at, last, at],
                **_series_look(chart, _PALETTE[number % len(_PALETTE)], last),
            }
        )
    # A title that began with an equals sign would be taken for a reference.
    drawn.set_title({"name": chart.title(book.language).lstrip("= "), "name_font": {"size": 12, "color": INK}})
    drawn.set_chartarea({"border": {"color": LINE}})
    _set_axes(drawn, chart, last)
    return drawn


def _series_look(chart: Chart, colour: str, points: int) -> dict[str, Any]:
    if chart.kind == "line":
        marker = {"type": "circle", "size": 5, "fill": {"color": colour}, "border": {"color": colour}}
        return {"line": {"color": colour, "width": 2.25}, "marker": marker}
    if chart.kind == "bar":
        return {"fill": {"color": colour}, "gap": 40, "data_labels": {"value": True}}
    fills = [{"fill": {"color": _PALETTE[index % len(_PALETTE)]}} for index in range(points)]
    return {"points": fills, "data_labels": {"percentage": True, "position": "outside_end", "num_format": "0.0%"}}


def _set_axes(drawn: Any, chart: Chart, points: int) -> None:
    if chart.kind == "pie":
        drawn.set_legend({"position": "right"})
        return
    if chart.kind == "bar":
        # The first row on top, as in the table; each bar has its figure beside it, so the axis of figures may go.
        drawn.set_y_axis({"reverse": True, "major_tick_mark": "none", "line": {"color": LINE}})
        drawn.set_x_axis({"visible": False, "major_gridlines": {"visible": False}, "min": 0})
        drawn.set_legend({"none": True} if len(chart.values) == 1 else {"position": "bottom"})
        return
    turned = {"num_font": {"rotation": -45}} if points > _MANY_CATEGORIES else {}
    drawn.set_x_axis({"line": {"color": LINE}, "text_axis": True, **turned})
    drawn.set_y_axis({"min": 0, "major_gridlines": {"visible": True, "line": {"color": PALE}}, "line": {"none": True}})
    drawn.set_legend({"position": "bottom"})
