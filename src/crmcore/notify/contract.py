"""The notification contract: what a notifier is given, and what it may answer.

A notifier carries one message to one service. It neither retries nor waits: the relay does. ``crmcore.testing`` proves one.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from datetime import datetime, time, timedelta, tzinfo
from enum import StrEnum
from typing import Self

import attrs

from crmcore.domain import OutboxMessage
from crmcore.domain.policies import Label
from crmcore.errors import Language, language_of

_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")


@attrs.frozen(kw_only=True)
class Message:
    """What somebody is to be told, as a notifier gets it.

    ``key`` is the same at every try: a service that takes an idempotency key is given this one. ``recipient`` is a user's name,
    None where nobody in particular is told; how that user is reached is the notifier's to know. ``due_at`` is in the team's
    zone. ``attempt`` counts from 1.
    """

    key: str
    reminder: str
    label: Label
    recipient: str | None
    customer_id: str | None
    customer_number: str | None
    subject_id: str
    at: datetime
    due_at: datetime | None
    attempt: int

    @classmethod
    def of(cls, kept: OutboxMessage, zone: tzinfo) -> Self:
        """The message that a row of the outbox holds."""
        return cls(
            key=kept.id,
            reminder=kept.reminder,
            label=Label(zh=kept.label_zh, en=kept.label_en),
            recipient=kept.recipient,
            customer_id=kept.customer_id,
            customer_number=kept.customer_number,
            subject_id=kept.subject_id,
            at=kept.at.astimezone(zone),
            due_at=kept.due_at and kept.due_at.astimezone(zone),
            attempt=kept.attempts,
        )

    def text(self, language: Language = "en") -> str:
        """One line for a reader: what, of which customer by its number, until when. No name stands in it."""
        chinese = language_of(language) == "zh-CN"
        until = self.due_at and _until(self.due_at)
        parts = [self.customer_number, until and (f"截止{until}" if chinese else f"due {until}")]
        said = (",".join if chinese else ", ".join)(part for part in parts if part)
        label = self.label.text(language)
        return f"{label}{':' if chinese else ': '}{said}" if said else label


def _until(due: datetime) -> str:
    """A due time for a reader: what is late from midnight on is due the day before."""
    return f"{due:%Y-%m-%d %H:%M}" if due.time() != time() else f"{due - timedelta(days=1):%Y-%m-%d}"


class Outcome(StrEnum):
    """What became of one try."""

    SENT = "sent"
    """The service has it."""
    RETRY = "retry"
    """It failed, and may succeed later."""
    REFUSED = "refused"
    """It failed, and would fail again: no such recipient, a message that the service doesn't take."""
    POSTPONED = "postponed"
    """It was not tried, since the service takes no more for now. This counts as no attempt."""


@attrs.frozen
class Delivery:
    """A notifier's answer. Made by :meth:`sent`, :meth:`retry`, :meth:`refused`, :meth:`postponed`.

    ``code`` says why in one word of letters, digits and ``_ . : -`` (the service's error code), at most 64 of them; it is kept and
    shown, so nothing of the message may be in it. ``not_before`` is aware. Raises ValueError for anything else.
    """

    outcome: Outcome
    code: str | None = None
    not_before: datetime | None = None

    def __attrs_post_init__(self) -> None:
        if (self.code is None) != (self.outcome is Outcome.SENT):
            raise ValueError("a failure has a code, what was sent has none")
        if self.code is not None and (type(self.code) is not str or not _CODE.fullmatch(self.code)):
            raise ValueError("a code is one word of letters, digits and _ . : -")
        if self.not_before is not None and (
            self.outcome in (Outcome.SENT, Outcome.REFUSED) or self.not_before.utcoffset() is None
        ):
            raise ValueError("what is tried again is tried from an aware moment on")
        if self.outcome is Outcome.POSTPONED and self.not_before is None:
            raise ValueError("what is postponed is postponed to a moment")

    @classmethod
    def sent(cls) -> Self:
        """The service has taken the message, by its own word: a status 200 with an error code in it is a failure."""
        return cls(Outcome.SENT)

    @classmethod
    def retry(cls, code: str, not_before: datetime | None = None) -> Self:
        """It failed and may succeed later; not before a moment, where the service named one."""
        return cls(Outcome.RETRY, code, not_before)

    @classmethod
    def refused(cls, code: str) -> Self:
        """It failed for good."""
        return cls(Outcome.REFUSED, code)

    @classmethod
    def postponed(cls, not_before: datetime, code: str = "full") -> Self:
        """It was not tried: the service takes no more until then."""
        return cls(Outcome.POSTPONED, code, not_before)


class Notifier(ABC):
    """A way to tell somebody something. May be called by several threads, each with its own message."""

    key: str
    """A short name that stays: messages in the outbox name their notifier by it."""

    @abstractmethod
    def deliver(self, message: Message) -> Delivery:
        """Sends the message once, and answers when the service has answered, within a bounded time.

        Whatever it raises counts as a failure that may pass. The same message may come again, with the same key, after a
        crash.
        """
