"""The customers' own funnel against plain counting, and against the sales funnel's method."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from sales import NOW, PLAYBOOK, STAMPS, opportunity

from crmcore.domain import Customer, Event
from crmcore.metrics import customer_funnel, funnel

ZONE = ZoneInfo("Asia/Shanghai")
GRAPH = PLAYBOOK.lifecycle
KEYS = [stage.key for stage in GRAPH.stages]
PATH = [stage.key for stage in GRAPH.stages if stage.outcome != "lost"]


def event(id: str, subject_id: str, stage: str, days: int, action: str) -> Event:
    changes = json.dumps({"stage": [None, stage]}, separators=(",", ":"))
    at = NOW - timedelta(days=days)
    return Event(
        id=id, subject=action.partition(".")[0], subject_id=subject_id, action=action, at=at, by="east", changes=changes
    )


@st.composite
def paths(draw: st.DrawFn) -> list[tuple[str, str | None, list[str]]]:
    """Where each customer is, its source, and the stages it came to."""
    stage = st.sampled_from(KEYS)
    one = st.tuples(stage, st.sampled_from([None, "exhibition", "website"]), st.lists(stage, max_size=4))
    return draw(st.lists(one, max_size=12))


def made(drawn: list[tuple[str, str | None, list[str]]]) -> tuple[list[Customer], list[Event]]:
    customers, events = [], []
    for index, (stage, source, visited) in enumerate(drawn):
        id = f"c{index}"
        customers.append(Customer(id=id, number=id, name="示例", stage=stage, stage_since=NOW, source=source, **STAMPS))
        for step, passed in enumerate(visited):
            action = "customer.moved" if step else "customer.registered"
            events.append(event(f"{index}-{step}", id, passed, 90 - step, action))
    return customers, events


@given(paths())
def test_reached_is_the_furthest_stage_and_all_before_in_every_dimension(
    drawn: list[tuple[str, str | None, list[str]]],
) -> None:
    customers, events = made(drawn)
    found = customer_funnel(iter(customers), iter(events), PLAYBOOK, now=NOW, zone=ZONE)
    expected: Counter[str] = Counter()
    for stage, _, visited in drawn:
        furthest = max([PATH.index(one) for one in {stage, *visited} if one in PATH], default=0)
        expected.update(PATH[: furthest + 1])
    stages = {one.stage: one for one in found.stages}
    assert {key: stages[key].reached for key in PATH} == {key: expected[key] for key in PATH}
    assert {key: stages[key].count for key in KEYS} == dict.fromkeys(KEYS, 0) | Counter(stage for stage, _, _ in drawn)
    for here, following in pairwise(PATH):
        conversion = stages[here].conversion
        assert conversion == (expected[following] / expected[here] if expected[here] else None)
    for slices in found.slices.values():
        assert sum(one.count for one in slices) == found.count == len(drawn)
        assert {key: sum(one.reached[key] for one in slices) for key in PATH} == {key: expected[key] for key in PATH}
        assert sum(one.won for one in slices) == expected["won"]
        assert all(one.won_rate == one.won / one.count <= 1 for one in slices)
        assert len({one.key for one in slices}) == len(slices)
    assert json.dumps(found.to_plain())
    assert all(table.to_text("zh-CN") for table in found.tables)


@given(paths())
def test_customers_and_opportunities_are_counted_by_one_method(drawn: list[tuple[str, str | None, list[str]]]) -> None:
    customers, events = made(drawn)
    deals = [opportunity(one.id, one.stage, outcome=GRAPH.stage(one.stage).outcome) for one in customers]
    moves = [
        event(one.id, one.subject_id, json.loads(one.changes or "")["stage"][1], (NOW - one.at).days, action)
        for one in events
        for action in ["opportunity.moved" if one.action == "customer.moved" else "opportunity.opened"]
    ]
    sales = funnel(deals, moves, GRAPH, now=NOW, threshold=2)
    found = customer_funnel(customers, events, PLAYBOOK, now=NOW, zone=ZONE, threshold=2)
    assert found.bottleneck == sales.bottleneck
    for one, other in zip(found.stages, sales.stages, strict=True):
        for name in ("stage", "count", "reached", "conversion", "days_finished", "finished"):
            assert getattr(one, name) == getattr(other, name)


def test_a_period_takes_the_customers_that_came_in_it() -> None:
    days = (date(2024, 4, 30), date(2024, 5, 1), date(2024, 5, 31), date(2024, 6, 1))
    customers = [
        Customer(
            id=str(day), number=str(day), name="示例", stage="lead", stage_since=NOW, first_contact_on=day, **STAMPS
        )
        for day in days
    ]
    found = customer_funnel(customers, [], PLAYBOOK, now=NOW, zone=ZONE, since=date(2024, 5, 1), until=date(2024, 6, 1))
    assert found.count == 2
    assert [(one.key, one.count) for one in found.slices["by_month"]] == [("2024-05", 2)]


def test_the_leak_is_named_once_there_are_enough_cases() -> None:
    customers, events = made([("lead", None, [])] * 70 + [("interested", None, ["lead", "interested"])] * 30)
    found = customer_funnel(customers, events, PLAYBOOK, now=NOW, zone=ZONE)
    # Seed 003: 线索-意向转化率 30 %.
    assert found.stages[0].conversion == 0.3
    assert found.bottleneck is not None
    assert found.bottleneck.stage == "interested"
    assert "瓶颈:意向(转化率0.0%,到达30" in found.tables[0].to_text("zh-CN")
    few = customer_funnel(customers[:19], events, PLAYBOOK, now=NOW, zone=ZONE)
    assert few.bottleneck is None
    assert few.tables[0].records()[0]["sample"] == "few"
