"""What one transaction changed, as JSON that gives back the very values, by the types of the schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from crmcore.errors import StorageError
from crmcore.storage import FieldType, Row, Schema
from crmcore.storage.memory import Changes, MemoryData, TableChanges

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode

Turn = Callable[[Any], Any]

# Types that JSON does not have: into it, and back.
_FORMS: Mapping[FieldType, tuple[Turn, Turn]] = {
    "date": (date.isoformat, date.fromisoformat),
    "instant": (lambda value: (value - _EPOCH) // _MILLISECOND, lambda value: _EPOCH + value * _MILLISECOND),
    "decimal": (str, Decimal),
}

NOTHING = b"{}"
"""The record of a transaction that changed no row."""


class RecordForm:
    """Changes of the tables of one schema to bytes and back. The bytes hold no NUL."""

    def __init__(self, schema: Schema) -> None:
        self._turns = {
            name: [
                (place, *_FORMS[field.type]) for place, field in enumerate(collection.fields) if field.type in _FORMS
            ]
            for name, collection in schema.collections.items()
        }

    def dump(self, changes: Changes) -> bytes:
        """The changes as bytes; raises :class:`StorageError` for a text that isn't one."""
        told = {
            name: {
                "put": [self._dump_row(name, row) for row in changed.rows.values() if row is not None],
                "gone": [id for id, row in changed.rows.items() if row is None],
            }
            for name, changed in changes.items()
        }
        try:
            return _encode(told).encode()
        except UnicodeEncodeError:
            raise StorageError("a text holds half a character, which no workbook can keep") from None

    def load(self, body: bytes, data: MemoryData) -> dict[str, TableChanges]:
        """The changes that :meth:`dump` wrote, to be made in these tables."""
        return {
            name: changes_of(data, name, map(tuple, map(self._loader(name), told["put"])), told["gone"])
            for name, told in json.loads(body).items()
        }

    def _dump_row(self, name: str, row: Row) -> Any:
        values: list[Any] = list(row)
        for place, dump, _ in self._turns[name]:
            if values[place] is not None:
                values[place] = dump(values[place])
        return values

    def _loader(self, name: str) -> Turn:
        turns = [(place, load) for place, _, load in self._turns[name]]

        def load_row(values: list[Any]) -> list[Any]:
            for place, load in turns:
                if values[place] is not None:
                    values[place] = load(values[place])
            return values

        return load_row


def changes_of(data: MemoryData, name: str, put: Any, gone: Any = ()) -> TableChanges:
    """Rows put and ids taken away, with what follows for the unique keys; nothing is checked."""
    rows: dict[str, Row | None] = dict.fromkeys(gone)
    rows.update((row[0], row) for row in put)
    there, places = data.tables[name].rows, data.key_places[name]
    keys: tuple[dict[Any, str | None], ...] = tuple({} for _ in places)
    for index, _, columns in places:
        taken = keys[index]
        for id in rows:
            old = there.get(id)
            if old is not None:
                taken[tuple(old[column] for column in columns)] = None
        for id, row in rows.items():
            if row is not None and None not in (key := tuple([row[column] for column in columns])):
                taken[key] = id
    return TableChanges(rows, keys)
