"""Following a customer up: what is planned, and what was said (seeds 000, 001, 003)."""

from __future__ import annotations

from datetime import date, datetime

from crmcore.domain.entity import Record, entity
from crmcore.domain.fields import (
    choice,
    count,
    day,
    instant,
    optional_instant,
    optional_text,
    required_day,
    text,
    texts,
)

METHODS = ("phone", "visit", "email", "online_meeting", "face_to_face", "wechat")


@entity(collection="follow_up_plans", indexes=["customer_id", ("state", "due_on")])
class FollowUpPlan(Record):
    """跟进计划 / 任务. Overdue is never stored: it is ``state`` planned and ``due_on`` before today."""

    customer_id: str = text()
    opportunity_id: str | None = optional_text()
    owner: str | None = optional_text()
    first_on: date | None = day()
    due_on: date = required_day()
    """The team's calendar day of the next contact (下次跟进时间)."""
    at: datetime | None = optional_instant()
    """The moment of that day, where one was agreed on."""
    cycle: str | None = optional_text()
    """How often it repeats, as a duration of the playbook: ``7 days``."""
    method: str | None = choice(*METHODS)
    goal: str | None = optional_text()
    content: str | None = optional_text()
    resources: str | None = optional_text()
    reminder_minutes: int = count(default=60)
    state: str = choice("planned", "done", "cancelled", default="planned")
    follow_up_id: str | None = optional_text()
    """The contact that carried it out."""
    remarks: str | None = optional_text()


@entity(collection="follow_ups", indexes=[("customer_id", "at")])
class FollowUp(Record):
    """跟进记录: one conversation. ``at`` is when it took place; ``created_at`` when it was written down (within 24 h: 001, 003, 004)."""

    customer_id: str = text()
    opportunity_id: str | None = optional_text()
    plan_id: str | None = optional_text()
    at: datetime = instant()
    method: str | None = choice(*METHODS)
    purpose: str | None = optional_text()
    """The track of the playbook's cadences that it serves beside ``contact``: ``revisit``."""
    participants: tuple[str, ...] = texts()
    summary: str = text()
    feedback: str | None = optional_text()
    changed_needs: str | None = optional_text()
    objection: str | None = optional_text()
    solution: str | None = optional_text()
    result: str | None = choice("progressing", "blocked", "stopped")
    reason: str | None = optional_text()
    """Why it was put off or ended; required with ``result`` stopped (seed 000)."""
    next_step: str | None = optional_text()
    next_on: date | None = day()
    recorder: str | None = optional_text()
