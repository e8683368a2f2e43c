"""The kit: what anyone runs who writes a backend, and Hypothesis strategies for anyone who tests with crmcore.

Needs ``pip install "crmcore[testing]"``; pytest and Hypothesis are imported nowhere else in the library.

>>> from crmcore.testing import Harness, StoreContract, run_contract
"""

import pytest

pytest.register_assert_rewrite(
    "crmcore.testing.contract",
    "crmcore.testing.machine",
    "crmcore.testing.notifier_contract",
    "crmcore.testing.processes",
)

from crmcore.testing import strategies  # noqa: E402
from crmcore.testing.clause import CONTRACT_VERSION, Clause, clause, clauses, expected_failure  # noqa: E402
from crmcore.testing.contract import StoreContract  # noqa: E402
from crmcore.testing.crashes import Crash, crash_points  # noqa: E402
from crmcore.testing.edit_plan import PersonsEdit  # noqa: E402
from crmcore.testing.faults import FaultPlan, FaultyStore, SlowStore, at_call, by_chance  # noqa: E402
from crmcore.testing.harness import Harness  # noqa: E402
from crmcore.testing.kit_schema import SCHEMA  # noqa: E402
from crmcore.testing.machine import StoreMachine  # noqa: E402
from crmcore.testing.notifier_contract import NotifierContract, NotifierHarness  # noqa: E402
from crmcore.testing.observing import Moment, ObservedStore  # noqa: E402
from crmcore.testing.purity import Impure, RuleContract, RuleHarness, check_pure  # noqa: E402
from crmcore.testing.report import Report, Result, run_contract  # noqa: E402
from crmcore.testing.side_by_side import Divergence, Run, side_by_side  # noqa: E402

__all__ = [
    "CONTRACT_VERSION",
    "SCHEMA",
    "Clause",
    "Crash",
    "Divergence",
    "FaultPlan",
    "FaultyStore",
    "Harness",
    "Impure",
    "Moment",
    "NotifierContract",
    "NotifierHarness",
    "ObservedStore",
    "PersonsEdit",
    "Report",
    "Result",
    "RuleContract",
    "RuleHarness",
    "Run",
    "SlowStore",
    "StoreContract",
    "StoreMachine",
    "at_call",
    "by_chance",
    "check_pure",
    "clause",
    "clauses",
    "crash_points",
    "expected_failure",
    "run_contract",
    "side_by_side",
    "strategies",
]
