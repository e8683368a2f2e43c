"""How fast the chains of the audit are verified, beside reading the same rows by raw sqlite3.

    python benchmarks/audit.py [--entries 100000] [--customers 10000] [--rounds 5] [--keyed]

Time is the processor's, so that others on the machine count little. The rows are those that the library would write, made
without it. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import crmcore
from crmcore.app.chain_keys import keys_of
from crmcore.domain import Chain, Customer, Event
from crmcore.rules.audit import chained
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Change, Insert
from crmcore.storage.keys import KeyRing

BEGUN = datetime(2026, 1, 5, 2, 0, tzinfo=UTC)
RING = KeyRing.of({"k1": bytes(range(32))})


def rows(entries: int, customers: int, ring: KeyRing | None) -> Iterator[Change]:
    """Customers, their events as they come about by turns, and where their chains end."""
    chance, keys = random.Random(1), keys_of(ring)
    changes = json.dumps(
        {"summary": [None, "客户认可方案,等待报价" * 6], "method": [None, "phone"]}, ensure_ascii=False
    )
    heads: dict[str, Chain] = {}
    stamps = {"created_at": BEGUN, "created_by": "li.ming", "updated_at": BEGUN, "updated_by": "li.ming"}
    ids = [f"00000000-0000-7000-8000-{number:012}" for number in range(customers)]
    for number, id in enumerate(ids):
        made = Customer(
            id=id, number=f"C{number:06}", name=f"示例{number}", stage="prospect", stage_since=BEGUN, **stamps
        )
        yield Insert(Customer.collection, CODECS[Customer].dump(made))
    for number in range(entries):
        id = ids[number] if number < customers else chance.choice(ids)
        event = Event(
            id=f"00000000-0000-7000-9000-{number:012}",
            customer_id=id,
            subject="follow_up",
            subject_id=f"00000000-0000-7000-a000-{number:012}",
            action="follow_up.logged",
            at=BEGUN + timedelta(milliseconds=number),
            by="li.ming",
            changes=changes,
        )
        heads[id], (placed,) = chained(id, heads.get(id), [event], keys, lambda: f"{chance.getrandbits(128):032x}")
        yield Insert(Event.collection, CODECS[Event].dump(placed))
    for head in heads.values():
        yield Insert(Chain.collection, CODECS[Chain].dump(head))


def timed(call: Callable[[], object]) -> float:
    begun = time.process_time()
    call()
    return time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast the chains of the audit are verified.")
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--customers", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keyed", action="store_true", help="with a key")
    options = parser.parse_args()
    ring = RING if options.keyed else None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "crm.db"
        with crmcore.open(f"sqlite:///{path}?journal=truncate", "standard") as crm:
            with crm.store.transaction(write=True) as transaction:
                transaction.apply(rows(options.entries, options.customers, ring))
            crm.audit_keys = keys_of(ring)

            def raw() -> None:
                with closing(sqlite3.connect(path)) as connection:
                    for _ in connection.execute("SELECT * FROM events"):
                        pass

            def verify() -> None:
                found = crm.audit.verify()
                assert (found.faults, found.entries) == ((), options.entries), found.faults[:3]

            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            times = [(timed(raw), timed(verify)) for _ in range(options.rounds)]
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    best = min(verifying for _, verifying in times)
    ratios = sorted(verifying / reading for reading, verifying in times)
    print(f"{options.entries:,} entries of {options.customers:,} customers, {'keyed' if ring else 'no key'}")
    print(f"raw sqlite3 reads {options.entries / min(reading for reading, _ in times):,.0f} rows a second")
    print(f"verified {options.entries / best:,.0f} entries a second (best of {options.rounds})")
    print(
        f"{ratios[len(ratios) // 2]:.1f} x reading ({ratios[0]:.1f} to {ratios[-1]:.1f}); memory grew by {grown / 1024:.0f} MiB"
    )


if __name__ == "__main__":
    main()
