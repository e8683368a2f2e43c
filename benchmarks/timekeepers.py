"""Who is asked for working time: the limit, this library, and its peers, each in the way of its own documentation.

The office is open Monday to Friday 09:00-12:00 and 13:00-18:00 in Shanghai, closed on China's days off, and open on the
make-up days. Peers know no make-up days: they keep the office without those, and their answers are held against ours for it.
"""

from __future__ import annotations

import importlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import attrs

from crmcore.rules.calendars import WorkingCalendar, week, windows
from crmcore.rules.china_days import days_off, in_china, make_up_days
from crmcore.rules.working_time import WorkingTime

ZONE = ZoneInfo("Asia/Shanghai")
FIRST_YEAR, LAST_YEAR = 2015, 2026
HOURS = ((9, 12), (13, 18))
_DAY = timedelta(days=1)

Question = Callable[..., Any]


def open_days(make_up: bool) -> list[date]:
    """Every open date of the twelve years."""
    off, worked = days_off(), make_up_days() if make_up else {}
    days = (
        date(FIRST_YEAR, 1, 1) + _DAY * number
        for number in range((date(LAST_YEAR + 1, 1, 1) - date(FIRST_YEAR, 1, 1)).days)
    )
    return [day for day in days if day in worked or (day.weekday() < 5 and day not in off)]


class Limit:
    """Prefix sums over the windows and two binary searches, in seconds since 1970; aware moments in and out."""

    name = "prefix sums + bisect (limit)"

    def __init__(self, make_up: bool = True) -> None:
        self.starts: list[float] = []
        self.ends: list[float] = []
        self.sums = [0.0]
        for day in open_days(make_up):
            for opens, closes in HOURS:
                self.starts.append(datetime.combine(day, time(opens), ZONE).timestamp())
                self.ends.append(datetime.combine(day, time(closes), ZONE).timestamp())
                self.sums.append(self.sums[-1] + self.ends[-1] - self.starts[-1])

    def due(self, start: datetime, seconds: float) -> datetime:
        at = start.timestamp()
        starts, sums = self.starts, self.sums
        index = bisect_right(starts, at) - 1
        end = self.ends[index]
        target = sums[index] + ((at if at < end else end) - starts[index]) + seconds
        landing = bisect_left(sums, target) - 1
        return datetime.fromtimestamp(starts[landing] + target - sums[landing], UTC)

    def between(self, start: datetime, end: datetime) -> float:
        first, second = start.timestamp(), end.timestamp()
        starts, ends, sums = self.starts, self.ends, self.sums
        low, high = bisect_right(starts, first) - 1, bisect_right(starts, second) - 1
        close, later = ends[low], ends[high]
        worked = sums[high] + ((second if second < later else later) - starts[high])
        return worked - sums[low] - ((first if first < close else close) - starts[low])


def office(make_up: bool = True) -> WorkingTime:
    """The office, compiled for the twelve years."""
    calendar = WorkingCalendar(timezone=ZONE.key, weekly=week(windows("09:00-12:00", "13:00-18:00")))
    calendar = in_china(calendar) if make_up else attrs.evolve(calendar, holidays=days_off())
    working = WorkingTime(calendar)
    working.tables.spanning(FIRST_YEAR, LAST_YEAR)
    return working


@attrs.frozen
class Peer:
    """Another library: its questions take and give what it takes and gives; None is what it can't answer.

    ``moment`` makes its kind of moment of an aware one, ``seconds`` a number of its difference, ``instant`` an aware moment of
    what it says is due.
    """

    name: str
    due: Question | None = None
    between: Question | None = None
    moment: Callable[[datetime], Any] = lambda at: at.replace(tzinfo=None)
    seconds: Callable[[Any], float] = lambda found: found.total_seconds()
    instant: Callable[[Any], datetime] = lambda found: found.replace(tzinfo=ZONE)


def timegrid() -> Peer:
    library = importlib.import_module("timegrid")
    calendar = library.TimeGridCalendar.weekdays(time(9), time(18)).break_weekdays(time(12), time(13))
    for day in days_off():
        if day.weekday() < 5:
            calendar = calendar.close(day)
    timeline = calendar.compile(datetime(FIRST_YEAR, 1, 1), datetime(LAST_YEAR + 1, 1, 1))
    return Peer(
        "timegrid",
        due=lambda start, work: calendar.at(start).add_work_duration(work),
        between=timeline.get_working_duration,
    )


def business_duration() -> Peer:
    measure = importlib.import_module("business_duration").businessDuration
    free = list(days_off())
    spans = [(time(opens), time(closes)) for opens, closes in HOURS]

    def between(start: datetime, end: datetime) -> float:
        return sum(measure(start, end, opens, closes, holidaylist=free, unit="sec") for opens, closes in spans)

    return Peer("business-duration", between=between, seconds=float)


def businesstime() -> Peer:
    library = importlib.import_module("businesstime")
    free = sorted(days_off())
    halves = [
        library.BusinessTime(business_hours=(time(opens), time(closes)), holidays=free) for opens, closes in HOURS
    ]
    lengths = [timedelta(hours=closes - opens) for opens, closes in HOURS]

    def between(start: datetime, end: datetime) -> float:
        found = 0.0
        for half, length in zip(halves, lengths, strict=True):
            # It answers in days of its hours and the rest.
            gone = half.businesstimedelta(start, end)
            found += gone.days * length.total_seconds() + gone.seconds
        return found

    return Peer("businesstime", between=between, seconds=float)


def businesstimedelta() -> Peer:
    library = importlib.import_module("businesstimedelta")
    pytz = importlib.import_module("pytz")
    zone = pytz.timezone(ZONE.key)
    lunch = library.LunchTimeRule(start_time=time(12), end_time=time(13), working_days=range(5), tz=zone)
    work = library.WorkDayRule(start_time=time(9), end_time=time(18), working_days=range(5), tz=zone)
    free = library.HolidayRule(dict(days_off()), tz=zone)
    rules = library.Rules([work, lunch, free])
    return Peer(
        "businesstimedelta",
        due=lambda start, length: start + library.BusinessTimeDelta(rules, timedelta=length),
        between=rules.difference,
        moment=lambda at: at.astimezone(zone),
        seconds=lambda found: found.timedelta.total_seconds(),
        instant=lambda found: found,
    )


PEERS: tuple[Callable[[], Peer], ...] = (timegrid, business_duration, businesstime, businesstimedelta)
