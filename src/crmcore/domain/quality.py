"""Looking at a sample of the files: whether what they say is right (seed 004)."""

from __future__ import annotations

from datetime import datetime

from crmcore.domain.entity import Record, entity
from crmcore.domain.fields import choice, optional_instant, optional_text, text, texts


@entity(collection="quality_checks", indexes=["customer_id", "sample"])
class QualityCheck(Record):
    """抽查核对: the file of one customer in one sample, and what somebody who looked found."""

    customer_id: str = text()
    sample: str = text()
    """The name of the sample, which is also what it was drawn by: ``2026Q4``."""
    verdict: str = choice("open", "right", "wrong", default="open")
    wrong_fields: tuple[str, ...] = texts()
    """The dotted fields whose value is not right: ``customer.address``."""
    checked_by: str | None = optional_text()
    checked_at: datetime | None = optional_instant()
    remarks: str | None = optional_text()
