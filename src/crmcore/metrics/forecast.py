"""The sales forecast: what open opportunities are likely to bring, month by month, beside what was won (seed 002)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import attrs

from crmcore.domain.opportunity import Opportunity
from crmcore.domain.policies import Label, StageGraph
from crmcore.domain.values import Money
from crmcore.metrics.dimensions import in_period, shown_order
from crmcore.metrics.outcomes import Purse, money_cells, money_columns, month_of
from crmcore.metrics.tables import NOT_GIVEN, Column, Table, plain

_DIMENSIONS: Mapping[str, Label] = {
    "month": Label(zh="月份", en="Month"),
    "owner": Label(zh="负责人", en="Owner"),
    "stage": Label(zh="阶段", en="Stage"),
}
_APART: Mapping[str, Label] = {
    "overdue": Label(zh="预计日期已过", en="Expected date past"),
    "undated": Label(zh="无日期", en="Without a date"),
}
_OPEN, _WON = Column("open", "进行中", "Open", "integer"), Column("won", "赢单", "Won", "integer")
_MONEY = (
    ("expected", "预计金额", "Expected"),
    ("weighted", "加权金额", "Weighted"),
    ("won_amount", "赢单金额", "Won amount"),
    ("outlook", "预测(赢单+加权)", "Outlook (won + weighted)"),
)
_NOTES = (
    Label(
        zh="加权金额 = 预计金额 × 阶段成交可能性,逐单四舍五入到分;未设可能性的阶段按0计。输单不计;赢单按成交金额计入结案月份。",
        en="Weighted: the expected amount × the stage's probability, rounded half up to the minor unit for each deal; a stage "
        "without one weighs nothing, nor does a lost deal. Won deals count at their amount in the month they closed.",
    ),
    Label(
        zh="预计日期已过或没有日期的,不计入各月与合计,另行列出。不同货币从不相加。",
        en="Deals whose expected date is past, and those without one, are shown apart and in no sum. Currencies are never added up.",
    ),
)


@attrs.frozen(kw_only=True)
class ForecastLine:
    """One group: how many are open and won, and sums with one amount per currency. ``outlook`` is won + weighted."""

    key: str | None
    open: int
    expected: tuple[Money, ...]
    weighted: tuple[Money, ...]
    won: int
    won_amount: tuple[Money, ...]
    outlook: tuple[Money, ...]


@attrs.frozen(kw_only=True)
class Forecast:
    """What :func:`forecast` found. ``slices`` (``by_month``, ``by_owner``, ``by_stage``) add up to ``total``; ``overdue`` and
    ``undated`` are in none of them."""

    graph: StageGraph
    total: ForecastLine
    slices: Mapping[str, tuple[ForecastLine, ...]]
    overdue: ForecastLine
    undated: ForecastLine

    @property
    def tables(self) -> tuple[Table, ...]:
        """By month with what stands apart below, by owner and by stage."""
        by_month = (*self.slices["by_month"], *(one for one in (self.overdue, self.undated) if one.open or one.won))
        return (
            self._table("month", by_month),
            self._table("owner", self.slices["by_owner"]),
            self._table("stage", self.slices["by_stage"]),
        )

    def to_plain(self) -> dict[str, Any]:
        """For JSON; money as ``{"amount": "12.50", "currency": "CNY"}``."""
        named = {
            dimension: [{dimension.removeprefix("by_"): row.pop("key"), **row} for row in map(plain, lines)]
            for dimension, lines in self.slices.items()
        }
        apart = {name: plain(getattr(self, name)) for name in ("total", "overdue", "undated")}
        for row in apart.values():
            del row["key"]
        return {**apart, **named}

    def _table(self, name: str, lines: tuple[ForecastLine, ...]) -> Table:
        label = _DIMENSIONS[name]
        labels = {"month": _APART, "stage": {stage.key: stage.label for stage in self.graph.stages}}.get(name, {})
        columns = [Column(name, label.zh, label.en, labels=labels, blank=NOT_GIVEN), _OPEN, _WON]
        spread = []
        for key, zh, en in _MONEY:
            names, found = money_columns(key, zh, en, (getattr(line, key) for line in lines))
            columns += found
            spread.append((key, names))
        rows = tuple(
            (
                line.key,
                line.open,
                line.won,
                *(cell for key, names in spread for cell in money_cells(getattr(line, key), names)),
            )
            for line in lines
        )
        titles = f"销售预测(按{label.zh})", f"Forecast by {label.en.lower()}"
        return Table(f"forecast_by_{name}", *titles, tuple(columns), rows, _NOTES)


class _Counting:
    __slots__ = ("expected", "open", "outlook", "weighted", "won", "won_amount")

    def __init__(self) -> None:
        self.open = self.won = 0
        self.expected, self.weighted, self.won_amount, self.outlook = Purse(), Purse(), Purse(), Purse()

    def add(self, one: Opportunity, percent: int) -> None:
        if one.outcome == "won":
            self.won += 1
            if one.amount is not None:
                self.won_amount.add(one.amount)
                self.outlook.add(one.amount)
            return
        self.open += 1
        if (expected := one.expected_amount) is not None:
            weighted = weigh(expected, percent)
            self.expected.add(expected)
            self.weighted.add(weighted)
            self.outlook.add(weighted)

    def line(self, key: str | None) -> ForecastLine:
        return ForecastLine(
            key=key,
            open=self.open,
            expected=self.expected.amounts(),
            weighted=self.weighted.amounts(),
            won=self.won,
            won_amount=self.won_amount.amounts(),
            outlook=self.outlook.amounts(),
        )


def weigh(money: Money, percent: int) -> Money:
    """A share of an amount in percent, rounded half up to the minor unit.

    >>> str(weigh(Money(minor=101), 50))
    'CNY 0.51'
    """
    return Money((money.minor * percent + 50) // 100, money.currency)


def forecast(
    opportunities: Iterable[Opportunity],
    graph: StageGraph,
    *,
    today: date,
    since: date | None = None,
    until: date | None = None,
) -> Forecast:
    """What the opportunities of one pipeline come to, by the month in which they close.

    Open ones count in the month of ``expected_close_on`` at their expected amount and, weighted, at that times the
    probability of their stage; each is rounded by itself, so that every dimension adds up exactly. Won ones count at their
    amount in the month of ``closed_on``; lost ones nowhere. With a period, those count whose month-giving day lies in it, from
    ``since`` (the first day in) to ``until`` (the first day out). Open ones expected before ``today`` are ``overdue``;
    ``undated`` are open ones without an expected day, and won ones without a day of closing. Both stand apart, whatever the
    period, and are in no sum.
    """
    percents = {stage.key: stage.probability or 0 for stage in graph.stages}
    total, overdue, undated = _Counting(), _Counting(), _Counting()
    groups: dict[str, dict[str | None, _Counting]] = {name: {} for name in _DIMENSIONS}
    for one in opportunities:
        if one.outcome == "lost":
            continue
        percent = percents.get(one.stage, 0)
        day = one.closed_on if one.outcome == "won" else one.expected_close_on
        if day is None:
            undated.add(one, percent)
        elif one.outcome == "open" and day < today:
            overdue.add(one, percent)
        elif in_period(day, since, until):
            total.add(one, percent)
            for name, key in (("month", month_of(day)), ("owner", one.owner), ("stage", one.stage)):
                group = groups[name]
                (group.get(key) or group.setdefault(key, _Counting())).add(one, percent)
    return Forecast(
        graph=graph,
        total=total.line(None),
        slices={f"by_{name}": _lines(name, group, graph) for name, group in groups.items()},
        overdue=overdue.line("overdue"),
        undated=undated.line("undated"),
    )


def _lines(name: str, group: Mapping[str | None, _Counting], graph: StageGraph) -> tuple[ForecastLine, ...]:
    known = {
        "month": sorted(key for key in group if key is not None),
        "stage": [stage.key for stage in graph.stages],
    }.get(name, [])
    sizes = {key: counted.open + counted.won for key, counted in group.items()}
    return tuple(group[key].line(key) for key in shown_order(group, sizes, known))
