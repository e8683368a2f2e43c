"""Stores that fail on purpose, and what the library makes of them: nothing half done, nothing done twice."""

import itertools
from collections.abc import Callable
from datetime import datetime

import pytest

import crmcore
from crmcore.domain import Customer, Event
from crmcore.errors import DuplicateCustomer, StorageError, StoreBusy, StoreClosed, StoreFull, StoreUnavailable
from crmcore.plugins import open_store
from crmcore.storage import Insert, Query, Store
from crmcore.storage.codec import CODECS, SCHEMA
from crmcore.storage.memory import MemoryBackend, MemoryData, MemoryStore
from crmcore.testing import SCHEMA as KIT
from crmcore.testing import (
    FaultPlan,
    FaultyStore,
    Harness,
    Moment,
    ObservedStore,
    SlowStore,
    at_call,
    by_chance,
    run_contract,
)
from crmcore.testing.kit_schema import changed, group_row, values_row
from crmcore.testing.observing import Call, When


def nothing(moment: Moment) -> None:
    """No fault."""


def kit_store() -> MemoryStore:
    return MemoryStore(MemoryData(KIT))


def everything(store: Store) -> dict[str, list[object]]:
    with store.transaction() as work:
        return {name: sorted(work.scan(name)) for name in store.schema.collections}


# The wrappers themselves.


def test_a_wrapped_store_keeps_the_contract() -> None:
    def harness() -> Harness:
        data = MemoryData(KIT)
        return Harness(
            backend=MemoryBackend(),
            open=lambda: ObservedStore(MemoryStore(data), nothing),
            impatient=lambda: FaultyStore(MemoryStore(data, wait_seconds=0.05), nothing),
            examples=2,
            steps=5,
            many=100,
        )

    report = run_contract(harness)
    assert not report.failed, str(report)


def test_every_call_is_told_before_and_after() -> None:
    told: list[str] = []
    store = ObservedStore(kit_store(), lambda moment: told.append(str(moment)))
    with store.transaction(write=True) as work:
        work.apply([Insert("group", group_row("a"))])
        assert work.count("group") == 1
    store.claim(Query("group"), lambda row: changed(KIT.collections["group"], row))
    calls = ["begin (call 1)", "apply (call 2)", "read (call 3)", "commit (call 4)", "claim (call 5)"]
    assert told == [
        "before begin (call 1)",
        "after begin (call 1)",
        *[f"{when} {call}" for call in calls[1:] for when in ("before", "after")],
    ]


@pytest.mark.parametrize("call", ["begin", "apply", "commit", "claim"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_fault_leaves_all_or_nothing(call: str, when: str) -> None:
    inner = kit_store()
    store = FaultyStore(inner, at_call(1, StoreFull("full"), call=call, when=when))  # type: ignore[arg-type]
    before = everything(inner)
    with pytest.raises(StoreFull) as raised:
        with store.transaction(write=True) as work:
            work.apply([Insert("group", group_row("a")), Insert("values", values_row("a"))])
        store.claim(Query("group"), lambda row: changed(KIT.collections["group"], row))
    assert raised.value.__notes__[0].startswith(f"made to fail {when} {call} (call ")
    assert [moment.call for moment, _ in store.raised] == [call]
    kept = call == "claim" or (call, when) == ("commit", "after")
    assert (everything(inner) != before) == kept
    versions = [row[1] for row in everything(inner)["group"]]  # type: ignore[index]
    assert versions == ([2] if (call, when) == ("claim", "after") else [1] * kept)


def test_a_fault_that_is_swallowed_is_still_no_success() -> None:
    inner = kit_store()
    store = FaultyStore(inner, at_call(1, StoreUnavailable("gone"), call="apply", when="after"))
    with pytest.raises(StoreClosed), store.transaction(write=True) as work:
        with pytest.raises(StoreUnavailable):
            work.apply([Insert("group", group_row("a"))])
        with pytest.raises(StoreClosed):
            work.get("group", "a")
    assert not any(everything(inner).values())


def test_a_seed_is_a_run() -> None:
    def run(seed: int) -> list[tuple[Moment, type[StorageError]]]:
        store = FaultyStore(kit_store(), by_chance(seed, 0.2))
        for number in range(40):
            try:
                with store.transaction(write=True) as work:
                    work.apply([Insert("group", group_row(str(number)))])
            except StorageError as error:
                assert f"seed {seed}," in error.__notes__[0]
        return [(moment, type(error)) for moment, error in store.raised]

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert {moment.when for moment, _ in run(1)} == {"before", "after"}
    assert all(not error.retryable for moment, error in run(1) + run(2) if str(moment).startswith("after commit"))


def test_a_slow_store_waits_at_each_call() -> None:
    waited: list[float] = []
    store = SlowStore(kit_store(), 0.25, sleep=waited.append)
    with store.transaction(write=True) as work:
        work.apply([Insert("group", group_row("a"))])
    assert waited == [0.25] * 3
    waited.clear()
    store = SlowStore(
        kit_store(), lambda moment: 2.0 if str(moment).startswith("after commit") else 0.0, sleep=waited.append
    )
    with store.transaction(write=True) as work:
        work.apply([Insert("group", group_row("a"))])
    assert waited == [2.0]


# What the library makes of them.

Use = Callable[[crmcore.Session], object]
Clock = Callable[[], datetime]


def register(me: crmcore.Session) -> object:
    return me.customers.register(name="示例科技有限公司", kind="enterprise", industry="制造业")


def change(me: crmcore.Session) -> object:
    return me.customers.update("202310001", industry="零售业")


def follow_up(me: crmcore.Session) -> object:
    return me.follow_ups.log("202310001", method="phone", summary="谈了价格", result="progressing")


USES = [register, change, follow_up]


def begun(clock: Clock, plan: FaultPlan = nothing) -> tuple[Store, FaultyStore, crmcore.Session]:
    """A customer in a store that is sound until its plan is put in; clock, ids and salts are the same each time."""
    counter = itertools.count(1)
    inner = open_store("memory:", SCHEMA)
    store = FaultyStore(inner, nothing)
    crm = crmcore.open(store, "marketing", clock=clock, ids=lambda: f"00000000-0000-7000-8000-{next(counter):012}")
    crm.new_salt = lambda: f"{next(counter):032}"
    me = crm.acting_as("sales.east")
    me.customers.register(name="另一家公司")
    store.plan = plan
    return inner, store, me


def moments_of(use: Use, clock: Clock) -> tuple[int, dict[str, list[object]], dict[str, list[object]]]:
    """How many calls a use makes, and the store before and after it."""
    calls: set[int] = set()
    inner, store, me = begun(clock)
    before = everything(inner)
    store.plan = lambda moment: calls.add(moment.number)  # type: ignore[func-returns-value]
    use(me)
    return len(calls), before, everything(inner)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_use_that_fails_anywhere_is_whole_or_nothing(use: Use, when: When, clock: Clock) -> None:
    calls, before, after = moments_of(use, clock)
    assert before != after
    kept = 0
    for number in range(1, calls + 1):
        inner, store, me = begun(clock, at_call(number, StoreUnavailable("gone"), when=when))
        with pytest.raises(StoreUnavailable):
            use(me)
        (moment, _), now = store.raised[0], everything(inner)
        committed = (moment.call, moment.when) == ("commit", "after") or moment.number > commit_of(use, clock)
        assert now == (after if committed else before), str(moment)
        kept += committed
    assert kept >= (when == "after")


def commit_of(use: Use, clock: Clock) -> int:
    """The number of the call by which a use is committed."""
    found: list[int] = []
    _, store, me = begun(clock)
    store.plan = lambda moment: found.append(moment.number) if moment.call == "commit" else None  # type: ignore[func-returns-value]
    use(me)
    return found[0]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("call", ["begin", "apply", "commit"])
def test_a_store_that_is_busy_once_is_tried_again(use: Use, call: Call, clock: Clock) -> None:
    _, _, after = moments_of(use, clock)
    inner, store, me = begun(clock, at_call(1, StoreBusy("busy"), call=call))
    use(me)
    assert len(store.raised) == 1
    sizes = {name: len(rows) for name, rows in everything(inner).items()}
    assert sizes == {name: len(rows) for name, rows in after.items()}


def test_a_registration_whose_acknowledgement_was_lost_is_found_and_not_made_twice(clock: Clock) -> None:
    _, _, me = begun(clock, at_call(1, StoreUnavailable("gone"), call="commit", when="after"))
    with pytest.raises(StoreUnavailable):
        register(me)
    assert me.customers.count() == 2
    with pytest.raises(DuplicateCustomer):
        register(me)
    assert me.customers.count() == 2


@pytest.mark.parametrize("seed", range(5))
def test_a_store_that_fails_by_chance_holds_whole_customers_only(seed: int, clock: Clock) -> None:
    inner, store, me = begun(clock)
    told: set[str] = set()
    store.plan = by_chance(seed, 0.03)
    for number in range(40):
        try:
            told.add(me.customers.register(name=f"客户{number}").number)
        except StorageError as error:
            assert "seed" in error.__notes__[0]
    store.plan = nothing
    assert store.raised, "nothing failed"
    with inner.transaction() as work:
        customers = {row[0]: CODECS[Customer].load(row) for row in work.scan("customers")}
        events = [CODECS[Event].load(row) for row in work.scan("events")]
    numbers = sorted(customer.number for customer in customers.values())
    assert told <= set(numbers)
    assert numbers == [f"2023100{place:02}" for place in range(1, len(numbers) + 1)], "a number twice, or a gap"
    registered = [event.subject_id for event in events if event.action == "customer.registered"]
    assert sorted(registered) == sorted(customers), "a customer without its event, or an event without its customer"
