"""Registering customers: numbers, duplicates, every issue at once, nothing stored from what is refused."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

import crmcore
from crmcore.errors import Conflict, DuplicateCustomer, Invalid, NotFound, NumbersExhausted, Veto
from crmcore.storage.contract import Store


def everything(store: Store) -> dict[str, list]:
    with store.transaction() as transaction:
        return {name: sorted(transaction.scan(name), key=lambda row: row[0]) for name in store.schema.collections}


def test_a_number_is_drawn_per_month(me, clock):
    first = me.customers.register(name="示例科技有限公司", industry="制造业")
    second = me.customers.register(name="样品商贸有限公司", industry="零售")
    clock.forward(days=30)
    third = me.customers.register(name="范例物流有限公司", industry="物流")
    assert [first.number, second.number, third.number] == ["202310001", "202310002", "202311001"]
    assert me.customers.get("202310002") == second
    assert me.customers.get(third.id) == third


def test_the_month_of_a_number_is_the_team_s_own(me, clock):
    clock.now = datetime.datetime(2023, 10, 31, 16, 0, tzinfo=datetime.UTC)  # midnight in Shanghai
    assert me.customers.register(name="示例科技有限公司", industry="制造业").number == "202311001"


def test_every_issue_comes_at_once_and_nothing_is_stored(me):
    before = everything(me.crm.store)
    with pytest.raises(Invalid) as caught:
        me.customers.register(
            name=" ", kind="robot", tier="Z", wrong=1, contacts=[{"name": "", "phone": "12", "email": "nobody"}]
        )
    assert {(issue.code, issue.field) for issue in caught.value.issues} >= {
        ("required", "customer.name"),
        ("bad_choice", "customer.kind"),
        ("bad_choice", "customer.tier"),
        ("unknown_field", "customer.wrong"),
        ("bad_phone", "contact.phones"),
        ("bad_email", "contact.emails"),
        ("required", "contact.name"),
    }
    assert everything(me.crm.store) == before
    assert me.customers.register(name="示例科技有限公司", industry="制造业").number.endswith("001")


def test_messages_hold_no_personal_data(me):
    with pytest.raises(Invalid) as caught:
        me.customers.register(
            name="x", industry="y", contacts=[{"name": "个人甲", "phone": "abc-secret", "email": "secret"}]
        )
    assert "secret" not in str(caught.value)
    assert "个人甲" not in str(caught.value)


def test_one_customer_one_file(me):
    first = me.customers.register(name="示例科技有限公司", industry="制造业")
    with pytest.raises(DuplicateCustomer) as caught:
        me.customers.register(name=" 示例科技 有限公司", industry="制造业")
    assert caught.value.details["number"] == first.number
    second = me.customers.register(name="示例科技有限公司", industry="制造业", allow_duplicate=True)
    assert second.number == "202310002"


def test_two_people_may_have_one_name(me):
    numbers = {me.customers.register(name="销售甲", kind="individual", industry="零售").number for _ in range(2)}
    assert len(numbers) == 2


def test_a_given_number_moves_the_series_behind_it(me):
    me.customers.register(name="甲", industry="x", number="202310007")
    assert me.customers.register(name="乙", industry="x").number == "202310008"
    me.customers.register(name="丙", industry="x", number="OLD-1")
    assert me.customers.register(name="丁", industry="x").number == "202310009"
    with pytest.raises(Invalid, match="already in use"):
        me.customers.register(name="戊", industry="x", number="OLD-1")


def test_an_exhausted_series_is_an_error_and_no_longer_number(me):
    me.customers.register(name="甲", industry="x", number="202310999")
    with pytest.raises(NumbersExhausted):
        me.customers.register(name="乙", industry="x")
    assert me.customers.count() == 1


def test_a_plugin_can_refuse(open_crm):
    class NoBanks:
        @crmcore.hookimpl
        def crm_check(self, change, context):
            if change.action == "customer.registered" and "银行" in change.after.name:
                raise Veto("banks are served by another team", plugin="NoBanks")

    crm = open_crm(plugins=[NoBanks()])
    me = crm.acting_as("sales.east")
    with pytest.raises(Veto):
        me.customers.register(name="示例银行", industry="金融")
    assert me.customers.count() == 0
    assert me.customers.register(name="示例科技", industry="制造业").number == "202310001"


def test_updates_that_meet_are_a_conflict_and_others_pass(me):
    read = me.customers.register(name="示例科技有限公司", industry="制造业")
    me.customers.update(read, address="上海")
    me.customers.update(read, remarks="喜欢喝茶")
    with pytest.raises(Conflict) as caught:
        me.customers.update(read, address="北京")
    assert caught.value.details["fields"] == ("address",)
    assert me.customers.get(read).address == "上海"


def test_what_has_a_use_case_of_its_own_is_not_updated(me):
    customer = me.customers.register(name="示例科技有限公司", industry="制造业")
    with pytest.raises(Invalid) as caught:
        me.customers.update(customer, stage="won", number="1", owner="x")
    assert {issue.field for issue in caught.value.issues} == {"customer.stage", "customer.number", "customer.owner"}


def test_nobody_is_not_found(me):
    with pytest.raises(NotFound):
        me.customers.get("202310001")
    with pytest.raises(NotFound):
        me.customers.move("202310001", "意向")


def test_timeline_says_who_did_what(me, clock):
    customer = me.customers.register(
        name="示例科技有限公司", industry="制造业", contacts=[{"name": "王", "phone": "13800138000"}]
    )
    clock.forward(hours=1)
    me.crm.acting_as("zhang").customers.tag(customer, "需求明确")
    events = me.customers.timeline(customer).items
    assert [event.action for event in events] == ["customer.tagged", "contact.added", "customer.registered"]
    assert events[0].by == "zhang"
    assert events[0].changes == '{"tags":[[],["需求明确"]]}'


def test_pages_join_up(me):
    numbers = [
        me.customers.register(name=f"客户{i}", industry="x", owner="a" if i % 2 else "b").number for i in range(23)
    ]
    seen, mark = [], None
    while True:
        page = me.customers.find(limit=5, after=mark)
        seen += [customer.number for customer in page]
        mark = page.next
        if mark is None:
            break
    assert seen == numbers
    assert len(me.customers.find(owner="a", limit=100)) == 11
    assert [customer.name for customer in me.customers.find(search="户 22")] == ["客户22"]


@given(names=st.lists(st.text("甲乙丙丁ab ", min_size=1, max_size=3), max_size=8))
def test_numbers_have_no_gap_whatever_is_refused(names):
    with crmcore.open("memory:", "marketing") as crm:
        me = crm.acting_as("sales.east")
        registered = []
        for name in names:
            try:
                registered.append(me.customers.register(name=name, industry="x").number)
            except (Invalid, DuplicateCustomer):
                continue
        assert [int(number[-3:]) for number in registered] == list(range(1, len(registered) + 1))
        assert [customer.number for customer in me.customers.find(limit=50)] == registered


@pytest.mark.parametrize("number", [" 202310001 ", "202310001"])
def test_a_given_number_is_claimed_as_it_is_kept(me, number):
    assert me.customers.register(name="甲", industry="x", number=number).number == "202310001"
    assert me.customers.register(name="乙", industry="x").number == "202310002"
    with pytest.raises(Invalid):
        me.customers.register(name="丙", industry="x", number=7)


def test_what_the_library_sets_is_not_given(me):
    with pytest.raises(Invalid) as caught:
        me.customers.register(name="甲", industry="x", id="1", created_by="nobody", version=7)
    assert {issue.field for issue in caught.value.issues} >= {"customer.id", "customer.created_by", "customer.version"}


def test_an_update_makes_no_double(me):
    me.customers.register(name="甲", industry="x")
    second = me.customers.register(name="乙", industry="x")
    with pytest.raises(DuplicateCustomer):
        me.customers.update(second, name="甲")
    assert me.customers.update(second, name="乙乙").name == "乙乙"


@pytest.mark.parametrize(
    "ask",
    [
        lambda me: me.customers.get(None),
        lambda me: me.customers.move(5, "x"),
        lambda me: me.customers.register(name="x", industry="y", contacts="bob"),
        lambda me: me.customers.register(name="x", industry="y", contacts=[5]),
        lambda me: me.customers.register(name="x", industry="y", custom="z"),
        lambda me: me.customers.register(name="x", industry="y", stage=5),
        lambda me: me.customers.find(limit=0),
        lambda me: me.customers.find(limit=10**30),
        lambda me: me.customers.find(order="name"),
        lambda me: me.customers.find(after="!"),
        lambda me: me.obligations.due("tomorrow"),
        lambda me: me.obligations.due(limit=10**20),
        lambda me: me.opportunities.open(name="x", stage=5),
        lambda me: me.opportunities.open(name="x", pipeline=["x"]),
        lambda me: me.reports.funnel(since="2026-01-01"),
        lambda me: me.reports.activity(since=datetime.date(2027, 1, 1), until=datetime.date(2026, 1, 1)),
        lambda me: me.plans.add("nobody", due_on=datetime.date.max),
        lambda me: crmcore.open(None),
    ],
)
def test_a_plausible_mistake_is_a_typed_error(me, ask):
    with pytest.raises(crmcore.CRMError):
        ask(me)


def test_the_end_of_time_is_no_trouble(me):
    me.customers.register(name="甲", industry="x")
    assert len(me.obligations.due(datetime.date.max)) == 1
    assert me.reports.funnel(until=datetime.date.max).to_plain()["totals"]["count"] == 0
    with pytest.raises(Invalid, match="1900"):
        me.plans.add("202310001", due_on=datetime.date.max)


def test_a_mark_is_of_one_list_in_one_order(me):
    for name in "甲乙丙":
        me.customers.register(name=name, industry="x")
    mark = me.customers.find(limit=1).next
    with pytest.raises(crmcore.CRMError, match="another list"):
        me.customers.find(limit=1, order=("-name",), after=mark)
    with pytest.raises(crmcore.CRMError, match="another list"):
        me.opportunities.find(limit=1, after=mark)


@pytest.mark.parametrize(
    ("playbook", "number"),
    [("integration", "crm2023-001"), ("integration", "CRM2023- 007"), ("marketing", "２０２３１０００１")],
)
def test_a_given_number_that_only_its_form_tells_from_the_series_is_refused(open_crm, playbook, number):
    me = open_crm(playbook).acting_as("sales.east")
    firm = {"name": "甲", "contacts": [{"name": "联系人甲"}]}
    with pytest.raises(Invalid) as caught:
        me.customers.register(**firm, number=number, tier="ZZZ" if me.crm.playbook.tiers else None)
    wanted = ("bad_number_format", "customer.number")
    assert wanted in {(issue.code, issue.field) for issue in caught.value.issues}
    assert len(caught.value.issues) == 1 + bool(me.crm.playbook.tiers)  # all at once
    assert me.customers.register(**firm).number.endswith("001")


@pytest.mark.parametrize("number", ["OLD-1", "202313001", "202310000", "20231000001", "客户-7"])
def test_a_number_of_another_system_is_taken_as_it_is_and_moves_no_series(me, number):
    assert me.customers.register(name="甲", number=number).number == number
    assert me.customers.get(number).name == "甲"
    assert me.customers.register(name="乙").number == "202310001"


def test_given_numbers_of_orders_and_tickets_follow_the_same_rule(me):
    customer = me.customers.register(name="甲")
    me.orders.sign(customer, number=" O20231000001 ")
    me.tickets.open(customer, subject="x", number=" T20231000001 ")
    assert me.orders.sign(customer).number == "O20231000002"
    assert me.tickets.open(customer, subject="y").number == "T20231000002"
    for call, field in (
        (lambda: me.orders.sign(customer, number="o20231000003"), "order.number"),
        (lambda: me.tickets.open(customer, subject="z", number="ｔ20231000003"), "ticket.number"),
    ):
        with pytest.raises(Invalid) as caught:
            call()
        assert [(issue.code, issue.field) for issue in caught.value.issues] == [("bad_number_format", field)]


@given(
    st.lists(
        st.one_of(
            st.none(),
            st.text("0123456789 ", min_size=1, max_size=11),
            st.integers(1, 30).map(lambda n: f"202310{n:03}"),
        ),
        max_size=12,
    )
)
def test_no_given_number_ever_comes_out_of_a_series_again(numbers):
    now = datetime.datetime(2023, 10, 9, tzinfo=datetime.UTC)
    with crmcore.open("memory:", "marketing", clock=lambda: now) as crm:
        me = crm.acting_as("li")
        kept = []
        for number in numbers:
            try:
                kept.append(me.customers.register(name="甲", number=number, allow_duplicate=True).number)
            except Invalid as refused:
                assert number is not None
                assert {issue.code for issue in refused.issues} <= {
                    "duplicate_number",
                    "bad_number_format",
                    "required",
                }
            else:
                assert number is None or kept[-1] == number.strip()
        assert len(set(kept)) == len(kept)
