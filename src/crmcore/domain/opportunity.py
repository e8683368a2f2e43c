"""Sales opportunities, the objections on the way, and the orders they end in (seed 002)."""

from __future__ import annotations

from datetime import date, datetime

from crmcore.domain.entity import Record, entity
from crmcore.domain.fields import choice, day, instant, money, optional_text, required_day, text, texts
from crmcore.domain.values import Money


@entity(
    collection="opportunities",
    indexes=["customer_id", ("stage", "owner"), "reference", ("outcome", "closed_on")],
)
class Opportunity(Record):
    """销售机会. ``stage`` is a milestone of the playbook's ``pipeline``; ``outcome`` follows from it.

    An opportunity may stand alone until its customer is known; it can't be won without one.
    """

    name: str = text(folded=True)
    reference: str | None = optional_text()
    """The number that another system knows it by."""
    customer_id: str | None = optional_text()
    owner: str | None = optional_text()
    product: str | None = optional_text()
    source: str | None = optional_text()
    pipeline: str = text()
    stage: str = text()
    stage_since: datetime = instant()
    outcome: str = choice("open", "won", "lost", default="open")
    opened_on: date | None = day()
    expected_amount: Money | None = money()
    expected_close_on: date | None = day()
    amount: Money | None = money()
    """What it was closed at."""
    closed_on: date | None = day()
    competitors: tuple[str, ...] = texts()
    lost_reason: str | None = optional_text()
    remarks: str | None = optional_text()


@entity(collection="orders", unique=["number"], indexes=["customer_id"])
class Order(Record):
    """订单: what a won opportunity was signed as, and what of it is paid 回款."""

    number: str = text()
    customer_id: str = text()
    opportunity_id: str | None = optional_text()
    amount: Money | None = money()
    signed_on: date | None = day()
    collected: Money | None = money()
    collected_on: date | None = day()
    """The day on which the last of it came in."""
    remarks: str | None = optional_text()


@entity(collection="instalments", indexes=["customer_id", "order_id"])
class Instalment(Record):
    """回款计划: a part of an order's amount, the day by which it is to be paid, and what was paid of it."""

    order_id: str = text()
    customer_id: str = text()
    due_on: date = required_day()
    amount: Money | None = money()
    collected: Money | None = money()
    collected_on: date | None = day()
    """The day on which the last of it came in."""
    remarks: str | None = optional_text()


@entity(collection="objections", indexes=["customer_id", "opportunity_id"])
class Objection(Record):
    """异议: what a customer holds against an offer, the solution given for it and what came of that (seeds 002, 003)."""

    customer_id: str = text()
    opportunity_id: str | None = optional_text()
    follow_up_id: str | None = optional_text()
    type: str | None = optional_text()
    """As the playbook suggests: ``price``, ``features``."""
    description: str = text()
    solution: str | None = optional_text()
    outcome: str = choice("open", "accepted", "rejected", default="open")
    outcome_note: str | None = optional_text()
    """What the customer said of the solution (客户反馈结果)."""
