"""What is owed after the playbook was changed: told, replayed, recomputed; and stored is what is derived."""

from __future__ import annotations

import datetime

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crmcore
from crmcore.domain import Money
from crmcore.domain.duration import Duration
from crmcore.errors import DomainError, Invalid, PlaybookError, QueryError, TransitionRefused
from crmcore.playbooks import load

MARKETING, STANDARD = load("marketing"), load("standard")
FASTER = attrs.evolve(
    MARKETING,
    cadences=tuple(
        attrs.evolve(one, every=Duration(3, "days")) if one.key == "tier_a_contact" else one
        for one in MARKETING.cadences
    ),
)


@pytest.fixture
def reopen(store_url, clock):
    """Opens one store after another under the playbook given; a memory store is handed on."""
    state: dict[str, crmcore.CRM] = {}

    def under(playbook):
        if "crm" in state and store_url != "memory:":
            state["crm"].close()
        store = state["crm"].store if "crm" in state and store_url == "memory:" else store_url
        state["crm"] = crmcore.open(store, playbook, clock=clock)
        return state["crm"].acting_as("li")

    yield under
    state["crm"].close()


def lived(me, clock):
    customer = me.customers.register(name="示例科技有限公司", industry="制造业", tier="A")
    for days in (5, 2, 9):
        clock.forward(days=days)
        me.follow_ups.log(customer, summary="x")
    return customer


def contacts(me, customer):
    found = me.obligations.of(customer, state=None)
    return [one.state for one in found if one.rule == "cadence.tier_a_contact"]


def test_a_change_of_the_playbook_is_told_replayed_and_recomputed(reopen, clock):
    me = reopen(MARKETING)
    customer = lived(me, clock)
    assert contacts(me, customer) == ["met", "met", "met_late", "open"]
    assert not me.obligations.outdated()

    found = {one.rule: one for one in me.reports.replay(FASTER).rules}
    assert (found["cadence.tier_a_contact"].before["late"], found["cadence.tier_a_contact"].after["late"]) == (1, 2)
    assert set(found["target.record_follow_up"].change.values()) == {0}
    assert contacts(me, customer) == ["met", "met", "met_late", "open"]  # a replay writes nothing

    me = reopen(FASTER)
    assert me.obligations.outdated()
    told = me.obligations.recompute(dry_run=True)
    assert (told.looked_at, told.begun, told.changed, told.gone) == (1, 0, 4, 0)
    assert me.obligations.outdated()
    assert me.obligations.recompute() == told
    assert contacts(me, customer) == ["met_late", "met", "met_late", "open"]
    assert not me.obligations.outdated()
    assert me.obligations.recompute() == attrs.evolve(told, changed=0)


def test_a_replay_looks_at_what_was_due_in_its_time(reopen, clock):
    me = reopen(MARKETING)
    lived(me, clock)
    today = me.crm.today()
    whole = {one.rule: one.before["owed"] for one in me.reports.replay("marketing").rules}
    first = {one.rule: one.before["owed"] for one in me.reports.replay("marketing", until=today).rules}
    later = {
        one.rule: one.before["owed"]
        for one in me.reports.replay("marketing", since=today + datetime.timedelta(days=1)).rules
    }
    assert {rule: first.get(rule, 0) + later.get(rule, 0) for rule in whole} == whole
    with pytest.raises(PlaybookError):
        me.reports.replay("marketting")
    with pytest.raises(QueryError):
        me.reports.replay("marketing", since=today, until=today - datetime.timedelta(days=1))


def test_a_label_is_no_rule(reopen, clock):
    me = reopen(MARKETING)
    lived(me, clock)
    renamed = attrs.evolve(MARKETING, title=attrs.evolve(MARKETING.title, en="Another name"))
    assert not reopen(renamed).obligations.outdated()


def test_a_playbook_that_is_handed_in_is_checked_like_one_that_is_read():
    stages = attrs.evolve(MARKETING.lifecycle, initial="nowhere")
    with pytest.raises(PlaybookError, match="nowhere"):
        crmcore.open("memory:", attrs.evolve(MARKETING, lifecycle=stages))


def test_what_cannot_be_explained_or_waived_says_so(me):
    customer = me.customers.register(name="示例科技有限公司", industry="制造业", tier="A")
    (contact,) = me.obligations.of(customer)
    with pytest.raises(DomainError, match="no such obligation"):
        me.obligations.explain("nothing")
    with pytest.raises(Invalid, match="reason"):
        me.obligations.waive(contact, reason=" ")
    assert me.obligations.waive(contact, reason="客户休假").state == "waived"
    assert me.obligations.explain(contact).end == contact.due_at
    with pytest.raises(DomainError, match="waived already"):
        me.obligations.waive(contact.id, reason="again")
    plan = me.action_plans.add(what="优化方案设计", due_on=me.crm.today())
    (duty,) = me.obligations.due()
    assert (duty.customer, duty.about) == (None, "优化方案设计")
    assert "优化方案设计" in duty.explain("zh-CN")
    with pytest.raises(DomainError, match="cancelled, not waived"):
        me.obligations.waive(duty.obligation, reason="x")
    me.action_plans.done(plan)
    assert me.obligations.due() == []


def test_what_is_due_beyond_the_confirmed_days_is_told_with_a_warning(open_crm, clock):
    me = open_crm("standard").acting_as("li")
    clock.now = datetime.datetime(2026, 12, 31, 2, tzinfo=datetime.UTC)
    customer = me.customers.register(name="示例科技有限公司")
    me.tickets.open(customer, subject="无法开机")
    (solve,) = [one for one in me.obligations.of(customer) if one.rule == "target.solve_ticket"]
    told = me.obligations.explain(solve)
    assert told.end == solve.due_at
    assert [issue.code for issue in told.warnings] == ["unconfirmed"]
    assert "2026-12-31" in told.text("zh-CN").splitlines()[-1]


def test_an_explanation_ends_where_the_obligation_is_due_also_after_the_clock_went_back(open_crm, clock):
    me = open_crm("standard").acting_as("li")
    customer = me.customers.register(name="示例科技有限公司")
    start = clock.now
    ticket = me.tickets.open(customer, subject="无法开机", collaborators=["hua"])
    clock.forward(hours=10)
    me.tickets.wait(ticket.id)
    clock.forward(days=5)
    me.follow_ups.log(customer, summary="x")
    clock.now = start + datetime.timedelta(days=2)
    me.tickets.resume(ticket.id)
    for one in me.obligations.of(customer):
        assert me.obligations.explain(one).end == one.due_at, one.rule


def test_what_stands_at_a_stage_of_another_playbook_is_brought_to_one_of_this_with_a_reason(store_url, clock):
    crm = crmcore.open(store_url, "standard", clock=clock)
    me = crm.acting_as("li")
    customer = me.customers.register(name="示例科技有限公司")
    deal = me.opportunities.open(name="办公设备采购项目", customer=customer, expected_amount=Money.of(3))
    with crmcore.open(crm.store, "registration", clock=clock, switch_playbook=True) as other:
        me = other.acting_as("li")
        with pytest.raises(TransitionRefused) as refused:
            me.customers.move(customer.number, "意向客户-方案洽谈")
        assert [issue.code for issue in refused.value.issues] == ["reason_required"]
        assert set(refused.value.allowed) == {stage.key for stage in other.playbook.lifecycle.stages}
        moved = me.customers.move(customer.number, "意向客户-方案洽谈", reason="换方案")
        assert moved.stage == "proposal"
        pipeline = other.playbook.pipelines[other.playbook.default_pipeline]
        target = pipeline.targets(deal.stage)[0] if pipeline.find(deal.stage) else pipeline.initial
        with pytest.raises(TransitionRefused):
            me.opportunities.move(deal.id, "火星", reason="x")
        brought = me.opportunities.move(deal.id, target, reason="换方案")
        assert (brought.pipeline, brought.stage) == (pipeline.key, target)
        assert me.obligations.recompute().looked_at == 1


TARGETS = st.sets(st.sampled_from([target.key for target in STANDARD.targets]), max_size=6)


@settings(max_examples=25)
@given(TARGETS)
def test_stored_is_derived_whatever_targets_a_playbook_has(keys):
    now = [datetime.datetime(2024, 1, 2, 2, tzinfo=datetime.UTC)]
    playbook = attrs.evolve(STANDARD, targets=tuple(one for one in STANDARD.targets if one.key in keys), reminders=())
    with crmcore.open("memory:", playbook, clock=lambda: now[0]) as crm:
        me = crm.acting_as("li")
        customer = me.customers.register(name="示例科技有限公司", tier="A")
        other = me.customers.register(name="示例贸易有限公司")
        deal = me.opportunities.open(name="采购", customer=customer, expected_amount=Money.of(3))
        ticket = me.tickets.open(customer, subject="无法开机", priority="urgent", assignee="wang")
        feedback = me.feedback.receive(customer, description="x", complexity="complex")
        steps = (
            lambda: me.opportunities.move(deal.id, "方案提交"),
            lambda: me.opportunities.update(deal.id, customer_id=other.id),
            lambda: me.tickets.wait(ticket.id),
            lambda: me.tickets.add_collaborators(ticket.id, "hua"),
            lambda: me.tickets.assign(ticket.id, "zhao"),
            lambda: me.tickets.resume(ticket.id),
            lambda: me.feedback.plan(feedback.id, "方案"),
            lambda: me.feedback.answer(feedback.id, "结果"),
            lambda: me.feedback.confirm(feedback.id, "to_improve"),
            lambda: me.tickets.solve(ticket.id, "更换电源"),
            lambda: me.tickets.reopen(ticket.id, reason="又不开机"),
            lambda: me.opportunities.move(deal.id, "商务谈判"),
            lambda: me.opportunities.win(deal.id, order_number="DD1"),
            lambda: me.customers.update(customer.id, contract_expires_on=datetime.date(2024, 12, 31)),
            lambda: me.customers.move(customer.id, "流失", reason="x"),
            lambda: me.customers.move(customer.id, "意向", reason="x", contract_expires_on=datetime.date(2025, 12, 31)),
        )
        for step in steps:
            now[0] += datetime.timedelta(hours=5)
            step()
            told = me.obligations.recompute(dry_run=True)
            assert (told.begun, told.changed, told.gone) == (0, 0, 0)
        for one in me.obligations.of(customer, state=None):
            assert me.obligations.explain(one).end == one.due_at


def test_a_notice_that_should_have_come_before_comes_at_once(open_crm, clock):
    me = open_crm("standard").acting_as("li")
    before = clock.now - datetime.timedelta(seconds=1)
    customer = me.customers.register(
        name="示例科技有限公司", contract_expires_on=me.crm.today() + datetime.timedelta(days=19)
    )
    soon = clock.now + datetime.timedelta(minutes=30)
    me.plans.add(customer, due_on=me.crm.today(), at=soon)
    told = {one.reminder.key for one in me.obligations.reminders(before, clock.now)}
    assert "planned_follow_up" in told


def test_nobody_is_registered_as_spoken_to_tomorrow(me, clock):
    tomorrow = clock.now + datetime.timedelta(days=1)
    with pytest.raises(Invalid) as refused:
        me.customers.register(name="示例科技有限公司", industry="制造业", last_follow_up_at=tomorrow)
    assert [(issue.code, issue.field) for issue in refused.value.issues] == [
        ("out_of_range", "customer.last_follow_up_at")
    ]


def test_what_the_playbook_does_not_ask_for_any_more_is_not_waived(reopen):
    me = reopen("marketing")
    customer = me.customers.register(name="示例科技有限公司", industry="制造业", tier="A")
    (contact,) = me.obligations.of(customer)
    without = attrs.evolve(MARKETING, cadences=(), reminders=())
    me = reopen(without)
    with pytest.raises(DomainError, match="recompute"):
        me.obligations.waive(contact.id, reason="x")
    assert [one.state for one in me.obligations.of(customer)] == ["open"]
