"""Why something is due when it is: the working of an obligation's due time, as data that add up and as text."""

from __future__ import annotations

from datetime import datetime

import attrs

from crmcore.domain.duration import Duration
from crmcore.domain.policies import Label
from crmcore.errors import Issue
from crmcore.rules.explaining import Explanation, Step, explain_clock
from crmcore.rules.obligations import PLAN_RULE, Case
from crmcore.rules.owed import Owed
from crmcore.rules.rulebook import Rulebook
from crmcore.rules.timing import due_day

_UNITS = {
    "minutes": "{}分钟",
    "hours": "{}小时",
    "days": "{}天",
    "months": "{}个月",
    "working_hours": "{}个工作小时",
    "working_days": "{}个工作日",
}
_PLANNED = Label(zh="计划的跟进", en="Planned follow-up")


def duration_label(duration: Duration) -> Label:
    """A duration for a reader: ``7天``, ``7 days``."""
    return Label(zh=_UNITS[duration.unit].format(duration.amount), en=str(duration).replace("_", " "))


def explain_owed(owed: Owed, case: Case, rulebook: Rulebook, at: datetime) -> Explanation:
    """The working of one thing that a case holds: window by window where it counts in working time, pause by pause.

    ``at`` is the moment until which a clock is read that still runs. What counts in days or months ends with its last day.
    """
    run = case.run(owed.id)
    if run is not None and run.due_on is None:
        target = run.target
        moment = run.closed_at or run.paused_since or at
        told = explain_clock(run.reading(rulebook, moment), rulebook.working)
        return attrs.evolve(told, heading=_within(target.label, target.within, owed.opened_at, rulebook))
    return Explanation(
        question="due",
        start=owed.counted_from,
        end=owed.due_at,
        amount=owed.due_at - owed.counted_from,
        steps=_whole(owed.counted_from, owed.due_at),
        zone=rulebook.zone,
        warnings=_warnings(owed, rulebook),
        heading=_heading(owed, run.target.label if run else None, rulebook),
    )


def _warnings(owed: Owed, rulebook: Rulebook) -> tuple[Issue, ...]:
    """That a day counted in working time lies beyond the confirmed ones."""
    cadence = next((one for one in rulebook.playbook.cadences if f"cadence.{one.key}" == owed.rule), None)
    if cadence is None or not (cadence.working_days or cadence.every.unit == "working_days"):
        return ()
    return rulebook.working.warnings(owed.counted_from, owed.due_at)


def _whole(start: datetime, end: datetime) -> tuple[Step, ...]:
    return (Step(kind="elapsed", start=start, end=end, counted=end - start, total=end - start),)


def _heading(owed: Owed, target: Label | None, rulebook: Rulebook) -> Label:
    last = due_day(owed.due_at, rulebook.zone)
    cadence = next((one for one in rulebook.playbook.cadences if f"cadence.{one.key}" == owed.rule), None)
    if cadence is not None:
        return _within(cadence.label, cadence.every, owed.counted_from, rulebook, until=owed.due_at)
    name = _PLANNED if owed.rule == PLAN_RULE or target is None else target
    return Label(zh=f"{name.zh}:{last}当天结束前", en=f"{name.en}: by the end of {last}")


def _within(
    name: Label, duration: Duration | None, start: datetime, rulebook: Rulebook, until: datetime | None = None
) -> Label:
    if duration is None:
        return name
    length, day = duration_label(duration), rulebook.day(start)
    planned = until is not None and until > rulebook.day_end(rulebook.day_after(day, duration))
    held = Label(zh=",自开始适用之日起计" if planned else "", en=", not before it began to hold" if planned else "")
    return Label(zh=f"{name.zh}:自{day}起{length.zh}{held.zh}", en=f"{name.en}: {length.en} from {day}{held.en}")
