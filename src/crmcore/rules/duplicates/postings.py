"""Which records have a key, for very many keys in little memory. Kept small, as everything else rests on it.

Most keys are of one record, or of a few: these stand in three arrays, linked by hash, at some 20 bytes each. A key that
more records have gets an array of its own, and goes back when it shrinks.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

_FEW = 6
_NOBODY = 0xFFFFFFFF


class Postings:
    """Numbers of records by key; a key is the hash of a text, so two may fall together, in one of 10**13 cases."""

    def __init__(self) -> None:
        self._heads = array("I", [_NOBODY]) * 64
        self._hashes = array("q")
        self._numbers = array("I")
        self._next = array("I")
        self._free = _NOBODY
        self._used = 0
        self._many: dict[int, array[int]] = {}

    def find(self, key: int) -> Sequence[int]:
        """The numbers under a key, in no order."""
        if (many := self._many.get(key)) is not None:
            return many
        found = []
        at = self._heads[key & (len(self._heads) - 1)]
        hashes, following = self._hashes, self._next
        while at != _NOBODY:
            if hashes[at] == key:
                found.append(self._numbers[at])
            at = following[at]
        return found

    def add(self, key: int, number: int) -> None:
        """Puts a number under a key, where it isn't yet."""
        if (many := self._many.get(key)) is not None:
            many.append(number)
            return
        if len(there := self.find(key)) >= _FEW:
            for each in there:
                self._unlink(key, each)
            self._many[key] = array("I", [*there, number])
            return
        self._link(key, number)

    def remove(self, key: int, number: int) -> None:
        """Takes a number from a key that it is under."""
        if (many := self._many.get(key)) is None:
            self._unlink(key, number)
            return
        many.remove(number)
        if len(many) <= _FEW:
            for each in self._many.pop(key):
                self._link(key, each)

    def _link(self, key: int, number: int) -> None:
        if self._used >= len(self._heads):
            self._grow()
        bucket = key & (len(self._heads) - 1)
        if (at := self._free) == _NOBODY:
            at = len(self._hashes)
            self._hashes.append(key)
            self._numbers.append(number)
            self._next.append(self._heads[bucket])
        else:
            self._free = self._next[at]
            self._hashes[at], self._numbers[at], self._next[at] = key, number, self._heads[bucket]
        self._heads[bucket] = at
        self._used += 1

    def _unlink(self, key: int, number: int) -> None:
        bucket, before = key & (len(self._heads) - 1), _NOBODY
        at = self._heads[bucket]
        while at != _NOBODY:
            after = self._next[at]
            if self._hashes[at] == key and self._numbers[at] == number:
                if before == _NOBODY:
                    self._heads[bucket] = after
                else:
                    self._next[before] = after
                self._next[at], self._free = self._free, at
                self._numbers[at] = _NOBODY
                self._used -= 1
                return
            before, at = at, after
        raise KeyError(number)

    def _grow(self) -> None:
        """Twice as many heads; what is linked is linked anew."""
        heads = array("I", [_NOBODY]) * (2 * len(self._heads))
        mask, hashes, following = len(heads) - 1, self._hashes, self._next
        for at, number in enumerate(self._numbers):
            if number != _NOBODY:
                bucket = hashes[at] & mask
                following[at], heads[bucket] = heads[bucket], at
        self._heads = heads
