"""Whose event is whose: the history of a customer with those that it absorbed, and without what went back to them.

No event is ever written again. An absorbed customer's log stays its own and is read together with that of the one who absorbed
it. What was written there about a record that went back later is told by the event ``customer.unmerged``: by its id, with
the log that it stands in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs

from crmcore.app.finding import read_all
from crmcore.domain import Alias, Event
from crmcore.domain.event import changes_of, standing
from crmcore.rules.merging import UNMERGED, without_undone_merges
from crmcore.storage.contract import Transaction
from crmcore.storage.query import And, Eq, Ge, In, Lt, Not, Or, Where


@attrs.frozen
class _Moved:
    """Events about some records that left the log of one customer for that of another: those after ``since`` and before
    ``until``, which are ids of events."""

    log: str
    subjects: tuple[str, ...]
    since: str
    until: str

    def holds(self, event: Event) -> bool:
        return (
            event.customer_id == self.log and event.subject_id in self.subjects and self.since <= event.id < self.until
        )

    @property
    def where(self) -> Where:
        return And(
            Eq("customer_id", self.log), In("subject_id", self.subjects), Ge("id", self.since), Lt("id", self.until)
        )


def told_moved(since: str, logs: Mapping[str, Sequence[str]]) -> list[object]:
    """What an event ``customer.unmerged`` tells of the events that go with it: the first id, and the records by log."""
    return [since, {log: list(subjects) for log, subjects in logs.items()}]


def histories(transaction: Transaction, customer_ids: Iterable[str]) -> dict[str, list[Event]]:
    """Every event that counts for each customer, in no order, as its own; none for one that is absorbed.

    Of an absorbed customer what was said and done counts, not what it was itself: its stage, its tier.
    """
    return {id: _standing(id, logs) for id, logs in logs_of(transaction, customer_ids).items()}


def _standing(customer_id: str, logs: Mapping[str, list[Event]]) -> list[Event]:
    found: list[Event] = []
    for log, told in logs.items():
        events = standing(told)  # without what an import did that was undone
        if log == customer_id:
            found += without_undone_merges(events)
        else:
            found += (event.replace(customer_id=customer_id) for event in events if event.subject != "customer")
    return found


def logs_of(transaction: Transaction, customer_ids: Iterable[str]) -> dict[str, dict[str, list[Event]]]:
    """The events of each customer by whose log they belong to: its own and those of the customers that it absorbed."""
    wanted = dict.fromkeys(customer_ids)
    if not wanted:
        return {}
    members = members_of(transaction, wanted)
    ids = tuple(log for logs in members.values() for log in logs)
    events: dict[str, list[Event]] = {id: [] for id in ids}
    told: list[Event] = []
    for event in read_all(transaction, Event, In("customer_id", ids), ("id",)) if ids else ():
        events[event.customer_id or ""].append(event)
        if event.action == UNMERGED:
            told.append(event)
    for event in told:
        gone, came = _moved(event)
        own = events[event.customer_id or ""]
        for part in came:
            own += read_all(transaction, Event, part.where)
        if gone:
            own[:] = [one for one in own if not any(part.holds(one) for part in gone)]
    for log in {event.customer_id or "" for event in told}:
        events[log].sort(key=lambda event: event.id)
    return {id: {log: events[log] for log in members.get(id, ())} for id in wanted}


def members_of(transaction: Transaction, customer_ids: Iterable[str]) -> dict[str, list[str]]:
    """Each customer that is on the lists, with those that it absorbed; one that is absorbed itself isn't there."""
    members = {id: [id] for id in customer_ids}
    wanted = tuple(members)
    where = Or(In("customer_id", wanted), In("absorbed_id", wanted))
    for alias in read_all(transaction, Alias, where, ("absorbed_id",)):
        members.pop(alias.absorbed_id, None)
        if alias.customer_id in members:
            members[alias.customer_id].append(alias.absorbed_id)
    return members


def history_where(transaction: Transaction, customer_id: str) -> Where:
    """The condition on events that are a customer's history, of whichever log."""
    logs = tuple(members_of(transaction, (customer_id,)).get(customer_id, (customer_id,)))
    own: Where = In("customer_id", logs) if len(logs) > 1 else Eq("customer_id", customer_id)
    told = list(read_all(transaction, Event, And(own, Eq("action", UNMERGED)), ("id",)))
    if not told:
        return own
    parts: list[Where] = []
    for log in logs:
        where: Where = Eq("customer_id", log)
        for event in told:
            if event.customer_id == log:
                gone, came = _moved(event)
                where = Or(where, *(part.where for part in came)) if came else where
                where = And(where, *(Not(part.where) for part in gone)) if gone else where
        parts.append(where)
    return Or(*parts) if len(parts) > 1 else parts[0]


def _moved(event: Event) -> tuple[list[_Moved], list[_Moved]]:
    """What left the log that the event stands in, and what came to it."""
    changes = changes_of(event)
    since, logs = changes.get("returned", (None, None))
    moved = [_Moved(log, tuple(subjects), since, event.id) for log, subjects in (logs or {}).items()]
    return (moved, []) if "absorbed" in changes else ([], moved)
