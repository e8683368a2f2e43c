"""A store in memory: the reference for the others, and a store in its own right for tests and for trying things."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, Literal, Self

import attrs

from crmcore.errors import Conflict, DuplicateKey, InvalidURL, ReadOnly, StoreBusy, StoreClosed
from crmcore.storage.contract import Backend, Capability, Change, Delete, Insert, Store, Transaction
from crmcore.storage.schema import Row, Schema
from crmcore.storage.url import StoreURL

Key = tuple[Any, ...]


@attrs.define
class Table:
    """The rows of one collection by id, and per unique key the id that holds it. ``readers`` is how many are reading it: with
    nobody reading, it may be changed in place."""

    rows: dict[str, Row]
    keys: tuple[dict[Key, str], ...]
    readers: int = 0

    def copy(self) -> Table:
        """The same rows, to be changed apart."""
        return Table(dict(self.rows), tuple(map(dict, self.keys)))


@attrs.define
class TableChanges:
    """What one transaction makes of a table: the new rows by id, None for one that is gone; the same for unique keys."""

    rows: dict[str, Row | None]
    keys: tuple[dict[Key, str | None], ...]


Changes = Mapping[str, TableChanges]
"""By collection."""


def _put(there: dict[Any, Any], changes: Mapping[Any, Any]) -> None:
    there.update(changes)
    for key in [key for key, value in changes.items() if value is None]:
        there.pop(key, None)


@attrs.frozen(eq=False)
class Snapshot:
    """The tables at one moment. A table that has not changed since stands in later ones, too."""

    tables: Mapping[str, Table]


class MemoryData:
    """What one or several handles share: the tables as last committed, and the lock of the one writer."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.key_places = {
            name: tuple(
                (index, names, tuple(map(collection.position, names))) for index, names in enumerate(collection.unique)
            )
            for name, collection in schema.collections.items()
        }
        self._now = {name: Table({}, tuple({} for _ in places)) for name, places in self.key_places.items()}
        self.writing = threading.Lock()
        self._turn = threading.Lock()

    @property
    def tables(self) -> dict[str, Table]:
        """As last committed; only for who keeps writers out."""
        return self._now

    def copy(self) -> MemoryData:
        """The same rows, to be changed apart."""
        copied = MemoryData(self.schema)
        copied._now = {name: table.copy() for name, table in self._now.items()}
        return copied

    def begin_reading(self) -> Snapshot:
        """The tables as they are now, until :meth:`end_reading`."""
        with self._turn:
            for table in self._now.values():
                table.readers += 1
            return Snapshot(self._now)

    def end_reading(self, snapshot: Snapshot) -> None:
        """They may be changed again."""
        with self._turn:
            for table in snapshot.tables.values():
                table.readers -= 1

    def commit(self, changes: Changes) -> None:
        """Makes the changes: in place, or in copies where somebody is reading."""
        with self._turn:
            read = {name: self._now[name].copy() for name in changes if self._now[name].readers}
            if read:
                self._now = {**self._now, **read}
            try:
                self._merge(changes)
            except BaseException:  # an interrupt in the middle: once more, which does no harm, makes it whole
                self._merge(changes)
                raise

    def _merge(self, changes: Changes) -> None:
        for name, changed in changes.items():
            table = self._now[name]
            _put(table.rows, changed.rows)
            for there, keys in zip(table.keys, changed.keys, strict=True):
                _put(there, keys)


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

    def transaction(self, *, write: bool = False) -> AbstractContextManager[MemoryTransaction]:
        if self._closed:
            raise StoreClosed("the store is closed")
        return self._writing() if write else MemoryTransaction(self._data, write=False)

    @contextmanager
    def _writing(self) -> Iterator[MemoryTransaction]:
        if not self._data.writing.acquire(timeout=self._wait_seconds):
            raise StoreBusy(f"another writer held the store for over {self._wait_seconds:g} s")
        try:
            with MemoryTransaction(self._data, write=True) as transaction:
                yield transaction
        finally:
            self._data.writing.release()

    def close(self) -> None:
        self._closed = True

    def clean(self) -> Sequence[str]:
        if self._closed:
            raise StoreClosed("the store is closed")
        return ()


class MemoryTransaction(Transaction):
    """Reads the tables as they were at its beginning; what it writes lies over them until it is committed.

    For any store that holds its rows in memory while it works: leaving the block changes ``data``, if it wrote.
    """

    def __init__(self, data: MemoryData, *, write: bool) -> None:
        super().__init__(data.schema)
        self._data = data
        self._write = write
        self._snapshot: Snapshot | None = None
        self._tables: Mapping[str, Table] = {}
        self._changes: dict[str, TableChanges] = {}
        self._state: Literal["new", "open", "failed", "over"] = "new"

    def __enter__(self) -> Self:
        if self._state != "new":
            raise StoreClosed("a transaction is entered once")
        # Nobody but the one writer changes tables, so a writer's own need no guard.
        if not self._write:
            self._snapshot = self._data.begin_reading()
        self._tables = self._data.tables if self._snapshot is None else self._snapshot.tables
        self._state = "open"
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        state, self._state = self._state, "over"
        if self._snapshot is not None:
            self._data.end_reading(self._snapshot)
        if kind is None and state == "failed":
            raise StoreClosed("the transaction had failed; nothing of it was kept")
        if kind is None and self._changes:
            self._commit(self._changes)

    @property
    def changed(self) -> bool:
        """Whether it wrote anything."""
        return bool(self._changes)

    def _commit(self, changes: Changes) -> None:
        self._data.commit(changes)

    def get(self, collection: str, id: str) -> Row | None:
        table = self._table(collection)
        changed = self._changes.get(collection)
        if changed is not None and id in changed.rows:
            return changed.rows[id]
        return table.rows.get(id)

    def scan(self, collection: str) -> Iterator[Row]:
        # The list keeps a reader's iteration whole while the same transaction goes on writing.
        rows = self._table(collection).rows
        changed = self._changes.get(collection)
        if changed is None:
            return iter(list(rows.values()))
        return iter([row for row in {**rows, **changed.rows}.values() if row is not None])

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

    def _table(self, collection: str) -> Table:
        self._check_open()
        self.schema.collection(collection)
        return self._tables[collection]

    def _make(self, change: Change) -> None:
        collection = change.collection
        id = change.id if isinstance(change, Delete) else str(change.row[0])
        old = self.get(collection, id)
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
        table = self._tables[collection]
        changed = self._changes.get(collection)
        if changed is None:
            changed = self._changes[collection] = TableChanges({}, tuple({} for _ in table.keys))
        if old is not None:
            self._forget_keys(collection, changed, old)
        if isinstance(change, Delete):
            changed.rows[id] = None
        else:
            self._claim_keys(collection, table, changed, change.row)
            changed.rows[id] = change.row

    def _unique_keys(self, collection: str, row: Row) -> Iterator[tuple[int, tuple[str, ...], Key]]:
        for index, names, places in self._data.key_places[collection]:
            key = tuple([row[place] for place in places])
            if None not in key:
                yield index, names, key

    def _forget_keys(self, collection: str, changed: TableChanges, row: Row) -> None:
        for index, _, key in self._unique_keys(collection, row):
            changed.keys[index][key] = None

    def _claim_keys(self, collection: str, table: Table, changed: TableChanges, row: Row) -> None:
        for index, names, key in self._unique_keys(collection, row):
            keys = changed.keys[index]
            if (keys[key] if key in keys else table.keys[index].get(key)) is not None:
                raise DuplicateKey(
                    f"{', '.join(names)} is already in use in {collection}", collection=collection, fields=names
                )
            keys[key] = str(row[0])
