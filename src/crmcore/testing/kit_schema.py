"""The kit's own schema, so that a backend meets one that core's is not: every field type, keys, words that SQL reserves."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final, cast, get_args

from crmcore.storage import Collection, Field, FieldType, Row, Scalar, Schema

FIELD_TYPES: Final[tuple[FieldType, ...]] = get_args(FieldType)

_HEAD: Final = (Field("id", "text", nullable=False), Field("version", "integer", nullable=False))

#: Every field type twice: ``text`` may be None, ``some_text`` may not.
VALUES: Final = Collection(
    name="values",
    fields=(
        *_HEAD,
        *(Field(type, type) for type in FIELD_TYPES),
        *(Field(f"some_{type}", type, nullable=False) for type in FIELD_TYPES),
    ),
    indexes=(("text",), ("integer", "date"), ("some_instant",)),
)

#: A unique key of one field, and one of two that may be None.
KEYS: Final = Collection(
    name="keys",
    fields=(
        *_HEAD,
        Field("number", "text", nullable=False),
        Field("scope", "text"),
        Field("serial", "integer"),
        Field("by", "text"),
        Field("on", "date"),
        Field("open", "boolean"),
    ),
    unique=(("number",), ("scope", "serial")),
    indexes=(("by", "on"), ("open",)),
)

#: A small collection beside the others.
GROUP: Final = Collection(name="group", fields=(*_HEAD, Field("order", "integer"), Field("select", "text")))

SCHEMA: Final = Schema.of(1, [VALUES, KEYS, GROUP])

_PLAIN: Final[Mapping[FieldType, Scalar]] = {
    "text": "plain",
    "integer": 1,
    "boolean": False,
    "date": date(2024, 1, 31),
    "instant": datetime(2024, 1, 31, 8, 30, tzinfo=UTC),
    "decimal": Decimal("1.5"),
}


def make_row(collection: Collection, id: str, version: int = 1, /, **values: Scalar) -> Row:
    """A row of the given values: what isn't given is None, or something plain where None may not stand."""
    unknown = set(values) - set(collection.positions)
    if unknown:
        raise TypeError(f"{collection.name} has no {', '.join(sorted(unknown))}")
    given: dict[str, Scalar] = {"id": id, "version": version, **values}
    plain = {field.name: None if field.nullable else _PLAIN[field.type] for field in collection.fields}
    return tuple(given.get(field.name, plain[field.name]) for field in collection.fields)


def values_row(id: str, version: int = 1, /, **values: Scalar) -> Row:
    """A row of :data:`VALUES`."""
    return make_row(VALUES, id, version, **values)


def keys_row(id: str, version: int = 1, /, **values: Scalar) -> Row:
    """A row of :data:`KEYS`; its number is its id unless one is given."""
    return make_row(KEYS, id, version, **{"number": f"no. {id}", **values})


def group_row(id: str, version: int = 1, /, **values: Scalar) -> Row:
    """A row of :data:`GROUP`."""
    return make_row(GROUP, id, version, **values)


def order_of(row: Row) -> int:
    """The number that a row of :data:`GROUP` counts by."""
    return cast(int, row[GROUP.position("order")])


def version_of(row: Row) -> int:
    """The version of any row."""
    return cast(int, row[1])


def changed(collection: Collection, row: Row, /, **values: Scalar) -> Row:
    """The row at its next version, with some values changed."""
    now = dict(zip(collection.positions, row, strict=True)) | values
    now["version"] = version_of(row) + 1
    return tuple(now[field.name] for field in collection.fields)
