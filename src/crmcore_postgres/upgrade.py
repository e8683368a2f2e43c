"""All data rewritten under a new schema, in one transaction: the server's DDL is undone with the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import psycopg
from psycopg import sql

from crmcore.errors import StoreUnavailable
from crmcore.storage import Insert, Row, Scan, Schema
from crmcore_postgres.connection import connect
from crmcore_postgres.database import FACTS, create_tables, facts_of, keys_of, read_facts, schema_of
from crmcore_postgres.errors import translate
from crmcore_postgres.flavour import flavour_of
from crmcore_postgres.rows import copy_text
from crmcore_postgres.settings import Settings
from crmcore_postgres.transaction import CHUNK, Handling
from crmcore_sqlite.compile import Compiler

Connection = psycopg.Connection[Any]


def upgrade(settings: Settings, schema: Schema, rewrite: Callable[[Scan], Iterable[Insert]]) -> None:
    """Replaces all data by what ``rewrite`` makes of them; see :meth:`crmcore.storage.Backend.upgrade`."""
    with connect(settings) as connection:
        try:
            connection.execute("SELECT set_config('statement_timeout', '0', false)")  # it takes as long as it takes
            with connection.transaction():
                old = _take_alone(connection, settings)
                aside = _put_aside(connection, settings.namespace, old)
                create_tables(connection, settings.namespace, schema)
                _write(
                    connection, settings.namespace, schema, rewrite(_scan(connection, settings.namespace, old, aside))
                )
                _finish(connection, settings.namespace, schema, aside)
            for name in schema.collections:
                connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(settings.namespace, name)))
        except psycopg.Error as error:
            raise translate(error, keys_of(schema), lost=connection.broken) from None


def _take_alone(connection: Connection, settings: Settings) -> Schema:
    """Waits for the turn to write, and lets nobody in any more."""
    if read_facts(connection, settings.namespace) is None:
        raise StoreUnavailable("there are no data to upgrade", **settings.where())
    facts = sql.Identifier(settings.namespace, FACTS)
    connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(facts))
    told = read_facts(connection, settings.namespace)
    return schema_of(told or {})


def _put_aside(connection: Connection, namespace: str, old: Schema) -> dict[str, str]:
    """Gives the old tables and their indexes other names; the new name of each table."""
    aside: dict[str, str] = {}
    for place, name in enumerate(old.collections):
        table = sql.Identifier(namespace, name)
        indexes = connection.execute(
            "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = %s::regclass",
            (table.as_string(connection),),
        ).fetchall()
        for other, (index,) in enumerate(indexes):
            connection.execute(
                sql.SQL("ALTER INDEX {} RENAME TO {}").format(
                    sql.Identifier(namespace, index), sql.Identifier(f"_old_{place}_{other}")
                )
            )
        aside[name] = f"_old_{place}"
        connection.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(table, sql.Identifier(aside[name])))
    return aside


def _scan(connection: Connection, namespace: str, old: Schema, aside: dict[str, str]) -> Scan:
    def scan(collection: str) -> Iterator[Row]:
        fields = old.collection(collection).fields
        asked = sql.SQL("SELECT {} FROM {}").format(
            sql.SQL(", ").join(sql.Identifier(field.name) for field in fields),
            sql.Identifier(namespace, aside[collection]),
        )
        with connection.cursor(f"scan_{collection}", binary=True) as cursor:
            cursor.itersize = CHUNK
            yield from cursor.execute(asked)

    return scan


def _write(connection: Connection, namespace: str, schema: Schema, inserts: Iterable[Insert]) -> None:
    compiler = Compiler(schema, flavour_of(namespace))
    handlings = {name: Handling.of(compiler.access(name)) for name in schema.collections}
    waiting: dict[str, list[Row]] = {name: [] for name in schema.collections}

    def write(collection: str) -> None:
        # Nothing is read while a COPY runs, so that rewrite may read on between two of them.
        handling, rows = handlings[collection], waiting[collection]
        if rows:
            with connection.cursor() as cursor, cursor.copy(handling.copy.encode()) as copy:
                copy.write(copy_text(handling.access.collection, handling.line, rows))
            rows.clear()

    for insert in inserts:
        schema.collection(insert.collection)
        waiting[insert.collection].append(insert.row)
        if len(waiting[insert.collection]) >= CHUNK:
            write(insert.collection)
    for name in schema.collections:
        write(name)


def _finish(connection: Connection, namespace: str, schema: Schema, aside: dict[str, str]) -> None:
    """Owners and grants go over to the new tables, the old ones go, and the facts tell the new schema."""
    for name, old in aside.items():
        if name in schema.collections:
            _hand_over(connection, sql.Identifier(namespace, old), sql.Identifier(namespace, name))
        connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(namespace, old)))
    for key, value in facts_of(schema):
        connection.execute(
            sql.SQL("UPDATE {} SET value = %s WHERE key = %s").format(sql.Identifier(namespace, FACTS)), (value, key)
        )


def _hand_over(connection: Connection, old: sql.Identifier, new: sql.Identifier) -> None:
    named = (old.as_string(connection),)
    granted = connection.execute(
        "SELECT CASE WHEN a.grantee = 0 THEN NULL ELSE pg_get_userbyid(a.grantee) END, a.privilege_type, a.is_grantable"
        " FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = %s::regclass AND a.grantee <> c.relowner",
        named,
    ).fetchall()
    for role, privilege, grantable in granted:
        connection.execute(
            sql.SQL("GRANT {} ON {} TO {}{}").format(
                sql.SQL(privilege),
                new,
                sql.SQL("PUBLIC") if role is None else sql.Identifier(role),
                sql.SQL(" WITH GRANT OPTION" if grantable else ""),
            )
        )
    owner = connection.execute(
        "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = %s::regclass AND pg_get_userbyid(relowner) <> current_user",
        named,
    ).fetchone()
    if owner:
        connection.execute(sql.SQL("ALTER TABLE {} OWNER TO {}").format(new, sql.Identifier(owner[0])))
