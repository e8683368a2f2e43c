"""The sheets of a store's workbook without their rows: headings, formats, drop-downs, widths, a guide in front."""

from __future__ import annotations

from collections.abc import Collection as Sized
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from io import BytesIO
from itertools import islice
from typing import Any

from crmcore.domain.policies import Label
from crmcore.errors import Language, MissingExtra
from crmcore.metrics.tables import display_width
from crmcore.storage import Row
from crmcore.storage.presentation import Presentation, SheetView
from crmcore_excel.book import HEADER, LINE, MAX_ROWS, Book, free_name
from crmcore_excel.cells import ROW_HEIGHT, letters, write_integer
from crmcore_excel.layout import LISTS, MARKS, TEXTS, Column, Marks, SheetLayout
from crmcore_excel.packages import SEAL, UNSEALED

_CREATED = datetime(2000, 1, 1)  # noqa: DTZ001 - a spreadsheet's properties know no zone
_SAMPLE = 300  #: rows that a column's width is taken from
_NARROWEST, _WIDEST, _FILTER_ARROW = 8, 48, 3
_GUIDE_WIDTHS = (18, 22, 14, 34, 60)

_SHAPES = {
    "text": "@",
    "decimal": "@",
    "integer": "0",
    "boolean": "General",
    "date": "yyyy-mm-dd",
    "instant": "yyyy-mm-dd hh:mm",
}
#: What a reader may change has a dark heading, all else a grey one.
_FIXED = {**HEADER, "bg_color": "#7F7F7F"}

_GUIDE = Label(zh="说明", en="Guide")
_GUIDE_HEADINGS = (
    Label(zh="工作表", en="Sheet"),
    Label(zh="列", en="Column"),
    Label(zh="可否修改", en="May be changed?"),
    Label(zh="填写方式", en="How"),
    Label(zh="可选内容", en="What to choose from"),
)
_MAY, _MAY_NOT = Label(zh="可以修改", en="Yes"), Label(zh="请勿修改", en="No")
_MAY_FILL = Label(zh="仅新行可填", en="In a new row only")
_ROWS_ADDABLE = Label(zh="可在末尾添加新行", en="New rows may be added at the end")
_ROWS_FIXED = Label(zh="请勿添加或删除行", en="Rows may not be added or removed")
_HOW: Mapping[str, Label] = {
    "text": Label(zh="文字", en="Text"),
    "decimal": Label(zh="数字", en="A number"),
    "integer": Label(zh="整数", en="A whole number"),
    "scaled": Label(zh="金额,只填数字", en="An amount: the figure alone"),
    "boolean": Label(zh="TRUE 或 FALSE", en="TRUE or FALSE"),
    "date": Label(zh="日期,如 2024-03-18", en="A date, as 2024-03-18"),
    "instant": Label(zh="日期时间,如 2024-03-18 14:30", en="A date and time, as 2024-03-18 14:30"),
    "choice": Label(zh="从下拉列表选择", en="Choose from the list"),
}


def draw(
    file: BytesIO, marks: Marks, presentation: Presentation | None, rows: Mapping[str, Sized[Row]]
) -> dict[str, str]:
    """Draws all sheets with XlsxWriter; title: the part that its rows belong into. ``rows`` are only sampled."""
    try:
        import xlsxwriter
    except ImportError as problem:
        raise MissingExtra('writing workbooks needs XlsxWriter: pip install "crmcore[excel]"') from problem
    workbook = xlsxwriter.Workbook(file, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    workbook.set_properties({"created": _CREATED})
    workbook.set_custom_property(SEAL, UNSEALED, "text")
    book = Book(workbook, _language(presentation), UTC)
    lists = _Lists(book)
    if presentation and (presentation.guide or presentation.guide_title or not presentation.sheets):
        _draw_guide(book, marks, presentation)
    for sheet in marks.sheets:
        view = presentation.sheets.get(sheet.collection) if presentation else None
        drawn = workbook.add_worksheet(sheet.title)
        order = sheet.order(marks.schema.collections[sheet.collection])
        _draw_sheet(book, drawn, sheet, view, lists, order, rows.get(sheet.collection, ()))
        if not sheet.shown:
            drawn.hide()
    lists.draw()
    for title in (TEXTS, MARKS):
        workbook.add_worksheet(title).very_hidden()
    parts = {
        str(sheet.get_name()): f"xl/worksheets/sheet{number}.xml"
        for number, sheet in enumerate(workbook.worksheets(), 1)
    }
    workbook.close()
    return parts


def _language(presentation: Presentation | None) -> Language:
    return "en" if presentation is None or presentation.guide_title.isascii() else "zh-CN"


def _draw_sheet(
    book: Book,
    drawn: Any,
    sheet: SheetLayout,
    view: SheetView | None,
    lists: _Lists,
    order: Sequence[int],
    rows: Sized[Row],
) -> None:
    sample = list(islice(rows, _SAMPLE))
    for index, column in enumerate(sheet.columns):
        field = view.fields.get(column.field) if view else None
        width = _width(column, [row[order[index]] for row in sample])
        hidden = {} if column.shown else {"hidden": True}
        drawn.set_column(index, index, width, book.format(**cell_format(column)), hidden)
        fixed = view is not None and not (field and field.editable)
        book.place(drawn, 0, index, column.heading, book.format(**(_FIXED if fixed else HEADER)))
        if column.choices:
            words = {
                "validate": "list",
                "source": lists.source(column),
                "show_error": bool(field and field.only_choices),
            }
            drawn.data_validation(1, index, MAX_ROWS - 1, index, words)
    drawn.set_default_row(ROW_HEIGHT)
    drawn.set_row(0, 1.5 * ROW_HEIGHT)
    drawn.freeze_panes(1, 1 if view else 0)
    # Over the hidden columns too: sorting must take whole rows along.
    drawn.autofilter(0, 0, max(1, len(rows)), len(sheet.columns) - 1)
    drawn.set_landscape()
    drawn.fit_to_pages(1, 0)
    drawn.repeat_rows(0)


def cell_format(column: Column) -> dict[str, Any]:
    """The format of a column's cells. Dates stand to the left as text does, so that a column of both is one column.

    A long text is cut at its cell's edge and shows its first line, instead of running over its neighbours.
    """
    shape = f"#,##0.{'0' * column.scale}" if column.scale else _SHAPES[column.type]
    match column.type:
        case "integer":
            placed: dict[str, Any] = {"align": "right", "indent": 1}
        case "text":
            placed = {"align": "left", "text_wrap": True}
        case _:
            placed = {"align": "left"}
    return {"num_format": shape, "valign": "top", **placed}


def _width(column: Column, sample: Iterable[Any]) -> int:
    widest = max((display_width(line) for value in sample for line in _shown(column, value).split("\n")), default=0)
    return max(_NARROWEST, min(_WIDEST, max(widest + 2, display_width(column.heading) + _FILTER_ARROW + 1)))


def _shown(column: Column, value: Any) -> str:
    """About as wide as what the cell shows."""
    match value:
        case None:
            return ""
        case bool():
            return column.choices.get(str(value).lower(), "FALSE")
        case int():
            return f"{write_integer(value, column.scale):,}" if column.scale and abs(value) < 10**15 else str(value)
        case datetime():
            return "2024-03-18 14:30"
    return column.choices.get(value, value) if type(value) is str else str(value)


class _Lists:
    """The words of drop-downs, on a hidden sheet: there they may be many, and hold commas.

    They are named, since Excel keeps a drop-down that points to another sheet where older programs don't find it.
    """

    def __init__(self, book: Book) -> None:
        self._book = book
        self._columns: dict[tuple[str, ...], int] = {}

    def source(self, column: Column) -> str:
        """What a drop-down of the column's choices refers to."""
        return "=" + list_name(self._columns.setdefault(tuple(column.choices.values()), len(self._columns)))

    def draw(self) -> None:
        """Draws the sheet."""
        sheet = self._book.workbook.add_worksheet(LISTS)
        for words, index in self._columns.items():
            self._book.workbook.define_name(list_name(index), "=" + list_cells(index, len(words)))
            for row, word in enumerate(words):
                self._book.place(sheet, row, index, word, self._book.format(num_format="@"))
        sheet.very_hidden()


def list_name(index: int) -> str:
    """The name of a list's cells in the workbook."""
    return f"crmcore_list_{index + 1}"


def list_cells(index: int, length: int) -> str:
    """Where the words of a list stand."""
    return f"'{LISTS}'!${letters(index)}$1:${letters(index)}${length}"


def _draw_guide(book: Book, marks: Marks, presentation: Presentation) -> None:
    language = book.language
    sheet = book.workbook.add_worksheet(guide_title(presentation))
    sheet.set_default_row(ROW_HEIGHT)
    sheet.hide_gridlines(2)
    number = 0
    for number, line in enumerate(presentation.guide, 1):
        book.place(sheet, number - 1, 0, line, book.format(valign="vcenter"))
    number += number > 0
    for index, (label, width) in enumerate(zip(_GUIDE_HEADINGS, _GUIDE_WIDTHS, strict=True)):
        sheet.set_column(index, index, width)
        book.place(sheet, number, index, label.text(language), book.format(**HEADER))
    wrapped = book.format(num_format="@", text_wrap=True, valign="vcenter", bottom=1, bottom_color=LINE)
    for laid in marks.sheets:
        view = presentation.sheets.get(laid.collection)
        if view is None:
            continue
        for row in _guide_rows(laid, view, language):
            number += 1
            lines = max(-(-display_width(text) // (width - 2)) for text, width in zip(row, _GUIDE_WIDTHS, strict=True))
            sheet.set_row(number, ROW_HEIGHT * max(1, lines))
            for index, text in enumerate(row):
                book.place(sheet, number, index, text, wrapped)
    sheet.set_landscape()
    sheet.fit_to_pages(1, 0)


def _guide_rows(sheet: SheetLayout, view: SheetView, language: Language) -> Iterable[tuple[str, ...]]:
    addable = _ROWS_ADDABLE if view.addable else _ROWS_FIXED
    yield sheet.title, "", "", addable.text(language), ""
    for column in sheet.columns:
        if column.shown:
            field = view.fields[column.field]
            filled = field.editable or field.fillable
            how = _HOW["choice" if column.choices else "scaled" if column.scale else column.type]
            words = ("、" if language == "zh-CN" else "; ").join(column.choices.values())
            may = (_MAY if field.editable else _MAY_FILL if field.fillable else _MAY_NOT).text(language)
            yield sheet.title, column.heading, may, how.text(language) if filled else "", words if filled else ""


def guide_headings(presentation: Presentation) -> list[str]:
    """What stands over the guide's table."""
    return [label.text(_language(presentation)) for label in _GUIDE_HEADINGS]


def guide_title(presentation: Presentation) -> str:
    """The title of the guide's sheet, as near to the presentation's as the program allows."""
    return free_name(presentation.guide_title or _GUIDE.text(_language(presentation)), set())
