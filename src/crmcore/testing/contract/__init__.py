"""The storage contract as tests: one class, made of one part per family of clauses."""

from __future__ import annotations

import pytest

from crmcore.testing.clause import Contract, clause
from crmcore.testing.contract.asking import Querying, Tallying
from crmcore.testing.contract.claiming import Claiming, Outbox
from crmcore.testing.contract.cleaning import Cleaning
from crmcore.testing.contract.crashing import Crashing
from crmcore.testing.contract.editing import Edited
from crmcore.testing.contract.keeping import Identity, Keys, Values
from crmcore.testing.contract.lasting import Capabilities, Closing, Errors, Large, Reopening, Urls
from crmcore.testing.contract.moving import BackingUp, Upgrading
from crmcore.testing.contract.ordering import Ordering
from crmcore.testing.contract.sharing import Handles, Isolation, Processes, Threads
from crmcore.testing.contract.writing import Batches, Conflicts, Transactions
from crmcore.testing.harness import Harness
from crmcore.testing.machine import run_machine
from crmcore.testing.side_by_side import side_by_side

HOW_TO = """this contract needs to know your store: override the fixture, in a class whose name begins with Test,

    class TestMyStore(StoreContract):
        @pytest.fixture
        def harness(self, tmp_path):
            return Harness(backend=MyBackend(), url=f"my:///{tmp_path}/kit")

The data are empty at first, and every call of harness.open() is a new handle on the same data."""


class Models(Contract):
    """S-MODEL: whatever is done, in whatever order, the store does as a plain dict does."""

    @clause("S-MODEL-01", "Any run of writes, queries, pages, reopenings and roll-backs agrees with a plain dict")
    def test_a_run_agrees_with_a_plain_dict(self, harness: Harness) -> None:
        run_machine(harness)

    @clause(
        "S-MODEL-02",
        "So does a long run with claims, tallies, handles given up within a transaction and, where it lasts, a process that dies",
        since=(1, 1),
    )
    def test_a_long_run_agrees_with_a_plain_dict(self, harness: Harness) -> None:
        steps = harness.examples * harness.steps
        run = side_by_side({"the store": harness}, steps, crash_every=max(steps * 2 // 3, 1))
        assert not run.divergences, str(run.divergences[0])
        assert run.taken == steps


class StoreContract(
    Values,
    Identity,
    Keys,
    Conflicts,
    Batches,
    Transactions,
    Isolation,
    Handles,
    Threads,
    Processes,
    Claiming,
    Outbox,
    Ordering,
    Querying,
    Tallying,
    Large,
    Reopening,
    Closing,
    Errors,
    Urls,
    BackingUp,
    Cleaning,
    Upgrading,
    Crashing,
    Edited,
    Capabilities,
    Models,
):
    """What every store promises. Subclass it and give it a ``harness``; the clauses are never overridden silently."""

    @pytest.fixture
    def harness(self) -> Harness:
        """The store to be tried, empty."""
        raise NotImplementedError(HOW_TO)
