"""A store of many records is given another key while other processes read and write it: how long, and does anything fail?

    python benchmarks/reliability/rekey.py [--records 100000] [--readers 2] [--writers 1]

Every record has two encrypted fields and an event that tells them. Readers look up customers, list pages, read timelines and find
by an encrypted field; the writer changes amounts and registers customers, some of the time under the old key. Each checks what it
reads. Afterwards the store is read through with the new key alone. It ends with 1 where anything failed.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import crmcore
from crmcore import Money
from crmcore.domain import Customer, Event
from crmcore.storage import Insert, KeyRing
from crmcore.storage.codec import CODECS

OLD, NEW = bytes(32), bytes(range(32))
RINGS = {"old": KeyRing.of({"old": OLD, "new": NEW}, "old"), "both": KeyRing.of({"old": OLD, "new": NEW})}
NOW = datetime(2026, 11, 30, tzinfo=UTC)
STAMPS = {"created_at": NOW, "created_by": "a", "updated_at": NOW, "updated_by": "a"}


def fill(url: str, records: int) -> None:
    """Customers and an event each, in the way in which they are kept, in one transaction."""
    customer, event = CODECS[Customer].dump, CODECS[Event].dump
    with crmcore.open(url, "standard", keys=KeyRing.of({"old": OLD})) as crm, crm.store.transaction(write=True) as work:
        work.apply(
            Insert(
                "customers",
                customer(
                    Customer(
                        id=id_of(n),
                        number=f"N{n:07}",
                        name=f"第{n}有限公司",
                        stage="prospect",
                        stage_since=NOW,
                        contract_amount=Money(n * 100, "CNY"),
                        decision_makers=(f"决策人{n}",),
                        **STAMPS,
                    )
                ),
            )
            for n in range(records)
        )
        work.apply(
            Insert(
                "events",
                event(
                    Event(
                        id=f"e{n:07}",
                        customer_id=id_of(n),
                        subject="customer",
                        subject_id=id_of(n),
                        action="customer.updated",
                        at=NOW,
                        by="a",
                        changes=f'{{"decision_makers":[null,["决策人{n}"]]}}',
                    )
                ),
            )
            for n in range(records)
        )


def id_of(n: int) -> str:
    return f"00000000-0000-7000-8000-{n:012}"


def read(url: str, records: int, stop: Path, seed: int) -> None:
    """Reads until it is told to stop; prints how often, and what failed."""
    pick, reads, failed, slowest = random.Random(seed), 0, [], 0.0
    with crmcore.open(url, keys=RINGS["both"]) as crm:
        me = crm.acting_as("reader")
        print("ready", flush=True)
        while not stop.exists():
            n, begun = pick.randrange(records), time.perf_counter()
            try:
                found = me.customers.get(f"N{n:07}")
                assert found.decision_makers == (f"决策人{n}",)
                assert found.contract_amount is not None and found.contract_amount.minor % 100 == 0
                told = me.customers.timeline(found)
                assert any(f"决策人{n}" in (event.changes or "") for event in told)
                assert len(me.customers.find(limit=20)) == 20
            except Exception as error:
                failed.append(f"{type(error).__name__}: {error}")
            reads += 3
            slowest = max(slowest, time.perf_counter() - begun)
    print(json.dumps({"what": "reads", "count": reads, "failed": failed, "slowest": slowest}), flush=True)


def write(url: str, records: int, stop: Path, seed: int) -> None:
    """Changes and registers until it is told to stop, every second unit of work under the old key."""
    pick, writes, failed, slowest = random.Random(seed), 0, [], 0.0
    with crmcore.open(url, keys=RINGS["both"]) as new, crmcore.open(url, keys=RINGS["old"]) as old:
        print("ready", flush=True)
        while not stop.exists():
            begun = time.perf_counter()
            me = (old if writes % 2 and not stop.with_name("settle").exists() else new).acting_as("writer")
            try:
                n = pick.randrange(records)
                me.customers.update(f"N{n:07}", contract_amount=Money(pick.randrange(10**6) * 100, "CNY"))
                me.customers.register(
                    name=f"新{seed}-{writes}有限公司", contract_amount=Money(100, "CNY"), decision_makers=["新决策人"]
                )
            except Exception as error:
                failed.append(f"{type(error).__name__}: {error}")
            writes += 2
            slowest = max(slowest, time.perf_counter() - begun)
            time.sleep(0.02)
    print(json.dumps({"what": "writes", "count": writes, "failed": failed, "slowest": slowest}), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("--writers", type=int, default=1)
    parser.add_argument("--role", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.role:
        role, url, stop, seed = given.role
        {"read": read, "write": write}[role](url, given.records, Path(stop), int(seed))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        url, stop = f"sqlite:///{folder}/crm.db", Path(folder) / "stop"
        fill(url, given.records)
        roles = ["read"] * given.readers + ["write"] * given.writers
        others = [
            subprocess.Popen(
                [sys.executable, __file__, "--records", str(given.records), "--role", role, url, str(stop), str(seed)],
                stdout=subprocess.PIPE,
                text=True,
            )
            for seed, role in enumerate(roles)
        ]
        for other in others:
            assert other.stdout is not None and other.stdout.readline() == "ready\n"
        with crmcore.open(url, keys=RINGS["both"]) as crm:
            begun, used = time.perf_counter(), time.process_time()
            done = crm.rekey()
            seconds, cpu = time.perf_counter() - begun, time.process_time() - used
            print(f"rekeyed {done.rows:,} rows in {seconds:.1f} s ({cpu:.1f} s of processor time); {done}")
            (Path(folder) / "settle").touch()  # from now on all write under the new key
            time.sleep(0.5)
            again = crm.rekey()
            print(f"and what was written under the old one since: {again}")
        stop.touch()
        failed = 0
        for other in others:
            told = json.loads(other.communicate()[0])
            failed += len(told["failed"])
            print(
                f"{told['count']:,} {told['what']}, {len(told['failed'])} failed {told['failed'][:3]}, slowest {told['slowest']:.2f} s"
            )
        with crmcore.open(url, keys=KeyRing.of({"new": NEW})) as crm, crm.store.transaction() as look:
            count = sum(1 for name in ("customers", "events") for _ in look.scan(name))
        print(f"{count:,} rows read through with the new key alone")
        return 1 if failed or again.still_used else 0


if __name__ == "__main__":
    sys.exit(main())
