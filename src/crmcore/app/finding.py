"""Finding one customer, and pages of a list: some entities, and the mark from which the next page goes on."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar, cast

import attrs

from crmcore.domain import Alias, Customer, Entity
from crmcore.domain.playbook import FIELD_KINDS, Playbook
from crmcore.domain.values import fold
from crmcore.errors import DomainError, QueryError
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Transaction
from crmcore.storage.query import And, Contains, Eq, In, Query, Where, decode_place, encode_place, place_of
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
    if not isinstance(order, (list, tuple)) or not all(isinstance(name, str) for name in order):
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


def read_all(
    transaction: Transaction,
    cls: type[E],
    where: Where | None = None,
    order: Sequence[str] = (),
    limit: int | None = None,
) -> Iterator[E]:
    """The entities that the condition holds for, one by one as they are read."""
    load: Callable[[Row], E] = CODECS[cls].load
    return map(load, transaction.find(Query(cls.collection, where, tuple(order), None, limit)))


class Marked(Transaction):
    """A transaction that lets the library at its own marks, which tell nothing of a customer, whoever reads through it."""

    marks: Transaction

    @abstractmethod
    def can_be_asked(self, entity: str, field: str) -> bool:
        """Whether records may be found by a field."""


def marks_of(transaction: Transaction) -> Transaction:
    """Where the marks of imports are read, of which nothing is told but what is asked of them by id."""
    return transaction.marks if isinstance(transaction, Marked) else transaction


def where_all(parts: Iterable[Where | None]) -> Where | None:
    """The condition that holds where all of these do; None where there are none."""
    conditions = [part for part in parts if part is not None]
    return conditions[0] if len(conditions) == 1 else And(*conditions) if conditions else None


def having(cls: type[Entity], playbook: Playbook, values: Mapping[str, Any]) -> list[Where]:
    """One condition for each field that a value is given for; None is no value. A word may be a key or any of its labels.

    Raises :class:`QueryError` for a word that a fixed vocabulary doesn't have; it lists those that it has.
    """
    found: list[Where] = []
    for name, value in values.items():
        if value is not None:
            keys = keys_meant(f"{cls.entity}.{name}", value, playbook)
            found.append(Eq(name, keys[0]) if len(keys) == 1 else In(name, keys))
    return found


def keys_meant(field: str, value: Any, playbook: Playbook) -> tuple[Any, ...]:
    """What a value stands for: one key of the field's vocabulary, and of a milestone the one of each pipeline that has it.

    A field without a fixed vocabulary takes any value. Raises :class:`QueryError` as :func:`having`.
    """
    keys: tuple[Any, ...]
    allowed: tuple[str, ...]
    if field == "opportunity.stage":
        graphs = playbook.pipelines.values()
        keys = tuple(dict.fromkeys(key for graph in graphs if (key := graph.stage_key(value)) is not None))
        allowed = tuple(dict.fromkeys(key for graph in graphs for key in graph.keys))
    else:
        known = playbook.choice_key(field, value)
        keys = (value if known is None else known,)
        of_playbook = field in ("customer.stage", "customer.tier")
        allowed = tuple(playbook.vocabulary(field)) if of_playbook else FIELD_KINDS[field].choices
        if allowed and keys[0] not in allowed:
            keys = ()
    if not keys:
        raise QueryError(f"{field} is one of {', '.join(allowed)}", field=field.partition(".")[2])
    return keys


def named_like(search: Any) -> list[Where]:
    """The condition on names that a search means, without case and spaces; nothing for no search."""
    if search is not None and not isinstance(search, str):
        raise QueryError("a search is a text")
    return [Contains("name_key", fold(search))] if search else []


def not_named(cls: type[Entity], name: str | None = None) -> DomainError:
    """What is raised where something else is handed in than a record or its name."""
    article = "an" if cls.entity[0] in "aeio" else "a"
    by = f", its {name} or its id" if name else " or by its id"
    return DomainError(f"{article} {cls.entity.replace('_', ' ')} is named by itself{by}")


def find_one(transaction: Transaction, cls: type[E], wanted: E | str, name: str | None = None) -> E | None:
    """An entity as the transaction sees it, by itself, by id, or by a field that names it."""
    load: Callable[[Row], E] = CODECS[cls].load
    if not isinstance(wanted, (str, cls)):
        raise not_named(cls, name)
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

    A text in the form of an id is one; any other is a number before it is an id. What named a customer that was absorbed
    names the one that absorbed it.
    """
    load: Callable[[Row], Customer] = CODECS[Customer].load
    if not isinstance(customer, (str, Customer)):
        raise not_named(Customer, "number")
    if isinstance(customer, str) and not _ID.fullmatch(customer):
        for row in transaction.find(Query("customers", Eq("number", customer), limit=1)):
            return load(row)
    named = customer if isinstance(customer, str) else customer.id
    found = transaction.get("customers", named)
    if found is None and (alias := _alias(transaction, named)):
        found = transaction.get("customers", alias.customer_id)
    return load(found) if found else None


def _alias(transaction: Transaction, named: str) -> Alias | None:
    """What became of a customer that is named by a former number or by the id that it had."""
    load: Callable[[Row], Alias] = CODECS[Alias].load
    if not _ID.fullmatch(named) and (row := transaction.get("aliases", named)):
        return load(row)
    return next(map(load, transaction.find(Query("aliases", Eq("absorbed_id", named), limit=1))), None)
