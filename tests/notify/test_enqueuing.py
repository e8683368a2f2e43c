"""Notices come into the outbox once each: run twice, run late, run with a clock that went back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import crmcore
from crmcore.domain import Setting
from crmcore.errors import QueryError, Veto
from crmcore.notify import Delivery, Message, Notifier
from crmcore.notify.outbox import messages_of
from crmcore.storage.codec import CODECS

BEGIN = datetime(2023, 10, 9, 2, 0, tzinfo=UTC)


class Mute(Notifier):
    """Takes everything and says nothing."""

    def __init__(self, key: str) -> None:
        self.key = key

    def deliver(self, message: Message) -> Delivery:
        return Delivery.sent()


class Bringing:
    """A plugin that brings two notifiers."""

    @crmcore.hookimpl
    def crm_notifiers(self):
        return [Mute("robot"), Mute("mail")]


@pytest.fixture
def planned(me: crmcore.Session):
    """A customer with a contact planned for the same day, of which there is one notice."""
    customer = me.customers.register(name="示例科技有限公司", owner="sales.west")
    me.plans.add(customer, due_on=me.crm.today(), method="phone", goal="报价")
    return customer


def setting(crm: crmcore.CRM, name: str) -> str:
    return crm.read(lambda transaction: CODECS[Setting].load(transaction.get("settings", name)).value)


def test_a_notice_comes_into_the_outbox_once(me, planned, clock) -> None:
    clock.forward(days=1)
    done = me.notifications.enqueue()
    assert (done.notices, done.messages) == (1, 1)
    (message,) = me.notifications.find()
    assert (message.recipient, message.customer_number) == ("sales.west", planned.number)
    assert message.reminder == "planned_follow_up"
    for _ in range(2):
        assert me.notifications.enqueue().messages == 0
        clock.forward(days=2)
    assert me.notifications.find() == [message]


def test_no_name_stands_in_the_outbox(me, planned, clock) -> None:
    clock.forward(days=1)
    me.notifications.enqueue()
    rows = me.crm.read(lambda transaction: list(transaction.scan("outbox")))
    assert rows
    assert planned.name not in repr(rows)


def test_nothing_is_left_out_when_the_job_did_not_run_for_a_while(me, clock) -> None:
    me.notifications.enqueue()
    for day in (1, 20, 45):
        customer = me.customers.register(name=f"客户{day}")
        me.plans.add(customer, due_on=me.crm.today() + timedelta(days=day), method="phone", goal="报价")
    expected = {notice.id for notice in me.obligations.reminders(clock.now, clock.now + timedelta(days=60))}
    clock.forward(days=60)
    done = me.notifications.enqueue()
    assert done.since == datetime(2023, 10, 7, 16, 0, tzinfo=UTC)  # where it began: yesterday in Shanghai
    assert {message.notice_id for message in me.notifications.find()} >= expected
    assert len(expected) >= 3


def test_what_came_late_is_still_told(open_crm, clock) -> None:
    me = open_crm("standard").acting_as("sales.east")
    customer = me.customers.register(name="示例科技有限公司", tier="A")
    clock.forward(days=9)
    mark = me.notifications.enqueue().until
    known = {message.notice_id for message in me.notifications.find()}
    # Put on record eight days after it was held: the next contact is overdue already, and so was its reminder.
    me.follow_ups.log(customer, method="phone", summary="x", at=clock.now - timedelta(days=8, hours=20))
    clock.forward(minutes=1)
    me.notifications.enqueue()
    late = [message for message in me.notifications.find() if message.notice_id not in known]
    assert late
    assert all(message.at < mark for message in late)


def test_of_what_was_done_in_the_meantime_nobody_is_reminded(me, planned, clock) -> None:
    me.follow_ups.log(planned, method="phone", summary="x")
    clock.forward(days=1)
    assert me.notifications.enqueue().messages == 0


def test_the_mark_and_the_messages_are_kept_together_or_not_at_all(me, planned, clock, monkeypatch) -> None:
    clock.forward(days=1)
    monkeypatch.setattr("crmcore.app.notifications._keep", lambda *_: (_ for _ in ()).throw(Veto("no")))
    with pytest.raises(Veto):
        me.notifications.enqueue()
    monkeypatch.undo()
    assert me.notifications.find() == []
    assert me.notifications.enqueue().messages == 1
    assert setting(me.crm, "notices_until") == clock.now.isoformat()


def test_a_later_since_leaves_no_gap_and_an_earlier_one_reaches_back(me, clock) -> None:
    customer = me.customers.register(name="示例科技有限公司")
    me.plans.add(customer, due_on=me.crm.today() + timedelta(days=1), method="phone", goal="报价")
    assert me.notifications.enqueue().messages == 0
    clock.forward(days=3)
    assert me.notifications.enqueue(since=clock.now).messages == 1
    assert setting(me.crm, "notices_from") < BEGIN.isoformat()
    early = BEGIN - timedelta(days=100)
    assert me.notifications.enqueue(since=early).since == early
    assert setting(me.crm, "notices_from") == early.isoformat()


def test_each_notifier_of_the_plugins_is_given_each_notice(open_crm, clock) -> None:
    me = open_crm(plugins=[Bringing()]).acting_as("sales.east")
    customer = me.customers.register(name="示例科技有限公司")
    me.plans.add(customer, due_on=me.crm.today(), method="phone", goal="报价")
    clock.forward(days=1)
    done = me.notifications.enqueue()
    assert (done.notices, done.messages) == (1, 2)
    assert sorted(message.notifier for message in me.notifications.find()) == ["mail", "robot"]
    # Another way to tell it does not tell it once more.
    assert me.notifications.enqueue(through=["pager"]).messages == 0


def test_a_notice_that_names_nobody_goes_to_nobody_in_particular(me, planned, clock) -> None:
    (notice,) = me.obligations.reminders(BEGIN - timedelta(days=1))
    (message,) = messages_of(attrs.evolve(notice, to=()), planned.number, [None])
    assert (message.recipient, message.customer_number) == (None, planned.number)
    (other,) = messages_of(notice, planned.number, [None])
    assert other.id != message.id


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        (None, BEGIN + timedelta(seconds=1), "not ahead"),
        (BEGIN, BEGIN - timedelta(seconds=1), "does not end before"),
        (date(2023, 10, 1), None, "aware"),
        (BEGIN.replace(tzinfo=None), None, "aware"),
        (BEGIN.replace(year=9999), None, "aware"),
    ],
)
def test_moments_that_can_not_be_meant_are_refused(me, since, until, said) -> None:
    with pytest.raises(QueryError, match=said):
        me.notifications.enqueue(since, until)
    assert me.crm.read(lambda transaction: transaction.get("settings", "notices_until")) is None


@pytest.mark.parametrize("through", ["mail", ["mail", 3], [" "], [None]])
def test_notifiers_are_named_by_a_list(me, through) -> None:
    with pytest.raises(QueryError, match="list of their keys"):
        me.notifications.enqueue(through=through)


@given(steps=st.lists(st.tuples(st.sampled_from(["run", "plan", "forward", "back"]), st.integers(1, 200)), max_size=14))
def test_whatever_the_clock_does_each_notice_is_there_once(steps) -> None:
    class Moving:
        now = BEGIN

        def __call__(self) -> datetime:
            return self.now

    clock = Moving()
    with crmcore.open("memory:", "marketing", clock=clock) as crm:
        me = crm.acting_as("sales.east")
        first = me.notifications.enqueue()
        for what, hours in steps:
            if what == "plan":
                customer = me.customers.register(name=f"客户{me.customers.count()}")
                me.plans.add(customer, due_on=crm.today() + timedelta(hours=hours), method="phone", goal="报价")
            elif what == "run":
                me.notifications.enqueue()
            else:
                clock.now += timedelta(hours=hours) * (1 if what == "forward" else -0.05)
        clock.now = max(clock.now, BEGIN) + timedelta(days=30)
        me.notifications.enqueue()
        found = me.notifications.find()
        expected = {notice.id for notice in me.obligations.reminders(first.since)}
        assert {message.notice_id for message in found} >= expected
        assert len({(message.notice_id, message.recipient) for message in found}) == len(found)
