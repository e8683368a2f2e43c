"""What else hangs on a customer: referrals, attachments and the plans of a review (seeds 001, 003, 004)."""

from __future__ import annotations

from datetime import date

from crmcore.domain.entity import Record, entity
from crmcore.domain.fields import choice, count, day, flag, optional_text, text


@entity(collection="referrals", indexes=["referrer_id", "referred_id"])
class Referral(Record):
    """转介绍: one customer brought another, and what the first was promised for it (seed 003)."""

    referrer_id: str = text()
    referred_id: str | None = optional_text()
    referred_name: str | None = optional_text()
    referred_reach: str | None = optional_text()
    """How the referred customer is reached, as told."""
    referred_on: date | None = day()
    source: str | None = optional_text()
    succeeded_on: date | None = day()
    """The day on which the referred customer was won (合作成功)."""
    incentive: str | None = optional_text()
    incentive_given: bool = flag()


@entity(collection="attachments", indexes=["customer_id"])
class Attachment(Record):
    """附件: a contract scan, minutes, a screenshot. The content lies elsewhere; ``place`` says where, ``sha256`` what it must be."""

    customer_id: str = text()
    about: str | None = optional_text()
    name: str = text()
    media_type: str | None = optional_text()
    size: int | None = count()
    sha256: str | None = optional_text()
    place: str | None = optional_text()


@entity(collection="action_plans", indexes=[("state", "due_on")])
class ActionPlan(Record):
    """行动计划 from a review: what, who, until when."""

    customer_id: str | None = optional_text()
    what: str = text()
    owner: str | None = optional_text()
    due_on: date | None = day()
    state: str = choice("planned", "done", "cancelled", default="planned")
    result: str | None = optional_text()
