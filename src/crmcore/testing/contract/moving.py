"""What happens to the data as a whole: a backup is made, a new schema comes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, TypeVar

import attrs
import pytest

from crmcore.errors import DuplicateKey, NotSupported, SchemaMismatch, StoreClosed, StoreUnavailable
from crmcore.storage import (
    Backend,
    Capability,
    Collection,
    Delete,
    Field,
    Insert,
    Row,
    Scalar,
    Scan,
    Schema,
    Store,
    StoreURL,
    Update,
)
from crmcore.testing.clause import Contract, NotOffered, clause
from crmcore.testing.contract.steps import add, assert_same, everything, opened, write
from crmcore.testing.difficult import DIFFICULT
from crmcore.testing.harness import Harness
from crmcore.testing.kit_schema import (
    FIELD_TYPES,
    GROUP,
    KEYS,
    SCHEMA,
    VALUES,
    group_row,
    keys_row,
    make_row,
    values_row,
)
from crmcore.testing.processes import DIED, run_children

T = TypeVar("T")

#: How long a writer stays in the store while a backup is made, in seconds: a backup may also wait for it.
_MEANWHILE: Final = 0.3


def offered(call: Callable[[], T]) -> T:
    """What the call gives, where the store can do it at all."""
    try:
        return call()
    except NotSupported as refusal:
        raise NotOffered from refusal


@contextmanager
def _targets(harness: Harness) -> Iterator[Callable[[str], str]]:
    """Paths for backups, named as the store's own file is."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        suffix = Path(harness.file or "").suffix
        yield lambda name: os.path.join(folder, name + suffix)


def _at(harness: Harness, target: str) -> Store:
    assert harness.backup_url is not None
    return harness.backend.open(StoreURL.parse(harness.backup_url(target)), SCHEMA)


def _difficult(store: Store) -> None:
    rows = (
        values_row(f"{type} {place}", **{type: value})
        for type in FIELD_TYPES
        for place, value in enumerate(DIFFICULT[type])
    )
    with store.transaction(write=True) as work:
        work.apply(Insert("values", row) for row in rows)
        work.apply([Insert("keys", keys_row("a", number="1")), Insert("group", group_row("a", order=1))])


class BackingUp(Contract):
    """S-BACKUP: the store as last committed, in a file of its own."""

    @clause(
        "S-BACKUP-01",
        "A backup opens as a store of its own with the same rows of every collection, keys and versions as before",
        since=(1, 1),
        given="backup_url",
        offers="backup",
    )
    def test_a_backup_is_a_store(self, harness: Harness) -> None:
        with opened(harness) as store, _targets(harness) as target:
            _difficult(store)
            offered(lambda: store.backup(target("backup")))
            before = everything(store)
            with closing(_at(harness, target("backup"))) as backup:
                kept = everything(backup)
                assert kept == before
                for id, row in kept["values"].items():
                    assert_same(row, before["values"][id])
                assert backup.check() == []
                with pytest.raises(DuplicateKey):
                    add(backup, KEYS, keys_row("b", number="1"))

    @clause(
        "S-BACKUP-02",
        "A store and its backup go their own ways",
        since=(1, 1),
        given="backup_url",
        offers="backup",
    )
    def test_a_backup_stands_alone(self, harness: Harness) -> None:
        with opened(harness) as store, _targets(harness) as target:
            add(store, GROUP, group_row("a"))
            offered(lambda: store.backup(target("first")))
            write(store, Update("group", group_row("a", 2), 1), Insert("group", group_row("b")))
            store.backup(target("second"))
            with closing(_at(harness, target("first"))) as first:
                write(first, Delete("group", "a", 1), Insert("group", group_row("c")))
                assert set(everything(first)["group"]) == {"c"}
            assert set(everything(store)["group"]) == {"a", "b"}
            with closing(_at(harness, target("second"))) as second:
                assert everything(second)["group"] == {"a": group_row("a", 2), "b": group_row("b")}

    @clause(
        "S-BACKUP-03",
        "A backup made while a writer is in the middle holds what was last committed",
        since=(1, 1),
        given="backup_url",
        offers="backup",
    )
    def test_a_backup_is_made_while_others_write(self, harness: Harness) -> None:
        with opened(harness) as store, opened(harness) as other, _targets(harness) as target:
            add(store, GROUP, group_row("a", order=1))
            before = everything(store)
            offered(lambda: store.backup(target("still")))
            for name, keep in (("kept", True), ("given up", False)):
                waited, making = False, None
                with ThreadPoolExecutor(1) as pool:
                    try:
                        with other.transaction(write=True) as work:
                            work.apply([Insert("group", group_row(name)), Insert("values", values_row(name))])
                            making = pool.submit(store.backup, target(name))
                            try:
                                making.result(_MEANWHILE)
                            except TimeoutError:
                                waited = True
                            if not keep:
                                raise LookupError
                    except LookupError:
                        pass
                assert making is not None
                making.result()
                after = everything(store)
                with closing(_at(harness, target(name))) as backup:
                    assert everything(backup) == (after if waited else before)
                before = after

    @clause(
        "S-BACKUP-04",
        "A target that is there already raises StoreUnavailable and stays as it is, byte for byte",
        since=(1, 1),
        given="backup_url",
        offers="backup",
    )
    def test_nothing_is_overwritten(self, harness: Harness) -> None:
        with opened(harness) as store, _targets(harness) as target:
            add(store, GROUP, group_row("a"))
            offered(lambda: store.backup(target("backup")))
            other = Path(target("other"))
            other.write_bytes(b"somebody's notes")
            for taken in (Path(target("backup")), other):
                kept = taken.read_bytes()
                with pytest.raises(StoreUnavailable):
                    store.backup(str(taken))
                assert taken.read_bytes() == kept
            add(store, GROUP, group_row("b"))

    @clause(
        "S-BACKUP-05",
        "A target that can't be written raises StoreUnavailable, and the store goes on",
        since=(1, 1),
        given="backup_url",
        offers="backup",
    )
    def test_a_target_must_be_writable(self, harness: Harness) -> None:
        with opened(harness) as store, _targets(harness) as target:
            add(store, GROUP, group_row("a"))
            offered(lambda: store.backup(target("backup")))
            folder = Path(target("absent"))
            with pytest.raises(StoreUnavailable):
                store.backup(str(folder / "backup"))
            assert not folder.exists()
            add(store, GROUP, group_row("b"))
            assert set(everything(store)["group"]) == {"a", "b"}

    @clause(
        "S-BACKUP-06",
        "After close a backup raises StoreClosed, and nothing is written",
        since=(1, 1),
        given="backup_url",
        offers="backup",
    )
    def test_a_closed_store_makes_no_backup(self, harness: Harness) -> None:
        with _targets(harness) as target:
            store = harness.open()
            add(store, GROUP, group_row("a"))
            offered(lambda: store.backup(target("backup")))
            store.close()
            with pytest.raises(StoreClosed):
                store.backup(target("later"))
            assert not os.path.exists(target("later"))


#: The next schema: VALUES has lost a field and gained one, GROUP is gone, NOTES is new, a key of KEYS is gone and one new.
_NEW_VALUES: Final = Collection(
    name="values",
    fields=(*(field for field in VALUES.fields if field.name != "decimal"), Field("more", "text", nullable=False)),
    indexes=(("more",),),
)
_NEW_KEYS: Final = attrs.evolve(KEYS, unique=(("number",), ("by", "on")), indexes=())
_NOTES: Final = Collection(
    name="notes",
    fields=(*GROUP.fields[:2], Field("text", "text"), Field("number", "integer")),
    unique=(("text",),),
)
NEXT: Final = Schema.of(SCHEMA.version + 1, [_NEW_VALUES, _NEW_KEYS, _NOTES])

Rewrite = Callable[[Scan], Iterable[Insert]]


def _rewritten(scan: Scan) -> Iterator[Insert]:
    """Every field that stays, what GROUP held as notes, versions one up."""
    for row in scan("values"):
        given = dict(zip(VALUES.positions, row, strict=True))
        kept = {name: given[name] for name in _NEW_VALUES.positions if name not in ("id", "version", "more")}
        yield Insert("values", make_row(_NEW_VALUES, str(row[0]), int(str(row[1])) + 1, **kept, more=f"更多 {row[0]}"))
    for row in scan("keys"):
        yield Insert("keys", row)
    for row in scan("group"):
        yield Insert("notes", make_row(_NOTES, str(row[0]), 1, text=f"note {row[0]}", number=row[2]))


def _address(harness: Harness) -> StoreURL:
    assert harness.url is not None
    return StoreURL.parse(harness.url)


def _rows(store: Store) -> dict[str, dict[Scalar, Row]]:
    with store.transaction() as work:
        return {name: {row[0]: row for row in work.scan(name)} for name in store.schema.collections}


def _fill(harness: Harness) -> dict[str, dict[Scalar, Row]]:
    with opened(harness) as store:
        _difficult(store)
        return everything(store)


def _new(before: dict[str, dict[Scalar, Row]]) -> dict[str, dict[Scalar, Row]]:
    made: dict[str, dict[Scalar, Row]] = {name: {} for name in NEXT.collections}
    for change in _rewritten(lambda name: iter(before[name].values())):
        made[change.collection][change.row[0]] = change.row
    return made


def _without_indexes(schema: Schema | None) -> object:
    return None if schema is None else (schema.version, schema.fingerprint)


class Upgrading(Contract):
    """S-UPGRADE: all data under a new schema, as one piece."""

    @clause(
        "S-UPGRADE-01",
        "stored tells the schema that the data are kept in, whatever schema the program has, and changes nothing",
        since=(1, 1),
        needs=Capability.DURABLE,
        given="url",
        offers="stored",
    )
    def test_a_store_tells_its_schema(self, harness: Harness) -> None:
        before = _fill(harness)
        for _ in range(2):
            told = offered(lambda: harness.backend.stored(_address(harness)))
            assert _without_indexes(told) == _without_indexes(SCHEMA)
        with opened(harness) as store:
            assert everything(store) == before

    @clause(
        "S-UPGRADE-02",
        "Where there are no data stored tells None, and makes none",
        since=(1, 1),
        needs=Capability.DURABLE,
        given="file",
        offers="stored",
    )
    def test_nothing_is_stored_at_first(self, harness: Harness) -> None:
        assert harness.file is not None
        there = sorted(os.listdir(os.path.dirname(harness.file) or "."))
        for _ in range(2):
            assert offered(lambda: harness.backend.stored(_address(harness))) is None
        assert sorted(os.listdir(os.path.dirname(harness.file) or ".")) == there

    @clause(
        "S-UPGRADE-03",
        "Data of an older schema raise SchemaMismatch and stay as they are",
        since=(1, 1),
        needs=Capability.DURABLE,
        given="url",
    )
    def test_older_data_are_refused(self, harness: Harness) -> None:
        before = _fill(harness)
        for schema in (attrs.evolve(SCHEMA, version=SCHEMA.version + 1), NEXT):
            with pytest.raises(SchemaMismatch):
                harness.backend.open(_address(harness), schema)
        with opened(harness) as store:
            assert everything(store) == before

    @clause(
        "S-UPGRADE-04",
        "After an upgrade all rows are there as rewritten, fields and collections new, changed and gone, and the keys hold",
        since=(1, 1),
        needs=Capability.DURABLE,
        given="url",
        offers="upgrade",
    )
    def test_all_rows_are_rewritten(self, harness: Harness) -> None:
        before = _fill(harness)
        offered(lambda: harness.backend.upgrade(_address(harness), NEXT, _rewritten))
        expected = _new(before)
        for _ in range(2):
            with closing(harness.backend.open(_address(harness), NEXT)) as store:
                got = _rows(store)
                assert got == expected
                for id, row in got["values"].items():
                    assert_same(row, expected["values"][id])
                for change in (
                    Insert("notes", make_row(_NOTES, "b", 1, text="note a")),
                    Insert("keys", keys_row("b", number="1")),
                ):
                    with pytest.raises(DuplicateKey), store.transaction(write=True) as work:
                        work.apply([change])
                assert store.check() == []
        assert _without_indexes(harness.backend.stored(_address(harness))) == _without_indexes(NEXT)
        with pytest.raises(SchemaMismatch):
            harness.open()

    @clause(
        "S-UPGRADE-05",
        "An exception out of rewrite comes out as it is and leaves the old data, at its beginning, within or at its end",
        since=(1, 1),
        needs=Capability.DURABLE,
        given="url",
        offers="upgrade",
    )
    def test_an_exception_leaves_the_old_data(self, harness: Harness) -> None:
        before = _fill(harness)
        total = sum(map(len, before.values()))
        for rows in (0, total // 2, total):
            trouble = LookupError("no rule for this row")

            def broken(scan: Scan, rows: int = rows, trouble: LookupError = trouble) -> Iterator[Insert]:
                for place, change in enumerate(_rewritten(scan)):
                    if place == rows:
                        raise trouble
                    yield change
                raise trouble

            with pytest.raises(LookupError) as raised:
                offered(lambda: harness.backend.upgrade(_address(harness), NEXT, broken))
            assert raised.value is trouble
            with opened(harness) as store:
                assert everything(store) == before

    @clause(
        "S-UPGRADE-06",
        "Rows that break a key of the new schema raise DuplicateKey and leave the old data",
        since=(1, 1),
        needs=Capability.DURABLE,
        given="url",
        offers="upgrade",
    )
    def test_new_keys_must_hold(self, harness: Harness) -> None:
        before = _fill(harness)

        def twice(scan: Scan) -> Iterator[Insert]:
            yield from _rewritten(scan)
            yield Insert("notes", make_row(_NOTES, "another", 1, text="note a"))

        with pytest.raises(DuplicateKey):
            offered(lambda: harness.backend.upgrade(_address(harness), NEXT, twice))
        with opened(harness) as store:
            assert everything(store) == before
            add(store, GROUP, group_row("b"))

    @clause(
        "S-UPGRADE-07",
        "A process that dies in an upgrade leaves the old data or the new, and no lock",
        since=(1, 1),
        needs=Capability.DURABLE,
        given="url",
        offers="upgrade",
    )
    def test_a_dead_upgrade_leaves_old_or_new(self, harness: Harness) -> None:
        before = _fill(harness)
        total = sum(map(len, before.values()))
        # Whether upgrades are offered at all is asked with one that changes nothing.
        offered(lambda: _give_up(harness))
        for rows in (1, total):
            run_children(harness.backend, str(harness.url), die_upgrading, (rows,), expected=DIED, opened=False)
            told = harness.backend.stored(_address(harness))
            assert told is not None, "the data are gone"
            if told.version == NEXT.version:
                with closing(harness.backend.open(_address(harness), NEXT)) as store:
                    assert _rows(store) == _new(before)
                return
            with opened(harness) as store:
                assert everything(store) == before
        harness.backend.upgrade(_address(harness), NEXT, _rewritten)
        with closing(harness.backend.open(_address(harness), NEXT)) as store:
            assert _rows(store) == _new(before)


def die_upgrading(backend: Backend, url: StoreURL, rows: int) -> None:
    """In a child: begins the upgrade, and dies without a word after so many rows."""

    def dying(scan: Scan) -> Iterator[Insert]:
        for place, change in enumerate(_rewritten(scan)):
            if place == rows:
                os._exit(DIED)
            yield change
        os._exit(DIED)

    backend.upgrade(url, NEXT, dying)


def _give_up(harness: Harness) -> None:
    def no(scan: Scan) -> Iterator[Insert]:
        raise LookupError
        yield

    with pytest.raises(LookupError):
        harness.backend.upgrade(_address(harness), NEXT, no)
