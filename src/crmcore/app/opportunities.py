"""Sales opportunities: from the first milestone to won or lost. A won one takes its customer along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from crmcore.app.customers import move_customer
from crmcore.app.engine import UseCases
from crmcore.app.finding import Page, read_page
from crmcore.app.orders import sign_order
from crmcore.app.work import STAMPS, Work, refuse_fixed
from crmcore.domain import Customer, Money, Opportunity
from crmcore.domain.values import fold
from crmcore.errors import DomainError, Invalid, Issue, NotFound, TransitionRefused
from crmcore.rules.stages import Attempt, StageTable, refusals
from crmcore.rules.validation import meant
from crmcore.storage.codec import CODECS
from crmcore.storage.query import And, Contains, Eq, Where

Tables = Mapping[str, StageTable]

#: What a move and a move alone changes.
_FIXED = (*STAMPS, "stage", "stage_since", "outcome", "pipeline")


def _table(tables: Tables, pipeline: Any) -> StageTable:
    """The stages of a pipeline; raises :class:`Invalid` for one that the playbook doesn't have."""
    table = tables.get(pipeline) if isinstance(pipeline, str) else None
    if table is None:
        raise Invalid([Issue(code="bad_choice", field="opportunity.pipeline", facts={"allowed": ", ".join(tables)})])
    return table


def _no_customer() -> Invalid:
    return Invalid([Issue(code="evidence_required", field="opportunity.customer_id")])


def open_opportunity(
    work: Work, tables: Tables, lifecycle: StageTable, values: Mapping[str, Any], customer: Customer | None
) -> Opportunity:
    """Opens within a unit of work; see :meth:`Opportunities.open`. A later stage is taken as it is: it comes from outside."""
    refuse_fixed("opportunity", values, ("outcome",))
    given = dict(values)
    given["pipeline"] = given.get("pipeline") or work.playbook.default_pipeline
    table = _table(tables, given["pipeline"])
    stage = given.get("stage") or table.graph.initial
    given["stage"] = key = (table.graph.stage_key(stage) if isinstance(stage, str) else None) or stage
    if not isinstance(key, str) or key not in table.stages:
        raise Invalid([Issue(code="unknown_stage", field="opportunity.stage")])
    given["outcome"] = outcome = table.stages[key].outcome
    if outcome == "won" and customer is None:
        raise _no_customer()
    if outcome == "won":
        given["amount"] = given.get("amount") or given.get("expected_amount")
    given.setdefault("stage_since", work.now)
    given["owner"] = given.get("owner") or (customer.owner if customer else None) or work.actor
    given["customer_id"] = customer.id if customer else None
    opened = work.create(Opportunity, "opportunity.opened", given)
    if outcome == "won" and customer is not None:
        take_customer_along(work, lifecycle, customer.id)
    return opened


def move_opportunity(
    work: Work,
    tables: Tables,
    lifecycle: StageTable,
    opportunity: Opportunity,
    to: str,
    fields: Mapping[str, Any] | None = None,
    *,
    reason: str | None = None,
) -> Opportunity:
    """Moves within a unit of work; see :meth:`Opportunities.move`."""
    table = _table(tables, opportunity.pipeline)
    target = table.graph.stage_key(to) or to
    refuse_fixed("opportunity", fields or {}, _FIXED)
    told = meant("opportunity", fields or {}, work.playbook)
    after = opportunity.replace(**told)
    issues = refusals(table, opportunity.stage, target, Attempt(after, reason))
    if issues:
        raise TransitionRefused(
            issues, source=opportunity.stage, target=target, allowed=table.ways_out.get(opportunity.stage, ())
        )
    if after.customer_id is not None and after.customer_id != opportunity.customer_id:
        work.current(Customer, after.customer_id)
    outcome = table.stages[target].outcome
    closing: dict[str, Any] = {"lost_reason": reason if outcome == "lost" else None}
    if outcome == "open":
        closing["closed_on"] = None
    elif opportunity.outcome == "open":
        closing["closed_on"] = work.today
    if outcome == "won" and after.amount is None:
        closing["amount"] = after.expected_amount
    changes = {**closing, **told, "stage": target, "stage_since": work.now, "outcome": outcome}
    moved = work.change(opportunity, "opportunity.moved", changes, reason=reason)
    if outcome == "won" and opportunity.outcome != "won" and moved.customer_id is not None:
        take_customer_along(work, lifecycle, moved.customer_id)
    return moved


def take_customer_along(work: Work, lifecycle: StageTable, customer_id: str) -> None:
    """A won opportunity makes its customer 成交客户 by itself (seed 002); one that is won already stays where it is."""
    stage = work.playbook.won_moves_customer_to
    customer = work.current(Customer, customer_id)
    present = lifecycle.stages.get(customer.stage)
    if stage is not None and (present is None or present.outcome != "won"):
        move_customer(work, lifecycle, customer, stage, reason="opportunity won", guarded=False)


class Opportunities(UseCases):
    """The use cases about sales opportunities, for one user."""

    def open(self, *, name: str, customer: Customer | str | None = None, **values: Any) -> Opportunity:
        """Opens an opportunity (销售机会) at the pipeline's first milestone, or at the ``stage`` given.

        ``values`` are fields of :class:`Opportunity`. Without a customer it stands alone until one is known. One that is
        opened as closed was closed today unless told otherwise.
        """
        customer = values.pop("customer_id", None) if customer is None else customer

        def decide(work: Work) -> Opportunity:
            found = work.current(Customer, customer) if customer is not None else None
            crm = self.engine
            given = {"name": name, "opened_on": work.today, **values}
            table = _table(crm.pipelines, given.get("pipeline") or crm.playbook.default_pipeline)
            stage = given.get("stage")
            known = table.stages.get(table.graph.stage_key(stage) or "") if isinstance(stage, str) else None
            if known is not None and known.outcome != "open":
                given.setdefault("closed_on", work.today)
            return open_opportunity(work, crm.pipelines, crm.lifecycle, given, found)

        return self.write(decide)

    def get(self, opportunity: Opportunity | str) -> Opportunity:
        """The opportunity as it is now. Raises :class:`NotFound`."""
        key = opportunity if isinstance(opportunity, str) else opportunity.id
        row = self.engine.read(lambda transaction: transaction.get("opportunities", key))
        if row is None:
            raise NotFound("there is no such opportunity", entity="opportunity")
        found: Opportunity = CODECS[Opportunity].load(row)
        return found

    def update(self, opportunity: Opportunity | str, *, reason: str | None = None, **changes: Any) -> Opportunity:
        """Changes fields. The stage is moved, not updated."""

        def decide(work: Work) -> Opportunity:
            refuse_fixed("opportunity", changes, _FIXED)
            current = work.current(Opportunity, opportunity, changes)
            changed = work.change(current, "opportunity.updated", changes, reason=reason)
            if changed.customer_id != current.customer_id:
                if changed.customer_id is not None:
                    work.current(Customer, changed.customer_id)
                if changed.outcome == "won":
                    if changed.customer_id is None:
                        raise _no_customer()
                    take_customer_along(work, self.engine.lifecycle, changed.customer_id)
            return changed

        return self.write(decide)

    def move(self, opportunity: Opportunity | str, to: str, *, reason: str | None = None, **fields: Any) -> Opportunity:
        """Moves to another milestone, by its key or any of its labels; ``fields`` are set with the move.

        A won one closes today at its expected amount unless told otherwise, and takes its customer along. Raises
        :class:`TransitionRefused` with everything that is missing.
        """

        def decide(work: Work) -> Opportunity:
            current = work.current(Opportunity, opportunity, ("stage", *fields))
            crm = self.engine
            return move_opportunity(work, crm.pipelines, crm.lifecycle, current, to, fields, reason=reason)

        return self.write(decide)

    def win(
        self,
        opportunity: Opportunity | str,
        *,
        amount: Money | None = None,
        closed_on: date | None = None,
        order_number: str | None = None,
        **fields: Any,
    ) -> Opportunity:
        """Moves to the first won milestone that can be reached from here; with ``order_number`` the order is put on file too."""
        given = {"amount": amount, "closed_on": closed_on}
        fields = {**{name: value for name, value in given.items() if value is not None}, **fields}

        def decide(work: Work) -> Opportunity:
            crm = self.engine
            current = work.current(Opportunity, opportunity, ("stage", *fields))
            target = _first_way(_table(crm.pipelines, current.pipeline), current.stage, "won")
            won = move_opportunity(work, crm.pipelines, crm.lifecycle, current, target, fields)
            if order_number is not None:
                order = {"number": order_number, "opportunity_id": won.id, "amount": won.amount}
                sign_order(work, work.current(Customer, won.customer_id or ""), {**order, "signed_on": won.closed_on})
            return won

        return self.write(decide)

    def lose(self, opportunity: Opportunity | str, *, reason: str) -> Opportunity:
        """Moves to the lost milestone; the reason is kept."""

        def decide(work: Work) -> Opportunity:
            crm = self.engine
            current = work.current(Opportunity, opportunity, ("stage",))
            target = _first_way(_table(crm.pipelines, current.pipeline), current.stage, "lost")
            return move_opportunity(work, crm.pipelines, crm.lifecycle, current, target, reason=reason)

        return self.write(decide)

    def find(
        self,
        where: Where | None = None,
        *,
        search: str | None = None,
        customer: Customer | str | None = None,
        stage: str | None = None,
        owner: str | None = None,
        outcome: str | None = None,
        order: Sequence[str] = ("id",),
        limit: int = 50,
        after: str | None = None,
    ) -> Page[Opportunity]:
        """A page of opportunities."""
        crm = self.engine
        parts: list[Where] = [] if where is None else [where]
        if search:
            parts.append(Contains("name_key", fold(str(search))))
        if customer is not None:
            parts.append(Eq("customer_id", self.customer(customer).id))
        if stage is not None:
            parts.append(Eq("stage", crm.playbook.choice_key("opportunity.stage", stage) or stage))
        parts += [Eq(name, value) for name, value in (("owner", owner), ("outcome", outcome)) if value is not None]
        condition = parts[0] if len(parts) == 1 else And(*parts) if parts else None
        return crm.read(lambda transaction: read_page(transaction, Opportunity, condition, order, limit, after))


def _first_way(table: StageTable, stage: str, outcome: str) -> str:
    ways = [key for key in table.ways_out.get(stage, ()) if table.stages[key].outcome == outcome]
    if not ways:
        raise DomainError(f"from {stage} there is no way to a stage that is {outcome}")
    return ways[0]
