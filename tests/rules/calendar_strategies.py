"""Any working calendar, and its open time found minute by minute."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from hypothesis import strategies as st

from crmcore.rules.calendars import Leave, Window, WorkingCalendar

UTC, MINUTE, DAY = datetime.UTC, datetime.timedelta(minutes=1), datetime.timedelta(days=1)
#: Zones without and with a change of the clocks: by an hour, by half an hour, at midnight, and by a whole day (Apia, 2011).
ZONES = st.sampled_from(
    [
        *("Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"),
        *("America/Sao_Paulo", "Asia/Tehran", "Pacific/Apia", "UTC"),
    ]
)
#: Days on or beside which a zone of the above changes its clocks, and the turn of a year.
TURNS = [(2016, 3, 27), (2016, 10, 30), (2016, 3, 13), (2016, 11, 6), (2016, 4, 3), (2016, 10, 2), (2015, 10, 18)]
TURNS += [(2016, 2, 21), (2016, 3, 21), (2016, 9, 21), (2011, 12, 30), (2015, 12, 31), (2016, 1, 1), (2016, 6, 15)]
DATES = st.sampled_from([datetime.date(*turn) + DAY * away for turn in TURNS for away in (-2, -1, 0, 1, 2)])


@st.composite
def openings(draw: st.DrawFn) -> tuple[Window, ...]:
    """Up to three windows of a day on whole quarters of an hour; the last may end on the day after."""
    marks = sorted(draw(st.sets(st.integers(0, 95), max_size=6)))
    marks += [draw(st.integers(96, 140))] if len(marks) % 2 else []
    times = [15 * MINUTE * mark for mark in marks]
    return tuple(Window(opens, closes) for opens, closes in zip(times[::2], times[1::2], strict=True))


@st.composite
def calendars(draw: st.DrawFn) -> WorkingCalendar:
    """Any calendar; its special days lie where :data:`DATES` do."""
    week = draw(st.lists(openings(), min_size=7, max_size=7).filter(any))
    leaves = draw(st.lists(st.tuples(DATES, st.integers(0, 2880), st.integers(0, 5000)), max_size=2))
    midnight = datetime.time(tzinfo=UTC)
    return WorkingCalendar(
        timezone=draw(ZONES),
        weekly=tuple(week),
        holidays=draw(st.frozensets(DATES, max_size=4)),
        annual_holidays=draw(st.frozensets(st.sampled_from([(1, 1), (2, 29), (3, 27), (12, 31)]), max_size=2)),
        overrides=draw(st.dictionaries(DATES, openings(), max_size=4)),
        breaks=draw(st.dictionaries(DATES, openings(), max_size=3)),
        leaves=tuple(
            Leave(start := datetime.datetime.combine(day, midnight) + MINUTE * after, start + MINUTE * length)
            for day, after, length in leaves
        ),
    )


@st.composite
def moments(draw: st.DrawFn) -> datetime.datetime:
    """A whole minute, or quarter of an hour, on or beside a day of :data:`DATES`, in UTC."""
    day, minute = draw(DATES), draw(st.integers(0, 1439) | st.integers(0, 95).map(lambda quarter: 15 * quarter))
    return datetime.datetime(day.year, day.month, day.day, tzinfo=UTC) + MINUTE * minute


def open_minutes(calendar: WorkingCalendar, start: datetime.datetime, end: datetime.datetime) -> Iterator[bool]:
    """Of each minute from start to end whether it is open, as the clock on the wall shows it.

    Where the clock is set back, it is taken to stand still until it has caught up.
    """
    zone, moment = calendar.zone, start - DAY
    wall = moment.replace(tzinfo=None) - DAY
    while moment < end:
        wall = max(wall, moment.astimezone(zone).replace(tzinfo=None, fold=0))
        if moment >= start:
            yield is_open_minute(calendar, moment, wall)
        moment += MINUTE


def is_open_minute(calendar: WorkingCalendar, moment: datetime.datetime, wall: datetime.datetime) -> bool:
    day, time = wall.date(), wall - datetime.datetime.combine(wall.date(), datetime.time())
    beside = [(day, time), (day - DAY, time + DAY)]

    def within(windows_of: object) -> bool:
        return any(window.opens <= at < window.closes for date, at in beside for window in windows_of(date))

    if any(leave.start <= moment < leave.end for leave in calendar.leaves):
        return False
    return within(calendar.windows_on) and not within(lambda date: calendar.breaks.get(date, ()))
