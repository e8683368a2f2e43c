"""Hypothesis strategies for entities, rows and queries; every value is one that the domain lets through.

The difficult values of :mod:`crmcore.testing.difficult` are mixed in, so that a few examples go a long way.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from hypothesis import strategies as st

from crmcore.domain import Contact, Customer, Entity, FrozenMap, Money
from crmcore.domain.fields import (
    FIRST_DAY,
    LAST_DAY,
    MAX_INTEGER,
    MAX_TEXT,
    MIN_INTEGER,
    Kind,
    Unclean,
    clean_count,
    clean_text,
)
from crmcore.storage import (
    And,
    Between,
    Collection,
    Contains,
    Eq,
    Field,
    FieldType,
    Ge,
    Gt,
    In,
    IsNull,
    Le,
    Lt,
    Ne,
    Not,
    Or,
    Prefix,
    Query,
    Row,
    Scalar,
    Where,
    place_of,
)
from crmcore.testing.difficult import DIFFICULT

E = TypeVar("E", bound=Entity)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_FIRST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
_LAST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND


def _cleaned(text: str) -> str | None:
    try:
        return clean_text(text)
    except Unclean:
        return None


@functools.cache
def texts(max_size: int = MAX_TEXT) -> st.SearchStrategy[str]:
    """Texts as the domain keeps them: NFC, not blank, no control characters but line feed and tab."""
    letters = st.one_of(
        st.characters(exclude_categories=["Cc", "Cs", "Cn"]), st.sampled_from("aAbß0%_\\'\"\n\t客户é\u0301😀 ")
    )
    drawn = st.text(letters, min_size=1, max_size=min(max_size, 12)).map(_cleaned).filter(bool).map(str)
    difficult = [text for text in DIFFICULT["text"] if isinstance(text, str) and len(text) <= max_size]
    return st.sampled_from(difficult) | drawn


@functools.cache
def scalars(type: FieldType) -> st.SearchStrategy[Any]:
    """Values of a field type, None not among them."""
    drawn: dict[FieldType, st.SearchStrategy[Any]] = {
        "text": texts(),
        "integer": st.integers(-3, 3) | st.integers(MIN_INTEGER, MAX_INTEGER),
        "boolean": st.booleans(),
        "date": st.dates(date(2024, 1, 1), date(2024, 1, 5)) | st.dates(),
        "instant": st.integers(_FIRST, _LAST).map(lambda milliseconds: _EPOCH + milliseconds * _MILLISECOND),
        "decimal": st.builds(
            lambda digits, exponent: Decimal(digits).scaleb(exponent),
            st.integers(-(10**20), 10**20) | st.integers(-3, 3),
            st.integers(-20, 7),
        ),
    }
    return st.sampled_from(DIFFICULT[type]) | drawn[type]


def values(field: Field) -> st.SearchStrategy[Any]:
    """Values of a field, None among them where it may stand."""
    return st.none() | scalars(field.type) if field.nullable else scalars(field.type)


def ids() -> st.SearchStrategy[str]:
    """Ids as the library makes them."""
    return st.uuids().map(str)


def rows(collection: Collection, **fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[Row]:
    """Rows of a collection at version 1, with other strategies for the fields that are named."""
    known: dict[str, st.SearchStrategy[Any]] = {"id": ids(), "version": st.just(1), **fixed}
    return st.tuples(*(known[field.name] if field.name in known else values(field) for field in collection.fields))


_COMPARISONS: tuple[Callable[[str, Any], Where], ...] = (Eq, Ne, Lt, Le, Gt, Ge)
_BITS = ("", "a", "%", "_", "*", "客", "\\", "'")


@st.composite
def _leaves(draw: st.DrawFn, collection: Collection, known: Sequence[Row]) -> Where:
    # Drawn step by step: strategies for every field and comparison would cost more to build than to draw from.
    place = draw(st.integers(0, len(collection.fields) - 1))
    field = collection.fields[place]
    occurring = [row[place] for row in known if row[place] is not None]

    def operand() -> Any:
        # Values that occur make conditions that are sometimes true.
        known_one = draw(st.booleans())
        if occurring and known_one:
            return draw(st.sampled_from(occurring))
        return draw(scalars(field.type))

    kind = draw(
        st.sampled_from(["compare", "null", "between", "in", *(["prefix", "contains"] * (field.type == "text"))])
    )
    match kind:
        case "compare":
            compared: Where = draw(st.sampled_from(_COMPARISONS))(field.name, operand())
            return compared
        case "null":
            return IsNull(field.name)
        case "between":
            return Between(field.name, operand(), operand())
        case "in":
            return In(field.name, [operand() for _ in range(draw(st.integers(0, 3)))])
    if draw(st.booleans()):
        bit = draw(st.sampled_from(_BITS))
    else:
        whole, start = str(operand()), draw(st.integers(0, 4))
        bit = whole[start : start + draw(st.integers(0, 3))]
    return Prefix(field.name, bit) if kind == "prefix" else Contains(field.name, bit)


def wheres(collection: Collection, known: Sequence[Row] = ()) -> st.SearchStrategy[Where]:
    """Conditions over a collection; values of the ``known`` rows are mixed in."""
    return st.recursive(
        _leaves(collection, known),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda parts: And(*parts)),
            st.lists(inner, max_size=3).map(lambda parts: Or(*parts)),
            inner.map(Not),
        ),
        max_leaves=6,
    )


@functools.cache
def orders(collection: Collection) -> st.SearchStrategy[tuple[str, ...]]:
    """Orders of up to three fields, each up or down."""
    names = [field.name for field in collection.fields]
    signed = st.tuples(st.sampled_from(["", "-"]), st.sampled_from(names))
    return st.lists(signed, max_size=3, unique_by=lambda pair: pair[1]).map(
        lambda pairs: tuple(sign + name for sign, name in pairs)
    )


@st.composite
def queries(draw: st.DrawFn, collection: Collection, known: Sequence[Row] = ()) -> Query:
    """Queries over a collection, some with a place to go on from: that of a known row, or of one that isn't there."""
    where = draw(st.none() | wheres(collection, known))
    order = draw(orders(collection))
    limit = draw(st.none() | st.integers(0, 6))
    query = Query(collection.name, where, order, None, limit)
    starts = [st.none(), rows(collection)] if not known else [st.none(), st.sampled_from(known), rows(collection)]
    start: Row | None = draw(st.one_of(*starts))
    return query if start is None else Query(collection.name, where, order, place_of(start, query, collection), limit)


def currencies() -> st.SearchStrategy[str]:
    """Currencies with two, no and three decimals."""
    return st.sampled_from(["CNY", "USD", "JPY", "KWD"])


def moneys(currency: str | None = None) -> st.SearchStrategy[Money]:
    """Amounts of money, of any size that is kept and either sign."""
    minor = st.integers(0, 10**9) | st.integers(MIN_INTEGER, MAX_INTEGER)
    return st.builds(Money, minor, currencies() if currency is None else st.just(currency))


def customs() -> st.SearchStrategy[FrozenMap]:
    """A team's own fields."""
    kept = texts(max_size=100) | st.integers(MIN_INTEGER, MAX_INTEGER) | st.booleans()
    return st.dictionaries(texts(max_size=20), kept, max_size=3).map(FrozenMap)


def _of_kind(kind: Kind) -> st.SearchStrategy[Any]:
    drawn: st.SearchStrategy[Any]
    match kind.name:
        case "choice":
            drawn = st.sampled_from(kind.choices)
        case "flag":
            drawn = st.booleans()
        case "day":
            drawn = scalars("date").filter(lambda day: FIRST_DAY <= day <= LAST_DAY)
        case "instant":
            drawn = scalars("instant").filter(lambda moment: FIRST_DAY.year <= moment.year <= LAST_DAY.year)
        case "money":
            # An entity keeps no amount below zero.
            drawn = st.builds(Money, st.integers(0, 10**9) | st.integers(0, MAX_INTEGER), currencies())
        case "integer" if kind.clean is clean_count:
            drawn = st.integers(0, 3) | st.integers(0, MAX_INTEGER)
        case "texts":
            drawn = st.lists(texts(max_size=100), max_size=3, unique=True).map(tuple)
        case "custom":
            drawn = customs()
        case name:
            drawn = scalars(name)
    return drawn if kind.required or kind.default is not None else st.none() | drawn


def entities(cls: type[E], **fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[E]:
    """Entities of a class, as its declaration allows them, with other strategies for the fields that are named."""
    fields = {
        name: ids() if name == "id" or (name.endswith("_id") and kind.required) else _of_kind(kind)
        for name, kind in cls.kinds.items()
    }
    fields["version"] = st.integers(1, MAX_INTEGER - 1)
    return st.fixed_dictionaries({**fields, **fixed}).map(lambda drawn: cls(**drawn))


def customers(**fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[Customer]:
    """Customers."""
    return entities(Customer, **fixed)


def contacts(**fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[Contact]:
    """People at customers."""
    return entities(Contact, **fixed)


def lists_of_rows(collection: Collection, max_size: int = 10) -> st.SearchStrategy[list[Row]]:
    """Rows of a collection without unique keys, no two with one id."""
    return st.lists(rows(collection), max_size=max_size, unique_by=lambda row: row[0])


@st.composite
def asked(draw: st.DrawFn, collection: Collection, questions: int = 6) -> tuple[list[Row], list[Query]]:
    """Rows, and queries over them."""
    known = draw(lists_of_rows(collection))
    return known, draw(st.lists(queries(collection, known), min_size=1, max_size=questions))


@st.composite
def tallied(
    draw: st.DrawFn, collection: Collection
) -> tuple[list[Row], Where | None, tuple[str, ...], tuple[str, ...]]:
    """Rows, a condition, fields to group them by and integers to add up."""
    known = draw(lists_of_rows(collection))
    names = [field.name for field in collection.fields]
    whole = [field.name for field in collection.fields if field.type == "integer"]
    by = draw(st.lists(st.sampled_from(names), max_size=2, unique=True))
    sums = draw(st.lists(st.sampled_from(whole), max_size=2, unique=True))
    return known, draw(st.none() | wheres(collection, known)), tuple(by), tuple(sums)


__all__ = [
    "Scalar",
    "asked",
    "contacts",
    "currencies",
    "customers",
    "customs",
    "entities",
    "ids",
    "lists_of_rows",
    "moneys",
    "orders",
    "queries",
    "rows",
    "scalars",
    "tallied",
    "texts",
    "values",
    "wheres",
]
