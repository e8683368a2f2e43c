"""Reports: what the metrics say of this store, as tables, as plain JSON values, or as a workbook with charts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from crmcore.app.duties import histories_of_all
from crmcore.app.engine import UseCases
from crmcore.app.finding import marks_of
from crmcore.app.scope import Of, Scope, checked_of
from crmcore.app.work import Whose
from crmcore.domain import (
    Contact,
    Customer,
    Event,
    Feedback,
    FollowUp,
    ImportedRow,
    Obligation,
    Opportunity,
    Order,
    Referral,
    Ticket,
)
from crmcore.domain.fields import FIRST_DAY, LAST_DAY
from crmcore.domain.playbook import Playbook
from crmcore.domain.policies import StageGraph, by_text
from crmcore.domain.values import fold
from crmcore.errors import Language, QueryError
from crmcore.interchange.sheets import workbooks
from crmcore.metrics import (
    Activity,
    CustomerFunnel,
    Due,
    Duties,
    Forecast,
    Funnel,
    Overview,
    Quality,
    Replay,
    Review,
    Risk,
    Service,
    activity,
    customer_funnel,
    due_list,
    duties,
    forecast,
    funnel,
    incomplete,
    quality,
    replay,
    review,
    risk,
    rule_labels,
    service,
)
from crmcore.metrics.activity import LOGGED_WITHIN
from crmcore.metrics.dimensions import FACETS
from crmcore.metrics.overview import along, with_breached
from crmcore.metrics.risk import first_day_compared
from crmcore.metrics.tables import Table
from crmcore.playbooks.loading import load_or_check
from crmcore.rules.obligations import derive
from crmcore.rules.owed import Owed
from crmcore.rules.rulebook import Rulebook
from crmcore.rules.timing import add_months, day_end, day_start, due_day
from crmcore.storage.query import And, Eq, Ge, Gt, In, Le, Lt, Or, Where

T = TypeVar("T")

#: The day whose start is a moment that a record can hold in any zone.
_FIRST = FIRST_DAY + timedelta(days=1)

_DEALS = In("action", ("opportunity.opened", "opportunity.moved"))
_CUSTOMERS = In("action", ("customer.registered", "customer.moved"))


class Reports(UseCases):
    """What the store adds up to, for one user.

    ``since`` and ``until`` are days of the team's calendar, both included. ``of`` restricts a report to some customers and
    what hangs on them, by the customer's ``owner``, ``tier``, ``stage``, ``industry`` and ``source``, as they are now:
    ``of={"owner": "sales.east"}``; None as a value stands for those that don't give it. Each report raises
    :class:`QueryError` for a period that ends before it begins, and for a restriction that isn't one.
    """

    def overview(self, *, of: Of | None = None) -> Overview:
        """How much there is of everything now, counted by the store where it can. See :class:`crmcore.metrics.Overview`."""
        crm = self.engine
        late = And(Eq("state", "open"), Le("due_at", crm.now()))

        def look(scope: Scope) -> Overview:
            people = scope.tally(Customer, tuple(FACETS))
            return Overview(
                playbook=crm.playbook,
                customers={name: along(people, place) for place, name in enumerate(FACETS)},
                duties=with_breached(
                    scope.tally(Obligation, ("rule", "state")), scope.tally(Obligation, ("rule",), late)
                ),
                opportunities=scope.tally(Opportunity, ("pipeline", "stage", "outcome")),
                tickets=scope.tally(Ticket, ("state",)),
                feedback=scope.tally(Feedback, ("state",)),
            )

        return self._look(of, look)

    def funnel(
        self, *, pipeline: str | None = None, since: date | None = None, until: date | None = None, of: Of | None = None
    ) -> Funnel:
        """Counts, conversion, amounts and time in stage of one pipeline, the playbook's default unless named.

        Raises :class:`QueryError` for a pipeline that isn't there. See :func:`crmcore.metrics.funnel`.
        """
        graph, now = self._pipeline(pipeline), self.engine.now()
        _check_period(since, until)
        return self._look(
            of,
            lambda scope: funnel(
                scope.all(Opportunity, Eq("pipeline", graph.key)),
                Scope(scope.transaction, {}).all(Event, _DEALS),
                graph,
                now=now,
                since=since,
                until=_day_after(until),
            ),
        )

    def customer_funnel(
        self, *, since: date | None = None, until: date | None = None, of: Of | None = None
    ) -> CustomerFunnel:
        """How far the customers that came in the period got in the lifecycle. See :func:`crmcore.metrics.customer_funnel`."""
        crm = self.engine
        _check_period(since, until)
        return self._look(
            of,
            lambda scope: customer_funnel(
                scope.customers.values(),
                scope.all(Event, _CUSTOMERS),
                crm.playbook,
                now=crm.now(),
                zone=crm.zone,
                since=since,
                until=_day_after(until),
            ),
        )

    def forecast(
        self, *, pipeline: str | None = None, since: date | None = None, until: date | None = None, of: Of | None = None
    ) -> Forecast:
        """What the opportunities of one pipeline are likely to bring, by month. See :func:`crmcore.metrics.forecast`."""
        graph, today = self._pipeline(pipeline), self.engine.today()
        _check_period(since, until)
        return self._look(
            of,
            lambda scope: forecast(
                scope.all(Opportunity, Eq("pipeline", graph.key)),
                graph,
                today=today,
                since=since,
                until=_day_after(until),
            ),
        )

    def due(self, *, of: Of | None = None) -> Due:
        """Every open obligation, the earliest due first, and the share that is late."""
        crm = self.engine

        def look(scope: Scope) -> Due:
            found = list(scope.all(Obligation, Eq("state", "open")))
            return due_list(found, scope.named(found), labels=rule_labels(crm.playbook), now=crm.now(), zone=crm.zone)

        return self._look(of, look)

    def duties(
        self,
        *,
        rule: str | None = None,
        since: date | None = None,
        until: date | None = None,
        of: Of | None = None,
    ) -> Duties:
        """What became of what was owed, against its due times: response and solution times, records, cadences.

        ``rule`` takes one rule (``target.answer_ticket``, or its label) or one sort (``target``, ``cadence``, ``plan``). Those
        count that were due in the period. Raises :class:`QueryError` for a rule that the playbook doesn't have. See
        :func:`crmcore.metrics.duties`.
        """
        crm = self.engine
        meant = None if rule is None else _rule_meant(rule, crm.playbook)
        _check_period(since, until)

        def look(scope: Scope) -> Duties:
            found = list(scope.all(Obligation, self._due_in(since, until)))
            return duties(
                found,
                scope.named(found),
                crm.playbook,
                now=crm.now(),
                zone=crm.zone,
                since=since,
                until=_day_after(until),
                rule=meant,
            )

        return self._look(of, look)

    def service(self, *, since: date | None = None, until: date | None = None, of: Of | None = None) -> Service:
        """Feedback and tickets that came in: how many, how soon, how well. See :func:`crmcore.metrics.service`."""
        crm = self.engine
        _check_period(since, until)
        return self._look(
            of,
            lambda scope: service(
                scope.all(Feedback, _between("received_at", self._start(since), self._end(until))),
                scope.all(Ticket, _between("opened_at", self._start(since), self._end(until))),
                crm.playbook,
                zone=crm.zone,
                since=since,
                until=_day_after(until),
            ),
        )

    def risk(self, *, of: Of | None = None) -> Risk:
        """Who may be lost and who may want more, each with the reasons. See :func:`crmcore.metrics.risk`."""
        crm = self.engine
        first = self._start(first_day_compared(crm.playbook.risks, crm.today()))
        return self._look(
            of,
            lambda scope: risk(
                crm.playbook,
                customers=scope.customers.values(),
                follow_ups=scope.all(FollowUp, _between("at", first, None)),
                feedback=scope.all(Feedback),
                tickets=scope.all(Ticket),
                orders=scope.all(Order),
                referrals=scope.all(Referral, by="referrer_id"),
                now=crm.now(),
                zone=crm.zone,
            ),
        )

    def quality(self, *, since: date | None = None, until: date | None = None, of: Of | None = None) -> Quality:
        """How complete the files are (now), and how soon what was said in the period is in them.

        See :func:`crmcore.metrics.quality`.
        """
        crm = self.engine
        _check_period(since, until)
        return self._look(
            of,
            lambda scope: quality(
                scope.customers.values(),
                scope.all(Contact),
                crm.playbook,
                follow_ups=scope.all(FollowUp, _between("at", self._start(since), self._end(until))),
                imported_ids=_imported(scope),
                within=self._logged_within(),
            ),
        )

    def incomplete(self, *, of: Of | None = None) -> Table:
        """The customers whose files lack a field that is asked for, as a sheet to be filled in and imported again."""
        return self._look(
            of, lambda scope: incomplete(scope.customers.values(), scope.all(Contact), self.engine.playbook)
        )

    def activity(self, *, since: date | None = None, until: date | None = None, of: Of | None = None) -> Activity:
        """Who followed up how often and how, and what was written down within the time that the playbook sets."""
        crm = self.engine
        _check_period(since, until)
        return self._look(
            of,
            lambda scope: activity(
                scope.all(FollowUp, _between("at", self._start(since), self._end(until))),
                crm.playbook,
                zone=crm.zone,
                since=since,
                until=_day_after(until),
                imported_ids=_imported(scope),
                within=self._logged_within(),
            ),
        )

    def review(
        self, *, pipeline: str | None = None, since: date | None = None, until: date | None = None, of: Of | None = None
    ) -> Review:
        """Everything that a team looks at together, with the charts that belong to it."""
        crm, graph = self.engine, self._pipeline(pipeline)
        _check_period(since, until)
        start, first = self._start(since), self._start(first_day_compared(crm.playbook.risks, crm.today()))
        conversations = _between("at", min(start, first), None) if start and first else None

        def look(scope: Scope) -> Review:
            owed = self._due_in(since, until)
            return review(
                crm.playbook,
                customers=scope.customers.values(),
                contacts=scope.all(Contact),
                opportunities=scope.all(Opportunity, Eq("pipeline", graph.key)),
                moves=scope.all(Event, Or(_DEALS, _CUSTOMERS)),
                follow_ups=scope.all(FollowUp, conversations),
                feedback=scope.all(Feedback),
                tickets=scope.all(Ticket),
                orders=scope.all(Order),
                referrals=scope.all(Referral, by="referrer_id"),
                obligations=scope.all(Obligation, Or(Eq("state", "open"), owed) if owed else None),
                now=crm.now(),
                zone=crm.zone,
                since=since,
                until=_day_after(until),
                pipeline=graph.key,
                imported_ids=_imported(scope),
                within=self._logged_within(),
                of=checked_of(of, crm.playbook),
            )

        return self._look(of, look)

    def replay(
        self,
        playbook: str | Path | Playbook,
        *,
        since: date | None = None,
        until: date | None = None,
        of: Of | None = None,
    ) -> Replay:
        """What the same history would have owed under another playbook, rule by rule beside the present one.

        ``playbook`` is the key of a bundled one, a TOML file or a playbook. Those count that were due in the period. Raises
        :class:`PlaybookError`. See :func:`crmcore.metrics.replay`.
        """
        crm = self.engine
        # Another playbook could ask for what somebody may not see, and its figures would tell.
        crm.ask("obligation", "update")
        _check_period(since, until)
        other = load_or_check(playbook, crm.plugins.playbook_texts())
        rulebooks = (crm.rulebook, Rulebook(other))

        def look(scope: Scope) -> Replay:
            sides: tuple[list[Owed], list[Owed]] = ([], [])
            whose: list[Whose] = [(id, id) for id in scope.customers]
            for events in histories_of_all(scope.transaction, whose):
                for rulebook, side in zip(rulebooks, sides, strict=True):
                    side.extend(one for one in derive(events, rulebook) if _is_due_in(rulebook, one, since, until))
            return replay(*sides, now=crm.now(), labels={**rule_labels(other), **rule_labels(crm.playbook)})

        # Worked out from the whole history, whatever is kept back of it.
        return Reports(crm.plain, self.actor)._look(of, look)

    def monthly(self, year: int, month: int, *, pipeline: str | None = None, of: Of | None = None) -> Review:
        """The review of one calendar month 月度复盘. Raises :class:`QueryError` for a month that isn't one."""
        since, until = month_days(year, month)
        return self.review(pipeline=pipeline, since=since, until=until, of=of)

    def write_review(
        self,
        path: Path | str,
        *,
        since: date | None = None,
        until: date | None = None,
        of: Of | None = None,
        language: Language = "zh-CN",
    ) -> Path:
        """The review as a workbook with native charts. Needs the extra ``excel``."""
        if not isinstance(path, (str, Path)) or "\0" in str(path):
            raise QueryError("a workbook is written to a path")
        found = self.review(since=since, until=until, of=of)
        workbooks().write(Path(path), found.tables, found.charts, language=language)
        return Path(path)

    def _look(self, of: Of | None, look: Callable[[Scope], T]) -> T:
        chosen = checked_of(of, self.engine.playbook)
        return self.engine.read(lambda transaction: look(Scope(transaction, chosen)))

    def _pipeline(self, key: str | None) -> StageGraph:
        playbook = self.engine.playbook
        wanted = playbook.default_pipeline if key is None else key
        if not isinstance(wanted, str) or wanted not in playbook.pipelines:
            raise QueryError(f"there is no such pipeline; there are {', '.join(playbook.pipelines)}")
        return playbook.pipelines[wanted]

    def _logged_within(self) -> timedelta:
        """Within what time the playbook wants a conversation written down (seeds 001, 003, 004: 24 h)."""
        for target in self.engine.playbook.targets:
            within = target.within
            if (
                (target.on, target.met_by) == ("follow_up.held", "follow_up.logged")
                and within
                and within.unit == "hours"
            ):
                return timedelta(hours=within.amount)
        return LOGGED_WITHIN

    def _start(self, since: date | None) -> datetime | None:
        return None if since is None or since <= _FIRST else day_start(since, self.engine.zone)

    def _end(self, until: date | None) -> datetime | None:
        return None if until is None else day_end(min(until, LAST_DAY), self.engine.zone)

    def _due_in(self, since: date | None, until: date | None) -> Where | None:
        """What has its last day in time in the period: it is late from some moment after the first day's start on."""
        start, end = self._start(since), self._end(until)
        parts: list[Where] = []
        if start is not None:
            parts.append(Gt("due_at", start))
        if end is not None:
            parts.append(Le("due_at", end))
        return And(*parts) if parts else None


def month_days(year: int, month: int) -> tuple[date, date]:
    """The first and the last day of a month. Raises :class:`QueryError` for a month that isn't one."""
    if type(year) is not int or type(month) is not int or not 1 <= month <= 12:
        raise QueryError("a month is a year and a number from 1 to 12")
    if not FIRST_DAY.year <= year <= LAST_DAY.year:
        raise QueryError(f"a month lies in the years {FIRST_DAY.year} to {LAST_DAY.year}")
    first = date(year, month, 1)
    return first, add_months(first, 1) - timedelta(days=1)


def _between(field: str, start: datetime | None, end: datetime | None) -> Where | None:
    parts: list[Where] = []
    if start is not None:
        parts.append(Ge(field, start))
    if end is not None:
        parts.append(Lt(field, end))
    return And(*parts) if parts else None


def _is_due_in(rulebook: Rulebook, owed: Owed, since: date | None, until: date | None) -> bool:
    last = due_day(owed.due_at, rulebook.zone)
    return (since is None or last >= since) and (until is None or last <= until)


def _rule_meant(rule: Any, playbook: Playbook) -> str:
    """The rule, or the sort of rules, that a text means."""
    labels = rule_labels(playbook)
    sorts = dict.fromkeys(key.partition(".")[0] for key in labels)
    if isinstance(rule, str) and (rule in sorts or (rule := by_text(labels.items()).get(fold(rule), ""))):
        return rule
    raise QueryError(f"rule is one of {', '.join(dict.fromkeys((*sorts, *labels)))}", field="rule")


def _check_period(since: date | None, until: date | None) -> None:
    """Raises :class:`QueryError` for a period that is none."""
    for day in (since, until):
        if day is not None and type(day) is not date:
            raise QueryError("a period is given in dates")
    if since is not None and until is not None and since > until:
        raise QueryError("a period does not end before it begins")


def _day_after(day: date | None) -> date | None:
    return None if day is None else min(day, LAST_DAY) + timedelta(days=1)


def _imported(scope: Scope) -> frozenset[str]:
    return frozenset(row.record_id for row in Scope(marks_of(scope.transaction), {}).all(ImportedRow))
