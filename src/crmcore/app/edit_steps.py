"""Which use cases an edited row stands for: what a user would have called, in the order in which they would have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias

import attrs

from crmcore.app.action_plans import ActionPlans
from crmcore.app.attachments import Attachments
from crmcore.app.contacts import Contacts
from crmcore.app.customers import Customers
from crmcore.app.engine import Joined
from crmcore.app.feedback import Feedbacks
from crmcore.app.follow_ups import FollowUps, Plans
from crmcore.app.objections import Objections
from crmcore.app.opportunities import Opportunities
from crmcore.app.orders import Orders
from crmcore.app.referrals import Referrals
from crmcore.app.tickets import Tickets
from crmcore.app.tiers import Tiers
from crmcore.domain import (
    ActionPlan,
    Customer,
    Entity,
    Feedback,
    Instalment,
    Money,
    Objection,
    Opportunity,
    Order,
    Referral,
    Ticket,
)
from crmcore.errors import Invalid, Issue

Step: TypeAlias = Callable[[], Any]
Told: TypeAlias = dict[str, Any]
"""The fields that a row gives another value, in the domain's own values; what is taken out of it is done with."""


class Hands:
    """The use cases of one user within one unit of work."""

    def __init__(self, crm: Joined, actor: str) -> None:
        self.customers = Customers(crm, actor)
        self.contacts = Contacts(crm, actor)
        self.attachments = Attachments(crm, actor)
        self.follow_ups = FollowUps(crm, actor)
        self.plans = Plans(crm, actor)
        self.opportunities = Opportunities(crm, actor)
        self.objections = Objections(crm, actor)
        self.orders = Orders(crm, actor)
        self.referrals = Referrals(crm, actor)
        self.feedback = Feedbacks(crm, actor)
        self.tickets = Tickets(crm, actor)
        self.tiers = Tiers(crm, actor)
        self.action_plans = ActionPlans(crm, actor)


def _not_so(field: str) -> Step:
    """What can't be reached by changing a cell."""

    def refuse() -> None:
        raise Invalid([Issue(code="refused", field=field, facts={"why": "it is not set this way"})])

    return refuse


# ---- Rows that are there. Each step sees what those before it have made. ----


def _moved(move: Callable[..., Any], id: str, stage: str | None, told: Told) -> Step:
    """A row has no other place for the reason of a move than the column of the lost."""

    def moved() -> Any:
        try:
            return move(id, stage or "", reason=told.get("lost_reason"), **told)
        except Invalid as refused:
            refused.issues = tuple(map(_in_its_column, refused.issues))
            raise

    return moved


def _in_its_column(issue: Issue) -> Issue:
    entity, _, name = (issue.field or "").partition(".")
    if (issue.code, name) != ("reason_required", "reason"):
        return issue
    return attrs.evolve(issue, field=f"{entity}.lost_reason")


def _customer(hands: Hands, customer: Customer, told: Told) -> Iterator[Step]:
    """Another stage is a move, which sets the other fields along; an owner is assigned."""
    id, owner = customer.id, told.pop("owner", customer.owner)
    tier: Told = {name: told.pop(name) for name in ("tier", "tier_reason", "tier_until") if name in told}
    if tier:
        yield _tier(hands, customer, tier)
    stage = told.pop("stage", customer.stage)
    if stage != customer.stage:
        # What makes a customer another one is checked against the others by an update alone.
        named = {name: told.pop(name) for name in ("name", "kind", "uscc") if name in told}
        if named:
            yield partial(hands.customers.update, id, **named)
        yield _moved(hands.customers.move, id, stage, told)
    elif told:
        yield partial(hands.customers.update, id, **told)
    if owner != customer.owner:
        yield partial(hands.customers.assign, id, owner)


def _tier(hands: Hands, customer: Customer, told: Mapping[str, Any]) -> Step:
    """With a reason a tier is set by hand; a reason that is taken away releases it."""
    reason = told.get("tier_reason", None if "tier" in told else customer.tier_reason)
    if reason is not None:
        until = told.get("tier_until", customer.tier_until)
        return partial(hands.tiers.set, customer.id, told.get("tier", customer.tier) or "", reason=reason, until=until)
    if "tier_reason" in told and "tier" not in told:
        return partial(hands.tiers.release, customer.id)
    return partial(hands.customers.update, customer.id, **{n: value for n, value in told.items() if n != "tier_reason"})


def _opportunity(hands: Hands, opportunity: Opportunity, told: Told) -> Iterator[Step]:
    stage = told.pop("stage", opportunity.stage)
    if stage != opportunity.stage:
        yield _moved(hands.opportunities.move, opportunity.id, stage, told)
    elif told:
        yield partial(hands.opportunities.update, opportunity.id, **told)


def _order(hands: Hands, order: Order, told: Told) -> Iterator[Step]:
    yield _collecting(hands, order, told.pop("collected"))


def _instalment(hands: Hands, instalment: Instalment, told: Told) -> Iterator[Step]:
    collected = told.pop("collected", instalment.collected)
    if told:
        yield partial(hands.orders.change_instalment, instalment.id, **told)
    if collected != instalment.collected:
        yield _collecting(hands, instalment, collected)


def _collecting(hands: Hands, owed: Order | Instalment, collected: Money | None) -> Step:
    """A higher sum of what was paid is a payment of today."""
    before = owed.collected
    if collected is None or (before is not None and before.currency != collected.currency):
        return _not_so(f"{owed.entity}.collected")
    paid = Money(collected.minor - (before.minor if before else 0), collected.currency)
    return partial(hands.orders.collect, owed.id, paid)


def _ticket(hands: Hands, ticket: Ticket, told: Told) -> Iterator[Step]:
    id = ticket.id
    if "assignee" in told:
        yield partial(hands.tickets.assign, id, told["assignee"])
    if "collaborators" in told:
        yield _joining(hands.tickets.add_collaborators, ticket, told["collaborators"])
    if "plan" in told:
        yield partial(hands.tickets.plan, id, told["plan"])
    if "result" in told:
        yield partial(hands.tickets.solve, id, told["result"])
    rating = {name: told[name] for name in ("stars", "suggestion") if name in told}
    now, state = hands.tickets.get(id).state, told.get("state")
    if rating or state == "closed":
        yield partial(hands.tickets.close, id, **rating)
    if state is None or state == hands.tickets.get(id).state:
        return
    if state == "solved":
        yield partial(hands.tickets.solve, id, ticket.result)  # type: ignore[arg-type] # a rule asks for one
    elif state == "waiting":
        yield partial(hands.tickets.wait, id)
    elif state == "in_progress" and now in ("solved", "closed"):
        yield partial(hands.tickets.reopen, id, reason="")  # which a rule asks for
    elif state == "in_progress":
        yield partial(hands.tickets.resume if now == "waiting" else hands.tickets.answer, id)
    elif state != "closed":
        yield _not_so("ticket.state")


def _feedback(hands: Hands, feedback: Feedback, told: Told) -> Iterator[Step]:
    id = feedback.id
    if "responsible" in told:
        yield partial(hands.feedback.assign, id, told["responsible"])
    if "collaborators" in told:
        yield _joining(hands.feedback.add_collaborators, feedback, told["collaborators"])
    if "plan" in told:
        yield partial(hands.feedback.plan, id, told["plan"])
    if "result" in told:
        yield partial(hands.feedback.answer, id, told["result"])
    rating = {name: told[name] for name in ("stars", "suggestion") if name in told}
    if rating or "confirmation" in told:
        confirmation = told.get("confirmation", feedback.confirmation)
        yield partial(hands.feedback.confirm, id, confirmation or "", **rating)


def _joining(add: Callable[..., Any], case: Ticket | Feedback, names: tuple[str, ...]) -> Step:
    """Collaborators are asked to join; none is taken off."""
    if not set(case.collaborators) <= set(names):
        return _not_so(f"{case.entity}.collaborators")
    return partial(add, case.id, *(name for name in names if name not in case.collaborators))


def _objection(hands: Hands, objection: Objection, told: Told) -> Iterator[Step]:
    if "solution" in told:
        yield partial(hands.objections.answer, objection.id, told["solution"])
    if told.keys() & {"outcome", "outcome_note"}:
        outcome = told.get("outcome", objection.outcome)
        yield partial(hands.objections.settle, objection.id, outcome, note=told.get("outcome_note"))


def _referral(hands: Hands, referral: Referral, told: Told) -> Iterator[Step]:
    if "referred_id" in told:
        who = told["referred_id"]
        yield partial(hands.referrals.connect, referral.id, who) if who else _not_so("referral.referred_id")
    if "incentive_given" in told:
        given = told["incentive_given"]
        yield partial(hands.referrals.reward, referral.id) if given else _not_so("referral.incentive_given")


def _action_plan(hands: Hands, plan: ActionPlan, told: Told) -> Iterator[Step]:
    """A result says that it was carried out."""
    state, result = told.pop("state", None), told.pop("result", None)
    if told:
        yield partial(hands.action_plans.change, plan.id, **told)
    if state == "done" or (result is not None and state is None):
        yield partial(hands.action_plans.done, plan.id, result=result)
    elif state == "cancelled":
        yield partial(hands.action_plans.cancel, plan.id, reason="")  # which a rule asks for
    elif state is not None:
        yield _not_so("action_plan.state")


#: What a changed row asks for, by collection.
CHANGES: Mapping[str, Callable[[Hands, Any, Told], Iterator[Step]]] = {
    "customers": _customer,
    "contacts": lambda hands, contact, told: iter([partial(hands.contacts.update, contact.id, **told)]),
    "opportunities": _opportunity,
    "orders": _order,
    "instalments": _instalment,
    "tickets": _ticket,
    "feedback": _feedback,
    "objections": _objection,
    "referrals": _referral,
    "action_plans": _action_plan,
}


# ---- New rows ----


def _of_customer(use: Callable[[Hands], Callable[..., Any]]) -> Callable[[Hands, Told], Entity]:
    """What is added to a customer."""

    def add(hands: Hands, told: Told) -> Entity:
        customer, deal = told.pop("customer_id"), told.pop("opportunity_id", None)
        if deal is not None:
            told["opportunity"] = deal
        added: Entity = use(hands)(customer, **told)
        return added

    return add


def _added_plan(hands: Hands, told: Told) -> Entity:
    return hands.plans.add(told.pop("customer_id"), **told)


def _added_opportunity(hands: Hands, told: Told) -> Entity:
    return hands.opportunities.open(customer=told.pop("customer_id", None), **told)


def _added_instalment(hands: Hands, told: Told) -> Entity:
    return hands.orders.add_instalment(told.pop("order_id"), **told)


def _added_referral(hands: Hands, told: Told) -> Entity:
    return hands.referrals.make(told.pop("referrer_id"), referred=told.pop("referred_id", None), **told)


def _added_action(hands: Hands, told: Told) -> Entity:
    return hands.action_plans.add(told.pop("what"), customer=told.pop("customer_id", None), **told)


#: What registers a new row, by collection.
ADDITIONS: Mapping[str, Callable[[Hands, Told], Entity]] = {
    "customers": lambda hands, told: hands.customers.register(**told),
    "contacts": _of_customer(lambda hands: hands.contacts.add),
    "follow_ups": _of_customer(lambda hands: hands.follow_ups.log),
    "follow_up_plans": _added_plan,
    "opportunities": _added_opportunity,
    "orders": _of_customer(lambda hands: hands.orders.sign),
    "instalments": _added_instalment,
    "tickets": _of_customer(lambda hands: hands.tickets.open),
    "feedback": _of_customer(lambda hands: hands.feedback.receive),
    "objections": _of_customer(lambda hands: hands.objections.raise_),
    "referrals": _added_referral,
    "attachments": _of_customer(lambda hands: hands.attachments.add),
    "action_plans": _added_action,
}

#: What a new row can't do without, beside what the rules ask for: what a use case takes by name. Nobody in particular acts,
#: so that whose a new customer and a new action are is said.
NEEDED: Mapping[str, tuple[str, ...]] = {
    "customers": ("name", "owner"),
    "contacts": ("customer_id", "name"),
    "follow_ups": ("customer_id", "summary"),
    "follow_up_plans": ("customer_id", "due_on"),
    "opportunities": ("name",),
    "orders": ("customer_id",),
    "instalments": ("order_id", "due_on", "amount"),
    "tickets": ("customer_id", "subject"),
    "feedback": ("customer_id", "description"),
    "objections": ("customer_id", "description"),
    "referrals": ("referrer_id",),
    "attachments": ("customer_id", "name"),
    "action_plans": ("what", "owner"),
}
