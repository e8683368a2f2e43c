"""Empty workbooks to fill in: one sheet per table of a playbook, drop-downs, and a guide to every column.

A sheet holds nothing but its header, so nothing but what people enter is ever imported; the example stands in the guide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import attrs

from crmcore.domain.playbook import DERIVED_FIELDS, FIELD_KINDS, NEEDED_FIELDS, Playbook
from crmcore.domain.policies import Label, Table
from crmcore.errors import Language, NotFound
from crmcore.metrics.tables import display_width
from crmcore_excel.book import HEADER, MAX_ROWS, SHAPES, Book, new_book, number_format

#: The longest list that a drop-down can hold by itself, commas counted; a longer one refers to cells.
MAX_LIST = 255
_ROW_HEIGHT = 18

_GUIDE = Label(zh="填写说明", en="Guide")
_LISTS = Label(zh="字典", en="Lists")
_REQUIRED = Label(zh="必填", en="Required")
_OPTIONAL = Label(zh="选填", en="Optional")
_OTHERS_TOO = Label(zh="(也可填写其他内容)", en=" (or anything else)")

#: What the guide says of every column, and how wide it stands.
_GUIDE_COLUMNS = (
    (Label(zh="工作表", en="Sheet"), 24),
    (Label(zh="填写列", en="To fill in"), 28),
    (Label(zh="是否必填", en="Required?"), 24),
    (Label(zh="填写方式", en="How"), 44),
    (Label(zh="可选内容", en="What to choose from"), 60),
    (Label(zh="填写示例", en="Example"), 32),
)

#: How each kind of field is filled in.
_HINTS: Mapping[str, Label] = {
    "text": Label(zh="文字", en="Text"),
    "choice": Label(zh="从下拉列表选择", en="Choose from the list"),
    "integer": Label(zh="整数", en="A whole number"),
    "decimal": Label(zh="数字", en="A number"),
    "flag": Label(zh="从下拉列表选择", en="Choose from the list"),
    "day": Label(zh="日期,如 2024-03-18", en="A date, as 2024-03-18"),
    "instant": Label(zh="日期或日期时间,如 2024-03-18 14:30", en="A date or a date and time, as 2024-03-18 14:30"),
    "money": Label(zh="金额,只填数字", en="An amount: the figure alone"),
    "texts": Label(zh="可填多项,以分号分隔", en="One or more, with semicolons between"),
}
#: Columns that want more to be said.
_OWN_HINTS: Mapping[str, Label] = {
    "customer.number": Label(zh="留空则自动编号", en="Left blank, a number is drawn"),
    "customer.name": Label(zh="企业填写全称,不用简称", en="The full name, not abbreviated"),
    "customer.headcount": Label(zh="人数或范围,如 100-500人", en="A number or a range, as 100-500"),
    "customer.grading": Label(
        zh="规模/紧急度/潜力,如 大型企业/紧急/A级", en="Scale/urgency/potential, as large/urgent/A"
    ),
    "customer.registered_on": Label(zh="日期,如 2024-03-18", en="A date, as 2024-03-18"),
    "customer.history": Label(
        zh="日期,内容;日期,内容;如 2024-04-20,电话沟通;2024-03-10,首次拜访",
        en="Date, text; date, text; as 2024-04-20,called;2024-03-10,first visit",
    ),
    "contact.reach": Label(
        zh="电话、邮箱或微信号,多项以分号分隔", en="Phone, e-mail or WeChat, with semicolons between"
    ),
}
_NAMES_CUSTOMER = Label(
    zh="编号与名称至少填一项,对应已登记的客户", en="Number or name of a customer on file: one is enough"
)
_BY_ENDING: Mapping[str, Label] = dict.fromkeys(
    ("customer_number", "customer_name", "referrer_number", "referrer_name"), _NAMES_CUSTOMER
)


@attrs.frozen(kw_only=True)
class _Field:
    """A column of a template: what it is called, what may stand in it, and whether anything else may."""

    field: str
    title: str
    kind: str
    required: bool
    words: tuple[str, ...]
    strict: bool
    example: str


def write_template(
    path: Path, playbook: Playbook, table_keys: Sequence[str] | None = None, *, language: Language = "zh-CN"
) -> None:
    """Writes a workbook to fill in: a sheet per table, and a guide. Without ``table_keys`` every table that people fill in,
    which is one without columns that an export works out; such columns are left out in any case.

    Required columns are marked ``*``. Raises :class:`NotFound` for a table
    that the playbook doesn't have, and what :func:`crmcore_excel.writer.write` raises.
    """
    entered = [key for key, table in playbook.tables.items() if not set(table.columns) & DERIVED_FIELDS.keys()]
    keys = entered if table_keys is None else table_keys
    if unknown := [key for key in keys if key not in playbook.tables]:
        raise NotFound(f"the playbook {playbook.key} has no table {', '.join(unknown)}", tables=tuple(playbook.tables))
    tables = [playbook.tables[key] for key in keys]
    with new_book(path, title=playbook.title.text(language), language=language) as book:
        filled = [(table, _fields(playbook, table, language)) for table in tables]
        lists = _Lists(book, _LISTS.text(language))
        for table, fields in filled:
            _write_sheet(book, lists, table.label.text(language), fields)
        _write_guide(book, playbook, filled)
        lists.write()


def _fields(playbook: Playbook, table: Table, language: Language) -> list[_Field]:
    required = _required(playbook, table)
    fields = []
    for field in table.columns:
        if field in DERIVED_FIELDS:
            continue
        own, kind = playbook.custom_fields.get(field), FIELD_KINDS.get(field)
        name = own.kind if own else kind.name if kind else "day" if field == "customer.registered_on" else "text"
        words = tuple(label.text(language) for label in playbook.vocabulary(field).values())
        fixed = name in ("choice", "flag") or field == "customer.tier" or field.endswith(".stage")
        fields.append(
            _Field(
                field=field,
                title=playbook.label(field, language),
                kind=name,
                required=field in required,
                words=words,
                strict=bool(words) and fixed,
                example=table.example.get(field, ""),
            )
        )
    return fields


def _required(playbook: Playbook, table: Table) -> set[str]:
    needed = (group[0] for group in NEEDED_FIELDS.get(table.entity, ()))
    names = (*needed, *playbook.required_fields(table.entity))
    return {name if "." in name else f"{table.entity}.{name}" for name in names}


class _Lists:
    """The lists too long to stand in a drop-down itself, on a hidden sheet. It has no header, so that it never looks like
    a table to import."""

    def __init__(self, book: Book, name: str) -> None:
        self._book, self._name = book, name
        self._columns: dict[tuple[str, ...], int] = {}

    def source(self, words: tuple[str, ...]) -> list[str] | str:
        """What a drop-down of these words refers to."""
        if len(",".join(words)) <= MAX_LIST and not any("," in word or word.startswith("=") for word in words):
            return list(words)
        column = self._columns.setdefault(words, len(self._columns))
        from xlsxwriter.utility import xl_range_abs

        return f"='{self._name}'!{xl_range_abs(0, column, len(words) - 1, column)}"

    def write(self) -> None:
        """Writes the sheet, where there is a list for it."""
        if not self._columns:
            return
        sheet = self._book.sheet(self._name)
        for words, column in self._columns.items():
            for row, word in enumerate(words):
                self._book.place(sheet, row, column, word, self._book.format(num_format="@"))
        sheet.hide()


def _write_sheet(book: Book, lists: _Lists, title: str, fields: Iterable[_Field]) -> None:
    sheet = book.sheet(title)
    sheet.freeze_panes(1, 0)
    sheet.set_landscape()
    sheet.fit_to_pages(1, 0)
    sheet.set_row(0, 1.25 * _ROW_HEIGHT)
    sheet.set_default_row(_ROW_HEIGHT)
    for index, field in enumerate(fields):
        heading = f"{field.title}*" if field.required else field.title
        widest = max(map(display_width, (heading, field.example, *field.words)))
        # Text by default: what looks like a number keeps its leading zeros and its last digits.
        shape = {"day": SHAPES["date"], "instant": SHAPES["instant"], "money": number_format("money"), "integer": "0"}
        sheet.set_column(index, index, max(12, min(40, widest + 4)), book.format(num_format=shape.get(field.kind, "@")))
        marked = {**HEADER, "bg_color": "#C00000"} if field.required else HEADER
        book.place(sheet, 0, index, heading, book.format(**marked))
        if field.words:
            sheet.data_validation(
                1,
                index,
                MAX_ROWS - 1,
                index,
                {"validate": "list", "source": lists.source(field.words), "show_error": field.strict},
            )


def _write_guide(book: Book, playbook: Playbook, filled: Iterable[tuple[Table, list[_Field]]]) -> None:
    """One row per column of every sheet."""
    language = book.language
    sheet = book.sheet(_GUIDE.text(language))
    sheet.freeze_panes(1, 2)
    sheet.set_landscape()
    sheet.fit_to_pages(1, 0)
    for index, (label, width) in enumerate(_GUIDE_COLUMNS):
        sheet.set_column(index, index, width)
        book.place(sheet, 0, index, label.text(language), book.format(**HEADER))
    sheet.set_row(0, 1.25 * _ROW_HEIGHT)
    rows = (
        (
            table.label.text(language),
            field.title,
            _need(playbook, field, language),
            _hint(playbook, field).text(language),
            _words(field, language),
            field.example,
        )
        for table, fields in filled
        for field in fields
    )
    wrapped = book.format(num_format="@", text_wrap=True, valign="vcenter")
    for number, row in enumerate(rows, 1):
        lines = (-(-display_width(text) // (width - 2)) for text, (_, width) in zip(row, _GUIDE_COLUMNS, strict=True))
        sheet.set_row(number, _ROW_HEIGHT * max(lines))
        for index, text in enumerate(row):
            if text:
                book.place(sheet, number, index, text, wrapped)


def _need(playbook: Playbook, field: _Field, language: Language) -> str:
    if field.required:
        return _REQUIRED.text(language)
    for condition, names in playbook.required.items():
        tested, _, value = condition.partition("=")
        dotted = {name if "." in name else f"{tested.partition('.')[0]}.{name}" for name in names}
        if value and field.field in dotted:
            label, choice = playbook.label(tested, language), playbook.choice_label(tested, value, language)
            return f"{label}为“{choice}”时必填" if language == "zh-CN" else f"Required where {label} is {choice}"
    return _OPTIONAL.text(language)


def _hint(playbook: Playbook, field: _Field) -> Label:
    found = _OWN_HINTS.get(field.field) or _BY_ENDING.get(field.field.rpartition(".")[2])
    if found:
        return found
    if field.kind == "money":
        hint = _HINTS["money"]
        return Label(zh=f"{hint.zh},单位{playbook.currency}", en=f"{hint.en}, in {playbook.currency}")
    if field.words and field.strict:
        return _HINTS["choice"]
    return _HINTS[field.kind]


def _words(field: _Field, language: Language) -> str:
    joined = ("、" if language == "zh-CN" else "; ").join(field.words)
    return joined + _OTHERS_TOO.text(language) if field.words and not field.strict else joined
