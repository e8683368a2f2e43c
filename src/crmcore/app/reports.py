"""Reports: what the metrics say of this store, as tables, as plain JSON values, or as a workbook with charts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import TypeVar

from crmcore.app.engine import UseCases
from crmcore.app.finding import customers_of
from crmcore.domain import Customer, Entity, Event, FollowUp, ImportedRow, Obligation, Opportunity
from crmcore.domain.fields import LAST_DAY
from crmcore.errors import Language, QueryError
from crmcore.interchange.sheets import workbooks
from crmcore.metrics import Activity, Due, Funnel, Review, activity, due_list, funnel, review, rule_labels
from crmcore.metrics.activity import LOGGED_WITHIN
from crmcore.rules.timing import day_end, day_start
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Transaction
from crmcore.storage.query import And, Eq, Ge, In, Lt, Query, Where

E = TypeVar("E", bound=Entity)

_MOVES = In("action", ("opportunity.opened", "opportunity.moved"))


def _load(transaction: Transaction, cls: type[E], where: Where | None = None) -> Iterable[E]:
    load: Callable[..., E] = CODECS[cls].load
    return map(load, transaction.find(Query(cls.collection, where)))


class Reports(UseCases):
    """What the store adds up to, for one user. ``since`` and ``until`` are days of the team's calendar, both included."""

    def funnel(self, *, pipeline: str | None = None, since: date | None = None, until: date | None = None) -> Funnel:
        """Counts, conversion, amounts and time in stage of one pipeline, the playbook's default unless named.

        Raises :class:`QueryError` for a pipeline that isn't there. See :func:`crmcore.metrics.funnel`.
        """
        _check_period(since, until)
        crm = self.engine
        key = pipeline or crm.playbook.default_pipeline
        if key not in crm.playbook.pipelines:
            raise QueryError(f"there is no pipeline {key}; there are {', '.join(crm.playbook.pipelines)}")
        graph = crm.playbook.pipelines[key]

        def look(transaction: Transaction) -> Funnel:
            return funnel(
                _load(transaction, Opportunity, Eq("pipeline", key)),
                _load(transaction, Event, _MOVES),
                graph,
                now=crm.now(),
                since=since,
                until=_day_after(until),
            )

        return crm.read(look)

    def due(self) -> Due:
        """Every open obligation, the earliest due first, and the share that is late."""
        crm = self.engine

        def look(transaction: Transaction) -> Due:
            found = list(_load(transaction, Obligation, Eq("state", "open")))
            customers = customers_of(transaction, found)
            return due_list(found, customers, labels=rule_labels(crm.playbook), now=crm.now(), zone=crm.zone)

        return crm.read(look)

    def activity(self, *, since: date | None = None, until: date | None = None) -> Activity:
        """Who followed up how often and how, and what was written down within the time that the playbook sets."""
        _check_period(since, until)
        crm = self.engine

        def look(transaction: Transaction) -> Activity:
            return activity(
                _load(transaction, FollowUp, self._held(since, until)),
                crm.playbook,
                zone=crm.zone,
                since=since,
                until=_day_after(until),
                imported_ids=_imported(transaction),
                within=self._logged_within(),
            )

        return crm.read(look)

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

    def review(self, *, pipeline: str | None = None, since: date | None = None, until: date | None = None) -> Review:
        """Everything that a team looks at together, with the charts that belong to it."""
        _check_period(since, until)
        crm = self.engine

        def look(transaction: Transaction) -> Review:
            return review(
                crm.playbook,
                customers=_load(transaction, Customer),
                opportunities=_load(transaction, Opportunity),
                moves=_load(transaction, Event, _MOVES),
                follow_ups=_load(transaction, FollowUp, self._held(since, until)),
                obligations=_load(transaction, Obligation, Eq("state", "open")),
                now=crm.now(),
                zone=crm.zone,
                since=since,
                until=_day_after(until),
                pipeline=pipeline,
                imported_ids=_imported(transaction),
                within=self._logged_within(),
            )

        return crm.read(look)

    def write_review(
        self,
        path: Path | str,
        *,
        since: date | None = None,
        until: date | None = None,
        language: Language = "zh-CN",
    ) -> Path:
        """The review as a workbook with native charts. Needs the extra ``excel``."""
        found = self.review(since=since, until=until)
        workbooks().write(Path(path), found.tables, found.charts, language=language)
        return Path(path)

    def _held(self, since: date | None, until: date | None) -> Where | None:
        zone = self.engine.zone
        parts: list[Where] = []
        if since is not None:
            parts.append(Ge("at", day_start(since, zone)))
        if until is not None:
            parts.append(Lt("at", day_end(min(until, LAST_DAY), zone)))
        return And(*parts) if parts else None


def _check_period(since: date | None, until: date | None) -> None:
    """Raises :class:`QueryError` for a period that is none."""
    for day in (since, until):
        if day is not None and type(day) is not date:
            raise QueryError("a period is given in dates")
    if since is not None and until is not None and since > until:
        raise QueryError("a period does not end before it begins")


def _day_after(day: date | None) -> date | None:
    return None if day is None else min(day, LAST_DAY) + timedelta(days=1)


def _imported(transaction: Transaction) -> frozenset[str]:
    return frozenset(row.record_id for row in _load(transaction, ImportedRow))
