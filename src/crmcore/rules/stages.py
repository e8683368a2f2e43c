"""The stage machine: what a move asks for, every reason against it at once, and what the record is after it.

The graph is the machine and a record's stage is a plain text: nothing is bound to a record. :func:`decide` is all that a
move needs; :func:`due` finds the move that is made by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from datetime import date, datetime
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any

import attrs

from crmcore.domain import Customer, Opportunity
from crmcore.domain.policies import Stage, StageGraph, Transition
from crmcore.errors import Issue

NO_EVIDENCE: Set[str] = frozenset()
NO_FIELDS: Mapping[str, Any] = MappingProxyType({})

Issues = tuple[Issue, ...]
Guard = Callable[[Any, Transition, str | None, Set[str]], Issues]
"""Finds what is missing, given the record as it would be, the move, its reason and the kinds of attachment that are there."""


# ---- What is missing ----


def value_of(record: Any, name: str) -> Any:
    """A field of a record, or a custom field of that name; None where it has neither."""
    value = getattr(record, name, None)
    if value is None and (custom := getattr(record, "custom", None)):
        value = custom.get(name)
    return value


# Making an issue costs more than finding out that it is due, and a playbook can ask for few things: they are kept.
@cache
def _lacking(code: str, entity: str, name: str) -> Issues:
    return (Issue(code=code, field=f"{entity}.{name}"),)


def _missing(record: Any, name: str, code: str) -> Issues:
    value = value_of(record, name)
    return _lacking(code, record.entity, name) if value is None or value == () else ()


def _reason(record: Any, move: Transition, reason: str | None, evidence: Set[str]) -> Issues:
    if type(reason) is str and reason.strip():
        return ()
    return _lacking("reason_required", record.entity, "reason")


def _fields(record: Any, move: Transition, reason: str | None, evidence: Set[str]) -> Issues:
    names = (field.rpartition(".")[2] for field in move.fields)
    return tuple(issue for name in names for issue in _missing(record, name, "required"))


def _evidence(record: Any, move: Transition, reason: str | None, evidence: Set[str]) -> Issues:
    lacking = (kind for kind in move.evidence if kind not in evidence)
    return tuple(issue for kind in lacking for issue in _lacking("evidence_required", "attachment", kind))


def _contract_signed(record: Any, move: Transition, reason: str | None, evidence: Set[str]) -> Issues:
    if record.contract_signed_on is not None:
        return ()
    return _lacking("evidence_required", record.entity, "contract_signed_on")


def _customer(record: Any, move: Transition, reason: str | None, evidence: Set[str]) -> Issues:
    return _missing(record, "customer_id", "evidence_required")


def _amount(record: Any, move: Transition, reason: str | None, evidence: Set[str]) -> Issues:
    expected = getattr(record, "expected_amount", None)
    return _missing(record, "amount", "required") if expected is None else ()


#: How each guard of :data:`crmcore.domain.playbook.GUARDS` finds what is missing.
GUARDS: Mapping[str, Guard] = {
    "reason": _reason,
    "fields": _fields,
    "evidence": _evidence,
    "contract_signed": _contract_signed,
    "customer": _customer,
    "amount": _amount,
}


def refusals(
    graph: StageGraph, record: Any, target: str, reason: str | None = None, evidence: Set[str] = NO_EVIDENCE
) -> Issues:
    """Every reason why a record, as it would be, may not move to ``target``; nothing when it may."""
    move = graph.transition(record.stage, target)
    if move is None:
        return _off_the_ways(graph, record, target, reason)
    return tuple(issue for guard in move.guards for issue in GUARDS[guard](record, move, reason, evidence))


def _off_the_ways(graph: StageGraph, record: Any, target: str, reason: str | None) -> Issues:
    """What there is against a move that the graph doesn't have. Of a stage that the playbook no longer has there can be no way:
    a record that stands there may be brought to any other, by whoever says why."""
    if graph.find(target) is None:
        return _unknown(record.entity, graph.keys)
    if graph.find(record.stage) is None:
        return _reason(record, _ANY_WAY, reason, NO_EVIDENCE)
    return _other_ways(record.entity, record.stage, graph.targets(record.stage))


_ANY_WAY = Transition(source="", target="")


@lru_cache
def _other_ways(entity: str, source: str, targets: tuple[str, ...]) -> Issues:
    facts = {"source": source, "allowed": ", ".join(targets) or "no other stage"}
    return (Issue(code="no_way", field=f"{entity}.stage", facts=facts),)


@lru_cache
def _unknown(entity: str, allowed: tuple[str, ...]) -> Issues:
    return (Issue(code="unknown_stage", field=f"{entity}.stage", facts={"allowed": ", ".join(allowed)}),)


def unknown_stage(graph: StageGraph, entity: str) -> Issue:
    """The issue of a stage that the graph of an entity doesn't have; it names those that it has."""
    return _unknown(entity, graph.keys)[0]


def reason_issues(graph: StageGraph, entity: str, stage: Any, lost_reason: Any) -> list[Issue]:
    """The reason that is lacking where a record begins at a lost stage to which every move asks for one."""
    found = graph.find(stage) if isinstance(stage, str) else None
    if found is None or found.outcome != "lost":
        return []
    moves = [move for move in graph.transitions if move.target == stage]
    asked = bool(moves) and all("reason" in move.guards for move in moves)
    blank = lost_reason is None or (isinstance(lost_reason, str) and not lost_reason.strip())
    return [Issue(code="reason_required", field=f"{entity}.lost_reason")] if asked and blank else []


# ---- What a move makes of a record ----


@attrs.define
class Move:
    """A move that is allowed: the record before and after. All that its event says can be read from it."""

    before: Any
    after: Any
    reason: str | None

    @property
    def subject_id(self) -> str:
        """The id of the record that moves."""
        return str(self.after.id)

    @property
    def source(self) -> str:
        """The stage that it leaves."""
        return str(self.before.stage)

    @property
    def target(self) -> str:
        """The stage that it comes to."""
        return str(self.after.stage)

    @property
    def at(self) -> datetime:
        """When (UTC)."""
        moment: datetime = self.after.stage_since
        return moment

    @property
    def by(self) -> str:
        """Who moves it."""
        return str(self.after.updated_by)


# Copying is most of what a move costs. What comes to a stage is clean, so it is copied in without being cleaned again; that
# this says the same as `replace` is a property in tests/rules/test_stages.py.
_copy_customer = Customer.copying("stage", "stage_since", "updated_at", "updated_by")
_copy_opportunity = Opportunity.copying("stage", "stage_since", "updated_at", "updated_by", "outcome")


def _customer_at(
    stage: Stage, told: Customer, at: datetime, on: date, by: str, reason: str | None, fields: Mapping[str, Any]
) -> Customer:
    customer: Customer = _copy_customer(told, stage.key, at, at, by)
    lost_reason = reason if stage.outcome == "lost" else None
    if told.lost_reason != lost_reason and "lost_reason" not in fields:
        return customer.replace(lost_reason=lost_reason)
    return customer


def _opportunity_at(
    stage: Stage, told: Opportunity, at: datetime, on: date, by: str, reason: str | None, fields: Mapping[str, Any]
) -> Opportunity:
    opportunity: Opportunity = _copy_opportunity(told, stage.key, at, at, by, outcome := stage.outcome)
    brought: dict[str, Any] = {"lost_reason": reason if outcome == "lost" else None}
    if outcome == "open" or told.outcome == "open":
        brought["closed_on"] = None if outcome == "open" else on
    if outcome == "won" and told.amount is None:
        brought["amount"] = told.expected_amount
    changed = {name: new for name, new in brought.items() if new != getattr(told, name) and name not in fields}
    return opportunity.replace(**changed) if changed else opportunity


#: The record at another stage, and what coming there brings about besides, by what it is.
_AT_STAGE: Mapping[type, Callable[..., Any]] = {Customer: _customer_at, Opportunity: _opportunity_at}


def moved(
    record: Any,
    stage: Stage,
    *,
    at: datetime,
    on: date,
    by: str,
    reason: str | None = None,
    fields: Mapping[str, Any] = NO_FIELDS,
) -> Move:
    """The move of a customer or an opportunity to a stage, whoever allowed it.

    ``at`` is the moment as entities keep it (UTC, milliseconds), ``on`` the team's day then, on which an opportunity is
    closed; ``fields`` are set with the move, and hold against what the move would set by itself. Raises :class:`Invalid`
    for a value that its field can't hold. The version is left to the store.
    """
    told = record.replace(**fields) if fields else record
    return Move(record, _AT_STAGE[type(record)](stage, told, at, on, by, reason, fields), reason)


def decide(
    graph: StageGraph,
    record: Any,
    target: str,
    *,
    at: datetime,
    on: date,
    by: str,
    reason: str | None = None,
    evidence: Set[str] = NO_EVIDENCE,
    fields: Mapping[str, Any] = NO_FIELDS,
) -> Move | Issues:
    """A checked move to the stage of the key ``target``: the :class:`Move`, or every reason against it. See :func:`moved`."""
    told = record.replace(**fields) if fields else record
    step = graph.steps.get((told.stage, target))
    if step is None:
        if issues := _off_the_ways(graph, told, target, reason):
            return issues
        return moved(record, graph.stage(target), at=at, on=on, by=by, reason=reason, fields=fields)
    move, stage = step
    issues = ()
    for guard in move.guards:
        issues += GUARDS[guard](told, move, reason, evidence)
    if issues:
        return issues
    return Move(record, _AT_STAGE[type(record)](stage, told, at, on, by, reason, fields), reason)


def due(graph: StageGraph, record: Any, evidence: Set[str] = NO_EVIDENCE) -> Transition | None:
    """The automatic move whose guards hold for a record, the first in the order of the playbook (seed 004); else None."""
    for move in graph.automatic(record.stage):
        if not refusals(graph, record, move.target, None, evidence):
            return move
    return None
