"""One transaction on a connection of SQLite: the part that has to be fast, and nothing else.

Every statement is ready text by the time it is needed; rows pass through one generated function per collection.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self

import attrs

from crmcore.errors import Conflict, ReadOnly, StoreClosed, StoreCorrupt
from crmcore.storage import Change, Delete, In, Insert, Pushed, Query, Row, Transaction, Update, Where, check_tally
from crmcore.storage.evaluate import in_group_order
from crmcore_sqlite.errors import DRIVER_ERRORS, translate
from crmcore_sqlite.rows import DumpRow, LoadRows, dump_function, load_function, load_value
from crmcore_sqlite.tables import Access

if TYPE_CHECKING:
    from crmcore_sqlite.store import SqliteStore

CHUNK = 256  #: rows read at a time
_MOST_IDS = 512
_UNREADABLE = "the database holds a value that can't be read"


@attrs.frozen
class Handling:
    """What a transaction needs to know of a collection: statements, and rows in and out."""

    access: Access
    load: LoadRows
    dump: DumpRow

    @classmethod
    def of(cls, access: Access) -> Handling:
        """The handling of that table."""
        return cls(access, load_function(access.collection), dump_function(access.collection))


class SqliteTransaction(Transaction):
    """Begins when its block is entered. Rows of a long answer are read as they are asked for."""

    def __init__(self, store: SqliteStore, *, write: bool) -> None:
        self.schema = store.schema
        self._store = store
        self._write = write
        self._state: Literal["new", "open", "failed", "over"] = "new"
        self._streams: list[_Stream] = []
        self._connection: sqlite3.Connection

    def __enter__(self) -> Self:
        if self._state != "new":
            raise StoreClosed("a transaction is entered once")
        connection = self._store.take()
        try:
            if self._write:
                self._store.begin_writing(connection)
            else:
                connection.execute("BEGIN")
        except DRIVER_ERRORS as error:
            self._store.give_back(connection)
            raise translate(error) from None
        except BaseException:  # somebody lost patience
            connection.close()
            raise
        self._connection = connection
        self._state = "open"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        state, self._state = self._state, "over"
        connection = self._connection
        for stream in self._streams:  # an unfinished read would keep its lock
            stream.close()
        try:
            if connection.in_transaction:
                connection.execute("COMMIT" if kind is None and state == "open" else "ROLLBACK")
        except DRIVER_ERRORS as problem:
            connection.close()
            if kind is None:
                raise translate(problem) from None
        else:
            self._store.give_back(connection)
        if kind is None and state == "failed":
            raise StoreClosed("the transaction had failed; nothing of it was kept")

    def get(self, collection: str, id: str) -> Row | None:
        handling = self._handle(collection)
        try:
            rows = self._connection.execute(handling.access.get, (id,)).fetchall()
        except UnicodeEncodeError:
            return None  # no stored id has lone surrogates
        except DRIVER_ERRORS as error:
            self._fail(error)
        return self._loaded(handling.load, rows)[0] if rows else None

    def get_many(self, collection: str, ids: Sequence[str]) -> dict[str, Row]:
        handling = self._handle(collection)
        found: dict[str, Row] = {}
        try:
            for start in range(0, len(ids), _MOST_IDS):
                query = Query(collection, In("id", ids[start : start + _MOST_IDS]))
                statement, values, _ = self._store.compiler.select(query)
                rows = self._connection.execute(statement.sql, statement.arguments(values)).fetchall()
                for row in self._loaded(handling.load, rows):
                    found[row[0]] = row  # type: ignore[index]
        except UnicodeEncodeError:
            return super().get_many(collection, ids)
        except DRIVER_ERRORS as error:
            self._fail(error)
        return {id: found[id] for id in ids if id in found}

    def scan(self, collection: str) -> Iterator[Row]:
        handling = self._handle(collection)
        return iter(self._rows(handling.access.scan, (), handling.load))

    def push(self, query: Query) -> Pushed:
        handling = self._handle(query.collection)
        try:
            statement, values, rest = self._store.compiler.select(query)
            return Pushed(self._rows(statement.sql, statement.arguments(values), handling.load), rest)
        except (OverflowError, UnicodeEncodeError):
            # A number beyond 64 bits or a lone surrogate: SQLite can't be asked, Python compares them like any other.
            return super().push(query)

    def tally(self, collection: str, where: Where | None, by: Sequence[str], sums: Sequence[str] = ()) -> list[Row]:
        self._check_open()
        check_tally(self.schema, collection, where, by, sums)
        planned = self._store.compiler.tally(collection, where, by, sums)
        if planned is None:
            return super().tally(collection, where, by, sums)
        statement, values = planned
        try:
            groups = self._connection.execute(statement.sql, statement.arguments(values)).fetchall()
        except (OverflowError, UnicodeEncodeError):
            return super().tally(collection, where, by, sums)
        except DRIVER_ERRORS as error:
            if sums and getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:  # a sum beyond 64 bits
                return super().tally(collection, where, by, sums)
            self._fail(error)
        fields = self.schema.collection(collection)
        readers = [load_value(fields.field(name).type) for name in by]
        rows: list[Row] = []
        for group in groups:
            try:
                keys = [read(value) if read else value for read, value in zip(readers, group, strict=False)]
            except (ValueError, TypeError):
                self._state = "failed"
                raise StoreCorrupt(_UNREADABLE) from None
            rows.append((*keys, *(total or 0 for total in group[len(by) :])))
        if not by and not rows[0][0]:
            return []
        return in_group_order(rows, len(by))

    def apply(self, changes: Iterable[Change]) -> None:
        self._check_open()
        if not self._write:
            raise ReadOnly("this transaction only reads")
        try:
            source = iter(changes)
            change = next(source, None)
            while change is not None:
                if isinstance(change, Insert):
                    change = self._insert(change, source)
                else:
                    self._replace_or_delete(change)
                    change = next(source, None)
        except DRIVER_ERRORS as error:
            self._fail(error)
        except BaseException:
            self._state = "failed"
            raise

    def _insert(self, first: Insert, following: Iterator[Change]) -> Change | None:
        """Inserts a run of rows into one collection, each as it comes; returns the first change that is no part of it."""
        collection = first.collection
        handling = self._handle(collection)
        dump = handling.dump
        other: Change | None = None

        def rows() -> Iterator[Sequence[Any]]:
            nonlocal other
            yield dump(first.row)
            for change in following:
                if not isinstance(change, Insert) or change.collection != collection:
                    other = change
                    return
                if self._streams:
                    self._settle()
                yield dump(change.row)

        if self._streams:
            self._settle()
        self._connection.executemany(handling.access.insert, rows())
        return other

    def _replace_or_delete(self, change: Update | Delete) -> None:
        collection = change.collection
        handling = self._handle(collection)
        if self._streams:
            self._settle()
        if isinstance(change, Update):
            id, *values = handling.dump(change.row)
            done = self._connection.execute(handling.access.update, (*values, id, change.expected_version))
        else:
            id = change.id
            done = self._connection.execute(handling.access.delete, (id, change.expected_version))
        if done.rowcount != 1:
            found = self._connection.execute(handling.access.version, (id,)).fetchone()
            actual = found and found[0]
            raise Conflict(
                f"the record in {collection} is at version {actual}, not {change.expected_version}",
                collection=collection,
                id=id,
                expected=change.expected_version,
                actual=actual,
            )

    def _handle(self, collection: str) -> Handling:
        if self._state != "open":
            self._check_open()
        return self._store.handlings[collection]

    def _check_open(self) -> None:
        if self._state != "open":
            raise StoreClosed("the transaction is over" if self._state != "new" else "the transaction was not entered")

    def _rows(self, sql: str, values: Sequence[Any], load: LoadRows) -> Iterable[Row]:
        try:
            cursor = self._connection.execute(sql, values)
            rows = cursor.fetchmany(CHUNK)
        except DRIVER_ERRORS as error:
            self._fail(error)
        if len(rows) < CHUNK:
            return self._loaded(load, rows)
        stream = _Stream(self, cursor, rows, load)
        self._streams.append(stream)
        return stream.rows()

    def _loaded(self, load: LoadRows, rows: list[Any]) -> list[Row]:
        try:
            return load(rows)
        except (ValueError, TypeError, ArithmeticError):
            self._state = "failed"
            raise StoreCorrupt(_UNREADABLE) from None

    def _settle(self) -> None:
        """Reads open answers to their end before a write, so that each shows one state."""
        for stream in self._streams:
            stream.finish()
        self._streams.clear()

    def _fail(self, error: sqlite3.Error | UnicodeDecodeError) -> NoReturn:
        self._state = "failed"
        raise translate(error) from None


class _Stream:
    """A long answer: read in chunks while its transaction is open, or to its end before a write."""

    def __init__(
        self, transaction: SqliteTransaction, cursor: sqlite3.Cursor, first: list[Any], load: LoadRows
    ) -> None:
        self._transaction = transaction
        self._cursor = cursor
        self._waiting = first
        self._load = load
        self._finished = False

    def rows(self) -> Iterator[Row]:
        while self._waiting or not self._finished:
            waiting, self._waiting = self._waiting, []
            yield from self._transaction._loaded(self._load, waiting)
            if not self._waiting and not self._finished:
                self._read()

    def finish(self) -> None:
        """Reads what is left into memory."""
        if not self._finished:
            self._waiting += self._fetch(self._cursor.fetchall)
            self._finished = True

    def close(self) -> None:
        self._cursor.close()

    def _read(self) -> None:
        if self._transaction._state != "open":
            raise StoreClosed("the transaction is over, and the answer was not read to its end")
        self._waiting = self._fetch(lambda: self._cursor.fetchmany(CHUNK))
        if len(self._waiting) < CHUNK:
            self._finished = True
            self._transaction._streams.remove(self)

    def _fetch(self, fetch: Callable[[], list[Any]]) -> list[Any]:
        try:
            return fetch()
        except DRIVER_ERRORS as error:
            self._transaction._fail(error)
