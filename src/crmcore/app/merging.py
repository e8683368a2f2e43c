"""Making one customer out of two that are the same, and two out of one again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from crmcore.app.absent import (
    bring_back,
    from_content,
    give_back,
    kept_content,
    put_away,
    rewrite,
    take_away,
    to_content,
)
from crmcore.app.histories import logs_of, told_moved
from crmcore.app.work import Work
from crmcore.domain import ENTITIES, Alias, Contact, Customer, Entity, MatchKey, Obligation, OutboxMessage
from crmcore.domain.duplicates import LEFT_BEHIND
from crmcore.domain.event import changes_of, standing
from crmcore.errors import Invalid, Issue, MergeRefused, NotFound
from crmcore.rules.merging import (
    MERGED,
    NEVER_PREFERRED,
    SIDES_ONLY,
    STAMPS,
    UNMERGED,
    Choice,
    Step,
    choices,
    without,
    without_undone_merges,
)
from crmcore.rules.normalisation import Normaliser, match_keys
from crmcore.rules.validation import check_customer, meant
from crmcore.storage.codec import to_plain
from crmcore.storage.query import Eq, In

#: Fields that name the customer whose record it is, or that it is about, by collection and field.
_NAMING: tuple[tuple[type[Entity], str], ...] = tuple(
    (cls, name)
    for cls in ENTITIES
    if cls.entity not in LEFT_BEHIND
    for name in ("customer_id", "referrer_id", "referred_id")
    if name in cls.kinds
)
#: Fields by which a record hangs on another one.
_HANGING = ("opportunity_id", "order_id", "plan_id", "follow_up_id")
#: So many records are told of by one event.
_TOLD_AT_ONCE = 400


@attrs.frozen(kw_only=True)
class Merged:
    """Two customers that are one, or would be: the customer, the number that is absorbed, and what became of each field.

    ``moved`` counts the records that change hands, by kind. ``same_people`` are pairs of ids of contacts that look like one
    person: the same name and a telephone number or an address in common; both stay.
    """

    customer: Customer
    absorbed: Customer
    fields: tuple[Choice, ...]
    moved: Mapping[str, int]
    same_people: tuple[tuple[str, str], ...]

    @property
    def changed(self) -> tuple[Choice, ...]:
        """The fields of the customer that are kept that change."""
        return tuple(one for one in self.fields if one.value != one.kept)


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


@attrs.frozen
class _Record:
    """What is kept of a merge beside the lists."""

    keep: str
    event: str
    before: Customer
    after: Customer
    prefer: Mapping[str, Any]
    moved: Mapping[str, list[str]]
    """Ids of the records that changed hands, by collection and field: ``contacts.customer_id``."""

    def told(self) -> dict[str, Any]:
        """As JSON can say it."""
        given = {name: value for name, value in self.prefer.items() if value not in ("keep", "absorb")}
        # A preferred value is read again from the customer that it became part of.
        sides = {name: value for name, value in self.prefer.items() if name not in given}
        return {
            "keep": self.keep,
            "event": self.event,
            "before": to_content(self.before),
            "after": to_content(self.after),
            "sides": sides,
            "given": to_content(self.before.replace(**given)) if given else {},
            "given_fields": sorted(given),
            "moved": self.moved,
        }

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> _Record:
        """The record of which :meth:`told` told."""
        given = from_content("customer", told["given"]) if told["given"] else None
        return cls(
            keep=told["keep"],
            event=told["event"],
            before=_customer(told["before"]),
            after=_customer(told["after"]),
            prefer={**told["sides"], **{name: getattr(given, name) for name in told["given_fields"]}},
            moved=told["moved"],
        )


def _customer(content: Mapping[str, Any]) -> Customer:
    found = from_content("customer", content)
    assert isinstance(found, Customer)
    return found


# Merging


def plan_merge(
    work: Work, keep: Customer | str, absorb: Customer | str, prefer: Mapping[str, Any]
) -> tuple[Merged, dict[str, Any]]:
    """What a merge would make, and the changes of the customer that is kept. Raises :class:`MergeRefused`, :class:`Invalid`."""
    kept, absorbed = _present(work, keep), _present(work, absorb)
    for side in (kept, absorbed):
        work.ask(side, "merge")
    work.must_write(kept, prefer)
    if kept.id == absorbed.id:
        raise MergeRefused("a customer is not merged with itself")
    meant = _preferred(work, kept, absorbed, prefer)
    registration = work.normaliser.registration
    if kept.uscc and absorbed.uscc and "uscc" not in prefer:
        one, other = (registration(uscc).key or uscc for uscc in (kept.uscc, absorbed.uscc))
        if one != other:
            raise MergeRefused("the two have different registration numbers; say which one is right: prefer uscc")
    found = choices(kept, absorbed, work.playbook.lifecycle, meant)
    changes = {one.field: one.value for one in found if one.value != one.kept}
    after = kept.replace(**changes)
    moved = _moved(work, absorbed.id)
    counted: dict[str, int] = {}
    for cls, _, records in moved:
        counted[cls.entity] = counted.get(cls.entity, 0) + len(records)
    told = Merged(
        customer=after,
        absorbed=absorbed,
        fields=found,
        moved={name: number for name, number in counted.items() if number},
        same_people=tuple(_same_people(work, kept.id, absorbed.id)),
    )
    return told, meant


def merge(
    work: Work,
    keep: Customer | str,
    absorb: Customer | str,
    prefer: Mapping[str, Any],
    reason: str | None = None,
) -> Merged:
    """Merges within a unit of work; see :meth:`Customers.merge`."""
    planned, meant = plan_merge(work, keep, absorb, prefer)
    with work.following():
        return _merge(work, planned, meant, reason)


def as_seen(work: Work, merged: Merged) -> Merged:
    """What a merge made, or would, without the fields that are kept back from the one who acts."""
    sides = (merged.customer, merged.absorbed)
    known = (one for one in merged.fields if all(work.readable(side, one.field) for side in sides))
    return attrs.evolve(merged, fields=tuple(known))


def _merge(work: Work, planned: Merged, meant: Mapping[str, Any], reason: str | None) -> Merged:
    kept, absorbed = work.current(Customer, planned.customer.id), planned.absorbed
    changes = {one.field: one.value for one in planned.changed}
    after = work.change(kept, "customer.merged", changes, reason=reason, silent=True)
    told = {one.field: [one.kept, one.value] for one in planned.changed}
    event = work.note(after, MERGED, {**told, "absorbed": [None, absorbed.number]}, reason)
    work.note(absorbed, MERGED, {"into": [None, kept.number]}, reason)
    moved: dict[str, list[str]] = {}
    for cls, field, records in _moved(work, absorbed.id):
        for record in records:
            present = work.get(cls, record.id) or record  # a referral may name the customer twice
            _hand(work, present, field, after)
        if records:
            moved[f"{cls.collection}.{field}"] = [record.id for record in records]
    inner = work.find(Alias, Eq("customer_id", absorbed.id))
    for alias in inner:
        work.put(alias.replace(customer_id=kept.id, version=alias.version + 1), alias, MERGED)
    work.add(
        Alias(
            id=absorbed.number,
            customer_id=kept.id,
            absorbed_id=absorbed.id,
            into_id=kept.id,
            at=work.now,
            by=work.actor,
        ),
        MERGED,
    )
    _point_keys(work, [absorbed.id, *(one.absorbed_id for one in inner)], kept.id)
    done = _Record(kept.id, event.id, kept, after, meant, moved)
    put_away(work, absorbed.id, "merge", absorbed.id, done.told(), "merged")
    take_away(work, absorbed, absorbed.id, "merged")
    return attrs.evolve(planned, customer=after)


def _point_keys(work: Work, absorbed_ids: list[str], customer_id: str) -> None:
    """By the name and the registration number of an absorbed customer the one is found that it is now."""
    for key in work.find(MatchKey, In("subject_id", tuple(absorbed_ids))) if absorbed_ids else ():
        work.put(key.replace(customer_id=customer_id, version=key.version + 1), key, MERGED)


def _present(work: Work, wanted: Customer | str) -> Customer:
    """A customer that is on the lists. Raises :class:`MergeRefused` for the number of one that is absorbed."""
    found = work.current(Customer, wanted)
    if isinstance(wanted, str) and wanted not in (found.number, found.id):
        raise MergeRefused.phrased("{number} was absorbed by {into} already", number=wanted, into=found.number)
    return found


def _preferred(work: Work, kept: Customer, absorbed: Customer, prefer: Mapping[str, Any]) -> dict[str, Any]:
    """What is preferred, in the playbook's words and cleaned. Raises :class:`Invalid` with every issue."""
    issues: list[Issue] = []
    given: dict[str, Any] = {}
    for name, value in prefer.items():
        side = isinstance(value, str) and value in ("keep", "absorb")
        if name not in Customer.kinds:
            issues.append(Issue(code="unknown_field", field=f"customer.{name}"))
        elif name in STAMPS or name in NEVER_PREFERRED:
            issues.append(Issue(code="refused", field=f"customer.{name}", facts={"why": "it is not set this way"}))
        elif not side and name in SIDES_ONLY:
            issues.append(Issue(code="bad_choice", field=f"customer.{name}", facts={"allowed": "keep, absorb"}))
        elif not side:
            given[name] = value
    if issues:
        raise Invalid(issues)
    told = meant("customer", given, work.playbook)
    values = {name: told.get(name, getattr(kept, name)) for name in Customer.kinds}
    issues = [
        issue
        for issue in check_customer(values, None, work.playbook)
        if issue.level == "error" and (issue.field or "").partition(".")[2] in told
    ]
    if issues:
        raise Invalid(issues)
    cleaned = kept.replace(**told)
    return {name: getattr(cleaned, name) if name in told else value for name, value in prefer.items()}


def _moved(work: Work, customer_id: str) -> Iterator[tuple[type[Entity], str, list[Entity]]]:
    """The records that change hands with a customer, by kind and by the field that names the customer."""
    for cls, field in _NAMING:
        records: list[Entity] = list(work.find(cls, Eq(field, customer_id), ("id",)))
        if cls is OutboxMessage:
            # What is being sent, or was, is told of the customer as it was.
            records = [one for one in records if _waits(work, one)]
        yield cls, field, records


def _waits(work: Work, message: Any) -> bool:
    claimed = message.claimed_until is not None and message.claimed_until > work.now
    return message.state == "waiting" and not claimed


def _hand(work: Work, record: Entity, field: str, customer: Customer) -> Entity:
    """Gives a record to another customer, without an event of its own: that of the customers tells it."""
    changes: dict[str, Any] = {field: customer.id, "version": work.next_version(record)}
    if isinstance(record, OutboxMessage):
        changes["customer_number"] = customer.number
    changed = record.replace(**changes)
    work.put(changed, record, MERGED)
    return changed


def _same_people(work: Work, keep_id: str, absorb_id: str) -> Iterator[tuple[str, str]]:
    """Contacts of both that share their name and a number or an address."""
    kept, absorbed = (work.find(Contact, Eq("customer_id", id), ("id",)) for id in (keep_id, absorb_id))
    known = [(one, _person(one, work.normaliser)) for one in kept]
    for other in absorbed:
        name, keys = _person(other, work.normaliser)
        for one, (own_name, own_keys) in known:
            if name == own_name and keys & own_keys:
                yield one.id, other.id


def _person(contact: Contact, normaliser: Normaliser) -> tuple[str | None, set[tuple[str, str]]]:
    return normaliser.person_name(contact.name).key, set(match_keys(contact, normaliser))


# Taking it back


def unmerge(work: Work, number: str, reason: str | None = None) -> Unmerged:
    """Takes a merge back within a unit of work; see :meth:`Customers.unmerge`."""
    alias = _alias(work, number)
    survivor = work.get(Customer, alias.customer_id)
    if survivor is not None and not work.sees(survivor):
        raise NotFound("there is no such customer", entity="customer")
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
        return _unmerge(work, alias, kept, reason)


def _unmerge(work: Work, alias: Alias, kept: Customer, reason: str | None) -> Unmerged:
    record = _Record.read(kept_content(work, "merge", alias.absorbed_id))
    since = _Since(work, kept.id, record, alias)

    content = give_back(work, "merge", alias.absorbed_id)
    assert content is not None
    restored = bring_back(work, "customer", alias.absorbed_id, UNMERGED)
    assert isinstance(restored, Customer)
    work.remove(alias)
    for inner in since.inner:
        work.put(inner.replace(customer_id=restored.id, version=inner.version + 1), inner, UNMERGED)
    _point_keys(work, [one.absorbed_id for one in since.inner], restored.id)

    # The kept customer, without this merge
    later = _later(work, kept.id, record.event, alias.absorbed_id)
    steps = [one.step(work) for one in later]
    step = Step(before=record.before, after=record.after, absorbed=restored, prefer=record.prefer)
    undone = without(step, steps, kept, work.playbook.lifecycle)
    for one, rebased in zip(later, undone.later, strict=True):
        told = attrs.evolve(one.record, before=rebased.before, after=rebased.after).told()
        rewrite(work, one.absorbed_id, "merge", one.absorbed_id, told, "merged")
    after = work.change(kept, "customer.unmerged", undone.changes, reason=reason, silent=True)

    # The records that go back
    elsewhere: list[tuple[str, str]] = []
    for place, ids in record.moved.items():
        cls, field = _place(place)
        for id in ids:
            present = work.get(cls, id)
            if present is not None and getattr(present, field) == kept.id:
                if not isinstance(present, OutboxMessage) or _waits(work, present):
                    _hand(work, present, field, restored)
            elif cls is not OutboxMessage:
                elsewhere.append((cls.entity, id))
    for new in since.added:
        _hand(work, new, "customer_id", restored)

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
        raise NotFound("no customer that goes by this was absorbed", entity="customer")
    return found


def _place(place: str) -> tuple[type[Entity], str]:
    collection, _, field = place.partition(".")
    return next((cls, field) for cls in ENTITIES if cls.collection == collection)


@attrs.frozen
class _Later:
    """A merge into the same customer that came later."""

    absorbed_id: str
    record: _Record

    def step(self, work: Work) -> Step:
        """As the rule takes it."""
        absorbed = _customer(kept_content(work, "customer", self.absorbed_id))
        record = self.record
        return Step(before=record.before, after=record.after, absorbed=absorbed, prefer=record.prefer)


def _later(work: Work, keep_id: str, event_id: str, but: str) -> list[_Later]:
    found = [
        _Later(alias.absorbed_id, _Record.read(kept_content(work, "merge", alias.absorbed_id)))
        for alias in work.find(Alias, Eq("into_id", keep_id))
        if alias.absorbed_id != but
    ]
    return sorted((one for one in found if one.record.event > event_id), key=lambda one: one.record.event)


class _Since:
    """What was done with the records of an absorbed customer since the merge."""

    def __init__(self, work: Work, keep_id: str, record: _Record, alias: Alias) -> None:
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

    def _is_at(self, record: _Record, id: str, keep_id: str) -> bool:
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


def _correct(work: Work, customer: Customer, record: _Record) -> None:
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
