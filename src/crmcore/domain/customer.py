"""The customer and the people at the customer (seeds 000 to 004; DOMAIN section 2)."""

from __future__ import annotations

from datetime import date, datetime

from crmcore.domain.entity import Record, entity
from crmcore.domain.fields import choice, count, day, flag, instant, money, optional_instant, optional_text, text, texts
from crmcore.domain.values import Money

LEVELS = ("high", "medium", "low")


@entity(
    collection="customers",
    unique=["number"],
    indexes=["name_key", ("stage", "number"), ("owner", "number"), "uscc"],
)
class Customer(Record):
    """客户. ``number`` is for people, ``id`` for records. ``stage`` is a key of the playbook's lifecycle, ``tier`` of its tiers.

    ``kind`` is 个人客户 or 企业客户 (seed 000); the other meaning of 客户类型 (潜在, 意向, 成交: seeds 002, 004) is ``stage``.
    """

    number: str = text()
    name: str = text(folded=True)
    kind: str = choice("enterprise", "individual", default="enterprise")
    short_name: str | None = optional_text()
    uscc: str | None = optional_text()
    """Unified social credit code 统一社会信用代码, GB 32100."""
    industry: str | None = optional_text()
    scale: str | None = choice("large", "small_medium", "sole_trader")
    headcount_low: int | None = count()
    headcount_high: int | None = count()
    annual_revenue: Money | None = money()
    main_business: str | None = optional_text()
    address: str | None = optional_text()
    source: str | None = optional_text()
    need_tags: tuple[str, ...] = texts()
    core_need: str | None = optional_text()
    expected_outcome: str | None = optional_text()
    urgency: str | None = choice(*LEVELS)
    priority: str | None = choice(*LEVELS)
    potential: str | None = choice("A", "B", "C")
    tier: str | None = optional_text()
    tier_reason: str | None = optional_text()
    """Why the tier was set by hand; None where it is worked out."""
    tier_until: date | None = day()
    """The last day on which a tier set by hand holds; None without an end."""
    stage: str = text()
    stage_since: datetime = instant()
    owner: str | None = optional_text()
    collaborators: tuple[str, ...] = texts()
    """Users, with their department after a slash where it is known: ``hua/技术支持``."""
    registrar: str | None = optional_text()
    confirmed_by: str | None = optional_text()
    """The owner who went over what somebody else had entered 二次核对 (seed 004)."""
    confirmed_at: datetime | None = optional_instant()
    first_contact_on: date | None = day()
    last_follow_up_at: datetime | None = optional_instant()
    decision_makers: tuple[str, ...] = texts()
    contract_signed_on: date | None = day()
    contract_expires_on: date | None = day()
    contract_amount: Money | None = money()
    budget: Money | None = money()
    first_deal_amount: Money | None = money()
    service_contact: str | None = optional_text()
    lost_reason: str | None = optional_text()
    tags: tuple[str, ...] = texts()
    remarks: str | None = optional_text()


@entity(collection="contacts", indexes=["customer_id"])
class Contact(Record):
    """联系人: a person at a customer. Phones and addresses as they are dialled and written, best first."""

    customer_id: str = text()
    name: str = text(folded=True)
    title: str | None = optional_text()
    phones: tuple[str, ...] = texts()
    emails: tuple[str, ...] = texts()
    wechat: str | None = optional_text()
    decision_maker: bool = flag()
    remarks: str | None = optional_text()
