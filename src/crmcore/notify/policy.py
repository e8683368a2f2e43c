"""How long a message is tried, and how long apart: numbers in one table, decisions as pure functions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta

import attrs

from crmcore.domain import OutboxMessage
from crmcore.notify.contract import Delivery, Outcome


@attrs.frozen(kw_only=True)
class DeliveryPolicy:
    """``delays[0]`` is the wait after the first failure, and so on; after one failure more than there are delays it is dead.

    ``spread`` lengthens each wait by up to this share, so that what failed together isn't tried together again. ``lease`` is
    how long a relay has for one message: when it is over, another may take it. ``look_back`` is how far behind the last run
    notices are still looked for that came late: a conversation that was put on record days after it was held.
    """

    delays: tuple[timedelta, ...]
    spread: float
    lease: timedelta
    look_back: timedelta

    @property
    def tries(self) -> int:
        """How often a message is tried before it is dead."""
        return len(self.delays) + 1

    @property
    def longest(self) -> timedelta:
        """The longest that a message is ever put off after a failure, whatever a notifier asks for."""
        return max(self.delays) * (1 + self.spread)

    @property
    def shortest(self) -> timedelta:
        """The least that a message is put off."""
        return min(self.delays)


#: Ours: about two days, so that a weekend's end brings what a robot that was down since Saturday could not take.
POLICY = DeliveryPolicy(
    delays=(
        timedelta(minutes=1),
        timedelta(minutes=5),
        timedelta(minutes=15),
        timedelta(hours=1),
        timedelta(hours=3),
        timedelta(hours=8),
        timedelta(hours=12),
        timedelta(hours=24),
    ),
    spread=0.2,
    lease=timedelta(minutes=2),
    look_back=timedelta(days=7),
)

Jitter = Callable[[str, int], float]
"""From 0 up to 1, by the message's id and how often it was tried."""


def spread_by_id(id: str, attempts: int) -> float:
    """The same share for the same message and try, on every machine."""
    return int.from_bytes(hashlib.sha256(f"{id}:{attempts}".encode()).digest()[:4], "big") / 2**32


def settled(
    message: OutboxMessage, answer: Delivery, now: datetime, policy: DeliveryPolicy, share: float
) -> OutboxMessage:
    """The message after a try: sent, dead, or to be tried again. ``share``, from 0 to 1, is the jitter."""
    freed = {"version": message.version + 1, "claimed_by": None, "claimed_until": None, "last_error": answer.code}
    if answer.outcome is Outcome.SENT:
        return message.replace(state="sent", sent_at=now, **freed)
    if answer.outcome is Outcome.POSTPONED:
        again = max(now + policy.shortest, min(answer.not_before or now, now + policy.longest))
        return message.replace(attempts=message.attempts - 1, not_before=again, **freed)
    if answer.outcome is Outcome.REFUSED or message.attempts >= policy.tries:
        return message.replace(state="dead", **freed)
    again = now + policy.delays[message.attempts - 1] * (1 + policy.spread * share)
    asked = min(answer.not_before or again, now + policy.longest)
    return message.replace(not_before=max(again, asked), **freed)


def revived(message: OutboxMessage, now: datetime) -> OutboxMessage:
    """A dead message that is tried anew from now on, as if it had never been tried."""
    return message.replace(
        state="waiting",
        attempts=0,
        not_before=now,
        claimed_by=None,
        claimed_until=None,
        version=message.version + 1,
    )
