"""Sales opportunities: from the first milestone to won or lost. A won one takes its customer along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from crmcore.app.customers import move_customer
from crmcore.app.engine import UseCases
from crmcore.app.finding import Page, read_page
from crmcore.app.work import Work
from crmcore.domain import Customer, Money, Opportunity, Order
from crmcore.domain.values import fold
from crmcore.errors import DomainError, Invalid, Issue, NotFound, TransitionRefused
from crmcore.rules.stages import Attempt, StageTable, refusals
from crmcore.storage.codec import CODECS
from crmcore.storage.query import And, Contains, Eq, Where

Tables = Mapping[str, StageTable]

_NOT_BY_UPDATE = (
    "id",
    "version",
    "stage",
    "stage_since",
    "outcome",
    "pipeline",
    "created_at",
    "created_by",
    "updated_at",
    "updated_by",
)


def open_opportunity(
    work: Work, tables: Tables, lifecycle: StageTable, values: Mapping[str, Any], customer: Customer | None
) -> Opportunity:
    """Opens within a unit of work; see :meth:`Opportunities.open`. A later stage is taken as it is: it comes from outside."""
    given = dict(values)
    given["pipeline"] = given.get("pipeline") or work.playbook.default_pipeline
    if given["pipeline"] not in tables:
        raise Invalid([Issue(code="bad_choice", field="opportunity.pipeline", facts={"allowed": ", ".join(tables)})])
    table = tables[given["pipeline"]]
    stage = given.get("stage") or table.graph.initial
    given["stage"] = key = table.graph.stage_key(stage) or stage
    if key not in table.stages:
        raise Invalid([Issue(code="unknown_stage", field="opportunity.stage")])
    given["outcome"] = table.stages[key].outcome
    if given["outcome"] == "won" and customer is None:
        raise Invalid([Issue(code="evidence_required", field="opportunity.customer_id")])
    given.setdefault("stage_since", work.now)
    given["owner"] = given.get("owner") or (customer.owner if customer else None) or work.actor
    given["customer_id"] = customer.id if customer else None
    opened = work.create(Opportunity, "opportunity.opened", **given)
    if opened.outcome == "won" and customer is not None:
        take_customer_along(work, lifecycle, customer.id)
    return opened


def move_opportunity(
    work: Work,
    tables: Tables,
    lifecycle: StageTable,
    opportunity: Opportunity,
    to: str,
    *,
    reason: str | None = None,
    **fields: Any,
) -> Opportunity:
    """Moves within a unit of work; see :meth:`Opportunities.move`."""
    table = tables[opportunity.pipeline]
    target = table.graph.stage_key(to) or to
    after = opportunity.replace(**fields)
    issues = refusals(table, opportunity.stage, target, Attempt(after, reason))
    if issues:
        raise TransitionRefused(
            issues, source=opportunity.stage, target=target, allowed=table.ways_out.get(opportunity.stage, ())
        )
    outcome = table.stages[target].outcome
    if outcome != "open" and opportunity.outcome == "open":
        fields = {"closed_on": work.today, **fields}
    if outcome == "won" and after.amount is None:
        fields = {"amount": after.expected_amount, **fields}
    if outcome == "lost":
        fields = {"lost_reason": reason, **fields}
    if outcome == "open":
        fields = {"closed_on": None, **fields}
    moved = work.change(
        opportunity, "opportunity.moved", reason=reason, stage=target, stage_since=work.now, outcome=outcome, **fields
    )
    if outcome == "won" and opportunity.outcome != "won" and moved.customer_id is not None:
        take_customer_along(work, lifecycle, moved.customer_id)
    return moved


def take_customer_along(work: Work, lifecycle: StageTable, customer_id: str) -> None:
    """A won opportunity makes its customer 成交客户 by itself (seed 002); one that is won already stays where it is."""
    stage = work.playbook.won_moves_customer_to
    customer = work.current(Customer, customer_id)
    if stage is not None and lifecycle.stages[customer.stage].outcome != "won":
        move_customer(work, lifecycle, customer, stage, reason="opportunity won", guarded=False)


class Opportunities(UseCases):
    """The use cases about sales opportunities, for one user."""

    def open(self, *, name: str, customer: Customer | str | None = None, **values: Any) -> Opportunity:
        """Opens an opportunity (销售机会) at the pipeline's first milestone, or at the ``stage`` given.

        ``values`` are fields of :class:`Opportunity`. Without a customer it stands alone until one is known.
        """

        def decide(work: Work) -> Opportunity:
            found = work.current(Customer, customer) if customer is not None else None
            crm = self.engine
            given = {"name": name, "opened_on": work.today, **values}
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
            fixed = [name for name in changes if name in _NOT_BY_UPDATE]
            if fixed:
                facts = {"why": "it is not changed by an update"}
                raise Invalid([Issue(code="refused", field=f"opportunity.{name}", facts=facts) for name in fixed])
            current = work.current(Opportunity, opportunity, changes)
            changed = work.change(current, "opportunity.updated", reason=reason, **changes)
            if changed.customer_id != current.customer_id:
                if changed.customer_id is not None:
                    work.current(Customer, changed.customer_id)
                if changed.outcome == "won":
                    if changed.customer_id is None:
                        raise Invalid([Issue(code="evidence_required", field="opportunity.customer_id")])
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
            return move_opportunity(work, crm.pipelines, crm.lifecycle, current, to, reason=reason, **fields)

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
            current = work.current(Opportunity, opportunity, ("stage",))
            target = _first_way(crm.pipelines[current.pipeline], current.stage, "won")
            won = move_opportunity(work, crm.pipelines, crm.lifecycle, current, target, **fields)
            if order_number is not None:
                work.create(
                    Order,
                    "order.signed",
                    number=order_number,
                    customer_id=won.customer_id,
                    opportunity_id=won.id,
                    amount=won.amount,
                    signed_on=won.closed_on,
                )
            return won

        return self.write(decide)

    def lose(self, opportunity: Opportunity | str, *, reason: str) -> Opportunity:
        """Moves to the lost milestone; the reason is kept."""

        def decide(work: Work) -> Opportunity:
            crm = self.engine
            current = work.current(Opportunity, opportunity, ("stage",))
            target = _first_way(crm.pipelines[current.pipeline], current.stage, "lost")
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
            parts.append(Contains("name_key", fold(search)))
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
