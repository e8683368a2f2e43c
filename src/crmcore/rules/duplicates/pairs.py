"""Pairs of records that are the same, or may be: from records and rules to decisions."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import attrs

from crmcore.domain.matching import MatchRules
from crmcore.errors import DomainError
from crmcore.rules.duplicates.blocking import SkippedBlock, candidates, count_keys
from crmcore.rules.duplicates.comparers import Comparer, Grader
from crmcore.rules.duplicates.forms import Counts, Form, Forms, Preparing, Values, several
from crmcore.rules.duplicates.grades import CLOSE, COMMON, DIFFERENT, RARE, grade_of_equal
from crmcore.rules.duplicates.weights import Weights, learn, probability

Tier = Literal["same", "suspect"]

#: So many random pairs show what unrelated records have in common.
_RANDOM_PAIRS = 2000


@attrs.frozen(kw_only=True)
class Decision:
    """What two records came to. Holds no value of a record.

    ``probability`` is what the weights say; an identifying field that is equal decides without them. ``contradictions`` are
    identifying fields that differ, ``unlike`` required ones that aren't close, or missing: such a pair is a suspect at most, and
    the latter only where it would be the same otherwise.
    """

    tier: Tier
    probability: float
    pattern: int
    contradictions: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    rules: MatchRules = attrs.field(eq=False, repr=False)
    weights: Weights = attrs.field(eq=False, repr=False)


@attrs.frozen(kw_only=True)
class Pair(Decision):
    """Two records, by their ids, that are the same, or that somebody should look at; ``one`` comes first in order."""

    one: str
    other: str


@attrs.frozen(kw_only=True)
class Match(Decision):
    """A record of an index that is the one that was asked for, or may be."""

    id: str


@attrs.frozen(kw_only=True)
class Scan:
    """All pairs that were found, the best first, the weights that decided, and what was too common to be sought by."""

    pairs: tuple[Pair, ...]
    weights: Weights
    compared: int
    skipped: tuple[SkippedBlock, ...] = ()


class Comparing:
    """Compares the forms of two records with weights: grades by field, then a decision."""

    def __init__(self, preparing: Preparing, counts: Counts, filled: Iterable[int] | None = None) -> None:
        """``filled`` are the places of the fields that any record has; all of them, unless it is said."""
        self.preparing = preparing
        rules = preparing.rules
        last = len(rules.fields) - 1
        self._plan = [
            (
                place,
                3 * (last - place),
                preparing.comparers[place].grader(dict(counts.words[place]), counts.records),
                {value: grade_of_equal(count, counts.records) for value, count in counts.values[place].items()},
            )
            for place in (range(last + 1) if filled is None else filled)
        ]
        graders = {place: grader for place, _, grader, _ in self._plan}
        places = {rule.field: place for place, rule in enumerate(rules.fields)}
        self._swapped = [
            (places[a], places[b], 3 * (last - places[a]), 3 * (last - places[b]), graders[places[a]])
            for a, b in rules.swapped
            if places[a] in graders and places[b] in graders
        ]
        shifts = [(rule, 3 * (last - place)) for place, rule in enumerate(rules.fields)]
        self._identifying = [(rule.field, shift) for rule, shift in shifts if rule.identifies]
        self._required = [(rule.field, shift) for rule, shift in shifts if rule.required]

    def pattern(self, one: Forms, other: Forms) -> int:
        """The grades of all fields. The same whichever record comes first."""
        pattern = 0
        for place, shift, grader, equal in self._plan:
            left, right = one[place], other[place]
            if left is None or right is None:
                continue
            if left == right:
                pattern |= (
                    equal.get(left, RARE) if isinstance(left, str) else _best(left, right, grader, equal)
                ) << shift
            elif isinstance(left, str) and isinstance(right, str):
                pattern |= (grader(left, right) if left < right else grader(right, left)) << shift
            else:
                pattern |= _best(left, right, grader, equal) << shift
        for here, there, shift, shift_there, grader in self._swapped:
            if DIFFERENT <= pattern >> shift & 7 < CLOSE and DIFFERENT <= pattern >> shift_there & 7 < CLOSE:
                crossed = sorted(
                    CLOSE if a == b else _best(a, b, grader, {})
                    for a, b in ((one[here], other[there]), (one[there], other[here]))
                )
                if crossed[1] == CLOSE:
                    pattern &= ~(7 << shift | 7 << shift_there)
                    pattern |= crossed[1] << shift | crossed[0] << shift_there
        return pattern

    def decide(self, pattern: int, weights: Weights) -> dict[str, Any] | None:
        """The fields of a decision for a pattern; None where the two are nothing to each other."""
        rules = self.preparing.rules
        chance = probability(weights.bits(pattern, rules))
        contradictions = tuple(name for name, shift in self._identifying if DIFFERENT <= pattern >> shift & 7 < COMMON)
        unlike = tuple(name for name, shift in self._required if pattern >> shift & 7 < CLOSE)
        identified = any(pattern >> shift & 7 >= COMMON for _, shift in self._identifying)
        if not contradictions and (identified or (chance >= rules.same and not unlike)):
            tier: Tier = "same"
        elif identified or chance >= (rules.same if unlike else rules.suspect):
            tier = "suspect"
        else:
            return None
        return {
            "tier": tier,
            "probability": chance,
            "pattern": pattern,
            "contradictions": contradictions,
            "unlike": unlike,
            "rules": rules,
            "weights": weights,
        }


def _best(one: Form, other: Form, grader: Grader, equal: Mapping[str, int]) -> int:
    """Of fields with several values, the grade of the two that agree most."""
    if isinstance(one, str) and isinstance(other, str):
        return grader(one, other) if one < other else grader(other, one)
    return max(
        equal.get(left, RARE) if left == right else grader(left, right) if left < right else grader(right, left)
        for left in several(one)
        for right in several(other)
    )


def find_pairs(
    records: Mapping[str, Values],
    rules: MatchRules,
    *,
    against: Mapping[str, Values] | None = None,
    weights: Weights | None = None,
    comparers: Mapping[str, Comparer] | None = None,
) -> list[Pair]:
    """The pairs of records that are the same, or suspect, the best first; see :func:`scan`."""
    return list(scan(records, rules, against=against, weights=weights, comparers=comparers).pairs)


def scan(
    records: Mapping[str, Values],
    rules: MatchRules,
    *,
    against: Mapping[str, Values] | None = None,
    weights: Weights | None = None,
    comparers: Mapping[str, Comparer] | None = None,
) -> Scan:
    """Compares records with one another; with ``against``, each with those, and not with one another.

    The weights are learned from the records unless some are handed in. Ids differ from one another on both sides. Raises
    :class:`DomainError` for an unknown comparer, an id on both sides or weights of other rules, and :class:`MissingExtra` for
    a fuzzy comparer without rapidfuzz.
    """
    preparing = Preparing.by(rules, comparers)
    if weights:
        weights.check(rules)
    if against and not records.keys().isdisjoint(against):
        raise DomainError("an id stands on both sides")
    everybody = {**records, **(against or {})}
    ids = sorted(everybody)
    side = [each in records for each in ids] if against is not None else []
    forms, keys = preparing.all_of([everybody[each] for each in ids])
    occurring = count_keys(keys)
    counts = weights.counts if weights else preparing.counts(forms, occurring)
    comparing = Comparing(preparing, counts, filled=preparing.filled(forms))

    lefts, rights, patterns = array("L"), array("L"), array("Q")
    pattern_of = comparing.pattern
    for place, others in candidates(keys, occurring, rules):
        own = forms[place]
        for other in others:
            if side and side[other] == side[place]:
                continue
            lefts.append(other)
            rights.append(place)
            patterns.append(pattern_of(forms[other], own))

    seen = Counter(patterns)
    if weights is None:
        unrelated = Counter(pattern_of(forms[a], forms[b]) for a, b in _random_pairs(len(ids)))
        weights = learn(seen, unrelated, counts)
    decided = {pattern: found for pattern in seen if (found := comparing.decide(pattern, weights))}
    pairs = [
        Pair(one=ids[left], other=ids[right], **decided[pattern])
        for left, right, pattern in zip(lefts, rights, patterns, strict=True)
        if pattern in decided
    ]
    pairs.sort(key=lambda pair: (pair.tier, -pair.probability, pair.one, pair.other))
    too_common = [
        SkippedBlock(fields=preparing.named(key), records=count)
        for key, count in occurring.items()
        if count > rules.block_limit
    ]
    too_common.sort(key=lambda block: (-block.records, block.fields))
    return Scan(pairs=tuple(pairs), weights=weights, compared=len(patterns), skipped=tuple(too_common))


def _random_pairs(records: int) -> Iterator[tuple[int, int]]:
    """Pairs of places, far apart in several steps; ids say nothing of what is in a record."""
    if records < 2:
        return
    for part in (3, 5, 7, 11):
        distance = records // part + 1
        for place in range(0, records, max(1, 4 * records // _RANDOM_PAIRS)):
            if (other := (place + distance) % records) != place:
                yield place, other
