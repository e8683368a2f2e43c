"""Taking a customer off the lists into the bin 回收站, with everything that hangs on it, and bringing it back as it was."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import attrs

from crmcore.app.absent import absent_subjects, bring_back, from_content, kept_content, take_away
from crmcore.app.duties import settle_scopes
from crmcore.app.finding import not_named, read_all
from crmcore.app.work import Work
from crmcore.domain import ENTITIES, AbsentRecord, Alias, Customer, Entity, Event, MatchKey, Obligation
from crmcore.domain.duplicates import LEFT_BEHIND
from crmcore.errors import Invalid, Issue, NotFound
from crmcore.storage.query import And, Eq, In

#: What goes along: every record that names the customer, also a referral that brought it.
_TAKEN: tuple[tuple[type[Entity], str], ...] = tuple(
    (cls, name)
    for cls in ENTITIES
    if cls.entity not in LEFT_BEHIND
    for name in ("customer_id", "referrer_id", "referred_id")
    if name in cls.kinds
)


@attrs.frozen(kw_only=True)
class Deleted:
    """A customer in the bin: as it was, since when (UTC), by whom and why."""

    customer: Customer
    at: datetime
    by: str
    reason: str | None


def delete_customer(work: Work, wanted: Customer | str, reason: str) -> Customer:
    """Deletes within a unit of work; see :meth:`Customers.delete`."""
    if not isinstance(reason, str) or not reason.strip():
        raise Invalid([Issue(code="reason_required", field="customer.reason")])
    customer = work.current(Customer, wanted)
    work.ask(customer, "delete")
    with work.following():
        return _delete(work, customer, reason)


def _delete(work: Work, customer: Customer, reason: str) -> Customer:
    work.announce(customer, "customer.deleted", {}, reason)
    work.flush()
    taken: set[str] = set()
    for cls, name in _TAKEN:
        for record in work.find(cls, Eq(name, customer.id)):
            if record.id not in taken:  # a referral may name the customer twice
                taken.add(record.id)
                take_away(work, record, customer.id, "deleted")
    absorbed = tuple(alias.absorbed_id for alias in work.find(Alias, Eq("customer_id", customer.id)))
    for key in work.find(MatchKey, In("subject_id", absorbed)) if absorbed else ():
        take_away(work, key, customer.id, "deleted")
    for obligation in work.find(Obligation, Eq("customer_id", customer.id)):
        work.remove(obligation)
    take_away(work, customer, customer.id, "deleted")
    alias = Alias(
        id=customer.number,
        customer_id=customer.id,
        absorbed_id=customer.id,
        into_id=customer.id,
        at=work.now,
        by=work.actor,
    )
    work.add(alias, "customer.deleted")  # the number stays taken
    return customer


def restore_customer(work: Work, number: str, reason: str | None = None) -> Customer:
    """Restores within a unit of work; see :meth:`Customers.restore`."""
    if not isinstance(number, str):
        raise not_named(Customer, "number")
    alias = _binned(work, number)
    if alias is None:
        raise NotFound("there is no such customer in the bin", entity="customer")
    kept = _kept(work, alias.absorbed_id)
    if not work.sees(kept):
        raise NotFound("there is no such customer in the bin", entity="customer")
    work.ask(kept, "delete")
    with work.following():
        return _restore(work, alias, reason)


def _kept(work: Work, id: str) -> Customer:
    """A customer as it is kept in the bin."""
    customer = from_content("customer", kept_content(work, "customer", id))
    assert isinstance(customer, Customer)
    return customer


def _restore(work: Work, alias: Alias, reason: str | None) -> Customer:
    id = alias.absorbed_id
    for subject, subject_id in list(absent_subjects(work, id)):
        bring_back(work, subject, subject_id, "customer.restored")
    work.remove(alias)
    work.flush()
    customer = work.current(Customer, id)
    work.announce(customer, "customer.restored", {}, reason)
    work.flush()
    settle_scopes(work, [(id, id)])
    return customer


def in_bin(work: Work, number: str) -> str | None:
    """The id of a customer in the bin, by its number or id; None for one that isn't there."""
    alias = _binned(work, number)
    return alias.absorbed_id if alias is not None else None


def _binned(work: Work, named: str) -> Alias | None:
    alias = work.get(Alias, named) or next(iter(work.find(Alias, Eq("absorbed_id", named), limit=1)), None)
    return alias if alias is not None and alias.customer_id == alias.absorbed_id else None


def deleted_customers(work: Work) -> Iterator[Deleted]:
    """Every customer in the bin that the one who acts sees, the last one that was deleted first."""
    where = And(Eq("subject", "customer"), Eq("reason", "deleted"), Eq("part", 0))
    for part in work.find(AbsentRecord, where, ("-at", "id")):
        customer = _kept(work, part.subject_id)
        if not work.sees(customer):
            continue
        told = And(Eq("customer_id", customer.id), Eq("action", "customer.deleted"))
        last = next(iter(read_all(work.transaction, Event, told, ("-at", "-id"), 1)), None)
        yield Deleted(customer=customer, at=part.at, by=part.by, reason=last.reason if last else None)
