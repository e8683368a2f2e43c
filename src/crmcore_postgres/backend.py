"""The backend ``postgresql:``, cheap to import: SQLAlchemy and psycopg are loaded when a store is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import ClassVar

from crmcore.errors import MissingExtra
from crmcore.storage import Backend, Capability, Insert, Scan, Schema, Store, StoreURL
from crmcore_postgres.settings import Settings


class PostgresBackend(Backend):
    """``postgresql://user:password@host:5432/database``, or ``postgres://`` for the same.

    Options: ``schema``, PostgreSQL's schema that holds the tables (crmcore); ``wait``, the seconds to wait for a turn to
    write (5); ``statement_timeout``, the most seconds for one statement (0: no limit); ``connect_timeout`` (10);
    ``pool``, the most connections to hold (10); and libpq's own, such as ``host``, ``port``, ``sslmode``, ``service``.
    """

    capabilities: ClassVar = frozenset(
        {
            Capability.DURABLE,
            Capability.MULTI_PROCESS,
            Capability.SNAPSHOT_READS,
            Capability.PUSH_DOWN,
            Capability.LARGE,
        }
    )

    def open(self, url: StoreURL, schema: Schema) -> Store:
        settings = _settings(url)
        from crmcore_postgres.store import PostgresStore

        return PostgresStore(settings, schema)

    def stored(self, url: StoreURL) -> Schema | None:
        settings = _settings(url)
        from crmcore_postgres.database import stored_schema

        return stored_schema(settings)

    def upgrade(self, url: StoreURL, schema: Schema, rewrite: Callable[[Scan], Iterable[Insert]]) -> None:
        settings = _settings(url)
        from crmcore_postgres.upgrade import upgrade

        upgrade(settings, schema, rewrite)


def _settings(url: StoreURL) -> Settings:
    settings = Settings.of(url)
    missing = MissingExtra('PostgreSQL stores need SQLAlchemy and psycopg: pip install "crmcore[postgres]"')
    if find_spec("sqlalchemy") is None or find_spec("psycopg") is None:
        raise missing
    try:
        import psycopg  # noqa: F401
    except ImportError:  # psycopg is there, but no libpq for it
        raise missing from None
    return settings
