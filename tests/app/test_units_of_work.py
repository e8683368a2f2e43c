"""One unit of work: tried again a bounded number of times, all or nothing, in somebody's name."""

from __future__ import annotations

import datetime
import threading
from contextlib import contextmanager

import pytest

import crmcore
from crmcore.domain import Money
from crmcore.errors import DomainError, Invalid, PlaybookError, StoreBusy, StoreClosed
from crmcore.plugins import open_store
from crmcore.storage.codec import SCHEMA
from crmcore.storage.contract import Store


class BusyAtFirst(Store):
    """A real store whose writers are turned away a number of times."""

    def __init__(self, store: Store) -> None:
        self.store, self.schema, self.refusals, self.tries = store, store.schema, 0, 0

    @contextmanager
    def transaction(self, *, write: bool = False):
        if write:
            self.tries += 1
            if self.refusals:
                self.refusals -= 1
                raise StoreBusy("busy")
        with self.store.transaction(write=write) as transaction:
            yield transaction

    def close(self) -> None:
        self.store.close()


@pytest.fixture
def busy():
    return BusyAtFirst(open_store("memory:", SCHEMA))


@pytest.mark.parametrize(("refusals", "tries"), [(0, 1), (2, 3)])
def test_a_busy_store_is_tried_again(busy, refusals, tries):
    me = crmcore.open(busy).acting_as("sales.east")
    busy.refusals, busy.tries = refusals, 0
    assert me.customers.register(name="示例").number
    assert busy.tries == tries
    assert me.customers.count() == 1


def test_a_store_that_stays_busy_is_an_error_that_says_it_may_be_tried_again(busy):
    me = crmcore.open(busy).acting_as("sales.east")
    busy.refusals, busy.tries = 99, 0
    with pytest.raises(StoreBusy) as caught:
        me.customers.register(name="示例")
    assert caught.value.retryable
    assert busy.tries == 3
    busy.refusals = 0
    assert me.customers.count() == 0


def test_nobody_acts_without_a_name(me):
    with pytest.raises(DomainError):
        me.crm.acting_as(" ")


def test_after_closing_nothing_goes(me):
    me.crm.close()
    me.crm.close()
    with pytest.raises(StoreClosed):
        me.customers.count()
    with pytest.raises(StoreClosed):
        me.customers.register(name="示例", industry="x")


def test_an_order_number_is_used_once(me):
    numbers = []
    for name in ("甲", "乙"):
        customer = me.customers.register(name=name, industry="x")
        deal = me.opportunities.open(name=name, customer=customer, expected_amount=Money(100))
        for stage in ("意向", "方案", "谈判"):
            deal = me.opportunities.move(deal, stage)
        numbers.append(deal)
    me.opportunities.win(numbers[0], order_number="D-1")
    with pytest.raises(Invalid) as caught:
        me.opportunities.win(numbers[1], order_number="D-1")
    assert [(issue.code, issue.field) for issue in caught.value.issues] == [("duplicate_number", "order.number")]
    assert me.opportunities.get(numbers[1]).outcome == "open"


def test_threads_share_one_crm(me):
    numbers: list[str] = []

    def register(name: str) -> None:
        for serial in range(20):
            numbers.append(me.customers.register(name=f"{name} {serial}", industry="x").number)

    threads = [threading.Thread(target=register, args=(f"客户{one}",)) for one in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == [f"202310{serial:03}" for serial in range(1, 81)]


def test_the_first_opening_settles_the_playbook(tmp_path):
    url = f"sqlite:///{tmp_path}/crm.db"
    with crmcore.open(url, "marketing") as crm:
        assert crm.playbook.key == "marketing"
    with crmcore.open(url) as crm:
        assert crm.playbook.key == "marketing"
    with pytest.raises(PlaybookError, match="kept under marketing"):
        crmcore.open(url, "standard")
    with crmcore.open(url, "standard", switch_playbook=True) as crm:
        assert crm.playbook.key == "standard"
    with crmcore.open(url) as crm:
        assert crm.playbook.key == "standard"


def test_a_playbook_s_path_holds_from_every_folder(tmp_path, monkeypatch):
    (tmp_path / "ours.toml").write_text('extends = "marketing"\nkey = "ours"\n', "utf-8")
    url = f"sqlite:///{tmp_path}/crm.db"
    monkeypatch.chdir(tmp_path)
    crmcore.open(url, "ours.toml").close()
    monkeypatch.chdir("/")
    with crmcore.open(url) as crm:
        assert crm.playbook.key == "ours"


@pytest.mark.parametrize(
    ("gives", "code", "told"),
    [
        (datetime.datetime(2023, 10, 9), "naive_time", "no time zone"),
        (datetime.date(2023, 10, 9), "bad_type", "must be a date and time"),
        (None, "bad_type", "must be a date and time"),
        (datetime.datetime.max.replace(tzinfo=datetime.UTC), "out_of_range", "outside the years 1900 to 9000"),
        (datetime.datetime(1890, 1, 1, tzinfo=datetime.UTC), "out_of_range", "outside the years 1900 to 9000"),
    ],
)
def test_a_clock_that_gives_no_usable_moment_is_told_what_is_wrong(open_crm, gives, code, told):
    moments = iter([datetime.datetime(2023, 10, 9, tzinfo=datetime.UTC)])
    crm = open_crm(clock=lambda: next(moments, gives))
    with pytest.raises(Invalid, match=told) as caught:
        crm.acting_as("sales.east").customers.register(name="示例科技有限公司")
    assert [(issue.code, issue.field) for issue in caught.value.issues] == [(code, "clock")]


def test_a_unit_of_work_that_waited_for_its_turn_is_later_than_the_one_it_waited_for(clock):
    store = open_store("memory:", SCHEMA)
    crm = crmcore.open(store, clock=clock)
    me, began = crm.acting_as("sales.east"), clock()
    made = me.customers.register(name="示例")
    with store.transaction(write=True):
        waiting = threading.Thread(target=lambda: me.customers.update(made.number, remarks="later"))
        waiting.start()
        waiting.join(0.1)
        assert waiting.is_alive()
        clock.forward(seconds=1)
    waiting.join()
    assert me.customers.get(made.number).updated_at == began + datetime.timedelta(seconds=1)
