"""Finding the nearest company names in a pool. Each entry may have several names: former ones, aliases."""

import heapq
import math
from array import array
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from crmcore_cn.characters import readings
from crmcore_cn.company_names import CompanyName, parse
from crmcore_cn.name_reasons import Reason
from crmcore_cn.resemblance import Resemblance, Weights, compared, grams

#: How many entries of posting lists a search reads at most, and how many names it then compares.
READ: Final = 8000
COMPARED: Final = 24

#: Names are kept as text, which is small, and taken apart again when they are compared.
_parsed: Final = lru_cache(maxsize=4096)(parse)


class NameIndex:
    """Names under ids, found by rare pairs of characters, then compared. The same adds give the same answers."""

    def __init__(self) -> None:
        self._names: list[str | None] = []
        self._owners: list[str] = []
        self._slots: dict[str, tuple[int, ...]] = {}
        self._postings: dict[str, array[int]] = {}
        self._counts: dict[str, int] = {}
        self._sizes = array("H")
        self._held = 0

    def __len__(self) -> int:
        """How many ids have names."""
        return len(self._slots)

    @property
    def weights(self) -> Weights:
        """How rare pairs of characters are among the names."""
        return Weights(self._held, self._counts)

    def add(self, id: str, name: str, *former: str) -> None:
        """Put names under an id, beside those that it has."""
        for text in (name, *former):
            parsed = parse(text)
            slot = len(self._names)
            self._names.append(text)
            self._owners.append(id)
            self._slots[id] = (*self._slots.get(id, ()), slot)
            self._held += 1
            self._count(parsed, 1)
            own = set(_grams(parsed))
            self._sizes.append(len(own))
            for gram in own:
                self._postings.setdefault(gram, array("I")).append(slot)
                self._counts[gram] = self._counts.get(gram, 0) + 1

    def remove(self, id: str) -> None:
        """Forget an id and its names; one that isn't there is no error."""
        for slot in self._slots.pop(id, ()):
            text = self._names[slot]
            if text is not None:
                self._names[slot] = None
                self._held -= 1
                name = parse(text)
                self._count(name, -1)
                for gram in set(_grams(name)):
                    self._counts[gram] -= 1

    def _count(self, name: CompanyName, by: int) -> None:
        if name.form:
            self._counts["=" + name.form] = self._counts.get("=" + name.form, 0) + by

    def find(self, name: str, limit: int = 10) -> list[tuple[str, float, tuple[Reason, ...]]]:
        """The ids with the names nearest to a name, best first, each once, with score and reasons."""
        wanted = parse(name)
        weights = self.weights
        best: dict[str, Resemblance] = {}
        floor = -1.0
        for slot in self._candidates(wanted, weights):
            text, owner = self._names[slot], self._owners[slot]
            found = compared(wanted, _parsed(text), weights, floor) if text is not None else None
            if found is not None and (owner not in best or found.score > best[owner].score):
                best[owner] = found
                if len(best) >= limit:
                    floor = sorted((each.score for each in best.values()), reverse=True)[limit - 1]
        ranked = sorted(best.items(), key=lambda item: -item[1].score)
        return [(owner, found.score, found.reasons) for owner, found in ranked[:limit]]

    def _candidates(self, wanted: CompanyName, weights: Weights) -> list[int]:
        grams = sorted(set(_grams(wanted)), key=lambda gram: (self._counts.get(gram, 0), gram))
        scores: dict[int, float] = {}
        read = 0
        total = max(weights.names, 1)
        for gram in grams:
            slots = self._postings.get(gram)
            if not slots or not self._counts[gram]:
                continue
            held = self._counts[gram]
            read += held
            if read > READ and scores:
                break
            value = math.log(1 + total / held) * (1.0 if len(gram) > 1 else 0.5)
            for slot in slots:
                scores[slot] = scores.get(slot, 0.0) + value
        sizes, names = self._sizes, self._names
        found = (slot for slot in scores if names[slot] is not None)
        return heapq.nsmallest(COMPARED, found, key=lambda slot: (-scores[slot] / math.sqrt(max(sizes[slot], 1)), slot))


def _grams(name: CompanyName) -> Iterator[str]:
    """What a name is found by: characters and pairs of its body, pairs of syllables of its core, its last place."""
    yield from grams(name.head)
    if name.alternative and name.alternative.branch != name.branch:
        yield from grams(name.alternative.head)
    core = name.core[:5]
    for index in range(len(core) - 1):
        for one in sorted(readings(core[index])):
            for other in sorted(readings(core[index + 1])):
                yield f"{one}'{other}"
    if name.regions:
        yield "@" + name.regions[-1].stem
    if name.locality:
        yield "@" + name.locality
