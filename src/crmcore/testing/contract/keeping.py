"""What is kept: values, ids and versions, unique keys."""

from __future__ import annotations

from hypothesis import given

from crmcore.errors import CRMError, DuplicateKey
from crmcore.storage import Collection, Delete, Insert, Query, Row, Store, Update
from crmcore.testing import strategies
from crmcore.testing.clause import Contract, clause
from crmcore.testing.contract.steps import add, assert_same, everything, opened, read, refuse, write
from crmcore.testing.difficult import DIFFICULT, LONG_TEXTS
from crmcore.testing.harness import Harness
from crmcore.testing.kit_schema import (
    FIELD_TYPES,
    GROUP,
    KEYS,
    SCHEMA,
    VALUES,
    changed,
    group_row,
    keys_row,
    values_row,
)


def _assert_kept(store: Store, collection: Collection, *rows: Row) -> None:
    # Every way to read must give the same.
    with store.transaction() as work:
        scanned = {row[0]: row for row in work.scan(collection.name)}
        found = {row[0]: row for row in work.find(Query(collection.name, order=("id",)))}
        many = work.get_many(collection.name, [str(row[0]) for row in rows])
        for row in rows:
            id = str(row[0])
            for got in (work.get(collection.name, id), scanned.get(id), found.get(id), many.get(id)):
                assert_same(got, row)


class Values(Contract):
    """S-VALUE: what is written comes back, exactly."""

    @clause("S-VALUE-01", "Every difficult value of every field type comes back equal and of its own type")
    def test_difficult_values_come_back(self, harness: Harness) -> None:
        rows = [
            values_row(f"{type} {place}", **{type: value, f"some_{type}": value})
            for type in FIELD_TYPES
            for place, value in enumerate(DIFFICULT[type])
        ]
        with opened(harness) as store:
            add(store, VALUES, *rows)
            _assert_kept(store, VALUES, *rows)

    @clause("S-VALUE-02", "None comes back as None, apart from 0, False and texts that look like nothing")
    def test_none_is_none(self, harness: Harness) -> None:
        rows = [
            values_row("none"),
            values_row("zero", integer=0, boolean=False, text="0"),
            values_row("word", text="None"),
            values_row("sql", text="NULL"),
        ]
        with opened(harness) as store:
            add(store, VALUES, *rows)
            _assert_kept(store, VALUES, *rows)

    @clause("S-VALUE-03", "A text of 32,767 UTF-16 units comes back whole, in any script")
    def test_the_longest_texts_come_back(self, harness: Harness) -> None:
        rows = [values_row(str(place), text=text, some_text=text) for place, text in enumerate(LONG_TEXTS)]
        with opened(harness) as store:
            add(store, VALUES, *rows)
            _assert_kept(store, VALUES, *rows)

    @clause("S-VALUE-04", "Any rows come back as they were written")
    def test_any_rows_come_back(self, harness: Harness) -> None:
        @harness.settings()
        @given(rows=strategies.lists_of_rows(VALUES))
        def come_back(rows: list[Row]) -> None:
            harness.clear()
            with opened(harness) as store:
                add(store, VALUES, *rows)
                _assert_kept(store, VALUES, *rows)

        come_back()

    @clause("S-VALUE-05", "An update puts the whole row in the old one's place, None and back included")
    def test_an_update_replaces_all(self, harness: Harness) -> None:
        full = values_row("a", **{type: DIFFICULT[type][1] for type in FIELD_TYPES})
        bare = changed(VALUES, full, **dict.fromkeys(FIELD_TYPES))
        again = changed(VALUES, bare, **{type: DIFFICULT[type][0] for type in FIELD_TYPES})
        with opened(harness) as store:
            add(store, VALUES, full)
            write(store, Update("values", bare, 1))
            _assert_kept(store, VALUES, bare)
            write(store, Update("values", again, 2))
            _assert_kept(store, VALUES, again)


class Identity(Contract):
    """S-ID: one row per id, at one version."""

    @clause("S-ID-01", "An id that isn't there gives None, also when another collection holds it")
    def test_an_absent_id_is_none(self, harness: Harness) -> None:
        with opened(harness) as store:
            add(store, VALUES, values_row("a"))
            assert read(store, VALUES, "b") is None
            assert read(store, KEYS, "a") is None

    @clause("S-ID-02", "An id that is there can't be inserted again: DuplicateKey, and the row stays as it is")
    def test_an_id_is_inserted_once(self, harness: Harness) -> None:
        with opened(harness) as store:
            add(store, VALUES, values_row("a", text="first"))
            refuse(store, DuplicateKey, Insert("values", values_row("a", text="second")))

    @clause("S-ID-03", "An id may come back after its row was deleted, and may stand in two collections")
    def test_an_id_is_free_again(self, harness: Harness) -> None:
        with opened(harness) as store:
            add(store, VALUES, values_row("a", text="first"))
            add(store, GROUP, group_row("a"))
            write(store, Delete("values", "a", 1))
            assert read(store, VALUES, "a") is None
            add(store, VALUES, values_row("a", text="second"))
            assert_same(read(store, VALUES, "a"), values_row("a", text="second"))
            assert_same(read(store, GROUP, "a"), group_row("a"))

    @clause("S-ID-04", "The version kept is the one that the row carries")
    def test_the_version_is_the_rows_own(self, harness: Harness) -> None:
        with opened(harness) as store:
            add(store, VALUES, values_row("a", 7))
            write(store, Update("values", values_row("a", 2**40), 7))
            assert_same(read(store, VALUES, "a"), values_row("a", 2**40))
            write(store, Delete("values", "a", 2**40))
            assert read(store, VALUES, "a") is None

    @clause("S-ID-05", "Any text is an id, and ids that differ in case, width or script are different")
    def test_any_text_is_an_id(self, harness: Harness) -> None:
        rows = [values_row(str(text), text=text) for text in DIFFICULT["text"]]
        with opened(harness) as store:
            add(store, VALUES, *rows)
            _assert_kept(store, VALUES, *rows)

    @clause("S-ID-06", "An id that no row can have gives None or an error of crmcore's own, never one of a driver's")
    def test_an_impossible_id_is_no_accident(self, harness: Harness) -> None:
        with opened(harness) as store:
            add(store, VALUES, values_row("a"))
            for id in ("", " ", "\x00", "a\x00", "\ud800", "a' OR 'a' = 'a", "%", "x" * 100_000):
                try:
                    assert read(store, VALUES, id) is None
                except CRMError:
                    continue

    @clause(
        "S-ID-07", "get_many gives what get gives, absent ids left out, for one id, none, the same twice and 40,000"
    )
    def test_many_are_got_as_one_is(self, harness: Harness) -> None:
        rows = {str(number): values_row(str(number), integer=number) for number in range(50)}
        with opened(harness) as store:
            add(store, VALUES, *rows.values())
            with store.transaction() as work:
                assert work.get_many("values", []) == {}
                assert work.get_many("values", ["absent"]) == {}
                assert work.get_many("values", ["7"]) == {"7": rows["7"]}
                assert work.get_many("values", ["7", "absent", "7", "3"]) == {"7": rows["7"], "3": rows["3"]}
                for numbers in (range(40_000), reversed(range(40_000))):
                    assert work.get_many("values", [str(number) for number in numbers]) == rows


class Keys(Contract):
    """S-KEY: unique keys of the schema."""

    @clause("S-KEY-01", "A row with a unique key that is taken can't be inserted: DuplicateKey")
    def test_a_taken_key_is_refused(self, harness: Harness) -> None:
        with opened(harness) as store:
            add(store, KEYS, keys_row("a", number="1"))
            refuse(store, DuplicateKey, Insert("keys", keys_row("b", number="1")))

    @clause("S-KEY-02", "A row can't be updated to a unique key that is taken, but keeps its own")
    def test_a_row_keeps_its_own_key(self, harness: Harness) -> None:
        one, other = keys_row("a", number="1", scope="x", serial=1), keys_row("b", number="2", scope="x", serial=2)
        with opened(harness) as store:
            add(store, KEYS, one, other)
            refuse(store, DuplicateKey, Update("keys", changed(KEYS, other, number="1"), 1))
            refuse(store, DuplicateKey, Update("keys", changed(KEYS, other, serial=1), 1))
            write(store, Update("keys", changed(KEYS, other, by="li"), 1))
            assert_same(read(store, KEYS, "b"), changed(KEYS, other, by="li"))

    @clause("S-KEY-03", "A key of several fields is taken only as a whole")
    def test_a_compound_key_counts_as_a_whole(self, harness: Harness) -> None:
        with opened(harness) as store:
            add(
                store,
                KEYS,
                keys_row("a", scope="x", serial=1),
                keys_row("b", scope="x", serial=2),
                keys_row("c", scope="y", serial=1),
            )
            refuse(store, DuplicateKey, Insert("keys", keys_row("d", scope="y", serial=1)))

    @clause("S-KEY-04", "A key with a None in it is never taken")
    def test_none_is_no_key(self, harness: Harness) -> None:
        rows = [
            *(keys_row(f"none {number}") for number in range(2)),
            *(keys_row(f"scope {number}", scope="x") for number in range(2)),
            *(keys_row(f"serial {number}", serial=1) for number in range(2)),
        ]
        with opened(harness) as store:
            add(store, KEYS, *rows)
            _assert_kept(store, KEYS, *rows)

    @clause("S-KEY-05", "A key that an update or a delete gave up may be taken, in the same batch too")
    def test_a_key_is_free_again(self, harness: Harness) -> None:
        first, second = keys_row("a", number="1"), keys_row("b", number="2")
        with opened(harness) as store:
            add(store, KEYS, first, second)
            moved = changed(KEYS, first, number="3")
            write(store, Update("keys", moved, 1))
            add(store, KEYS, keys_row("c", number="1"))
            write(
                store,
                Delete("keys", "b", 1),
                Update("keys", changed(KEYS, moved, number="2"), 2),
                Insert("keys", keys_row("d", number="3")),
            )
            numbers = {id: row[2] for id, row in everything(store)["keys"].items()}
            assert numbers == {"a": "2", "c": "1", "d": "3"}

    @clause("S-KEY-06", "Keys that differ in case, width, accent or script are different")
    def test_keys_compare_to_the_letter(self, harness: Harness) -> None:
        rows = [keys_row(str(place), number=text) for place, text in enumerate(DIFFICULT["text"])]
        with opened(harness) as store:
            add(store, KEYS, *rows)
            _assert_kept(store, KEYS, *rows)

    @clause("S-KEY-07", "A key that the same batch has taken is taken")
    def test_a_key_is_taken_within_a_batch(self, harness: Harness) -> None:
        one, other = keys_row("a", number="1"), keys_row("b", number="1")
        with opened(harness) as store:
            refuse(store, DuplicateKey, Insert("keys", one), Insert("keys", other))
            # In their order: what a later change would free is not free yet.
            add(store, KEYS, one)
            refuse(store, DuplicateKey, Insert("keys", other), Delete("keys", "a", 1))
            assert set(everything(store)) == set(SCHEMA.collections)
