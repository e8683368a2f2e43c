"""Service tickets: opened, answered, solved, closed with a rating; solved or closed ones can be reopened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from crmcore.app.engine import UseCases
from crmcore.app.finding import Page, having, read_page, where_all
from crmcore.app.loops import contribute, given, new_case, take
from crmcore.app.work import Work
from crmcore.domain import Customer, Ticket
from crmcore.errors import Invalid, Issue
from crmcore.rules.service import TICKET
from crmcore.storage.query import Eq, Where


class Tickets(UseCases):
    """The use cases about service tickets, for one user. A ticket is named by itself, its id or its number."""

    def open(
        self, customer: Customer | str, *, subject: str, opened_at: datetime | None = None, **values: Any
    ) -> Ticket:
        """Opens a ticket (服务工单). ``opened_at`` is when the customer asked, aware; now unless given.

        ``values`` are fields of :class:`Ticket`. The number is drawn where the playbook numbers tickets, unless given. Unless
        ``assignee`` is given, the playbook's assignment says who it is.
        """
        told = {"subject": subject, "opened_at": opened_at, **values}

        def decide(work: Work) -> Ticket:
            current = work.current(Customer, customer)
            ticket = new_case(work, TICKET, Ticket, current, "assignee", told)
            numbered = "ticket" in work.playbook.numbering
            if ticket.number is None and numbered:
                number = work.draw_number("ticket", current, on=work.today)
                ticket = ticket.replace(number=number)
            elif ticket.number is not None:
                if work.find(Ticket, Eq("number", ticket.number), limit=1):
                    raise Invalid([Issue(code="duplicate_number", field="ticket.number")])
                if numbered:
                    work.claim_number("ticket", ticket.number)
            return work.begin(ticket, "ticket.opened")

        return self.write(decide)

    def assign(self, ticket: Ticket | str, assignee: str, *, reason: str | None = None) -> Ticket:
        """Gives it to somebody to work on, or to somebody else."""
        return self._take("ticket.assigned", ticket, {"assignee": assignee}, reason)

    def add_collaborators(self, ticket: Ticket | str, *names: str) -> Ticket:
        """Asks others to help, across departments (seed 002): a name, or name/department as ``hua/技术支持``."""

        def decide(work: Work) -> Ticket:
            current = self._current(work, ticket)
            together = {"collaborators": (*current.collaborators, *names)}
            return take(work, TICKET, "ticket.collaborators_changed", current, together)

        return self.write(decide)

    def contribute(self, ticket: Ticket | str, *, collaborator: str | None = None, note: str | None = None) -> Ticket:
        """Notes that a collaborator, the one who acts unless given, did what was asked of them."""

        def decide(work: Work) -> Ticket:
            current = self._current(work, ticket)
            return contribute(work, TICKET, "ticket.contributed", current, collaborator, note)

        return self.write(decide)

    def answer(self, ticket: Ticket | str) -> Ticket:
        """Notes the first answer to the customer (响应). A later one in the same cycle changes nothing."""
        return self._take("ticket.answered", ticket)

    def plan(self, ticket: Ticket | str, plan: str) -> Ticket:
        """Says what will be done."""
        return self._take("ticket.planned", ticket, {"plan": plan})

    def wait(self, ticket: Ticket | str, *, reason: str | None = None) -> Ticket:
        """From now on it waits for the customer."""
        return self._take("ticket.waited", ticket, reason=reason)

    def resume(self, ticket: Ticket | str, *, reason: str | None = None) -> Ticket:
        """The customer gave what it waited for."""
        return self._take("ticket.resumed", ticket, reason=reason)

    def solve(self, ticket: Ticket | str, result: str) -> Ticket:
        """Solves it. A ticket without an answer is answered by that."""

        def decide(work: Work) -> Ticket:
            current = self._current(work, ticket, ("state", "result"))
            solved = {"result": result}
            if current.answered_at is None and "answer" in TICKET.possible(current.state):
                current = take(work, TICKET, "ticket.answered", current, {})
            return take(work, TICKET, "ticket.solved", current, solved)

        return self.write(decide)

    def reopen(self, ticket: Ticket | str, *, reason: str) -> Ticket:
        """Takes up a solved or closed ticket again, in its next cycle. Raises :class:`Invalid` for one that isn't solved."""
        return self._take("ticket.reopened", ticket, reason=reason)

    def close(self, ticket: Ticket | str, *, stars: int | None = None, suggestion: str | None = None) -> Ticket:
        """Closes a solved ticket with the customer's rating, from 1 to 5 ``stars``; closed again, a later rating is added."""
        return self._take("ticket.closed", ticket, given({"stars": stars, "suggestion": suggestion}))

    def get(self, ticket: Ticket | str) -> Ticket:
        """The ticket as it is now. Raises :class:`NotFound`."""
        return self.one(Ticket, ticket, "number")

    def of(self, customer: Customer | str, *, limit: int = 100, after: str | None = None) -> Page[Ticket]:
        """A customer's tickets, latest first."""
        return self.find(customer=customer, order=("-opened_at",), limit=limit, after=after)

    def find(
        self,
        where: Where | None = None,
        *,
        customer: Customer | str | None = None,
        state: str | None = None,
        assignee: str | None = None,
        order: Sequence[str] = ("opened_at",),
        limit: int = 50,
        after: str | None = None,
    ) -> Page[Ticket]:
        """A page of tickets. Raises :class:`QueryError` for a state that isn't there."""
        whose = None if customer is None else self.customer(customer).id
        told = having(Ticket, self.engine.playbook, {"customer_id": whose, "state": state, "assignee": assignee})
        condition = where_all([where, *told])
        return self.engine.read(lambda transaction: read_page(transaction, Ticket, condition, order, limit, after))

    def _current(self, work: Work, ticket: Ticket | str, decided_on: Sequence[str] = ()) -> Ticket:
        return work.current_by(Ticket, ticket, "number", decided_on)

    def _take(
        self, action: str, ticket: Ticket | str, values: Mapping[str, Any] | None = None, reason: str | None = None
    ) -> Ticket:
        told = values or {}

        def decide(work: Work) -> Ticket:
            return take(work, TICKET, action, self._current(work, ticket, ("state", *told)), told, reason)

        return self.write(decide)
