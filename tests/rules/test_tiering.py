"""Tiers: scores that sum up, edges that nobody flaps at, shares that sum up to one, and what is set by hand."""

from __future__ import annotations

import datetime
import re
from fractions import Fraction
from itertools import pairwise

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crmcore.domain import Customer, Money, Order
from crmcore.domain.duration import Duration
from crmcore.domain.policies import Label, Tier, Tiering
from crmcore.errors import DomainError
from crmcore.playbooks import load
from crmcore.rules.tier_decisions import Place, decimal
from crmcore.rules.tiering import decide, first_day, measure, measure_all, parts_of, places, tier_for
from crmcore.rules.timing import add_months

NOW = datetime.datetime(2026, 11, 30, 2, tzinfo=datetime.UTC)
TODAY = datetime.date(2026, 11, 30)
STAMPS = {"created_at": NOW, "created_by": "a", "updated_at": NOW, "updated_by": "a"}
STANDARD, MAINTENANCE, MARKETING = load("standard"), load("maintenance"), load("marketing")


def customer(**values):
    stage = values.pop("stage", STANDARD.lifecycle.initial)
    return Customer(id="c", number="1", name="甲", stage=stage, stage_since=NOW, **STAMPS, **values)


def order(signed_on, amount, customer_id="c"):
    return Order(
        id=f"{signed_on}{amount}", number="O", customer_id=customer_id, signed_on=signed_on, amount=amount, **STAMPS
    )


def with_bands(*edges, margin, method="scored"):
    """A playbook of as many tiers as edges, the best first."""
    tiers = tuple(Tier(key=f"t{index}", label=Label(zh="级", en="tier")) for index in range(len(edges)))
    bands = {tier.key: edge for tier, edge in zip(tiers, edges, strict=True)}
    tiering = Tiering(method=method, bands=bands, margin=margin, criteria=STANDARD.tiering.criteria)
    return attrs.evolve(STANDARD, tiers=tiers, tiering=tiering)


AMOUNTS = st.none() | st.builds(Money, st.integers(0, 10**9), st.sampled_from(["CNY", "USD"]))
DAYS = st.none() | st.dates(TODAY - datetime.timedelta(800), TODAY + datetime.timedelta(30))
ORDERS = st.lists(st.builds(order, DAYS, AMOUNTS), max_size=8)
PLAYBOOKS = st.sampled_from([STANDARD, MAINTENANCE, MARKETING])


@st.composite
def customers(draw, playbook):
    return customer(
        stage=draw(st.sampled_from([stage.key for stage in playbook.lifecycle.stages])),
        scale=draw(st.sampled_from([None, "large", "small_medium", "sole_trader"])),
        potential=draw(st.sampled_from([None, "A", "B", "C"])),
        urgency=draw(st.sampled_from([None, "high", "medium", "low"])),
        tier=draw(st.sampled_from([None, "A", "B", "C", "former"])),
    )


@st.composite
def scales(draw):
    """Bands with a margin, and the score's steps: finer than a point, so that edges are met exactly and missed narrowly."""
    edges = sorted(draw(st.lists(st.integers(2, 98), min_size=1, max_size=4, unique=True)), reverse=True)
    margin = draw(st.integers(0, min(min(edge, 100 - edge) for edge in edges) - 1))
    return with_bands(*edges, 0, margin=margin)


SCORES = st.fractions(0, 100, max_denominator=6)


# What a customer bought


@given(ORDERS, st.builds(Duration, st.integers(1, 40), st.sampled_from(["days", "months"])))
def test_a_past_counts_what_was_signed_in_the_window(orders, window):
    playbook = attrs.evolve(STANDARD, tiering=attrs.evolve(STANDARD.tiering, window=window))
    since, day = first_day(TODAY, window), datetime.timedelta(1)
    edges = [order(at, Money.of(1)) for at in (since - day, since, TODAY, TODAY + day)]
    orders = [*orders, *edges[: len(orders) % 5]]
    past = measure(orders, playbook, TODAY)
    counted = [one for one in orders if one.signed_on and since <= one.signed_on <= TODAY]
    own = [one.amount.minor for one in counted if one.amount and one.amount.currency == "CNY"]
    assert past.frequency == len(counted)
    assert past.recency == min(((TODAY - one.signed_on).days for one in counted), default=None)
    assert past.minor == (sum(own) if own or not counted else None)
    assert past.other_currencies == tuple(
        sorted({one.amount.currency for one in counted if one.amount} - {playbook.currency})
    )
    assert past.undated == sum(one.signed_on is None for one in orders)
    if past.minor is not None:
        assert 0 <= past.minor - past.amount * 100 < 100


@given(st.dates(datetime.date(2000, 1, 1), datetime.date(2100, 1, 1)), st.integers(1, 60))
def test_a_window_ends_today(today, amount):
    assert (today - first_day(today, Duration(amount, "days"))).days + 1 == amount
    assert first_day(today, Duration(amount, "months")) == add_months(today, -amount) + datetime.timedelta(1)


def test_a_window_of_working_days_is_refused():
    with pytest.raises(DomainError):
        first_day(TODAY, Duration(5, "working_days"))


def test_every_customer_has_its_own_past():
    orders = [order(TODAY, Money.of(10), "a"), order(TODAY, Money.of(7), "b"), order(TODAY, Money.of(5), "a")]
    assert {id: past.amount for id, past in measure_all(orders, STANDARD, TODAY).items()} == {"a": 15, "b": 7}


# The score


@given(st.data(), PLAYBOOKS, ORDERS)
def test_contributions_sum_up_to_a_score_between_0_and_100(data, playbook, orders):
    decision = decide(data.draw(customers(playbook)), measure(orders, playbook, TODAY), playbook, TODAY)
    assert decision.score == sum(part.contribution for part in decision.parts)
    assert 0 <= decision.score <= 100
    assert [part.criterion for part in decision.parts] == list(playbook.tiering.criteria)
    assert decision.fitting == tier_for(decision.score, playbook)


@given(st.data(), PLAYBOOKS, ORDERS, st.sampled_from(["en", "zh-CN"]))
def test_the_text_sums_up(data, playbook, orders, language):
    decision = decide(data.draw(customers(playbook)), measure(orders, playbook, TODAY), playbook, TODAY)
    text = decision.text(language)
    lines = re.findall(r"(\d+)(?: points|分) × (\d+) = (\d+)$", text, re.MULTILINE)
    assert len(lines) == len(playbook.tiering.criteria)
    assert all(int(points) * int(weight) == int(product) for points, weight, product in lines)
    together, weights, score = re.search(r"(\d+) / (\d+) = ([\d.]+)$", text, re.MULTILINE).groups()
    assert int(together) == sum(int(product) for _, _, product in lines)
    assert int(weights) == sum(int(weight) for _, weight, _ in lines)
    assert score == decimal(decision.score)
    assert text.splitlines()[0].startswith(playbook.choice_label("customer.tier", decision.tier, language))
    assert "甲" not in decision.short


@given(SCORES)
def test_a_score_is_never_shown_as_more_than_it_is(score):
    shown = Fraction(decimal(score))
    assert shown <= score < shown + Fraction(1, 100)


@given(st.data(), ORDERS)
def test_a_criterion_that_gives_more_points_never_makes_it_worse(data, orders):
    poorer = data.draw(customers(STANDARD))
    richer = poorer.replace(scale="large", potential="A")
    past = measure(orders, STANDARD, TODAY)
    keys = [tier.key for tier in STANDARD.tiers]
    tiers = [keys.index(decide(one, past, STANDARD, TODAY).tier) for one in (richer, poorer)]
    assert tiers[0] <= tiers[1]


@pytest.mark.parametrize(
    ("amount", "points"), [(None, 0), (0, 0), ("9999.99", 0), (10_000, 40), (99_999, 40), (500_000, 100), (10**7, 100)]
)
def test_a_number_gets_the_points_of_the_highest_step_it_reaches(amount, points):
    orders = [] if amount is None else [order(TODAY, Money.of(amount))]
    parts = {part.criterion.key: part for part in parts_of(customer(), measure(orders, STANDARD, TODAY), STANDARD)}
    assert parts["amount"].points == points
    assert parts["recency"].points == (0 if amount is None else 100)


def test_what_is_not_known_gets_its_own_points():
    usd = measure([order(TODAY, Money.of(10**6, "USD"))], STANDARD, TODAY)
    parts = {part.criterion.key: part for part in parts_of(customer(), usd, STANDARD)}
    assert [(parts[key].value, parts[key].points) for key in ("scale", "amount")] == [(None, 20), (None, 0)]
    text = decide(customer(), usd, STANDARD, TODAY).text()
    assert "The amount leaves out orders in USD." in text
    assert "Amount of orders: not known: 0 points" in text
    undated = measure([order(None, Money.of(5))], STANDARD, TODAY)
    assert "未计入没有签订日期的订单:1笔。" in decide(customer(), undated, STANDARD, TODAY).text("zh-CN")


def test_own_fields_money_and_flags_are_looked_at_too():
    text = """
        extends = "standard"
        key = "mine"
        [custom_fields.customer.vip]
        kind = "flag"
        label = { zh = "贵宾", en = "VIP" }
        [custom_fields.customer.visits]
        kind = "integer"
        label = { zh = "到访次数", en = "Visits" }
        [tiering]
        criteria.scale = false
        criteria.potential = false
        criteria.amount = false
        criteria.frequency = false
        criteria.recency = false
        [tiering.criteria.vip]
        label = { zh = "贵宾", en = "VIP" }
        on = "customer.vip"
        weight = 1
        points = { true = 100 }
        [tiering.criteria.visits]
        label = { zh = "到访次数", en = "Visits" }
        on = "customer.visits"
        weight = 1
        steps = [{ at_least = 3, points = 50 }]
        [tiering.criteria.budget]
        label = { zh = "预算", en = "Budget" }
        on = "customer.budget"
        weight = 1
        steps = [{ at_least = 1000, points = 30 }]
        missing = 3
    """
    mine = load("mine", {"mine": text})
    one = customer(custom={"vip": True, "visits": 3}, budget=Money.of(1000))
    past = measure([], mine, TODAY)
    assert [part.points for part in parts_of(one, past, mine)] == [100, 50, 30]
    other = customer(custom={"vip": False, "visits": 2}, budget=Money.of(1000, "USD"))
    assert [part.points for part in parts_of(other, past, mine)] == [0, 0, 3]
    assert "Budget: 1,000 CNY: 30 points" in decide(one, past, mine, TODAY).text()


TYPICAL = {
    "战略大客户": ({"scale": "large", "potential": "A", "stage": "customer"}, [(10, 300_000), (100, 300_000)], "A"),
    "稳定合作客户": (
        {"scale": "small_medium", "potential": "B", "stage": "customer"},
        [(20, 40_000), (60, 40_000)],
        "B",
    ),
    "潜在客户": ({"scale": "small_medium", "potential": "C"}, [], "C"),
    "小客户": ({"scale": "sole_trader", "potential": "C", "stage": "customer"}, [(30, 2_000)], "C"),
}


@pytest.mark.parametrize(("values", "bought", "tier"), TYPICAL.values(), ids=TYPICAL)
@pytest.mark.parametrize("playbook", [STANDARD, MAINTENANCE], ids=lambda playbook: playbook.key)
@pytest.mark.parametrize("current", [None, "C"])
def test_the_seed_001_s_examples_come_to_their_tier(playbook, values, bought, tier, current):
    orders = [order(TODAY - datetime.timedelta(days), Money.of(amount)) for days, amount in bought]
    decision = decide(customer(tier=current, **values), measure(orders, playbook, TODAY), playbook, TODAY)
    assert decision.tier == tier, decision.text()


@pytest.mark.parametrize(
    ("values", "walk"),
    [
        # 大型企业/紧急/A级, as the seed's example row is tagged, stays A while nothing else is known.
        ({"scale": "large", "urgency": "high", "potential": "A", "tier": "A"}, {"lead": "A", "interested": "A"}),
        # 从B级升至A级: by progress, intention and likelihood.
        (
            {"scale": "small_medium", "urgency": "medium", "potential": "B", "tier": "B"},
            {"lead": "B", "interested": "B", "proposal": "B", "negotiation": "A"},
        ),
        ({"scale": "sole_trader", "urgency": "low", "potential": "C", "tier": "C"}, {"lead": "C", "interested": "C"}),
    ],
)
def test_seed_003_tiers_by_progress(values, walk):
    past = measure([], MARKETING, TODAY)
    found = {stage: decide(customer(stage=stage, **values), past, MARKETING, TODAY).tier for stage in walk}
    assert found == walk


# Hysteresis


@given(scales(), SCORES, st.integers(0, 4))
def test_tiering_again_never_moves_a_customer_back(playbook, score, start):
    current = f"t{min(start, len(playbook.tiers) - 1)}"
    tier = tier_for(score, playbook, current)
    assert tier_for(score, playbook, tier) == tier
    assert tier_for(score, playbook) == max(
        (key for key, edge in playbook.tiering.bands.items() if score >= edge), key=playbook.tiering.bands.__getitem__
    )


@given(scales(), st.data())
def test_a_walk_beside_an_edge_never_flaps(playbook, data):
    edge = data.draw(st.sampled_from(list(playbook.tiering.bands.values())[:-1]))
    margin = playbook.tiering.margin
    assume(
        margin
        and all(abs(edge - other) > 2 * margin for other in playbook.tiering.bands.values() if other not in (0, edge))
    )
    beside = st.fractions(edge - margin, edge + margin, max_denominator=6).filter(lambda score: score < edge + margin)
    tier = tier_for(data.draw(beside), playbook)
    assert {tier_for(score, playbook, tier) for score in data.draw(st.lists(beside, min_size=1))} == {tier}


@given(scales())
def test_a_move_takes_exactly_the_margin(playbook):
    keys, margin, little = list(playbook.tiering.bands), playbook.tiering.margin, Fraction(1, 10**9)
    for better, worse in pairwise(keys):
        edge = playbook.tiering.bands[better]
        assert keys.index(tier_for(edge + margin, playbook, worse)) <= keys.index(better)
        assert tier_for(edge + margin - little, playbook, worse) == worse
        assert keys.index(tier_for(edge - margin, playbook, better)) <= keys.index(better)
        assert keys.index(tier_for(edge - margin - little, playbook, better)) >= keys.index(worse)


@given(scales(), SCORES, SCORES, st.integers(1, 9))
def test_a_long_way_in_one_step_ends_where_many_small_steps_end(playbook, start, end, steps):
    at_once = gradually = tier_for(start, playbook)
    for step in range(1, steps + 1):
        gradually = tier_for(start + (end - start) * Fraction(step, steps), playbook, gradually)
    assert gradually == tier_for(end, playbook, at_once)


@given(scales(), SCORES, SCORES)
def test_a_better_score_never_gives_a_worse_tier(playbook, one, other):
    keys = list(playbook.tiering.bands)
    for current in (None, *keys):
        ranks = [keys.index(tier_for(score, playbook, current)) for score in sorted((one, other))]
        assert ranks[0] >= ranks[1]


def test_who_stays_by_the_margin_is_told_so():
    # 30 + 18 + 8 + 4 + 10 = 70: below A's 75, but not more than 5 below it
    one = customer(tier="A", scale="large", potential="B")
    decision = decide(one, measure([order(TODAY, Money.of(20_000))], STANDARD, TODAY), STANDARD, TODAY)
    assert (decision.score, decision.tier, decision.fitting, decision.held) == (70, "A", "B", "margin")
    assert "By itself this gives B: stable; a move takes 5 points beyond the edge." in decision.text()
    assert not decision.moves


# Shares


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(-5, 60)))
def test_shares_sum_up_to_one_and_rank_by_amount(amounts):
    found = places(amounts)
    assert found.keys() == {id for id, amount in amounts.items() if amount > 0}
    assert not found or sum(place.own for place in found.values()) == 1
    for id, place in found.items():
        total = sum(amount for amount in amounts.values() if amount > 0)
        assert place.before == Fraction(sum(other for other in amounts.values() if other > amounts[id]), total)
    assert places(dict(reversed(amounts.items()))) == found


@given(st.dictionaries(st.integers(0, 30), st.integers(0, 60), min_size=1), st.integers(1, 60), st.integers(61, 99))
def test_who_brings_in_more_never_gets_a_worse_tier(amounts, first, second):
    playbook = with_bands(first, second, 100, margin=0, method="shares")
    found = places({str(id): amount for id, amount in amounts.items()})
    keys = [tier.key for tier in playbook.tiers]
    behind = {id: found[str(id)].before if str(id) in found else None for id in amounts}
    ranks = {id: keys.index(tier_for(value, playbook)) for id, value in behind.items()}
    for one, more in amounts.items():
        assert all(ranks[one] <= ranks[other] for other, less in amounts.items() if more >= less)
    if found:
        # A is the fewest, with those of the same amount, who bring in their share.
        best = [id for id in amounts if ranks[id] == 0]
        assert sum(found[str(id)].own for id in best) >= Fraction(first, 100)
        least = min(amounts[id] for id in best)
        assert sum(found[str(id)].own for id in best if amounts[id] > least) < Fraction(first, 100)
    assert all(ranks[id] == len(keys) - 1 for id, amount in amounts.items() if not amount)


@given(st.fractions(0, 1).filter(lambda value: value < 1), st.integers(0, 2))
def test_shares_have_their_margin_too(before, start):
    playbook = with_bands(60, 90, 100, margin=4, method="shares")
    tier = tier_for(before, playbook, f"t{start}")
    assert tier_for(before, playbook, tier) == tier
    if 56 <= 100 * before < 64:
        assert tier == ("t0" if start == 0 else "t1")


def test_a_share_is_told():
    playbook = with_bands(60, 90, 100, margin=0, method="shares")
    past = measure([], playbook, TODAY)
    decision = decide(customer(), past, playbook, TODAY, Place(before=Fraction(2, 3), own=Fraction(1, 8)))
    assert (decision.tier, decision.score, decision.parts) == ("t1", None, ())
    assert (
        "brings in 12.5 % of the total, behind 66.66 % (tier to 60 %, tier to 90 %, tier to 100 %)" in decision.text()
    )
    assert decision.short == "brings in 12.5 % behind 66.66 %"
    nothing = decide(customer(), past, playbook, TODAY)
    assert nothing.tier == "t2"
    assert "没有成交额" in nothing.text("zh-CN")


# By hand


@given(
    st.data(), PLAYBOOKS, ORDERS, st.none() | st.dates(TODAY - datetime.timedelta(40), TODAY + datetime.timedelta(40))
)
def test_what_is_set_by_hand_holds_to_the_end_of_its_last_day(data, playbook, orders, until):
    tier = data.draw(st.sampled_from(["A", "B", "C"]))
    one = data.draw(customers(playbook)).replace(tier=tier, tier_reason="年度重点", tier_until=until)
    past = measure(orders, playbook, TODAY)
    decision = decide(one, past, playbook, TODAY)
    free = decide(one.replace(tier=None, tier_reason=None), past, playbook, TODAY)
    if until is None or until >= TODAY:
        assert (decision.tier, decision.held, decision.changes) == (tier, "by_hand", {})
        assert not decision.moves
        assert "年度重点" in decision.text()
    else:
        # What somebody set is no reason to stay there.
        assert (decision.tier, decision.held, decision.lapsed) == (free.tier, None, True)
        assert decision.short == f"no longer set by hand; {free.short}"
    assert decision.fitting == free.tier
    released = decide(one, past, playbook, TODAY, released=True)
    assert (released.tier, released.lapsed) == (free.tier, True)
    assert released.changes == {"tier": free.tier, "tier_reason": None, "tier_until": None}


def test_a_tier_that_the_playbook_does_not_know_holds_nobody():
    one = customer(tier="former", tier_reason="旧分级")
    assert decide(one, measure([], STANDARD, TODAY), STANDARD, TODAY).tier == "C"


def test_a_playbook_without_tiering_says_so():
    registration = load("registration")
    with pytest.raises(DomainError, match="registration says nothing of how a tier is worked out"):
        measure([], registration, TODAY)
