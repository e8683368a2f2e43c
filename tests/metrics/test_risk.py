"""Who may be lost and who may want more: each rule at its edge, and nobody found by a rule that isn't given."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import pytest
from sales import STAMPS

from crmcore.domain import Customer, Feedback, FollowUp, Money, Order, Referral, Ticket
from crmcore.domain.policies import Risks
from crmcore.metrics import Risk, risk
from crmcore.playbooks import load

ZONE = ZoneInfo("Asia/Shanghai")
PLAYBOOK = load("standard")
NOW = datetime(2024, 6, 18, 4, tzinfo=UTC)
TODAY = date(2024, 6, 18)
STAMPED: dict[str, Any] = {**STAMPS, "created_at": NOW - timedelta(days=900)}


def customer(id: str = "c", **fields: Any) -> Customer:
    given = {"number": id, "name": "示例", "stage": "customer", "stage_since": NOW, "last_follow_up_at": NOW}
    return Customer(id=id, **{**given, **STAMPED, **fields})


def held(day: date, id: str = "f", **fields: Any) -> FollowUp:
    at = datetime(day.year, day.month, day.day, 4, tzinfo=UTC)
    return FollowUp(id=f"{id}{day}", customer_id="c", at=at, summary="沟通", **{**STAMPED, **fields})


def feedback(**fields: Any) -> Feedback:
    return Feedback(
        id="b",
        **{"customer_id": "c", "received_at": NOW, "description": "问题", "type": "complaint", **STAMPED, **fields},
    )


def order(day: date, minor: int, currency: str = "CNY") -> Order:
    return Order(
        id=f"{day}{minor}",
        number=f"{day}{minor}",
        customer_id="c",
        signed_on=day,
        amount=Money(minor, currency),
        **STAMPED,
    )


def found(playbook: Any = PLAYBOOK, **given: Any) -> Risk:
    return risk(playbook, **{"customers": [customer()], "now": NOW, "zone": ZONE, **given})


def rules(result: Any) -> list[str]:
    return [finding.rule for one in result for finding in one.findings]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"tier": "C", "last_follow_up_at": datetime(2024, 3, 18, 4, tzinfo=UTC)}, ["silent"]),
        ({"tier": "C", "last_follow_up_at": datetime(2024, 3, 19, 4, tzinfo=UTC)}, []),
        ({"tier": None, "last_follow_up_at": datetime(2024, 3, 18, 4, tzinfo=UTC)}, ["silent"]),
        ({"tier": "A", "last_follow_up_at": datetime(2024, 3, 18, 4, tzinfo=UTC)}, []),
        ({"tier": "C", "last_follow_up_at": None, "first_contact_on": date(2024, 3, 18)}, ["silent"]),
        ({"tier": "C", "last_follow_up_at": None}, ["silent"]),
        ({"tier": "C", "last_follow_up_at": None, "stage": "prospect"}, ["silent"]),
        ({"tier": "C", "last_follow_up_at": None, "stage": "lost"}, []),
        ({"contract_expires_on": date(2024, 7, 18)}, ["contract"]),
        ({"contract_expires_on": date(2024, 7, 19)}, []),
        ({"contract_expires_on": date(2020, 1, 1)}, ["contract"]),
        ({"contract_expires_on": date(2020, 1, 1), "stage": "lost"}, []),
    ],
)
def test_a_customer_is_at_risk_by_its_own_file(fields: dict[str, Any], expected: list[str]) -> None:
    assert rules(found(customers=[customer(**fields)]).at_risk) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ["complaint"]),
        ({"state": "answered"}, ["complaint"]),
        ({"state": "confirmed", "confirmation": "to_improve"}, []),
        ({"type": "question"}, []),
        ({"customer_id": "another"}, []),
    ],
)
def test_an_open_complaint_is_a_risk(fields: dict[str, Any], expected: list[str]) -> None:
    assert rules(found(feedback=[feedback(**fields)]).at_risk) == expected


@pytest.mark.parametrize(
    ("before", "last", "expected"), [(4, 2, ["falling"]), (4, 3, []), (3, 0, []), (8, 4, ["falling"]), (0, 0, [])]
)
def test_activity_falls_by_half_of_enough_conversations(before: int, last: int, expected: list[str]) -> None:
    days = [TODAY - timedelta(days=100 + index) for index in range(before)]
    days += [TODAY - timedelta(days=index) for index in range(last)]
    result = found(follow_ups=[held(day) for day in days])
    assert rules(result.at_risk) == expected


def test_the_windows_meet_without_a_gap_or_an_overlap() -> None:
    edge = date(2024, 3, 18)  # three months before; the last window begins after it
    result = found(follow_ups=[held(edge, str(index)) for index in range(4)])
    (reason,) = [finding.reason.en for finding in result.at_risk[0].findings]
    assert reason == "0 conversations in the last 3 months, 4 in the 3 months before"
    assert not found(follow_ups=[held(edge + timedelta(days=1), str(index)) for index in range(4)]).at_risk
    assert not found(follow_ups=[held(date(2023, 12, 18), str(index)) for index in range(4)]).at_risk


def test_a_customer_that_shows_two_signs_is_a_candidate() -> None:
    one_sign: dict[str, Any] = {"follow_ups": [held(TODAY, changed_needs="增购")]}
    assert not found(**one_sign).candidates
    word = feedback(type="question", state="confirmed", confirmation="satisfied", closed_at=NOW)
    assert rules(found(**one_sign, feedback=[word]).candidates) == ["needs", "satisfied"]
    prospect = [customer(stage="prospect")]
    assert not found(customers=prospect, **one_sign, feedback=[word]).candidates


def playbook_with(**fields: Any) -> Any:
    return attrs.evolve(PLAYBOOK, risks=Risks(**fields))


@pytest.mark.parametrize(
    ("before", "last", "expected"),
    [(1000, 1200, ["orders"]), (1000, 1199, []), (0, 1200, []), (1200, 1000, [])],
)
def test_orders_grow_by_a_share_of_those_before(before: int, last: int, expected: list[str]) -> None:
    made = [order(TODAY - timedelta(days=120), before), order(TODAY, last)]
    assert rules(found(playbook_with(orders_growth=20), orders=made).candidates) == expected


def test_orders_of_two_currencies_are_never_compared() -> None:
    made = [order(TODAY - timedelta(days=120), 100, "CNY"), order(TODAY, 900, "USD")]
    assert not found(playbook_with(orders_growth=20), orders=made).candidates


def test_referrals_and_stars_speak_for_more() -> None:
    made = [Referral(id="r", referrer_id="c", referred_on=TODAY, **STAMPED)]
    assert rules(found(playbook_with(referrals=1), referrals=made).candidates) == ["referrals"]
    assert not found(playbook_with(referrals=2), referrals=made).candidates
    rated = [
        Ticket(
            id="t", customer_id="c", opened_at=NOW, subject="问题", state="closed", closed_at=NOW, stars=4, **STAMPED
        )
    ]
    assert rules(found(playbook_with(satisfied_stars=4), tickets=rated).candidates) == ["satisfied"]
    assert not found(playbook_with(satisfied_stars=5), tickets=rated).candidates
    later = feedback(type="question", confirmation="to_improve", closed_at=NOW + timedelta(hours=1))
    assert not found(playbook_with(satisfied_stars=4), tickets=rated, feedback=[later]).candidates


def test_a_rule_that_is_not_given_finds_nobody() -> None:
    made: dict[str, Any] = {
        "customers": [customer(tier="C", last_follow_up_at=None, contract_expires_on=date(2020, 1, 1))],
        "follow_ups": [
            *(held(TODAY - timedelta(days=100), str(index)) for index in range(9)),
            held(TODAY, changed_needs="增购"),
        ],
        "feedback": [feedback(), feedback(confirmation="satisfied", closed_at=NOW)],
        "orders": [order(TODAY - timedelta(days=120), 1), order(TODAY, 100)],
        "referrals": [Referral(id="r", referrer_id="c", referred_on=TODAY, **STAMPED)],
    }
    result = found(attrs.evolve(PLAYBOOK, risks=Risks()), **made)
    assert (result.at_risk, result.candidates) == ((), ())
    assert len(rules(found(**made).at_risk)) == 4
    assert len(rules(found(**made).candidates)) == 4


def test_the_list_has_the_most_findings_first_then_tier_and_number() -> None:
    ended = date(2020, 1, 1)
    people = [
        customer("4", tier=None, contract_expires_on=ended),
        customer("3", tier="B", contract_expires_on=ended),
        customer("2", tier="A", contract_expires_on=ended),
        customer("1", tier="A", contract_expires_on=ended),
        customer("0", tier="C", contract_expires_on=ended, last_follow_up_at=None),
    ]
    result = found(customers=people)
    assert [one.customer.number for one in result.at_risk] == ["0", "1", "2", "3", "4"]
    table = result.tables[0]
    assert len(table.rows) == 6
    assert "合同已于2020-01-01到期,未续约" in table.to_text("zh-CN")
    assert "the contract ran out on 2020-01-01 and wasn't renewed" in table.to_text()
    assert json.dumps(result.to_plain(), ensure_ascii=False)
