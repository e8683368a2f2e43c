"""Keeping the stored obligations equal to those that the rules derive from what happened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from crmcore.app.finding import read_all
from crmcore.app.histories import histories
from crmcore.app.work import Whose, Work
from crmcore.domain import Event, Obligation
from crmcore.rules.obligations import Settlement, derive, settle
from crmcore.rules.rulebook import Rulebook
from crmcore.storage.contract import Transaction
from crmcore.storage.query import And, In, IsNull, Where

E = TypeVar("E", Event, Obligation)

#: Of what belongs to no customer only actions of a review are owed.
_ACTIONS = tuple(f"action_plan.{done}" for done in ("made", "changed", "done", "cancelled"))
#: So many customers are read at once.
_AT_ONCE = 100


def settle_touched(work: Work) -> None:
    """Settles what is owed to everybody whom the unit of work told something new of: the last thing that it does."""
    settle_scopes(work, work.take_touched())


def settle_scopes(work: Work, scopes: Sequence[Whose]) -> list[Settlement]:
    """Derives what is owed in each scope and writes what differs from the store."""
    settlements, known = [], []
    for scope in scopes:
        events = work.events_of_new(scope)
        if events is None:
            known.append(scope)
        else:
            settlements.append(settle(derive(events, work.rulebook), ()))
    if known:
        work.flush()
        settlements += settlements_of(work.transaction, known, work.rulebook)
    gone = {one.id: one for settlement in settlements for one in settlement.gone}
    for settlement in settlements:
        for begun in settlement.begun:
            if old := gone.pop(begun.id, None):  # it went from one customer to another
                work.put(begun.replace(version=old.version + 1), old, f"obligation.{begun.state}")
            else:
                work.add(begun, "obligation.opened")
        for before, after in settlement.changed:
            work.put(after, before, f"obligation.{after.state}")
    for one in gone.values():
        work.remove(one)
    return settlements


def settlements_of(transaction: Transaction, scopes: Sequence[Whose], rulebook: Rulebook) -> Iterator[Settlement]:
    """What would bring the store in line with what the rules derive in each scope."""
    for start in range(0, len(scopes), _AT_ONCE):
        some = scopes[start : start + _AT_ONCE]
        kept = _of_each(transaction, Obligation, some)
        for scope, events in histories_of(transaction, some).items():
            yield settle(derive(events, rulebook), kept[scope])


def histories_of(transaction: Transaction, scopes: Sequence[Whose]) -> dict[Whose, list[Event]]:
    """Every event that counts for each customer, or of an action that belongs to none."""
    unowned = [scope for scope in scopes if scope[0] is None]
    of_customers = histories(transaction, [customer_id for customer_id, _ in scopes if customer_id is not None])
    of_actions = _of_each(transaction, Event, unowned, In("action", _ACTIONS))
    return {scope: of_customers[scope[0]] if scope[0] is not None else of_actions[scope] for scope in scopes}


def histories_of_all(transaction: Transaction, everybody: Sequence[Whose]) -> Iterator[list[Event]]:
    """Every event of each, some at a time, so that memory doesn't follow their number."""
    for start in range(0, len(everybody), _AT_ONCE):
        yield from histories_of(transaction, everybody[start : start + _AT_ONCE]).values()


def _of_each(
    transaction: Transaction, cls: type[E], scopes: Sequence[Whose], unowned: Where | None = None
) -> dict[Whose, list[E]]:
    """The records of each scope; ``unowned`` is what else holds for those that belong to no customer."""
    found: dict[Whose, list[E]] = {scope: [] for scope in scopes}
    if customers := tuple(customer_id for customer_id, _ in scopes if customer_id is not None):
        for record in read_all(transaction, cls, In("customer_id", customers)):
            found[record.customer_id, record.customer_id or ""].append(record)
    if subjects := tuple(subject_id for customer_id, subject_id in scopes if customer_id is None):
        parts = [IsNull("customer_id"), In("subject_id", subjects), *([unowned] if unowned else [])]
        for record in read_all(transaction, cls, And(*parts)):
            found[None, record.subject_id].append(record)
    return found
