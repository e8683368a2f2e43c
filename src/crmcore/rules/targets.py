"""What is due within a time of something that happened: answers, plans and solutions, proposals, fields to be filled in,
renewals, instalments. One run per target and record, and with collaborators per person.

Runs are kept while events come by in the order of the log; when all are known, each becomes one thing that was owed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple, cast

from crmcore.domain.playbook import MOMENTS
from crmcore.domain.policies import Target
from crmcore.rules.owed import Owed
from crmcore.rules.rulebook import EFFECTIVE, ENDS, OWED_BY, REOPENS, Rulebook
from crmcore.rules.target_runs import Run

#: Events that only put something on file; of people and conversations they tell something new all the same.
_FIRST_TOLD = frozenset(("registered", "opened", "made", "signed", "agreed", "received", "raised", "added", "joined"))
_TELLING = ("contact", "follow_up")


class Told(NamedTuple):
    """An event made ready: ``changes`` are [before, after] by field, ``values`` all that is known of the record after it."""

    id: str
    at: datetime
    action: str
    entity: str
    subject_id: str
    changes: Mapping[str, Any]
    values: Mapping[str, Any]
    moments: tuple[str, ...]


class Targets:
    """The runs of one customer's targets, fed with events in the order of the log."""

    def __init__(self, rulebook: Rulebook, customer_id: str | None) -> None:
        self.rulebook = rulebook
        self.customer_id = customer_id
        self.customer: Mapping[str, Any] = {}
        self.runs: list[Run] = []
        self.open: dict[str, list[Run]] = {}
        """Open runs by the record that they are about."""
        self.values: Mapping[str, Mapping[str, Any]] = {}
        """What is known of each record."""
        self._seen: dict[tuple[str, str], tuple[datetime, str]] = {}
        self._ended: set[str] = set()
        self._registered_at: datetime | None = None

    def owed(self) -> list[Owed]:
        """What all runs come to."""
        return [run.owed(self.customer_id, self.rulebook) for run in self.runs]

    def take(self, told: Told) -> None:
        """An event: what it meets, takes back, ends, starts and holds, in this order."""
        rulebook, entity = self.rulebook, told.entity
        if self.open:
            for moment in told.moments:
                for target in rulebook.met_by.get(moment, ()):
                    if told.subject_id in self.open or rulebook.entities[target.key] != entity:
                        self._meet(target, told)
        if entity == "customer":
            self._complete(told)
            if told.action == "customer.registered":
                self._registered_at = told.at
        if told.action in REOPENS:
            self._reopen(told)
        if not ENDS.isdisjoint(told.moments):
            self._ended.add(told.subject_id)
            self._end(self._of(told.subject_id), told)
        if told.action == "opportunity.joined":
            self._take_over(told)
        for moment in told.moments:
            for target in rulebook.on.get(moment, ()):
                self._start(target, told, moment)
        for target in rulebook.conditional.get(entity, ()):
            self._look_again(target, told)
        if entity == "customer":
            self._look_at_others(told)
            if "owner" in told.changes:
                self._hand_over()
        for target in rulebook.dated.get(entity, ()):
            self._date(target, told)
        for target in rulebook.changing.get(entity, ()):
            # The people who are registered with a customer are no news.
            is_new = told.at != self._registered_at or entity != "contact"
            if is_new and self._is_owed() and any(_is_news(field, told) for field in target.fields):
                self._start(target, told, "customer.changed", self.customer_id or told.subject_id)
        if mine := self.open.get(told.subject_id):
            self._follow(mine, told)
        if "collaborators" in told.changes:
            self._join(told)

    def waive(self, obligation_id: str, at: datetime, reason: str | None) -> None:
        """A run is let go."""
        for runs in list(self.open.values()):
            for run in [run for run in runs if run.id == obligation_id]:
                self._close(run, "waived", at, reason=reason)

    def lose(self, at: datetime) -> None:
        """The customer is lost: what was owed to it as a customer is owed no longer; its complaints still are."""
        for run in list(self._of(self.customer_id or "")):
            self._close(run, "superseded", at)

    def win_back(self, told: Told) -> None:
        """The customer is back: its dates count again."""
        for target in self.rulebook.dated.get("customer", ()):
            # What this event changes is looked at with it.
            if _change(told, _name(target.on)) is None:
                self._date_from(target, told, _value(told.values, _name(target.on)))

    # One step each

    def _is_owed(self) -> bool:
        return self.rulebook.is_owed(self.customer.get("stage", ""))

    def _of(self, subject_id: str) -> list[Run]:
        return self.open.get(subject_id, [])

    def _meet(self, target: Target, told: Told) -> None:
        person = told.changes["collaborator"][1] if "collaborator" in told.changes else None
        for run in list(self._runs_met(target, told)):
            if person is None or run.person is None or _who(person) == run.person:
                self._close(run, "met", told.at, evidence_id=told.subject_id)

    def _runs_met(self, target: Target, told: Told) -> Iterator[Run]:
        """The open runs of a target that an event is about: of its own record, of the record it names, or of the customer."""
        mine = self.rulebook.entities[target.key]
        if mine == told.entity:
            subjects: Iterable[str] = (told.subject_id,)
        elif mine == "customer":
            subjects = (self.customer_id or "",)
        elif told.entity == "customer":
            subjects = list(self.open)
        else:
            subjects = (told.values.get(f"{mine}_id") or "",)
        for subject in subjects:
            yield from (run for run in self._of(subject) if run.target is target)

    def _complete(self, told: Told) -> None:
        for target in self.rulebook.completing:
            for run in [run for run in self._of(told.subject_id) if run.target is target]:
                if self._is_complete(target):
                    self._close(run, "met", told.at, evidence_id=told.subject_id)

    def _is_complete(self, target: Target) -> bool:
        return all(_value(self.customer, _name(field)) not in (None, [], "") for field in target.fields)

    def _reopen(self, told: Told) -> None:
        self._ended.discard(told.subject_id)
        taken_back = REOPENS[told.action]
        latest: dict[tuple[str, str | None], Run] = {}
        for run in self.runs:
            if run.subject_id == told.subject_id and run.target.met_by in taken_back:
                latest[run.target.key, run.person] = run
        for run in latest.values():
            if run.state != "met":
                continue
            if run.target.reopening == "continue":
                run.state, run.closed_at, run.evidence_id = "open", None, None
                run.reopened_at += (told.at,)
                self.open.setdefault(run.subject_id, []).append(run)
                continue
            if run.target.reopening == "restart":
                run.state, run.evidence_id = "superseded", None
            if self._holds(run.target, told):
                self._begin(run.target, told, told.at, run.person)

    def _end(self, runs: list[Run], told: Told) -> None:
        for run in list(runs):
            self._close(run, "superseded", told.at)

    def _start(self, target: Target, told: Told, moment: str, subject_id: str | None = None) -> None:
        subject = subject_id or told.subject_id
        at = told.at
        if (field := EFFECTIVE.get(moment)) and (value := told.values.get(field)):
            at = min(_instant(value), at)
        if self.rulebook.conditions[target.key] or target.owed_by == "collaborators":
            self._seen[target.key, subject] = at, told.id
            if not self._holds(target, told):
                return
        if subject in self.open and any(run.target is target for run in self.open[subject]):
            return
        moments = told.moments
        if target.met_by in moments and moments.index(target.met_by) > moments.index(moment):
            # A conversation is held and written down by one event.
            owner = self._owner(target, told.entity, told.values)
            id = f"{told.id}:target.{target.key}"
            run = Run(target, id, subject, owner, at, at, None, None, "met", told.at, told.subject_id)
            run.met_at = (told.at,)
            self.runs.append(run)
        elif target.met_by != "customer.completed" or not self._is_complete(target):
            self._begin_each(target, told, at, subject)

    def _look_again(self, target: Target, told: Told) -> None:
        """Its condition may have begun or ceased to hold."""
        subject, holds = told.subject_id, self._holds(target, told)
        mine = [run for run in self._of(subject) if run.target is target]
        if mine and not holds:
            self._end(mine, told)
        elif holds and not mine and self._may_begin(target, told):
            if target.on not in MOMENTS:
                self._date_from(target, told, _value(told.values, _name(target.on)))
            else:
                self._begin_each(target, told, self._seen[target.key, subject][0], subject)

    def _may_begin(self, target: Target, told: Told) -> bool:
        """Whether a target that did not hold can begin after all: what it counts from is known, from another event, and it was
        neither met nor let go nor has its record come to an end."""
        subject = told.subject_id
        seen = self._seen.get((target.key, subject))
        if seen is None or seen[1] == told.id or subject in self._ended:
            return False
        if self.rulebook.entities[target.key] == "customer" and not self._is_owed():
            return False
        before = (run.state for run in self.runs if run.target is target and run.subject_id == subject)
        return not any(state in ("met", "waived") for state in before)

    def _look_at_others(self, told: Told) -> None:
        """What is owed about other records may rest on the customer: an answer within four hours for tier A."""
        for target in self.rulebook.resting:
            entity = self.rulebook.entities[target.key]
            for subject in [subject for key, subject in self._seen if key == target.key]:
                if subject in self.values:
                    other = Told(told.id, told.at, told.action, entity, subject, {}, self.values[subject], ())
                    self._look_again(target, other)

    def _take_over(self, told: Told) -> None:
        """An opportunity came to this customer: what is owed of the stage at which it stands counts from when it came there."""
        self._ended.discard(told.subject_id)
        for target in self.rulebook.playbook.targets:
            if target.on in ("opportunity.opened", "opportunity.moved"):
                self._start(target, told, "opportunity.opened")

    def _date(self, target: Target, told: Told) -> None:
        change = _change(told, _name(target.on))
        if change is None:
            return
        before, after = change
        subject = told.subject_id
        self._seen[target.key, subject] = told.at, told.id
        was_open = [run for run in self._of(subject) if run.target is target]
        renewed = target.met_by == "customer.renewed"
        for run in was_open:
            if renewed and before is not None and after is not None and after > before:
                self._close(run, "met", told.at, evidence_id=subject)
            else:
                self._close(run, "superseded", told.at)
        ever = any(run.target is target and run.subject_id == subject for run in self.runs)
        if was_open or renewed or not ever:
            self._date_from(target, told, after)

    def _date_from(self, target: Target, told: Told, value: str | None) -> None:
        if value is None or not self._holds(target, told):
            return
        if self.rulebook.entities[target.key] == "customer" and not self._is_owed():
            return
        self._begin_each(target, told, told.at, told.subject_id, due_on=date.fromisoformat(value[:10]))

    def _follow(self, runs: list[Run], told: Told) -> None:
        """Who owes it, and whether its clock is held."""
        people = _people(told.values.get("collaborators"))
        for run in list(runs):
            if run.person is None:
                run.owner = self._owner(run.target, told.entity, told.values)
            elif run.person not in people:
                self._close(run, "superseded", told.at)
            if told.entity == "ticket" and "state" in told.changes:
                if told.values["state"] == "waiting":
                    run.paused_since = run.paused_since or told.at
                else:
                    run.resume(told.at)

    def _hand_over(self) -> None:
        """What falls to the customer's owner falls to the next one."""
        for subject, runs in self.open.items():
            for run in runs:
                if run.person is None:
                    entity = self.rulebook.entities[run.target.key]
                    run.owner = self._owner(run.target, entity, self.values.get(subject, {}))

    def _join(self, told: Told) -> None:
        """Whoever is asked to help later owes a part from then on."""
        for target in self.rulebook.shared.get(told.entity, ()):
            asked = (target.key, told.subject_id) in self._seen and told.subject_id not in self._ended
            if asked and self._holds(target, told):
                mine = [run for run in self.runs if run.target is target and run.subject_id == told.subject_id]
                known = {run.person for run in mine if run.state != "superseded"}
                for person in _people(told.values.get("collaborators")):
                    if person not in known:
                        self._begin(target, told, told.at, person)

    def _begin_each(
        self, target: Target, told: Told, at: datetime, subject_id: str, due_on: date | None = None
    ) -> None:
        if target.owed_by != "collaborators":
            self._begin(target, told, at, None, subject_id, due_on)
            return
        for person in _people(told.values.get("collaborators")):
            self._begin(target, told, at, person, subject_id, due_on)

    def _begin(
        self,
        target: Target,
        told: Told,
        at: datetime,
        person: str | None,
        subject_id: str | None = None,
        due_on: date | None = None,
    ) -> None:
        subject = subject_id or told.subject_id
        owner = person or self._owner(target, self.rulebook.entities[target.key], told.values)
        id = f"{told.id}:target.{target.key}" + (f":{person}" if person else "")
        run = Run(target, id, subject, owner, at, told.at if due_on else at, due_on, person)
        if told.entity == "ticket" and told.values.get("state") == "waiting":
            run.paused_since = told.at
        self.runs.append(run)
        self.open.setdefault(subject, []).append(run)

    def _close(
        self, run: Run, state: str, at: datetime, *, evidence_id: str | None = None, reason: str | None = None
    ) -> None:
        run.close(state, max(at, run.started_at), evidence_id=evidence_id, reason=reason)
        mine = self.open[run.subject_id]
        mine.remove(run)
        if not mine:
            del self.open[run.subject_id]

    def _owner(self, target: Target, entity: str, values: Mapping[str, Any]) -> str | None:
        field = target.owed_by or OWED_BY.get(entity, "owner")
        return (self.customer if entity == "customer" else values).get(field) or self.customer.get("owner")

    def _holds(self, target: Target, told: Told) -> bool:
        for entity, name, wanted in self.rulebook.conditions[target.key]:
            value = _value(told.values if entity == told.entity else self.customer, name)
            if (str(value).lower() if isinstance(value, bool) else value) != wanted:
                return False
        return True


def _name(field: str) -> str:
    return field.rpartition(".")[2]


def _value(values: Mapping[str, Any], name: str) -> Any:
    """A field of a record, or a custom field of that name."""
    return values.get(name, (values.get("custom") or {}).get(name))


def _change(told: Told, name: str) -> Sequence[Any] | None:
    """What a field, or a custom field, was before an event and after it; None where it is the same."""
    if name in told.changes:
        return cast("Sequence[Any]", told.changes[name])
    before, after = ((custom or {}).get(name) for custom in told.changes.get("custom", (None, None)))
    return None if before == after else (before, after)


def _who(person: str) -> str:
    """A collaborator's name without the department behind the slash."""
    return person.partition("/")[0]


def _people(value: Any) -> tuple[str, ...]:
    """Each collaborator once, whatever departments are named."""
    return tuple(dict.fromkeys(map(_who, value or ())))


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _is_news(field: str, told: Told) -> bool:
    """Whether an event tells another value of a field than was known: a new decision maker, another budget (seed 003)."""
    entity, _, name = field.partition(".")
    change = _change(told, name) if entity == told.entity else None
    if change is None:
        return False
    after = change[1]
    if told.action.partition(".")[2] not in _FIRST_TOLD and told.action != "follow_up.logged":
        return True
    return entity in _TELLING and bool(after)
