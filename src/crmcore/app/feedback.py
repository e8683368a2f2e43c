"""Feedback: received, worked on, answered and confirmed by the customer; one who isn't satisfied opens the next cycle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from crmcore.app.engine import UseCases
from crmcore.app.finding import Page, having, read_page, where_all
from crmcore.app.loops import contribute, given, new_case, take
from crmcore.app.work import Work
from crmcore.domain import Customer, Feedback
from crmcore.rules.service import FEEDBACK
from crmcore.storage.query import Where


class Feedbacks(UseCases):
    """The use cases about feedback, for one user."""

    def receive(
        self, customer: Customer | str, *, description: str, received_at: datetime | None = None, **values: Any
    ) -> Feedback:
        """Takes down what a customer says (接收). ``received_at`` is when it came in, aware; now unless given.

        ``values`` are fields of :class:`Feedback`. Unless ``responsible`` is given, the playbook's assignment says who it is.
        """
        told = {"description": description, "received_at": received_at, **values}

        def decide(work: Work) -> Feedback:
            current = work.current(Customer, customer)
            return work.begin(new_case(work, FEEDBACK, Feedback, current, "responsible", told), "feedback.received")

        return self.write(decide)

    def assign(self, feedback: Feedback | str, responsible: str, *, reason: str | None = None) -> Feedback:
        """Gives it to somebody to work on (处理)."""
        return self._take("feedback.assigned", feedback, {"responsible": responsible}, reason)

    def plan(self, feedback: Feedback | str, plan: str) -> Feedback:
        """Says what will be done; for a complex one within 48 hours (seed 001)."""
        return self._take("feedback.planned", feedback, {"plan": plan})

    def answer(self, feedback: Feedback | str, result: str) -> Feedback:
        """Tells the customer the result (反馈). From the second cycle on a plan comes first (seed 001)."""
        return self._take("feedback.answered", feedback, {"result": result})

    def confirm(
        self,
        feedback: Feedback | str,
        confirmation: str,
        *,
        stars: int | None = None,
        suggestion: str | None = None,
        reason: str | None = None,
    ) -> Feedback:
        """Takes down what the customer says of the result (确认): satisfied, mostly_satisfied or to_improve.

        With ``to_improve`` the next cycle begins, and asks for a new plan; ``reason`` may say why. ``stars`` go from 1 to 5.
        Raises :class:`Invalid` for one that was not answered.
        """
        told = {"confirmation": confirmation, **given({"stars": stars, "suggestion": suggestion})}
        if self.engine.playbook.choice_key("feedback.confirmation", confirmation) == "to_improve":
            return self._take("feedback.reopened", feedback, told, reason)
        return self._take("feedback.confirmed", feedback, told, reason)

    def add_collaborators(self, feedback: Feedback | str, *names: str) -> Feedback:
        """Asks others to help: a name, or name/department as ``hua/技术支持``."""

        def decide(work: Work) -> Feedback:
            current = work.current(Feedback, feedback)
            together = {"collaborators": (*current.collaborators, *names)}
            return take(work, FEEDBACK, "feedback.collaborators_changed", current, together)

        return self.write(decide)

    def contribute(
        self, feedback: Feedback | str, *, collaborator: str | None = None, note: str | None = None
    ) -> Feedback:
        """Notes that a collaborator, the one who acts unless given, did what was asked of them."""

        def decide(work: Work) -> Feedback:
            current = work.current(Feedback, feedback)
            return contribute(work, FEEDBACK, "feedback.contributed", current, collaborator, note)

        return self.write(decide)

    def get(self, feedback: Feedback | str) -> Feedback:
        """The feedback as it is now. Raises :class:`NotFound`."""
        return self.one(Feedback, feedback)

    def of(self, customer: Customer | str, *, limit: int = 100, after: str | None = None) -> Page[Feedback]:
        """A customer's feedback, latest first."""
        return self.find(customer=customer, order=("-received_at",), limit=limit, after=after)

    def find(
        self,
        where: Where | None = None,
        *,
        customer: Customer | str | None = None,
        state: str | None = None,
        responsible: str | None = None,
        order: Sequence[str] = ("received_at",),
        limit: int = 50,
        after: str | None = None,
    ) -> Page[Feedback]:
        """A page of feedback. Raises :class:`QueryError` for a state that isn't there."""
        whose = None if customer is None else self.customer(customer).id
        told = having(
            Feedback, self.engine.playbook, {"customer_id": whose, "state": state, "responsible": responsible}
        )
        condition = where_all([where, *told])
        return self.engine.read(lambda transaction: read_page(transaction, Feedback, condition, order, limit, after))

    def _take(
        self, action: str, feedback: Feedback | str, values: Mapping[str, Any], reason: str | None = None
    ) -> Feedback:
        def decide(work: Work) -> Feedback:
            current = work.current(Feedback, feedback, ("state", *values))
            return take(work, FEEDBACK, action, current, values, reason)

        return self.write(decide)
