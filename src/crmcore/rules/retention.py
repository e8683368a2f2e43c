"""How long a customer is kept 保存期限: which rule of the playbook says that one is to go, and since when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import attrs

from crmcore.domain import Contact, Customer
from crmcore.domain.policies import Retention, StageGraph
from crmcore.rules.erasing import is_erased
from crmcore.rules.timing import due_at


@attrs.frozen(kw_only=True)
class Kept:
    """A customer that is to go: by which rule, and since when (UTC)."""

    customer: Customer
    rule: Retention
    since: datetime
    """What the time is counted from."""
    due_at: datetime


def due_to_go(
    customer: Customer,
    contacts: Iterable[Contact],
    last_activity: datetime,
    rules: Sequence[Retention],
    lifecycle: StageGraph,
    now: datetime,
    zone: ZoneInfo,
    deleted_at: datetime | None = None,
) -> Kept | None:
    """The rule by which the customer is to go now, the one that was due first; None where it is to stay.

    One that is in the bin since ``deleted_at`` is counted from then on, and can only be erased. What was erased is not to be
    erased again. The last day of a duration is kept whole, in the playbook's zone.
    """
    found: list[Kept] = []
    for rule in rules:
        since = _since(customer, last_activity, rule, lifecycle)
        if since is not None and deleted_at is not None:
            since = deleted_at if rule.action == "erase" else None
        if since is None or (rule.action == "erase" and _is_gone(customer, contacts)):
            continue
        due = due_at(since, rule.after, zone)
        if due <= now:
            found.append(Kept(customer=customer, rule=rule, since=since, due_at=due))
    # A customer that is erased may still go to the bin, one in the bin is not erased by this: erasing comes first.
    return min(found, key=lambda kept: (kept.rule.action != "erase", kept.due_at, kept.rule.key), default=None)


def _since(customer: Customer, last_activity: datetime, rule: Retention, lifecycle: StageGraph) -> datetime | None:
    if rule.kind not in (None, customer.kind) or (rule.stages and customer.stage not in rule.stages):
        return None
    if rule.since == "last_activity":
        return last_activity
    stage = lifecycle.find(customer.stage)
    return customer.stage_since if stage is not None and stage.outcome in ("won", "lost") else None


def _is_gone(customer: Customer, contacts: Iterable[Contact]) -> bool:
    if customer.kind == "individual":
        return is_erased(customer)
    return all(map(is_erased, contacts))
