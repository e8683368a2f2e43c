"""RFM, ABC and re-tiering of 23,570 real customers, held against a few independent lines over the raw file."""

from __future__ import annotations

import datetime
from bisect import bisect_left
from collections import Counter, defaultdict
from decimal import Decimal

import pytest

from crmcore.domain import Customer, Money, Order
from crmcore.metrics import abc, retier, rfm
from crmcore.playbooks import load

TODAY = datetime.date(1998, 6, 30)
NOW = datetime.datetime(1998, 6, 30, 4, tzinfo=datetime.UTC)
STAMPS = {"created_at": NOW, "created_by": "a", "updated_at": NOW, "updated_by": "a"}
SHARES = """
    extends = "standard"
    key = "shares"
    currency = "USD"
    [tiering]
    method = "shares"
    margin = 0
    window = "2 years"
    bands = { A = 80, B = 95, C = 100 }
    criteria = false
"""


@pytest.fixture(scope="module")
def purchases(shared_data):
    """Customer, day and amount, as the file has them."""
    lines = (shared_data / "large_cdnow" / "CDNOW_master.txt").read_text("ascii").splitlines()[1:]
    split = [line.split() for line in lines if line.strip()]
    return [(id, datetime.date.fromisoformat(day), Decimal(amount)) for id, day, _, amount in split]


@pytest.fixture(scope="module")
def orders(purchases):
    return [
        Order(id=str(index), number=str(index), customer_id=id, signed_on=day, amount=Money.of(amount, "USD"), **STAMPS)
        for index, (id, day, amount) in enumerate(purchases)
    ]


@pytest.fixture(scope="module")
def shares():
    return load("shares", {"shares": SHARES})


@pytest.fixture(scope="module")
def sums(purchases):
    found = defaultdict(Decimal)
    for id, _, amount in purchases:
        found[id] += amount
    return found


def test_rfm_equals_an_independent_count(purchases, orders, sums):
    found = {worth.customer_id: worth for worth in rfm(orders, currency="USD", today=TODAY).worths}
    assert (len(found), len(purchases)) == (23_570, 69_659)
    last, times = {}, Counter()
    for id, day, _ in purchases:
        last[id] = max(day, last.get(id, day))
        times[id] += 1
    for value, score in (
        (lambda id: last[id].toordinal(), lambda worth: worth.r),
        (lambda id: times[id], lambda worth: worth.f),
        (lambda id: sums[id], lambda worth: worth.m),
    ):
        ranked = sorted(map(value, last))
        expected = {id: 1 + int(5 * bisect_left(ranked, value(id)) / len(ranked)) for id in last}
        assert {id: score(worth) for id, worth in found.items()} == expected
    assert all((TODAY - last[id]).days == worth.recency for id, worth in found.items())
    assert all(worth.monetary.amount == sums[id] for id, worth in found.items())


def test_abc_equals_an_independent_count(orders, sums, shares):
    found = abc(orders, shares, TODAY)
    total, before, group, expected = sum(sums.values()), Decimal(0), Decimal(0), {}
    last = None
    for id, amount in sorted(sums.items(), key=lambda item: item[1], reverse=True):
        if amount != last:
            before, group, last = before + group, Decimal(0), amount
        group += amount
        expected[id] = "A" if before < total * 80 / 100 else "B" if before < total * 95 / 100 else "C"
        if not amount:
            expected[id] = "C"
    assert found.tiers == expected
    assert {tier: money.amount for tier, money in found.amounts.items()} == {
        tier: sum(amount for id, amount in sums.items() if expected[id] == tier) for tier in "ABC"
    }
    row = found.table().records()[0]
    assert row["share"] >= 0.8 > row["customer_share"]


def test_re_tiering_everybody_comes_to_the_same(orders, shares):
    ids = {order.customer_id for order in orders}
    customers = [
        Customer(id=id, number=id, name=id, tier="C", stage="customer", stage_since=NOW, **STAMPS) for id in ids
    ]
    report = retier(customers, orders, shares, TODAY)
    assert report.total == 23_570
    assert {tier: number for (_, tier), number in report.counts.items()} == abc(orders, shares, TODAY).customers
