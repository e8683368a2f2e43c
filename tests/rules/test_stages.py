"""The stage machine: what the graph allows, every reason for a refusal, what a move makes of a record, and what is due by itself."""

from __future__ import annotations

import datetime

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmcore.domain import Customer, Money, Opportunity
from crmcore.domain.playbook import GUARDS as DOCUMENTED
from crmcore.domain.policies import Label, Stage, StageGraph, Transition
from crmcore.errors import Invalid, Issue
from crmcore.playbooks import BUNDLED, load
from crmcore.rules.stages import GUARDS, Move, decide, due, moved, refusals

LIFECYCLES = {key: load(key).lifecycle for key in BUNDLED}
GRAPHS = [graph for key in BUNDLED for graph in (load(key).lifecycle, *load(key).pipelines.values())]
NOW = datetime.datetime(2024, 3, 1, 2, tzinfo=datetime.UTC)
LATER = NOW + datetime.timedelta(days=3)
DAY = datetime.date(2024, 3, 4)
STAMPS = {"created_at": NOW, "created_by": "li", "updated_at": NOW, "updated_by": "li"}
MOVING = {"at": LATER, "on": DAY, "by": "ming"}


@attrs.frozen
class Thing:
    """Something with a stage."""

    stage: str = "a"
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


def customer(**values: object) -> Customer:
    return Customer(id="c", number="1", name="甲", **{"stage": "interested", "stage_since": NOW, **STAMPS, **values})


def opportunity(**values: object) -> Opportunity:
    given = {"name": "采购", "pipeline": "sales", "stage": "negotiation", "stage_since": NOW}
    return Opportunity(id="o", **{**given, **STAMPS, **values})


def told(issues: tuple[Issue, ...]) -> set[str]:
    return {f"{issue.code} {issue.field}" for issue in issues}


# ---- Refusals ----


def test_every_documented_guard_is_there_and_no_other():
    assert GUARDS.keys() == DOCUMENTED.keys()


FIELDS = {"fields": ("opportunity.tags", "amount")}


@pytest.mark.parametrize(
    ("guard", "more", "lacking", "having"),
    [
        ("reason", {}, (Thing(), " "), (Thing(), "because")),
        ("contract_signed", {}, (Thing(),), (Thing(contract_signed_on="2024"),)),
        ("customer", {}, (Thing(),), (Thing(customer_id="1"),)),
        ("amount", {}, (Thing(),), (Thing(expected_amount=0),)),
        ("amount", {}, (Thing(),), (Thing(amount=1),)),
        ("fields", FIELDS, (Thing(amount=1),), (Thing(amount=1, tags=("x",)),)),
        ("evidence", {"evidence": ("x",)}, (Thing(),), (Thing(), None, frozenset({"x"}))),
    ],
)
def test_each_guard(guard, more, lacking, having):
    asking = graph(guard, **more)
    (thing, *rest) = lacking
    assert len(refusals(asking, thing, "b", *rest)) == 1
    (thing, *rest) = having
    assert refusals(asking, thing, "b", *rest) == ()


def test_every_reason_comes_at_once():
    asking = graph(
        "reason", "contract_signed", "customer", "amount", "fields", "evidence", fields=("tags",), evidence=("x", "y")
    )
    assert told(refusals(asking, Thing(), "b")) == {
        "reason_required opportunity.reason",
        "evidence_required opportunity.contract_signed_on",
        "evidence_required opportunity.customer_id",
        "required opportunity.amount",
        "required opportunity.tags",
        "evidence_required attachment.x",
        "evidence_required attachment.y",
    }  # fmt: skip


def test_a_way_that_is_none():
    (issue,) = refusals(graph(), Thing(stage="b"), "a")
    assert "no other stage" in issue.text()
    (issue,) = refusals(LIFECYCLES["standard"], customer(), "interested")
    assert (issue.code, issue.field) == ("no_way", "customer.stage")
    assert issue.text() == "from interested the way leads to customer, lost, prospect"
    assert issue.text("zh-CN") == "从interested可以进入:customer, lost, prospect"
    (issue,) = refusals(graph(), Thing(), "z")
    assert (issue.code, issue.facts) == ("unknown_stage", {"allowed": "a, b"})
    assert "a, b" in issue.text() and "a, b" in issue.text("zh-CN")


@given(st.data())
def test_a_walk_ends_only_at_declared_ends(data):
    found = data.draw(st.sampled_from(GRAPHS))
    stage = found.initial
    for _ in range(data.draw(st.integers(0, 12))):
        complete = Thing(stage=stage, entity="customer", contract_signed_on="x", customer_id="x", amount=1)
        ways = found.targets(stage)
        assert ways or found.stage(stage).final
        for target in found.keys:
            against = refusals(found, complete, target, "because")
            assert (not [issue for issue in against if issue.code != "required"]) == (target in ways)
        if not ways:
            break
        stage = data.draw(st.sampled_from(ways))


# ---- What a move makes of a record ----

texts = st.sampled_from([None, "", "  ", "价格", "because"])
customers = st.builds(
    customer,
    stage=st.sampled_from(LIFECYCLES["integration"].keys),
    contract_signed_on=st.sampled_from([None, DAY]),
    lost_reason=st.sampled_from([None, "价格"]),
    core_need=texts,
    tags=st.sampled_from([(), ("x",)]),
)
amounts = st.sampled_from([None, Money.of(5), Money.of(7)])
opportunities = st.builds(
    opportunity,
    stage=st.sampled_from(load("standard").pipelines["sales"].keys),
    outcome=st.sampled_from(["open", "won", "lost"]),
    customer_id=st.sampled_from([None, "c"]),
    amount=amounts,
    expected_amount=amounts,
    closed_on=st.sampled_from([None, DAY - datetime.timedelta(days=9)]),
    lost_reason=st.sampled_from([None, "价格"]),
)


def by_the_book(record, stage, reason, fields):
    """What comes of a move, said slowly: everything through ``replace``."""
    lost, won = stage.outcome == "lost", stage.outcome == "won"
    changes = {"lost_reason": reason if lost else None}
    if type(record) is Opportunity:
        after = record.replace(**fields)
        changes["outcome"] = stage.outcome
        if stage.outcome == "open":
            changes["closed_on"] = None
        elif record.outcome == "open":
            changes["closed_on"] = DAY
        if won and after.amount is None:
            changes["amount"] = after.expected_amount
    arrived = {"stage": stage.key, "stage_since": LATER, "updated_at": LATER, "updated_by": "ming"}
    return record.replace(**{**changes, **fields, **arrived})


@given(record=customers | opportunities, data=st.data(), reason=texts)
def test_a_checked_move_is_refused_for_every_reason_or_says_what_replace_says(record, data, reason):
    graph = LIFECYCLES["integration"] if type(record) is Customer else load("standard").pipelines["sales"]
    target = data.draw(st.sampled_from([*graph.keys, "nowhere"]))
    possible = {"lost_reason": texts, "remarks": texts}
    possible |= {"amount": amounts, "closed_on": st.just(DAY)} if type(record) is Opportunity else {}
    fields = data.draw(st.fixed_dictionaries({}, optional=possible))
    before = record.replace()
    decided = decide(graph, record, target, reason=reason, fields=fields, **MOVING)
    against = refusals(graph, record.replace(**fields), target, reason)
    assert record == before
    if against:
        assert decided == against
    else:
        assert isinstance(decided, Move)
        assert decided.before is record
        assert decided.after == by_the_book(record, graph.stage(target), reason, fields)
        assert type(decided.after) is type(record)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            decided.after.stage = "x"


def test_a_move_says_what_its_event_says():
    decided = decide(LIFECYCLES["standard"], customer(), "lost", reason="价格", **MOVING)
    assert isinstance(decided, Move)
    said = (decided.subject_id, decided.source, decided.target, decided.at, decided.by, decided.reason)
    assert said == ("c", "interested", "lost", LATER, "ming", "价格")
    assert (decided.after.lost_reason, decided.after.version) == ("价格", 1)


def test_a_move_that_nothing_allows_can_be_brought_about():
    stage = LIFECYCLES["standard"].stage("customer")
    assert moved(customer(stage="prospect"), stage, **MOVING).after.stage == "customer"


def test_a_value_that_can_not_be_kept_is_told_before_anything():
    with pytest.raises(Invalid):
        decide(LIFECYCLES["standard"], customer(), "lost", fields={"urgency": "soon"}, **MOVING)


# ---- Automatic moves ----


def automatic(*guards: str, **more: tuple[str, ...]) -> StageGraph:
    plain = graph(*guards, **more)
    return attrs.evolve(plain, transitions=tuple(attrs.evolve(move, automatic=True) for move in plain.transitions))


def test_an_automatic_move_is_due_once_its_guards_hold():
    asking = automatic("contract_signed", "evidence", evidence=("x",))
    signed = Thing(contract_signed_on="2024")
    assert due(asking, signed) is None
    assert due(asking, Thing(), frozenset({"x"})) is None
    assert due(asking, signed, frozenset({"x"})) == asking.transitions[0]
    assert due(asking, attrs.evolve(signed, stage="b"), frozenset({"x"})) is None


def test_a_move_that_is_not_automatic_is_never_due():
    assert due(graph("contract_signed"), Thing(contract_signed_on="2024")) is None


def test_of_two_that_are_due_the_first_is_made():
    label = Label(zh="甲", en="a")
    ways = tuple(Transition(source="a", target=target, guards=("amount",), automatic=True) for target in ("c", "b"))
    stages = tuple(Stage(key=key, label=label) for key in "abc")
    several = StageGraph(key="g", label=label, initial="a", stages=stages, transitions=ways)
    found = due(several, Thing(amount=1))
    assert found is not None and found.target == "c"
