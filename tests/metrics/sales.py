"""Opportunities and their histories, made for tests of the funnel."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from crmcore.domain import Event, Money, Opportunity
from crmcore.playbooks.loading import load

PLAYBOOK = load("marketing")
GRAPH = PLAYBOOK.pipelines["sales"]
KEYS = [stage.key for stage in GRAPH.stages]
PATH = [stage.key for stage in GRAPH.stages if stage.outcome != "lost"]
NOW = datetime(2024, 6, 18, 4, tzinfo=UTC)
STAMPS = {"created_at": NOW, "created_by": "sales.east", "updated_at": NOW, "updated_by": "sales.east"}


def opportunity(id: str, stage: str, **fields: Any) -> Opportunity:
    """An opportunity whose outcome follows from its stage."""
    outcome = GRAPH.stage(stage).outcome if stage in KEYS else "open"
    given = {"outcome": outcome, "stage_since": NOW, "name": "采购设备", "pipeline": "sales", **STAMPS, **fields}
    return Opportunity(id=id, stage=stage, **given)


def moved(id: str, subject_id: str, stage: str, at: datetime, verb: str = "moved", **changes: Any) -> Event:
    """The event that took an opportunity to a stage."""
    text = json.dumps({"stage": [None, stage], **changes}, separators=(",", ":"))
    return Event(
        id=id,
        subject="opportunity",
        subject_id=subject_id,
        action=f"opportunity.{verb}",
        at=at,
        by="sales.east",
        changes=text,
    )


_MONEY = st.none() | st.builds(Money, st.integers(0, 10**9), st.sampled_from(["CNY", "USD", "JPY"]))
_DAYS = st.none() | st.dates(date(2023, 1, 1), date(2024, 12, 31))


@st.composite
def pipelines(draw: st.DrawFn) -> tuple[list[Opportunity], list[Event]]:
    """A handful of opportunities, some with a history."""
    opportunities, events = [], []
    for index in range(draw(st.integers(0, 12))):
        id = f"opportunity-{index}"
        opportunities.append(
            opportunity(
                id,
                draw(st.sampled_from(KEYS)),
                owner=draw(st.sampled_from([None, "sales.east", "销售甲"])),
                product=draw(st.sampled_from([None, "标准版"])),
                expected_amount=draw(_MONEY),
                amount=draw(_MONEY),
                opened_on=draw(_DAYS),
                closed_on=draw(_DAYS),
            )
        )
        at = NOW - timedelta(days=200)
        for step, stage in enumerate(draw(st.lists(st.sampled_from(KEYS), max_size=4))):
            at += timedelta(days=draw(st.integers(0, 30)))
            events.append(moved(f"event-{index}-{step}", id, stage, at))
    return opportunities, events
