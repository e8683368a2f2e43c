"""The stage state machine: one compiled table per graph, and a decision that gives every reason for a refusal at once.

A record's stage stays a plain text; no machine object is bound to a record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from crmcore.domain.policies import Stage, StageGraph, Transition
from crmcore.errors import Issue


@attrs.frozen
class Attempt:
    """A move that somebody wants to make: the record as it would be, the reason given, the kinds of attachment there."""

    record: Any
    reason: str | None = None
    evidence: frozenset[str] = frozenset()


Guard = Callable[[Attempt, Transition], list[Issue]]


def value_of(record: Any, name: str) -> Any:
    """A field of a record, or a custom field of that name; None where it has neither."""
    value = getattr(record, name, None)
    return getattr(record, "custom", {}).get(name) if value is None else value


def _missing(record: Any, field: str, code: str) -> list[Issue]:
    name = field.rpartition(".")[2]
    value = value_of(record, name)
    return [Issue(code=code, field=f"{record.entity}.{name}")] if value is None or value == () else []


def _reason(attempt: Attempt, transition: Transition) -> list[Issue]:
    if isinstance(attempt.reason, str) and attempt.reason.strip():
        return []
    return [Issue(code="reason_required", field=f"{attempt.record.entity}.reason")]


def _fields(attempt: Attempt, transition: Transition) -> list[Issue]:
    return [issue for field in transition.fields for issue in _missing(attempt.record, field, "required")]


def _evidence(attempt: Attempt, transition: Transition) -> list[Issue]:
    lacking = [kind for kind in transition.evidence if kind not in attempt.evidence]
    return [Issue(code="evidence_required", field=f"attachment.{kind}") for kind in lacking]


def _contract_signed(attempt: Attempt, transition: Transition) -> list[Issue]:
    return _missing(attempt.record, "contract_signed_on", "evidence_required")


def _customer(attempt: Attempt, transition: Transition) -> list[Issue]:
    return _missing(attempt.record, "customer_id", "evidence_required")


def _amount(attempt: Attempt, transition: Transition) -> list[Issue]:
    expected = getattr(attempt.record, "expected_amount", None)
    return _missing(attempt.record, "amount", "required") if expected is None else []


#: How each guard of :data:`crmcore.domain.playbook.GUARDS` finds what is missing.
GUARDS: Mapping[str, Guard] = {
    "reason": _reason,
    "fields": _fields,
    "evidence": _evidence,
    "contract_signed": _contract_signed,
    "customer": _customer,
    "amount": _amount,
}


@attrs.frozen
class StageTable:
    """A graph made ready to be asked: transitions by (from, to), stages and ways out by key."""

    graph: StageGraph
    stages: Mapping[str, Stage]
    transitions: Mapping[tuple[str, str], tuple[Transition, tuple[Guard, ...]]]
    ways_out: Mapping[str, tuple[str, ...]]


def compile_stages(graph: StageGraph) -> StageTable:
    """The table of a checked graph. Compile once, ask often."""
    return StageTable(
        graph=graph,
        stages={stage.key: stage for stage in graph.stages},
        transitions={
            (step.source, step.target): (step, tuple(GUARDS[name] for name in step.guards))
            for step in graph.transitions
        },
        ways_out={
            stage.key: tuple(step.target for step in graph.transitions if step.source == stage.key)
            for stage in graph.stages
        },
    )


def refusals(table: StageTable, source: str, target: str, attempt: Attempt) -> list[Issue]:
    """Every reason why the record may not move from ``source`` to ``target``; nothing when it may."""
    found = table.transitions.get((source, target))
    if found is not None:
        transition, guards = found
        return [issue for guard in guards for issue in guard(attempt, transition)]
    field = f"{attempt.record.entity}.stage"
    if target not in table.stages:
        return [Issue(code="unknown_stage", field=field)]
    ways = ", ".join(table.ways_out.get(source, ())) or "no other stage"
    return [Issue(code="refused", field=field, facts={"why": f"from {source} the way leads to {ways}"})]
