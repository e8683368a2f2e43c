"""What SQLite reports, as errors of the library.

SQLite's own texts name tables and columns, never values; the one text of Python's driver that shows data, of bytes that
are no UTF-8, comes without a code and is never passed on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from crmcore.errors import DuplicateKey, ReadOnly, StorageError, StoreBusy, StoreCorrupt, StoreFull, StoreUnavailable

_BY_CODE: Mapping[int, tuple[type[StorageError], str]] = {
    sqlite3.SQLITE_BUSY: (StoreBusy, "another program held the database for longer than the wait allowed"),
    sqlite3.SQLITE_LOCKED: (StoreBusy, "another transaction of this program holds the database"),
    sqlite3.SQLITE_PROTOCOL: (StoreBusy, "the database's lock could not be taken"),
    sqlite3.SQLITE_READONLY: (ReadOnly, "the database may not be written"),
    sqlite3.SQLITE_FULL: (StoreFull, "no space is left for the database"),
    sqlite3.SQLITE_CORRUPT: (StoreCorrupt, "the database is damaged"),
    sqlite3.SQLITE_NOTADB: (StoreCorrupt, "the file is not a database"),
    sqlite3.SQLITE_CANTOPEN: (StoreUnavailable, "the database file can't be opened"),
    sqlite3.SQLITE_IOERR: (StoreUnavailable, "the disk failed under the database"),
    sqlite3.SQLITE_PERM: (StoreUnavailable, "the database file may not be used"),
    sqlite3.SQLITE_AUTH: (StoreUnavailable, "the database file may not be used"),
    sqlite3.SQLITE_NOMEM: (StoreUnavailable, "memory ran out"),
}

# Extended codes that mean something else than their family.
_BY_EXTENDED_CODE: Mapping[int, tuple[type[StorageError], str]] = {
    sqlite3.SQLITE_READONLY_DBMOVED: (StoreUnavailable, "the database file was moved or replaced while it was open"),
    sqlite3.SQLITE_READONLY_DIRECTORY: (ReadOnly, "the folder of the database may not be written"),
    sqlite3.SQLITE_IOERR_WRITE: (
        StoreUnavailable,
        "the database or its journal can't be written: the disk fails, or the journal beside it may not be changed",
    ),
}

DRIVER_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What Python's driver raises; the second where SQLite's own message quotes bytes of a damaged file."""

_TAKEN = (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)


def translate(error: sqlite3.Error | UnicodeDecodeError) -> StorageError:
    """The library's error for one of SQLite; ``details["sqlite"]`` is its symbolic code."""
    if isinstance(error, UnicodeDecodeError):
        return StoreCorrupt("the database is damaged")
    code: int | None = getattr(error, "sqlite_errorcode", None)
    if code is None:
        if isinstance(error, sqlite3.OperationalError):
            return StoreCorrupt("the database holds a text that can't be read")
        return StorageError(f"the database driver failed ({type(error).__name__})")
    name = error.sqlite_errorname
    if code in _TAKEN:
        return _duplicate(str(error), name)
    if code == sqlite3.SQLITE_ERROR and str(error).startswith(("no such table", "no such column")):
        return StoreCorrupt("a table or column of the database is missing", sqlite=name)
    kind, message = _BY_EXTENDED_CODE.get(code) or _BY_CODE.get(code & 0xFF) or (StorageError, f"SQLite says: {error}")
    return kind(message, sqlite=name)


def _duplicate(text: str, name: str) -> DuplicateKey:
    # "UNIQUE constraint failed: customers.owner, customers.number"
    columns = text.partition(": ")[2].split(", ")
    collection = columns[0].partition(".")[0]
    fields = tuple(column.rpartition(".")[2] for column in columns)
    message = f"{', '.join(fields)} is already in use in {collection}"
    if fields == ("id",):
        message = f"{collection} already holds this id"
    return DuplicateKey(message, collection=collection, fields=fields, sqlite=name)
