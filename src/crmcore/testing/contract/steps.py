"""The few steps that the clauses are written in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from crmcore.errors import StorageError
from crmcore.storage import Change, Collection, Insert, Row, Scalar, Store
from crmcore.testing.harness import Harness
from crmcore.testing.kit_schema import SCHEMA


@contextmanager
def opened(harness: Harness) -> Iterator[Store]:
    """A handle for as long as the block lasts."""
    with closing(harness.open()) as store:
        yield store


@contextmanager
def pair(harness: Harness) -> Iterator[tuple[Store, Store]]:
    """Two handles on the same data."""
    with opened(harness) as one, opened(harness) as other:
        yield one, other


def write(store: Store, *changes: Change) -> None:
    """Makes the changes in a transaction of their own."""
    with store.transaction(write=True) as work:
        work.apply(changes)


def add(store: Store, collection: Collection, *rows: Row) -> None:
    """Inserts the rows in a transaction of their own."""
    with store.transaction(write=True) as work:
        work.apply(Insert(collection.name, row) for row in rows)


def read(store: Store, collection: Collection, id: str) -> Row | None:
    """The row, in a transaction of its own."""
    with store.transaction() as work:
        return work.get(collection.name, id)


def everything(store: Store) -> dict[str, dict[Scalar, Row]]:
    """All rows by collection and id; fails for an id that comes twice."""
    found: dict[str, dict[Scalar, Row]] = {}
    with store.transaction() as work:
        for name in SCHEMA.collections:
            rows = list(work.scan(name))
            found[name] = {row[0]: row for row in rows}
            assert len(found[name]) == len(rows), f"a row of {name} comes twice"
    return found


def refuse(store: Store, error: type[StorageError], *changes: Change) -> StorageError:
    """The changes must raise exactly this error and leave everything as it was."""
    before = everything(store)
    with pytest.raises(error) as raised, store.transaction(write=True) as work:
        work.apply(changes)
    assert type(raised.value) is error
    assert everything(store) == before
    return raised.value


def assert_same(got: Row | None, kept: Row) -> None:
    """The row as it was kept: equal, a tuple, every value of its own type, instants in UTC."""
    assert got is not None, "the row is gone"
    assert isinstance(got, tuple), "rows are tuples"
    assert got == kept
    assert [type(value) for value in got] == [type(value) for value in kept]
    for value, original in zip(got, kept, strict=True):
        zone, expected = getattr(value, "tzinfo", None), getattr(original, "tzinfo", None)
        assert (zone is None) == (expected is None)
        if zone is not None:
            assert not zone.utcoffset(value), "instants are in UTC"
