"""What people read in place of what is kept can be read back as exactly that, whatever stands in the rows."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from crmcore.storage import Collection, Field, FieldView, Presentation, Schema, SheetView
from crmcore_excel.layout import lay_out
from crmcore_excel.showing import keep_rows, names_of, show_rows, without_doubt


def collection(name: str, *fields: str) -> Collection:
    columns = (
        Field("id", "text", False),
        Field("version", "integer", False),
        *(Field(field, "text") for field in fields),
    )
    return Collection(name=name, fields=columns)


SCHEMA = Schema.of(1, [collection("customers", "number", "name"), collection("contacts", "customer_id", "phones")])
PRESENTATION = Presentation(
    sheets={
        "customers": SheetView(
            title="客户",
            fields={"number": FieldView(heading="编号"), "name": FieldView(heading="名称")},
            called=("number", "name"),
        ),
        "contacts": SheetView(
            title="联系人",
            fields={
                "customer_id": FieldView(heading="客户", refers="customers"),
                "phones": FieldView(heading="电话", listed=True),
            },
        ),
    }
)


def shown(rows: dict[str, list[Any]]) -> tuple[Any, Any, Any]:
    laid = lay_out(SCHEMA, PRESENTATION, rows)
    names = names_of(laid, SCHEMA, rows)
    sheets = without_doubt(laid, SCHEMA, names, rows)
    return sheets, names, show_rows(sheets, SCHEMA, names, rows)


IDS = st.sampled_from(["a", "b", "c"])
TEXT = st.none() | st.sampled_from(["a", "b", "1 x", "x", "1", "[", "", "\x01"]) | st.text(max_size=5)
PART = st.sampled_from(["138", "a;b", "甲；乙", " ", "[1]", ""]) | st.text(max_size=5)
LIST = st.lists(PART, max_size=3).map(lambda parts: json.dumps(parts, ensure_ascii=False, separators=(",", ":")))


@given(
    customers=st.dictionaries(IDS, st.tuples(TEXT, TEXT), max_size=3),
    contacts=st.lists(st.tuples(IDS | TEXT, st.none() | LIST | TEXT), max_size=4),
)
def test_what_is_shown_is_read_back_as_what_is_kept(customers, contacts):
    rows = {
        "customers": [(id, 1, number, name) for id, (number, name) in customers.items()],
        "contacts": [(f"contact {n}", 1, customer, phones) for n, (customer, phones) in enumerate(contacts)],
    }
    sheets, _, seen = shown(rows)
    back = {name: list(found) for name, found in seen.items()}
    names = names_of(sheets, SCHEMA, back)
    for sheet in sheets:
        assert keep_rows(sheet, SCHEMA, names, back[sheet.collection]) == rows[sheet.collection]


def test_people_read_the_name_of_a_customer_and_lists_with_semicolons():
    rows: dict[str, list[Any]] = {
        "customers": [("a", 1, "KH-1", "示例科技有限公司"), ("b", 1, None, "同名"), ("c", 1, None, "同名")],
        "contacts": [("1", 1, "a", '["138","139"]'), ("2", 1, "b", '["一;二"]'), ("3", 1, "gone", None)],
    }
    _, _, seen = shown(rows)
    assert [row[2:] for row in seen["contacts"]] == [
        ("KH-1 示例科技有限公司", "138; 139"), ("b", '["一;二"]'), ("gone", None)
    ]  # fmt: skip
