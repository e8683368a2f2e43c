"""What the agreement of each field weighs, learned from the records themselves (Fellegi and Sunter 1969; EM as in Winkler 1988).

A grade of a field weighs ``log2(m / u)`` bits: how much more often it is seen in two records of one customer (m) than in two
candidates of different ones (u). Nobody says which pairs are which: expectation and maximisation take turns. Before any
record speaks there are expectations, and these count as so many pairs; so three records have weights, too, and no weight
rests on a single pair. The same records give the same weights, in whatever order they come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, log, log2

import attrs

from crmcore.domain.matching import MatchRules
from crmcore.domain.values import FrozenMap
from crmcore.errors import DomainError
from crmcore.rules.duplicates.forms import Counts
from crmcore.rules.duplicates.grades import (
    CLOSE,
    COMMON,
    DIFFERENT,
    GRADES,
    RARE,
    SIMILAR,
    UNCOMMON,
    grade_of_equal,
    grades_of,
)

#: What is expected of two records of one customer, before any is seen: by grade, from missing to rare.
_SAME = (0.0, 0.08, 0.06, 0.11, 0.75, 0.75, 0.75)
#: And of two records that have nothing to do with each other.
_UNRELATED = (0.0, 0.937, 0.04, 0.01, 0.01, 0.002, 0.001)
#: An expectation counts as much as so many pairs.
_EXPECTED_PAIRS = 10.0
#: And that of unrelated records as much as so many random pairs.
_UNRELATED_PAIRS = 100.0
#: A candidate out of so many is expected to be the same customer.
_EXPECTED_SHARE = 20.0
_ROUNDS = 30
_LIKE, _EQUAL = (DIFFERENT, SIMILAR, CLOSE), (COMMON, UNCOMMON, RARE)
_LOG_2 = log(2)

Table = list[list[float]]


@attrs.frozen(kw_only=True)
class Weights:
    """What the fields of some matching rules weigh, in bits by grade; ``prior`` is what a candidate brings along.

    ``fields`` are in the order of the rules. ``pairs`` is how many pairs were learned from; 0 where all is expectation.
    """

    prior: float
    fields: tuple[tuple[float, ...], ...]
    counts: Counts = attrs.field(repr=False)
    pairs: int = 0

    def check(self, rules: MatchRules) -> None:
        """Raises :class:`DomainError` for rules with other fields than those that these were learned for."""
        if len(self.fields) != len(rules.fields):
            raise DomainError("the weights were learned for rules with other fields")

    def by_field(self, pattern: int, rules: MatchRules) -> list[float]:
        """What each field adds, in the order of the rules; of those that tell of one person, what agrees best counts alone."""
        added = [row[grade] for row, grade in zip(self.fields, grades_of(pattern, len(self.fields)), strict=True)]
        if rules.of_one_person:
            places = [place for place, rule in enumerate(rules.fields) if rule.field in rules.of_one_person]
            best = max(places, key=added.__getitem__)
            for place in places:
                if place != best:
                    added[place] = min(added[place], 0.0)
        return added

    def bits(self, pattern: int, rules: MatchRules) -> float:
        """The weight of a pattern: the prior and what each field adds."""
        return self.prior + sum(self.by_field(pattern, rules))


def probability(bits: float) -> float:
    """The probability that a weight in bits stands for."""
    return 1 / (1 + 2**-bits) if bits > -1000 else 0.0


def learn(patterns: Mapping[int, int], unrelated: Mapping[int, int], counts: Counts) -> Weights:
    """The weights for candidates with these patterns, and how often each; ``unrelated`` are the patterns of random pairs."""
    width = len(counts.filled)
    pairs = sum(patterns.values())
    seen = [(grades_of(pattern, width), number) for pattern, number in sorted(_sampled(patterns).items())]
    same, apart = _expected(unrelated, counts, pairs)
    found, other = same, apart
    share = min(0.5, 0.2 * counts.records / pairs) if pairs else 1 / _EXPECTED_SHARE
    for _ in range(_ROUNDS if pairs else 0):
        before = share
        sums, rest, total = _expectation(seen, _table(found, other), log(share / (1 - share)))
        whole = sum(number for _, number in seen)
        share = (total + 1) / (whole + _EXPECTED_SHARE)
        found, other = _maximised(sums, same), _maximised(rest, apart)
        if abs(share - before) < 1e-4 * share:
            break
    return Weights(
        prior=log2(share / (1 - share)),
        fields=tuple(tuple(weight / _LOG_2 for weight in row) for row in _table(found, other)),
        counts=counts,
        pairs=pairs,
    )


def _sampled(patterns: Mapping[int, int], most: int = 3000) -> Mapping[int, int]:
    """Of very many patterns one in so many, in order: a sample that is the same each time."""
    step = -(-len(patterns) // most)
    return {pattern: patterns[pattern] for pattern in sorted(patterns)[::step]} if step > 1 else patterns


def _expectation(
    seen: Sequence[tuple[tuple[int, ...], int]], weights: Table, start: float
) -> tuple[Table, Table, float]:
    """How often each grade is seen in pairs of one customer, and in others, if the weights are right; and how many pairs are."""
    sums, rest = ([[0.0] * GRADES for _ in weights] for _ in range(2))
    total = 0.0
    for grades, number in seen:
        bits = start
        for row, grade in zip(weights, grades, strict=True):
            bits += row[grade]
        part = number / (1 + exp(-bits)) if bits > -700 else 0.0
        total += part
        left = number - part
        for row, other, grade in zip(sums, rest, grades, strict=True):
            row[grade] += part
            other[grade] += left
    return sums, rest, total


def _maximised(sums: Table, expected: Table) -> Table:
    """The shares of the grades that make what was seen most likely, together with what was expected."""
    found = []
    for row, prior in zip(sums, expected, strict=True):
        total = sum(row[DIFFERENT:]) + _EXPECTED_PAIRS
        found.append([(seen + _EXPECTED_PAIRS * share) / total for seen, share in zip(row, prior, strict=True)])
    return found


def _table(same: Table, apart: Table) -> Table:
    """Natural logarithms of m / u by grade, missing is 0."""
    return [
        [0.0, *_rising(row, other, _LIKE), *_rising(row, other, _EQUAL)] for row, other in zip(same, apart, strict=True)
    ]


def _rising(same: Sequence[float], apart: Sequence[float], grades: Sequence[int]) -> list[float]:
    """To agree more never weighs less: neighbours that would have it otherwise are taken for one grade."""
    pools: list[tuple[float, float, int]] = []
    for grade in grades:
        m, u, width = same[grade], apart[grade], 1
        while pools and pools[-1][0] * u >= m * pools[-1][1]:
            before = pools.pop()
            m, u, width = m + before[0], u + before[1], width + before[2]
        pools.append((m, u, width))
    return [log(m / u) for m, u, width in pools for _ in range(width)]


def _expected(unrelated: Mapping[int, int], counts: Counts, pairs: int) -> tuple[Table, Table]:
    """Shares of grades to begin with, in pairs of one customer and in others, by field."""
    width = len(counts.filled)
    sums = [[0.0] * GRADES for _ in range(width)]
    for pattern, number in unrelated.items():
        for row, grade in zip(sums, grades_of(pattern, width), strict=True):
            row[grade] += number
    same, apart = [], []
    for place, row in enumerate(sums):
        records, filled = counts.records, counts.filled[place]
        shares, chance = [0.0] * GRADES, [0.0] * GRADES
        for count in counts.values[place].values():
            grade = grade_of_equal(count, records)
            shares[grade] += count
            chance[grade] += count * (count - 1)
        shares[RARE] = max(0.0, filled - shares[COMMON] - shares[UNCOMMON])
        total = sum(row[DIFFERENT:]) + _UNRELATED_PAIRS
        other = [(seen + _UNRELATED_PAIRS * share) / total for seen, share in zip(row, _UNRELATED, strict=True)]
        all_pairs = filled * (filled - 1) + _UNRELATED_PAIRS * 10
        own = list(_SAME)
        for grade in (COMMON, UNCOMMON, RARE):
            # How often equal values meet by chance is counted, not sampled.
            other[grade] = max(
                (chance[grade] + _UNRELATED_PAIRS * 10 * _UNRELATED[grade]) / all_pairs, 0.5 / (pairs + 100)
            )
            own[grade] = _SAME[grade] * (shares[grade] + 1) / (filled + 3)
        for grade in range(DIFFERENT, CLOSE + 1):
            other[grade] = max(other[grade], 0.5 / (pairs + 100))
        same.append(own)
        apart.append(other)
    return same, apart


def expected(rules: MatchRules) -> Weights:
    """The weights before any record was seen."""
    width = len(rules.fields)
    nothing = tuple(FrozenMap() for _ in range(width))
    return learn({}, {}, Counts(records=0, filled=(0,) * width, values=nothing, words=nothing))
