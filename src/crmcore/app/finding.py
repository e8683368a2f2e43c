"""Finding one customer, and pages of a list: some entities, and the mark from which the next page goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar, cast

import attrs

from crmcore.domain import Customer, Entity
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Transaction
from crmcore.storage.query import Eq, Query, Where, decode_place, encode_place, place_of
from crmcore.storage.schema import Row

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


def find_customer(transaction: Transaction, customer: Customer | str) -> Customer | None:
    """The customer as the transaction sees it, by number, by id or by itself."""
    key = customer if isinstance(customer, str) else customer.id
    load: Callable[[Row], Customer] = CODECS[Customer].load
    for row in transaction.find(Query("customers", Eq("number", key), limit=1)):
        return load(row)
    found = transaction.get("customers", key)
    return load(found) if found else None
