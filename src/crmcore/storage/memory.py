"""A store in memory: the reference for the others, and a store in its own right for tests and for trying things."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, Self

import attrs

from crmcore.errors import Conflict, DuplicateKey, InvalidURL, ReadOnly, StoreBusy, StoreClosed
from crmcore.storage.contract import Backend, Capability, Change, Delete, Insert, Store, Transaction
from crmcore.storage.schema import Row, Schema
from crmcore.storage.url import StoreURL

Key = tuple[Any, ...]


@attrs.define
class _Table:
    """The rows of one collection by id, and per unique key the id that holds it."""

    rows: dict[str, Row]
    keys: tuple[dict[Key, str], ...]

    def copy(self) -> _Table:
        return _Table(dict(self.rows), tuple(map(dict, self.keys)))


class MemoryData:
    """What one or several handles share: the tables as last committed, and the lock of the one writer."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.tables = {
            name: _Table({}, tuple({} for _ in collection.unique)) for name, collection in schema.collections.items()
        }
        self.writing = threading.Lock()


class MemoryBackend(Backend):
    """``memory:``, a new and empty store at every opening."""

    capabilities: ClassVar = frozenset({Capability.SNAPSHOT_READS, Capability.LARGE})

    def open(self, url: StoreURL, schema: Schema) -> MemoryStore:
        url.take({})
        if url.host or url.path:
            raise InvalidURL("memory: takes no name; each opening is a new store")
        return MemoryStore(MemoryData(schema))


class MemoryStore(Store):
    """A handle on data in memory. Rows are tuples of scalars, so nobody can change them from outside."""

    def __init__(self, data: MemoryData, *, wait_seconds: float = 5.0) -> None:
        self.schema = data.schema
        self._data = data
        self._wait_seconds = wait_seconds
        self._closed = False

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[MemoryTransaction]:
        if self._closed:
            raise StoreClosed("the store is closed")
        if not write:
            with MemoryTransaction(self._data, write=False) as transaction:
                yield transaction
        elif self._data.writing.acquire(timeout=self._wait_seconds):
            try:
                with MemoryTransaction(self._data, write=True) as transaction:
                    yield transaction
            finally:
                self._data.writing.release()
        else:
            raise StoreBusy(f"another writer held the store for over {self._wait_seconds:g} s")

    def close(self) -> None:
        self._closed = True


class MemoryTransaction(Transaction):
    """Reads the tables as they were at its beginning; the first write into a collection copies it.

    For any store that holds its rows in memory while it works: leaving the block gives ``data`` new tables, if it wrote.
    """

    def __init__(self, data: MemoryData, *, write: bool) -> None:
        super().__init__(data.schema)
        self._data = data
        self._write = write
        self._tables = dict(data.tables)
        self._copied: set[str] = set()
        self._state: Literal["open", "failed", "over"] = "open"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        state, self._state = self._state, "over"
        if kind is None and state == "failed":
            raise StoreClosed("the transaction had failed; nothing of it was kept")
        if kind is None and self._write:
            self._data.tables = self._tables

    def get(self, collection: str, id: str) -> Row | None:
        return self._table(collection).rows.get(id)

    def scan(self, collection: str) -> Iterator[Row]:
        # The list keeps a reader's iteration whole while the same transaction goes on writing.
        return iter(list(self._table(collection).rows.values()))

    def apply(self, changes: Iterable[Change]) -> None:
        self._check_open()
        if not self._write:
            raise ReadOnly("this transaction only reads")
        try:
            for change in changes:
                self._make(change)
        except BaseException:
            self._state = "failed"
            raise

    def _check_open(self) -> None:
        if self._state != "open":
            raise StoreClosed("the transaction is over")

    def _table(self, collection: str) -> _Table:
        self._check_open()
        self.schema.collection(collection)
        return self._tables[collection]

    def _make(self, change: Change) -> None:
        collection = change.collection
        table = self._table(collection)
        if collection not in self._copied:
            table = self._tables[collection] = table.copy()
            self._copied.add(collection)
        id = change.id if isinstance(change, Delete) else str(change.row[0])
        old = table.rows.get(id)
        if isinstance(change, Insert):
            if old is not None:
                raise DuplicateKey(f"{collection} already holds this id", collection=collection, fields=("id",))
        elif old is None or old[1] != change.expected_version:
            actual = None if old is None else old[1]
            raise Conflict(
                f"the record in {collection} is at version {actual}, not {change.expected_version}",
                collection=collection,
                id=id,
                expected=change.expected_version,
                actual=actual,
            )
        if old is not None:
            del table.rows[id]
            self._forget_keys(collection, table, old)
        if not isinstance(change, Delete):
            self._claim_keys(collection, table, change.row)
            table.rows[id] = change.row

    def _unique_keys(self, collection: str, row: Row) -> Iterator[tuple[int, tuple[str, ...], Key]]:
        shape = self.schema.collection(collection)
        for index, names in enumerate(shape.unique):
            key = tuple(row[shape.position(name)] for name in names)
            if None not in key:
                yield index, names, key

    def _forget_keys(self, collection: str, table: _Table, row: Row) -> None:
        for index, _, key in self._unique_keys(collection, row):
            del table.keys[index][key]

    def _claim_keys(self, collection: str, table: _Table, row: Row) -> None:
        for index, names, key in self._unique_keys(collection, row):
            if key in table.keys[index]:
                raise DuplicateKey(
                    f"{', '.join(names)} is already in use in {collection}", collection=collection, fields=names
                )
            table.keys[index][key] = str(row[0])
