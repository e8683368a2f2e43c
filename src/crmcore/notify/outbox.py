"""What stands in the outbox: the messages of a notice, those that can be sent now, and the figures of all of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import attrs

from crmcore.domain import OutboxMessage
from crmcore.notify.policy import DeliveryPolicy
from crmcore.rules.reminders import Notice
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Transaction
from crmcore.storage.evaluate import predicate
from crmcore.storage.query import And, Eq, Gt, In, IsNull, Le, Or, Query, Where
from crmcore.storage.schema import Row

OUTBOX = OutboxMessage.collection
load: Callable[[Row], OutboxMessage] = CODECS[OutboxMessage].load
dump: Callable[[OutboxMessage], Row] = CODECS[OutboxMessage].dump


def message_id(notice_id: str, recipient: str | None, notifier: str | None) -> str:
    """The id of a message: the same whenever the same is to be told the same person in the same way."""
    told = "\x1f".join((notice_id, recipient or "", notifier or ""))
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def messages_of(notice: Notice, customer_number: str | None, through: Sequence[str | None]) -> Iterator[OutboxMessage]:
    """One message per recipient and notifier; a notice that names nobody goes to nobody in particular, not nowhere."""
    for recipient in notice.to or (None,):
        for notifier in through:
            yield OutboxMessage(
                id=message_id(notice.id, recipient, notifier),
                notice_id=notice.id,
                reminder=notice.reminder.key,
                label_zh=notice.reminder.label.text("zh-CN"),
                label_en=notice.reminder.label.text("en"),
                customer_id=notice.customer_id,
                customer_number=customer_number,
                subject_id=notice.subject_id,
                due_at=notice.due_at,
                recipient=recipient,
                notifier=notifier,
                at=notice.at,
                not_before=notice.at,
            )


def claimable(now: datetime, policy: DeliveryPolicy, notifiers: Iterable[str]) -> Where:
    """Waiting, for one of these notifiers or any, to be tried by now, and claimed by nobody.

    A moment that lies further ahead than anything is ever put off was written by a clock that has been set back since; it
    binds nobody. Clocks of two machines may differ by a lease without harm.
    """
    return And(
        Eq("state", "waiting"),
        Le("at", now),
        Or(IsNull("notifier"), In("notifier", tuple(notifiers))),
        Or(Le("not_before", now), Gt("not_before", now + policy.longest)),
        Or(IsNull("claimed_until"), Le("claimed_until", now), Gt("claimed_until", now + 2 * policy.lease)),
    )


def ready(
    transaction: Transaction, now: datetime, policy: DeliveryPolicy, notifiers: Iterable[str]
) -> Iterator[OutboxMessage]:
    """The messages that can be sent now, in order: of each customer the earliest that waits, where it is claimable.

    Every other message of that customer waits behind it, so that nothing overtakes. One that is dead holds up nobody, nor does
    one that names another notifier than these: it may be gone for good.
    """
    known = frozenset(notifiers)
    is_claimable = predicate(claimable(now, policy, known), CODECS[OutboxMessage].collection)
    seen: set[str] = set()
    for row in transaction.find(Query(OUTBOX, And(Eq("state", "waiting"), Le("at", now)), ("at",))):
        message = load(row)
        if message.notifier is not None and message.notifier not in known:
            continue
        if message.customer_id is not None:
            if message.customer_id in seen:
                continue
            seen.add(message.customer_id)
        if is_claimable(row):
            yield message


@attrs.frozen(kw_only=True)
class OutboxFacts:
    """How the outbox stands: messages by state, and since when the oldest has waited past the moment that it is for."""

    waiting: int
    sent: int
    dead: int
    oldest_waiting: datetime | None

    def to_plain(self) -> dict[str, Any]:
        """As what JSON can say."""
        oldest = self.oldest_waiting.isoformat() if self.oldest_waiting else None
        return {"waiting": self.waiting, "sent": self.sent, "dead": self.dead, "oldest_waiting": oldest}


def outbox_facts(transaction: Transaction) -> OutboxFacts:
    """How the outbox stands."""
    counts = {row[0]: row[1] for row in transaction.tally(OUTBOX, None, ("state",))}
    oldest = [load(row) for row in transaction.find(Query(OUTBOX, Eq("state", "waiting"), ("at",), limit=1))]
    figures: dict[str, Any] = {state: counts.get(state, 0) for state in ("waiting", "sent", "dead")}
    return OutboxFacts(**figures, oldest_waiting=oldest[0].at if oldest else None)
