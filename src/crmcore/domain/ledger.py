"""What the library keeps for its own order: number counters and the rows that imports have taken in."""

from __future__ import annotations

from datetime import datetime

from crmcore.domain.entity import Entity, entity
from crmcore.domain.fields import instant, optional_text, text, whole


@entity(collection="number_series")
class NumberSeries(Entity):
    """The last number drawn in one scope (``customer:202311``); drawn in the transaction that uses it, so never twice and no gap."""

    id: str = text()
    version: int = whole(default=1)
    last: int = whole(default=0)


@entity(collection="imported_rows")
class ImportedRow(Entity):
    """A row that an import has taken in. Its id is a digest of what the row says, so the same row is never taken twice."""

    id: str = text()
    version: int = whole(default=1)
    record_id: str = text()
    source: str | None = optional_text()
    at: datetime = instant()


@entity(collection="settings")
class Setting(Entity):
    """One fact about the store itself, by its name: ``playbook`` is the key, or the path, of the playbook it is kept under."""

    id: str = text()
    version: int = whole(default=1)
    value: str = text()
