"""What is wrong with the data, as far as the server can tell: asked for by ``crmcore doctor``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from crmcore.storage import Collection, FieldType, Schema
from crmcore_sqlite.tables import index_name

Connection = psycopg.Connection[Any]

_TYPES: dict[FieldType, str] = {
    "text": "text",
    "integer": "bigint",
    "boolean": "boolean",
    "date": "date",
    "instant": "timestamp with time zone",
    "decimal": "numeric",
}
_READABLE: dict[FieldType, LiteralString] = {
    "date": "{0} BETWEEN '0001-01-01' AND '9999-12-31'",
    "instant": "{0} >= '0001-01-01Z' AND {0} < '9999-12-31Z'::timestamptz + interval '1 day'",
    "decimal": "{0}::text NOT IN ('NaN', 'Infinity', '-Infinity')",
}


def findings(connection: Connection, namespace: str, schema: Schema) -> Iterator[str]:
    """What is wrong, one sentence each. No value of a row is told."""
    for collection in schema.collections.values():
        missing = [*_columns(connection, namespace, collection)]
        yield from missing
        if not missing:
            yield from _rows(connection, namespace, collection)
    yield from _indexes(connection, namespace, schema)
    yield from _storage(connection, namespace)


def _columns(connection: Connection, namespace: str, collection: Collection) -> Iterator[str]:
    found = connection.execute(
        "SELECT a.attname, format_type(a.atttypid, NULL), l.collname FROM pg_attribute a"
        " JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " LEFT JOIN pg_collation l ON l.oid = a.attcollation"
        " WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped",
        (namespace, collection.name),
    ).fetchall()
    there = {name: (type, collation) for name, type, collation in found}
    if not there:
        yield f"the table {collection.name} is not there"
        return
    for field in collection.fields:
        type, collation = there.get(field.name, (None, None))
        if type is None:
            yield f"{collection.name} has no column {field.name}"
        elif type != _TYPES[field.type]:
            yield f"{field.name} of {collection.name} is {type}, not {_TYPES[field.type]}"
        elif field.type == "text" and collation != "C":
            yield f"{field.name} of {collection.name} has the collation {collation}, not C: it sorts otherwise"


def _rows(connection: Connection, namespace: str, collection: Collection) -> Iterator[str]:
    """Values that another program wrote and that Python can't hold."""
    watched = [field for field in collection.fields if field.type in _READABLE]
    if not watched:
        return
    counts = [
        sql.SQL("count(*) FILTER (WHERE NOT ({}))").format(
            sql.SQL(_READABLE[field.type]).format(sql.Identifier(field.name))
        )
        for field in watched
    ]
    asked = sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(counts), sql.Identifier(namespace, collection.name))
    told = connection.execute(asked).fetchone() or ()
    for field, count in zip(watched, told, strict=True):
        if count:
            yield f"{count} rows of {collection.name} hold a {field.type} in {field.name} that can't be read"


def _indexes(connection: Connection, namespace: str, schema: Schema) -> Iterator[str]:
    found = connection.execute(
        "SELECT i.relname, x.indisvalid AND x.indisready, x.indexrelid FROM pg_index x"
        " JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_namespace n ON n.oid = i.relnamespace WHERE n.nspname = %s",
        (namespace,),
    ).fetchall()
    there = {name: valid for name, valid, _ in found}
    for name, collection in schema.collections.items():
        wanted = [f"{name}_pkey", *(index_name(collection, key, unique=True) for key in collection.unique)]
        for index in wanted:
            if index not in there:
                yield f"the index {index} is not there, so its key is not guarded"
    for index, valid in there.items():
        if not valid:
            yield f"the index {index} was not finished or is damaged: REINDEX it"
    amcheck = connection.execute(
        "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'"
    ).fetchone()
    if amcheck is None:
        return
    ask = sql.SQL("SELECT {}(%s::regclass, true)").format(sql.Identifier(amcheck[0], "bt_index_check"))
    for index, valid, number in found:
        if not valid:
            continue
        try:
            connection.execute(ask, (number,))
        except psycopg.errors.InsufficientPrivilege:
            return
        except (psycopg.errors.DataCorrupted, psycopg.errors.IndexCorrupted, psycopg.errors.InternalError_):
            yield f"the index {index} doesn't agree with its table: REINDEX it"


def _storage(connection: Connection, namespace: str) -> Iterator[str]:
    failures = connection.execute(
        "SELECT checksum_failures FROM pg_stat_database WHERE datname = current_database()"
    ).fetchone()
    if failures and failures[0]:
        yield f"the server found {failures[0]} damaged pages in this database"
