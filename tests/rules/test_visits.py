"""Time in stage: whatever way a record went, its stays follow on one another and add up to its life."""

from __future__ import annotations

import datetime
import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from crmcore.domain import Event
from crmcore.rules.visits import visits

START = datetime.datetime(2024, 3, 1, tzinfo=datetime.UTC)


def at(hours):
    return START + datetime.timedelta(hours=hours)


def event(number, hours, before, after, since=None, **values):
    changes = {"stage": [before, after]}
    if since is not None:
        changes["stage_since"] = [None, at(since).isoformat()]
    told = {"subject": "customer", "subject_id": "c", "by": "li", "changes": json.dumps(changes), **values}
    action = "customer.registered" if before is None else "customer.moved"
    return Event(id=f"{number:04}", action=action, at=at(hours), **told)


def walk(stages, hours, ids=None):
    """The events of a record that was at these stages from these hours on."""
    ids = ids or range(len(stages))
    return [
        event(number, hour, before, after)
        for number, hour, before, after in zip(ids, hours, [None, *stages], stages, strict=False)
    ]


def stages_of(found):
    return [visit.stage for visit in found]


@st.composite
def walks(draw):
    stages = [draw(st.sampled_from("abc"))]
    for _ in range(draw(st.integers(0, 8))):
        stages.append(draw(st.sampled_from([key for key in "abcd" if key != stages[-1]])))
    hours = draw(st.lists(st.integers(0, 5), min_size=len(stages), max_size=len(stages)))
    return stages, hours


@given(walks(), st.data())
def test_the_stays_are_the_way_in_whatever_order_the_events_come(walked, data):
    stages, hours = walked
    hours = sorted(hours)
    found = visits(data.draw(st.permutations(walk(stages, hours))), at(9))
    assert stages_of(found) == stages
    assert [visit.since for visit in found] == [at(hour) for hour in hours]
    assert [visit.until for visit in found] == [*(at(hour) for hour in hours[1:]), None]


@given(walks(), st.data(), st.integers(-2, 9))
def test_the_stays_follow_on_one_another_and_add_up(walked, data, now):
    stages, hours = walked
    ids = data.draw(st.permutations(range(len(stages))))
    found = visits(walk(stages, hours, ids), at(now))
    assert sorted(stages_of(found)) == sorted(stages)
    for one, other in itertools.pairwise(found):
        assert one.until == other.since >= one.since
    assert all(visit.length >= datetime.timedelta(0) for visit in found)
    assert found[-1].until is None
    end = max(at(now), found[-1].since)
    assert sum((visit.length for visit in found), datetime.timedelta()) == end - found[0].since


@given(walks(), st.data())
def test_moves_of_one_moment_are_put_in_their_order_by_what_they_say(walked, data):
    stages, _ = walked
    ids = data.draw(st.permutations(range(len(stages))))
    found = visits(walk(stages, [0] * len(stages), ids), at(1))
    assert (found[0].stage, found[-1].stage) == (stages[0], stages[-1])
    # Several ways can say the same; each of them goes from stage to stage as the events do.
    ways = sorted(zip([None, *stages_of(found)], stages_of(found), strict=False), key=str)
    assert ways == sorted(zip([None, *stages], stages, strict=False), key=str)


def test_a_rollback_is_a_stay_of_its_own():
    found = visits(walk("aba", [0, 2, 5]), at(9))
    assert [(visit.stage, visit.length.total_seconds() / 3600) for visit in found] == [("a", 2), ("b", 3), ("a", 4)]


def test_a_record_from_outside_begins_with_the_day_it_was_given():
    found = visits([event(1, 10, None, "b", since=-48), event(2, 12, "b", "c")], at(13))
    assert [(visit.stage, visit.since, visit.until) for visit in found] == [
        ("b", at(-48), at(12)),
        ("c", at(12), None),
    ]
    assert found[0].length == datetime.timedelta(hours=60)


def test_who_and_why():
    found = visits([event(1, 0, None, "a"), event(2, 1, "a", "b", by="ming", reason="价格")], at(2))
    assert [(visit.by, visit.reason) for visit in found] == [("li", None), ("ming", "价格")]


def test_a_clock_that_goes_back_gives_a_stay_without_length():
    found = visits(walk("abc", [5, 3, 7]), at(8))
    assert [(visit.stage, visit.since, visit.until) for visit in found] == [
        ("a", at(5), at(5)),
        ("b", at(5), at(7)),
        ("c", at(7), None),
    ]


def test_what_tells_of_no_stage_does_not_matter_and_nothing_gives_nothing():
    other = event(2, 1, "a", "b")
    other = other.replace(changes='{"name":["甲","乙"]}')
    assert stages_of(visits([event(1, 0, None, "a"), other, other.replace(changes=None)], at(2))) == ["a"]
    assert visits([], at(0)) == []


def test_where_events_are_missing_times_decide():
    assert stages_of(visits([event(2, 4, "x", "c"), event(1, 0, None, "a")], at(5))) == ["a", "c"]
