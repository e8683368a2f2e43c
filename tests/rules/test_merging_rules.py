"""The rule of each field, and merges taken out of many, as plain values."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from crmcore.domain import Customer
from crmcore.playbooks import load
from crmcore.rules.merging import RULES, STAMPS, UNITS, WHY, Step, choices, without
from crmcore.testing import strategies

GRAPH = load("standard").lifecycle
STAGES = st.sampled_from(GRAPH.keys)
CUSTOMERS = st.builds(lambda one, stage: one.replace(stage=stage), strategies.entities(Customer), STAGES)


def merged(keep: Customer, absorb: Customer, prefer: dict[str, Any] | None = None) -> Customer:
    return keep.replace(**{one.field: one.value for one in choices(keep, absorb, GRAPH, prefer)})


def test_every_field_has_one_rule() -> None:
    told = [name for unit in UNITS for name in unit]
    assert sorted(told) == sorted(Customer.kinds.keys() - STAMPS)
    assert {*RULES.values(), "fill", "given"} == WHY.keys()


@given(CUSTOMERS, CUSTOMERS)
def test_a_field_is_one_of_the_two_or_both_together_and_says_which(keep: Customer, absorb: Customer) -> None:
    for one in choices(keep, absorb, GRAPH):
        assert (one.kept, one.absorbed) == (getattr(keep, one.field), getattr(absorb, one.field))
        if one.source == "keep":
            assert one.value == one.kept
        elif one.source == "absorb":
            assert one.value == one.absorbed
        else:
            assert one.rule == "unite"
            assert set(one.value) == {*one.kept, *one.absorbed}
        if one.value is None:
            assert one.absorbed is None or one.rule in ("keep", "furthest", "fill")


@given(CUSTOMERS, CUSTOMERS)
def test_merging_with_itself_or_twice_changes_nothing_more(keep: Customer, absorb: Customer) -> None:
    assert merged(keep, keep) == keep
    once = merged(keep, absorb)
    assert merged(once, absorb) == once


@given(CUSTOMERS, CUSTOMERS, st.sets(st.sampled_from([unit[0] for unit in UNITS]), max_size=4), st.booleans())
def test_what_is_preferred_is_taken(keep: Customer, absorb: Customer, names: set[str], side: bool) -> None:
    prefer = dict.fromkeys(names, "absorb" if side else "keep")
    after = merged(keep, absorb, prefer)
    for name in names:
        assert getattr(after, name) == getattr(absorb if side else keep, name)


@given(CUSTOMERS, st.lists(CUSTOMERS, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_merges_taken_back_in_any_order_leave_the_customer_as_it_was(keep: Customer, others, order) -> None:
    now, steps = keep, []
    for other in others:
        after = merged(now, other)
        steps.append(Step(before=now, after=after, absorbed=other, prefer={}))
        now = after
    while steps:
        place = order.randrange(len(steps))
        undone = without(steps[place], steps[place + 1 :], now, GRAPH)
        assert undone.edited == ()
        steps[place:] = undone.later
        now = now.replace(**undone.changes)
        # Without it, it is as though only the others had been merged.
        expected = keep
        for one in steps:
            expected = merged(expected, one.absorbed)
        assert now == expected
    assert now == keep


@given(CUSTOMERS, CUSTOMERS, CUSTOMERS)
def test_what_was_changed_since_stays(keep: Customer, absorb: Customer, edited: Customer) -> None:
    after = merged(keep, absorb)
    now = after.replace(remarks=edited.remarks, tags=edited.tags)
    undone = without(Step(before=keep, after=after, absorbed=absorb, prefer={}), (), now, GRAPH)
    back = now.replace(**undone.changes)
    for name in ("remarks", "tags"):
        changed = getattr(after, name) != getattr(now, name)
        assert getattr(back, name) == getattr(now if changed else keep, name)
        assert (name in undone.edited) == (changed and getattr(keep, name) != getattr(after, name))
    assert back.replace(remarks=None, tags=()) == keep.replace(remarks=None, tags=())
