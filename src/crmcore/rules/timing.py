"""From a moment and a duration to a due time, in the team's own zone.

Two ways to count: hours and minutes are elapsed time; days, weeks and months are calendar days of the zone, due until the
end of the day, with month arithmetic that is calendar-true (31 January + 1 month is the last day of February).
"""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from crmcore.domain.duration import Duration
from crmcore.errors import DomainError

_DAY = timedelta(days=1)


@lru_cache(maxsize=64)
def zone_named(name: str) -> ZoneInfo:
    """The IANA zone of that name; raises ``KeyError`` (zoneinfo's own) for one that isn't known."""
    return ZoneInfo(name)


def local_day(moment: datetime, zone: ZoneInfo) -> date:
    """The calendar day on which an aware moment falls in the zone."""
    return moment.astimezone(zone).date()


def day_end(day: date, zone: ZoneInfo) -> datetime:
    """The first moment (UTC) that is no longer that day in the zone."""
    return datetime.combine(day + _DAY, time(), zone).astimezone(UTC)


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """The first moment (UTC) of that day in the zone."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def add_months(day: date, months: int) -> date:
    """The same day of a later month, or that month's last day where it has no such day."""
    years, month = divmod(day.month - 1 + months, 12)
    year = day.year + years
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def day_after(day: date, duration: Duration, *, back: bool = False) -> date:
    """The calendar day that lies a duration of whole days or months after another, or before it (``back``).

    Seed 003: 2023-10-09 + 7 days is 2023-10-16. Raises :class:`DomainError` for a duration that isn't counted in days.
    """
    amount = -duration.amount if back else duration.amount
    if duration.unit == "days":
        return day + timedelta(days=amount)
    if duration.unit == "months":
        return add_months(day, amount)
    raise DomainError(f"{duration} is not counted in calendar days")


def due_at(start: datetime, duration: Duration, zone: ZoneInfo) -> datetime:
    """The first moment (UTC) that is too late for something to be done within the duration from ``start``.

    Elapsed units end to the minute; calendar units at the end of their last day in the zone.
    """
    if duration.unit == "hours":
        return start.astimezone(UTC) + timedelta(hours=duration.amount)
    if duration.unit == "minutes":
        return start.astimezone(UTC) + timedelta(minutes=duration.amount)
    return day_end(day_after(local_day(start, zone), duration), zone)


def due_day(due: datetime, zone: ZoneInfo) -> date:
    """The last day on which something due at that moment is still in time."""
    return local_day(due - timedelta(milliseconds=1), zone)
