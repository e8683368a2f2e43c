"""Random queries on several stores, each answer held to an oracle that shares no code with the library.

    python benchmarks/reliability/queries.py memory: sqlite:///kit.db excel:///kit.xlsx [--queries 10000] [--rows 60] [--seed N]

The rows hold None, texts that differ in case only, wildcards, Chinese and other scripts, letters beyond the first plane, numbers
and moments at their ends; the queries every condition, nested, orders up and down, limits, and places to go on from. A tenth are
tallies. New rows come every 500 queries. Prints what was asked and every disagreement; ends with 1 if there is one.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from contextlib import ExitStack, closing
from random import Random

from crmcore.storage import Insert, Row, Store, StoreURL
from crmcore.testing import chance, oracle
from crmcore.testing.kit_schema import VALUES
from crmcore.testing.places import places

ROWS_LAST = 500  #: queries until there are new rows


def disagreement(store: Store, random: Random, rows: list[Row], asked: Counter[str]) -> str | None:
    """Asks one question, and says what was wrong about the answer."""
    with store.transaction() as work:
        if random.random() < 0.1:
            where = chance.where(random, VALUES, rows)
            by = random.sample([field.name for field in VALUES.fields], random.randrange(3))
            asked["tallies"] += 1
            got, expected = (
                work.tally("values", where, by, ["integer"]),
                oracle.tally(rows, where, by, ["integer"], VALUES),
            )
            return None if got == expected else f"tally {where} by {by}\n  expected {expected}\n  got      {got}"
        query = chance.query(random, VALUES, rows)
        got = list(work.find(query))
    ordered = bool(query.order or query.after is not None or query.limit is not None)
    if not ordered:
        got.sort(key=lambda row: str(row[0]))
    asked["with a place" if query.after is not None else "with an order" if query.order else "plain"] += 1
    expected = oracle.answer(query, rows, VALUES)
    asked["that found something"] += bool(expected)
    return None if got == expected else f"{query}\n  expected {expected}\n  got      {got}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("urls", nargs="*", default=["memory:", "sqlite:///kit.db"])
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    wrong = 0
    for url in options.urls:
        random, asked, began = Random(options.seed), Counter[str](), time.perf_counter()
        with ExitStack() as stack:
            harness = stack.enter_context(places(url))()
            store = stack.enter_context(closing(harness.open()))
            rows: list[Row] = []
            for number in range(options.queries):
                if number % ROWS_LAST == 0:
                    harness.clear()
                    ids = [f"{place:03}" for place in range(options.rows)]
                    rows = [chance.row(random, VALUES, {"id": (id,), "version": (1,)}) for id in ids]
                    with store.transaction(write=True) as work:
                        work.apply(Insert("values", row) for row in rows)
                problem = disagreement(store, random, rows, asked)
                if problem is not None:
                    wrong += 1
                    print(f"query {number}: {problem}")
        counts = ", ".join(f"{times} {kind}" for kind, times in sorted(asked.items()))
        seconds = time.perf_counter() - began
        print(f"{StoreURL.parse(url).scheme}: {options.queries} queries ({counts}) in {seconds:.0f} s", flush=True)
    print(f"{wrong} disagreements")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
