"""The clock of a target: until when, how much time has run, is it paused, at risk, met or breached, at any instant.

A clock is read from what happened (:class:`History`) under a policy (:class:`ClockPolicy`); nothing is kept between two
readings, so the same history under another policy gives what would have been.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Literal, Protocol

import attrs

from crmcore.domain.duration import Duration
from crmcore.domain.policies import Boundary, PauseTime, Reopening
from crmcore.errors import Invalid, Issue
from crmcore.rules.time_policies import Beyond, ClosedStart, Zero, type_issue, word_issues
from crmcore.rules.timing import due_at
from crmcore.rules.working_days import add_working_days
from crmcore.rules.working_time import LENGTH, WorkingTime, in_utc

State = Literal["waiting", "running", "at_risk", "paused", "breached", "met", "met_late"]

_NOTHING = timedelta(0)
_MANY = (tuple, list)


class TimeBase(Protocol):
    """What a clock runs on: working time or elapsed time."""

    def due(self, start: datetime, work: timedelta, *, boundary: Boundary = ..., zero: Zero = ...) -> datetime: ...

    def between(self, start: datetime, end: datetime) -> timedelta: ...


class ElapsedTime:
    """Time as it passes, closed or open."""

    def due(self, start: datetime, work: timedelta, *, boundary: Boundary = "close", zero: Zero = "start") -> datetime:
        """The moment that much later."""
        return start + work

    def between(self, start: datetime, end: datetime) -> timedelta:
        """The time from one moment to another."""
        return end - start


ELAPSED = ElapsedTime()


@attrs.frozen(kw_only=True)
class ClockPolicy:
    """How a clock is read. ``at_risk_percent`` of its time gone, a target is at risk.

    ``boundary`` and ``zero`` are those of :meth:`WorkingTime.due`, ``closed_start`` is for targets in working days. Raises
    :class:`Invalid` with every word that its policy doesn't have (``bad_choice``), and for a percentage that isn't from 1 to 99.
    """

    boundary: Boundary = "close"
    zero: Zero = "start"
    closed_start: ClosedStart = "count"
    pause: PauseTime = "working_time"
    reopening: Reopening = "continue"
    at_risk_percent: int | None = None
    beyond: Beyond = "warn"

    def __attrs_post_init__(self) -> None:
        percent = self.at_risk_percent
        issues = word_issues(
            boundary=self.boundary,
            zero=self.zero,
            closed_start=self.closed_start,
            pause=self.pause,
            reopening=self.reopening,
            beyond=self.beyond,
        )
        if percent is not None and type(percent) is not int:
            issues.append(type_issue("at_risk_percent", "a whole number"))
        elif percent is not None and not 1 <= percent <= 99:
            issues.append(Issue(code="out_of_range", field="at_risk_percent", facts={"limit": "1 to 99"}))
        if issues:
            raise Invalid(issues)


_USUAL = ClockPolicy()


@attrs.frozen
class Pause:
    """A time in which a clock is held, from ``start`` up to ``end``; None while it lasts. ``reason`` is for the reader."""

    start: datetime
    end: datetime | None = None
    reason: str | None = None


def _are_moments(values: object) -> bool:
    return isinstance(values, _MANY) and all(isinstance(value, datetime) for value in values)


def _are_pauses(values: object) -> bool:
    return isinstance(values, _MANY) and all(
        isinstance(pause, Pause)
        and isinstance(pause.start, datetime)
        and (pause.end is None or isinstance(pause.end, datetime))
        for pause in values
    )


@attrs.frozen(kw_only=True)
class History:
    """What happened to one target: aware moments, the pauses in any order (they may overlap: time is held once).

    Met again while it is met changes nothing. ``paused_before`` is time known to have been paused without its when (a sum taken
    over from another system), in the pauses' own measure. Raises :class:`Invalid` with everything that can't be: what is no moment
    (``bad_type``), a moment without a zone (``naive_time``) or before the start, a reopening of what isn't met (``out_of_order``),
    a pause that ends before it begins (``ends_early``), a negative ``paused_before``.
    """

    started_at: datetime
    pauses: tuple[Pause, ...] = ()
    met_at: tuple[datetime, ...] = ()
    reopened_at: tuple[datetime, ...] = ()
    paused_before: timedelta = _NOTHING

    def __attrs_post_init__(self) -> None:
        if issues := [*self._type_issues()] or [*self._naive_issues()]:
            raise Invalid(issues)
        issues = [
            Issue(code="ends_early", field=f"pauses.{number}")
            for number, pause in enumerate(self.pauses, 1)
            if pause.end is not None and pause.end < pause.start
        ]
        issues += [
            Issue(code="out_of_order", field=field, facts={"limit": "started_at"})
            for field, moments in (("met_at", self.met_at), ("reopened_at", self.reopened_at))
            if any(moment < self.started_at for moment in moments)
        ]
        is_met = False
        for _, reopened in self.turns():
            if reopened and not is_met:
                issues.append(Issue(code="out_of_order", field="reopened_at", facts={"limit": "met_at"}))
            is_met = not reopened
        if self.paused_before < _NOTHING:
            issues.append(Issue(code="negative_duration", field="paused_before"))
        if issues:
            raise Invalid(issues)

    def _type_issues(self) -> Iterator[Issue]:
        if not isinstance(self.started_at, datetime):
            yield type_issue("started_at", "a date and time")
        if not _are_pauses(self.pauses):
            yield type_issue("pauses", "pauses, each from one date and time to another")
        if not _are_moments(self.met_at):
            yield type_issue("met_at", "dates and times")
        if not _are_moments(self.reopened_at):
            yield type_issue("reopened_at", "dates and times")
        if not isinstance(self.paused_before, timedelta):
            yield type_issue("paused_before", LENGTH)

    def _naive_issues(self) -> Iterator[Issue]:
        named = {
            "started_at": (self.started_at,),
            "pauses": [moment for pause in self.pauses for moment in (pause.start, pause.end) if moment],
            "met_at": self.met_at,
            "reopened_at": self.reopened_at,
        }
        for field, moments in named.items():
            if any(moment.utcoffset() is None for moment in moments):
                yield Issue(code="naive_time", field=field)

    def turns(self) -> list[tuple[datetime, bool]]:
        """The moments that met it (False) and those that reopened it (True), in order; at one instant it is met first."""
        return sorted([*((moment, False) for moment in self.met_at), *((moment, True) for moment in self.reopened_at)])


@attrs.frozen(kw_only=True)
class Cycle:
    """A target's run from its start to its end, in UTC, as it stands at the instant of the reading.

    ``length`` is what the target allows, on the time ``base``; ``holds`` are the pauses that count so far, in order, none
    overlapping. ``due_at`` is the first moment that is too late; while the clock is held, as if it went on at once.
    ``remaining`` is negative by what is overdue. ``wall_clock`` says how the holds move the due time; only where they don't go
    by the wall clock are ``elapsed`` and ``remaining`` together ``length``.
    """

    base: Literal["working", "elapsed"]
    started_at: datetime
    length: timedelta
    holds: tuple[Pause, ...]
    paused_before: timedelta
    policy: ClockPolicy
    due_at: datetime
    at_risk_at: datetime | None
    met_at: datetime | None
    elapsed: timedelta
    paused: timedelta
    remaining: timedelta
    state: State

    @property
    def late_by(self) -> timedelta:
        """By how much of the base's time it is, or was, overdue."""
        return max(_NOTHING, -self.remaining) if self.state in ("breached", "met_late") else _NOTHING


@attrs.frozen(kw_only=True)
class Reading:
    """A clock at one instant. ``cycles`` are in order; ``current`` is the last of them, the one that counts."""

    at: datetime
    cycles: tuple[Cycle, ...]
    warnings: tuple[Issue, ...] = ()

    @property
    def current(self) -> Cycle:
        """The cycle that counts at the instant."""
        return self.cycles[-1]


def target_length(
    within: Duration | timedelta, start: datetime, working: WorkingTime, closed_start: ClosedStart = "count"
) -> tuple[Literal["working", "elapsed"], timedelta]:
    """What a target allows from a start, and on which time it runs.

    A timedelta is working time. Minutes and hours elapse; days and months end with their last day in the calendar's zone;
    working days end at the last close of the n-th. Raises :class:`Invalid` (``negative_duration``, ``bad_type``).
    """
    _check_types(within=within, working=working)
    if isinstance(within, timedelta):
        if within < _NOTHING:
            raise Invalid([Issue(code="negative_duration", field="within")])
        return "working", within
    if within.unit == "working_hours":
        return "working", timedelta(hours=within.amount)
    if within.unit == "working_days":
        end = add_working_days(working, start, within.amount, landing="close", closed_start=closed_start)
        return "working", working.between(start, end)
    return "elapsed", due_at(start, within, working.zone) - start


def read_clock(
    within: Duration | timedelta,
    history: History,
    working: WorkingTime,
    *,
    at: datetime,
    policy: ClockPolicy | None = None,
) -> Reading:
    """The clock of a target at an instant; what happened after that instant is not yet known to it.

    Before its start a clock is ``waiting``. Raises :class:`Invalid`: ``bad_type``, ``naive_time``, ``negative_duration``,
    ``out_of_reach``; and ``unconfirmed`` under the policy ``beyond="refuse"``, where the reading otherwise holds a warning.
    """
    policy = policy or _USUAL
    _check_types(within=within, history=history, working=working, policy=policy)
    at = in_utc(at, "at")
    runs = list(_runs(history, at))
    if policy.reopening == "restart":
        runs = runs[-1:]
    elif policy.reopening == "continue":
        runs = [_continued(runs)]
    cycles = tuple(_cycle(within, run, history, working.unchecked, at, policy) for run in runs)
    moments = [moment for cycle in cycles if cycle.base == "working" for moment in (cycle.started_at, cycle.due_at)]
    if policy.beyond == "refuse" and moments:
        working.confirmed(*moments)
    return Reading(at=at, cycles=cycles, warnings=working.warnings(*moments) if moments else ())


_ASKED: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "within": ((Duration, timedelta), f"a Duration or {LENGTH}"),
    "history": (History, "a History"),
    "working": (WorkingTime, "a WorkingTime"),
    "policy": (ClockPolicy, "a ClockPolicy"),
}


def _check_types(**given: object) -> None:
    issues = [
        type_issue(name, _ASKED[name][1]) for name, value in given.items() if not isinstance(value, _ASKED[name][0])
    ]
    if issues:
        raise Invalid(issues)


@attrs.frozen
class _Run:
    """A start (UTC), the moment that met it, and the times between being met and being reopened."""

    start: datetime
    met_at: datetime | None
    resolved: tuple[Pause, ...] = ()


def _runs(history: History, at: datetime) -> Iterator[_Run]:
    """From each start to the moment that met it, as far as ``at`` knows."""
    start, met = history.started_at.astimezone(UTC), None
    for moment, reopened in history.turns():
        if moment > at:
            break
        if reopened:
            yield _Run(start, met)
            start, met = moment.astimezone(UTC), None
        else:
            met = met or moment.astimezone(UTC)
    yield _Run(start, met)


def _continued(runs: list[_Run]) -> _Run:
    between = [Pause(run.met_at or run.start, later.start, "resolved") for run, later in pairwise(runs)]
    return _Run(runs[0].start, runs[-1].met_at, tuple(between))


def _holds(pauses: Iterable[Pause], start: datetime, until: datetime) -> Iterator[Pause]:
    """The pauses within a run, in order, what overlaps counted to the first."""
    for pause in sorted(pauses, key=lambda pause: pause.start):
        begun = max(start, pause.start.astimezone(UTC))
        ended = min(until, (pause.end or until).astimezone(UTC))
        if begun < ended:
            yield Pause(begun, ended, pause.reason)
            start = ended


def _cycle(
    within: Duration | timedelta, run: _Run, history: History, working: WorkingTime, at: datetime, policy: ClockPolicy
) -> Cycle:
    base, length = target_length(within, run.start, working, policy.closed_start)
    time: TimeBase = working if base == "working" else ELAPSED
    until = max(run.start, run.met_at or at)
    pauses, before = (history.pauses, history.paused_before) if policy.pause != "none" else ((), _NOTHING)
    holds = tuple(_holds([*pauses, *run.resolved], run.start, until))
    wall = policy.pause == "wall_clock"
    reach = _moved if wall else _reached
    due = reach(time, run.start, length, before, holds, policy)
    risk = None
    if policy.at_risk_percent is not None:
        risk = reach(time, run.start, length * policy.at_risk_percent // 100, before, holds, policy)
    held = sum((time.between(hold.start, hold.end or until) for hold in holds), _NOTHING)
    ran = max(_NOTHING, time.between(run.start, until) - held - (_NOTHING if wall else before))
    is_held = any(pause.start <= at and (pause.end is None or at < pause.end) for pause in pauses)
    return Cycle(
        base=base,
        started_at=run.start,
        length=length,
        holds=holds,
        paused_before=before,
        policy=policy,
        due_at=due,
        at_risk_at=risk,
        met_at=run.met_at,
        elapsed=ran,
        paused=before + (sum(((hold.end or until) - hold.start for hold in holds), _NOTHING) if wall else held),
        remaining=time.between(until, due) if wall else length - ran,
        state=_state(run, due, risk, at, is_held),
    )


def _reached(
    time: TimeBase, start: datetime, length: timedelta, before: timedelta, holds: Iterable[Pause], policy: ClockPolicy
) -> datetime:
    """The end of a length that doesn't run while it is held."""
    if not length:
        return time.due(start, length, zero=policy.zero)
    left = length + before
    for hold in holds:
        ran = time.between(start, hold.start)
        if left < ran or (left == ran and policy.boundary == "close"):
            break
        left, start = left - ran, hold.end or hold.start
    return time.due(start, left, boundary=policy.boundary, zero="next_open")


def _moved(
    time: TimeBase, start: datetime, length: timedelta, before: timedelta, holds: Iterable[Pause], policy: ClockPolicy
) -> datetime:
    """The end of a length, moved on by the length of each pause on the wall that begins before it."""
    due = time.due(start, length, boundary=policy.boundary, zero=policy.zero) + before
    for hold in holds:
        if hold.start < due:
            due += (hold.end or hold.start) - hold.start
    return due


def _state(run: _Run, due: datetime, risk: datetime | None, at: datetime, is_held: bool) -> State:
    if run.met_at is not None:
        return "met" if run.met_at < due else "met_late"
    if at < run.start:
        return "waiting"
    if at >= due:
        return "breached"
    if is_held:
        return "paused"
    return "at_risk" if risk is not None and at >= risk else "running"
