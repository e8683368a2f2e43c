"""The kit is tested too: a store with one seeded defect must fail the clauses that are there to catch it.

Each mutant breaks one promise of the memory store. Every clause of the contract is failed by at least one of them, so
none is there for show.
"""

import mutants_of_lasting
import mutants_of_reading
import mutants_of_writing
import pytest
from mutants import MUTANTS, Patch, Seed, harness_of

from crmcore.storage.memory import MemoryData
from crmcore.testing import SCHEMA, StoreContract, clauses, run_contract

#: Importing them registers their mutants.
REGISTERED = (mutants_of_writing, mutants_of_reading, mutants_of_lasting)


@pytest.mark.parametrize(("seed", "ids"), [pytest.param(seed, ids, id=seed.__name__) for seed, ids in MUTANTS])
def test_a_mutant_fails(seed: Seed, ids: tuple[str, ...], monkeypatch: Patch) -> None:
    with monkeypatch.context() as patch:
        make_harness = seed(patch) or (lambda: harness_of(MemoryData(SCHEMA)))
        report = run_contract(make_harness, only=ids)
    assert set(report.failed) == set(ids), str(report)


def test_every_clause_is_failed_by_a_mutant() -> None:
    caught = {id for _, ids in MUTANTS for id in ids}
    assert sorted(set(clauses(StoreContract)) - caught) == []


def test_the_memory_store_fails_nothing() -> None:
    report = run_contract(lambda: harness_of(MemoryData(SCHEMA), examples=5))
    assert not report.failed, str(report)
    assert not report.expected
    assert set(report.passed) | set(report.skipped) == set(clauses(StoreContract))
    assert all("needs" in reason for reason in report.skipped.values())
    assert len(report.passed) >= 80
    assert str(report).startswith(f"passed {len(report.passed)} of {len(report.passed)} applicable clauses")
