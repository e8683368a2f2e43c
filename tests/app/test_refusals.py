"""What is refused on every store: cleanly, once, and without a word of what was typed."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import pytest

import crmcore
from crmcore.domain import Money
from crmcore.errors import DomainError, ImportRejected, Invalid, NotFound, QueryError, TransitionRefused

DAY = datetime.date
UTC = datetime.UTC
TODAY = DAY(2023, 10, 9)
TYPED = "张三 13800138000"


@pytest.fixture
def customer(me):
    return me.customers.register(name="示例科技有限公司", industry="制造业")


@pytest.fixture
def deal(me, customer):
    return me.opportunities.open(
        name="设备采购", customer=customer, stage="negotiation", expected_amount=Money.of(1000)
    )


def told(refused):
    return [(issue.code, issue.field) for issue in refused.value.issues]


# Opportunities and money


def test_an_opportunity_is_won_and_lost_once(me, customer, deal):
    won = me.opportunities.win(deal, order_number="A1")
    with pytest.raises(DomainError, match="is won already"):
        me.opportunities.win(won, order_number="A2")
    assert me.opportunities.get(won) == won
    assert [order.number for order in me.orders.of(customer)] == ["A1"]
    lost = me.opportunities.lose(me.opportunities.open(name="培训", customer=customer), reason="预算取消")
    with pytest.raises(DomainError, match="is lost already"):
        me.opportunities.lose(lost, reason="预算取消")


def test_an_amount_is_never_below_zero(me, customer, deal):
    below = Money.of(-5)
    attempts = [
        lambda: me.opportunities.win(deal, amount=below),
        lambda: me.opportunities.update(deal, expected_amount=below),
        lambda: me.opportunities.open(name="培训", customer=customer, amount=below),
        lambda: me.customers.update(customer, budget=below),
        lambda: me.customers.update(customer, first_deal_amount=below),
        lambda: me.customers.move(customer, "interested", contract_amount=below),
        lambda: me.orders.sign(customer, number="A1", amount=below),
        lambda: me.customers.register(name="乙公司", industry="制造业", contract_amount=below),
    ]
    for attempt in attempts:
        with pytest.raises(Invalid) as refused:
            attempt()
        assert {code for code, _ in told(refused)} == {"out_of_range"}
        assert refused.value.issues[0].facts["limit"] == "amounts from zero on"
    assert me.opportunities.get(deal) == deal
    assert me.customers.get(customer) == customer


def test_the_rest_of_an_order_is_paid_beyond_its_instalments(me, customer):
    order = me.orders.sign(customer, number="A1", amount=Money.of(100))
    part = me.orders.add_instalment(order, due_on=DAY(2023, 12, 1), amount=Money.of(60))
    assert me.orders.collect("A1", Money.of(80)).collected == Money.of(80)
    (paid,) = me.orders.instalments(order)
    assert (paid.id, paid.collected) == (part.id, Money.of(60))
    with pytest.raises(Invalid) as refused:  # 20 of the order were paid beyond the instalments
        me.orders.add_instalment("A1", due_on=DAY(2024, 1, 1), amount=Money.of(40))
    assert told(refused) == [("sum_differs", "order.instalments")]
    me.orders.add_instalment("A1", due_on=DAY(2024, 1, 1), amount=Money.of(20))
    with pytest.raises(Invalid):
        me.orders.collect("A1", Money.of(21))
    whole = me.orders.collect("A1", Money.of(20))
    assert (whole.collected, whole.collected_on) == (Money.of(100), TODAY)
    assert [item.collected_on for item in me.orders.instalments("A1")] == [TODAY, TODAY]


# What another use case sets


def test_what_has_a_use_case_of_its_own_is_not_updated(me, customer, clock):
    attempts = [
        (lambda: me.customers.update(customer, last_follow_up_at=clock.now), "customer.last_follow_up_at"),
        (lambda: me.customers.update(customer, tier_reason="年度重点"), "customer.tier_reason"),
        (lambda: me.customers.update(customer, tier_until=DAY(2023, 12, 1)), "customer.tier_until"),
        (lambda: me.plans.add(customer, due_on=TODAY, state="done"), "follow_up_plan.state"),
    ]
    for attempt, field in attempts:
        with pytest.raises(Invalid) as refused:
            attempt()
        assert told(refused) == [("refused", field)]
    seeded = me.customers.register(name="乙公司", industry="制造业", last_follow_up_at=clock.now)
    assert seeded.last_follow_up_at == clock.now


def test_a_tier_is_not_updated_until_a_day_that_is_over(open_crm):
    me = open_crm("standard").acting_as("li")
    customer = me.customers.register(
        name="示例科技有限公司", contacts=[{"name": "王", "phone": "13800000000", "email": "a@example.com"}]
    )
    with pytest.raises(Invalid) as refused:
        me.customers.update(customer, tier="A", reason="重点", tier_until=DAY(2023, 10, 8))
    assert told(refused) == [("out_of_order", "customer.tier_until")]
    assert me.customers.get(customer) == customer


def test_releasing_works_the_tier_out_also_of_one_that_is_not_held(open_crm):
    me = open_crm("standard").acting_as("li")
    people = [{"name": "王", "phone": "13800000000", "email": "a@example.com"}]
    customer = me.customers.register(name="示例科技有限公司", contacts=people, tier="A")
    explained = me.tiers.explain(customer)
    assert explained.tier != "A"
    released = me.tiers.release(customer)
    assert (released.tier, released.tier_reason) == (explained.tier, None)
    assert me.tiers.release(released) == released


def test_who_begins_as_lost_has_a_reason(me, customer):
    with pytest.raises(Invalid) as refused:
        me.customers.register(name="乙公司", industry="制造业", stage="lost", urgency="soon")
    assert told(refused) == [("reason_required", "customer.lost_reason"), ("bad_choice", "customer.urgency")]
    lost = me.customers.register(name="乙公司", industry="制造业", stage="lost", lost_reason="预算取消")
    assert lost.lost_reason == "预算取消"
    with pytest.raises(Invalid) as refused:
        me.opportunities.open(name="培训", customer=customer, stage="lost", amount=5)
    assert told(refused) == [("reason_required", "opportunity.lost_reason"), ("bad_money", "opportunity.amount")]
    opened = me.opportunities.open(name="培训", customer=customer, stage="lost", lost_reason="价格")
    assert (opened.outcome, opened.closed_on) == ("lost", TODAY)


# Values that can't be


@pytest.mark.parametrize("year", [1, 1850, 9500, 9999])
def test_a_moment_out_of_reach_names_its_field(me, customer, year):
    moment, day = datetime.datetime(year, 6, 1, tzinfo=UTC), DAY(year, 6, 1)
    order = me.orders.sign(customer, number="A1", amount=Money.of(100))
    attempts = [
        (lambda: me.follow_ups.log(customer, summary="谈价格", at=moment), "follow_up.at"),
        (lambda: me.follow_ups.log(customer, summary="谈", next_on=day, next_step="报价"), "follow_up.next_on"),
        (lambda: me.feedback.receive(customer, description="异响", received_at=moment), "feedback.received_at"),
        (lambda: me.tickets.open(customer, subject="异响", opened_at=moment), "ticket.opened_at"),
        (lambda: me.orders.sign(customer, number="A2", signed_on=day), "order.signed_on"),
        (lambda: me.orders.sign(customer, number="A2", signed_on=moment), "order.signed_on"),
        (lambda: me.orders.collect(order, Money.of(1), on=day), "order.collected_on"),
        (lambda: me.orders.collect(order, Money.of(1), on=moment), "order.collected_on"),
        (lambda: me.referrals.make(customer, referred_name="乙公司", referred_on=day), "referral.referred_on"),
        (lambda: me.referrals.make(customer, referred_name="乙公司", referred_on=moment), "referral.referred_on"),
    ]
    for attempt, field in attempts:
        with pytest.raises(Invalid) as refused:
            attempt()
        assert {name for _, name in told(refused)} == {field}


@pytest.mark.parametrize("nothing", ["", 0, False, []])
def test_only_none_is_not_given(me, customer, nothing):
    order = me.orders.sign(customer, number="A1", amount=Money.of(100))
    attempts = [
        lambda: me.orders.collect(order, Money.of(1), on=nothing),
        lambda: me.orders.sign(customer, number="A2", signed_on=nothing),
        lambda: me.referrals.make(customer, referred_name="乙公司", referred_on=nothing),
        lambda: me.opportunities.open(name="培训", customer=customer, stage=nothing),
        lambda: me.opportunities.open(name="培训", customer=customer, pipeline=nothing),
        lambda: me.customers.register(name="乙公司", industry="制造业", stage=nothing),
    ]
    if nothing != "":  # a blank text is none
        attempts += [
            lambda: me.opportunities.open(name="培训", customer=customer, owner=nothing),
            lambda: me.customers.register(name="乙公司", industry="制造业", owner=nothing),
            lambda: me.action_plans.add("回访", owner=nothing),
            lambda: me.referrals.make(customer, referred_name=nothing),
        ]
    for attempt in attempts:
        with pytest.raises(Invalid):
            attempt()


def test_an_unknown_field_is_unknown_also_with_none(me, customer):
    attempts = [
        lambda: me.action_plans.add("回访", nosuch=None),
        lambda: me.tickets.open(customer, subject="异响", nosuch=None),
        lambda: me.feedback.receive(customer, description="异响", nosuch=None),
        lambda: me.follow_ups.log(customer, summary="谈", nosuch=None),
        lambda: me.plans.add(customer, due_on=TODAY, nosuch=None),
        lambda: me.orders.sign(customer, number="A1", nosuch=None),
        lambda: me.referrals.make(customer, referred_name="乙公司", nosuch=None),
        lambda: me.objections.raise_(customer, description="太贵", nosuch=None),
    ]
    for attempt in attempts:
        with pytest.raises(Invalid) as refused:
            attempt()
        assert [code for code, _ in told(refused)] == ["unknown_field"]


def test_values_that_contradict_each_other_are_refused(me, customer):
    at = datetime.datetime(2023, 10, 12, 2, tzinfo=UTC)
    attempts = [
        (lambda: me.customers.update(customer, headcount_low=10, headcount_high=5), "customer.headcount_high"),
        (lambda: me.customers.update(customer, headcount_low=-1), "customer.headcount_low"),
        (lambda: me.plans.add(customer, due_on=DAY(2023, 10, 11), at=at), "follow_up_plan.at"),
        (lambda: me.plans.add(customer, due_on=TODAY, reminder_minutes=-1), "follow_up_plan.reminder_minutes"),
        (lambda: me.attachments.add(customer, name="a.pdf", size=-1), "attachment.size"),
    ]
    for attempt, field in attempts:
        with pytest.raises(Invalid) as refused:
            attempt()
        assert told(refused) == [("out_of_range", field)]
    some = me.customers.update(customer, headcount_low=10, headcount_high=50)
    for change in ({"headcount_low": 51}, {"headcount_high": 9}):
        with pytest.raises(Invalid) as refused:
            me.customers.update(some, **change)
        assert told(refused) == [("out_of_range", "customer.headcount_high")]
    assert me.plans.add(customer, due_on=DAY(2023, 10, 12), at=at).at == at
    with pytest.raises(Invalid) as refused:
        me.users.add("li", roles=["king", "sales"])
    assert told(refused) == [("bad_choice", "user.roles")]
    assert "king" not in str(refused.value)


WRONG = (None, 5, 1.5, [], {}, b"x", True)


def test_what_names_no_record_is_refused_as_that(me, customer):
    for wrong in WRONG:
        for call in (me.opportunities.get, me.opportunities.stages, me.obligations.explain, me.tickets.get):
            with pytest.raises(DomainError, match="is named by itself"):
                call(wrong)
        with pytest.raises(DomainError, match="is named by itself"):
            me.customers.erase(wrong, reason="要求")
        with pytest.raises(DomainError, match="is named by itself"):
            me.customers.restore(wrong)
        if wrong is not None:  # which is all of them
            with pytest.raises(DomainError, match="is named by itself"):
                me.customers.erase(customer, wrong, reason="要求")
            with pytest.raises(DomainError, match="checkpoint"):
                me.crm.audit.verify(wrong)
    with pytest.raises(NotFound):
        me.obligations.explain("nobody")
    with pytest.raises(DomainError, match=r"^an opportunity is named by itself or by its id$"):
        me.opportunities.get(5)
    with pytest.raises(DomainError, match=r"^an order is named by itself, its number or its id$"):
        me.orders.collect(5, Money.of(1))
    with pytest.raises(DomainError, match=r"^a user is named by itself, its name or its id$"):
        me.users.deactivate(5)
    with pytest.raises(DomainError, match=r"^a customer is named by itself, its number or its id$"):
        me.contacts.add(5, name="王")


def test_a_reason_is_a_text(me, customer, deal):
    plan = me.plans.add(customer, due_on=TODAY)
    ticket = me.tickets.open(customer, subject="异响")
    (owed,) = me.obligations.of(customer)[:1]
    action = me.action_plans.add("回访")
    attempts: list[Callable[[object], object]] = [
        lambda reason: me.plans.cancel(plan, reason=reason),
        lambda reason: me.tickets.assign(ticket, "li", reason=reason),
        lambda reason: me.customers.update(customer, address="上海", reason=reason),
        lambda reason: me.customers.assign(customer, "li", reason=reason),
        lambda reason: me.customers.move(customer, "interested", reason=reason),
        lambda reason: me.opportunities.lose(deal, reason=reason),
        lambda reason: me.opportunities.update(deal, product="阀", reason=reason),
        lambda reason: me.obligations.waive(owed, reason=reason),
        lambda reason: me.action_plans.cancel(action, reason=reason),
    ]
    for attempt in attempts:
        for wrong in (5, [], {}, b"x", "a\x00b"):
            with pytest.raises(Invalid):
                attempt(wrong)
    with pytest.raises(Invalid) as refused:
        me.customers.update(customer, address="上海", reason=5)
    assert told(refused) == [("bad_type", "customer.reason")]
    assert me.customers.get(customer) == customer


def test_several_records_are_a_list_of_mappings(me, customer):
    for wrong in ("x", {"due_on": TODAY}, [5], [{5: 1}], 5, [["due_on"]]):
        with pytest.raises(Invalid) as refused:
            me.orders.sign(customer, number="A1", instalments=wrong)
        assert told(refused) == [("bad_type", "order.instalments")]
        with pytest.raises(Invalid) as refused:
            me.customers.register(name="乙公司", industry="制造业", contacts=wrong)
        assert told(refused) == [("bad_type", "customer.contacts")]


def test_reports_are_asked_for_in_their_own_types(me, customer, tmp_path):
    for wrong in ("owner=a", ["owner"], 5, [], "", 0):
        for report in (me.reports.overview, me.reports.due, me.reports.funnel, me.reports.review, me.reports.risk):
            with pytest.raises(QueryError):
                report(of=wrong)
    now = datetime.datetime(2023, 10, 9, tzinfo=UTC)
    for since, until in ((None, None), ("x", None), (TODAY, None), (now, TODAY), (now, 0), (now, ""), (5, now)):
        with pytest.raises(QueryError):
            me.obligations.reminders(since, until)
    for wrong in (["x"], 5, "", 0, "nosuch"):
        for call in (me.reports.funnel, me.reports.forecast, me.reports.review):
            with pytest.raises(QueryError):
                call(pipeline=wrong)
        with pytest.raises(QueryError):
            me.exports.table(wrong)
    for wrong in (f"{tmp_path}/a\0.xlsx", 5, None):
        with pytest.raises(QueryError):
            me.reports.write_review(wrong)
    for wrong in (None, b"x", 5, [5], {}):
        with pytest.raises(ImportRejected) as rejected:
            me.imports.plan(wrong)
        assert rejected.value.reason == "unreadable"


# Messages


def test_no_message_says_again_what_was_typed(me, customer, deal, tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("客户名称\n乙公司\n")
    attempts = [
        lambda typed: me.customers.move(customer, typed),
        lambda typed: me.opportunities.move(deal, typed),
        me.exports.table,
        lambda typed: me.reports.funnel(pipeline=typed),
        lambda typed: me.reports.duties(rule=typed),
        lambda typed: me.reports.overview(of={"stage": typed}),
        lambda typed: me.customers.find(stage=typed),
        lambda typed: me.opportunities.open(name="培训", customer=customer, stage=typed),
        lambda typed: me.imports.plan(file, table=typed),
    ]
    for attempt in attempts:
        for typed in (TYPED, TYPED * 10_000):
            with pytest.raises(crmcore.CRMError) as refused:
                attempt(typed)
            assert "13800138000" not in str(refused.value)
            assert len(str(refused.value)) < 2_000


def test_a_move_to_no_stage_names_the_stages_that_there_are(me, customer):
    for typed in (TYPED, ["lost"], None, 5, ""):
        with pytest.raises(TransitionRefused) as refused:
            me.customers.move(customer, typed)
        assert told(refused) == [("unknown_stage", "customer.stage")]
        assert (refused.value.source, refused.value.target) == ("lead", None)
        assert refused.value.allowed == ("interested", "lost")
        assert str(refused.value).startswith("from lead: ")


def test_what_is_wrong_is_said_once(me, customer):
    action = me.action_plans.add("回访")
    with pytest.raises(Invalid) as refused:
        me.action_plans.change(action, what=" ")
    assert told(refused) == [("required", "action_plan.what")]
    ticket = me.tickets.solve(me.tickets.open(customer, subject="异响"), "更换")
    with pytest.raises(Invalid) as refused:
        me.tickets.close(ticket, stars=2**70)
    assert told(refused) == [("out_of_range", "ticket.stars")]


# Filters


def test_a_word_that_names_nothing_is_told_from_one_that_nobody_has(me, customer, deal):
    me.feedback.receive(customer, description="异响")
    me.tickets.open(customer, subject="异响")
    attempts = [
        lambda word: me.customers.find(stage=word),
        lambda word: me.customers.find(tier=word),
        lambda word: me.tickets.find(state=word),
        lambda word: me.feedback.find(state=word),
        lambda word: me.action_plans.find(state=word),
        lambda word: me.plans.of(customer, state=word),
        lambda word: me.opportunities.find(stage=word),
        lambda word: me.opportunities.find(outcome=word),
        lambda word: me.obligations.of(customer, state=word),
        lambda word: me.reports.duties(rule=word),
        lambda word: me.reports.overview(of={"tier": word}),
        lambda word: me.reports.due(of={"stage": word}),
    ]
    for attempt in attempts:
        for wrong in ("typo", "", [], 5, ["open"]):
            with pytest.raises(QueryError):
                attempt(wrong)
    for wrong in (5, [], ["x"]):
        for call in (me.customers.find, me.opportunities.find):
            with pytest.raises(QueryError):
                call(search=wrong)
            with pytest.raises(QueryError):
                call(order=wrong or 5)
    with pytest.raises(QueryError, match="open, in_progress, waiting, solved, closed"):
        me.tickets.find(state="opne")


def test_filters_take_keys_and_labels_alike(open_crm):
    me = open_crm("standard").acting_as("li")
    people = [{"name": "王", "phone": "13800000000", "email": "a@example.com"}]
    customer = me.customers.register(name="示例科技有限公司", contacts=people, tier="A")
    for tier in ("A", "a", "A级"):
        assert [found.id for found in me.customers.find(tier=tier)] == [customer.id]
        assert me.reports.overview(of={"tier": tier}).customers["tier"] == {("A",): 1}
    graph = me.crm.playbook.lifecycle
    label = graph.stage(customer.stage).label.zh
    assert len(me.customers.find(stage=label)) == len(me.customers.find(stage=customer.stage)) == 1
    deal = me.opportunities.open(name="培训", customer=customer)
    words = me.crm.playbook.vocabulary("opportunity.outcome")
    assert [found.id for found in me.opportunities.find(outcome=words["open"].zh)] == [deal.id]
    assert me.opportunities.find(outcome=words["won"].zh).items == ()
    ticket = me.tickets.assign(me.tickets.open(customer, subject="异响"), "hua")
    assert [found.id for found in me.tickets.find(state="处理中")] == [ticket.id]
    action = me.action_plans.add("回访")
    assert me.action_plans.find(state=me.crm.playbook.choice_label("action_plan.state", "planned", "zh-CN")) == [action]


@pytest.mark.parametrize("character", ["长", "x", "\U00020000"])
def test_a_text_too_long_for_the_log_is_named_with_the_length_that_fits(me, customer, character):
    def follow(summary: str) -> object:
        return me.follow_ups.log(customer, method="phone", summary=summary)

    width = len(character.encode("utf-16-le")) // 2
    with pytest.raises(Invalid) as refused:
        follow(character * (32_767 // width))
    assert told(refused) == [("too_long", "follow_up.summary")]
    limit = refused.value.issues[0].facts["limit"]
    assert 32_000 < limit < 32_767
    with pytest.raises(Invalid):
        follow(character * (limit // width + 1))
    assert follow(character * (limit // width))
