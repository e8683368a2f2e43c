"""The files that lack something, as a sheet to be filled in and imported again (seed 004: 信息完整率)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from crmcore.domain.customer import Contact, Customer
from crmcore.domain.fields import Kind
from crmcore.domain.playbook import FIELD_KINDS, Playbook
from crmcore.domain.values import Money
from crmcore.metrics.quality import asked_of, has
from crmcore.metrics.tables import Cell, Column, ColumnKind, Table
from crmcore.rules.stages import value_of

_KINDS: Mapping[str, ColumnKind] = {"integer": "integer", "money": "money", "day": "date", "instant": "instant"}
_ALWAYS = ("customer.number", "customer.name", "customer.owner", "customer.source")


def incomplete(customers: Iterable[Customer], contacts: Iterable[Contact], playbook: Playbook) -> Table:
    """A row for each customer whose file lacks a field that is asked for, by number: what is there, and what is missing.

    Its headings are those that an import knows: filled in, and imported with ``duplicates="update"``, it completes the files.
    Of a contact it shows the first person.
    """
    people: dict[str, list[Contact]] = {}
    for contact in contacts:
        people.setdefault(contact.customer_id, []).append(contact)
    found: list[tuple[Customer, list[str]]] = []
    wanted: set[str] = set()
    for customer in sorted(customers, key=lambda one: one.number):
        own = people.get(customer.id, [])
        asked = list(asked_of(customer, playbook))
        missing = [field for field in asked if not has(customer, own, field)]
        if missing:
            found.append((customer, missing))
            wanted.update(asked)
    if any(field.startswith("contact.") for field in wanted):
        wanted.add("contact.name")
    order = [key for key in FIELD_KINDS if key in wanted]
    fields = [field for field in (*order, *sorted(wanted - set(order))) if field not in _ALWAYS]
    columns = (
        *(_column(field, playbook) for field in _ALWAYS),
        Column("missing", "缺少", "Missing"),
        *(_column(field, playbook) for field in fields),
    )
    rows = tuple(
        (
            customer.number,
            customer.name,
            customer.owner,
            customer.source,
            "、".join(playbook.label(field, "zh-CN") for field in missing),
            *(_cell(customer, people.get(customer.id, []), field) for field in fields),
        )
        for customer, missing in found
    )
    return Table("incomplete", "待补全客户", "Customers to be completed", columns, rows)


def _column(field: str, playbook: Playbook) -> Column:
    kind: Kind | None = FIELD_KINDS.get(field)
    shown = _KINDS.get(kind.name, "text") if kind else "text"
    labels = playbook.vocabulary(field)
    return Column(field, playbook.label(field, "zh-CN"), playbook.label(field), shown, labels=labels)


def _cell(customer: Customer, people: Collection[Contact], field: str) -> Cell:
    """What the file says in a field, of the first person where it is a contact's."""
    entity, _, name = field.partition(".")
    if field == "contact.reach":
        return None if not people else ";".join(x for one in people for x in (*one.phones, *one.emails)) or None
    record: Any = customer if entity == "customer" else next(iter(people), None)
    value = None if record is None else value_of(record, name)
    if isinstance(value, tuple):
        return ";".join(value) or None
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if value is None or isinstance(value, (str, int, Money)) or hasattr(value, "year") else str(value)
