"""Feedback and tickets on every store: from a customer's word to its confirmation."""

from __future__ import annotations

import datetime
import json

import attrs
import pytest

from crmcore.domain.playbook import Playbook
from crmcore.domain.policies import Assignment
from crmcore.errors import Conflict, DomainError, Invalid, NotFound
from crmcore.playbooks import load

BY_TOPIC = (
    Assignment(
        key="feedback",
        to={"product": ("product.lead",), "service": ("service",)},
        otherwise=("manager",),
        strategy="in_turn",
    ),
    Assignment(key="ticket", to={"technical": ("service",)}, otherwise=("li.ming",), strategy="least_busy"),
)


def with_assignment() -> Playbook:
    return attrs.evolve(load("standard"), assignment=BY_TOPIC)


@pytest.fixture
def customer(me):
    return me.customers.register(name="示例科技有限公司", industry="制造业")


def happened(me, customer):
    """The actions of a customer, in order, with what changed."""
    events = reversed(list(me.customers.timeline(customer)))
    return [(event.action, json.loads(event.changes)) for event in events if not event.action.startswith("customer.")]


def told(invalid):
    return [(issue.code, issue.field) for issue in invalid.value.issues]


def test_a_satisfied_customer_closes_the_feedback(me, clock, customer):
    came_in = clock.now - datetime.timedelta(hours=3)
    feedback = me.feedback.receive(
        customer, description="设备异响", type="投诉", priority="紧急", received_at=came_in, source="客户来电"
    )
    assert (feedback.state, feedback.type, feedback.priority, feedback.received_at) == (
        "received",
        "complaint",
        "urgent",
        came_in,
    )
    clock.forward(hours=1)
    me.feedback.assign(feedback, "wang")
    me.feedback.plan(feedback.id, "更换轴承")
    answered = me.feedback.answer(feedback.id, "已更换")
    assert answered.answered_at == clock.now
    clock.forward(hours=1)
    closed = me.feedback.confirm(feedback.id, "基本满意", stars=4, suggestion="再快一点")
    assert (closed.state, closed.confirmation, closed.stars, closed.closed_at) == (
        "confirmed",
        "mostly_satisfied",
        4,
        clock.now,
    )
    events = happened(me, customer)
    assert [action for action, _ in events] == [
        "feedback.received",
        "feedback.assigned",
        "feedback.planned",
        "feedback.answered",
        "feedback.confirmed",
    ]
    assert events[0][1]["received_at"] == [None, came_in.isoformat()]
    assert events[1][1] == {"state": ["received", "in_progress"], "responsible": [None, "wang"]}
    assert events[2][1] == {"plan": [None, "更换轴承"]}
    assert events[3][1] == {
        "state": ["in_progress", "answered"],
        "result": [None, "已更换"],
        "answered_at": [None, answered.answered_at.isoformat()],
    }
    assert events[4][1] == {
        "state": ["answered", "confirmed"],
        "confirmation": [None, "mostly_satisfied"],
        "stars": [None, 4],
        "suggestion": [None, "再快一点"],
        "closed_at": [None, clock.now.isoformat()],
    }


def test_an_unsatisfied_customer_opens_the_next_cycle_with_a_new_plan(me, customer):
    feedback = me.feedback.receive(customer, description="设备异响")
    for cycle in (1, 2):
        me.feedback.plan(feedback.id, f"方案{cycle}")
        me.feedback.answer(feedback.id, "已处理")
        reopened = me.feedback.confirm(feedback.id, "不满意", stars=1, reason="还在响")
        assert (reopened.state, reopened.cycle, reopened.confirmation) == ("in_progress", cycle + 1, "to_improve")
        assert (reopened.plan, reopened.result, reopened.answered_at) == (None, None, None)
        with pytest.raises(Invalid) as refused:
            me.feedback.answer(feedback.id, "真的处理了")
        assert told(refused) == [("required", "feedback.plan")]
    reopenings = [changes for action, changes in happened(me, customer) if action == "feedback.reopened"]
    assert [changes["cycle"] for changes in reopenings] == [[1, 2], [2, 3]]
    assert all(changes["confirmation"] == [None, "to_improve"] for changes in reopenings)
    assert all(changes["state"] == ["answered", "in_progress"] for changes in reopenings)
    assert [changes["plan"] for changes in reopenings] == [["方案1", None], ["方案2", None]]
    assert "feedback.confirmed" not in [action for action, _ in happened(me, customer)]


def test_everything_that_is_wrong_is_told_at_once_and_nothing_is_stored(me, clock, customer):
    with pytest.raises(Invalid) as refused:
        me.feedback.receive(
            customer, description=" ", type="grumble", received_at=clock.now + datetime.timedelta(minutes=1)
        )
    assert sorted(told(refused)) == [
        ("bad_choice", "feedback.type"),
        ("out_of_range", "feedback.received_at"),
        ("required", "feedback.description"),
    ]
    with pytest.raises(Invalid) as refused:
        me.feedback.receive(customer, description="x", received_at=datetime.datetime(2023, 10, 1))
    assert told(refused) == [("naive_time", "feedback.received_at")]
    with pytest.raises(Invalid) as refused:
        me.feedback.receive(customer, description="x", state="confirmed", cycle=3, stars=5, answered_at=clock.now)
    assert {code for code, _ in told(refused)} == {"refused"}
    assert len(told(refused)) == 4
    with pytest.raises(Invalid) as refused:
        me.tickets.open(customer, subject="", opened_at="yesterday", priority="whenever")
    assert sorted(told(refused)) == [
        ("bad_choice", "ticket.priority"),
        ("bad_type", "ticket.opened_at"),
        ("required", "ticket.subject"),
    ]
    assert list(me.feedback.of(customer)) == []
    assert happened(me, customer) == []
    assert me.tickets.open(customer, subject="x").number == "T20231000001"  # no number was lost


def test_feedback_is_not_confirmed_before_it_was_answered(me, customer):
    feedback = me.feedback.receive(customer, description="设备异响")
    with pytest.raises(Invalid) as refused:
        me.feedback.confirm(feedback, "满意", stars=0)
    assert told(refused) == [("not_possible", "feedback.state"), ("out_of_range", "feedback.stars")]
    assert str(refused.value.issues[0]) == (
        "confirm is not possible while it is received; "
        "possible are: assign, plan, answer, add_collaborators, contribute"
    )
    assert "不能确认" in refused.value.issues[0].text("zh-CN")
    assert me.feedback.get(feedback) == feedback


def test_a_ticket_from_its_opening_to_its_rating(me, clock, customer):
    ticket = me.tickets.open(customer, subject="无法开机", channel="在线咨询", priority="urgent")
    clock.forward(minutes=10)
    first = clock.now
    assert me.tickets.answer(ticket.number).answered_at == first
    clock.forward(minutes=10)
    assert me.tickets.answer(ticket.number).answered_at == first  # only the first counts
    me.tickets.wait(ticket.number, reason="等客户提供序列号")
    clock.forward(days=1)
    me.tickets.resume(ticket.number)
    me.tickets.solve(ticket.number, "更换电源")
    me.tickets.solve(ticket.number, "更换电源线")
    solved_at = clock.now
    clock.forward(days=1)
    me.tickets.close(ticket.number)
    rated = me.tickets.close(ticket.number, stars=5, suggestion="很好")
    assert (rated.state, rated.stars, rated.solved_at, rated.result) == ("closed", 5, solved_at, "更换电源线")
    assert [(action, changes.get("state")) for action, changes in happened(me, customer)] == [
        ("ticket.opened", [None, "open"]),
        ("ticket.answered", ["open", "in_progress"]),
        ("ticket.waited", ["in_progress", "waiting"]),
        ("ticket.resumed", ["waiting", "in_progress"]),
        ("ticket.solved", ["in_progress", "solved"]),
        ("ticket.solved", None),
        ("ticket.closed", ["solved", "closed"]),
        ("ticket.closed", None),
    ]


def test_a_reopened_ticket_is_in_its_next_cycle_and_needs_a_reason(me, clock, customer):
    ticket = me.tickets.open(customer, subject="无法开机")
    with pytest.raises(Invalid) as refused:
        me.tickets.reopen(ticket, reason="")
    assert told(refused) == [("not_possible", "ticket.state"), ("reason_required", "ticket.reason")]
    solved = me.tickets.solve(ticket, "更换电源")
    assert solved.answered_at == solved.solved_at == clock.now  # solving answers
    me.tickets.close(ticket.id, stars=3)
    reopened = me.tickets.reopen(ticket.id, reason="又不开机")
    assert (reopened.state, reopened.cycle, reopened.stars) == ("in_progress", 2, None)
    assert (reopened.solved_at, reopened.closed_at, reopened.result) == (None,) * 3
    assert reopened.answered_at == solved.answered_at  # the first answer stays given
    assert [action for action, _ in happened(me, customer)] == [
        "ticket.opened",
        "ticket.answered",
        "ticket.solved",
        "ticket.closed",
        "ticket.reopened",
    ]
    with pytest.raises(Invalid) as refused:
        me.tickets.close(ticket.id)
    assert told(refused) == [("not_possible", "ticket.state")]


def test_whoever_decides_on_an_old_state_is_told(me, customer):
    ticket = me.tickets.open(customer, subject="无法开机")
    me.tickets.solve(ticket, "更换电源")
    with pytest.raises(Conflict):
        me.tickets.wait(ticket)
    other = me.tickets.open(customer, subject="再次")
    me.tickets.add_collaborators(other, "hua/技术支持")
    assert me.tickets.answer(other).collaborators == ("hua/技术支持",)  # that is not what an answer rests on


def test_collaborators_do_their_part_by_name(me, customer):
    ticket = me.tickets.open(customer, subject="无法开机")
    me.tickets.add_collaborators(ticket, "hua/技术支持", "sales.east")
    me.tickets.contribute(ticket.id, collaborator="hua", note="检查了电源")
    me.tickets.contribute(ticket.id)
    with pytest.raises(Invalid) as refused:
        me.tickets.contribute(ticket.id, collaborator="zhou")
    assert told(refused) == [("refused", "ticket.collaborators")]
    assert "hua" not in str(refused.value) and "zhou" not in str(refused.value)
    feedback = me.feedback.receive(customer, description="设备异响", collaborators=["hua"])
    me.feedback.contribute(feedback, collaborator="hua")
    assert me.feedback.get(feedback) == feedback
    assert [(action, changes) for action, changes in happened(me, customer) if action.endswith("contributed")] == [
        ("ticket.contributed", {"collaborator": [None, "hua"]}),
        ("ticket.contributed", {"collaborator": [None, "sales.east"]}),
        ("feedback.contributed", {"collaborator": [None, "hua"]}),
    ]


def test_a_ticket_number_is_drawn_or_kept_and_never_used_twice(me, customer):
    assert me.tickets.open(customer, subject="a", number="T20231000007").number == "T20231000007"
    second = me.tickets.open(customer, subject="b")
    assert second.number == "T20231000008"
    assert me.tickets.get("T20231000008") == me.tickets.get(second.id) == second
    with pytest.raises(Invalid) as refused:
        me.tickets.open(customer, subject="c", number="T20231000007")
    assert told(refused) == [("duplicate_number", "ticket.number")]
    with pytest.raises(NotFound):
        me.tickets.get("T20231000009")
    with pytest.raises(DomainError):
        me.tickets.get(customer)


def test_new_cases_go_to_whom_the_playbook_says(open_crm, clock):
    me = open_crm(with_assignment()).acting_as("li")
    customer = me.customers.register(name="示例科技有限公司", industry="制造业")
    for name, roles in (("an", ["service"]), ("bo", ["service"]), ("chen", ["service"]), ("wu", ["manager"])):
        me.users.add(name, roles=roles)

    def who(topic):
        return me.feedback.receive(customer, description="x", topic=topic).responsible

    assert who("产品问题") == "product.lead"  # a name that isn't on file stands for itself
    assert [who("service") for _ in range(4)] == ["an", "bo", "chen", "an"]
    assert who(None) == "wu"
    me.users.deactivate("bo")
    assert [who("service") for _ in range(2)] == ["chen", "an"]
    assert [user.name for user in me.users.find()] == ["an", "chen", "wu"]
    assert me.feedback.receive(customer, description="x", topic="service", responsible="zhou").responsible == "zhou"
    first, second = (me.tickets.open(customer, subject="x", topic="technical") for _ in range(2))
    assert (first.assignee, second.assignee) == ("an", "chen")
    me.tickets.solve(second, "done")
    assert me.tickets.open(customer, subject="x", topic="technical").assignee == "chen"
    assert me.tickets.open(customer, subject="x").assignee == "li.ming"
    assert [ticket.assignee for ticket in me.tickets.find(assignee="chen", state="待处理")] == ["chen"]


def test_a_user_is_put_on_file_once(me):
    me.users.add("an", roles=["service"], department="客服部")
    with pytest.raises(Invalid) as refused:
        me.users.add("an")
    assert told(refused) == [("duplicate_number", "user.name")]
    assert [user.department for user in me.users.find(active=None)] == ["客服部"]


def test_what_is_owed_follows_the_loop(open_crm, clock):
    me = open_crm("standard").acting_as("li")
    customer = me.customers.register(name="示例科技有限公司", industry="制造业")

    def owed(rule):
        return [(item.state, item.owner) for item in me.obligations.of(customer, state=None) if item.rule == rule]

    feedback = me.feedback.receive(customer, description="设备异响", responsible="wang")
    clock.forward(hours=2)
    me.feedback.answer(feedback, "已更换")
    assert owed("target.solve_feedback") == [("met", "wang")]
    me.feedback.confirm(feedback.id, "to_improve")
    assert owed("target.solve_feedback") == [("met", "wang"), ("open", "wang")]  # the next cycle has a clock of its own
    clock.forward(hours=25)
    me.feedback.plan(feedback.id, "再次更换")
    me.feedback.answer(feedback.id, "已更换")
    assert owed("target.solve_feedback") == [("met", "wang"), ("met_late", "wang")]
    ticket = me.tickets.open(customer, subject="无法开机", topic="technical", assignee="hua")
    assert owed("target.answer_ticket") == [("open", "hua")]
    me.tickets.solve(ticket, "更换电源")  # which answers it
    assert owed("target.answer_ticket") == [("met", "hua")]
