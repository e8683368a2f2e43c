"""The stage machine: what the graph allows, every reason for a refusal, and random walks over every bundled graph."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmcore.domain.playbook import GUARDS as DOCUMENTED
from crmcore.domain.policies import Label, Stage, StageGraph, Transition
from crmcore.playbooks import load
from crmcore.rules.stages import GUARDS, Attempt, compile_stages, refusals

GRAPHS = [
    graph
    for playbook in map(load, ("standard", "marketing"))
    for graph in (playbook.lifecycle, *playbook.pipelines.values())
]


@attrs.frozen
class Thing:
    """Something with a stage."""

    entity: str = "opportunity"
    contract_signed_on: str | None = None
    customer_id: str | None = None
    amount: int | None = None
    expected_amount: int | None = None
    tags: tuple[str, ...] = ()


def graph(*guards: str, **more: tuple[str, ...]) -> StageGraph:
    label = Label(zh="甲", en="a")
    return StageGraph(
        key="g",
        label=label,
        initial="a",
        stages=(Stage(key="a", label=label), Stage(key="b", label=label, final=True)),
        transitions=(Transition(source="a", target="b", guards=guards, **more),),
    )


def test_every_documented_guard_is_there_and_no_other():
    assert GUARDS.keys() == DOCUMENTED.keys()


FIELDS = {"fields": ("opportunity.tags", "amount")}


@pytest.mark.parametrize(
    ("guard", "more", "lacking", "having"),
    [
        ("reason", {}, Attempt(Thing(), " "), Attempt(Thing(), "because")),
        ("contract_signed", {}, Attempt(Thing()), Attempt(Thing(contract_signed_on="2024"))),
        ("customer", {}, Attempt(Thing()), Attempt(Thing(customer_id="1"))),
        ("amount", {}, Attempt(Thing()), Attempt(Thing(expected_amount=0))),
        ("amount", {}, Attempt(Thing()), Attempt(Thing(amount=1))),
        ("fields", FIELDS, Attempt(Thing(amount=1)), Attempt(Thing(amount=1, tags=("x",)))),
        ("evidence", {"evidence": ("x",)}, Attempt(Thing()), Attempt(Thing(), evidence=frozenset({"x"}))),
    ],
)
def test_each_guard(guard, more, lacking, having):
    table = compile_stages(graph(guard, **more))
    assert len(refusals(table, "a", "b", lacking)) == 1
    assert refusals(table, "a", "b", having) == []


def test_every_reason_comes_at_once():
    table = compile_stages(graph("reason", "contract_signed", "customer", "amount"))
    assert len(refusals(table, "a", "b", Attempt(Thing()))) == 4


def test_a_way_that_is_none():
    table = compile_stages(graph())
    (issue,) = refusals(table, "b", "a", Attempt(Thing()))
    assert "no other stage" in issue.text()
    (issue,) = refusals(table, "a", "z", Attempt(Thing()))
    assert issue.code == "unknown_stage"


@given(st.data())
def test_a_walk_ends_only_at_declared_ends(data):
    found = data.draw(st.sampled_from(GRAPHS))
    table = compile_stages(found)
    complete = Attempt(Thing(contract_signed_on="x", customer_id="x", amount=1), "because")
    stage = found.initial
    for _ in range(data.draw(st.integers(0, 12))):
        ways = table.ways_out[stage]
        assert ways or table.stages[stage].final
        for target in table.stages:
            assert (refusals(table, stage, target, complete) == []) == (target in ways)
        if not ways:
            break
        stage = data.draw(st.sampled_from(ways))
