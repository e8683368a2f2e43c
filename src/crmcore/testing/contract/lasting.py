"""How it lasts: size, reopening, closing, errors, URLs, and whether what is declared is true."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Final
from urllib.parse import quote

import attrs
import pytest

from crmcore.errors import (
    Conflict,
    DuplicateKey,
    InvalidURL,
    SchemaMismatch,
    StorageError,
    StoreClosed,
    StoreUnavailable,
)
from crmcore.storage import (
    And,
    Capability,
    Delete,
    Eq,
    Field,
    Ge,
    Insert,
    Query,
    Row,
    Scalar,
    Schema,
    StoreURL,
    Update,
    place_of,
)
from crmcore.testing import oracle
from crmcore.testing.clause import Contract, clause
from crmcore.testing.contract.ordering import find, pages
from crmcore.testing.contract.steps import add, everything, opened, read, refuse, write
from crmcore.testing.harness import Harness
from crmcore.testing.kit_schema import GROUP, KEYS, SCHEMA, VALUES, changed, group_row, keys_row, values_row

_DAY: Final = date(2024, 1, 31)


class Large(Contract):
    """S-LARGE: many rows at once."""

    @clause("S-LARGE-01", "2,000 rows go in, change and go out in one batch each, and are paged through")
    def test_two_thousand_rows(self, harness: Harness) -> None:
        rows = [values_row(f"{number:05}", integer=number % 7, text=f"no. {number}") for number in range(2_000)]
        with opened(harness) as store:
            add(store, VALUES, *rows)
            query = Query("values", Ge("integer", 1), ("-integer", "text"))
            assert pages(store, query, 500, len(rows)) == oracle.answer(query, rows, VALUES)
            later = [changed(VALUES, row, integer=1) for row in rows]
            write(store, *(Update("values", row, 1) for row in later))
            assert everything(store)["values"] == {row[0]: row for row in later}
            write(store, *(Delete("values", str(row[0]), 2) for row in later))
            assert everything(store)["values"] == {}

    @clause(
        "S-LARGE-02",
        "As many rows as the harness says go in, are counted, paged and refused as a whole",
        needs=Capability.LARGE,
    )
    def test_many_rows(self, harness: Harness) -> None:
        many = harness.many
        with opened(harness) as store:
            with store.transaction(write=True) as work:
                work.apply(Insert("group", group_row(f"{number:07}", order=number % 10)) for number in range(many))
            with store.transaction() as work:
                assert work.count("group") == many
                assert work.tally("group", None, ["order"]) == [
                    (digit, len(range(digit, many, 10))) for digit in range(10)
                ]
                query = Query("group", Eq("order", 3), ("-id",), None, 50)
                page = list(work.find(query))
                expected = [f"{number:07}" for number in reversed(range(3, many, 10))]
                assert [row[0] for row in page] == expected[:50]
                query = Query("group", query.where, query.order, place_of(page[-1], query, GROUP), 50)
                assert [row[0] for row in work.find(query)] == expected[50:100]
                assert sum(1 for _ in work.scan("group")) == many
            with pytest.raises(DuplicateKey), store.transaction(write=True) as work:
                work.apply(Insert("group", group_row(f"{number:07}")) for number in range(2 * many - 1, many - 2, -1))
            with store.transaction() as work:
                assert work.count("group") == many


class Reopening(Contract):
    """S-REOPEN: what outlives a handle."""

    @clause(
        "S-REOPEN-01",
        "What was committed is there when all handles were closed and one is opened again",
        needs=Capability.DURABLE,
    )
    def test_committed_rows_outlive_handles(self, harness: Harness) -> None:
        kept: dict[Scalar, Row] = {}
        for text in ("first", "second", "third"):
            with opened(harness) as store:
                assert everything(store)["values"] == kept
                row = values_row(text, text=text)
                add(store, VALUES, row)
                kept[text] = row
        with opened(harness) as store:
            assert everything(store)["values"] == kept

    @clause(
        "S-REOPEN-02",
        "What was rolled back stays away after reopening, and keys hold as before",
        needs=Capability.DURABLE,
    )
    def test_rolled_back_rows_stay_away(self, harness: Harness) -> None:
        with opened(harness) as store:
            write(store, Insert("keys", keys_row("a", number="1")))
            refuse(store, Conflict, Insert("keys", keys_row("b", number="2")), Delete("keys", "absent", 1))
        with opened(harness) as store:
            assert set(everything(store)["keys"]) == {"a"}
            refuse(store, DuplicateKey, Insert("keys", keys_row("c", number="1")))
            refuse(store, Conflict, Update("keys", keys_row("a", 3, number="1"), 2))

    @clause("S-REOPEN-03", "Opening once more, closing and opening change nothing")
    def test_opening_changes_nothing(self, harness: Harness) -> None:
        with opened(harness) as store:
            write(store, Insert("values", values_row("a")), Insert("keys", keys_row("a")))
            before = everything(store)
            for _ in range(3):
                with opened(harness) as again:
                    assert everything(again) == before
            assert everything(store) == before


class Closing(Contract):
    """S-CLOSE: the end of a handle."""

    @clause("S-CLOSE-01", "After close a transaction raises StoreClosed, to read or to write")
    def test_a_closed_store_is_closed(self, harness: Harness) -> None:
        store = harness.open()
        add(store, VALUES, values_row("a"))
        store.close()
        for writes in (False, True):
            with pytest.raises(StoreClosed), store.transaction(write=writes):
                pytest.fail("a closed store was used")

    @clause("S-CLOSE-02", "Closing twice is nothing")
    def test_closing_twice_is_nothing(self, harness: Harness) -> None:
        store = harness.open()
        store.close()
        store.close()

    @clause("S-CLOSE-03", "A with block over a store closes it at its end, also when an exception ends it")
    def test_a_with_block_closes(self, harness: Harness) -> None:
        with harness.open() as store:
            add(store, VALUES, values_row("a"))
        with pytest.raises(StoreClosed), store.transaction():
            pytest.fail("a closed store was used")
        with pytest.raises(LookupError), harness.open() as store:
            raise LookupError
        with pytest.raises(StoreClosed), store.transaction():
            pytest.fail("a closed store was used")


class Errors(Contract):
    """S-ERROR: what errors tell, and what they keep to themselves."""

    @clause(
        "S-ERROR-01", "Conflict names collection and id in its details, DuplicateKey collection and the key's fields"
    )
    def test_errors_carry_their_facts(self, harness: Harness) -> None:
        with opened(harness) as store:
            write(store, Insert("values", values_row("a", 3)))
            taken = keys_row("a", number="1", scope="x", serial=1)
            write(store, Insert("keys", taken))
            for change in (Update("values", values_row("a", 2), 1), Delete("values", "a", 2)):
                error = refuse(store, Conflict, change)
                assert (error.details["collection"], error.details["id"]) == ("values", "a")
            for row, fields in (
                (keys_row("a"), ("id",)),
                (keys_row("b", number="1"), ("number",)),
                (keys_row("b", scope="x", serial=1), ("scope", "serial")),
            ):
                error = refuse(store, DuplicateKey, Insert("keys", row))
                assert (error.details["collection"], tuple(error.details["fields"])) == ("keys", fields)
            error = refuse(store, Conflict, Update("keys", keys_row("absent", 2), 1))
            assert (error.details["collection"], error.details["id"]) == ("keys", "absent")

    @clause("S-ERROR-02", "No value of a row stands in a message, and none in the message of a cause")
    def test_messages_keep_secrets(self, harness: Harness) -> None:
        private = "13800138000"
        with opened(harness) as store:
            taken = keys_row(f"id {private}", number=private, scope=private, serial=13800138000)
            write(store, Insert("keys", taken))
            for change in (
                Insert("keys", taken),
                Insert("keys", keys_row("b", number=private)),
                Insert("keys", keys_row("b", scope=private, serial=13800138000)),
                Update("keys", changed(KEYS, taken, by=private), 7),
            ):
                kind = Conflict if isinstance(change, Update) else DuplicateKey
                told: BaseException | None = refuse(store, kind, change)
                while told is not None:
                    assert private not in str(told)
                    told = told.__cause__ or (None if told.__suppress_context__ else told.__context__)


def _reopen(harness: Harness, schema: Schema) -> None:
    assert harness.url is not None
    harness.backend.open(StoreURL.parse(harness.url), schema).close()


class Urls(Contract):
    """S-URL: where a store lies, and whose data lie there."""

    @clause("S-URL-01", "An option that the backend doesn't have raises InvalidURL", given="url")
    def test_unknown_options_are_refused(self, harness: Harness) -> None:
        assert harness.url is not None
        sign = "&" if "?" in harness.url else "?"
        with pytest.raises(InvalidURL):
            harness.backend.open(StoreURL.parse(f"{harness.url}{sign}no_such_option=1"), SCHEMA)

    @clause(
        "S-URL-02",
        "Data of a newer schema raise SchemaMismatch and stay as they are",
        needs=Capability.DURABLE,
        given="url",
    )
    def test_newer_data_are_refused(self, harness: Harness) -> None:
        with opened(harness) as store:
            add(store, VALUES, values_row("a"))
        with pytest.raises(SchemaMismatch):
            _reopen(harness, attrs.evolve(SCHEMA, version=SCHEMA.version - 1))
        with opened(harness) as store:
            assert read(store, VALUES, "a") == values_row("a")

    @clause(
        "S-URL-03",
        "Data with other fields raise SchemaMismatch and stay as they are",
        needs=Capability.DURABLE,
        given="url",
    )
    def test_other_fields_are_refused(self, harness: Harness) -> None:
        with opened(harness) as store:
            add(store, VALUES, values_row("a"))
        for fields in ((*VALUES.fields, Field("more", "text")), VALUES.fields[:-1]):
            other = attrs.evolve(VALUES, fields=fields, indexes=())
            with pytest.raises(SchemaMismatch):
                _reopen(
                    harness,
                    Schema.of(
                        SCHEMA.version, [{**SCHEMA.collections, "values": other}[name] for name in SCHEMA.collections]
                    ),
                )
        with opened(harness) as store:
            assert read(store, VALUES, "a") == values_row("a")

    @clause(
        "S-URL-04",
        "A file of another program raises an error of crmcore's own and stays as it is, byte for byte",
        since=(1, 1),
        needs=Capability.DURABLE,
        given="file",
    )
    def test_files_of_others_are_refused(self, harness: Harness) -> None:
        assert harness.file is not None
        file = Path(harness.file)
        for content in (b"dear diary\n" * 1000, b"\x00\xff" * 5000, b"PK\x03\x04 but no archive"):
            file.write_bytes(content)
            with pytest.raises(StorageError):
                harness.open().close()
            assert file.read_bytes() == content
        file.unlink()

    @clause(
        "S-URL-05",
        "A folder that isn't there raises StoreUnavailable, and is not made",
        since=(1, 1),
        needs=Capability.DURABLE,
        given="file",
    )
    def test_a_folder_must_be_there(self, harness: Harness) -> None:
        url = StoreURL.parse(str(harness.url))
        absent = Path(url.path).parent / "absent"
        path = str(absent / Path(url.path).name)
        elsewhere = StoreURL.parse(f"{url.scheme}:///{quote(path)}")
        with pytest.raises(StoreUnavailable):
            harness.backend.open(elsewhere, SCHEMA).close()
        assert not absent.exists()


class Capabilities(Contract):
    """S-CAPABILITY: what is declared is true, and can be proved."""

    @clause("S-CAPABILITY-01", "Capabilities are declared as a frozenset of Capability, the same for every instance")
    def test_capabilities_are_declared(self, harness: Harness) -> None:
        declared = type(harness.backend).capabilities
        assert isinstance(declared, frozenset)
        assert all(isinstance(capability, Capability) for capability in declared)
        assert harness.backend.capabilities == type(harness.backend)().capabilities == declared

    @clause(
        "S-CAPABILITY-02",
        "A backend for several processes gives the kit a URL to prove it by",
        needs=Capability.MULTI_PROCESS,
    )
    def test_several_processes_can_be_tried(self, harness: Harness) -> None:
        assert harness.url is not None, "the harness gives no url, so that no other process can open the store"

    @clause(
        "S-CAPABILITY-03",
        "Of a query by fields, order and limit nothing is left to be done in Python",
        needs=Capability.PUSH_DOWN,
    )
    def test_queries_are_pushed_down(self, harness: Harness) -> None:
        where = And(Eq("text", "a"), Ge("integer", 1), Ge("date", _DAY))
        with opened(harness) as store:
            add(store, VALUES, *(values_row(f"{number}", text="a", integer=number, date=_DAY) for number in range(5)))
            with store.transaction() as work:
                query = Query("values", where, ("-integer", "text"), None, 2)
                pushed = work.push(query)
                assert [row[0] for row in pushed.rows] == ["4", "3"]
                rest = pushed.rest
                assert (rest.where, rest.order, rest.after, rest.limit) == (None, (), None, None)
            assert [row[0] for row in find(store, query)] == ["4", "3"]

    @clause("S-CAPABILITY-04", "describe gives plain facts, check finds nothing wrong with sound data")
    def test_a_store_describes_itself(self, harness: Harness) -> None:
        with opened(harness) as store:
            add(store, VALUES, values_row("a"))
            assert isinstance(json.loads(json.dumps(store.describe())), dict)
            assert store.check() == []
            assert store.schema == SCHEMA

    @clause(
        "S-CAPABILITY-05",
        "A backend whose data people edit gives the kit somebody to edit them",
        since=(1, 1),
        needs=Capability.EXTERNAL_EDITS,
    )
    def test_a_person_can_be_played(self, harness: Harness) -> None:
        assert harness.edit is not None, "the harness gives no edit, so that no person can be played"
