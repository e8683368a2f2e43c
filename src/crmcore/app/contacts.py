"""The people at a customer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crmcore.app.engine import UseCases
from crmcore.app.work import STAMPS, Work, refuse_fixed
from crmcore.domain import Contact, Customer
from crmcore.errors import Invalid
from crmcore.rules.validation import check_contact
from crmcore.storage.codec import CODECS
from crmcore.storage.query import Eq, Query


def contact_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a contact, where ``phone`` and ``email`` may stand for a list of one."""
    given = dict(values)
    for one, many in (("phone", "phones"), ("email", "emails")):
        first = given.pop(one, None)
        if first is not None:
            rest = given.get(many) or ()
            given[many] = (first, *(rest if isinstance(rest, (list, tuple)) else (rest,)))
    return given


_FIXED = (*STAMPS, "customer_id")


class Contacts(UseCases):
    """The use cases about contacts, for one user."""

    def add(self, customer: Customer | str, **values: Any) -> Contact:
        """Adds a person. ``values`` are fields of :class:`Contact`; ``phone=`` and ``email=`` serve for one of each."""

        def decide(work: Work) -> Contact:
            current = work.current(Customer, customer)
            given = contact_values(values)
            issues = check_contact(given, work.reads_phone)
            if issues:
                raise Invalid(issues)
            refuse_fixed("contact", given, _FIXED)
            return work.create(Contact, "contact.added", {**given, "customer_id": current.id})

        return self.write(decide)

    def update(self, contact: Contact | str, **changes: Any) -> Contact:
        """Changes fields of a contact."""

        def decide(work: Work) -> Contact:
            given = contact_values(changes)
            issues = check_contact({"name": "-", **given}, work.reads_phone)
            if issues:
                raise Invalid(issues)
            refuse_fixed("contact", given, _FIXED)
            return work.change(work.current(Contact, contact, given), "contact.updated", given)

        return self.write(decide)

    def of(self, customer: Customer | str) -> list[Contact]:
        """The people at a customer, in the order in which they were added."""
        found = self.customer(customer)
        query = Query("contacts", Eq("customer_id", found.id), ("created_at",))
        return self.engine.read(lambda transaction: list(map(CODECS[Contact].load, transaction.find(query))))
