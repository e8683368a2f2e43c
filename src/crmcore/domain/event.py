"""What happened: the one log that serves the audit 审计记录, the timeline and time in stage."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from crmcore.domain.entity import Entity, entity
from crmcore.domain.fields import count, instant, optional_text, text, whole
from crmcore.errors import StoreCorrupt


@entity(collection="events", indexes=[("customer_id", "at"), ("action", "at"), "cause"])
class Event(Entity):
    """One change, written in the same transaction as the change and never altered.

    ``at`` is when it was done (UTC), ``by`` the user; ``changes`` is a JSON object of field to [before, after], only of
    what changed; ``reason`` is the user's own. ``customer_id`` ties it to a customer's timeline.

    The last four fields tie it into the chain of its customer, or of its subject where it has none (审计链): see
    :mod:`crmcore.rules.audit`. They are None where an event was written before there were chains.
    """

    id: str = text()
    version: int = whole(default=1)
    customer_id: str | None = optional_text()
    subject: str = text()
    """The kind of entity that changed: ``customer``."""
    subject_id: str = text()
    action: str = text()
    """What was done, as entity and past verb: ``customer.registered``."""
    at: datetime = instant()
    by: str = text()
    changes: str | None = optional_text()
    reason: str | None = optional_text()
    cause: str | None = optional_text()
    """What it is a part of: the id of the imported row that brought it."""
    sequence: int | None = count()
    """Its place in the chain, from 1, without a gap."""
    salt: str | None = optional_text()
    """What keeps ``content`` from being guessed; it goes when the content is erased."""
    content: str | None = optional_text()
    """A salted digest of what was changed and why."""
    digest: str | None = optional_text()
    """A keyed digest over this event and the digest before it."""


UNDONE = "import_undone"
"""What was done, in the action of an event that takes back what a row did to a record: ``customer.import_undone``."""


def standing(events: Iterable[Event]) -> list[Event]:
    """The events without those that were taken back, and without what took them back: as if they had never been."""
    told = list(events)
    undone = {(event.cause, event.subject_id) for event in told if event.action.endswith(UNDONE)}
    return [event for event in told if (event.cause, event.subject_id) not in undone] if undone else told


def changes_of(event: Event) -> dict[str, tuple[Any, Any]]:
    """What an event changed: field to before and after. Raises :class:`StoreCorrupt` for what the library did not write."""
    try:
        told = json.loads(event.changes) if event.changes else {}
        return {name: (before, after) for name, (before, after) in told.items()}
    except (ValueError, TypeError, AttributeError):
        raise StoreCorrupt(
            "an event can't be read; look with: crmcore check", collection="events", id=event.id
        ) from None
