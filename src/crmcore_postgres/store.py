"""An open store on a PostgreSQL server: its connections, its transactions, and what ``crmcore doctor`` asks it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import psycopg
from psycopg import sql
from sqlalchemy import Text

from crmcore.errors import StoreBusy, StoreClosed
from crmcore.storage import Query, Row, Schema, Store, Update
from crmcore_postgres.checks import findings
from crmcore_postgres.connection import Link, connect
from crmcore_postgres.database import FACTS, keys_of, open_database
from crmcore_postgres.errors import translate
from crmcore_postgres.flavour import flavour_of
from crmcore_postgres.settings import Settings
from crmcore_postgres.transaction import Handling, PostgresTransaction
from crmcore_sqlite.compile import Compiler
from crmcore_sqlite.tables import Statement

_ATTEMPTS = 3
_BEYOND_REACH = (
    "the server's write-ahead log, until it is recycled",
    "replicas, until they have caught up",
    "base backups and archives of the log",
)
_LOOK_AGAIN = 0.02  #: seconds


class PostgresStore(Store):
    """The tables in one schema of one database. Shared by threads; a forked child gets connections of its own."""

    def __init__(self, settings: Settings, schema: Schema) -> None:
        self.schema = schema
        self.settings = settings
        self.compiler = Compiler(schema, flavour_of(settings.namespace))
        self.handlings = _Handlings(self.compiler)
        self.keys = keys_of(schema)
        self.look = f"SELECT value FROM \"{settings.namespace}\".{FACTS} WHERE key = 'writer'"  # noqa: S608
        """Asks for the generation of the data."""
        self.lock = f"{self.look} FOR UPDATE"
        """Takes the turn to write with it."""
        connection, self.generation = open_database(settings, schema)
        self._closed = False
        self._process = os.getpid()
        self._freed = threading.Condition()
        self._count = 1
        self._idle: list[Link] = [Link(connection)]
        self._inherited: list[Link] = []
        self._formats: dict[int, tuple[Statement, list[int]]] = {}

    def transaction(self, *, write: bool = False) -> PostgresTransaction:
        return PostgresTransaction(self, write=write)

    def close(self) -> None:
        self._closed = True
        while self._idle:
            self.forget(self._idle.pop())

    # Connections

    def take(self) -> Link:
        """A connection for one transaction, waited for where all are in use."""
        if self._closed:
            raise StoreClosed("the store is closed")
        if os.getpid() != self._process:
            self._begin_anew()
        try:
            return self._idle.pop()  # atomic
        except IndexError:
            return self._more()

    def _more(self) -> Link:
        deadline = time.monotonic() + self.settings.wait_seconds
        with self._freed:
            while self._count >= self.settings.most_connections:
                if self._idle:
                    return self._idle.pop()
                if time.monotonic() >= deadline:
                    raise StoreBusy(
                        f"all {self.settings.most_connections} connections of this program are in use; see the option pool"
                    )
                self._freed.wait(_LOOK_AGAIN)
            self._count += 1
        try:
            return Link(connect(self.settings))
        except BaseException:
            self._uncount()
            raise

    def _begin_anew(self) -> None:
        """In a forked child: the parent's connections are the parent's, even to be closed."""
        self._inherited += self._idle
        self._idle, self._process, self._count, self._freed = [], os.getpid(), 0, threading.Condition()

    def give_back(self, link: Link) -> None:
        """Keeps the connection for the next transaction, if it is good for one."""
        if link.clean and not self._closed:
            self._idle.append(link)
            if self._closed:  # meanwhile
                self.close()
        else:
            self.forget(link)

    def forget(self, link: Link) -> None:
        """Closes the connection, if that isn't done yet."""
        if not link.closed:
            link.close()
            self._uncount()

    def _uncount(self) -> None:
        with self._freed:
            self._count -= 1
            self._freed.notify()

    def replace(self, link: Link) -> Link:
        """A new connection for one that died while it lay idle, as all others that lie there will have."""
        self.forget(link)
        while self._idle:
            self.forget(self._idle.pop())
        return self._more()

    # What transactions ask

    def formats(self, statement: Statement) -> list[int]:
        """Which values of the statement go in binary: texts."""
        known = self._formats.get(id(statement))
        if known is None or known[0] is not statement:
            if len(self._formats) > 2_000:
                self._formats.clear()
            known = statement, [1 if isinstance(type, Text) else 0 for type in statement.types]
            self._formats[id(statement)] = known
        return known[1]

    def claim(self, query: Query, change: Callable[[Row], Row]) -> list[Row]:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with PostgresTransaction(self, write=True, turn=False) as work:
                    found = work.reserve(query)
                    if found is not None:
                        claimed = [change(row) for row in found]
                        pairs = zip(found, claimed, strict=True)
                        work.apply(Update(query.collection, new, cast(int, old[1])) for old, new in pairs)
                        return claimed
                break
            except StoreBusy:
                if attempt == _ATTEMPTS:
                    raise
        return super().claim(query, change)  # a query that Python has to finish

    def describe(self) -> dict[str, object]:
        with self._cursors() as connection:
            began = time.perf_counter()
            connection.execute("SELECT 1")
            latency = time.perf_counter() - began
            facts = connection.execute(_DESCRIBE, (self.settings.namespace,)).fetchone() or ()
        names = ("server", "database", "collation", "read_only", "size_bytes", "connections", "most_connections", "tls")
        return {
            **self.settings.where(),
            **dict(zip(names, facts, strict=True)),
            "schema": self.settings.namespace,
            "schema_version": self.schema.version,
            "wait_seconds": self.settings.wait_seconds,
            "pool": self.settings.most_connections,
            "latency_ms": round(latency * 1000, 3),
        }

    def clean(self) -> Sequence[str]:
        with self._cursors() as connection:
            connection.autocommit = True
            connection.execute("SET statement_timeout = 0")
            for name in self.schema.collections:
                place = sql.SQL(".").join((sql.Identifier(self.settings.namespace), sql.Identifier(name)))
                connection.execute(sql.SQL("VACUUM (FULL, ANALYZE) {}").format(place))
        return _BEYOND_REACH

    def check(self) -> list[str]:
        with self._cursors() as connection:
            connection.execute("SET statement_timeout = 0")
            return [*findings(connection, self.settings.namespace, self.schema)]

    @contextmanager
    def _cursors(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection of its own, for psycopg's cursors: for what is rarely asked."""
        if self._closed:
            raise StoreClosed("the store is closed")
        with connect(self.settings) as connection:
            try:
                yield connection
            except psycopg.Error as error:
                raise translate(error, lost=connection.broken) from None


_DESCRIBE = """
SELECT version(), current_database(), (SELECT datcollate FROM pg_database WHERE datname = current_database()),
    pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on',
    (SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relkind IN ('r', 'm', 'p')),
    (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()),
    current_setting('max_connections')::int,
    coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)
"""


class _Handlings(dict[str, Handling]):
    """What to do with each collection, made when it is first asked for."""

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler

    def __missing__(self, collection: str) -> Handling:
        handling = self[collection] = Handling.of(self._compiler.access(collection))
        return handling
