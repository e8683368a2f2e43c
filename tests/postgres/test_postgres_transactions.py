"""Transactions: what goes wrong in them, and what comes back on its feet."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from postgres_samples import FULL, SCHEMA, everything, open_store, thing
from postgres_server import Server, beside, with_options

from crmcore.errors import (
    Conflict,
    DuplicateKey,
    StorageError,
    StoreBusy,
    StoreClosed,
    StoreCorrupt,
    StoreFull,
    StoreUnavailable,
)
from crmcore.storage import Delete, Eq, Gt, In, Insert, Lt, Query, Row, Update
from crmcore_postgres.connection import PART, Link
from crmcore_postgres.errors import translate
from crmcore_postgres.store import PostgresStore
from crmcore_postgres.transaction import CHUNK, COPY_FROM

Urls = Callable[..., str]

DIFFICULT = ("\\", "\\N", "\\.", "a\tb", "a\nb", "\r", "a\\tb", "\x01\x02", "'", '"', "{}", "NULL", "😀", "\ue000")


def notes(many: int, text: str | None = None) -> Iterator[Insert]:
    return (Insert("notes", (f"{number:07}", 1, text)) for number in range(many))


@pytest.fixture
def store(postgres_url: Urls) -> Iterator[PostgresStore]:
    with open_store(postgres_url()) as store:
        yield store


@pytest.mark.parametrize("many", [1, COPY_FROM - 1, COPY_FROM, CHUNK, CHUNK + 1, 2 * CHUNK + COPY_FROM])
def test_runs_of_any_length_go_in(store: PostgresStore, many: int) -> None:
    with store.transaction(write=True) as transaction:
        transaction.apply(notes(many, "x"))
        assert transaction.count("notes") == many
    assert len(everything(store)["notes"]) == many


@pytest.mark.parametrize("many", [1, COPY_FROM])
@pytest.mark.parametrize("text", DIFFICULT)
def test_texts_go_in_as_they_are_by_either_way(store: PostgresStore, text: str, many: int) -> None:
    rows = [(f"{number}", 1, text) for number in range(many)]
    with store.transaction(write=True) as transaction:
        transaction.apply(Insert("notes", row) for row in rows)
    assert everything(store)["notes"] == {*rows}


@pytest.mark.parametrize("many", [1, 2 * COPY_FROM])
def test_every_type_goes_in_by_either_way(store: PostgresStore, many: int) -> None:
    rows = [thing(f"{number}", **{**FULL, "text": f"{number}"}) for number in range(many)]
    with store.transaction(write=True) as transaction:
        transaction.apply(Insert("things", row) for row in rows)
    assert everything(store)["things"] == {*rows}


@pytest.mark.parametrize("many", [2, 2 * COPY_FROM])
def test_a_taken_key_is_typed_by_either_way(store: PostgresStore, many: int) -> None:
    with store.transaction(write=True) as transaction:
        transaction.apply([Insert("things", thing("a", number="13800138000"))])
    rows = [thing(f"{number}", number=f"{number}") for number in range(many - 1)]
    for last, fields in ((thing("z", number="13800138000"), ("number",)), (thing("a"), ("id",))):
        with pytest.raises(DuplicateKey) as raised, store.transaction(write=True) as transaction:
            transaction.apply(Insert("things", row) for row in [*rows, last])
        assert (raised.value.details["collection"], raised.value.details["fields"]) == ("things", fields)
        assert "13800138000" not in f"{raised.value}{raised.value.details}"
        assert raised.value.__suppress_context__
    assert everything(store)["things"] == {thing("a", number="13800138000")}


def test_what_goes_wrong_first_is_told(store: PostgresStore) -> None:
    with store.transaction(write=True) as transaction:
        transaction.apply([Insert("things", thing("a")), Insert("things", thing("b"))])
    stale, taken = Update("things", thing("a", 9), 8), Insert("things", thing("b"))
    for changes, error in (([stale, taken], Conflict), ([taken, stale], DuplicateKey)):
        with pytest.raises(error), store.transaction(write=True) as transaction:
            transaction.apply(changes)
    with pytest.raises(Conflict) as raised, store.transaction(write=True) as transaction:
        transaction.apply([stale])
    assert (raised.value.details["expected"], raised.value.details["actual"]) == (8, 1)


def test_a_batch_may_be_read_from_the_store_that_it_changes(store: PostgresStore) -> None:
    many = 3 * CHUNK
    with store.transaction(write=True) as transaction:
        transaction.apply(notes(many, "old"))
    with store.transaction(write=True) as transaction:
        rows = transaction.scan("notes")
        transaction.apply(Insert("things", thing(str(id), number=str(id))) for id, *_ in rows)
        transaction.apply(Update("notes", (id, 2, "new"), 1) for id, *_ in transaction.scan("notes"))
        transaction.apply(Delete("notes", str(id), 2) for id, *_ in transaction.scan("notes") if str(id) > "0000009")
    kept = everything(store)
    assert len(kept["things"]) == many
    assert kept["notes"] == {(f"{number:07}", 2, "new") for number in range(10)}


@pytest.mark.parametrize("many", [PART - 1, PART, PART + 1, 5 * PART, 40 * PART])
def test_long_answers_come_in_parts(store: PostgresStore, many: int) -> None:
    with store.transaction(write=True) as transaction:
        transaction.apply(notes(many, "x"))
    with store.transaction() as transaction:
        assert sum(1 for _ in transaction.scan("notes")) == many
        first, second = transaction.scan("notes"), transaction.find(Query("notes", order=("-id",)))
        assert next(first)[0] != next(second)[0]
        assert transaction.count("notes") == many  # asked in the middle of both
        assert sum(1 for _ in first) == sum(1 for _ in second) == many - 1
    with store.transaction(write=True) as transaction:
        unread = iter(transaction.scan("notes"))
        next(unread)
        transaction.apply([Insert("notes", ("new", 1, None))])
        assert "new" not in {row[0] for row in unread}
        next(iter(transaction.scan("notes")))  # and left unread, before a commit
    with store.transaction() as transaction:
        left = iter(transaction.scan("notes"))
        next(left)
    if many > 2 * PART:
        with pytest.raises(StoreClosed, match="not read to its end"):
            list(left)
    with store.transaction() as transaction:
        assert transaction.get("notes", "new") == ("new", 1, None)


def test_an_answer_that_fails_in_the_middle_is_typed(store: PostgresStore, postgres_url: Urls) -> None:
    with store.transaction(write=True) as transaction:
        transaction.apply(notes(20 * PART, "x" * 2000))
    with pytest.raises(StoreUnavailable), store.transaction() as transaction:
        rows = iter(transaction.scan("notes"))
        next(rows)
        with beside(postgres_url()) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE %s AND pid <> pg_backend_pid()",
                (f"%{store.settings.namespace}.notes%",),
            )
        list(rows)
    assert len(everything(store)["notes"]) == 20 * PART


def test_nul_and_half_characters_find_nothing(store: PostgresStore) -> None:
    with store.transaction(write=True) as transaction:
        transaction.apply([Insert("notes", ("a", 1, "a"))])
    with store.transaction() as transaction:
        for odd in ("a\0", "\ud800"):
            assert transaction.get("notes", odd) is None
            assert transaction.get_many("notes", [odd, "a"]) == {"a": ("a", 1, "a")}
            assert list(transaction.find(Query("notes", Eq("text", odd)))) == []
            assert transaction.count("notes", Gt("text", odd)) == 0
            assert transaction.count("notes", Lt("text", odd)) == 1
    with pytest.raises(StorageError), store.transaction(write=True) as transaction:
        transaction.apply([Insert("notes", ("b", 1, "b\0c"))])
    assert everything(store)["notes"] == {("a", 1, "a")}


def test_a_list_is_one_parameter(store: PostgresStore) -> None:
    odd = ['"', "\\", ",", "{", "}", "NULL", "", " ", "a"]
    with store.transaction(write=True) as transaction:
        transaction.apply(Insert("notes", (f"{place}", 1, text)) for place, text in enumerate(odd) if text)
    with store.transaction() as transaction:
        for place, text in enumerate(odd):
            found = [row[0] for row in transaction.find(Query("notes", In("text", [text, "none of them"])))]
            assert found == ([f"{place}"] if text else [])
        before = len(store.compiler._statements)
        for many in (1, 10, 1000, 40_000):
            assert transaction.count("notes", In("id", [f"{number}" for number in range(many)])) == min(many, 9) - (
                many > 6
            )
        assert len(store.compiler._statements) == before + 1


def test_a_role_that_waits_in_vain_is_told(postgres_url: Urls) -> None:
    with (
        open_store(postgres_url()) as store,
        open_store(postgres_url(wait="0.05")) as other,
        store.transaction(write=True) as work,
    ):
        with pytest.raises(StoreBusy) as raised, other.transaction(write=True):
            pytest.fail("two writers")
        assert raised.value.retryable
        work.apply(notes(1))
        with other.transaction() as reading:  # nobody waits to read
            assert reading.count("notes") == 0


def test_the_pool_has_an_end(postgres_url: Urls) -> None:
    with open_store(postgres_url(pool="1", wait="0.05")) as store:
        with store.transaction() as first:
            assert first.count("notes") == 0
            with pytest.raises(StoreBusy, match="pool"), store.transaction():
                pytest.fail("more connections than allowed")
        with store.transaction() as again:
            assert again.count("notes") == 0


def test_threads_share_the_connections(postgres_url: Urls) -> None:
    with open_store(postgres_url(pool="3")) as store, ThreadPoolExecutor(8) as pool:

        def write(number: int) -> int:
            with store.transaction(write=True) as transaction:
                transaction.apply([Insert("notes", (f"{number}", 1, None))])
            with store.transaction() as transaction:
                return transaction.count("notes")

        counts = list(pool.map(write, range(60)))
        assert max(counts) == 60
        assert store._count <= 3


def test_a_statement_that_takes_too_long_is_stopped(postgres_url: Urls) -> None:
    with open_store(postgres_url(statement_timeout="0.05")) as store:
        with store.transaction(write=True) as transaction:
            transaction.apply(notes(20_000, "x" * 50))
        with pytest.raises(StoreUnavailable, match="statement_timeout"), store.transaction() as transaction:
            transaction._ask("SELECT pg_sleep(5)")
        with store.transaction() as transaction:
            assert transaction.count("notes") == 20_000


def test_what_the_server_undid_may_be_tried_again(store: PostgresStore, postgres_url: Urls) -> None:
    with store.transaction(write=True) as transaction:
        transaction.apply([Insert("notes", ("a", 1, None)), Insert("notes", ("b", 1, None))])
    with beside(postgres_url()) as other:
        name = store.settings.namespace
        other.execute("SET deadlock_timeout = '10s'")
        with pytest.raises(StoreBusy) as raised, store.transaction(write=True) as transaction:
            transaction.apply([Update("notes", ("a", 2, "x"), 1)])
            other.execute("BEGIN")
            other.execute(f"UPDATE {name}.notes SET text = 'y' WHERE id = 'b'")
            with ThreadPoolExecutor(1) as pool:
                waiting = pool.submit(other.execute, f"UPDATE {name}.notes SET text = 'y' WHERE id = 'a'")
                try:
                    transaction.apply([Update("notes", ("b", 2, "x"), 1)])
                finally:
                    with beside(postgres_url()) as third:
                        third.execute("SELECT pg_sleep(0)")
                    waiting.exception(30)
        assert raised.value.retryable
        assert raised.value.details["sqlstate"] == "40P01"
        other.execute("ROLLBACK")


def test_a_value_that_python_can_t_hold_is_told(store: PostgresStore, postgres_url: Urls) -> None:
    with beside(postgres_url()) as other:
        other.execute(
            f"INSERT INTO {store.settings.namespace}.things (id, version, number, instant)"
            " VALUES ('a', 1, 'x', '20000-01-01')"
        )
    with pytest.raises(StoreCorrupt), store.transaction() as transaction:
        transaction.get("things", "a")


def test_a_table_changed_under_an_open_store_is_told(store: PostgresStore, postgres_url: Urls) -> None:
    with store.transaction() as transaction:
        transaction.get("notes", "a")
    with beside(postgres_url()) as other:
        other.execute(f"ALTER TABLE {store.settings.namespace}.notes DROP COLUMN text")
    with pytest.raises(StorageError) as raised, store.transaction() as transaction:
        transaction.get("notes", "a")
    assert raised.value.code == "schema_mismatch"


def test_a_full_disk_is_typed() -> None:
    from psycopg.errors import DiskFull

    assert isinstance(translate(DiskFull("no space left on device")), StoreFull)


def kill_backends(url: str) -> None:
    with beside(url) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND application_name = 'crmcore'"
        )


def test_an_idle_connection_that_died_is_replaced_unseen(server_of_its_own: Server) -> None:
    url = server_of_its_own.url(schema="idle")
    with open_store(url) as store:
        for write in (False, True):
            with store.transaction(write=True) as transaction:
                transaction.apply([Insert("notes", (f"{write}", 1, None))])
            kill_backends(url)
            with store.transaction(write=write) as transaction:
                assert transaction.get("notes", f"{write}") is not None


def test_a_connection_lost_within_a_transaction_is_typed_and_the_next_one_works(server_of_its_own: Server) -> None:
    url = server_of_its_own.url(schema="lost")
    with open_store(url) as store:
        with pytest.raises(StoreUnavailable, match="lost"), store.transaction(write=True) as transaction:
            transaction.apply(notes(1))
            kill_backends(url)
            transaction.get("notes", "a")
        with pytest.raises(StoreUnavailable, match="lost"), store.transaction() as transaction:
            assert transaction.count("notes") == 0
            kill_backends(url)
            transaction.count("notes")
        with pytest.raises(StoreUnavailable) as raised, store.transaction(write=True) as transaction:
            transaction.apply(notes(1))
            kill_backends(url)
        assert raised.value.details["outcome"] == "unknown"
        with store.transaction(write=True) as transaction:
            assert transaction.count("notes") == 0
            transaction.apply(notes(1))
        assert len(everything(store)["notes"]) == 1


def test_a_server_that_was_away_is_found_again(server_of_its_own: Server) -> None:
    url = server_of_its_own.url(schema="away")
    with open_store(url) as store:
        with store.transaction(write=True) as transaction:
            transaction.apply(notes(3))
        server_of_its_own.stop()
        try:
            for write in (False, True):
                with pytest.raises(StoreUnavailable), store.transaction(write=write) as transaction:
                    transaction.count("notes")
        finally:
            server_of_its_own.start()
        with store.transaction() as transaction:
            assert transaction.count("notes") == 3
        assert store._count == len(store._idle) == 1, "a connection was counted twice"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_gets_connections_of_its_own(store: PostgresStore) -> None:
    with store.transaction(write=True) as transaction:
        transaction.apply(notes(1))
    child = os.fork()
    if not child:
        code = 1
        try:
            with store.transaction(write=True) as transaction:
                transaction.apply([Insert("notes", ("child", 1, None))])
            store.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert {row[0] for row in everything(store)["notes"]} == {"0000000", "child"}


def test_an_interrupt_leaves_nothing_half_done(store: PostgresStore) -> None:
    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with store.transaction(write=True) as transaction:
        transaction.apply(notes(1))
    timer = threading.Timer(0.2, interrupt)
    # A process that runs behind a shell's & passes interrupts over.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), store.transaction(write=True) as transaction:
            transaction.apply([Insert("notes", ("b", 1, None))])
            timer.start()
            transaction._ask("SELECT pg_sleep(30)")
    finally:
        signal.signal(signal.SIGINT, before)
    with store.transaction(write=True) as transaction:
        assert transaction.count("notes") == 1


def test_an_interrupt_between_an_answer_and_its_end_mixes_up_no_answers(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.transaction(write=True) as transaction:
        transaction.apply(notes(1))

    def interrupted(link: Link) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), store.transaction() as transaction:
        assert transaction.get("notes", "0000000") is not None
        monkeypatch.setattr(Link, "_skip_to_sync", interrupted)
        transaction.get("notes", "a")
    for _ in range(2):
        with store.transaction() as transaction:
            assert transaction.get("notes", "0000000") is not None


def test_a_server_that_stops_while_it_commits_leaves_the_outcome_unknown(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(link: Link) -> None:
        raise psycopg.errors.AdminShutdown

    with pytest.raises(StoreUnavailable) as raised, store.transaction(write=True) as transaction:
        transaction.apply(notes(1))
        monkeypatch.setattr(Link, "receive", stopped)
    monkeypatch.undo()
    assert raised.value.details["outcome"] == "unknown"


def test_claims_go_past_each_other(store: PostgresStore) -> None:
    with store.transaction(write=True) as transaction:
        transaction.apply(notes(6, "waiting"))
    waiting = Query("notes", Eq("text", "waiting"), ("id",), None, 3)

    def taken(row: Row) -> Row:
        return (row[0], 2, "taken")

    def slowly(row: Row) -> Row:
        # While these are being claimed, another caller gets the next ones and does not wait.
        if row[0] == "0000000":
            other = store.claim(waiting, taken)
            assert [row[0] for row in other] == ["0000003", "0000004", "0000005"]
        return taken(row)

    assert [row[0] for row in store.claim(waiting, slowly)] == ["0000000", "0000001", "0000002"]
    with store.transaction(write=True):  # nor do they wait for a writer
        assert store.claim(waiting, taken) == []
    assert {row[1:] for row in everything(store)["notes"]} == {(2, "taken")}


def test_an_upgrade_keeps_grants_and_shuts_old_handles_out(store: PostgresStore, postgres_url: Urls) -> None:
    from crmcore.storage import Schema, StoreURL
    from crmcore_postgres import PostgresBackend

    name = store.settings.namespace
    with store.transaction(write=True) as transaction:
        transaction.apply(notes(3 * CHUNK, "old"))
    with beside(postgres_url()) as other:
        other.execute(f"GRANT SELECT ON {name}.notes TO PUBLIC")
        newer = Schema.of(4, SCHEMA.collections.values())

        def rewrite(scan: Callable[[str], Iterator[Row]]) -> Iterator[Insert]:
            for id, version, _ in scan("notes"):
                yield Insert("notes", (id, version, "new"))

        PostgresBackend().upgrade(StoreURL.parse(postgres_url()), newer, rewrite)
        with pytest.raises(StorageError) as raised, store.transaction(write=True):
            pytest.fail("a handle of the old format writes")
        assert raised.value.code == "schema_mismatch"
        granted = other.execute("SELECT has_table_privilege('pg_monitor', %s, 'SELECT')", (f"{name}.notes",)).fetchone()
        assert granted == (True,)
    with open_store(postgres_url(), newer) as upgraded:
        assert len(everything(upgraded)["notes"]) == 3 * CHUNK
        assert upgraded.check() == []


def test_a_transaction_is_entered_once_and_ends(store: PostgresStore) -> None:
    transaction = store.transaction()
    with pytest.raises(StoreClosed, match="not entered"):
        transaction.get("notes", "a")
    with transaction:
        pass
    with pytest.raises(StoreClosed, match="entered once"), transaction:
        pass
    with pytest.raises(StoreClosed, match="over"):
        transaction.get("notes", "a")


def test_options_reach_the_session(postgres_url: Urls) -> None:
    url = with_options(postgres_url(), application_name="crm-desk")
    with open_store(url) as store, store.transaction() as transaction:
        (row,) = transaction._ask(
            "SELECT current_setting('application_name'), current_setting('lock_timeout'), current_setting('timezone')"
        )
    assert row == ("crm-desk", "5s", "UTC")


@pytest.mark.parametrize("limit", [0, 1, 3, 10_000, 10_001, 2**40])
def test_a_limit_may_be_any_number(store: PostgresStore, limit: int) -> None:
    with store.transaction(write=True) as transaction:
        transaction.apply(notes(5))
    with store.transaction() as transaction:
        assert len(list(transaction.find(Query("notes", limit=limit)))) == min(limit, 5)


def test_a_text_too_long_for_an_index_is_refused(store: PostgresStore) -> None:
    long = "".join(chr(0x4E00 + number * number % 20_000) for number in range(3_000))
    with pytest.raises(StorageError, match="too long") as raised, store.transaction(write=True) as transaction:
        transaction.apply([Insert("things", thing("a", number=long))])
    assert long[:10] not in str(raised.value)
    with store.transaction(write=True) as transaction:
        transaction.apply([Insert("notes", ("a", 1, long)), Insert("things", thing("a", number="客" * 30_000))])
        assert transaction.get("notes", "a") == ("a", 1, long)


@pytest.mark.parametrize("most", [2, 3, 5])
def test_statements_that_are_forgotten_for_others_are_made_again(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr("crmcore_postgres.connection._MOST_PREPARED", most)
    with store.transaction(write=True) as work:
        work.apply(notes(5))
    for limit in (*range(1, 9), *range(1, 9)):
        with store.transaction() as reading:
            assert len(list(reading.find(Query("notes", order=("id",), limit=limit)))) == min(limit, 5)
            assert reading.count("notes") == 5
        with pytest.raises(Conflict), store.transaction(write=True) as work:
            work.apply([Delete("notes", f"{limit:07}", 9)])
        with store.transaction(write=True) as work:
            work.apply([Insert("notes", (f"more {limit}", 1, None))])
            work.apply([Delete("notes", f"more {limit}", 1)])
