"""Who is due: the open obligations in the order in which they fall due."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime

import attrs

from crmcore.app.engine import UseCases
from crmcore.app.finding import MOST, customers_of
from crmcore.app.work import Work
from crmcore.domain import Customer, FollowUpPlan, Obligation
from crmcore.domain.fields import LAST_DAY
from crmcore.domain.playbook import Playbook
from crmcore.domain.policies import Label
from crmcore.errors import DomainError, Invalid, Issue, Language, QueryError
from crmcore.metrics.due import rule_labels, state_of
from crmcore.rules.obligations import PLAN_RULE
from crmcore.rules.timing import day_end, due_day, local_day, zone_named
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Transaction
from crmcore.storage.query import And, Eq, Le, Query, Where


@attrs.frozen(kw_only=True)
class Duty:
    """An open obligation with its customer, as it stands at one moment."""

    obligation: Obligation
    customer: Customer
    label: Label
    due_on: date
    """The last day, in the team's zone, on which it is in time."""
    days_overdue: int
    """Whole days past ``due_on``; 0 while it is in time."""
    state: str
    """overdue, at_risk (its last day has come) or upcoming."""

    def explain(self, language: Language = "en") -> str:
        """What is due, to whom, since when: for a person."""
        name, number = self.customer.name, self.customer.number
        label, owner = self.label.text(language), self.obligation.owner
        if language == "zh-CN":
            late = f",已逾期{self.days_overdue}天" if self.days_overdue else ""
            return f"{number} {name}:{label},应于{self.due_on}前完成{late}(负责人:{owner or '未定'})"
        days = "1 day" if self.days_overdue == 1 else f"{self.days_overdue} days"
        late = f", {days} late" if self.days_overdue else ""
        return f"{number} {name}: {label}, due {self.due_on}{late} (owner: {owner or 'nobody'})"


class Obligations(UseCases):
    """The use cases about what is owed, for one user."""

    def due(
        self,
        until: date | datetime | None = None,
        *,
        owner: str | None = None,
        limit: int | None = None,
    ) -> list[Duty]:
        """What is open and due by the end of a day (today unless given) or by a moment, the oldest first. Answered from the index."""
        crm = self.engine
        now = crm.now()
        if until is not None and not isinstance(until, date):
            raise QueryError("what is due is asked until a date, or a date and time")
        if limit is not None and (type(limit) is not int or not 1 <= limit <= MOST):
            raise QueryError(f"a list holds from 1 to {MOST:,}")
        moment = until if isinstance(until, datetime) else day_end(min(until or crm.today(), LAST_DAY), crm.zone)
        where: list[Where] = [Eq("state", "open"), Le("due_at", moment)]
        if owner is not None:
            where.insert(1, Eq("owner", owner))
        query = Query("obligations", And(*where), ("due_at",), None, limit)

        def look(transaction: Transaction) -> list[Duty]:
            found: list[Obligation] = list(map(CODECS[Obligation].load, transaction.find(query)))
            return list(_duties(found, customers_of(transaction, found), crm.playbook, now))

        return crm.read(look)

    def of(self, customer: Customer | str, *, state: str | None = "open") -> Sequence[Obligation]:
        """A customer's obligations by due time; with ``state=None`` also those that ended."""
        found = self.customer(customer)
        where: Where = Eq("customer_id", found.id)
        if state is not None:
            where = And(where, Eq("state", state))
        query = Query("obligations", where, ("due_at",))
        return self.engine.read(lambda transaction: list(map(CODECS[Obligation].load, transaction.find(query))))

    def waive(self, obligation: Obligation | str, *, reason: str) -> Obligation:
        """Lets an obligation go, with a reason. A cadence comes back with the next contact; a planned contact is cancelled."""

        def decide(work: Work) -> Obligation:
            current = work.current(Obligation, obligation)
            if not reason or not reason.strip():
                raise Invalid([Issue(code="reason_required", field="obligation.reason")])
            if current.state != "open":
                raise DomainError(f"the obligation is {current.state} already")
            waived = current.replace(state="waived", closed_at=work.now, reason=reason, version=current.version + 1)
            work.put(waived, current, "obligation.waived", reason)
            work.note(waived, "obligation.waived", {"state": ["open", "waived"], "rule": [current.rule] * 2}, reason)
            if current.rule == PLAN_RULE:
                plan = work.current(FollowUpPlan, current.subject_id)
                work.change(plan, "follow_up_plan.cancelled", {"state": "cancelled"}, reason=reason)
            return waived

        return self.write(decide)


def _duties(
    found: Sequence[Obligation], customers: dict[str, Customer], playbook: Playbook, now: datetime
) -> Iterator[Duty]:
    zone = zone_named(playbook.timezone)
    today, labels = local_day(now, zone), rule_labels(playbook)
    for obligation in found:
        last = due_day(obligation.due_at, zone)
        yield Duty(
            obligation=obligation,
            customer=customers[obligation.customer_id or ""],
            label=labels.get(obligation.rule) or Label(zh=obligation.rule, en=obligation.rule),
            due_on=last,
            days_overdue=max(0, (today - last).days),
            state=state_of(obligation, now),
        )
