"""The parts of a playbook, each a value: labels, stages and moves, tiers, cadences, targets, reminders, tables, fields of one's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Literal

import attrs

from crmcore.domain.duration import Duration
from crmcore.domain.values import FrozenMap, fold
from crmcore.errors import Language, language_of

Outcome = Literal["open", "won", "lost"]
CadencePolicy = Literal["strictest", "tier_first", "stage_first"]
#: How a pause moves a due time: by its working time (the clock stands still), by its length on the wall clock, or not at all.
PauseTime = Literal["working_time", "wall_clock", "none"]
#: What reopening does: the clock goes on where it stopped, begins anew, or begins anew beside the cycle that was met.
Reopening = Literal["continue", "restart", "new_cycle"]
#: Where a duration ends that exactly fills a window: at its close, or at the next opening.
Boundary = Literal["close", "next_open"]
#: Whose records an action may be done to: nobody's, one's own, those of one's department, everybody's.
ScopeName = Literal["none", "own", "team", "all"]
#: How much of a field one has: nothing, its outline, all of it, and the right to change it.
LevelName = Literal["hidden", "masked", "read", "write"]


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
        return self.zh if language_of(language) == "zh-CN" else self.en

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
    attachment. A ``rollback`` goes back and counts as no progress. An ``automatic`` move is made by itself as soon as its
    guards hold (seed 004: a customer whose contract is signed becomes 成交客户).
    """

    source: str
    target: str
    guards: tuple[str, ...] = ()
    rollback: bool = False
    automatic: bool = False
    fields: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


# With slots, attrs finds cached properties through __getattr__, which makes every look at a graph three times as slow.
@attrs.frozen(kw_only=True, slots=False)
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
    def steps(self) -> Mapping[tuple[str, str], tuple[Transition, Stage]]:
        """By where it leads from and to, each move and the stage that it comes to."""
        moves = (move for move in self.transitions if move.target in self._stages)
        return {(move.source, move.target): (move, self._stages[move.target]) for move in moves}

    @cached_property
    def _targets(self) -> Mapping[str, tuple[str, ...]]:
        sources = dict.fromkeys(move.source for move in self.transitions)
        return {source: tuple(move.target for move in self.transitions if move.source == source) for source in sources}

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The keys of the stages, in the order of the funnel."""
        return tuple(stage.key for stage in self.stages)

    @cached_property
    def _automatic(self) -> Mapping[str, tuple[Transition, ...]]:
        moves = [move for move in self.transitions if move.automatic]
        return {source: tuple(move for move in moves if move.source == source) for source in {m.source for m in moves}}

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
        step = self.steps.get((source, target))
        return step[0] if step else None

    def targets(self, source: str) -> tuple[str, ...]:
        """The stages that can follow, in the order of the playbook."""
        return self._targets.get(source, ())

    def automatic(self, source: str) -> tuple[Transition, ...]:
        """The moves that are made by themselves from a stage, in the order of the playbook."""
        return self._automatic.get(source, ())

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
    moves on to the next open one. Any conversation meets the track ``contact``, and one that takes ``any_contact``: C-tier customers
    that nobody spoke to for three months are about to be lost (seed 001).
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
    any_contact: bool = False


@attrs.frozen(kw_only=True)
class Target:
    """Something due ``within`` a time of a moment (``on``), and the moment that meets it: keys of
    :data:`crmcore.domain.playbook.MOMENTS`. ``on`` may also be a date field: then it is due by that day, and ``within`` after it.

    It holds where each field in ``where`` has the value given there (``{"feedback.complexity": "complex"}``). ``fields`` are
    what ``customer.completed`` asks for, or what ``customer.changed`` looks at. ``owed_by`` names the field of the record that says who owes it;
    with ``collaborators`` each of them does. It is at risk from ``warn`` before it is due. ``pause``, ``reopening`` and
    ``boundary`` are the policies of its clock (:class:`crmcore.rules.clocks.ClockPolicy`).
    """

    key: str
    label: Label
    on: str
    met_by: str
    within: Duration | None = None
    fields: tuple[str, ...] = ()
    where: Mapping[str, str] = attrs.field(factory=FrozenMap, converter=frozen_map)
    owed_by: str | None = None
    warn: Duration | None = None
    pause: PauseTime = "working_time"
    reopening: Reopening = "new_cycle"
    boundary: Boundary = "close"


@attrs.frozen(kw_only=True)
class Reminder:
    """A notice ``before`` or ``after`` something is due: a date field (``customer.contract_expires_on``), every obligation of one rule
    (``cadence.weekly_contact``, ``target.record_follow_up``) or of one sort (``cadence``, ``target``, ``plan``).

    It goes ``to`` the ``owner`` of what is due, the customer's ``registrar`` or ``collaborators``, or a role (``manager``): several
    reminders ``after`` the same thing are steps of escalation.
    """

    key: str
    label: Label
    on: str
    before: Duration | None = None
    after: Duration | None = None
    to: tuple[str, ...] = ("owner",)


@attrs.frozen(kw_only=True)
class Assignment:
    """Who gets a new feedback or ticket: of the people that ``to`` names for the value of the field ``by``, else ``otherwise``.

    A role there stands for every active user who holds it. Of several people ``strategy`` takes the ``first``, the next
    ``in_turn``, or the ``least_busy``, the one with the fewest open ones (seeds 001, 002).
    """

    key: str
    by: str = "topic"
    to: Mapping[str, tuple[str, ...]] = attrs.field(factory=FrozenMap, converter=frozen_map)
    otherwise: tuple[str, ...] = ()
    strategy: Literal["first", "in_turn", "least_busy"] = "first"


@attrs.frozen(kw_only=True)
class Step:
    """From a number on, so many points."""

    at_least: int
    points: int


@attrs.frozen(kw_only=True)
class Criterion:
    """One thing that a tier is worked out from (``on``): a field of the customer, or a key of
    :data:`crmcore.domain.playbook.MEASURES`; and its weight beside the others.

    A field with words gives ``points`` by value, a number or a measure the points of the highest of the ``steps`` that it
    reaches, 0 below the first. What is not known, and a value without points, gives ``missing``. Points go from 0 to 100.
    """

    key: str
    label: Label
    on: str
    weight: int
    points: Mapping[str, int] = attrs.field(factory=FrozenMap, converter=frozen_map)
    steps: tuple[Step, ...] = ()
    missing: int = 0


@attrs.frozen(kw_only=True)
class Tiering:
    """How a tier is worked out (seeds 001, 003), the best tier first. With the method ``scored``, ``bands`` give the least
    score of each tier, from 0 to 100. With ``shares``, in percent: a customer belongs to the first tier whose band lies above the
    share of the total amount that those bring in who each bring in more than it; so A with 80 are the fewest who bring in 80 %.

    A customer beside the edge of its band stays where it is until it is ``margin`` points beyond it. Orders count for ``window``.
    """

    method: Literal["scored", "shares"] = "scored"
    bands: Mapping[str, int] = attrs.field(factory=FrozenMap, converter=frozen_map)
    margin: int = 0
    window: Duration = attrs.field(factory=lambda: Duration(12, "months"))
    criteria: tuple[Criterion, ...] = ()


@attrs.frozen(kw_only=True)
class Retention:
    """How long a customer is kept 保存期限: ``after`` so long, counted from ``since``, it goes to the bin or is erased.

    It holds for customers of ``kind`` (any unless given) at one of ``stages`` (any unless given). ``since`` is the
    ``last_activity``, whatever was last done about the customer, or ``closed``: when it came to a stage that ends the lifecycle,
    won or lost; of one at another stage nothing is due then.
    """

    key: str
    label: Label
    after: Duration
    since: Literal["last_activity", "closed"] = "last_activity"
    kind: Literal["enterprise", "individual"] | None = None
    stages: tuple[str, ...] = ()
    action: Literal["delete", "erase"] = "erase"


@attrs.frozen(kw_only=True)
class Risks:
    """When a customer may be lost, and when one may want more (seed 001). A rule that isn't given finds nobody.

    Durations are calendar time. The last ``window`` is compared with the one before it. Percents are whole numbers.
    What each rule finds says :func:`crmcore.metrics.risk.risk`.
    """

    silent_for: Duration | None = None
    silent_tiers: tuple[str, ...] = ()
    renewal_within: Duration | None = None
    open_complaint: bool = False
    window: Duration = attrs.field(factory=lambda: Duration(3, "months"))
    activity_fall: int | None = None
    activity_least: int = 1
    changed_needs: bool = False
    orders_growth: int | None = None
    referrals: int | None = None
    satisfied_stars: int | None = None
    signals: int = 1


Found = Literal["refuse", "warn", "ignore"]
"""What becomes of a new customer that has a value in common with one on file."""


@attrs.frozen(kw_only=True)
class Duplicates:
    """What tells that a customer has a file already (一户一档: seeds 003, 004), key by key, and how strictly it is taken.

    Only enterprises are known by their name: two people may share one. A shared telephone may be an agent's. ``similar`` is
    what resembles without being equal.
    """

    uscc: Found = "refuse"
    name: Found = "refuse"
    phone: Found = "warn"
    email: Found = "warn"
    wechat: Found = "warn"
    similar: Literal["warn", "ignore"] = "warn"

    def of(self, found: Found) -> tuple[str, ...]:
        """The keys that are taken so strictly."""
        return tuple(key for key in ("uscc", "name", "phone", "email", "wechat") if getattr(self, key) == found)


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


@attrs.frozen(kw_only=True)
class FieldLevel:
    """How much of a field a role has in records of one's ``own``, of one's ``team``, and of ``all`` others.

    In TOML one word stands for all three, and ``team`` is what ``all`` is unless it is given.
    """

    own: LevelName
    team: LevelName
    all: LevelName


@attrs.frozen(kw_only=True)
class Permission:
    """What a role (岗位) may do: ``actions`` by entity, each with the scope that it reaches; ``fields`` by entity and name.

    The entity ``any`` stands for every business record, for each action that the entity doesn't name itself. An action that
    isn't named is not allowed; a field that isn't named can be written wherever its record can.
    """

    key: str
    actions: Mapping[str, Mapping[str, ScopeName]] = attrs.field(factory=FrozenMap, converter=frozen_map)
    fields: Mapping[str, Mapping[str, FieldLevel]] = attrs.field(factory=FrozenMap, converter=frozen_map)


@attrs.frozen(kw_only=True)
class Privacy:
    """What is to be protected: ``encrypted`` are the dotted fields whose values are encrypted in a store that has keys.

    A custom field there stands for all custom fields of its entity.
    """

    encrypted: tuple[str, ...] = ()


def by_text(labels: Iterable[tuple[str, Label]]) -> Mapping[str, str]:
    """The key that each spelling means, folded; of two claims the first."""
    found: dict[str, str] = {}
    for key, label in labels:
        for spelling in (key, *label.spellings):
            found.setdefault(fold(spelling), key)
    return found
