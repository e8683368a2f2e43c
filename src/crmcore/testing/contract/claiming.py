"""Rows taken for one caller alone: what a queue that is kept in a store rests on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from crmcore.errors import DuplicateKey, QueryError, StorageError, StoreClosed
from crmcore.storage import Capability, Eq, Insert, IsNull, Query, Row, Store, Update
from crmcore.testing.clause import Contract, clause
from crmcore.testing.contract.steps import add, everything, opened, pair, read
from crmcore.testing.harness import Harness
from crmcore.testing.kit_schema import GROUP, KEYS, changed, group_row, keys_row, order_of
from crmcore.testing.processes import claim_all, claim_some, run_children

_WAITING = Query("group", IsNull("select"), ("-order",), None, 3)


def _waiting(store: Store, many: int) -> list[Row]:
    rows = [group_row(f"{number:03}", order=number) for number in range(many)]
    add(store, GROUP, *rows)
    return rows


def _taken(row: Row) -> Row:
    return changed(GROUP, row, select="me")


class Claiming(Contract):
    """S-CLAIM: a row is claimed once."""

    @clause(
        "S-CLAIM-01",
        "The rows of the query are claimed, in its order and up to its limit, and no others",
        since=(1, 1),
    )
    def test_the_rows_of_the_query_are_claimed(self, harness: Harness) -> None:
        with opened(harness) as store:
            rows = _waiting(store, 6)
            add(store, GROUP, group_row("taken", order=9, select="other"))
            assert store.claim(_WAITING, _taken) == [_taken(rows[5]), _taken(rows[4]), _taken(rows[3])]
            assert {id for id, row in everything(store)["group"].items() if row[1] != 1} == {"003", "004", "005"}
            assert store.claim(Query("group", Eq("id", "000")), _taken) == [_taken(rows[0])]

    @clause("S-CLAIM-02", "What is claimed is committed at once, as the rows that are returned", since=(1, 1))
    def test_a_claim_is_committed(self, harness: Harness) -> None:
        with pair(harness) as (one, other):
            rows = _waiting(one, 4)
            claimed = one.claim(_WAITING, _taken)
            assert claimed == [_taken(row) for row in reversed(rows[1:])]
            assert all(isinstance(row, tuple) for row in claimed)
            assert everything(other)["group"] == {row[0]: row for row in (rows[0], *claimed)}
            assert other.claim(_WAITING, _taken) == [_taken(rows[0])]

    @clause("S-CLAIM-03", "A claim of nothing gives nothing and changes nothing", since=(1, 1))
    def test_nothing_may_be_claimed(self, harness: Harness) -> None:
        with opened(harness) as store:
            assert list(store.claim(_WAITING, _taken)) == []
            row = group_row("a", select="other")
            add(store, GROUP, row)
            assert list(store.claim(_WAITING, _taken)) == []
            assert list(store.claim(Query("group", limit=0), _taken)) == []
            assert read(store, GROUP, "a") == row

    @clause("S-CLAIM-04", "Threads and handles that claim at once never get the same row, and leave none", since=(1, 1))
    def test_no_row_is_claimed_twice(self, harness: Harness) -> None:
        with pair(harness) as (one, other), ThreadPoolExecutor(4) as pool:
            _waiting(one, 40)
            stores = (one, one, other, other)
            works = [pool.submit(partial(claim_some, store, str(place))) for place, store in enumerate(stores)]
            claimed = [row for work in works for row in work.result(60)]
            assert len(claimed) == 40, "a row was claimed twice, or by nobody"
            assert everything(other)["group"] == {row[0]: row for row in claimed}

    @clause(
        "S-CLAIM-05",
        "Processes that claim at once never get the same row, and leave none",
        since=(1, 1),
        needs=Capability.MULTI_PROCESS,
        given="url",
    )
    def test_no_row_is_claimed_by_two_processes(self, harness: Harness) -> None:
        with opened(harness) as store:
            _waiting(store, 30)
            run_children(harness.backend, str(harness.url), claim_all, ("one", "two"), ("two", "one"))
            rows = everything(store)["group"]
        claims = {id: row for id, row in rows.items() if str(id).startswith("claim ")}
        assert len(claims) == 30, "a row was claimed twice, or by nobody"
        assert sorted(map(order_of, claims.values())) == list(range(30))

    @clause("S-CLAIM-06", "An error out of change comes out as it is, and nothing is claimed", since=(1, 1))
    def test_an_error_claims_nothing(self, harness: Harness) -> None:
        trouble = LookupError("not this one")

        def choosy(row: Row) -> Row:
            if order_of(row) == 3:
                raise trouble
            return _taken(row)

        with pair(harness) as (one, other):
            _waiting(one, 5)
            before = everything(other)
            with pytest.raises(LookupError) as raised:
                one.claim(_WAITING, choosy)
            assert raised.value is trouble
            assert everything(one) == everything(other) == before
            assert len(one.claim(_WAITING, _taken)) == 3

    @clause(
        "S-CLAIM-07", "A claim that would take a key twice raises DuplicateKey, and nothing is claimed", since=(1, 1)
    )
    def test_a_claim_keeps_keys(self, harness: Harness) -> None:
        with opened(harness) as store:
            add(store, KEYS, *(keys_row(f"{number}", number=f"{number}", open=True) for number in range(3)))
            before = everything(store)
            with pytest.raises(DuplicateKey) as raised:
                store.claim(
                    Query("keys", Eq("open", True), ("id",)),
                    lambda row: changed(KEYS, row, number="9" if row[0] in ("0", "2") else "8"),
                )
            assert tuple(raised.value.details["fields"]) == ("number",)
            assert everything(store) == before

    @clause("S-CLAIM-08", "A name that the schema doesn't have raises QueryError, and nothing is claimed", since=(1, 1))
    def test_a_claim_of_nonsense_is_refused(self, harness: Harness) -> None:
        with opened(harness) as store:
            _waiting(store, 2)
            before = everything(store)
            for query in (Query("absent"), Query("group", Eq("absent", 1)), Query("group", order=("absent",))):
                with pytest.raises(QueryError):
                    store.claim(query, _taken)
            assert everything(store) == before

    @clause("S-CLAIM-09", "After close a claim raises StoreClosed", since=(1, 1))
    def test_a_closed_store_claims_nothing(self, harness: Harness) -> None:
        with opened(harness) as store:
            closed = harness.open()
            _waiting(store, 1)
            closed.close()
            with pytest.raises(StoreClosed):
                closed.claim(_WAITING, _taken)
            assert read(store, GROUP, "000") == group_row("000", order=0)


class Outbox(Contract):
    """S-OUTBOX: a record and the message about it are written together, as the library writes them."""

    @clause(
        "S-OUTBOX-01",
        "A record and its message are both there or neither, whatever came between: refusals, roll-backs, other writers",
        since=(1, 1),
    )
    def test_no_message_without_its_record(self, harness: Harness) -> None:
        def post(store: Store, number: int, *, trouble: str = "") -> None:
            with store.transaction(write=True) as work:
                work.apply([Insert("keys", keys_row(f"{number}", number=f"{number}"))])
                work.apply([Insert("group", group_row(f"about {number}", order=number))])
                if trouble == "conflict":
                    work.apply([Update("keys", keys_row(f"{number}", 3), 2)])
                if trouble == "rolled back":
                    raise LookupError

        with pair(harness) as stores:
            for number in range(12):
                store, trouble = stores[number % 2], ("", "conflict", "rolled back")[number % 3]
                if trouble:
                    with pytest.raises((LookupError, StorageError)):
                        post(store, number, trouble=trouble)
                else:
                    post(store, number)
                with pytest.raises(DuplicateKey):
                    post(stores[0], 0)
            for store in stores:
                rows = everything(store)
                assert sorted(map(str, rows["keys"])) == ["0", "3", "6", "9"]
                assert sorted(map(str, rows["group"])) == ["about 0", "about 3", "about 6", "about 9"]

    @clause(
        "S-OUTBOX-02",
        "A message that was claimed and dealt with stays away, one that wasn't is claimed again",
        since=(1, 1),
    )
    def test_what_was_not_dealt_with_comes_again(self, harness: Harness) -> None:
        def lease(until: int) -> list[Row]:
            # Due messages are those whose time has come; claiming moves it on.
            with opened(harness) as store:
                found = store.claim(
                    Query("keys", Eq("serial", until - 1), ("number",), None, 2),
                    lambda row: changed(KEYS, row, serial=until),
                )
            return list(found)

        with opened(harness) as store:
            add(store, KEYS, *(keys_row(f"{number}", number=f"{number}", serial=0) for number in range(3)))
        first = lease(1)
        assert [row[0] for row in first] == ["0", "1"]
        with opened(harness) as store, store.transaction(write=True) as work:
            done = changed(KEYS, first[0], serial=None, open=False)
            work.apply([Update("keys", done, 2)])
        assert [row[0] for row in lease(2)] == ["1"]
        assert [row[0] for row in lease(1)] == ["2"]
        assert lease(1) == []
