"""The backend ``sqlite:``, cheap to import: SQLAlchemy is loaded when a store is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import ClassVar

from crmcore.errors import MissingExtra
from crmcore.storage import Backend, Capability, Insert, Scan, Schema, Store, StoreURL
from crmcore_sqlite.settings import Settings


class SqliteBackend(Backend):
    """``sqlite:///crm.db`` (relative), ``sqlite:////srv/crm.db`` (absolute).

    Options: ``wait``, the seconds to wait for a turn to write (5); ``journal``, one of auto, wal, truncate (auto: the
    write-ahead log where SQLite and the disk are safe for it).
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
        from crmcore_sqlite.store import SqliteStore

        return SqliteStore(settings, schema)

    def stored(self, url: StoreURL) -> Schema | None:
        settings = _settings(url)
        from crmcore_sqlite.upgrading import stored_schema

        return stored_schema(settings)

    def upgrade(self, url: StoreURL, schema: Schema, rewrite: Callable[[Scan], Iterable[Insert]]) -> None:
        settings = _settings(url)
        from crmcore_sqlite.upgrading import upgrade_database

        upgrade_database(settings, schema, rewrite)


def _settings(url: StoreURL) -> Settings:
    settings = Settings.of(url)
    if find_spec("sqlalchemy") is None:
        raise MissingExtra('SQLite stores need SQLAlchemy: pip install "crmcore[sqlite]"')
    return settings
