"""Orders, instalments, objections, referrals and action plans, on every store."""

from __future__ import annotations

import datetime
import json

import pytest

import crmcore
from crmcore.domain import Money
from crmcore.errors import Conflict, Invalid, NotFound, Veto

DAY = datetime.date
TODAY = DAY(2023, 10, 9)


@pytest.fixture
def customer(me):
    return me.customers.register(name="示例科技有限公司", industry="制造业")


def happened(me, customer, *subjects):
    """What was done about these subjects, in order, with what changed."""
    events = reversed(list(me.customers.timeline(customer)))
    return [(event.action, json.loads(event.changes or "{}")) for event in events if event.subject in subjects]


def actions(me, customer, *subjects):
    return [action for action, _ in happened(me, customer, *subjects)]


def told(invalid):
    return [(issue.code, issue.field) for issue in invalid.value.issues]


# Orders


def test_a_won_opportunity_is_signed_and_handed_over_to_finance(me, customer):
    deal = me.opportunities.open(
        name="设备采购", customer=customer, stage="negotiation", expected_amount=Money.of(1000)
    )
    me.opportunities.win(deal, order_number="DD-1")
    (order,) = me.orders.of(customer)
    assert (order.number, order.amount, order.opportunity_id, order.signed_on) == (
        "DD-1",
        Money.of(1000),
        deal.id,
        TODAY,
    )
    events = dict(happened(me, customer, "order"))
    assert list(events) == ["order.signed", "order.handed_over"]
    assert events["order.handed_over"] == {
        "number": [None, "DD-1"],
        "amount": [None, {"amount": "1000.00", "currency": "CNY"}],
        "signed_on": [None, "2023-10-09"],
    }


def test_finance_can_refuse_what_is_handed_over(open_crm):
    class Finance:
        def __init__(self):
            self.seen = []

        @crmcore.hookimpl
        def crm_check(self, change):
            self.seen.append(change.action)
            if change.action == "order.handed_over" and change.after.amount is None:
                raise Veto("an order without an amount can't be collected")

    finance = Finance()
    me = open_crm(plugins=[finance]).acting_as("li")
    customer = me.customers.register(name="示例科技有限公司", industry="制造业")
    with pytest.raises(Veto):
        me.orders.sign(customer, number="1")
    assert me.orders.of(customer) == []
    me.orders.sign(customer, number="1", amount=Money.of(10))
    assert finance.seen[-2:] == ["order.signed", "order.handed_over"]


def test_an_order_is_paid_in_parts_and_then_in_full(me, clock, customer):
    order = me.orders.sign(customer, number="DD-1", amount=Money.of(1000))
    paid = me.orders.collect("DD-1", Money.of(400), on=DAY(2023, 10, 9))
    assert (paid.collected, paid.collected_on) == (Money.of(400), None)
    clock.forward(days=3)
    paid = me.orders.collect(order.id, Money.of(600))
    assert (paid.collected, paid.collected_on) == (Money.of(1000), DAY(2023, 10, 12))
    assert actions(me, customer, "order") == ["order.signed", "order.handed_over", "order.paid", "order.collected"]
    part = dict(happened(me, customer, "order"))["order.paid"]
    assert part == {
        "collected": [None, {"amount": "400.00", "currency": "CNY"}],
        "paid_on": [None, "2023-10-09"],
    }
    with pytest.raises(Invalid) as refused:
        me.orders.collect(order.id, Money.of(1))
    assert told(refused) == [("out_of_range", "order.collected")]
    with pytest.raises(Invalid) as refused:
        me.orders.collect(order.id, Money.of(1), on=datetime.datetime(2023, 10, 9))
    assert told(refused) == [("bad_date", "order.collected_on"), ("out_of_range", "order.collected")]
    assert me.orders.get("DD-1") == paid


def test_what_can_not_be_collected_is_refused_with_every_reason(me, customer):
    order = me.orders.sign(customer, number="DD-1", amount=Money.of(1000))
    for amount, day, codes in (
        (Money.of(-1), None, ["out_of_range"]),
        (Money.of(0), None, ["out_of_range"]),
        (Money.of(1000, "EUR"), None, ["other_currency"]),
        (Money.of(2000, "EUR"), DAY(2023, 10, 10), ["out_of_range", "other_currency", "out_of_range"]),
        (100, None, ["bad_money"]),
    ):
        with pytest.raises(Invalid) as refused:
            me.orders.collect(order, amount, on=day)
        assert [code for code, _ in told(refused)] == codes
    assert me.orders.get(order) == order
    with pytest.raises(NotFound):
        me.orders.collect("DD-2", Money.of(1))


def test_instalments_at_signing_add_up_to_the_amount(me, customer):
    parts = [
        {"due_on": DAY(2023, 12, 31), "amount": Money.of(700)},
        {"due_on": DAY(2023, 11, 30), "amount": Money.of(300)},
    ]
    with pytest.raises(Invalid) as refused:
        me.orders.sign(customer, number="DD-1", amount=Money.of(1001), instalments=parts)
    assert told(refused) == [("sum_differs", "order.instalments")]
    with pytest.raises(Invalid) as refused:
        me.orders.sign(customer, number="DD-1", instalments=[{"amount": Money.of(1, "EUR")}, {"due_on": "soon"}])
    assert sorted(told(refused)) == [
        ("bad_date", "instalment.due_on"),
        ("required", "instalment.amount"),
        ("required", "instalment.due_on"),
    ]
    with pytest.raises(Invalid) as refused:
        bad = [{**parts[0], "amount": Money.of(-700)}, {**parts[1], "amount": Money.of(300, "EUR")}]
        me.orders.sign(customer, number="DD-1", amount=Money.of(1000), instalments=bad)
    assert [code for code, _ in told(refused)] == ["out_of_range", "other_currency"]
    order = me.orders.sign(customer, number="DD-1", instalments=parts)
    assert order.amount == Money.of(1000)
    assert [item.amount for item in me.orders.instalments(order)] == [Money.of(300), Money.of(700)]
    assert actions(me, customer, "order", "instalment") == [
        "order.signed",
        "instalment.agreed",
        "instalment.agreed",
        "order.handed_over",
    ]


def test_a_payment_on_an_order_goes_to_the_earliest_instalments(me, customer):
    order = me.orders.sign(customer, number="DD-1", amount=Money.of(1000))
    late = me.orders.add_instalment(order, due_on=DAY(2023, 12, 31), amount=Money.of(600))
    early = me.orders.add_instalment("DD-1", due_on=DAY(2023, 11, 30), amount=Money.of(400))
    with pytest.raises(Invalid) as refused:
        me.orders.add_instalment("DD-1", due_on=DAY(2024, 1, 31), amount=Money.of(1))
    assert told(refused) == [("sum_differs", "order.instalments")]
    paid = me.orders.collect("DD-1", Money.of(500))
    assert (paid.collected, paid.collected_on) == (Money.of(500), None)
    assert [(item.id, item.collected, item.collected_on) for item in me.orders.instalments(order)] == [
        (early.id, Money.of(400), TODAY),
        (late.id, Money.of(100), None),
    ]
    with pytest.raises(Invalid) as refused:
        me.orders.collect(early.id, Money.of(1))
    assert told(refused) == [("out_of_range", "order.collected")]
    with pytest.raises(Conflict):
        me.orders.collect(late, Money.of(500))  # it was paid from since
    whole = me.orders.collect(late.id, Money.of(500))
    assert (whole.collected, whole.collected_on) == (Money.of(1000), TODAY)
    events = happened(me, customer, "order", "instalment")
    assert [action for action, _ in events][4:] == [
        "instalment.collected",
        "instalment.paid",
        "order.paid",
        "instalment.collected",
        "order.collected",
    ]
    assert events[-1][1]["collected_on"] == [None, "2023-10-09"]


def test_an_instalment_is_agreed_anew_while_it_is_open(me, customer):
    order = me.orders.sign(customer, number="DD-1", amount=Money.of(1000))
    part = me.orders.add_instalment(order, due_on=DAY(2023, 11, 30), amount=Money.of(400))
    moved = me.orders.change_instalment(part, due_on=DAY(2023, 12, 15), amount=Money.of(500), reason="客户要求")
    assert (moved.due_on, moved.amount) == (DAY(2023, 12, 15), Money.of(500))
    me.orders.collect(part.id, Money.of(200))
    for amount, codes in ((Money.of(200), ["out_of_range"]), (Money.of(1001), ["sum_differs"])):
        with pytest.raises(Invalid) as refused:
            me.orders.change_instalment(part.id, amount=amount)
        assert [code for code, _ in told(refused)] == codes
    me.orders.collect(part.id, Money.of(300))
    with pytest.raises(Invalid) as refused:
        me.orders.change_instalment(part.id, due_on=DAY(2024, 1, 1))
    assert told(refused) == [("refused", "instalment.collected_on")]
    other = me.orders.sign(customer, number="DD-2", amount=Money.of(10))
    me.orders.collect(other, Money.of(1))
    with pytest.raises(Invalid) as refused:
        me.orders.add_instalment("DD-2", due_on=DAY(2024, 1, 1), amount=Money.of(9))
    assert told(refused) == [("refused", "instalment.order_id")]


def test_an_order_number_is_drawn_where_the_playbook_has_one(open_crm):
    me = open_crm("standard").acting_as("li")
    customer = me.customers.register(name="示例科技有限公司", industry="制造业")
    assert me.orders.sign(customer, amount=Money.of(1)).number == "O2023100900001"
    assert me.orders.sign(customer, number="O2023100900002").number == "O2023100900002"
    assert me.orders.sign(customer).number == "O2023100900003"
    with pytest.raises(Invalid) as refused:
        me.orders.sign(customer, number="O2023100900003", signed_on=DAY(2023, 10, 9))
    assert told(refused) == [("duplicate_number", "order.number")]
    with pytest.raises(Invalid) as refused:
        me.orders.sign(customer, amount=Money.of(-1), signed_on=DAY(2023, 10, 10))
    assert ("out_of_range", "order.signed_on") in told(refused)
    other = me.customers.register(name="远山贸易有限公司", industry="批发业")
    deal = me.opportunities.open(name="设备采购", customer=other)
    with pytest.raises(Invalid) as refused:
        me.orders.sign(customer, opportunity=deal)
    assert told(refused) == [("refused", "order.opportunity_id")]


# Objections


def test_an_objection_is_answered_until_the_customer_accepts(me, customer):
    deal = me.opportunities.open(name="设备采购", customer=customer)
    objection = me.objections.raise_(customer, description="比同行贵", type="价格过高", opportunity=deal)
    assert (objection.type, objection.outcome, objection.opportunity_id) == ("price", "open", deal.id)
    with pytest.raises(Invalid) as refused:
        me.objections.settle(objection, "accepted")
    assert told(refused) == [("required", "objection.solution")]
    me.objections.answer(objection, "分三期付款")
    rejected = me.objections.settle(objection.id, "未接受", note="还是贵")
    assert (rejected.outcome, rejected.outcome_note) == ("rejected", "还是贵")
    answered = me.objections.answer(objection.id, "送一年维保")
    assert (answered.outcome, answered.outcome_note) == ("open", None)
    assert me.objections.settle(objection.id, "accepted").outcome == "accepted"
    with pytest.raises(Invalid) as refused:
        me.objections.answer(objection.id, "")
    assert told(refused) == [("not_possible", "objection.outcome"), ("required", "objection.solution")]
    with pytest.raises(Invalid) as refused:
        me.objections.settle(objection.id, "open")
    assert told(refused) == [("bad_choice", "objection.outcome")]
    assert [item.id for item in me.objections.of(customer)] == [objection.id]
    events = happened(me, customer, "objection")
    assert [action for action, _ in events] == [
        "objection.raised",
        "objection.answered",
        "objection.settled",
        "objection.answered",
        "objection.settled",
    ]
    assert events[2][1]["outcome"] == ["open", "rejected"]
    assert events[3][1]["outcome"] == ["rejected", "open"]


def test_an_objection_belongs_to_its_customer(me, customer):
    other = me.customers.register(name="远山贸易有限公司", industry="批发业")
    deal = me.opportunities.open(name="设备采购", customer=other)
    talk = me.follow_ups.log(other, summary="谈价格")
    with pytest.raises(Invalid) as refused:
        me.objections.raise_(customer, description="", opportunity=deal, follow_up=talk)
    assert told(refused) == [
        ("refused", "objection.opportunity_id"),
        ("refused", "objection.follow_up_id"),
        ("required", "objection.description"),
    ]


# Referrals


def test_a_referral_succeeds_when_the_customer_it_brought_is_won(me, clock, customer):
    referral = me.referrals.make(
        customer, referred_name="远山贸易", referred_reach="138****5678", incentive="服务延期3个月"
    )
    assert referral.referred_on == TODAY
    with pytest.raises(Invalid) as refused:
        me.referrals.reward(referral)
    assert told(refused) == [("required", "referral.succeeded_on")]
    brought = me.customers.register(name="远山贸易有限公司", industry="批发业")
    me.referrals.connect(referral, brought)
    clock.forward(days=5)
    deal = me.opportunities.open(name="设备采购", customer=brought, stage="negotiation", expected_amount=Money.of(10))
    me.opportunities.win(deal)
    (won,) = me.referrals.of(customer)
    assert won.succeeded_on == DAY(2023, 10, 14)
    assert me.referrals.reward(referral.id).incentive_given
    with pytest.raises(Invalid) as refused:
        me.referrals.reward(referral.id)
    assert told(refused) == [("refused", "referral.incentive_given")]
    events = happened(me, customer, "referral")  # they are in the referrer's own timeline
    assert [action for action, _ in events] == [
        "referral.made",
        "referral.connected",
        "referral.succeeded",
        "referral.rewarded",
    ]
    assert events[2][1] == {"succeeded_on": [None, "2023-10-14"]}


def test_a_referred_customer_that_is_won_by_the_time_it_is_named(me, clock, customer):
    early, late = (me.referrals.make(customer, referred_name=name) for name in ("甲", "乙"))
    won = me.customers.register(name="远山贸易有限公司", industry="批发业", stage="won", contract_signed_on=TODAY)
    before = me.customers.register(
        name="近水贸易有限公司", industry="批发业", stage="won", contract_signed_on=DAY(2020, 1, 1)
    )
    clock.forward(days=2)
    assert me.referrals.connect(early, won).succeeded_on == TODAY
    assert me.referrals.connect(late, before).succeeded_on is None  # it was a customer before it was referred
    with pytest.raises(Invalid) as refused:
        me.referrals.connect(late.id, won)
    assert told(refused) == [("refused", "referral.referred_id")]
    assert me.referrals.make(customer, referred=won).referred_name == "远山贸易有限公司"


def test_what_is_no_referral_is_refused(me, customer):
    with pytest.raises(Invalid) as refused:
        me.referrals.make(customer, referred=customer, referred_on=DAY(2023, 10, 10))
    assert told(refused) == [("refused", "referral.referred_id"), ("out_of_range", "referral.referred_on")]
    with pytest.raises(Invalid) as refused:
        me.referrals.make(customer)
    assert told(refused) == [("required", "referral.referred_name")]
    assert me.referrals.of(customer) == []


# Action plans


def test_an_action_plan_is_followed_to_its_end(me, customer):
    plan = me.action_plans.add("拜访三个C级客户", due_on=DAY(2023, 11, 1), owner="wang")
    about = me.action_plans.add("给A级客户做报告", customer=customer, due_on=DAY(2023, 10, 20))
    assert about.owner == "sales.east"
    assert [item.id for item in me.action_plans.find()] == [about.id, plan.id]
    assert [item.id for item in me.action_plans.find(due_by=DAY(2023, 10, 20))] == [about.id]
    assert [item.id for item in me.action_plans.find(owner="wang")] == [plan.id]
    me.action_plans.change(about, due_on=DAY(2023, 10, 25))
    done = me.action_plans.done(about.id, result="已发送")
    assert (done.state, done.result) == ("done", "已发送")
    with pytest.raises(Invalid) as refused:
        me.action_plans.cancel(about.id, reason=" ")
    assert told(refused) == [("not_possible", "action_plan.state"), ("reason_required", "action_plan.reason")]
    assert me.action_plans.cancel(plan, reason="客户已流失").state == "cancelled"
    assert me.action_plans.find() == []
    assert len(me.action_plans.find(state=None)) == 2
    assert [item.id for item in me.action_plans.of(customer)] == [about.id]
    assert actions(me, customer, "action_plan") == ["action_plan.made", "action_plan.changed", "action_plan.done"]
    with pytest.raises(Invalid) as refused:
        me.action_plans.add(" ")
    assert told(refused) == [("required", "action_plan.what")]
