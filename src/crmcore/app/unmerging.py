"""Making two customers again of one that was merged, whatever happened since."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from crmcore.app.absent import bring_back, give_back, kept_content, rewrite
from crmcore.app.histories import logs_of, told_moved
from crmcore.app.merging import MergeRecord, customer_from, hand, point_keys, waits
from crmcore.app.work import Work
from crmcore.domain import ENTITIES, Alias, Customer, Entity, Obligation, OutboxMessage
from crmcore.domain.duplicates import LEFT_BEHIND
from crmcore.domain.event import changes_of, standing
from crmcore.errors import MergeRefused, NotFound
from crmcore.rules.merging import STAMPS, UNMERGED, Step, without, without_undone_merges
from crmcore.storage.codec import to_plain
from crmcore.storage.query import Eq

#: Fields by which a record hangs on another one.
_HANGING = ("opportunity_id", "order_id", "plan_id", "follow_up_id")
#: So many records are told of by one event.
_TOLD_AT_ONCE = 400
NEVER_ABSORBED = "no customer that goes by this was absorbed"


@attrs.frozen(kw_only=True)
class Unmerged:
    """Two customers again.

    ``edited_fields`` are fields of the one that was kept that somebody changed since the merge: they stay as they are.
    ``edited`` are records that went back as they were changed since, ``added`` those that came since and went along as
    they hang on one that went back; ``elsewhere`` are records that somebody gave to another customer or took away since.
    Each is a pair of the kind of record and its id.
    """

    customer: Customer
    restored: Customer
    edited_fields: tuple[str, ...]
    edited: tuple[tuple[str, str], ...]
    added: tuple[tuple[str, str], ...]
    elsewhere: tuple[tuple[str, str], ...]


def unmerge(work: Work, number: str, reason: str | None = None) -> Unmerged:
    """Takes a merge back within a unit of work; see :meth:`Customers.unmerge`."""
    alias = _alias(work, number)
    told = kept_content(work, "merge", alias.absorbed_id)
    if told is None:  # the number of one that was deleted
        raise NotFound(NEVER_ABSORBED, entity="customer")
    survivor = work.get(Customer, alias.customer_id)
    if survivor is not None and not work.sees(survivor):
        raise NotFound(NEVER_ABSORBED, entity="customer")
    if alias.customer_id != alias.into_id:
        outer = work.find(Alias, Eq("absorbed_id", alias.into_id), limit=1)
        raise MergeRefused.phrased(
            "it was absorbed by {number}, which is absorbed itself: take that back first", number=outer[0].id
        )
    kept = work.get(Customer, alias.into_id)
    if kept is None:
        raise MergeRefused("the customer that absorbed it is not on the lists; restore it first")
    work.ask(kept, "merge")
    with work.following():
        return _unmerge(work, alias, kept, MergeRecord.read(told), reason)


def _unmerge(work: Work, alias: Alias, kept: Customer, record: MergeRecord, reason: str | None) -> Unmerged:
    since = _Since(work, kept.id, record, alias)

    content = give_back(work, "merge", alias.absorbed_id)
    assert content is not None
    restored = bring_back(work, "customer", alias.absorbed_id, UNMERGED)
    assert isinstance(restored, Customer)
    work.remove(alias)
    for inner in since.inner:
        work.put(inner.replace(customer_id=restored.id, version=inner.version + 1), inner, UNMERGED)
    point_keys(work, [one.absorbed_id for one in since.inner], restored.id)

    # The kept customer, without this merge
    later = _later(work, kept.id, record.event, alias.absorbed_id)
    steps = [one.step(work) for one in later]
    step = Step(before=record.before, after=record.after, absorbed=restored, prefer=record.prefer)
    undone = without(step, steps, kept, work.playbook.lifecycle)
    for one, rebased in zip(later, undone.later, strict=True):
        anew = attrs.evolve(one.record, before=rebased.before, after=rebased.after).told()
        rewrite(work, one.absorbed_id, "merge", one.absorbed_id, anew, "merged")
    after = work.change(kept, "customer.unmerged", undone.changes, reason=reason, silent=True)

    # The records that go back
    elsewhere: list[tuple[str, str]] = []
    for place, ids in record.moved.items():
        cls, field = _place(place)
        for id in ids:
            present = work.get(cls, id)
            if present is not None and getattr(present, field) == kept.id:
                if not isinstance(present, OutboxMessage) or waits(work, present):
                    hand(work, present, field, restored)
            elif cls is not OutboxMessage:
                elsewhere.append((cls.entity, id))
    for new in since.added:
        hand(work, new, "customer_id", restored)

    returned = since.returned()
    fields = {name: [getattr(kept, name), getattr(after, name)] for name in undone.changes}
    first, *more = list(_parted(returned)) or [{}]
    told_since = [{"returned": told_moved(record.event, part)} if part else {} for part in (first, *more)]
    for part in told_since:
        work.note(after, UNMERGED, {**fields, "absorbed": [alias.id, None], **part}, reason)
        work.note(restored, UNMERGED, {"into": [kept.number, None], **part}, reason)
        fields = {}
    _correct(work, after, record)
    return Unmerged(
        customer=after,
        restored=restored,
        edited_fields=undone.edited,
        edited=tuple(since.edited),
        added=tuple((one.entity, one.id) for one in since.added),
        elsewhere=tuple(elsewhere),
    )


def _alias(work: Work, number: str) -> Alias:
    found = work.get(Alias, number) if isinstance(number, str) else None
    if found is None and isinstance(number, str):
        found = next(iter(work.find(Alias, Eq("absorbed_id", number), limit=1)), None)
    if found is None:
        raise NotFound(NEVER_ABSORBED, entity="customer")
    return found


def _place(place: str) -> tuple[type[Entity], str]:
    collection, _, field = place.partition(".")
    return next((cls, field) for cls in ENTITIES if cls.collection == collection)


@attrs.frozen
class _Later:
    """A merge into the same customer that came later."""

    absorbed_id: str
    record: MergeRecord

    def step(self, work: Work) -> Step:
        """As the rule takes it."""
        absorbed = customer_from(kept_content(work, "customer", self.absorbed_id))
        record = self.record
        return Step(before=record.before, after=record.after, absorbed=absorbed, prefer=record.prefer)


def _later(work: Work, keep_id: str, event_id: str, but: str) -> list[_Later]:
    found = [
        _Later(alias.absorbed_id, MergeRecord.read(kept_content(work, "merge", alias.absorbed_id)))
        for alias in work.find(Alias, Eq("into_id", keep_id))
        if alias.absorbed_id != but
    ]
    return sorted((one for one in found if one.record.event > event_id), key=lambda one: one.record.event)


class _Since:
    """What was done with the records of an absorbed customer since the merge."""

    def __init__(self, work: Work, keep_id: str, record: MergeRecord, alias: Alias) -> None:
        self.work = work
        self.inner = _inner(work, alias)
        own = {alias.absorbed_id, *(one.absorbed_id for one in self.inner)}
        work.flush()
        logs = logs_of(work.transaction, (keep_id,))[keep_id]
        foreign = [event for log, events in logs.items() if log not in own for event in events]
        self._since = [event for event in foreign if event.id > record.event]
        first: dict[str, str] = {}
        for events in logs.values():
            for event in events:
                first[event.subject_id] = min(first.get(event.subject_id, event.id), event.id)
        moved = {id for place, ids in record.moved.items() if place != "outbox.customer_id" for id in ids}
        self.going = {id for id in moved if self._is_at(record, id, keep_id)}
        self.added = list(_hanging(work, keep_id, self.going, {id for id, at in first.items() if at > record.event}))
        self.going |= {one.id for one in self.added}
        touched = {event.subject_id: event.subject for event in self._since}
        new = {one.id for one in self.added}
        self.edited = [(kind, id) for id, kind in touched.items() if id in self.going and id not in new]
        # What was let go about them goes with them.
        about = [one.id for one in work.find(Obligation, Eq("customer_id", keep_id)) if one.subject_id in self.going]
        self.going |= set(about)

    def _is_at(self, record: MergeRecord, id: str, keep_id: str) -> bool:
        for place, ids in record.moved.items():
            if id in ids:
                cls, field = _place(place)
                present = self.work.get(cls, id)
                if present is not None and getattr(present, field) == keep_id and field != "referred_id":
                    return True
        return False

    def returned(self) -> dict[str, list[str]]:
        """The records about which something stands in the log of another customer, by log."""
        found: dict[str, dict[str, None]] = {}
        for event in self._since:
            if event.subject_id in self.going:
                found.setdefault(event.customer_id or "", {})[event.subject_id] = None
        return {log: list(ids) for log, ids in found.items()}


def _inner(work: Work, alias: Alias) -> list[Alias]:
    """The numbers of those that the absorbed customer had absorbed, at any remove."""
    others = work.find(Alias, Eq("customer_id", alias.customer_id))
    reached, found = {alias.absorbed_id}, []
    while more := [one for one in others if one.into_id in reached and one.absorbed_id not in reached]:
        reached |= {one.absorbed_id for one in more}
        found += more
    return found


def _hanging(work: Work, keep_id: str, going: set[str], new: set[str]) -> Iterator[Entity]:
    """The new records of a customer that hang on one that goes, at any remove."""
    waiting = [
        one
        for cls in ENTITIES
        if "customer_id" in cls.kinds and cls.entity not in LEFT_BEHIND and set(_HANGING) & cls.kinds.keys()
        for one in work.find(cls, Eq("customer_id", keep_id), ("id",))
        if one.id in new
    ]
    reached = set(going)
    while found := [
        one
        for one in waiting
        if any(getattr(one, name, None) in reached for name in _HANGING) and one.id not in reached
    ]:
        reached |= {one.id for one in found}
        yield from found


def _parted(returned: Mapping[str, list[str]]) -> Iterator[dict[str, list[str]]]:
    """The records in parts that an event can hold."""
    for log, ids in returned.items():
        for start in range(0, len(ids), _TOLD_AT_ONCE):
            yield {log: ids[start : start + _TOLD_AT_ONCE]}


def _correct(work: Work, customer: Customer, record: MergeRecord) -> None:
    """Tells what the history without the merge doesn't say: a value that a later merge built on it, decided anew."""
    work.flush()
    told: dict[str, Any] = {}
    for event in without_undone_merges(standing(logs_of(work.transaction, (customer.id,))[customer.id][customer.id])):
        if event.subject_id == customer.id:
            told |= {name: after for name, (_, after) in changes_of(event).items()}
    names = [
        name
        for name in Customer.kinds
        if name not in STAMPS
        and name != "last_follow_up_at"  # follow-ups tell it, and no event of the customer
        and getattr(record.before, name) != getattr(record.after, name)
    ]
    plain = json.loads(json.dumps({name: getattr(customer, name) for name in names}, default=to_plain))
    wrong = {name: [told.get(name), plain[name]] for name in names if (told.get(name) or None) != (plain[name] or None)}
    if wrong:
        work.note(customer, "customer.updated", wrong, None)
