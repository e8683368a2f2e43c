"""A small schema with every field type, and stores over it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from crmcore.storage import Collection, Field, Row, Schema, StoreURL
from crmcore_postgres import PostgresBackend
from crmcore_postgres.store import PostgresStore

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
    ),
    unique=(("number",), ("text", "integer")),
    indexes=(("select", "date"),),
)
NOTES = Collection(
    name="notes",
    fields=(
        Field("id", "text", nullable=False),
        Field("version", "integer", nullable=False),
        Field("text", "text"),
    ),
)
SCHEMA = Schema.of(3, [THINGS, NOTES])

FULL: dict[str, Any] = {
    "text": "客户 😀 ''\"%_\\",
    "integer": -(2**63),
    "boolean": False,
    "date": date(1, 1, 1),
    "instant": datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
    "decimal": Decimal("-0.100"),
    "select": "select",
}


def thing(id: str, version: int = 1, **values: Any) -> Row:
    """A row of :data:`THINGS`; what isn't given is None."""
    kept: dict[str, Any] = dict.fromkeys(THINGS.positions) | {"number": f"no. {id}"}
    return tuple((kept | {"id": id, "version": version} | values).values())


def open_store(url: str, schema: Schema = SCHEMA) -> PostgresStore:
    """A store at that URL."""
    store = PostgresBackend().open(StoreURL.parse(url), schema)
    assert isinstance(store, PostgresStore)
    return store


def everything(store: PostgresStore) -> dict[str, set[Row]]:
    """All rows."""
    with store.transaction() as transaction:
        return {name: set(transaction.scan(name)) for name in store.schema.collections}
