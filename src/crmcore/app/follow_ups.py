"""Following up: planning the next contact, and writing down the last one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from crmcore.app.customers import carry_customer_on
from crmcore.app.engine import UseCases
from crmcore.app.finding import Page, having, read_page, where_all
from crmcore.app.loops import build, future_issues
from crmcore.app.moving import due_move
from crmcore.app.work import STAMPS, Work, refuse_fixed
from crmcore.domain import Customer, FollowUp, FollowUpPlan, Opportunity
from crmcore.domain.fields import Unclean, clean_day, clean_instant
from crmcore.errors import DomainError, Invalid, Issue
from crmcore.rules.timing import local_day, zone_named
from crmcore.rules.validation import meant
from crmcore.storage.codec import CODECS
from crmcore.storage.query import And, Eq, Query

#: What a plan gets from the contact that carries it out.
_PLAN_FIXED = (*STAMPS, "customer_id", "follow_up_id")
#: What a conversation is logged with in other ways than as a field.
_FIXED = (*STAMPS, "customer_id", "plan_id")
_ENDED = {"done": "it is done already", "cancelled": "it is cancelled already"}


def log_follow_up(
    work: Work,
    customer: Customer,
    values: Mapping[str, Any],
    *,
    plan: FollowUpPlan | None = None,
    imported: bool = False,
) -> FollowUp:
    """Writes a conversation down within a unit of work; see :meth:`FollowUps.log`. Of an imported one nobody knows when it was
    first written down."""
    zone = zone_named(work.playbook.timezone)
    now = {"at": work.now, "recorder": work.actor}
    unsaid = {name: value for name, value in now.items() if values.get(name) is None}
    told = meant("follow_up", {**values, **unsaid}, work.playbook)
    refuse_fixed("follow_up", told, _FIXED)
    issues = _follow_up_issues(work, customer, told, plan, zone)
    whole = {**told, "customer_id": customer.id, "plan_id": plan.id if plan else None}
    follow_up = build(work, FollowUp, whole, issues)
    if imported:
        work.begin(follow_up, "follow_up.imported", follow_up.reason)
    else:
        work.begin(follow_up, "follow_up.logged", follow_up.reason)
    day, last = local_day(follow_up.at, zone), customer.last_follow_up_at
    latest = last is None or follow_up.at > last
    planned = work.find(FollowUpPlan, And(Eq("customer_id", customer.id), Eq("state", "planned")))
    done = [plan] if plan else [item for item in planned if item.due_on <= day]
    with work.following():
        for item in done:
            work.change(item, "follow_up_plan.done", {"state": "done", "follow_up_id": follow_up.id})
    if follow_up.next_on is not None and not _taken_care_of(follow_up.next_on, planned, done, last, zone):
        next_one = {"due_on": follow_up.next_on, "goal": follow_up.next_step, "method": follow_up.method}
        about = {"customer_id": customer.id, "opportunity_id": follow_up.opportunity_id}
        work.create(FollowUpPlan, "follow_up_plan.made", {**about, **next_one})
    seen = {
        "last_follow_up_at": follow_up.at if latest else last,
        "first_contact_on": min(customer.first_contact_on or day, day),
    }
    # What an import did can be undone, so its event tells all of it.
    with work.following():
        touched = work.change(customer, "customer.followed_up", seen, silent=not imported)
    carry_customer_on(work, touched, due_move(work, customer))
    return follow_up


def _follow_up_issues(
    work: Work, customer: Customer, told: Mapping[str, Any], plan: FollowUpPlan | None, zone: ZoneInfo
) -> list[Issue]:
    """What only the customer, the plan and now can tell about a conversation."""
    issues = []
    at, next_on = told["at"], told.get("next_on")
    if told.get("result") == "stopped" and not told.get("reason"):
        issues.append(Issue(code="reason_required", field="follow_up.reason"))
    if next_on is not None and not told.get("next_step"):
        issues.append(Issue(code="required", field="follow_up.next_step"))
    issues += future_issues(work, "follow_up.at", at)
    try:
        early = next_on is not None and clean_day(next_on) < local_day(clean_instant(at), zone)
    except Unclean:
        early = False  # for the fields themselves to refuse
    if early:
        facts = {"limit": "the days from the conversation on"}
        issues.append(Issue(code="out_of_range", field="follow_up.next_on", facts=facts))
    if plan is not None and (plan.customer_id != customer.id or plan.state != "planned"):
        why = "it is another customer's" if plan.customer_id != customer.id else _ENDED[plan.state]
        issues.append(Issue(code="refused", field="follow_up.plan_id", facts={"why": why}))
    if (deal := told.get("opportunity_id")) is not None:
        found = work.get(Opportunity, deal) if isinstance(deal, str) else None
        if found is None or found.customer_id not in (None, customer.id):
            facts = {"why": "it is no opportunity of this customer"}
            issues.append(Issue(code="refused", field="follow_up.opportunity_id", facts=facts))
    return issues


def _taken_care_of(
    day: date, planned: Sequence[FollowUpPlan], done: Sequence[FollowUpPlan], last: datetime | None, zone: ZoneInfo
) -> bool:
    """Whether the next contact needs no plan: one of that day is there, or a later conversation was logged before."""
    carried_out = {item.id for item in done}
    return any(item.due_on == day and item.id not in carried_out for item in planned) or (
        last is not None and local_day(last, zone) >= day
    )


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
            if not isinstance(reason, str) or not reason.strip():
                raise Invalid([Issue(code="reason_required", field="follow_up_plan.reason")])
            if current.state != "planned":
                raise DomainError(f"the plan is {current.state} already")
            return work.change(current, "follow_up_plan.cancelled", {"state": "cancelled"}, reason=reason)

        return self.write(decide)

    def of(self, customer: Customer | str, *, state: str | None = "planned") -> Sequence[FollowUpPlan]:
        """The plans for a customer by their day; with ``state=None`` also those that are done or cancelled."""
        found = self.customer(customer)
        told = having(FollowUpPlan, self.engine.playbook, {"customer_id": found.id, "state": state})
        query = Query("follow_up_plans", where_all(told), ("due_on",))
        return self.engine.read(lambda transaction: list(map(CODECS[FollowUpPlan].load, transaction.find(query))))


def add_plan(work: Work, customer: Customer, values: Mapping[str, Any], *, imported: bool = False) -> FollowUpPlan:
    """Plans within a unit of work; see :meth:`Plans.add`. A plan without an owner is the customer's owner's.

    An imported one may be done or cancelled already.
    """
    refuse_fixed("follow_up_plan", values, _PLAN_FIXED if imported else (*_PLAN_FIXED, "state"))
    plan = work.build(FollowUpPlan, {**values, "customer_id": customer.id})
    if plan.at is not None and local_day(plan.at, zone_named(work.playbook.timezone)) != plan.due_on:
        raise Invalid([Issue(code="out_of_range", field="follow_up_plan.at", facts={"limit": "the day due_on"})])
    return work.begin(plan, "follow_up_plan.made")
