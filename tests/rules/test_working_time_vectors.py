"""Working time and targets against what the test suites of other systems expect, and where we differ from them on purpose."""

from __future__ import annotations

import datetime
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from crmcore.errors import Invalid
from crmcore.rules.calendar_reading import read_calendar
from crmcore.rules.calendar_years import instant_of
from crmcore.rules.calendars import WEEKDAYS
from crmcore.rules.clocks import ClockPolicy, Cycle, History, Pause, read_clock
from crmcore.rules.explaining import explain_between, explain_clock, explain_due
from crmcore.rules.timing import zone_named
from crmcore.rules.working_days import add_working_days, count_working_days, is_working_day, working_day_after
from crmcore.rules.working_time import WorkingTime, working_time

VECTORS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "working_time"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "working-time.md"
LANDINGS = {
    "same_local_time": "same_time",
    "same_local_time_then_clamp_forward": "next_open",
    "same_local_time_then_clamp_back": "previous_close",
    "close_of_day": "close",
    "odoo_plan_days": "whole_days",
}
SECOND = datetime.timedelta(seconds=1)


def loaded(name: str) -> dict[str, Any]:
    path = VECTORS / name
    return json.loads(path.read_text("utf-8")) if path.is_file() else {"calendars": {}, "vectors": [], "cases": []}


FILE = loaded("vectors.json")
AGREEING = [vector for vector in FILE["vectors"] if "peer_quirk" not in vector]
DIFFERING = [vector for vector in FILE["vectors"] if "peer_quirk" in vector]

pytestmark = pytest.mark.skipif(not FILE["vectors"], reason="the shared data sets are not beside this checkout")


@cache
def calendar_of(name: str) -> WorkingTime:
    return working_time(read_calendar(FILE["calendars"][name]))


def moment(working: WorkingTime, text: str) -> datetime.datetime:
    read = datetime.datetime.fromisoformat(text)
    return read if read.tzinfo else instant_of(read, working.zone)


def day(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)


def check(vector: dict[str, Any]) -> None:
    """Puts the vector's question and compares the answer, and the explanation's sum where there is one."""
    working = calendar_of(vector["calendar"])
    at = lambda key: moment(working, vector[key])  # noqa: E731
    match vector["op"]:
        case "add_working_time":
            policies = {key: vector[key] for key in ("boundary", "zero") if key in vector}
            work = vector["seconds"] * SECOND
            assert working.due(at("start"), work, **policies) == at("expected")
            told = explain_due(working, at("start"), work, **policies)
            assert (sum((step.counted for step in told.steps), 0 * SECOND), told.end) == (work, at("expected"))
        case "working_time_between":
            reversed_as = vector.get("reversed", "negative")
            found = working.between(at("start"), at("end"), reversed=reversed_as)
            assert found == vector["expected_seconds"] * SECOND
            told = explain_between(working, at("start"), at("end"), reversed=reversed_as)
            assert sum((step.counted for step in told.steps), 0 * SECOND) == found
        case "add_working_days" if vector["day_semantics"] == "date_only":
            assert working_day_after(working, day(vector["start"]), vector["days"]) == day(vector["expected"])
        case "add_working_days":
            landing = LANDINGS[vector["day_semantics"]]
            assert add_working_days(working, at("start"), vector["days"], landing=landing) == at("expected")
        case "count_working_days":
            assert count_working_days(working, day(vector["start"]), day(vector["end"])) == vector["expected"]
        case "is_working_time":
            assert working.is_open(at("at")) is vector["expected"]
        case "is_working_day":
            assert is_working_day(working, day(vector["date"])) is vector["expected"]
        case "next_open":
            assert working.next_open(at("at"), strict=vector.get("strict", False)) == at("expected")
        case "next_close":
            assert working.next_close(at("at")) == at("expected")
        case "prev_close":
            assert working.previous_close(at("at")) == at("expected")
        case "working_windows":
            windows = working.windows(at("start"))
            for opens, closes in vector["expected"]:
                assert next(windows) == (moment(working, opens), moment(working, closes))
        case "sla_scenario":
            check_scenario(working, vector)
        case other:
            pytest.fail(f"no such question: {other}")


def check_scenario(working: WorkingTime, vector: dict[str, Any]) -> None:
    pauses = [Pause(moment(working, start), moment(working, end)) for start, end in vector.get("pauses", ())]
    happened = {key: moment(working, vector[key]) for key in vector if key.endswith("_at")}
    last = max([*happened.values(), *(pause.end or pause.start for pause in pauses)])
    evaluated = happened.get("evaluate_at", last)
    if vector.get("paused_now"):
        pauses.append(Pause(evaluated))
    met = {"first_response": "first_response_at", "resolution": "resolved_at"}
    cycles: dict[str, Cycle] = {}
    for target, seconds in vector["targets"].items():
        applies = target in vector.get("pause_applies_to", vector["targets"])
        history = History(
            started_at=happened["update_clock_start_at"]
            if target == "update" and "update_clock_start_at" in happened
            else happened["created_at"],
            pauses=tuple(pauses),
            met_at=(happened[met[target]],) if met.get(target) in happened else (),
            paused_before=vector.get("pause_total_seconds", 0) * SECOND,
        )
        policy = ClockPolicy(pause=vector.get("pause_mode", "working_time") if applies else "none")
        reading = read_clock(seconds * SECOND, history, working, at=evaluated, policy=policy)
        cycles[target] = reading.current
        told = explain_clock(reading, working)
        assert sum((step.counted for step in told.steps), 0 * SECOND) == seconds * SECOND
    for key, expected in vector["expect"].items():
        assert answer(key, cycles) == (moment(working, expected) if key.endswith("_due") else expected), key


def answer(key: str, cycles: dict[str, Cycle]) -> Any:
    target = next((name for name in cycles if key.startswith(name)), "resolution")
    if key == "status":
        return status_of(cycles)
    cycle = cycles[target]
    if key.endswith("_due"):
        return cycle.due_at
    lengths = {"elapsed_seconds": cycle.elapsed, "breached_by_seconds": cycle.late_by, "working_seconds": cycle.paused}
    return next(length for name, length in lengths.items() if key.endswith(name)) / SECOND


def status_of(cycles: dict[str, Cycle]) -> str:
    """The word that help desks have for all targets together."""
    states = {name: cycle.state for name, cycle in cycles.items()}
    if {"breached", "met_late"} & set(states.values()):
        return "failed"
    if "paused" in states.values():
        return "paused"
    waiting = [name for name in ("first_response", "resolution") if states.get(name, "met") != "met"]
    return f"{waiting[0]}_due" if waiting else "fulfilled"


@pytest.mark.parametrize("vector", AGREEING, ids=lambda vector: vector["id"])
def test_agrees(vector):
    check(vector)


@pytest.mark.parametrize("vector", DIFFERING, ids=lambda vector: vector["id"])
def test_differs_where_the_page_says_so(vector):
    with pytest.raises(AssertionError):
        check(vector)
    assert re.search(rf"\b{vector['id']}\b", PAGE.read_text("utf-8"))


@pytest.mark.parametrize(("op", "key"), [("add_working_time", "expected"), ("next_open", "expected")])
def test_a_second_too_late_is_seen(op, key):
    for vector in AGREEING:
        if vector["op"] == op:
            late = moment(calendar_of(vector["calendar"]), vector[key]) + SECOND
            with pytest.raises(AssertionError):
                check({**vector, key: late.isoformat()})


def otobo(zone: str, hours: str | None, vacation: bool | None) -> WorkingTime:
    days, _, windows = (hours or "MonToFri/8To12_14To17").partition("/")
    spans = FILE_OF_OTOBO["meta"]["hours"][windows]
    opening = [f"{start:02}:00-{end:02}:00" for start, end in spans]
    chosen = {"MonToFri": WEEKDAYS[:5], "MonToSun": WEEKDAYS}[days]
    free = FILE_OF_OTOBO["meta"]["vacation_days_month_day"] if vacation is not False else []
    annual = [f"{month:02}-{number:02}" for month, number in free]
    return working_time(
        read_calendar({"timezone": zone, "weekly": dict.fromkeys(chosen, opening), "annual_holidays": annual})
    )


FILE_OF_OTOBO = loaded("otobo_add_working_time.json")
CASES = [*FILE_OF_OTOBO["cases"], *loaded("otobo_delta_working_time.json")["cases"]]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"].replace(" ", "_"))
def test_agrees_with_otobo(case):
    zone = zone_named(case["timezone"])
    start, end, expected_end = (
        datetime.datetime.fromisoformat(case[key]).replace(tzinfo=zone) if case[key] else None
        for key in ("start", "end", "expected_end")
    )
    working = otobo("Europe/Berlin" if case["calendar"] == "9" else case["timezone"], case["hours"], case["vacation"])
    if "add" not in case:
        assert working.between(start, end, reversed="zero") == case["expected_seconds"] * SECOND
        return
    if "years" in case["add"]:
        # A year is no amount of working time: there is nothing that could be added.
        assert expected_end == start
        with pytest.raises(TypeError):
            datetime.timedelta(**case["add"])
        return
    work = datetime.timedelta(**case["add"])
    if work < 0 * SECOND:
        assert expected_end == start
        with pytest.raises(Invalid, match="negative"):
            working.due(start, work, negative="refuse")
        return
    assert working.due(start, work) == expected_end
