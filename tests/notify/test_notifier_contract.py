"""Our notifiers pass the contract; a notifier with one seeded defect fails the clause that is there to catch it."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crmcore.notify import Delivery, FolderNotifier, LogNotifier, Message, Notifier
from crmcore.testing import NotifierContract, NotifierHarness, clauses, run_contract


class TestLog(NotifierContract):
    @pytest.fixture
    def harness(self) -> NotifierHarness:
        heard: list[str] = []

        class Listener(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                heard.append(record.getMessage())

        log = logging.getLogger("crmcore.notify")
        log.handlers[:] = [Listener()]
        log.setLevel(logging.INFO)
        return NotifierHarness(make=LogNotifier, arrived=lambda: heard)


class TestFolder(NotifierContract):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> NotifierHarness:
        folder = tmp_path / "box"

        @contextlib.contextmanager
        def down() -> Iterator[None]:
            folder.rename(tmp_path / "away") if folder.exists() else None
            folder.write_text("a file stands where the folder was")
            yield
            folder.unlink()
            (tmp_path / "away").rename(folder) if (tmp_path / "away").exists() else None

        return NotifierHarness(
            make=lambda: FolderNotifier(folder),
            arrived=lambda: [name for name in os.listdir(folder) if name.endswith(".json")] if folder.is_dir() else [],
            down=down,
            idempotent=True,
        )


class Server:
    """The other side of a chat robot."""

    def __init__(self) -> None:
        self.seen: dict[str, str] = {}
        self.doubled: list[str] = []
        self.fault: str | None = None

    def post(self, key: str, text: str) -> int:
        if self.fault == "down":
            raise ConnectionError(text)
        if self.fault == "refusing":
            return 40058
        if len(text.encode()) > 2048:
            return 40035
        if key in self.seen:
            self.doubled.append(key)
        self.seen[key] = text
        return 0

    def arrived(self) -> list[str]:
        return [*self.seen, *self.doubled]

    @contextlib.contextmanager
    def failing(self, fault: str) -> Iterator[None]:
        self.fault = fault
        yield
        self.fault = None


class Robot(Notifier):
    """A notifier that keeps the contract."""

    key = "robot"

    def __init__(self, server: Server) -> None:
        self.server = server

    def deliver(self, message: Message) -> Delivery:
        try:
            code = self.post(message)
        except ConnectionError:
            return Delivery.retry("connection")
        return self.answer(code, message)

    def post(self, message: Message) -> int:
        return 0 if message.key in self.server.seen else self.server.post(message.key, message.text("zh-CN"))

    def answer(self, code: int, message: Message) -> Delivery:
        return Delivery.sent() if code == 0 else Delivery.refused(f"errcode.{code}")


def harness_of(robot: Callable[[Server], Notifier]) -> Callable[[], NotifierHarness]:
    def harness() -> NotifierHarness:
        server = Server()
        return NotifierHarness(
            make=lambda: robot(server),
            arrived=server.arrived,
            down=lambda: server.failing("down"),
            refusing=lambda: server.failing("refusing"),
            idempotent=True,
            seconds=0.2,
        )

    return harness


class OtherKeyEachTime(Robot):
    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.key = f"robot {random.random()}"


class TakesTheStatusForTheAnswer(Robot):
    def answer(self, code: int, message: Message) -> Delivery:
        return Delivery.sent()


class SaysSentWhenItIsDown(Robot):
    def deliver(self, message: Message) -> Delivery:
        try:
            return super().deliver(message) if self.server.fault != "down" else Delivery.sent()
        except ConnectionError:
            return Delivery.sent()


class GivesUpWhenItIsDown(Robot):
    def deliver(self, message: Message) -> Delivery:
        return Delivery.refused("down") if self.server.fault == "down" else super().deliver(message)


class NeverRecovers(Robot):
    broken = False

    def deliver(self, message: Message) -> Delivery:
        self.broken = self.broken or self.server.fault == "down"
        return Delivery.retry("broken") if self.broken else super().deliver(message)


class SendsAgain(Robot):
    def post(self, message: Message) -> int:
        return self.server.post(message.key, message.text("zh-CN"))


class SendsAndFails(Robot):
    def answer(self, code: int, message: Message) -> Delivery:
        return Delivery.retry("slow") if len(message.text()) > 300 else super().answer(code, message)


class SendsNothing(Robot):
    def post(self, message: Message) -> int:
        return 0


class AnswersTrue(Robot):
    def deliver(self, message: Message) -> Delivery:
        return super().deliver(message).outcome == "sent"  # type: ignore[return-value]


class NeedsARecipient(Robot):
    def post(self, message: Message) -> int:
        return self.server.post(message.key, message.recipient + message.text("zh-CN"))  # type: ignore[operator]


class BreaksOnBraces(Robot):
    def post(self, message: Message) -> int:
        return self.server.post(message.key, message.text("zh-CN").format())


class TellsTheLog(Robot):
    def post(self, message: Message) -> int:
        logging.getLogger("robot").debug("to %s", message.recipient)
        return super().post(message)


class TellsTheCode(Robot):
    def answer(self, code: int, message: Message) -> Delivery:
        return Delivery.sent() if code == 0 else Delivery.refused(f"no_user.{message.recipient}")


class Waits(Robot):
    def post(self, message: Message) -> int:
        time.sleep(0.25)
        return super().post(message)


class SharesItsDraft(Robot):
    """What it is sending stands in the notifier itself, where another thread writes over it."""

    def post(self, message: Message) -> int:
        self.draft = message
        time.sleep(0.001)
        return self.server.post(self.draft.key, self.draft.text("zh-CN"))


@pytest.mark.parametrize(
    ("robot", "ids"),
    [
        (OtherKeyEachTime, {"N-KEY-01"}),
        (TakesTheStatusForTheAnswer, {"N-FAIL-02", "N-SEND-02"}),
        (SaysSentWhenItIsDown, {"N-FAIL-01"}),
        (GivesUpWhenItIsDown, {"N-FAIL-01"}),
        (NeverRecovers, {"N-FAIL-03"}),
        (SendsAgain, {"N-TWICE-01"}),
        (SendsAndFails, {"N-SEND-02"}),
        (SendsNothing, {"N-SEND-01"}),
        (AnswersTrue, {"N-ANSWER-01"}),
        (NeedsARecipient, {"N-ANSWER-02"}),
        (BreaksOnBraces, {"N-ANSWER-01"}),
        (TellsTheLog, {"N-SECRET-01"}),
        (TellsTheCode, {"N-SECRET-01"}),
        (Waits, {"N-TIME-01"}),
        (SharesItsDraft, {"N-THREADS-01"}),
    ],
)
def test_a_notifier_with_a_defect_fails(robot: Callable[[Server], Notifier], ids: set[str]) -> None:
    report = run_contract(harness_of(robot), NotifierContract, only=ids)
    assert set(report.failed) == ids, str(report)


def test_every_clause_is_failed_by_one_of_them() -> None:
    mark = test_a_notifier_with_a_defect_fails.pytestmark[0]  # type: ignore[attr-defined]
    caught = {id for _, ids in mark.args[1] for id in ids}
    assert set(clauses(NotifierContract)) == caught


def test_a_good_notifier_fails_nothing() -> None:
    report = run_contract(harness_of(Robot), NotifierContract)
    assert str(report).startswith("passed 12 of 12 applicable clauses (12 in all)"), str(report)


def test_clauses_that_can_not_be_tried_are_skipped_with_a_reason() -> None:
    report = run_contract(lambda: NotifierHarness(make=LogNotifier), NotifierContract)
    assert not report.failed
    assert set(report.skipped) == {
        *("N-SEND-01", "N-SEND-02", "N-FAIL-01", "N-FAIL-02", "N-FAIL-03", "N-TWICE-01", "N-THREADS-01")
    }
