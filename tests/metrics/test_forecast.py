"""The forecast against plain arithmetic."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

from hypothesis import given
from hypothesis import strategies as st
from sales import GRAPH, KEYS, opportunity

from crmcore.domain import Money, Opportunity
from crmcore.metrics import Forecast, forecast

TODAY = date(2024, 6, 18)
PERCENT = {stage.key: stage.probability or 0 for stage in GRAPH.stages}
_MONEY = st.none() | st.builds(Money, st.integers(0, 10**9), st.sampled_from(["CNY", "USD", "JPY"]))
_DAYS = st.none() | st.dates(date(2024, 1, 1), date(2025, 3, 31))


@st.composite
def deals(draw: st.DrawFn) -> list[Opportunity]:
    return [
        opportunity(
            str(index),
            draw(st.sampled_from(KEYS)),
            owner=draw(st.sampled_from([None, "east", "west"])),
            expected_amount=draw(_MONEY),
            expected_close_on=draw(_DAYS),
            amount=draw(_MONEY),
            closed_on=draw(_DAYS),
        )
        for index in range(draw(st.integers(0, 12)))
    ]


def sums(found: list[Money]) -> tuple[Money, ...]:
    by_currency = defaultdict[str, int](int)
    for money in found:
        by_currency[money.currency] += money.minor
    return tuple(Money(by_currency[name], name) for name in sorted(by_currency))


def weighed(one: Opportunity) -> Money | None:
    if one.expected_amount is None:
        return None
    exact = Decimal(one.expected_amount.minor) * PERCENT[one.stage] / 100
    return Money(int(exact.to_integral_value(ROUND_HALF_UP)), one.expected_amount.currency)


@given(deals())
def test_the_forecast_is_what_plain_arithmetic_gives(made: list[Opportunity]) -> None:
    found = forecast(iter(made), GRAPH, today=TODAY)
    won = [one for one in made if one.outcome == "won"]
    ahead = [one for one in made if one.outcome == "open" and one.expected_close_on and one.expected_close_on >= TODAY]
    past = [one for one in made if one.outcome == "open" and one.expected_close_on and one.expected_close_on < TODAY]
    total = found.total
    assert (total.open, total.won) == (len(ahead), sum(one.closed_on is not None for one in won))
    assert total.expected == sums([one.expected_amount for one in ahead if one.expected_amount])
    assert total.weighted == sums([money for one in ahead if (money := weighed(one))])
    assert total.won_amount == sums([one.amount for one in won if one.amount and one.closed_on])
    assert total.outlook == sums([*total.weighted, *total.won_amount])
    assert (found.overdue.open, found.overdue.won) == (len(past), 0)
    assert found.overdue.weighted == sums([money for one in past if (money := weighed(one))])
    assert found.undated.open == sum(one.outcome == "open" and one.expected_close_on is None for one in made)
    assert found.undated.won == sum(one.closed_on is None for one in won)


@given(deals())
def test_each_dimension_adds_up_to_the_total_to_the_last_minor_unit(made: list[Opportunity]) -> None:
    found = forecast(made, GRAPH, today=TODAY)
    for lines in found.slices.values():
        assert len({one.key for one in lines}) == len(lines)
        for name in ("open", "won"):
            assert sum(getattr(one, name) for one in lines) == getattr(found.total, name)
        for name in ("expected", "weighted", "won_amount", "outlook"):
            assert sums([money for one in lines for money in getattr(one, name)]) == getattr(found.total, name)
    assert [one.key for one in found.slices["by_month"]] == sorted(str(one.key) for one in found.slices["by_month"])
    assert json.dumps(found.to_plain())
    assert all(table.to_text("zh-CN") for table in found.tables)


@given(deals(), _MONEY, _DAYS)
def test_a_lost_deal_changes_no_forecast(made: list[Opportunity], money: Money | None, day: date | None) -> None:
    lost = opportunity("lost", "lost", expected_amount=money, amount=money, expected_close_on=day, closed_on=day)
    assert forecast([*made, lost], GRAPH, today=TODAY) == forecast(made, GRAPH, today=TODAY)


@given(deals(), st.sampled_from([None, "east", "new"]))
def test_one_more_deal_of_an_owner_changes_the_row_of_that_owner_alone(
    made: list[Opportunity], owner: str | None
) -> None:
    more = opportunity("more", "lead", owner=owner, expected_amount=Money(101), expected_close_on=TODAY)

    def others(found: Forecast) -> list[object]:
        return sorted(str(one) for one in found.slices["by_owner"] if one.key != owner)

    before, after = forecast(made, GRAPH, today=TODAY), forecast([*made, more], GRAPH, today=TODAY)
    assert others(before) == others(after)
    assert after.total.open == before.total.open + 1


@given(deals(), st.dates(date(2024, 1, 1), date(2025, 1, 1)), st.integers(1, 200))
def test_a_period_takes_whole_days_and_leaves_what_stands_apart(
    made: list[Opportunity], since: date, days: int
) -> None:
    until = since + timedelta(days=days)
    found = forecast(made, GRAPH, today=TODAY, since=since, until=until)
    whole = forecast(made, GRAPH, today=TODAY)
    assert (found.overdue, found.undated) == (whole.overdue, whole.undated)
    assert found.total.won == sum(
        one.outcome == "won" and one.closed_on is not None and since <= one.closed_on < until for one in made
    )


def test_weighted_amounts_are_rounded_half_up_deal_by_deal() -> None:
    stage = next(stage for stage in GRAPH.stages if stage.probability == 50)
    made = [
        opportunity(str(index), stage.key, expected_amount=Money(101), expected_close_on=TODAY) for index in range(3)
    ]
    assert forecast(made, GRAPH, today=TODAY).total.weighted == (Money(153),)


def test_what_is_past_or_undated_stands_below_the_months() -> None:
    made = [
        opportunity("a", "lead", expected_amount=Money(100), expected_close_on=TODAY - timedelta(days=1)),
        opportunity("b", "lead", expected_amount=Money(100)),
        opportunity("c", "lead", expected_amount=Money(100), expected_close_on=TODAY),
    ]
    table = forecast(made, GRAPH, today=TODAY).tables[0]
    assert [row["month"] for row in table.records()] == ["2024-06", "overdue", "undated"]
    assert "预计日期已过" in table.to_text("zh-CN")
