"""Transactions on one file: order of writes and reads, faults, threads, forks; and every fault an error of ours."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlite_samples import EPOCH, FULL, SCHEMA, beside, everything, note, open_store, open_wal_store, thing

from crmcore.errors import (
    Conflict,
    DuplicateKey,
    QueryError,
    ReadOnly,
    StorageError,
    StoreBusy,
    StoreClosed,
    StoreCorrupt,
    StoreFull,
)
from crmcore.storage import And, Change, Delete, Eq, Insert, Query, Row, Transaction, Update
from crmcore_sqlite.errors import translate
from crmcore_sqlite.store import SqliteStore
from crmcore_sqlite.transaction import CHUNK


@pytest.fixture(params=["truncate", "wal"])
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[SqliteStore]:
    path = tmp_path / "a.db"
    with open_wal_store(path, 0.2) if request.param == "wal" else open_store(path, wait="0.2") as opened:
        yield opened


def add(store: SqliteStore, *changes: Change) -> None:
    with store.transaction(write=True) as transaction:
        transaction.apply(changes)


def many(count: int) -> list[Change]:
    return [Insert("notes", note(f"{index:05}")) for index in range(count)]


# --- order of writes and reads ---


def test_changes_of_several_kinds_and_collections_take_effect_in_their_order(store: SqliteStore) -> None:
    add(
        store,
        Insert("things", thing("a", number="1")),
        Insert("things", FULL),
        Insert("notes", note("n")),
        Update("things", thing("a", 2, number="2"), 1),
        Insert("things", thing("b", number="1")),
        Update("things", thing("a", 3, number="3"), 2),
        Delete("notes", "n", 1),
        Insert("notes", note("n", text="again")),
        Delete("things", "b", 1),
        Insert("things", thing("c", number="1")),
    )
    assert everything(store) == {
        "things": {FULL, thing("a", 3, number="3"), thing("c", number="1")},
        "notes": {note("n", text="again")},
    }


def test_what_makes_the_changes_sees_those_before(store: SqliteStore) -> None:
    with store.transaction(write=True) as transaction:

        def changes() -> Iterator[Change]:
            for index in range(5):
                assert transaction.count("notes") == index
                assert len(list(transaction.scan("notes"))) == index
                yield Insert("notes", note(str(index)))
                assert transaction.get("notes", str(index)) == note(str(index))

        transaction.apply(changes())
        assert transaction.count("notes") == 5


@pytest.mark.parametrize("count", [CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_a_long_answer_shows_one_state_while_it_is_changed(store: SqliteStore, count: int) -> None:
    add(store, *many(count))
    with store.transaction(write=True) as transaction:
        seen: list[Row] = []
        other = transaction.scan("notes")

        def changes() -> Iterator[Change]:
            for row in transaction.scan("notes"):
                seen.append(row)
                yield Update("notes", (*row[:1], 2, *row[2:]), 1)
                yield Insert("notes", note(f"new {row[0]}"))

        transaction.apply(changes())
        assert len(seen) == count
        assert {row[1] for row in seen} == {1}
        assert list(other) == seen
        assert transaction.count("notes") == 2 * count
    assert len(everything(store)["notes"]) == 2 * count


def test_a_long_answer_keeps_no_lock_when_it_is_left(store: SqliteStore) -> None:
    add(store, *many(3 * CHUNK))
    with store.transaction() as transaction:
        rows = transaction.scan("notes")
        assert next(rows) == note("00000")
    used = store.take()
    add(store, Insert("notes", note("more")))
    store.give_back(used)
    with pytest.raises(StoreClosed):
        list(rows)


def test_many_ids_come_in_the_order_asked_for(store: SqliteStore) -> None:
    add(store, *many(1500))
    ids = [f"{index:05}" for index in range(1499, -1, -1)]
    with store.transaction() as transaction:
        assert list(transaction.get_many("notes", [*ids, "none", ids[0]])) == ids
        assert transaction.get_many("notes", []) == {}
        assert list(transaction.get_many("notes", ["\ud800", "00001"])) == ["00001"]
        assert transaction.get("notes", "\ud800") is None


def test_a_sum_beyond_64_bits_is_still_a_sum(store: SqliteStore) -> None:
    add(store, *(Insert("things", thing(str(n), integer=2**63 - 1)) for n in range(3)))
    with store.transaction() as transaction:
        assert transaction.tally("things", None, ("select",), ("integer",)) == [(None, 3, 3 * (2**63 - 1))]
        assert transaction.tally("things", None, (), ("integer",)) == [(3, 3 * (2**63 - 1))]
        assert transaction.tally("things", Eq("text", "none"), (), ("integer",)) == []


# --- refusals ---


def refused(store: SqliteStore, error: type[StorageError], *changes: Change) -> StorageError:
    before = everything(store)
    with pytest.raises(error) as raised, store.transaction(write=True) as transaction:
        transaction.apply([Insert("notes", note("first")), *changes])
    assert everything(store) == before
    return raised.value


def test_a_conflict_tells_what_was_expected_and_what_is_there(store: SqliteStore) -> None:
    add(store, Insert("things", thing("a", 4)), Insert("things", thing("b")))
    for change in (
        Update("things", thing("a", 3), 2),
        Update("things", thing("a", 4), 3),
        Delete("things", "a", 2),
    ):
        error = refused(store, Conflict, Update("things", thing("b", 2), 1), change)
        expected = change.expected_version
        assert error.details == {"collection": "things", "id": "a", "expected": expected, "actual": 4}
    error = refused(store, Conflict, Delete("things", "b", 1), Update("things", thing("b", 2), 1))
    assert error.details["actual"] is None


def test_a_key_that_is_taken_is_named(store: SqliteStore) -> None:
    add(store, Insert("things", thing("a", number="1", text="secret", integer=7)))
    fresh = [Insert("things", thing(str(index))) for index in range(5)]
    for row, fields in (
        (thing("a", number="2"), ("id",)),
        (thing("b", number="1"), ("number",)),
        (thing("b", number="2", text="secret", integer=7), ("text", "integer")),
    ):
        error = refused(store, DuplicateKey, *fresh, Insert("things", row))
        assert error.details["collection"] == "things"
        assert error.details["fields"] == fields
        assert "secret" not in str(error)
        if fields != ("id",):
            refused(store, DuplicateKey, *fresh, Update("things", ("0", 2, *row[2:]), 1))


def test_none_never_takes_a_key(store: SqliteStore) -> None:
    add(store, *(Insert("things", thing(str(index), text="same")) for index in range(3)))


def test_a_failed_transaction_is_over(store: SqliteStore) -> None:
    with pytest.raises(StoreClosed, match="had failed"), store.transaction(write=True) as transaction:
        transaction.apply([Insert("notes", note("a"))])
        with pytest.raises(DuplicateKey):
            transaction.apply([Insert("notes", note("a"))])
        for use in uses(transaction):
            with pytest.raises(StoreClosed):
                use()
    assert everything(store)["notes"] == set()


def uses(transaction: Transaction) -> list[object]:
    return [
        lambda: transaction.get("notes", "a"),
        lambda: transaction.get_many("notes", ["a"]),
        lambda: transaction.scan("notes"),
        lambda: transaction.find(Query("notes")),
        lambda: transaction.tally("notes", None, ()),
        lambda: transaction.apply([]),
    ]


def test_a_fault_of_the_one_who_makes_the_changes_undoes_all(store: SqliteStore) -> None:
    class OwnError(Exception):
        pass

    def changes() -> Iterator[Change]:
        yield Insert("notes", note("a"))
        raise OwnError

    with pytest.raises(OwnError), store.transaction(write=True) as transaction:
        transaction.apply(changes())
    with pytest.raises(QueryError), store.transaction(write=True) as transaction:
        transaction.apply([Insert("notes", note("a")), Insert("nothing", note("b"))])
    assert everything(store)["notes"] == set()


def test_a_reader_may_not_write(store: SqliteStore) -> None:
    with store.transaction() as transaction, pytest.raises(ReadOnly):
        transaction.apply([Insert("notes", note("a"))])


def test_nothing_works_before_and_after(store: SqliteStore) -> None:
    early = store.transaction()
    with store.transaction() as late:
        pass
    for transaction in (early, late):
        for use in uses(transaction):
            with pytest.raises(StoreClosed):
                use()
    with pytest.raises(StoreClosed), late:
        pass


def test_a_closed_store_stays_closed(tmp_path: Path) -> None:
    store = open_store(tmp_path / "a.db")
    with store.transaction(write=True) as transaction:
        store.close()
        transaction.apply([Insert("notes", note("a"))])
    store.close()
    for use in (lambda: store.transaction().__enter__(), store.describe, store.check):
        with pytest.raises(StoreClosed):
            use()
    assert not store._idle
    with open_store(tmp_path / "a.db") as again:
        assert everything(again)["notes"] == {note("a")}


# --- faults of the database ---


def test_a_writer_that_waits_in_vain_is_told(store: SqliteStore) -> None:
    with beside(Path(store.settings.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        start = time.perf_counter()
        with pytest.raises(StoreBusy) as raised:
            add(store, Insert("notes", note("a")))
        assert 0.15 < time.perf_counter() - start < 5
        assert raised.value.retryable
        other.execute("ROLLBACK")
    add(store, Insert("notes", note("a")))


def test_a_commit_that_readers_hold_up_is_undone(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db", wait="0.05", journal="truncate") as store:
        with store.transaction() as reader:
            assert reader.count("notes") == 0
            with pytest.raises(StoreBusy):
                add(store, Insert("notes", note("a")))
            assert reader.count("notes") == 0
        assert everything(store)["notes"] == set()
        add(store, Insert("notes", note("a")))


def test_a_reader_that_meets_a_lock_is_told(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db", wait="0.05", journal="truncate") as store, beside(tmp_path / "a.db") as other:
        other.execute("BEGIN EXCLUSIVE")
        for use in (
            lambda transaction: transaction.get("notes", "a"),
            lambda transaction: transaction.get_many("notes", ["a"]),
            lambda transaction: transaction.scan("notes"),
            lambda transaction: transaction.find(Query("notes")),
            lambda transaction: transaction.count("notes"),
        ):
            with pytest.raises(StoreBusy), store.transaction() as transaction:
                use(transaction)
        for use_of_store in (store.describe, store.check):
            with pytest.raises(StoreBusy):
                use_of_store()
        other.execute("COMMIT")


def test_a_full_disk_undoes_all(store: SqliteStore) -> None:
    add(store, *many(10))
    connection = store.take()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 20}")
    store.give_back(connection)
    before = everything(store)
    with pytest.raises(StoreFull):
        add(store, *(Insert("notes", note(f"x{index}", text="x" * 3000)) for index in range(100)))
    assert everything(store) == before
    add(store, Insert("notes", note("small")))


def test_bytes_that_are_no_text_are_no_traceback_full_of_data(store: SqliteStore) -> None:
    with beside(Path(store.settings.path)) as other:
        other.execute("INSERT INTO notes VALUES ('a', 1, 'b', CAST(x'E5BCA0E4B889FF' AS TEXT))")
    with pytest.raises(StoreCorrupt) as raised, store.transaction() as transaction:
        transaction.get("notes", "a")
    error: BaseException | None = raised.value
    assert error is not None
    assert error.__cause__ is None
    assert error.__suppress_context__
    assert "联系人" not in str(error)


def test_a_value_against_the_schema_is_an_error_of_ours(store: SqliteStore) -> None:
    for row in (note("a", None), (*note("a"), "more"), note("a", text=b"bytes"), note("a", text=object())):  # type: ignore[arg-type]
        error = refused(store, StorageError, Insert("notes", row))
        assert type(error) is StorageError


@pytest.mark.parametrize("name", [name for name in dir(sqlite3) if name.startswith("SQLITE_")])
def test_every_code_of_sqlite_has_an_error(name: str) -> None:
    code = getattr(sqlite3, name)
    error = sqlite3.OperationalError("UNIQUE constraint failed: notes.id")
    error.sqlite_errorcode, error.sqlite_errorname = code, name
    found = translate(error)
    assert isinstance(found, StorageError)
    assert found.details["sqlite"] == name


# --- threads, forks, memory ---


def test_threads_share_a_store(tmp_path: Path) -> None:
    def draw(worker: int) -> list[int]:
        drawn = []
        for _ in range(15):
            with store.transaction(write=True) as transaction:
                row = transaction.get("notes", "counter")
                assert row is not None
                number = int(row[3] or 0) + 1  # type: ignore[arg-type]
                drawn.append(number)
                transaction.apply(
                    [
                        Update("notes", note("counter", version=number + 1, text=str(number)), number),
                        Insert("things", thing(f"{worker} {number}", number=f"{number}")),
                    ]
                )
            with store.transaction() as transaction:
                found = transaction.find(Query("things", And(Eq("number", str(number)), Eq("due", EPOCH)), limit=1))
                assert list(found) == []
        return drawn

    with open_store(tmp_path / "a.db", wait="30") as store:
        add(store, Insert("notes", note("counter", text="0")))
        with ThreadPoolExecutor(4) as pool:
            drawn = [number for numbers in pool.map(draw, range(4)) for number in numbers]
        assert sorted(drawn) == list(range(1, 61))
        assert len(everything(store)["things"]) == 60
        assert len(store._idle) <= 4


def test_a_reader_sees_one_state_beside_a_writer(tmp_path: Path) -> None:
    for opened in (open_store, open_wal_store):
        with opened(tmp_path / f"{opened.__name__}.db") as store:
            add(store, *many(10))
            started = threading.Event()

            def write(store: SqliteStore = store, started: threading.Event = started) -> None:
                started.set()
                add(store, Insert("notes", note("late")))

            with ThreadPoolExecutor(1) as pool:
                with store.transaction() as transaction:
                    assert transaction.count("notes") == 10
                    writing = pool.submit(write)
                    assert started.wait(5)
                    time.sleep(0.05)
                    assert transaction.count("notes") == 10
                    assert len(list(transaction.scan("notes"))) == 10
                writing.result(10)
            assert len(everything(store)["notes"]) == 11


FORKED = """
import os, sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from sqlite_samples import everything, note, open_store
from crmcore.storage import Insert
store = open_store(Path(sys.argv[1]))
parents = store.take()
store.give_back(parents)
child = os.fork()
if not child:
    with store.transaction(write=True) as transaction:
        assert transaction._connection is not parents
        transaction.apply([Insert("notes", note("child"))])
    store.close()
    os._exit(0)
_, status = os.waitpid(child, 0)
assert status == 0, status
with store.transaction(write=True) as transaction:
    assert transaction._connection is parents
    transaction.apply([Insert("notes", note("parent"))])
assert everything(store)["notes"] == {note("child"), note("parent")}
store.close()
"""

BULK = """
import resource, sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from sqlite_samples import open_store, thing
from crmcore.storage import Insert
store = open_store(Path(sys.argv[1]))
def fill(start, count):
    with store.transaction(write=True) as transaction:
        transaction.apply(Insert("things", thing(f"{n:06}", text="text " * 20, integer=n)) for n in range(start, start + count))
fill(0, 1000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
fill(1000, 50_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
with store.transaction() as transaction:
    assert sum(1 for row in transaction.scan("things")) == 51_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
store.close()
"""


def script_run(script: str, path: Path) -> str:
    """The output of a script that runs in a process of its own, without threads."""
    tests = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", script, str(path), tests, *sys.path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_connections_of_its_own(tmp_path: Path) -> None:
    script_run(FORKED, tmp_path / "a.db")


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kB there")
def test_memory_does_not_grow_with_what_is_written_or_read(tmp_path: Path) -> None:
    for kilobytes in script_run(BULK, tmp_path / "a.db").split():
        assert int(kilobytes) < 12_000


def test_the_schema_of_the_samples_is_what_sqlite_keeps(store: SqliteStore) -> None:
    assert store.schema is SCHEMA
