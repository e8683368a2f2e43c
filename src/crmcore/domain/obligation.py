"""Everything with a deadline is one thing: an obligation (DESIGN section 2)."""

from __future__ import annotations

from datetime import datetime

from crmcore.domain.entity import Entity, entity
from crmcore.domain.fields import choice, instant, optional_instant, optional_text, text, whole


@entity(
    collection="obligations",
    indexes=[("state", "due_at"), ("state", "owner", "due_at"), "customer_id"],
)
class Obligation(Entity):
    """Something that somebody owes by a moment. All are derived from what happened; stored, so that "what is due" is one query.

    At risk and breached are never stored: they follow from ``warn_at``, ``due_at`` and now. ``due_at`` is the first
    moment that is too late (for a calendar day: the midnight that ends it, in the playbook's zone). One that is ``paused``
    has the ``due_at`` that it had when its clock was stopped.

    The id is that of the event that opened it and the rule, so that deriving again gives the same.
    """

    id: str = text()
    version: int = whole(default=1)
    customer_id: str | None = optional_text()
    """None for what is owed to no customer: an action of a review."""
    rule: str = text()
    """The playbook's rule it comes from: ``cadence.weekly_contact``, ``target.answer_ticket``, ``plan``."""
    track: str = text()
    """At most one obligation of a track is open for a subject and, with collaborators, for an owner at a time."""
    subject_id: str = text()
    """The record that it is about: the customer, a plan, a ticket."""
    owner: str | None = optional_text()
    opened_at: datetime = instant()
    warn_at: datetime | None = optional_instant()
    due_at: datetime = instant()
    state: str = choice("open", "paused", "met", "met_late", "waived", "superseded", default="open")
    closed_at: datetime | None = optional_instant()
    evidence_id: str | None = optional_text()
    """The record that met it."""
    reason: str | None = optional_text()
