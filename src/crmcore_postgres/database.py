"""The tables in their schema: made, or recognised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql

from crmcore.errors import SchemaMismatch, StoreUnavailable
from crmcore.storage import Schema
from crmcore_postgres.connection import connect
from crmcore_postgres.errors import Keys, translate
from crmcore_postgres.flavour import flavour_of
from crmcore_postgres.settings import Settings
from crmcore_sqlite.tables import definitions, index_name

FACTS = "_crmcore"
"""One row each: ``schema``, its fingerprint; ``format``, its version; ``writer``, whose lock is the turn to write."""

_ATTEMPTS = 20
_SOMEBODY_ELSE = frozenset({"23505", "42P06", "42P07", "42710", "40001", "40P01"})
"""How it ends when another one was making the same tables."""


def open_database(settings: Settings, schema: Schema) -> tuple[psycopg.Connection[Any], str]:
    """A connection to a database that has the tables, and the generation of the data; the tables are made if need be."""
    connection = connect(settings)
    try:
        for attempt in range(_ATTEMPTS):
            facts = read_facts(connection, settings.namespace)
            if facts is not None:
                recognise(facts, schema)
                return connection, facts["writer"]
            try:
                with connection.transaction():
                    _create(connection, settings.namespace, schema)
            except psycopg.Error as error:
                if error.sqlstate not in _SOMEBODY_ELSE or attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("tables were made and are not there")
    except psycopg.Error as error:
        connection.close()
        if error.sqlstate == "42501":
            raise StoreUnavailable(
                f"the role may not make the tables, or not read them, in the schema {settings.namespace}:"
                f" GRANT CREATE ON DATABASE, or CREATE SCHEMA {settings.namespace} AUTHORIZATION it",
                sqlstate="42501",
                **settings.where(),
            ) from None
        if error.sqlstate == "25006":
            raise StoreUnavailable(
                "the database has no tables of this library yet, and may not be written", sqlstate="25006"
            ) from None
        raise translate(error) from None
    except BaseException:
        connection.close()
        raise


def stored_schema(settings: Settings) -> Schema | None:
    """The schema that the data there are kept in, None where there are none; changes nothing."""
    connection = connect(settings)
    try:
        facts = read_facts(connection, settings.namespace)
    except psycopg.Error as error:
        raise translate(error) from None
    finally:
        connection.close()
    return None if facts is None else schema_of(facts)


def schema_of(facts: dict[str, str]) -> Schema:
    """The schema that the facts tell; raises :class:`SchemaMismatch` for facts of something else."""
    try:
        return Schema.from_fingerprint(int(facts["format"]), facts["schema"])
    except (KeyError, ValueError):
        raise SchemaMismatch("the facts beside the data are not those of this library") from None


def read_facts(connection: psycopg.Connection[Any], namespace: str) -> dict[str, str] | None:
    """What is told beside the data; None where nothing is yet. Raises :class:`SchemaMismatch` for another program's."""
    if not _tables(connection, namespace):
        return None
    try:
        told = connection.execute(sql.SQL("SELECT key, value FROM {}").format(sql.Identifier(namespace, FACTS)))
        facts = dict(told.fetchall())
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        facts = {}
    if not {"schema", "format", "writer"} <= facts.keys():
        raise SchemaMismatch(f"the schema {namespace} holds tables of another program; name another with ?schema=")
    return facts


def recognise(facts: dict[str, str], schema: Schema) -> None:
    """Raises :class:`SchemaMismatch` unless the data are of this schema."""
    schema.require(int(facts["format"]), facts["schema"])


def _tables(connection: psycopg.Connection[Any], namespace: str) -> int:
    found = connection.execute(
        "SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')",
        (namespace,),
    ).fetchone()
    return int(found[0]) if found else 0


def _create(connection: psycopg.Connection[Any], namespace: str, schema: Schema) -> None:
    there = connection.execute("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = %s", (namespace,)).fetchone()
    if there is None:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(namespace)))
    facts = sql.Identifier(namespace, FACTS)
    # First of all: two that make the tables meet here, and the second waits.
    connection.execute(sql.SQL("CREATE TABLE {} (key TEXT PRIMARY KEY, value TEXT NOT NULL)").format(facts))
    create_tables(connection, namespace, schema)
    for fact in facts_of(schema):
        connection.execute(sql.SQL("INSERT INTO {} VALUES (%s, %s)").format(facts), fact)


def create_tables(connection: psycopg.Connection[Any], namespace: str, schema: Schema) -> None:
    """The tables and indexes of the collections."""
    for statement in definitions(schema, flavour_of(namespace)):
        connection.execute(statement.encode())


def facts_of(schema: Schema) -> Iterator[tuple[str, str]]:
    """What stands beside the data."""
    yield "schema", schema.fingerprint
    yield "format", str(schema.version)
    yield "writer", uuid4().hex  # another one for every making of the tables, so that an upgrade is noticed


def keys_of(schema: Schema) -> Keys:
    """The collection and the fields that each constraint guards, by its name."""
    keys: dict[str, tuple[str, tuple[str, ...]]] = {}
    for name, collection in schema.collections.items():
        keys[f"{name}_pkey"] = name, ("id",)
        for key in collection.unique:
            keys[index_name(collection, key, unique=True)] = name, key
    return keys
