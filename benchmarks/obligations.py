"""What is owed to a customer with 200 events, derived anew; and who is due among 100,000 customers, from the index.

    python benchmarks/obligations.py [--quick] [--rounds R] [--customers N] [--directory DIR] [--json FILE]

The limit of deriving is reading the same events as JSON, which any derivation from a log must do: what comes on top is the
rules. "Who is due" is held against the same rows by raw sqlite3 from the same file. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import crmcore
import report
from crmcore.app.work import Work
from crmcore.domain import Customer, Event, Obligation
from crmcore.playbooks import load
from crmcore.rules.obligations import derive, settle
from crmcore.rules.rulebook import Rulebook
from crmcore.storage.codec import CODECS
from crmcore.storage.query import Eq, Query
from measure import machine
from timing import Calls, measure, once

LIMIT, OURS = "limit", "crmcore"
START = datetime.datetime(2024, 1, 2, 2, tzinfo=datetime.UTC)
NOW = datetime.datetime(2026, 11, 30, 2, tzinfo=datetime.UTC)
EVENTS = 200
DUE = 1_000


def history(playbook: str) -> tuple[list[Event], list[Obligation]]:
    """The events of a customer that was followed up for years, each time with a plan for the next, and what is kept of it."""
    now = [START]
    crm = crmcore.open("memory:", playbook, clock=lambda: now[0])
    me = crm.acting_as("sales.east")
    person = {"name": "联系人甲", "title": "采购经理", "phones": ["13800138000"], "emails": ["contact@example.com"]}
    firm = {"name": "示例科技有限公司", "short_name": "AB", "industry": "制造业", "scale": "large"}
    customer = me.customers.register(**firm, tier="A", contacts=[person])
    for days in itertools.cycle((4, 6, 7, 9)):
        if len(me.customers.timeline(customer, limit=1000)) >= EVENTS:
            break
        now[0] += datetime.timedelta(days=days)
        then = (now[0] + datetime.timedelta(days=6)).date()
        me.follow_ups.log(
            customer, summary="介绍产品,客户需要详细报价", method="phone", next_step="发送报价单", next_on=then
        )
    own = Query("events", Eq("customer_id", customer.id))
    kept = Query("obligations", Eq("customer_id", customer.id))
    with crm.store.transaction() as transaction:
        events: list[Event] = list(map(CODECS[Event].load, transaction.find(own)))
        obligations: list[Obligation] = list(map(CODECS[Obligation].load, transaction.find(kept)))
    crm.close()
    return events, obligations


def decode(events: list[Event]) -> list[Any]:
    """The limit: what the log says, as plain data, in order."""
    return [json.loads(event.changes) for event in sorted(events, key=lambda one: one.id) if event.changes]


def fill(path: Path, customers: int) -> None:
    """A store of that many customers with what is owed to each, in batches of one transaction each."""
    crm = crmcore.open(f"sqlite:///{path}", "standard", clock=lambda: NOW)
    stages = ("prospect", "interested", "customer")

    def register(work: Work, first: int) -> None:
        for number in range(first, min(first + 1_000, customers)):
            since = NOW - datetime.timedelta(days=number % 400)
            values = {"number": f"C2026113{number:07}", "name": f"示例{number}有限公司", "tier": "ABC"[number % 3]}
            values |= {"stage": stages[number % 7 % 3], "stage_since": since, "owner": f"sales.{number % 40}"}
            work.begin(work.build(Customer, values), "customer.registered")

    for first in range(0, customers, 1_000):
        crm.write("import", lambda work, first=first: register(work, first))  # type: ignore[misc]
    crm.close()


class Due:
    """Who is due, asked by the public call and by raw SQL from one file."""

    SQL = (
        "SELECT o.*, c.* FROM (SELECT * FROM obligations WHERE state = 'open' AND due_at <= ? ORDER BY due_at, id LIMIT ?) o "
        "JOIN customers c ON c.id = o.customer_id ORDER BY o.due_at, o.id"
    )

    def __init__(self, path: Path) -> None:
        self.crm = crmcore.open(f"sqlite:///{path}", "standard", clock=lambda: NOW)
        self.me = self.crm.acting_as("sales.east")
        self.raw = sqlite3.connect(path)
        self.until = NOW.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        plan = [row[3] for row in self.raw.execute(f"EXPLAIN QUERY PLAN {self.SQL}", (self.until, DUE))]
        self.plan = "; ".join(plan)

    def ours(self) -> int:
        """Duties with their customers."""
        return len(self.me.obligations.due(NOW, limit=DUE))

    def limit(self) -> int:
        """The same rows as tuples."""
        return len(self.raw.execute(self.SQL, (self.until, DUE)).fetchall())


def main() -> None:
    parser = argparse.ArgumentParser(description="What is owed, derived and asked for.")
    parser.add_argument(
        "--quick", action="store_true", help="few rows and rounds: shows that it runs, not how fast it is"
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round and figure here")
    given = parser.parse_args()
    rounds, customers = (3, 2_000) if given.quick else (given.rounds, given.customers)
    kept: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=given.directory) as directory:
        facts = machine(Path(directory))
        print(report.preface(facts))
        for playbook in ("standard", "maintenance", "marketing"):
            events, obligations = history(playbook)
            rulebook = Rulebook(load(playbook))
            assert not settle(derive(events, rulebook), obligations), "what is kept is what is derived"
            contenders: dict[str, Calls] = {
                LIMIT: once(lambda events=events: decode(events)),  # type: ignore[misc]
                OURS: once(lambda events=events, rulebook=rulebook: derive(events, rulebook)),  # type: ignore[misc]
            }
            shown(
                kept,
                f"{playbook}: {len(events)} events, {len(obligations)} obligations (goal: 1 ms)",
                measure(contenders, rounds),
            )
        path = Path(directory) / "due.db"
        fill(path, customers)
        due = Due(path)
        assert due.ours() == due.limit() > 0
        print(f"\nthe limit's plan: {due.plan}")
        shown(
            kept,
            f"the {due.ours():,} oldest of what is due, {customers:,} customers",
            measure({LIMIT: once(due.limit), OURS: once(due.ours)}, rounds),
        )
        due.crm.close()
        due.raw.close()
    if given.json:
        given.json.write_text(json.dumps({"machine": facts, "operations": kept}, indent=1))


def shown(kept: dict[str, Any], heading: str, measured: report.Measured) -> None:
    """Prints one comparison and keeps its figures."""
    made = report.lines(measured, LIMIT, [])
    print(report.table(heading, made, {LIMIT: "limit", OURS: "crmcore"}))
    kept[heading] = report.as_json(made, measured)


if __name__ == "__main__":
    main()
