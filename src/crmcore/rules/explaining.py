"""How a due time or a difference comes about: window by window, pause by pause, as data that add up and as text.

The steps are found by walking over the windows, not from the running totals that give the answer; so they check it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Literal
from zoneinfo import ZoneInfo

import attrs

from crmcore.domain.policies import Boundary, Label
from crmcore.errors import Issue, Language, language_of
from crmcore.rules.calendar_years import midnight
from crmcore.rules.calendars import DAY
from crmcore.rules.clocks import ELAPSED, Cycle, Pause, Reading, TimeBase
from crmcore.rules.time_policies import Negative, Reversed, Zero
from crmcore.rules.working_days import is_working_day
from crmcore.rules.working_time import WorkingTime, in_utc

#: ``open``: open time, counted; ``elapsed``: time counted whether open or not; ``closed``: dates that are open in other weeks;
#: ``pause``: held, not counted; ``moved``: the due time moved on by the length of a pause on the wall clock.
StepKind = Literal["open", "elapsed", "closed", "pause", "moved"]
Question = Literal["due", "between"]

_NOTHING, _SMALLEST = timedelta(0), timedelta(microseconds=1)
_HOLIDAY = Label(zh="节假日", en="holiday")
_LEAVE = Label(zh="休假或停工", en="leave or break")
_EXCEPTION = Label(zh="特殊工作时间", en="hours of this date alone")
_BEFORE = Label(zh="此前已暂停", en="paused before")
_REASONS = {"resolved": Label(zh="已解决", en="resolved"), None: Label(zh="暂停", en="paused")}


@attrs.frozen(kw_only=True)
class Step:
    """One piece of the way, from ``start`` to ``end`` (UTC). ``counted`` is what it adds to the sum, ``total`` the sum so far.

    Counted back it is negative. ``note`` says why it is closed, open out of turn, or held.
    """

    kind: StepKind
    start: datetime
    end: datetime
    counted: timedelta = _NOTHING
    total: timedelta = _NOTHING
    note: Label | None = None


@attrs.frozen(kw_only=True)
class Explanation:
    """The working of an answer: the ``counted`` of the steps sum up to ``amount``, from ``start`` to ``end``.

    For a due time the amount was given and ``end`` is the answer, for a difference the other way round. ``heading`` says which
    rule asked.
    """

    question: Question
    start: datetime
    end: datetime
    amount: timedelta
    steps: tuple[Step, ...]
    zone: ZoneInfo
    warnings: tuple[Issue, ...] = ()
    heading: Label | None = None

    def text(self, language: Language = "en", *, longest: int = 40) -> str:
        """It for a reader, in the calendar's local times; of more than ``longest`` steps those in the middle are summed up."""
        words = _WORDS[language_of(language)]
        lines = [self.heading.text(language)] if self.heading else []
        lines += [
            words[self.question].format(
                start=_moment(self.start, self.zone, language),
                end=_moment(self.end, self.zone, language),
                amount=length_text(self.amount, language),
                zone=self.zone.key,
            )
        ]
        head = len(self.steps) if len(self.steps) <= longest else longest // 2
        tail = self.steps[max(head, len(self.steps) - longest // 2) :]
        middle = self.steps[head : len(self.steps) - len(tail)]
        lines += [_line(step, self.zone, language) for step in self.steps[:head]]
        if middle:
            counted = length_text(sum((step.counted for step in middle), _NOTHING), language)
            lines.append(words["middle"].format(number=len(middle), amount=counted))
        lines += [_line(step, self.zone, language) for step in tail]
        lines += [words["warning"].format(text=issue.text(language)) for issue in self.warnings]
        return "\n".join(lines)


def explain_due(
    working: WorkingTime,
    start: datetime,
    work: timedelta,
    *,
    boundary: Boundary = "close",
    zero: Zero = "start",
    negative: Negative = "back",
) -> Explanation:
    """The working of :meth:`WorkingTime.due`; beyond the confirmed days with a warning."""
    answer = working.answer_due(start, work, boundary=boundary, zero=zero, negative=negative)
    at = in_utc(start)
    steps = _summed(_between(working, at, answer.value))
    return Explanation(
        question="due",
        start=at,
        end=answer.value,
        amount=work,
        steps=steps,
        zone=working.zone,
        warnings=answer.warnings,
    )


def explain_between(
    working: WorkingTime, start: datetime, end: datetime, *, reversed: Reversed = "negative"
) -> Explanation:
    """The working of :meth:`WorkingTime.between`; beyond the confirmed days with a warning."""
    answer = working.answer_between(start, end, reversed=reversed)
    first, last = in_utc(start), in_utc(end)
    steps = _between(working, first, last) if first <= last or reversed == "negative" else ()
    return Explanation(
        question="between",
        start=first,
        end=last,
        amount=answer.value,
        steps=_summed(steps),
        zone=working.zone,
        warnings=answer.warnings,
    )


def explain_clock(reading: Reading, working: WorkingTime, cycle: Cycle | None = None) -> Explanation:
    """The working of the due time of a clock that was read: of the cycle that counts now, or of another of its cycles."""
    cycle = cycle or reading.current
    return Explanation(
        question="due",
        start=cycle.started_at,
        end=cycle.due_at,
        amount=cycle.length,
        steps=_summed(_of_cycle(cycle, working)),
        zone=working.zone,
        warnings=reading.warnings,
    )


def _summed(steps: Iterable[Step]) -> tuple[Step, ...]:
    total, found = _NOTHING, []
    for step in steps:
        total += step.counted
        found.append(attrs.evolve(step, total=total))
    return tuple(found)


def _between(working: WorkingTime, start: datetime, end: datetime) -> list[Step]:
    """The open and the unusually closed time between two moments; from the later back to the earlier with negative counts."""
    if end < start:
        return [attrs.evolve(step, counted=-step.counted) for step in _between(working, end, start)[::-1]]
    working = working.unchecked
    calendar, zone = working.calendar, working.zone
    steps = []
    for opens, closes in working.windows(start, end):
        table = working.tables.covering(opens, opens)
        day = table.day_of(table.index(opens))
        note = (calendar.names.get(day) or _EXCEPTION) if day in calendar.overrides else None
        steps.append(Step(kind="open", start=opens, end=closes, counted=closes - opens, note=note))
    first, last = start.astimezone(zone).date(), end.astimezone(zone).date()
    days = (date.fromordinal(ordinal) for ordinal in range(first.toordinal(), last.toordinal() + 1))
    unusual = (day for day in days if calendar.weekly[day.weekday()] or calendar.is_holiday(day))
    closed = [day for day in unusual if not is_working_day(working, day)]
    for note, run in _runs(
        closed, lambda day: calendar.names.get(day, _HOLIDAY) if calendar.is_holiday(day) else _LEAVE
    ):
        closed_from, closed_to = midnight(run[0], zone), midnight(run[-1] + DAY, zone)
        if closed_from < end and closed_to > start:
            steps.append(Step(kind="closed", start=closed_from, end=closed_to, note=note))
    return sorted(steps, key=lambda step: step.start)


def _runs(days: Iterable[date], note_of: Callable[[date], Label]) -> Iterator[tuple[Label, list[date]]]:
    """Days that follow one another with the same note."""
    numbered = enumerate(days)
    for (note, _), run in groupby(numbered, key=lambda pair: (note_of(pair[1]), pair[1].toordinal() - pair[0])):
        yield note, [day for _, day in run]


def _of_cycle(cycle: Cycle, working: WorkingTime) -> Iterator[Step]:
    def run(start: datetime, end: datetime) -> Iterable[Step]:
        if cycle.base == "working":
            return _between(working, start, end)
        return [Step(kind="elapsed", start=start, end=end, counted=end - start)] if start < end else []

    start, before = cycle.started_at, cycle.paused_before
    if cycle.policy.pause != "wall_clock":
        if before:
            yield Step(kind="pause", start=start, end=start, counted=-before, note=_BEFORE)
        for hold in cycle.holds:
            if cycle.due_at <= hold.start:
                break
            yield from run(start, hold.start)
            start = hold.end or hold.start
            yield Step(kind="pause", start=hold.start, end=start, note=_reason(hold))
        yield from run(start, cycle.due_at)
        return
    time: TimeBase = working.unchecked if cycle.base == "working" else ELAPSED
    due = time.due(start, cycle.length, boundary=cycle.policy.boundary, zero=cycle.policy.zero)
    yield from run(start, due)
    if before:
        yield Step(kind="moved", start=due, end=due + before, note=_BEFORE)
        due += before
    for hold in cycle.holds:
        if hold.start < due:
            length = (hold.end or hold.start) - hold.start
            yield Step(kind="moved", start=due, end=due + length, note=_reason(hold))
            due += length


def _reason(hold: Pause) -> Label:
    return _REASONS.get(hold.reason) or Label(zh=f"{hold.reason}", en=f"{hold.reason}")


_WORDS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "due": "Due {end}: {amount} from {start} ({zone})",
        "between": "{amount} from {start} to {end} ({zone})",
        "open": "  {span}: {counted}, in all {total}{note}",
        "elapsed": "  {span}: {counted} elapse, in all {total}",
        "closed": "  {days}: closed ({note})",
        "pause": "  {span}: not counted ({note}){counted}",
        "moved": "  {span}: moved on by {length} ({note})",
        "middle": "  ... {number} further steps: {amount} ...",
        "warning": "  Note: {text}.",
        "note": " ({note})",
        "days": "{first} to {last}",
        "lengths": "h,min,s",
        "weekdays": "Mon,Tue,Wed,Thu,Fri,Sat,Sun",
    },
    "zh-CN": {
        "due": "{end}到期:自{start}起{amount}({zone})",
        "between": "自{start}至{end}共{amount}({zone})",
        "open": "  {span}:{counted},累计{total}{note}",
        "elapsed": "  {span}:经过{counted},累计{total}",
        "closed": "  {days}:不工作({note})",
        "pause": "  {span}:不计时({note}){counted}",
        "moved": "  {span}:顺延{length}({note})",
        "middle": "  …… 其余{number}段共{amount} ……",
        "warning": "  注意:{text}。",
        "note": "({note})",
        "days": "{first}至{last}",
        "lengths": "小时,分钟,秒",
        "weekdays": "周一,周二,周三,周四,周五,周六,周日",
    },
}


def length_text(length: timedelta, language: Language = "en") -> str:
    """A length of time in hours, minutes and whole seconds: ``8 h``, ``-1 h 30 min``, ``8小时``. Only what is shorter than a second
    is told to the microsecond."""
    seconds, fraction = divmod(abs(length) // timedelta(microseconds=1), 1_000_000)
    units = _WORDS[language_of(language)]["lengths"].split(",")
    gap = " " if language == "en" else ""
    rest = f"{seconds % 60}" if seconds or not fraction else f"0.{fraction:06}".rstrip("0")
    parts = [f"{seconds // 3600}", f"{seconds // 60 % 60}", rest]
    kept = [f"{part}{gap}{unit}" for part, unit in zip(parts, units, strict=True) if part != "0"]
    return ("-" if length < _NOTHING else "") + (gap.join(kept) or f"0{gap}{units[0]}")


def _day(moment: datetime, language: Language) -> str:
    return f"{moment:%Y-%m-%d} {_WORDS[language]['weekdays'].split(',')[moment.weekday()]}"


def _moment(moment: datetime, zone: ZoneInfo, language: Language) -> str:
    local = moment.astimezone(zone)
    seconds = f"{local:%H:%M}" if not local.second else local.time().isoformat("seconds")
    return f"{_day(local, language)} {seconds}"


def _line(step: Step, zone: ZoneInfo, language: Language) -> str:
    words = _WORDS[language]
    start, end = _moment(step.start, zone, language), _moment(step.end, zone, language)
    day, _, time = end.rpartition(" ")
    first, last = (_day(moment.astimezone(zone), language) for moment in (step.start, step.end - _SMALLEST))
    note = step.note.text(language) if step.note else ""
    if step.kind == "pause":
        counted = f" {length_text(step.counted, language)}" if step.counted else ""
    else:
        counted = length_text(step.counted, language)
    return words[step.kind].format(
        span=f"{start} - {time if start.startswith(day) else end}",
        days=first if first == last else words["days"].format(first=first, last=last),
        counted=counted,
        length=length_text(step.end - step.start, language),
        total=length_text(step.total, language),
        note=(words["note"].format(note=note) if note and step.kind == "open" else note),
    )
