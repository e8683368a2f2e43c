"""`crmcore tier`: why, by hand, back again, and everybody anew."""

from __future__ import annotations

import pytest

import crmcore
from crmcore.domain import Money, Order


@pytest.fixture(autouse=True)
def in_the_store(store, monkeypatch) -> None:
    monkeypatch.setenv("CRMCORE_STORE", store)


@pytest.fixture
def number(store, command) -> str:
    """A customer with one order, whose score is 94 and whose tier is C."""
    with crmcore.open(store) as crm:
        me = crm.acting_as("sales.east")
        (north,) = me.customers.find(search="北方")
        me.customers.update(north, scale="large", potential="A")
        values = {"number": "X1", "customer_id": north.id, "signed_on": crm.today(), "amount": Money.of(500_000)}
        crm.write("sales.east", lambda work: work.create(Order, "order.signed", values))
        return north.number


def test_show_says_why_in_both_languages(command, number) -> None:
    code, out, err = command("tier", "show", number)
    assert (code, err) == (0, "")
    assert out.startswith("A: strategic - score 94 of 100 (")
    assert "  Scale: Large: 100 points × 30 = 3000\n" in out
    assert "  成交金额:500,000 CNY:100分 × 20 = 2000\n" in command("tier", "show", number, "--language", "zh-CN").out
    found = command("tier", "show", number, "--json").json
    assert (found["number"], found["before"], found["tier"], found["score"]) == (number, "C", "A", 94.0)
    assert sum(part["contribution"] for part in found["criteria"]) == found["score"]


def test_run_rehearses_and_then_moves(command, number) -> None:
    rehearsed = command("tier", "run", "--dry-run")
    assert rehearsed.code == 0
    assert "nothing was stored" in rehearsed.err
    assert number in rehearsed.out
    assert command("show", number, "--json").json["customer"]["tier"] == "C"
    done = command("tier", "run", "--json").json
    assert (done["dry_run"], done["total"]) == (False, 2)
    assert done["counts"] == [{"from": "C", "to": "A", "customers": 1}, {"from": "C", "to": "C", "customers": 1}]
    assert [(one["number"], one["tier"]) for one in done["moved"]] == [(number, "A")]
    assert command("show", number, "--json").json["customer"]["tier"] == "A"
    assert "客户分级" in command("show", number, "--language", "zh-CN").out
    again = command("tier", "run")
    assert "(no rows)" in again.out


def test_set_holds_and_release_gives_back(command, number) -> None:
    told = command("tier", "set", number, "B级", "--reason", "年度重点", "--until", "2999-12-31")
    assert (told.code, told.out) == (0, "")
    assert "B: stable" in told.err
    assert command("tier", "run", "--json").json["kept"][0]["held"] == "by_hand"
    shown = command("tier", "show", number).out
    assert shown.startswith("B: stable - set by hand until 2999-12-31: 年度重点\nWorked out it would be A: strategic")
    assert command("tier", "release", number, "--json").json["tier"] == "A"
    assert command("tier", "show", number, "--json").json["reason"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("Z", "--reason", "x"), 2, "it must be one of A, B, C, or a label of one"),
        (("A",), 2, "--reason"),
        (("A", "--reason", "x", "--until", "someday"), 2, "this is not a date"),
        (("A", "--reason", " ", "--until", "2001-01-01"), 1, "customer.tier_until out_of_order"),
    ],
)
def test_what_can_not_be_set_is_told(command, number, arguments, code, said) -> None:
    told = command("tier", "set", number, *arguments)
    assert (told.code, told.out) == (code, "")
    assert said in told.err


def test_a_playbook_without_tiering_says_so(command) -> None:
    command("init", "--store", "new.db", "--playbook", "integration")
    told = command("tier", "run", "--store", "new.db")
    assert told.code == 1
    assert "integration says nothing of how a tier is worked out" in told.err


def test_the_playbook_shows_what_tiers_are_worked_out_from(command) -> None:
    lines = [
        " ".join(line.split())
        for line in command("playbook", "show", "standard", "--language", "zh-CN").out.splitlines()
    ]
    assert "客户规模 30 大型企业 100; 中小企业 60; 个体商户 20" in lines
    assert "成交次数 10 ≥1 40; ≥3 70; ≥6 100" in lines
    document = command("playbook", "show", "standard", "--json").json
    assert (document["tiering"]["bands"], document["tiering"]["window"]) == ({"A": 75, "B": 45, "C": 0}, "12 months")
