"""The query tree as SQL text, compiled once per shape.

A shape is everything but the values: the tree, the fields, the order, which values of ``after`` are None, whether
there is a limit, and the length of lists rounded up. Reading a tree's shape and values takes microseconds; building
and rendering an expression takes a thousand times as long and happens once.

No condition becomes NULL, so that Not means what it means in Python; LIKE is not used, since it folds case.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import BigInteger, Column, and_, bindparam, false, func, literal_column, not_, or_, select, true
from sqlalchemy.sql.elements import BindParameter, ColumnElement
from sqlalchemy.types import TypeEngine

from crmcore.storage import (
    And,
    Between,
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
    Row,
    Schema,
    Where,
)
from crmcore_sqlite.tables import Access, Adapter, Flavour, Pack, Statement, render

Shape: TypeAlias = list[Any]

_COMPARISONS: Mapping[type, Callable[[Any, Any], ColumnElement[bool]]] = {
    Eq: lambda column, value: column == value,
    Lt: lambda column, value: column < value,
    Le: lambda column, value: column <= value,
    Gt: lambda column, value: column > value,
    Ge: lambda column, value: column >= value,
}
_ONE_VALUE = frozenset({*_COMPARISONS, Ne, Contains})

_MOST_SHAPES = 512
# SQLite refuses an expression deeper than 1000, and Python recurses too.
_MOST_DEPTH = 30
_MOST_WORDS = 400
_MOST_WRITTEN = 10_000  # pages are shorter


class Unpushable(Exception):
    """A condition that this database can't decide; Python will."""


class Pushdown(NamedTuple):
    """A statement with its values, and what it leaves of the query."""

    statement: Statement
    values: list[Any]
    rest: Query


class Compiler:
    """Turns queries over a schema into statements for one SQL database. May be shared by threads."""

    def __init__(self, schema: Schema, flavour: Flavour) -> None:
        self._schema = schema
        self._flavour = flavour
        self._accesses: dict[str, Access] = {}
        self._statements: dict[tuple[Any, ...], Statement] = {}
        self._building = threading.Lock()

    def access(self, collection: str) -> Access:
        """The table of a collection with its statements; raises :class:`QueryError` for an unknown one."""
        found = self._accesses.get(collection)
        if found is None:
            found = self._accesses[collection] = Access(self._schema.collection(collection), self._flavour)
        return found

    def select(self, query: Query) -> Pushdown:
        """The statement for as much of the query as this database can answer."""
        collection, order, after, limit = query.collection, query.order, query.after, query.limit
        access = self.access(collection)
        shape: Shape = [collection]
        values: list[Any] = []
        pushed, left = self._divide(query.where, access, shape, values)
        rest = None if not left else left[0] if len(left) == 1 else And(*left)
        if order and access.incomparable and any(name.removeprefix("-") in access.incomparable for name in order):
            rest_query = Query(collection, rest, order, after, limit)
            order, after, limit = (), None, None
        elif rest is None:
            rest_query = access.nothing_left
        else:
            rest_query = Query(collection, rest, limit=limit)
            limit = None
        if after is not None:
            for name, value in zip((*order, "id"), after, strict=True):
                if value is not None:
                    adapter = access.adapters[name.removeprefix("-")]
                    values.append(value if adapter is None else adapter(value))
            shape.append(tuple([value is None for value in after]))
        written = limit if self._flavour.limits_written and limit is not None and limit <= _MOST_WRITTEN else None
        if limit is not None and written is None:
            adapter = access.adapters["version"]
            values.append(limit if adapter is None else adapter(limit))
        key = (*shape, order, after is None, limit is None, written)
        statement = self._statements.get(key)
        if statement is None:
            statement = self._remember(key, lambda: self._build_select(access, pushed, order, after, limit, written))
        return Pushdown(statement, values, rest_query)

    def tally(
        self, collection: str, where: Where | None, by: Sequence[str], sums: Sequence[str]
    ) -> tuple[Statement, list[Any]] | None:
        """The statement for groups with count and sums; None where Python has to count."""
        access = self.access(collection)
        if not access.incomparable.isdisjoint(by):
            return None
        shape: Shape = [collection]
        values: list[Any] = []
        pushed, left = self._divide(where, access, shape, values)
        if left:
            return None
        key = (*shape, "tally", tuple(by), tuple(sums))
        statement = self._statements.get(key)
        if statement is None:
            statement = self._remember(key, lambda: self._build_tally(access, pushed, by, sums))
        return statement, values

    # Reading shapes and values: the part that runs for every query.

    def _divide(
        self, where: Where | None, access: Access, shape: Shape, values: list[Any]
    ) -> tuple[list[Where], list[Where]]:
        pushed: list[Where] = []
        left: list[Where] = []
        for part in _conjuncts(where):
            words, count = len(shape), len(values)
            try:
                _read(part, access.adapters, self._flavour.pack, shape, values, 0)
                if len(values) > self._flavour.most_parameters:
                    raise Unpushable
            except Unpushable:
                del shape[words:], values[count:]
                left.append(part)
            else:
                pushed.append(part)
        return pushed, left

    def _remember(self, key: tuple[Any, ...], build: Callable[[], Statement]) -> Statement:
        with self._building:
            while len(self._statements) >= _MOST_SHAPES:
                del self._statements[next(iter(self._statements))]
            statement = self._statements[key] = build()
            return statement

    # Building statements: once per shape.

    def _build_select(
        self,
        access: Access,
        pushed: Sequence[Where],
        order: Sequence[str],
        after: Row | None,
        limit: int | None,
        written: int | None,
    ) -> Statement:
        builder = _Builder(access, self._flavour)
        statement = select(access.table).where(*map(builder.condition, pushed))
        if after is not None:
            statement = statement.where(builder.behind((*order, "id"), after))
        if order or after is not None or limit is not None:
            statement = statement.order_by(*builder.order(order))
        if limit is not None:
            bound = builder.parameter(BigInteger()) if written is None else literal_column(str(written))
            statement = statement.limit(bound)
        return render(statement, self._flavour.dialect, builder.names)

    def _build_tally(
        self, access: Access, pushed: Sequence[Where], by: Sequence[str], sums: Sequence[str]
    ) -> Statement:
        builder = _Builder(access, self._flavour)
        groups = [access.table.c[name] for name in by]
        totals = [func.sum(access.table.c[name]) for name in sums]
        statement = select(*groups, func.count(), *totals).select_from(access.table)
        statement = statement.where(*map(builder.condition, pushed)).group_by(*groups)
        return render(statement, self._flavour.dialect, builder.names)


def _conjuncts(where: Where | None) -> Sequence[Where]:
    """The conditions that all have to hold, each of which can be pushed or left alone."""
    if where is None:
        return ()
    if type(where) is not And:
        return (where,)
    found, waiting = [], [*reversed(where.parts)]
    while waiting:
        part = waiting.pop()
        if type(part) is And:
            waiting += reversed(part.parts)
        else:
            found.append(part)
    return found


def _read(where: Any, adapters: Mapping[str, Adapter], pack: Pack, shape: Shape, values: list[Any], depth: int) -> None:
    """Appends the shape of a condition, and its values in the order in which :class:`_Builder` takes them."""
    kind = type(where)
    if depth > _MOST_DEPTH or len(shape) > _MOST_WORDS:
        raise Unpushable
    if kind in _ONE_VALUE:  # nearly always
        field, value = where.field, where.value
        adapter = adapters[field]
        shape += (kind, field)
        values.append(value if adapter is None else adapter(value))
        return
    if kind is And or kind is Or:
        shape += (kind, len(where.parts))
        for part in where.parts:
            _read(part, adapters, pack, shape, values, depth + 1)
        return
    if kind is Not:
        shape.append(Not)
        _read(where.part, adapters, pack, shape, values, depth + 1)
        return
    field = where.field
    shape += (kind, field)
    adapter = adapters[field]
    if kind is IsNull:
        return
    if kind is In:
        if pack is not None:
            values.append(pack(where.values if adapter is None else map(adapter, where.values)))
            return
        count = len(where.values)
        padded = _padded(count)
        shape.append(padded)
        if count:
            values += where.values if adapter is None else map(adapter, where.values)
            values += values[-1:] * (padded - count)
    elif kind is Between:
        pair = (where.low, where.high)
        values += pair if adapter is None else map(adapter, pair)
    else:
        end = after_prefix(where.value)
        shape.append(end is None)
        ends = (where.value,) if end is None else (where.value, end)
        values += ends if adapter is None else map(adapter, ends)


def _padded(count: int) -> int:
    """The length a list is filled up to, so that a few shapes serve all."""
    return 1 << (count - 1).bit_length() if count else 0


def after_prefix(prefix: str) -> str | None:
    """The least text above every text that begins so, by code point; None where there is none."""
    kept = prefix.rstrip("\U0010ffff")
    if not kept:
        return None
    last = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if last == 0xD800 else last)  # the surrogates in between are no characters


class _Builder:
    """Builds expressions, numbering their parameters in the order in which :func:`_read` gives the values."""

    def __init__(self, access: Access, flavour: Flavour) -> None:
        self._access = access
        self._columns = access.table.c
        self._flavour = flavour
        self.names: list[str] = []

    def parameter(self, type_: TypeEngine[Any]) -> BindParameter[Any]:
        """The next parameter."""
        self.names.append(f"value_{len(self.names)}")
        return bindparam(self.names[-1], type_=type_)

    def condition(self, where: Where) -> ColumnElement[bool]:
        """The condition, true or false for every row."""
        if isinstance(where, And):
            return and_(true(), *map(self.condition, where.parts))
        if isinstance(where, Or):
            return or_(false(), *map(self.condition, where.parts))
        if isinstance(where, Not):
            return not_(self.condition(where.part))
        column = self._columns[where.field]
        if isinstance(where, IsNull):
            return column.is_(None)
        if isinstance(where, Ne):
            value = self.parameter(column.type)
            return column.is_distinct_from(value) if column.nullable else column != value
        found = self._leaf(where, column)
        return and_(column.is_not(None), found) if column.nullable else found

    def _leaf(self, where: Where, column: Column[Any]) -> ColumnElement[bool]:
        if isinstance(where, In):
            if self._flavour.contained is not None:
                return self._flavour.contained(column, self.parameter)
            count = _padded(len(where.values))
            return column.in_([self.parameter(column.type) for _ in range(count)]) if count else false()
        if isinstance(where, Between):
            return and_(column >= self.parameter(column.type), column <= self.parameter(column.type))
        if isinstance(where, Prefix):
            start = column >= self.parameter(column.type)
            return start if after_prefix(where.value) is None else and_(start, column < self.parameter(column.type))
        value = self.parameter(column.type)
        if isinstance(where, Contains):
            return self._flavour.contains(column, value)
        return _COMPARISONS[type(where)](column, value)

    def order(self, names: Sequence[str]) -> Iterator[ColumnElement[Any]]:
        """The terms of an order, None first, ties by id; what comes after a unique key can't matter and is left out."""
        keys = [{"id"}, *map(set, self._access.collection.unique)]
        keys = [key for key in keys if not any(self._columns[name].nullable for name in key)]
        seen: set[str] = set()
        for name in (*names, "id"):
            field = name.removeprefix("-")
            column = self._columns[field]
            descending = name.startswith("-")
            term = column.desc() if descending else column.asc()
            if column.nullable and not self._flavour.nulls_lowest:
                term = term.nulls_last() if descending else term.nulls_first()
            yield term
            seen.add(field)
            if any(key <= seen for key in keys):
                return

    def behind(self, names: Sequence[str], place: Row) -> ColumnElement[bool]:
        """The rows that come after a place in the order.

        Each step says "not before" beside "after, or equal and then": so that an index is entered at the place. Stands
        alone under the statement's WHERE, so NULL may do for false here.
        """
        steps = [self._step(name, value) for name, value in zip(names, place, strict=True)]
        _, condition = steps.pop()
        for not_before, after in reversed(steps):
            condition = and_(not_before, or_(after, condition))
        return condition

    def _step(self, name: str, value: Any) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        """Whether a row is not before the value in this term of the order, and whether it is after it."""
        column = self._columns[name.removeprefix("-")]
        if name.startswith("-"):
            if value is None:
                return column.is_(None), false()
            bound = self.parameter(column.type)
            not_before, after = column <= bound, column < bound
            if not column.nullable:
                return not_before, after
            return or_(not_before, column.is_(None)), or_(after, column.is_(None))
        if value is None:
            return true(), column.is_not(None)
        bound = self.parameter(column.type)
        return column >= bound, column > bound
