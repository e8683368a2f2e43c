"""The SQLite store: the embedded default of crmcore."""

from crmcore_sqlite.backend import SqliteBackend

__all__ = ["SqliteBackend"]
