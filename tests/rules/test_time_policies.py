"""Words and values that the questions of working time don't take."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from crmcore.domain.duration import Duration
from crmcore.errors import Invalid
from crmcore.rules.calendar_reading import read_calendar
from crmcore.rules.calendars import WorkingCalendar, week, windows
from crmcore.rules.clocks import ClockPolicy, History, Pause, read_clock, target_length
from crmcore.rules.explaining import explain_between, explain_due
from crmcore.rules.time_policies import POLICIES
from crmcore.rules.working_days import add_working_days, count_working_days, is_working_day, working_day_after
from crmcore.rules.working_time import working_time

OFFICE = working_time(WorkingCalendar(timezone="Asia/Shanghai", weekly=week(windows("09:00-18:00"))))
HOUR, DAY = datetime.timedelta(hours=1), datetime.date(2026, 3, 2)
MONDAY = datetime.datetime(2026, 3, 2, 9, tzinfo=OFFICE.zone)
HISTORY = History(started_at=MONDAY)


def issues(ask) -> list[tuple[str, str | None]]:
    with pytest.raises(Invalid) as caught:
        ask()
    assert all(issue.text("en") and issue.text("zh-CN") for issue in caught.value.issues)
    return [(issue.code, issue.field) for issue in caught.value.issues]


QUESTIONS = {
    "boundary": [
        lambda word: OFFICE.due(MONDAY, 9 * HOUR, boundary=word),
        lambda word: OFFICE.answer_due(MONDAY, HOUR, boundary=word),
        lambda word: OFFICE.due_many([], HOUR, boundary=word),
        lambda word: explain_due(OFFICE, MONDAY, HOUR, boundary=word),
        lambda word: ClockPolicy(boundary=word),
    ],
    "zero": [
        lambda word: OFFICE.due(MONDAY, HOUR, zero=word),
        lambda word: OFFICE.due(MONDAY, 0 * HOUR, zero=word),
        lambda word: OFFICE.due_many([], HOUR, zero=word),
        lambda word: ClockPolicy(zero=word),
    ],
    "negative": [
        lambda word: OFFICE.due(MONDAY, HOUR, negative=word),
        lambda word: OFFICE.due(MONDAY, -HOUR, negative=word),
        lambda word: OFFICE.answer_due(MONDAY, -HOUR, negative=word),
    ],
    "reversed": [
        lambda word: OFFICE.between(MONDAY, MONDAY + HOUR, reversed=word),
        lambda word: OFFICE.between(MONDAY + HOUR, MONDAY, reversed=word),
        lambda word: OFFICE.between_many([], [], reversed=word),
        lambda word: explain_between(OFFICE, MONDAY, MONDAY, reversed=word),
    ],
    "closed_start": [
        lambda word: working_day_after(OFFICE, DAY, 1, closed_start=word),
        lambda word: add_working_days(OFFICE, MONDAY, 1, closed_start=word),
        lambda word: add_working_days(OFFICE, MONDAY, 1, landing="whole_days", closed_start=word),
        lambda word: ClockPolicy(closed_start=word),
    ],
    "landing": [lambda word: add_working_days(OFFICE, MONDAY, 1, landing=word)],
    "pause": [lambda word: ClockPolicy(pause=word)],
    "reopening": [lambda word: ClockPolicy(reopening=word)],
    "beyond": [lambda word: ClockPolicy(beyond=word)],
}


@pytest.mark.parametrize(("name", "ask"), [(name, ask) for name, asked in QUESTIONS.items() for ask in asked])
def test_a_word_that_no_policy_has_is_refused_whether_it_would_matter_or_not(name, ask):
    for word in ("x", POLICIES[name][0].title(), "", None, []):
        # Twice, since the first question compiles what the second finds.
        for _ in range(2):
            assert issues(lambda: ask(word)) == [("bad_choice", name)]  # noqa: B023


def test_every_policy_is_asked_and_told_in_the_documentation():
    assert QUESTIONS.keys() == POLICIES.keys()
    page = (Path(__file__).parents[2] / "docs/explanation/working-time.md").read_text("utf-8")
    for name, words in POLICIES.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert [row.index(f"`{word}`") for word in words] == sorted(row.index(f"`{word}`") for word in words)


def test_every_wrong_policy_comes_at_once():
    assert issues(lambda: OFFICE.due(MONDAY, HOUR, boundary="a", zero="b", negative="c")) == [
        ("bad_choice", "boundary"),
        ("bad_choice", "zero"),
        ("bad_choice", "negative"),
    ]
    assert issues(lambda: ClockPolicy(pause="x", reopening="y", at_risk_percent=100)) == [
        ("bad_choice", "pause"),
        ("bad_choice", "reopening"),
        ("out_of_range", "at_risk_percent"),
    ]


@pytest.mark.parametrize(
    ("percent", "code"),
    [(0, "out_of_range"), (100, "out_of_range"), (-1, "out_of_range"), (75.0, "bad_type"), ("75", "bad_type")],
)
def test_a_share_that_is_none_is_refused(percent, code):
    assert issues(lambda: ClockPolicy(at_risk_percent=percent)) == [(code, "at_risk_percent")]


@pytest.mark.parametrize(
    "value", [None, "2026-03-02T09:00", DAY, datetime.time(9, tzinfo=datetime.UTC), 1772413200, []]
)
def test_what_is_no_moment_is_refused(value):
    assert issues(lambda: OFFICE.due(value, HOUR)) == [("bad_type", "start")]
    assert issues(lambda: OFFICE.due_many([MONDAY, value], HOUR)) == [("bad_type", "start")]
    assert issues(lambda: OFFICE.between(value, MONDAY)) == [("bad_type", "start")]
    assert issues(lambda: OFFICE.between(MONDAY, value)) == [("bad_type", "end")]
    assert issues(lambda: OFFICE.is_open(value)) == [("bad_type", "moment")]
    assert issues(lambda: OFFICE.next_open(value)) == [("bad_type", "moment")]
    assert issues(lambda: OFFICE.windows(MONDAY, value or "")) == [("bad_type", "end")]
    assert issues(lambda: add_working_days(OFFICE, value, 1)) == [("bad_type", "start")]
    assert issues(lambda: read_clock(HOUR, HISTORY, OFFICE, at=value)) == [("bad_type", "at")]
    assert issues(lambda: History(started_at=value)) == [("bad_type", "started_at")]
    assert issues(lambda: History(started_at=MONDAY, met_at=(value,))) == [("bad_type", "met_at")]
    assert issues(lambda: History(started_at=MONDAY, pauses=(Pause(value),))) == [("bad_type", "pauses")]


@pytest.mark.parametrize("value", [None, 8, 8.0, "8 hours", MONDAY])
def test_what_is_no_length_of_time_is_refused(value):
    assert issues(lambda: OFFICE.due(MONDAY, value)) == [("bad_type", "work")]
    assert issues(lambda: OFFICE.due_many([MONDAY], value)) == [("bad_type", "work")]
    assert issues(lambda: explain_due(OFFICE, MONDAY, value)) == [("bad_type", "work")]
    assert issues(lambda: read_clock(value, HISTORY, OFFICE, at=MONDAY)) == [("bad_type", "within")]
    assert issues(lambda: target_length(value, MONDAY, OFFICE)) == [("bad_type", "within")]
    assert issues(lambda: History(started_at=MONDAY, paused_before=value)) == [("bad_type", "paused_before")]


@pytest.mark.parametrize("value", [None, 1.0, "1", True, HOUR])
def test_what_is_no_number_of_days_is_refused(value):
    assert issues(lambda: working_day_after(OFFICE, DAY, value)) == [("bad_type", "days")]
    for landing in POLICIES["landing"]:
        assert issues(lambda: add_working_days(OFFICE, MONDAY, value, landing=landing)) == [("bad_type", "days")]  # noqa: B023


@pytest.mark.parametrize("value", [None, "2026-03-02", MONDAY, 20260302])
def test_what_is_no_day_is_refused(value):
    assert issues(lambda: is_working_day(OFFICE, value)) == [("bad_type", "day")]
    assert issues(lambda: working_day_after(OFFICE, value, 1)) == [("bad_type", "day")]
    assert issues(lambda: count_working_days(OFFICE, value, DAY)) == [("bad_type", "start")]
    assert issues(lambda: count_working_days(OFFICE, DAY, value)) == [("bad_type", "end")]


def test_what_a_clock_cannot_be_read_from_is_refused():
    assert issues(lambda: read_clock(HOUR, None, OFFICE, at=MONDAY)) == [("bad_type", "history")]
    assert issues(lambda: read_clock(HOUR, HISTORY, None, at=MONDAY)) == [("bad_type", "working")]
    assert issues(lambda: read_clock(HOUR, HISTORY, OFFICE, at=MONDAY, policy="none")) == [("bad_type", "policy")]
    assert issues(lambda: read_clock(None, None, None, at=None)) == [
        ("bad_type", "within"),
        ("bad_type", "history"),
        ("bad_type", "working"),
    ]
    assert read_clock(Duration(1, "working_hours"), HISTORY, OFFICE, at=MONDAY).current.length == HOUR


def test_what_a_history_cannot_hold_is_refused_all_at_once():
    assert issues(lambda: History(started_at=None, pauses=(MONDAY,), met_at=MONDAY, reopened_at=None)) == [
        ("bad_type", "started_at"),
        ("bad_type", "pauses"),
        ("bad_type", "met_at"),
        ("bad_type", "reopened_at"),
    ]


@pytest.mark.parametrize("data", [None, [], "calendar", 5])
def test_what_is_no_table_is_no_calendar(data):
    assert issues(lambda: read_calendar(data, "shop")) == [("bad_type", "shop")]


def test_a_calendar_without_a_zone_or_a_week_is_refused():
    assert issues(lambda: WorkingCalendar(timezone=None, weekly=None)) == [
        ("unknown_zone", "calendar.timezone"),
        ("bad_type", "calendar.weekly"),
    ]


@pytest.mark.parametrize(("starts", "ends"), [(0, 1), (1, 0), (3, 2)])
def test_pairs_of_which_one_side_lacks_some_are_refused(starts, ends):
    assert issues(lambda: OFFICE.between_many([MONDAY] * starts, iter([MONDAY] * ends))) == [("bad_type", "ends")]
