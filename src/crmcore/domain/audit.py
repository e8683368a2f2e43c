"""What the audit keeps beside the events: the head of each chain 审计链, and what was erased 删除个人信息."""

from __future__ import annotations

from datetime import datetime

from crmcore.domain.entity import Entity, entity
from crmcore.domain.fields import choice, count, instant, optional_instant, optional_text, text, whole


@entity(collection="chains")
class Chain(Entity):
    """Where the chain of one customer ends, or of a record without one. The id is that customer's or record's.

    Changed in the same transaction as the events, so that its version lets only one writer go on from a place.
    """

    id: str = text()
    version: int = whole(default=1)
    length: int = count(default=0)
    digest: str = text()
    """That of the last event."""
    seal: str | None = optional_text()
    """A keyed digest over this head. None where it did not fit when somebody went on from it: then it never does again."""


@entity(collection="erasures", indexes=["subject_id"])
class Erasure(Entity):
    """That a person's data were erased: whose, when, by whom and why, and nothing of what they were."""

    id: str = text()
    version: int = whole(default=1)
    customer_id: str = text()
    subject: str = choice("customer", "contact", default="customer")
    subject_id: str = text()
    at: datetime = instant()
    by: str = text()
    reason: str = text()
    cleaned_at: datetime | None = optional_instant()
    """When the files of the store were rewritten so that nothing is left in them either; None until then."""
