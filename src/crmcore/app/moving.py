"""Moving a record along its stages within a unit of work: by hand, and by itself once it is due."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from datetime import datetime
from typing import Any, TypeVar

from crmcore.app.work import Work
from crmcore.domain import Attachment, Customer, Event, Opportunity
from crmcore.domain.event import standing
from crmcore.domain.policies import StageGraph, Transition
from crmcore.errors import TransitionRefused
from crmcore.rules.merging import without_undone_merges
from crmcore.rules.stages import NO_EVIDENCE, NO_FIELDS, Move, decide, due, unknown_stage
from crmcore.rules.visits import Visit, visits
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Transaction
from crmcore.storage.query import And, Eq, In, Query
from crmcore.storage.schema import Row

R = TypeVar("R", Customer, Opportunity)


def decided(
    work: Work,
    graph: StageGraph,
    record: Customer | Opportunity,
    target: str,
    fields: Mapping[str, Any] = NO_FIELDS,
    *,
    reason: str | None = None,
) -> Move:
    """The move to a stage, checked; raises :class:`TransitionRefused` with every reason against it."""
    step = graph.transition(record.stage, target)
    customer_id = fields.get("customer_id", customer_of(record))
    found = decide(
        graph,
        record,
        target,
        at=work.now,
        on=work.today,
        by=work.actor,
        reason=reason,
        evidence=_attached(work, customer_id) if step and step.evidence else NO_EVIDENCE,
        fields=fields,
    )
    if not isinstance(found, Move):
        allowed = graph.targets(record.stage) if graph.find(record.stage) else graph.keys
        raise TransitionRefused(found, source=record.stage, target=target, allowed=allowed)
    return found


def target_of(graph: StageGraph, record: Customer | Opportunity, to: Any) -> str:
    """The key of the stage that a text means; raises :class:`TransitionRefused`, without the text, for one that isn't there."""
    target = graph.stage_key(to)
    if target is None:
        issues, ways = [unknown_stage(graph, record.entity)], graph.targets(record.stage)
        raise TransitionRefused(issues, source=record.stage, target=None, allowed=ways)
    return target


def graph_of(work: Work, record: Customer | Opportunity) -> StageGraph | None:
    """What the record moves through; None for an opportunity in a pipeline that the playbook no longer has."""
    if isinstance(record, Customer):
        return work.playbook.lifecycle
    return work.playbook.pipelines.get(record.pipeline)


def due_move(work: Work, record: Customer | Opportunity) -> Transition | None:
    """The automatic move that is due for the record as it is."""
    graph = graph_of(work, record)
    steps = graph.automatic(record.stage) if graph else ()
    if graph is None or not steps:
        return None
    asked = any(step.evidence for step in steps)
    return due(graph, record, _attached(work, customer_of(record)) if asked else NO_EVIDENCE)


def carry_on(work: Work, record: R, move: Callable[[R, Transition], R], was_due: Transition | None = None) -> R:
    """The record after each automatic move that a change has made due, one after another.

    ``was_due`` is what was due before the change. If it still is, it was held back: the record had come back to this stage
    by a rollback, and stays there until its guards are met anew.
    """
    come_to = {record.stage}
    while (step := due_move(work, record)) is not None and step != was_due and step.target not in come_to:
        # What led to the move is put before the plugins by itself, and then the move.
        work.flush()
        with work.following():
            record, was_due = move(record, step), step
        come_to.add(step.target)
    return record


def told_automatic(step: Transition) -> str:
    """The reason that the event of an automatic move gives: the guards that were met."""
    return f"automatic: {', '.join(step.guards)}"


def read_visits(transaction: Transaction, record: Customer | Opportunity, now: datetime) -> list[Visit]:
    """Each stay of a record at a stage, from its events."""
    if isinstance(record, Customer):
        where = And(Eq("customer_id", record.id), Eq("subject", "customer"))
    else:
        # An opportunity may have had another customer before, or none.
        where = And(In("action", ("opportunity.opened", "opportunity.moved")), Eq("subject_id", record.id))
    load: Callable[[Row], Event] = CODECS[Event].load
    return visits(without_undone_merges(standing(map(load, transaction.find(Query("events", where, ("id",)))))), now)


def customer_of(record: Customer | Opportunity) -> str | None:
    """The id of the customer that a record is, or belongs to."""
    return record.id if isinstance(record, Customer) else record.customer_id


def _attached(work: Work, customer_id: str | None) -> Set[str]:
    """The kinds of attachment that the customer has."""
    if customer_id is None:
        return NO_EVIDENCE
    attached = work.find(Attachment, Eq("customer_id", customer_id))
    return frozenset(attachment.about for attachment in attached if attachment.about)
