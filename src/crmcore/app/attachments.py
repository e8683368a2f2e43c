"""Attachments of a customer: what they are and where they are kept. The evidence that a stage move can ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crmcore.app.customers import carry_customer_on
from crmcore.app.engine import UseCases
from crmcore.app.moving import due_move
from crmcore.app.opportunities import carry_opportunity_on
from crmcore.app.work import Work
from crmcore.domain import Attachment, Customer, Opportunity
from crmcore.storage.codec import CODECS
from crmcore.storage.query import Eq, Query
from crmcore.storage.schema import Row


class Attachments(UseCases):
    """The use cases about attachments, for one user."""

    def add(self, customer: Customer | str, *, name: str, about: str | None = None, **values: Any) -> Attachment:
        """Notes an attachment (附件). ``about`` is its kind, as guards name it: ``contract``; the content is kept elsewhere.

        ``values`` are fields of :class:`Attachment`: ``media_type``, ``size`` in bytes, ``sha256``, ``place``. The customer
        and its opportunities make the automatic moves that waited for it.
        """

        def decide(work: Work) -> Attachment:
            current = work.current(Customer, customer)
            deals = work.find(Opportunity, Eq("customer_id", current.id))
            was_due, deals_due = due_move(work, current), [due_move(work, deal) for deal in deals]
            given = {**values, "customer_id": current.id, "name": name, "about": about}
            attached = work.create(Attachment, "attachment.added", given)
            carry_customer_on(work, current, was_due)
            for deal, deal_due in zip(deals, deals_due, strict=True):
                carry_opportunity_on(work, deal, deal_due)
            return attached

        return self.write(decide)

    def of(self, customer: Customer | str) -> list[Attachment]:
        """The attachments of a customer, in the order in which they were added."""
        load: Callable[[Row], Attachment] = CODECS[Attachment].load
        query = Query("attachments", Eq("customer_id", self.customer(customer).id), ("created_at",))
        return self.engine.read(lambda transaction: list(map(load, transaction.find(query))))
