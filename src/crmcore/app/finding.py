"""Finding one customer, and pages of a list: some entities, and the mark from which the next page goes on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar, cast

import attrs

from crmcore.domain import Customer, Entity
from crmcore.errors import DomainError, QueryError
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Transaction
from crmcore.storage.query import And, Eq, Query, Where, decode_place, encode_place, place_of
from crmcore.storage.schema import Row

E = TypeVar("E", bound=Entity)
MOST = 1_000_000
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


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
    """One page of a query: exact, whatever was added or removed before it in the meantime.

    Raises :class:`QueryError` for a limit below 1, and for a mark of another list or another order.
    """
    if type(limit) is not int or not 1 <= limit <= MOST:
        raise QueryError(f"a page holds from 1 to {MOST:,}")
    if isinstance(order, str) or not all(isinstance(name, str) for name in order):
        raise QueryError("an order is a list of field names")
    listed = f"{cls.collection} by {', '.join(order)}"
    place = None
    if after:
        told, *values = decode_place(after)
        if told != listed:
            raise QueryError("this mark belongs to another list, or to another order of it")
        place = tuple(values)
    query = Query(cls.collection, where, tuple(order), place, limit + 1)
    rows = list(transaction.find(query))
    more = len(rows) > limit
    del rows[limit:]
    mark = (listed, *place_of(rows[-1], query, CODECS[cls].collection)) if more else None
    return Page(cast(tuple[E, ...], tuple(map(CODECS[cls].load, rows))), encode_place(mark) if mark else None)


def read_all(transaction: Transaction, cls: type[E], where: Where | None = None) -> Iterator[E]:
    """The entities that the condition holds for, one by one as they are read."""
    load: Callable[[Row], E] = CODECS[cls].load
    return map(load, transaction.find(Query(cls.collection, where)))


def where_all(parts: Iterable[Where | None]) -> Where | None:
    """The condition that holds where all of these do; None where there are none."""
    conditions = [part for part in parts if part is not None]
    return conditions[0] if len(conditions) == 1 else And(*conditions) if conditions else None


def find_one(transaction: Transaction, cls: type[E], wanted: E | str, name: str | None = None) -> E | None:
    """An entity as the transaction sees it, by itself, by id, or by a field that names it."""
    load: Callable[[Row], E] = CODECS[cls].load
    if not isinstance(wanted, (str, cls)):
        raise DomainError(f"a {cls.entity} is named by itself or by its id")
    if isinstance(wanted, str) and name is not None:
        for row in transaction.find(Query(cls.collection, Eq(name, wanted), limit=1)):
            return load(row)
    found = transaction.get(cls.collection, wanted if isinstance(wanted, str) else wanted.id)
    return load(found) if found else None


def customers_of(transaction: Transaction, records: Iterable[Any]) -> dict[str, Customer]:
    """The customers that the records belong to, by id."""
    ids = list(dict.fromkeys(record.customer_id for record in records if record.customer_id is not None))
    load: Callable[[Row], Customer] = CODECS[Customer].load
    return {id: load(row) for id, row in transaction.get_many("customers", ids).items()}


def find_customer(transaction: Transaction, customer: Customer | str) -> Customer | None:
    """The customer as the transaction sees it, by itself, by number or by id.

    A text in the form of an id is one; any other is a number before it is an id.
    """
    load: Callable[[Row], Customer] = CODECS[Customer].load
    if not isinstance(customer, (str, Customer)):
        raise DomainError("a customer is named by itself, its number or its id")
    if isinstance(customer, str) and not _ID.fullmatch(customer):
        for row in transaction.find(Query("customers", Eq("number", customer), limit=1)):
            return load(row)
    found = transaction.get("customers", customer if isinstance(customer, str) else customer.id)
    return load(found) if found else None
