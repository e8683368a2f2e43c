"""What a store counts by itself equals what is counted over the entities, on every store."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sales import NOW, STAMPS

import crmcore
from crmcore.app.scope import Scope
from crmcore.domain import Customer, Entity, Feedback, Obligation, Opportunity, Ticket
from crmcore.metrics.dimensions import FACETS
from crmcore.metrics.duties import outcome_of
from crmcore.metrics.overview import counted
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Insert

BY: dict[type[Entity], tuple[str, ...]] = {
    Customer: tuple(FACETS),
    Obligation: ("rule", "state"),
    Opportunity: ("pipeline", "stage", "outcome"),
    Ticket: ("state", "assignee"),
    Feedback: ("state", "type"),
}
_OWNERS = st.sampled_from([None, "east", "West", "甲", "甲 "])
_CUSTOMER_IDS = st.sampled_from(["c0", "c1", "c2", "gone"])


@st.composite
def stores(draw: st.DrawFn) -> list[Entity]:
    found: list[Entity] = []
    for index in range(3):
        found.append(
            Customer(
                id=f"c{index}",
                number=str(index),
                name="示例",
                stage=draw(st.sampled_from(["prospect", "customer", "forgotten"])),
                stage_since=NOW,
                tier=draw(st.sampled_from([None, "A", "C"])),
                source=draw(st.sampled_from([None, "website", "抖音"])),
                owner=draw(_OWNERS),
                **STAMPS,
            )
        )
    for index in range(draw(st.integers(0, 10))):
        found.append(
            Obligation(
                id=f"o{index}",
                customer_id=draw(_CUSTOMER_IDS | st.none()),
                rule=draw(st.sampled_from(["plan", "cadence.revisit"])),
                track="plan",
                subject_id="c",
                opened_at=NOW - timedelta(days=9),
                due_at=NOW + timedelta(milliseconds=draw(st.integers(-2, 2))),
                state=draw(st.sampled_from(["open", "paused", "met", "met_late", "waived", "superseded"])),
            )
        )
    for index in range(draw(st.integers(0, 6))):
        shared: dict[str, Any] = {"customer_id": draw(_CUSTOMER_IDS), **STAMPS}
        stage, outcome = draw(st.sampled_from([("proposal", "open"), ("signed", "won"), ("lost", "lost")]))
        found += [
            Opportunity(
                id=f"p{index}", name="采购", pipeline="sales", stage=stage, stage_since=NOW, outcome=outcome, **shared
            ),
            Ticket(
                id=f"t{index}",
                opened_at=NOW,
                subject="问题",
                state=draw(st.sampled_from(["open", "solved"])),
                assignee=draw(_OWNERS),
                **shared,
            ),
            Feedback(id=f"f{index}", received_at=NOW, description="问题", **shared),
        ]
    return found


@contextmanager
def opened(scheme: str, made: Sequence[Entity]) -> Iterator[crmcore.CRM]:
    with tempfile.TemporaryDirectory() as folder:
        url = "memory:" if scheme == "memory" else f"sqlite:///{Path(folder).as_posix()}/crm.db"
        with crmcore.open(url, "standard", clock=lambda: NOW) as crm:
            with crm.store.transaction(write=True) as transaction:
                transaction.apply(Insert(one.collection, CODECS[type(one)].dump(one)) for one in made)
            yield crm


@pytest.mark.parametrize("scheme", ["memory", "sqlite"])
@given(made=stores(), of=st.sampled_from([{}, {"owner": "east"}, {"owner": None}, {"stage": "customer", "tier": "A"}]))
def test_a_store_counts_as_python_does(scheme: str, made: list[Entity], of: dict[str, str | None]) -> None:
    with opened(scheme, made) as crm, crm.store.transaction() as transaction:
        scope = Scope(transaction, of)
        chosen = {
            one.id
            for one in made
            if isinstance(one, Customer) and all(getattr(one, name) == value for name, value in of.items())
        }
        for cls, by in BY.items():
            key = "id" if cls is Customer else "customer_id"
            kept = [one for one in made if type(one) is cls and (not of or getattr(one, key) in chosen)]
            assert scope.tally(cls, by) == counted(kept, by)


@pytest.mark.parametrize("scheme", ["memory", "sqlite"])
@given(made=stores())
def test_the_overview_counts_every_record_once(scheme: str, made: list[Entity]) -> None:
    with opened(scheme, made) as crm:
        found = crm.acting_as("sales.east").reports.overview()
        owed = [one for one in made if isinstance(one, Obligation)]
        # A paused one is open in time where outcomes are counted, and paused here.
        states = [(one.rule, "paused" if one.state == "paused" else outcome_of(one, NOW)) for one in owed]
        assert found.duties == {state: states.count(state) for state in states}
        for name in FACETS:
            values = [getattr(one, name) for one in made if isinstance(one, Customer)]
            assert found.customers[name] == {(value,): values.count(value) for value in values}
        assert sum(found.opportunities.values()) == sum(isinstance(one, Opportunity) for one in made)
        assert (
            sum(found.tickets.values()) == sum(found.feedback.values()) == sum(isinstance(one, Ticket) for one in made)
        )
        assert all(table.to_text("zh-CN") for table in found.tables)
