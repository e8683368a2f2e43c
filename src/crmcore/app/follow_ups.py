"""Following up: planning the next contact, and writing down the last one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from crmcore.app.duties import replan
from crmcore.app.engine import UseCases
from crmcore.app.finding import Page, read_page
from crmcore.app.work import Work
from crmcore.domain import Customer, FollowUp, FollowUpPlan, Obligation, Opportunity
from crmcore.domain.fields import clean_instant
from crmcore.errors import DomainError, Invalid, Issue
from crmcore.rules.timing import local_day, zone_named
from crmcore.storage.codec import CODECS
from crmcore.storage.query import And, Eq, Query, Where


def log_follow_up(
    work: Work, customer: Customer, values: dict[str, Any], *, plan: FollowUpPlan | None = None
) -> FollowUp:
    """Writes a conversation down within a unit of work; see :meth:`FollowUps.log`."""
    zone = zone_named(work.playbook.timezone)
    given = {
        "at": work.now,
        "recorder": work.actor,
        **{name: value for name, value in values.items() if value is not None},
    }
    issues = []
    if given.get("result") == "stopped" and not given.get("reason"):
        issues.append(Issue(code="reason_required", field="follow_up.reason"))
    if given.get("next_on") is not None and not given.get("next_step"):
        issues.append(Issue(code="required", field="follow_up.next_step"))
    if isinstance(given["at"], datetime) and given["at"].tzinfo is not None and clean_instant(given["at"]) > work.now:
        issues.append(Issue(code="out_of_range", field="follow_up.at", facts={"limit": "what has happened"}))
    try:
        follow_up = work.create(
            FollowUp, "follow_up.logged", customer_id=customer.id, plan_id=plan.id if plan else None, **given
        )
    except Invalid as invalid:
        raise Invalid([*issues, *invalid.issues]) from None
    if issues:
        raise Invalid(issues)
    day = local_day(follow_up.at, zone)
    done = [plan] if plan else _due_plans(work, customer, day)
    for item in done:
        work.change(item, "follow_up_plan.done", state="done", follow_up_id=follow_up.id)
    if follow_up.next_on is not None:
        work.create(
            FollowUpPlan,
            "follow_up_plan.made",
            customer_id=customer.id,
            opportunity_id=follow_up.opportunity_id,
            owner=customer.owner,
            due_on=follow_up.next_on,
            goal=follow_up.next_step,
            method=follow_up.method,
        )
    latest = customer.last_follow_up_at is None or follow_up.at > customer.last_follow_up_at
    touched = work.change(
        customer,
        "customer.followed_up",
        silent=True,
        last_follow_up_at=follow_up.at if latest else customer.last_follow_up_at,
        first_contact_on=customer.first_contact_on or day,
    )
    carried_out = {item.id for item in done}

    def met(obligation: Obligation) -> bool:
        return (latest and obligation.track.startswith("cadence.")) or obligation.subject_id in carried_out

    replan(
        work,
        touched,
        met=met,
        met_at=follow_up.at,
        evidence_id=follow_up.id,
    )
    return follow_up


def _due_plans(work: Work, customer: Customer, day: date) -> list[FollowUpPlan]:
    """The planned contacts that a conversation on this day carries out: those due by then."""
    planned = work.find(FollowUpPlan, And(Eq("customer_id", customer.id), Eq("state", "planned")))
    return [plan for plan in planned if plan.due_on <= day]


class FollowUps(UseCases):
    """The use cases about conversations, for one user."""

    def log(
        self,
        customer: Customer | str,
        *,
        summary: str,
        at: datetime | None = None,
        plan: FollowUpPlan | str | None = None,
        opportunity: Opportunity | str | None = None,
        **values: Any,
    ) -> FollowUp:
        """Writes down a conversation (跟进记录): it meets the contact that was due, and plans the next one.

        ``at`` is when it took place, aware; now unless given. ``values`` are fields of :class:`FollowUp`. With ``next_on``
        and ``next_step`` the next contact is planned. It carries out ``plan``, or every planned contact due by its day.
        Raises :class:`Invalid`: a reason is required with ``result="stopped"`` (seed 000).
        """

        def decide(work: Work) -> FollowUp:
            current = work.current(Customer, customer)
            planned = work.current(FollowUpPlan, plan) if plan is not None else None
            deal = work.current(Opportunity, opportunity).id if opportunity is not None else None
            return log_follow_up(
                work, current, {"summary": summary, "at": at, "opportunity_id": deal, **values}, plan=planned
            )

        return self.write(decide)

    def of(self, customer: Customer | str, *, limit: int = 100, after: str | None = None) -> Page[FollowUp]:
        """The conversations with a customer, latest first."""
        found = self.customer(customer)
        where = Eq("customer_id", found.id)
        return self.engine.read(lambda transaction: read_page(transaction, FollowUp, where, ("-at",), limit, after))


class Plans(UseCases):
    """The use cases about planned contacts, for one user."""

    def add(self, customer: Customer | str, *, due_on: date, **values: Any) -> FollowUpPlan:
        """Plans a contact (跟进计划) for a day of the team's calendar. ``values`` are fields of :class:`FollowUpPlan`."""

        def decide(work: Work) -> FollowUpPlan:
            current = work.current(Customer, customer)
            return add_plan(work, current, {"due_on": due_on, **values})

        return self.write(decide)

    def cancel(self, plan: FollowUpPlan | str, *, reason: str) -> FollowUpPlan:
        """Takes a planned contact back."""

        def decide(work: Work) -> FollowUpPlan:
            current = work.current(FollowUpPlan, plan)
            if not reason or not reason.strip():
                raise Invalid([Issue(code="reason_required", field="follow_up_plan.reason")])
            if current.state != "planned":
                raise DomainError(f"the plan is {current.state} already")
            changed = work.change(current, "follow_up_plan.cancelled", reason=reason, state="cancelled")
            replan(work, work.current(Customer, current.customer_id))
            return changed

        return self.write(decide)

    def of(self, customer: Customer | str, *, state: str | None = "planned") -> Sequence[FollowUpPlan]:
        """The plans for a customer by their day; with ``state=None`` also those that are done or cancelled."""
        found = self.customer(customer)
        where: Where = Eq("customer_id", found.id)
        if state is not None:
            where = And(where, Eq("state", state))
        query = Query("follow_up_plans", where, ("due_on",))
        return self.engine.read(lambda transaction: list(map(CODECS[FollowUpPlan].load, transaction.find(query))))


def add_plan(work: Work, customer: Customer, values: dict[str, Any]) -> FollowUpPlan:
    """Plans within a unit of work; see :meth:`Plans.add`."""
    given = {"owner": customer.owner, **{name: value for name, value in values.items() if value is not None}}
    plan = work.create(FollowUpPlan, "follow_up_plan.made", customer_id=customer.id, **given)
    replan(work, customer)
    return plan
