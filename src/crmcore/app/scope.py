"""What a report is about: all customers, or those with some values, and what hangs on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar, cast

from crmcore.app.finding import customers_of, keys_meant
from crmcore.domain import Customer, Entity
from crmcore.domain.playbook import Playbook
from crmcore.errors import QueryError
from crmcore.metrics.dimensions import FACETS
from crmcore.metrics.overview import Counts, counted
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Transaction
from crmcore.storage.query import And, Eq, IsNull, Query, Where

E = TypeVar("E", bound=Entity)

Of = Mapping[str, str | None]
"""Fields of a customer and the value that each must have; None stands for those that don't give it."""


def checked_of(of: Of | None, playbook: Playbook) -> dict[str, str | None]:
    """The restriction in the playbook's keys: a stage or a tier may be named by its label.

    Raises :class:`QueryError` for a field that a report isn't restricted by, for a value that is no text, and for a stage or a
    tier that the playbook doesn't have.
    """
    found: dict[str, str | None] = {}
    if of is not None and not isinstance(of, Mapping):
        raise QueryError("a report is restricted by a mapping of fields to values")
    for name, value in (of or {}).items():
        if name not in FACETS:
            raise QueryError(f"a report is restricted by {', '.join(FACETS)}")
        if value is not None and not isinstance(value, str):
            raise QueryError(f"the {name} that a report is restricted to is given as text", field=name)
        found[name] = None if value is None else keys_meant(f"customer.{name}", value, playbook)[0]
    return found


class Scope:
    """The records of one report, read in one transaction. Without ``of`` every record belongs to it, with it those of the
    customers that it leaves."""

    def __init__(self, transaction: Transaction, of: Of) -> None:
        self.transaction = transaction
        self._of = of

    @property
    def where(self) -> Where | None:
        """The condition on a customer; None where every one is meant."""
        parts: list[Where] = [
            IsNull(name) if value is None else Eq(name, value) for name, value in sorted(self._of.items())
        ]
        return And(*parts) if parts else None

    @cached_property
    def customers(self) -> dict[str, Customer]:
        """The customers by id."""
        return {customer.id: customer for customer in self._read(Customer, self.where)}

    def all(self, cls: type[E], where: Where | None = None, *, by: str = "customer_id") -> Iterable[E]:
        """The records that the condition holds for and whose field ``by`` names a customer of the report."""
        found = self._read(cls, where)
        if not self._of:
            return found
        ids = self.customers
        return (one for one in found if getattr(one, by) in ids)

    def tally(self, cls: type[Entity], by: Sequence[str], where: Where | None = None) -> Counts:
        """How many records there are of each group: asked of the store where it can tell, else counted here."""
        if cls is not Customer and self._of:
            return counted(self.all(cls, where), by)
        parts = [part for part in (where, self.where if cls is Customer else None) if part is not None]
        rows = self.transaction.tally(cls.collection, And(*parts) if parts else None, by)
        return {tuple(cast(tuple[str | None, ...], row[:-1])): cast(int, row[-1]) for row in rows}

    def named(self, records: Iterable[Any]) -> Mapping[str, Customer]:
        """The customers of these records by id; of a restricted report, all that it has."""
        return self.customers if self._of else customers_of(self.transaction, records)

    def _read(self, cls: type[E], where: Where | None) -> Iterable[E]:
        load: Callable[..., E] = CODECS[cls].load
        return map(load, self.transaction.find(Query(cls.collection, where)))
