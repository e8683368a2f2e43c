"""Action plans: what a review decided to do, who does it and until when, followed to its end (seeds 001 to 004)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from crmcore.app.engine import UseCases
from crmcore.app.finding import having, where_all
from crmcore.app.loops import given, take
from crmcore.app.work import STAMPS, Work, or_default, refuse_fixed
from crmcore.domain import ActionPlan, Customer
from crmcore.rules.service import ACTION_PLAN
from crmcore.storage.query import Eq, Le

_FIXED = (*STAMPS, "customer_id", "state", "result")


class ActionPlans(UseCases):
    """The use cases about action plans, for one user."""

    def add(
        self, what: str, *, customer: Customer | str | None = None, owner: str | None = None, **values: Any
    ) -> ActionPlan:
        """Plans an action (行动计划), about a customer or about none. The one who plans owns it unless told otherwise."""

        def decide(work: Work) -> ActionPlan:
            refuse_fixed("action_plan", values, _FIXED)
            about = work.current(Customer, customer).id if customer is not None else None
            told = {**values, "what": what, "owner": or_default(owner, work.actor), "customer_id": about}
            return work.create(ActionPlan, "action_plan.made", told)

        return self.write(decide)

    def change(self, plan: ActionPlan | str, **values: Any) -> ActionPlan:
        """Changes what is to be done, by whom (``owner``) or until when (``due_on``)."""

        def decide(work: Work) -> ActionPlan:
            refuse_fixed("action_plan", values, _FIXED)
            current = work.current(ActionPlan, plan, ("state", *values))
            return take(work, ACTION_PLAN, "action_plan.changed", current, values)

        return self.write(decide)

    def done(self, plan: ActionPlan | str, *, result: str | None = None) -> ActionPlan:
        """Says that it was carried out, and what came of it."""
        return self._take("action_plan.done", plan, given({"result": result}))

    def cancel(self, plan: ActionPlan | str, *, reason: str) -> ActionPlan:
        """Takes a planned action back."""
        return self._take("action_plan.cancelled", plan, {}, reason)

    def of(self, customer: Customer | str) -> list[ActionPlan]:
        """The plans about a customer by their day."""
        return self.listed(ActionPlan, Eq("customer_id", self.customer(customer).id), ("due_on",))

    def find(
        self, *, state: str | None = "planned", owner: str | None = None, due_by: date | None = None
    ) -> list[ActionPlan]:
        """The planned actions by their day, with ``state=None`` also those that ended; of one owner, due by a day.

        Raises :class:`QueryError` for a state that isn't there.
        """
        parts = having(ActionPlan, self.engine.playbook, {"state": state, "owner": owner})
        if due_by is not None:
            parts.append(Le("due_on", due_by))
        return self.listed(ActionPlan, where_all(parts), ("due_on",))

    def _take(
        self, action: str, plan: ActionPlan | str, values: Mapping[str, Any], reason: str | None = None
    ) -> ActionPlan:
        def decide(work: Work) -> ActionPlan:
            current = work.current(ActionPlan, plan, ("state", *values))
            return take(work, ACTION_PLAN, action, current, values, reason)

        return self.write(decide)
