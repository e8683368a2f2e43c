"""What is wrong with a playbook's tiering: bands that can't be reached, criteria that look at nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from crmcore.domain.playbook import FIELD_KINDS, MEASURES, Playbook
from crmcore.domain.policies import Criterion, Tiering
from crmcore.playbooks.telling import bad_keys, bad_labels, unknown, values_of

MOST_POINTS = 100
_LONGEST: Mapping[str, int] = {"days": 36_500, "months": 1_200}
#: Worked out from the stage: the one derived field that a criterion can look at.
_PROBABILITY = "customer.win_probability"
_KINDS: Mapping[str, str] = {"choice": "word", "flag": "word", "integer": "number", "money": "number"}
#: Fields of free text whose words hold for more than one customer.
_SHARED_WORDS = ("customer.industry", "customer.source", "customer.owner", "customer.stage")


def tiering_problems(playbook: Playbook) -> Iterator[str]:
    """Everything that is wrong with how tiers are worked out; nothing for a playbook that doesn't."""
    tiering = playbook.tiering
    if tiering is None:
        return
    if not playbook.tiers:
        yield "tiering: there are no tiers to work out; say tiering = false, or what the tiers are"
        return
    yield from _bands(tiering, list(dict.fromkeys(tier.key for tier in playbook.tiers)))
    if tiering.window.amount > _LONGEST.get(tiering.window.unit, 0):
        yield "tiering.window: is counted in days, weeks, months or years, and at most 100 years"
    if tiering.method == "shares":
        if tiering.criteria:
            yield 'tiering.criteria: belong to method = "scored"; shares look at the amount alone'
        return
    if not tiering.criteria:
        yield "tiering.criteria: a score needs a criterion"
    yield from bad_keys("tiering.criteria", (criterion.key for criterion in tiering.criteria))
    kinds = _kinds(playbook)
    for criterion in tiering.criteria:
        yield from _criterion(f"tiering.criteria.{criterion.key}", criterion, playbook, kinds)


def _bands(tiering: Tiering, tiers: list[str]) -> Iterator[str]:
    """Edges in the order of the tiers; and each can be crossed both ways, ``margin`` beyond it."""
    for tier in tiering.bands:
        if tier not in tiers:
            yield f"tiering.bands.{tier}: {unknown('tier', tier, tiers)}"
    yield from (
        f"tiering.bands.{tier}: required: every tier has its band" for tier in tiers if tier not in tiering.bands
    )
    edges = [(tier, tiering.bands[tier]) for tier in tiers if tier in tiering.bands]
    scored = tiering.method == "scored"
    for tier, edge in edges:
        if not 0 <= edge <= MOST_POINTS:
            yield f"tiering.bands.{tier}: must be from 0 to {MOST_POINTS}"
    for (better, above), (tier, edge) in pairwise(edges):
        if (edge >= above) if scored else (edge <= above):
            yield f"tiering.bands.{tier}: must be {'less' if scored else 'more'} than that of {better}, {above}"
    last = 0 if scored else MOST_POINTS
    if tiering.bands.get(tiers[-1], last) != last:
        yield f"tiering.bands.{tiers[-1]}: must be {last}, so that every customer has a tier"
    inner = [edge for tier, edge in edges if tier != tiers[-1]]
    room = min((min(edge, MOST_POINTS - edge) for edge in inner if 0 <= edge <= MOST_POINTS), default=MOST_POINTS)
    if tiering.margin < 0:
        yield "tiering.margin: must be from 0 on"
    elif tiering.margin and tiering.margin >= room:
        yield f"tiering.margin: must be less than {room}, the room beside the outermost edge"


def _kinds(playbook: Playbook) -> dict[str, str]:
    """What a criterion can look at, and whether that is a word or a number."""
    found = {key: _KINDS[kind.name] for key, kind in FIELD_KINDS.items() if kind.name in _KINDS}
    found |= dict.fromkeys(_SHARED_WORDS, "word")
    found |= {key: "number" if own.kind == "integer" else "word" for key, own in playbook.custom_fields.items()}
    of_customers = {
        key: kind for key, kind in found.items() if key.startswith("customer.") and key != "customer.version"
    }
    return of_customers | dict.fromkeys((*MEASURES, _PROBABILITY), "number")


def _criterion(path: str, criterion: Criterion, playbook: Playbook, kinds: Mapping[str, str]) -> Iterator[str]:
    yield from bad_labels(f"{path}.label", criterion.label)
    if criterion.weight < 1:
        yield f"{path}.weight: must be from 1 on"
    given = {
        "missing": criterion.missing,
        **{f"points.{value}": points for value, points in criterion.points.items()},
        **{f"steps.{index}.points": step.points for index, step in enumerate(criterion.steps)},
    }
    for place, points in given.items():
        if not 0 <= points <= MOST_POINTS:
            yield f"{path}.{place}: points go from 0 to {MOST_POINTS}"
    for index, (before, step) in enumerate(pairwise(criterion.steps), 1):
        if step.at_least <= before.at_least:
            yield f"{path}.steps.{index}.at_least: must be more than {before.at_least}, that of the step before"
    kind = kinds.get(criterion.on)
    if kind is None:
        yield f"{path}.on: {unknown('field or measure', criterion.on, kinds)}"
        return
    needed, other = ("points", "steps") if kind == "word" else ("steps", "points")
    if not getattr(criterion, needed):
        yield f"{path}.{needed}: required: {criterion.on} is a {kind}"
    if getattr(criterion, other):
        yield f"{path}.{other}: doesn't go with {criterion.on}, which is a {kind}"
        return
    own = playbook.custom_fields.get(criterion.on)
    allowed = ("true", "false") if own is not None and own.kind == "flag" else values_of(playbook, criterion.on)
    for value in criterion.points:
        if allowed and value not in allowed:
            yield f"{path}.points.{value}: {unknown('value', value, allowed)}"
