"""The contract of a notifier as tests, and what an integrator tells the kit about one.

No clause needs the network: the integrator puts something in the service's place, which remembers what arrived and can be
made to fail.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crmcore.domain.policies import Label
from crmcore.notify import Delivery, Message, Notifier, Outcome
from crmcore.testing.clause import Contract, clause
from crmcore.testing.difficult import TEXTS

HOW_TO = """this contract needs to know your notifier: override the fixture, in a class whose name begins with Test,

    class TestMyNotifier(NotifierContract):
        @pytest.fixture
        def harness(self):
            server = MyFakeServer()
            return NotifierHarness(make=lambda: MyNotifier(server.url), arrived=lambda: server.keys)"""

_NOON = datetime(2026, 11, 30, 4, 0, tzinfo=UTC)


@attrs.define(kw_only=True)
class NotifierHarness:
    """A notifier and the other side of it.

    ``make`` gives the notifier, set up the same each time. ``arrived`` is what reached the service since the harness was made:
    one entry per message that its readers see, unlike those of other messages. ``down`` is a block in which the service can't be reached;
    ``refusing`` one in which it answers, and says in its answer that it took nothing (a robot's status 200 with an error code).
    ``idempotent`` says that a message which comes twice is seen once. A notifier may take ``seconds`` per message.
    ``recipient`` is one that it can reach.
    """

    make: Callable[[], Notifier]
    arrived: Callable[[], Sequence[object]] | None = None
    down: Callable[[], AbstractContextManager[object]] | None = None
    refusing: Callable[[], AbstractContextManager[object]] | None = None
    idempotent: bool | None = None
    seconds: float = 5.0
    recipient: str = "li.ming"
    examples: int = 25

    def settings(self) -> settings:
        """For the random clauses."""
        return settings(max_examples=self.examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def a_message(number: int = 1, **values: object) -> Message:
    """A message as the relay hands one over."""
    usual: dict[str, object] = {
        "key": f"{number:032x}",
        "reminder": "planned_follow_up",
        "label": Label(zh="跟进前提醒", en="Planned follow-up ahead"),
        "recipient": "li.ming",
        "customer_id": "01a222fc-a1d0-7000-8799-631c0141eb1c",
        "customer_number": "C20261130001",
        "subject_id": "01a222fc-a1d0-7000-8799-631c0141eb1d",
        "at": _NOON,
        "due_at": _NOON + timedelta(hours=1),
        "attempt": 1,
    }
    return Message(**{**usual, **values})  # type: ignore[arg-type]


def messages(recipient: str) -> st.SearchStrategy[Message]:
    """Messages as they can be: nobody in particular, no customer, no due time, texts that services have been seen to spoil."""
    words = st.sampled_from(TEXTS) | st.sampled_from(("客户" * 2_000, "x" * 5_000, "😀" * 1_500))
    return st.builds(
        a_message,
        st.integers(0, 2**64),
        label=st.builds(Label, zh=words, en=words),
        recipient=st.none() | st.just(recipient),
        customer_number=st.none() | words,
        due_at=st.none() | st.just(_NOON),
        attempt=st.integers(1, 9),
    )


def _answer(notifier: Notifier, message: Message) -> Delivery:
    answer: object = notifier.deliver(message)
    assert isinstance(answer, Delivery), f"the answer is a Delivery, not {type(answer).__name__}"
    return answer


def _arrived(harness: NotifierHarness) -> int:
    assert harness.arrived is not None
    return len(harness.arrived())


def _try_messages(harness: NotifierHarness, hold: Callable[[Message], object]) -> None:
    """One message with each difficult text in it, then any."""
    for number, words in enumerate(TEXTS):
        label = Label(zh=words, en=words)
        hold(a_message(number, label=label, customer_number=words, recipient=harness.recipient))

    @harness.settings()
    @given(messages(harness.recipient))
    def hold_any(message: Message) -> None:
        hold(message)

    hold_any()


class NotifierContract(Contract):
    """What every notifier promises. Subclass it and give it a ``harness``; the clauses are never overridden silently."""

    @pytest.fixture
    def harness(self) -> NotifierHarness:
        """The notifier to be tried."""
        raise NotImplementedError(HOW_TO)

    @clause("N-KEY-01", "The key is a short word, and the same of every notifier that is made alike")
    def test_the_key_stays(self, harness: NotifierHarness) -> None:
        keys = {harness.make().key for _ in range(3)}
        assert len(keys) == 1
        (key,) = keys
        assert isinstance(key, str)
        assert key.isprintable()
        assert 0 < len(key.strip()) == len(key) <= 64

    @clause("N-SEND-01", "What is answered as sent has arrived, once", given="arrived")
    def test_what_is_sent_has_arrived(self, harness: NotifierHarness) -> None:
        notifier = harness.make()
        for number in range(1, 4):
            answer = _answer(notifier, a_message(number, recipient=harness.recipient))
            assert answer.outcome is Outcome.SENT, answer
            assert _arrived(harness) == number

    @clause("N-SEND-02", "Nothing that was not answered as sent has arrived", given="arrived")
    def test_only_what_is_sent_has_arrived(self, harness: NotifierHarness) -> None:
        notifier, keys = harness.make(), set[str]()

        def hold(message: Message) -> None:
            if message.key in keys:
                return
            keys.add(message.key)
            before = _arrived(harness)
            answer = _answer(notifier, message)
            assert _arrived(harness) - before == (answer.outcome is Outcome.SENT), answer

        _try_messages(harness, hold)

    @clause("N-ANSWER-01", "Every message gets an answer that is a Delivery, whatever stands in it")
    def test_every_message_is_answered(self, harness: NotifierHarness) -> None:
        notifier = harness.make()
        _try_messages(harness, lambda message: _answer(notifier, message))

    @clause("N-ANSWER-02", "A message to nobody in particular, about no customer and due at no time is answered")
    def test_a_bare_message_is_answered(self, harness: NotifierHarness) -> None:
        bare = a_message(recipient=None, customer_id=None, customer_number=None, due_at=None)
        _answer(harness.make(), bare)

    @clause(
        "N-FAIL-01", "Where the service can't be reached, it is to be tried again, or the notifier raises", given="down"
    )
    def test_a_service_that_is_down(self, harness: NotifierHarness) -> None:
        assert harness.down is not None
        notifier = harness.make()
        before = _arrived(harness) if harness.arrived else 0
        with harness.down():
            try:
                answer = _answer(notifier, a_message(recipient=harness.recipient))
            except AssertionError:
                raise
            except Exception:
                answer = Delivery.retry("raised")
        assert answer.outcome is Outcome.RETRY, answer
        if harness.arrived:
            assert _arrived(harness) == before

    @clause("N-FAIL-02", "What the service says it did not take is not answered as sent", given="refusing")
    def test_a_service_that_refuses(self, harness: NotifierHarness) -> None:
        assert harness.refusing is not None
        with harness.refusing():
            answer = _answer(harness.make(), a_message(recipient=harness.recipient))
        assert answer.outcome is not Outcome.SENT

    @clause("N-FAIL-03", "After a failure the same notifier sends the same message", given="down")
    def test_it_recovers(self, harness: NotifierHarness) -> None:
        assert harness.down is not None
        notifier, message = harness.make(), a_message(recipient=harness.recipient)
        with harness.down():
            try:
                notifier.deliver(message)
            except Exception:
                answer = None
        answer = _answer(notifier, attrs.evolve(message, attempt=2))
        assert answer.outcome is Outcome.SENT, answer

    @clause("N-TWICE-01", "A message that comes twice is seen once", given="idempotent")
    def test_a_message_that_comes_twice(self, harness: NotifierHarness) -> None:
        assert harness.idempotent
        message = a_message(recipient=harness.recipient)
        answers = [
            _answer(harness.make(), message),
            _answer(harness.make(), attrs.evolve(message, attempt=2)),
        ]
        assert [answer.outcome for answer in answers] == [Outcome.SENT] * 2
        if harness.arrived:
            assert _arrived(harness) == 1

    @clause("N-SECRET-01", "Neither a code nor the log holds anything of a message but its key and its reminder")
    def test_nothing_is_told_on(self, harness: NotifierHarness) -> None:
        told = a_message(
            label=Label(zh="金丝雀一", en="canary-one"), customer_number="canary-two", recipient="canary-three"
        )
        heard: list[str] = []

        class Listener(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                heard.append(record.getMessage())

        listener, root = Listener(), logging.getLogger()
        level = root.level
        root.addHandler(listener)
        root.setLevel(logging.DEBUG)
        try:
            codes = [self._code(harness, told)]
            for trouble in (harness.down, harness.refusing):
                if trouble is not None:
                    with trouble():
                        codes.append(self._code(harness, attrs.evolve(told, key=f"{len(codes):032x}")))
        finally:
            root.setLevel(level)
            root.removeHandler(listener)
        for said in (*heard, *codes):
            assert "canary" not in said
            assert "金丝雀" not in said

    @staticmethod
    def _code(harness: NotifierHarness, message: Message) -> str:
        try:
            return _answer(harness.make(), message).code or ""
        except AssertionError:
            raise
        except Exception as error:
            return type(error).__name__

    @clause("N-TIME-01", "It answers soon, and waits for nothing but the service")
    def test_it_answers_soon(self, harness: NotifierHarness) -> None:
        notifier = harness.make()
        started = time.monotonic()
        for number in range(3):
            _answer(notifier, a_message(number, recipient=harness.recipient))
        assert time.monotonic() - started <= 3 * harness.seconds

    @clause("N-THREADS-01", "Several threads may send through one notifier at once", given="arrived")
    def test_threads_share_it(self, harness: NotifierHarness) -> None:
        notifier = harness.make()
        told = [a_message(number, recipient=harness.recipient, customer_number=f"C{number}") for number in range(24)]
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(lambda message: _answer(notifier, message), told))
        assert harness.arrived is not None
        sent = sum(answer.outcome is Outcome.SENT for answer in answers)
        assert 0 < sent == _arrived(harness) == len(set(map(repr, harness.arrived())))
