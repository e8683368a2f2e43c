"""Keeping no customer longer than the playbook says 保存期限: who is to go, and letting them go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby

from crmcore.app.absent import content_of, from_content
from crmcore.app.deleting import delete_customer
from crmcore.app.engine import UseCases
from crmcore.app.erasing import clean, erase_within
from crmcore.app.finding import read_all
from crmcore.app.work import Work
from crmcore.domain import AbsentRecord, Alias, Contact, Customer, Entity, Event
from crmcore.rules.retention import Kept, due_to_go
from crmcore.storage.contract import Transaction
from crmcore.storage.query import And, Eq, In

#: What is done about a customer by the library itself is no activity.
_NO_ACTIVITY = ("customer.erased", "contact.erased", "customer.deleted", "customer.restored", "customer.tiered")


class RetentionRules(UseCases):
    """The use cases about how long customers are kept, for one user."""

    def due(self) -> list[Kept]:
        """The customers that are to go now by the playbook's rules, the longest overdue first; also those in the bin.

        Reads the whole log once.
        """
        self.engine.ask("customer", "delete")
        found = [*self.engine.read(self._due), *self.engine.plain.read(self._due_in_bin)]
        return sorted(found, key=lambda kept: (kept.due_at, kept.customer.number))

    def run(self) -> list[Kept]:
        """Lets everybody go who is due, one unit of work each, then cleans the files; what was done.

        A customer that a plugin wants to keep, or that somebody has just done something with, raises and leaves the rest to the
        next run. The rule's own words are the reason.
        """
        done: list[Kept] = []
        erased = False
        while due := self.due():
            for kept in due:

                def let_go(work: Work, kept: Kept = kept) -> None:
                    reason = f"保存期限: {kept.rule.label.zh}"
                    if kept.rule.action == "delete":
                        delete_customer(work, kept.customer.id, reason)
                    else:
                        erase_within(work, kept.customer.id, None, reason)

                self.write(let_go)
                erased = erased or kept.rule.action == "erase"
                done.append(kept)
        if erased:
            clean(self.engine.plain)
        return done

    def _due(self, transaction: Transaction) -> list[Kept]:
        playbook, now = self.engine.playbook, self.engine.now()
        if not playbook.retention:
            return []
        stands_for = {alias.absorbed_id: alias.customer_id for alias in read_all(transaction, Alias)}
        last: dict[str, datetime] = {}
        for event in read_all(transaction, Event):
            if event.customer_id is not None and event.action not in _NO_ACTIVITY:
                id = stands_for.get(event.customer_id, event.customer_id)
                last[id] = max(last.get(id, event.at), event.at)
        people: dict[str, list[Contact]] = {}
        for contact in read_all(transaction, Contact):
            people.setdefault(contact.customer_id, []).append(contact)
        found = (
            due_to_go(
                customer,
                people.get(customer.id, ()),
                last.get(customer.id, customer.updated_at),
                playbook.retention,
                playbook.lifecycle,
                now,
                self.engine.zone,
            )
            for customer in read_all(transaction, Customer)
        )
        return [kept for kept in found if kept is not None]

    def _due_in_bin(self, transaction: Transaction) -> Iterable[Kept]:
        playbook, now = self.engine.playbook, self.engine.now()
        customers: list[tuple[Customer, datetime]] = []
        people: dict[str, list[Contact]] = {}
        for record, at in _in_bin(transaction) if playbook.retention else ():
            if isinstance(record, Customer):
                customers.append((record, at))
            elif isinstance(record, Contact):
                people.setdefault(record.customer_id, []).append(record)
        found = [
            due_to_go(
                customer,
                people.get(customer.id, ()),
                at,
                playbook.retention,
                playbook.lifecycle,
                now,
                self.engine.zone,
                deleted_at=at,
            )
            for customer, at in customers
        ]
        return [kept for kept in found if kept is not None]


def _in_bin(transaction: Transaction) -> Iterator[tuple[Entity, datetime]]:
    """The customers in the bin and their contacts, and since when they are there."""
    where = And(Eq("reason", "deleted"), In("subject", ("customer", "contact")))
    parts = sorted(
        read_all(transaction, AbsentRecord, where), key=lambda part: (part.subject, part.subject_id, part.part)
    )
    for (subject, _), pieces in groupby(parts, key=lambda part: (part.subject, part.subject_id)):
        kept = list(pieces)
        yield from_content(subject, content_of(kept)), kept[0].at
