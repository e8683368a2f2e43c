"""Won and lost, counted along any dimension: by owner, by product, by source, by period."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any

import attrs

from crmcore.domain.opportunity import Opportunity
from crmcore.domain.values import Money
from crmcore.metrics.dimensions import FEW_COLUMN, few, few_note
from crmcore.metrics.tables import NOT_GIVEN, Cell, Column, Table, plain

_COUNTS = (
    Column("open", "进行中", "Open", "integer"),
    Column("won", "赢单", "Won", "integer"),
    Column("lost", "输单", "Lost", "integer"),
    Column("win_rate", "赢单率", "Win rate", "percent"),
)


def month_of(day: date) -> str:
    """The month that a day lies in, as ``2017-03``."""
    return f"{day.year:04d}-{day.month:02d}"


def quarter_of(day: date) -> str:
    """The quarter that a day lies in, as ``2017-Q1``."""
    return f"{day.year:04d}-Q{(day.month + 2) // 3}"


#: The dimensions of a funnel: what an opportunity belongs to, and the column that says so.
DIMENSIONS: Mapping[str, Column] = {
    "by_owner": Column("owner", "负责人", "Owner", blank=NOT_GIVEN),
    "by_product": Column("product", "产品", "Product", blank=NOT_GIVEN),
    "by_source": Column("source", "来源", "Source", blank=NOT_GIVEN),
    "by_quarter": Column("quarter", "季度", "Quarter", blank=NOT_GIVEN),
    "by_month": Column("month", "月份", "Month", blank=NOT_GIVEN),
}
#: Periods follow the day of closing, so they hold closed opportunities alone, in the order of time.
PERIODS: Mapping[str, Callable[[date], str]] = {"by_quarter": quarter_of, "by_month": month_of}


class Purse:
    """Sums of minor units by currency: two currencies are never added."""

    __slots__ = ("_sums",)

    def __init__(self) -> None:
        self._sums: dict[str, int] = {}

    def add(self, money: Money) -> None:
        """Adds an amount to the sum of its currency."""
        self._sums[money.currency] = self._sums.get(money.currency, 0) + money.minor

    def amounts(self, percent: int = 100) -> tuple[Money, ...]:
        """One sum per currency, alphabetically; a share of it in percent is rounded half up to the minor unit."""
        return tuple(Money((total * percent + 50) // 100, currency) for currency, total in sorted(self._sums.items()))


class Counting:
    """Outcomes while they are being counted."""

    __slots__ = ("lost", "open", "purse", "won")

    def __init__(self) -> None:
        self.open = self.won = self.lost = 0
        self.purse = Purse()

    def add(self, opportunity: Opportunity) -> None:
        """Counts an opportunity, and what it was won at."""
        outcome = opportunity.outcome
        if outcome == "open":
            self.open += 1
        elif outcome == "lost":
            self.lost += 1
        else:
            self.won += 1
            if (amount := opportunity.amount) is not None:
                self.purse.add(amount)


@attrs.frozen(kw_only=True)
class Slice:
    """The outcomes of one value of a dimension; ``key`` None stands for those that don't give it.

    ``win_rate`` is won / (won + lost) and None where nothing is closed; ``won_amount`` has one sum per currency.
    """

    key: str | None
    open: int
    won: int
    lost: int
    win_rate: float | None
    won_amount: tuple[Money, ...]


def rate(part: int, whole: int) -> float | None:
    """``part / whole``, or None where there is no whole to speak of."""
    return part / whole if whole else None


def sliced(counted: Mapping[str | None, Counting], *, by_time: bool) -> tuple[Slice, ...]:
    """The slices in a stable order: of time, or the most won first; what isn't given comes last."""
    slices = [
        Slice(
            key=key,
            open=tally.open,
            won=tally.won,
            lost=tally.lost,
            win_rate=rate(tally.won, tally.won + tally.lost),
            won_amount=tally.purse.amounts(),
        )
        for key, tally in counted.items()
    ]
    if by_time:
        return tuple(sorted(slices, key=lambda one: (one.key is None, one.key or "")))
    return tuple(sorted(slices, key=lambda one: (one.key is None, -one.won, -one.open, one.key or "")))


def slices_plain(dimension: str, slices: Iterable[Slice]) -> list[dict[str, Any]]:
    """The slices for JSON, each under the name of its dimension; a period has no open ones to show."""
    rows = []
    for one in slices:
        row = plain(one)
        named = {DIMENSIONS[dimension].key: row.pop("key"), **row}
        if dimension in PERIODS:
            del named["open"]
        rows.append(named)
    return rows


def money_columns(
    key: str, zh: str, en: str, found: Iterable[tuple[Money, ...]]
) -> tuple[tuple[str, ...], tuple[Column, ...]]:
    """The currencies in some sums, and a money column for each, ``key`` followed by the currency."""
    names = tuple(sorted({money.currency for sums in found for money in sums}))
    return names, tuple(Column(f"{key}_{name}", zh, en, "money") for name in names)


def money_cells(sums: tuple[Money, ...], names: tuple[str, ...]) -> tuple[Cell, ...]:
    """One cell per currency, 0 where the sum has nothing in it."""
    by_currency = {money.currency: money for money in sums}
    return tuple(by_currency.get(name, Money(0, name)) for name in names)


def slices_table(dimension: str, slices: tuple[Slice, ...], threshold: int) -> Table:
    """The slices as a table, with one money column per currency; a win rate of fewer than ``threshold`` is marked."""
    column = DIMENSIONS[dimension]
    names, amounts = money_columns("won_amount", "赢单金额", "Won amount", (one.won_amount for one in slices))
    counts = _COUNTS[1:] if dimension in PERIODS else _COUNTS
    rows = tuple(
        (
            one.key,
            *(getattr(one, count.key) for count in counts),
            *money_cells(one.won_amount, names),
            few(one.won + one.lost, threshold),
        )
        for one in slices
    )
    titles = f"机会按{column.zh}", f"Deals by {column.en.lower()}"
    return Table(f"funnel_{dimension}", *titles, (column, *counts, *amounts, FEW_COLUMN), rows, (few_note(threshold),))
