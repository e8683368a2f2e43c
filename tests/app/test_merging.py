"""Merging two customers, and taking it back: nothing is lost and nothing is made up."""

from __future__ import annotations

import datetime
import itertools
import shutil
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from merge_kills import STEPS as STEPS_TO_KILL
from merge_kills import opened, step, work
from merge_stories import STEPS, STORIES, assert_in_step, reports, run, state

import crmcore
from crmcore.domain import Event, Money, Opportunity
from crmcore.errors import DuplicateCustomer, Invalid, MergeRefused, NotFound
from crmcore.storage import Eq
from crmcore.storage.codec import CODECS
from crmcore.testing.crashes import can_fork, crash_points
from crmcore_sqlite import SqliteBackend

_counted = itertools.count()
ON_ONE_STORE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@settings(ON_ONE_STORE, max_examples=10)
@given(before=STEPS, after=STEPS)
def test_a_merge_that_is_taken_back_leaves_everything_as_it_was(me: crmcore.Session, clock, before, after) -> None:
    names = [me.customers.register(name=f"示例{next(_counted)}", industry="x").number for _ in range(3)]
    run(me, clock, names, before)
    clock.forward(hours=3)
    kept, told = state(me.crm), reports(me)
    me.customers.merge(names[0], names[1], reason="重复")
    assert_in_step(me)
    me.customers.unmerge(names[1])
    assert state(me.crm) == kept
    assert reports(me) == told
    assert_in_step(me)
    run(me, clock, names, after)
    assert_in_step(me)


def two_customers(me: crmcore.Session, clock: Any) -> list[str]:
    """Two customers of which the second has some of everything."""
    names = [me.customers.register(name=f"示例{next(_counted)}", industry="x").number for _ in range(3)]
    fields = {"remarks": "x", "tags": ["b"], "first_contact_on": datetime.date(2023, 9, 1)}
    run(me, clock, names, [(what, 1, index, fields) for what in STORIES for index in range(2)])
    clock.forward(hours=1)
    return names


def test_a_workbook_keeps_what_a_merge_needs_to_be_taken_back(tmp_path, clock) -> None:
    url = f"excel:///{tmp_path}/crm.xlsx"
    with crmcore.open(url, "standard", clock=clock) as crm:
        one, other, _ = two_customers(crm.acting_as("hua"), clock)
        kept = state(crm)
        crm.acting_as("hua").customers.merge(one, other)
    with crmcore.open(url, clock=clock) as crm:
        assert state(crm) != kept
        crm.acting_as("hua").customers.unmerge(other)
    with crmcore.open(url, clock=clock) as crm:
        assert state(crm) == kept
        assert_in_step(crm.acting_as("hua"))


def every_row(crm: crmcore.CRM) -> dict[str, list[tuple[object, ...]]]:
    """Everything that is kept, but for the chain of the events, which is salted."""
    salted = CODECS[Event].collection.position("salt")
    with crm.store.transaction() as transaction:
        found = {name: sorted(transaction.scan(name)) for name in crm.store.schema.collections if name != "chains"}
    return {**found, "events": [row[:salted] for row in found["events"]]}


@pytest.mark.skipif(not can_fork(), reason="needs fork")
def test_a_merge_that_is_killed_was_done_or_was_not(tmp_path, clock) -> None:
    made, used = tmp_path / "made.db", tmp_path / "used.db"
    with opened(f"sqlite:///{made}?journal=truncate", 1) as crm:
        me = crm.acting_as("hua")
        for number in ("C1", "C2"):
            me.customers.register(name=f"示例{number}", number=number, industry="x", tags=[number])
        me.tickets.open("C2", subject="问题")
        me.contacts.add("C2", name="王", phone="13800138000")

    def reset() -> None:
        for left in tmp_path.glob("used.db*"):
            left.unlink()
        shutil.copy(made, used)

    def rows() -> dict[str, list[object]]:
        with opened(f"sqlite:///{used}?journal=truncate") as crm:
            return every_row(crm)

    reset()
    states = [rows()]
    with opened(f"sqlite:///{used}?journal=truncate") as crm:
        for what in STEPS_TO_KILL:
            step(crm.acting_as("hua"), what)
            states.append(every_row(crm))
    assert len({repr(one) for one in states}) == 3
    url = f"sqlite:///{used}?journal=truncate"
    moments = 0
    for crash in crash_points(SqliteBackend(), url, work, at="calls", reset=reset, most=10):
        done = len(crash.acknowledged)
        assert rows() in states[done : done + 2], crash.moment
        moments += not crash.finished
    assert moments > 5


def test_what_was_done_since_is_reported_and_not_lost(me: crmcore.Session, clock) -> None:
    one, other, third = two_customers(me, clock)
    before = me.customers.get(other)
    me.customers.merge(one, other)
    contact = me.contacts.update(me.contacts.of(one)[0], phones=["13911112222"])
    deals = me.customers.listed(Opportunity, Eq("customer_id", me.customers.get(one).id))
    objection = me.objections.raise_(one, description="新", opportunity=deals[0])
    stays = me.tickets.open(one, subject="之后")
    me.customers.update(one, remarks="之后")
    gone = me.opportunities.update(deals[1], customer_id=me.customers.get(third).id)
    assert_in_step(me)
    found = me.customers.unmerge(other)
    assert found.restored == before == me.customers.get(other)
    assert found.edited_fields == ("remarks",)
    assert me.customers.get(one).remarks == "之后"
    assert me.customers.get(one).tags == ()
    assert ("contact", contact.id) in found.edited
    assert found.added == (("objection", objection.id),)
    assert found.elsewhere == (("opportunity", gone.id),)
    assert contact.phones in [person.phones for person in me.contacts.of(other)]
    assert me.tickets.get(stays.id).customer_id == me.customers.get(one).id
    assert_in_step(me)
    # What is told of a record stands in the timeline of the customer that has it.
    told = {event.subject_id for event in me.customers.timeline(other, limit=1000)}
    assert {contact.id, objection.id} <= told
    assert stays.id not in told
    # And once more, with all of that.
    kept = state(me.crm)
    me.customers.merge(third, other)
    assert_in_step(me)
    me.customers.unmerge(other)
    assert state(me.crm) == kept


def test_numbers_stand_for_the_survivor_through_chains(me: crmcore.Session) -> None:
    names = [me.customers.register(name=f"示例{next(_counted)}", industry="x").number for _ in range(4)]
    ids = [me.customers.get(name).id for name in names]
    for one, other in itertools.pairwise(names):
        me.customers.merge(other, one)
    for named in (*names, *ids):
        assert me.customers.get(named).number == names[-1]
    assert me.customers.count() == 1
    me.follow_ups.log(names[0], summary="说")
    assert len(me.follow_ups.of(names[-1])) == 1
    for name in names[:-1]:
        me.customers.get(name)
    with pytest.raises(MergeRefused, match=names[1]) as refused:
        me.customers.unmerge(names[0])
    assert names[1] in refused.value.text("zh-CN")
    for place in (2, 1, 0):
        me.customers.unmerge(names[place])
        assert [me.customers.get(name).number for name in names[: place + 1]] == [names[place]] * (
            place + 1
        ) or place == 0
    assert [me.customers.get(name).number for name in names] == names


@pytest.mark.parametrize("undone", list(itertools.permutations(range(3))))
def test_merges_into_one_are_taken_back_in_any_order(me: crmcore.Session, undone) -> None:
    values = [
        {"remarks": None},
        {"remarks": "一", "tags": ["x"]},
        {"remarks": "二", "budget": Money.of(3)},
        {"tags": ["y"]},
    ]
    names = [me.customers.register(name=f"示例{next(_counted)}", industry="x", **one).number for one in values]
    kept = state(me.crm)
    for name in names[1:]:
        me.customers.merge(names[0], name)
    assert me.customers.get(names[0]).tags == ("x", "y")
    for place in undone:
        me.customers.unmerge(names[place + 1])
        assert_in_step(me)
    after = state(me.crm)
    for kind in ("customer", "contact", "match_key"):
        assert after[kind] == kept[kind]


def test_what_can_not_be_merged_says_why_and_changes_nothing(me: crmcore.Session) -> None:
    one = me.customers.register(name="示例甲", industry="x", uscc="91310000MA1FL0L82X")
    other = me.customers.register(name="示例乙", industry="x", uscc="91110000600037341L")
    third = me.customers.register(name="示例丙", industry="x")
    me.customers.merge(one, third)
    kept = state(me.crm)
    for keep, absorb, prefer, error in (
        (one, one, {}, MergeRefused),
        (one, third.number, {}, MergeRefused),
        (other, third.number, {}, MergeRefused),
        (one, third, {}, MergeRefused),
        (one, "nobody", {}, NotFound),
        (one, other, {}, MergeRefused),
        (one, other, {"uscc": "keep", "number": "absorb"}, Invalid),
        (one, other, {"uscc": "keep", "nothing": "keep"}, Invalid),
        (one, other, {"uscc": "keep", "stage": "interested"}, Invalid),
        (one, other, {"uscc": "keep", "urgency": "very"}, Invalid),
        (one, other, {"uscc": "keep", "name": None}, Invalid),
        (one, other, "uscc", Invalid),
    ):
        with pytest.raises(error):
            me.customers.merge(keep, absorb, prefer=prefer)
        with pytest.raises(error):
            me.customers.plan_merge(keep, absorb, prefer=prefer)
        assert state(me.crm) == kept
    with pytest.raises(NotFound):
        me.customers.unmerge(other.number)
    planned = me.customers.plan_merge(one, other, prefer={"uscc": "absorb"})
    assert state(me.crm) == kept
    merged = me.customers.merge(one, other, prefer={"uscc": "absorb", "remarks": "说明"})
    assert merged.customer.uscc == planned.customer.uscc == other.uscc
    assert merged.customer.remarks == "说明"
    me.customers.unmerge(other.number)
    assert state(me.crm) == kept


def test_the_name_of_an_absorbed_customer_is_not_registered_again(me: crmcore.Session) -> None:
    one, other = (me.customers.register(name=name, industry="x") for name in ("示例甲", "示例乙"))
    me.customers.merge(one, other)
    with pytest.raises(DuplicateCustomer, match=one.number):
        me.customers.register(name="示例乙", industry="x")
    assert [(found.customer.number, found.same) for found in me.customers.similar(name="示例乙")] == [
        (one.number, ("name",))
    ]
    me.customers.unmerge(other.number)
    with pytest.raises(DuplicateCustomer, match=other.number):
        me.customers.register(name="示例乙", industry="x")


def test_a_record_from_before_a_merge_stands_for_the_survivor(me: crmcore.Session) -> None:
    kept, absorbed = (me.customers.register(name=name, industry="x") for name in ("留下来的", "并进去的"))
    me.customers.merge(kept, absorbed)
    me.follow_ups.log(absorbed, summary="聊了")
    me.customers.update(absorbed, remarks="一")
    me.customers.assign(absorbed, "wang")
    opened = me.opportunities.open(name="机会", customer=absorbed)
    me.orders.sign(absorbed, number="O-1")
    me.tickets.open(absorbed, subject="坏了")
    assert opened.customer_id == kept.id
    now = me.customers.get(kept.number)
    assert (now.remarks, now.owner) == ("一", "wang")
    assert [one.customer_id for one in me.follow_ups.of(absorbed)] == [kept.id]
    other = me.customers.register(name="另一家", industry="x")
    for pair in ((other, absorbed), (absorbed, other), (kept, absorbed)):
        with pytest.raises(MergeRefused, match="absorbed by"):
            me.customers.merge(*pair)


def test_all_that_is_wrong_with_what_is_preferred_is_told_at_once_and_without_it(me: crmcore.Session) -> None:
    one, other = (me.customers.register(name=name, industry="x") for name in ("示例甲", "示例乙"))
    typed = {"欧阳锋": "keep", "\ud800": "y", "owner": "", "number": "keep", "contract_amount": "abc", "industry": 5}
    with pytest.raises(Invalid) as refused:
        me.customers.plan_merge(one, other, prefer=typed)
    fields = ["prefer", "owner", "number", "contract_amount", "industry"]
    assert sorted(issue.field for issue in refused.value.issues) == sorted(f"customer.{name}" for name in fields)
    for language in ("en", "zh-CN"):
        told = refused.value.text(language) + repr(refused.value.issues)
        assert told.encode() and "欧阳锋" not in told
