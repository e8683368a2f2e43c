"""RFM and ABC: fair to equals, right about the better, and complete."""

from __future__ import annotations

import datetime
import json

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmcore.domain import Customer, Money, Order
from crmcore.domain.policies import Tiering
from crmcore.errors import DomainError
from crmcore.metrics import abc, rfm
from crmcore.playbooks import load

NOW = datetime.datetime(2026, 11, 30, 2, tzinfo=datetime.UTC)
TODAY = datetime.date(2026, 11, 30)
STAMPS = {"created_at": NOW, "created_by": "a", "updated_at": NOW, "updated_by": "a"}
STANDARD = load("standard")
SHARES = attrs.evolve(STANDARD, tiering=Tiering(method="shares", bands={"A": 80, "B": 95, "C": 100}))


def order(customer_id, signed_on, amount):
    return Order(id="o", number="O", customer_id=customer_id, signed_on=signed_on, amount=amount, **STAMPS)


ORDERS = st.lists(
    st.builds(
        order,
        st.sampled_from("abcdefghij"),
        st.none() | st.dates(TODAY - datetime.timedelta(500), TODAY + datetime.timedelta(9)),
        st.none() | st.builds(Money, st.integers(0, 900), st.sampled_from(["CNY", "CNY", "CNY", "USD"])),
    ),
    max_size=40,
)


@given(ORDERS, st.none() | st.dates(TODAY - datetime.timedelta(400), TODAY))
def test_a_better_customer_never_scores_less_and_equals_score_alike(orders, since):
    worths = rfm(orders, currency="CNY", today=TODAY, since=since).worths
    for values, scores in (
        ([-worth.recency for worth in worths], [worth.r for worth in worths]),
        ([worth.frequency for worth in worths], [worth.f for worth in worths]),
        ([worth.monetary.minor for worth in worths], [worth.m for worth in worths]),
    ):
        for value, score in zip(values, scores, strict=True):
            worse = sum(other < value for other in values)
            assert score == 1 + 5 * worse // len(values)
            assert 1 <= score <= 5


@given(ORDERS, st.none() | st.dates(TODAY - datetime.timedelta(400), TODAY))
def test_everybody_with_an_order_in_the_period_is_there_once(orders, since):
    found = rfm(reversed(orders), currency="CNY", today=TODAY, since=since)
    assert found == rfm(orders, currency="CNY", today=TODAY, since=since)
    counted = [one for one in orders if one.signed_on and (since or datetime.date.min) <= one.signed_on <= TODAY]
    assert sorted(worth.customer_id for worth in found.worths) == sorted({one.customer_id for one in counted})
    assert sum(worth.frequency for worth in found.worths) == len(counted)
    own = sum(one.amount.minor for one in counted if one.amount and one.amount.currency == "CNY")
    assert sum(worth.monetary.minor for worth in found.worths) == own
    assert sum(found.cells.values()) == len(found.worths)


def test_a_fifth_of_the_customers_gets_each_score():
    orders = [
        order(str(place), TODAY - datetime.timedelta(place), Money.of(1000 - place))
        for place in range(100)
        for _ in range(100 - place)
    ]
    worths = rfm(orders, currency="CNY", today=TODAY).worths
    assert [worth.cell for worth in worths] == [
        f"{score}{score}{score}" for score in (5, 4, 3, 2, 1) for _ in range(20)
    ]


def test_the_table_of_value_knows_the_customers_it_is_told():
    acme = Customer(id="a", number="C1", name="甲", stage="customer", stage_since=NOW, **STAMPS)
    found = rfm(
        [order("a", TODAY, Money.of("12.50")), order("b", TODAY, Money.of(3, "USD"))], currency="CNY", today=TODAY
    )
    first, second = found.table({"a": acme}).records()
    assert (first["number"], first["name"], first["monetary"], first["cell"]) == ("C1", "甲", Money.of("12.50"), "113")
    assert (second["number"], second["name"], second["monetary"].minor) == ("b", None, 0)
    assert len(found.table(first=1).rows) == 1
    assert "Amounts in other currencies are left out." in found.table().to_text()
    assert "客户价值(RFM)" in found.table().to_text("zh-CN")
    assert json.loads(json.dumps(found.to_plain()))["cells"] == {"113": 1, "111": 1}
    assert rfm([], currency="CNY", today=TODAY).table().rows == ()


@given(ORDERS)
def test_the_tiers_of_an_abc_hold_everybody_and_everything(orders):
    found = abc(orders, SHARES, TODAY)
    assert found.tiers.keys() == {one.customer_id for one in orders}
    assert list(found.customers) == list(found.amounts) == ["A", "B", "C"]
    assert sum(found.customers.values()) == len(found.tiers)
    rows = found.table().records()
    shares = [row["share"] for row in rows]
    if any(money.minor for money in found.amounts.values()):
        assert sum(shares) == pytest.approx(1)
        assert rows[0]["share"] >= 0.8
        assert rows[0]["cumulated"] <= rows[1]["cumulated"] <= rows[2]["cumulated"] == 1
    else:
        assert shares == [None, None, None]
    json.dumps(found.to_plain())


def test_an_abc_needs_shares():
    with pytest.raises(DomainError, match="standard does not tier by shares"):
        abc([], STANDARD, TODAY)
    assert "B级" in abc([], SHARES, TODAY).table().to_text("zh-CN")
