"""Everything with a deadline is one thing: an obligation (DESIGN section 2)."""

from __future__ import annotations

from datetime import datetime

from crmcore.domain.entity import Entity, entity
from crmcore.domain.fields import choice, instant, optional_instant, optional_text, text, whole


@entity(
    collection="obligations",
    indexes=[("state", "due_at"), ("state", "owner", "due_at"), ("customer_id", "state")],
)
class Obligation(Entity):
    """Something that somebody owes a customer by a moment. Open ones are stored, so that "what is due" is one query.

    At risk and breached are never stored: they follow from ``warn_at``, ``due_at`` and now. ``due_at`` is the first
    moment that is too late (for a calendar day: the midnight that ends it, in the playbook's zone).
    """

    id: str = text()
    version: int = whole(default=1)
    customer_id: str = text()
    rule: str = text()
    """The playbook's rule it comes from: ``cadence.weekly_contact``, ``plan``."""
    track: str = text()
    """At most one obligation of a track is open for a subject at a time."""
    subject_id: str = text()
    owner: str | None = optional_text()
    opened_at: datetime = instant()
    warn_at: datetime | None = optional_instant()
    due_at: datetime = instant()
    state: str = choice("open", "met", "met_late", "waived", "superseded", default="open")
    closed_at: datetime | None = optional_instant()
    evidence_id: str | None = optional_text()
    """The record that met it."""
    reason: str | None = optional_text()
