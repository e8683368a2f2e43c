"""What PostgreSQL reports, as errors of the library.

The server's texts are never passed on: its details show the values of a key, and a line of a COPY is in its context.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import psycopg

from crmcore.errors import (
    DuplicateKey,
    ReadOnly,
    SchemaMismatch,
    StorageError,
    StoreBusy,
    StoreCorrupt,
    StoreFull,
    StoreUnavailable,
)

Keys = Mapping[str, tuple[str, tuple[str, ...]]]
"""Collection and fields by the name of the constraint that guards them."""

_UNIQUE = "23505"
_LOST = "the connection to the PostgreSQL server was lost"
_TOO_MANY = "the server has no connection left; raise max_connections or lower the pool option"

_BY_STATE: Mapping[str, tuple[type[StorageError], str]] = {
    "0A000": (SchemaMismatch, "the tables were changed while the store was open; open it again"),
    "25006": (ReadOnly, "the database may not be written: it is a read-only copy, or set so"),
    "26000": (
        StoreUnavailable,
        "the server forgot a prepared statement: a connection pooler between must keep them, or pool by session",
    ),
    "2BP01": (StoreUnavailable, "a view or another object of somebody's rests on the tables; drop it first"),
    "40001": (StoreBusy, "the server undid the transaction in favour of another one"),
    "40P01": (StoreBusy, "the server undid the transaction: it and another one waited for each other"),
    "42501": (ReadOnly, "the role may not write these tables"),
    "42P01": (SchemaMismatch, "a table is missing; open the store again"),
    "42703": (SchemaMismatch, "a column is missing; open the store again"),
    "53100": (StoreFull, "the server's disk is full"),
    "53200": (StoreUnavailable, "the server ran out of memory"),
    "53300": (StoreUnavailable, _TOO_MANY),
    "54000": (StorageError, "a text is too long for an index of PostgreSQL, which takes about 2,600 bytes"),
    "55P03": (StoreBusy, "another transaction held the database for longer than the wait allowed"),
    "57014": (StoreUnavailable, "the server took longer than statement_timeout allows, or somebody stopped it"),
    "57P01": (StoreUnavailable, _LOST),
    "57P02": (StoreUnavailable, _LOST),
    "57P03": (StoreUnavailable, "the server is just starting or stopping"),
    "57P05": (StoreUnavailable, _LOST),
}
_BY_CLASS: Mapping[str, tuple[type[StorageError], str]] = {
    "08": (StoreUnavailable, _LOST),
    "28": (StoreUnavailable, "the server refused the user or the password"),
    "53": (StoreUnavailable, "the server ran out of something that it needs"),
    "57": (StoreUnavailable, "somebody stopped the server or the connection"),
    "58": (StoreUnavailable, "the server's disk failed"),
    "XX": (StoreCorrupt, "the server found damaged data, or a fault of its own"),
}

# Before a session begins libpq gives a text and no code. The server's part is in the server's language.
_REFUSALS: tuple[tuple[str, str, str], ...] = (
    (
        "password",
        r"password authentication failed|no password supplied|SCRAM|GSSAPI authentication",
        "the server refused the user or the password",
    ),
    ("too_many", r"too many (clients|connections)|remaining connection slots", _TOO_MANY),
    ("database", r'database "[^"]*" does not exist', "the server has no such database; CREATE DATABASE makes it"),
    (
        "role",
        r'role "[^"]*" does not exist|not permitted to log in',
        "the server has no such role; CREATE ROLE ... LOGIN makes it",
    ),
    (
        "not_allowed",
        r"no pg_hba\.conf entry|permission denied for database",
        "the server doesn't let this user into this database from here: see pg_hba.conf and GRANT CONNECT",
    ),
    (
        "starting",
        r"the database system is (starting up|shutting down|in recovery mode|not yet accepting)",
        "the server is just starting or stopping",
    ),
    ("encryption", r"SSL|certificate", "no encrypted connection could be made: see sslmode and sslrootcert"),
    ("name", r"could not translate host name|failed to resolve host", "there is no host of that name"),
    ("timeout", r"timeout expired|timed out", "the server did not answer in time"),
    (
        "no_server",
        r"Connection refused|No such file or directory|No route to host|could not connect",
        "no server answers there: is it running, and are host and port right?",
    ),
    (
        "session",
        r"session is (not )?read-only|server is (not )?in hot standby",
        "no server of those named is of the kind that target_session_attrs asks for",
    ),
    (
        "setting",
        r"invalid (connection option|sslmode|port|integer|.* value)|service file|definition of service",
        "an option of the URL is not one that libpq takes",
    ),
)


def translate(error: psycopg.Error, keys: Keys | None = None, *, lost: bool = False) -> StorageError:
    """The library's error for one of psycopg; ``details["sqlstate"]`` is the server's code, where it gave one."""
    state = error.sqlstate
    if state is None:
        if isinstance(error, psycopg.DataError):
            return StoreCorrupt("the database holds a value that can't be read")
        if lost or isinstance(error, psycopg.OperationalError):
            return StoreUnavailable(_LOST)
        return StorageError(f"the database driver failed ({type(error).__name__})")
    if state == _UNIQUE:
        return _duplicate(error.diag, keys or {})
    kind, message = _BY_STATE.get(state) or _BY_CLASS.get(state[:2]) or (StorageError, f"PostgreSQL reports {state}")
    return kind(message, sqlstate=state)


def _duplicate(diagnosis: psycopg.errors.Diagnostic, keys: Keys) -> DuplicateKey:
    collection, fields = keys.get(diagnosis.constraint_name or "", (diagnosis.table_name or "", ()))
    message = f"{', '.join(fields) or 'a key'} is already in use in {collection}"
    if fields == ("id",):
        message = f"{collection} already holds this id"
    return DuplicateKey(message, collection=collection, fields=fields, sqlstate=_UNIQUE)


def refused(error: psycopg.Error, where: Mapping[str, str]) -> StoreUnavailable:
    """Why no connection came about, and what to do; ``details["reason"]`` is a stable word."""
    told = str(error)
    for reason, pattern, message in _REFUSALS:
        if re.search(pattern, told):
            return StoreUnavailable(message, reason=reason, **where)
    return StoreUnavailable(
        "no connection to the PostgreSQL server: see its log, and host, port, database, user and password of the URL",
        reason="unknown",
        **where,
    )
