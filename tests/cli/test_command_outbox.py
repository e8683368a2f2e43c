"""`crmcore remind --enqueue` and `crmcore outbox`: put in, list, deliver, try again."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

import crmcore
from crmcore.cli import sending
from crmcore.errors import StoreBusy
from crmcore.notify import Delivery, Notifier, Relay
from crmcore.plugins import Installed


@pytest.fixture(autouse=True)
def in_the_store(store, monkeypatch) -> None:
    monkeypatch.setenv("CRMCORE_STORE", store)
    with crmcore.open(store) as crm:
        me = crm.acting_as("sales.east")
        me.plans.add(me.customers.find().items[0], due_on=crm.today(), goal="报价")


def put_in(command) -> dict:
    done = command("remind", "--enqueue", "--json")
    assert (done.code, done.err) == (0, "")
    return done.json


def test_notices_are_put_in_once_and_sent_once(command, tmp_path) -> None:
    first = put_in(command)
    assert first["messages"] >= 1
    assert put_in(command)["messages"] == 0
    said = command("remind", "--enqueue")
    assert (said.code, said.out) == (0, "")
    assert "0 new notices put into the outbox" in said.err
    waiting = command("outbox", "list", "--json").json
    assert len(waiting) == first["messages"]
    rehearsed = command("outbox", "deliver", "--folder", "box", "--dry-run")
    assert rehearsed.code == 0
    assert "nothing was sent" in rehearsed.err
    assert not (tmp_path / "box").exists()
    sent = command("outbox", "deliver", "--folder", "box", "--json").json
    assert {one["state"] for one in sent} == {"sent"}
    assert {one["notifier"] for one in sent} == {"folder"}
    files = {path.stem: json.loads(path.read_text("utf-8")) for path in (tmp_path / "box").iterdir()}
    assert set(files) == {one["id"] for one in waiting}
    assert "no such messages" in command("outbox", "deliver", "--folder", "box").err
    assert command("doctor", "--json").json["outbox"]["sent"] == len(waiting)


class Refusing(Notifier):
    key = "refusing"

    def deliver(self, message):
        return Delivery.refused("errcode.40058")


class Bringing:
    @crmcore.hookimpl
    def crm_notifiers(self):
        return [Refusing(), "robot"]


@pytest.fixture
def plugin(monkeypatch) -> None:
    monkeypatch.setattr("crmcore.cli.shell.installed", lambda: Installed((Bringing(),), ()))


def test_what_died_is_told_listed_and_tried_again(command, plugin) -> None:
    count = put_in(command)["messages"]
    died = command("outbox", "deliver")
    assert died.code == 1
    assert "given up" in died.out
    assert "errcode.40058" in died.out
    assert "a plugin was left out: Bringing: str is no Notifier" in died.err
    dead = command("outbox", "list", "--state", "dead", "--json").json
    assert len(dead) == count
    assert "已放弃" in command("outbox", "list", "--state", "dead", "--language", "zh-CN").out
    assert command("outbox", "retry", dead[0]["id"], "--json").json == {"revived": 1}
    assert f"{count - 1} messages will be tried again" in command("outbox", "retry").err
    assert command("outbox", "retry", "nowhere").code == 1


def test_without_a_notifier_it_says_so(command) -> None:
    put_in(command)
    told = command("outbox", "deliver")
    assert (told.code, told.out) == (1, "")
    assert "error [plugin]: there is no notifier" in told.err


def test_it_stays_until_it_is_interrupted_and_a_busy_store_does_not_end_it(command, monkeypatch) -> None:
    put_in(command)
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(sending.time, "sleep", sleep)
    run, busy = Relay.run, iter([StoreBusy("another writer")])

    def once(self):
        for error in busy:
            raise error
        return run(self)

    monkeypatch.setattr(Relay, "run", once)
    told = command("outbox", "deliver", "--folder", "box", "--every", "5")
    assert told.code == 130
    assert slept == [5, 5, 5]
    assert "another writer" in told.err
    assert told.out.count("sent") >= 1
    assert command("outbox", "deliver", "--every", "5", "--json").code == 2


def test_since_and_until_are_days(command) -> None:
    today = datetime.now(ZoneInfo("Asia/Shanghai")).date()
    until = ("--until", str(today))
    assert command("remind", "--enqueue", "--since", "2020-01-01", *until, "--json").json["notices"] > 1
    ahead = command("remind", "--enqueue", "--until", str(today + timedelta(days=2)))
    assert (ahead.code, ahead.out) == (2, "")
    assert "--until can't lie ahead" in ahead.err
    assert command("remind", "--enqueue", "--since", "2999-01-01", "--until", "2020-01-01").code == 2
