"""Closed loops as tables: feedback and tickets (seeds 001, 002), objections (seeds 002, 003), the plans of a review.

A loop says which action is possible in which state and where it leads, what it asks for, and what it does besides. The
decision gives every reason against an action at once; what an action changes is told by the same table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import attrs

from crmcore.domain import ActionPlan, Feedback, Objection, Record, Ticket
from crmcore.domain.entity import clean_fields
from crmcore.errors import Invalid, Issue

MOST_STARS = 5

_BLANK: tuple[Any, ...] = (None, ())


@attrs.frozen(kw_only=True)
class Step:
    """An action of a loop, called ``verb``. ``leads`` has each state in which it is possible, and the state after it.

    ``requires`` are fields that must be filled in with it or before, ``again`` those that must be from the second cycle on.
    ``moment`` is set to now, once in a cycle; ``clears`` is what it makes void. A step that ``reopens`` begins the next cycle.
    """

    verb: str
    leads: Mapping[str, str]
    requires: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    moment: str | None = None
    clears: tuple[str, ...] = ()
    reason: bool = False
    reopens: bool = False


@attrs.frozen(kw_only=True)
class Loop:
    """The steps of one entity by the action that their event tells. ``state`` is the field that holds the state.

    ``cleared`` is what the next cycle begins without; what it was stands in the events. ``ends`` are the states in which the
    loop is closed.
    """

    entity: type[Record]
    steps: Mapping[str, Step]
    ends: frozenset[str]
    state: str = "state"
    cleared: tuple[str, ...] = ()

    @property
    def open(self) -> tuple[str, ...]:
        """The states in which something is still to be done."""
        return tuple(state for state in self.entity.kinds[self.state].choices if state not in self.ends)

    def possible(self, state: str) -> tuple[str, ...]:
        """What can be done in a state, by verb."""
        return tuple(dict.fromkeys(step.verb for step in self.steps.values() if state in step.leads))


def _stay(*states: str) -> dict[str, str]:
    return {state: state for state in states}


#: 接收 → 处理 → 反馈 → 确认 (seed 001). Handing it to somebody, or a plan, begins the work; a simple one is answered at once.
FEEDBACK = Loop(
    entity=Feedback,
    ends=frozenset({"confirmed"}),
    cleared=("plan", "result", "answered_at"),
    steps={
        "feedback.assigned": Step(
            verb="assign",
            leads={"received": "in_progress", **_stay("in_progress", "answered")},
            requires=("responsible",),
        ),
        "feedback.planned": Step(
            verb="plan", leads={"received": "in_progress", **_stay("in_progress")}, requires=("plan",)
        ),
        "feedback.answered": Step(
            verb="answer",
            leads={"received": "answered", "in_progress": "answered"},
            requires=("result",),
            again=("plan",),
            moment="answered_at",
            clears=("confirmation", "stars", "suggestion"),
        ),
        "feedback.confirmed": Step(
            verb="confirm", leads={"answered": "confirmed"}, requires=("confirmation",), moment="closed_at"
        ),
        "feedback.reopened": Step(
            verb="confirm", leads={"answered": "in_progress"}, requires=("confirmation",), reopens=True
        ),
        "feedback.collaborators_changed": Step(
            verb="add_collaborators", leads=_stay("received", "in_progress", "answered")
        ),
        "feedback.contributed": Step(verb="contribute", leads=_stay("received", "in_progress", "answered")),
    },
)

_UNSOLVED = ("open", "in_progress", "waiting")

#: From a service channel to its rating (seed 002). Solved or closed again, it stays what it was; a rating may come later (ours).
TICKET = Loop(
    entity=Ticket,
    ends=frozenset({"solved", "closed"}),
    cleared=("plan", "result", "solved_at", "closed_at", "stars", "suggestion"),
    steps={
        "ticket.assigned": Step(
            verb="assign",
            leads={"open": "in_progress", **_stay("in_progress", "waiting", "solved")},
            requires=("assignee",),
        ),
        "ticket.collaborators_changed": Step(verb="add_collaborators", leads=_stay(*_UNSOLVED, "solved")),
        "ticket.contributed": Step(verb="contribute", leads=_stay(*_UNSOLVED, "solved")),
        "ticket.answered": Step(
            verb="answer", leads={"open": "in_progress", **_stay("in_progress", "waiting")}, moment="answered_at"
        ),
        "ticket.planned": Step(
            verb="plan", leads={"open": "in_progress", **_stay("in_progress", "waiting")}, requires=("plan",)
        ),
        "ticket.waited": Step(verb="wait", leads=dict.fromkeys(_UNSOLVED, "waiting")),
        "ticket.resumed": Step(verb="resume", leads={"waiting": "in_progress"}),
        "ticket.solved": Step(
            verb="solve",
            leads=dict.fromkeys((*_UNSOLVED, "solved"), "solved"),
            requires=("result",),
            moment="solved_at",
        ),
        "ticket.reopened": Step(
            verb="reopen", leads=dict.fromkeys(("solved", "closed"), "in_progress"), reason=True, reopens=True
        ),
        "ticket.closed": Step(verb="close", leads=dict.fromkeys(("solved", "closed"), "closed"), moment="closed_at"),
    },
)

#: An objection, its solution, and what the customer says of it (seeds 002, 003). A rejected one can be answered anew (ours).
OBJECTION = Loop(
    entity=Objection,
    state="outcome",
    ends=frozenset({"accepted", "rejected"}),
    steps={
        "objection.answered": Step(
            verb="answer",
            leads={"open": "open", "rejected": "open"},
            requires=("solution",),
            clears=("outcome_note",),
        ),
        "objection.settled": Step(verb="settle", leads={"open": "accepted"}, requires=("solution",)),
    },
)

#: What a review decided to do, followed to its end (seeds 001 to 004).
ACTION_PLAN = Loop(
    entity=ActionPlan,
    ends=frozenset({"done", "cancelled"}),
    steps={
        "action_plan.changed": Step(verb="change", leads=_stay("planned"), requires=("what",)),
        "action_plan.done": Step(verb="done", leads={"planned": "done"}),
        "action_plan.cancelled": Step(verb="cancel", leads={"planned": "cancelled"}, reason=True),
    },
)


def refusals(
    loop: Loop, action: str, record: Record, values: Mapping[str, Any], reason: str | None = None
) -> list[Issue]:
    """Every reason why the action can't be done to the record with these values; nothing when it can."""
    entity, step = record.entity, loop.steps[action]
    issues = []
    state = getattr(record, loop.state)
    if state not in step.leads:
        facts = {"action": step.verb, "state": state, "allowed": ", ".join(loop.possible(state)) or "-"}
        issues.append(Issue(code="not_possible", field=f"{entity}.{loop.state}", facts=facts))
    try:
        clean_fields(type(record), values)
    except Invalid as invalid:
        issues += invalid.issues
    reported = {(issue.code, issue.field) for issue in issues}
    needed = step.requires + (step.again if getattr(record, "cycle", 1) > 1 else ())
    lacking = [name for name in needed if _blank(values[name] if name in values else getattr(record, name))]
    further = [*star_issues(entity, values), *(Issue(code="required", field=f"{entity}.{name}") for name in lacking)]
    issues += [issue for issue in further if (issue.code, issue.field) not in reported]
    if step.reason and _blank(reason):
        issues.append(Issue(code="reason_required", field=f"{entity}.reason"))
    return issues


def _blank(value: Any) -> bool:
    return value in _BLANK or (isinstance(value, str) and not value.strip())


def star_issues(entity: str, values: Mapping[str, Any]) -> Iterable[Issue]:
    """Stars that are a whole number outside 1 to 5; what is no whole number is for the field itself to refuse."""
    stars = values.get("stars")
    if type(stars) is int and not 1 <= stars <= MOST_STARS:
        yield Issue(code="out_of_range", field=f"{entity}.stars", facts={"limit": f"1–{MOST_STARS}"})


def changes(loop: Loop, action: str, record: Record, values: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """What an action changes in a record that it is possible for; a state among the values wins. ``now`` is aware."""
    step = loop.steps[action]
    changed: dict[str, Any] = dict.fromkeys((*step.clears, *(loop.cleared if step.reopens else ())))
    changed |= {loop.state: step.leads[getattr(record, loop.state)], **values}
    if step.reopens:
        changed["cycle"] = getattr(record, "cycle") + 1  # noqa: B009 - only some records have cycles
    if step.moment and getattr(record, step.moment) is None:
        changed[step.moment] = now
    return changed
