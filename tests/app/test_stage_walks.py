"""Any allowed walk through the stages of every bundled playbook, by the public API: nobody is stuck, a refusal says what to do."""

from __future__ import annotations

import datetime
import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import crmcore
from crmcore.domain import Money
from crmcore.errors import TransitionRefused
from crmcore.playbooks import BUNDLED

START = datetime.datetime(2023, 10, 9, 2, tzinfo=datetime.UTC)
DAY = datetime.date(2023, 10, 9)
FIRM = {
    "kind": "enterprise", "industry": "制造业", "scale": "large", "short_name": "AB",
    "contacts": [{"name": "联系人甲", "title": "采购经理", "phones": ["13800138000"], "emails": ["a@example.com"]}],
}  # fmt: skip


def supplied(issues):
    """What a refusal says is missing, as the arguments of the move that gives just that."""
    given = {}
    for issue in issues:
        entity, _, name = issue.field.partition(".")
        assert entity in ("customer", "opportunity"), issue
        if issue.code == "reason_required":
            given["reason"] = "客户要求"
        elif name.endswith("_on"):
            given[name] = DAY
        elif name.endswith("amount"):
            given[name] = Money.of(5)
        else:
            assert issue.code == "required", issue
            given[name] = "需要定制化系统"
    return given


class Walk(RuleBasedStateMachine):
    """A customer and an opportunity of it, moved as far as anybody likes."""

    playbook = "standard"

    @initialize()
    def register(self):
        self.now = START
        ids = itertools.count(1)
        self.crm = crmcore.open(
            "memory:", self.playbook, clock=lambda: self.now, ids=lambda: f"00000000-0000-7000-8000-{next(ids):012}"
        )
        self.me = self.crm.acting_as("sales.east")
        self.customer = self.me.customers.register(name="示例科技有限公司", **FIRM)
        self.deal = self.me.opportunities.open(name="采购", customer=self.customer)
        self.come_to = {"customer": [self.customer.stage], "opportunity": [self.deal.stage]}

    def of(self, record):
        """The use cases of the record, and its graph."""
        if record is self.customer:
            return self.me.customers, self.crm.playbook.lifecycle
        return self.me.opportunities, self.crm.playbook.pipelines[self.deal.pipeline]

    def everything(self):
        with self.crm.store.transaction() as transaction:
            return {name: list(transaction.scan(name)) for name in self.crm.store.schema.collections}

    def refused(self, record, target):
        """The refusal of a bare move, that changed nothing; None where the move was made."""
        before = self.everything()
        try:
            self.took(record, target, self.of(record)[0].move(record, target))
        except TransitionRefused as refusal:
            assert self.everything() == before
            return refusal
        return None

    def took(self, record, target, moved):
        """Notes where a move led, and where the record went from there by itself."""
        come_to = self.come_to[record.entity]
        come_to.append(target)
        if moved.stage != target:
            step = self.of(record)[1].transition(target, moved.stage)
            assert step is not None and step.automatic
            come_to.append(moved.stage)
        if record is self.customer:
            self.customer = moved
        else:
            self.deal = moved
            along = self.me.customers.get(self.customer)
            if along.stage != self.customer.stage:
                self.come_to["customer"].append(along.stage)
            self.customer = along

    @rule(hours=st.integers(0, 900))
    def time_passes(self, hours):
        self.now += datetime.timedelta(hours=hours)

    @rule(which=st.booleans(), data=st.data())
    def goes_on(self, which, data):
        record = self.customer if which else self.deal
        use_cases, graph = self.of(record)
        ways = graph.targets(record.stage)
        assert ways or graph.stage(record.stage).final
        if not ways:
            return
        target = data.draw(st.sampled_from(ways))
        refusal = self.refused(record, target)
        if refusal is not None:
            assert refusal.allowed == ways
            self.took(record, target, use_cases.move(record, target, **supplied(refusal.issues)))
        moved = self.customer if which else self.deal
        assert (moved.stage_since, moved.version > record.version) == (self.now, True)

    @rule(which=st.booleans(), data=st.data())
    def tries_what_is_no_way(self, which, data):
        record = self.customer if which else self.deal
        _, graph = self.of(record)
        ways = graph.targets(record.stage)
        target = data.draw(st.sampled_from([key for key in (*graph.keys, "nowhere") if key not in ways]))
        refusal = self.refused(record, target)
        assert refusal is not None
        (issue,) = refusal.issues
        said = issue.text()
        assert all(key in said for key in (graph.keys if target == "nowhere" else ways))

    @rule(signed=st.booleans())
    def contract(self, signed):
        changed = self.me.customers.update(self.customer, contract_signed_on=DAY if signed else None)
        if changed.stage != self.customer.stage:
            step = self.crm.playbook.lifecycle.transition(self.customer.stage, changed.stage)
            assert signed and step is not None and step.automatic
            self.come_to["customer"].append(changed.stage)
        self.customer = changed

    @invariant()
    def the_history_is_the_walk(self):
        for record in (self.customer, self.deal):
            visits = self.of(record)[0].stages(record)
            assert [visit.stage for visit in visits] == self.come_to[record.entity]
            assert visits[-1].stage == record.stage
            assert visits[-1].since == record.stage_since
            for one, other in itertools.pairwise(visits):
                assert one.since <= one.until == other.since
            assert sum((visit.length for visit in visits), datetime.timedelta()) == self.now - visits[0].since
            assert visits[0].since <= START

    def teardown(self):
        self.crm.close()


@pytest.mark.parametrize("key", BUNDLED)
def test_any_walk_through_a_playbook(key):
    machine = type(f"{key.title()}Walk", (Walk,), {"playbook": key})
    machine.TestCase.settings = settings(
        max_examples=settings.default.max_examples // 3, stateful_step_count=25, deadline=None
    )
    machine.TestCase().runTest()
