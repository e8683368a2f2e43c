"""What the library keeps for its own order: number counters and the rows that imports have taken in."""

from __future__ import annotations

from datetime import datetime

from crmcore.domain.entity import Entity, entity
from crmcore.domain.fields import choice, instant, optional_instant, optional_text, text, texts, whole


@entity(collection="number_series")
class NumberSeries(Entity):
    """The last number drawn in one scope (``customer:202311``); drawn in the transaction that uses it, so never twice and no gap."""

    id: str = text()
    version: int = whole(default=1)
    last: int = whole(default=0)


@entity(collection="import_runs")
class ImportRun(Entity):
    """One import that took something in: by whom, when (UTC), of which files, and how it treated what was on file."""

    id: str = text()
    version: int = whole(default=1)
    at: datetime = instant()
    by: str = text()
    files: tuple[str, ...] = texts()
    source: str | None = optional_text()
    """What the rows come from, as people call it: ``展会名单``."""
    duplicates: str = choice("skip", "update", "merge", "ask", default="skip")
    update: str = choice("fill", "overwrite", "append", default="fill")
    finished_at: datetime | None = optional_instant()
    """None while it runs, or where it was cut off."""
    undone_at: datetime | None = optional_instant()
    undone_by: str | None = optional_text()


@entity(collection="imported_rows", indexes=["run_id"])
class ImportedRow(Entity):
    """A row that an import has taken in. Its id is a digest of what the row says, so the same row is never taken twice."""

    id: str = text()
    version: int = whole(default=1)
    record_id: str = text()
    source: str | None = optional_text()
    """File, sheet and row: ``客户.xlsx 客户!4``."""
    at: datetime = instant()
    run_id: str | None = optional_text()
    outcome: str = choice("created", "updated", "known", default="created")


@entity(collection="settings")
class Setting(Entity):
    """One fact about the store itself, by its name: ``playbook`` is the key, or the path, of the playbook it is kept under."""

    id: str = text()
    version: int = whole(default=1)
    value: str = text()
