"""Tiers (客户分级): why a customer has its own, setting one by hand, and working out all of them anew."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from crmcore.app.customers import CustomerReference
from crmcore.app.engine import UseCases
from crmcore.app.finding import read_all
from crmcore.app.work import Work
from crmcore.domain import Customer, Order
from crmcore.domain.playbook import MEASURES, Playbook
from crmcore.errors import Invalid, Issue
from crmcore.metrics import Retiering
from crmcore.metrics.tiering import report_of
from crmcore.rules.tier_decisions import TierDecision
from crmcore.rules.tiering import Pasts, tiering_of, until_issues
from crmcore.storage.contract import Transaction
from crmcore.storage.query import Eq, Where

BATCH = 500
"""How many customers a re-tiering changes in one unit of work."""


def _orders_for(playbook: Playbook, customer: Customer) -> Where | None:
    """The orders that a customer's tier rests on: its own, or with shares everybody's."""
    return Eq("customer_id", customer.id) if tiering_of(playbook).method == "scored" else None


def _rests_on(playbook: Playbook) -> list[str]:
    """The fields from which tiers are worked out: who is told why has to have them."""
    criteria = playbook.tiering.criteria if playbook.tiering else ()
    fields = [one.on for one in criteria if one.on not in MEASURES]
    shares = playbook.tiering is not None and playbook.tiering.method == "shares"
    return [*fields, *(["order.amount"] if shares or len(fields) < len(criteria) else [])]


def _take(work: Work, decision: TierDecision) -> Customer:
    """Puts a worked-out tier on the record, where it changes anything, and plans anew what follows from it."""
    customer = decision.customer
    return work.change(customer, "customer.tiered", decision.changes, reason=decision.short)


class Tiers(UseCases):
    """The use cases about tiers, for one user. Days are those of the playbook's zone."""

    def explain(self, customer: CustomerReference) -> TierDecision:
        """The tier that holds for the customer today, and why; nothing is changed.

        Raises :class:`NotFound`, and :class:`DomainError` for a playbook without tiering.
        """
        crm, found = self.engine, self.customer(customer)
        crm.ask_by(_rests_on(crm.playbook))
        crm = crm.plain
        where, today = _orders_for(crm.playbook, found), crm.today()
        pasts = crm.read(lambda transaction: Pasts.of(read_all(transaction, Order, where), crm.playbook, today))
        return pasts.decide(found)

    def set(self, customer: CustomerReference, tier: str, *, reason: str, until: date | None = None) -> Customer:
        """Sets the tier by hand, by its key or a label. It goes before what is worked out, to the end of the day ``until``.

        Raises :class:`Invalid` for a tier that the playbook doesn't have, for a blank reason and for a day that is over.
        """

        def decide(work: Work) -> Customer:
            current = work.current(Customer, customer, ("tier", "tier_reason", "tier_until"))
            key = work.playbook.choice_key("customer.tier", tier)
            if issues := _refusals(work, key, reason, until):
                raise Invalid(issues)
            changes = {"tier": key, "tier_reason": reason, "tier_until": until}
            return work.change(current, "customer.tiered", changes, reason=reason)

        return self.write(decide)

    def release(self, customer: CustomerReference) -> Customer:
        """Takes back what was set by hand, and works the tier out; under a playbook without tiering it stays as it is."""

        def decide(work: Work) -> Customer:
            current = work.current(Customer, customer, ("tier", "tier_reason", "tier_until"))
            held = current.tier_reason is not None
            if work.playbook.tiering is None:
                changes = {"tier_reason": None, "tier_until": None}
                return (
                    current
                    if not held
                    else work.change(current, "customer.tiered", changes, reason="no longer set by hand")
                )
            orders = work.find(Order, _orders_for(work.playbook, current))
            return _take(work, Pasts.of(orders, work.playbook, work.today).decide(current, released=held))

        return self.write(decide)

    def run(self, *, dry_run: bool = False) -> Retiering:
        """Works out every customer's tier anew and reports who moved, and who stayed by hand or by the margin.

        Everybody is judged by one state of the store. The changes are made in batches of :data:`BATCH`; a customer that was
        changed in the meantime is decided on again, by the orders of then. After an interruption, or where a plugin refuses
        a change, the batches that are done are done, and the next run does the rest. ``dry_run`` changes nothing. Raises
        :class:`DomainError` for a playbook without tiering.
        """
        crm, today = self.engine, self.engine.today()
        crm.ask("customer", "update")
        crm.ask_by(_rests_on(crm.playbook))

        def look(transaction: Transaction) -> tuple[Pasts, Retiering]:
            pasts = Pasts.of(read_all(transaction, Order), crm.playbook, today)
            return pasts, report_of(map(pasts.decide, read_all(transaction, Customer)), crm.playbook, today)

        pasts, report = crm.read(look)
        if dry_run:
            return report
        due = (*report.moved, *report.lapsed)
        for start in range(0, len(due), BATCH):
            self._take_batch(pasts, due[start : start + BATCH])
        return report

    def _take_batch(self, pasts: Pasts, batch: Sequence[TierDecision]) -> None:
        def decide(work: Work) -> None:
            for decision in batch:
                current = work.get(Customer, decision.customer.id)
                if current is not None:
                    same = current.version == decision.customer.version
                    _take(work, decision if same else pasts.decide(current))

        self.write(decide)


def _refusals(work: Work, key: str | None, reason: str, until: date | None) -> list[Issue]:
    issues = []
    if key is None:
        allowed = ", ".join(tier.key for tier in work.playbook.tiers) or "nothing, since the playbook has no tiers"
        issues.append(Issue(code="bad_choice", field="customer.tier", facts={"allowed": allowed}))
    if not isinstance(reason, str) or not reason.strip():
        issues.append(Issue(code="reason_required", field="customer.tier_reason"))
    return issues + until_issues(until, work.today)
