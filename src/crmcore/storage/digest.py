"""Digests of rows: two collections are equal when their digests are, whatever store keeps them and in whatever order.

Each row becomes one canonical text, a JSON array; SHAKE-256 makes 2048 bits of it; these numbers are added up, modulo
2^2048; SHA-256 of the collection's fields, the count and the sum is the digest. A sum doesn't depend on the order, so nothing
has to be sorted or held, and at 2048 bits nobody finds other rows with the same sum.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date
from decimal import Decimal
from typing import Any

import attrs

from crmcore.storage.contract import Transaction
from crmcore.storage.schema import Collection, FieldType, Row

_BYTES = 256
_MASK = (1 << 8 * _BYTES) - 1


def _decimal(value: Decimal) -> str:
    """A decimal by its value alone, however it was written: 1.10 is 1.1, 1E+2 is 100, -0 is 0."""
    sign, digits, exponent = value.as_tuple()
    number = int("".join(map(str, digits)))
    if not number:
        return "0"
    assert isinstance(exponent, int), "a row holds finite decimals"
    while not number % 10:
        number, exponent = number // 10, exponent + 1
    return f"{'-' if sign else ''}{number}e{exponent}"


_TEXTS: Mapping[FieldType, Callable[[Any], str]] = {
    "date": date.isoformat,
    "instant": lambda value: value.astimezone(UTC).isoformat(timespec="milliseconds"),
    "decimal": _decimal,
}
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@attrs.define
class Digest:
    """The digest of the rows of one collection that were added to it."""

    collection: Collection
    count: int = attrs.field(default=0, init=False)
    _sum: int = attrs.field(default=0, init=False)
    _told: tuple[tuple[int, Callable[[Any], str]], ...] = attrs.field(default=(), init=False)

    def __attrs_post_init__(self) -> None:
        fields = enumerate(self.collection.fields)
        self._told = tuple((place, _TEXTS[field.type]) for place, field in fields if field.type in _TEXTS)

    def add(self, row: Row) -> None:
        """Adds a row."""
        values: list[Any] = list(row)
        for place, tell in self._told:
            if values[place] is not None:
                values[place] = tell(values[place])
        # "surrogatepass": a text that no row should hold is still told from any other.
        told = hashlib.shake_256(_encode(values).encode("utf-8", "surrogatepass")).digest(_BYTES)
        self._sum = (self._sum + int.from_bytes(told)) & _MASK
        self.count += 1

    def adding(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows as they are, each added on its way."""
        for row in rows:
            self.add(row)
            yield row

    def hexdigest(self) -> str:
        """The digest of what was added so far, as 64 hexadecimal digits."""
        fields = [[field.name, field.type] for field in self.collection.fields]
        head = _encode([self.collection.name, fields, self.count]).encode()
        return hashlib.sha256(head + self._sum.to_bytes(_BYTES)).hexdigest()


def digest_of(transaction: Transaction, collection: str) -> Digest:
    """The digest of a collection as the transaction sees it. Its rows are read once and none is kept."""
    digest = Digest(transaction.schema.collection(collection))
    for row in transaction.scan(collection):
        digest.add(row)
    return digest


def overall(digests: Mapping[str, str]) -> str:
    """One digest for several collections, of the digest of each by its name."""
    return hashlib.sha256(_encode(sorted(digests.items())).encode()).hexdigest()
