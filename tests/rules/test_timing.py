"""Due times in calendar days and elapsed time."""

from __future__ import annotations

import datetime
from calendar import monthrange

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmcore.domain.duration import Duration
from crmcore.errors import DomainError
from crmcore.rules.timing import add_months, day_after, day_end, day_start, due_at, due_day, local_day, zone_named

SHANGHAI, NEW_YORK = zone_named("Asia/Shanghai"), zone_named("America/New_York")
ZONES = st.sampled_from([SHANGHAI, NEW_YORK, zone_named("UTC"), zone_named("Australia/Lord_Howe")])
DAYS = st.dates(datetime.date(1971, 1, 2), datetime.date(2100, 1, 1))
MOMENTS = st.datetimes(datetime.datetime(1971, 1, 2), datetime.datetime(2100, 1, 1), timezones=st.just(datetime.UTC))


@given(DAYS, st.integers(1, 600))
def test_months_keep_the_day_or_take_the_last_one(day, months):
    later = add_months(day, months)
    assert (later.year * 12 + later.month) - (day.year * 12 + day.month) == months
    assert later.day == min(day.day, monthrange(later.year, later.month)[1])


@pytest.mark.parametrize(
    ("day", "every", "expected"),
    [
        ((2023, 10, 9), "7 days", (2023, 10, 16)),  # seed 003, an A customer
        ((2023, 10, 11), "2 weeks", (2023, 10, 25)),  # seed 003, a B customer
        ((2023, 1, 31), "1 month", (2023, 2, 28)),
        ((2024, 1, 31), "1 month", (2024, 2, 29)),
        ((2024, 2, 29), "1 year", (2025, 2, 28)),
        ((2023, 11, 30), "3 months", (2024, 2, 29)),
    ],
)
def test_calendar_days(day, every, expected):
    assert day_after(datetime.date(*day), Duration.parse(every)) == datetime.date(*expected)


@given(MOMENTS, ZONES)
def test_a_day_begins_where_the_one_before_ends(moment, zone):
    day = local_day(moment, zone)
    assert day_start(day, zone) <= moment < day_end(day, zone)
    assert day_end(day, zone) == day_start(day + datetime.timedelta(days=1), zone)
    assert due_day(day_end(day, zone), zone) == day


@given(MOMENTS, st.integers(1, 10_000), ZONES)
def test_hours_are_elapsed_time_whatever_the_zone(moment, hours, zone):
    assert due_at(moment.astimezone(zone), Duration(hours, "hours"), zone) - moment == datetime.timedelta(hours=hours)


@given(MOMENTS, st.integers(1, 400), st.sampled_from(["days", "months", "hours", "minutes"]), ZONES)
def test_a_later_start_is_never_due_earlier(moment, amount, unit, zone):
    duration = Duration(amount, unit)
    later = moment + datetime.timedelta(hours=1)
    assert moment < due_at(moment, duration, zone) <= due_at(later, duration, zone)


def test_a_day_of_23_hours_is_a_day():
    before = datetime.datetime(2024, 3, 9, 12, tzinfo=NEW_YORK)
    due = due_at(before, Duration(1, "days"), NEW_YORK)
    assert due.astimezone(NEW_YORK) == datetime.datetime(2024, 3, 11, tzinfo=NEW_YORK)


def test_working_time_is_not_counted_as_calendar_days():
    with pytest.raises(DomainError, match="working_days"):
        day_after(datetime.date(2024, 1, 1), Duration(3, "working_days"))
