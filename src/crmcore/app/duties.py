"""Keeping the stored obligations of a customer equal to those that the rules derive."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from crmcore.app.work import Work
from crmcore.domain import Customer, FollowUpPlan, Obligation
from crmcore.rules.obligations import is_won, settle, wanted
from crmcore.rules.timing import zone_named
from crmcore.storage.query import And, Eq, In


def _nothing(obligation: Obligation) -> bool:
    return False


def replan(
    work: Work,
    customer: Customer,
    *,
    new: bool = False,
    met: Callable[[Obligation], bool] = _nothing,
    met_at: datetime | None = None,
    evidence_id: str | None = None,
) -> None:
    """Settles what is owed to the customer after a change; ``new`` spares the look for what a new one can't have."""
    open_now: list[Obligation] = []
    waived: list[Obligation] = []
    plans: list[FollowUpPlan] = []
    if not new:
        own = Eq("customer_id", customer.id)
        for obligation in work.find(Obligation, And(own, In("state", ("open", "waived")))):
            (open_now if obligation.state == "open" else waived).append(obligation)
        plans = work.find(FollowUpPlan, And(own, Eq("state", "planned")))
    running = {item.track: (met_at or work.now) if met(item) else item.opened_at for item in open_now}
    wanted_now = wanted(customer, plans, work.playbook, zone_named(work.playbook.timezone), running)
    lacking = {item.rule for item in wanted_now}
    targets = {f"target.{target.key}" for target in work.playbook.targets}

    def fulfilled(obligation: Obligation) -> bool:
        completed = obligation.rule in targets and obligation.rule not in lacking
        return met(obligation) or (completed and is_won(customer, work.playbook))

    settlement = settle(
        open_now,
        wanted_now,
        customer_id=customer.id,
        now=work.now,
        new_id=work.new_id,
        met=fulfilled,
        met_at=met_at,
        evidence_id=evidence_id,
        waived=waived,
    )
    before = {obligation.id: obligation for obligation in open_now}
    for ended in settlement.ended:
        work.put(ended, before[ended.id], f"obligation.{ended.state}")
    for begun in settlement.begun:
        work.add(begun, "obligation.opened")
