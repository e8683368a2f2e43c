"""Another schema for a database that is there: its tables made anew in one transaction, which SQLite keeps whole."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from itertools import groupby, islice
from operator import attrgetter

import attrs

from crmcore.errors import SchemaMismatch, StoreBusy, StoreCorrupt, StoreUnavailable
from crmcore.storage import Insert, Row, Scan, Schema
from crmcore_sqlite.database import connect, facts_of, insist, keep_facts
from crmcore_sqlite.errors import DRIVER_ERRORS, translate
from crmcore_sqlite.flavour import SQLITE
from crmcore_sqlite.rows import dump_function, load_function
from crmcore_sqlite.settings import Settings
from crmcore_sqlite.tables import Access, definitions
from crmcore_sqlite.transaction import CHUNK

_OLD = "_old_"


def stored_schema(settings: Settings) -> Schema | None:
    """The schema of the data in that file, None where there are none; nothing is changed."""
    if not os.path.exists(settings.path):
        return None
    with closing(connect(settings, change=False)) as connection:
        try:
            connection.execute("BEGIN")
            return _schema_of(connection)
        except DRIVER_ERRORS as error:
            raise translate(error) from None


def _schema_of(connection: sqlite3.Connection) -> Schema | None:
    found = facts_of(connection)
    if found is None:
        return None
    try:
        return Schema.from_fingerprint(*found)
    except ValueError:
        raise StoreCorrupt("the database doesn't say what it holds") from None


def upgrade_database(settings: Settings, schema: Schema, rewrite: Callable[[Scan], Iterable[Insert]]) -> None:
    """Replaces the tables and all that is in them; a crash at any moment leaves the old database or the new one.

    Raises :class:`StoreBusy` where another program has the database open, as far as SQLite can tell: with a write-ahead
    log it always can, else only while the other is at work.
    """
    if not os.path.exists(settings.path):
        raise StoreUnavailable("there are no data to be upgraded")
    try:
        # Giving up the write-ahead log needs the file for oneself; the next opening takes it up again.
        connection = connect(attrs.evolve(settings, journal="truncate"))
    except StoreBusy:
        raise StoreBusy("another program has the database open; it must be closed for an upgrade") from None
    with closing(connection):
        try:
            insist(connection, "BEGIN EXCLUSIVE", settings.wait_seconds)
            old = _schema_of(connection)
            if old is None:
                raise StoreUnavailable("there are no data to be upgraded")
            if old.version >= schema.version:
                raise SchemaMismatch("the data are not in an older format", found=old.version, expected=schema.version)
            _replace(connection, old, schema, rewrite)
            connection.execute("COMMIT")
            # The pages of the old tables; where there is no room to put the rest together, they stay and are used later.
            with suppress(sqlite3.Error):
                connection.execute("VACUUM")
        except DRIVER_ERRORS as error:
            raise translate(error) from None
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def _replace(
    connection: sqlite3.Connection, old: Schema, new: Schema, rewrite: Callable[[Scan], Iterable[Insert]]
) -> None:
    indices = connection.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall()
    for (index,) in indices:
        connection.execute(f'DROP INDEX "{index}"')
    for name in old.collections:
        connection.execute(f'ALTER TABLE "{name}" RENAME TO "{_OLD}{name}"')
    for statement in definitions(new, SQLITE):
        connection.execute(statement)

    def scan(collection: str) -> Iterator[Row]:
        shape = old.collection(collection)
        load = load_function(shape)
        columns = ", ".join(f'"{field.name}"' for field in shape.fields)
        with closing(connection.execute(f'SELECT {columns} FROM "{_OLD}{collection}"')) as cursor:  # noqa: S608
            while rows := cursor.fetchmany(CHUNK):
                yield from load(rows)

    for name, inserts in groupby(rewrite(scan), attrgetter("collection")):
        statement, dump = Access(new.collection(name), SQLITE).insert, dump_function(new.collection(name))
        while some := [dump(insert.row) for insert in islice(inserts, CHUNK)]:
            connection.executemany(statement, some)
    for name in old.collections:
        connection.execute(f'DROP TABLE "{_OLD}{name}"')
    keep_facts(connection, new)
