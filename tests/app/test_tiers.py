"""Tiers through the use cases, on every store: explained, set by hand until a day, worked out anew, with what is owed."""

from __future__ import annotations

import datetime
import itertools
import json

import pytest

import crmcore
from crmcore.app.tiers import Tiers
from crmcore.domain import Money, Order
from crmcore.errors import DomainError, Invalid, NotFound, Veto
from crmcore.metrics import retier

DAY = datetime.date
SHARES = """
    extends = "standard"
    key = "shares"
    [tiering]
    method = "shares"
    bands = { A = 80, B = 95, C = 100 }
    margin = 0
    criteria = false
"""


@pytest.fixture
def standard(open_crm):
    return open_crm("standard").acting_as("sales.east")


@pytest.fixture
def shares(open_crm, tmp_path):
    (tmp_path / "shares.toml").write_text(SHARES, "utf-8")
    return open_crm(tmp_path / "shares.toml").acting_as("sales.east")


_numbers = itertools.count(1)


def buys(me, customer, amount, on, currency="CNY"):
    """Puts an order on file."""
    values = {"number": f"X{next(_numbers)}", "customer_id": customer.id, "signed_on": on}
    me.crm.write(
        me.actor, lambda work: work.create(Order, "order.signed", {**values, "amount": Money.of(amount, currency)})
    )


def events(me, customer):
    """What the timeline says of tiers, the oldest first: before, after and the reason."""
    found = [event for event in me.customers.timeline(customer) if event.action == "customer.tiered"]
    return [(json.loads(event.changes).get("tier"), event.reason) for event in reversed(found)]


def contact_rule(me, customer):
    return {duty.rule for duty in me.obligations.of(customer) if duty.track == "cadence.contact"}


def test_why_a_customer_has_its_tier(standard):
    acme = standard.customers.register(name="示例科技有限公司", scale="large", potential="B")
    buys(standard, acme, 120_000, DAY(2023, 9, 1))
    buys(standard, acme, 5_000, DAY(2023, 9, 20), "USD")
    why = standard.tiers.explain(acme)
    # 100 × 30 + 60 × 30 + 70 × 20 + 40 × 10 + 100 × 10
    assert (why.score, why.before, why.tier) == (76, "C", "B")
    assert why.text("zh-CN").splitlines() == [
        "B级:得分76,满分100(A级75分起,B级45分起,C级0分起)",
        "  客户规模:大型企业:100分 × 30 = 3000",
        "  合作潜力:B级:60分 × 30 = 1800",
        "  成交金额:120,000 CNY:70分 × 20 = 1400",
        "  成交次数:2:40分 × 10 = 400",
        "  距最近成交天数:19:100分 × 10 = 1000",
        "  合计7600;7600 / 100 = 76",
        "仅按此应为A级;须超出分界5分才调整。",
        "订单统计区间:2022-10-10至2023-10-09。",
        "金额不含以下币种的订单:USD。",
    ]
    assert standard.tiers.explain(acme.number) == why
    assert standard.customers.get(acme).tier == "C"
    assert json.loads(json.dumps(why.to_plain()))["score"] == 76.0
    with pytest.raises(NotFound):
        standard.tiers.explain("C1")


def test_a_run_moves_customers_and_says_why(standard):
    large = standard.customers.register(name="甲", scale="large", potential="A", stage="customer")
    small = standard.customers.register(name="乙", scale="sole_trader", tier="B")
    kept = standard.customers.register(name="丙", scale="small_medium", potential="B", tier="B")
    buys(standard, large, 600_000, DAY(2023, 10, 1))
    buys(standard, kept, 10_000, DAY(2022, 11, 1))
    rehearsed = standard.tiers.run(dry_run=True)
    assert standard.customers.get(large).tier == "C"
    assert events(standard, large) == []
    report = standard.tiers.run()
    assert report == rehearsed
    assert report.to_table().records() == [
        {
            "number": large.number,
            "name": "甲",
            "from": "C",
            "to": "A",
            "fitting": "A",
            "score": "94",
            "why": "worked_out",
        },
        {
            "number": small.number,
            "name": "乙",
            "from": "B",
            "to": "C",
            "fitting": "C",
            "score": "12",
            "why": "worked_out",
        },
    ]
    assert dict(report.counts) == {("B", "B"): 1, ("B", "C"): 1, ("C", "A"): 1}
    assert report.total == 3
    why = "score 94 (scale 30 + potential 30 + amount 20 + frequency 4 + recency 10)"
    assert events(standard, large) == [(["C", "A"], why)]
    # What is owed follows the tier.
    assert contact_rule(standard, large) == {"cadence.tier_a_contact"}
    again = standard.tiers.run()
    assert (again.moved, dict(again.counts)) == ((), {("A", "A"): 1, ("B", "B"): 1, ("C", "C"): 1})
    assert len(events(standard, large)) == 1


def test_what_is_set_by_hand_holds_until_its_day_is_over(standard, clock):
    acme = standard.customers.register(name="示例科技有限公司", scale="sole_trader", stage="customer")
    held = standard.tiers.set(acme, "战略客户", reason="年度重点", until=DAY(2023, 10, 11))
    assert (held.tier, held.tier_reason, held.tier_until) == ("A", "年度重点", DAY(2023, 10, 11))
    assert contact_rule(standard, acme) == {"cadence.tier_a_contact"}
    clock.now = datetime.datetime(2023, 10, 11, 15, 59, tzinfo=datetime.UTC)  # 23:59 in Shanghai
    report = standard.tiers.run()
    assert (report.moved, [one.held for one in report.kept]) == ((), ["by_hand"])
    assert report.to_table().records()[0]["why"] == "by_hand"
    assert standard.tiers.explain(acme).text().splitlines()[:2] == [
        "A: strategic - set by hand until 2023-10-11: 年度重点",
        "Worked out it would be C: potential or small - score 12 of 100 "
        "(A: strategic from 75, B: stable from 45, C: potential or small from 0)",
    ]
    clock.forward(minutes=1)
    assert standard.tiers.explain(acme).lapsed
    (moved,) = standard.tiers.run().moved
    assert (moved.tier, moved.lapsed) == ("C", True)
    now = standard.customers.get(acme)
    assert (now.tier, now.tier_reason, now.tier_until) == ("C", None, None)
    assert contact_rule(standard, acme) == {"cadence.customer_contact"}
    assert [change for change, _ in events(standard, acme)] == [["C", "A"], ["A", "C"]]
    assert events(standard, acme)[1][1].startswith("no longer set by hand; score 12 (")


def test_what_lapses_without_a_move_is_put_in_order(standard, clock):
    acme = standard.customers.register(name="甲")
    standard.tiers.set(acme, "C", reason="低潜力", until=DAY(2023, 10, 9))
    clock.forward(days=1)
    report = standard.tiers.run()
    assert (report.moved, [one.customer.id for one in report.lapsed]) == ((), [acme.id])
    assert standard.customers.get(acme).tier_reason is None
    assert standard.tiers.run().lapsed == ()


def test_a_walk_over_months(standard, clock):
    acme = standard.customers.register(name="甲", scale="small_medium", potential="A")
    seen = []
    for month in range(17):
        if month in (1, 2, 3):
            buys(standard, acme, 200_000, standard.crm.today())
        if month == 5:
            standard.tiers.set(acme.number, "B", reason="等待续约", until=standard.crm.today() + datetime.timedelta(60))
        standard.tiers.run()
        seen.append(standard.customers.get(acme).tier)
        clock.forward(days=30)
    # 48 isn't 5 beyond B's 45; with the third order A; B by hand to the day 60 days on; worked out again A, until the first
    # order is more than a year ago; with the last one gone too, 48 again, and B by the margin.
    assert "".join(seen) == "CBBAABBBAAAAAABBB"
    tiers = [change for change, _ in events(standard, acme) if change]
    assert all(before[1] == after[0] for before, after in itertools.pairwise(tiers))


def test_giving_back_works_the_tier_out_at_once(standard):
    acme = standard.customers.register(name="甲", scale="large", potential="A", tier="C")
    standard.tiers.set(acme, "A", reason="展会签约")
    released = standard.tiers.release(acme.number)
    assert (released.tier, released.tier_reason) == ("B", None)
    assert standard.tiers.release(released) == released
    assert len(events(standard, acme)) == 2


@pytest.mark.parametrize(
    ("tier", "reason", "until", "codes"),
    [
        ("Z", " ", DAY(2023, 10, 8), ["bad_choice", "reason_required", "out_of_order"]),
        (None, None, datetime.datetime(2023, 12, 1), ["bad_choice", "reason_required", "bad_date"]),
        ("A", "年度重点", "2023-12-01", ["bad_date"]),
    ],
)
def test_what_can_not_be_set_is_told_at_once(standard, tier, reason, until, codes):
    acme = standard.customers.register(name="甲")
    with pytest.raises(Invalid) as caught:
        standard.tiers.set(acme, tier, reason=reason, until=until)
    assert [issue.code for issue in caught.value.issues] == codes
    if "bad_choice" in codes:
        assert caught.value.issues[0].facts["allowed"] == "A, B, C"
    assert standard.customers.get(acme) == acme
    assert all(issue.text(language) for issue in caught.value.issues for language in ("en", "zh-CN"))


def test_a_tier_that_is_updated_with_a_reason_is_set_by_hand(standard):
    acme = standard.customers.register(name="甲")
    updated = standard.customers.update(acme, tier="A级", tier_until=DAY(2023, 12, 1), reason="重点项目")
    assert (updated.tier, updated.tier_reason, updated.tier_until) == ("A", "重点项目", DAY(2023, 12, 1))
    # Another field with a reason leaves it as it is; another tier without one ends it, and the next run decides.
    assert standard.customers.update(updated, address="上海", reason="搬迁").tier_reason == "重点项目"
    other = standard.customers.update(updated, tier="B")
    assert (other.tier, other.tier_reason, other.tier_until) == ("B", None, None)
    standard.tiers.run()
    assert standard.customers.get(acme).tier == "C"


def test_shares_place_everybody_among_all(shares):
    amounts = {"甲": 600, "乙": 250, "丙": 100, "丁": 50, "戊": 0}
    customers = {name: shares.customers.register(name=name) for name in amounts}
    for name, amount in amounts.items():
        if amount:
            buys(shares, customers[name], amount, DAY(2023, 9, 1))
    buys(shares, customers["戊"], 10**6, DAY(2021, 9, 1))
    shares.tiers.run()
    found = {name: shares.customers.get(customer).tier for name, customer in customers.items()}
    # 600 and 250 bring in 85 % of 1,000; the third stands behind 85 %, the fourth behind 95 %.
    assert found == {"甲": "A", "乙": "A", "丙": "B", "丁": "C", "戊": "C"}
    assert "brings in 25 % of the total, behind 60 %" in shares.tiers.explain(customers["乙"]).text()
    third = shares.tiers.set(customers["丙"].number, "A", reason="战略")
    assert shares.tiers.release(third).tier == "B"


def test_a_playbook_without_tiering_sets_nothing_by_itself(open_crm):
    me = open_crm("integration").acting_as("sales.east")
    acme = me.customers.register(name="甲", industry="制造业", contacts=[{"name": "王", "phones": ["13800138000"]}])
    for call in (me.tiers.run, lambda: me.tiers.explain(acme)):
        with pytest.raises(DomainError, match="integration says nothing"):
            call()
    with pytest.raises(Invalid):
        me.tiers.set(acme, "A", reason="重点")


def test_a_run_decides_again_on_whom_somebody_changed_meanwhile(standard, monkeypatch):
    first, second = (standard.customers.register(name=name, scale="large", potential="A") for name in "甲乙")
    take = Tiers._take_batch

    def late(self, pasts, batch):
        standard.customers.update(first, scale="sole_trader")
        standard.tiers.set(second, "C", reason="停止合作")
        take(self, pasts, batch)

    monkeypatch.setattr(Tiers, "_take_batch", late)
    assert [one.tier for one in standard.tiers.run().moved] == ["B", "B"]
    assert [standard.customers.get(one).tier for one in (first, second)] == ["C", "C"]
    assert [reason for _, reason in events(standard, second)] == ["停止合作"]


def test_a_veto_in_a_batch_leaves_that_batch_as_it_was(open_crm, monkeypatch):
    class NoRise:
        @crmcore.hookimpl
        def crm_check(self, change):
            if change.action == "customer.tiered" and change.after.name == "乙":
                raise Veto("not this one")

    monkeypatch.setattr("crmcore.app.tiers.BATCH", 1)
    me = open_crm("standard", plugins=[NoRise()]).acting_as("sales.east")
    customers = [me.customers.register(name=name, scale="large", potential="A") for name in "甲乙丙"]
    with pytest.raises(Veto):
        me.tiers.run()
    assert [me.customers.get(one).tier for one in customers] == ["B", "C", "C"]


def test_the_use_case_and_the_pure_function_agree(standard):
    for index, scale in enumerate(("large", "small_medium", "sole_trader") * 4):
        one = standard.customers.register(name=f"客户{index}", scale=scale, potential="ABC"[index % 2])
        if index % 3:
            buys(standard, one, 30_000 * index, DAY(2023, 1 + index % 9, 1))
    customers = standard.customers.find(limit=100).items
    orders = standard.crm.write("a", lambda work: work.find(Order))
    assert standard.tiers.run() == retier(customers, orders, standard.crm.playbook, standard.crm.today())
