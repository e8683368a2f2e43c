"""Finding the nearest company names in a pool. Each entry may have several names: former ones, aliases."""

import math
from array import array
from collections.abc import Iterator
from typing import Final

from crmcore_cn.characters import readings
from crmcore_cn.company_names import CompanyName, parse
from crmcore_cn.resemblance import Reason, Resemblance, Weights, compared

#: How many entries of posting lists a search reads at most, and how many names it then compares.
READ: Final = 20000
COMPARED: Final = 16


class NameIndex:
    """Names under ids, found by rare pairs of characters, then compared. The same adds give the same answers."""

    def __init__(self) -> None:
        self._names: list[CompanyName | None] = []
        self._owners: list[str] = []
        self._slots: dict[str, list[int]] = {}
        self._postings: dict[str, array[int]] = {}
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        """How many ids have names."""
        return len(self._slots)

    @property
    def weights(self) -> Weights:
        """How rare pairs of characters are among the names."""
        return Weights(sum(map(len, self._slots.values())), self._counts)

    def add(self, id: str, name: str, *former: str) -> None:
        """Put names under an id, beside those that it has."""
        for text in (name, *former):
            parsed = parse(text)
            slot = len(self._names)
            self._names.append(parsed)
            self._owners.append(id)
            self._slots.setdefault(id, []).append(slot)
            for gram in set(_grams(parsed)):
                self._postings.setdefault(gram, array("I")).append(slot)
                self._counts[gram] = self._counts.get(gram, 0) + 1

    def remove(self, id: str) -> None:
        """Forget an id and its names; one that isn't there is no error."""
        for slot in self._slots.pop(id, ()):
            name = self._names[slot]
            if name is not None:
                self._names[slot] = None
                for gram in set(_grams(name)):
                    self._counts[gram] -= 1

    def find(self, name: str, limit: int = 10) -> list[tuple[str, float, tuple[Reason, ...]]]:
        """The ids with the names nearest to a name, best first, each once, with score and reasons."""
        wanted = parse(name)
        weights = self.weights
        best: dict[str, Resemblance] = {}
        floor = -1.0
        for slot in self._candidates(wanted, weights):
            known, owner = self._names[slot], self._owners[slot]
            found = compared(wanted, known, weights, floor) if known else None
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
            if not slots:
                continue
            read += len(slots)
            if read > READ and scores:
                break
            value = math.log(1 + total / len(slots)) * (1.0 if len(gram) > 1 else 0.5)
            for slot in slots:
                scores[slot] = scores.get(slot, 0.0) + value
        return sorted(scores, key=lambda slot: (-scores[slot], slot))[:COMPARED]


def _grams(name: CompanyName) -> Iterator[str]:
    """What a name is found by: characters and pairs of its body, pairs of syllables of its core, its last place."""
    body = name.head
    for index in range(len(body)):
        yield body[index]
        if index + 1 < len(body):
            yield body[index : index + 2]
    core = name.core[:5]
    for index in range(len(core) - 1):
        for one in sorted(readings(core[index])):
            for other in sorted(readings(core[index + 1])):
                yield f"{one}'{other}"
    if name.regions:
        yield "@" + name.regions[-1].stem
    if name.locality:
        yield "@" + name.locality
