"""The sales funnel: how far opportunities come, where they stay behind, and what they are worth (seeds 002, 003)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from itertools import accumulate, pairwise
from statistics import median
from typing import Any

import attrs

from crmcore.domain.event import Event
from crmcore.domain.opportunity import Opportunity
from crmcore.domain.policies import Label, Stage, StageGraph
from crmcore.domain.values import Money
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
from crmcore.metrics.tables import Table, last_day, plain

_DAY = 86_400.0
_OPENED = "opportunity.opened"
_HISTORY = frozenset({_OPENED, "opportunity.moved"})
_Visit = tuple[datetime, str, datetime, str]  # when and in which event it was told, since when, which stage
# What the library wrote has no space around it: this spares json.loads its search for some.
_decode = json.JSONDecoder().raw_decode


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
class Bottleneck:
    """The open stage that the smallest share goes on from, among those that at least ``threshold`` opportunities reached."""

    stage: str
    conversion: float
    reached: int


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
            *(slices_table(dimension, slices) for dimension, slices in self.slices.items()),
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


class _StageCounting:
    __slots__ = ("count", "expected", "finished", "running", "won")

    def __init__(self) -> None:
        self.count = 0
        self.expected, self.won = Purse(), Purse()
        self.finished: list[float] = []
        self.running: list[float] = []


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

    How far an opportunity came is the furthest of the stages in its history and its present one, in the order of
    the graph without the lost stages; it counts as having reached every stage up to there. A lost one without
    history counts for the first stage alone, since nothing tells more. A rollback takes nothing back.

    With a period, closed opportunities count by ``closed_on``, from ``since`` (the first day in) to ``until`` (the first
    day out), and open ones when opened before ``until``. A visit to a stage lasts from one event to the next, the first
    from the ``stage_since`` that it was opened with; one that goes on, from ``stage_since`` until ``now``. The bottleneck
    is sought among open stages that ``threshold`` opportunities or more have reached.
    """
    history = _history(moves)
    path = [stage for stage in graph.stages if stage.outcome != "lost"]
    positions = {stage.key: index for index, stage in enumerate(path)}
    stages = {stage.key: _StageCounting() for stage in graph.stages}
    furthest = [0] * len(path)
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
            if not _in_period(opened if is_open else closed, None if is_open else since, until):
                continue
        total.add(opportunity)
        _count_slices(slices, opportunity)
        if not is_open and opened and closed:
            timed += 1
            days += (closed - opened).days
        visits = history.get(opportunity.id, ())
        here = stages.get(opportunity.stage) or stages.setdefault(opportunity.stage, _StageCounting())
        here.count += 1
        if is_open:
            here.running.append((now - opportunity.stage_since).total_seconds() / _DAY)
            if (expected := opportunity.expected_amount) is not None:
                here.expected.add(expected)
        elif opportunity.outcome == "won" and (amount := opportunity.amount) is not None:
            here.won.add(amount)
        furthest[_furthest(opportunity.stage, visits, positions)] += 1
        for (_, _, began, stage), (_, _, ended, _) in pairwise(visits):
            if began <= ended and (visited := stages.get(stage)) is not None:
                visited.finished.append((ended - began).total_seconds() / _DAY)
    figures = _figures(graph, path, stages, furthest)
    return Funnel(
        stages=figures,
        totals=_totals(total, figures, days, timed),
        slices={dimension: sliced(found, by_time=dimension in PERIODS) for dimension, found in slices.items()},
        bottleneck=_bottleneck(figures, threshold),
        threshold=threshold,
        since=since,
        until=until,
        undated=undated,
    )


def _in_period(day: date | None, since: date | None, until: date | None) -> bool:
    return day is None or ((since is None or day >= since) and (until is None or day < until))


def _history(moves: Iterable[Event]) -> dict[str, list[_Visit]]:
    """The stages that each opportunity came to, in order; equal moments keep the order of the event ids."""
    found: dict[str, list[_Visit]] = {}
    for event in moves:
        if event.action not in _HISTORY or not event.changes:
            continue
        changes = _decode(event.changes)[0]
        if (stage := changes.get("stage")) is None:
            continue
        # An imported opportunity came to its stage before the event that tells of it.
        since = changes.get("stage_since") if event.action == _OPENED else None
        visit = (event.at, event.id, datetime.fromisoformat(since[1]) if since else event.at, stage[1])
        if (visits := found.get(event.subject_id)) is None:
            found[event.subject_id] = [visit]
        else:
            visits.append(visit)
    for visits in found.values():
        visits.sort()
    return found


def _furthest(stage: str, visits: Sequence[_Visit], positions: Mapping[str, int]) -> int:
    here = positions.get(stage, 0)
    for _, _, _, visited in visits:
        if (position := positions.get(visited, 0)) > here:
            here = position
    return here


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


def _figures(
    graph: StageGraph, path: Sequence[Stage], stages: Mapping[str, _StageCounting], furthest: Sequence[int]
) -> tuple[StageFigures, ...]:
    """The path first, then what is lost, then stages that the graph doesn't know."""
    reached = list(accumulate(reversed(furthest)))[::-1]
    figures = [
        _one_stage(
            stage,
            stages[stage.key],
            reached=reached[index],
            conversion=rate(reached[index + 1], reached[index]) if index + 1 < len(path) else None,
        )
        for index, stage in enumerate(path)
    ]
    figures += [_one_stage(stage, stages[stage.key]) for stage in graph.stages if stage.outcome == "lost"]
    known = {stage.key for stage in graph.stages}
    for key in sorted(stages.keys() - known):
        stage = Stage(key=key, label=Label(zh=key, en=key))
        figures.append(attrs.evolve(_one_stage(stage, stages[key]), outcome=None))
    return tuple(figures)


def _one_stage(
    stage: Stage, counted: _StageCounting, *, reached: int | None = None, conversion: float | None = None
) -> StageFigures:
    return StageFigures(
        stage=stage.key,
        label=stage.label,
        outcome=stage.outcome,
        probability=stage.probability,
        count=counted.count,
        reached=reached,
        conversion=conversion,
        expected=counted.expected.amounts(),
        weighted=None if stage.probability is None else counted.expected.amounts(stage.probability),
        won_amount=counted.won.amounts(),
        days_finished=median(counted.finished) if counted.finished else None,
        finished=len(counted.finished),
        days_running=median(counted.running) if counted.running else None,
        running=len(counted.running),
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


def _bottleneck(figures: Iterable[StageFigures], threshold: int) -> Bottleneck | None:
    """The lowest conversion; of two alike the earlier stage."""
    found = [
        Bottleneck(stage=one.stage, conversion=one.conversion, reached=one.reached)
        for one in figures
        if one.outcome == "open" and one.reached is not None and one.conversion is not None and one.reached >= threshold
    ]
    return min(found, key=lambda one: one.conversion, default=None)
