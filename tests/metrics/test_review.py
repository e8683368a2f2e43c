"""Customers, activity, duties, and the review made of them."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from sales import GRAPH, NOW, PLAYBOOK, STAMPS, opportunity

from crmcore.domain import Customer, FollowUp, Obligation
from crmcore.metrics import activity, count_customers, due_list, review, rule_labels
from crmcore.metrics.activity import week_of

ZONE = ZoneInfo("Asia/Shanghai")


def customer(id: str, **fields: Any) -> Customer:
    given = {"number": id, "name": "示例科技有限公司", "stage": "lead", "stage_since": NOW, **STAMPS, **fields}
    return Customer(id=id, **given)


def follow_up(id: str, at: datetime, **fields: Any) -> FollowUp:
    return FollowUp(id=id, customer_id="c", at=at, summary="沟通", **{**STAMPS, "created_at": at, **fields})


def obligation(id: str, due_at: datetime, **fields: Any) -> Obligation:
    given = {"customer_id": "c", "rule": "plan", "track": "plan", "subject_id": "c", "opened_at": NOW, **fields}
    return Obligation(id=id, due_at=due_at, **given)


_SOURCES = st.sampled_from([None, "exhibition", "website", "抖音", "老客户", *map(str, range(8))])


@given(st.lists(st.tuples(_SOURCES, st.sampled_from(["lead", "won", "unknown"]), st.sampled_from([None, "A", "C"]))))
def test_every_customer_is_in_each_breakdown_once(drawn: list[tuple[str | None, str, str | None]]) -> None:
    customers = [
        customer(str(index), source=source, stage=stage, tier=tier) for index, (source, stage, tier) in enumerate(drawn)
    ]
    counts = count_customers(customers, PLAYBOOK, zone=ZONE)
    assert counts.total == counts.new == len(drawn)
    assert counts.by_source == Counter(source for source, _, _ in drawn)
    assert {key: number for key, number in counts.by_stage.items() if number} == Counter(stage for _, stage, _ in drawn)
    assert counts.by_tier == Counter(tier for _, _, tier in drawn)
    shares = counts.source_shares(4)
    assert len(shares.rows) <= 5
    assert sum(row["count"] for row in shares.records()) == len(drawn)  # type: ignore[misc]
    assert json.dumps(counts.to_plain())


def test_a_customer_is_new_on_the_local_day_of_first_contact_or_registration() -> None:
    late = datetime(2024, 1, 31, 17, tzinfo=UTC)  # 1 February in Shanghai
    made = [customer("a", created_at=late), customer("b", created_at=late, first_contact_on=date(2023, 12, 5))]
    assert count_customers(made, PLAYBOOK, zone=ZONE).by_month == {"2023-12": 1, "2024-02": 1}
    counts = count_customers(made, PLAYBOOK, zone=ZONE, since=date(2024, 1, 1), until=date(2024, 2, 2))
    assert (counts.total, counts.new, counts.by_month) == (2, 1, {"2024-02": 1})


def test_the_share_in_time_leaves_imported_records_out() -> None:
    held = NOW - timedelta(days=9)
    made = [
        follow_up("a", held, created_at=held + timedelta(hours=24), recorder="销售甲", method="phone"),
        follow_up("b", held, created_at=held + timedelta(hours=24, milliseconds=1), recorder="销售甲", method="visit"),
        follow_up("c", held, created_at=held + timedelta(days=5), recorder="销售甲", result="stopped"),
        follow_up("d", held, created_at=held),
    ]
    found = activity(made, PLAYBOOK, zone=ZONE, imported_ids={"c"})
    assert (found.total, found.timed, found.in_time, found.in_time_rate) == (4, 3, 2, 2 / 3)
    rows = {row["owner"]: row for row in found.tables[0].records()}
    wang = rows["销售甲"]
    assert (wang["total"], wang["phone"], wang["visit"], wang["not_given"]) == (3, 1, 1, 1)
    assert (wang["timed"], wang["in_time"], wang["in_time_rate"]) == (2, 1, 0.5)
    assert rows["sales.east"]["total"] == 1
    assert activity(made[2:3], PLAYBOOK, zone=ZONE, imported_ids={"c"}).in_time_rate is None


@given(st.lists(st.integers(0, 21 * 24)))
def test_weeks_and_months_are_those_of_the_zone(hours: list[int]) -> None:
    start = datetime(2023, 12, 20, tzinfo=UTC)
    made = [follow_up(str(index), start + timedelta(hours=after)) for index, after in enumerate(hours)]
    found = activity(made, PLAYBOOK, zone=ZONE)
    days = [one.at.astimezone(ZONE).date() for one in made]
    assert dict(found.tables[2].rows) == Counter(day.strftime("%G-W%V") for day in days)
    assert found.by_month == Counter(day.strftime("%Y-%m") for day in days)
    inside = activity(made, PLAYBOOK, zone=ZONE, since=date(2024, 1, 1), until=date(2024, 1, 5))
    assert inside.total == sum(date(2024, 1, 1) <= day < date(2024, 1, 5) for day in days)


def test_a_week_belongs_to_the_year_of_its_thursday() -> None:
    assert week_of(date(2024, 12, 30)) == "2025-W01"
    assert week_of(date(2021, 1, 3)) == "2020-W53"


def test_due_days_are_local_and_the_due_moment_is_too_late() -> None:
    midnight = datetime(2024, 6, 17, 16, tzinfo=UTC)  # ends 17 June in Shanghai; NOW is noon of the 18th
    made = [
        obligation("late", midnight, rule="cadence.tier_a_contact", track="cadence.contact"),
        obligation("now", NOW),
        obligation("risk", NOW + timedelta(hours=1), warn_at=NOW),
        obligation("next", NOW + timedelta(days=2), warn_at=NOW + timedelta(days=1), owner="销售甲"),
        obligation("done", midnight, state="met"),
    ]
    found = due_list(
        reversed(made), {"c": customer("c", number="202310001")}, labels=rule_labels(PLAYBOOK), now=NOW, zone=ZONE
    )
    rows = found.table.records()
    assert [row["state"] for row in rows] == ["overdue", "overdue", "at_risk", "upcoming"]
    assert [row["days_overdue"] for row in rows] == [1, 0, None, None]
    assert [row["due_on"] for row in rows] == [date(2024, 6, 17), *[date(2024, 6, 18)] * 2, date(2024, 6, 20)]
    assert (found.open, found.overdue, found.at_risk, found.overdue_rate) == (4, 2, 1, 0.5)
    text = found.table.to_text("zh-CN")
    for label in ("202310001", "A级客户跟进", "计划的跟进", "已逾期", "即将到期", "未到期", "定期跟进"):
        assert label in text
    assert due_list([], {}, labels={}, now=NOW, zone=ZONE).overdue_rate is None


def test_a_review_shows_what_there_is_and_charts_only_that() -> None:
    made = [customer("c", source="exhibition", first_contact_on=date(2024, 1, 2))]
    sales = [
        opportunity("a", "won", closed_on=date(2024, 4, 1), owner="销售甲"),
        opportunity("b", "won", pipeline="service", closed_on=date(2024, 5, 1)),
    ]
    found = review(PLAYBOOK, customers=iter(made), opportunities=iter(sales), now=NOW, zone=ZONE)
    assert found.tables[0].key == "summary"
    assert len(found.tables[0].rows) == 1
    assert [chart.key for chart in found.charts] == ["funnel", "trend", "sources", "owners"]
    assert [row["month"] for row in found.table("trend").records()] == ["2024-01", "2024-02", "2024-03", "2024-04"]
    assert sum(row["won"] for row in found.table("trend").records()) == 1  # type: ignore[misc]
    assert found.charts[0].first == sum(stage.outcome != "lost" for stage in GRAPH.stages)
    for chart in found.charts:
        table = found.table(chart.table)
        for key in (chart.category, *chart.values):
            table.position(key)
    assert json.dumps(found.to_plain())
    keys = {table.key for table in found.tables}
    assert "due" not in keys
    assert "funnel_by_product" not in keys


def test_without_opportunities_the_customers_stages_are_the_funnel() -> None:
    found = review(PLAYBOOK, customers=[customer("c")], now=NOW, zone=ZONE)
    assert [(chart.key, chart.table) for chart in found.charts] == [
        ("funnel", "customers_by_stage"),
        ("trend", "trend"),
    ]
    empty = review(PLAYBOOK, customers=[], now=NOW, zone=ZONE)
    assert all(table.to_text("zh-CN") for table in empty.tables)


def test_a_long_trend_keeps_the_last_two_years_without_a_gap() -> None:
    made = [customer("a", first_contact_on=date(1998, 5, 1)), customer("b", first_contact_on=date(2024, 5, 1))]
    months = [row["month"] for row in review(PLAYBOOK, customers=made, now=NOW, zone=ZONE).table("trend").records()]
    assert len(months) == 24
    assert (months[0], months[-1]) == ("2022-06", "2024-05")
