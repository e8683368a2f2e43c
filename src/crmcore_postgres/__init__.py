"""The PostgreSQL store: where a team goes that outgrows one machine."""

from crmcore_postgres.backend import PostgresBackend

__all__ = ["PostgresBackend"]
