"""How much two Chinese company names resemble each other, with the reasons, and whether they name one company.

The core decides. What differs in it weighs by how easily people mistake it: a character of the same sound or look little, another
character much. Trades weigh less, the rarer words more; places only where they contradict each other; legal forms hardly.
"""

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final, Literal

import attrs

from crmcore_cn.alignment import Edit, Weighted, edits, ordinals
from crmcore_cn.company_names import LOCALITY_WORDS, CompanyName, localities, parse
from crmcore_cn.name_reasons import Reason
from crmcore_cn.regions import region_at, within

Verdict = Literal["same", "suspect", "different"]

#: From which score on two names are taken for one company, or for a pair that a person should see.
SAME: Final = 0.86
SUSPECT: Final = 0.5
#: The most that a contradiction leaves.
CONTRADICTED: Final = 0.3

#: Evidence is counted in natural logarithms of odds: this is where a pair starts, and what the parts add or take.
START: Final = -1.5
#: For the whole text: from minus a half to half of this.
WHOLE: Final = 4.0
CORE_SAME: Final = 5.0
#: What each full share of a core that differs takes, up to a half of it and beyond.
CORE_STEP: Final = 16.0
CORE_REST: Final = 7.0
#: How much less a core says that is only a place or a trade, or that was cut from a longer one.
DESCRIPTIVE: Final = 0.4
#: What a core at least says whose characters stand in the other name in their order.
ABBREVIATED: Final = -1.5
#: How much less it counts that a core stands before the same core: a town, a group.
PREFIXED: Final = 0.8
#: What a legal form that few names of the pool have says more than a common one.
FORM_RARE: Final = 1.0
#: Where one name has a core and the other none.
CORE_MISSING: Final = -3.5
CUT: Final = 0.6
TRADE_SAME: Final = 1.5
TRADE_STEP: Final = 2.5
#: The weight of a character by its place in a core (most cores have two to four), and of one in a trade.
CORE_PLACES: Final = (1.0, 1.0, 0.9, 0.8, 0.35)
TRADE_WEIGHT: Final = 0.3


@attrs.frozen
class Resemblance:
    """A score from 0 to 1, what follows from it, and why."""

    score: float
    verdict: Verdict
    reasons: tuple[Reason, ...]


@attrs.frozen
class Weights:
    """How often pairs of characters occur in ``names`` bodies of names. Without any, every character of a kind weighs the same."""

    names: int = 0
    counts: Mapping[str, int] = attrs.field(factory=dict)
    _known: dict[str, float] = attrs.field(factory=dict, init=False, eq=False, repr=False)

    def rarity(self, gram: str) -> float:
        """1 for what no name has, down towards 0 for what every name has."""
        known = self._known.get(gram)
        if known is None:
            known = 1.0 - math.log(self.counts.get(gram, 0) + 1) / math.log(self.names + 1) if self.names else 1.0
            self._known[gram] = known
        return known


PLAIN: Final = Weights()


def weighted(name: CompanyName, weights: Weights = PLAIN) -> Weighted:
    """Core and trade with a weight for each character."""
    body, core = name.body, len(name.core)
    out: list[float] = []
    for index in range(len(body)):
        left = weights.rarity(body[index - 1 : index + 1]) if index else 0.0
        right = weights.rarity(body[index : index + 2]) if index + 1 < len(body) else 0.0
        rarity = max(left, right) if len(body) > 1 else 1.0
        if index < core:
            out.append(CORE_PLACES[min(index, len(CORE_PLACES) - 1)] * (0.4 + 0.6 * rarity))
        else:
            out.append(TRADE_WEIGHT * (0.2 + 0.8 * rarity))
    return Weighted(body, tuple(out), core)


def compare(one: str | CompanyName, other: str | CompanyName, weights: Weights = PLAIN) -> Resemblance:
    """How much two names resemble each other; the same both ways round, and 1.0 for a name and itself."""
    first = parse(one) if isinstance(one, str) else one
    second = parse(other) if isinstance(other, str) else other
    found = compared(first, second, weights)
    assert found is not None
    return found


def compared(first: CompanyName, second: CompanyName, weights: Weights, above: float = -1.0) -> Resemblance | None:
    """The resemblance of two parsed names, or None once it is clear that it isn't above a score."""
    if first.text == second.text:
        return Resemblance(1.0, "same", (Reason("identical"),))
    if second.text < first.text:
        first, second = second, first
    best: Resemblance | None = None
    for left, right in _readings(first, second):
        found = _compared(left, right, weights, above)
        if found is not None and (best is None or found.score > best.score):
            best, above = found, max(above, found.score)
    return best


def _readings(first: CompanyName, second: CompanyName) -> Iterator[tuple[CompanyName, CompanyName]]:
    """Each way to read the two. A place may be part of a core only where the other name has it, and not as a place."""
    yield first, second
    one, other = first.alternative, second.alternative
    moved = _moved(first) if one else frozenset()
    turned = _moved(second) if other else frozenset()
    if one and not moved & _stems(second) and all(stem in second.text for stem in moved):
        yield one, second
    if other and not turned & _stems(first) and all(stem in first.text for stem in turned):
        yield first, other
    if one and other and not moved & turned and all(stem in second.text for stem in moved):
        yield one, other


def _stems(name: CompanyName) -> frozenset[str]:
    return frozenset(region.stem for region in name.regions)


def _moved(name: CompanyName) -> frozenset[str]:
    """The places that only one way of reading a name has."""
    if name.alternative is None or name.alternative.branch != name.branch:
        return frozenset()
    return _stems(name) ^ _stems(name.alternative)


def _compared(first: CompanyName, second: CompanyName, weights: Weights, above: float) -> Resemblance | None:
    first, second = _with_locality_of(first, second), _with_locality_of(second, first)
    first, second, cut = _with_trades_cut(first, second)
    around = [
        *_regions(first, second),
        *_localities(first.locality, second.locality),
        *_forms(first, second, weights),
        *_branches(first, second),
        Reason("whole", WHOLE * (overlap(first.head, second.head, weights) - 0.5)),
    ]
    outside = START + sum(reason.weight for reason in around)
    if _score(outside + CORE_SAME + TRADE_SAME) <= above:
        return None
    reasons = (*_bodies(first, second, weights, cut=cut), *around)
    score = _score(START + sum(reason.weight for reason in reasons))
    if any(reason.key in ("series_differs", "branch_differs") for reason in reasons):
        score = min(score, CONTRADICTED)
    verdict: Verdict = "same" if score >= SAME else "suspect" if score >= SUSPECT else "different"
    return Resemblance(score, verdict, reasons)


def _score(total: float) -> float:
    return round(min(1 / (1 + math.exp(-total)), 0.999999), 6)


def overlap(one: str, other: str, weights: Weights) -> float:
    """The share of characters and their pairs that two texts have in common, rare ones counting more (Dice)."""
    first, second = grams(one), grams(other)
    both = math.fsum(map(weights.rarity, first & second))
    every = math.fsum(map(weights.rarity, first)) + math.fsum(map(weights.rarity, second))
    return 2 * both / every if every else 1.0


@lru_cache(maxsize=1024)
def grams(text: str) -> frozenset[str]:
    """The characters of a text and their pairs."""
    return frozenset(text) | frozenset(text[index : index + 2] for index in range(len(text) - 1))


def _bodies(one: CompanyName, other: CompanyName, weights: Weights, *, cut: bool) -> list[Reason]:
    """Reasons from core and trade, and whether a number or direction contradicts."""
    if (one.descriptive or other.descriptive) and not (_is_place(one.core) or _is_place(other.core)):
        return _without_core(one, other, weights)
    first, second = weighted(one, weights), weighted(other, weights)
    found = edits(first, second)
    core = [edit for edit in found if edit.core]
    trade = [edit for edit in found if not edit.core]
    core_weight = max(sum(first.weights[: first.core]), sum(second.weights[: second.core]), 1e-9)
    trade_weight = max(sum(first.weights[first.core :]), sum(second.weights[second.core :]))
    core_share = min(1.0, sum(edit.cost for edit in core) / core_weight)
    trade_share = min(1.0, sum(edit.cost for edit in trade) / trade_weight) if trade_weight else 0.0
    shorter, longer = sorted((one.core, other.core), key=len)
    if len(shorter) > 1 and longer.endswith(shorter):
        core_share *= PREFIXED
    agreed = CORE_SAME * _rarity(one, other, weights)
    if one.descriptive or other.descriptive:
        agreed *= DESCRIPTIVE
    if cut:
        agreed *= CUT
    key = _core_key(core)
    weight = agreed - CORE_STEP * min(core_share, 0.5) - CORE_REST * max(0.0, core_share - 0.5)
    if weight < ABBREVIATED and (_abbreviates(one.core, other.body) or _abbreviates(other.core, one.body)):
        key, weight = "core_abbreviated", ABBREVIATED
    reasons = [Reason(key, weight)]
    if one.trade and other.trade:
        reasons.append(_trade(trade_share))
    if any(edit.kind == "series" for edit in found) or _ordinals_differ(one, other):
        reasons.append(Reason("series_differs"))
    return reasons


def _without_core(one: CompanyName, other: CompanyName, weights: Weights) -> list[Reason]:
    """Reasons where a name has no core: all of it is told of the trade."""
    first, second = (
        weighted(attrs.evolve(name, core="", trade=name.body if name.descriptive else name.trade), weights)
        for name in (one, other)
    )
    both = one.descriptive and other.descriptive
    share = min(
        1.0, sum(edit.cost for edit in edits(first, second)) / max(sum(first.weights), sum(second.weights), 1e-9)
    )
    reasons = [Reason("core_missing", 0.0 if both else CORE_MISSING), _trade(share)]
    return [*reasons, Reason("series_differs")] if _ordinals_differ(one, other) else reasons


def _abbreviates(core: str, body: str) -> bool:
    """Whether all characters of a core stand in a text in their order: 能投 in 能源投资."""
    rest = iter(body)
    return len(core) > 1 and all(character in rest for character in core)


def _trade(share: float) -> Reason:
    key = "trade_same" if not share else "trade_close" if share < 0.5 else "trade_differs"
    return Reason(key, TRADE_SAME - TRADE_STEP * share)


@lru_cache(maxsize=8192)
def _is_place(text: str) -> bool:
    place = region_at(text, 0)
    return place is not None and len(place.text) == len(text)


def _rarity(one: CompanyName, other: CompanyName, weights: Weights) -> float:
    """How rare the more common of two cores is: the mean over its pairs of characters."""
    if not weights.names:
        return 1.0
    values = []
    for core in (one.core, other.core):
        pairs = [core[index : index + 2] for index in range(max(1, len(core) - 1))]
        values.append(sum(map(weights.rarity, pairs)) / len(pairs))
    return min(values)


def _ordinals_differ(one: CompanyName, other: CompanyName) -> bool:
    first, second = ordinals(one.text), ordinals(other.text)
    return bool(first and second and first != second)


def _core_key(core: list[Edit]) -> str:
    kinds = {edit.kind for edit in core}
    for kind, key in (
        ("other", "core_differs"),
        ("series", "core_differs"),
        ("left_out", "core_longer"),
        ("near_sound", "core_near_sound"),
        ("look", "core_look"),
        ("sound", "core_sound"),
        ("swapped", "core_order"),
        ("doubled", "core_longer"),
    ):
        if kind in kinds:
            return key
    return "core_same"


def _with_locality_of(name: CompanyName, other: CompanyName) -> CompanyName:
    """A name whose core starts with the other's town, read as having that town: 鲁权屯嘉功 beside 鲁权屯镇嘉功."""
    town = LOCALITY_WORDS.sub("", other.locality)
    if not town or name.locality or not name.core.startswith(town) or len(name.core) - len(town) < 2:
        return name
    return attrs.evolve(name, locality=town, core=name.core[len(town) :])


def _with_trades_cut(one: CompanyName, other: CompanyName) -> tuple[CompanyName, CompanyName, bool]:
    """Two names whose cores start alike, without the unknown trades that their cores go on with.

    瑞恒|钎具 and 瑞恒|钻具, where no trade is known; 瑞恒|餐具消毒 beside 瑞恒, where three or more characters follow.
    """
    shorter, longer = sorted((one.core, other.core), key=len)
    cut = 0
    if len(shorter) > 1 and longer.startswith(shorter) and len(longer) - len(shorter) > 2:
        cut = len(shorter)
    elif not one.trade and not other.trade and len(shorter) > 3 and shorter[:2] == longer[:2]:
        cut = 2
    if not cut or _is_place(longer[:cut]):
        return one, other, False
    first, second = (
        attrs.evolve(name, core=name.core[:cut], trade=name.core[cut:] + name.trade) for name in (one, other)
    )
    return first, second, True


def _regions(one: CompanyName, other: CompanyName) -> list[Reason]:
    first, second = one.regions, other.regions
    if not first and not second:
        return []
    if not first or not second:
        return [Reason("region_missing", 0.1)]
    if "".join(region.text for region in first) == "".join(region.text for region in second):
        return [Reason("region_same", 1.5)]
    if [region.stem for region in first] == [region.stem for region in second]:
        return [Reason("region_level", 1.4)]
    inner, outer = first[-1], second[-1]
    if inner.stem == outer.stem:
        return [Reason("region_level", 1.2)]
    if within(inner.codes, outer.codes) or within(outer.codes, inner.codes):
        return [Reason("region_nested", 0.3)]
    near = {code[:4] for code in inner.codes if len(code) > 2} & {code[:4] for code in outer.codes if len(code) > 2}
    return [Reason("region_differs", -4.0 if near else -6.5)]


def _localities(one: str, other: str) -> list[Reason]:
    first, second = localities(one), localities(other)
    if first == second:
        return []
    if not first or not second or first & second:
        return [Reason("region_missing", -0.1)]
    return [Reason("locality_differs", -1.5)]


def _forms(one: CompanyName, other: CompanyName, weights: Weights) -> list[Reason]:
    if one.form == other.form:
        rarity = weights.rarity("=" + one.form) if weights.names else 0.0
        return [Reason("form_same", 0.3 + FORM_RARE * rarity)] if one.form else []
    if not one.form or not other.form:
        return [Reason("form_missing")]
    return [Reason("form_close", 0.2) if one.kind == other.kind else Reason("form_differs", -0.3)]


def _branches(one: CompanyName, other: CompanyName) -> list[Reason]:
    first, second = branch_of(one.branch), branch_of(other.branch)
    if first == second:
        return []
    if not first or not second:
        return [Reason("branch_missing", -1.0)]
    return [Reason("branch_differs", -2.0)]


def branch_of(text: str) -> str:
    """What tells a branch from others: 菏泽 of 菏泽市分公司."""
    place = region_at(text, 0)
    return (place.stem + text[len(place.text) :] if place else text).replace("分公司", "")
