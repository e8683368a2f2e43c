"""Objections: what a customer holds against an offer, the solution, and what came of it (seeds 002, 003)."""

from __future__ import annotations

from typing import Any

from crmcore.app.engine import UseCases
from crmcore.app.loops import build, given, take
from crmcore.app.work import STAMPS, Work, refuse_fixed
from crmcore.domain import Customer, FollowUp, Objection, Opportunity
from crmcore.errors import Invalid, Issue
from crmcore.rules.service import OBJECTION
from crmcore.storage.query import Eq

_FIXED = (*STAMPS, "customer_id", "opportunity_id", "follow_up_id", "solution", "outcome", "outcome_note")


class Objections(UseCases):
    """The use cases about objections, for one user."""

    def raise_(
        self,
        customer: Customer | str,
        *,
        description: str,
        type: str | None = None,
        opportunity: Opportunity | str | None = None,
        follow_up: FollowUp | str | None = None,
        **values: Any,
    ) -> Objection:
        """Takes down an objection (异议). ``type`` is as the playbook suggests: ``price``, ``features``.

        ``opportunity`` and ``follow_up`` are where it came up; both must be this customer's.
        """

        def decide(work: Work) -> Objection:
            refuse_fixed("objection", values, _FIXED)
            current = work.current(Customer, customer)
            told = {**values, "description": description, "type": type, "customer_id": current.id}
            issues = []
            deal = work.current(Opportunity, opportunity) if opportunity is not None else None
            talk = work.current(FollowUp, follow_up) if follow_up is not None else None
            for found in (deal, talk):
                if found is not None and found.customer_id not in (None, current.id):
                    facts = {"why": "it is another customer's"}
                    issues.append(Issue(code="refused", field=f"objection.{found.entity}_id", facts=facts))
            told |= {"opportunity_id": deal.id if deal else None, "follow_up_id": talk.id if talk else None}
            return work.begin(build(work, Objection, told, issues), "objection.raised")

        return self.write(decide)

    def answer(self, objection: Objection | str, solution: str) -> Objection:
        """Gives a solution. One that was rejected can be answered anew."""

        def decide(work: Work) -> Objection:
            current = work.current(Objection, objection, ("outcome", "solution"))
            return take(work, OBJECTION, "objection.answered", current, {"solution": solution})

        return self.write(decide)

    def settle(self, objection: Objection | str, outcome: str, *, note: str | None = None) -> Objection:
        """Takes down what the customer says of the solution: ``accepted`` or ``rejected``, and in which words."""

        def decide(work: Work) -> Objection:
            current = work.current(Objection, objection, ("outcome", "solution"))
            if work.playbook.choice_key("objection.outcome", outcome) not in ("accepted", "rejected"):
                allowed = {"allowed": "accepted, rejected"}
                raise Invalid([Issue(code="bad_choice", field="objection.outcome", facts=allowed)])
            told = {"outcome": outcome, **given({"outcome_note": note})}
            return take(work, OBJECTION, "objection.settled", current, told)

        return self.write(decide)

    def of(self, customer: Customer | str) -> list[Objection]:
        """The objections of a customer, in the order in which they were raised."""
        return self.listed(Objection, Eq("customer_id", self.customer(customer).id))
