"""What may be paid on an order, and on which instalment it is laid."""

from __future__ import annotations

from datetime import UTC, date, datetime

from hypothesis import given
from hypothesis import strategies as st

from crmcore.domain import Instalment, Money, Order
from crmcore.rules.payments import amount_issues, collect_issues, laid_on, open_amount, plan_issues, spread, total

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
STAMPS = {"created_at": NOW, "created_by": "li", "updated_at": NOW, "updated_by": "li"}


def order(amount: int | None, collected: int | None = None) -> Order:
    money = [None if minor is None else Money(minor) for minor in (amount, collected)]
    return Order(id="o", number="1", customer_id="c", amount=money[0], collected=money[1], **STAMPS)


def instalment(number: int, amount: int | None, collected: int = 0, day: int = 1) -> Instalment:
    return Instalment(
        id=str(number),
        order_id="o",
        customer_id="c",
        due_on=date(2026, 5, day),
        amount=None if amount is None else Money(amount),
        collected=Money(collected) if collected else None,
        **STAMPS,
    )


@st.composite
def plans(draw: st.DrawFn) -> list[Instalment]:
    amounts = draw(st.lists(st.integers(1, 1000), min_size=1, max_size=5))
    return [
        instalment(number, amount, draw(st.integers(0, amount)), draw(st.integers(1, 28)))
        for number, amount in enumerate(amounts)
    ]


@given(plans(), st.integers(1, 6000))
def test_a_payment_is_laid_on_the_earliest_and_nothing_of_it_is_lost(parts: list[Instalment], minor: int) -> None:
    left = sum(open_amount(part) or 0 for part in parts)
    paid = sum(part.collected.minor for part in parts if part.collected)
    whole = order(sum(part.amount.minor for part in parts if part.amount), paid or None)
    refused = collect_issues(whole, parts, Money(minor), "CNY")
    assert bool(refused) is (minor > left)
    if refused:
        return
    laid = spread(parts, Money(minor))
    assert sum(amount.minor for _, amount in laid) == minor
    assert all(0 < amount.minor <= (open_amount(part) or 0) for part, amount in laid)
    # Whatever falls due before one that got something is paid in full by then.
    got = {part.id: amount.minor for part, amount in laid}
    for part in parts:
        for other in parts:
            if part.due_on < other.due_on and other.id in got:
                assert got.get(part.id, 0) == open_amount(part)


@given(st.integers(-100, 100), st.sampled_from(("CNY", "EUR")), st.integers(1, 100), st.integers(0, 100))
def test_no_payment_is_below_zero_in_another_currency_or_beyond_the_amount(
    minor: int, currency: str, amount: int, before: int
) -> None:
    before = min(before, amount)
    codes = {
        (issue.code, issue.facts.get("limit"))
        for issue in collect_issues(
            order(amount, before or None), [order(amount, before or None)], Money(minor, currency), "CNY"
        )
    }
    assert (("other_currency", None) in codes) is (currency != "CNY")
    assert (("out_of_range", "amounts above zero") in codes) is (minor <= 0)
    assert (("out_of_range", "what is still to be paid") in codes) is (minor > amount - before)


@given(plans(), st.integers(-3, 3))
def test_instalments_add_up_when_complete_and_go_no_further_when_not(parts: list[Instalment], off: int) -> None:
    told = sum(part.amount.minor for part in parts if part.amount)
    whole = order(told + off) if told + off > 0 else order(told)
    off = whole.amount.minor - told if whole.amount else 0
    paid = sum(part.collected.minor for part in parts if part.collected)
    whole = whole.replace(collected=Money(paid))
    assert bool(plan_issues(whole, parts, complete=True)) is (off != 0)
    assert bool(plan_issues(whole, parts, complete=False)) is (off < 0)


@given(plans(), st.integers(0, 100), st.integers(0, 100))
def test_what_was_paid_beyond_the_instalments_leaves_them_the_rest(
    parts: list[Instalment], beyond: int, room: int
) -> None:
    told = sum(part.amount.minor for part in parts if part.amount)
    paid = sum(part.collected.minor for part in parts if part.collected)
    whole = order(told + room, paid + beyond)
    assert bool(plan_issues(whole, parts, complete=False)) is (beyond > room)


@given(plans(), st.integers(0, 1000))
def test_the_rest_of_an_order_can_be_paid_whatever_its_instalments(parts: list[Instalment], beyond: int) -> None:
    told = sum(part.amount.minor for part in parts if part.amount)
    paid = sum(part.collected.minor for part in parts if part.collected)
    whole = order(told + beyond, paid or None)
    left = open_amount(whole) or 0
    if left:
        assert collect_issues(whole, laid_on(whole, parts), Money(left), "CNY") == []
    assert collect_issues(whole, laid_on(whole, parts), Money(left + 1), "CNY")
    assert laid_on(order(None), parts) == parts
    assert laid_on(order(None), []) == [order(None)]


def test_what_is_not_known_takes_what_is_left() -> None:
    parts = [instalment(1, 100), instalment(2, None, day=2)]
    assert [(part.id, amount.minor) for part, amount in spread(parts, Money(250))] == [("1", 100), ("2", 150)]
    assert collect_issues(order(None), [order(None)], Money(10**9), None) == []
    assert collect_issues(order(200), parts, Money(250), "CNY")[0].code == "out_of_range"
    assert total([None, Money(1), Money(2)]) == Money(3)
    assert total([None]) is None
    assert amount_issues("order.amount", None) == []
