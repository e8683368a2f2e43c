"""Following up under the marketing playbook (seed 003), on every store."""

from __future__ import annotations

import datetime

import pytest

from crmcore.domain import Money
from crmcore.errors import Conflict, DomainError, Invalid, TransitionRefused

DAY = datetime.date


def due(me, until):
    return [(duty.obligation.rule, duty.due_on) for duty in me.obligations.due(until)]


@pytest.mark.parametrize(
    ("tier", "first", "expected"),
    [
        ("A", DAY(2023, 10, 9), DAY(2023, 10, 16)),  # seed 003, 模板2, row 1
        ("B", DAY(2023, 10, 11), DAY(2023, 10, 25)),  # seed 003, 模板2, row 2
        ("C", DAY(2023, 1, 31), DAY(2023, 2, 28)),  # month arithmetic is calendar-true
    ],
)
def test_the_cadence_of_a_tier(me, clock, tier, first, expected):
    me.customers.register(name="示例科技有限公司", industry="制造业", tier=tier, first_contact_on=first)
    assert [on for _, on in due(me, DAY(2024, 1, 1))] == [expected]
    assert due(me, expected - datetime.timedelta(days=1)) == []


def test_a_contact_meets_what_was_due_and_plans_the_next(me, clock):
    customer = me.customers.register(name="示例科技有限公司", industry="制造业", tier="A")
    clock.forward(days=8)  # one day late
    (duty,) = me.obligations.due()
    assert (duty.state, duty.days_overdue) == ("overdue", 1)
    assert "1 day late" in duty.explain()
    assert "已逾期1天" in duty.explain("zh-CN")
    me.follow_ups.log(customer, summary="谈了报价", method="phone", next_step="发送报价单", next_on=DAY(2023, 10, 20))
    states = {item.rule: item.state for item in me.obligations.of(customer, state=None) if item.state != "open"}
    assert states == {"cadence.tier_a_contact": "met_late", "target.record_follow_up": "met"}
    assert due(me, DAY(2023, 12, 1)) == [("plan", DAY(2023, 10, 20)), ("cadence.tier_a_contact", DAY(2023, 10, 24))]


def test_the_last_moment_of_the_day_is_in_time(me, clock):
    customer = me.customers.register(name="示例科技有限公司", industry="制造业", tier="A")
    clock.now = datetime.datetime(2023, 10, 16, 15, 59, 59, 999000, tzinfo=datetime.UTC)  # 23:59:59.999 in Shanghai
    assert [duty.state for duty in me.obligations.due()] == ["at_risk"]
    clock.forward(milliseconds=1)
    assert [duty.state for duty in me.obligations.due()] == ["overdue"]
    assert me.obligations.of(customer)[0].due_at == clock.now


def test_a_plan_is_carried_out_by_a_contact_on_or_after_its_day(me, clock):
    customer = me.customers.register(name="示例科技有限公司", industry="制造业")
    early = me.plans.add(customer, due_on=DAY(2023, 10, 10), goal="发送资料")
    late = me.plans.add(customer, due_on=DAY(2023, 10, 30))
    clock.forward(days=1)
    logged = me.follow_ups.log(customer, summary="已发送")
    plans = {plan.id: plan for plan in me.plans.of(customer, state=None)}
    assert (plans[early.id].state, plans[early.id].follow_up_id) == ("done", logged.id)
    assert plans[late.id].state == "planned"
    assert ("plan", DAY(2023, 10, 30)) in due(me, DAY(2023, 11, 1))
    me.plans.cancel(late, reason="客户出差")
    assert ("plan", DAY(2023, 10, 30)) not in due(me, DAY(2023, 11, 1))
    with pytest.raises(DomainError):
        me.plans.cancel(late.id, reason="again")


def test_what_a_record_of_a_contact_must_say(me, clock):
    customer = me.customers.register(name="示例科技有限公司", industry="制造业")
    tomorrow = clock.now + datetime.timedelta(days=1)
    with pytest.raises(Invalid) as caught:
        me.follow_ups.log(
            customer, summary=" ", result="stopped", next_on=DAY(2023, 11, 1), at=tomorrow, method="telepathy"
        )
    assert {(issue.code, issue.field) for issue in caught.value.issues} == {
        ("required", "follow_up.summary"),
        ("reason_required", "follow_up.reason"),
        ("required", "follow_up.next_step"),
        ("out_of_range", "follow_up.at"),
        ("bad_choice", "follow_up.method"),
    }
    with pytest.raises(Invalid, match="no time zone"):
        me.follow_ups.log(customer, summary="x", at=datetime.datetime(2023, 10, 1))
    assert len(me.follow_ups.of(customer)) == 0


def test_an_older_record_moves_no_due_time(me, clock):
    customer = me.customers.register(name="示例科技有限公司", industry="制造业", tier="A")
    me.follow_ups.log(customer, summary="今天")
    before = due(me, DAY(2024, 1, 1))
    me.follow_ups.log(customer, summary="补录", at=clock.now - datetime.timedelta(days=5))
    assert due(me, DAY(2024, 1, 1)) == before
    assert [record.summary for record in me.follow_ups.of(customer)] == ["今天", "补录"]


def test_a_lost_customer_owes_nothing_and_a_reason(me):
    customer = me.customers.register(name="示例科技有限公司", industry="制造业", tier="A")
    with pytest.raises(TransitionRefused) as caught:
        me.customers.move(customer, "流失")
    assert [issue.code for issue in caught.value.issues] == ["reason_required"]
    lost = me.customers.move(customer, "流失", reason="预算取消")
    assert lost.lost_reason == "预算取消"
    assert due(me, DAY(2030, 1, 1)) == []
    assert [item.state for item in me.obligations.of(customer, state=None)] == ["superseded"]


def test_a_move_that_is_not_in_the_graph_names_the_ways(me):
    customer = me.customers.register(name="示例科技有限公司", industry="制造业")
    with pytest.raises(TransitionRefused) as caught:
        me.customers.move(customer, "成交")
    assert "interested" in str(caught.value)
    with pytest.raises(TransitionRefused) as caught:
        me.customers.move(customer, "火星")
    assert [issue.code for issue in caught.value.issues] == ["unknown_stage"]


def test_two_who_move_one_customer_at_once(me):
    read = me.customers.register(name="示例科技有限公司", industry="制造业")
    me.customers.move(read, "意向")
    with pytest.raises(Conflict):
        me.customers.move(read, "流失", reason="x")


def test_a_won_opportunity_takes_its_customer_along(me, clock):
    customer = me.customers.register(name="示例科技有限公司", industry="制造业", tier="A")
    deal = me.opportunities.open(name="办公设备", customer=customer, expected_amount=Money.of("50000"))
    for stage in ("意向", "方案", "谈判"):
        deal = me.opportunities.move(deal, stage)
    won = me.opportunities.win(deal, order_number="D-1")
    assert (won.outcome, won.amount, won.closed_on) == ("won", Money.of("50000"), DAY(2023, 10, 9))
    assert me.crm.playbook.lifecycle.stage(me.customers.get(customer).stage).outcome == "won"
    rules = dict(due(me, DAY(2024, 3, 1)))
    assert rules["target.complete_fields"] == DAY(2023, 11, 8)  # seed 003: within 30 days of the deal
    clock.forward(days=10)
    me.customers.update(
        customer,
        first_deal_amount=Money.of("50000"),
        contract_expires_on=DAY(2024, 10, 9),
        service_contact="销售甲",
    )
    states = {item.rule: item.state for item in me.obligations.of(customer, state=None)}
    assert states["target.complete_fields"] == "met"


def test_an_opportunity_without_a_customer_is_not_won(me):
    deal = me.opportunities.open(name="线索", expected_amount=Money.of("1"))
    for stage in ("意向", "方案", "谈判"):
        deal = me.opportunities.move(deal, stage)
    with pytest.raises(TransitionRefused) as caught:
        me.opportunities.win(deal)
    assert [issue.field for issue in caught.value.issues] == ["opportunity.customer_id"]


def test_a_lost_opportunity_keeps_its_reason(me):
    deal = me.opportunities.open(name="线索")
    lost = me.opportunities.lose(deal, reason="价格过高")
    assert (lost.outcome, lost.lost_reason, lost.closed_on) == ("lost", "价格过高", DAY(2023, 10, 9))
    with pytest.raises(TransitionRefused):
        me.opportunities.lose(me.opportunities.open(name="另一条"), reason="  ")


def test_handing_over_takes_what_is_open_along(me):
    customer = me.customers.register(name="示例科技有限公司", industry="制造业", tier="A")
    me.plans.add(customer, due_on=DAY(2023, 10, 12), owner=None)
    me.customers.assign(customer, "sales.west")
    assert {duty.obligation.owner for duty in me.obligations.due(DAY(2024, 1, 1), owner="sales.west")} == {"sales.west"}


def test_waiving_needs_a_reason(me):
    customer = me.customers.register(name="示例科技有限公司", industry="制造业", tier="A")
    (open_one,) = me.obligations.of(customer)
    with pytest.raises(Invalid):
        me.obligations.waive(open_one, reason="")
    assert me.obligations.waive(open_one, reason="春节").state == "waived"
    assert me.obligations.of(customer) == []


def test_what_people_say_is_kept_as_what_it_means(me):
    customer = me.customers.register(name="甲", kind="企业客户", industry="x", urgency="紧急", tier="A级", stage="意向")
    assert (customer.kind, customer.urgency, customer.tier, customer.stage) == ("enterprise", "high", "A", "interested")
    assert me.customers.update(customer, urgency="中").urgency == "medium"
    assert me.follow_ups.log(customer, summary="x", method="电话").method == "phone"


def test_a_deal_is_not_won_without_its_customer(me):
    with pytest.raises(Invalid) as caught:
        me.opportunities.open(name="x", stage="成交")
    assert [issue.field for issue in caught.value.issues] == ["opportunity.customer_id"]
    first = me.customers.register(name="甲", industry="x")
    second = me.customers.register(name="乙", industry="x")
    won = me.opportunities.open(name="x", stage="成交", customer=first, amount=Money(1))
    with pytest.raises(Invalid):
        me.opportunities.update(won, customer_id=None)
    me.opportunities.update(won, customer_id=second.id)
    assert me.crm.playbook.lifecycle.stage(me.customers.get(second).stage).outcome == "won"


def test_attachments_are_noted(me):
    customer = me.customers.register(name="甲", industry="x")
    added = me.attachments.add(customer, name="合同.pdf", about="contract", size=1024, sha256="0" * 64)
    assert me.attachments.of(customer) == [added]


def test_the_reason_is_kept_with_the_record(me):
    customer = me.customers.register(name="甲", industry="x")
    logged = me.follow_ups.log(customer, summary="x", result="暂缓/终止(需记录原因)", reason="预算取消")
    assert (logged.result, logged.reason) == ("stopped", "预算取消")
    assert me.follow_ups.of(customer).items[0].reason == "预算取消"


@pytest.mark.parametrize("word", ["stopped", "暂缓", "终止", "暂缓/终止(需记录原因)"])
def test_a_conversation_that_ends_it_gives_its_reason_in_whatever_words(me, word):
    assert me.crm.playbook.choice_key("follow_up.result", word) == "stopped"
    customer = me.customers.register(name="甲", industry="x")
    with pytest.raises(Invalid) as caught:
        me.follow_ups.log(customer, summary="x", result=word)
    assert [issue.code for issue in caught.value.issues] == ["reason_required"]


def test_history_may_come_in_any_order(me, clock):
    clock.forward(days=20)
    customer = me.customers.register(name="甲", industry="x", tier="A", first_contact_on=DAY(2023, 10, 20))
    later = datetime.datetime(2023, 10, 15, 1, tzinfo=datetime.UTC)
    me.follow_ups.log(customer, summary="second", at=later)
    me.follow_ups.log(
        customer, summary="first", at=later - datetime.timedelta(days=5), next_step="x", next_on=DAY(2023, 10, 14)
    )
    assert me.plans.of(customer) == []
    assert me.customers.get(customer).first_contact_on == DAY(2023, 10, 10)


def test_a_plan_is_carried_out_once_and_by_its_own_customer(me):
    one, other = (me.customers.register(name=name, industry="x") for name in "甲乙")
    plan = me.plans.add(one, due_on=DAY(2023, 10, 30))
    with pytest.raises(Invalid) as caught:
        me.follow_ups.log(other, summary="x", plan=plan)
    assert [issue.field for issue in caught.value.issues] == ["follow_up.plan_id"]
    me.follow_ups.log(one, summary="x", plan=plan)
    with pytest.raises(Invalid):
        me.follow_ups.log(one, summary="again", plan=plan.id)


def test_a_plan_for_the_day_is_not_made_twice(me):
    customer = me.customers.register(name="甲", industry="x")
    me.plans.add(customer, due_on=DAY(2023, 10, 20))
    me.follow_ups.log(customer, summary="x", next_step="y", next_on=DAY(2023, 10, 20))
    assert len(me.plans.of(customer)) == 1


def test_handing_over_takes_the_plans_along_too(me):
    customer = me.customers.register(name="甲", industry="x", tier="A")
    me.plans.add(customer, due_on=DAY(2023, 10, 12))
    me.follow_ups.log(customer, summary="x", next_step="y", next_on=DAY(2023, 10, 13))
    me.customers.assign(customer, "sales.west")
    assert {duty.obligation.owner for duty in me.obligations.due(DAY(2024, 1, 1))} == {"sales.west"}


def test_nobody_is_late_for_what_did_not_hold_yet(open_crm, clock):
    me = open_crm("standard").acting_as("sales.east")
    customer = me.customers.register(name="甲")
    clock.forward(days=5)
    me.customers.move(customer, "意向", reason="x")
    (contact,) = [item for item in me.obligations.due(DAY(2023, 10, 20)) if "contact" in item.obligation.track]
    assert (contact.due_on, contact.state) == (DAY(2023, 10, 14), "at_risk")


def test_a_telephone_call_is_no_executive_meeting(open_crm, clock):
    me = open_crm("standard").acting_as("sales.east")
    customer = me.customers.register(name="甲", tier="A", stage="意向")

    def meeting():
        return next(item for item in me.obligations.of(customer) if item.rule == "cadence.executive_meeting")

    due = meeting().due_at
    for _ in range(3):
        clock.forward(days=7)
        me.follow_ups.log(customer, summary="电话", method="phone")
        assert meeting().due_at == due
    clock.forward(days=1)
    me.follow_ups.log(customer, summary="高层会面", method="face_to_face")
    assert meeting().due_at > due
    states = {
        item.state for item in me.obligations.of(customer, state=None) if item.rule == "cadence.executive_meeting"
    }
    assert states == {"met", "open"}


def test_what_was_waived_stays_waived_and_leaves_a_trace(me, clock):
    customer = me.customers.register(name="甲", industry="x", tier="A")
    plan = me.plans.add(customer, due_on=DAY(2023, 10, 10))
    clock.forward(days=10)
    for item in me.obligations.of(customer):
        me.obligations.waive(item, reason="春节")
    me.customers.update(customer, address="上海")
    assert me.obligations.of(customer) == []
    assert {found.id: found.state for found in me.plans.of(customer, state=None)} == {plan.id: "cancelled"}
    told = [event for event in me.customers.timeline(customer) if event.action == "obligation.waived"]
    assert [(event.by, event.reason) for event in told] == [("sales.east", "春节")] * 2
    me.follow_ups.log(customer, summary="x")
    assert len(me.obligations.of(customer)) == 1


def test_a_move_changes_nothing_by_the_way_that_an_update_may_not(me):
    customer = me.customers.register(name="甲", industry="x")
    with pytest.raises(Invalid) as caught:
        me.customers.move(customer, "意向", number="X-1", created_by="nobody", owner="boss")
    assert {issue.field for issue in caught.value.issues} == {
        "customer.number",
        "customer.created_by",
        "customer.owner",
    }
    with pytest.raises(Invalid):
        me.customers.move(customer, "意向", tier="ZZZ")
    assert me.customers.move(customer, "意向", urgency="紧急").urgency == "high"
    contact = me.contacts.add(customer, name="x")
    with pytest.raises(Invalid):
        me.contacts.update(contact, customer_id="nobody")


def test_a_customer_won_back_has_no_reason_for_its_loss(me):
    customer = me.customers.register(name="甲", industry="x")
    me.plans.add(customer, due_on=DAY(2023, 10, 12))
    lost = me.customers.move(customer, "流失", reason="预算取消")
    assert me.obligations.of(customer) == []
    back = me.customers.move(lost, me.crm.playbook.lifecycle.targets(lost.stage)[0], reason="回来了")
    assert back.lost_reason is None
