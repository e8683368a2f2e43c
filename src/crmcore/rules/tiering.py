"""Tiers (客户分级; seeds 001, 003): from what a customer is and what it bought to A, B or C, and why.

A score is weighted points from 0 to 100; with the method ``shares`` a customer's place among all decides instead. Both are
exact fractions, so nothing is rounded at the edge of a band. A tier set by hand goes before what is worked out, as long as
it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import attrs

from crmcore.domain import Customer, Order
from crmcore.domain.duration import Duration
from crmcore.domain.fields import Unclean, clean_day
from crmcore.domain.playbook import Playbook
from crmcore.domain.policies import Criterion, Tiering
from crmcore.domain.values import Money
from crmcore.errors import DomainError, Issue
from crmcore.rules.stages import value_of
from crmcore.rules.tier_decisions import Part, Past, Place, TierDecision, whole_units
from crmcore.rules.timing import add_months

_DAY = timedelta(days=1)


# What a customer bought


def first_day(today: date, window: Duration) -> date:
    """The first day of a window that ends today: one of 7 days holds today and the 6 days before."""
    if window.unit == "days":
        return today - timedelta(days=window.amount) + _DAY
    if window.unit == "months":
        return add_months(today, -window.amount) + _DAY
    raise DomainError(f"{window} is not counted in calendar days")


def measure(orders: Iterable[Order], playbook: Playbook, today: date) -> Past:
    """One customer's past in the playbook's window. Orders after today, or before the window, don't count."""
    since, currency = first_day(today, tiering_of(playbook).window), playbook.currency
    last: date | None = None
    frequency = undated = minor = 0
    counted = False
    others: set[str] = set()
    for order in orders:
        day, amount = order.signed_on, order.amount
        if day is None:
            undated += 1
            continue
        if not since <= day <= today:
            continue
        frequency += 1
        last = day if last is None else max(last, day)
        if amount is None:
            continue
        if amount.currency == currency:
            minor, counted = minor + amount.minor, True
        else:
            others.add(amount.currency)
    return Past(
        since=since,
        until=today,
        currency=currency,
        recency=None if last is None else (today - last).days,
        frequency=frequency,
        minor=minor if counted or not frequency else None,
        other_currencies=tuple(sorted(others)),
        undated=undated,
    )


def measure_all(orders: Iterable[Order], playbook: Playbook, today: date) -> dict[str, Past]:
    """The past of every customer with an order, by the customer's id."""
    grouped: dict[str, list[Order]] = {}
    for order in orders:
        grouped.setdefault(order.customer_id, []).append(order)
    return {id: measure(own, playbook, today) for id, own in grouped.items()}


# Score and place


def parts_of(customer: Customer, past: Past, playbook: Playbook) -> tuple[Part, ...]:
    """Each criterion of the playbook with its points; the contributions sum up to the score."""
    criteria = tiering_of(playbook).criteria
    total = sum(criterion.weight for criterion in criteria)
    found = []
    for criterion in criteria:
        value = _value(customer, past, criterion.on, playbook)
        points = _points(criterion, value)
        contribution = Fraction(points * criterion.weight, total)
        found.append(Part(criterion=criterion, value=value, points=points, contribution=contribution))
    return tuple(found)


def sum_of(parts: Iterable[Part]) -> Fraction:
    """The score: the sum of the contributions, added up in whole numbers."""
    points = weights = 0
    for part in parts:
        points += part.points * part.criterion.weight
        weights += part.criterion.weight
    return Fraction(points, weights)


def _points(criterion: Criterion, value: str | int | None) -> int:
    if value is None:
        return criterion.missing
    if isinstance(value, str):
        return criterion.points.get(value, criterion.missing)
    reached = [step for step in criterion.steps if value >= step.at_least]
    return max(reached, key=lambda step: step.at_least).points if reached else 0


def _win_probability(customer: Customer, past: Past, playbook: Playbook) -> int | None:
    stage = playbook.lifecycle.find(customer.stage)
    return stage.probability if stage else None


#: What a criterion can look at beside the fields of the customer.
_WORKED_OUT: Mapping[str, Callable[[Customer, Past, Playbook], int | None]] = {
    "recency": lambda customer, past, playbook: past.recency,
    "frequency": lambda customer, past, playbook: past.frequency,
    "amount": lambda customer, past, playbook: past.amount,
    "customer.win_probability": _win_probability,
}


def _value(customer: Customer, past: Past, on: str, playbook: Playbook) -> str | int | None:
    """What a criterion looks at: a word, a whole number, or None. Money in another currency than the playbook's isn't known."""
    if worked_out := _WORKED_OUT.get(on):
        return worked_out(customer, past, playbook)
    value = value_of(customer, on.rpartition(".")[2])
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Money):
        return whole_units(value.minor, value.currency) if value.currency == playbook.currency else None
    return value if isinstance(value, (str, int)) else None


def places(amounts: Mapping[str, int]) -> dict[str, Place]:
    """The place of everybody who brought in something; ``amounts`` by customer, in one currency. Their own shares sum up to 1."""
    positive = {id: amount for id, amount in amounts.items() if amount > 0}
    total = sum(positive.values())
    found: dict[str, Place] = {}
    cumulated = before = 0
    last: int | None = None
    for id, amount in sorted(positive.items(), key=lambda item: -item[1]):
        if amount != last:
            before, last = cumulated, amount
        cumulated += amount
        found[id] = Place(before=Fraction(before, total), own=Fraction(amount, total))
    return found


# The tier


def tiering_of(playbook: Playbook) -> Tiering:
    """How the playbook works out a tier; raises :class:`DomainError` where it doesn't."""
    if playbook.tiering is None:
        raise DomainError(f"the playbook {playbook.key} says nothing of how a tier is worked out")
    return playbook.tiering


def tier_for(value: Fraction | int | None, playbook: Playbook, current: str | None = None) -> str:
    """The tier of a score; with the method ``shares`` of the share of those before, where None is a customer without any.

    A customer that has a ``current`` tier rises into a better one where it is at least ``margin`` above that one's edge, and
    falls out of its own where it is more than ``margin`` below its edge; otherwise it stays. On a long way it moves as if it
    had passed every edge on that way, so that it is the same whether it came in one step or in many.
    """
    tiering, keys = tiering_of(playbook), [tier.key for tier in playbook.tiers]
    if value is None:
        return keys[-1]
    if current not in keys:
        return keys[_reached(value, 0, tiering, keys)]
    best, worst = (_reached(value, shift, tiering, keys) for shift in (tiering.margin, -tiering.margin))
    return keys[min(max(keys.index(current), best), worst)]


def _reached(value: Fraction | int, better: int, tiering: Tiering, keys: list[str]) -> int:
    """Which tier, counted from the best, a value reaches that is made so many points better."""
    scored = tiering.method == "scored"
    measured = value if scored else 100 * value
    for index, key in enumerate(keys):
        edge = tiering.bands[key]
        if measured >= edge - better if scored else measured < edge + better:
            return index
    return len(keys) - 1


def until_issues(until: Any, today: date) -> list[Issue]:
    """What is wrong with the last day of a tier that is set by hand: it is no day, or over."""
    if until is None:
        return []
    try:
        if clean_day(until) >= today:
            return []
    except Unclean as problem:
        return [Issue(code=problem.code, field="customer.tier_until", facts=problem.facts)]
    return [Issue(code="out_of_order", field="customer.tier_until", facts={"limit": today})]


def set_by_hand(customer: Customer, playbook: Playbook, today: date) -> bool:
    """Whether somebody set the tier, with a reason, and it holds today: to the end of its last day in the playbook's zone."""
    known = any(tier.key == customer.tier for tier in playbook.tiers)
    return known and customer.tier_reason is not None and (customer.tier_until is None or today <= customer.tier_until)


def decide(
    customer: Customer,
    past: Past,
    playbook: Playbook,
    today: date,
    place: Place | None = None,
    *,
    released: bool = False,
) -> TierDecision:
    """The tier of a customer today. ``place`` is what :func:`places` says of it, for the method ``shares``.

    One that was set by hand and no longer is (``released``, or past its last day) is worked out as if the customer had none:
    what somebody set is no reason to stay. Raises :class:`DomainError` for a playbook without tiering.
    """
    tiering = tiering_of(playbook)
    by_hand = not released and set_by_hand(customer, playbook, today)
    lapsed = customer.tier_reason is not None and not by_hand
    parts = parts_of(customer, past, playbook) if tiering.method == "scored" else ()
    score = sum_of(parts) if tiering.method == "scored" else None
    behind = None if place is None else place.before
    value = score if tiering.method == "scored" else behind
    fitting = tier_for(value, playbook)
    tier = fitting if lapsed else tier_for(value, playbook, customer.tier)
    if by_hand and customer.tier is not None:
        tier = customer.tier
    return TierDecision(
        customer=customer,
        tier=tier,
        fitting=fitting,
        held="by_hand" if by_hand else "margin" if tier != fitting else None,
        lapsed=lapsed,
        score=score,
        parts=parts,
        place=place,
        past=past,
        playbook=playbook,
    )


@attrs.frozen(kw_only=True)
class Pasts:
    """What everybody bought, and where it places them: all that a tier rests on beside the customer itself."""

    playbook: Playbook
    today: date
    by_customer: Mapping[str, Past]
    places: Mapping[str, Place]

    @classmethod
    def of(cls, orders: Iterable[Order], playbook: Playbook, today: date) -> Pasts:
        """From the orders of all customers; where the playbook tiers by score, those of whoever is asked about are enough."""
        pasts = measure_all(orders, playbook, today)
        shares = tiering_of(playbook).method == "shares"
        placed = places({id: past.minor or 0 for id, past in pasts.items()}) if shares else {}
        return cls(playbook=playbook, today=today, by_customer=pasts, places=placed)

    def decide(self, customer: Customer, *, released: bool = False) -> TierDecision:
        """The tier of a customer; see :func:`decide`."""
        past = self.by_customer.get(customer.id) or measure((), self.playbook, self.today)
        return decide(customer, past, self.playbook, self.today, self.places.get(customer.id), released=released)
