"""One customer out of two, and two out of one again: which value is kept of each field, and why. Pure.

What goes together is decided together: a stage with the moment since which it holds. :data:`RULES` is the whole of it; a field
that isn't named is filled where it is blank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import attrs

from crmcore.domain import Customer, Event, Money
from crmcore.domain.customer import LEVELS
from crmcore.domain.event import changes_of
from crmcore.domain.policies import Label, StageGraph
from crmcore.domain.values import FrozenMap

Source = Literal["keep", "absorb", "both", "given"]
Unit: TypeAlias = tuple[str, ...]
"""Fields that are decided together, by the first of them."""

#: The order of what is the higher value.
_POTENTIALS = ("A", "B", "C")

#: How each field is decided, where it isn't filled.
RULES: Mapping[Unit, str] = {
    ("number",): "keep",
    ("name",): "keep",
    ("kind",): "keep",
    ("stage", "stage_since", "lost_reason"): "furthest",
    ("tier", "tier_reason", "tier_until"): "fill",
    ("headcount_low", "headcount_high"): "fill",
    ("first_contact_on",): "earliest",
    ("last_follow_up_at",): "latest",
    ("contract_expires_on",): "latest",
    ("annual_revenue",): "larger",
    ("contract_amount",): "larger",
    ("budget",): "larger",
    ("urgency",): "higher",
    ("priority",): "higher",
    ("potential",): "higher",
    ("need_tags",): "unite",
    ("collaborators",): "unite",
    ("decision_makers",): "unite",
    ("tags",): "unite",
    ("custom",): "unite",
}
STAMPS = frozenset(("id", "version", "created_at", "created_by", "updated_at", "updated_by"))
_NAMED = {name for unit in RULES for name in unit}
UNITS: tuple[Unit, ...] = (*RULES, *((name,) for name in Customer.kinds if name not in _NAMED | STAMPS))

#: Why a value was kept, by rule.
WHY: Mapping[str, Label] = {
    "keep": Label(zh="以保留方为准", en="the kept one's"),
    "fill": Label(zh="保留方优先,空白由被合并方补充", en="the kept one's, filled where it was blank"),
    "furthest": Label(zh="取更靠后的阶段", en="the stage that is further on"),
    "earliest": Label(zh="取更早的日期", en="the earlier"),
    "latest": Label(zh="取更晚的日期", en="the later"),
    "larger": Label(zh="取更大的数额", en="the larger"),
    "higher": Label(zh="取更高的等级", en="the higher"),
    "unite": Label(zh="两方合并", en="both together"),
    "given": Label(zh="人工指定", en="as was asked for"),
}

NEVER_PREFERRED = frozenset(("number", "stage_since", "lost_reason", "tier_reason", "tier_until", "headcount_high"))
"""Fields that nobody chooses: a number stays with its customer, the others go with the first of their unit."""
SIDES_ONLY = frozenset(("stage", "tier", "owner", "last_follow_up_at", "headcount_low"))
"""Fields of which one of the two values is chosen, and no third is given: use cases of their own set them."""


@attrs.frozen(kw_only=True)
class Choice:
    """What a field comes to when two customers become one: the value, whose it is, and the rule by which it was chosen.

    ``kept`` and ``absorbed`` are what the two had.
    """

    field: str
    value: Any
    kept: Any
    absorbed: Any
    source: Source
    rule: str

    @property
    def why(self) -> Label:
        """The rule for a reader."""
        return WHY[self.rule]


def choices(
    keep: Customer, absorb: Customer, lifecycle: StageGraph, prefer: Mapping[str, Any] | None = None
) -> tuple[Choice, ...]:
    """What every field comes to when ``keep`` takes ``absorb`` in.

    ``prefer`` says otherwise for some fields: ``keep`` or ``absorb`` is that one's value, anything else is the value.
    """
    found: list[Choice] = []
    for unit in UNITS:
        kept, absorbed = _values(keep, unit), _values(absorb, unit)
        values, source = _decided(unit, kept, absorbed, lifecycle, prefer or {})
        rule = "given" if unit[0] in (prefer or {}) else RULES.get(unit, "fill")
        found += (
            Choice(field=name, value=value, kept=one, absorbed=other, source=source, rule=rule)
            for name, value, one, other in zip(unit, values, kept, absorbed, strict=True)
        )
    return tuple(found)


def _values(customer: Customer, unit: Unit) -> tuple[Any, ...]:
    return tuple(getattr(customer, name) for name in unit)


def _decided(
    unit: Unit, kept: tuple[Any, ...], absorbed: tuple[Any, ...], lifecycle: StageGraph, prefer: Mapping[str, Any]
) -> tuple[tuple[Any, ...], Source]:
    """The values of a unit and whose they are. A value that both have is the kept one's."""
    name = unit[0]
    if name in prefer:
        asked = prefer[name]
        values = kept if asked == "keep" else absorbed if asked == "absorb" else (asked,)
        source: Source = "given"
    else:
        values, source = _BY_RULE[RULES.get(unit, "fill")](kept, absorbed, lifecycle, name), "both"
    return values, "keep" if values == kept else "absorb" if values == absorbed else source


_Rule: TypeAlias = Callable[[tuple[Any, ...], tuple[Any, ...], StageGraph, str], tuple[Any, ...]]


def _keep(kept: tuple[Any, ...], absorbed: tuple[Any, ...], lifecycle: StageGraph, name: str) -> tuple[Any, ...]:
    return kept


def _fill(kept: tuple[Any, ...], absorbed: tuple[Any, ...], lifecycle: StageGraph, name: str) -> tuple[Any, ...]:
    return absorbed if kept[0] is None else kept


def _better(is_better: Callable[[Any, Any, StageGraph, str], bool]) -> _Rule:
    """A rule that takes the absorbed one's value where it is known and better than the kept one's, or that isn't known."""

    def rule(kept: tuple[Any, ...], absorbed: tuple[Any, ...], lifecycle: StageGraph, name: str) -> tuple[Any, ...]:
        if absorbed[0] is None or kept[0] is None:
            return _fill(kept, absorbed, lifecycle, name)
        return absorbed if is_better(absorbed[0], kept[0], lifecycle, name) else kept

    return rule


def _further(stage: str, other: str, lifecycle: StageGraph, name: str) -> bool:
    """A lost stage, or one that the playbook doesn't have, is behind every other."""

    def place(key: str) -> int:
        found = lifecycle.find(key)
        return -1 if found is None or found.outcome == "lost" else lifecycle.keys.index(key)

    return place(stage) > place(other)


def _larger(amount: Money, other: Money, lifecycle: StageGraph, name: str) -> bool:
    return amount.currency == other.currency and amount.minor > other.minor


def _higher(value: str, other: str, lifecycle: StageGraph, name: str) -> bool:
    order = _POTENTIALS if name == "potential" else LEVELS
    return order.index(value) < order.index(other)


def _unite(kept: tuple[Any, ...], absorbed: tuple[Any, ...], lifecycle: StageGraph, name: str) -> tuple[Any, ...]:
    one, other = kept[0], absorbed[0]
    if isinstance(one, FrozenMap):
        return (FrozenMap({**one, **{key: value for key, value in other.items() if key not in one}}),)
    return (tuple(dict.fromkeys((*one, *other))),)


_BY_RULE: Mapping[str, _Rule] = {
    "keep": _keep,
    "fill": _fill,
    "furthest": _better(_further),
    "earliest": _better(lambda one, other, lifecycle, name: one < other),
    "latest": _better(lambda one, other, lifecycle, name: one > other),
    "larger": _better(_larger),
    "higher": _better(_higher),
    "unite": _unite,
}


# Taking a merge back


@attrs.frozen(kw_only=True)
class Step:
    """A merge as it was done: the kept customer before and after it, the absorbed one, and what was preferred."""

    before: Customer
    after: Customer
    absorbed: Customer
    prefer: Mapping[str, Any]


@attrs.frozen(kw_only=True)
class Undone:
    """What is left when a merge is taken back: the fields of the kept customer that change, those that somebody changed since
    and that stay, and the later merges as they are without it."""

    changes: Mapping[str, Any]
    edited: tuple[str, ...]
    later: tuple[Step, ...]


def without(step: Step, later: Sequence[Step], now: Customer, lifecycle: StageGraph) -> Undone:
    """Takes one merge out of those that a customer went through, whatever came after it.

    A value that the merge had set goes back to what it was. Where later merges built on it they are decided anew; where
    somebody changed it since, that stays.
    """
    changes: dict[str, Any] = {}
    edited: list[str] = []
    steps = [(one.before, one.after) for one in later]
    for unit in UNITS:
        value, seen = _values(step.before, unit), _values(step.after, unit)
        if value == seen:
            continue
        for place, one in enumerate(later):
            before = _values(one.before, unit)
            if before != seen:  # changed by somebody in between
                value = before
            seen = _values(one.after, unit)
            after = _decided(unit, value, _values(one.absorbed, unit), lifecycle, one.prefer)[0]
            was, became = steps[place]
            steps[place] = (
                was.replace(**dict(zip(unit, value, strict=True))),
                became.replace(**dict(zip(unit, after, strict=True))),
            )
            value = after
        current = _values(now, unit)
        if current != seen:
            edited += (name for name, one, other in zip(unit, current, seen, strict=True) if one != other)
        elif value != current:
            changes |= dict(zip(unit, value, strict=True))
    return Undone(
        changes=changes,
        edited=tuple(edited),
        later=tuple(
            attrs.evolve(one, before=before, after=after) for one, (before, after) in zip(later, steps, strict=True)
        ),
    )


# What a merge means to those who read the history

MERGED, UNMERGED = "customer.merged", "customer.unmerged"


def without_undone_merges(events: Iterable[Event]) -> list[Event]:
    """One customer's own events, in order, without the merges that were taken back.

    Such a merge is as though it had never been; what was done in between is not. What tells an absorbed customer of its merge
    changes nothing of it, and is left out, too.
    """
    ordered = list(events)
    told = [event for event in ordered if event.action in (MERGED, UNMERGED)]
    if not told:
        return ordered
    begun: dict[str, Event] = {}
    dropped: set[str] = set()
    for event in told:
        before, after = changes_of(event).get("absorbed", (None, None))
        if event.action == MERGED and after is not None:
            begun[after] = event
            continue
        dropped.add(event.id)
        if before in begun:
            dropped.add(begun.pop(before).id)
    return [event for event in ordered if event.id not in dropped]
