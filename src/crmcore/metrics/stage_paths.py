"""How far records come through a graph of stages, how long they stay, and where they stay behind: one method for every funnel.

How far a record came is the furthest of the stages in its history and its present one, in the order of the graph without
the lost stages; it counts as having reached every stage up to there. A lost one without history counts for the first
stage alone, since nothing tells more. A rollback takes nothing back. A visit to a stage lasts from one event to the next,
the first from the ``stage_since`` that the record began with; one that goes on, from ``stage_since`` until now.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import accumulate, pairwise
from statistics import median

import attrs

from crmcore.domain.event import Event, changes_of
from crmcore.domain.policies import Label, Stage, StageGraph
from crmcore.metrics.outcomes import rate
from crmcore.metrics.tables import Column

_DAY = 86_400.0
#: What a funnel tells of each stage, whoever goes through it.
STAGE_COLUMNS = (
    Column("count", "当前数量", "Now here", "integer"),
    Column("reached", "曾到达", "Ever reached", "integer"),
    Column("conversion", "到下一阶段转化率", "On to the next", "percent"),
    Column("days_finished", "停留天数中位数(已离开)", "Median days (left)", "days"),
    Column("finished", "已离开次数", "Visits ended", "integer"),
    Column("days_running", "停留天数中位数(停留中)", "Median days (still there)", "days"),
    Column("running", "停留中数量", "Visits going on", "integer"),
)
Visit = tuple[datetime, str, datetime, str]  # when and in which event it was told, since when, which stage
# What the library wrote has no space around it: this spares json.loads its search for some.
_decode = json.JSONDecoder().raw_decode


@attrs.frozen(kw_only=True)
class StageProgress:
    """One stage. ``count`` are there now; ``reached`` came there or beyond it, ``conversion`` of them to the next stage.

    ``reached`` is None for a stage that is no step forward (lost, or unknown to the playbook); ``conversion`` is None
    where nobody reached the stage or none follows. ``days_finished`` is the median length of the visits that ended,
    ``days_running`` of those that go on, each with the number of visits.
    """

    stage: str
    label: Label
    outcome: str | None
    probability: int | None
    count: int
    reached: int | None
    conversion: float | None
    days_finished: float | None
    finished: int
    days_running: float | None
    running: int


@attrs.frozen(kw_only=True)
class Bottleneck:
    """The open stage that the smallest share goes on from, among those that at least ``threshold`` records reached."""

    stage: str
    conversion: float
    reached: int


class _Visits:
    __slots__ = ("count", "finished", "running")

    def __init__(self) -> None:
        self.count = 0
        self.finished: list[float] = []
        self.running: list[float] = []


class StagePaths:
    """The paths of records through one graph, while they are being counted."""

    def __init__(self, graph: StageGraph, history: Mapping[str, Sequence[Visit]], now: datetime) -> None:
        self.graph = graph
        self.path = [stage for stage in graph.stages if stage.outcome != "lost"]
        self._positions = {stage.key: index for index, stage in enumerate(self.path)}
        self._history = history
        self._now = now
        self._stages = {stage.key: _Visits() for stage in graph.stages}
        self._furthest = [0] * len(self.path)

    def add(self, id: str, stage: str, since: datetime, *, running: bool) -> int:
        """Counts a record at a stage, and its history; ``running`` says that the visit goes on. Gives the place on the path
        of the furthest stage it came to."""
        visits = self._history.get(id, ())
        here = self._stages.get(stage) or self._stages.setdefault(stage, _Visits())
        here.count += 1
        if running:
            here.running.append((self._now - since).total_seconds() / _DAY)
        furthest = self._positions.get(stage, 0)
        for _, _, _, visited in visits:
            if (position := self._positions.get(visited, 0)) > furthest:
                furthest = position
        self._furthest[furthest] += 1
        for (_, _, began, visited), (_, _, ended, _) in pairwise(visits):
            if began <= ended and (left := self._stages.get(visited)) is not None:
                left.finished.append((ended - began).total_seconds() / _DAY)
        return furthest

    def progress(self) -> tuple[StageProgress, ...]:
        """The path first, then what is lost, then stages that the graph doesn't know."""
        reached = cumulated(self._furthest)
        found = [
            self._one(
                stage,
                reached=reached[index],
                conversion=rate(reached[index + 1], reached[index]) if index + 1 < len(reached) else None,
            )
            for index, stage in enumerate(self.path)
        ]
        found += [self._one(stage) for stage in self.graph.stages if stage.outcome == "lost"]
        known = {stage.key for stage in self.graph.stages}
        for key in sorted(self._stages.keys() - known):
            found.append(attrs.evolve(self._one(Stage(key=key, label=Label(zh=key, en=key))), outcome=None))
        return tuple(found)

    def _one(self, stage: Stage, *, reached: int | None = None, conversion: float | None = None) -> StageProgress:
        visits = self._stages[stage.key]
        return StageProgress(
            stage=stage.key,
            label=stage.label,
            outcome=stage.outcome,
            probability=stage.probability,
            count=visits.count,
            reached=reached,
            conversion=conversion,
            days_finished=median(visits.finished) if visits.finished else None,
            finished=len(visits.finished),
            days_running=median(visits.running) if visits.running else None,
            running=len(visits.running),
        )


def cumulated(furthest: Sequence[int]) -> list[int]:
    """How many came to each place of a path or beyond it, from how many came to each place and no further."""
    return list(accumulate(reversed(furthest)))[::-1]


def history_of(moves: Iterable[Event], begun: str, moved: str) -> dict[str, list[Visit]]:
    """The stages that each record came to, in order, from the events of these two actions; equal moments keep the order of
    the event ids."""
    found: dict[str, list[Visit]] = {}
    for event in moves:
        if event.action not in (begun, moved) or not event.changes:
            continue
        try:
            changes = _decode(event.changes)[0]
        except ValueError:
            changes = changes_of(event)  # says what is wrong
        if (stage := changes.get("stage")) is None:
            continue
        # An imported record came to its stage before the event that tells of it.
        since = changes.get("stage_since") if event.action == begun else None
        visit = (event.at, event.id, datetime.fromisoformat(since[1]) if since else event.at, stage[1])
        if (visits := found.get(event.subject_id)) is None:
            found[event.subject_id] = [visit]
        else:
            visits.append(visit)
    for visits in found.values():
        visits.sort()
    return found


def bottleneck_of(stages: Iterable[StageProgress], threshold: int) -> Bottleneck | None:
    """The lowest conversion among open stages that ``threshold`` or more have reached; of two alike the earlier stage."""
    found = [
        Bottleneck(stage=one.stage, conversion=one.conversion, reached=one.reached)
        for one in stages
        if one.outcome == "open" and one.reached is not None and one.conversion is not None and one.reached >= threshold
    ]
    return min(found, key=lambda one: one.conversion, default=None)
