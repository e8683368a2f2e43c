"""When somebody is to be told that something is due or overdue (seeds 002, 004): notices as a pure function of what is owed.

Their ids follow from what they are about, so that asking twice, or after a day off, gives each notice once.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import attrs

from crmcore.domain import Customer, Obligation
from crmcore.domain.duration import Duration
from crmcore.domain.policies import Reminder
from crmcore.domain.user import ROLES
from crmcore.rules.obligations import PLAN_RULE
from crmcore.rules.rulebook import Rulebook
from crmcore.rules.timing import due_day


@attrs.frozen(kw_only=True)
class Notice:
    """Something that somebody is to be told at a moment. ``to`` names users, ``roles`` the roles of which everybody is told."""

    id: str
    at: datetime
    reminder: Reminder
    customer_id: str | None
    subject_id: str
    due_at: datetime
    to: tuple[str, ...]
    roles: tuple[str, ...]


def notices(obligation: Obligation, customer: Customer | None, rulebook: Rulebook) -> Iterator[Notice]:
    """What is to be told of an open obligation, by every reminder for its rule or its sort; nothing of one that is not open."""
    if obligation.state != "open":
        return
    sort = obligation.rule.partition(".")[0]
    for reminder in rulebook.playbook.reminders:
        if reminder.on in (obligation.rule, sort):
            if reminder.before is not None and obligation.rule == PLAN_RULE:
                # A planned contact has a lead of its own.
                at = obligation.warn_at or obligation.due_at
            else:
                at = _moment(reminder, obligation.due_at, rulebook)
            # Nobody can be told of what isn't owed yet: what should have been told before is told at once.
            at = max(at, obligation.opened_at)
            to, roles = _recipients(reminder, obligation.owner, customer)
            yield Notice(
                id=f"{obligation.id}:{reminder.key}",
                at=at,
                reminder=reminder,
                customer_id=obligation.customer_id,
                subject_id=obligation.subject_id,
                due_at=obligation.due_at,
                to=to,
                roles=roles,
            )


def dated_notices(customer: Customer, rulebook: Rulebook) -> Iterator[Notice]:
    """What is to be told of a customer's own dates: a contract that runs out (seed 004). Nothing of a lost customer's."""
    if not rulebook.is_owed(customer.stage):
        return
    for reminder in rulebook.playbook.reminders:
        entity, _, name = reminder.on.partition(".")
        day: Any = getattr(customer, name, None) if entity == "customer" else None
        if isinstance(day, datetime):
            day = rulebook.day(day)
        if isinstance(day, date):
            due = rulebook.day_end(day)
            to, roles = _recipients(reminder, customer.owner, customer)
            yield Notice(
                id=f"{customer.id}:{day.isoformat()}:{reminder.key}",
                at=_moment(reminder, due, rulebook),
                reminder=reminder,
                customer_id=customer.id,
                subject_id=customer.id,
                due_at=due,
                to=to,
                roles=roles,
            )


def _moment(reminder: Reminder, due: datetime, rulebook: Rulebook) -> datetime:
    if reminder.before is not None:
        return rulebook.warn_at(due, reminder.before)
    after = reminder.after
    return due if after is None else _later(due, after, rulebook)


def _later(due: datetime, after: Duration, rulebook: Rulebook) -> datetime:
    if after.unit in ("minutes", "hours"):
        return due + timedelta(**{after.unit: after.amount})
    if after.unit == "working_hours":
        return rulebook.working.unchecked.due(due, timedelta(hours=after.amount))
    return rulebook.day_end(rulebook.day_after(due_day(due, rulebook.zone), after))


def _recipients(
    reminder: Reminder, owner: str | None, customer: Customer | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    named: list[str] = []
    for word in reminder.to:
        if word == "owner" and owner:
            named.append(owner)
        elif word == "registrar" and customer is not None and customer.registrar:
            named.append(customer.registrar)
        elif word == "collaborators" and customer is not None:
            named += [person.partition("/")[0] for person in customer.collaborators]
    return tuple(dict.fromkeys(named)), tuple(word for word in reminder.to if word in ROLES)
