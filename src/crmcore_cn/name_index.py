"""Finding the nearest company names in a pool. Each entry may have several names: former ones, aliases."""

import heapq
import math
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from crmcore_cn.characters import readings
from crmcore_cn.company_names import CompanyName, parse
from crmcore_cn.name_reasons import Reason
from crmcore_cn.resemblance import Resemblance, Weights, compared, grams

#: How many entries of posting lists a search reads at most, and how many names it then compares.
READ: Final = 4000
COMPARED: Final = 24
#: Names that share less than this part of the most that any shares aren't worth a comparison.
WORTHWHILE: Final = 0.25
#: What a name must share of what a company that is the same shares, to be looked at beside it.
NEARLY: Final = 0.6

#: Names are kept as text, which is small, and taken apart again when they are compared.
_parsed: Final = lru_cache(maxsize=4096)(parse)


class NameIndex:
    """Names under ids, found by rare pairs of characters, then compared. The same adds give the same answers."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._owners: list[str] = []
        self._slots: dict[str, tuple[int, ...]] = {}
        self._postings: dict[str, array[int]] = {}
        self._counts: dict[str, int] = {}
        #: What each gram is of its name: one by the root of how many there are.
        self._shares = array("d")
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
            self._shares.append(1 / math.sqrt(max(len(own), 1)))
            for gram in own:
                self._postings.setdefault(gram, array("I")).append(slot)
                self._counts[gram] = self._counts.get(gram, 0) + 1

    def remove(self, id: str) -> None:
        """Forget an id and its names; one that isn't there is no error."""
        for slot in self._slots.pop(id, ()):
            name = parse(self._names[slot])
            self._names[slot] = ""
            self._held -= 1
            self._count(name, -1)
            for gram in set(_grams(name)):
                slots = self._postings[gram]
                del slots[bisect_left(slots, slot)]
                self._counts[gram] -= 1

    def _count(self, name: CompanyName, by: int) -> None:
        if name.form:
            self._counts["=" + name.form] = self._counts.get("=" + name.form, 0) + by

    def find(self, name: str, limit: int = 10) -> list[tuple[str, float, tuple[Reason, ...]]]:
        """The ids with the names nearest to a name, best first, each once, with score and reasons.

        Once one is the same company, those that share much less with the name aren't looked at.
        """
        wanted = parse(name)
        weights = self.weights
        best: dict[str, Resemblance] = {}
        floor, least = -1.0, 0.0
        for shared, slot in self._candidates(wanted, weights):
            if floor >= 1.0 or shared < least:
                break
            owner = self._owners[slot]
            found = compared(wanted, _parsed(self._names[slot]), weights, floor)
            if found is None:
                continue
            if found.verdict == "same":
                least = max(least, shared * NEARLY)
            if owner not in best or found.score > best[owner].score:
                best[owner] = found
                if len(best) >= limit:
                    floor = sorted((each.score for each in best.values()), reverse=True)[limit - 1]
        ranked = sorted(best.items(), key=lambda item: -item[1].score)
        return [(owner, found.score, found.reasons) for owner, found in ranked[:limit]]

    def _candidates(self, wanted: CompanyName, weights: Weights) -> list[tuple[float, int]]:
        """The slots that share most with a name for their size, and how much."""
        counts, total = self._counts, max(weights.names, 1)
        shared: dict[int, float] = {}
        read = 0
        for gram in sorted(set(_grams(wanted)), key=lambda gram: (counts.get(gram, 0), gram)):
            held = counts.get(gram, 0)
            if not held:
                continue
            read += held
            if read > READ and shared:
                break
            value = math.log(1 + total / held) * (1.0 if len(gram) > 1 else 0.5)
            for slot in self._postings[gram]:
                shared[slot] = shared.get(slot, 0.0) + value
        if not shared:
            return []
        least, shares = max(shared.values()) * WORTHWHILE, self._shares
        found = [(-value * shares[slot], slot) for slot, value in shared.items() if value >= least]
        return [(-value, slot) for value, slot in heapq.nsmallest(COMPARED, found)]


def _grams(name: CompanyName) -> Iterator[str]:
    """What a name is found by: characters and pairs of its body, pairs of syllables of its core in either order, its last place."""
    yield from grams(name.head)
    if name.alternative and name.alternative.branch != name.branch:
        yield from grams(name.alternative.head)
    core = name.core[:5]
    for index in range(len(core) - 1):
        for one in sorted(readings(core[index])):
            for other in sorted(readings(core[index + 1])):
                yield f"{min(one, other)}'{max(one, other)}"
    if name.regions:
        yield "@" + name.regions[-1].stem
    if name.locality:
        yield "@" + name.locality
