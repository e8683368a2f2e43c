"""How the tests' own stores are shown to people, and a few rows."""

from __future__ import annotations

from datetime import UTC, date, datetime

from crmcore.storage import Row
from crmcore.storage.presentation import FieldView, Presentation, SheetView
from crmcore.testing.difficult import DIFFICULT
from crmcore.testing.kit_schema import FIELD_TYPES, values_row

#: Headings that meet, choices that values are taken for, whole numbers as amounts.
PRESENTED = Presentation(
    sheets={
        "values": SheetView(
            title="各种值",
            fields={
                "some_integer": FieldView(heading="金额", scale=2, editable=True),
                "text": FieldView(heading="文字", choices={"a": "甲", "A": "乙", "TRUE": "是"}, editable=True),
                "boolean": FieldView(heading="是否", choices={"true": "是", "false": "否"}),
                **{type: FieldView(heading=f"值 {type}") for type in ("integer", "date", "instant", "decimal")},
            },
            addable=True,
        ),
        "group": SheetView(
            title="组", fields={"select": FieldView(heading="select"), "order": FieldView(heading="select")}
        ),
    },
    guide=("说明", "一行"),
    guide_title="说明",
    zone="Asia/Shanghai",
)


#: A sheet of customers.
VIEW = Presentation(
    sheets={
        "values": SheetView(
            title="客户",
            fields={
                "text": FieldView(heading="名称", editable=True),
                "some_text": FieldView(heading="类别", choices={"plain": "普通", "vip": "重点"}, editable=True),
                "integer": FieldView(heading="金额", scale=2, editable=True),
                "date": FieldView(heading="日期", editable=True),
                "instant": FieldView(heading="时间", editable=True),
                "boolean": FieldView(heading="有效", editable=True),
                "decimal": FieldView(heading="数值", editable=True),
            },
            addable=True,
        )
    },
    guide=("怎样填写",),
    guide_title="说明",
    zone="Asia/Shanghai",
)
ROWS = [
    values_row(
        "one", 1, text="甲公司", integer=123456, date=date(2024, 3, 1), instant=datetime(2024, 3, 1, 2, tzinfo=UTC)
    ),
    values_row("two", 1, text="乙公司", integer=-5),
    values_row("three", 1, text="丙公司"),
]


def difficult_rows() -> list[Row]:
    """A row for every difficult value of every type."""
    values = [(type, value) for type in FIELD_TYPES for value in DIFFICULT[type]]
    return [values_row(f"id {n}", 1, **{type: value, f"some_{type}": value}) for n, (type, value) in enumerate(values)]
