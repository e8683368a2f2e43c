"""The customers' own funnel, by the stages of the lifecycle (seed 003: 线索→意向 30 %), for teams that keep no opportunities too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import attrs

from crmcore.domain.customer import Customer
from crmcore.domain.event import Event
from crmcore.domain.playbook import Playbook
from crmcore.domain.policies import Label
from crmcore.metrics.customers import new_on
from crmcore.metrics.dimensions import (
    FACETS,
    FEW,
    FEW_COLUMN,
    facet_column,
    facets_of,
    few,
    few_note,
    in_period,
    shown_order,
)
from crmcore.metrics.outcomes import month_of, rate
from crmcore.metrics.stage_paths import (
    STAGE_COLUMNS,
    Bottleneck,
    StagePaths,
    StageProgress,
    bottleneck_of,
    cumulated,
    history_of,
)
from crmcore.metrics.tables import Column, Table, last_day, period_label, plain

_SLICE = (
    Column("count", "客户数", "Customers", "integer"),
    Column("won", "曾成交", "Ever won", "integer"),
    Column("won_rate", "成交率", "Share won", "percent"),
)
_METHOD = Label(
    zh="曾到达:历史与当前阶段中最远的一个及其之前的各阶段;没有历史的流失客户只计入第一阶段。",
    en="Ever reached: every stage up to the furthest in its history or now; a lost one without history counts for the first.",
)


@attrs.frozen(kw_only=True)
class CustomerSlice:
    """The customers of one value of a dimension; ``key`` None stands for those that don't give it.

    ``reached`` says how many came to each stage of the path or beyond it, ``won`` how many came to a won one; ``won_rate`` is
    that of ``count``. ``small`` says that ``count`` is below the threshold.
    """

    key: str | None
    count: int
    reached: Mapping[str, int]
    won: int
    won_rate: float | None
    small: bool


@attrs.frozen(kw_only=True)
class CustomerFunnel:
    """What :func:`customer_funnel` found; ``slices`` by ``by_owner``, ``by_tier``, ``by_stage`` (where they are now),
    ``by_industry``, ``by_source`` and ``by_month`` (in which they came)."""

    playbook: Playbook
    count: int
    stages: tuple[StageProgress, ...]
    bottleneck: Bottleneck | None
    slices: Mapping[str, tuple[CustomerSlice, ...]]
    threshold: int
    since: date | None
    until: date | None

    @property
    def tables(self) -> tuple[Table, ...]:
        """The stages, then one table per dimension with how many reached each stage."""
        return (self._stages_table(), *(self._table(name, found) for name, found in self.slices.items()))

    def to_plain(self) -> dict[str, Any]:
        """For JSON; shares as fractions of one, and ``until`` as the period's last day."""
        named = {
            dimension: [{dimension.removeprefix("by_"): row.pop("key"), **row} for row in map(plain, found)]
            for dimension, found in self.slices.items()
        }
        return {
            "since": plain(self.since),
            "until": plain(last_day(self.until)),
            "count": self.count,
            "stages": plain(self.stages),
            "bottleneck": plain(self.bottleneck),
            "threshold": self.threshold,
            **named,
        }

    def _notes(self) -> list[Label]:
        if not (self.since or self.until):
            return [_METHOD]
        span = period_label(self.since, self.until)
        return [_METHOD, Label(zh=f"期间:{span.zh}内新增的客户。", en=f"Customers that came from {span.en}.")]

    def _stages_table(self) -> Table:
        labels = {one.stage: one.label for one in self.stages}
        rows = tuple(
            (
                one.stage,
                *(getattr(one, column.key) for column in STAGE_COLUMNS),
                None if one.conversion is None else few(one.reached or 0, self.threshold),
            )
            for one in self.stages
        )
        columns = (Column("stage", "阶段", "Stage", labels=labels), *STAGE_COLUMNS, FEW_COLUMN)
        notes = (*self._notes(), self._bottleneck_note(labels), few_note(self.threshold))
        return Table("customer_funnel", "客户漏斗", "Customers' funnel", columns, rows, notes)

    def _bottleneck_note(self, labels: Mapping[str, Label]) -> Label:
        found, least = self.bottleneck, self.threshold
        if found is None:
            return Label(
                zh=f"瓶颈:没有到达数不少于{least}的进行中阶段。",
                en=f"Bottleneck: no open stage was reached by {least}.",
            )
        label, share = labels[found.stage], f"{found.conversion:.1%}"
        return Label(
            zh=f"瓶颈:{label.zh}(转化率{share},到达{found.reached};只比较到达数不少于{least}的进行中阶段)。",
            en=f"Bottleneck: {label.en} ({share} of {found.reached} go on; among open stages reached by {least} or more).",
        )

    def _table(self, dimension: str, found: tuple[CustomerSlice, ...]) -> Table:
        column = facet_column(dimension.removeprefix("by_"), self.playbook)
        path = [one for one in self.stages if one.reached is not None]
        reached = [Column(f"reached_{one.stage}", one.label.zh, one.label.en, "integer") for one in path]
        rows = tuple(
            (
                one.key,
                one.count,
                one.won,
                one.won_rate,
                *(one.reached[stage.stage] for stage in path),
                few(one.count, self.threshold),
            )
            for one in found
        )
        titles = f"客户漏斗(按{column.zh})", f"Customers' funnel by {column.en.lower()}"
        notes = (*self._notes(), few_note(self.threshold))
        return Table(f"customer_funnel_{dimension}", *titles, (column, *_SLICE, *reached, FEW_COLUMN), rows, notes)


def customer_funnel(
    customers: Iterable[Customer],
    moves: Iterable[Event],
    playbook: Playbook,
    *,
    now: datetime,
    zone: ZoneInfo,
    since: date | None = None,
    until: date | None = None,
    threshold: int = FEW,
) -> CustomerFunnel:
    """How far customers come through the lifecycle: from the customers and their events ``customer.registered`` and
    ``customer.moved``, by the method of :mod:`crmcore.metrics.stage_paths`.

    With a period, those customers count that came in it (first contact, else registration), from ``since`` (the first day
    in) to ``until`` (the first day out) in the zone. The bottleneck is sought among open stages that ``threshold`` or more
    have reached.
    """
    graph = playbook.lifecycle
    paths = StagePaths(graph, history_of(moves, "customer.registered", "customer.moved"), now)
    groups: dict[str, dict[str | None, list[int]]] = {name: {} for name in (*FACETS, "month")}
    count = 0
    for customer in customers:
        day = new_on(customer, zone)
        if not in_period(day, since, until):
            continue
        count += 1
        stage = graph.find(customer.stage)
        running = stage is None or not (stage.final or stage.outcome == "lost")
        furthest = paths.add(customer.id, customer.stage, customer.stage_since, running=running)
        for name, key in {**facets_of(customer), "month": month_of(day)}.items():
            group = groups[name]
            (group.get(key) or group.setdefault(key, [0] * len(paths.path)))[furthest] += 1
    stages = paths.progress()
    return CustomerFunnel(
        playbook=playbook,
        count=count,
        stages=stages,
        bottleneck=bottleneck_of(stages, threshold),
        slices={f"by_{name}": _sliced(name, group, playbook, threshold) for name, group in groups.items()},
        threshold=threshold,
        since=since,
        until=until,
    )


def _sliced(
    name: str, group: Mapping[str | None, list[int]], playbook: Playbook, threshold: int
) -> tuple[CustomerSlice, ...]:
    path = [stage for stage in playbook.lifecycle.stages if stage.outcome != "lost"]
    first_won = next((index for index, stage in enumerate(path) if stage.outcome == "won"), None)
    sizes = {key: sum(furthest) for key, furthest in group.items()}
    known = sorted(key for key in group if key is not None) if name == "month" else []
    if name in ("tier", "stage"):
        known = list(playbook.vocabulary(f"customer.{name}"))
    found = []
    for key in shown_order(group, sizes, known):
        reached = cumulated(group[key])
        won = reached[first_won] if first_won is not None else 0
        found.append(
            CustomerSlice(
                key=key,
                count=sizes[key],
                reached={stage.key: reached[index] for index, stage in enumerate(path)},
                won=won,
                won_rate=rate(won, sizes[key]),
                small=sizes[key] < threshold,
            )
        )
    return tuple(found)
