"""Tables: what they hold, and how they look in a terminal."""

from __future__ import annotations

import unicodedata
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmcore.domain import Money
from crmcore.domain.policies import Label
from crmcore.metrics.tables import Column, Table, display_width, plain

STAGES = {"lead": Label(zh="线索", en="Lead")}


def small() -> Table:
    return Table(
        "deals",
        "成交",
        "Deals",
        (
            Column("stage", "阶段", "Stage", labels=STAGES, blank=Label(zh="无", en="none")),
            Column("share", "占比", "Share", "percent"),
            Column("paid", "金额", "Paid", "money"),
            Column("on", "日期", "On", "date"),
            Column("mean", "天数", "Days", "days"),
        ),
        (
            ("lead", 1 / 3, Money(123450), date(2024, 3, 1), 2.25),
            (None, None, None, None, None),
            ("other", 1.0, Money(1), date(2024, 12, 31), 1000.0),
        ),
        (Label(zh="说明", en="a note"),),
    )


def test_text_is_aligned_with_labels_in_the_language() -> None:
    assert small().to_text("zh-CN").splitlines() == [
        "成交",
        "阶段     占比  金额 (CNY)  日期           天数",
        "-----  ------  ----------  ----------  -------",
        "线索    33.3%    1,234.50  2024-03-01      2.2",
        "无",
        "other  100.0%        0.01  2024-12-31  1,000.0",
        "说明",
    ]
    assert small().to_text("en").splitlines()[3].startswith("Lead ")


def test_mixed_currencies_stand_beside_each_amount() -> None:
    table = Table("t", "表", "T", (Column("paid", "金额", "Paid", "money"),), ((Money(100),), (Money(5, "JPY"),)))
    assert table.to_text("en").splitlines()[1:] == ["    Paid", "--------", "1.00 CNY", "   5 JPY"]


def test_an_empty_table_says_so() -> None:
    table = Table("t", "表", "T", (Column("name", "名称", "Name"),), ())
    assert table.to_text("zh-CN").splitlines()[-1] == "(没有记录)"


def test_a_row_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="doesn't fit"):
        Table("t", "表", "T", (Column("name", "名称", "Name"),), (("a", "b"),))


def test_records_keep_keys_and_values() -> None:
    assert small().records()[0] == {
        "stage": "lead",
        "share": 1 / 3,
        "paid": Money(123450),
        "on": date(2024, 3, 1),
        "mean": 2.25,
    }


def test_plain_says_money_and_times_for_json() -> None:
    assert plain({"paid": (Money(50, "USD"),), "at": datetime(2024, 1, 1, tzinfo=UTC), "to": STAGES["lead"]}) == {
        "paid": [{"amount": "0.50", "currency": "USD"}],
        "at": "2024-01-01T00:00:00+00:00",
        "to": {"zh": "线索", "en": "Lead"},
    }


@given(st.lists(st.lists(st.none() | st.text(max_size=12), min_size=3, max_size=3), max_size=5))
def test_every_line_of_a_body_is_cut_to_its_columns(rows: list[list[str | None]]) -> None:
    columns = tuple(Column(key, "列", "column") for key in "abc")
    lines = Table("t", "表", "T", columns, tuple(map(tuple, rows))).to_text("zh-CN").split("\n")
    rule = lines[2]
    assert len(lines) == 3 + max(1, len(rows))
    for line in lines[3:] if rows else ():
        assert display_width(line) <= len(rule)


@given(st.text())
def test_width_counts_wide_characters_twice(text: str) -> None:
    composed = unicodedata.normalize("NFC", text)
    assert (
        len(composed) - sum(map(bool, map(unicodedata.combining, composed)))
        <= display_width(composed)
        <= 2 * len(composed)
    )
    assert display_width("客户A") == 5
    assert display_width("é") == display_width("e\u0301") == 1
