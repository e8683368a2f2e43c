"""The kit's schema under encryption: the kit sees its own rows, the store below has those rows sealed, with one column more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar

from crmcore.domain import Setting
from crmcore.errors import Invalid, StorageError
from crmcore.storage import (
    Backend,
    Capability,
    Change,
    Delete,
    Field,
    Insert,
    KeyRing,
    Pushed,
    Query,
    Row,
    Schema,
    Store,
    StoreURL,
    Transaction,
    Update,
    Where,
)
from crmcore.storage.codec import SEALED, collection_of
from crmcore.storage.contract import check_tally
from crmcore.storage.memory import MemoryData, MemoryStore
from crmcore.storage.schema import Collection
from crmcore.storage.sealed_rows import RecordShape, Shape
from crmcore.storage.sealed_state import Encryption
from crmcore.storage.sealed_store import SealedStore
from crmcore_sqlite import SqliteBackend

RING = KeyRing.of({"old": bytes(32), "new": bytes(range(32))})
#: Every type, required and not, one that is searched by an index; not what is unique.
SEALED_FIELDS = {
    "values": (
        *("text", "integer", "boolean", "instant"),
        *("some_date", "some_decimal", "some_instant", "some_boolean"),
    ),
    "keys": ("by", "on", "open"),
}


def wide(schema: Schema) -> Schema:
    """The schema with a place for sealed values and for settings."""
    collections = (
        Collection(
            name=shape.name,
            fields=(*shape.fields, Field(SEALED, "text")),
            unique=shape.unique,
            indexes=shape.indexes,
        )
        for shape in schema.collections.values()
    )
    return Schema.of(schema.version, [*collections, collection_of(Setting)])


def kit_shapes(
    schema: Schema, fields: object, sealer: Any, keys: Iterable[str], *, strict: bool, leaving: object
) -> dict[str, Shape]:
    return {
        name: RecordShape(
            shape,
            [field for field in SEALED_FIELDS.get(name, ()) if field in shape.positions],
            sealer,
            keys,
            entity=name,
            strict=strict,
        )
        for name, shape in schema.collections.items()
        if SEALED in shape.positions
    }


def encrypted(store: Store) -> SealedStore:
    """The store with encryption turned on, from the start."""
    with store.transaction() as transaction:
        there = transaction.get("settings", "encryption")
    if there is None:
        with store.transaction(write=True) as transaction:
            if transaction.get("settings", "encryption") is None:
                told = Encryption(fields=(), keys={"old": RING.check_value("old")})
                transaction.apply([told.change(None)])
    return SealedStore(store, RING, kit_shapes)


class NarrowTransaction(Transaction):
    """Shows rows without the last column."""

    def __init__(self, inner: Transaction, schema: Schema) -> None:
        super().__init__(schema)
        self.inner = inner

    def get(self, collection: str, id: str) -> Row | None:
        self.schema.collection(collection)
        row = self.inner.get(collection, id)
        return None if row is None else row[:-1]

    def get_many(self, collection: str, ids: Sequence[str]) -> dict[str, Row]:
        self.schema.collection(collection)
        return {id: row[:-1] for id, row in self.inner.get_many(collection, ids).items()}

    def scan(self, collection: str) -> Iterator[Row]:
        self.schema.collection(collection)
        return (row[:-1] for row in self.inner.scan(collection))

    def apply(self, changes: Iterable[Change]) -> None:
        try:
            self.inner.apply(map(self._widened, changes))
        except (
            Invalid
        ) as problem:  # the library sees to this before a row gets here; the kit knows errors of storage only
            raise StorageError(str(problem)) from problem

    def _widened(self, change: Change) -> Change:
        self.schema.collection(change.collection)
        if isinstance(change, Delete):
            return change
        row = (*change.row, None)
        if isinstance(change, Insert):
            return Insert(change.collection, row)
        return Update(change.collection, row, change.expected_version)

    def push(self, query: Query) -> Pushed:
        rows, rest = self.inner.push(query)
        return Pushed((row[:-1] for row in rows), rest)

    def tally(self, collection: str, where: Where | None, by: Sequence[str], sums: Sequence[str] = ()) -> list[Row]:
        check_tally(self.schema, collection, where, by, sums)
        return self.inner.tally(collection, where, by, sums)


class NarrowStore(Store):
    """A sealed store of the wide schema as a store of the kit's."""

    def __init__(self, inner: SealedStore, schema: Schema) -> None:
        self.inner, self.schema = inner, schema

    def transaction(self, *, write: bool = False) -> AbstractContextManager[Transaction]:
        return self._narrow(write)

    @contextmanager
    def _narrow(self, write: bool) -> Iterator[Transaction]:
        with self.inner.transaction(write=write) as transaction:
            yield NarrowTransaction(transaction, self.schema)

    def claim(self, query: Query, change: Callable[[Row], Row]) -> list[Row]:
        claimed = self.inner.claim(query, lambda row: (*change(row[:-1]), None))
        return [row[:-1] for row in claimed]

    def backup(self, target: str) -> None:
        self.inner.backup(target)

    def clean(self) -> Sequence[str]:
        return self.inner.clean()

    def check(self) -> list[str]:
        return self.inner.check()

    def describe(self) -> dict[str, object]:
        return self.inner.describe()

    def close(self) -> None:
        self.inner.close()


class SealedMemoryBackend(Backend):
    capabilities: ClassVar = frozenset({Capability.SNAPSHOT_READS, Capability.LARGE})

    def open(self, url: StoreURL, schema: Schema) -> Store:
        return NarrowStore(encrypted(MemoryStore(MemoryData(wide(schema)))), schema)


class SealedSqliteBackend(Backend):
    """It lasts as SQLite does. It answers nothing about sealed fields; upgrades work below encryption and are not offered."""

    capabilities: ClassVar = frozenset({Capability.DURABLE, Capability.SNAPSHOT_READS})

    def open(self, url: StoreURL, schema: Schema) -> Store:
        return NarrowStore(encrypted(SqliteBackend().open(url, wide(schema))), schema)
