"""What is owed, derived from what happened: everything with a deadline is one thing (DESIGN section 2).

:func:`derive` is a pure function of a customer's events and the playbook. What is stored are its answers, so that "who is due"
is one query; :func:`settle` says what has to be written for the store to agree with it again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from operator import attrgetter
from typing import Any

import attrs

from crmcore.domain import Event, Obligation
from crmcore.domain.event import changes_of
from crmcore.domain.policies import StageGraph
from crmcore.rules.cadences import Conversation, Standing, Waiver, owed_by_cadence
from crmcore.rules.owed import Owed, different
from crmcore.rules.rulebook import Rulebook, advanced
from crmcore.rules.target_runs import Run
from crmcore.rules.targets import Targets, Told

PLAN_RULE = "plan"

_decode = json.JSONDecoder().raw_decode
_STANDING = frozenset(("stage", "tier", "owner", "first_contact_on"))


def _changes(events: Sequence[Event]) -> list[Any]:
    """What each event changed."""
    try:
        # One text is read faster than two hundred.
        told: list[Any] = _decode(f"[{','.join([event.changes or '{}' for event in events])}]")[0]
    except ValueError:
        told = []
    return told if len(told) == len(events) else list(map(changes_of, events))


def derive(events: Iterable[Event], rulebook: Rulebook) -> list[Owed]:
    """Everything that was ever owed to one customer, and what became of it, from all of its events.

    Events count in the order in which they were written (by id); a clock that went back in between stands still for that. What
    has a time of its own (a conversation, a feedback received last week) counts from then, whenever it was written down.
    """
    return case_of(events, rulebook).owed()


def case_of(events: Iterable[Event], rulebook: Rulebook) -> Case:
    """What the events tell; see :func:`derive`."""
    ordered = sorted(events, key=attrgetter("id"))
    case = Case(rulebook, next((event.customer_id for event in ordered if event.customer_id), None))
    case.take(ordered)
    return case


@attrs.define(eq=False)
class _Plan:
    """A planned contact, and what of it is owed."""

    values: Mapping[str, Any]
    owed: Owed | None


class Case:
    """What happened to one customer, as far as something is owed by it."""

    def __init__(self, rulebook: Rulebook, customer_id: str | None) -> None:
        self.rulebook = rulebook
        self.customer_id = customer_id
        self.targets = Targets(rulebook, customer_id)
        self._now: datetime | None = None
        self._values: dict[str, dict[str, Any]] = {}
        self.targets.values = self._values
        self._standings: list[Standing] = []
        self._conversations: list[Conversation] = []
        self._held: dict[str, datetime] = {}
        self._waivers: list[Waiver] = []
        self._plans: dict[str, _Plan] = {}
        self._planned: list[Owed] = []
        self._is_owed = True

    def owed(self) -> list[Owed]:
        """By cadence, by plan and by target."""
        cadences = owed_by_cadence(
            self.customer_id or "", self._standings, self._conversations, self._waivers, self.rulebook
        )
        return [*cadences, *self._planned, *self.targets.owed()]

    def run(self, id: str) -> Run | None:
        """The run of a target by the id of its obligation."""
        return next((run for run in self.targets.runs if run.id == id), None)

    def take(self, events: Sequence[Event]) -> None:
        """The events that come next in the log, in its order."""
        told = _changes(events)
        # A customer's whole history passes through here at every change: what is looked up often is bound once.
        reaction, known, targets, now = self.rulebook.reaction, self._values, self.targets, self._now
        for event, changes in zip(events, told, strict=True):
            subject = event.subject_id
            now = event.at if now is None or event.at > now else now
            entity, done, moments, begins, meets = reaction(event.action)
            if entity == "obligation":
                self._waive(event, now)
                continue
            values = known.get(subject)
            if values is None:
                values = known[subject] = {name: change[1] for name, change in changes.items()}
            else:
                for name, change in changes.items():
                    values[name] = change[1]
            if entity == "follow_up_plan":
                self._plan(subject, event.id, now, done, values)
            elif entity == "follow_up":
                self._talk(subject, event.id, now, values)
            if begins or (targets.open and (meets or subject in targets.open)):
                if "stage" in changes and entity in ("customer", "opportunity"):
                    moments = self._with_outcome(entity, moments, changes["stage"], values)
                news = Told(event.id, now, event.action, entity, subject, changes, values, moments)
                if entity == "customer":
                    targets.customer = values
                    self._stand(news, done)
                targets.take(news)
        self._now = now

    def _with_outcome(
        self, entity: str, moments: tuple[str, ...], change: Sequence[str | None], values: Mapping[str, Any]
    ) -> tuple[str, ...]:
        """The moments of a move, with those that the stages on both sides make of it."""
        playbook, (before, after) = self.rulebook.playbook, change
        graph: StageGraph | None = playbook.lifecycle
        if entity == "opportunity":
            graph = playbook.pipelines.get(values.get("pipeline") or playbook.default_pipeline)
        stage = graph.find(after or "") if graph else None
        was = graph.find(before) if graph and before else None
        if entity == "opportunity" and advanced(graph, before, stage):
            moments = ("opportunity.advanced", *moments)
        if stage is not None and stage.outcome != "open" and (was is None or was.outcome != stage.outcome):
            return (*moments, f"{entity}.{stage.outcome}")
        return moments

    def _waive(self, event: Event, at: datetime) -> None:
        self._waivers.append(Waiver(at, event.id, event.subject_id, event.reason))
        self.targets.waive(event.subject_id, at, event.reason)
        for owed in self._planned:
            if owed.id == event.subject_id and owed.state == "open":
                owed.close("waived", at, event.reason)

    def _stand(self, told: Told, done: str) -> None:
        values, changes = told.values, told.changes
        if (known := changes.get("last_follow_up_at")) and known[1]:
            self._conversations.append(Conversation(_instant(known[1]), told.id, None, None, None))
        if done != "registered" and not _STANDING & changes.keys():
            return
        first = values.get("first_contact_on")
        self._standings.append(
            Standing(
                told.at,
                told.id,
                values.get("stage", ""),
                values.get("tier"),
                values.get("owner"),
                _instant(values["stage_since"]) if values.get("stage_since") else told.at,
                date.fromisoformat(first) if first else None,
            )
        )
        for plan in self._plans.values():
            if plan.owed is not None and plan.owed.state == "open" and not plan.values.get("owner"):
                plan.owed.owner = values.get("owner")
        is_owed = self.rulebook.is_owed(values.get("stage", ""))
        if is_owed == self._is_owed:
            return
        self._is_owed = is_owed
        if is_owed:
            self.targets.win_back(told)
        else:
            self.targets.lose(told.at)
        for plan_id, plan in self._plans.items():
            if not is_owed and plan.owed is not None and plan.owed.state == "open":
                plan.owed.close("superseded", told.at)
            elif is_owed and plan.values.get("state", "planned") == "planned":
                self._begin_plan(plan_id, plan, told.at, f"{told.id}:{PLAN_RULE}:{plan_id}")

    def _talk(self, follow_up_id: str, event_id: str, at: datetime, values: Mapping[str, Any]) -> None:
        if held := values.get("at"):
            at = _instant(held)
        self._held[follow_up_id] = at
        self._conversations.append(
            Conversation(at, event_id, follow_up_id, values.get("method"), values.get("purpose"))
        )

    def _plan(self, plan_id: str, event_id: str, at: datetime, done: str, values: Mapping[str, Any]) -> None:
        plan = self._plans.get(plan_id)
        if plan is None:
            plan = self._plans[plan_id] = _Plan(values, None)
            if self._is_owed and values.get("state", "planned") == "planned":
                self._begin_plan(plan_id, plan, at, f"{event_id}:{PLAN_RULE}")
            return
        owed = plan.owed
        if owed is None or owed.state != "open":
            return
        if done == "done":
            follow_up_id = values.get("follow_up_id")
            held = self._held.get(follow_up_id, at) if follow_up_id else at
            owed.meet(max(held, owed.opened_at), follow_up_id)
        elif done == "cancelled":
            owed.close("superseded", at)
        elif done == "assigned":
            owed.owner = values.get("owner") or self.targets.customer.get("owner")

    def _begin_plan(self, plan_id: str, plan: _Plan, at: datetime, id: str) -> None:
        rulebook, values = self.rulebook, plan.values
        if not values.get("due_on"):
            return
        day = date.fromisoformat(values["due_on"])
        warn, due = rulebook.day_span(day)
        if values.get("at"):
            warn = _instant(values["at"]) - timedelta(minutes=values.get("reminder_minutes", 60))
        owner = values.get("owner") or self.targets.customer.get("owner")
        plan.owed = Owed(id, PLAN_RULE, PLAN_RULE, plan_id, self.customer_id, owner, at, due, at, min(warn, due))
        self._planned.append(plan.owed)


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


# Keeping the store in line with it


@attrs.frozen
class Settlement:
    """What has to be written: obligations that begin, those that changed (before, after), and those that never were."""

    begun: tuple[Obligation, ...]
    changed: tuple[tuple[Obligation, Obligation], ...]
    gone: tuple[Obligation, ...]

    def __bool__(self) -> bool:
        return bool(self.begun or self.changed or self.gone)


def settle(owed: Sequence[Owed], kept: Iterable[Obligation]) -> Settlement:
    """What brings the kept obligations of a customer in line with the derived ones. Settled twice is settled once.

    A conversation that is written down late can change what ended before: the store follows.
    """
    before = {one.id: one for one in kept}
    begun, changed = [], []
    for one in owed:
        old = before.pop(one.id, None)
        if old is None:
            begun.append(Obligation(id=one.id, **one.fields()))
        elif changes := different(one, old):
            changed.append((old, old.replace(version=old.version + 1, **changes)))
    return Settlement(tuple(begun), tuple(changed), tuple(before.values()))


def standing_of(obligation: Obligation | Owed, now: datetime) -> str:
    """How an obligation stands at a moment: its kept state, or of an open one ``open``, ``at_risk`` or ``breached``."""
    if obligation.state != "open":
        return obligation.state
    if now >= obligation.due_at:
        return "breached"
    return "at_risk" if obligation.warn_at is not None and now >= obligation.warn_at else "open"
