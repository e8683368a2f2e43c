"""The Python evaluation of a query: the reference that every store must agree with, and what finishes what a store left.

Slow is possible, wrong is not: a backend that pushes nothing down is as right as one that pushes all.
"""

from __future__ import annotations

import heapq
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, cast

from crmcore.storage.query import (
    And,
    Between,
    Compare,
    Contains,
    Eq,
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
    Where,
)
from crmcore.storage.schema import Collection, Row, Scalar

Predicate = Callable[[Row], bool]

_OPERATORS: dict[type, Callable[[Any, Any], bool]] = {
    Eq: operator.eq,
    Lt: operator.lt,
    Le: operator.le,
    Gt: operator.gt,
    Ge: operator.ge,
}


def predicate(where: Where | None, collection: Collection) -> Predicate:
    """The condition as a function of a row."""
    match where:
        case None:
            return lambda row: True
        case And(parts):
            tests = [predicate(part, collection) for part in parts]
            return lambda row: all(test(row) for test in tests)
        case Or(parts):
            tests = [predicate(part, collection) for part in parts]
            return lambda row: any(test(row) for test in tests)
        case Not(part):
            negated = predicate(part, collection)
            return lambda row: not negated(row)
        case _:
            return _leaf(where, collection.position(where.field))


def _leaf(where: Where, place: int) -> Predicate:
    match where:
        case IsNull():
            return lambda row: row[place] is None
        case Ne(_, value):
            return lambda row: row[place] != value
        case In(_, values):
            members = frozenset(values)
            return lambda row: row[place] is not None and row[place] in members
        case Between(_, low, high):
            return lambda row: (found := row[place]) is not None and cast(Any, low) <= found <= cast(Any, high)
        case Prefix(_, text):
            return lambda row: (found := row[place]) is not None and cast(str, found).startswith(text)
        case Contains(_, text):
            return lambda row: (found := row[place]) is not None and text in cast(str, found)
        case _:
            compare, value = _OPERATORS[type(where)], cast(Compare, where).value
            return lambda row: (found := row[place]) is not None and compare(found, value)


class _Descending:
    """Turns an order around, for types that have no negative."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: _Descending) -> bool:
        return bool(other.value < self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Descending) and bool(self.value == other.value)

    __hash__ = None  # type: ignore[assignment]


def _key(values: Iterable[Scalar], directions: Sequence[bool]) -> list[Any]:
    key: list[Any] = []
    for value, descending in zip(values, directions, strict=True):
        ranked: Any = (value is not None, 0 if value is None else value)
        key.append(_Descending(ranked) if descending else ranked)
    return key


def sort_key(order: Sequence[str], collection: Collection) -> Callable[[Row], list[Any]]:
    """The key of a row in the order: None first, ties by id."""
    places = [collection.position(name.removeprefix("-")) for name in order] + [0]
    directions = [name.startswith("-") for name in order] + [False]
    return lambda row: _key([row[place] for place in places], directions)


def finish(rows: Iterable[Row], rest: Query, collection: Collection) -> Iterator[Row]:
    """What remains of a query, over the rows a store gave: filter, go behind ``after``, sort, cut.

    Where no order remains, the rows stay in the order the store gave them in.
    """
    if rest.where is not None:
        rows = filter(predicate(rest.where, collection), rows)
    if rest.after is not None:
        key = sort_key(rest.order, collection)
        directions = [name.startswith("-") for name in rest.order] + [False]
        mark = _key(rest.after, directions)
        rows = [row for row in rows if mark < key(row)]
    if rest.order:
        key = sort_key(rest.order, collection)
        rows = sorted(rows, key=key) if rest.limit is None else heapq.nsmallest(rest.limit, rows, key=key)
    return islice(rows, rest.limit) if rest.limit is not None else iter(rows)


def tally_rows(rows: Iterable[Row], by: Sequence[str], sums: Sequence[str], collection: Collection) -> list[Row]:
    """Per group of equal ``by`` values: those values, the number of rows, and the sum of each field of ``sums``.

    None is a group of its own and adds nothing to a sum. Groups come in order, None first.
    """
    places = [collection.position(name) for name in by]
    measured = [collection.position(name) for name in sums]
    totals: dict[Row, list[int]] = {}
    for row in rows:
        total = totals.setdefault(tuple(row[place] for place in places), [0] * (len(measured) + 1))
        total[0] += 1
        for index, place in enumerate(measured, 1):
            total[index] += cast(int, row[place]) if row[place] is not None else 0
    return in_group_order([(*group, *total) for group, total in totals.items()], len(by))


def in_group_order(rows: Iterable[Row], groups: int) -> list[Row]:
    """Tally rows in the order of their groups, None first."""
    ascending = [False] * groups
    return sorted(rows, key=lambda row: _key(row[:groups], ascending))
