"""All data rewritten under a new schema, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from crmcore.errors import NotSupported
from crmcore.storage import Insert, Scan, Schema
from crmcore_postgres.settings import Settings


def upgrade(settings: Settings, schema: Schema, rewrite: Callable[[Scan], Iterable[Insert]]) -> None:
    raise NotSupported(f"{settings.namespace}: not upgraded in place")
