"""Merges of merges, taken back in any order, with everything else going on in between."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from merge_stories import CUSTOMER_FIELDS, STORIES, assert_in_step, run, state

import crmcore
from crmcore.domain import Alias
from crmcore.errors import MergeRefused

CHILDREN = (
    "contact", "opportunity", "order", "instalment", "follow_up_plan", "follow_up", "objection", "feedback", "ticket",
    "attachment", "action_plan",
)  # fmt: skip


class Merges(RuleBasedStateMachine):
    """Which number stands for which customer is kept apart from the library: as a tree of who was merged into whom."""

    def __init__(self) -> None:
        super().__init__()
        self.now = datetime(2023, 10, 9, 2, tzinfo=UTC)
        counter = itertools.count(1)
        self.crm = crmcore.open(
            "memory:", "standard", clock=lambda: self.now, ids=lambda: f"00000000-0000-7000-8000-{next(counter):012}"
        )
        self.me = self.crm.acting_as("hua")
        self.names: list[str] = []
        self.ids: dict[str, str] = {}
        self.into: dict[str, str] = {}
        self.absorbed: dict[str, Any] = {}
        """Each absorbed customer as it was."""
        self.homes: dict[str, str] = {}
        """The number under which each record was made, as far as its customer had absorbed nobody."""

    def forward(self, **lengths: float) -> None:
        self.now += timedelta(**lengths)

    def teardown(self) -> None:
        self.crm.close()

    @initialize()
    def begin(self) -> None:
        for place in range(4):
            made = self.me.customers.register(name=f"示例{place}", industry="x", tags=[str(place)])
            self.names.append(made.number)
            self.ids[made.number] = made.id

    def root(self, number: str) -> str:
        while number in self.into:
            number = self.into[number]
        return number

    def family(self, number: str) -> set[str]:
        return {name for name in self.names if self.root(name) == self.root(number)}

    @rule(
        what=st.sampled_from(sorted(STORIES)), place=st.integers(0, 3), index=st.integers(0, 3), fields=CUSTOMER_FIELDS
    )
    def something(self, what: str, place: int, index: int, fields: dict[str, Any]) -> None:
        before = self.rows()
        run(self.me, self, self.names, [(what, place, index, fields)])
        for id, customer in self.rows().items():
            if id not in before:
                (number,) = (name for name, own in self.ids.items() if own == customer)
                self.homes[id] = number

    def rows(self) -> dict[str, str]:
        """The customer of each record."""
        found = state(self.crm)
        return {id: row["customer_id"] for kind in CHILDREN for id, row in found[kind].items() if row["customer_id"]}

    @rule(keep=st.integers(0, 3), absorb=st.integers(0, 3))
    def merge(self, keep: int, absorb: int) -> None:
        one, other = self.names[keep], self.names[absorb]
        self.forward(minutes=1)
        before = state(self.crm)
        if other in self.into or one in self.into or one == other:
            try:
                self.me.customers.merge(one, other)
            except MergeRefused:
                assert state(self.crm) == before
                return
            raise AssertionError("a merge that can't be was made")
        self.absorbed[other] = self.me.customers.get(other)
        self.me.customers.merge(one, other)
        self.into[other] = one

    @precondition(lambda self: self.into)
    @rule(place=st.integers(0, 3))
    def unmerge(self, place: int) -> None:
        number = sorted(self.into)[place % len(self.into)]
        self.forward(minutes=1)
        before = state(self.crm)
        if self.into[number] in self.into:
            try:
                self.me.customers.unmerge(number)
            except MergeRefused as refused:
                assert self.into[number] in refused.message
                assert state(self.crm) == before
                return
            raise AssertionError("a merge was taken back before the one that it lies in")
        self.me.customers.unmerge(number)
        del self.into[number]
        # It is what it was; the stamps of a brought back record, too.
        assert self.me.customers.get(number) == self.absorbed.pop(number)

    @rule(keep=st.integers(0, 3), absorb=st.integers(0, 3))
    def merge_and_back(self, keep: int, absorb: int) -> None:
        one, other = self.names[keep], self.names[absorb]
        if one in self.into or other in self.into or one == other:
            return
        before = state(self.crm)
        self.me.customers.merge(one, other)
        self.me.customers.unmerge(other)
        assert state(self.crm) == before

    @invariant()
    def every_number_stands_for_a_customer_on_the_lists(self) -> None:
        for number in self.names:
            assert self.me.customers.get(number).number == self.root(number)
        aliases = self.me.customers.listed(Alias)
        assert {alias.id: alias.into_id for alias in aliases} == {
            number: self.ids[into] for number, into in self.into.items()
        }
        assert {alias.id: alias.customer_id for alias in aliases} == {
            number: self.ids[self.root(number)] for number in self.into
        }

    @invariant()
    def every_record_is_with_a_customer_on_the_lists(self) -> None:
        for id, customer in self.rows().items():
            if id in self.homes:
                assert customer in {self.ids[name] for name in self.family(self.homes[id])}

    @invariant()
    def what_is_stored_follows_from_what_happened(self) -> None:
        assert_in_step(self.me)

    @invariant()
    def the_timeline_tells_all_that_happened(self) -> None:
        """Each event stands in one timeline of a customer on the lists, and none is left out."""
        found: list[str] = []
        for number in self.names:
            if number not in self.into:
                found += [event.id for event in self.me.customers.timeline(number, limit=100_000)]
        with self.crm.store.transaction() as transaction:
            kept = [row[0] for row in transaction.scan("events") if row[2] is not None]
        assert sorted(found) == sorted(kept)


TestMerges = Merges.TestCase
TestMerges.settings = settings(max_examples=12, stateful_step_count=14, deadline=None)
