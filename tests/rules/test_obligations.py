"""Obligations: one open per track, nothing due is lost, and settling twice is settling once."""

from __future__ import annotations

import datetime
import itertools

import attrs
from hypothesis import given
from hypothesis import strategies as st

from crmcore.domain import Customer, FollowUpPlan
from crmcore.playbooks import load
from crmcore.rules.obligations import cadences_for, settle, wanted
from crmcore.rules.timing import zone_named

NOW = datetime.datetime(2024, 1, 31, 4, tzinfo=datetime.UTC)
ZONE = zone_named("Asia/Shanghai")
STANDARD, MARKETING = load("standard"), load("marketing")
STAMPS = {"created_at": NOW, "created_by": "a", "updated_at": NOW, "updated_by": "a"}
MOMENTS = st.datetimes(datetime.datetime(2023, 1, 1), NOW.replace(tzinfo=None), timezones=st.just(datetime.UTC))


def customers(playbook):
    return st.builds(
        lambda **values: Customer(id="c", number="1", name="甲", stage_since=NOW, **STAMPS, **values),
        stage=st.sampled_from([stage.key for stage in playbook.lifecycle.stages]),
        tier=st.sampled_from([None, *(tier.key for tier in playbook.tiers)]),
        owner=st.sampled_from(["li", "zhang"]),
        first_contact_on=st.none() | st.dates(datetime.date(2023, 1, 1), datetime.date(2024, 1, 31)),
        last_follow_up_at=st.none() | MOMENTS,
        service_contact=st.none() | st.just("王"),
    )


PLANS = st.lists(st.dates(datetime.date(2024, 1, 1), datetime.date(2024, 12, 31)), max_size=3).map(
    lambda days: [FollowUpPlan(id=f"p{index}", customer_id="c", due_on=day, **STAMPS) for index, day in enumerate(days)]
)


def opening():
    counter = itertools.count()
    return lambda: f"o{next(counter)}"


def told(items):
    return sorted((item.track, item.subject_id, item.rule, item.due_at, item.owner) for item in items)


@given(st.data(), st.sampled_from([STANDARD, MARKETING]), PLANS)
def test_settling_leaves_open_what_is_wanted_and_nothing_else(data, playbook, plans):
    ids = opening()
    open_now = []
    for _ in range(data.draw(st.integers(1, 4))):
        due = wanted(data.draw(customers(playbook)), plans, playbook, ZONE)
        change = settle(open_now, due, customer_id="c", now=NOW, new_id=ids)
        ended = {item.id for item in change.ended}
        assert ended <= {item.id for item in open_now}
        assert all(item.state == "superseded" for item in change.ended)
        open_now = [item for item in open_now if item.id not in ended] + list(change.begun)
        assert told(open_now) == told(due)
        tracks = [(item.track, item.subject_id) for item in open_now]
        assert len(tracks) == len(set(tracks))
        again = settle(open_now, due, customer_id="c", now=NOW, new_id=ids)
        assert (again.ended, again.begun) == ((), ())


@given(customers(MARKETING))
def test_what_was_met_in_time_is_told_from_what_was_late(customer):
    begun = settle([], wanted(customer, [], MARKETING, ZONE), customer_id="c", now=NOW, new_id=opening()).begun
    for moment, state in ((datetime.timedelta(milliseconds=-1), "met"), (datetime.timedelta(0), "met_late")):
        for item in begun:
            how = {"met": lambda _: True, "met_at": item.due_at + moment, "evidence_id": "f"}
            (ended,) = settle([item], [], customer_id="c", now=NOW, new_id=opening(), **how).ended
            assert (ended.state, ended.evidence_id, ended.version) == (state, "f", 2)


def days(cadence):
    return cadence.every.amount * (30 if cadence.every.unit == "months" else 1)


@given(customers(STANDARD))
def test_the_strictest_cadence_of_a_track_holds(customer):
    chosen = {cadence.track: cadence for cadence in cadences_for(customer, STANDARD)}
    tier = customer.tier or STANDARD.default_tier
    for cadence in STANDARD.cadences:
        if (not cadence.tiers or tier in cadence.tiers) and (not cadence.stages or customer.stage in cadence.stages):
            assert days(chosen[cadence.track]) <= days(cadence)


def test_a_policy_prefers_what_it_names():
    values = {"number": "1", "name": "甲", "stage": "interested", "stage_since": NOW, "tier": "C", "owner": "li"}
    customer = Customer(id="c", **values, **STAMPS)
    by_tier = attrs.evolve(
        STANDARD,
        cadence_policy="tier_first",
        cadences=tuple(attrs.evolve(cadence, stages=()) if cadence.tiers else cadence for cadence in STANDARD.cadences),
    )
    contact = {
        policy.cadence_policy: next(item.key for item in cadences_for(customer, policy) if item.track == "contact")
        for policy in (STANDARD, by_tier, attrs.evolve(by_tier, cadence_policy="stage_first"))
    }
    assert contact == {
        "strictest": "interested_contact",
        "tier_first": "tier_c_contact",
        "stage_first": "interested_contact",
    }
