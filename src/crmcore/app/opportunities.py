"""Sales opportunities: from the first milestone to won or lost. A won one takes its customer along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from crmcore.app.customers import bring_customer
from crmcore.app.engine import UseCases
from crmcore.app.finding import Page, having, named_like, read_page, where_all
from crmcore.app.loops import build
from crmcore.app.moving import carry_on, decided, due_move, read_visits, target_of, told_automatic
from crmcore.app.orders import sign_order
from crmcore.app.work import STAMPS, Work, or_default, refuse_fixed
from crmcore.domain import Customer, Money, Opportunity
from crmcore.domain.policies import StageGraph, Transition
from crmcore.errors import DomainError, Invalid, Issue
from crmcore.rules.stages import NO_FIELDS, reason_issues, unknown_stage
from crmcore.rules.validation import meant
from crmcore.rules.visits import Visit
from crmcore.storage.query import Where

#: What a move and a move alone changes.
FIXED = (*STAMPS, "stage", "stage_since", "outcome", "pipeline")


def _pipeline(work: Work, key: Any) -> StageGraph:
    """A pipeline of the playbook; raises :class:`Invalid` for one that it doesn't have."""
    pipelines = work.playbook.pipelines
    graph = pipelines.get(key) if isinstance(key, str) else None
    if graph is None:
        facts = {"allowed": ", ".join(pipelines)}
        raise Invalid([Issue(code="bad_choice", field="opportunity.pipeline", facts=facts)])
    return graph


def _in_a_pipeline(work: Work, opportunity: Opportunity) -> Opportunity:
    """The opportunity, brought to the default pipeline where its own is none of the playbook's any more."""
    if opportunity.pipeline in work.playbook.pipelines:
        return opportunity
    with work.following():
        return work.change(opportunity, "opportunity.updated", {"pipeline": work.playbook.default_pipeline})


def _no_customer() -> Invalid:
    return Invalid([Issue(code="evidence_required", field="opportunity.customer_id")])


def open_opportunity(
    work: Work, values: Mapping[str, Any], customer: Customer | None, *, imported: bool = False
) -> Opportunity:
    """Opens within a unit of work; see :meth:`Opportunities.open`. A later stage is taken as it is: it comes from outside.

    Of an imported one nobody knows when it was closed, or asks why it was lost.
    """
    refuse_fixed("opportunity", values, ("outcome",))
    given = dict(values)
    if given.get("pipeline") is None:
        given["pipeline"] = work.playbook.default_pipeline
    graph = _pipeline(work, given["pipeline"])
    wanted = graph.initial if given.get("stage") is None else given["stage"]
    key = graph.stage_key(wanted)
    if key is None:
        raise Invalid([unknown_stage(graph, "opportunity")])
    given["stage"] = key
    given["outcome"] = outcome = graph.stage(key).outcome
    if outcome == "won" and customer is None:
        raise _no_customer()
    if outcome == "won":
        given["amount"] = given.get("expected_amount") if given.get("amount") is None else given["amount"]
    if outcome != "open" and not imported:
        given.setdefault("closed_on", work.today)
    given.setdefault("stage_since", work.now)
    given["owner"] = or_default(given.get("owner"), (customer.owner if customer else None) or work.actor)
    given["customer_id"] = customer.id if customer else None
    lacking = [] if imported else reason_issues(graph, "opportunity", key, given.get("lost_reason"))
    opened = work.begin(build(work, Opportunity, given, lacking), "opportunity.opened")
    if outcome == "won" and customer is not None:
        take_customer_along(work, customer.id)
    return carry_opportunity_on(work, opened)


def move_opportunity(
    work: Work,
    opportunity: Opportunity,
    to: str,
    fields: Mapping[str, Any] = NO_FIELDS,
    *,
    reason: str | None = None,
) -> Opportunity:
    """Moves within a unit of work; see :meth:`Opportunities.move`."""
    work.ask(opportunity, "move")
    opportunity = _in_a_pipeline(work, opportunity)
    graph = _pipeline(work, opportunity.pipeline)
    target = target_of(graph, opportunity, to)
    moved = _moved(work, graph, opportunity, target, fields, reason)
    step = graph.transition(opportunity.stage, target)
    return moved if step is not None and step.rollback else carry_opportunity_on(work, moved)


def _moved(
    work: Work, graph: StageGraph, opportunity: Opportunity, target: str, fields: Mapping[str, Any], reason: str | None
) -> Opportunity:
    refuse_fixed("opportunity", fields, FIXED)
    told = meant("opportunity", fields, work.playbook)
    moved: Opportunity = work.move(decided(work, graph, opportunity, target, told, reason=reason), "opportunity.moved")
    if moved.customer_id is not None and moved.customer_id != opportunity.customer_id:
        work.current(Customer, moved.customer_id)
    if moved.outcome == "won" and opportunity.outcome != "won" and moved.customer_id is not None:
        take_customer_along(work, moved.customer_id)
    return moved


def carry_opportunity_on(work: Work, opportunity: Opportunity, was_due: Transition | None = None) -> Opportunity:
    """Makes the automatic moves that a change has made due; ``was_due`` as in :func:`carry_on`."""

    def move(present: Opportunity, step: Transition) -> Opportunity:
        return _moved(work, _pipeline(work, present.pipeline), present, step.target, NO_FIELDS, told_automatic(step))

    return carry_on(work, opportunity, move, was_due)


def take_customer_along(work: Work, customer_id: str) -> None:
    """A won opportunity makes its customer 成交客户 by itself (seed 002); one that is won already stays where it is."""
    lifecycle, target = work.playbook.lifecycle, work.playbook.won_moves_customer_to
    with work.following():
        customer = work.current(Customer, customer_id)
        present = lifecycle.find(customer.stage)
        if target is not None and (present is None or present.outcome != "won"):
            bring_customer(work, customer, lifecycle.stage(target), reason="opportunity won")


def update_opportunity(
    work: Work, current: Opportunity, changes: Mapping[str, Any], *, reason: str | None = None
) -> Opportunity:
    """Changes fields within a unit of work; see :meth:`Opportunities.update`."""
    changed = work.change(current, "opportunity.updated", changes, reason=reason)
    if changed.customer_id != current.customer_id:
        if changed.customer_id is not None:
            work.current(Customer, changed.customer_id)
        if changed.outcome == "won":
            if changed.customer_id is None:
                raise _no_customer()
            take_customer_along(work, changed.customer_id)
    return carry_opportunity_on(work, changed, due_move(work, current))


class Opportunities(UseCases):
    """The use cases about sales opportunities, for one user."""

    def open(self, *, name: str, customer: Customer | str | None = None, **values: Any) -> Opportunity:
        """Opens an opportunity (销售机会) at the pipeline's first milestone, or at the ``stage`` given.

        ``values`` are fields of :class:`Opportunity`. Without a customer it stands alone until one is known. One that is
        opened as closed was closed today unless told otherwise; as lost, it needs a ``lost_reason`` where moves do.
        """
        customer = values.pop("customer_id", None) if customer is None else customer

        def decide(work: Work) -> Opportunity:
            found = work.current(Customer, customer) if customer is not None else None
            return open_opportunity(work, {"name": name, "opened_on": work.today, **values}, found)

        return self.write(decide)

    def get(self, opportunity: Opportunity | str) -> Opportunity:
        """The opportunity as it is now. Raises :class:`NotFound`."""
        return self.one(Opportunity, opportunity)

    def update(self, opportunity: Opportunity | str, *, reason: str | None = None, **changes: Any) -> Opportunity:
        """Changes fields. The stage is moved, not updated."""

        def decide(work: Work) -> Opportunity:
            refuse_fixed("opportunity", changes, FIXED)
            return update_opportunity(work, work.current(Opportunity, opportunity, changes), changes, reason=reason)

        return self.write(decide)

    def move(self, opportunity: Opportunity | str, to: str, *, reason: str | None = None, **fields: Any) -> Opportunity:
        """Moves to another milestone, by its key or any of its labels; ``fields`` are set with the move.

        A won one closes today at its expected amount unless told otherwise, and takes its customer along. Raises
        :class:`TransitionRefused` with everything that is missing.
        """

        def decide(work: Work) -> Opportunity:
            current = work.current(Opportunity, opportunity, ("stage", *fields))
            return move_opportunity(work, current, to, fields, reason=reason)

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
        """Moves to the first won milestone that can be reached from here; with ``order_number`` the order is put on file too.

        Raises :class:`DomainError` for one that is won already.
        """
        given = {"amount": amount, "closed_on": closed_on}
        fields = {**{name: value for name, value in given.items() if value is not None}, **fields}

        def decide(work: Work) -> Opportunity:
            current = _in_a_pipeline(work, work.current(Opportunity, opportunity, ("stage", *fields)))
            target = _first_way(_pipeline(work, current.pipeline), current, "won")
            won = move_opportunity(work, current, target, fields)
            if order_number is not None:
                order = {"number": order_number, "opportunity_id": won.id, "amount": won.amount}
                sign_order(work, work.current(Customer, won.customer_id or ""), {**order, "signed_on": won.closed_on})
            return won

        return self.write(decide)

    def lose(self, opportunity: Opportunity | str, *, reason: str) -> Opportunity:
        """Moves to the lost milestone; the reason is kept. Raises :class:`DomainError` for one that is lost already."""

        def decide(work: Work) -> Opportunity:
            current = _in_a_pipeline(work, work.current(Opportunity, opportunity, ("stage",)))
            target = _first_way(_pipeline(work, current.pipeline), current, "lost")
            return move_opportunity(work, current, target, reason=reason)

        return self.write(decide)

    def stages(self, opportunity: Opportunity | str) -> list[Visit]:
        """Each stay of the opportunity at a milestone, oldest first, as :meth:`Customers.stages`."""
        found, now = self.get(opportunity), self.engine.now()
        return self.engine.read(lambda transaction: read_visits(transaction, found, now))

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
        """A page of opportunities; a milestone, of any pipeline, and an outcome by their key or a label.

        Raises :class:`QueryError` for one that isn't there.
        """
        crm = self.engine
        whose = None if customer is None else self.customer(customer).id
        told = {"customer_id": whose, "stage": stage, "owner": owner, "outcome": outcome}
        condition = where_all([where, *named_like(search), *having(Opportunity, crm.playbook, told)])
        return crm.read(lambda transaction: read_page(transaction, Opportunity, condition, order, limit, after))


def _first_way(graph: StageGraph, opportunity: Opportunity, outcome: str) -> str:
    if opportunity.outcome == outcome:
        raise DomainError(f"the opportunity is {outcome} already")
    ways = [key for key in graph.targets(opportunity.stage) if graph.stage(key).outcome == outcome]
    if not ways:
        raise DomainError(f"from {opportunity.stage} there is no way to a stage that is {outcome}")
    return ways[0]
