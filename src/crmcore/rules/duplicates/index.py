"""One new customer against all that are known: an index that is kept while records come and go."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from math import log2

from crmcore.domain.matching import MatchRules
from crmcore.rules.duplicates.blocking import needed
from crmcore.rules.duplicates.comparers import Comparer
from crmcore.rules.duplicates.forms import Forms, Preparing, Values
from crmcore.rules.duplicates.pairs import Comparing, Match, scan
from crmcore.rules.duplicates.postings import Postings
from crmcore.rules.duplicates.weights import Weights, expected

#: So many patterns keep what they came to; most pairs have one of a few hundred.
_REMEMBERED = 10_000
_BETWEEN_FIELDS, _BETWEEN_VALUES = "\x1f", "\x1e"


class DuplicateIndex:
    """Records by their ids, found again by what they share with another one.

    :meth:`probe` finds what :func:`find_pairs` would find for the same record among the same others, with the same weights.
    Without ``weights`` the expectations hold that stand before any record was seen; :meth:`of` learns them.
    """

    def __init__(
        self,
        rules: MatchRules,
        weights: Weights | None = None,
        *,
        comparers: Mapping[str, Comparer] | None = None,
    ) -> None:
        self.rules = rules
        self.weights = weights or expected(rules)
        self.weights.check(rules)
        self._preparing = Preparing.by(rules, comparers)
        self._comparing = Comparing(self._preparing, self.weights.counts)
        self._decide = lru_cache(maxsize=_REMEMBERED)(partial(self._comparing.decide, weights=self.weights))
        self._numbers: dict[str, int] = {}
        self._ids: list[str | None] = []
        self._packed: list[str] = []
        self._free: list[int] = []
        self._postings = Postings()
        self._bits = [0.0, *(log2(count) for count in range(1, rules.block_limit + 1))]

    @classmethod
    def of(
        cls,
        records: Mapping[str, Values],
        rules: MatchRules,
        weights: Weights | None = None,
        *,
        comparers: Mapping[str, Comparer] | None = None,
    ) -> DuplicateIndex:
        """An index of these records; weights that aren't handed in are learned from them."""
        index = cls(rules, weights or scan(records, rules, comparers=comparers).weights, comparers=comparers)
        for id, values in records.items():
            index.add(id, values)
        return index

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, id: object) -> bool:
        return id in self._numbers

    def add(self, id: str, values: Values) -> None:
        """Takes a record in; one that is known by this id is replaced."""
        if id in self._numbers:
            self.remove(id)
        forms = self._preparing.forms(values)
        packed = _pack(forms)
        if self._free:
            number = self._free.pop()
            self._ids[number], self._packed[number] = id, packed
        else:
            number = len(self._ids)
            self._ids.append(id)
            self._packed.append(packed)
        self._numbers[id] = number
        for key in self._preparing.keys(forms):
            self._postings.add(key, number)

    def remove(self, id: str) -> None:
        """Forgets a record; one that isn't known is no error."""
        if (number := self._numbers.pop(id, None)) is None:
            return
        for key in self._preparing.keys(_unpack(self._packed[number])):
            self._postings.remove(key, number)
        self._ids[number], self._packed[number] = None, ""
        self._free.append(number)

    def probe(self, values: Values) -> list[Match]:
        """The records that are this one, or may be, the best first."""
        forms = self._preparing.forms(values)
        matches = [
            Match(id=self._ids[number] or "", **decided)
            for number in self._candidates(self._preparing.keys(forms))
            if (decided := self._decide(self._comparing.pattern(_unpack(self._packed[number]), forms)))
        ]
        matches.sort(key=lambda match: (match.tier, -match.probability, match.id))
        return matches

    def _candidates(self, keys: list[str]) -> list[int]:
        """The numbers of the records that share enough with these keys; see :mod:`crmcore.rules.duplicates.blocking`."""
        # The record that is asked for counts, too: with it, so many have the key.
        alone, blocks = self._postings.sharing(keys, self.rules.block_limit)
        records = len(self._numbers) + 1
        most, enough = log2(records), needed(self.rules, records)
        shared: dict[int, float] = {}
        known = shared.get
        for number in alone:
            shared[number] = known(number, 0.0) + most - 1
        blocks.sort(key=len)
        weights = [most - self._bits[len(block) + 1] for block in blocks]
        left = sum(weights)
        for block, weight in zip(blocks, weights, strict=True):
            if left >= enough:
                for number in block:
                    shared[number] = known(number, 0.0) + weight
            else:  # Who comes in only now can't reach it.
                for number in shared.keys() & block:
                    shared[number] += weight
            left -= weight
        return [number for number, bits in shared.items() if bits >= enough]


def _pack(forms: Forms) -> str:
    """One text per record takes a third of what a tuple of texts takes."""
    return _BETWEEN_FIELDS.join(
        "" if form is None else form if isinstance(form, str) else _BETWEEN_VALUES.join(form) for form in forms
    )


def _unpack(packed: str) -> Forms:
    forms = packed.split(_BETWEEN_FIELDS)
    if _BETWEEN_VALUES in packed:
        return tuple(
            [tuple(text.split(_BETWEEN_VALUES)) if _BETWEEN_VALUES in text else text or None for text in forms]
        )
    return tuple([text or None for text in forms])
