"""Many steps over several stores side by side, all of them held to one plain dict.

The steps are those of the state machine, drawn from one seed: the same seed is the same run on any store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from random import Random
from typing import Any, Final, cast

import attrs

from crmcore.errors import StorageError
from crmcore.storage import Capability, Change, Collection, Delete, Insert, Query, Row, Scalar, Store, Update, place_of
from crmcore.testing import chance, oracle
from crmcore.testing.harness import Harness
from crmcore.testing.kit_schema import KEYS, SCHEMA, VALUES, changed
from crmcore.testing.processes import DIED, die_changing, run_children

#: A small universe, so that rows meet again.
_IDS: Final = ("a", "b", "c", "d", "e", "A", "ａ", "客", "%", "_", "0", "00")
_FIXED: Final[Mapping[str, Mapping[str, tuple[Scalar, ...]]]] = {
    VALUES.name: {"id": _IDS, "version": (1,)},
    KEYS.name: {
        "id": _IDS,
        "version": (1,),
        "number": ("1", "2", "01", "１", "x", "X"),
        "scope": (None, "x", "y"),
        "serial": (None, 1, 2),
    },
}
_STEPS: Final = (
    *("insert", "insert", "update", "update", "delete", "batch", "batch", "roll back"),
    *("find", "find", "page through", "tally", "get many", "claim", "reopen", "lose a handle"),
)


class _Lost(Exception):
    pass


@attrs.frozen(kw_only=True)
class Divergence:
    """A step after which a store was not as the dict: the step, counted from 1, and what differed."""

    step: int
    store: str
    what: str
    expected: str
    got: str


@attrs.frozen(kw_only=True)
class Run:
    """What a run came to: how often each kind of step was taken, and every divergence."""

    seed: int
    steps: Mapping[str, int]
    divergences: tuple[Divergence, ...]

    @property
    def taken(self) -> int:
        """How many steps were taken."""
        return sum(self.steps.values())


def side_by_side(
    harnesses: Mapping[str, Harness],
    steps: int,
    *,
    seed: int = 0,
    crash_every: int = 0,
    look_every: int = 25,
    tell: Callable[[int], None] = lambda step: None,
) -> Run:
    """Takes the same steps on every store, through two handles each, and compares each answer with the dict's.

    All rows are compared every ``look_every`` steps and at the end. With ``crash_every`` a process dies in the middle of a
    transaction every so many steps, on stores that are durable and have a URL. A store that has diverged is left out from then
    on. ``tell`` is told of every step.
    """
    return _Runner(harnesses, seed).run(steps, crash_every, look_every, tell)


class _Runner:
    def __init__(self, harnesses: Mapping[str, Harness], seed: int) -> None:
        self.harnesses = dict(harnesses)
        self.seed = seed
        self.chance = Random(seed)  # noqa: S311 - repeatable, guards nothing
        self.model = oracle.Model(SCHEMA)
        self.stores: dict[str, list[Store]] = {}
        self.divergences: list[Divergence] = []
        self.step = 0

    def run(self, steps: int, crash_every: int, look_every: int, tell: Callable[[int], None]) -> Run:
        counts: Counter[str] = Counter()
        with ExitStack() as stack:
            stack.callback(self._close)
            for name, harness in self.harnesses.items():
                harness.clear()
                self.stores[name] = [harness.open(), harness.open()]
            for self.step in range(1, steps + 1):
                kind = self.chance.choice(_STEPS)
                if crash_every and self.step % crash_every == 0:
                    kind = "crash"
                counts[kind] += 1
                getattr(self, "_" + kind.replace(" ", "_"))()
                if self.step % look_every == 0 or self.step == steps:
                    self._look()
                tell(self.step)
        return Run(seed=self.seed, steps=counts, divergences=tuple(self.divergences))

    def _close(self) -> None:
        for stores in self.stores.values():
            for store in stores:
                store.close()

    # What is compared

    def _each(self, what: str, expected: Any, ask: Callable[[str, list[Store]], Any]) -> None:
        """Asks every store, and notes those whose answer isn't the one expected."""
        for name, stores in list(self.stores.items()):
            try:
                got = ask(name, stores)
            except Exception as error:
                got = type(error)
                if got is not expected:
                    got = f"{type(error).__name__}: {error}"
            if got != expected:
                self.divergences.append(
                    Divergence(step=self.step, store=name, what=what, expected=repr(expected), got=repr(got))
                )
                for store in self.stores.pop(name):
                    store.close()

    def _look(self) -> None:
        def held(name: str, stores: list[Store]) -> Any:
            found = []
            for store in stores:
                with store.transaction() as work:
                    found.append({shape: {row[0]: row for row in work.scan(shape)} for shape in self.model.tables})
            return found

        self._each("all rows", [self.model.tables] * 2, held)

    # The steps

    def _drawn(self) -> tuple[int, Collection, list[Row]]:
        collection = self.chance.choice((VALUES, KEYS))
        return self.chance.randrange(2), collection, list(self.model.tables[collection.name].values())

    def _change(self, kind: str) -> Change:
        collection = self.chance.choice((VALUES, KEYS))
        known = self.model.tables[collection.name]
        row = chance.row(self.chance, collection, _FIXED[collection.name])
        if kind == "insert":
            return Insert(collection.name, row)
        # Mostly a row that is there, mostly at the version it has.
        id = self.chance.choice(sorted(known)) if known and self.chance.random() < 0.8 else self.chance.choice(_IDS)
        version = cast(int, known[id][1]) if id in known else 1
        expected = version if self.chance.random() < 0.85 else version + 1
        if kind == "delete":
            return Delete(collection.name, id, expected)
        return Update(collection.name, changed(collection, (id, version, *row[2:])), expected)

    def _write(self, changes: list[Change]) -> None:
        handle, expected = self.chance.randrange(2), self.model.attempt(changes)

        def write(name: str, stores: list[Store]) -> type[StorageError] | None:
            with stores[handle].transaction(write=True) as work:
                work.apply(iter(changes))
            return None

        self._each(f"write {changes}", expected, write)

    def _insert(self) -> None:
        self._write([self._change("insert")])

    def _update(self) -> None:
        self._write([self._change("update")])

    def _delete(self) -> None:
        self._write([self._change("delete")])

    def _batch(self) -> None:
        kinds = self.chance.choices(("insert", "update", "delete"), k=self.chance.randint(2, 5))
        self._write([self._change(kind) for kind in kinds])

    def _undone(self, reopened: bool) -> None:
        change, handle = self._change(self.chance.choice(("insert", "update"))), self.chance.randrange(2)
        trial = oracle.Model(SCHEMA)
        trial.tables = dict(self.model.tables)
        refused = trial.attempt([change])

        def undo(name: str, stores: list[Store]) -> Any:
            seen = None
            try:
                with stores[handle].transaction(write=True) as work:
                    work.apply([change])
                    seen = {row[0]: row for row in work.scan(change.collection)}
                    raise _Lost
            except _Lost:
                pass
            finally:
                if reopened:
                    stores[handle].close()
                    stores[handle] = self.harnesses[name].open()
            return seen

        self._each(f"undo {change}", refused or trial.tables[change.collection], undo)

    def _roll_back(self) -> None:
        self._undone(reopened=False)

    def _lose_a_handle(self) -> None:
        self._undone(reopened=True)

    def _find(self) -> None:
        handle, collection, known = self._drawn()
        query = chance.query(self.chance, collection, known)
        ordered = bool(query.order or query.after is not None or query.limit is not None)

        def find(name: str, stores: list[Store]) -> list[Row]:
            with stores[handle].transaction() as work:
                rows = list(work.find(query))
            return rows if ordered else sorted(rows, key=lambda row: str(row[0]))

        self._each(f"find {query}", oracle.answer(query, known, collection), find)

    def _page_through(self) -> None:
        handle, collection, known = self._drawn()
        where = chance.where(self.chance, collection, known)
        whole = Query(collection.name, where, chance.order(self.chance, collection))
        size = self.chance.randint(1, 4)

        def pages(name: str, stores: list[Store]) -> list[Row]:
            rows: list[Row] = []
            after = None
            with stores[handle].transaction() as work:
                while page := list(work.find(Query(whole.collection, where, whole.order, after, size))):
                    rows += page
                    after = place_of(page[-1], whole, collection)
                    if len(rows) > len(known):
                        break
            return rows

        self._each(f"pages of {size} of {whole}", oracle.answer(whole, known, collection), pages)

    def _tally(self) -> None:
        handle, collection, known = self._drawn()
        where = chance.where(self.chance, collection, known)
        by = self.chance.sample([field.name for field in collection.fields], self.chance.randrange(3))
        sums = [field.name for field in collection.fields if field.type == "integer" and self.chance.random() < 0.5]

        def tally(name: str, stores: list[Store]) -> list[Row]:
            with stores[handle].transaction() as work:
                return work.tally(collection.name, where, by, sums)

        expected = oracle.tally(known, where, by, sums, collection)
        self._each(f"tally {collection.name} {where} by {by} of {sums}", expected, tally)

    def _get_many(self) -> None:
        handle, collection, _ = self._drawn()
        ids = self.chance.choices(_IDS, k=self.chance.randrange(5))
        rows = self.model.tables[collection.name]

        def get(name: str, stores: list[Store]) -> dict[str, Row]:
            with stores[handle].transaction() as work:
                return work.get_many(collection.name, ids)

        self._each(f"get {ids} of {collection.name}", {id: rows[id] for id in ids if id in rows}, get)

    def _claim(self) -> None:
        handle, known = self.chance.randrange(2), list(self.model.tables[VALUES.name].values())
        where = chance.where(self.chance, VALUES, known)
        query = Query(VALUES.name, where, chance.order(self.chance, VALUES), None, self.chance.randint(1, 3))
        mark = self.chance.randint(-9, 9)

        def take(row: Row) -> Row:
            return changed(VALUES, row, integer=mark)

        claimed = [take(row) for row in oracle.answer(query, known, VALUES)]
        self.model.attempt([Update(VALUES.name, row, cast(int, row[1]) - 1) for row in claimed])
        self._each(f"claim {query}", claimed, lambda name, stores: stores[handle].claim(query, take))

    def _reopen(self) -> None:
        handle = self.chance.randrange(2)

        def reopen(name: str, stores: list[Store]) -> None:
            stores[handle].close()
            stores[handle] = self.harnesses[name].open()

        self._each("reopen", None, reopen)

    def _crash(self) -> None:
        def crash(name: str, stores: list[Store]) -> None:
            harness = self.harnesses[name]
            if Capability.DURABLE in harness.backend.capabilities and harness.url is not None:
                run_children(harness.backend, harness.url, die_changing, (), expected=DIED)

        self._each("crash", None, crash)
        self._look()
