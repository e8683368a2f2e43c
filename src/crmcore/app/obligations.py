"""Who is due: the open obligations in the order in which they fall due; why, what comes next, and what a policy makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import partial

import attrs

from crmcore.app.duties import histories_of, settle_scopes, settle_touched, settlements_of
from crmcore.app.engine import UseCases
from crmcore.app.finding import MOST, customers_of, find_one, having, read_all, where_all
from crmcore.app.work import Whose, Work
from crmcore.domain import ActionPlan, Customer, FollowUpPlan, Obligation, User
from crmcore.domain.fields import LAST_DAY
from crmcore.domain.policies import Label
from crmcore.errors import DomainError, Invalid, Issue, Language, NotFound, QueryError
from crmcore.metrics.due import rule_labels, state_of
from crmcore.rules.explaining import Explanation
from crmcore.rules.obligations import PLAN_RULE, Settlement, case_of
from crmcore.rules.reasons import explain_owed
from crmcore.rules.reminders import Notice, dated_notices, notices
from crmcore.rules.rulebook import Rulebook
from crmcore.rules.timing import day_end, due_day, local_day
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Transaction
from crmcore.storage.query import And, Eq, IsNull, Le, Not, Or, Query, Where

#: So many customers are settled in one transaction when all are.
BATCH = 200
Progress = Callable[[int, int], None]


@attrs.frozen(kw_only=True)
class Duty:
    """An open obligation with its customer, as it stands at one moment."""

    obligation: Obligation
    customer: Customer | None
    """None for an action of a review that belongs to no customer."""
    label: Label
    due_on: date
    """The last day, in the team's zone, on which it is in time."""
    days_overdue: int
    """Whole days past ``due_on``; 0 while it is in time."""
    state: str
    """overdue, at_risk (its last day has come, or its warning) or upcoming."""
    about: str | None = None
    """What is to be done, of an action of a review."""

    def explain(self, language: Language = "en") -> str:
        """What is due, to whom, since when: for a person. See :meth:`Obligations.explain` for how the due time comes about."""
        who = f"{self.customer.number} {self.customer.name}" if self.customer else None
        label, owner = self.label.text(language), self.obligation.owner
        if language == "zh-CN":
            what = ":".join(part for part in (who, label, self.about) if part)
            late = f",已逾期{self.days_overdue}天" if self.days_overdue else ""
            return f"{what},应于{self.due_on}前完成{late}(负责人:{owner or '未定'})"
        what = ": ".join(part for part in (who, label, self.about) if part)
        days = "1 day" if self.days_overdue == 1 else f"{self.days_overdue} days"
        late = f", {days} late" if self.days_overdue else ""
        return f"{what}, due {self.due_on}{late} (owner: {owner or 'nobody'})"


@attrs.frozen(kw_only=True)
class Recomputed:
    """What deriving everything anew brought: how many customers and actions were looked at, and what differed."""

    looked_at: int
    begun: int
    changed: int
    gone: int


class Obligations(UseCases):
    """The use cases about what is owed, for one user."""

    def due(
        self,
        until: date | datetime | None = None,
        *,
        owner: str | None = None,
        limit: int | None = None,
    ) -> list[Duty]:
        """What is open and due by the end of a day (today unless given) or by a moment, the oldest first. Answered from the index.

        What is paused, because somebody waits for the customer, is not due.
        """
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

        def look(transaction: Transaction) -> list[Duty]:
            found = list(read_all(transaction, Obligation, And(*where), ("due_at",), limit))
            return list(_duties(found, transaction, crm.rulebook, now))

        return crm.read(look)

    def of(self, customer: Customer | str, *, state: str | None = "open") -> Sequence[Obligation]:
        """A customer's obligations by due time; with ``state=None`` also those that are paused or ended.

        Raises :class:`QueryError` for a state that isn't there.
        """
        found = self.customer(customer)
        told = having(Obligation, self.engine.playbook, {"customer_id": found.id, "state": state})
        where = where_all(told)
        return self.engine.read(lambda transaction: list(read_all(transaction, Obligation, where, ("due_at",))))

    def explain(self, obligation: Obligation | Duty | str) -> Explanation:
        """How the due time comes about: from which moment it counts, window by window in working time, pause by pause.

        The steps sum up to the amount; ``text(language)`` says it in English or Chinese. Raises :class:`NotFound`, and
        :class:`DomainError` for an obligation that is not owed any more under the playbook as it is now.
        """
        crm = self.engine
        wanted = obligation.obligation if isinstance(obligation, Duty) else obligation
        now = crm.now()
        found = crm.read(lambda transaction: find_one(transaction, Obligation, wanted))
        if found is None and isinstance(wanted, Obligation) and crm.plain is crm:
            found = wanted
        if found is None:
            raise NotFound("there is no such obligation", entity="obligation")

        def look(transaction: Transaction) -> Explanation:
            scope = (found.customer_id, found.customer_id or found.subject_id)
            case = case_of(histories_of(transaction, [scope])[scope], crm.rulebook)
            for owed in case.owed():
                if owed.id == found.id:
                    return explain_owed(owed, case, crm.rulebook, now)
            raise DomainError("the playbook does not ask for this any more; recompute what is owed")

        # Worked out from the whole history; what is told is times, not what stands in a record.
        return crm.plain.read(look)

    def waive(self, obligation: Obligation | str, *, reason: str) -> Obligation:
        """Lets an obligation go, with a reason. A cadence comes back with the next conversation that it asks for; a planned contact is cancelled.

        Raises :class:`Invalid` without a reason, :class:`DomainError` for one that has ended, or that belongs to no customer: an
        action of a review is cancelled, not waived.
        """

        def decide(work: Work) -> Obligation:
            current = work.current(Obligation, obligation)
            work.ask(current, "update")
            if not isinstance(reason, str) or not reason.strip():
                raise Invalid([Issue(code="reason_required", field="obligation.reason")])
            if current.state not in ("open", "paused"):
                raise DomainError(f"the obligation is {current.state} already")
            if current.customer_id is None:
                raise DomainError("an action of a review is cancelled, not waived")
            work.note(current, "obligation.waived", {"state": [current.state, "waived"]}, reason)
            if current.rule == PLAN_RULE:
                plan = work.current(FollowUpPlan, current.subject_id)
                work.change(plan, "follow_up_plan.cancelled", {"state": "cancelled"}, reason=reason)
            settle_touched(work)
            work.flush()
            waived = work.get(Obligation, current.id)
            if waived is None:
                raise DomainError("the playbook does not ask for this any more; recompute what is owed")
            return waived

        return self.write(decide)

    def reminders(self, since: datetime, until: datetime | None = None) -> list[Notice]:
        """The notices that fall between two moments (after ``since``, up to ``until``, which is now unless given), by time.

        Both are aware. A notice has the same id whenever it is asked for; roles are resolved to their active users.
        """
        crm = self.engine
        end = crm.now() if until is None else until
        if not all(isinstance(moment, datetime) and moment.utcoffset() is not None for moment in (since, end)):
            raise QueryError("reminders are asked for between two aware moments")

        return crm.read(lambda transaction: notices_between(transaction, crm.rulebook, since, end))

    def outdated(self) -> bool:
        """Whether the playbook's rules have changed since what is owed was worked out; :meth:`recompute` brings it in line."""
        crm = self.engine
        return crm.plain.read(crm.kept_rules) != crm.rulebook.digest

    def recompute(self, *, dry_run: bool = False, progress: Progress | None = None) -> Recomputed:
        """Derives everything that is owed anew from what happened, after the playbook was changed; a batch per transaction.

        What ended is judged by the playbook as it is now, too: :meth:`Reports.replay` says beforehand what that makes of it. The
        keys by which customers are found again are made anew, too. With ``dry_run`` nothing is written.
        """
        self.engine.ask("obligation", "update")
        crm = self.engine.plain
        if not dry_run:
            crm.make_keys()
        scopes = crm.read(_scopes)
        begun = changed = gone = 0
        for start in range(0, len(scopes), BATCH):
            batch = scopes[start : start + BATCH]
            found = (
                crm.read(partial(_settlements, batch, crm.rulebook))
                if dry_run
                else crm.write(self.actor, partial(_settle, batch))
            )
            begun += sum(len(one.begun) for one in found)
            changed += sum(len(one.changed) for one in found)
            gone += sum(len(one.gone) for one in found)
            if progress:
                progress(start + len(batch), len(scopes))
        if not dry_run:
            crm.write(self.actor, crm.keep_rules)
        return Recomputed(looked_at=len(scopes), begun=begun, changed=changed, gone=gone)


def _settlements(batch: Sequence[Whose], rulebook: Rulebook, transaction: Transaction) -> list[Settlement]:
    return list(settlements_of(transaction, batch, rulebook))


def _settle(batch: Sequence[Whose], work: Work) -> list[Settlement]:
    return settle_scopes(work, batch)


def _scopes(transaction: Transaction) -> list[Whose]:
    """Everybody to whom something may be owed, and every action that belongs to nobody."""
    customers: list[Whose] = [(row[0], row[0]) for row in transaction.find(Query("customers"))]  # type: ignore[misc]
    actions: list[Whose] = [(None, plan.id) for plan in read_all(transaction, ActionPlan, IsNull("customer_id"))]
    return customers + actions


def notices_between(transaction: Transaction, rulebook: Rulebook, since: datetime, until: datetime) -> list[Notice]:
    """The notices after ``since`` and up to ``until``, by time, to whom they go by now."""
    found = list(read_all(transaction, Obligation, Eq("state", "open")))
    customers = customers_of(transaction, found)
    told = [notice for one in found for notice in notices(one, customers.get(one.customer_id or ""), rulebook)]
    dates = {one.on for one in rulebook.playbook.reminders if one.on.startswith("customer.")}
    if dated := [Not(IsNull(field.partition(".")[2])) for field in sorted(dates)]:
        for customer in read_all(transaction, Customer, dated[0] if len(dated) == 1 else Or(*dated)):
            told += dated_notices(customer, rulebook)
    users = list(read_all(transaction, User, Eq("active", True), ("name",)))
    meant = [_with_users(notice, users) for notice in told if since < notice.at <= until]
    return sorted(meant, key=lambda notice: (notice.at, notice.id))


def _with_users(notice: Notice, users: Iterable[User]) -> Notice:
    held = [user.name for user in users if set(user.roles) & set(notice.roles)]
    return attrs.evolve(notice, to=tuple(dict.fromkeys((*notice.to, *held))))


def _duties(found: Sequence[Obligation], transaction: Transaction, rulebook: Rulebook, now: datetime) -> Iterator[Duty]:
    zone, playbook = rulebook.zone, rulebook.playbook
    today, labels = local_day(now, zone), rule_labels(playbook)
    customers, actions = customers_of(transaction, found), _actions(transaction, found)
    for obligation in found:
        last = due_day(obligation.due_at, zone)
        yield Duty(
            obligation=obligation,
            customer=customers.get(obligation.customer_id or ""),
            label=labels.get(obligation.rule) or Label(zh=obligation.rule, en=obligation.rule),
            due_on=last,
            days_overdue=max(0, (today - last).days),
            state=state_of(obligation, now),
            about=actions.get(obligation.subject_id),
        )


def _actions(transaction: Transaction, found: Iterable[Obligation]) -> Mapping[str, str]:
    """What is to be done, by the id of the action."""
    ids = [one.subject_id for one in found if one.customer_id is None]
    load: Callable[..., ActionPlan] = CODECS[ActionPlan].load
    return {id: load(row).what for id, row in transaction.get_many("action_plans", ids).items()} if ids else {}
