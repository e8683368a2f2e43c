"""A small schema with every field type, and stores over it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from crmcore.storage import Collection, Field, Row, Schema, StoreURL
from crmcore_sqlite import SqliteBackend
from crmcore_sqlite.settings import Settings
from crmcore_sqlite.store import SqliteStore

THINGS = Collection(
    name="things",
    fields=(
        Field("id", "text", nullable=False),
        Field("version", "integer", nullable=False),
        Field("number", "text", nullable=False),
        Field("text", "text"),
        Field("integer", "integer"),
        Field("boolean", "boolean"),
        Field("date", "date"),
        Field("instant", "instant"),
        Field("decimal", "decimal"),
        Field("select", "text"),
        Field("due", "instant", nullable=False),
    ),
    unique=(("number",), ("text", "integer")),
    indexes=(("select", "due"),),
)
NOTES = Collection(
    name="notes",
    fields=(
        Field("id", "text", nullable=False),
        Field("version", "integer", nullable=False),
        Field("thing", "text", nullable=False),
        Field("text", "text"),
    ),
    indexes=(("thing",),),
)
SCHEMA = Schema.of(3, [THINGS, NOTES])
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOMENT = datetime(2026, 2, 28, 23, 59, 59, 999_000, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def thing(id: str, version: int = 1, **values: Any) -> Row:
    """A row of :data:`THINGS`; what isn't given is None or something plain."""
    kept: dict[str, Any] = dict.fromkeys(THINGS.positions) | {"number": f"no. {id}", "due": MOMENT}
    return tuple((kept | {"id": id, "version": version} | values).values())


def note(id: str, thing: str = "a", version: int = 1, text: str | None = None) -> Row:
    """A row of :data:`NOTES`."""
    return (id, version, thing, text)


FULL = thing(
    "full",
    text="客户 😀 ''\"%_\\",
    integer=-(2**63),
    boolean=False,
    date=date(1, 1, 1),
    instant=datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
    decimal=Decimal("-0.100"),
    select="select",
)


def url(path: Path, **options: str) -> StoreURL:
    """The URL of a file."""
    return StoreURL(scheme="sqlite", path=str(path), options=options)


def open_store(path: Path, schema: Schema = SCHEMA, **options: str) -> SqliteStore:
    """A store at that path."""
    store = SqliteBackend().open(url(path, **options), schema)
    assert isinstance(store, SqliteStore)
    return store


def open_wal_store(path: Path, wait_seconds: float = 5) -> SqliteStore:
    """A store with a write-ahead log, whatever version of SQLite is linked here."""
    return SqliteStore(Settings(str(path), wait_seconds, "wal"), SCHEMA)


@contextmanager
def beside(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program's connection to the file, without transactions of its own."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def everything(store: SqliteStore) -> dict[str, set[Row]]:
    """All rows."""
    with store.transaction() as transaction:
        return {name: set(transaction.scan(name)) for name in store.schema.collections}
