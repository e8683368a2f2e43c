"""Rules are pure: ours are watched while they run, and rules with a seeded defect are seen."""

import datetime as module_of_dates
import itertools
import os
import pathlib
import random
import secrets
import socket
import subprocess
import time
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime
from time import time as now_in_seconds
from typing import Any

import pytest
from hypothesis import strategies as st

from crmcore.domain import Instalment, Obligation, Order
from crmcore.domain.duration import Duration
from crmcore.playbooks import load
from crmcore.rules import obligations, payments, stages, tier_decisions, tiering, timing, validation, visits
from crmcore.rules.rulebook import Rulebook
from crmcore.testing import clauses, run_contract
from crmcore.testing import strategies as drawn
from crmcore.testing.purity import Impure, RuleContract, RuleHarness, check_pure

PLAYBOOK = load("marketing")
STANDARD = load("standard")
NUMBERS = st.tuples(st.integers())

# Ours.

moments = st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))
days = st.dates(date(2000, 1, 1), date(2040, 1, 1))
zones = st.sampled_from(["Asia/Shanghai", "UTC", "Europe/Berlin"]).map(timing.zone_named)
durations = st.builds(Duration, st.integers(1, 500), st.sampled_from(["hours", "days", "months"]))
customers = drawn.customers()
orders = st.lists(drawn.entities(Order), max_size=4)
instalments = st.lists(drawn.entities(Instalment), max_size=3)
loose = st.dictionaries(
    st.sampled_from(["name", "kind", "industry", "scale", "stage", "phones", "emails", "absent", "owner"]),
    st.none() | drawn.texts(max_size=20) | st.integers() | st.lists(drawn.texts(max_size=20), max_size=2),
)

RULES: list[tuple[Callable[..., Any], st.SearchStrategy[tuple[Any, ...]]]] = [
    (timing.local_day, st.tuples(moments, zones)),
    (timing.day_end, st.tuples(days, zones)),
    (timing.day_start, st.tuples(days, zones)),
    (timing.add_months, st.tuples(days, st.integers(-100, 100))),
    (timing.day_after, st.tuples(days, durations)),
    (timing.due_at, st.tuples(moments, durations, zones)),
    (timing.due_day, st.tuples(moments, zones)),
    (stages.refusals, st.tuples(st.just(PLAYBOOK.graph("lifecycle")), customers, drawn.texts(max_size=10))),
    (stages.due, st.tuples(st.just(PLAYBOOK.graph("lifecycle")), customers)),
    (tiering.first_day, st.tuples(days, durations)),
    (tiering.measure, st.tuples(orders, st.just(STANDARD), days)),
    (tiering.measure_all, st.tuples(orders, st.just(STANDARD), days)),
    (tiering.places, st.tuples(st.dictionaries(drawn.ids(), st.integers(-5, 10**9), max_size=5))),
    (tiering.until_issues, st.tuples(st.none() | days | drawn.texts(max_size=10), days)),
    (tiering.set_by_hand, st.tuples(customers, st.just(STANDARD), days)),
    (tier_decisions.whole_units, st.tuples(st.integers(), drawn.currencies())),
    (tier_decisions.decimal, st.tuples(st.fractions(0, 100))),
    (payments.total, st.tuples(st.lists(st.none() | drawn.moneys("CNY"), max_size=4))),
    (
        payments.amount_issues,
        st.tuples(st.just("order.amount"), st.none() | drawn.moneys(), st.none() | drawn.currencies()),
    ),
    (payments.open_amount, st.tuples(drawn.entities(Order))),
    (payments.spread, st.tuples(instalments, drawn.moneys())),
    (payments.collect_issues, st.tuples(drawn.entities(Order), instalments, drawn.moneys(), drawn.currencies())),
    (validation.check_customer, st.tuples(loose, st.none() | st.lists(loose, max_size=2), st.just(PLAYBOOK))),
    (validation.check_contact, st.tuples(loose)),
    (validation.check_number, st.tuples(st.just("customer"), drawn.texts(max_size=20), st.just(PLAYBOOK))),
    (validation.meant, st.tuples(st.just("customer"), loose, st.just(PLAYBOOK))),
    (validation.is_phone, st.tuples(drawn.texts(max_size=20))),
    (validation.is_email, st.tuples(drawn.texts(max_size=20))),
    (visits.visits, st.tuples(st.just(()), moments)),
    (obligations.derive, st.tuples(st.just(()), st.just(Rulebook(PLAYBOOK)))),
    (obligations.standing_of, st.tuples(drawn.entities(Obligation), moments)),
]


@pytest.mark.parametrize(
    ("rule", "arguments"),
    [pytest.param(*one, id=f"{one[0].__module__.rpartition('.')[2]}.{one[0].__name__}") for one in RULES],
)
def test_our_rules_are_pure(rule: Callable[..., Any], arguments: st.SearchStrategy[tuple[Any, ...]]) -> None:
    check_pure(rule, arguments, examples=10)


class TestDueAt(RuleContract):
    @pytest.fixture
    def harness(self) -> RuleHarness:
        return RuleHarness(function=timing.due_at, arguments=st.tuples(moments, durations, zones), examples=10)


# Rules with a seeded defect, and the clause that sees it.

_counter = itertools.count()
_kept: list[int] = []
_sockets = [socket.socketpair()]


def counts(number: int) -> int:
    return next(_counter)


def remembers(number: int) -> int:
    _kept.append(number)
    return len(_kept)


def changes(numbers: list[int]) -> int:
    numbers.append(1)
    return 0


def changes_deeply(numbers: dict[str, list[int]]) -> int:
    numbers["a"].clear()
    return 0


def yields_by_the_clock(number: int) -> Any:
    yield datetime.now(UTC) > datetime(2000, 1, 1, tzinfo=UTC)


def of_a_file(number: int) -> int:
    with open(__file__, encoding="utf-8") as file:
        return len(file.readline())


def of_a_setting(number: int) -> int:
    return len(os.environ.get("HOME", ""))


DEFECTS: list[tuple[Callable[..., Any], st.SearchStrategy[Any], str]] = [
    (counts, st.integers(), "R-PURE-01"),
    (remembers, st.integers(), "R-PURE-01"),
    (changes, st.lists(st.integers(), min_size=1), "R-PURE-02"),
    (changes_deeply, st.just({"a": [1]}).map(lambda one: {"a": list(one["a"])}), "R-PURE-02"),
    (lambda number: time.time() > 0, st.integers(), "R-PURE-03"),
    (lambda number: now_in_seconds() > 0, st.integers(), "R-PURE-03"),
    (lambda number: time.monotonic_ns() > 0, st.integers(), "R-PURE-03"),
    (lambda number: datetime.now(UTC).year > 0, st.integers(), "R-PURE-03"),
    (lambda number: module_of_dates.date.today().year > 0, st.integers(), "R-PURE-03"),  # noqa: DTZ011
    (yields_by_the_clock, st.integers(), "R-PURE-03"),
    (lambda number: time.sleep(0), st.integers(), "R-PURE-03"),
    (lambda number: random.random() < 2, st.integers(), "R-PURE-04"),
    (lambda number: random.choice([number]) == number, st.integers(), "R-PURE-04"),
    (lambda number: secrets.token_hex() != "", st.integers(), "R-PURE-04"),
    (lambda number: uuid.uuid4().version, st.integers(), "R-PURE-04"),
    (of_a_file, st.integers(), "R-PURE-05"),
    (lambda number: pathlib.Path(__file__).stat().st_size, st.integers(), "R-PURE-05"),
    (lambda number: os.listdir("/") != [], st.integers(), "R-PURE-05"),
    (lambda number: subprocess.run(["true"], check=False).returncode, st.integers(), "R-PURE-05"),
    (lambda number: socket.getaddrinfo("127.0.0.1", 1) and 0, st.integers(), "R-PURE-05"),
    (lambda number: print(end=""), st.integers(), "R-PURE-05"),
    (of_a_setting, st.integers(), "R-PURE-06"),
    (lambda number: os.getcwd(), st.integers(), "R-PURE-06"),
]


@pytest.mark.parametrize(("rule", "argument", "id"), DEFECTS)
def test_a_rule_that_is_not_pure_is_seen(rule: Callable[..., Any], argument: st.SearchStrategy[Any], id: str) -> None:
    def harness() -> RuleHarness:
        return RuleHarness(function=rule, arguments=st.tuples(argument), examples=3)

    report = run_contract(harness, RuleContract)
    assert id in report.failed, str(report)
    with pytest.raises(Impure, match="is not pure: it "):
        check_pure(rule, st.tuples(argument), examples=3)


def test_every_clause_sees_a_defect() -> None:
    assert {id for _, _, id in DEFECTS} == set(clauses(RuleContract))


def test_a_chance_with_a_seed_and_an_error_are_pure() -> None:
    def seeded(number: int) -> float:
        return random.Random(number).random()

    def refuses(number: int) -> int:
        raise ValueError(number)

    check_pure(seeded, NUMBERS)
    check_pure(refuses, NUMBERS)
    check_pure(lambda number: datetime(2024, 1, 1, tzinfo=UTC).isoformat(), NUMBERS)
