"""The parts of a playbook, each a value: labels, stages and moves, tiers, cadences, targets, reminders, tables, fields of one's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Literal

import attrs

from crmcore.domain.duration import Duration
from crmcore.domain.values import FrozenMap, fold
from crmcore.errors import Language

Outcome = Literal["open", "won", "lost"]
CadencePolicy = Literal["strictest", "tier_first", "stage_first"]


def frozen_map(value: Mapping[str, Any] | None) -> FrozenMap:
    """A converter for fields that hold a mapping."""
    return FrozenMap(value)


@attrs.frozen(kw_only=True)
class Label:
    """A name in both languages, and what else people write for it."""

    zh: str
    en: str
    aliases: tuple[str, ...] = ()

    def text(self, language: Language = "en") -> str:
        """The label in one language."""
        return self.zh if language == "zh-CN" else self.en

    @property
    def spellings(self) -> tuple[str, ...]:
        """Everything that it is called, labels first, nothing twice."""
        return tuple(dict.fromkeys((self.zh, self.en, *self.aliases)))


@attrs.frozen(kw_only=True)
class Stage:
    """A stage of a lifecycle or a pipeline. ``probability`` is the chance of winning in percent.

    ``lifecycle`` is, in a pipeline, the stage of the lifecycle that it stands for. A ``final`` stage is a declared end.
    """

    key: str
    label: Label
    outcome: Outcome = "open"
    probability: int | None = None
    lifecycle: str | None = None
    final: bool = False


@attrs.frozen(kw_only=True)
class Transition:
    """A move that is allowed, and what it asks for: ``guards`` are keys of :data:`GUARDS`.

    ``fields`` belong to the guard of that name (dotted, or of the moving entity), ``evidence`` likewise names the kinds of
    attachment. A ``rollback`` goes back and counts as no progress.
    """

    source: str
    target: str
    guards: tuple[str, ...] = ()
    rollback: bool = False
    fields: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class StageGraph:
    """Stages in the order of a funnel, and the moves between them."""

    key: str
    label: Label
    initial: str
    stages: tuple[Stage, ...]
    transitions: tuple[Transition, ...]

    @cached_property
    def _stages(self) -> Mapping[str, Stage]:
        return {stage.key: stage for stage in self.stages}

    @cached_property
    def _transitions(self) -> Mapping[tuple[str, str], Transition]:
        return {(move.source, move.target): move for move in self.transitions}

    @cached_property
    def _texts(self) -> Mapping[str, str]:
        return by_text((stage.key, stage.label) for stage in self.stages)

    def stage(self, key: str) -> Stage:
        """The stage of that key; raises KeyError."""
        return self._stages[key]

    def find(self, key: str) -> Stage | None:
        """The stage of that key, or None: a record may stand at one that the playbook no longer has."""
        return self._stages.get(key)

    def transition(self, source: str, target: str) -> Transition | None:
        """The move from one stage to another, or None where it isn't allowed."""
        return self._transitions.get((source, target))

    def targets(self, source: str) -> tuple[str, ...]:
        """The stages that can follow, in the order of the playbook."""
        return tuple(move.target for move in self.transitions if move.source == source)

    def stage_key(self, text: str) -> str | None:
        """The stage that a text means: its key, a label or an alias, folded."""
        return self._texts.get(fold(text)) if isinstance(text, str) else None


@attrs.frozen(kw_only=True)
class Tier:
    """A class of customers (客户分级)."""

    key: str
    label: Label


@attrs.frozen(kw_only=True)
class Cadence:
    """How often customers of some tiers and stages are followed up; of each ``track`` one cadence holds at a time.

    Empty ``tiers`` or ``stages`` mean any; ``stages`` are of the lifecycle. With ``working_days`` a due day that is closed
    moves on to the next open one.
    """

    key: str
    label: Label
    every: Duration
    track: str = "contact"
    tiers: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    method: str | None = None
    goal: Label | None = None
    content: Label | None = None
    working_days: bool = False


@attrs.frozen(kw_only=True)
class Target:
    """Something due ``within`` a time of a moment (``on``), and the moment that meets it; both keys of :data:`MOMENTS`.

    It holds where each field in ``where`` has the value given there (``{"feedback.complexity": "complex"}``). ``fields`` are
    what ``customer.completed`` asks for.
    """

    key: str
    label: Label
    within: Duration
    on: str
    met_by: str
    fields: tuple[str, ...] = ()
    where: Mapping[str, str] = attrs.field(factory=FrozenMap, converter=frozen_map)


@attrs.frozen(kw_only=True)
class Reminder:
    """A notice ``before`` or ``after`` something is due: a date field (``customer.contract_expires_on``), every obligation of one rule
    (``cadence.weekly_contact``, ``target.record_follow_up``) or of one sort (``cadence``, ``target``, ``plan``).
    """

    key: str
    label: Label
    on: str
    before: Duration | None = None
    after: Duration | None = None


@attrs.frozen(kw_only=True)
class Table:
    """A sheet as the team knows it: dotted fields in the order of its columns, and one example row by field."""

    key: str
    label: Label
    entity: str
    columns: tuple[str, ...]
    example: Mapping[str, str] = attrs.field(factory=FrozenMap, converter=frozen_map)

    @property
    def entities(self) -> tuple[str, ...]:
        """Those whose every field may stand in the sheet: a customer brings a contact along."""
        return (self.entity, "contact") if self.entity == "customer" else (self.entity,)


@attrs.frozen(kw_only=True)
class CustomField:
    """A field of the team's own, as ``customer.region``."""

    key: str
    kind: Literal["text", "integer", "flag"]
    label: Label


def by_text(labels: Iterable[tuple[str, Label]]) -> Mapping[str, str]:
    """The key that each spelling means, folded; of two claims the first."""
    found: dict[str, str] = {}
    for key, label in labels:
        for spelling in (key, *label.spellings):
            found.setdefault(fold(spelling), key)
    return found
