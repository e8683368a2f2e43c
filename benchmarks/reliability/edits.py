"""Processes that edit the same few customers at once: no edit is lost, and each conflict is one ``Conflict``.

    python benchmarks/reliability/edits.py [--url URL] [--processes 8] [--each 2500] [--records 50]

Each process reads a customer, counts its remarks up by one and writes that, so a lost edit shows in the sum. Who was overtaken
between reading and writing gets a ``Conflict``, and tries again. Ends with 1 if anything is wrong. See README.md beside this file.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

import soundness
from crowd import Ledger, conclude, ended, fork, parser_for, place

from crmcore.domain import Customer, Event
from crmcore.errors import Conflict


def edit(url: str, path: Path, process: int, each: int, ids: list[str]) -> None:
    """Makes so many edits; any error but a conflict ends it."""
    ledger, chance = Ledger(path), random.Random(process)
    with soundness.open_crm(url) as crm:
        me = crm.acting_as(f"clerk{process}")
        done = 0
        while done < each:
            customer = me.customers.get(chance.choice(ids))
            count = int(customer.remarks or 0) + 1
            try:
                me.customers.update(customer, remarks=str(count))
            except Conflict:
                ledger.note("conflict", customer.id, count)
            else:
                ledger.note("edit", customer.id, count)
                done += 1


def run(url: str, folder: Path, processes: int, each: int, records: int) -> int:
    """Everything; prints the figures and gives what to end with."""
    with soundness.open_crm(url) as crm:
        me = crm.acting_as("clerk")
        ids = [me.customers.register(name=f"edited {record}").id for record in range(records)]
    begun = time.monotonic()
    paths = [folder / f"{process}.told" for process in range(processes)]
    children = [fork(partial(edit, url, path, process, each, ids)) for process, path in enumerate(paths)]
    problems = [f"a clerk ended with {code}" for child in children if (code := ended(child))]
    length = time.monotonic() - begun
    lines = [line for path in paths for line in Ledger(path).lines()]
    edits = [(id, int(count)) for kind, id, count in lines if kind == "edit"]
    conflicts = len(lines) - len(edits)
    with soundness.open_crm(url) as crm:
        problems += [*crm.store.check(), *soundness.numbers(crm), *soundness.duties(crm)]
        logged: Counter[tuple[str, int, int]] = Counter()
        for event in soundness.rows(crm, Event):
            for before, after in [
                pair for name, pair in json.loads(event.changes or "{}").items() if name == "remarks"
            ]:
                logged[event.subject_id, int(before or 0), int(after)] += 1
        for customer in soundness.rows(crm, Customer):
            last = int(customer.remarks or 0)
            told = sorted(count for id, count in edits if id == customer.id)
            if told != list(range(1, last + 1)):
                problems.append(f"a customer stands at {last} after {len(told)} edits")
            if customer.version != last + 1:
                problems.append(f"a customer is at version {customer.version} after {last} edits")
            if any(logged.pop((customer.id, count - 1, count), 0) != 1 for count in told):
                problems.append("an edit has no event, or several")
        if logged:
            problems.append("there are events of edits that were not made")
        if len(edits) != processes * each:
            problems.append(f"{len(edits)} of {processes * each} edits were acknowledged")
        print(f"{processes} processes, {each:,} edits each, of {records} customers, {length:.0f} s")
        print(f"{len(edits):8,}  edits: {len(edits) / length:,.0f}/s")
        print(f"{conflicts:8,}  conflicts, each one Conflict; no other error")
        return conclude(crm, problems)


def main() -> int:
    parser = parser_for(__doc__ or "", 2500)
    parser.add_argument("--records", type=int, default=50, help="fewer: more conflicts, and more history to each")
    arguments = parser.parse_args()
    with place(arguments.url) as (url, folder):
        return run(url, folder, arguments.processes, arguments.each, arguments.records)


if __name__ == "__main__":
    sys.exit(main())
