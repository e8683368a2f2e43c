"""Pages of a list: a number of entities, and the mark from which the next page goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar, cast

import attrs

from crmcore.domain import Entity
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Transaction
from crmcore.storage.query import Query, Where, decode_place, encode_place, place_of

E = TypeVar("E", bound=Entity)


@attrs.frozen
class Page(Generic[E]):
    """Some entities in order. ``next`` is a mark to hand in as ``after``, or None on the last page."""

    items: tuple[E, ...]
    next: str | None

    def __iter__(self) -> Iterator[E]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


def read_page(
    transaction: Transaction, cls: type[E], where: Where | None, order: Sequence[str], limit: int, after: str | None
) -> Page[E]:
    """One page of a query: exact, whatever was added or removed before it in the meantime."""
    place = decode_place(after) if after else None
    query = Query(cls.collection, where, tuple(order), place, limit + 1)
    rows = list(transaction.find(query))
    more = len(rows) > limit
    del rows[limit:]
    mark = encode_place(place_of(rows[-1], query, CODECS[cls].collection)) if more and rows else None
    return Page(cast(tuple[E, ...], tuple(map(CODECS[cls].load, rows))), mark)
