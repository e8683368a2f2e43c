"""The backend ``sqlite:``, cheap to import: SQLAlchemy is loaded when a store is opened."""

from __future__ import annotations

from importlib.util import find_spec
from typing import ClassVar

from crmcore.errors import MissingExtra
from crmcore.storage import Backend, Capability, Schema, Store, StoreURL
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
        settings = Settings.of(url)
        if find_spec("sqlalchemy") is None:
            raise MissingExtra('SQLite stores need SQLAlchemy: pip install "crmcore[sqlite]"')
        from crmcore_sqlite.store import SqliteStore

        return SqliteStore(settings, schema)
