"""How events are sealed: of a change of an encrypted field the values before and after, and with them the salt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from crmcore.domain import ENTITIES
from crmcore.domain.fields import MAX_TEXT
from crmcore.errors import Invalid, Issue
from crmcore.storage.schema import Collection, Row, Scalar
from crmcore.storage.sealed_rows import dumps, loads
from crmcore.storage.sealing import MARK, Sealer, broken

#: Under which names an event tells of a field, where it is not the field's own.
_TOLD_AS: Mapping[str, str] = {"paid_on": "collected_on", "collaborator": "collaborators"}


class EventShape:
    """Events: in ``changes`` the values of the fields are sealed, each before and after; with them the salt is, too."""

    columns = frozenset({"changes", "salt"})

    def __init__(self, shape: Collection, names: Mapping[str, Iterable[str]], sealer: Sealer, *, strict: bool) -> None:
        """``names`` are fields by the collection of their entity."""
        self._sealer, self._strict = sealer, strict
        self._collection = shape.name
        self._names = {
            cls.entity: {*fields, *(told for told, field in _TOLD_AS.items() if field in fields)}
            for cls in ENTITIES
            if (fields := set(names.get(cls.collection, ())))
        }
        self._of = {cls.entity: cls.collection for cls in ENTITIES}
        self._subject, self._changes = shape.position("subject"), shape.position("changes")
        self._salt = shape.positions.get("salt")

    def seal(self, row: Row) -> Row:
        text = cast("str | None", row[self._changes])
        names = self._names.get(cast(str, row[self._subject]), ())
        if text is None or (f'"{MARK}' not in text and not any(f'"{name}":' in text for name in names)):
            return row
        told = self._told(row, text)
        found = False
        for name, pair in told.items():
            for side, value in enumerate(pair):
                if value is not None and (name in names or (type(value) is str and value.startswith(MARK))):
                    purpose, place = self._where(row, name, side)
                    pair[side] = MARK + self._sealer.seal(purpose, place, dumps(value).encode())
                    found = True
        if not found:
            return row
        changed = dumps(told)
        if (excess := len(changed.encode("utf-16-le")) // 2 - MAX_TEXT) > 0:
            raise self._too_long(row, text, names, excess)
        values = list(row)
        values[self._changes] = changed
        if self._salt is not None and row[self._salt] is not None:
            salt = cast(str, row[self._salt]).encode()
            values[self._salt] = MARK + self._sealer.seal("events.salt", f"events\0salt\0{row[0]}", salt)
        return tuple(values)

    def open(self, row: Row) -> Row:
        text = cast("str | None", row[self._changes])
        salt = None if self._salt is None else cast("str | None", row[self._salt])
        names = self._names.get(cast(str, row[self._subject]), ()) if self._strict else ()
        plain = text is None or (f'"{MARK}' not in text and not any(f'"{name}":' in text for name in names))
        if plain and (salt is None or not salt.startswith(MARK)):
            return row
        values = list(row)
        field = "changes"
        try:
            if not plain and text is not None:
                told = self._told(row, text)
                for name, pair in told.items():
                    for side, value in enumerate(pair):
                        if type(value) is str and value.startswith(MARK):
                            field = name
                            purpose, place = self._where(row, name, side)
                            pair[side] = loads(self._sealer.open(purpose, place, value.removeprefix(MARK)).decode())
                        elif value is not None and name in names:
                            raise broken(self._collection, name, row[0])
                values[self._changes] = dumps(told)
            if self._salt is not None and salt is not None and salt.startswith(MARK):
                field = "salt"
                opened = self._sealer.open("events.salt", f"events\0salt\0{row[0]}", salt.removeprefix(MARK))
                values[self._salt] = opened.decode()
        except (ValueError, TypeError):
            raise broken(self._collection, field, row[0]) from None
        return tuple(values)

    def is_current(self, row: Row) -> bool:
        mine = f"{MARK}{self._sealer.ring.current}:"
        salt = None if self._salt is None else row[self._salt]
        if isinstance(salt, str) and salt.startswith(MARK) and not salt.startswith(mine):
            return False
        text = cast("str | None", row[self._changes])
        names = self._names.get(cast(str, row[self._subject]), ())
        if text is None or (f'"{MARK}' not in text and not any(f'"{name}":' in text for name in names)):
            return True
        for name, pair in self._told(row, text).items():
            for value in pair:
                sealed = type(value) is str and value.startswith(MARK)
                if (
                    value is not None
                    and (sealed or name in names)
                    and not (sealed and name in names and value.startswith(mine))
                ):
                    return False
        return True

    def stored_forms(self, column: str, value: str) -> list[Scalar]:
        return []

    def _told(self, row: Row, text: str) -> dict[str, list[Any]]:
        try:
            told = loads(text)
            if all(type(pair) is list and len(pair) == 2 for pair in told.values()):
                return cast("dict[str, list[Any]]", told)
        except (ValueError, AttributeError):
            pass
        raise broken(self._collection, "changes", row[0])

    def _where(self, row: Row, name: str, side: int) -> tuple[str, str]:
        collection = self._of.get(cast(str, row[self._subject]), "")
        return f"{collection}.{_TOLD_AS.get(name, name)}", f"events\0{name}.{side}\0{row[0]}"

    def _too_long(self, row: Row, text: str, names: Iterable[str], excess: int) -> Invalid:
        told = self._told(row, text)
        sizes = {name: len(dumps(told[name][1]).encode()) for name in told if name in names}
        name = max(sizes, key=sizes.__getitem__, default="changes")
        value = told[name][1] if name in told else None
        length = len(value) if isinstance(value, str) else sizes.get(name, 0)
        limit = length * max(sizes.get(name, 0) - excess * 3 // 4 - 60, 0) // max(sizes.get(name, 0), 1)
        return Invalid([Issue(code="too_long", field=f"{row[self._subject]}.{name}", facts={"limit": limit})])
