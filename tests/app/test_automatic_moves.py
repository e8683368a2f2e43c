"""Moves that are made by themselves, and the history of stages, through the public API on every store."""

from __future__ import annotations

import datetime

import pytest

from crmcore.domain import Money
from crmcore.errors import Veto
from crmcore.playbooks import load
from crmcore.plugins import hookimpl

DAY = datetime.date(2023, 10, 9)
OWN = """
extends = "standard"
key = "own"
[lifecycle.transitions]
"prospect -> interested" = { guards = ["fields"], fields = ["first_contact_on"], automatic = true }
"interested -> customer" = { guards = ["contract_signed", "evidence"], evidence = ["contract"], automatic = true }
"customer -> lost" = { guards = ["fields"], fields = ["tags"], automatic = true }
[pipelines.sales.transitions]
"requirements -> proposal" = { guards = ["evidence"], evidence = ["offer"], automatic = true }
"negotiation -> signed" = { guards = ["customer", "fields"], fields = ["amount"], automatic = true }
"""


@pytest.fixture
def me(open_crm):
    return open_crm(load("own", extra={"own": OWN})).acting_as("sales.east")


def moves(me, customer):
    return [event.reason for event in me.customers.timeline(customer).items if event.action.endswith(".moved")][::-1]


def test_a_customer_moves_on_as_soon_as_the_last_thing_is_there(me, clock):
    customer = me.customers.register(name="甲", kind="individual")
    assert customer.stage == "prospect"
    customer = me.customers.update(customer, contract_signed_on=DAY)
    me.attachments.add(customer, name="报价单.pdf", about="offer")
    me.attachments.add(customer, name="合同.pdf", about="contract")
    assert me.customers.get(customer).stage == "prospect"
    clock.forward(hours=2)
    me.follow_ups.log(customer, summary="首次沟通")  # the first contact is what two moves have waited for
    customer = me.customers.get(customer)
    assert (customer.stage, customer.stage_since) == ("customer", clock.now)
    assert moves(me, customer) == ["automatic: fields", "automatic: contract_signed, evidence"]
    customer = me.customers.tag(customer, "停止合作")
    assert (customer.stage, customer.lost_reason) == ("lost", "automatic: fields")
    assert [visit.stage for visit in me.customers.stages(customer)] == ["prospect", "interested", "customer", "lost"]


def test_evidence_moves_the_customer_and_its_opportunities(me):
    customer = me.customers.register(name="甲", kind="individual", first_contact_on=DAY, contract_signed_on=DAY)
    assert customer.stage == "interested"
    deal = me.opportunities.open(name="采购", customer=customer)
    me.attachments.add(customer, name="合同.pdf", about="contract")
    assert me.customers.get(customer).stage == "customer"
    assert me.opportunities.get(deal).stage == "requirements"
    me.attachments.add(customer, name="报价单.pdf", about="offer")
    assert me.opportunities.get(deal).stage == "proposal"
    assert me.opportunities.open(name="再采购", customer=customer).stage == "proposal"


def test_an_opportunity_that_is_won_by_itself_takes_its_customer_along(me):
    customer = me.customers.register(name="甲", kind="individual")
    deal = me.opportunities.open(name="采购", customer=customer, stage="negotiation")
    deal = me.opportunities.update(deal, amount=Money.of(5))
    assert (deal.stage, deal.outcome, deal.closed_on) == ("signed", "won", DAY)
    assert me.customers.get(customer).stage == "customer"
    (first, last) = me.opportunities.stages(deal)
    assert (first.stage, last.stage, last.reason) == ("negotiation", "signed", "automatic: customer, fields")


def test_who_is_taken_back_stays_until_the_guards_are_met_anew(me):
    customer = me.customers.register(name="甲", kind="individual", first_contact_on=DAY)
    back = me.customers.move(customer, "prospect", reason="预算取消")
    assert back.stage == "prospect"
    assert me.customers.update(back, remarks="明年再谈").stage == "prospect"
    me.customers.update(customer.number, first_contact_on=None)
    assert me.customers.update(customer.number, first_contact_on=DAY).stage == "interested"


def test_a_move_by_hand_is_followed_by_those_that_it_makes_due(me):
    customer = me.customers.register(name="甲", kind="individual", contract_signed_on=DAY)
    me.attachments.add(customer, name="合同.pdf", about="contract")
    assert me.customers.move(customer, "interested", first_contact_on=DAY).stage == "customer"


def test_a_plugin_sees_what_led_to_the_move_and_then_the_move(open_crm):
    class Watch:
        seen: list[tuple[str, str]] = []  # noqa: RUF012

        @hookimpl
        def crm_check(self, change, context):
            if change.action.startswith("customer."):
                self.seen.append((change.action, change.after.stage))
            if change.after.entity == "customer" and "不可" in change.after.tags and change.action == "customer.moved":
                raise Veto("not yet")

    watch = Watch()
    me = open_crm(load("own", extra={"own": OWN}), plugins=[watch]).acting_as("li")
    customer = me.customers.register(name="甲", kind="individual", first_contact_on=DAY)
    assert watch.seen == [("customer.registered", "prospect"), ("customer.moved", "interested")]
    customer = me.customers.move(customer, "prospect", reason="x")
    customer = me.customers.update(customer, first_contact_on=None)
    customer = me.customers.tag(customer, "不可")
    with pytest.raises(Veto):
        me.customers.update(customer, first_contact_on=DAY)
    assert me.customers.get(customer) == customer


def test_a_customer_put_on_file_late_has_been_at_its_stage_since_then(open_crm, clock):
    me = open_crm("standard").acting_as("li")
    since = clock.now - datetime.timedelta(days=30)
    customer = me.customers.register(name="甲", kind="individual", stage="interested", stage_since=since)
    clock.forward(days=2)
    customer = me.customers.move(customer, "prospect", reason="预算取消")
    clock.forward(days=1)
    first, second = me.customers.stages(customer)
    assert (first.since, first.length.days, first.by, first.reason) == (since, 32, "li", None)
    assert (second.stage, second.until, second.length.days, second.reason) == ("prospect", None, 1, "预算取消")


def test_an_opportunity_keeps_its_history_when_its_customer_is_found_later(open_crm, clock):
    me = open_crm("standard").acting_as("li")
    deal = me.opportunities.open(name="采购")
    clock.forward(days=1)
    deal = me.opportunities.move(deal, "proposal")
    deal = me.opportunities.update(deal, customer_id=me.customers.register(name="甲", kind="individual").id)
    clock.forward(days=3)
    deal = me.opportunities.move(deal, "requirements")
    assert [(visit.stage, visit.length.days) for visit in me.opportunities.stages(deal.id)] == [
        ("requirements", 1),
        ("proposal", 3),
        ("requirements", 0),
    ]


def test_the_evidence_for_an_opportunity_is_its_customers(open_crm):
    own = OWN.replace(", automatic = true", "")
    me = open_crm(load("own", extra={"own": own})).acting_as("li")
    customer = me.customers.register(name="甲", kind="individual")
    me.attachments.add(customer, name="报价单.pdf", about="offer")
    deal = me.opportunities.open(name="采购", customer=customer)
    assert me.opportunities.move(deal, "proposal").stage == "proposal"
