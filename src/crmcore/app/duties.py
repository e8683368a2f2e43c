"""Keeping the stored obligations equal to those that the rules derive from what happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from crmcore.app.work import Scope, Work
from crmcore.domain import Entity, Event, Obligation
from crmcore.rules.obligations import Settlement, derive, settle
from crmcore.rules.rulebook import Rulebook
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Transaction
from crmcore.storage.query import And, Eq, In, IsNull, Query, Where

E = TypeVar("E", bound=Entity)

#: Of what belongs to no customer only actions of a review are owed.
_ACTIONS = tuple(f"action_plan.{done}" for done in ("made", "changed", "done", "cancelled"))


def settle_touched(work: Work) -> None:
    """Settles what is owed to everybody whom the unit of work told something new of: the last thing that it does."""
    for scope in work.take_touched():
        settle_scope(work, scope)


def settle_scope(work: Work, scope: Scope) -> Settlement:
    """Derives what is owed in one scope and writes what differs from the store."""
    events = work.events_of_new(scope)
    if events is not None:
        settlement = settle(derive(events, work.rulebook), ())
    else:
        work.flush()
        settlement = settlement_of(work.transaction, scope, work.rulebook)
    for begun in settlement.begun:
        work.add(begun, "obligation.opened")
    for before, after in settlement.changed:
        work.put(after, before, f"obligation.{after.state}")
    for gone in settlement.gone:
        work.remove(gone)
    return settlement


def settlement_of(transaction: Transaction, scope: Scope, rulebook: Rulebook) -> Settlement:
    """What would bring the store in line with what the rules derive in one scope."""
    return settle(derive(history_of(transaction, scope), rulebook), _find(transaction, Obligation, _own(scope)))


def history_of(transaction: Transaction, scope: Scope) -> list[Event]:
    """Every event of a customer, or of an action that belongs to none."""
    own = _own(scope)
    return _find(transaction, Event, own if scope[0] is not None else And(In("action", _ACTIONS), own))


def _own(scope: Scope) -> Where:
    customer_id, subject_id = scope
    if customer_id is not None:
        return Eq("customer_id", customer_id)
    return And(IsNull("customer_id"), Eq("subject_id", subject_id))


def _find(transaction: Transaction, cls: type[E], where: Where) -> list[E]:
    load: Callable[..., E] = CODECS[cls].load
    return list(map(load, transaction.find(Query(cls.collection, where))))
