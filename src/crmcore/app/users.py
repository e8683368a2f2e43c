"""The users on file, and the posts they hold: whom work can be given to, and who takes over when somebody leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import attrs

from crmcore.app.customers import carry_customer_on
from crmcore.app.engine import UseCases
from crmcore.app.loops import build
from crmcore.app.moving import due_move
from crmcore.app.permitting import ADMINISTRATORS, entries_of
from crmcore.app.work import STAMPS, Work, refuse_fixed
from crmcore.domain import ActionPlan, Customer, Feedback, FollowUpPlan, Opportunity, Record, Ticket, User
from crmcore.domain.user import ROLES
from crmcore.errors import Invalid, Issue
from crmcore.rules.service import FEEDBACK, TICKET
from crmcore.storage.query import And, Contains, Eq, In, Or, Where

BATCH = 200
"""So many records are handed over in one unit of work."""

Progress = Callable[[int], None]
"""Told after each batch: records handed over so far."""


@attrs.frozen(kw_only=True)
class HandedOver:
    """How many records came from one user to another, by entity."""

    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts.values())


@attrs.frozen
class _Handed:
    """What is handed over of one entity: whose it is by a field, while the condition holds, told as an action."""

    cls: type[Record]
    field: str
    action: str
    shared: str | None = None
    """The action by which collaborators change."""
    open: Where | None = None

    def where(self, name: str) -> Where:
        """The condition on what is still that user's."""
        whose: Where = Eq(self.field, name)
        if self.shared:
            whose = Or(whose, *(Contains("collaborators", text) for text in entries_of(name)))
        return whose if self.open is None else And(whose, self.open)


#: Customers first: what hangs on them is owed to who owns them.
_HANDED = (
    _Handed(Customer, "owner", "customer.assigned", "customer.collaborators_changed"),
    _Handed(FollowUpPlan, "owner", "follow_up_plan.assigned", open=Eq("state", "planned")),
    _Handed(Opportunity, "owner", "opportunity.assigned", open=Eq("outcome", "open")),
    _Handed(Ticket, "assignee", "ticket.assigned", "ticket.collaborators_changed", In(TICKET.state, TICKET.open)),
    _Handed(
        Feedback,
        "responsible",
        "feedback.assigned",
        "feedback.collaborators_changed",
        In(FEEDBACK.state, FEEDBACK.open),
    ),
    _Handed(ActionPlan, "owner", "action_plan.changed", open=Eq("state", "planned")),
)


class Users(UseCases):
    """The use cases about users. A user is named by itself, its name or its id."""

    def add(self, name: str, **values: Any) -> User:
        """Puts a user on file. ``values`` are fields of :class:`User`: ``roles`` of
        :data:`crmcore.domain.user.ROLES` such as ``("service",)``, ``department``. From the first administrator on permissions
        are kept.
        """

        def decide(work: Work) -> User:
            refuse_fixed("user", values, (*STAMPS, "active"))
            return work.begin(build(work, User, {**values, "name": name}, _role_issues(values)), "user.added")

        return self.write(decide)

    def update(self, user: User | str, *, reason: str | None = None, **changes: Any) -> User:
        """Changes roles, department or display name. Raises :class:`Invalid` where the last administrator would be gone."""

        def decide(work: Work) -> User:
            refuse_fixed("user", changes, (*STAMPS, "name", "active"))
            current = work.current_by(User, user, "name", changes)
            if issues := _role_issues(changes):
                raise Invalid(issues)
            with _administered(work):
                return work.change(current, "user.updated", changes, reason=reason)

        return self.write(decide)

    def deactivate(self, user: User | str, *, successor: User | str | None = None, reason: str | None = None) -> User:
        """Says that a user is no longer there: nothing is given to them from now on.

        With ``successor`` everything that is theirs is handed over first, see :meth:`hand_over`. The last administrator stays.
        """
        if successor is not None:
            self.hand_over(user, successor, reason=reason)

        def decide(work: Work) -> User:
            current = work.current_by(User, user, "name")
            with _administered(work):
                return work.change(current, "user.deactivated", {"active": False}, reason=reason)

        return self.write(decide)

    def activate(self, user: User | str) -> User:
        """Says that a user is there again."""

        def decide(work: Work) -> User:
            return work.change(work.current_by(User, user, "name"), "user.activated", {"active": True})

        return self.write(decide)

    def hand_over(
        self, user: User | str, successor: User | str, *, reason: str | None = None, progress: Progress | None = None
    ) -> HandedOver:
        """Gives everything that is a user's to another: all customers, and what is open of plans, opportunities, tickets, feedback
        and actions; as a collaborator, too. What is closed stays theirs, and each record's history tells of it.

        It goes in batches of :data:`BATCH`, each with an event of its own at the user. After an interruption the next call
        does the rest. Raises :class:`Invalid` where nobody who is there takes over.
        """
        counts: dict[str, int] = {}
        for handed in _HANDED:
            batch = partial(_hand_over, handed, user, successor, reason)
            while count := self.write(batch):
                counts[handed.cls.entity] = counts.get(handed.cls.entity, 0) + count
                if progress:
                    progress(sum(counts.values()))
        return HandedOver(counts=counts)

    def find(self, *, active: bool | None = True) -> list[User]:
        """The active users by name; with ``active=None`` all."""
        return self.listed(User, None if active is None else Eq("active", active), ("name",))


def _role_issues(values: Mapping[str, Any]) -> list[Issue]:
    roles = values.get("roles")
    unknown = isinstance(roles, (list, tuple)) and any(isinstance(role, str) and role not in ROLES for role in roles)
    facts = {"allowed": ", ".join(ROLES)}
    return [Issue(code="bad_choice", field="user.roles", facts=facts)] if unknown else []


@contextmanager
def _administered(work: Work) -> Iterator[None]:
    """Raises :class:`Invalid` where the last administrator would be gone by what is done: then everybody could do everything."""
    was = work.find(User, ADMINISTRATORS, limit=1)
    yield
    if was and not work.find(User, ADMINISTRATORS, limit=1):
        facts = {"why": "the last administrator stays"}
        raise Invalid([Issue(code="refused", field="user.roles", facts=facts)])


def _hand_over(handed: _Handed, user: User | str, successor: User | str, reason: str | None, work: Work) -> int:
    """One batch of one entity; how many records it was."""
    leaver, follower = (work.current_by(User, one, "name") for one in (user, successor))
    why = "somebody else takes over" if leaver.id == follower.id else None
    if not follower.active:
        why = "whoever takes over is not an active user"
    if why:
        raise Invalid([Issue(code="refused", field="user.successor", facts={"why": why})])
    found = work.find(handed.cls, handed.where(leaver.name), ("id",), BATCH)
    for record in found:
        _give(work, handed, record, leaver.name, follower.name, reason)
    if found:
        told = {"successor": [None, follower.name], handed.cls.entity: [None, len(found)]}
        with work.following():
            work.announce(leaver, "user.handed_over", told, reason)
    return len(found)


def _give(work: Work, handed: _Handed, record: Record, name: str, to: str, reason: str | None) -> None:
    was_due = due_move(work, record) if isinstance(record, Customer) else None
    if handed.shared:
        entries: Iterable[str] = getattr(record, "collaborators")  # noqa: B009
        others = tuple(_replaced(entries, name, to))
        record = work.change(record, handed.shared, {"collaborators": others}, reason=reason)
    if getattr(record, handed.field) == name:
        record = work.change(record, handed.action, {handed.field: to}, reason=reason)
    if isinstance(record, Customer):
        carry_customer_on(work, record, was_due)


def _replaced(entries: Iterable[str], name: str, to: str) -> Iterator[str]:
    """The collaborators with another in one's place, in the same department; nobody is there twice."""
    seen = set()
    for entry in entries:
        person, slash, department = entry.partition("/")
        person = to if person == name else person
        if person not in seen:
            yield f"{person}{slash}{department}"
        seen.add(person)
