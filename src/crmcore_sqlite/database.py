"""The database file: connecting to it with the right settings, and making or recognising its tables.

The file is never opened but through SQLite: closing a second handle on it would drop the locks of this whole process.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from contextlib import closing
from typing import Any
from urllib.parse import quote

from crmcore.errors import SchemaMismatch, StoreCorrupt, StoreUnavailable
from crmcore.storage import Schema
from crmcore_sqlite.errors import DRIVER_ERRORS, translate
from crmcore_sqlite.settings import Settings

APPLICATION_ID = 0x43524D43  #: "CRMC" in the header of the file
_FACTS = "_crmcore"
_CACHED_STATEMENTS = 512
_LOOK_AGAIN = 0.0005, 0.003  #: seconds, between these two


def connect(settings: Settings, *, create: bool = False, change: bool = True) -> sqlite3.Connection:
    """A connection with the store's settings; raises :class:`StoreUnavailable` and others of the storage branch.

    Without ``change`` the journal stays what it is.
    """
    path = settings.path.replace(os.sep, "/")
    uri = f"file://{'' if path.startswith('/') else '/'}{quote(path, errors='surrogateescape')}"
    try:
        connection = sqlite3.connect(
            f"{uri}?mode={'rwc' if create else 'rw'}",
            uri=True,
            timeout=settings.wait_seconds,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=_CACHED_STATEMENTS,
        )
    except DRIVER_ERRORS as error:
        raise translate(error) from None
    try:
        for setting in ("foreign_keys=ON", "synchronous=FULL", "secure_delete=ON", "trusted_schema=OFF"):
            connection.execute(f"PRAGMA {setting}")
        if change:
            # For the change to another journal SQLite itself does not wait.
            insist(connection, f"PRAGMA journal_mode={settings.journal}", settings.wait_seconds)
    except DRIVER_ERRORS as error:
        connection.close()
        raise translate(error) from None
    return connection


def insist(connection: sqlite3.Connection, sql: str, wait_seconds: float) -> None:
    """Runs a statement, again and again until the lock that it needs is free or the wait is over."""
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            connection.execute(sql).fetchone()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
        time.sleep(random.uniform(*_LOOK_AGAIN))  # noqa: S311 - so that two do not keep step


def open_database(settings: Settings, schema: Schema) -> sqlite3.Connection:
    """A connection to the database at that place, with its tables: made if the file isn't there or is empty."""
    folder = os.path.dirname(settings.path)
    if os.path.isdir(settings.path):
        raise StoreUnavailable(f"{settings.path} is a folder, not a file")
    if not os.path.isdir(folder):
        raise StoreUnavailable(f"there is no folder {folder}")
    if not os.path.exists(settings.path) and not os.access(folder, os.W_OK):
        raise StoreUnavailable(f"no file can be made in {folder}: it may not be written")
    connection = connect(settings, create=True)
    try:
        if _is_new(connection, schema):
            _create(connection, schema)
    except DRIVER_ERRORS as error:
        connection.close()
        raise translate(error) from None
    except BaseException:
        connection.close()
        raise
    return connection


def _is_new(connection: sqlite3.Connection, schema: Schema) -> bool:
    """Whether the tables are still to be made; raises :class:`SchemaMismatch` if there are others."""
    # One transaction, so that another process making the tables is seen before or after, not in the middle.
    connection.execute("BEGIN")
    try:
        return _recognise(connection, schema)
    finally:
        connection.execute("ROLLBACK")


def _recognise(connection: sqlite3.Connection, schema: Schema) -> bool:
    found = facts_of(connection)
    if found is not None:
        schema.require(*found)
    return found is None


def facts_of(connection: sqlite3.Connection) -> tuple[int, str] | None:
    """The format of the data and its fingerprint, None where there are no tables; within a transaction.

    Raises :class:`SchemaMismatch` for the database of another program.
    """
    if not _value(connection, "SELECT count(*) FROM sqlite_master"):
        return None
    if _value(connection, "PRAGMA application_id") != APPLICATION_ID:
        raise SchemaMismatch("the file is a database of another program")
    text = _value(connection, f"SELECT value FROM {_FACTS} WHERE key = 'schema'")  # noqa: S608
    if not isinstance(text, str):
        raise StoreCorrupt("the database doesn't say what it holds")
    return int(_value(connection, "PRAGMA user_version")), text


def _create(connection: sqlite3.Connection, schema: Schema) -> None:
    from crmcore_sqlite.flavour import SQLITE
    from crmcore_sqlite.tables import definitions

    statements = list(definitions(schema, SQLITE))
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _recognise(connection, schema):
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"CREATE TABLE {_FACTS} (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL)")
            keep_facts(connection, schema)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def keep_facts(connection: sqlite3.Connection, schema: Schema) -> None:
    """Writes down in which format the data are kept."""
    connection.execute(f"INSERT OR REPLACE INTO {_FACTS} VALUES ('schema', ?)", (schema.fingerprint,))  # noqa: S608
    connection.execute(f"PRAGMA user_version = {schema.version}")


def _value(connection: sqlite3.Connection, sql: str) -> Any:
    with closing(connection.execute(sql)) as cursor:
        row = cursor.fetchone()
    return None if row is None else row[0]
