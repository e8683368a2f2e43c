"""The closed loops as tables: what is possible where, what is missing, and what a step changes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmcore.domain import ActionPlan, Feedback, Objection, Record, Ticket
from crmcore.rules.service import ACTION_PLAN, FEEDBACK, OBJECTION, TICKET, Loop, changes, refusals

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
LOOPS = {"feedback": FEEDBACK, "ticket": TICKET, "objection": OBJECTION, "action_plan": ACTION_PLAN}
STAMPS = {"id": "1", "created_at": NOW, "created_by": "li", "updated_at": NOW, "updated_by": "li"}
NEW: dict[str, Record] = {
    "feedback": Feedback(**STAMPS, customer_id="c", received_at=NOW, description="it rattles"),
    "ticket": Ticket(**STAMPS, customer_id="c", opened_at=NOW, subject="no power"),
    "objection": Objection(**STAMPS, customer_id="c", description="too dear"),
    "action_plan": ActionPlan(**STAMPS, what="call all C customers", due_on=date(2026, 4, 1)),
}
FILLED: dict[str, Any] = {
    "responsible": "wang",
    "assignee": "wang",
    "plan": "replace the board",
    "result": "replaced",
    "confirmation": "satisfied",
    "solution": "pay in three parts",
}
STEPS = [(name, action) for name, loop in LOOPS.items() for action in loop.steps]


def states(loop: Loop) -> tuple[str, ...]:
    return loop.entity.kinds[loop.state].choices


def complete(loop: Loop, action: str) -> dict[str, Any]:
    """What the step asks for."""
    step = loop.steps[action]
    return {name: FILLED[name] for name in (*step.requires, *step.again) if name in FILLED}


def in_state(name: str, state: str, **fields: Any) -> Record:
    return NEW[name].replace(**{LOOPS[name].state: state, **fields})


@pytest.mark.parametrize("name", LOOPS)
def test_every_state_is_reached_and_only_declared_ends_may_have_no_way_on(name: str) -> None:
    loop = LOOPS[name]
    reached = {getattr(NEW[name], loop.state)}
    # An objection's outcome is said with the step that settles it.
    told = {"objection": {"accepted", "rejected"}}.get(name, set())
    for _ in states(loop):
        reached |= {step.leads[state] for step in loop.steps.values() for state in reached if state in step.leads}
    assert reached | told == set(states(loop))
    for state in states(loop):
        leads_on = any(step.leads.get(state, state) != state for step in loop.steps.values())
        assert leads_on or state in loop.ends, state
        assert (state in loop.open) is (state not in loop.ends)


@pytest.mark.parametrize("name", LOOPS)
def test_every_word_of_a_table_is_one_of_its_entity(name: str) -> None:
    loop = LOOPS[name]
    kinds = loop.entity.kinds
    for action, step in loop.steps.items():
        assert action.startswith(f"{loop.entity.entity}.")
        assert {*step.leads, *step.leads.values()} <= set(states(loop))
        assert {*step.requires, *step.again, *step.clears, *filter(None, [step.moment])} <= set(kinds)
        assert not step.reopens or "cycle" in kinds
    assert set(loop.cleared) <= set(kinds)


@given(st.sampled_from(STEPS), st.data())
def test_a_complete_step_is_refused_only_where_it_is_not_possible(where: tuple[str, str], data: st.DataObject) -> None:
    name, action = where
    loop, step = LOOPS[name], LOOPS[name].steps[action]
    record = in_state(name, data.draw(st.sampled_from(states(loop)), "state"))
    state = getattr(record, loop.state)
    issues = refusals(loop, action, record, complete(loop, action), "a reason")
    if state in step.leads:
        assert issues == [] or action == "objection.settled"  # that one rests on a solution given before
        return
    assert issues[0].code == "not_possible"
    assert issues[0].field == f"{name}.{loop.state}"
    possible = {item.verb for item in loop.steps.values() if state in item.leads}
    assert set(issues[0].facts["allowed"].split(", ")) == (possible or {"-"})


@given(st.sampled_from(STEPS), st.integers(1, 3), st.data())
def test_all_that_is_missing_is_told_at_once(where: tuple[str, str], cycle: int, data: st.DataObject) -> None:
    name, action = where
    loop, step = LOOPS[name], LOOPS[name].steps[action]
    record = in_state(name, data.draw(st.sampled_from(states(loop)), "state"))
    if "cycle" in record.kinds:
        record = record.replace(cycle=cycle)
    blank = data.draw(st.sampled_from([{}, dict.fromkeys(step.requires, ""), dict.fromkeys(step.requires, " ")]))
    asked = step.requires + (step.again if "cycle" in record.kinds and cycle > 1 else ())
    told = {(issue.code, issue.field) for issue in refusals(loop, action, record, blank, None)}
    expected = {("required", f"{name}.{field}") for field in asked if field != "what" or blank}
    if step.reason:
        expected.add(("reason_required", f"{name}.reason"))
    if getattr(record, loop.state) not in step.leads:
        expected.add(("not_possible", f"{name}.{loop.state}"))
    assert expected == {(code, field) for code, field in told if code != "bad_choice"}


@given(st.sampled_from(STEPS), st.data())
def test_a_step_leads_where_the_table_says_and_a_moment_is_set_once(
    where: tuple[str, str], data: st.DataObject
) -> None:
    name, action = where
    loop, step = LOOPS[name], LOOPS[name].steps[action]
    record = in_state(name, data.draw(st.sampled_from(sorted(step.leads)), "state"))
    after = record.replace(**changes(loop, action, record, complete(loop, action), NOW))
    assert getattr(after, loop.state) == step.leads[getattr(record, loop.state)]
    if step.reopens:
        assert after.cycle == record.cycle + 1
        assert all(getattr(after, field) is None for field in loop.cleared if field not in complete(loop, action))
    if step.moment:
        assert getattr(after, step.moment) == NOW
        later = after.replace(**{loop.state: getattr(record, loop.state)})
        again = changes(loop, action, later, {}, NOW.replace(hour=10))
        assert step.moment not in again


@given(st.one_of(st.integers(), st.booleans(), st.floats(), st.text(max_size=2)))
def test_stars_are_whole_and_from_one_to_five(stars: Any) -> None:
    solved = in_state("ticket", "solved")
    refused = bool(refusals(TICKET, "ticket.closed", solved, {"stars": stars}))
    assert refused is not (type(stars) is int and 1 <= stars <= 5)


def test_a_plan_is_asked_for_again_only_in_a_later_cycle() -> None:
    told = {"result": "told them"}
    assert refusals(FEEDBACK, "feedback.answered", in_state("feedback", "in_progress"), told) == []
    second = in_state("feedback", "in_progress", cycle=2)
    assert [issue.field for issue in refusals(FEEDBACK, "feedback.answered", second, told)] == ["feedback.plan"]
    assert refusals(FEEDBACK, "feedback.answered", second.replace(plan="another"), told) == []


def test_reopening_before_solving_is_one_clear_error() -> None:
    issues = refusals(TICKET, "ticket.reopened", in_state("ticket", "waiting"), {}, "it came back")
    assert [str(issue) for issue in issues] == [
        "reopen is not possible while it is waiting; possible are: "
        "assign, add_collaborators, contribute, answer, plan, wait, resume, solve"
    ]
