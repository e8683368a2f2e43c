"""Rows, conditions and queries drawn by a plain seeded generator: for long runs, where Hypothesis would cost more than the store.

What is drawn is of the same make as in :mod:`crmcore.testing.strategies`: difficult values, values that occur, wildcards, None,
places to go on from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from random import Random
from typing import Any, Final

from crmcore.storage import (
    And,
    Between,
    Collection,
    Contains,
    Eq,
    Field,
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

_COMPARISONS: Final[tuple[Callable[[str, Any], Where], ...]] = (Eq, Ne, Lt, Le, Gt, Ge)
_BITS: Final = ("", "a", "A", "%", "_", "*", "客", "示例", "\\", "'", "é")
_LETTERS: Final = "aAbBß0%_\\'\"客户é😀 "


def scalar(chance: Random, field: Field) -> Scalar:
    """A value of the field, None among them where it may stand."""
    if field.nullable and chance.random() < 0.25:
        return None
    if chance.random() < 0.5:
        return chance.choice(DIFFICULT[field.type])
    match field.type:
        case "text":
            return "x" + "".join(chance.choices(_LETTERS, k=chance.randrange(6))) + "y"
        case "integer":
            return chance.randint(-3, 3)
        case "decimal":
            return Decimal(chance.randint(-300, 300)).scaleb(chance.randint(-3, 3))
    return chance.choice(DIFFICULT[field.type])


def row(chance: Random, collection: Collection, fixed: Mapping[str, Sequence[Scalar]]) -> Row:
    """A row, with other choices for the fields that are named."""
    return tuple(
        chance.choice(fixed[field.name]) if field.name in fixed else scalar(chance, field)
        for field in collection.fields
    )


def _operand(chance: Random, field: Field, occurring: Sequence[Scalar]) -> Scalar:
    if occurring and chance.random() < 0.6:
        return chance.choice(occurring)
    return scalar(chance, Field(field.name, field.type, nullable=False))


def _leaf(chance: Random, collection: Collection, known: Sequence[Row]) -> Where:
    place = chance.randrange(len(collection.fields))
    field = collection.fields[place]
    occurring = [one[place] for one in known if one[place] is not None]
    kinds = ["compare", "compare", "null", "between", "in"] + ["prefix", "contains"] * (field.type == "text")
    match chance.choice(kinds):
        case "compare":
            return chance.choice(_COMPARISONS)(field.name, _operand(chance, field, occurring))
        case "null":
            return IsNull(field.name)
        case "between":
            return Between(field.name, _operand(chance, field, occurring), _operand(chance, field, occurring))
        case "in":
            return In(field.name, [_operand(chance, field, occurring) for _ in range(chance.randrange(4))])
        case kind:
            whole, start = str(_operand(chance, field, occurring)), chance.randrange(4)
            bit = chance.choice(_BITS) if chance.random() < 0.5 else whole[start : start + chance.randrange(4)]
            return Prefix(field.name, bit) if kind == "prefix" else Contains(field.name, bit)


def where(chance: Random, collection: Collection, known: Sequence[Row], depth: int = 2) -> Where:
    """A condition over a collection; values of the ``known`` rows are mixed in."""
    if depth == 0 or chance.random() < 0.5:
        return _leaf(chance, collection, known)
    if chance.random() < 0.25:
        return Not(where(chance, collection, known, depth - 1))
    parts = [where(chance, collection, known, depth - 1) for _ in range(chance.randrange(4))]
    return And(*parts) if chance.random() < 0.5 else Or(*parts)


def order(chance: Random, collection: Collection) -> tuple[str, ...]:
    """An order of up to three fields, each up or down."""
    names = [field.name for field in collection.fields]
    return tuple(chance.choice(("", "-")) + name for name in chance.sample(names, chance.randrange(4)))


def query(chance: Random, collection: Collection, known: Sequence[Row]) -> Query:
    """A query, some with a place to go on from: that of a known row, or of one that isn't there."""
    condition = where(chance, collection, known) if chance.random() < 0.8 else None
    ordered = order(chance, collection)
    limit = chance.choice((None, None, 0, 1, 2, 5))
    asked = Query(collection.name, condition, ordered, None, limit)
    if chance.random() < 0.5:
        return asked
    start = chance.choice(known) if known and chance.random() < 0.7 else row(chance, collection, {})
    return Query(collection.name, condition, ordered, place_of(start, asked, collection), limit)
