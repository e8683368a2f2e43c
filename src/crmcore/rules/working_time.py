"""Working time: when something is due, how much open time lies between two moments, when it is open.

A calendar is compiled as far as it is asked: openings, closes and running totals of open time, all in UTC. A question then
takes two binary searches, whatever the span. Moments come in aware (a naive one is refused) and go out in UTC.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from functools import cached_property, lru_cache
from typing import Any, Generic, Literal, Protocol, TypeVar, overload
from zoneinfo import ZoneInfo

import attrs

from crmcore.domain.policies import Boundary
from crmcore.errors import Invalid, Issue
from crmcore.rules.calendar_table import Table, Tables, out_of_reach
from crmcore.rules.calendar_years import Span, midnight
from crmcore.rules.calendars import DAY, WorkingCalendar
from crmcore.rules.time_policies import POLICIES, Negative, Reversed, Zero, bad_type, check_words

Value = TypeVar("Value")
_NOTHING = timedelta(0)
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_SOUND_ZONES = (timezone, ZoneInfo)
LENGTH = "a length of time (timedelta)"
_ZERO, _NEGATIVE = POLICIES["zero"], POLICIES["negative"]


def in_utc(moment: datetime, field: str = "moment") -> datetime:
    """An aware moment in UTC. Raises :class:`Invalid`: ``naive_time`` for one without a zone, ``bad_type`` for what is none."""
    try:
        zone = moment.tzinfo
        aware = zone is not None and (zone.__class__ in _SOUND_ZONES or moment.utcoffset() is not None)
        if not aware and isinstance(moment, datetime):
            raise Invalid([Issue(code="naive_time", field=field)])
        return moment.astimezone(UTC)
    except OverflowError:
        raise out_of_reach(field) from None
    except AttributeError:
        raise bad_type(field, "a date and time") from None


def check_length(work: timedelta) -> None:
    """Raises :class:`Invalid` (``bad_type``) for what is no length of time."""
    if not isinstance(work, timedelta):
        raise bad_type("work", LENGTH) from None


class Array(Protocol):
    """A numpy array, as far as it must be known here."""

    @property
    def dtype(self) -> Any:
        """What the array holds."""


@attrs.frozen
class Answer(Generic[Value]):
    """An answer, with warnings where the calendar isn't confirmed that far."""

    value: Value
    warnings: tuple[Issue, ...] = ()


class WorkingTime:
    """A working calendar made ready to be asked. Get it from :func:`working_time`, or make it once and keep it.

    Every method raises :class:`Invalid`: ``naive_time`` for a moment without a zone; ``bad_type`` for what is no moment or no
    length of time; ``bad_choice`` for a word that its policy doesn't have; ``out_of_reach`` for an answer more than a century
    away and for what lies outside 1900 to 2999; ``unconfirmed`` where question or answer lie beyond the days for which the
    calendar is confirmed (``unconfirmed_before`` the first of them). ``answer_due`` and ``answer_between`` answer there with a
    warning; ``unchecked`` is the same calendar without that limit.
    """

    def __init__(self, calendar: WorkingCalendar) -> None:
        self.calendar = calendar
        self.zone = calendar.zone
        self.tables = Tables(calendar)
        first, until = calendar.confirmed_from, calendar.confirmed_until
        self._from = midnight(first, self.zone) if first else _FIRST
        self._until = midnight(until + DAY, self.zone) if until else _LAST
        # A table, and the indexes from which up to which all that it says is confirmed: at first none.
        self._sure = (1, 0, self.tables.table)

    @cached_property
    def unchecked(self) -> WorkingTime:
        """The same calendar, asked without regard to how far it is confirmed."""
        if self.calendar.confirmed_from is self.calendar.confirmed_until is None:
            return self
        free = WorkingTime(attrs.evolve(self.calendar, confirmed_from=None, confirmed_until=None))
        free.tables = self.tables
        return free

    def due(
        self,
        start: datetime,
        work: timedelta,
        *,
        boundary: Boundary = "close",
        zero: Zero = "start",
        negative: Negative = "back",
    ) -> datetime:
        """The moment (UTC) at which that much open time has passed since ``start``.

        From closed time it counts from the next opening. What exactly fills a window ends at its close or, as ``boundary``
        says, at the next opening. A negative duration counts back (opening and close change their parts) or is refused.
        """
        sure_from, sure_until, table = self._sure
        starts, bases = table.starts, table.bases
        try:
            at = start
            if (zone := start.tzinfo) is not UTC:
                # For the zones that nearly every moment has, a call less than in_utc.
                at = start.astimezone(UTC) if zone.__class__ is ZoneInfo else in_utc(start, "start")
            index = bisect_right(starts, at) - 1
            if (
                sure_from <= index
                and work > _NOTHING
                and boundary == "close"
                and zero in _ZERO
                and negative in _NEGATIVE
            ):
                close = table.ends[index]
                target = (at if at < close else close) - bases[index] + work
                landing = bisect_left(table.sums, target) - 1
                if landing < sure_until:
                    return bases[landing] + target
            return self._due(at, work, boundary, zero, negative)
        except OverflowError:
            raise out_of_reach("work") from None
        except (AttributeError, TypeError):
            in_utc(start, "start")
            check_length(work)
            raise

    def _due(self, at: datetime, work: timedelta, boundary: Boundary, zero: Zero, negative: Negative) -> datetime:
        check_words(boundary=boundary, zero=zero, negative=negative)
        if work < _NOTHING and negative == "refuse":
            raise Invalid([Issue(code="negative_duration", field="work")])
        if not work:
            return self._vouched(at, at) if zero == "start" else self.next_open(at)
        forward = work > _NOTHING
        search = bisect_left if (boundary == "close") is forward else bisect_right
        table = self._covering(at, at)
        while True:
            target = table.worked(at) + work
            landing = search(table.sums, target) - 1
            if forward and landing >= table.last:
                table = self.tables.later(table, at)
            elif not forward and target <= _NOTHING:
                table = self.tables.earlier(table, at)
            else:
                self._keep(table)
                return self._vouched(at, table.bases[landing] + target)

    def between(self, start: datetime, end: datetime, *, reversed: Reversed = "negative") -> timedelta:
        """The open time from one moment to another; with the end before the start negative, or nothing, as ``reversed`` says."""
        try:
            first, second = start, end
            if (zone := start.tzinfo) is not UTC:
                first = start.astimezone(UTC) if zone.__class__ is ZoneInfo else in_utc(start, "start")
            if (zone := end.tzinfo) is not UTC:
                second = end.astimezone(UTC) if zone.__class__ is ZoneInfo else in_utc(end, "end")
            sure_from, sure_until, table = self._sure
            low, high = bisect_right(table.starts, first) - 1, bisect_right(table.starts, second) - 1
        except OverflowError:
            raise out_of_reach() from None
        except (AttributeError, TypeError):
            in_utc(start, "start")
            in_utc(end, "end")
            raise
        if not (sure_from <= low < sure_until and sure_from <= high < sure_until):
            self.confirmed(first, second)
            table = self._covering(min(first, second), max(first, second))
            low, high = table.index(first), table.index(second)
        ends, bases = table.ends, table.bases
        close, later_close = ends[low], ends[high]
        found = ((second if second < later_close else later_close) - bases[high]) - (
            (first if first < close else close) - bases[low]
        )
        if reversed == "negative":
            return found
        check_words(reversed=reversed)
        return max(_NOTHING, found)

    def answer_due(
        self,
        start: datetime,
        work: timedelta,
        *,
        boundary: Boundary = "close",
        zero: Zero = "start",
        negative: Negative = "back",
    ) -> Answer[datetime]:
        """As :meth:`due`, but beyond the confirmed days with a warning instead of an error."""
        found = self.unchecked.due(start, work, boundary=boundary, zero=zero, negative=negative)
        return Answer(found, self.warnings(in_utc(start), found))

    def answer_between(self, start: datetime, end: datetime, *, reversed: Reversed = "negative") -> Answer[timedelta]:
        """As :meth:`between`, but beyond the confirmed days with a warning instead of an error."""
        found = self.unchecked.between(start, end, reversed=reversed)
        return Answer(found, self.warnings(in_utc(start), in_utc(end)))

    @overload
    def due_many(self, starts: Array, work: timedelta, *, boundary: Boundary = ..., zero: Zero = ...) -> Any: ...

    @overload
    def due_many(
        self, starts: Iterable[datetime], work: timedelta, *, boundary: Boundary = ..., zero: Zero = ...
    ) -> list[datetime]: ...

    def due_many(self, starts: Any, work: timedelta, *, boundary: Boundary = "close", zero: Zero = "start") -> Any:
        """:meth:`due` for each of many moments; of a numpy array as another (:func:`crmcore.rules.working_arrays.due_array`)."""
        if hasattr(starts, "dtype"):
            from crmcore.rules.working_arrays import due_array

            return due_array(self, starts, work, boundary=boundary)
        check_words(boundary=boundary, zero=zero)
        due = self.due
        if boundary == "close" and zero == "start":
            return [due(start, work) for start in starts]
        return [due(start, work, boundary=boundary, zero=zero) for start in starts]

    @overload
    def between_many(self, starts: Array, ends: Array, *, reversed: Reversed = ...) -> Any: ...

    @overload
    def between_many(
        self, starts: Iterable[datetime], ends: Iterable[datetime], *, reversed: Reversed = ...
    ) -> list[timedelta]: ...

    def between_many(self, starts: Any, ends: Any, *, reversed: Reversed = "negative") -> Any:
        """:meth:`between` for pairs of moments; of numpy arrays as another (:func:`crmcore.rules.working_arrays.between_array`).

        Raises ``bad_type`` for sides of different length.
        """
        if hasattr(starts, "dtype"):
            from crmcore.rules.working_arrays import between_array

            return between_array(self, starts, ends, reversed=reversed)
        check_words(reversed=reversed)
        between = self.between
        try:
            found = [between(start, end) for start, end in zip(starts, ends, strict=True)]
        except ValueError as error:
            raise bad_type("ends", "as many moments as starts") from error
        return [max(_NOTHING, length) for length in found] if reversed == "zero" else found

    def is_open(self, at: datetime) -> bool:
        """Whether the moment is open time. A window is open at its opening and no longer at its close."""
        at, table = self._asked(at)
        return at < table.ends[table.index(at)]

    def next_open(self, at: datetime, *, strict: bool = False) -> datetime:
        """The moment itself where it is open, else the next opening; with ``strict`` the next opening after it in any case."""
        at, table = self._asked(at)
        if self.is_open(at):
            if not strict:
                return at
            at = self.next_close(at)
        while (index := bisect_right(table.starts, at)) >= table.last:
            table = self.tables.later(table, at)
        return self._vouched(at, table.starts[index])

    def next_close(self, at: datetime) -> datetime:
        """The first close after the moment. Windows that touch are one: nothing closes at the seam."""
        at, table = self._asked(at)
        while True:
            index = table.index_open_after(at)
            while index + 1 < table.last and table.ends[index] == table.starts[index + 1]:
                index += 1
            if index < table.last and table.ends[index] < table.starts[-1]:
                return self._vouched(at, table.ends[index])
            table = self.tables.later(table, at)

    def previous_close(self, at: datetime) -> datetime:
        """The moment itself within a window or at its close, else the last close before it."""
        at, table = self._asked(at)
        while (index := bisect_left(table.starts, at) - 1) < 1:
            table = self.tables.earlier(table, at)
        return self._vouched(at, min(at, table.ends[index]))

    def previous_open(self, at: datetime) -> datetime:
        """The last opening before the moment. Windows that touch are one: nothing opens at the seam."""
        at, table = self._asked(at)
        while True:
            index = bisect_left(table.starts, at) - 1
            while index > 0 and table.starts[index] == table.ends[index - 1]:
                index -= 1
            if index > 0:
                return self._vouched(at, table.starts[index])
            table = self.tables.earlier(table, at)

    def windows(self, start: datetime, end: datetime | None = None) -> Iterator[Span]:
        """The windows from ``start`` on, in order, cut off at ``start`` and ``end``; without an end as many as are asked for."""
        at, table = self._asked(start)
        if end is None:
            return self._windows(at, table)
        until = in_utc(end, "end")
        if until <= at:
            return iter(())
        table = self.tables.covering(at, self._vouched(at, until))
        chosen = range(table.index_open_after(at), table.index(until) + 1)
        spans = ((max(at, table.starts[index]), min(until, table.ends[index])) for index in chosen)
        return (span for span in spans if span[0] < span[1])

    def _windows(self, at: datetime, table: Table) -> Iterator[Span]:
        begun = at
        while True:
            for index in range(table.index_open_after(at), table.last):
                opens = self._vouched(begun, max(at, table.starts[index]))
                at = table.ends[index]
                yield opens, at
            table = self.tables.later(table, begun)

    def warnings(self, *moments: datetime) -> tuple[Issue, ...]:
        """A warning where a moment lies beyond the days for which the calendar is confirmed."""
        return tuple(self._doubts("warning", moments))

    def confirmed(self, *moments: datetime) -> None:
        """Raises :class:`Invalid` (``unconfirmed_before``, ``unconfirmed``) where a moment lies beyond the confirmed days."""
        if not all(self._from <= moment <= self._until for moment in moments):
            raise self._unconfirmed(*moments)

    def _doubts(self, level: Literal["error", "warning"], moments: tuple[datetime, ...]) -> Iterator[Issue]:
        limits = (
            ("unconfirmed_before", "confirmed_from", self.calendar.confirmed_from, min(moments) < self._from),
            ("unconfirmed", "confirmed_until", self.calendar.confirmed_until, max(moments) > self._until),
        )
        for code, name, limit, beyond in limits:
            if beyond:
                yield Issue(code=code, field=f"calendar.{name}", level=level, facts={"limit": f"{limit}"})

    def _unconfirmed(self, *moments: datetime) -> Invalid:
        return Invalid(self._doubts("error", moments))

    def _vouched(self, asked: datetime, found: datetime) -> datetime:
        self.confirmed(asked, found)
        return found

    def _asked(self, at: datetime) -> tuple[datetime, Table]:
        at = in_utc(at)
        self._vouched(at, at)
        return at, self.tables.covering(at, at)

    def _covering(self, first: datetime, last: datetime) -> Table:
        return self._keep(self.tables.covering(first, last))

    def _keep(self, table: Table) -> Table:
        """Takes the table for the questions to come."""
        sure_until = bisect_right(table.starts, self._until) - 1
        self._sure = (bisect_left(table.starts, self._from), sure_until, table)
        return table


@lru_cache(maxsize=64)
def working_time(calendar: WorkingCalendar) -> WorkingTime:
    """The compiled form of a calendar; the same object for an equal calendar, as long as it is among the last 64."""
    return WorkingTime(calendar)
