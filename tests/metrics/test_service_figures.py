"""Feedback and tickets against plain counting."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from statistics import mean, pstdev
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sales import NOW, PLAYBOOK, STAMPS

from crmcore.domain import Feedback, Ticket
from crmcore.metrics import ServiceFigures, service

ZONE = ZoneInfo("Asia/Shanghai")
HOUR = timedelta(hours=1)


def feedback(id: str, **fields: Any) -> Feedback:
    return Feedback(id=id, **{"customer_id": "c", "received_at": NOW, "description": "问题", **STAMPS, **fields})


def ticket(id: str, **fields: Any) -> Ticket:
    return Ticket(id=id, **{"customer_id": "c", "opened_at": NOW, "subject": "问题", **STAMPS, **fields})


_HOURS = st.none() | st.integers(0, 200)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Feedback], list[Ticket]]:
    told, tickets = [], []
    for index in range(draw(st.integers(0, 12))):
        began = NOW + timedelta(hours=draw(st.integers(-2000, 0)))
        answered, ended = (None if hours is None else began + hours * HOUR for hours in (draw(_HOURS), draw(_HOURS)))
        shared = {
            "topic": draw(st.sampled_from([None, "product", "service"])),
            "priority": draw(st.sampled_from(["urgent", "ordinary", "suggestion"])),
            "cycle": draw(st.integers(1, 3)),
            "stars": draw(st.none() | st.integers(1, 5)),
            "answered_at": answered,
            "closed_at": ended,
        }
        if draw(st.booleans()):
            state = draw(st.sampled_from(["received", "in_progress", "answered", "confirmed"]))
            word = draw(st.sampled_from([None, "satisfied", "mostly_satisfied", "to_improve"]))
            who = draw(st.sampled_from([None, "east", "west"]))
            told.append(
                feedback(str(index), received_at=began, state=state, confirmation=word, responsible=who, **shared)
            )
        else:
            state = draw(st.sampled_from(["open", "in_progress", "waiting", "solved", "closed"]))
            solved = draw(st.sampled_from([None, ended]))
            who = draw(st.sampled_from([None, "east", "west"]))
            tickets.append(ticket(str(index), opened_at=began, state=state, solved_at=solved, assignee=who, **shared))
    return told, tickets


@given(cases())
def test_every_case_is_counted_once_in_each_dimension(made: tuple[list[Feedback], list[Ticket]]) -> None:
    told, tickets = made
    found = service(iter(told), iter(tickets), PLAYBOOK, zone=ZONE)
    assert (found.feedback.count, found.tickets.count) == (len(told), len(tickets))
    for dimension, slices in found.slices.items():
        assert len({(one.sort, one.key) for one in slices}) == len(slices)
        for whole in (found.feedback, found.tickets):
            rows = [one for one in slices if one.sort == whole.sort]
            if (dimension, whole.sort) == ("by_type", "ticket"):
                assert not rows
                continue
            for name in (
                "count",
                "open",
                "resolved",
                "reopened",
                "satisfied",
                "to_improve",
                "rated",
                "answered",
                "solved",
            ):
                assert sum(getattr(one, name) for one in rows) == getattr(whole, name)
    for one in (found.feedback, found.tickets, *(one for slices in found.slices.values() for one in slices)):
        assert all(
            share is None or 0 <= share <= 1 for share in (one.resolution_rate, one.reopening_rate, one.satisfaction)
        )
        assert one.small == (one.count < 20)
    assert json.dumps(found.to_plain())
    assert all(table.to_text("zh-CN") for table in found.tables)


@given(cases())
def test_the_figures_are_those_of_plain_counting(made: tuple[list[Feedback], list[Ticket]]) -> None:
    told, tickets = made
    found = service(told, tickets, PLAYBOOK, zone=ZONE)
    words = Counter(one.confirmation for one in told if one.confirmation)
    assert found.feedback.resolved == sum(
        one.state == "confirmed" and one.confirmation in (None, "satisfied", "mostly_satisfied") for one in told
    )
    assert found.feedback.open == sum(one.state != "confirmed" for one in told)
    content = words["satisfied"] + words["mostly_satisfied"]
    assert found.feedback.satisfaction == (content / words.total() if words else None)
    assert found.tickets.resolved == sum(one.state in ("solved", "closed") for one in tickets)
    assert found.tickets.open == found.tickets.count - found.tickets.resolved
    stars = [one.stars for one in tickets if one.stars]
    assert found.tickets.stars_mean == (mean(stars) if stars else None)
    assert found.tickets.stars_spread == (pstdev(stars) if stars else None)
    assert found.tickets.reopened == sum(one.cycle > 1 for one in tickets)
    solved = [
        ((one.solved_at or one.closed_at) - one.opened_at) / HOUR  # type: ignore[operator]
        for one in tickets
        if one.state in ("solved", "closed") and (one.solved_at or one.closed_at)
    ]
    assert found.tickets.solved == len(solved)
    assert found.tickets.solution_mean == (pytest.approx(mean(solved)) if solved else None)


def test_times_run_from_creation_to_the_first_answer_and_to_the_solution() -> None:
    made = [
        ticket(
            "a",
            opened_at=NOW,
            answered_at=NOW + HOUR,
            solved_at=NOW + 5 * HOUR,
            closed_at=NOW + 9 * HOUR,
            state="closed",
        ),
        ticket("b", opened_at=NOW, answered_at=NOW + 3 * HOUR, state="in_progress"),
        ticket("c", opened_at=NOW, state="closed", closed_at=NOW + 7 * HOUR),
    ]
    found = service([], made, PLAYBOOK, zone=ZONE).tickets
    assert (found.response_mean, found.answered) == (2.0, 2)
    assert (found.solution_mean, found.solution_median, found.solution_p90, found.solved) == (6.0, 6.0, 7.0, 2)


def test_a_case_counts_in_the_period_in_which_it_came_in_the_zone() -> None:
    late = datetime(2024, 5, 31, 17, tzinfo=UTC)  # 1 June in Shanghai
    found = service([feedback("a", received_at=late)], [ticket("b", opened_at=late)], PLAYBOOK, zone=ZONE)
    assert {one.key for one in found.slices["by_month"]} == {"2024-06"}
    june = {"since": date(2024, 6, 1), "until": date(2024, 7, 1)}
    assert service([feedback("a", received_at=late)], [], PLAYBOOK, zone=ZONE, **june).feedback.count == 1
    assert service([feedback("a", received_at=late - HOUR * 2)], [], PLAYBOOK, zone=ZONE, **june).feedback.count == 0


def test_one_more_ticket_changes_the_row_of_its_assignee_alone() -> None:
    made = [ticket("a", assignee="east"), ticket("b", assignee="west"), ticket("c")]

    def others(tickets: list[Ticket]) -> list[ServiceFigures]:
        found = service([], tickets, PLAYBOOK, zone=ZONE).slices["by_person"]
        return sorted((one for one in found if one.key != "east"), key=lambda one: str(one.key))

    assert others(made) == others([*made, ticket("d", assignee="east", state="solved", cycle=2)])


@pytest.fixture(scope="module")
def helpdesk(shared_data: Path) -> list[dict[str, str]]:
    with (shared_data / "helpdesk_italian" / "helpdesk.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _moment(row: dict[str, str]) -> datetime:
    return datetime.strptime(row["Complete Timestamp"], "%Y/%m/%d %H:%M:%S.%f").replace(tzinfo=UTC)


def test_a_public_help_desk_agrees_with_independent_counting(helpdesk: list[dict[str, str]]) -> None:
    logs = {case: list(rows) for case, rows in groupby(helpdesk, key=lambda row: row["Case ID"])}
    made = []
    for case, rows in logs.items():
        at = {row["Activity"]: _moment(row) for row in rows}  # of several, the last
        first = {row["Activity"]: _moment(row) for row in reversed(rows)}
        resolved = sum(row["Activity"] == "Resolve ticket" for row in rows)
        made.append(
            ticket(
                case,
                opened_at=_moment(rows[0]),
                answered_at=first.get("Take in charge ticket"),
                solved_at=at.get("Resolve ticket"),
                closed_at=at.get("Closed"),
                state="closed" if "Closed" in at else "solved" if resolved else "in_progress",
                cycle=max(1, resolved),
                assignee=rows[-1]["Resource"],
            )
        )
    found = service([], made, PLAYBOOK, zone=ZONE)
    # The same, from the rows alone, in SQL.
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE log (number INTEGER PRIMARY KEY, id TEXT, activity TEXT, at REAL)")
        database.executemany(
            "INSERT INTO log (id, activity, at) VALUES (?, ?, ?)",
            [(row["Case ID"], row["Activity"], _moment(row).timestamp()) for row in helpdesk],
        )
        cases, solved, mean_hours, reopened, answered = database.execute(
            """WITH one AS (
                SELECT id, min(at) AS began,
                    max(at) FILTER (WHERE activity = 'Resolve ticket') AS solved,
                    max(at) FILTER (WHERE activity = 'Closed') AS closed,
                    sum(activity = 'Resolve ticket') AS times,
                    sum(activity = 'Take in charge ticket') AS taken
                FROM log GROUP BY id)
            SELECT count(*), count(coalesce(solved, closed)), avg(coalesce(solved, closed) - began) / 3600.0,
                sum(times > 1), sum(taken > 0) FROM one"""
        ).fetchone()
    tickets = found.tickets
    assert (tickets.count, tickets.resolved, tickets.reopened, tickets.answered) == (cases, solved, reopened, answered)
    assert tickets.count == 4580
    assert tickets.solution_mean == pytest.approx(mean_hours)
    assert sum(one.solved for one in found.slices["by_person"]) == solved
