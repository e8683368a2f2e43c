"""Which values of a row are sealed, and how: records, events, and collections with one column that tells what others hold.

Each shape makes a row ready to be kept (``seal``) and readable (``open``), and knows whether a kept row is as it would be kept
now (``is_current``). Only the shapes know where values lie; what opens is decided by what stands in the row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol, cast

import attrs

from crmcore.domain import ENTITIES, Entity, Record
from crmcore.domain.fields import FIRST_DAY, MAX_TEXT
from crmcore.domain.values import fold
from crmcore.errors import Invalid, Issue
from crmcore.storage.codec import SEALED
from crmcore.storage.query import EPOCH
from crmcore.storage.schema import Collection, FieldType, Row, Scalar, Schema
from crmcore.storage.sealing import MARK, Sealer, broken

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
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_decode = json.JSONDecoder().raw_decode
#: Under which names an event tells of a field, where it is not the field's own.
_TOLD_AS: Mapping[str, str] = {"paid_on": "collected_on", "collaborator": "collaborators"}
#: The field from which the keys of a kind are made, by which a customer is found again.
_MADE_FROM: Mapping[str, str] = {
    "uscc": "customer.uscc",
    "name": "customer.name",
    "phone": "contact.phones",
    "email": "contact.emails",
    "wechat": "contact.wechat",
}


def _loads(text: str) -> Any:
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
        return _dumps(
            [_OUT[type](value) if type in _OUT else value for value, type in zip(values, self.types, strict=True)]
        ).encode()

    def fill(self, values: list[Scalar], data: bytes) -> None:
        """Puts the columns back. Raises ValueError or TypeError for what was never theirs."""
        if len(self.places) == 1 and self.types[0] == "text":
            values[self.places[0]] = data.decode()
        else:
            for place, type, value in zip(self.places, self.types, _loads(data.decode()), strict=True):
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
            parts = _loads(cast(str, text))
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
        parts: dict[str, str] = _loads(text) if text else {}
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
                    pair[side] = MARK + self._sealer.seal(purpose, place, _dumps(value).encode())
                    found = True
        if not found:
            return row
        changed = _dumps(told)
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
                            pair[side] = _loads(self._sealer.open(purpose, place, value.removeprefix(MARK)).decode())
                        elif value is not None and name in names:
                            raise broken(self._collection, name, row[0])
                values[self._changes] = _dumps(told)
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
            told = _loads(text)
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
        sizes = {name: len(_dumps(told[name][1]).encode()) for name in told if name in names}
        name = max(sizes, key=sizes.__getitem__, default="changes")
        value = told[name][1] if name in told else None
        length = len(value) if isinstance(value, str) else sizes.get(name, 0)
        limit = length * max(sizes.get(name, 0) - excess * 3 // 4 - 60, 0) // max(sizes.get(name, 0), 1)
        return Invalid([Issue(code="too_long", field=f"{row[self._subject]}.{name}", facts={"limit": limit})])


class ColumnShape:
    """One column that tells what the fields of others hold. ``fixed`` is one that is searched for equal values, as ``id``."""

    def __init__(
        self,
        shape: Collection,
        column: str,
        sealer: Sealer,
        keys: Iterable[str],
        *,
        fixed: bool,
        strict: bool,
        wanted: Callable[[Row], bool] = lambda row: True,
    ) -> None:
        self._name, self._column, self._place = shape.name, column, shape.position(column)
        self._sealer, self._keys, self._fixed, self._strict, self._wanted = sealer, tuple(keys), fixed, strict, wanted
        self._purpose = f"{shape.name}.{column}"
        self.columns = frozenset({column})

    def seal(self, row: Row) -> Row:
        value = cast(str, row[self._place])
        if not self._wanted(row) and not value.startswith(MARK):
            return row
        return self._with(row, self.form(value) if self._fixed else self._sealed(row, value))

    def _sealed(self, row: Row, value: str) -> str:
        text = MARK + self._sealer.seal(self._purpose, f"{self._name}\0{self._column}\0{row[0]}", value.encode())
        if len(text) > MAX_TEXT:
            raise Invalid(
                [Issue(code="too_long", field=f"{self._name}.{self._column}", facts={"limit": MAX_TEXT * 3 // 4 - 100})]
            )
        return text

    def form(self, value: str, id: str | None = None) -> str:
        """The form of a value that is searched for, under the current key or another."""
        return self._sealer.fix(self._purpose, value, id)

    def open(self, row: Row) -> Row:
        value = cast(str, row[self._place])
        if not value.startswith(MARK):
            if self._strict and self._wanted(row):
                raise broken(self._name, self._column, row[0])
            return row
        try:
            if self._fixed:
                return self._with(row, self._sealer.unfix(self._purpose, value))
            place = f"{self._name}\0{self._column}\0{row[0]}"
            return self._with(row, self._sealer.open(self._purpose, place, value.removeprefix(MARK)).decode())
        except ValueError:
            raise broken(self._name, self._column, row[0]) from None

    def is_current(self, row: Row) -> bool:
        value = cast(str, row[self._place])
        if self._wanted(row):
            return value.startswith(f"{MARK}{self._sealer.ring.current}:")
        return not value.startswith(MARK)

    def stored_forms(self, column: str, value: str) -> list[Scalar]:
        if not self._fixed or column != self._column:
            return []
        return [value, *(self.form(value, id) for id in self._keys)]

    def _with(self, row: Row, value: str) -> Row:
        return (*row[: self._place], value, *row[self._place + 1 :])


def shapes_of(
    schema: Schema,
    fields: Iterable[str],
    sealer: Sealer,
    keys: Iterable[str],
    *,
    strict: bool,
    leaving: Iterable[str] = (),
) -> dict[str, Shape]:
    """The shapes of all collections in which something is sealed, for dotted fields (``customer.budget``).

    ``keys`` are the ids under which values may be kept; ``strict`` says that no plain value of the fields may stand anywhere;
    ``leaving`` are fields that may still be sealed and are to be no longer.
    """
    keys, wanted = tuple(keys), frozenset(fields)
    names, former = _by_collection(wanted), _by_collection(leaving)
    shapes: dict[str, Shape] = {}
    for cls in _records(schema):
        shape = schema.collection(cls.collection)
        shapes[cls.collection] = RecordShape(
            shape,
            names.get(cls.collection, ()),
            sealer,
            keys,
            entity=cls.entity,
            strict=strict,
            leaving=former.get(cls.collection, ()),
        )
    shapes["events"] = EventShape(schema.collection("events"), names, sealer, strict=strict)
    if "match_keys" in schema.collections:
        shape = schema.collection("match_keys")
        kind = shape.position("kind")
        kinds = frozenset(kind for kind, field in _MADE_FROM.items() if field in wanted)
        shapes["match_keys"] = ColumnShape(
            shape, "value", sealer, keys, fixed=True, strict=strict, wanted=lambda row: row[kind] in kinds
        )
    if "absent_records" in schema.collections:
        shape = schema.collection("absent_records")
        shapes["absent_records"] = ColumnShape(
            shape, "content", sealer, keys, fixed=False, strict=strict, wanted=lambda row: bool(wanted)
        )
    shapes["imported_rows"] = ColumnShape(
        schema.collection("imported_rows"),
        "id",
        sealer,
        keys,
        fixed=True,
        strict=strict,
        wanted=lambda row: bool(wanted),
    )
    return shapes


def _by_collection(fields: Iterable[str]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for field in sorted(fields):
        entity, _, name = field.partition(".")
        for cls in ENTITIES:
            if cls.entity == entity and name in cls.kinds:
                names.setdefault(cls.collection, []).append(name)
    return names


def _records(schema: Schema) -> Iterator[type[Entity]]:
    return (cls for cls in ENTITIES if issubclass(cls, Record) and cls.collection in schema.collections)
