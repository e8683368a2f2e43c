"""What became of obligations, and the replay under another playbook, against plain counting."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sales import NOW, STAMPS

from crmcore.domain import Customer, Obligation
from crmcore.domain.policies import Label
from crmcore.metrics import DutyOutcomes, duties, replay
from crmcore.metrics.dimensions import percentile
from crmcore.playbooks import load

ZONE = ZoneInfo("Asia/Shanghai")
PLAYBOOK = load("standard")
RULES = ["cadence.tier_a_contact", "target.answer_ticket", "plan", "target.of_old"]
CUSTOMERS = {
    id: Customer(
        id=id, number=id, name="示例", stage=stage, tier=tier, source=source, owner="owner", stage_since=NOW, **STAMPS
    )
    for id, stage, tier, source in (
        ("a", "prospect", "A", "website"),
        ("b", "customer", None, None),
        ("c", "x", "C", "抖音"),
    )
}
COUNTS = ("owed", "met", "met_late", "breached", "open", "waived", "superseded")


def obligation(id: str, **fields: Any) -> Obligation:
    given = {"rule": "plan", "track": "plan", "subject_id": id, "customer_id": "a", "opened_at": NOW, "due_at": NOW}
    return Obligation(id=id, **{**given, **fields})


@st.composite
def owed(draw: st.DrawFn, first: str = "") -> list[Obligation]:
    found = []
    for index in range(draw(st.integers(0, 12))):
        due = NOW + timedelta(hours=draw(st.integers(-900, 900)))
        state = draw(st.sampled_from(["open", "paused", "met", "met_late", "waived", "superseded"]))
        lengths = {"met": st.integers(-50, -1), "met_late": st.integers(0, 90)}.get(state, st.integers(-90, 90))
        found.append(
            obligation(
                f"{first}{index}",
                rule=draw(st.sampled_from(RULES)),
                customer_id=draw(st.sampled_from([None, "a", "b", "c", "unknown"])),
                owner=draw(st.sampled_from([None, "east", "west"])),
                opened_at=due - timedelta(hours=draw(st.integers(0, 100))),
                due_at=due,
                state=state,
                closed_at=None if state in ("open", "paused") else due + timedelta(hours=draw(lengths)),
            )
        )
    return found


def figures(one: DutyOutcomes) -> dict[str, int]:
    return {name: getattr(one, name) for name in COUNTS}


@given(owed())
def test_every_dimension_adds_up_to_the_total_and_counts_nothing_twice(made: list[Obligation]) -> None:
    found = duties(iter(made), CUSTOMERS, PLAYBOOK, now=NOW, zone=ZONE)
    total = found.total
    assert total.owed + total.waived + total.superseded == len(made)
    assert total.owed == total.met + total.met_late + total.breached + total.open
    assert total.breached == sum(one.state == "open" and one.due_at <= NOW for one in made)
    assert found.slices.keys() == {
        f"by_{name}" for name in ("rule", "owner", "tier", "stage", "industry", "source", "month")
    }
    for slices in found.slices.values():
        assert len({one.key for one in slices}) == len(slices)
        for name in COUNTS:
            assert sum(getattr(one, name) for one in slices) == getattr(total, name)
        for one in slices:
            shares = [share for share in (one.share_in_time, one.overdue_rate) if share is not None]
            assert all(0 <= share <= 1 for share in shares)
            assert (one.overdue_rate is None) == (one.owed == 0)
            assert one.small == (one.met + one.met_late + one.breached < 20)
    assert json.dumps(found.to_plain())
    assert all(table.to_text("zh-CN") for table in found.tables)


@given(owed(), st.sampled_from(["east", "west", None]))
def test_one_more_duty_of_an_owner_changes_the_row_of_that_owner_alone(
    made: list[Obligation], owner: str | None
) -> None:
    def rows(obligations: list[Obligation]) -> dict[str | None, DutyOutcomes]:
        found = duties(obligations, CUSTOMERS, PLAYBOOK, now=NOW, zone=ZONE)
        return {one.key: one for one in found.slices["by_owner"]}

    before = rows(made)
    after = rows([*made, obligation("new", owner=owner)])
    assert {key: one for key, one in after.items() if key != owner} == {
        key: one for key, one in before.items() if key != owner
    }
    assert after[owner].breached == (before[owner].breached if owner in before else 0) + 1


@given(owed())
def test_times_are_those_of_plain_arithmetic(made: list[Obligation]) -> None:
    total = duties(made, CUSTOMERS, PLAYBOOK, now=NOW, zone=ZONE).total
    hour = timedelta(hours=1)
    spent = sorted(
        max(0.0, (one.closed_at - one.opened_at) / hour)
        for one in made
        if one.state.startswith("met") and one.closed_at
    )
    late = [(one.closed_at - one.due_at) / hour for one in made if one.state == "met_late" and one.closed_at]
    late += [(NOW - one.due_at) / hour for one in made if one.state == "open" and one.due_at <= NOW]
    assert total.median_hours == (median(spent) if spent else None)
    assert total.late_hours == (median(late) if late else None)
    if spent:
        assert total.p90_hours in spent
        assert sum(value <= total.p90_hours for value in spent) >= 0.9 * len(spent)
        assert sum(value < total.p90_hours for value in spent) < 0.9 * len(spent)


@given(owed(), st.integers(-40, 40), st.integers(1, 40))
def test_a_period_takes_what_has_its_last_day_in_it(made: list[Obligation], start: int, length: int) -> None:
    since = NOW.date() + timedelta(days=start)
    until = since + timedelta(days=length)
    found = duties(made, CUSTOMERS, PLAYBOOK, now=NOW, zone=ZONE, since=since, until=until).total
    days = [(one.due_at - timedelta(milliseconds=1)).astimezone(ZONE).date() for one in made]
    assert found.owed + found.waived + found.superseded == sum(since <= day < until for day in days)


def test_what_is_due_by_the_end_of_a_month_belongs_to_it() -> None:
    midnight = datetime(2024, 5, 31, 16, tzinfo=UTC)  # ends 31 May in Shanghai
    found = duties([obligation("a", due_at=midnight)], CUSTOMERS, PLAYBOOK, now=NOW, zone=ZONE)
    assert [one.key for one in found.slices["by_month"]] == ["2024-05"]
    inside = duties(
        [obligation("a", due_at=midnight)],
        CUSTOMERS,
        PLAYBOOK,
        now=NOW,
        zone=ZONE,
        since=date(2024, 5, 31),
        until=date(2024, 6, 1),
    )
    assert inside.total.owed == 1


def test_the_due_moment_itself_is_too_late_and_a_pause_is_no_breach() -> None:
    made = [
        obligation("a", due_at=NOW),
        obligation("b", due_at=NOW + timedelta(milliseconds=1)),
        obligation("c", due_at=NOW, state="paused"),
    ]
    assert figures(duties(made, CUSTOMERS, PLAYBOOK, now=NOW, zone=ZONE).total) == {
        **dict.fromkeys(COUNTS, 0),
        "owed": 3,
        "breached": 1,
        "open": 2,
    }


@pytest.mark.parametrize(("rule", "count"), [("target", 2), ("target.answer_ticket", 1), ("plan", 1), (None, 4)])
def test_a_report_can_be_about_one_rule_or_one_sort(rule: str | None, count: int) -> None:
    made = [obligation(rule, rule=rule) for rule in RULES]
    assert duties(made, CUSTOMERS, PLAYBOOK, now=NOW, zone=ZONE, rule=rule).total.owed == count


def test_a_share_of_few_cases_is_shown_and_marked() -> None:
    made = [obligation(str(index), state="met", closed_at=NOW) for index in range(20)]
    enough, too_few = (duties(some, CUSTOMERS, PLAYBOOK, now=NOW, zone=ZONE) for some in (made, made[1:]))
    assert (enough.total.small, too_few.total.small) == (False, True)
    (table, *_) = enough.tables
    assert [(row["share_in_time"], row["sample"]) for row in table.records()] == [(1.0, None)]
    (table, *_) = too_few.tables
    assert [(row["share_in_time"], row["sample"]) for row in table.records()] == [(1.0, "few")]
    assert "样本少" in table.to_text("zh-CN")


def test_rules_stand_in_the_order_of_the_playbook_and_have_their_labels() -> None:
    made = [obligation(rule, rule=rule) for rule in reversed(RULES)]
    found = duties(made, CUSTOMERS, PLAYBOOK, now=NOW, zone=ZONE)
    assert [one.key for one in found.slices["by_rule"]] == RULES
    assert "工单24小时内响应" in found.tables[0].to_text("zh-CN")


@given(st.lists(st.integers(0, 50), min_size=1), st.integers(1, 100))
def test_a_percentile_is_one_of_the_values_that_so_many_do_not_exceed(values: list[int], percent: int) -> None:
    found = percentile(sorted(values), percent)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values)


# Replay


@given(owed("before"), owed("after"))
def test_a_replay_shows_every_rule_of_either_side_with_its_counts(
    before: list[Obligation], after: list[Obligation]
) -> None:
    found = replay(before, after, now=NOW)
    assert [one.rule for one in found.rules] == sorted({one.rule for one in (*before, *after)})
    for one in found.rules:
        for side, made in ((one.before, before), (one.after, after)):
            states = Counter(item.state for item in made if item.rule == one.rule)
            breached = sum(item.rule == one.rule and item.state == "open" and item.due_at <= NOW for item in made)
            assert (side["met"], side["late"], side["breached"]) == (states["met"], states["met_late"], breached)
            assert side["owed"] == states.total() - states["waived"] - states["superseded"]
        assert one.change == {name: one.after[name] - one.before[name] for name in one.before}
        alone = {item.rule for item in before} ^ {item.rule for item in after}
        assert (one.only is not None) == (one.rule in alone)
    assert json.dumps(found.to_plain())


@given(owed())
def test_a_replay_against_itself_changes_nothing(made: list[Obligation]) -> None:
    assert all(set(one.change.values()) == {0} and one.only is None for one in replay(made, made, now=NOW).rules)


def test_a_side_that_lacks_a_rule_is_blank_and_says_so() -> None:
    label = Label(zh="新规则", en="New rule")
    found = replay([], [obligation("a", rule="target.new")], now=NOW, labels={"target.new": label})
    (row,) = found.table.records()
    assert (row["owed_before"], row["owed_after"], row["owed_change"], row["only"]) == (None, 1, 1, "after")
    assert "New rule" in found.table.to_text()
    assert "only after" in found.table.to_text()
