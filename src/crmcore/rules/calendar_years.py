"""A calendar's windows as instants: year by year, in UTC, in order, cut by breaks and leaves.

A wall time that a change of the clocks leaves out stands for the moment of the change, one that comes twice for its first
coming: a window is open while the clock on the wall shows a time within it, and never twice on one day.
"""

from __future__ import annotations

from bisect import bisect_right
from calendar import isleap
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain, islice
from typing import cast
from zoneinfo import ZoneInfo

from crmcore.rules.calendars import DAY, WorkingCalendar

#: The day (its ordinal) to which a window belongs, its opening and its close.
DatedWindow = tuple[int, datetime, datetime]
Span = tuple[datetime, datetime]

_SECOND, _TWO_DAYS = timedelta(seconds=1), 2 * DAY


def instant_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """The instant (UTC) at which a clock on the wall in the zone first shows this naive time, or has passed it."""
    first = wall.replace(tzinfo=zone)
    before, after = first.utcoffset(), first.replace(fold=1).utcoffset()
    if before is None or after is None or before >= after:
        return first.astimezone(UTC)
    # The time is left out: the change lies between its two readings.
    low, high = (wall - after).replace(tzinfo=UTC), (wall - before).replace(tzinfo=UTC)
    while high - low > _SECOND:
        middle = low + (high - low) // 2 // _SECOND * _SECOND
        low, high = (low, middle) if middle.astimezone(zone).utcoffset() == after else (middle, high)
    return high


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The instant (UTC) at which a date begins in the zone."""
    return instant_of(datetime.combine(day, time()), zone)


def special_days(calendar: WorkingCalendar) -> dict[int, set[int]]:
    """By year the ordinals of the dates on which something else than the week may hold; annual holidays not among them."""
    found: dict[int, set[int]] = {}
    for day in chain(calendar.holidays, calendar.overrides):
        found.setdefault(day.year, set()).add(day.toordinal())
    return found


def windows_of_year(calendar: WorkingCalendar, year: int, special: Set[int]) -> list[DatedWindow]:
    """Every window that opens on a day of the year, uncut and in order; those of neighbouring days may overlap.

    ``special`` are the year's :func:`special_days`.
    """
    zone = calendar.zone
    annual = {date(year, *day).toordinal() for day in calendar.annual_holidays if day != (2, 29) or isleap(year)}
    special = special | annual
    weekly = [[(window.opens, window.closes) for window in opening] for opening in calendar.weekly]
    found: list[DatedWindow] = []
    # The wall clock of the zone, labelled UTC: what is left is to take the offset away.
    wall = datetime(year, 1, 1, tzinfo=UTC)
    first, last = wall.toordinal(), date(year, 12, 31).toordinal()
    offset_at = cast("Callable[[datetime], timedelta]", zone.utcoffset)
    offset, tomorrow = offset_at(wall), offset_at(wall + DAY)
    for ordinal in range(first, last + 1):
        later = offset_at(wall + _TWO_DAYS)
        opening = weekly[(ordinal - 1) % 7]
        if ordinal in special:
            opening = [(window.opens, window.closes) for window in calendar.windows_on(wall.date())]
        if not opening:
            pass
        elif offset == tomorrow == later:
            start = wall - offset
            found += [(ordinal, start + opens, start + closes) for opens, closes in opening]
        else:
            naive = wall.replace(tzinfo=None)
            spans = [(instant_of(naive + opens, zone), instant_of(naive + closes, zone)) for opens, closes in opening]
            found += [(ordinal, opens, closes) for opens, closes in spans if opens < closes]
        wall += DAY
        offset, tomorrow = tomorrow, later
    return found


def cuts_of(calendar: WorkingCalendar) -> list[Span]:
    """The time that breaks and leaves take away, in order, none overlapping another."""
    zone = calendar.zone
    spans = [(leave.start.astimezone(UTC), leave.end.astimezone(UTC)) for leave in calendar.leaves]
    for day, breaks in calendar.breaks.items():
        wall = datetime.combine(day, time())
        spans += [(instant_of(wall + each.opens, zone), instant_of(wall + each.closes, zone)) for each in breaks]
    return merged(spans)


def merged(spans: Iterable[Span]) -> list[Span]:
    """Spans in order, those that touch or overlap made one, the empty ones left out."""
    kept: list[Span] = []
    for start, end in sorted(spans):
        if end <= start:
            continue
        if kept and start <= kept[-1][1]:
            kept[-1] = (kept[-1][0], max(kept[-1][1], end))
        else:
            kept.append((start, end))
    return kept


def united(found: Iterable[DatedWindow]) -> list[DatedWindow]:
    """Windows in order of opening without overlap: where one still runs as the next opens, the next goes on from there."""
    kept: list[DatedWindow] = []
    for ordinal, opens, closes in found:
        if kept and opens < kept[-1][2]:
            before, start, end = kept.pop()
            if start < opens:
                kept.append((before, start, opens))
            kept.append((ordinal, opens, max(closes, end)))
        else:
            kept.append((ordinal, opens, closes))
    return kept


def cut(found: Iterable[DatedWindow], cuts: Sequence[Span]) -> Iterator[DatedWindow]:
    """What is left of windows in order when the cuts, in order too, are taken away."""
    ends = [end for _, end in cuts]
    for ordinal, opens, closes in found:
        start = opens
        for cut_start, cut_end in islice(cuts, bisect_right(ends, opens), None):
            if closes <= cut_start:
                break
            if start < cut_start:
                yield ordinal, start, cut_start
            start = cut_end
        if start < closes:
            yield ordinal, start, closes
