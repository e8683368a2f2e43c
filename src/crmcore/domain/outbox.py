"""What is to be told outside the house: one message per notice, recipient and way of sending."""

from __future__ import annotations

from datetime import datetime

from crmcore.domain.entity import Entity, entity
from crmcore.domain.fields import choice, count, instant, optional_instant, optional_text, text, whole


@entity(collection="outbox", indexes=[("state", "at"), "notice_id", "customer_id"])
class OutboxMessage(Entity):
    """A message that waits to be sent, was sent, or was given up. It holds what a notifier needs to say it, and no name or
    number of a customer's person.

    The id is a digest of the notice, the recipient and the notifier, so that the same message is never there twice; whoever
    receives it can tell by the id that it came a second time. Being claimed is no state: it is ``waiting`` with a
    ``claimed_until`` that has not passed.
    """

    id: str = text()
    version: int = whole(default=1)
    notice_id: str = text()
    reminder: str = text()
    """The key of the playbook's reminder."""
    label_zh: str = text()
    label_en: str = text()
    customer_id: str | None = optional_text()
    customer_number: str | None = optional_text()
    subject_id: str = text()
    """The record that it is about: the customer, a plan, a ticket."""
    due_at: datetime | None = optional_instant()
    """When what it is about is due."""
    recipient: str | None = optional_text()
    """A user's name; None where nobody in particular is told."""
    notifier: str | None = optional_text()
    """The key of the notifier that is to send it; None leaves that to the relay."""
    at: datetime = instant()
    """The moment that it is for. Messages about one customer go out in this order."""
    not_before: datetime = instant()
    """When it may be tried next."""
    state: str = choice("waiting", "sent", "dead", default="waiting")
    attempts: int = count(default=0)
    claimed_by: str | None = optional_text()
    claimed_until: datetime | None = optional_instant()
    last_error: str | None = optional_text()
    """The code of the last failure; never what a service said."""
    sent_at: datetime | None = optional_instant()
