"""The report of a re-tiering counts everybody once, whatever the order in which they come."""

from __future__ import annotations

import datetime
import json
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from crmcore.domain import Customer, Money, Order
from crmcore.metrics import retier
from crmcore.playbooks import load

NOW = datetime.datetime(2026, 11, 30, 2, tzinfo=datetime.UTC)
TODAY = datetime.date(2026, 11, 30)
STAMPS = {"created_at": NOW, "created_by": "a", "updated_at": NOW, "updated_by": "a"}
PLAYBOOK = load("standard")


@st.composite
def stores(draw):
    customers, orders = [], []
    for index in range(draw(st.integers(0, 8))):
        fields = {
            "tier": draw(st.sampled_from([None, "A", "B", "C", "former"])),
            "scale": draw(st.sampled_from([None, "large", "small_medium"])),
            "potential": draw(st.sampled_from([None, "A", "B", "C"])),
            "tier_reason": draw(st.sampled_from([None, None, "年度重点"])),
            "tier_until": draw(st.sampled_from([None, TODAY, TODAY - datetime.timedelta(1)])),
        }
        id = f"c{index}"
        customers.append(
            Customer(id=id, number=f"N{index}", name="甲", stage="customer", stage_since=NOW, **STAMPS, **fields)
        )
        for amount in draw(st.lists(st.sampled_from([5_000, 60_000, 400_000]), max_size=3)):
            signed = TODAY - datetime.timedelta(draw(st.integers(0, 500)))
            orders.append(
                Order(id="o", number="O", customer_id=id, signed_on=signed, amount=Money.of(amount), **STAMPS)
            )
    return customers, orders


@given(stores())
def test_everybody_is_counted_once(store):
    customers, orders = store
    report = retier(customers, orders, PLAYBOOK, TODAY)
    assert report == retier(reversed(customers), reversed(orders), PLAYBOOK, TODAY)
    assert report.total == len(customers)
    assert Counter(before for before, _ in Counter(report.counts).elements()) == Counter(one.tier for one in customers)
    told = [one.customer.id for one in (*report.moved, *report.kept, *report.lapsed)]
    assert len(told) == len(set(told))
    assert all(one.tier != one.before for one in report.moved)
    assert all(one.tier == one.before and one.held for one in report.kept)
    assert sum(number for (before, tier), number in report.counts.items() if before != tier) == len(report.moved)
    assert len(report.to_table().rows) == len(report.moved) + len(report.kept)
    json.dumps(report.to_plain())


@given(stores())
def test_a_second_run_moves_nobody(store):
    customers, orders = store
    report = retier(customers, orders, PLAYBOOK, TODAY)
    taken = {one.customer.id: one.customer.replace(**one.changes) for one in (*report.moved, *report.lapsed)}
    again = retier([taken.get(one.id, one) for one in customers], orders, PLAYBOOK, TODAY)
    assert (again.moved, again.lapsed) == ((), ())


def test_the_report_in_words():
    large = Customer(
        id="c", number="N1", name="甲", scale="large", potential="A", stage="customer", stage_since=NOW, **STAMPS
    )
    text = "\n".join(table.to_text("zh-CN") for table in retier([large], [], PLAYBOOK, TODAY).tables)
    for word in ("分级变化", "未填写", "B级", "客户分级调整", "按规则", "60"):
        assert word in text
