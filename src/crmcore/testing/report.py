"""Running a contract without pytest's command line: from a script, a service, or a test of the kit itself."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from typing import Any, Final, Literal

import attrs
import pytest

from crmcore.storage import Capability
from crmcore.testing.clause import CONTRACT_VERSION, FAILURES, Clause, Contract, clause_of, clauses
from crmcore.testing.contract import StoreContract

Outcome = Literal["passed", "failed", "skipped", "expected"]


#: How many clauses that need a capability must have run at least where it is declared: what is claimed and not tried is no
#: better than what is broken. (A harness without a URL, or a system without processes to fork, skips more than this allows.)
FLOORS: Final[Mapping[StrEnum, int]] = {
    Capability.DURABLE: 5,
    Capability.MULTI_PROCESS: 3,
    Capability.SNAPSHOT_READS: 4,
    Capability.PUSH_DOWN: 1,
    Capability.EXTERNAL_EDITS: 10,
    Capability.LARGE: 1,
}


@attrs.frozen
class Result:
    """What became of one clause; ``expected`` is a failure that was declared. ``seconds`` is how long it took."""

    clause: Clause
    outcome: Outcome
    reason: str = ""
    seconds: float = 0.0


@attrs.frozen
class Report:
    """What a run of a contract came to. ``floors`` are those of the capabilities that were declared and tried."""

    results: tuple[Result, ...]
    floors: Mapping[StrEnum, int] = attrs.field(factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every clause holds or is broken as declared, and every capability declared was tried."""
        return not self.failed and not self.short

    @property
    def short(self) -> Mapping[str, str]:
        """The capabilities that are declared and of which too few clauses ran, and how many did."""
        found = {}
        for capability, floor in self.floors.items():
            ran = sum(result.clause.needs == capability and result.outcome != "skipped" for result in self.results)
            if ran < floor:
                told = f"only {ran} of its clauses ran" if ran else "none of its clauses ran"
                found[capability.value] = f"{capability.value} is declared, but {told}; the floor is {floor}"
        return found

    def counts(self) -> Mapping[str, Mapping[Outcome, int]]:
        """How many clauses of each family came to what."""
        families: dict[str, dict[Outcome, int]] = {}
        for result in self.results:
            family = families.setdefault(
                result.clause.id.rpartition("-")[0], {"passed": 0, "failed": 0, "expected": 0, "skipped": 0}
            )
            family[result.outcome] += 1
        return families

    def to_plain(self) -> dict[str, Any]:
        """The report as JSON has it."""
        return {
            "ok": self.ok,
            "clauses": len(self.results),
            "applicable": len(self.results) - len(self.skipped),
            "passed": list(self.passed),
            "failed": dict(self.failed),
            "expected": dict(self.expected),
            "skipped": dict(self.skipped),
            "short": dict(self.short),
            "families": {name: dict(counts) for name, counts in self.counts().items()},
            "seconds": round(sum(result.seconds for result in self.results), 3),
        }

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
        for outcome in ("failed", "expected"):
            lines += [f"{outcome} {id}: {_without(id, reason)}" for id, reason in self.of(outcome).items()]
        lines += [f"failed: {reason}" for reason in self.short.values()]
        reasons: dict[str, list[str]] = {}
        for id, reason in self.skipped.items():
            reasons.setdefault(_without(id, reason), []).append(id)
        lines += [f"skipped {', '.join(ids)}: {reason}" for reason, ids in reasons.items()]
        return "\n".join(lines)


def _without(id: str, reason: str) -> str:
    return reason.removeprefix(id).lstrip(": ")


def run_contract(
    harness: Callable[[], Any],
    contract: type[Contract] = StoreContract,
    *,
    only: Collection[str] | None = None,
    version: tuple[int, int] = CONTRACT_VERSION,
    floors: Mapping[StrEnum, int] = FLOORS,
    tell: Callable[[Result], None] = lambda result: None,
) -> Report:
    """Tries every clause, or those of ``only``, of the contract as of ``version``; ``harness`` gives empty data each time.

    ``floors`` say how many clauses must run for each capability that the harness's backend declares; they don't apply to
    ``only`` some clauses. ``tell`` is told of each clause as it is done. Raises :class:`ValueError` for an id or a version that there isn't,
    and for an id that is newer than the version.
    """
    if not __debug__:
        raise RuntimeError("python -O takes the assertions out; the kit would prove nothing")
    found = clauses(contract)
    unknown = sorted(set(only or ()) - set(found))
    if unknown:
        raise ValueError(f"no such clause: {', '.join(unknown)}")
    if not (1, 0) <= version <= CONTRACT_VERSION:
        raise ValueError(f"the contract has no version {version[0]}.{version[1]}")
    newer = sorted(id for id in only or () if clause_of(contract, found[id]).since > version)
    if newer:
        raise ValueError(f"newer than version {version[0]}.{version[1]}: {', '.join(newer)}")
    results: list[Result] = []
    declared: frozenset[StrEnum] = frozenset()
    for id, name in found.items():
        stated = clause_of(contract, name)
        if (only is None or id in only) and stated.since <= version:
            tried = harness()
            declared = getattr(getattr(tried, "backend", None), "capabilities", declared)
            results.append(_try(contract, name, stated, tried))
            tell(results[-1])
    there = {need: sum(result.clause.needs == need for result in results) for need in declared}
    due = {need: min(floors[need], there[need]) for need in floors if need in declared} if only is None else {}
    return Report(tuple(results), due)


def _try(contract: type[Contract], name: str, stated: Clause, harness: Any) -> Result:
    began = time.perf_counter()
    outcome, reason = _outcome(contract, name, harness)
    if outcome == "failed":
        reason = f"{reason}; the clause: {stated.text}"
    return Result(stated, outcome, reason, time.perf_counter() - began)


def _outcome(contract: type[Contract], name: str, harness: Any) -> tuple[Outcome, str]:
    try:
        getattr(contract(), name)(harness)
    except pytest.skip.Exception as skipped:
        return "skipped", str(skipped)
    except pytest.xfail.Exception as expected:
        return "expected", str(expected)
    except FAILURES as failure:
        # An assertion that pytest hasn't rewritten says nothing; the line it stands in does.
        said = str(failure).strip().partition("\n")[0] or traceback.extract_tb(failure.__traceback__)[-1].line
        return "failed", f"{type(failure).__name__}: {said}"
    return "passed", ""
