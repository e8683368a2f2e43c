"""An open SQLite store: its idle connections, its transactions, and what ``crmcore doctor`` asks it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from crmcore.errors import SchemaMismatch, StoreClosed, StoreCorrupt, StoreUnavailable
from crmcore.storage import Schema, Store
from crmcore.storage.filesystems import filesystem_of
from crmcore_sqlite.backup import back_up
from crmcore_sqlite.compile import Compiler
from crmcore_sqlite.database import connect, insist, open_database
from crmcore_sqlite.errors import DRIVER_ERRORS, translate
from crmcore_sqlite.flavour import SQLITE
from crmcore_sqlite.settings import SAFE_WAL, Settings
from crmcore_sqlite.transaction import Handling, SqliteTransaction

_MOST_IDLE = 8
_CLEANING = "PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"
"""What is removed is overwritten at once (secure_delete); this also takes what an earlier program or the log still holds."""


class SqliteStore(Store):
    """One database file. Shared by threads; a forked child gets connections of its own."""

    def __init__(self, settings: Settings, schema: Schema) -> None:
        self.schema = schema
        self.settings = settings
        self.compiler = Compiler(schema, SQLITE)
        self.handlings = _Handlings(self.compiler)
        self._closed = False
        self._process = os.getpid()
        # Appending to a list and popping from it are atomic: no lock is needed.
        self._idle: list[sqlite3.Connection] = [open_database(settings, schema)]
        self._file = _identity(settings.path)
        self._inherited: list[sqlite3.Connection] = []

    def transaction(self, *, write: bool = False) -> SqliteTransaction:
        return SqliteTransaction(self, write=write)

    def close(self) -> None:
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def take(self) -> sqlite3.Connection:
        """A connection for one transaction."""
        if self._closed:
            raise StoreClosed("the store is closed")
        if os.getpid() != self._process:
            # SQLite forbids a parent's connections even to be closed in the child.
            self._inherited += self._idle
            self._idle, self._process = [], os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            return connect(self.settings)

    def give_back(self, connection: sqlite3.Connection) -> None:
        """Keeps the connection for the next transaction, if there is to be one."""
        if len(self._idle) < _MOST_IDLE:
            self._idle.append(connection)
        else:
            connection.close()
        if self._closed:  # perhaps meanwhile
            self.close()

    def begin_writing(self, connection: sqlite3.Connection) -> None:
        """Takes the writer's lock, waiting as long as the settings say.

        Raises :class:`SchemaMismatch` where the data were upgraded since the store was opened, :class:`StoreUnavailable`
        where the file is no longer the one that was opened.
        """
        # SQLite's own waiting sleeps a tenth of a second between two looks: among busy writers somebody may starve.
        connection.execute("PRAGMA busy_timeout=0")
        try:
            insist(connection, "BEGIN IMMEDIATE", self.settings.wait_seconds)
        finally:
            connection.execute(f"PRAGMA busy_timeout={self.settings.wait_seconds * 1000:.0f}")
        # With a write-ahead log SQLite itself doesn't notice, and the log stays behind under the old name.
        if self.settings.journal == "wal" and _identity(self.settings.path) != self._file:
            connection.execute("ROLLBACK")
            raise StoreUnavailable("the database file was moved or replaced while it was open")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != self.schema.version:
            connection.execute("ROLLBACK")
            raise SchemaMismatch(
                "the data were upgraded while this program had them open; open them again",
                found=version,
                expected=self.schema.version,
            )

    def backup(self, target: str) -> None:
        connection = self.take()
        try:
            back_up(connection, self.schema, self.settings.path, target)
        finally:
            self.give_back(connection)

    def clean(self) -> Sequence[str]:
        connection = self.take()
        try:
            for statement in _CLEANING:
                insist(connection, statement, self.settings.wait_seconds)
        except DRIVER_ERRORS as error:
            raise translate(error) from None
        finally:
            self.give_back(connection)
        return ()

    def describe(self) -> dict[str, object]:
        page_size, pages = self._number("page_size"), self._number("page_count")
        return {
            "path": self.settings.path,
            "filesystem": filesystem_of(self.settings.path) or "unknown",
            "size_bytes": page_size * pages,
            "pages": pages,
            "free_pages": self._number("freelist_count"),
            "schema_version": self._number("user_version"),
            "journal": self._ask("PRAGMA journal_mode")[0][0],
            "wait_seconds": self.settings.wait_seconds,
            "sqlite_version": sqlite3.sqlite_version,
            "wal_reset_bug": sqlite3.sqlite_version_info < SAFE_WAL,
        }

    def check(self) -> list[str]:
        try:
            findings = [str(text) for (text,) in self._ask("PRAGMA integrity_check") if text != "ok"]
            findings += self._missing()
            for table, row, parent, _ in self._ask("PRAGMA foreign_key_check"):
                findings.append(f"row {row} of {table} points to a row of {parent} that isn't there")
        except StoreCorrupt as problem:
            return [str(problem)]
        return findings

    def _missing(self) -> Iterator[str]:
        for collection in self.schema.collections.values():
            there = {row[1] for row in self._ask(f'PRAGMA table_info("{collection.name}")')}
            if not there:
                yield f"the table {collection.name} is not there"
                continue
            for field in collection.fields:
                if field.name not in there:
                    yield f"{collection.name} has no column {field.name}"

    def _number(self, pragma: str) -> int:
        return int(self._ask(f"PRAGMA {pragma}")[0][0])

    def _ask(self, sql: str) -> list[Any]:
        connection = self.take()
        try:
            return connection.execute(sql).fetchall()
        except DRIVER_ERRORS as error:
            raise translate(error) from None
        finally:
            self.give_back(connection)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class _Handlings(dict[str, Handling]):
    """What to do with each collection, made when it is first asked for."""

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler

    def __missing__(self, collection: str) -> Handling:
        handling = self[collection] = Handling.of(self._compiler.access(collection))
        return handling
