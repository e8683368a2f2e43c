"""Merging two customers, and taking it back: nothing is lost and nothing is made up."""

from __future__ import annotations

import itertools

from hypothesis import HealthCheck, given, settings
from merge_stories import STEPS, assert_in_step, reports, run, state

import crmcore

_counted = itertools.count()
ON_ONE_STORE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@settings(ON_ONE_STORE, max_examples=25)
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
