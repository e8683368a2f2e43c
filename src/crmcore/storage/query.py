"""A query, said once: a small frozen tree over declared fields, an order and a place to go on from.

Semantics are Python's, with two truth values: None makes no comparison true but ``Ne`` and ``IsNull``; None sorts
first; text compares by code point; ties are broken by id, so an order is always total and paging exact.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias, cast

import attrs

from crmcore.errors import QueryError
from crmcore.storage.schema import Collection, Field, FieldType, Row, Scalar, Schema


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(names)


def _scalars(values: Iterable[Scalar]) -> tuple[Scalar, ...]:
    return tuple(values)


@attrs.frozen
class Eq:
    """The field is this value."""

    field: str
    value: Scalar


@attrs.frozen
class Ne:
    """The field is None or another value."""

    field: str
    value: Scalar


@attrs.frozen
class Lt:
    """The field is less than this value."""

    field: str
    value: Scalar


@attrs.frozen
class Le:
    """The field is at most this value."""

    field: str
    value: Scalar


@attrs.frozen
class Gt:
    """The field is greater than this value."""

    field: str
    value: Scalar


@attrs.frozen
class Ge:
    """The field is at least this value."""

    field: str
    value: Scalar


@attrs.frozen
class In:
    """The field is one of these values."""

    field: str
    values: tuple[Scalar, ...] = attrs.field(converter=_scalars)


@attrs.frozen
class Between:
    """The field lies between the two values, both included."""

    field: str
    low: Scalar
    high: Scalar


@attrs.frozen
class IsNull:
    """The field holds nothing."""

    field: str


@attrs.frozen
class Prefix:
    """The text begins with this one, to the letter."""

    field: str
    value: str


@attrs.frozen
class Contains:
    """The text holds this one, to the letter."""

    field: str
    value: str


@attrs.frozen(init=False)
class And:
    """All of them; of none, true."""

    parts: tuple[Where, ...]

    def __init__(self, *parts: Where) -> None:
        object.__setattr__(self, "parts", parts)


@attrs.frozen(init=False)
class Or:
    """At least one of them; of none, false."""

    parts: tuple[Where, ...]

    def __init__(self, *parts: Where) -> None:
        object.__setattr__(self, "parts", parts)


@attrs.frozen
class Not:
    """The opposite."""

    part: Where


Compare: TypeAlias = Eq | Ne | Lt | Le | Gt | Ge
Where: TypeAlias = Eq | Ne | Lt | Le | Gt | Ge | In | Between | IsNull | Prefix | Contains | And | Or | Not

COMPARISONS = (Eq, Ne, Lt, Le, Gt, Ge)


@attrs.frozen
class Query:
    """Which rows of a collection, in which order, from where on, and how many.

    ``order`` names fields, with a leading ``-`` for descending. ``after`` is the place of a row in that order: its
    values of the order's fields, then its id (:func:`place_of`); the rows behind it are wanted. Without an order, a
    query with ``after`` or ``limit`` goes by id, and one with neither in any order.
    """

    collection: str
    where: Where | None = None
    order: tuple[str, ...] = attrs.field(default=(), converter=_names)
    after: Row | None = None
    limit: int | None = None


_PYTHON_TYPES: dict[FieldType, type] = {
    "text": str,
    "integer": int,
    "boolean": bool,
    "date": date,
    "instant": datetime,
    "decimal": Decimal,
}


def check_query(query: Query, schema: Schema) -> Collection:
    """The query's collection. Raises :class:`QueryError` for unknown names and for values of another type than the field's."""
    collection = schema.collection(query.collection)
    if query.where is not None:
        check_where(query.where, collection)
    for name in query.order:
        collection.position(name.removeprefix("-"))
    if query.limit is not None and query.limit < 0:
        raise QueryError("a limit is not negative")
    if query.after is not None:
        fields = [collection.field(name.removeprefix("-")) for name in query.order]
        if len(query.after) != len(fields) + 1:
            raise QueryError("the place to go on from belongs to another order")
        for field, value in zip([*fields, collection.fields[0]], query.after, strict=True):
            if value is not None:
                _check_value(field, value)
    return collection


def check_where(where: Where, collection: Collection) -> None:
    """Raises :class:`QueryError` if the tree names an unknown field or compares it with a value of another type."""
    kind = type(where)
    if kind in COMPARISONS:
        compare = cast(Compare, where)
        _check_value(collection.field(compare.field), compare.value)
    elif kind is And or kind is Or:
        for part in cast(And, where).parts:
            check_where(part, collection)
    elif kind is Not:
        check_where(cast(Not, where).part, collection)
    elif kind is IsNull:
        collection.position(cast(IsNull, where).field)
    elif kind is In:
        field = collection.field(cast(In, where).field)
        for value in cast(In, where).values:
            _check_value(field, value)
    elif kind is Between:
        between = cast(Between, where)
        field = collection.field(between.field)
        _check_value(field, between.low)
        _check_value(field, between.high)
    elif kind is Prefix or kind is Contains:
        match = cast(Prefix, where)
        field = collection.field(match.field)
        if field.type != "text":
            raise QueryError(f"{field.name} is no text", field=field.name)
        _check_value(field, match.value)
    else:
        raise QueryError(f"{kind.__name__} is no condition")


def with_order(query: Query) -> Query:
    """The query with the order of ids where it has a limit or a mark but no order: a page of no order has no next page."""
    if query.order or (query.limit is None and query.after is None):
        return query
    return Query(query.collection, query.where, ("id",), query.after and query.after * 2, query.limit)


def _check_value(field: Field, value: Scalar) -> None:
    # An exact type test: True is no integer here and a datetime no date, on any store.
    if type(value) is not _PYTHON_TYPES[field.type]:
        raise QueryError(f"{field.name} can't be compared with a {type(value).__name__}", field=field.name)
    if field.type == "instant" and cast(datetime, value).tzinfo is None:
        raise QueryError(f"{field.name} can't be compared with a naive time", field=field.name)
    if field.type == "decimal" and not cast(Decimal, value).is_finite():
        raise QueryError(f"{field.name} can't be compared with what is no finite number", field=field.name)


def place_of(row: Row, query: Query, collection: Collection) -> Row:
    """Where a row stands in the query's order: what ``after`` takes to go on behind it."""
    return (*(row[collection.position(name.removeprefix("-"))] for name in query.order), row[0])


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def encode_place(place: Row) -> str:
    """A place as text that can travel through a URL or a command line."""
    items: list[Any] = []
    for value in place:
        if isinstance(value, datetime):
            items.append({"t": (value - EPOCH) // _MILLISECOND})
        elif isinstance(value, date):
            items.append({"d": value.isoformat()})
        elif isinstance(value, Decimal):
            items.append({"n": str(value)})
        else:
            items.append(value)
    return base64.urlsafe_b64encode(json.dumps(items, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_place(token: str) -> Row:
    """The place that :func:`encode_place` wrote; raises :class:`QueryError` for anything else."""
    try:
        items = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        if type(items) is not list:
            raise ValueError
        return tuple(_decode(item) for item in items)
    except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError):
        raise QueryError("this is not a page mark") from None


def _decode(item: Any) -> Scalar:
    if not isinstance(item, dict):
        if item is None or type(item) in (str, int, bool):
            return cast(Scalar, item)
        raise ValueError
    if "t" in item:
        return EPOCH + int(item["t"]) * _MILLISECOND
    return date.fromisoformat(item["d"]) if "d" in item else Decimal(item["n"])
