"""One unit of work: load, decide by a rule, write once.

Everything that one use case changes (entities, their events, obligations, counters) goes to the store in one batch of one
transaction. Whatever fails, the store is left as it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import attrs

from crmcore.app.finding import find_customer, not_named
from crmcore.app.match_keys import key_changes
from crmcore.app.sources import IdSource
from crmcore.domain import Chain, Customer, Entity, Event, NumberSeries, Record
from crmcore.domain.fields import MAX_TEXT, Unclean, clean_text
from crmcore.domain.numbering import NumberScheme
from crmcore.domain.playbook import Playbook
from crmcore.domain.values import NO_CUSTOM
from crmcore.errors import Conflict, Invalid, Issue, NotFound
from crmcore.plugins import Context, Plugins, ProposedChange
from crmcore.rules.audit import Keys, chain_of, chained
from crmcore.rules.normalisation import Normaliser, reads_phone
from crmcore.rules.rulebook import Rulebook
from crmcore.rules.stages import Move
from crmcore.rules.validation import meant
from crmcore.storage.codec import CODECS, to_plain
from crmcore.storage.contract import Change, Delete, Insert, Transaction, Update
from crmcore.storage.query import Eq, Query, Where

if TYPE_CHECKING:  # it works with what stands here
    from crmcore.app.permitting import Permit

E = TypeVar("E", bound=Entity)
R = TypeVar("R", bound=Record)

Whose: TypeAlias = tuple[str | None, str]
"""Whose obligations are derived together: a customer's (its id, twice), or those of a record without one (None, its id)."""

#: What every record carries and only the library sets.
STAMPS = ("id", "version", "created_at", "created_by", "updated_at", "updated_by")
_NOTHING: tuple[Any, ...] = ((), NO_CUSTOM)

encode_changes = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=to_plain).encode


@attrs.define
class _Pending:
    """An entity to be written: new (``expected`` is None), or in place of a version."""

    entity: Entity
    expected: int | None
    before: Entity | None
    action: str
    reason: str | None


class Work:
    """What a use case reads and writes with. Reads see what the same work has changed."""

    def __init__(
        self,
        transaction: Transaction,
        *,
        playbook: Playbook,
        rulebook: Rulebook,
        actor: str,
        now: datetime,
        today: date,
        new_id: IdSource,
        plugins: Plugins,
        audit_keys: Keys,
        new_salt: Callable[[], str],
    ) -> None:
        self.transaction = transaction
        self.playbook = playbook
        self.rulebook = rulebook
        self.actor = actor
        self.now = now
        self.today = today
        self.new_id = new_id
        self.audit_keys = audit_keys
        self.new_salt = new_salt
        self._plugins = plugins
        self.cause: str | None = None
        """What the next changes are a part of, as their events tell."""
        self._loaded: dict[tuple[type[Entity], str], Entity] = {}
        self._pending: dict[str, _Pending] = {}
        self._announced: list[_Pending] = []
        self._events: list[Event] = []
        self._removed: list[Entity] = []
        self._findable: set[str] = set()
        self._recalled: set[str] = set()
        self._touched: dict[Whose, None] = {}
        self._new: dict[str, list[Event]] = {}
        self._heads: dict[str, Chain] = {}
        self.permit: Permit | None = None
        """Who checks each change of a record; None where everything is allowed."""
        self._following = 0

    # Permissions

    @contextmanager
    def following(self) -> Iterator[None]:
        """What the library draws from what was asked for, by rule: nobody is asked whether they may. Everything else is checked."""
        self._following += 1
        try:
            yield
        finally:
            self._following -= 1

    def ask(self, record: Entity, action: str) -> None:
        """Raises :class:`Forbidden` where the one who acts may not do that to the record."""
        if self.permit is not None and not self._following:
            self.permit.ask(record, action)

    def sees(self, record: Entity) -> bool:
        """Whether the one who acts sees the record."""
        return self.permit is None or self.permit.sees(record)

    def readable(self, record: Entity, field: str) -> bool:
        """Whether the one who acts has a field of the record in full."""
        return self.permit is None or self.permit.readable(record, field)

    def must_read(self, record: Record, fields: Iterable[str]) -> None:
        """Raises :class:`Forbidden` where a field of the record, which is to be compared, is kept back from the one who acts."""
        if self.permit is not None:
            self.permit.must_read(record, fields)

    def must_write(self, record: Record, fields: Iterable[str]) -> None:
        """Raises :class:`Forbidden` where the one who acts may not give a field of the record another value."""
        if self.permit is not None:
            self.permit.must_write(record, fields)

    def _check(self, before: Entity | None, after: Entity) -> None:
        if self.permit is not None and not self._following and isinstance(after, Record):
            self.permit.check(before if isinstance(before, Record) else None, after)

    @property
    def normaliser(self) -> Normaliser:
        """The forms by which texts are compared."""
        return self._plugins.normaliser

    def reads_phone(self, text: str) -> bool:
        """Whether a text is a telephone number, as far as the normaliser knows."""
        return reads_phone(self.normaliser, text)

    # Reading

    def get(self, cls: type[E], id: str) -> E | None:
        """The entity with that id, or None."""
        known = self._loaded.get((cls, id))
        if known is None:
            row = self.transaction.get(cls.collection, id)
            if row is None:
                return None
            known = self._loaded[cls, id] = CODECS[cls].load(row)
        return cast(E, known)

    def find(
        self, cls: type[E], where: Where | None = None, order: Iterable[str] = (), limit: int | None = None
    ) -> list[E]:
        """The entities that the condition holds for."""
        self.flush()
        rows = self.transaction.find(Query(cls.collection, where, tuple(order), None, limit))
        found: list[E] = list(map(CODECS[cls].load, rows))
        for entity in found:
            self._loaded[cls, entity.id] = entity
        return found

    def current(self, cls: type[E], wanted: E | str, decided_on: Iterable[str] = (), *, name: str | None = None) -> E:
        """The entity as it is now, by itself, by id or, for a customer, by number.

        ``decided_on`` names the fields that the change rests on. Raises :class:`NotFound`, and :class:`Conflict` when an
        entity was handed in and one of these fields has changed since it was read: nobody's change is written over
        unseen, and changes that don't touch each other don't get in each other's way. A customer that was absorbed stands
        for the one that absorbed it, with which nothing is compared: that is another record. ``name`` is the field by which
        a text can name one, too, as the message for something else says.
        """
        if cls is Customer and (
            isinstance(wanted, str) or (isinstance(wanted, cls) and self.get(cls, wanted.id) is None)
        ):
            self.flush()
            named = find_customer(self.transaction, cast(Customer | str, wanted))
            found = self.get(cls, named.id) if named else None
        elif isinstance(wanted, str):
            found = self.get(cls, wanted)
        elif not isinstance(wanted, cls):
            raise not_named(cls, "number" if cls is Customer else name)
        else:
            found = self.get(cls, wanted.id)
            if found is not None and found.version != wanted.version and self.sees(found):
                # What was kept back when it was read can't be compared.
                compared = [name for name in decided_on if self.readable(found, name)]
                changed = [name for name in compared if getattr(found, name, None) != getattr(wanted, name, None)]
                if changed:
                    raise Conflict(
                        f"{', '.join(changed)} of this {cls.entity} was changed since it was read",
                        collection=cls.collection,
                        id=wanted.id,
                        fields=tuple(changed),
                        expected=wanted.version,
                        actual=found.version,
                    )
        if found is None or not (self._following or self.sees(found)):
            raise NotFound(f"there is no such {cls.entity.replace('_', ' ')}", entity=cls.entity)
        return found

    def current_by(self, cls: type[E], wanted: E | str, name: str, decided_on: Iterable[str] = ()) -> E:
        """The same for an entity that a text can also name by one of its fields: a ticket by its number."""
        named = self.find(cls, Eq(name, wanted), limit=1) if isinstance(wanted, str) else ()
        return self.current(cls, named[0].id if named else wanted, decided_on, name=name)

    # Writing

    def build(self, cls: type[R], values: Mapping[str, Any]) -> R:
        """A new record that is not written yet. Raises :class:`Invalid` with every issue."""
        refuse_fixed(cls.entity, values, STAMPS)
        stamps: dict[str, Any] = {"created_at": self.now, "created_by": self.actor}
        told = meant(cls.entity, values, self.playbook)
        return cls(id=self.new_id(), **stamps, updated_at=self.now, updated_by=self.actor, **told)

    def create(self, cls: type[R], action: str, values: Mapping[str, Any], *, reason: str | None = None) -> R:
        """A new record with its event. Raises :class:`Invalid` with every issue."""
        return self.begin(self.build(cls, values), action, reason)

    def begin(self, entity: R, action: str, reason: str | None = None) -> R:
        """A record that was built, with its event, which tells every field that holds something."""
        self.add(entity, action, reason)
        self.note(entity, action, _told(entity), reason)
        return entity

    def change(
        self,
        entity: R,
        action: str,
        changes: Mapping[str, Any],
        *,
        reason: str | None = None,
        silent: bool = False,
    ) -> R:
        """The entity with some fields changed, and its event unless ``silent``; itself when nothing would change."""
        changes = meant(entity.entity, changes, self.playbook)
        stamps = {"version": self.next_version(entity), "updated_at": self.now, "updated_by": self.actor}
        changed = entity.replace(**changes, **stamps)
        different = _different(entity, changed, changes)
        if not different:
            return entity
        self.put(changed, entity, action, reason)
        if "customer_id" in different:
            self._hand_over(entity, changed)
        if not silent:
            self.note(changed, action, different, reason)
        return changed

    def _hand_over(self, before: Record, after: Record) -> None:
        """A record comes to another customer: each one's log tells what it must know of it."""
        if getattr(before, "customer_id", None) is not None:
            self.note(before, f"{before.entity}.left", {}, None)
        if getattr(after, "customer_id", None) is not None:
            self.note(after, f"{after.entity}.joined", _told(after), None)

    def move(self, move: Move, action: str) -> Any:
        """The record of a move that was decided, with its event."""
        before = move.before
        moved = move.after.replace(version=self.next_version(before), updated_by=self.actor)
        self.put(moved, before, action, move.reason)
        names = (name for name in type(moved).kinds if name not in STAMPS)
        different = _different(before, moved, names)
        if "customer_id" in different:
            self._hand_over(before, moved)
        self.note(moved, action, different, move.reason)
        return moved

    def next_version(self, entity: Entity) -> int:
        """The version that a changed entity gets: one more, unless it is pending already."""
        return entity.version if entity.id in self._pending else entity.version + 1

    def add(self, entity: Entity, action: str, reason: str | None = None, *, recalled: bool = False) -> None:
        """A new entity without an event of its own; one that is ``recalled`` was there before."""
        self._check(None, entity)
        if recalled:
            self._recalled.add(entity.id)
        self._pending[entity.id] = _Pending(entity, None, None, action, reason)
        self._loaded[type(entity), entity.id] = entity

    def put(self, changed: Entity, before: Entity, action: str, reason: str | None = None) -> None:
        """A changed entity in place of the one before, without an event of its own."""
        self._check(before, changed)
        pending = self._pending.get(changed.id)
        if pending is None:
            self._pending[changed.id] = _Pending(changed, before.version, before, action, reason)
        else:
            pending.entity, pending.action, pending.reason = changed, action, reason
        self._loaded[type(changed), changed.id] = changed

    def remove(self, entity: Entity, *, findable: bool = False) -> None:
        """An entity taken away, without an event of its own; ``findable`` leaves the keys that it is found by."""
        if isinstance(entity, Record):
            self.ask(entity, "delete")
        self._removed.append(entity)
        if findable:
            self._findable.add(entity.id)
        self._loaded.pop((type(entity), entity.id), None)

    def note(self, entity: Entity, action: str, changes: Mapping[str, Any], reason: str | None) -> Event:
        """The event of a change: what was done, and each field before and after. Raises :class:`Invalid` for a bad reason."""
        if reason is not None:
            check_reason(entity.entity, reason)
        if type(entity) is Customer:
            customer_id: str | None = entity.id
        else:  # a referral hangs on the customer who made it
            customer_id = getattr(entity, "customer_id", None) or getattr(entity, "referrer_id", None)
        kept = encode_changes(dict(changes))
        if (excess := _units(kept) - MAX_TEXT) > 0:
            raise _too_long(entity.entity, changes, excess)
        event = Event(
            id=self.new_id(),
            customer_id=customer_id,
            subject=entity.entity,
            subject_id=entity.id,
            action=action,
            at=self.now,
            by=self.actor,
            changes=kept,
            reason=reason,
            cause=self.cause,
        )
        self._events.append(event)
        if action == "customer.registered":
            self._new[entity.id] = []
        if customer_id in self._new:
            self._new[customer_id].append(event)
        if (customer_id is not None or entity.entity == "action_plan") and self.rulebook.hears(action):
            self._touched[customer_id, customer_id or entity.id] = None
        return event

    def take_touched(self) -> list[Whose]:
        """Whom something new was told of that can change what is owed, since it was last asked."""
        touched = list(self._touched)
        self._touched.clear()
        return touched

    def events_of_new(self, scope: Whose) -> list[Event] | None:
        """All events of a customer that this unit of work registered; None for any other."""
        return self._new.get(scope[1])

    def announce(self, entity: Record, action: str, changes: Mapping[str, Any], reason: str | None = None) -> None:
        """An event about a record that doesn't change by it; plugins are asked about it as about a change."""
        self.ask(entity, "update")
        self.note(entity, action, changes, reason)
        self._announced.append(_Pending(entity, entity.version, entity, action, reason))

    def draw_number(self, series: str, customer: Customer, *, on: date) -> str:
        """The next number of a series (``customer``), drawn in this transaction: never twice, and no gap when it fails.

        Where the series has the customer's short name and that is not Latin, it has the letters that a normaliser gives it.
        """
        scheme = NumberScheme.parse(self.playbook.numbering[series])
        short_name = customer.short_name
        if "{short_name}" in scheme.pieces and not (short_name and short_name.isascii()):
            short_name = self._plugins.normaliser.short_code(short_name or customer.name) or short_name
        scope = scheme.scope(series, on, short_name)
        counter = self.get(NumberSeries, scope)
        number = scheme.format((counter.last if counter else 0) + 1, on, short_name)
        self._count(scope, counter, (counter.last if counter else 0) + 1)
        return number

    def claim_number(self, series: str, number: str) -> None:
        """Moves the series behind a number that came from outside, so that it is not drawn a second time."""
        scheme = NumberScheme.parse(self.playbook.numbering[series])
        read = scheme.read(number)
        if read is None:
            return
        parts, serial = read
        scope = scheme.scope_of(series, parts)
        counter = self.get(NumberSeries, scope)
        if counter is None or counter.last < serial:
            self._count(scope, counter, serial)

    def _count(self, scope: str, counter: NumberSeries | None, last: int) -> None:
        if counter is None:
            self.add(NumberSeries(id=scope, last=last), "number_series.began")
        else:
            version = counter.version if counter.id in self._pending else counter.version + 1
            self.put(counter.replace(last=last, version=version), counter, "number_series.drawn")

    def flush(self) -> None:
        """Writes what is pending into the transaction, after every plugin had its chance to refuse."""
        if not self._pending and not self._events and not self._removed:
            return
        if self._plugins.checks:
            context = Context(now=self.now, actor=self.actor, get=self.get)
            for item in (*self._pending.values(), *self._announced):
                if isinstance(item.entity, Record):
                    proposed = ProposedChange(
                        action=item.action, before=item.before, after=item.entity, reason=item.reason
                    )
                    self._plugins.check(proposed, context)
        taken = (Delete(type(one).collection, one.id, one.version) for one in self._removed)
        heads, events = self._in_chains()
        keys = list(key_changes(self.transaction, self._keyed(), self._plugins.normaliser, self._recalled))
        self.transaction.apply(chain(_batch(self._pending.values(), events), heads, taken, keys))
        self._pending.clear()
        self._removed.clear()
        self._announced.clear()
        self._events.clear()

    def _keyed(self) -> Iterator[tuple[Entity | None, Entity | None]]:
        """What is pending, before and after."""
        for item in self._pending.values():
            yield item.before, item.entity
        for gone in self._removed:
            if gone.id not in self._findable:
                yield gone, None

    def _in_chains(self) -> tuple[list[Change], list[Event]]:
        """The events with their places in their chains, and where these end now."""
        by_chain: dict[str, list[Event]] = {}
        for event in self._events:
            by_chain.setdefault(chain_of(event), []).append(event)
        # Nothing was ever told of what this unit of work has registered.
        unknown = [id for id in by_chain if id not in self._heads and id not in self._new]
        for id, row in self.transaction.get_many("chains", unknown).items() if unknown else ():
            self._heads[id] = CODECS[Chain].load(row)
        changes: list[Change] = []
        placed: list[Event] = []
        for id, events in by_chain.items():
            head = self._heads.get(id)
            self._heads[id], following = chained(id, head, events, self.audit_keys, self.new_salt)
            row = CODECS[Chain].dump(self._heads[id])
            changes.append(Insert("chains", row) if head is None else Update("chains", row, head.version))
            placed += following
        return changes, placed


def _units(text: str) -> int:
    """How long a text is as a store counts it, in UTF-16 units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _too_long(entity: str, changes: Mapping[str, Any], excess: int) -> Invalid:
    """The log keeps what was and what is as one text: the longest of the fields, and how long it could be."""
    sizes = {name: _units(new if isinstance(new, str) else encode_changes(new)) for name, (_, new) in changes.items()}
    name = max(sizes, key=sizes.__getitem__)
    return Invalid([Issue(code="too_long", field=f"{entity}.{name}", facts={"limit": max(sizes[name] - excess, 0)})])


def _told(entity: Record) -> dict[str, list[Any]]:
    """Every field that holds something, as an event of a new record tells it."""
    held = {name: getattr(entity, name) for name in type(entity).kinds if name not in STAMPS}
    return {name: [None, value] for name, value in held.items() if value is not None and value not in _NOTHING}


def _different(before: Entity, after: Entity, names: Iterable[str]) -> dict[str, list[Any]]:
    """Each of the fields that is not the same, as it was and as it is."""
    pairs = ((name, getattr(before, name), getattr(after, name)) for name in names)
    return {name: [old, new] for name, old, new in pairs if old != new}


def refuse_fixed(entity: str, values: Iterable[str], fixed: Iterable[str]) -> None:
    """Raises :class:`Invalid` for every field that is set in another way than this."""
    facts = {"why": "it is not set this way"}
    refused = [Issue(code="refused", field=f"{entity}.{name}", facts=facts) for name in values if name in fixed]
    if refused:
        raise Invalid(refused)


def check_reason(entity: str, reason: Any) -> None:
    """Raises :class:`Invalid` for a reason that an event can't hold."""
    try:
        clean_text(reason)
    except Unclean as problem:
        raise Invalid([Issue(code=problem.code, field=f"{entity}.reason", facts=problem.facts)]) from None


def mappings(values: Any, field: str) -> list[dict[str, Any]]:
    """Several records as they were given, each for itself, none for None; raises :class:`Invalid` for no list of mappings."""
    if values is None:
        return []
    listed = isinstance(values, Iterable) and not isinstance(values, (str, bytes, Mapping))
    found: list[Any] = list(values) if listed else []
    if not listed or not all(isinstance(one, Mapping) and all(isinstance(name, str) for name in one) for one in found):
        facts = {"expected": "a list of mappings of fields"}
        raise Invalid([Issue(code="bad_type", field=field, facts=facts)])
    return [dict(one) for one in found]


def or_default(value: Any, default: Any) -> Any:
    """The value, or the default where none is given: None, or for a text field a blank."""
    return default if value is None or (isinstance(value, str) and not value.strip()) else value


def _batch(pending: Iterable[_Pending], events: Iterable[Event]) -> Iterable[Change]:
    """Inserts first and by collection, so that a store can write each in one go; then updates; then the events."""
    groups: dict[type[Entity], list[Insert]] = {}
    updates: list[Update] = []
    for item in pending:
        cls = type(item.entity)
        row = CODECS[cls].dump(item.entity)
        if item.expected is None:
            groups.setdefault(cls, []).append(Insert(cls.collection, row))
        else:
            updates.append(Update(cls.collection, row, item.expected))
    for group in groups.values():
        yield from group
    yield from updates
    dump = CODECS[Event].dump
    for event in events:
        yield Insert("events", dump(event))
