"""One run of a target: its clock from what started it to what ended it, and what it comes to."""

from __future__ import annotations

from datetime import date, datetime

import attrs

from crmcore.domain.policies import Target
from crmcore.rules.clocks import ClockPolicy, Cycle, History, Pause, Reading, read_clock
from crmcore.rules.owed import Owed
from crmcore.rules.rulebook import Rulebook


@attrs.define(eq=False)
class Run:
    """One run of a target's clock, from what started it to what ended it."""

    target: Target
    id: str
    subject_id: str
    owner: str | None
    started_at: datetime
    opened_at: datetime
    due_on: date | None = None
    person: str | None = None
    state: str = "open"
    closed_at: datetime | None = None
    evidence_id: str | None = None
    reason: str | None = None
    pauses: tuple[Pause, ...] = ()
    paused_since: datetime | None = None
    met_at: tuple[datetime, ...] = ()
    reopened_at: tuple[datetime, ...] = ()

    def close(self, state: str, at: datetime, *, evidence_id: str | None = None, reason: str | None = None) -> None:
        """It ends; a clock that is held runs on for that."""
        self.resume(at)
        self.state, self.closed_at, self.evidence_id, self.reason = state, at, evidence_id, reason
        if state == "met":
            self.met_at += (at,)

    def resume(self, at: datetime) -> None:
        """The clock goes on."""
        if self.paused_since is not None:
            self.pauses += (Pause(self.paused_since, at, "waiting"),)
            self.paused_since = None

    def reading(self, rulebook: Rulebook, at: datetime | None = None) -> Reading:
        """Its clock at a moment, in the team's working time; without one when it ended, was stopped, or last changed."""
        target = self.target
        if target.within is None:
            raise ValueError("a target without a time has no clock")
        held = (Pause(self.paused_since, None, "waiting"),) if self.paused_since else ()
        history = History(
            started_at=self.started_at,
            pauses=self.pauses + held,
            met_at=self.met_at,
            reopened_at=self.reopened_at,
        )
        policy = ClockPolicy(boundary=target.boundary, pause=target.pause, reopening=target.reopening)
        # A clock that went back is read no earlier than the last that is known.
        known = [self.started_at, *self.met_at, *self.reopened_at, *(pause.end or pause.start for pause in self.pauses)]
        known += [moment for moment in (self.closed_at, self.paused_since, at) if moment is not None]
        return read_clock(target.within, history, rulebook.working, at=max(known), policy=policy)

    def cycle(self, rulebook: Rulebook) -> Cycle:
        """Its clock as it stood when it ended or was stopped, or as it runs."""
        return self.reading(rulebook).current

    def due_at(self, rulebook: Rulebook) -> datetime:
        """The first moment that is too late."""
        within = self.target.within
        if self.due_on is not None:
            end = rulebook.day_end(self.due_on)
            return end if within is None else rulebook.after(rulebook.day_start(self.due_on), within)
        assert within is not None, "a target that counts from a moment has its time"
        if within.unit in ("working_hours", "working_days") or self.pauses or self.paused_since or self.reopened_at:
            return self.cycle(rulebook).due_at
        return rulebook.after(self.started_at, within)

    def owed(self, customer_id: str | None, rulebook: Rulebook) -> Owed:
        """What it comes to."""
        due = self.due_at(rulebook)
        state = "paused" if self.state == "open" and self.paused_since and self.target.pause != "none" else self.state
        found = Owed(
            self.id,
            f"target.{self.target.key}",
            f"target.{self.target.key}",
            self.subject_id,
            customer_id,
            self.owner,
            self.opened_at,
            due,
            self.started_at,
            rulebook.warn_at(due, self.target.warn) if self.target.warn else None,
            state,
            self.closed_at,
            self.evidence_id,
            self.reason,
        )
        if state == "met" and self.closed_at is not None and self.closed_at >= due:
            found.state = "met_late"
        return found
