"""What is wrong with a store after whatever was done to it: on any store, by reading all of it."""

from __future__ import annotations

import datetime
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import crmcore
from crmcore.domain import Customer, Event, FollowUp, FollowUpPlan, ImportedRow, NumberSeries
from crmcore.storage.codec import CODECS, to_plain

MORNING = datetime.datetime(2026, 11, 30, 2, 0, tzinfo=datetime.UTC)
_KEPT = (Customer, FollowUp, FollowUpPlan)  #: what these scripts write, each with a history


def open_crm(url: str, **options: Any) -> crmcore.CRM:
    """A CRM whose clock stands still, so that all numbers are of one series."""
    return crmcore.open(url, "standard", clock=lambda: MORNING, **options)


def rows(crm: crmcore.CRM, cls: type[Any]) -> list[Any]:
    with crm.store.transaction() as transaction:
        return list(map(CODECS[cls].load, transaction.scan(cls.collection)))


def seen(crm: crmcore.CRM, prefix: str = "") -> dict[str, tuple[Any, ...]]:
    """The customers whose names begin so, as people see them: name to stage, remarks, and what was talked about."""
    talks = defaultdict(list)
    for follow_up in rows(crm, FollowUp):
        talks[follow_up.customer_id].append(follow_up.summary)
    return {
        customer.name: (customer.stage, customer.remarks, tuple(sorted(talks[customer.id])))
        for customer in rows(crm, Customer)
        if customer.name.startswith(prefix)
    }


def violations(crm: crmcore.CRM) -> list[str]:
    """Everything that is wrong: files, numbers, history, what is owed, what was imported."""
    checks: tuple[Callable[[crmcore.CRM], Iterator[str]], ...] = (numbers, history, duties, imported)
    found = list(crm.store.check())
    for check in checks:
        found += check(crm)
    return found


def numbers(crm: crmcore.CRM) -> Iterator[str]:
    """No number twice, none left out, and each series stands at the last one drawn."""
    drawn = Counter(customer.number for customer in rows(crm, Customer))
    yield from (f"number {number} was given {times} times" for number, times in drawn.items() if times > 1)
    series = rows(crm, NumberSeries)
    if len(series) > 1:
        yield f"there are {len(series)} number series"
    last = series[0].last if series else 0
    serials = sorted(int(number[9:]) for number in drawn)  # C, the day, the serial
    if serials != list(range(1, last + 1)):
        yield f"of the {last} numbers drawn {len(serials)} are there, up to {max(serials, default=0)}"


def history(crm: crmcore.CRM) -> Iterator[str]:
    """Each record has its events, each once: every change goes on from the one before and the last is what is kept."""
    told: dict[str, dict[str, Any]] = {}
    for event in sorted(rows(crm, Event), key=lambda event: event.id):
        state = told.setdefault(event.subject_id, {})
        for name, (before, after) in json.loads(event.changes or "{}").items():
            if state.get(name) != before:
                yield f"{event.action} does not go on from the {name} of the event before"
            state[name] = after
    for cls in _KEPT:
        for entity in rows(crm, cls):
            if entity.id not in told:
                yield f"a {cls.entity} has no event"
            for name, value in told.pop(entity.id, {}).items():
                if to_plain(getattr(entity, name)) != value:
                    yield f"the {name} of a {cls.entity} is not what its events say"
    if told:
        yield f"there are events of {len(told)} records that are not there"


def duties(crm: crmcore.CRM) -> Iterator[str]:
    """What is stored as owed is what the rules derive from the events."""
    found = crm.acting_as("checker").obligations.recompute(dry_run=True)
    if found.begun or found.changed or found.gone:
        yield f"obligations: {found.begun} missing, {found.changed} differ, {found.gone} too many"


def imported(crm: crmcore.CRM) -> Iterator[str]:
    """Each row that was noted as taken in is there, and is noted once."""
    noted = [row.record_id for row in rows(crm, ImportedRow)]
    there = {customer.id for customer in rows(crm, Customer)}
    if len(set(noted)) != len(noted) or not set(noted) <= there:
        yield "imported rows are noted that aren't there, or twice"


def litter(path: Path) -> list[str]:
    """Files beside a closed SQLite database that should not be there.

    A rollback journal that is empty may stay. So may one whose first byte is 0: it was never synced, so that the database was
    not touched; SQLite passes over it, and the next commit takes the file.
    """
    beside = [each for each in path.parent.iterdir() if each.name.startswith(path.name) and each != path]
    return [each.name for each in beside if each.name != f"{path.name}-journal" or not _idle(each)]


def _idle(journal: Path) -> bool:
    with journal.open("rb") as file:
        return file.read(1) in (b"", b"\0")


def counted_ids() -> Callable[[], str]:
    """Ids that are the same in every run, so that it writes the same pages each time; they sort behind all real ones."""
    counter = itertools.count(1)
    return lambda: f"ffffffff-ffff-7000-8000-{next(counter):012}"
