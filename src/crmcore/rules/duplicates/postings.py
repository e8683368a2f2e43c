"""Which records have a key, for very many keys in little memory. Kept small, as every probe goes through it.

Most keys are of one record, which stands there by its number alone; a few records are a tuple; more of them an array.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

#: Up to so many a tuple takes less than an array.
_FEW = 8
#: A key is so many bits of a hash: more would make every one of them a third larger. Of a million, two fall together once in a million times.
_BITS = (1 << 60) - 1


class Postings:
    """Numbers of records by key. Keys are texts, kept as hashes."""

    def __init__(self) -> None:
        self._found: dict[int, int | tuple[int, ...] | array[int]] = {}

    def find(self, key: str) -> Sequence[int]:
        """The numbers under a key, in no order."""
        found = self._found.get(hash(key) & _BITS, ())
        return (found,) if isinstance(found, int) else found

    def sharing(self, keys: Iterable[str], limit: int) -> tuple[list[int], list[Sequence[int]]]:
        """What :meth:`find` has for these keys, in one go: numbers that are alone under a key, and the rest under ``limit``."""
        get, alone, blocks = self._found.get, list[int](), list[Sequence[int]]()
        for key in keys:
            found = get(hash(key) & _BITS)
            if found is None:
                continue
            if isinstance(found, int):
                alone.append(found)
            elif len(found) < limit:
                blocks.append(found)
        return alone, blocks

    def add(self, key: str, number: int) -> None:
        """Puts a number under a key, where it isn't yet."""
        hashed = hash(key) & _BITS
        found = self._found.get(hashed)
        if found is None:
            self._found[hashed] = number
        elif isinstance(found, array):
            found.append(number)
        elif isinstance(found, int):
            self._found[hashed] = (found, number)
        else:
            more = (*found, number)
            self._found[hashed] = more if len(more) <= _FEW else array("I", more)

    def remove(self, key: str, number: int) -> None:
        """Takes a number from a key that it is under."""
        hashed = hash(key) & _BITS
        found = self._found[hashed]
        if isinstance(found, int):
            del self._found[hashed]
            return
        left = tuple(each for each in found if each != number)
        if isinstance(found, array) and len(left) > _FEW:
            found.remove(number)
        else:
            self._found[hashed] = left[0] if len(left) == 1 else left
