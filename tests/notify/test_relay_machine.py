"""Any schedule of messages, tries, deaths, lapsed leases, two relays and moving clocks: what the outbox promises holds.

Nothing is lost; a message arrives once, and once more at most for each death or lapse while it was under way; nothing overtakes an
earlier message of its customer that still waits; what is dead was tried exactly as often as the policy says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from notify_samples import BEGIN, SHORT, a_message, put

from crmcore.domain import OutboxMessage
from crmcore.notify import Delivery, Message, Notifier, Relay, Tried, outbox
from crmcore.notify import policy as policy_module
from crmcore.notify import relay as relay_module
from crmcore.notify.outbox import load
from crmcore.notify.policy import revived
from crmcore.plugins import open_store
from crmcore.storage.codec import CODECS, SCHEMA
from crmcore.storage.contract import Store, Update
from crmcore.storage.query import And, Eq, IsNull, Le, Query, Where

CRASHES = ("before claim", "after claim", "before sending", "after sending", "before mark", "in mark", "after mark")
ANSWERS = ("retry", "later", "refused", "postponed", "raises", "nothing")


class Died(BaseException):
    """The relay's process is gone."""


class Fragile(Store):
    """A store whose user dies at a given point."""

    def __init__(self, machine: RelayMachine) -> None:
        self.machine, self.store, self.schema = machine, machine.store, machine.store.schema

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[Any]:
        if write:
            self.machine.die("before mark")
        with self.store.transaction(write=write) as work:
            yield work
            if write:
                self.machine.die("in mark")
        if write:
            self.machine.die("after mark")

    def claim(self, query: Any, change: Any) -> Any:
        self.machine.die("before claim")
        claimed = self.store.claim(query, change)
        self.machine.under_way = claimed[0][0] if claimed else None
        self.machine.die("after claim")
        return claimed

    def close(self) -> None:
        """Nothing of its own."""


class RelayMachine(RuleBasedStateMachine):
    url = "memory:"

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.store = open_store(self.url.replace("FOLDER", Path(self.folder.name).as_posix()), SCHEMA)
        self.now = BEGIN
        self.put: list[str] = []
        self.arrived: Counter[str] = Counter()
        self.excused: Counter[str] = Counter()
        self.overtaken: list[str] = []
        self.crash: str | None = None
        self.under_way: str | None = None
        self.answer, self.during = "sent", "nothing"
        machine = self

        class Service(Notifier):
            key = "service"

            def deliver(self, message: Message) -> Delivery:
                return machine.deliver(message)

        self.relays = [
            Relay(Fragile(self), [Service()], name=name, clock=lambda: self.now, policy=SHORT) for name in ("A", "B")
        ]
        self.running = self.relays[0]

    # The world around a relay

    def die(self, point: str) -> None:
        if self.crash == point:
            self.crash = None
            raise Died(point)

    def all(self) -> list[OutboxMessage]:
        with self.store.transaction() as look:
            return [load(row) for row in look.scan("outbox")]

    def deliver(self, message: Message) -> Delivery:
        self.die("before sending")
        answer, during = self.answer, self.during
        self.answer, self.during = "sent", "nothing"
        self.disturb(message.key, during)
        if answer == "sent":
            one = next(kept for kept in self.all() if kept.id == message.key)
            overtaken = [
                kept.id
                for kept in self.all()
                if kept.state == "waiting"
                and kept.customer_id == one.customer_id is not None
                and (kept.at, kept.id) < (one.at, one.id)
            ]
            # Raised here it would be a failed try like any other.
            self.overtaken += [f"{one.id} went before {earlier}" for earlier in overtaken]
            self.arrived[message.key] += 1
            self.die("after sending")
        return {
            "sent": Delivery.sent,
            "retry": lambda: Delivery.retry("busy"),
            "later": lambda: Delivery.retry("busy", self.now + timedelta(hours=1)),
            "refused": lambda: Delivery.refused("no"),
            "postponed": lambda: Delivery.postponed(self.now + timedelta(minutes=3)),
            "raises": lambda: 1 / 0,
            "nothing": lambda: None,
        }[answer]()  # type: ignore[no-any-return, return-value]

    def disturb(self, key: str, during: str) -> None:
        """What happens while a message is under way."""
        if during == "nothing":
            return
        minutes = {"other": 0, "lapse": 3, "back": -30}[during]
        self.now += timedelta(minutes=minutes)
        if minutes:
            self.excused[key] += 1
        crash, self.crash = self.crash, None
        running = self.running
        self.step(next(one for one in self.relays if one is not running))
        self.running, self.crash, self.under_way = running, crash, key

    def step(self, relay: Relay) -> None:
        self.running, self.under_way = relay, None
        try:
            relay.step()
        except Died:
            if self.under_way is not None:
                self.excused[self.under_way] += 1

    # What can happen

    @precondition(lambda self: len(self.put) < 8)
    @rule(customer=st.sampled_from(["c1", "c2", None]), minutes=st.integers(-30, 3))
    def something_is_to_be_told(self, customer: str | None, minutes: int) -> None:
        id = f"m{len(self.put):02}"
        put(self.store, a_message(id, customer, self.now + timedelta(minutes=minutes)))
        self.put.append(id)

    @rule(
        relay=st.integers(0, 1),
        crash=st.sampled_from([*[None] * 7, *CRASHES]),
        answer=st.sampled_from(["sent"] * 5 + list(ANSWERS)),
        during=st.sampled_from(["nothing", "nothing", "other", "lapse", "back"]),
    )
    def a_relay_takes_one(self, relay: int, crash: str | None, answer: str, during: str) -> None:
        self.crash, self.answer, self.during = crash, answer, during
        self.step(self.relays[relay])
        self.crash, self.answer, self.during = None, "sent", "nothing"

    @rule(minutes=st.sampled_from([2, 2, 30, 30, 600, 9000, -5, -60, -6000]))
    def the_clock_moves(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @precondition(lambda self: any(one.state == "dead" for one in self.all()))
    @rule(data=st.data())
    def somebody_revives_one(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from([one for one in self.all() if one.state == "dead"]))
        with self.store.transaction(write=True) as work:
            work.apply([Update("outbox", CODECS[OutboxMessage].dump(revived(one, self.now)), one.version)])
        # It may have arrived before the last relay died of it.
        self.excused[one.id] += 1

    # What holds

    @invariant()
    def nothing_is_lost(self) -> None:
        assert sorted(one.id for one in self.all()) == self.put

    @invariant()
    def nothing_overtakes(self) -> None:
        assert self.overtaken == []

    @invariant()
    def nothing_arrives_more_often_than_a_death_or_a_lapse_excuses(self) -> None:
        for id, times in self.arrived.items():
            assert times <= 1 + self.excused[id], id

    @invariant()
    def what_is_sent_arrived_and_what_is_dead_was_tried_to_the_end(self) -> None:
        for one in self.all():
            assert one.attempts <= SHORT.tries
            if one.state == "sent":
                assert self.arrived[one.id]
            elif one.state == "dead":
                assert one.last_error == "no" or one.attempts == SHORT.tries

    def teardown(self) -> None:
        try:
            self.everything_comes_to_an_end()
        finally:
            self.store.close()
            self.folder.cleanup()

    def everything_comes_to_an_end(self) -> None:
        for _ in range(40):
            if all(one.state != "waiting" for one in self.all()):
                break
            self.now = max(self.now, BEGIN) + timedelta(hours=12)
            for relay in self.relays:
                list(relay.run())
        else:
            raise AssertionError("messages wait for ever")
        self.nothing_is_lost()
        self.nothing_overtakes()
        self.nothing_arrives_more_often_than_a_death_or_a_lapse_excuses()
        self.what_is_sent_arrived_and_what_is_dead_was_tried_to_the_end()


class SqliteRelayMachine(RelayMachine):
    url = "sqlite:///FOLDER/crm.db"


TestOnMemory = RelayMachine.TestCase
TestOnMemory.settings = settings(stateful_step_count=30)
TestOnSqlite = SqliteRelayMachine.TestCase
TestOnSqlite.settings = settings(stateful_step_count=20, max_examples=8)


# The machine is tested too: a relay with one seeded defect must fail it.


def _first_come(transaction: Any, now: Any, policy: Any, notifiers: Any) -> Iterator[OutboxMessage]:
    where = outbox.claimable(now, policy, notifiers)
    yield from map(load, transaction.find(Query("outbox", where, ("-at",))))


def _mark_before_sending(self: Relay, message: OutboxMessage) -> Tried | None:
    claimed = self._claim(message.id)
    if claimed is None:
        return None
    kept = self._settle(claimed, Delivery.sent())
    answer = relay_module._ask(self.notifiers["service"], Message.of(claimed, self.zone))
    return Tried(message=kept, notifier="service", outcome=answer.outcome, code=answer.code)


def _no_lease(now: Any, policy: Any, notifiers: Any) -> Where:
    return And(Eq("state", "waiting"), Le("at", now), Le("not_before", now))


def _never_again(now: Any, policy: Any, notifiers: Any) -> Where:
    return And(_no_lease(now, policy, notifiers), IsNull("claimed_until"))


def _for_ever(message: OutboxMessage, answer: Delivery, now: Any, policy: Any, share: float) -> OutboxMessage:
    return policy_module.settled(message.replace(attempts=1), answer, now, policy, share)


def _one_too_few(message: OutboxMessage, answer: Delivery, now: Any, policy: Any, share: float) -> OutboxMessage:
    fewer = attrs.evolve(policy, delays=policy.delays[:-1])
    return policy_module.settled(message, answer, now, fewer, share)


def _gone(message: OutboxMessage, answer: Delivery, now: Any, policy: Any, share: float) -> OutboxMessage:
    after = policy_module.settled(message, answer, now, policy, share)
    return after.replace(state="sent") if after.state == "dead" else after


@pytest.mark.parametrize(
    ("owner", "name", "defect"),
    [
        (relay_module, "ready", _first_come),
        (Relay, "_deliver", _mark_before_sending),
        (relay_module, "claimable", _no_lease),
        (relay_module, "claimable", _never_again),
        (relay_module, "settled", _for_ever),
        (relay_module, "settled", _one_too_few),
        (relay_module, "settled", _gone),
    ],
)
def test_a_relay_with_a_defect_fails(owner: Any, name: str, defect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, name, defect)
    if defect is _never_again or defect is _no_lease:
        monkeypatch.setattr(outbox, name, defect)
    quick = settings(
        max_examples=400,
        stateful_step_count=30,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(RelayMachine, settings=quick)
