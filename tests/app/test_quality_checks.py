"""Samples of the files and files that lack something: drawn again the same, given out, taken in, summed up."""

from __future__ import annotations

from datetime import UTC, datetime

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import crmcore
from crmcore.errors import DomainError, ImportRejected, Invalid, NotFound
from crmcore.interchange.sheets import workbooks
from crmcore.rules.sampling import drawn

keys = st.lists(st.text(min_size=1, max_size=4), max_size=60, unique=True)


@given(keys, st.integers(1, 100), st.text(max_size=5), st.randoms())
def test_a_sample_is_drawn_the_same_again_in_any_order(found, percent, seed, chance):
    sample = drawn(found, percent, seed)
    shuffled = list(found)
    chance.shuffle(shuffled)
    assert drawn(shuffled, percent, seed) == sample
    assert len(sample) == -(-len(found) * percent // 100) == len(set(sample))
    assert set(sample) <= set(found)


@given(keys, st.integers(1, 99), st.text(max_size=5))
def test_a_larger_share_keeps_what_a_smaller_one_drew(found, percent, seed):
    smaller, larger = drawn(found, percent, seed), drawn(found, percent + 1, seed)
    assert larger[: len(smaller)] == smaller


def test_another_name_draws_others():
    customers = [str(number) for number in range(200)]
    assert drawn(customers, 10, "2026Q3") != drawn(customers, 10, "2026Q4")
    with pytest.raises(ValueError, match="1 to 100"):
        drawn(customers, 0, "x")


@pytest.fixture
def us(me):
    for number in range(20):
        owner = "hua" if number % 2 else "li"
        me.customers.register(name=f"第{number}公司", owner=owner, source="展会推广" if number % 4 else None)
    return me


def test_a_sample_is_checked_by_its_worksheet(us, tmp_path):
    checks = us.quality.draw("2026Q4", share=20)
    assert len(checks) == 4
    assert {check.verdict for check in checks} == {"open"}
    path = tmp_path / "sheet.xlsx"
    table = us.quality.worksheet("2026Q4")
    verdict, wrong = (
        table.columns.index(next(c for c in table.columns if c.key == k)) for k in ("verdict", "wrong_fields")
    )
    filled = [list(row) for row in table.rows]
    for place, row in enumerate(filled[:3]):
        row[verdict] = "错" if place == 0 else "对"
        row[wrong] = "客户来源、负责人" if place == 0 else None
    workbooks().write(path, [attrs.evolve(table, rows=tuple(map(tuple, filled)))])
    assert us.quality.take_in("2026Q4", path) == 3
    result = us.quality.result("2026Q4")
    assert (result.size, result.open, result.checked, result.right) == (4, 1, 3, 2)
    assert result.accuracy == pytest.approx(2 / 3)
    assert dict(result.wrong_fields) == {"customer.owner": 1, "customer.source": 1}
    assert sum(one.checked for one in result.slices["by_owner"]) == 3
    assert us.quality.take_in("2026Q4", path) == 3, "the same sheet again says the same"
    assert {check.checked_by for check in us.quality.of("2026Q4")} == {us.actor, None}
    again = us.quality.worksheet("2026Q4")
    assert [row[verdict] for row in again.rows] == [row[verdict] for row in filled]
    assert us.quality.samples() == ["2026Q4"]


def test_a_worksheet_with_faults_is_told_of_all_of_them_and_nothing_is_kept(us, tmp_path):
    us.quality.draw("Q", share=10)
    inside = next(iter(us.quality.worksheet("Q").rows))[0]
    outside = next(
        one.number for one in us.customers.find() if one.number not in {r[0] for r in us.quality.worksheet("Q").rows}
    )
    path = tmp_path / "sheet.csv"
    path.write_text(
        f"客户编号,核对结果(对/错),错误字段\n{inside},也许,\n{outside},对,\n无,对,\n{inside},错,火星\n{inside},对,客户来源\n",
        "utf-8",
    )
    with pytest.raises(Invalid) as told:
        us.quality.take_in("Q", path)
    assert [(one.row, one.code) for one in told.value.issues] == [
        (2, "bad_choice"),
        (3, "unknown_customer"),
        (4, "unknown_customer"),
        (5, "bad_choice"),
        (6, "refused"),
    ]
    assert us.quality.result("Q").checked == 0
    path.write_text(f"客户编号,核对结果(对/错)\n{inside},对\n{inside},错\n", "utf-8")
    with pytest.raises(Invalid) as twice:
        us.quality.take_in("Q", path)
    assert [(one.row, one.code) for one in twice.value.issues] == [(3, "refused")]
    assert us.quality.result("Q").checked == 0
    path.write_text("什么,都没有\n1,2\n", "utf-8")
    with pytest.raises(ImportRejected):
        us.quality.take_in("Q", path)


def test_a_finding_can_be_written_down_by_itself(us):
    us.quality.draw("Q", share=100)
    customer = us.customers.find().items[0]
    found = us.quality.record(
        "Q", customer, right=False, wrong_fields=["customer.address", "客户名称"], remarks="已核实"
    )
    assert (found.verdict, found.wrong_fields, found.checked_by) == (
        "wrong",
        ("customer.address", "customer.name"),
        us.actor,
    )
    with pytest.raises(NotFound):
        us.quality.record("R", customer, right=True)
    with pytest.raises(NotFound):
        us.quality.result("R")
    with pytest.raises(DomainError, match="already"):
        us.quality.draw("Q")
    with pytest.raises(Invalid):
        us.quality.draw(" ")
    with pytest.raises(Invalid):
        us.quality.draw("S", share=0)


OURS = """
extends = "standard"
key = "ours"
[required]
customer = ["name", "address", "contact.phones"]
"""


def test_the_files_that_lack_something_are_a_sheet_that_completes_them(tmp_path):
    (tmp_path / "ours.toml").write_text(OURS, "utf-8")
    with crmcore.open("memory:", tmp_path / "ours.toml") as crm:
        me = crm.acting_as("hua")
        with_all = {"address": "示例路1号", "contacts": [{"name": "李工", "phone": "13800138001"}]}
        me.customers.register(name="乙公司", **with_all)
        # What the playbook asks for now was not asked for when they were registered.
        for name in ("甲公司", "丙公司"):
            customer = me.customers.register(name=name, **with_all)
            crm.write(
                "hua", lambda work, customer=customer: work.change(customer, "customer.updated", {"address": None})
            )
        table = me.reports.incomplete()
        assert [(row[1], row[4]) for row in table.rows] == [("甲公司", "客户地址"), ("丙公司", "客户地址")]
        assert me.reports.quality().complete == 1
        place = next(place for place, column in enumerate(table.columns) if column.key == "customer.address")
        filled = tuple((*row[:place], "示例路2号", *row[place + 1 :]) for row in table.rows)
        workbooks().write(tmp_path / "fill.xlsx", [attrs.evolve(table, rows=filled)])
        done = me.imports.plan(tmp_path / "fill.xlsx", table="customers", duplicates="update").apply()
        assert (done.updated, done.rejected) == (2, 0), done.issues
        assert me.reports.incomplete().rows == ()
        assert me.reports.quality().completeness == 1


def test_timely_updates_are_told_by_owner_and_source(us):
    first, second = us.customers.find(order=("number",)).items[:2]
    us.follow_ups.log(first, summary="当天")
    us.follow_ups.log(second, summary="晚记", at=datetime(2023, 1, 1, tzinfo=UTC))
    told = {one.key: (one.asked, one.filled) for one in us.reports.quality().timely_slices["timely_by_owner"]}
    assert told == {first.owner: (1, 1), second.owner: (1, 0)}
