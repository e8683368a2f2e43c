"""Relays killed while they send: what was lost, what was doubled.

Two relays at a time send messages through a notifier that writes each into a file, one line per message, and are killed at
random moments; a new one takes the place of each. When the outbox is empty the file is compared with what was put in.

    python benchmarks/reliability/relay_kills.py sqlite:///FOLDER/crm.db [--messages 300] [--kills 50]

FOLDER stands for an empty folder of the run. The promise is: lost 0, doubled at most one per kill, the order of each customer
kept among what came for the first time. It ends in 1 where that does not hold.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import tempfile
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from multiprocessing.process import BaseProcess
from pathlib import Path

import attrs

from crmcore.domain import OutboxMessage
from crmcore.errors import CRMError
from crmcore.notify import POLICY, Delivery, Message, Notifier, Relay, outbox_facts
from crmcore.plugins import open_store
from crmcore.storage.codec import CODECS, SCHEMA
from crmcore.storage.contract import Insert

CUSTOMERS = 40
RELAYS = 2
LEASE = timedelta(milliseconds=300)
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
PATIENCE = 300.0  #: seconds for the whole run


class Line(Notifier):
    """One line into a file per message, in one write; it takes as long as a near service would."""

    key = "line"

    def __init__(self, path: str) -> None:
        self.path = path

    def deliver(self, message: Message) -> Delivery:
        time.sleep(0.006)
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, f"{message.customer_id} {message.subject_id} {os.getpid()}\n".encode())
        os.close(handle)
        time.sleep(0.006)
        return Delivery.sent()


def relay_until_killed(url: str, path: str) -> None:
    """What a child does."""
    # A kill is no failure of the message: it must not die of having been on its way each time.
    policy = attrs.evolve(POLICY, lease=LEASE, delays=POLICY.delays[:1] * 1_000)
    with closing(open_store(url, SCHEMA)) as store:
        name = f"relay {os.getpid()}"
        relay = Relay(store, [Line(path)], name=name, clock=lambda: datetime.now(UTC), policy=policy)
        while True:
            try:
                for _ in relay.run():
                    pass
            except CRMError as error:
                if not error.retryable:
                    raise
            time.sleep(0.01)


def put_in(url: str, messages: int) -> list[str]:
    """Fills the outbox; the ids are in the order in which each customer's are to go out."""
    dump = CODECS[OutboxMessage].dump
    made = [
        OutboxMessage(
            id=f"{number:08}",
            notice_id=f"{number:08}",
            reminder="kill",
            label_zh="提醒",
            label_en="Reminder",
            customer_id=f"c{number % CUSTOMERS}",
            subject_id=f"{number:08}",
            at=BEGIN + timedelta(seconds=number),
            not_before=BEGIN + timedelta(seconds=number),
        )
        for number in range(messages)
    ]
    with closing(open_store(url, SCHEMA)) as store, store.transaction(write=True) as work:
        work.apply(Insert("outbox", dump(message)) for message in made)
    return [message.id for message in made]


def start(url: str, path: str) -> BaseProcess:
    """One relay in a process of its own, forked where that can be: it is quick."""
    ways = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("fork" if "fork" in ways else "spawn")
    child = context.Process(target=relay_until_killed, args=(url, path))
    child.start()
    return child


def read_lines(path: str) -> list[list[str]]:
    """What arrived so far: customer, message, the relay that brought it."""
    return [line.split() for line in Path(path).read_text("utf-8").splitlines()] if os.path.exists(path) else []


def waiting(url: str) -> int:
    """How many messages are not sent yet."""
    while True:
        try:
            with closing(open_store(url, SCHEMA)) as store, store.transaction() as look:
                return outbox_facts(look).waiting
        except CRMError as error:
            if not error.retryable:
                raise


def run(url: str, messages: int, kills: int, seed: int) -> int:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="relay-kills-") as folder:
        url = url.replace("FOLDER", Path(folder).as_posix())
        path = str(Path(folder) / "arrived")
        ids = put_in(url, messages)
        began = time.perf_counter()
        children = [start(url, path) for _ in range(RELAYS)]
        done = 0
        try:
            while waiting(url):
                if time.perf_counter() - began > PATIENCE:
                    break
                fallen = [child for child in children if not child.is_alive()]
                if fallen:
                    raise SystemExit(f"a relay ended by itself with {fallen[0].exitcode}")
                # Only a relay that has begun to send is worth killing; then at any moment of its work.
                at_work = {pid for _, _, pid in read_lines(path)}
                ready = [place for place, child in enumerate(children) if str(child.pid) in at_work]
                if not ready or done == kills:
                    time.sleep(0.01)
                    continue
                time.sleep(chance.uniform(0, 0.03))
                place = chance.choice(ready)
                children[place].kill()
                children[place].join()
                children[place] = start(url, path)
                done += 1
        finally:
            for child in children:
                child.kill()
                child.join()
        seconds = time.perf_counter() - began
        lines = read_lines(path)
        arrived = Counter(id for _, id, _ in lines)
        with closing(open_store(url, SCHEMA)) as store, store.transaction() as look:
            facts = outbox_facts(look)
    lost = [id for id in ids if not arrived[id]]
    doubled = sum(times - 1 for times in arrived.values())
    firsts = list(dict.fromkeys((customer, id) for customer, id, _ in lines))
    overtaken = sum(
        earlier > later
        for customer in {customer for customer, _ in firsts}
        for earlier, later in pairwise(id for whose, id in firsts if whose == customer)
    )
    hit = sum(times > 1 for times in arrived.values())
    print("| store | messages | kills | lost | doubled | out of order | left or dead | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    rest = facts.waiting + facts.dead
    scheme = url.partition(":")[0]
    print(f"| `{scheme}:` | {messages} | {done} | {len(lost)} | {doubled} | {overtaken} | {rest} | {seconds:.0f} |")
    kept = not lost and doubled <= done and not overtaken and not rest and sum(arrived.values()) - doubled == len(ids)
    print(f"seed {seed}; {hit} messages came more than once; the promise {'holds' if kept else 'IS BROKEN'}")
    return 0 if kept else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", default="sqlite:///FOLDER/crm.db")
    parser.add_argument("--messages", type=int, default=300)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    return run(given.url, given.messages, given.kills, given.seed)


if __name__ == "__main__":
    raise SystemExit(main())
