"""What an import changed, or would change: row by row and field by field, read from the events that its rows caused."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import attrs

from crmcore.app.engine import Engine
from crmcore.app.finding import marks_of, read_all
from crmcore.domain import Event, ImportedRow
from crmcore.domain.event import changes_of
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Transaction
from crmcore.storage.query import Eq, In

#: So many rows have their events read at once.
_AT_ONCE = 200


@attrs.frozen
class FieldDifference:
    """One field before and after, as an event tells them: ``before`` is None for a new record."""

    subject: str
    subject_id: str
    action: str
    field: str
    before: Any
    after: Any


@attrs.frozen
class RowDifference:
    """What one row changes. ``source`` names file, sheet and row; ``outcome`` is created, updated, known or asked."""

    source: str
    outcome: str
    record_id: str
    changes: tuple[FieldDifference, ...]


def differences(engine: Engine, run: str, asked: Set[str] = frozenset()) -> list[RowDifference]:
    """What each row of a run changed, in the order of the rows; ``asked`` are the ids of those that wait for an answer."""

    def look(transaction: Transaction) -> list[RowDifference]:
        marks, load = marks_of(transaction), CODECS[Event].load
        rows = sorted(read_all(marks, ImportedRow, Eq("run_id", run)), key=_place)
        found = []
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            told: dict[str, list[FieldDifference]] = {row.id: [] for row in some}
            causes = {
                event.id: event.cause or "" for event in read_all(marks, Event, In("cause", tuple(told)), ("id",))
            }
            for event in map(load, transaction.get_many("events", list(causes)).values()):
                told[causes[event.id]] += [
                    FieldDifference(event.subject, event.subject_id, event.action, field, before, after)
                    for field, (before, after) in changes_of(event).items()
                ]
            for row in some:
                outcome = "asked" if row.id in asked else row.outcome
                found.append(RowDifference(row.source or "", outcome, row.record_id, tuple(told[row.id])))
        return found

    return engine.read(look)


def _place(row: ImportedRow) -> tuple[str, int]:
    sheet, _, number = (row.source or "").rpartition("!")
    return sheet, int(number) if number.isdecimal() else 0
