"""Candidates: which records are worth comparing at all, out of all pairs that there are.

A key is a value, a word of it, or several values together. Two records are candidates where the keys that they share, and
that no more than ``block_limit`` records have, weigh enough: a key of ``count`` out of ``records`` weighs ``log2(records / count)``
bits, and together they must weigh as much as one that ``chance_limit`` records have. So a rare telephone is enough, and so are
two words that many have, but not one of these. The work grows with the records, as a key leads to few of them by definition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import log2

import attrs

from crmcore.domain.matching import MatchRules

#: So little is lost to rounding when weights are added in another order.
_SLACK = 1e-9


@attrs.frozen(kw_only=True)
class SkippedBlock:
    """A value that too many records have to be sought by: of which fields, and how many records; not which."""

    fields: tuple[str, ...]
    records: int


def weight_of(count: int, records: int) -> float:
    """What it weighs, in bits, to share a key that so many of all records have."""
    return log2(records / count)


def needed(rules: MatchRules, records: int) -> float:
    """The bits from which on a pair is compared."""
    return log2(records / rules.chance_limit) - _SLACK if records > rules.chance_limit else 0.0


def count_keys(keys: Iterable[Sequence[str]]) -> Counter[str]:
    """How many records have each key."""
    counts: Counter[str] = Counter()
    for each in keys:
        counts.update(each)
    return counts


def candidates(
    keys: Sequence[Sequence[str]], counts: Mapping[str, int], rules: MatchRules
) -> Iterator[tuple[int, list[int]]]:
    """Each record, by its place, with the places before it that it is to be compared with."""
    records, limit = len(keys), rules.block_limit
    enough = needed(rules, records)
    weights = [0.0, *(weight_of(count, max(records, count)) for count in range(1, limit + 1))]
    blocks: dict[str, list[int]] = {}
    for place, each in enumerate(keys):
        shared: dict[int, float] = {}
        known = shared.get
        for key in each:
            count = counts[key]
            if 1 < count <= limit:
                if block := blocks.get(key):
                    weight = weights[count]
                    for other in block:
                        shared[other] = known(other, 0.0) + weight
                    block.append(place)
                else:
                    blocks[key] = [place]
        if found := sorted(other for other, bits in shared.items() if bits >= enough):
            yield place, found
