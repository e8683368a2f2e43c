"""The relay: who is sent what, in which order, how often, and what becomes of what fails."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notify_samples import BEGIN, SHORT, Service, a_message, kept, put

import crmcore
from crmcore.errors import NotFound, PluginConflict, PluginError, StoreBusy
from crmcore.notify import POLICY, Delivery, FolderNotifier, LogNotifier, Outcome, Relay
from crmcore.notify.outbox import message_id
from crmcore.notify.policy import revived, settled, spread_by_id


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def relay(open_crm, service, clock) -> Relay:
    return Relay(open_crm().store, [service], name="relay 1", clock=clock, policy=SHORT)


def test_messages_of_a_customer_go_out_in_order_and_of_others_too(relay, service) -> None:
    later = BEGIN + timedelta(minutes=1)
    put(relay.store, a_message("b", at=BEGIN - timedelta(hours=1)), a_message("a", at=BEGIN - timedelta(hours=2)))
    put(relay.store, a_message("c", customer="c2"), a_message("d", at=later), a_message("e", customer=None))
    assert [message.id for message in relay.ready()] == ["a", "c", "e"]
    assert [one.message.id for one in relay.run()] == ["a", "c", "e", "b"]
    assert service.arrived == ["a", "c", "e", "b"]
    assert kept(relay.store, "a").state == "sent"
    assert kept(relay.store, "a").sent_at == BEGIN
    assert kept(relay.store, "d").state == "waiting"
    assert relay.step() is None


def test_one_that_fails_holds_up_its_customer_until_it_is_dead(relay, service, clock) -> None:
    put(relay.store, a_message("a"), a_message("b"), a_message("x", customer="c2"))
    service.answers = [Delivery.retry("busy"), Delivery.sent()]
    assert [(one.message.id, one.code) for one in relay.run()] == [("a", "busy"), ("x", None)]
    assert list(relay.run()) == []
    assert kept(relay.store, "a").last_error == "busy"
    clock.forward(minutes=2)
    service.answers = [RuntimeError("13800138000"), Delivery.retry("busy")]
    assert [(one.message.id, one.code) for one in relay.run()] == [("a", "raised.RuntimeError")]
    clock.forward(minutes=16)
    assert [(one.message.id, one.dead) for one in relay.run()] == [("a", True), ("b", False)]
    assert service.asked == ["a", "x", "a", "a", "b"]
    dead = kept(relay.store, "a")
    assert (dead.state, dead.attempts, dead.claimed_by) == ("dead", SHORT.tries, None)


def test_what_is_refused_is_dead_at_once(relay, service) -> None:
    put(relay.store, a_message("a"), a_message("b"))
    service.answers = [Delivery.refused("no_such_user")]
    assert [(one.outcome, one.dead) for one in relay.run()] == [(Outcome.REFUSED, True), (Outcome.SENT, False)]


def test_what_is_postponed_counts_as_no_try(relay, service, clock) -> None:
    put(relay.store, a_message("a"))
    for _ in range(10):
        service.answers = [Delivery.postponed(clock.now + timedelta(minutes=5))]
        (tried,) = relay.run()
        assert (tried.outcome, tried.message.state, tried.message.attempts) == (Outcome.POSTPONED, "waiting", 0)
        assert list(relay.run()) == []
        clock.forward(minutes=5)
    assert [one.outcome for one in relay.run()] == [Outcome.SENT]


def test_a_notifier_that_is_full_is_asked_no_more_in_this_run(relay, service, clock) -> None:
    put(relay.store, *(a_message(f"{number}", customer=None) for number in range(5)))
    service.answers = [Delivery.sent(), Delivery.postponed(clock.now + timedelta(minutes=1))]
    assert [one.outcome.value for one in relay.run()] == ["sent", "postponed"]
    assert [kept(relay.store, id).attempts for id in "01234"] == [1, 0, 0, 0, 0]
    clock.forward(minutes=1)
    assert [one.message.id for one in relay.run()] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("answer", [None, True, "sent", 200])
def test_an_answer_that_is_none_is_a_failure(relay, service, answer) -> None:
    put(relay.store, a_message("a"))
    service.answers = [answer]
    assert [(one.outcome, one.code) for one in relay.run()] == [(Outcome.RETRY, "no_delivery")]


NAMED_AS_NO_CODE_MAY_BE = type("连接失败", (Exception,), {})


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (NAMED_AS_NO_CODE_MAY_BE("x"), "raised.____"),
        (SystemExit(3), "raised.SystemExit"),
        (MemoryError(), "raised.MemoryError"),
    ],
)
def test_whatever_a_notifier_raises_the_relay_goes_on(relay, service, raised, code) -> None:
    put(relay.store, a_message("a"), a_message("b", customer="c2"))
    service.answers = [raised]
    assert [(one.outcome.value, one.code) for one in relay.run()] == [("retry", code), ("sent", None)]


def test_a_lease_keeps_others_away_until_it_is_over(relay, service, clock) -> None:
    put(relay.store, a_message("a"))
    other = Relay(relay.store, [service], name="relay 2", clock=clock, policy=SHORT)
    service.answers = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        relay.step()
    assert kept(relay.store, "a").claimed_by == "relay 1"
    clock.forward(seconds=119)
    assert other.step() is None
    clock.forward(seconds=1)
    tried = other.step()
    assert tried is not None
    assert (tried.outcome, tried.message.attempts) == (Outcome.SENT, 2)


def test_a_message_that_kills_every_relay_is_given_up(relay, service, clock) -> None:
    put(relay.store, a_message("a"), a_message("b"))
    for _ in range(SHORT.tries):
        service.answers = [KeyboardInterrupt()]
        with pytest.raises(KeyboardInterrupt):
            relay.step()
        clock.forward(hours=1)
    assert [(one.message.id, one.code) for one in relay.run()] == [("a", "unanswered"), ("b", None)]
    assert service.asked == ["a"] * SHORT.tries + ["b"]
    assert kept(relay.store, "a").attempts == SHORT.tries


def test_what_a_clock_wrote_that_was_set_back_since_binds_nobody(relay, service, clock) -> None:
    put(relay.store, a_message("a"), a_message("b", customer="c2"))
    clock.forward(days=1000)
    service.answers = [Delivery.retry("busy"), KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        list(relay.run())
    clock.now = BEGIN
    assert [one.message.id for one in relay.run()] == ["a", "b"]


def test_sent_is_sent_also_when_the_lease_was_over(relay, service, clock) -> None:
    put(relay.store, a_message("a"))
    other = Relay(relay.store, [service], name="relay 2", clock=clock, policy=SHORT)
    deliver, during = service.deliver, []

    def slow(message):
        answer = deliver(message)
        if not during:
            during.append(None)
            clock.forward(minutes=3)
            service.answers = [Delivery.retry("busy")]
            during[0] = other.step()
        return answer

    service.deliver = slow
    tried = relay.step()
    assert during[0].outcome is Outcome.RETRY
    assert tried.message.state == "sent"
    assert kept(relay.store, "a").state == "sent"


def test_a_message_goes_to_the_notifier_that_it_names(relay, service, clock) -> None:
    put(relay.store, a_message("a", notifier="mail"), a_message("b", notifier="service", customer="c2"))
    put(relay.store, a_message("c", customer="c3"))
    mail = Service()
    mail.key = "mail"
    assert [one.message.id for one in relay.run()] == ["b", "c"]
    both = Relay(relay.store, [service, mail], name="relay 2", clock=clock, policy=SHORT)
    assert [one.notifier for one in both.run()] == ["mail"]
    assert mail.arrived == ["a"]
    with pytest.raises(PluginConflict):
        Relay(relay.store, [mail, mail], name="x", clock=clock)
    with pytest.raises(ValueError, match="needs a notifier"):
        Relay(relay.store, [], name="x", clock=clock)


def test_a_message_for_a_notifier_that_is_not_there_holds_up_nobody(relay, service) -> None:
    put(relay.store, a_message("a", notifier="uninstalled"), a_message("b"), a_message("c", notifier="service"))
    assert [one.message.id for one in relay.run()] == ["b", "c"]
    assert kept(relay.store, "a").state == "waiting"


def test_a_busy_store_is_asked_again_before_a_message_is_doubled(relay, service, monkeypatch) -> None:
    put(relay.store, a_message("a"))
    settle, refused = relay._settle_once, iter([StoreBusy("busy"), StoreBusy("busy")])

    def once(*given):
        for error in refused:
            raise error
        return settle(*given)

    monkeypatch.setattr(relay, "_settle_once", once)
    assert [one.outcome for one in relay.run()] == [Outcome.SENT]
    assert service.arrived == ["a"]


def test_a_backlog_longer_than_a_round_is_sent_in_one_run(relay, service, monkeypatch) -> None:
    monkeypatch.setattr("crmcore.notify.relay.ROUND", 3)
    put(relay.store, *(a_message(f"{number:03}", customer=f"c{number % 4}") for number in range(20)))
    service.answers = [Delivery.retry("busy")]
    assert len(list(relay.run())) == 16  # the four behind the one that failed wait with it
    assert sorted(set(service.asked)) == sorted(service.asked)


def test_the_dead_are_revived(open_crm, service, clock) -> None:
    me = open_crm().acting_as("sales.east")
    put(me.crm.store, a_message("a"), a_message("b", customer="c2"))
    service.answers = [Delivery.refused("no"), Delivery.refused("no")]
    assert [one.dead for one in me.notifications.deliver(service)] == [True, True]
    assert me.notifications.facts().to_plain() == {"waiting": 0, "sent": 0, "dead": 2, "oldest_waiting": None}
    assert me.notifications.retry("a") == 1
    with pytest.raises(crmcore.CRMError, match="waiting, not dead"):
        me.notifications.retry("a")
    with pytest.raises(NotFound):
        me.notifications.retry("nowhere")
    assert me.notifications.facts().oldest_waiting == BEGIN
    assert me.notifications.retry() == 1
    assert [one.outcome for one in me.notifications.deliver(service)] == [Outcome.SENT] * 2


def test_without_a_notifier_nothing_is_claimed(open_crm) -> None:
    me = open_crm().acting_as("sales.east")
    put(me.crm.store, a_message("a"))
    with pytest.raises(PluginError, match="no notifier"):
        me.notifications.deliver()
    assert kept(me.crm.store, "a").attempts == 0


@given(
    attempts=st.integers(1, POLICY.tries),
    share=st.floats(0, 1),
    wish=st.none() | st.timedeltas(timedelta(days=-10), timedelta(days=10)),
)
def test_a_failure_is_put_off_by_the_table_and_by_what_the_service_asks(attempts, share, wish) -> None:
    message = a_message("a", attempts=attempts)
    answer = Delivery.retry("x", None if wish is None else BEGIN + wish)
    after = settled(message, answer, BEGIN, POLICY, share)
    if attempts == POLICY.tries:
        assert (after.state, after.attempts) == ("dead", attempts)
        return
    wait = after.not_before - BEGIN
    assert POLICY.delays[attempts - 1] <= wait <= POLICY.longest
    if wish is None:
        assert wait <= POLICY.delays[attempts - 1] * (1 + POLICY.spread)
    elif wish <= POLICY.longest:
        assert wait >= wish - timedelta(milliseconds=1)
    again = revived(after.replace(state="dead"), BEGIN)
    assert (again.state, again.attempts, again.not_before) == ("waiting", 0, BEGIN)


@given(st.text(max_size=40), st.integers(0, 100))
def test_the_jitter_is_a_share_and_the_same_each_time(id, attempts) -> None:
    assert 0 <= spread_by_id(id, attempts) < 1
    assert spread_by_id(id, attempts) == spread_by_id(id, attempts)


@given(st.lists(st.tuples(st.text(max_size=5), st.none() | st.text(max_size=5), st.none() | st.text(max_size=5))))
def test_ids_tell_messages_apart(told) -> None:
    told = [(notice, recipient or None, notifier or None) for notice, recipient, notifier in told]
    parts = [one for one in told if not any("\x1f" in (part or "") for part in one)]
    assert len({message_id(*one) for one in parts}) == len(set(parts))


def test_the_log_tells_nobody_s_name(relay, clock, caplog) -> None:
    relay = Relay(relay.store, [LogNotifier()], name="x", clock=clock)
    put(relay.store, a_message("a", recipient="li.ming", customer_number="C1"))
    with caplog.at_level("INFO", "crmcore.notify"):
        assert [one.outcome for one in relay.run()] == [Outcome.SENT]
    assert caplog.messages == ["plan a"]


def test_a_folder_gets_each_message_once(relay, clock, tmp_path) -> None:
    folder = tmp_path / "out" / "box"
    relay = Relay(relay.store, [FolderNotifier(folder)], name="x", clock=clock)
    put(relay.store, a_message("a", recipient="li.ming", due_at=BEGIN + timedelta(hours=1)))
    claimed = list(relay.run())
    assert [one.outcome for one in claimed] == [Outcome.SENT]
    before = [path.name for path in folder.iterdir()]
    (folder / ".a.1.part").write_text("{")
    put(relay.store, a_message("b", customer="c2"))
    (tried,) = relay.run()
    assert tried.outcome is Outcome.SENT
    assert before == ["a.json"]
    assert '"en": "Reminder: due 2023-10-09 03:00"' in (folder / "a.json").read_text("utf-8")
    file = tmp_path / "file"
    file.write_text("")
    put(relay.store, a_message("c", customer="c3"))
    broken = Relay(relay.store, [FolderNotifier(file)], name="y", clock=clock)
    assert [(one.outcome, one.code) for one in broken.run()] == [(Outcome.RETRY, "os.17")]
