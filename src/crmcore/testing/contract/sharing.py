"""Who shares it: isolation, two handles, threads, processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import pytest

from crmcore.errors import Conflict, DuplicateKey, StoreBusy
from crmcore.storage import Capability, Delete, Insert, Query, Store, Update, place_of
from crmcore.testing import oracle
from crmcore.testing.clause import Contract, clause
from crmcore.testing.contract.steps import add, everything, opened, pair, read, refuse, write
from crmcore.testing.harness import Harness
from crmcore.testing.kit_schema import GROUP, KEYS, VALUES, changed, group_row, keys_row, order_of, values_row
from crmcore.testing.processes import DIED, add_one, count_up, die_writing, run_children

PATIENCE = 30.0
"""Seconds until a thread that should have come back is given up."""


def _seen_beside(writer: Store, reader: Store, *changes: Insert | Update | Delete, keep: bool) -> object:
    # A reader that is made to wait sees nothing, which is as good as seeing the old state.
    seen: object = "nothing"
    try:
        with writer.transaction(write=True) as work:
            work.apply(changes)
            try:
                seen = everything(reader)
            except StoreBusy:
                seen = "nothing"
            if not keep:
                raise LookupError("changed my mind")
    except LookupError:
        pass
    return seen


class Isolation(Contract):
    """S-ISOLATION: nobody sees half of anything."""

    @clause("S-ISOLATION-01", "What isn't committed is not seen through another handle")
    def test_uncommitted_writes_are_unseen(self, harness: Harness) -> None:
        with pair(harness) as (one, other):
            add(one, VALUES, values_row("a"), values_row("b"))
            before = everything(other)
            changes = Update("values", values_row("a", 2, text="new"), 1), Delete("values", "b", 1)
            assert _seen_beside(one, other, *changes, Insert("values", values_row("c")), keep=True) in (
                "nothing",
                before,
            )
            assert set(everything(other)["values"]) == {"a", "c"}

    @clause("S-ISOLATION-02", "What was rolled back is never seen, through any handle")
    def test_a_roll_back_is_never_seen(self, harness: Harness) -> None:
        with pair(harness) as (one, other):
            add(one, VALUES, values_row("a"))
            before = everything(other)
            changes = Delete("values", "a", 1), Insert("keys", keys_row("k", number="1"))
            assert _seen_beside(one, other, *changes, keep=False) in ("nothing", before)
            assert everything(one) == everything(other) == before
            add(other, KEYS, keys_row("m", number="1"))

    @clause("S-ISOLATION-03", "A writer waits until the one before it has ended, then reads what that one wrote")
    def test_a_writer_waits_for_its_turn(self, harness: Harness) -> None:
        began, inside = threading.Event(), threading.Event()

        def second(store: Store) -> int:
            began.set()
            with store.transaction(write=True) as work:
                inside.set()
                row = work.get("group", "counter")
            assert row is not None
            return order_of(row)

        with pair(harness) as (one, other), ThreadPoolExecutor(1) as pool:
            add(one, GROUP, group_row("counter", order=1))
            with one.transaction(write=True) as work:
                waiting = pool.submit(second, other)
                assert began.wait(PATIENCE)
                assert not inside.wait(0.1), "two writers are in the store at once"
                work.apply([Update("group", group_row("counter", 2, order=2), 1)])
                assert not inside.wait(0.05), "two writers are in the store at once"
            assert waiting.result(PATIENCE) == 2

    @clause(
        "S-ISOLATION-04",
        "A read transaction sees one state from its first read to its end",
        needs=Capability.SNAPSHOT_READS,
    )
    def test_a_reader_sees_one_state(self, harness: Harness) -> None:
        rows = values_row("a"), values_row("b")
        changes = (
            Update("values", values_row("a", 2), 1),
            Delete("values", "b", 1),
            Insert("values", values_row("c")),
        )
        with opened(harness) as reader, closing((harness.impatient or harness.open)()) as writer:
            add(reader, VALUES, *rows)
            with reader.transaction() as work:
                found = work.find(Query("values", order=("id",)))
                assert next(found) == rows[0]
                try:
                    write(writer, *changes)
                    written = True
                except StoreBusy:  # a store may also keep a reader's state by letting the writer wait
                    written = False
                assert list(found) == [rows[1]]
                assert work.get("values", "a") == rows[0]
                assert work.get("values", "c") is None
                assert {row[0] for row in work.scan("values")} == {"a", "b"}
                assert work.count("values") == 2
            if not written:
                write(writer, *changes)
            assert set(everything(reader)["values"]) == {"a", "c"}

    @clause(
        "S-ISOLATION-05",
        "A writer whose turn doesn't come in time gets StoreBusy, and may try again",
        given="impatient",
    )
    def test_an_impatient_writer_is_told(self, harness: Harness) -> None:
        assert harness.impatient is not None
        with opened(harness) as store, closing(harness.impatient()) as second:
            with store.transaction(write=True) as work:
                work.apply([Insert("values", values_row("a"))])
                with pytest.raises(StoreBusy) as raised, second.transaction(write=True):
                    pytest.fail("two writers are in the store at once")
                assert raised.value.retryable
            add(second, VALUES, values_row("b"))
            assert set(everything(store)["values"]) == {"a", "b"}

    @clause(
        "S-ISOLATION-06",
        "Pages, counts and rows that are read in one transaction are of one state, whatever others write in between",
        since=(1, 1),
        needs=Capability.SNAPSHOT_READS,
    )
    def test_pages_are_of_one_state(self, harness: Harness) -> None:
        rows = [group_row(f"{number:02}", order=number % 3) for number in range(12)]
        query = Query("group", None, ("-order",), None, 4)
        ordered = oracle.answer(Query("group", None, ("-order",)), rows, GROUP)
        late: list[int] = []
        with opened(harness) as reader, closing((harness.impatient or harness.open)()) as writer:
            add(reader, GROUP, *rows)
            with reader.transaction() as work:
                found = list(work.find(query))
                for number in range(12, 16):
                    # Each would stand on a page that is still to come.
                    change = Insert("group", group_row(f"{number:02}", order=0))
                    gone = Delete("group", str(ordered[-1 - len(late)][0]), 1)
                    try:
                        write(writer, change, gone)
                    except StoreBusy:  # a store may also keep a reader's state by letting the writer wait
                        break
                    late.append(number)
                    after = place_of(found[-1], query, GROUP)
                    found += work.find(Query("group", None, query.order, after, 4))
                    assert work.count("group") == 12
                    assert work.tally("group", None, ["order"]) == [(0, 4), (1, 4), (2, 4)]
                while len(found) < len(ordered):
                    after = place_of(found[-1], query, GROUP)
                    page = list(work.find(Query("group", None, query.order, after, 4)))
                    assert page, "a page is missing"
                    found += page
                assert found == ordered
            assert len(everything(reader)["group"]) == 12

    @clause(
        "S-ISOLATION-07",
        "A reader may open, read and end while a writer is in the middle, and sees what was last committed",
        since=(1, 1),
        needs=Capability.SNAPSHOT_READS,
    )
    def test_readers_read_beside_a_writer(self, harness: Harness) -> None:
        with pair(harness) as (one, other), ThreadPoolExecutor(1) as pool:
            add(one, VALUES, values_row("a"))
            before = everything(one)
            with one.transaction(write=True) as work:
                for number in range(3):
                    work.apply([Update("values", values_row("a", number + 2, integer=number), number + 1)])
                    assert pool.submit(everything, other).result(PATIENCE) == before
            assert everything(other)["values"] == {"a": values_row("a", 4, integer=2)}


class Handles(Contract):
    """S-HANDLE: two handles on the same data are two doors of one room."""

    @clause("S-HANDLE-01", "What one handle has committed, the next transaction of another sees")
    def test_a_commit_is_seen_through_the_other(self, harness: Harness) -> None:
        with pair(harness) as (one, other):
            assert read(other, VALUES, "a") is None
            add(one, VALUES, values_row("a"))
            assert everything(other) == everything(one)
            write(other, Update("values", values_row("a", 2), 1))
            assert read(one, VALUES, "a") == values_row("a", 2)
            write(one, Delete("values", "a", 2))
            assert read(other, VALUES, "a") is None

    @clause("S-HANDLE-02", "A version that another handle has moved on raises Conflict")
    def test_versions_hold_across_handles(self, harness: Harness) -> None:
        with pair(harness) as (one, other):
            add(one, VALUES, values_row("a"))
            assert read(other, VALUES, "a") == values_row("a")
            write(one, Update("values", values_row("a", 2, text="one"), 1))
            refuse(other, Conflict, Update("values", values_row("a", 2, text="other"), 1))

    @clause("S-HANDLE-03", "Ids and unique keys are one across handles")
    def test_keys_hold_across_handles(self, harness: Harness) -> None:
        with pair(harness) as (one, other):
            assert not any(everything(other).values())
            add(one, KEYS, keys_row("a", number="1"))
            refuse(other, DuplicateKey, Insert("keys", keys_row("b", number="1")))
            refuse(other, DuplicateKey, Insert("keys", keys_row("a", number="2")))

    @clause("S-HANDLE-04", "Closing one handle leaves the others open")
    def test_handles_close_alone(self, harness: Harness) -> None:
        with opened(harness) as one:
            with opened(harness) as other:
                add(other, VALUES, values_row("a"))
            add(one, VALUES, values_row("b"))
            assert set(everything(one)["values"]) == {"a", "b"}


def _all_of(*works: Callable[[], None]) -> None:
    with ThreadPoolExecutor(len(works)) as pool:
        for done in [pool.submit(work) for work in works]:
            done.result(PATIENCE)


class Threads(Contract):
    """S-THREAD: a store may be shared by threads, each with transactions of its own."""

    @clause("S-THREAD-01", "Threads that share a store, or have handles of their own, lose no update of one another")
    def test_threads_lose_nothing(self, harness: Harness) -> None:
        drawn: list[int] = []

        def draw(store: Store) -> None:
            for _ in range(10):
                with store.transaction(write=True) as work:
                    row = work.get("group", "counter")
                    assert row is not None
                    time.sleep(0.001)  # lets another thread in, where one can get in
                    number = order_of(row) + 1
                    work.apply([Update("group", changed(GROUP, row, order=number), number)])
                drawn.append(number)

        with pair(harness) as (one, other):
            add(one, GROUP, group_row("counter", order=0))
            _all_of(*(partial(draw, store) for store in (one, one, other, other)))
            assert sorted(drawn) == list(range(1, 41))
            assert read(other, GROUP, "counter") == group_row("counter", 41, order=40)

    @clause(
        "S-THREAD-02",
        "Readers beside a writer see whole transactions and none of their parts",
        needs=Capability.SNAPSHOT_READS,
    )
    def test_readers_see_whole_transactions(self, harness: Harness) -> None:
        over = threading.Event()
        watched = [0, 0]

        def move(store: Store) -> None:
            try:
                for version in range(1, 200):
                    left = group_row("left", version + 1, order=version)
                    right = group_row("right", version + 1, order=-version)
                    with store.transaction(write=True) as work:
                        work.apply([Update("group", left, version)])
                        time.sleep(0.001)  # lets readers in, where they can get in
                        work.apply([Update("group", right, version)])
                    if min(watched) >= 20:
                        break
            finally:
                over.set()

        def watch(store: Store, place: int) -> None:
            while not over.is_set():
                with store.transaction() as work:
                    left = work.get("group", "left")
                    time.sleep(0.001)
                    right = work.get("group", "right")
                    assert left is not None
                    assert right is not None
                    assert left[1] == right[1], "half of a transaction is seen"
                watched[place] += 1

        with pair(harness) as (one, other):
            add(one, GROUP, group_row("left", order=0), group_row("right", order=0))
            _all_of(lambda: move(one), lambda: watch(one, 0), lambda: watch(other, 1))


class Processes(Contract):
    """S-PROCESS: several processes, each with a handle of its own."""

    @clause(
        "S-PROCESS-01",
        "Processes that write at once lose no update and draw no number twice",
        needs=Capability.MULTI_PROCESS,
        given="url",
    )
    def test_processes_lose_nothing(self, harness: Harness) -> None:
        times, names = 15, ("one", "two")
        with opened(harness) as store:
            add(store, GROUP, group_row("counter", order=0))
            run_children(harness.backend, str(harness.url), count_up, *[(name, times) for name in names])
            rows = everything(store)["group"]
            counter = rows.pop("counter")
            total = times * len(names)
            assert counter == group_row("counter", total + 1, order=total)
            assert sorted(map(order_of, rows.values())) == list(range(1, total + 1))
            assert add_one(store) == total + 1

    @clause(
        "S-PROCESS-02",
        "A process that dies while it writes leaves what it had committed, nothing else, and no lock",
        needs=Capability.MULTI_PROCESS,
        given="url",
    )
    def test_a_dead_process_leaves_no_trace(self, harness: Harness) -> None:
        run_children(harness.backend, str(harness.url), die_writing, (), expected=DIED)
        with opened(harness) as store:
            if Capability.DURABLE in harness.backend.capabilities:
                assert set(everything(store)["group"]) == {"committed"}
            assert "half done" not in everything(store)["group"]
            add(store, GROUP, group_row("half done"))
