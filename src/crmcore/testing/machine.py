"""The state machine: whatever is done to a store, through two handles, it must do as a plain dict does."""

from __future__ import annotations

from itertools import starmap
from typing import ClassVar, cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from crmcore.errors import StorageError
from crmcore.storage import Change, Collection, Delete, Insert, Query, Row, Store, Update, place_of
from crmcore.testing import oracle, strategies
from crmcore.testing.harness import Harness
from crmcore.testing.kit_schema import KEYS, SCHEMA, VALUES, changed

# A small universe, so that rows meet again.
_IDS = st.sampled_from(["a", "b", "c", "d", "e", "A"])
_COLLECTIONS = st.sampled_from([VALUES, KEYS])
_ROWS = {
    VALUES.name: strategies.rows(
        VALUES, id=_IDS, text=st.sampled_from([None, "x", "X", "%"]), integer=st.integers(0, 2)
    ),
    KEYS.name: strategies.rows(
        KEYS,
        id=_IDS,
        number=st.sampled_from(["1", "2", "01", "１"]),
        scope=st.sampled_from([None, "x"]),
        serial=st.sampled_from([None, 1]),
    ),
}
_HANDLES = st.sampled_from([0, 1])
_MOSTLY = st.sampled_from([True, True, True, False])


class _RolledBack(Exception):
    pass


class StoreMachine(RuleBasedStateMachine):
    """Made from a harness by :func:`machine_of`; a plain dict says what must come of each step."""

    harness: ClassVar[Harness]

    def __init__(self) -> None:
        super().__init__()
        self.model = oracle.Model(SCHEMA)
        self.stores: list[Store] = []

    @initialize(data=st.data())
    def open(self, data: st.DataObject) -> None:
        """Two handles on a few rows."""
        self.harness.clear()
        self.stores = [self.harness.open(), self.harness.open()]
        rows = [(name, row) for name, drawn in _ROWS.items() for row in data.draw(st.lists(drawn, max_size=5))]
        trial = self.trial
        self._write(0, [change for change in starmap(Insert, rows) if trial.attempt([change]) is None])

    @property
    def trial(self) -> oracle.Model:
        """A copy of the dict, to see what a change would come to."""
        trial = oracle.Model(SCHEMA)
        trial.tables = dict(self.model.tables)
        return trial

    def teardown(self) -> None:
        for store in self.stores:
            store.close()

    def _change(self, data: st.DataObject, collection: Collection, kind: str) -> Change:
        known = self.model.tables[collection.name]
        row: Row = data.draw(_ROWS[collection.name])
        if kind == "insert":
            return Insert(collection.name, row)
        # Mostly a row that is there, mostly at the version it has.
        there = data.draw(_MOSTLY) and bool(known)
        id = data.draw(st.sampled_from(sorted(known)) if there else _IDS)
        version = cast(int, known[id][1]) if id in known else 1
        expected = version if data.draw(_MOSTLY) else version + 1
        if kind == "delete":
            return Delete(collection.name, id, expected)
        return Update(collection.name, changed(collection, (id, version, *row[2:])), expected)

    def _write(self, handle: int, changes: list[Change]) -> None:
        expected: type[StorageError] | None = self.model.attempt(changes)
        if expected is None:
            with self.stores[handle].transaction(write=True) as work:
                work.apply(iter(changes))
            return
        with pytest.raises(expected) as raised, self.stores[handle].transaction(write=True) as work:
            work.apply(iter(changes))
        assert type(raised.value) is expected

    @rule(data=st.data(), handle=_HANDLES, collection=_COLLECTIONS)
    def insert(self, data: st.DataObject, handle: int, collection: Collection) -> None:
        """A row that may be there already, or whose key may be taken."""
        self._write(handle, [self._change(data, collection, "insert")])

    @rule(data=st.data(), handle=_HANDLES, collection=_COLLECTIONS)
    def update(self, data: st.DataObject, handle: int, collection: Collection) -> None:
        """A row that may be gone, at another version, or in another's way."""
        self._write(handle, [self._change(data, collection, "update")])

    @rule(data=st.data(), handle=_HANDLES, collection=_COLLECTIONS)
    def delete(self, data: st.DataObject, handle: int, collection: Collection) -> None:
        """A row that may be gone or at another version."""
        self._write(handle, [self._change(data, collection, "delete")])

    @rule(
        data=st.data(),
        handle=_HANDLES,
        parts=st.lists(
            st.tuples(_COLLECTIONS, st.sampled_from(["insert", "update", "delete"])), min_size=2, max_size=5
        ),
    )
    def batch(self, data: st.DataObject, handle: int, parts: list[tuple[Collection, str]]) -> None:
        """Several changes, of which any may be refused: then none is made."""
        self._write(handle, [self._change(data, collection, kind) for collection, kind in parts])

    @rule(data=st.data(), handle=_HANDLES, collection=_COLLECTIONS)
    def roll_back(self, data: st.DataObject, handle: int, collection: Collection) -> None:
        """A change that is seen inside, and taken back by an exception."""
        change = self._change(data, collection, data.draw(st.sampled_from(["insert", "delete"])))
        trial = self.trial
        possible = trial.attempt([change]) is None
        with pytest.raises((_RolledBack, StorageError)), self.stores[handle].transaction(write=True) as work:
            work.apply([change])
            assert possible
            assert {row[0]: row for row in work.scan(collection.name)} == trial.tables[collection.name]
            raise _RolledBack

    @rule(data=st.data(), handle=_HANDLES, collection=_COLLECTIONS)
    def find(self, data: st.DataObject, handle: int, collection: Collection) -> None:
        """Any query."""
        known = list(self.model.tables[collection.name].values())
        query: Query = data.draw(strategies.queries(collection, known))
        with self.stores[handle].transaction() as work:
            got = list(work.find(query))
        if not (query.order or query.after is not None or query.limit is not None):
            got.sort(key=lambda row: str(row[0]))
        assert got == oracle.answer(query, known, collection)

    @rule(data=st.data(), handle=_HANDLES, collection=_COLLECTIONS, size=st.integers(1, 3))
    def page_through(self, data: st.DataObject, handle: int, collection: Collection, size: int) -> None:
        """Page after page, until there is no more: together they are the whole."""
        known = list(self.model.tables[collection.name].values())
        where = data.draw(st.none() | strategies.wheres(collection, known))
        whole = Query(collection.name, where, data.draw(strategies.orders(collection)))
        found: list[Row] = []
        after = None
        with self.stores[handle].transaction() as work:
            while page := list(work.find(Query(whole.collection, whole.where, whole.order, after, size))):
                found += page
                after = place_of(page[-1], whole, collection)
                assert len(found) <= len(known), "a row comes twice"
        assert found == oracle.answer(whole, known, collection)

    @rule(handle=_HANDLES)
    def reopen(self, handle: int) -> None:
        """One handle closed and opened again; the other stays, so that nothing need be durable."""
        self.stores[handle].close()
        self.stores[handle] = self.harness.open()

    @invariant()
    def agrees(self) -> None:
        """Each handle gives what the dict holds."""
        for store in self.stores:
            with store.transaction() as work:
                for name, rows in self.model.tables.items():
                    assert {row[0]: row for row in work.scan(name)} == rows


def machine_of(harness: Harness) -> type[StoreMachine]:
    """The machine over a harness, for :func:`hypothesis.stateful.run_state_machine_as_test`."""

    class Machine(StoreMachine):
        pass

    Machine.harness = harness
    return Machine


def run_machine(harness: Harness) -> None:
    """As many runs of the machine as the harness asks for."""
    run_state_machine_as_test(machine_of(harness), settings=harness.settings())
