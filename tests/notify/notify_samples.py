"""Messages, a service that takes them down, and a clock for the relay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from crmcore.domain import OutboxMessage
from crmcore.notify import Delivery, DeliveryPolicy, Message, Notifier
from crmcore.notify.outbox import dump, load
from crmcore.storage.contract import Insert, Store

BEGIN = datetime(2023, 10, 9, 2, 0, tzinfo=UTC)
SHORT = DeliveryPolicy(
    delays=(timedelta(minutes=1), timedelta(minutes=10)),
    spread=0.5,
    lease=timedelta(minutes=2),
    look_back=timedelta(days=7),
)


class Service(Notifier):
    """A notifier that remembers what arrived, and answers what it is told to answer."""

    key = "service"

    def __init__(self) -> None:
        self.arrived: list[str] = []
        self.asked: list[str] = []
        self.answers: list[object] = []

    def deliver(self, message: Message) -> Delivery:
        self.asked.append(message.key)
        answer = self.answers.pop(0) if self.answers else Delivery.sent()
        if isinstance(answer, BaseException):
            raise answer
        if answer == Delivery.sent():
            self.arrived.append(message.key)
        return answer  # type: ignore[return-value]


def a_message(id: str, customer: str | None = "c1", at: datetime = BEGIN, **values: object) -> OutboxMessage:
    given = {"notice_id": id, "reminder": "plan", "label_zh": "提醒", "label_en": "Reminder", "subject_id": "s"}
    return OutboxMessage(id=id, customer_id=customer, at=at, **{"not_before": at, **given, **values})  # type: ignore[arg-type]


def put(store: Store, *messages: OutboxMessage) -> None:
    with store.transaction(write=True) as work:
        work.apply(Insert("outbox", dump(message)) for message in messages)


def kept(store: Store, id: str) -> OutboxMessage:
    with store.transaction() as look:
        row = look.get("outbox", id)
    assert row is not None
    return load(row)
