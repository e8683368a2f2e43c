"""The relay: takes messages out of the outbox one by one, has them delivered, and writes down what became of each.

Each message is claimed and committed before it is sent, and marked after. A relay that dies in between has sent it or not;
when its lease is over another relay sends it again. So nothing is lost, and at most one message is doubled per death.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime, tzinfo
from itertools import islice

import attrs

from crmcore.domain import OutboxMessage
from crmcore.errors import Conflict, PluginConflict, StorageError
from crmcore.notify.contract import Delivery, Message, Notifier, Outcome
from crmcore.notify.outbox import OUTBOX, claimable, dump, load, ready
from crmcore.notify.policy import POLICY, DeliveryPolicy, Jitter, settled, spread_by_id
from crmcore.storage.contract import Store, Update
from crmcore.storage.query import And, Eq, Lt, Query
from crmcore.storage.schema import Row

ROUND = 200
"""So many messages are looked up at once."""
ATTEMPTS = 3
"""How often it is tried to write down what became of a message, where the store is busy."""


@attrs.frozen(kw_only=True)
class Tried:
    """One message that the relay took: what the notifier answered, and the state that it is in since."""

    message: OutboxMessage
    notifier: str
    outcome: Outcome
    code: str | None

    @property
    def dead(self) -> bool:
        """Whether it was given up."""
        return self.message.state == "dead"


class Relay:
    """Delivers what the outbox of a store holds, through some notifiers. Several may run at once, in any processes.

    ``name`` is the relay's own, unlike any other's. ``clock`` gives aware moments. ``jitter`` gives a share from 0 to 1 for a
    message's id and try. ``zone`` is the one in which messages tell times. A message that names no notifier goes to the first
    of them; one that names another than these is left to a relay that has it. Raises :class:`PluginConflict` for two of one
    key, and ValueError for none.
    """

    def __init__(
        self,
        store: Store,
        notifiers: Iterable[Notifier],
        *,
        name: str,
        clock: Callable[[], datetime],
        policy: DeliveryPolicy = POLICY,
        jitter: Jitter = spread_by_id,
        zone: tzinfo = UTC,
    ) -> None:
        self.store = store
        self.name = name
        self.policy = policy
        self.zone = zone
        self._clock = clock
        self._jitter = jitter
        given = list(notifiers)
        self.notifiers = {notifier.key: notifier for notifier in given}
        if not given:
            raise ValueError("a relay needs a notifier")
        if len(self.notifiers) != len(given):
            raise PluginConflict("two notifiers have the same key")
        self._default = given[0].key

    def ready(self, limit: int | None = None, without: Collection[str] = ()) -> list[OutboxMessage]:
        """What would be sent now, in order, but for the ids of ``without``; nothing is claimed."""
        now = self._now()
        with self.store.transaction() as transaction:
            found = ready(transaction, now, self.policy, self.notifiers)
            return list(islice((message for message in found if message.id not in without), limit))

    def step(self) -> Tried | None:
        """Delivers one message; None where nothing is to be sent now."""
        return next(self.run(), None)

    def run(self) -> Iterator[Tried]:
        """Delivers what can be sent, each message at most once, and tells each as it is done.

        What waits behind one that was sent follows in the same run. A notifier that postponed a message is asked no more
        in this run. Raises a :class:`StorageError` where the store fails.
        """
        tried: set[str] = set()
        full: set[str] = set()
        while found := self.ready(ROUND, tried):
            for message in found:
                tried.add(message.id)
                told = None if self._notifier(message).key in full else self._deliver(message)
                if told is None:
                    continue
                if told.outcome is Outcome.POSTPONED:
                    full.add(told.notifier)
                yield told

    def _now(self) -> datetime:
        moment = self._clock()
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000).astimezone(UTC)

    def _claim(self, id: str) -> OutboxMessage | None:
        """The message, now this relay's for one lease; None where another was faster."""
        now = self._now()

        def change(row: Row) -> Row:
            message = load(row)
            return dump(
                message.replace(
                    version=message.version + 1,
                    # Counted before it is sent: a message that kills every relay is given up like any other.
                    attempts=message.attempts + 1,
                    claimed_by=self.name,
                    claimed_until=now + self.policy.lease,
                )
            )

        free = claimable(now, self.policy, self.notifiers)
        where = And(Eq("id", id), Lt("attempts", self.policy.tries), free)
        claimed = self.store.claim(Query(OUTBOX, where), change)
        return load(claimed[0]) if claimed else None

    def _notifier(self, message: OutboxMessage) -> Notifier:
        return self.notifiers[message.notifier or self._default]

    def _deliver(self, message: OutboxMessage) -> Tried | None:
        notifier = self._notifier(message)
        if message.attempts >= self.policy.tries:
            # Each of its tries ended with the relay.
            held, answer = message, Delivery.refused("unanswered")
        else:
            claimed = self._claim(message.id)
            if claimed is None:
                return None
            held, answer = claimed, _ask(notifier, Message.of(claimed, self.zone))
        kept = self._settle(held, answer)
        return Tried(message=kept, notifier=notifier.key, outcome=answer.outcome, code=answer.code)

    def _settle(self, held: OutboxMessage, answer: Delivery) -> OutboxMessage:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._settle_once(held, answer)
            except StorageError as error:
                if attempt == ATTEMPTS or not (error.retryable or isinstance(error, Conflict)):
                    raise
        raise AssertionError("unreachable")

    def _settle_once(self, held: OutboxMessage, answer: Delivery) -> OutboxMessage:
        now = self._now()
        with self.store.transaction(write=True) as transaction:
            row = transaction.get(OUTBOX, held.id)
            if row is None:
                return held
            current = load(row)
            ours = current.version == held.version
            # Sent is sent, also where the lease was over: whoever claimed it since need not send it any more.
            if not ours and (answer.outcome is not Outcome.SENT or current.state == "sent"):
                return current
            share = self._jitter(held.id, held.attempts)
            after = settled(current, answer, now, self.policy, share)
            transaction.apply([Update(OUTBOX, dump(after), current.version)])
        return after


def _ask(notifier: Notifier, message: Message) -> Delivery:
    """The notifier's answer; whatever it does instead of answering is a failure, named by its kind alone."""
    try:
        answer: object = notifier.deliver(message)
    except (Exception, SystemExit) as error:
        kind = re.sub(r"[^A-Za-z0-9_]", "_", type(error).__name__)
        return Delivery.retry(f"raised.{kind}"[:64])
    return answer if isinstance(answer, Delivery) else Delivery.retry("no_delivery")
