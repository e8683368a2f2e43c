"""How much two Chinese company names resemble each other, with the reasons, and whether they name one company.

The core decides. What differs in it weighs by how easily people mistake it: a character of the same sound or look little, another
character much. Trades weigh less, the rarer words more; places only where they contradict each other; legal forms hardly.
"""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Literal

import attrs

from crmcore_cn.alignment import Edit, Weighted, edits, ordinals
from crmcore_cn.company_names import CompanyName, localities, parse
from crmcore_cn.name_readings import is_place, readings, with_locality_of, with_trades_cut
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
#: What a core at least says whose characters stand in the other name in their order.
ABBREVIATED: Final = -1.5
#: How much less it counts that a core stands before the same core: a town, a group.
PREFIXED: Final = 0.8
#: What a legal form that few names of the pool have says more than a common one.
FORM_RARE: Final = 1.0
#: Where one name has a core and the other none.
CORE_MISSING: Final = -3.5
#: How much less a core says that was cut from a longer one.
CUT: Final = 0.6
TRADE_SAME: Final = 1.5
TRADE_STEP: Final = 2.5
#: How much less it takes that one trade has words more than the other: 五金工具 and 五金.
TRADE_LONGER: Final = 0.6
#: How much more a trade says where the names have no core, or only a place for it: 长沙齿轮厂, 污水处理厂.
TRADE_ALONE: Final = 3.0
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
    for left, right in readings(first, second):
        found = _compared(left, right, weights, above)
        if found is not None and (best is None or found.score > best.score):
            best, above = found, max(above, found.score)
    return best


def _compared(first: CompanyName, second: CompanyName, weights: Weights, above: float) -> Resemblance | None:
    first, second = with_locality_of(first, second), with_locality_of(second, first)
    first, second, cut = with_trades_cut(first, second)
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
    if (one.descriptive or other.descriptive) and not (is_place(one.core) or is_place(other.core)):
        return _without_core(one, other, weights)
    first, second = weighted(one, weights), weighted(other, weights)
    found = edits(first, second)
    core = [edit for edit in found if edit.core]
    trade = [edit for edit in found if not edit.core]
    core_weight = max(sum(first.weights[: first.core]), sum(second.weights[: second.core]), 1e-9)
    trade_weight = max(sum(first.weights[first.core :]), sum(second.weights[second.core :]))
    core_share = min(1.0, sum(edit.cost for edit in core) / core_weight)
    trade_share = min(1.0, sum(edit.cost for edit in trade) / trade_weight) if trade_weight else 0.0
    if all(edit.kind == "left_out" for edit in trade):
        trade_share *= TRADE_LONGER
    shorter, longer = sorted((one.core, other.core), key=len)
    if len(shorter) > 1 and longer.endswith(shorter):
        core_share *= PREFIXED
    # A place or a trade instead of a core says nothing that places and trades don't say already.
    agreed = 0.0 if one.descriptive or other.descriptive else CORE_SAME * _rarity(one, other, weights)
    if cut:
        agreed *= CUT
    key = _core_key(core)
    weight = agreed - CORE_STEP * min(core_share, 0.5) - CORE_REST * max(0.0, core_share - 0.5)
    if weight < ABBREVIATED and (_abbreviates(one.core, other.body) or _abbreviates(other.core, one.body)):
        key, weight = "core_abbreviated", ABBREVIATED
    reasons = [Reason(key, weight)]
    if one.trade and other.trade:
        alone = one.descriptive and other.descriptive
        reasons.append(_trade(trade_share, TRADE_ALONE if alone else 1.0))
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
    reasons = [Reason("core_missing", 0.0 if both else CORE_MISSING), _trade(share, TRADE_ALONE if both else 1.0)]
    return [*reasons, Reason("series_differs")] if _ordinals_differ(one, other) else reasons


def _abbreviates(core: str, body: str) -> bool:
    """Whether all characters of a core stand in a text in their order: 能投 in 能源投资."""
    rest = iter(body)
    return len(core) > 1 and all(character in rest for character in core)


def _trade(share: float, factor: float) -> Reason:
    key = "trade_same" if not share else "trade_close" if share < 0.5 else "trade_differs"
    return Reason(key, factor * (TRADE_SAME - TRADE_STEP * share))


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
