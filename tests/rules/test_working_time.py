"""Working time: properties that hold on any calendar, against the minutes counted one by one; then policies and bad input."""

from __future__ import annotations

import datetime
import itertools

import pytest
from calendar_strategies import DAY, MINUTE, UTC, calendars, moments, open_minutes
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crmcore.errors import Invalid
from crmcore.rules.calendar_reading import read_calendar
from crmcore.rules.calendar_years import midnight
from crmcore.rules.calendars import WEEKDAYS, Leave, WorkingCalendar, round_the_clock, week, windows
from crmcore.rules.china_days import in_china
from crmcore.rules.explaining import explain_between, explain_due
from crmcore.rules.timing import zone_named
from crmcore.rules.working_days import add_working_days
from crmcore.rules.working_time import WorkingTime, working_time

HOUR, NOTHING = datetime.timedelta(hours=1), datetime.timedelta(0)
WORK = st.integers(1, 3 * 24 * 60).map(lambda minutes: minutes * MINUTE)
SPAN = st.integers(0, 8 * 24 * 60).map(lambda minutes: minutes * MINUTE)
BOUNDARIES = st.sampled_from(["close", "next_open"])
OFFICE = WorkingCalendar(timezone="Asia/Shanghai", weekly=week(windows("09:00-12:00", "13:00-18:00")))


def shanghai(*numbers: int) -> datetime.datetime:
    return datetime.datetime(*numbers, tzinfo=OFFICE.zone)


@given(calendars(), moments(), SPAN)
@settings(max_examples=80)
def test_open_time_is_what_the_minutes_count(calendar, start, span):
    minutes = list(open_minutes(calendar, start, start + span))
    working = WorkingTime(calendar)
    assert working.between(start, start + span) == sum(minutes) * MINUTE
    assert [working.is_open(start + MINUTE * number) for number in range(0, len(minutes), 7)] == minutes[::7]


@given(calendars(), moments(), st.integers(1, 2000))
def test_a_due_time_is_where_the_minutes_run_out(calendar, start, work):
    working = WorkingTime(calendar)
    due, later = working.due(start, work * MINUTE), working.due(start, work * MINUTE, boundary="next_open")
    assume(later - start < 9 * DAY)
    minutes = list(open_minutes(calendar, start, later + MINUTE))
    reached = [number for number, counted in enumerate(itertools.accumulate(minutes), 1) if counted == work]
    assert due == start + MINUTE * reached[0]
    # On with the closed minutes to the next open one.
    assert later == start + MINUTE * reached[-1] if minutes[reached[-1]] else later > start + MINUTE * reached[-1]


@given(calendars(), moments(), WORK, BOUNDARIES)
def test_a_difference_gives_the_duration_back(calendar, start, work, boundary):
    working = WorkingTime(calendar)
    try:
        due = working.due(start, work, boundary=boundary)
        begun = working.due(start, -work, boundary=boundary)
    except Invalid as invalid:
        assert {issue.code for issue in invalid.issues} == {"out_of_reach"}
        return
    assert working.between(start, due) == work
    assert working.between(begun, start) == work
    assert begun < start < due


@given(calendars(), moments(), moments(), WORK, WORK, BOUNDARIES)
def test_later_and_longer_is_never_due_earlier(calendar, one, other, short, more, boundary):
    working = WorkingTime(calendar)
    early, late = sorted((one, other))
    assert working.due(early, short, boundary=boundary) <= working.due(late, short, boundary=boundary)
    assert working.due(early, short, boundary=boundary) < working.due(early, short + more, boundary=boundary)
    assert working.due(early, short) <= working.due(early, short, boundary="next_open")


@given(calendars(), moments(), moments(), moments())
def test_differences_add_up(calendar, one, two, three):
    working = WorkingTime(calendar)
    assert working.between(one, two) + working.between(two, three) == working.between(one, three)
    assert working.between(one, two) == -working.between(two, one)
    assert working.between(one, two, reversed="zero") == max(NOTHING, working.between(one, two))


@given(calendars(), moments(), SPAN)
def test_windows_are_the_open_time_in_order(calendar, start, span):
    working = WorkingTime(calendar)
    found = list(working.windows(start, start + span))
    assert sum((closes - opens for opens, closes in found), NOTHING) == working.between(start, start + span)
    marks = [mark for window in found for mark in window]
    assert marks == sorted(marks) and all(start <= mark <= start + span for mark in marks)
    assert all(opens < closes for opens, closes in found)
    assert list(itertools.islice(working.windows(start), max(0, len(found) - 1))) == found[:-1]


@given(calendars(), moments())
def test_openings_and_closes_are_where_it_changes(calendar, at):
    working = WorkingTime(calendar)
    smallest = datetime.timedelta(microseconds=1)
    opens, closes = working.next_open(at, strict=True), working.next_close(at)
    assert at < opens and working.is_open(opens) and not working.is_open(opens - smallest)
    assert at < closes and not working.is_open(closes) and working.is_open(closes - smallest)
    assert working.between(at, min(opens, closes)) in (NOTHING, closes - at)
    before, until = working.previous_open(at), working.previous_close(at)
    assert before < at and working.is_open(before) and not working.is_open(before - smallest)
    assert until <= at and working.is_open(until - smallest)
    assert working.between(until, at) == NOTHING
    assert working.next_open(at) == (at if working.is_open(at) else opens)


@given(calendars(), moments(), WORK, BOUNDARIES, st.sampled_from([1, -1]))
def test_an_explanation_sums_up_to_its_answer(calendar, start, work, boundary, sign):
    working = WorkingTime(calendar)
    told = explain_due(working, start, sign * work, boundary=boundary)
    assert told.end == working.due(start, sign * work, boundary=boundary)
    assert sum((step.counted for step in told.steps), NOTHING) == sign * work
    assert [step.total for step in told.steps][-1] == sign * work
    back = explain_between(working, start, told.end)
    assert back.amount == sum((step.counted for step in back.steps), NOTHING) == sign * work
    for language in ("en", "zh-CN"):
        assert len(told.text(language).splitlines()) == min(len(told.steps), 41) + 1


@given(calendars(), st.lists(moments(), min_size=1, max_size=6), WORK, BOUNDARIES)
def test_the_answer_does_not_hang_on_what_was_asked_before(calendar, asked, work, boundary):
    used = WorkingTime(calendar)
    many = used.due_many(asked, work, boundary=boundary)
    assert many == [WorkingTime(calendar).due(start, work, boundary=boundary) for start in asked]
    assert used.between_many(asked, many) == [work] * len(asked)


@given(moments(), st.sampled_from(["Asia/Shanghai", "America/New_York", "Asia/Kathmandu"]), WORK)
def test_the_zone_of_a_moment_changes_nothing(at, zone, work):
    working = working_time(OFFICE)
    local = at.astimezone(read_calendar({"timezone": zone, "weekly": {"mon": ["09:00-10:00"]}}).zone)
    due = working.due(local, work)
    assert due == working.due(at, work) and due.tzinfo is UTC
    assert working.between(local, due) == work


def test_microseconds_are_kept():
    working = working_time(OFFICE)
    start, work = shanghai(2026, 3, 2, 17, 59, 59, 999_999), datetime.timedelta(days=40, microseconds=7)
    assert working.between(start, working.due(start, work)) == work


@pytest.mark.parametrize(
    ("hours", "boundary", "due"),
    [
        (2, "close", (2026, 3, 6, 18)),
        (2, "next_open", (2026, 3, 9, 9)),
        (-7, "close", (2026, 3, 6, 9)),
        (-7, "next_open", (2026, 3, 5, 18)),
    ],
)
def test_a_filled_window_ends_at_its_close_or_at_the_next_opening(hours, boundary, due):
    # A Friday: two hours before the close, six and a lunch break after the opening.
    start = shanghai(2026, 3, 6, 16) if hours > 0 else shanghai(2026, 3, 6, 17)
    assert working_time(OFFICE).due(start, hours * HOUR, boundary=boundary) == shanghai(*due)


def test_back_over_the_turn_of_a_year():
    start = shanghai(2026, 1, 1, 18)
    for boundary, due in (("close", shanghai(2026, 1, 1, 9)), ("next_open", shanghai(2025, 12, 31, 18))):
        assert WorkingTime(OFFICE).due(start, -8 * HOUR, boundary=boundary) == due


def test_at_an_opening_and_at_a_close():
    working, opening, close = working_time(OFFICE), shanghai(2026, 3, 2, 9), shanghai(2026, 3, 2, 12)
    assert working.next_open(opening) == opening
    assert working.next_open(opening, strict=True) == working.next_open(close) == shanghai(2026, 3, 2, 13)
    assert working.next_close(close) == shanghai(2026, 3, 2, 18)
    assert working.previous_close(close) == close
    assert working.previous_close(opening) == shanghai(2026, 2, 27, 18)
    assert working.previous_open(opening) == shanghai(2026, 2, 27, 13)
    assert working.previous_open(close) == opening


def test_no_time_at_all():
    working, closed, opened = working_time(OFFICE), shanghai(2026, 3, 7, 10), shanghai(2026, 3, 9, 10)
    assert working.due(closed, NOTHING) == closed
    assert working.due(closed, NOTHING, zero="next_open") == shanghai(2026, 3, 9, 9)
    assert working.due(opened, NOTHING, zero="next_open") == opened


def test_make_up_days_are_open_and_holidays_closed():
    working = working_time(in_china(OFFICE))
    # National Day 2026 is 1 to 7 October; Saturday the 10th is worked.
    assert working.due(shanghai(2026, 9, 30, 17), 3 * 8 * HOUR) == shanghai(2026, 10, 10, 17)
    assert working.between(shanghai(2026, 10, 1), shanghai(2026, 10, 12)) == 3 * 8 * HOUR
    # In a plain week it would be the Monday.
    assert working_time(OFFICE).due(shanghai(2026, 9, 30, 17), 3 * 8 * HOUR) == shanghai(2026, 10, 5, 17)


def test_a_naive_moment_is_refused():
    working, naive, aware = working_time(OFFICE), datetime.datetime(2026, 3, 2, 10), shanghai(2026, 3, 2, 10)

    class Nowhere(datetime.tzinfo):
        def utcoffset(self, moment):
            return None

    for moment in (naive, naive.replace(tzinfo=Nowhere())):
        for ask in (
            lambda: working.due(moment, HOUR),  # noqa: B023
            lambda: working.between(moment, aware),  # noqa: B023
            lambda: working.between(aware, moment),  # noqa: B023
            lambda: working.is_open(moment),  # noqa: B023
            lambda: working.windows(moment),  # noqa: B023
        ):
            with pytest.raises(Invalid) as caught:
                ask()
            assert [issue.code for issue in caught.value.issues] == ["naive_time"]


def test_a_negative_duration_counts_back_or_is_refused():
    working, start = working_time(OFFICE), shanghai(2026, 3, 2, 10)
    assert working.due(start, -2 * HOUR) == shanghai(2026, 2, 27, 17)
    with pytest.raises(Invalid) as caught:
        working.due(start, -2 * HOUR, negative="refuse")
    assert [issue.code for issue in caught.value.issues] == ["negative_duration"]


def test_beyond_the_confirmed_days_is_refused_or_answered_with_a_warning():
    working = working_time(in_china(OFFICE))
    start = shanghai(2026, 12, 31, 17)
    assert working.due(start, HOUR) == shanghai(2026, 12, 31, 18)
    for ask in (
        lambda: working.due(start, 2 * HOUR),
        lambda: working.due(shanghai(2004, 1, 2, 10), -3 * 8 * HOUR),
        lambda: working.between(start, shanghai(2027, 1, 4, 10)),
        lambda: working.between(shanghai(2003, 12, 1), start),
        lambda: working.is_open(shanghai(2027, 1, 4, 10)),
        lambda: working.next_open(shanghai(2026, 12, 31, 18)),
        lambda: list(itertools.islice(working.windows(start), 9)),
        lambda: working.windows(start, shanghai(2027, 2, 1)),
    ):
        with pytest.raises(Invalid) as caught:
            ask()
        assert all(issue.code.startswith("unconfirmed") for issue in caught.value.issues)
    answer = working.answer_due(start, 2 * HOUR)
    assert answer.value == working.unchecked.due(start, 2 * HOUR) == shanghai(2027, 1, 1, 10)
    assert [(issue.code, issue.level, issue.facts) for issue in answer.warnings] == [
        ("unconfirmed", "warning", {"limit": "2026-12-31"})
    ]
    assert "2026-12-31" in answer.warnings[0].text("zh-CN")
    assert working.answer_due(start, HOUR).warnings == ()
    (early,) = working.answer_between(shanghai(2003, 1, 1), start).warnings
    assert (early.code, early.field) == ("unconfirmed_before", "calendar.confirmed_from")
    assert "only from 2004-01-01 on" in early.text() and "自2004-01-01起" in early.text("zh-CN")
    assert explain_due(working, start, 2 * HOUR).warnings == answer.warnings


def test_what_is_out_of_reach_is_said():
    working, start = working_time(OFFICE), shanghai(2026, 3, 2, 10)
    always = working_time(round_the_clock("UTC"))
    once = working_time(
        WorkingCalendar(timezone="UTC", weekly=((),) * 7, overrides={datetime.date(2026, 3, 4): windows("09:00-12:00")})
    )
    assert once.due(start, 3 * HOUR) == once.next_close(start) == datetime.datetime(2026, 3, 4, 12, tzinfo=UTC)
    assert always.due(start, 5 * HOUR) == start + 5 * HOUR
    for ask in (
        lambda: working.due(start, 999_999 * HOUR),
        lambda: working.due(start, datetime.timedelta.max),
        lambda: working.due(start, datetime.timedelta.min),
        lambda: working.due(datetime.datetime.max.replace(tzinfo=UTC), HOUR),
        lambda: working.due(datetime.datetime.min.replace(tzinfo=OFFICE.zone), HOUR),
        lambda: working.between(datetime.datetime.min.replace(tzinfo=OFFICE.zone), start),
        lambda: working.is_open(datetime.datetime(1899, 1, 1, tzinfo=UTC)),
        lambda: once.due(start, 4 * HOUR),
        lambda: once.next_open(datetime.datetime(2026, 3, 4, 12, tzinfo=UTC)),
        lambda: once.previous_close(start),
        lambda: always.next_close(start),
        lambda: always.next_open(start, strict=True),
        lambda: always.previous_open(start),
    ):
        with pytest.raises(Invalid) as caught:
            ask()
        assert [issue.code for issue in caught.value.issues] == ["out_of_reach"]


def test_days_that_touch_are_one_stretch():
    through = working_time(WorkingCalendar(timezone="UTC", weekly=week(windows("00:00-24:00"), WEEKDAYS[:5])))
    wednesday = datetime.datetime(2026, 3, 4, 12, tzinfo=UTC)
    assert through.next_close(wednesday) == datetime.datetime(2026, 3, 7, tzinfo=UTC)
    assert through.previous_open(wednesday) == datetime.datetime(2026, 3, 2, tzinfo=UTC)
    assert through.next_open(wednesday, strict=True) == datetime.datetime(2026, 3, 9, tzinfo=UTC)


def nights(zone: str, **special) -> WorkingTime:
    """A fresh calendar of night shifts that run into the next day's early hours."""
    return WorkingTime(
        WorkingCalendar(timezone=zone, weekly=week(windows("06:00-14:00", "22:00-31:00"), WEEKDAYS), **special)
    )


def test_a_night_shift_is_counted_once_where_it_meets_the_next_day():
    start = datetime.datetime(2025, 12, 31, tzinfo=UTC)
    assert nights("UTC").between(start, start + DAY) == 16 * HOUR
    assert nights("UTC").between(start, start + 2 * DAY) == 32 * HOUR


def test_a_night_shift_goes_on_into_the_new_year():
    new_year = datetime.datetime(2026, 1, 1, tzinfo=UTC)
    assert nights("UTC").is_open(new_year + 2 * HOUR)
    assert nights("UTC").previous_open(new_year) == new_year - 2 * HOUR
    shut = nights("UTC", holidays=[new_year.date()])
    # The holiday closes what opens on it, not the shift of the night before.
    assert shut.between(new_year, new_year + DAY) == 7 * HOUR
    fresh, used = nights("UTC"), nights("UTC")
    used.is_open(new_year + 400 * DAY)
    closes = [
        add_working_days(working, new_year - 30 * HOUR, 1, landing="close") - new_year for working in (fresh, used)
    ]
    assert closes == [6 * HOUR, 6 * HOUR]
    # At two in the morning it is still the day on which the shift began.
    assert add_working_days(nights("UTC"), new_year + 2 * HOUR, 1, landing="whole_days") == new_year + 6 * HOUR


def test_a_night_shift_on_the_night_that_the_clocks_change():
    spring, autumn = (datetime.date(2016, *day) for day in ((3, 27), (10, 30)))
    for day, length in ((spring, 8 * HOUR), (autumn, 10 * HOUR)):
        evening = midnight(day, zone_named("Europe/Berlin")) - 2 * HOUR
        working = nights("Europe/Berlin", overrides={day: ()})
        assert working.next_close(evening) - evening == length


def test_a_night_shift_cut_in_two_stays_in_order():
    # Saturday's window runs into Sunday's, and a leave cuts both.
    weekly = (*((),) * 5, windows("00:00-24:15"), windows("00:00-24:00"))
    sunday = datetime.datetime(2016, 2, 21, tzinfo=UTC)
    leave = Leave(sunday + MINUTE, sunday + 2 * MINUTE)
    working = WorkingTime(WorkingCalendar(timezone="UTC", weekly=weekly, leaves=(leave,)))
    assert working.between(sunday - DAY, sunday) == DAY
    assert working.between(sunday, sunday + 10 * MINUTE) == 9 * MINUTE
