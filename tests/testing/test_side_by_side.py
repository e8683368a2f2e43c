"""Many steps over several stores at once: a store that differs is named, with the step and what it did."""

from pathlib import Path
from typing import Any

import pytest

from crmcore.storage import Query
from crmcore.storage.memory import MemoryBackend, MemoryData, MemoryStore
from crmcore.testing import SCHEMA, Harness, oracle, side_by_side
from crmcore.testing import chance as drawn
from crmcore.testing.kit_schema import KEYS, VALUES

crmcore_sqlite = pytest.importorskip("crmcore_sqlite")


def memory(kind: type[MemoryStore] = MemoryStore) -> Harness:
    data = MemoryData(SCHEMA)
    return Harness(backend=MemoryBackend(), open=lambda: kind(data))


class Forgetful(MemoryStore):
    """Claims a row too few."""

    def claim(self, query: Query, change: Any) -> Any:
        return super().claim(query, change)[:-1]


def test_stores_agree_and_a_seed_is_a_run(tmp_path: Path) -> None:
    sqlite = Harness(backend=crmcore_sqlite.SqliteBackend(), url=f"sqlite:///{tmp_path}/kit.db")
    first = side_by_side({"memory": memory(), "sqlite": sqlite}, 300, seed=5, crash_every=200)
    assert not first.divergences
    assert first.taken == 300
    assert first.steps["crash"] == 1
    assert len(first.steps) == 13, "a kind of step was never taken"
    assert side_by_side({"memory": memory()}, 300, seed=5, crash_every=200).steps == first.steps
    assert side_by_side({"memory": memory()}, 300, seed=6).steps != first.steps


def test_a_store_that_differs_is_named_and_left_out() -> None:
    told: list[int] = []
    run = side_by_side({"good": memory(), "bad": memory(Forgetful)}, 400, seed=1, tell=told.append)
    (divergence,) = run.divergences
    assert (divergence.store, run.taken) == ("bad", 400)
    assert divergence.what.startswith("claim Query(")
    assert divergence.expected != divergence.got
    assert told == list(range(1, 401))


def test_queries_drawn_are_ones_that_every_store_takes() -> None:
    from random import Random

    chance, store = Random(3), MemoryStore(MemoryData(SCHEMA))
    kinds = set()
    for _ in range(300):
        for shape in (VALUES, KEYS):
            query = drawn.query(chance, shape, [drawn.row(chance, shape, {"id": ("a", "b"), "version": (1,)})])
            kinds.add(type(query.where).__name__)
            with store.transaction() as work:
                assert list(work.find(query)) == oracle.answer(query, [], shape) == []
    assert kinds >= {"NoneType", "And", "Or", "Not", "Eq", "In", "IsNull", "Between", "Contains", "Prefix"}
