"""How it is written: expected versions, batches, the life of a transaction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

from crmcore.errors import Conflict, DuplicateKey, ReadOnly, StorageError, StoreClosed
from crmcore.storage import Change, Delete, Eq, Insert, Query, Store, Transaction, Update
from crmcore.testing.clause import Contract, clause
from crmcore.testing.contract.steps import add, assert_same, everything, opened, read, refuse, write
from crmcore.testing.harness import Harness
from crmcore.testing.kit_schema import GROUP, VALUES, changed, group_row, keys_row, values_row


class Conflicts(Contract):
    """S-CONFLICT: a change is made to the version it was meant for, or not at all."""

    @clause("S-CONFLICT-01", "An update that expects another version, older or newer, raises Conflict")
    def test_an_update_for_another_version_is_refused(self, harness: Harness) -> None:
        with opened(harness) as store:
            add(store, VALUES, values_row("a", 5))
            for expected in (4, 6, 1):
                refuse(store, Conflict, Update("values", values_row("a", 6, text="new"), expected))

    @clause("S-CONFLICT-02", "A delete that expects another version raises Conflict")
    def test_a_delete_for_another_version_is_refused(self, harness: Harness) -> None:
        with opened(harness) as store:
            add(store, VALUES, values_row("a", 5))
            for expected in (4, 6):
                refuse(store, Conflict, Delete("values", "a", expected))

    @clause("S-CONFLICT-03", "An update or a delete of a row that isn't there raises Conflict")
    def test_a_row_that_is_gone_is_a_conflict(self, harness: Harness) -> None:
        with opened(harness) as store:
            add(store, GROUP, group_row("a"))
            refuse(store, Conflict, Update("values", values_row("a", 2), 1))
            refuse(store, Conflict, Delete("values", "a", 1))

    @clause("S-CONFLICT-04", "Within a batch the version expected is the one that the batch itself has reached")
    def test_a_batch_moves_versions_on(self, harness: Harness) -> None:
        rows = [values_row("a", version) for version in range(4)]
        with opened(harness) as store:
            write(store, Insert("values", rows[1]), Update("values", rows[2], 1), Update("values", rows[3], 2))
            assert_same(read(store, VALUES, "a"), rows[3])
            refuse(
                store,
                Conflict,
                Update("values", values_row("a", 4), 3),
                Update("values", values_row("a", 4, text="x"), 3),
            )
            refuse(store, Conflict, Delete("values", "a", 3), Update("values", values_row("a", 4), 3))


class _Once:
    """Changes that can be read once, and know how often they were asked for."""

    def __init__(self, changes: list[Change]) -> None:
        self.changes, self.asked = changes, 0

    def __iter__(self) -> Iterator[Change]:
        self.asked += 1
        while self.changes:
            yield self.changes.pop(0)


class Batches(Contract):
    """S-BATCH: all of a batch, or nothing."""

    @clause("S-BATCH-01", "A conflict anywhere in a batch undoes all of it")
    def test_a_conflict_undoes_the_batch(self, harness: Harness) -> None:
        bad = Update("values", values_row("a", 9), 8)
        good: list[Change] = [
            Insert("values", values_row("b")),
            Update("values", values_row("a", 2, text="new"), 1),
            Delete("group", "g", 1),
        ]
        with opened(harness) as store:
            write(store, Insert("values", values_row("a")), Insert("group", group_row("g")))
            for place in range(len(good) + 1):
                refuse(store, Conflict, *good[:place], bad, *good[place:])

    @clause("S-BATCH-02", "A duplicate anywhere in a batch undoes all of it")
    def test_a_duplicate_undoes_the_batch(self, harness: Harness) -> None:
        bad = Insert("keys", keys_row("b", number="1"))
        good: list[Change] = [Insert("keys", keys_row("c")), Insert("values", values_row("a")), Delete("group", "g", 1)]
        with opened(harness) as store:
            write(store, Insert("keys", keys_row("a", number="1")), Insert("group", group_row("g")))
            for place in range(len(good) + 1):
                refuse(store, DuplicateKey, *good[:place], bad, *good[place:])

    @clause("S-BATCH-03", "Changes are made in their order, whatever their kinds and collections")
    def test_changes_keep_their_order(self, harness: Harness) -> None:
        with opened(harness) as store:
            write(
                store,
                Insert("values", values_row("a")),
                Insert("group", group_row("a")),
                Update("values", values_row("a", 2), 1),
                Delete("group", "a", 1),
                Delete("values", "a", 2),
                Insert("group", group_row("a", 3)),
                Insert("values", values_row("a", text="again")),
                Insert("values", values_row("b")),
                Delete("values", "b", 1),
            )
            left = everything(store)
            assert left["values"] == {"a": values_row("a", text="again")}
            assert left["group"] == {"a": group_row("a", 3)}

    @clause("S-BATCH-04", "The changes may be an iterator, which is read once")
    def test_changes_are_read_once(self, harness: Harness) -> None:
        changes = _Once([Insert("values", values_row(str(number))) for number in range(5)])
        with opened(harness) as store:
            with store.transaction(write=True) as work:
                work.apply(changes)
            assert changes.asked == 1
            assert len(everything(store)["values"]) == 5

    @clause("S-BATCH-05", "An error that the iterator itself raises undoes all and comes out as it is")
    def test_an_iterator_may_break(self, harness: Harness) -> None:
        trouble = LookupError("the source broke")

        def broken() -> Iterator[Change]:
            yield Insert("values", values_row("a"))
            yield Insert("keys", keys_row("a"))
            raise trouble

        with opened(harness) as store:
            with pytest.raises(LookupError) as raised, store.transaction(write=True) as work:
                work.apply(broken())
            assert raised.value is trouble
            assert not any(everything(store).values())
            write(store, Insert("values", values_row("a")))

    @clause("S-BATCH-06", "A batch of nothing is nothing")
    def test_an_empty_batch_is_nothing(self, harness: Harness) -> None:
        with opened(harness) as store:
            write(store)
            with store.transaction(write=True) as work:
                work.apply([Insert("values", values_row("a"))])
                work.apply(iter(()))
            assert list(everything(store)["values"]) == ["a"]

    @clause("S-BATCH-07", "Several batches of one transaction are one piece: an error in the last undoes the first")
    def test_batches_of_a_transaction_are_one(self, harness: Harness) -> None:
        with opened(harness) as store:
            with pytest.raises(Conflict), store.transaction(write=True) as work:
                work.apply([Insert("values", values_row("a"))])
                work.apply([Insert("keys", keys_row("a"))])
                work.apply([Delete("group", "absent", 1)])
            assert not any(everything(store).values())


class _Interrupt(BaseException):
    """As the user's Ctrl-C: no Exception."""


def _assert_over(work: Transaction) -> None:
    for use in (
        lambda: work.get("values", "a"),
        lambda: list(work.scan("values")),
        lambda: list(work.find(Query("values", Eq("text", "x")))),
        lambda: work.get_many("values", ["a", "b"]),
        lambda: work.count("values"),
        lambda: work.apply([Insert("values", values_row("z"))]),
    ):
        with pytest.raises(StoreClosed):
            use()


class Transactions(Contract):
    """S-TX: what a transaction is from its beginning to its end."""

    @clause("S-TX-01", "Leaving the block keeps what was written")
    def test_leaving_commits(self, harness: Harness) -> None:
        with opened(harness) as store:
            add(store, VALUES, values_row("a"))
            assert_same(read(store, VALUES, "a"), values_row("a"))

    @clause("S-TX-02", "An exception out of the block undoes all of it and comes out as it is, KeyboardInterrupt too")
    def test_an_exception_undoes(self, harness: Harness) -> None:
        with opened(harness) as store:
            write(store, Insert("values", values_row("a")))
            before = everything(store)
            for trouble in (LookupError("why"), _Interrupt("why")):
                with pytest.raises(type(trouble)) as raised, store.transaction(write=True) as work:
                    work.apply([Insert("values", values_row("b")), Delete("values", "a", 1)])
                    raise trouble
                assert raised.value is trouble
                assert everything(store) == before

    @clause("S-TX-03", "A transaction sees what it wrote itself, by every way of reading")
    def test_own_writes_are_seen(self, harness: Harness) -> None:
        with opened(harness) as store:
            add(store, VALUES, values_row("a", text="old"), values_row("b", text="old"))
            with store.transaction(write=True) as work:
                row = values_row("a", 2, text="new")
                assert work.get("values", "a") == values_row("a", text="old")
                work.apply([Update("values", row, 1), Insert("values", values_row("c")), Delete("values", "b", 1)])
                assert work.get("values", "a") == row
                assert work.get("values", "b") is None
                assert {row[0] for row in work.scan("values")} == {"a", "c"}
                assert work.get_many("values", ["a", "b"]) == {"a": row}
                assert list(work.find(Query("values", Eq("text", "new")))) == [row]
                assert list(work.find(Query("values", Eq("text", "old")))) == []
                assert work.count("values") == 2
                assert work.tally("values", None, ["text"]) == [(None, 1), ("new", 1)]

    @clause("S-TX-04", "A read transaction refuses changes with ReadOnly")
    def test_a_reader_cannot_write(self, harness: Harness) -> None:
        with opened(harness) as store:
            add(store, VALUES, values_row("a"))
            before = everything(store)
            for change in (Insert("values", values_row("b")), Delete("values", "a", 1)):
                with pytest.raises(ReadOnly), store.transaction() as work:
                    work.apply([change])
            assert everything(store) == before

    @clause("S-TX-05", "After an error in apply the transaction can't be used: StoreClosed")
    def test_an_error_ends_the_transaction(self, harness: Harness) -> None:
        with opened(harness) as store:
            with pytest.raises(StoreClosed), store.transaction(write=True) as work:
                _fail(work)
                _assert_over(work)
            assert not any(everything(store).values())

    @clause("S-TX-06", "Swallowing the error doesn't save it: leaving the block raises StoreClosed, nothing is kept")
    def test_a_swallowed_error_is_no_success(self, harness: Harness) -> None:
        with opened(harness) as store:
            with pytest.raises(StoreClosed), store.transaction(write=True) as work:
                work.apply([Insert("values", values_row("a"))])
                _fail(work)
            assert not any(everything(store).values())
            add(store, VALUES, values_row("a"))

    @clause("S-TX-07", "After its block a transaction can't be used: StoreClosed")
    def test_a_transaction_ends_with_its_block(self, harness: Harness) -> None:
        with opened(harness) as store:
            for writes in (False, True):
                with store.transaction(write=writes) as work:
                    work.get("values", "a")
                _assert_over(work)
            assert not any(everything(store).values())

    @clause("S-TX-08", "Rows can be written while they are read: each row that was there comes once")
    def test_rows_are_written_while_read(self, harness: Harness) -> None:
        rows = [values_row(f"{number:03}", text="x", some_integer=number) for number in range(100)]
        with opened(harness) as store:
            add(store, VALUES, *rows)
            self._rewrite(store, None, 1)
            self._rewrite(store, Query("values", Eq("text", "x"), ("some_integer",)), 2)
            assert {row[1] for row in everything(store)["values"].values()} == {3}

    def _rewrite(self, store: Store, query: Query | None, version: int) -> None:
        seen = []
        with store.transaction(write=True) as work:
            for row in work.scan("values") if query is None else work.find(query):
                seen.append(row[0])
                number = cast(int, row[VALUES.position("some_integer")])
                work.apply([Update("values", changed(VALUES, row, some_integer=number + 1000), version)])
        assert sorted(map(str, seen)) == [f"{number:03}" for number in range(100)]


def _fail(work: Transaction) -> None:
    try:
        work.apply([Insert("keys", keys_row("a")), Delete("values", "absent", 1)])
    except StorageError as error:
        assert type(error) is Conflict
    else:
        pytest.fail("the batch was taken")
