"""Running a contract without pytest's command line: from a script, a service, or a test of the kit itself."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal

import attrs
import pytest

from crmcore.testing.clause import CONTRACT_VERSION, FAILURES, Clause, Contract, clause_of, clauses
from crmcore.testing.contract import StoreContract

Outcome = Literal["passed", "failed", "skipped", "expected"]


@attrs.frozen
class Result:
    """What became of one clause; ``expected`` is a failure that was declared."""

    clause: Clause
    outcome: Outcome
    reason: str = ""


@attrs.frozen
class Report:
    """What a run of a contract came to."""

    results: tuple[Result, ...]

    def of(self, outcome: Outcome) -> Mapping[str, str]:
        """The clauses with that outcome, and why."""
        return {result.clause.id: result.reason for result in self.results if result.outcome == outcome}

    @property
    def passed(self) -> Mapping[str, str]:
        """The clauses that hold."""
        return self.of("passed")

    @property
    def failed(self) -> Mapping[str, str]:
        """The clauses that are broken, or declared as broken though they hold."""
        return self.of("failed")

    @property
    def skipped(self) -> Mapping[str, str]:
        """The clauses that don't apply: a capability isn't declared, or the harness lacks something."""
        return self.of("skipped")

    @property
    def expected(self) -> Mapping[str, str]:
        """The clauses that are broken as declared."""
        return self.of("expected")

    def __str__(self) -> str:
        total, skipped = len(self.results), len(self.skipped)
        counts = f"passed {len(self.passed)} of {total - skipped} applicable clauses ({total} in all)"
        lines = [counts]
        for outcome in ("failed", "expected", "skipped"):
            lines += [
                f"{outcome} {id}: {reason.removeprefix(id).lstrip(': ')}" for id, reason in self.of(outcome).items()
            ]
        return "\n".join(lines)


def run_contract(
    harness: Callable[[], Any],
    contract: type[Contract] = StoreContract,
    *,
    only: Collection[str] | None = None,
    version: tuple[int, int] = CONTRACT_VERSION,
) -> Report:
    """Tries every clause, or those of ``only``, of the contract as of ``version``; ``harness`` gives empty data each time."""
    if not __debug__:
        raise RuntimeError("python -O takes the assertions out; the kit would prove nothing")
    found = clauses(contract)
    unknown = sorted(set(only or ()) - set(found))
    if unknown:
        raise ValueError(f"no such clause: {', '.join(unknown)}")
    results = []
    for id, name in found.items():
        stated = clause_of(contract, name)
        if (only is None or id in only) and stated.since <= version:
            results.append(_try(contract, name, stated, harness()))
    return Report(tuple(results))


def _try(contract: type[Contract], name: str, stated: Clause, harness: Any) -> Result:
    try:
        getattr(contract(), name)(harness)
    except pytest.skip.Exception as skipped:
        return Result(stated, "skipped", str(skipped))
    except pytest.xfail.Exception as expected:
        return Result(stated, "expected", str(expected))
    except FAILURES as failure:
        # An assertion that pytest hasn't rewritten says nothing; the line it stands in does.
        said = str(failure).strip().partition("\n")[0] or traceback.extract_tb(failure.__traceback__)[-1].line
        return Result(stated, "failed", f"{type(failure).__name__}: {said}")
    return Result(stated, "passed")
