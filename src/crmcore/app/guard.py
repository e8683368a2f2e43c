"""What a user reads and writes through where permissions are kept: every path of every use case goes this way.

A guarded transaction looks like any other to those who read: rows that the user may not see aren't there, fields that are kept
back are masked or blank, and nobody can ask by them. A guarded engine hands one to whoever reads, has each change checked
against the table in the unit of work that makes it, and shows what comes back as the user may see it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

import attrs

from crmcore.app.duties import settle_touched
from crmcore.app.engine import Engine
from crmcore.app.finding import Marked
from crmcore.app.permitting import Permit, demand, own_where, refuse, standing_of
from crmcore.app.sight import BY_COLLECTION, Sight
from crmcore.app.work import Work
from crmcore.domain import Entity, Event
from crmcore.errors import NotFound, QueryError, ReadOnly
from crmcore.rules.permissions import ACTIONS, Decision, Scope, Standing
from crmcore.storage.codec import CODECS, SEALED
from crmcore.storage.contract import Change, Pushed, Transaction, check_tally
from crmcore.storage.evaluate import tally_rows
from crmcore.storage.query import And, Not, Or, Query, Where
from crmcore.storage.schema import Row

T = TypeVar("T")

NOT_ASKED = "the roles {roles} may not look for, sort or group by {what}"
#: What an event tells of its subject: nobody looks for it from whom anything is kept back.
_TELLING = ("changes", "reason", "cause", "salt", "content", "digest")


class GuardedTransaction(Marked):
    """A transaction as one user may see it; only for reading."""

    def __init__(self, plain: Transaction, sight: Sight) -> None:
        super().__init__(plain.schema)
        self._plain = self.marks = plain
        self._sight = sight

    def can_be_asked(self, entity: str, field: str) -> bool:
        return self._sight.standing.rights.can_be_asked(entity, field)

    def get(self, collection: str, id: str) -> Row | None:
        row = self._plain.get(collection, id)
        return None if row is None else next(self._sight.seen(collection, [row]), None)

    def get_many(self, collection: str, ids: Sequence[str]) -> dict[str, Row]:
        rows = self._plain.get_many(collection, ids)
        return {cast(str, row[0]): row for row in self._sight.seen(collection, rows.values())}

    def scan(self, collection: str) -> Iterator[Row]:
        return self._sight.seen(collection, self._plain.scan(collection))

    def push(self, query: Query) -> Pushed:
        self._check(query.collection, [*_fields_of(query.where), *(name.removeprefix("-") for name in query.order)])
        where, exact = self._narrowed(query.collection, query.where)
        if where is False:
            return Pushed((), Query(query.collection))
        # What is dropped as it is read doesn't count for the limit.
        asked = Query(query.collection, where, query.order, query.after, query.limit if exact else None)
        rows = self._sight.seen(query.collection, self._plain.find(asked))
        return Pushed(rows, Query(query.collection, limit=None if exact else query.limit))

    def tally(self, collection: str, where: Where | None, by: Sequence[str], sums: Sequence[str] = ()) -> list[Row]:
        check_tally(self.schema, collection, where, by, sums)
        self._check(collection, [*_fields_of(where), *by, *sums])
        narrowed, exact = self._narrowed(collection, where)
        if narrowed is False:
            return []
        if exact:
            return self._plain.tally(collection, narrowed, by, sums)
        rows = self._sight.seen(collection, self._plain.find(Query(collection, narrowed)))
        return tally_rows(rows, by, sums, self.schema.collection(collection))

    def apply(self, changes: Iterable[Change]) -> None:
        raise ReadOnly("this transaction only reads")

    def _narrowed(self, collection: str, where: Where | None) -> tuple[Any, bool]:
        """The condition on what one sees as far as a store can be asked it, False where that is nothing; and whether it is exact."""
        cls, sight = BY_COLLECTION[collection], self._sight
        if not sight.drops(collection):
            return where, True
        if cls is Event:
            return where, False
        scope = sight.scope(cls.entity)
        if scope is Scope.NONE:
            return False, True
        own = None if scope is Scope.ALL else own_where(cls, sight.standing, scope)
        return (where if own is None else own if where is None else And(where, own)), own is not None and not sight.asks

    def _check(self, collection: str, columns: Iterable[str]) -> None:
        """Raises :class:`Forbidden` for a column by which one may not ask."""
        cls, rights = BY_COLLECTION[collection], self._sight.standing.rights
        for column in columns:
            field = column if column in cls.kinds else column.removesuffix("_key").removesuffix("_currency")
            if cls is Event and field in _TELLING:
                open_to_all = not rights.conceals
            elif field == "custom":
                named = (name for name in rights.levels.get(cls.entity, {}) if name.partition(".")[0] == "custom")
                open_to_all = all(rights.can_be_asked(cls.entity, name) for name in named)
            else:
                open_to_all = column != SEALED and rights.can_be_asked(cls.entity, field)
            if not open_to_all and not rights.unlimited:
                refuse(rights, f"{cls.entity}.{field}", NOT_ASKED)


def _fields_of(where: Where | None) -> Iterator[str]:
    match where:
        case None:
            return
        case And(parts) | Or(parts):
            for part in parts:
                yield from _fields_of(part)
        case Not(part):
            yield from _fields_of(part)
        case _:
            yield where.field


class Guarded(Engine):
    """An engine as one user works with it. While permissions aren't kept, and for who may do everything, it is the engine."""

    def __init__(self, engine: Engine, actor: str) -> None:
        vars(self).update(vars(engine))
        self._plain = engine
        self._actor = actor

    @property
    def plain(self) -> Engine:
        return self._plain

    def read(self, look: Callable[[Transaction], T], action: str = "read") -> T:
        def guarded(transaction: Transaction) -> T:
            standing = standing_of(transaction, self.plain, self._actor)
            if standing is None:
                return look(transaction)
            return look(GuardedTransaction(transaction, Sight(transaction, standing, self.plugins, action)))

        return self.plain.read(guarded)

    def write(self, actor: str, decide: Callable[[Work], T]) -> T:
        def guarded(work: Work) -> T:
            standing = standing_of(work.transaction, self.plain, self._actor)
            if standing is None:
                return decide(work)
            work.permit = Permit(work, standing, self.plugins)
            result = decide(work)
            settle_touched(work)
            work.flush()
            return cast(T, _shown(result, work.permit.sight))

        return self.plain.write(actor, guarded)

    def copied_to_memory(self) -> Engine:
        return Guarded(self.plain.copied_to_memory(), self._actor)

    def ask_by(self, fields: Iterable[str]) -> None:
        standing = self._standing()
        for field in fields if standing is not None else ():
            entity, _, name = field.partition(".")
            if standing is not None and not standing.rights.can_be_asked(entity, name):
                refuse(standing.rights, field, NOT_ASKED)

    def may(self, action: str, what: Entity | str) -> Decision:
        """Whether the user may do an action to a record, or to any of an entity at all; see :meth:`crmcore.Session.may`."""
        if action not in ACTIONS:
            raise QueryError(f"action is one of {', '.join(ACTIONS)}", field="action")

        def look(transaction: Transaction) -> Decision:
            standing = standing_of(transaction, self.plain, self._actor)
            if standing is None:
                return Decision(True, "everything is allowed")
            if isinstance(what, str):
                return standing.decide(what, action, Scope.OWN)
            row = transaction.get(what.collection, what.id)
            record = None if row is None else CODECS[type(what)].load(row)
            sight = Sight(transaction, standing, self.plugins)
            if record is None or not sight.sees(record):
                raise NotFound(f"there is no such {what.entity.replace('_', ' ')}", entity=what.entity)
            reach = sight.reaches([record])[0]
            decision = standing.decide(what.entity, action, reach)
            if decision and not sight.permitted(record, action):
                return Decision(False, "a plugin denies it")
            return decision

        return self.plain.read(look)

    def _standing(self) -> Standing | None:
        return self.plain.read(lambda transaction: standing_of(transaction, self.plain, self._actor))

    def ask(self, entity: str, action: str, *, everywhere: bool = True) -> None:
        standing = self._standing()
        if standing is not None:
            demand(standing, self.plugins, entity, action, Scope.ALL if everywhere else Scope.OWN)


def _shown(value: Any, sight: Sight) -> Any:
    """What a unit of work gives back, as the user may see it: records on their own, in lists, and in the parts of a value."""
    if isinstance(value, Entity):
        return sight.one(value)
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)([_shown(item, sight) for item in value])
    if isinstance(value, Mapping) and type(value) is dict:
        return {key: _shown(item, sight) for key, item in value.items()}
    if attrs.has(type(value)):
        parts = {name: getattr(value, name) for name in attrs.fields_dict(type(value))}
        told = {name: _shown(part, sight) for name, part in parts.items()}
        changed = {name: part for name, part in told.items() if part is not parts[name] and part != parts[name]}
        return attrs.evolve(value, **changed) if changed else value
    return value
