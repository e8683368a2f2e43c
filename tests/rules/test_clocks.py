"""Clocks of targets: pauses, reopening and states, against the minutes counted one by one and by hand."""

from __future__ import annotations

import datetime
import itertools

import attrs
import pytest
from calendar_strategies import MINUTE, UTC, calendars, moments, open_minutes
from hypothesis import assume, given
from hypothesis import strategies as st

from crmcore.domain.duration import Duration
from crmcore.errors import Invalid
from crmcore.rules.calendars import WorkingCalendar, week, windows
from crmcore.rules.china_days import in_china
from crmcore.rules.clocks import ClockPolicy, Cycle, History, Pause, Reading, read_clock
from crmcore.rules.explaining import explain_clock
from crmcore.rules.timing import due_at
from crmcore.rules.working_time import WorkingTime, working_time

HOUR, NOTHING = datetime.timedelta(hours=1), datetime.timedelta(0)
WORKING = working_time(WorkingCalendar(timezone="Asia/Shanghai", weekly=week(windows("09:00-12:00", "13:00-18:00"))))
WORK = st.integers(1, 1200).map(lambda minutes: minutes * MINUTE)
AFTER = st.integers(0, 4000).map(lambda minutes: minutes * MINUTE)
PAUSES = st.lists(st.tuples(AFTER, AFTER | st.none()), max_size=4)
POLICIES = st.builds(
    ClockPolicy,
    boundary=st.sampled_from(["close", "next_open"]),
    zero=st.sampled_from(["start", "next_open"]),
    pause=st.sampled_from(["working_time", "wall_clock", "none"]),
    reopening=st.sampled_from(["continue", "restart", "new_cycle"]),
    at_risk_percent=st.none() | st.integers(1, 99),
)


def local(*numbers: int) -> datetime.datetime:
    return datetime.datetime(2026, 3, *numbers, tzinfo=WORKING.zone)


def paused(
    start: datetime.datetime, spans: list[tuple[datetime.timedelta, datetime.timedelta | None]]
) -> tuple[Pause, ...]:
    return tuple(
        Pause(start + after, None if length is None else start + after + length, "waiting") for after, length in spans
    )


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Pauses, and any number of times met and reopened."""
    start = draw(moments())
    gaps = draw(st.lists(AFTER.map(lambda after: after + MINUTE), max_size=4))
    turns = list(itertools.accumulate(gaps, initial=start))[1:]
    return History(
        started_at=start, pauses=paused(start, draw(PAUSES)), met_at=tuple(turns[::2]), reopened_at=tuple(turns[1::2])
    )


def read(within, history, at, **policy) -> Cycle:
    return read_clock(within, history, WORKING, at=at, policy=ClockPolicy(**policy)).current


@given(calendars(), moments(), WORK, PAUSES, st.sampled_from(["close", "next_open"]))
def test_a_due_time_is_where_the_unpaused_minutes_run_out(calendar, start, work, spans, boundary):
    working, pauses = WorkingTime(calendar), paused(start, [(after, length or NOTHING) for after, length in spans])
    at = start + 9000 * MINUTE
    policy = ClockPolicy(boundary=boundary)
    cycle = read_clock(work, History(started_at=start, pauses=pauses), working, at=at, policy=policy).current
    assume(cycle.due_at - start < datetime.timedelta(days=9))
    minutes = list(open_minutes(calendar, start, max(at, cycle.due_at) + MINUTE))
    running = [
        is_open and not any(pause.start <= start + number * MINUTE < pause.end for pause in pauses)
        for number, is_open in enumerate(minutes)
    ]
    reached = [number for number, ran in enumerate(itertools.accumulate(running), 1) if ran * MINUTE == work]
    if boundary == "close":
        assert cycle.due_at == start + reached[0] * MINUTE
    elif running[reached[-1]]:
        assert cycle.due_at == start + reached[-1] * MINUTE
    assert cycle.elapsed == sum(running[:9000]) * MINUTE
    assert cycle.paused == (sum(minutes[:9000]) - sum(running[:9000])) * MINUTE


@given(histories(), WORK | st.just(NOTHING), AFTER, POLICIES)
def test_what_holds_at_any_instant(history, within, after, policy):
    at = history.started_at + after - 60 * MINUTE
    reading = read_clock(within, history, WORKING, at=at, policy=policy)
    cycle = reading.current
    assert all(known.met_at is None or known.met_at <= at for known in reading.cycles)
    if policy.pause != "wall_clock":
        assert cycle.elapsed + cycle.remaining == cycle.length == within
    assert (cycle.state in ("met", "met_late")) is (cycle.met_at is not None)
    assert cycle.late_by >= NOTHING
    if cycle.late_by:
        assert (cycle.met_at or at) > cycle.due_at
    if cycle.state in ("running", "paused", "at_risk"):
        assert at < cycle.due_at
    if cycle.state == "breached":
        assert cycle.due_at <= at
    if cycle.at_risk_at is not None:
        assert cycle.at_risk_at <= cycle.due_at
    if policy.reopening != "new_cycle":
        assert len(reading.cycles) == 1
    assert all(cycle.due_at.tzinfo is UTC for cycle in reading.cycles)


@given(histories(), WORK, AFTER, POLICIES)
def test_what_is_still_to_come_is_not_known(history, within, after, policy):
    at = history.started_at + after
    known = attrs.evolve(
        history,
        pauses=tuple(
            attrs.evolve(pause, end=None if pause.end is None or pause.end > at else pause.end)
            for pause in history.pauses
            if pause.start <= at
        ),
        met_at=tuple(moment for moment in history.met_at if moment <= at),
        reopened_at=tuple(moment for moment in history.reopened_at if moment <= at),
    )
    whole = read_clock(within, history, WORKING, at=at, policy=policy)
    assert read_clock(within, known, WORKING, at=at, policy=policy) == whole


@given(moments(), WORK, PAUSES, st.lists(AFTER, min_size=2, max_size=6), POLICIES)
def test_time_only_makes_it_later(start, within, spans, instants, policy):
    history = History(started_at=start, pauses=paused(start, spans))
    cycles = [
        read_clock(within, history, WORKING, at=start - HOUR + after, policy=policy).current
        for after in sorted(instants)
    ]
    for earlier, later in itertools.pairwise(cycles):
        assert earlier.due_at <= later.due_at
        assert earlier.elapsed <= later.elapsed
        assert earlier.paused <= later.paused
    order = {"waiting": 0, "running": 1, "at_risk": 2, "breached": 3}
    ranks = [order[cycle.state] for cycle in cycles if cycle.state != "paused"]
    if policy.pause == "none" or not spans:
        assert ranks == sorted(ranks)


@given(histories(), WORK, AFTER, POLICIES, st.integers(0, 300))
def test_an_explanation_sums_up_and_ends_where_it_is_due(history, within, after, policy, before):
    history = attrs.evolve(history, paused_before=before * MINUTE)
    reading = read_clock(within, history, WORKING, at=history.started_at + after, policy=policy)
    for cycle in reading.cycles:
        told = explain_clock(reading, WORKING, cycle)
        assert sum((step.counted for step in told.steps), NOTHING) == cycle.length == told.amount
        assert told.end == cycle.due_at
        assert told.steps[-1].end == cycle.due_at or policy.boundary == "next_open"
        assert told.text("zh-CN") and told.text("en")


@given(moments(), WORK, st.sampled_from(["close", "next_open"]))
def test_without_pauses_it_is_plain_working_time(start, within, boundary):
    cycle = read(within, History(started_at=start), start, boundary=boundary)
    assert cycle.due_at == WORKING.due(start, within, boundary=boundary)


def test_a_pause_in_working_time_and_by_the_wall_clock():
    # Monday 09:00 and four hours to go; on hold from 10:00 to 20:00.
    history = History(started_at=local(2, 9), pauses=(Pause(local(2, 10), local(2, 20), "waiting for the customer"),))
    assert read(4 * HOUR, history, local(4, 9)).due_at == local(3, 12)
    assert read(4 * HOUR, history, local(4, 9), pause="wall_clock").due_at == local(3, 0)
    assert read(4 * HOUR, history, local(4, 9), pause="none").due_at == local(2, 14)


def test_a_pause_after_the_due_time_changes_nothing():
    history = History(started_at=local(2, 9), pauses=(Pause(local(2, 11), local(2, 15)),))
    for mode in ("working_time", "wall_clock"):
        assert read(HOUR, history, local(3, 9), pause=mode).due_at == local(2, 10)
    # Held at the very moment that it is due, it is over.
    assert read(2 * HOUR, history, local(2, 12)).state == "breached"


def test_while_it_is_held_the_due_time_moves_on():
    history = History(started_at=local(2, 9), pauses=(Pause(local(2, 10)),))
    for at, due in ((local(2, 10), local(2, 11)), (local(2, 17), local(2, 18)), (local(2, 20), local(3, 10))):
        cycle = read(2 * HOUR, history, at)
        assert (cycle.state, cycle.due_at, cycle.remaining) == ("paused", due, HOUR)


def test_a_filled_window_and_the_next_opening_round_a_pause():
    history = History(started_at=local(2, 16), pauses=(Pause(local(2, 18), local(3, 10)),))
    assert read(2 * HOUR, history, local(4, 9)).due_at == local(2, 18)
    assert read(2 * HOUR, history, local(4, 9), boundary="next_open").due_at == local(3, 10)


def test_states_one_after_the_other():
    history = History(started_at=local(2, 9), met_at=(local(2, 14),))
    states = [
        read(4 * HOUR, history, at, at_risk_percent=75).state
        for at in (local(2, 8), local(2, 9), local(2, 12), local(2, 13, 59), local(2, 14))
    ]
    assert states == ["waiting", "running", "at_risk", "at_risk", "met_late"]
    late = History(started_at=local(2, 9), met_at=(local(3, 10),))
    assert read(4 * HOUR, late, local(2, 14)).state == "breached"
    cycle = read(4 * HOUR, late, local(9, 9))
    assert (cycle.state, cycle.elapsed, cycle.late_by) == ("met_late", 9 * HOUR, 5 * HOUR)


def reopened(policy: str) -> Reading:
    history = History(started_at=local(2, 9), met_at=(local(2, 11), local(4, 11)), reopened_at=(local(3, 15),))
    return read_clock(6 * HOUR, history, WORKING, at=local(4, 12), policy=ClockPolicy(reopening=policy))


def test_reopened_it_goes_on_where_it_stopped():
    cycle = reopened("continue").current
    # Two hours before it was met, three on the day of the reopening, one on the next morning.
    assert (cycle.due_at, cycle.elapsed, cycle.state) == (local(4, 10), 7 * HOUR, "met_late")
    assert [(hold.reason, hold.start, hold.end) for hold in cycle.holds] == [("resolved", local(2, 11), local(3, 15))]


def test_reopened_it_begins_anew():
    (cycle,) = reopened("restart").cycles
    assert (cycle.started_at, cycle.due_at, cycle.elapsed, cycle.state) == (local(3, 15), local(4, 12), 5 * HOUR, "met")


def test_reopened_it_begins_a_second_cycle():
    first, second = reopened("new_cycle").cycles
    assert (first.started_at, first.met_at, first.elapsed, first.state) == (local(2, 9), local(2, 11), 2 * HOUR, "met")
    assert attrs.evolve(second, policy=ClockPolicy(reopening="restart")) == reopened("restart").current


def test_met_and_reopened_at_one_instant():
    history = History(started_at=local(2, 9), met_at=(local(2, 11),), reopened_at=(local(2, 11),))
    assert read(6 * HOUR, history, local(2, 12), reopening="restart").started_at == local(2, 11)
    assert read(6 * HOUR, history, local(2, 12)).due_at == local(2, 16)


def test_met_twice_is_met_the_first_time():
    history = History(started_at=local(2, 9), met_at=(local(2, 11), local(5, 11)))
    assert read(6 * HOUR, history, local(9, 9)).met_at == local(2, 11)


@pytest.mark.parametrize(
    ("within", "due"),
    [
        ("90 minutes", (2, 22, 30)),
        ("24 hours", (3, 21)),
        ("2 days", (5, 0)),
        ("8 working_hours", (3, 18)),
        ("1 working_day", (3, 18)),
        ("3 working_days", (5, 18)),
    ],
)
def test_every_unit_of_a_duration(within, due):
    # Monday evening, long after the close.
    history = History(started_at=local(2, 21))
    cycle = read(Duration.parse(within), history, local(2, 21))
    assert cycle.due_at == local(*due)
    assert cycle.base == ("working" if "working" in within else "elapsed")
    if cycle.base == "elapsed":
        assert cycle.due_at == due_at(history.started_at, Duration.parse(within), WORKING.zone)
    told = explain_clock(read_clock(Duration.parse(within), history, WORKING, at=local(2, 21)), WORKING)
    assert sum((step.counted for step in told.steps), NOTHING) == cycle.length


def test_elapsed_time_is_held_by_pauses_too():
    history = History(started_at=local(2, 9), pauses=(Pause(local(2, 10), local(2, 20)),))
    assert read(Duration(24, "hours"), history, local(4, 9)).due_at == local(3, 19)


def test_time_paused_before_is_given_back():
    history = History(started_at=local(2, 9), paused_before=HOUR)
    assert read(4 * HOUR, history, local(2, 9)).due_at == local(2, 15)
    assert read(4 * HOUR, history, local(2, 15), pause="wall_clock").due_at == local(2, 15)
    assert read(4 * HOUR, history, local(2, 15), pause="none").due_at == local(2, 14)
    assert read(4 * HOUR, history, local(2, 12)).elapsed == 2 * HOUR
    assert read(4 * HOUR, history, local(2, 9, 30)).elapsed == NOTHING


def codes(caught: pytest.ExceptionInfo[Invalid]) -> list[tuple[str, str | None]]:
    return [(issue.code, issue.field) for issue in caught.value.issues]


def test_what_cannot_have_happened_is_refused_all_at_once():
    with pytest.raises(Invalid) as caught:
        History(
            started_at=local(2, 9),
            pauses=(Pause(local(3, 9), local(2, 9)),),
            met_at=(local(1, 9),),
            reopened_at=(local(2, 10), local(2, 11)),
            paused_before=-HOUR,
        )
    assert codes(caught) == [
        ("ends_early", "pauses.1"),
        ("out_of_order", "met_at"),
        ("out_of_order", "reopened_at"),
        ("negative_duration", "paused_before"),
    ]


def test_a_reopening_before_it_was_met_is_refused():
    with pytest.raises(Invalid) as caught:
        History(started_at=local(2, 9), met_at=(local(2, 11),), reopened_at=(local(2, 10),))
    assert codes(caught) == [("out_of_order", "reopened_at")]
    assert "met_at" in str(caught.value)


def test_naive_moments_are_refused():
    naive = local(2, 9).replace(tzinfo=None)
    with pytest.raises(Invalid) as caught:
        History(started_at=naive, pauses=(Pause(naive, naive),), met_at=(naive,), reopened_at=(naive,))
    assert [field for _, field in codes(caught)] == ["started_at", "pauses", "met_at", "reopened_at"]
    with pytest.raises(Invalid) as caught:
        read(HOUR, History(started_at=local(2, 9)), naive)
    assert codes(caught) == [("naive_time", "at")]


def test_a_negative_target_is_refused():
    with pytest.raises(Invalid) as caught:
        read(-HOUR, History(started_at=local(2, 9)), local(2, 9))
    assert codes(caught) == [("negative_duration", "within")]


def test_beyond_the_confirmed_days_it_warns_or_refuses():
    working = working_time(in_china(WORKING.calendar))
    history = History(started_at=datetime.datetime(2026, 12, 31, 17, tzinfo=working.zone))
    reading = read_clock(2 * HOUR, history, working, at=history.started_at)
    assert [(issue.code, issue.level) for issue in reading.warnings] == [("unconfirmed", "warning")]
    assert explain_clock(reading, working).warnings == reading.warnings
    with pytest.raises(Invalid) as caught:
        read_clock(2 * HOUR, history, working, at=history.started_at, policy=ClockPolicy(beyond="refuse"))
    assert codes(caught) == [("unconfirmed", "calendar.confirmed_until")]
    # Elapsed time asks no calendar.
    elapsed = read_clock(
        Duration(24, "hours"), history, working, at=history.started_at, policy=ClockPolicy(beyond="refuse")
    )
    assert elapsed.warnings == ()
