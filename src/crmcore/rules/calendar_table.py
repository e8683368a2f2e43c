"""A compiled calendar: the windows of some years with running totals, and how it grows to the years that are asked for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Set
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from typing import Any

from crmcore.errors import Invalid, Issue
from crmcore.rules.calendar_years import (
    DatedWindow,
    Span,
    cut,
    cuts_of,
    midnight,
    special_days,
    united,
    windows_of_year,
)
from crmcore.rules.calendars import WorkingCalendar

FIRST_YEAR, LAST_YEAR = 1900, 2999
REACH = 100
"""How far an answer may lie from its question, in years."""

_NOTHING = timedelta(0)


def out_of_reach(field: str = "moment") -> Invalid:
    """The error for a moment, or an answer, that a calendar doesn't come to."""
    facts = {"years": REACH, "limit": f"{FIRST_YEAR}-{LAST_YEAR}"}
    return Invalid([Issue(code="out_of_reach", field=field, facts=facts)])


class Table:
    """The windows of whole years (of the zone) in order, with the open time before each; and the days that are open.

    At either end stands a window of no length, so that the index tells when a search has run out: 0 at ``starts[0]``, where
    the first year begins, and ``last`` where the year after the last one does. ``bases`` are the openings less the open time
    before them: a moment in a window less its base is the open time up to that moment. ``days`` are ordinals, ``day_starts`` the
    index of each one's first window.
    """

    __slots__ = ("arrays", "bases", "day_starts", "days", "ends", "last", "starts", "sums", "years")

    def __init__(self, years: range, low: datetime, high: datetime, found: list[DatedWindow]) -> None:
        self.years = years
        inside = [
            (day, opens if low < opens else low, closes)
            for day, opens, closes in found
            if low < closes and opens < high
        ]
        self.starts = [low, *(opens for _, opens, _ in inside), high]
        self.ends = [low, *(closes for _, _, closes in inside), high]
        self.sums: list[timedelta] = list(
            accumulate((end - start for start, end in zip(self.starts, self.ends[:-1], strict=False)), initial=_NOTHING)
        )
        self.bases = [opens - total for opens, total in zip(self.starts, self.sums, strict=True)]
        self.last = len(self.starts) - 1
        self.days: list[int] = []
        self.day_starts: list[int] = []
        before = date(years[0], 1, 1).toordinal() - 1 if years else 0
        for index, (day, _, _) in enumerate(inside, 1):
            if day > before:
                self.days.append(day)
                self.day_starts.append(index)
                before = day
        self.arrays: Any = None

    def index(self, at: datetime) -> int:
        """The last window that opens at the moment or before it."""
        return bisect_right(self.starts, at) - 1

    def index_open_after(self, at: datetime) -> int:
        """The first window that closes after the moment."""
        index = bisect_right(self.starts, at) - 1
        return index + 1 if at >= self.ends[index] else index

    def worked(self, at: datetime) -> timedelta:
        """The open time from the beginning of the table up to a moment."""
        index = bisect_right(self.starts, at) - 1
        return min(at, self.ends[index]) - self.bases[index]

    def day_windows(self, place: int) -> range:
        """The indexes of the windows of the day at that place in ``days``."""
        end = self.day_starts[place + 1] if place + 1 < len(self.days) else self.last
        return range(self.day_starts[place], end)

    def day_of(self, index: int) -> date:
        """The date to which the window at an index belongs; before the first open day of the table, the day before its years."""
        place = bisect_right(self.day_starts, index) - 1
        return date.fromordinal(self.days[place]) if place >= 0 else date(self.years[0] - 1, 12, 31)


_NEVER = datetime.max.replace(tzinfo=UTC)


class Tables:
    """The table of a calendar, compiled as far as it was asked for. It only grows, and is replaced as a whole."""

    __slots__ = ("_cuts", "_found", "_special", "calendar", "table", "zone")

    def __init__(self, calendar: WorkingCalendar) -> None:
        self.calendar, self.zone = calendar, calendar.zone
        self._cuts: list[Span] = cuts_of(calendar)
        self._special = special_days(calendar)
        self._found: dict[int, list[DatedWindow]] = {}
        self.table = Table(range(0), _NEVER, _NEVER, [])

    def covering(self, first: datetime, last: datetime) -> Table:
        """A table in which both moments lie; ``first`` is not the later one. Raises :class:`Invalid` (``out_of_reach``)."""
        table = self.table
        if table.starts[0] <= first and last < table.starts[-1]:
            return table
        try:
            return self.spanning(first.astimezone(self.zone).year, last.astimezone(self.zone).year)
        except OverflowError:
            raise out_of_reach() from None

    def spanning(self, first: int, last: int) -> Table:
        """A table of these years at least. Raises :class:`Invalid` (``out_of_reach``)."""
        if first < FIRST_YEAR or last > LAST_YEAR:
            raise out_of_reach()
        years = self.table.years
        if years:
            first, last = min(first, years[0]), max(last, years[-1])
        if range(first, last + 1) != years:
            self.table = self._compiled(range(first, last + 1))
        return self.table

    def later(self, table: Table, at: datetime) -> Table:
        """A table that goes on where one ended, for an answer to a question about ``at``."""
        last = table.years[-1]
        if last - at.year > REACH or last >= LAST_YEAR:
            raise out_of_reach("answer")
        return self.spanning(table.years[0], min(last + len(table.years), LAST_YEAR))

    def earlier(self, table: Table, at: datetime) -> Table:
        """A table that begins before one did, for an answer to a question about ``at``."""
        first = table.years[0]
        if at.year - first > REACH or first <= FIRST_YEAR:
            raise out_of_reach("answer")
        return self.spanning(max(first - len(table.years), FIRST_YEAR), table.years[-1])

    def _compiled(self, years: range) -> Table:
        # A window of the day before may still be open as the first year begins.
        found = [window for year in (years[0] - 1, *years) for window in self._year(year)]
        low, high = (midnight(date(year, 1, 1), self.zone) for year in (years[0], years[-1] + 1))
        if found and found[-1][2] > high:
            found += self._year(years[-1] + 1)
        # Cut only once they are in order: a night shift cut in two would have its second half in the next day's windows.
        return Table(years, low, high, list(cut(united(found), self._cuts)) if self._cuts else united(found))

    def _year(self, year: int) -> list[DatedWindow]:
        if year not in self._found:
            special: Set[int] = self._special.get(year, frozenset())
            self._found[year] = windows_of_year(self.calendar, year, special)
        return self._found[year]
