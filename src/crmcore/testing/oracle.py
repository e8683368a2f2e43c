"""A second opinion on what a query means and what a batch does: plain dicts and loops, sharing no code with the library.

Only the shapes of queries and changes are imported. Where this and a store disagree, one of them is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crmcore.errors import Conflict, DuplicateKey, StorageError
from crmcore.storage import (
    And,
    Between,
    Change,
    Collection,
    Contains,
    Delete,
    Eq,
    Ge,
    Gt,
    In,
    Insert,
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


def named(row: Row, collection: Collection) -> dict[str, Any]:
    """A row as a dict."""
    return {field.name: value for field, value in zip(collection.fields, row, strict=True)}


def holds(where: Where | None, record: Mapping[str, Any]) -> bool:
    """Whether the condition is true of a record."""
    if where is None:
        return True
    if isinstance(where, And):
        return all(holds(part, record) for part in where.parts)
    if isinstance(where, Or):
        return any(holds(part, record) for part in where.parts)
    if isinstance(where, Not):
        return not holds(where.part, record)
    value: Any = record[where.field]
    if isinstance(where, IsNull):
        return value is None
    if isinstance(where, Ne):
        return value is None or not value == where.value  # noqa: SIM201 - said as the contract says it
    return value is not None and _true(where, value)


def _true(where: Any, value: Any) -> bool:
    if isinstance(where, Eq):
        return bool(value == where.value)
    if isinstance(where, Lt):
        return bool(value < where.value)
    if isinstance(where, Le):
        return bool(value < where.value or value == where.value)
    if isinstance(where, Gt):
        return bool(where.value < value)
    if isinstance(where, Ge):
        return bool(where.value < value or value == where.value)
    if isinstance(where, In):
        return any(value == member for member in where.values)
    if isinstance(where, Between):
        return bool(not value < where.low and not where.high < value)
    if isinstance(where, Prefix):
        return bool(value[: len(where.value)] == where.value)
    if isinstance(where, Contains):
        return bool(value.find(where.value) >= 0)
    raise TypeError(f"{type(where).__name__} is no condition")


def _sort(records: list[dict[str, Any]], order: Sequence[str]) -> None:
    # A stable sort by the last field first; a reversed one keeps equals in their order.
    records.sort(key=lambda record: record["id"])
    for name in reversed(order):
        _sort_by(records, name.removeprefix("-"), name.startswith("-"))


def _sort_by(records: list[dict[str, Any]], name: str, descending: bool) -> None:
    absent = [record for record in records if record[name] is None]
    present = [record for record in records if record[name] is not None]
    present.sort(key=lambda record: record[name], reverse=descending)
    records[:] = present + absent if descending else absent + present


def answer(query: Query, rows: Iterable[Row], collection: Collection) -> list[Row]:
    """The rows of the query, in order; by id where it names no order."""
    found = [record for row in rows if holds(query.where, record := named(row, collection))]
    if query.after is None:
        _sort(found, query.order)
    else:
        # The mark takes part in the sort as a record of its own, put last so that it ends up behind its equal.
        names = [name.removeprefix("-") for name in query.order]
        mark: dict[str, Any] = {**dict(zip(names, query.after, strict=False)), "id": query.after[-1]}
        found.append(mark)
        _sort(found, query.order)
        found = found[next(place for place, record in enumerate(found) if record is mark) + 1 :]
    if query.limit is not None:
        found = found[: query.limit]
    return [tuple(record.values()) for record in found]


def tally(
    rows: Iterable[Row], where: Where | None, by: Sequence[str], sums: Sequence[str], collection: Collection
) -> list[Row]:
    """Groups with their counts and sums, None first."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        record = named(row, collection)
        if holds(where, record):
            groups.setdefault(tuple(record[name] for name in by), []).append(record)
    heads = [{"id": "", **dict(zip(map(str, range(len(by))), group, strict=True))} for group in groups]
    _sort(heads, [str(place) for place in range(len(by))])
    counted = []
    for head in heads:
        group = tuple(head[str(place)] for place in range(len(by)))
        members = groups[group]
        totals = [sum(member[name] for member in members if member[name] is not None) for name in sums]
        counted.append((*group, len(members), *totals))
    return counted


class Model:
    """What a store should hold: per collection a dict of rows by id."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.tables: dict[str, dict[str, Row]] = {name: {} for name in schema.collections}

    def attempt(self, changes: Iterable[Change]) -> type[StorageError] | None:
        """Makes the changes and returns None, or makes none and returns the error that a store must raise."""
        after = {name: dict(rows) for name, rows in self.tables.items()}
        for change in changes:
            problem = self._make(after[change.collection], change)
            if problem is not None:
                return problem
        self.tables = after
        return None

    def _make(self, rows: dict[str, Row], change: Change) -> type[StorageError] | None:
        if isinstance(change, Delete):
            if change.id not in rows or rows[change.id][1] != change.expected_version:
                return Conflict
            del rows[change.id]
            return None
        id = str(change.row[0])
        if isinstance(change, Insert):
            if id in rows:
                return DuplicateKey
        elif id not in rows or rows[id][1] != change.expected_version:
            return Conflict
        collection = self.schema.collections[change.collection]
        for other_id, other in rows.items():
            if other_id != id and _share_key(collection, other, change.row):
                return DuplicateKey
        rows[id] = change.row
        return None


def _share_key(collection: Collection, one: Row, other: Row) -> bool:
    first, second = named(one, collection), named(other, collection)
    return any(
        all(first[name] is not None and first[name] == second[name] for name in key) for key in collection.unique
    )
