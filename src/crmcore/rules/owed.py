"""One thing that is owed, as the rules derive it: from what it counts, by when it is due, and what became of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs

from crmcore.domain import Obligation

#: The fields that a derived obligation and a stored one share.
FIELDS = (
    *("customer_id", "rule", "track", "subject_id", "owner", "opened_at", "warn_at", "due_at", "state", "closed_at"),
    *("evidence_id", "reason"),
)


@attrs.define(eq=False)
class Owed:
    """A derived obligation; its fields are those of :class:`crmcore.domain.Obligation`.

    ``counted_from`` is the moment from which its time counts, where that isn't ``opened_at``: a weekly contact opened by a change
    of tier counts from the last conversation.
    """

    id: str
    rule: str
    track: str
    subject_id: str
    customer_id: str | None
    owner: str | None
    opened_at: datetime
    due_at: datetime
    counted_from: datetime
    warn_at: datetime | None = None
    state: str = "open"
    closed_at: datetime | None = None
    evidence_id: str | None = None
    reason: str | None = None

    def meet(self, at: datetime, evidence_id: str | None) -> None:
        """It was done, in time or late."""
        self.state = "met" if at < self.due_at else "met_late"
        self.closed_at, self.evidence_id = at, evidence_id

    def close(self, state: str, at: datetime, reason: str | None = None) -> None:
        """It ends without having been done: waived or superseded."""
        self.state, self.closed_at, self.reason = state, at, reason

    def fields(self) -> dict[str, Any]:
        """What is kept of it."""
        return {name: getattr(self, name) for name in FIELDS}


def different(owed: Owed, kept: Obligation) -> dict[str, Any]:
    """The fields in which what is kept says something else, as they should be."""
    return {name: value for name in FIELDS if (value := getattr(owed, name)) != getattr(kept, name)}
