"""What a customer says and asks for after the sale: feedback and service tickets (seeds 001, 002)."""

from __future__ import annotations

from datetime import datetime

from crmcore.domain.entity import Record, entity
from crmcore.domain.fields import choice, instant, optional_instant, optional_text, text, texts, whole


@entity(collection="feedback", indexes=["customer_id", "state"])
class Feedback(Record):
    """客户反馈, in the loop 接收 → 处理 → 反馈 → 确认; it can't close unconfirmed (seed 001).

    A customer that isn't satisfied opens the next ``cycle``, for which a plan is made anew.
    """

    customer_id: str = text()
    received_at: datetime = instant()
    source: str | None = optional_text()
    type: str = choice("question", "suggestion", "complaint", default="question")
    description: str = text()
    expectation: str | None = optional_text()
    topic: str | None = optional_text()
    """What it is about, as responsibility goes by it: ``product``, ``service`` (seed 001)."""
    responsible: str | None = optional_text()
    collaborators: tuple[str, ...] = texts()
    priority: str = choice("urgent", "ordinary", "suggestion", default="ordinary")
    complexity: str = choice("ordinary", "complex", default="ordinary")
    state: str = choice("received", "in_progress", "answered", "confirmed", default="received")
    plan: str | None = optional_text()
    result: str | None = optional_text()
    confirmation: str | None = choice("satisfied", "mostly_satisfied", "to_improve")
    cycle: int = whole(default=1)
    answered_at: datetime | None = optional_instant()
    stars: int | None = whole()
    suggestion: str | None = optional_text()
    closed_at: datetime | None = optional_instant()


@entity(collection="tickets", indexes=["customer_id", ("state", "assignee"), "number"])
class Ticket(Record):
    """服务工单, from a service channel to its rating in stars (seed 002). While ``waiting`` it waits for the customer.

    Reopened, it is in its next ``cycle``.
    """

    number: str | None = optional_text()
    customer_id: str = text()
    opened_at: datetime = instant()
    channel: str | None = optional_text()
    subject: str = text()
    description: str | None = optional_text()
    topic: str | None = optional_text()
    """What it is about, as assignment goes by it: ``technical``, ``delivery``."""
    priority: str = choice("urgent", "ordinary", "suggestion", default="ordinary")
    assignee: str | None = optional_text()
    collaborators: tuple[str, ...] = texts()
    state: str = choice("open", "in_progress", "waiting", "solved", "closed", default="open")
    plan: str | None = optional_text()
    result: str | None = optional_text()
    cycle: int = whole(default=1)
    answered_at: datetime | None = optional_instant()
    solved_at: datetime | None = optional_instant()
    closed_at: datetime | None = optional_instant()
    stars: int | None = whole()
    suggestion: str | None = optional_text()
