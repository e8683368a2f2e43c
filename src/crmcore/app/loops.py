"""What feedback and tickets have in common: how a case is opened and given to somebody, and how a loop takes a step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from crmcore.app.work import STAMPS, Work, refuse_fixed
from crmcore.domain import Customer, Record, User
from crmcore.domain.fields import Unclean, clean_day, clean_instant
from crmcore.errors import Invalid, Issue
from crmcore.rules.assignment import candidates, choose
from crmcore.rules.service import Loop, changes, refusals
from crmcore.rules.validation import check_number, meant
from crmcore.storage.query import And, Eq, In, Where

R = TypeVar("R", bound=Record)


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that say something."""
    return {name: value for name, value in values.items() if value is not None}


def future_issues(work: Work, field: str, moment: Any) -> Iterable[Issue]:
    """A day or a moment that has not come yet; what is neither is for the field itself to refuse."""
    try:
        late = clean_instant(moment) > work.now if isinstance(moment, datetime) else clean_day(moment) > work.today
    except Unclean:
        return
    if late:
        yield Issue(code="out_of_range", field=field, facts={"limit": "what has happened"})


def build(work: Work, cls: type[R], values: Mapping[str, Any], issues: Iterable[Issue]) -> R:
    """A new record; raises :class:`Invalid` with these issues and those of its fields, all at once."""
    found, record = list(issues), None
    try:
        record = work.build(cls, values)
    except Invalid as invalid:
        reported = {issue.field for issue in found}
        found += [issue for issue in invalid.issues if issue.field not in reported]
    if record is None or found:
        raise Invalid(found)
    return record


def new_case(work: Work, loop: Loop, cls: type[R], customer: Customer, who: str, values: Mapping[str, Any]) -> R:
    """A case of a customer as it comes in, not written yet. Unless ``who`` is given, the playbook says whose it is."""
    moments = ("opened_at", "received_at")
    fixed = {name for step in loop.steps.values() for name in (*step.requires, step.moment) if name not in (who, None)}
    told = meant(cls.entity, values, work.playbook)
    kept = (*STAMPS, "customer_id", loop.state, "cycle", "stars", "suggestion", *fixed, *loop.cleared)
    refuse_fixed(cls.entity, given(told), kept)
    now = {name: work.now for name in moments if name in cls.kinds and told.get(name) is None}
    whole = {**told, **now, "customer_id": customer.id}
    late = [issue for name in moments for issue in future_issues(work, f"{cls.entity}.{name}", whole.get(name))]
    late += check_number(cls.entity, told.get("number"), work.playbook)
    case = build(work, cls, whole, late)
    if getattr(case, who) is None:
        return case.replace(**{who: _assigned(work, loop, case, who)})
    return case


def _assigned(work: Work, loop: Loop, case: Record, who: str) -> str | None:
    policy = next((policy for policy in work.playbook.assignment if policy.key == case.entity), None)
    if policy is None:
        return None
    people = candidates(policy, getattr(case, policy.by), work.find(User))
    counts: dict[str, int] = {}
    last = None
    if policy.strategy == "least_busy":
        for name in people:
            theirs: Where = And(In(loop.state, loop.open), Eq(who, name))
            counts[name] = work.transaction.count(case.collection, theirs)
    elif policy.strategy == "in_turn" and people:
        latest = work.find(type(case), In(who, people), ("-id",), limit=1)
        last = getattr(latest[0], who) if latest else None
    return choose(policy, people, counts, last)


def take(work: Work, loop: Loop, action: str, current: R, values: Mapping[str, Any], reason: str | None = None) -> R:
    """One step of a loop. Raises :class:`Invalid` with everything that is missing, and what is possible."""
    told = meant(current.entity, values, work.playbook)
    issues = refusals(loop, action, current, told, reason)
    if issues:
        raise Invalid(issues)
    return work.change(current, action, changes(loop, action, current, told, work.now), reason=reason)


def contribute(work: Work, loop: Loop, action: str, current: R, collaborator: str | None, note: str | None) -> R:
    """Notes that a collaborator (the one who acts unless given) did their part; the record stays as it is."""
    name = work.actor if collaborator is None else collaborator
    issues = refusals(loop, action, current, {})
    known = {entry.partition("/")[0] for entry in getattr(current, "collaborators")}  # noqa: B009
    if name not in known:
        facts = {"why": "it isn't asked of this collaborator"}
        issues.append(Issue(code="refused", field=f"{current.entity}.collaborators", facts=facts))
    if issues:
        raise Invalid(issues)
    work.announce(current, action, {"collaborator": [None, name]}, note)
    return current
