"""Any path through feedback and tickets: the loops stay closed, and a refusal changes nothing and says what is possible."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import crmcore
from crmcore.domain import Event, Feedback, Ticket
from crmcore.errors import Conflict
from crmcore.storage.codec import CODECS
from crmcore.storage.query import Eq, Query

Call = Callable[..., Any]

#: Each action with all that it may ask for.
FEEDBACK_CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "assign": ("assign", {"responsible": "wang"}),
    "plan": ("plan", {"plan": "another board"}),
    "answer": ("answer", {"result": "replaced"}),
    "confirm": ("confirm", {"confirmation": "mostly_satisfied", "stars": 4}),
    "confirm badly": ("confirm", {"confirmation": "需进一步优化", "stars": 1}),
    "contribute": ("contribute", {"collaborator": "hua"}),
    "add_collaborators": ("add_collaborators", {}),
}
TICKET_CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "assign": ("assign", {"assignee": "wang"}),
    "plan": ("plan", {"plan": "send somebody"}),
    "answer": ("answer", {}),
    "wait": ("wait", {}),
    "resume": ("resume", {}),
    "solve": ("solve", {"result": "power is back"}),
    "reopen": ("reopen", {"reason": "it went off again"}),
    "close": ("close", {"stars": 5, "suggestion": "answer the telephone"}),
    "contribute": ("contribute", {"collaborator": "hua"}),
    "add_collaborators": ("add_collaborators", {}),
}
#: The same with what a clumsy caller hands in: the fields at fault.
CLUMSY: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "assign": ("assign", {"assignee": ""}, {"ticket.assignee"}),
    "plan": ("plan", {"plan": " "}, {"ticket.plan"}),
    "solve": ("solve", {"result": ""}, {"ticket.result"}),
    "reopen": ("reopen", {"reason": " "}, {"ticket.reason"}),
    "close": ("close", {"stars": 6}, {"ticket.stars"}),
    "contribute": ("contribute", {"collaborator": "nobody"}, {"ticket.collaborators"}),
}


class Loops(RuleBasedStateMachine):
    """One feedback and one ticket of one customer, on a memory store."""

    def __init__(self) -> None:
        super().__init__()
        self.now = datetime(2026, 3, 2, 1, tzinfo=UTC)
        counter = itertools.count(1)
        self.crm = crmcore.open(
            "memory:",
            "standard",
            clock=lambda: self.now,
            ids=lambda: f"00000000-0000-7000-8000-{next(counter):012}",
        )
        self.me = self.crm.acting_as("li")

    @initialize()
    def begin(self) -> None:
        customer = self.me.customers.register(name="示例科技有限公司", industry="制造业")
        self.feedback = self.me.feedback.receive(customer, description="异响", collaborators=("hua/技术支持",))
        self.ticket = self.me.tickets.open(customer, subject="no power", collaborators=("hua",))

    def teardown(self) -> None:
        self.crm.close()

    def stored(self) -> dict[str, list[Any]]:
        with self.crm.store.transaction() as transaction:
            return {name: list(transaction.scan(name)) for name in self.crm.store.schema.collections}

    def attempt(self, call: Call, *args: Any, **values: Any) -> crmcore.Invalid | None:
        """What an action was refused with; nothing is stored then, and each action that it calls possible is."""
        before = self.stored()
        try:
            call(*args, **values)
        except crmcore.Invalid as refused:
            assert self.stored() == before
            assert refused.issues
            return refused
        return None

    def possible(self, refused: crmcore.Invalid) -> set[str] | None:
        told = [issue for issue in refused.issues if issue.code == "not_possible"]
        return set(str(told[0].facts["allowed"]).split(", ")) if told else None

    @rule(seconds=st.integers(1, 100_000))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(name=st.sampled_from(sorted(FEEDBACK_CALLS)))
    def try_feedback(self, name: str) -> None:
        verb, values = FEEDBACK_CALLS[name]
        now = self.me.feedback.get(self.feedback)
        refused = self.attempt(getattr(self.me.feedback, verb), self.feedback.id, **values)
        if refused is None:
            assert now.state != "confirmed"
            assert verb != "confirm" or now.state == "answered"
            return
        missing = {issue.field for issue in refused.issues}
        if now.cycle > 1 and now.plan is None and verb == "answer":
            assert "feedback.plan" in missing
        allowed = self.possible(refused)
        assert allowed is not None or missing == {"feedback.plan"}
        if allowed is not None:
            assert verb not in allowed
            self.check_possible("feedback", FEEDBACK_CALLS, allowed, plan=now.plan is None and now.cycle > 1)

    @rule(name=st.sampled_from(sorted(TICKET_CALLS)))
    def try_ticket(self, name: str) -> None:
        verb, values = TICKET_CALLS[name]
        now = self.me.tickets.get(self.ticket)
        refused = self.attempt(getattr(self.me.tickets, verb), self.ticket.id, **values)
        if refused is None:
            assert verb != "reopen" or now.state in ("solved", "closed")
            assert verb != "close" or now.solved_at is not None
            return
        allowed = self.possible(refused)
        assert allowed is not None
        assert len(refused.issues) == 1
        assert verb not in allowed
        self.check_possible("tickets", TICKET_CALLS, allowed)

    def check_possible(
        self, what: str, calls: dict[str, tuple[str, dict[str, Any]]], allowed: set[str], *, plan: bool = False
    ) -> None:
        """Each action that is said to be possible is, tried on a copy."""
        use_cases = type(getattr(self.me, what))
        record = self.feedback if what == "feedback" else self.ticket
        for verb, values in calls.values():
            if verb in allowed and not (plan and verb == "answer"):
                getattr(use_cases(self.crm.copied_to_memory(), "li"), verb)(record.id, **values)

    @rule(name=st.sampled_from(sorted(CLUMSY)))
    def try_clumsily(self, name: str) -> None:
        verb, values, fields = CLUMSY[name]
        refused = self.attempt(getattr(self.me.tickets, verb), self.ticket.id, **values)
        assert refused is not None
        assert {issue.field for issue in refused.issues} - {"ticket.state"} == fields

    @rule()
    def confirm_in_other_words(self) -> None:
        refused = self.attempt(self.me.feedback.confirm, self.feedback.id, "so so", stars=0)
        assert refused is not None
        fields = {issue.field for issue in refused.issues}
        assert {"feedback.confirmation", "feedback.stars"} <= fields

    @precondition(lambda self: self.me.feedback.get(self.feedback).state == "answered")
    @rule()
    def old_views_are_conflicts(self) -> None:
        """Whoever decides on what was there before is told, not obeyed."""
        old = self.feedback
        before = self.stored()
        try:
            self.me.feedback.confirm(old, "satisfied")
        except Conflict:
            assert self.stored() == before
        else:
            raise AssertionError("a feedback as it came in was confirmed")

    def events(self, subject_id: str) -> list[tuple[str, dict[str, Any]]]:
        with self.crm.store.transaction() as transaction:
            rows = list(transaction.find(Query("events", Eq("subject_id", subject_id), ("id",))))
        events: list[Event] = [CODECS[Event].load(row) for row in rows]
        return [(event.action, json.loads(event.changes or "{}")) for event in events]

    @invariant()
    def feedback_is_a_closed_loop(self) -> None:
        if not hasattr(self, "feedback"):
            return
        answered, planned, cycle, closed = False, False, 1, False
        for action, told in self.events(self.feedback.id):
            assert not closed, "nothing comes after the confirmation"
            if action == "feedback.planned":
                planned = True
            elif action == "feedback.answered":
                assert cycle == 1 or planned
                answered = True
                assert told["answered_at"][0] is None
            elif action == "feedback.confirmed":
                assert answered
                closed = True
                assert told["confirmation"][1] == "mostly_satisfied"
            elif action == "feedback.reopened":
                assert answered
                assert told["cycle"] == [cycle, cycle + 1]
                assert told["state"] == ["answered", "in_progress"]
                assert told["confirmation"][1] == "to_improve"
                answered, planned, cycle = False, False, cycle + 1
        now: Feedback = self.me.feedback.get(self.feedback)
        assert (now.state == "confirmed", now.cycle) == (closed, cycle)
        assert (now.answered_at is not None, now.closed_at is not None) == (answered, closed)

    @invariant()
    def a_ticket_is_a_closed_loop(self) -> None:
        if not hasattr(self, "ticket"):
            return
        state, cycle, answered = "open", 1, False
        for action, told in self.events(self.ticket.id):
            if "state" in told:
                assert told["state"][0] in (None, state)
                state = told["state"][1]
            if action == "ticket.answered":
                assert not answered, "the first answer comes once"
                answered = True
            elif action == "ticket.solved":
                assert answered
            elif action == "ticket.reopened":
                assert told["solved_at"][1] is None
                assert told["cycle"] == [cycle, cycle + 1]
                cycle += 1
        now: Ticket = self.me.tickets.get(self.ticket)
        assert (now.state, now.cycle, now.answered_at is not None) == (state, cycle, answered)
        assert (now.solved_at is not None) is (state in ("solved", "closed"))
        assert (now.closed_at is not None) is (state == "closed")


TestLoops = Loops.TestCase
TestLoops.settings = settings(stateful_step_count=30)
