"""This library: every cell read by its field's kind, names looked up, events and duties written, batches of 250."""

from __future__ import annotations

from pathlib import Path

import crmcore


def take(path: Path, database: Path) -> tuple[int, int, int]:
    """New, known and rejected rows."""
    with crmcore.open(f"sqlite:///{database}", playbook="standard") as crm:
        result = crm.acting_as("importer").imports.plan(path).apply()
    return result.created, result.known, result.rejected


def stored(database: Path) -> tuple[int, int]:
    """Customers and contacts in the file."""
    import sqlite3

    with sqlite3.connect(database) as connection:
        return tuple(
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("customers", "contacts")
        )  # type: ignore[return-value]
