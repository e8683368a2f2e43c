"""What is due and what is overdue, as a list to work through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

import attrs

from crmcore.domain.customer import Customer
from crmcore.domain.obligation import Obligation
from crmcore.domain.playbook import Playbook
from crmcore.domain.policies import Label
from crmcore.metrics.outcomes import rate
from crmcore.metrics.tables import NOT_GIVEN, Cell, Column, Table
from crmcore.rules.obligations import PLAN_RULE, standing_of
from crmcore.rules.timing import due_day, local_day

STATES: Mapping[str, Label] = {
    "overdue": Label(zh="已逾期", en="Overdue"),
    "at_risk": Label(zh="即将到期", en="At risk"),
    "upcoming": Label(zh="未到期", en="Upcoming"),
}
_PLAN = Label(zh="计划的跟进", en="Planned follow-up")
#: What a track is, by the sort of rule that it belongs to.
_SORTS: Mapping[str, Label] = {
    "cadence": Label(zh="定期跟进", en="Cadence"),
    "target": Label(zh="时限要求", en="Target"),
    PLAN_RULE: Label(zh="跟进计划", en="Plan"),
}


@attrs.frozen(kw_only=True)
class Due:
    """The list, and of how many open duties how many are late. ``overdue_rate`` is None where nothing is open."""

    table: Table
    open: int
    overdue: int
    at_risk: int
    overdue_rate: float | None


def rule_labels(playbook: Playbook) -> dict[str, Label]:
    """What the rules of obligations are called: cadences, targets and planned follow-ups."""
    cadences = {f"cadence.{one.key}": one.label for one in playbook.cadences}
    return cadences | {f"target.{one.key}": one.label for one in playbook.targets} | {PLAN_RULE: _PLAN}


def state_of(obligation: Obligation, now: datetime) -> str:
    """Overdue from ``due_at`` on, at risk from ``warn_at`` on, upcoming before."""
    standing = standing_of(obligation, now)
    return {"breached": "overdue", "at_risk": "at_risk"}.get(standing, "upcoming")


def due_list(
    obligations: Iterable[Obligation],
    customers: Mapping[str, Customer],
    *,
    labels: Mapping[str, Label],
    now: datetime,
    zone: ZoneInfo,
) -> Due:
    """The open obligations, the earliest due first; ``customers`` by id, ``labels`` of the rules.

    The due day is the last day in the zone that is still in time. Days overdue are calendar days since then: 0 for what
    fell due earlier today.
    """
    today = local_day(now, zone)
    rows: list[tuple[Cell, ...]] = []
    states: dict[str, int] = dict.fromkeys(STATES, 0)
    pending = [one for one in obligations if one.state == "open"]
    for one in sorted(pending, key=lambda item: (item.due_at, item.id)):
        customer, state, day = customers.get(one.customer_id or ""), state_of(one, now), due_day(one.due_at, zone)
        states[state] += 1
        rows.append(
            (
                customer.number if customer else None,
                customer.name if customer else None,
                one.owner,
                one.rule,
                one.track,
                day,
                (today - day).days if state == "overdue" else None,
                state,
            )
        )
    sorts = {one.track: label for one in pending if (label := _SORTS.get(one.track.partition(".")[0]))}
    columns = (
        Column("number", "客户编号", "Customer number"),
        Column("name", "客户名称", "Customer name"),
        Column("owner", "负责人", "Owner", blank=NOT_GIVEN),
        Column("rule", "事项", "Duty", labels=labels),
        Column("track", "类别", "Sort", labels=sorts),
        Column("due_on", "到期日", "Due on", "date"),
        Column("days_overdue", "逾期天数", "Days overdue", "integer"),
        Column("state", "状态", "State", labels=STATES),
    )
    return Due(
        table=Table("due", "到期与逾期", "Due and overdue", columns, tuple(rows)),
        open=len(rows),
        overdue=states["overdue"],
        at_risk=states["at_risk"],
        overdue_rate=rate(states["overdue"], len(rows)),
    )
