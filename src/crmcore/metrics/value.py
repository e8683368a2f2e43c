"""What customers are worth by what they bought: recency, frequency and monetary value (RFM), and cumulative shares (ABC)."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import attrs

from crmcore.domain import Customer, Order
from crmcore.domain.playbook import Playbook
from crmcore.domain.policies import Label
from crmcore.domain.values import Money
from crmcore.errors import DomainError
from crmcore.metrics.outcomes import rate
from crmcore.metrics.tables import Cell, Column, Table, plain
from crmcore.rules.tiering import measure_all, places, tier_for, tiering_of

BEST = 5  #: the best of the scores of an RFM, which begin at 1

_NUMBER = Column("number", "客户编号", "Customer number")
_NAME = Column("name", "客户名称", "Customer name")
_SCORED_BY = Label(
    zh="每项得分:1 + 表现更差的客户占比×5(取整);表现相同得分相同。",
    en="A score is 1 + 5 × the share of customers who do worse, rounded down; equals score alike.",
)
_OTHERS = Label(zh="不含其他币种的金额。", en="Amounts in other currencies are left out.")
_SHARED_BY = Label(
    zh="按金额从高到低累计;金额相同的客户同级,没有成交额的客户归入末级。",
    en="Cumulated from the highest amount down; customers of one amount share a tier, and who brought in nothing has the last.",
)


@attrs.frozen(kw_only=True)
class Worth:
    """One customer's past, and its scores from 1 to 5; ``recency`` is days since the last order."""

    customer_id: str
    recency: int
    frequency: int
    monetary: Money
    r: int
    f: int
    m: int

    @property
    def cell(self) -> str:
        """The three scores as people write them: ``545``."""
        return f"{self.r}{self.f}{self.m}"


@attrs.frozen(kw_only=True)
class RFM:
    """The worth of everybody with an order in the period, the best first; equals by id."""

    worths: tuple[Worth, ...]
    other_currencies: bool

    @property
    def cells(self) -> Mapping[str, int]:
        """How many customers each combination of scores has, the best first."""
        return dict(sorted(Counter(worth.cell for worth in self.worths).items(), reverse=True))

    def table(self, customers: Mapping[str, Customer] | None = None, first: int | None = None) -> Table:
        """A row per customer, of whom ``customers`` (by id) knows the number and the name; only the ``first`` ones if given."""
        known = customers or {}
        rows: list[tuple[Cell, ...]] = []
        for worth in self.worths[:first]:
            customer = known.get(worth.customer_id)
            number, name = (customer.number, customer.name) if customer else (worth.customer_id, None)
            figures = (worth.recency, worth.frequency, worth.monetary, worth.r, worth.f, worth.m, worth.cell)
            rows.append((number, name, *figures))
        columns = (
            _NUMBER,
            _NAME,
            Column("recency", "距最近成交天数", "Days since the last order", "integer"),
            Column("frequency", "成交次数", "Orders", "integer"),
            Column("monetary", "成交金额", "Amount", "money"),
            Column("r", "R得分", "R", "integer"),
            Column("f", "F得分", "F", "integer"),
            Column("m", "M得分", "M", "integer"),
            Column("cell", "RFM", "RFM"),
        )
        notes = (_SCORED_BY, *((_OTHERS,) if self.other_currencies else ()))
        return Table("rfm", "客户价值(RFM)", "Customer value (RFM)", columns, tuple(rows), notes)

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {"worths": plain(self.worths), "cells": dict(self.cells)}


def rfm(orders: Iterable[Order], *, currency: str, today: date, since: date | None = None) -> RFM:
    """Recency, frequency and monetary value of every customer with an order from ``since`` to ``today``, both days included.

    Each is scored from 1 to 5 by the share of customers who do worse, so that a fifth of them gets each score where no two
    are equal, and equals always score alike. An order in another currency counts for recency and frequency alone; one
    without the day of signing for nothing.
    """
    last: dict[str, date] = {}
    frequency: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    others = False
    for order in orders:
        day, amount = order.signed_on, order.amount
        if day is None or day > today or (since is not None and day < since):
            continue
        id = order.customer_id
        last[id] = max(last.get(id, day), day)
        frequency[id] += 1
        if amount is not None and amount.currency == currency:
            sums[id] += amount.minor
        elif amount is not None:
            others = True
    days = {id: day.toordinal() for id, day in last.items()}
    recency_scores, frequency_scores = _quintiles(days), _quintiles(frequency)
    monetary_scores = _quintiles({id: sums[id] for id in last})
    worths = [
        Worth(
            customer_id=id,
            recency=(today - day).days,
            frequency=frequency[id],
            monetary=Money(sums[id], currency),
            r=recency_scores[id],
            f=frequency_scores[id],
            m=monetary_scores[id],
        )
        for id, day in last.items()
    ]
    worths.sort(key=lambda worth: worth.customer_id)
    worths.sort(key=lambda worth: (worth.cell, worth.monetary.minor), reverse=True)
    return RFM(worths=tuple(worths), other_currencies=others)


def _quintiles(values: Mapping[str, int]) -> dict[str, int]:
    """A score from 1 to 5 for each value, more being better."""
    ranked = sorted(values.values())
    scores = {value: 1 + BEST * bisect_left(ranked, value) // len(ranked) for value in set(ranked)}
    return {id: scores[value] for id, value in values.items()}


@attrs.frozen(kw_only=True)
class ABC:
    """Customers by what they bring in: by tier how many there are, and what they bring in together."""

    playbook: Playbook = attrs.field(eq=False, repr=False)
    tiers: Mapping[str, str]
    """The tier of each customer, by id."""
    customers: Mapping[str, int]
    amounts: Mapping[str, Money]

    def table(self) -> Table:
        """A row per tier, with its share of the customers and of the amount, and the share that it and all before it bring in."""
        total, everybody = sum(money.minor for money in self.amounts.values()), sum(self.customers.values())
        rows: list[tuple[Cell, ...]] = []
        cumulated = 0
        for tier, number in self.customers.items():
            money = self.amounts[tier]
            cumulated += money.minor
            shares = (rate(money.minor, total), rate(cumulated, total))
            rows.append((tier, number, rate(number, everybody), money, *shares))
        columns = (
            Column("tier", "分级", "Tier", labels=self.playbook.vocabulary("customer.tier")),
            Column("customers", "客户数", "Customers", "integer"),
            Column("customer_share", "客户占比", "Share of customers", "percent"),
            Column("amount", "成交金额", "Amount", "money"),
            Column("share", "金额占比", "Share of the amount", "percent"),
            Column("cumulated", "累计占比", "Cumulated", "percent"),
        )
        return Table("abc", "客户ABC分析", "Customers by share (ABC)", columns, tuple(rows), (_SHARED_BY,))

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {"tiers": plain(self.table().records())}


def abc(orders: Iterable[Order], playbook: Playbook, today: date) -> ABC:
    """Everybody with an order, by the bands and the window of a playbook whose tiering has the method ``shares``, without margin.

    Sums below zero count as nothing. Raises :class:`DomainError` for a playbook that doesn't tier by shares.
    """
    if tiering_of(playbook).method != "shares":
        raise DomainError(f'the playbook {playbook.key} does not tier by shares: method = "shares"')
    pasts = measure_all(orders, playbook, today)
    sums = {id: max(past.minor or 0, 0) for id, past in pasts.items()}
    found = places(sums)
    tiers = {id: tier_for(found[id].before if id in found else None, playbook) for id in sums}
    counts, amounts = Counter(tiers.values()), Counter[str]()
    for id, tier in tiers.items():
        amounts[tier] += sums[id]
    keys = [tier.key for tier in playbook.tiers]
    return ABC(
        playbook=playbook,
        tiers=tiers,
        customers={key: counts[key] for key in keys},
        amounts={key: Money(amounts[key], playbook.currency) for key in keys},
    )
