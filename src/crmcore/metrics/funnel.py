"""The sales funnel: how far opportunities come, where they stay behind, and what they are worth (seeds 002, 003)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import Any

import attrs

from crmcore.domain.event import Event
from crmcore.domain.opportunity import Opportunity
from crmcore.domain.policies import Label, StageGraph
from crmcore.domain.values import Money
from crmcore.metrics.dimensions import in_period
from crmcore.metrics.funnel_tables import amounts_table, stages_table, totals_table
from crmcore.metrics.outcomes import (
    DIMENSIONS,
    PERIODS,
    Counting,
    Purse,
    Slice,
    month_of,
    quarter_of,
    rate,
    sliced,
    slices_plain,
    slices_table,
)
from crmcore.metrics.stage_paths import Bottleneck, StagePaths, StageProgress, bottleneck_of, history_of
from crmcore.metrics.tables import Table, last_day, plain


@attrs.frozen(kw_only=True)
class StageFigures:
    """One stage. ``count`` are there now; ``reached`` came there or beyond it, ``conversion`` of them to the next stage.

    ``reached`` is None for a stage that is no step forward (lost, or unknown to the playbook); ``conversion`` is None
    where nobody reached the stage or none follows. Of the open ones, ``expected`` is the sum of expected amounts and
    ``weighted`` that times the stage's probability, None where the playbook gives none. ``days_finished`` is the median
    length of the visits that ended, ``days_running`` of those that go on, each with the number of visits.
    """

    stage: str
    label: Label
    outcome: str | None
    probability: int | None
    count: int
    reached: int | None
    conversion: float | None
    expected: tuple[Money, ...]
    weighted: tuple[Money, ...] | None
    won_amount: tuple[Money, ...]
    days_finished: float | None
    finished: int
    days_running: float | None
    running: int


@attrs.frozen(kw_only=True)
class Totals:
    """The funnel as a whole; every sum of money has one amount per currency.

    ``days_to_close`` is the mean from opening to closing, won or lost, of the ``timed`` ones that have both days.
    """

    count: int
    open: int
    won: int
    lost: int
    win_rate: float | None
    won_amount: tuple[Money, ...]
    expected: tuple[Money, ...]
    weighted: tuple[Money, ...]
    days_to_close: float | None
    timed: int


@attrs.frozen(kw_only=True)
class Funnel:
    """What :func:`funnel` found. ``slices`` are the outcomes by ``by_owner``, ``by_product``, ``by_source``, ``by_quarter``
    and ``by_month``."""

    stages: tuple[StageFigures, ...]
    totals: Totals
    slices: Mapping[str, tuple[Slice, ...]]
    bottleneck: Bottleneck | None
    threshold: int
    since: date | None
    until: date | None
    undated: int
    """Closed ones without a day of closing, left out because a period was asked for."""

    @property
    def tables(self) -> tuple[Table, ...]:
        """Stages, totals, amounts per currency, and one table per dimension."""
        return (
            stages_table(self),
            totals_table(self),
            amounts_table(self),
            *(slices_table(dimension, slices, self.threshold) for dimension, slices in self.slices.items()),
        )

    def to_plain(self) -> dict[str, Any]:
        """For JSON; money as ``{"amount": "12.50", "currency": "CNY"}``, shares as fractions of one, and the period as people
        say it: ``until`` is its last day."""
        return {
            "since": plain(self.since),
            "until": plain(last_day(self.until)),
            "stages": plain(self.stages),
            "totals": plain(self.totals),
            "bottleneck": plain(self.bottleneck),
            "threshold": self.threshold,
            "undated": self.undated,
            **{dimension: slices_plain(dimension, slices) for dimension, slices in self.slices.items()},
        }


def funnel(
    opportunities: Iterable[Opportunity],
    moves: Iterable[Event],
    graph: StageGraph,
    *,
    now: datetime,
    since: date | None = None,
    until: date | None = None,
    threshold: int = 20,
) -> Funnel:
    """The funnel of one pipeline: ``opportunities`` of it, and their events ``opportunity.opened`` and ``opportunity.moved``.

    How far an opportunity came, and how long a visit lasts: see :mod:`crmcore.metrics.stage_paths`.

    With a period, closed opportunities count by ``closed_on``, from ``since`` (the first day in) to ``until`` (the first
    day out), and open ones when opened before ``until``. The bottleneck
    is sought among open stages that ``threshold`` opportunities or more have reached.
    """
    paths = StagePaths(graph, history_of(moves, "opportunity.opened", "opportunity.moved"), now)
    amounts: dict[str, tuple[Purse, Purse]] = {}
    total = Counting()
    slices: dict[str, dict[str | None, Counting]] = {dimension: {} for dimension in DIMENSIONS}
    undated = timed = days = 0
    for opportunity in opportunities:
        opened, closed = opportunity.opened_on, opportunity.closed_on
        is_open = opportunity.outcome == "open"
        if since or until:
            if not is_open and closed is None:
                undated += 1
                continue
            day = opened if is_open else closed
            if day is not None and not in_period(day, None if is_open else since, until):
                continue
        total.add(opportunity)
        _count_slices(slices, opportunity)
        if not is_open and opened and closed:
            timed += 1
            days += (closed - opened).days
        paths.add(opportunity.id, opportunity.stage, opportunity.stage_since, running=is_open)
        expected, won = amounts.get(opportunity.stage) or amounts.setdefault(opportunity.stage, (Purse(), Purse()))
        if is_open and opportunity.expected_amount is not None:
            expected.add(opportunity.expected_amount)
        elif opportunity.outcome == "won" and opportunity.amount is not None:
            won.add(opportunity.amount)
    progress = paths.progress()
    figures = tuple(_figures(progress, amounts))
    return Funnel(
        stages=figures,
        totals=_totals(total, figures, days, timed),
        slices={dimension: sliced(found, by_time=dimension in PERIODS) for dimension, found in slices.items()},
        bottleneck=bottleneck_of(progress, threshold),
        threshold=threshold,
        since=since,
        until=until,
        undated=undated,
    )


def _count_slices(slices: Mapping[str, dict[str | None, Counting]], opportunity: Opportunity) -> None:
    keys: dict[str, str | None] = {
        "by_owner": opportunity.owner,
        "by_product": opportunity.product,
        "by_source": opportunity.source,
    }
    if opportunity.outcome != "open":
        closed = opportunity.closed_on
        keys["by_quarter"] = quarter_of(closed) if closed else None
        keys["by_month"] = month_of(closed) if closed else None
    for dimension, key in keys.items():
        counted = slices[dimension]
        (counted.get(key) or counted.setdefault(key, Counting())).add(opportunity)


def _figures(progress: Iterable[StageProgress], amounts: Mapping[str, tuple[Purse, Purse]]) -> Iterator[StageFigures]:
    """Each stage with what the open ones there are expected to bring and what was won there."""
    for one in progress:
        expected, won = amounts.get(one.stage) or (Purse(), Purse())
        yield StageFigures(
            **attrs.asdict(one, recurse=False),
            expected=expected.amounts(),
            weighted=None if one.probability is None else expected.amounts(one.probability),
            won_amount=won.amounts(),
        )


def _totals(total: Counting, figures: Iterable[StageFigures], days: int, timed: int) -> Totals:
    expected, weighted = Purse(), Purse()
    for one in figures:
        for money in one.expected:
            expected.add(money)
        for money in one.weighted or ():
            weighted.add(money)
    return Totals(
        count=total.open + total.won + total.lost,
        open=total.open,
        won=total.won,
        lost=total.lost,
        win_rate=rate(total.won, total.won + total.lost),
        won_amount=total.purse.amounts(),
        expected=expected.amounts(),
        weighted=weighted.amounts(),
        days_to_close=rate(days, timed),
        timed=timed,
    )
