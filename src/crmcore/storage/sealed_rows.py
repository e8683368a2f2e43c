"""How the rows of records are sealed: the values of some fields lie in one column, their own columns are blank.

A shape makes a row ready to be kept (``seal``) and readable (``open``), and knows whether a kept row is as it would be kept now
(``is_current``). Only the shapes know where values lie; what opens is decided by what stands in the row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol, cast

import attrs

from crmcore.domain.fields import FIRST_DAY, MAX_TEXT
from crmcore.domain.values import fold
from crmcore.errors import Invalid, Issue
from crmcore.storage.codec import SEALED
from crmcore.storage.query import EPOCH
from crmcore.storage.schema import Collection, FieldType, Row, Scalar
from crmcore.storage.sealing import Sealer, broken

_BLANKS: Mapping[FieldType, Scalar] = {
    "text": "*",
    "integer": 0,
    "boolean": False,
    "date": FIRST_DAY,
    "instant": datetime(FIRST_DAY.year, 1, 1, tzinfo=UTC),
    "decimal": Decimal(0),
}
_MILLISECOND = timedelta(milliseconds=1)
_OUT: Mapping[FieldType, Callable[[Any], Any]] = {
    "date": date.isoformat,
    "instant": lambda value: (value - EPOCH) // _MILLISECOND,
    "decimal": str,
}
_IN: Mapping[FieldType, Callable[[Any], Any]] = {
    "date": date.fromisoformat,
    "instant": lambda value: EPOCH + value * _MILLISECOND,
    "decimal": Decimal,
}
dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_decode = json.JSONDecoder().raw_decode


def loads(text: str) -> Any:
    """What JSON without blanks around it says: half the time of ``json.loads``."""
    told, end = _decode(text)
    if end != len(text):
        raise ValueError("there is more behind it")
    return told


class Shape(Protocol):
    """How the rows of one collection are kept. ``columns`` can't be asked of the store, ``indexed`` only for equal values."""

    columns: frozenset[str]

    def seal(self, row: Row) -> Row: ...

    def open(self, row: Row) -> Row: ...

    def is_current(self, row: Row) -> bool: ...

    def stored_forms(self, column: str, value: str) -> list[Scalar]:
        """What stands in a column for a value, in every form in which it may be kept; nothing where no column is searched."""
        ...


@attrs.frozen
class SealedField:
    """A field by its columns in the row. ``folded`` is the place of its search form; ``token`` the place of a text that is
    searched for equal values."""

    name: str
    purpose: str
    places: tuple[int, ...]
    types: tuple[FieldType, ...]
    required: bool
    folded: int | None
    token: int | None
    blanks: tuple[tuple[int, Scalar], ...]

    @classmethod
    def of(cls, shape: Collection, name: str) -> SealedField:
        """The field of that name: the columns that hold it are itself, its currency and its search form."""
        columns = [name, *(one for one in (f"{name}_currency",) if one in shape.positions)]
        folded = shape.positions.get(f"{name}_key")
        places = tuple(map(shape.position, columns))
        searched = [key[0] for key in shape.indexes if len(key) == 1]
        token = next(
            (place for place in (folded, places[0]) if place is not None and shape.fields[place].name in searched), None
        )
        if token is not None and shape.fields[token].type != "text":
            token = None
        hidden = [*places, *([folded] if folded is not None else [])]
        blanks = [(place, None if (field := shape.fields[place]).nullable else _BLANKS[field.type]) for place in hidden]
        return cls(
            name=name,
            purpose=f"{shape.name}.{name}",
            places=places,
            types=tuple(shape.fields[place].type for place in places),
            required=not shape.fields[places[0]].nullable,
            folded=folded,
            token=token,
            blanks=tuple(blanks),
        )

    def data(self, row: Row | list[Scalar]) -> bytes:
        """What the columns hold."""
        if len(self.places) == 1 and self.types[0] == "text":
            return cast(str, row[self.places[0]]).encode()
        values = (row[place] for place in self.places)
        return dumps(
            [_OUT[type](value) if type in _OUT else value for value, type in zip(values, self.types, strict=True)]
        ).encode()

    def fill(self, values: list[Scalar], data: bytes) -> None:
        """Puts the columns back. Raises ValueError or TypeError for what was never theirs."""
        if len(self.places) == 1 and self.types[0] == "text":
            values[self.places[0]] = data.decode()
        else:
            for place, type, value in zip(self.places, self.types, loads(data.decode()), strict=True):
                values[place] = _IN[type](value) if type in _IN else value
        if self.folded is not None:
            values[self.folded] = fold(cast(str, values[self.places[0]]))


class RecordShape:
    """Records: the values of the fields lie in the column ``sealed``, as JSON of name to sealed value; their own are blank."""

    def __init__(
        self,
        shape: Collection,
        names: Iterable[str],
        sealer: Sealer,
        keys: Iterable[str],
        *,
        entity: str,
        strict: bool,
        leaving: Iterable[str] = (),
    ) -> None:
        """``leaving`` are fields that were encrypted and may still be."""
        self._shape, self._sealer, self._keys, self._entity = shape, sealer, tuple(keys), entity
        self._known: dict[str, SealedField] = {}
        self._active = list(map(self._field, names))
        self._strict = strict
        self._place = shape.position(SEALED)
        concerned = [*self._active, *map(self._field, leaving)]
        self.columns = frozenset(shape.fields[place].name for field in concerned for place, _ in field.blanks)
        self._tokens = {shape.fields[field.token].name: field for field in self._active if field.token is not None}

    def _field(self, name: str) -> SealedField:
        """A field by its name. Raises :class:`QueryError`, which is a ValueError, for one that isn't there."""
        if name not in self._known:
            self._known[name] = SealedField.of(self._shape, name)
        return self._known[name]

    def seal(self, row: Row) -> Row:
        values, parts = list(row), {}
        for field in self._active:
            if row[field.places[0]] is None:
                continue
            parts[field.name] = self._sealer.seal(
                field.purpose, f"{self._shape.name}\0{field.name}\0{row[0]}", field.data(row)
            )
            for place, blank in field.blanks:
                values[place] = blank
            if field.token is not None:
                values[field.token] = self._sealer.token(self._token_purpose(field), cast(str, row[field.token]))
        if parts:
            # Neither names nor sealed values hold anything that JSON writes otherwise.
            text = "{" + ",".join([f'"{name}":"{part}"' for name, part in parts.items()]) + "}"
            if len(text) > MAX_TEXT:
                raise self._too_long(row, len(text) - MAX_TEXT)
            values[self._place] = text
        return tuple(values)

    def open(self, row: Row) -> Row:
        text = row[self._place]
        if text is None:
            if self._strict:
                self._refuse_plain(row, ())
            return row
        values = list(row)
        name = SEALED
        try:
            parts = loads(cast(str, text))
            for name, part in parts.items():
                field = self._field(name)
                field.fill(values, self._sealer.open(field.purpose, f"{self._shape.name}\0{name}\0{row[0]}", part))
        except (ValueError, TypeError, AttributeError, ArithmeticError):
            raise broken(self._shape.name, name if name in self._known else SEALED, row[0]) from None
        if self._strict:
            self._refuse_plain(row, parts)
        values[self._place] = None
        return tuple(values)

    def is_current(self, row: Row) -> bool:
        text = cast("str | None", row[self._place])
        parts: dict[str, str] = loads(text) if text else {}
        mine = f"{self._sealer.ring.current}:"
        names = {field.name for field in self._active}
        return all(name in names and part.startswith(mine) for name, part in parts.items()) and not any(
            self._plain(row, field) for field in self._active if field.name not in parts
        )

    def stored_forms(self, column: str, value: str) -> list[Scalar]:
        field = self._tokens.get(column)
        if field is None:
            return []
        purpose = self._token_purpose(field)
        return [value, *(self._sealer.token(purpose, value, id) for id in self._keys)]

    def _token_purpose(self, field: SealedField) -> str:
        assert field.token is not None
        return f"{self._shape.name}.{self._shape.fields[field.token].name}"

    def _plain(self, row: Row, field: SealedField) -> bool:
        """Whether a field that isn't among the sealed values of a row holds something all the same."""
        return row[field.places[0]] is not None

    def _refuse_plain(self, row: Row, parts: Iterable[str]) -> None:
        for field in self._active:
            if field.name not in parts and self._plain(row, field):
                raise broken(self._shape.name, field.name, row[0])

    def _too_long(self, row: Row, excess: int) -> Invalid:
        """The longest of the fields, and how long it could be."""
        sizes = {
            field.name: (len(field.data(row)), field) for field in self._active if row[field.places[0]] is not None
        }
        name = max(sizes, key=lambda one: sizes[one][0])
        size, field = sizes[name]
        held = row[field.places[0]]
        length = len(held) if isinstance(held, str) else size
        limit = length * max(size - excess * 3 // 4 - 60, 0) // size
        return Invalid([Issue(code="too_long", field=f"{self._entity}.{name}", facts={"limit": limit})])
