"""Working days: which dates are open, the n-th of them after another, how many lie between two.

A working day is a date on which a window opens that breaks and leaves don't cover altogether; a night shift belongs to the
day on which it begins. Errors are those of :class:`crmcore.rules.working_time.WorkingTime`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import UTC, date, datetime, time, timedelta

from crmcore.rules.calendar_table import Table
from crmcore.rules.calendar_years import instant_of, midnight
from crmcore.rules.calendars import DAY
from crmcore.rules.time_policies import ClosedStart, Landing, bad_type, check_words
from crmcore.rules.working_time import WorkingTime, in_utc

_SMALLEST = timedelta(microseconds=1)


def is_working_day(working: WorkingTime, day: date) -> bool:
    """Whether anything is open that opens on the date."""
    _check_day("day", day)
    _confirmed(working, day)
    table = working.tables.spanning(day.year, day.year)
    place = bisect_left(table.days, day.toordinal())
    return place < len(table.days) and table.days[place] == day.toordinal()


def working_day_after(working: WorkingTime, day: date, days: int, *, closed_start: ClosedStart = "count") -> date:
    """The date so many working days after another, which itself doesn't count; before it, for a negative number.

    No days at all are the date itself, closed or not, unless ``closed_start`` moves it.
    """
    _check_day("day", day)
    _check_number(days)
    check_words(closed_start=closed_start)
    if closed_start == "move" and not is_working_day(working, day):
        day = working_day_after(working, day, -1 if days < 0 else 1)
    if not days:
        return day
    table, place = _counted(working, day, days)
    found = date.fromordinal(table.days[place])
    _confirmed(working, day, found)
    return found


def count_working_days(working: WorkingTime, start: date, end: date) -> int:
    """How many working days d there are with start < d <= end; for an end before the start the negative of the reverse."""
    _check_day("start", start)
    _check_day("end", end)
    _confirmed(working, start, end)
    table = working.tables.spanning(min(start, end).year, max(start, end).year)
    return bisect_right(table.days, end.toordinal()) - bisect_right(table.days, start.toordinal())


def add_working_days(
    working: WorkingTime,
    start: datetime,
    days: int,
    *,
    landing: Landing = "same_time",
    closed_start: ClosedStart = "count",
) -> datetime:
    """The moment (UTC) so many working days after another; before it, for a negative number.

    No days at all are the moment itself, moved only as ``landing`` says.
    """
    check_words(landing=landing, closed_start=closed_start)
    _check_number(days)
    at = in_utc(start, "start")
    working.confirmed(at)
    if landing == "whole_days":
        return _whole_days(working, at, days)
    local = at.astimezone(working.zone)
    day = working_day_after(working, local.date(), days, closed_start=closed_start)
    if landing == "close":
        return _last_close(working, at, day)
    same = at if day == local.date() else instant_of(datetime.combine(day, local.time()), working.zone)
    if landing == "next_open":
        return working.next_open(same)
    if landing == "previous_close":
        return working.previous_close(same)
    return same


def _counted(working: WorkingTime, day: date, days: int) -> tuple[Table, int]:
    """The table and the place in its days of the n-th working day after a date, n not 0."""
    tables, ordinal = working.tables, day.toordinal()
    asked = datetime.combine(day, time(), UTC)
    table = tables.spanning(day.year, day.year)
    while True:
        search = bisect_right if days > 0 else bisect_left
        place = search(table.days, ordinal) + (days - 1 if days > 0 else days)
        if place < 0:
            table = tables.earlier(table, asked)
        elif place >= len(table.days):
            table = tables.later(table, asked)
        else:
            return table, place


def _last_close(working: WorkingTime, at: datetime, day: date) -> datetime:
    """The last close of the windows of a date; of a closed date, the last close before its end."""
    if not is_working_day(working, day):
        return working.previous_close(midnight(day + DAY, working.zone))
    table = working.tables.spanning(day.year, day.year)
    found = table.ends[table.day_windows(bisect_left(table.days, day.toordinal()))[-1]]
    working.confirmed(at, found)
    return found


def _whole_days(working: WorkingTime, at: datetime, days: int) -> datetime:
    if not days:
        return at
    tables = working.tables
    table = tables.covering(at, at)
    while True:
        index = table.index_open_after(at) if days > 0 else bisect_left(table.starts, at) - 1
        if index >= table.last:
            table = tables.later(table, at)
        elif not table.days or index < table.day_starts[0]:
            table = tables.earlier(table, at)
        else:
            break
    # The window belongs to the day on which it opened, which may be the one before.
    place = bisect_right(table.day_starts, index) - 1
    nearest = date.fromordinal(table.days[place])
    table, place = _counted(working, nearest, days - 1 if days > 0 else days + 1) if abs(days) > 1 else (table, place)
    indexes = table.day_windows(place)
    landed = table.ends[indexes[-1]] if days > 0 else table.starts[indexes[0]]
    working.confirmed(at, landed)
    return landed


def _check_day(field: str, day: date) -> None:
    # The day of a date and time depends on the zone.
    if type(day) is not date:
        raise bad_type(field, "a date")


def _check_number(days: int) -> None:
    if type(days) is not int:
        raise bad_type("days", "a whole number")


def _confirmed(working: WorkingTime, *days: date) -> None:
    if working.calendar.confirmed_from or working.calendar.confirmed_until:
        # Past its midnight, so that the day after the last one is beyond it.
        working.confirmed(*(midnight(day, working.zone) + _SMALLEST for day in days))
