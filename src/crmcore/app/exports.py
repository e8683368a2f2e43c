"""Giving out: the sheets of the playbook, filled from the store, in a form that an import takes back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import Any

from crmcore.app.engine import Engine, UseCases
from crmcore.domain import ENTITIES, Contact, Customer, Entity, Money, Record
from crmcore.domain.playbook import COMPOUND_FIELDS, DERIVED_FIELDS, FIELD_KINDS, Playbook
from crmcore.domain.policies import Label
from crmcore.errors import QueryError
from crmcore.metrics.tables import Cell, Column, ColumnKind, Table
from crmcore.rules.timing import local_day
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Transaction
from crmcore.storage.query import Query

_BY_NAME: Mapping[str, type[Entity]] = {cls.entity: cls for cls in ENTITIES}
_KINDS: Mapping[str, ColumnKind] = {"integer": "integer", "money": "money", "day": "date", "instant": "instant"}
_MADE_KINDS: Mapping[str, ColumnKind] = {
    "customer.registered_on": "date",
    "customer.days_in_stage": "integer",
    "customer.win_probability": "integer",
}
_YES, _NO = Label(zh="是", en="yes"), Label(zh="否", en="no")

Found = Mapping[str, Record | None]
"""What one row is made of, by entity: a customer with its first contact, a follow-up with its customer."""


class Exports(UseCases):
    """The sheets of the playbook, for one user."""

    def table(self, key: str) -> Table:
        """One sheet of the playbook with every record of its kind, customers by number, anything else by age.

        Raises :class:`QueryError` for a sheet that the playbook doesn't have.
        """
        crm = self.engine
        if not isinstance(key, str) or key not in crm.playbook.tables:
            raise QueryError(f"there is no such table; there are {', '.join(crm.playbook.tables)}")
        layout = crm.playbook.tables[key]
        crm.ask(layout.entity, "export", everywhere=False)
        columns = tuple(_column(field, crm.playbook) for field in layout.columns)

        def look(transaction: Transaction) -> Table:
            rows = tuple(
                tuple(_cell(field, found, crm) for field in layout.columns)
                for found in _rows(transaction, layout.entity)
            )
            return Table(key=key, zh=layout.label.zh, en=layout.label.en, columns=columns, rows=rows)

        return crm.read(look, "export")


def _column(field: str, playbook: Playbook) -> Column:
    kind = FIELD_KINDS.get(field)
    labels = {"true": _YES, "false": _NO} if kind and kind.name == "flag" else dict(playbook.vocabulary(field))
    shown = _MADE_KINDS.get(field, "text") if kind is None else _KINDS.get(kind.name, "text")
    return Column(field, playbook.label(field, "zh-CN"), playbook.label(field), shown, labels=labels)


def _rows(transaction: Transaction, entity: str) -> Iterator[Found]:
    cls = _BY_NAME[entity]
    if cls is Customer:
        first: dict[str, Contact] = {}
        for contact in _all(transaction, Contact, "created_at"):
            first.setdefault(contact.customer_id, contact)
        for customer in _all(transaction, Customer, "number"):
            yield {"customer": customer, "contact": first.get(customer.id)}
        return
    customers = {customer.id: customer for customer in _all(transaction, Customer, "number")}
    for record in _all(transaction, cls, "id"):
        referrer = customers.get(getattr(record, "referrer_id", ""))
        yield {entity: record, "named": customers.get(getattr(record, "customer_id", None) or "") or referrer}


def _all(transaction: Transaction, cls: type[Any], order: str) -> Iterable[Any]:
    return map(CODECS[cls].load, transaction.find(Query(cls.collection, None, (order,))))


def _cell(field: str, found: Found, crm: Engine) -> Cell:
    entity, _, name = field.partition(".")
    record = found.get(entity)
    if record is None:
        return None
    if field == "opportunity.reference":
        # What has no reference of another system is known by its own id.
        return getattr(record, "reference", None) or record.id
    if field in FIELD_KINDS:
        return shown(getattr(record, name), crm)
    if field in COMPOUND_FIELDS or field in DERIVED_FIELDS:
        make = _MADE.get(name)
        return make(record, found, crm) if make else None
    return shown(record.custom.get(name), crm)


def shown(value: Any, crm: Engine) -> Cell:
    """A value of a record as a cell of a sheet."""
    if isinstance(value, tuple):
        return ";".join(value) or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        # As the team reads it: a sheet has no zones.
        return value.astimezone(crm.zone)
    assert value is None or isinstance(value, (str, int, Money, date))
    return value


def _named(attribute: str) -> Callable[[Any, Found, Any], Cell]:
    def make(record: Any, found: Found, crm: Any) -> Cell:
        customer = found.get("named")
        return getattr(customer, attribute) if customer is not None else None

    return make


def _headcount(record: Any, found: Found, crm: Any) -> Cell:
    low, high = record.headcount_low, record.headcount_high
    if low is not None and high is not None:
        return str(low) if low == high else f"{low}-{high}人"
    return f"{low}人以上" if low is not None else f"{high}人以下" if high is not None else None


def _grading(record: Any, found: Found, crm: Any) -> Cell:
    fields = ("scale", "urgency", "potential")
    parts = [
        crm.playbook.choice_label(f"customer.{name}", value, "zh-CN")
        for name in fields
        if (value := getattr(record, name))
    ]
    return "/".join(parts) or None


def _reach(record: Any, found: Found, crm: Any) -> Cell:
    return ";".join((*record.phones, *record.emails, *([record.wechat] if record.wechat else []))) or None


def _registered_on(record: Any, found: Found, crm: Any) -> Cell:
    written = record.custom.get("registered_on")
    try:
        return date.fromisoformat(written)
    except (TypeError, ValueError):  # nothing there, or something that a team wrote by itself
        return local_day(record.created_at, crm.zone)


def _days_in_stage(record: Any, found: Found, crm: Any) -> Cell:
    return int((crm.today() - local_day(record.stage_since, crm.zone)).days)


def _win_probability(record: Any, found: Found, crm: Any) -> Cell:
    stage = crm.playbook.lifecycle.find(record.stage)
    return stage.probability if stage else None


_MADE: Mapping[str, Callable[[Any, Found, Any], Cell]] = {
    "customer_number": _named("number"),
    "customer_name": _named("name"),
    "referrer_number": _named("number"),
    "referrer_name": _named("name"),
    "headcount": _headcount,
    "grading": _grading,
    "reach": _reach,
    "registered_on": _registered_on,
    "days_in_stage": _days_in_stage,
    "win_probability": _win_probability,
}
