"""A store as a whole: upgraded, copied, backed up; every time what comes out is what went in."""

from __future__ import annotations

import datetime
import sqlite3
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

import crmcore
from crmcore.app.stores import Upgraded
from crmcore.domain.policies import Label
from crmcore.errors import (
    BackendNotFound,
    DuplicateKey,
    NotSupported,
    ReadOnly,
    SchemaMismatch,
    StoreBusy,
    StoreCorrupt,
    StoreUnavailable,
)
from crmcore.plugins import open_store
from crmcore.storage import Collection, Field, Insert, Schema
from crmcore.storage.codec import SCHEMA
from crmcore.storage.digest import digest_of
from crmcore.storage.memory import MemoryData, MemoryStore, MemoryTransaction
from crmcore.storage.upgrades import Step
from crmcore.testing.difficult import LONG_TEXTS, TEXTS

HEAD = (Field("id", "text", nullable=False), Field("version", "integer", nullable=False))
OLD = Schema.of(
    1,
    [
        Collection(name="people", fields=(*HEAD, Field("name", "text", nullable=False), Field("fax", "text"))),
        Collection(name="notes", fields=(*HEAD, Field("text", "text")), indexes=(("text",),)),
        Collection(name="scraps", fields=(*HEAD, Field("text", "text"))),
    ],
)
NEW = Schema.of(
    2,
    [
        Collection(
            name="people",
            fields=(*HEAD, Field("select", "text"), Field("name", "text", nullable=False)),
            unique=(("name",),),
            indexes=(("select", "name"),),
        ),
        Collection(name="notes", fields=(*HEAD, Field("text", "text")), indexes=(("text",),)),
        Collection(name="numbers", fields=(*HEAD, Field("number", "text", nullable=False))),
    ],
)
STEP = Step(
    source=1,
    says=Label(zh="传真另存", en="fax numbers get a place of their own"),
    shapes=["people", "numbers"],
    gone={"people.fax": "now in numbers", "scraps": "nobody read them"},
    extra={
        "people": lambda old: [("numbers", {"id": old["id"], "version": 1, "number": old["fax"]})] if old["fax"] else []
    },
)
PEOPLE = [(f"{number:04}", 3, f"{text}{number}", text if number % 2 else None) for number, text in enumerate(TEXTS)]
NOTES = [(f"{number}", 1, text) for number, text in enumerate((*TEXTS, *LONG_TEXTS))]


def clock() -> datetime.datetime:
    return datetime.datetime(2026, 11, 30, 2, 0, tzinfo=datetime.UTC)


@pytest.fixture
def old(tmp_path: Path) -> str:
    """The URL of a store in the format before."""
    url = f"sqlite:///{(tmp_path / '客户 1.db').as_posix()}"
    with open_store(url, OLD) as store, store.transaction(write=True) as work:
        work.apply(Insert("people", row) for row in PEOPLE)
        work.apply(Insert("notes", row) for row in NOTES)
        work.apply([Insert("scraps", ("1", 1, None))])
    return url


def upgrade(url: str, **options: object) -> Upgraded:
    return crmcore.upgrade(url, schema=NEW, steps=[STEP], clock=clock, **options)


def everything(url: str, schema: Schema) -> dict[str, list[object]]:
    with open_store(url, schema) as store, store.transaction() as work:
        return {name: sorted(work.scan(name)) for name in schema.collections}


def files(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in tmp_path.iterdir() if not path.name.endswith("-journal"))


def test_an_upgrade_backs_up_replaces_and_says_what_it_did(old: str, tmp_path: Path) -> None:
    done = upgrade(old)
    assert (done.source, done.target, done.dry_run) == (1, 2, False)
    assert [step.en for step in done.steps] == ["fax numbers get a place of their own"]
    told = {
        one.name: (one.state, one.rows_before, one.rows_after, one.new_fields, one.gone_fields) for one in done.changes
    }
    faxes = len(TEXTS) // 2
    assert told == {
        "people": ("changed", len(PEOPLE), len(PEOPLE), ("select",), ("fax",)),
        "notes": ("kept", len(NOTES), len(NOTES), (), ()),
        "scraps": ("gone", 1, 0, (), ("id", "version", "text")),
        "numbers": ("new", 0, faxes, ("id", "version", "number"), ()),
    }
    kept = everything(old, NEW)
    assert kept["people"] == [(id, version, None, name) for id, version, name, _ in PEOPLE]
    assert kept["notes"] == sorted(NOTES)
    assert kept["numbers"] == [(id, 1, fax) for id, _, _, fax in PEOPLE if fax]
    assert done.backup == str(tmp_path / "客户 1-format1-20261130T020000Z.db")
    assert files(tmp_path) == sorted(["客户 1.db", Path(done.backup).name])
    assert everything(f"sqlite:///{done.backup}", OLD)["people"] == PEOPLE


def test_an_upgraded_store_is_like_one_that_was_made_new(old: str, tmp_path: Path) -> None:
    upgrade(old)
    fresh = tmp_path / "fresh.db"
    open_store(f"sqlite:///{fresh.as_posix()}", NEW).close()

    def made(path: Path) -> object:
        connection = sqlite3.connect(path)
        try:
            master = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()
            facts = connection.execute("SELECT * FROM _crmcore").fetchall()
            numbers = [
                connection.execute(f"PRAGMA {name}").fetchone()
                for name in ("user_version", "application_id", "freelist_count")
            ]
            return master, facts, numbers
        finally:
            connection.close()

    assert made(tmp_path / "客户 1.db") == made(fresh)


def test_a_rehearsal_says_the_same_and_writes_nothing(old: str, tmp_path: Path) -> None:
    before = (tmp_path / "客户 1.db").read_bytes()
    rehearsed = upgrade(old, dry_run=True)
    assert (tmp_path / "客户 1.db").read_bytes() == before
    assert files(tmp_path) == ["客户 1.db"]
    done = upgrade(old)
    assert rehearsed == attrs.evolve(done, dry_run=True, backup=None)


def test_an_upgrade_is_done_once_and_newer_data_are_refused(old: str) -> None:
    with pytest.raises(SchemaMismatch, match="crmcore upgrade"):
        open_store(old, NEW)
    upgrade(old)
    again = upgrade(old)
    assert (again.steps, again.backup, again.digest) == ((), None, None)
    with pytest.raises(SchemaMismatch, match="a newer crmcore is needed"):
        open_store(old, OLD)
    with pytest.raises(SchemaMismatch, match="a newer crmcore is needed"):
        crmcore.upgrade(old, schema=OLD, steps=[STEP])


@pytest.mark.parametrize("dry_run", [True, False])
def test_what_the_new_format_has_no_room_for_is_told_before_anything_is_written(
    old: str, tmp_path: Path, dry_run: bool
) -> None:
    with open_store(old, OLD) as store, store.transaction(write=True) as work:
        work.apply([Insert("people", ("x", 1, PEOPLE[0][2], None))])
    before = (tmp_path / "客户 1.db").read_bytes()
    with pytest.raises(DuplicateKey) as caught:
        upgrade(old, dry_run=dry_run)
    assert caught.value.details == {"collection": "people", "fields": ("name",)}
    assert (tmp_path / "客户 1.db").read_bytes() == before
    assert files(tmp_path) == ["客户 1.db"]


def test_an_upgrade_waits_for_nobody_who_stays(old: str, tmp_path: Path) -> None:
    impatient = f"{old}?wait=0.05"
    with open_store(old, OLD) as store, store.transaction() as work:
        next(work.scan("notes"))
        with pytest.raises(StoreBusy):
            upgrade(impatient)
    assert everything(old, OLD)["people"] == PEOPLE


def test_a_program_that_stayed_open_over_an_upgrade_writes_no_more(old: str) -> None:
    with open_store(old, OLD) as store:
        with store.transaction() as work:
            assert work.count("notes") == len(NOTES)
        upgrade(old)
        with pytest.raises(SchemaMismatch, match="open them again"), store.transaction(write=True):
            pass
    assert everything(old, NEW)["notes"] == sorted(NOTES)


def test_there_must_be_something_to_upgrade_and_a_way_to_do_it(tmp_path: Path) -> None:
    nowhere = f"sqlite:///{tmp_path.as_posix()}/none.db"
    for call in (
        crmcore.upgrade,
        lambda url: crmcore.backup(url, "x"),
        lambda url: crmcore.copy(url, "sqlite:///x.db"),
    ):
        with pytest.raises(StoreUnavailable, match="no store at this URL"):
            call(nowhere)
    assert files(tmp_path) == []
    with pytest.raises(NotSupported):
        crmcore.upgrade("memory:")
    with pytest.raises(NotSupported, match="keeps nothing"):
        crmcore.copy(nowhere, "memory:")
    with pytest.raises(BackendNotFound):
        crmcore.upgrade("nothing://here")


@pytest.fixture
def lived(me: crmcore.Session, clock: object) -> crmcore.CRM:
    """A CRM in which something happened."""
    acme = me.customers.register(name="示例科技有限公司", industry="制造业", remarks="=1+1\n'\"")
    me.follow_ups.log(acme, summary="电话", next_step="x", next_on=datetime.date(2023, 10, 20))
    me.opportunities.open(name="数控机床", customer=acme, expected_amount=crmcore.Money.of("0.01"))
    return me.crm


def digests(store: object) -> dict[str, str]:
    with store.transaction() as work:
        return {name: digest_of(work, name).hexdigest() for name in work.schema.collections}


@pytest.mark.parametrize("target", ["memory", "sqlite"])
def test_a_copy_holds_the_same(lived: crmcore.CRM, tmp_path: Path, target: str) -> None:
    if target == "memory":
        store = open_store("memory:", SCHEMA)
        done = crmcore.copy(lived.store, store)
    else:
        done = crmcore.copy(lived.store, f"sqlite:///{tmp_path.as_posix()}/copy.db")
        store = open_store(f"sqlite:///{tmp_path.as_posix()}/copy.db", SCHEMA)
    with store:
        assert done.digests == digests(lived.store) == digests(store)
        assert done.format == SCHEMA.version
        assert done.rows["customers"] == 1
        with crmcore.open(store, clock=lived.clock) as crm:
            assert crm.playbook.key == lived.playbook.key
            assert [one.name for one in crm.acting_as("li").customers.find()] == ["示例科技有限公司"]


def test_a_copy_keeps_the_format_of_its_source(old: str, tmp_path: Path) -> None:
    target = f"sqlite:///{tmp_path.as_posix()}/copy.db"
    assert crmcore.copy(old, target).format == 1
    assert everything(target, OLD) == everything(old, OLD)


def test_nothing_is_copied_over_what_is_there(lived: crmcore.CRM, tmp_path: Path) -> None:
    target = f"sqlite:///{tmp_path.as_posix()}/copy.db"
    crmcore.copy(lived.store, target)
    before = (tmp_path / "copy.db").read_bytes()
    with pytest.raises(StoreUnavailable, match="already holds data"):
        crmcore.copy(lived.store, target)
    assert (tmp_path / "copy.db").read_bytes() == before
    with pytest.raises((StoreUnavailable, StoreBusy)):
        crmcore.copy(f"{target}?wait=0.01", f"{target}?wait=0.01")


def test_a_target_that_gives_back_something_else_is_found_out(lived: crmcore.CRM) -> None:
    class Forgetful(MemoryTransaction):
        def scan(self, collection):
            return (tuple(None if value == "制造业" else value for value in row) for row in super().scan(collection))

    class Store(MemoryStore):
        def transaction(self, *, write=False):
            return Forgetful(self._data, write=write)

    with pytest.raises(StoreCorrupt, match="other rows of customers"):
        crmcore.copy(lived.store, Store(MemoryData(SCHEMA)))


def test_a_backup_is_a_store_of_its_own(lived: crmcore.CRM, store_url: str, tmp_path: Path) -> None:
    target = tmp_path / "backup.db"
    if store_url == "memory:":
        with pytest.raises(NotSupported, match="copy"):
            lived.store.backup(str(target))
        return
    crmcore.backup(store_url, target)
    assert files(tmp_path) == ["backup.db", "crm.db"]
    with open_store(f"sqlite:///{target.as_posix()}", SCHEMA) as store:
        assert digests(store) == digests(lived.store)
    before = target.read_bytes()
    with pytest.raises(StoreUnavailable, match="there already"):
        crmcore.backup(store_url, target)
    with pytest.raises(StoreUnavailable, match="No such file"):
        crmcore.backup(store_url, tmp_path / "none" / "backup.db")
    assert target.read_bytes() == before
    assert files(tmp_path) == ["backup.db", "crm.db"]


COPYING = """
import resource, sys
import crmcore
from crmcore.plugins import open_store
from crmcore.storage import Collection, Field, Insert, Schema
schema = Schema.of(1, [Collection(name="notes", fields=(Field("id", "text"), Field("version", "integer"), Field("text", "text")))])
def filled(path, count):
    url = f"sqlite:///{path}"
    with open_store(url, schema) as store, store.transaction(write=True) as work:
        work.apply(Insert("notes", (f"{number:07}", 1, "text " * 20)) for number in range(count))
    return url
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
folder = sys.argv[1]
crmcore.copy(filled(f"{folder}/small.db", 1000), f"sqlite:///{folder}/small-copy.db")
before = peak()
crmcore.copy(filled(f"{folder}/large.db", 60_000), f"sqlite:///{folder}/large-copy.db")
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kB there")
def test_memory_does_not_grow_with_what_is_copied(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", COPYING, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 12_000


def test_a_copy_into_what_may_not_be_written_is_refused(lived: crmcore.CRM) -> None:
    class Store(MemoryStore):
        def transaction(self, *, write=False):
            return MemoryTransaction(self._data, write=False)

    with pytest.raises(ReadOnly):
        crmcore.copy(lived.store, Store(MemoryData(SCHEMA)))
