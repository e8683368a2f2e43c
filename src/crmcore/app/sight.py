"""What one user sees of the rows of a transaction: which of them, and how much of each.

Whether a record is seen can depend on the customer that it hangs on, and no store joins: rows are filtered as they are read, a batch
at a time, so that it is right at any size.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, cast

from crmcore.domain import ENTITIES, Customer, Entity, Event, Record
from crmcore.domain.event import changes_of
from crmcore.domain.fields import Kind
from crmcore.domain.values import NO_CUSTOM, FrozenMap
from crmcore.plugins import AccessRequest, Plugins
from crmcore.rules.masking import mask_custom, mask_text, masked, unseen
from crmcore.rules.permissions import Level, Scope, Standing, concealable, parent_of, people_of
from crmcore.storage.codec import CODECS, SEALED
from crmcore.storage.contract import Transaction
from crmcore.storage.schema import Row

BATCH = 200
"""So many rows are decided on at once."""

BY_COLLECTION: Mapping[str, type[Entity]] = {cls.collection: cls for cls in ENTITIES}
BY_ENTITY: Mapping[str, type[Entity]] = {cls.entity: cls for cls in ENTITIES}

#: What events are about.
_TOLD = ("obligation", *(cls.entity for cls in ENTITIES if issubclass(cls, Record)))

Show = Callable[[Row], Row]


class Sight:
    """What somebody of this standing sees in a transaction. ``action`` is what is done with it, beside reading: ``export``."""

    def __init__(self, transaction: Transaction, standing: Standing, plugins: Plugins, action: str = "read") -> None:
        self.transaction = transaction
        self.standing = standing
        self.action = action
        self._plugins = plugins
        self._shows: dict[tuple[str, Scope], Show | None] = {}

    def scope(self, entity: str) -> Scope:
        """How far one sees among the records of an entity."""
        rights = self.standing.rights
        return min(rights.scope(entity, "read"), rights.scope(entity, self.action))

    @property
    def asks(self) -> bool:
        """Whether a plugin is asked of each record."""
        return self._plugins.permits

    def drops(self, collection: str) -> bool:
        """Whether one may see some rows of the collection and not others."""
        cls = BY_COLLECTION[collection]
        if self._plugins.permits:
            return True
        if cls is Event:
            return any(self.scope(entity) < Scope.ALL for entity in _TOLD)
        return self.scope(cls.entity) < Scope.ALL

    def seen(self, collection: str, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows that one sees, each as one sees it."""
        cls = BY_COLLECTION[collection]
        if cls is Event:
            return self._events(rows)
        drops, entity = self.drops(collection), cls.entity
        if not drops and not self.standing.rights.levels.get(entity):
            show = self._show(cls, Scope.ALL)
            return map(show, rows) if show else iter(rows)
        return self._records(cls, rows)

    def one(self, entity: Entity) -> Entity:
        """A record that one holds already, as one sees it; of one that isn't seen nothing that can be kept back."""
        cls, codec = type(entity), CODECS[type(entity)]
        row = codec.dump(entity)
        found = next(self.seen(cls.collection, [row]), None)
        if found is None:
            found = self._concealed(cls)(row)
        return entity if found == row else cast(Entity, codec.load(found))

    def sees(self, entity: Entity) -> bool:
        """Whether one sees a record."""
        return next(self.seen(entity.collection, [CODECS[type(entity)].dump(entity)]), None) is not None

    def reaches(self, records: Sequence[Entity]) -> list[Scope]:
        """From how far on each of the records is reached."""
        parents = list(dict.fromkeys(id for one in records if (id := parent_of(one)) is not None))
        load = CODECS[Customer].load
        rows = self.transaction.get_many("customers", parents) if parents else {}
        of_parent = {id: people_of(load(row)) for id, row in rows.items()}
        return [
            self.standing.reach(people_of(one) | of_parent.get(parent_of(one) or "", frozenset())) for one in records
        ]

    def allowed(self, record: Entity, reach: Scope) -> bool:
        """Whether one sees a record that is reached from there on."""
        return self.scope(record.entity) >= reach and self.permitted(record, self.action)

    def permitted(self, record: Entity, action: str) -> bool:
        """Whether no plugin denies the action."""
        if not self._plugins.permits:
            return True
        request = AccessRequest(actor=self.standing.name, action=action, entity=record.entity, record=record)
        return self._plugins.permit(request)

    def _records(self, cls: type[Entity], rows: Iterable[Row]) -> Iterator[Row]:
        load: Callable[[Row], Entity] = CODECS[cls].load
        for batch in _batches(rows):
            records = list(map(load, batch))
            for row, record, reach in zip(batch, records, self.reaches(records), strict=True):
                if self.allowed(record, reach):
                    show = self._show(cls, reach)
                    yield show(row) if show else row

    # How a row is shown

    def _show(self, cls: type[Entity], reach: Scope) -> Show | None:
        """What is done to a row of an entity that is reached from there on; None where it stays as it is."""
        key = cls.entity, reach
        if key not in self._shows:
            level = self.standing.rights.level
            named = self.standing.rights.levels.get(cls.entity, ())
            self._shows[key] = _shower(cls, named, lambda name: level(cls.entity, name, reach))
        return self._shows[key]

    def _concealed(self, cls: type[Entity]) -> Show:
        """What is done to a row of which nothing is to be shown that can be kept back."""
        return _shower(cls, concealable(cls), lambda _: Level.HIDDEN) or tuple

    # Events are seen by who sees what they are about

    def _events(self, rows: Iterable[Row]) -> Iterator[Row]:
        codec = CODECS[Event]
        for batch in _batches(rows):
            events: list[Event] = list(map(codec.load, batch))
            subjects = self._subjects(events)
            for row, event in zip(batch, events, strict=True):
                # Of what isn't there any more nobody knows whose it was.
                known = subjects.get((event.subject, event.subject_id))
                reach, seen = known or (Scope.ALL, self.scope(event.subject) is Scope.ALL)
                if seen:
                    told = self._told(event, reach)
                    yield row if told is event else codec.dump(told)

    def _subjects(self, events: Sequence[Event]) -> dict[tuple[str, str], tuple[Scope, bool]]:
        """What the events are about, as far as it is there still: from how far on it is reached, and whether it is seen."""
        found: dict[tuple[str, str], tuple[Scope, bool]] = {}
        rights = self.standing.rights
        for entity in dict.fromkeys(event.subject for event in events):
            cls = BY_ENTITY.get(entity)
            if cls is None or (not self.drops(cls.collection) and not rights.levels.get(entity)):
                continue  # it is reached, or not, whoever's it is
            ids = list(dict.fromkeys(event.subject_id for event in events if event.subject == entity))
            load: Callable[[Row], Entity] = CODECS[cls].load
            records = [load(row) for row in self.transaction.get_many(cls.collection, ids).values()]
            for record, reach in zip(records, self.reaches(records), strict=True):
                found[entity, record.id] = reach, self.allowed(record, reach)
        return found

    def _told(self, event: Event, reach: Scope) -> Event:
        """An event with what is kept back of its subject kept back from what it tells."""
        cls = BY_ENTITY.get(event.subject)
        if self.standing.rights.conceals:
            # By the digests of an imported row, or of what was changed, what is kept back could be guessed.
            telling = [name for name in ("cause", "salt", "content") if getattr(event, name) is not None]
            event = event.replace(**dict.fromkeys(telling)) if telling else event
        if cls is None or not self.standing.rights.levels.get(event.subject):
            return event
        level = self.standing.rights.level
        changes: dict[str, list[Any]] = {}
        for name, (before, after) in changes_of(event).items():
            kept = level(event.subject, name, reach)
            if name == "custom":
                changes[name] = [self._own_fields(cls, one, reach) for one in (before, after)]
            elif kept >= Level.READ:
                changes[name] = [before, after]
            elif kept is Level.MASKED and name in cls.kinds:
                changes[name] = [_plain_masked(name, cls.kinds[name], one) for one in (before, after)]
        reasons = [name for name in cls.kinds if name == "reason" or name.endswith("_reason")]
        least = min((level(event.subject, name, reach) for name in reasons), default=Level.WRITE)
        reason = event.reason
        if reason is not None and least < Level.READ:
            reason = mask_text(reason) if least is Level.MASKED else None
        told = json.dumps(changes, ensure_ascii=False, separators=(",", ":"))
        return event.replace(changes=told, reason=reason)

    def _own_fields(self, cls: type[Entity], values: Any, reach: Scope) -> Any:
        if not isinstance(values, Mapping):
            return None
        level = self.standing.rights.level
        return dict(_custom_shown(values, lambda name: level(cls.entity, name, reach)))


def _plain_masked(name: str, kind: Kind, value: Any) -> Any:
    """A value as an event tells it, masked."""
    if kind.name == "texts":
        return list(masked(name, kind, tuple(value or ())))
    return masked(name, kind, value) if kind.name == "text" and isinstance(value, str) else None


def _custom_shown(values: Mapping[str, Any], level: Callable[[str], Level]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        kept = level(f"custom.{name}")
        if kept >= Level.READ:
            yield name, value
        elif kept is Level.MASKED and (told := mask_custom(value)) is not None:
            yield name, told


def _shower(cls: type[Entity], named: Iterable[str], level: Callable[[str], Level]) -> Show | None:
    """What is done to a row so that of each named field only so much is there; None where that is all of it."""
    codec = CODECS[cls]
    kept = {name: found for name in named if name in cls.kinds and (found := level(name)) < Level.READ}
    own = any(name.partition(".")[0] == "custom" and level(name) < Level.READ for name in named)
    kept.pop("custom", None)
    sealed = codec.collection.positions.get(SEALED)
    if not kept and not own:
        if sealed is None:
            return None
        return lambda row: row if row[sealed] is None else (*row[:sealed], None, *row[sealed + 1 :])
    copy = cls.copying(*kept, *(("custom",) if own else ()))

    def show(row: Row) -> Row:
        entity: Any = codec.load(row)
        values = [_shown(name, cls.kinds[name], getattr(entity, name), found) for name, found in kept.items()]
        if own:
            values.append(FrozenMap(dict(_custom_shown(entity.custom, level))) or NO_CUSTOM)
        return codec.dump(copy(entity, *values))

    return show


def _shown(name: str, kind: Kind, value: Any, level: Level) -> Any:
    return masked(name, kind, value) if level is Level.MASKED else unseen(kind)


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    source = iter(rows)
    while batch := list(islice(source, BATCH)):
        yield batch
