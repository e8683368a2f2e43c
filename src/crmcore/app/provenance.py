"""Where the values of a customer come from: field by field, read from the log."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar

import attrs

from crmcore.app.finding import marks_of, read_all
from crmcore.domain import Customer, Event, ImportedRow, ImportRun
from crmcore.domain.event import changes_of, standing
from crmcore.rules.merging import without_undone_merges
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Transaction
from crmcore.storage.query import And, Eq

E = TypeVar("E", ImportedRow, ImportRun)


@attrs.frozen(kw_only=True)
class FieldSource:
    """Who gave a field its value, when (UTC), and where it came from."""

    by: str
    at: datetime
    source: str | None = None
    """What the imported list is called; None where the value was typed, or the list has no name."""
    place: str | None = None
    """File, sheet and row of an imported value: ``客户.xlsx 客户!4``."""


def field_sources(transaction: Transaction, customer: Customer) -> Mapping[str, FieldSource]:
    """The source of each field of a customer that holds something, by field."""
    where = And(Eq("customer_id", customer.id), Eq("subject", "customer"))
    last: dict[str, Event] = {}
    for event in without_undone_merges(standing(read_all(transaction, Event, where, ("id",)))):
        last |= dict.fromkeys(changes_of(event), event)
    held = {name: event for name, event in last.items() if getattr(customer, name, None) not in (None, (), {})}
    rows = _loaded(transaction, ImportedRow, {event.cause for event in held.values() if event.cause})
    runs = _loaded(transaction, ImportRun, {row.run_id for row in rows.values() if row.run_id})
    found = {}
    for name, event in held.items():
        row = rows.get(event.cause or "")
        run = runs.get(row.run_id or "") if row else None
        found[name] = FieldSource(
            by=event.by, at=event.at, source=run.source if run else None, place=row.source if row else None
        )
    return found


def _loaded(transaction: Transaction, cls: type[E], ids: set[str]) -> dict[str, E]:
    load = CODECS[cls].load
    return {id: load(row) for id, row in marks_of(transaction).get_many(cls.collection, sorted(ids)).items()}
