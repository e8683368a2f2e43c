"""This library's SQLite store: rows through a transaction of its own for each operation, read into frozen entities."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import crmcore
from contenders.contract import Contender, LostUpdateError, portions
from crmcore.domain import Entity
from crmcore.domain.entity import entity
from crmcore.domain.fields import day, flag, instant, optional_instant, optional_text, text, whole
from crmcore.errors import Conflict, InvalidURL
from crmcore.storage import And, Eq, Insert, Lt, Query, StoreURL, Update
from crmcore.storage.codec import codec_of, schema_of
from crmcore_sqlite.settings import Settings
from crmcore_sqlite.store import SqliteStore
from data import CONTACT, CUSTOMER, FOLLOW_UP, HISTORY, Family, Row, Table, Takes

EPOCH, MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)

_FIELDS = {
    "text": text,
    "text?": optional_text,
    "integer": whole,
    "integer?": whole,
    "day?": day,
    "instant": instant,
    "instant?": optional_instant,
    "flag": flag,
}
_TYPES = {"text": str, "integer": int, "day": date, "instant": datetime, "flag": bool}


def _entity(table: Table) -> type[Entity]:
    """The entity that the library would keep in such a table."""
    content: dict[str, Any] = {name: _FIELDS[kind]() for name, kind in table.kinds.items()}
    content["__annotations__"] = {name: _TYPES[kind.rstrip("?")] for name, kind in table.kinds.items()}
    made = type(table.name.title().replace("_", ""), (Entity,), content)
    return entity(collection=table.name, unique=table.unique, indexes=table.indexes)(made)


CODECS = {table.name: codec_of(_entity(table)) for table in (CUSTOMER, CONTACT, FOLLOW_UP, HISTORY)}
SCHEMA = schema_of(codec.entity for codec in CODECS.values())
customers, contacts, follow_ups = (CODECS[table.name] for table in (CUSTOMER, CONTACT, FOLLOW_UP))


def _url(path: Path, pragmas: Mapping[str, str]) -> StoreURL:
    return StoreURL.parse(f"sqlite:///{path}?journal={pragmas['journal_mode'].lower()}")


class Contestant(Contender):
    title = f"crmcore {crmcore.__version__} store"
    role = "own"
    own_schema = True
    takes: ClassVar[Takes] = {
        "day": date.fromisoformat,
        "instant": lambda milliseconds: EPOCH + milliseconds * MILLISECOND,
        "flag": bool,
    }
    stored: ClassVar[Takes] = {"instant": lambda text: (datetime.fromisoformat(text) - EPOCH) // MILLISECOND}

    @classmethod
    def refuses(cls, pragmas: Mapping[str, str]) -> str | None:
        if pragmas["synchronous"] != "FULL":
            return "it always syncs in full"
        try:
            Settings.of(_url(Path("any.db"), pragmas))
        except InvalidURL as reason:
            return str(reason)
        return None

    def prepare(self, path: Path) -> None:
        self.open(path)
        self.close()

    def open(self, path: Path) -> None:
        self.store = SqliteStore(Settings.of(_url(path, self.pragmas)), SCHEMA)

    def close(self) -> None:
        self.store.close()

    def setting(self, pragma: str) -> Any:
        connection = self.store.take()
        (value,) = connection.execute(f"PRAGMA {pragma}").fetchone()
        self.store.give_back(connection)
        return value

    def bulk(self, families: Iterable[Family]) -> None:
        def changes() -> Iterator[Insert]:
            for portion in portions(families):
                for table, rows in zip((CUSTOMER, CONTACT, FOLLOW_UP), portion, strict=True):
                    for row in rows:
                        yield Insert(table.name, row)

        with self.store.transaction(write=True) as transaction:
            transaction.apply(changes())

    def get(self, number: str) -> Entity:
        with self.store.transaction() as transaction:
            (row,) = transaction.find(Query("customer", Eq("number", number)))
        return customers.load(row)

    def aggregate(self, number: str) -> tuple[Entity, Sequence[Entity], Sequence[Entity]]:
        with self.store.transaction() as transaction:
            (customer,) = transaction.find(Query("customer", Eq("number", number)))
            of_it = Eq("customer_id", customer[0])
            its_contacts = list(map(contacts.load, transaction.find(Query("contact", of_it))))
            its_follow_ups = list(map(follow_ups.load, transaction.find(Query("follow_up", of_it))))
        return customers.load(customer), its_contacts, its_follow_ups

    def page(self, owner: str, stage: str, after: str) -> Sequence[Entity]:
        where = And(Eq("owner", owner), Eq("stage", stage))
        # "\U0010ffff" is behind every id: what follows is behind the number.
        query = Query("customer", where, order=("number",), after=(after, "\U0010ffff"), limit=50)
        with self.store.transaction() as transaction:
            return list(map(customers.load, transaction.find(query)))

    def count_by_stage(self) -> Mapping[str, int]:
        with self.store.transaction() as transaction:
            return {str(stage): int(str(count)) for stage, count in transaction.tally("customer", None, ("stage",))}

    def overdue(self, before: datetime) -> Sequence[Entity]:
        where = And(Eq("state", "open"), Lt("due_at", before))
        with self.store.transaction() as transaction:
            found = transaction.find(Query("follow_up", where, order=("due_at",), limit=100))
            return list(map(follow_ups.load, found))

    def hold(self, customer_id: str, number: str) -> Entity:
        return self.get(number)

    def update(self, held: Entity, stage: str, at: datetime, history: Row) -> None:
        moved = held.replace(stage=stage, updated_at=at, version=held.version + 1)
        change = Update("customer", customers.dump(moved), held.version)
        try:
            with self.store.transaction(write=True) as transaction:
                transaction.apply((change, Insert("history", history)))
        except Conflict as conflict:
            raise LostUpdateError from conflict

    def plain(self, table: Table, thing: Any) -> Row:
        return tuple(map(_stored, CODECS[table.name].dump(thing)))


def _stored(value: Any) -> Any:
    if isinstance(value, datetime):
        return (value - EPOCH) // MILLISECOND
    if isinstance(value, date):
        return value.isoformat()
    return int(value) if isinstance(value, bool) else value
