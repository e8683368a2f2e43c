"""One transaction on a connection to PostgreSQL: as few journeys to the server as there can be.

A read begins with its first question, on the same journey, and nobody waits for its end. A writer takes its turn when its
block is entered, sends each batch of changes as one journey, and waits for its commit. Long runs of inserts go by COPY.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol, Self, TypeVar, cast

import attrs
import psycopg

from crmcore.errors import Conflict, ReadOnly, SchemaMismatch, StorageError, StoreClosed, StoreUnavailable
from crmcore.storage import Change, Delete, In, Insert, Pushed, Query, Row, Transaction, Update, Where, check_tally
from crmcore.storage.evaluate import in_group_order
from crmcore.storage.query import check_query, with_order
from crmcore_postgres.connection import PART, Link, Stream
from crmcore_postgres.errors import translate
from crmcore_postgres.rows import NULL, Line, Parameters, copy_text, line_function, parameters_function
from crmcore_sqlite.compile import Unpushable
from crmcore_sqlite.tables import Access, Statement

if TYPE_CHECKING:
    from crmcore_postgres.store import PostgresStore

BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
BEGIN_WRITING = "BEGIN ISOLATION LEVEL READ COMMITTED"
COMMIT = "COMMIT"
ROLLBACK = "ROLLBACK"

CHUNK = 2_000  #: rows of a run of inserts that are held at a time
COPY_FROM = 24  #: rows from which on a COPY is faster than as many statements
_MOST_PARTS = 20  #: of an answer that nobody wants any more: beyond, a new connection is cheaper
_JOURNEY = 256  #: changes that travel together


T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Ask(Protocol[T_co]):
    """A way to ask a connection a question."""

    def __call__(self, link: Link, sql: str, values: Sequence[Any], formats: Sequence[int], /) -> T_co: ...


@attrs.frozen
class Handling:
    """What a transaction needs to know of a collection: statements with the formats of their values, and rows out."""

    access: Access
    parameters: Parameters
    line: Line
    row_formats: list[int]
    update_formats: list[int]
    copy: str

    @classmethod
    def of(cls, access: Access) -> Handling:
        """The handling of that table."""
        collection = access.collection
        formats = [1 if field.type == "text" else 0 for field in collection.fields]
        return cls(
            access,
            parameters_function(collection),
            line_function(collection),
            formats,
            [*formats[1:], 1, 0],
            f"COPY {access.name} FROM STDIN (FORMAT text, NULL '{NULL}')",
        )


class PostgresTransaction(Transaction):
    """Begins to write when its block is entered, and to read with its first question."""

    def __init__(self, store: PostgresStore, *, write: bool, turn: bool = True) -> None:
        self.schema = store.schema
        self._store = store
        self._write = write
        self._turn = turn  # without one, a writer may change only what it has reserved
        self._state: Literal["new", "open", "failed", "over"] = "new"
        self._begun = False
        self._waiting: deque[Change] = deque()  # changes on the journey that hasn't ended
        self._link: Link

    def __enter__(self) -> Self:
        if self._state != "new":
            raise StoreClosed("a transaction is entered once")
        self._link = self._store.take()
        if self._write:
            self._take_turn()
        self._state = "open"
        return self

    def _take_turn(self) -> None:
        store = self._store
        try:
            try:
                found = self._first(BEGIN_WRITING, Link.ask, store.lock if self._turn else store.look, (), ())
            except psycopg.Error as error:
                raise self._translated(error) from None
            if not found or found[0][0] != store.generation:
                raise SchemaMismatch("the data were upgraded while the store was open; open it again")
        except BaseException:
            self._leave(ROLLBACK)
            raise
        self._begun = True

    def _first(self, begin: str, ask: Ask[T], sql: str, values: Sequence[Any], formats: Sequence[int]) -> T:
        """The beginning of the transaction and its first question; on another connection, if the one at hand has died."""
        try:
            self._link.send(begin)
            return ask(self._link, sql, values, formats)
        except psycopg.Error:
            if not self._link.lost or not self._link.used:
                raise
        self._link = self._store.replace(self._link)
        self._link.send(begin)
        return ask(self._link, sql, values, formats)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        state, self._state = self._state, "over"
        try:
            if self._link.stream is not None:
                self._link.stream.leave(None if self._write else _MOST_PARTS)
        except psycopg.Error:
            state = "failed" if self._write else state
        keep = kind is None and state == "open"
        if not self._begun:
            self._store.give_back(self._link)
        elif not self._write:
            self._leave(COMMIT)
        elif keep:
            self._commit()
        else:
            self._leave(ROLLBACK)
        if kind is None and state == "failed":
            raise StoreClosed("the transaction had failed; nothing of it was kept")

    def _commit(self) -> None:
        link = self._link
        try:
            link.send(COMMIT)
            result, _ = link.receive()[-1]
        except psycopg.Error as error:
            # Stopped while it waits for a standby, the server has committed by itself.
            lost = link.lost or (error.sqlstate or "").startswith("57P")
            self._leave(ROLLBACK)
            if lost:
                raise StoreUnavailable(
                    "the connection was lost while committing; whether it was kept isn't known", outcome="unknown"
                ) from None
            raise self._translated(error) from None
        except BaseException:  # somebody lost patience
            self._store.forget(link)
            raise
        self._store.give_back(link)
        if result.command_status != b"COMMIT":
            raise StorageError("the server undid the transaction")

    def _leave(self, last: str) -> None:
        """Ends the transaction where nobody waits for the answer; a connection in disorder is given up, which undoes it."""
        link = self._link
        try:
            if link.clean:
                link.post(last)
        except psycopg.Error:
            pass
        finally:
            self._store.give_back(link)

    # Reading

    def get(self, collection: str, id: str) -> Row | None:
        handling = self._handle(collection)
        try:
            key = id.encode()
        except UnicodeEncodeError:
            return None  # no stored id has lone surrogates
        if b"\0" in key:
            return None
        rows = self._ask(handling.access.get, (key,), (1,))
        return rows[0] if rows else None

    def get_many(self, collection: str, ids: Sequence[str]) -> dict[str, Row]:
        self._handle(collection)
        try:
            statement, values, _ = self._store.compiler.select(Query(collection, In("id", ids)))
        except Unpushable:
            return super().get_many(collection, ids)
        found = {row[0]: row for row in self._answer(statement, values)}
        return {id: found[id] for id in ids if id in found}

    def scan(self, collection: str) -> Iterator[Row]:
        handling = self._handle(collection)
        return iter(self._rows(handling.access.scan))

    def push(self, query: Query) -> Pushed:
        self._handle(query.collection)
        try:
            statement, values, rest = self._store.compiler.select(query)
        except Unpushable:
            return super().push(query)
        if query.limit is not None and query.limit <= PART:
            return Pushed(self._answer(statement, values), rest)
        return Pushed(self._rows(statement.sql, statement.arguments(values), self._store.formats(statement)), rest)

    def tally(self, collection: str, where: Where | None, by: Sequence[str], sums: Sequence[str] = ()) -> list[Row]:
        self._check_open()
        check_tally(self.schema, collection, where, by, sums)
        planned = self._store.compiler.tally(collection, where, by, sums)
        if planned is None:
            return super().tally(collection, where, by, sums)
        width = len(by)
        # A sum is a Decimal here: 64 bits could be too few.
        groups = [(*group[:width], *(int(total or 0) for total in group[width:])) for group in self._answer(*planned)]
        if not by and not groups[0][0]:
            return []
        return in_group_order(groups, width)

    def reserve(self, query: Query) -> list[Row] | None:
        """The rows of the query that nobody else has reserved, for this transaction alone; None for Python to find them."""
        self._check_open()
        check_query(query, self.schema)
        try:
            statement, values, rest = self._store.compiler.select(with_order(query))
        except Unpushable:
            return None
        if rest.where is not None or rest.order or rest.limit is not None:
            return None
        sql = f"{statement.sql}\nFOR UPDATE SKIP LOCKED"
        return self._ask(sql, statement.arguments(values), self._store.formats(statement))

    def _answer(self, statement: Statement, values: list[Any]) -> list[Any]:
        return self._ask(statement.sql, statement.arguments(values), self._store.formats(statement))

    def _ask(self, sql: str, values: Sequence[Any] = (), formats: Sequence[int] = ()) -> list[Any]:
        return self._travel(Link.ask, sql, values, formats)

    def _rows(self, sql: str, values: Sequence[Any] = (), formats: Sequence[int] = ()) -> Iterable[Row]:
        """The rows of an answer that may be long."""
        first, stream = self._travel(Link.ask_in_parts, sql, values, formats)
        return first if stream is None else self._streamed(first, stream)

    def _travel(self, ask: Ask[T], sql: str, values: Sequence[Any], formats: Sequence[int]) -> T:
        if self._waiting:
            self._arrive()
        try:
            if self._begun:
                return ask(self._link, sql, values, formats)
            self._begun = True
            return self._first(BEGIN_READING, ask, sql, values, formats)
        except psycopg.Error as error:
            self._fail(error)
        except BaseException:
            self._state = "failed"
            raise

    def _streamed(self, first: list[Row], stream: Stream) -> Iterator[Row]:
        yield from first
        while True:
            if rows := stream.rows():
                yield from rows
            elif stream.left or (stream.open and self._state != "open"):
                raise StoreClosed("the transaction is over, and the answer was not read to its end")
            elif not stream.open:
                return
            else:
                try:
                    stream.read()
                except psycopg.Error as error:
                    self._fail(error)

    # Writing

    def apply(self, changes: Iterable[Change]) -> None:
        self._check_open()
        if not self._write:
            raise ReadOnly("this transaction only reads")
        run: list[Row] = []
        collection = ""
        try:
            for change in changes:
                if isinstance(change, Insert):
                    if change.collection != collection or len(run) >= CHUNK:
                        self._insert(collection, run)
                        run, collection = [], change.collection
                    run.append(change.row)
                    continue
                if run:
                    self._insert(collection, run)
                    run, collection = [], ""
                self._replace_or_delete(change)
            self._insert(collection, run)
            self._arrive()
        except psycopg.Error as error:
            self._fail(error)
        except BaseException:
            self._state = "failed"
            raise

    def _insert(self, collection: str, run: list[Row]) -> None:
        """A run of rows into one collection."""
        if not run:
            return
        handling = self._handle(collection)
        if len(run) >= COPY_FROM:
            self._arrive()
            self._link.copy(handling.copy, copy_text(handling.access.collection, handling.line, run))
            return
        sql, formats, parameters = handling.access.insert, handling.row_formats, handling.parameters
        for row in run:
            self._depart(Insert(collection, row), sql, parameters(row), formats)

    def _replace_or_delete(self, change: Update | Delete) -> None:
        handling = self._handle(change.collection)
        version = b"%d" % change.expected_version
        if isinstance(change, Update):
            id, *values = handling.parameters(change.row)
            self._depart(change, handling.access.update, [*values, id, version], handling.update_formats)
        else:
            self._depart(change, handling.access.delete, (change.id.encode(), version), (1, 0))

    def _depart(self, change: Change, sql: str, values: Sequence[Any], formats: Sequence[int]) -> None:
        if len(self._waiting) >= _JOURNEY:
            self._arrive()
        self._link.send(sql, values, formats)
        self._waiting.append(change)

    def _arrive(self) -> None:
        """Ends the journey of the changes that were sent, and looks at what became of each."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, deque()
        try:
            self._link.receive()
        except psycopg.Error:
            self._look_at(waiting, failed=True)
            raise
        self._look_at(waiting, failed=False)

    def _look_at(self, changes: Iterable[Change], *, failed: bool) -> None:
        """Raises :class:`Conflict` for the first change that found no row; one before an error is what went wrong first."""
        for change, (result, _) in zip(changes, self._link.arrived, strict=not failed):
            if result.command_tuples != 1:
                self._refuse(cast(Update | Delete, change), failed=failed)

    def _refuse(self, change: Update | Delete, *, failed: bool) -> NoReturn:
        collection = change.collection
        id = cast(str, change.row[0]) if isinstance(change, Update) else change.id
        actual = None
        if failed:  # nothing can be asked any more
            found = f"not at version {change.expected_version}"
        else:
            rows = self._link.ask(self._handle(collection).access.version, (id.encode(),), (1,))
            actual = rows[0][0] if rows else None
            found = f"at version {actual}, not {change.expected_version}"
        raise Conflict(
            f"the record in {collection} is {found}",
            collection=collection,
            id=id,
            expected=change.expected_version,
            actual=actual,
        )

    # Both

    def _handle(self, collection: str) -> Handling:
        if self._state != "open":
            self._check_open()
        return self._store.handlings[collection]

    def _check_open(self) -> None:
        if self._state != "open":
            raise StoreClosed("the transaction is over" if self._state != "new" else "the transaction was not entered")

    def _fail(self, error: psycopg.Error) -> NoReturn:
        self._state = "failed"
        raise self._translated(error) from None

    def _translated(self, error: psycopg.Error) -> StorageError:
        return translate(error, self._store.keys, lost=self._link.lost)
