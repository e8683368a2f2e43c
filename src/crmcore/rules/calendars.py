"""A working calendar as a value: when a team is open, in its own zone, and until when that is known.

Windows belong to the day on which they open, also those that close after midnight. Of a date decides, first to last: a
holiday (closed), an override (its own windows, which may open a closed day), the week. Breaks and leaves then cut away what
they cover, whatever it belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any, cast
from zoneinfo import ZoneInfo

import attrs

from crmcore.domain.policies import Label
from crmcore.domain.values import FrozenMap
from crmcore.errors import Invalid, Issue
from crmcore.rules.timing import zone_named

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = timedelta(days=1)
_TIME = re.compile(r"([0-4][0-9]):([0-5][0-9])(?::([0-5][0-9]))?")


def _time_of_day(text: str) -> timedelta:
    written = _TIME.fullmatch(text.strip())
    if not written:
        raise ValueError(f"{text!r} is not a time of day like 09:00")
    return timedelta(hours=int(written[1]), minutes=int(written[2]), seconds=int(written[3] or 0))


def _written(offset: timedelta) -> str:
    minutes, seconds = divmod(int(offset.total_seconds()), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}" + (f":{seconds:02}" if seconds else "")


@attrs.frozen(order=True)
class Window:
    """Open time on a day: from the local time ``opens`` up to, not with, ``closes``, both counted from its midnight.

    ``24:00`` is the next midnight, ``31:00`` seven in the morning after; 48:00 at most. ValueError says what is wrong.

    >>> str(Window.parse("22:00-31:00"))
    '22:00-31:00'
    """

    opens: timedelta
    closes: timedelta

    def __attrs_post_init__(self) -> None:
        if not timedelta(0) <= self.opens < DAY:
            raise ValueError("a window opens between 00:00 and 23:59")
        if not self.opens < self.closes <= 2 * DAY:
            raise ValueError("a window closes after it opens, at 48:00 at the latest")

    @classmethod
    def parse(cls, text: str) -> Window:
        """Reads ``09:00-12:00``."""
        opens, dash, closes = text.partition("-")
        if not dash:
            raise ValueError(f"{text!r} is not a window like 09:00-12:00")
        return cls(_time_of_day(opens), _time_of_day(closes))

    def __str__(self) -> str:
        return f"{_written(self.opens)}-{_written(self.closes)}"


Windows = tuple[Window, ...]


def windows(*texts: str) -> Windows:
    """Windows from their text: ``windows("09:00-12:00", "13:00-18:00")``. Raises ValueError."""
    return tuple(sorted(Window.parse(text) for text in texts))


def week(opening: Windows, days: Iterable[str] = WEEKDAYS[:5]) -> tuple[Windows, ...]:
    """The same windows on each of the days (``mon`` … ``sun``), the others closed."""
    chosen = frozenset(days)
    return tuple(opening if day in chosen else () for day in WEEKDAYS)


@attrs.frozen(order=True)
class Leave:
    """Time off from one instant to another, both aware."""

    start: datetime
    end: datetime


def _dates(value: Iterable[date]) -> frozenset[date]:
    return frozenset(value)


def _days_of_year(value: Iterable[tuple[int, int]]) -> frozenset[tuple[int, int]]:
    return frozenset(value)


def _by_date(value: Mapping[date, Any]) -> Mapping[date, Any]:
    # A FrozenMap says that its keys are text; dates serve as well.
    return cast("Mapping[date, Any]", FrozenMap(cast("Mapping[str, Any]", value)))


def _nothing() -> Mapping[date, Any]:
    return _by_date({})


@attrs.frozen(kw_only=True, cache_hash=True)
class WorkingCalendar:
    """When a team works. ``weekly`` holds seven groups of windows, Monday first.

    ``annual_holidays`` are (month, day). ``overrides`` and ``breaks`` are windows by date, ``names`` labels by date (why it is
    closed, or open). ``confirmed_from`` and ``confirmed_until`` are the first and last day for which it is known that no
    holiday is missing; None where that needs no confirming. Raises :class:`Invalid` with everything that is wrong.
    """

    timezone: str
    weekly: tuple[Windows, ...]
    holidays: frozenset[date] = attrs.field(default=frozenset(), converter=_dates)
    annual_holidays: frozenset[tuple[int, int]] = attrs.field(default=frozenset(), converter=_days_of_year)
    overrides: Mapping[date, Windows] = attrs.field(factory=_nothing, converter=_by_date)
    breaks: Mapping[date, Windows] = attrs.field(factory=_nothing, converter=_by_date)
    leaves: tuple[Leave, ...] = ()
    names: Mapping[date, Label] = attrs.field(factory=_nothing, converter=_by_date)
    confirmed_from: date | None = None
    confirmed_until: date | None = None

    def __attrs_post_init__(self) -> None:
        if issues := [*self._zone_issues(), *self._window_issues(), *self._leave_issues(), *self._confirmed_issues()]:
            raise Invalid(issues)

    def _zone_issues(self) -> list[Issue]:
        try:
            zone_named(self.timezone)
        except (KeyError, TypeError, ValueError, OSError):
            return [Issue(code="unknown_zone", field="calendar.timezone")]
        return []

    def _window_issues(self) -> list[Issue]:
        if not isinstance(self.weekly, tuple | list) or len(self.weekly) != len(WEEKDAYS):
            return [Issue(code="bad_type", field="calendar.weekly", facts={"expected": "seven days, Monday first"})]
        named = {f"weekly.{day}": hours for day, hours in zip(WEEKDAYS, self.weekly, strict=True)}
        named |= {f"date_overrides.{day}": hours for day, hours in self.overrides.items()}
        issues = [
            Issue(code="overlapping", field=f"calendar.{key}")
            for key, hours in named.items()
            if any(later.opens < earlier.closes for earlier, later in pairwise(hours))
        ]
        if not any(self.weekly) and not any(map(self.windows_on, self.overrides)):
            issues.append(Issue(code="never_open", field="calendar.weekly"))
        return issues

    def _leave_issues(self) -> list[Issue]:
        issues = []
        for number, leave in enumerate(self.leaves, 1):
            field = f"calendar.leaves.{number}"
            if leave.start.utcoffset() is None or leave.end.utcoffset() is None:
                issues.append(Issue(code="naive_time", field=field))
            elif leave.end < leave.start:
                issues.append(Issue(code="ends_early", field=field))
        return issues

    def _confirmed_issues(self) -> list[Issue]:
        if self.confirmed_from and self.confirmed_until and self.confirmed_until < self.confirmed_from:
            return [Issue(code="ends_early", field="calendar.confirmed_until")]
        return []

    @property
    def zone(self) -> ZoneInfo:
        """The zone in which its days and times are meant."""
        return zone_named(self.timezone)

    def is_holiday(self, day: date) -> bool:
        """Whether the date is a holiday, by its date or every year."""
        return day in self.holidays or (day.month, day.day) in self.annual_holidays

    def windows_on(self, day: date) -> Windows:
        """The windows that open on a date, before breaks and leaves cut into them."""
        if self.is_holiday(day):
            return ()
        own = self.overrides.get(day)
        return self.weekly[day.weekday()] if own is None else own


def round_the_clock(timezone: str) -> WorkingCalendar:
    """A calendar that is never closed."""
    return WorkingCalendar(timezone=timezone, weekly=week(windows("00:00-24:00"), WEEKDAYS))
