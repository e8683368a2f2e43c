"""The tables of another format: an upgrade that is cut off at any moment leaves the old data or the new, never half of them."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import attrs
import pytest
from sqlite_samples import FULL, NOTES, SCHEMA, THINGS, beside, everything, note, open_store, open_wal_store, thing, url

from crmcore.errors import DuplicateKey, SchemaMismatch, StorageError, StoreBusy, StoreCorrupt, StoreUnavailable
from crmcore.storage import Collection, Field, Insert, Scan, Schema
from crmcore_sqlite import SqliteBackend

# A field goes from notes, one is new; things stay; a collection ends and one begins.
AFTER = Schema.of(
    4,
    [
        THINGS,
        attrs.evolve(NOTES, fields=(*NOTES.fields[:3], Field("words", "integer"), Field("text", "text"))),
        Collection(name="group", fields=THINGS.fields[:3], unique=(("number",),)),
    ],
)
ROWS = [thing(f"{number:03}", text="客户" * 20, integer=number) for number in range(60)]
REMARKS = [note(f"{number:03}", text="x" * 300) for number in range(90)]


def rewrite(scan: Scan):
    for row in scan("things"):
        yield Insert("things", row)
    for id, version, thing_id, text in scan("notes"):
        yield Insert("notes", (id, version, thing_id, len(str(text)), text))
        if str(id) < "003":
            yield Insert("group", (id, version, id))


OLD_ROWS = {"things": {*ROWS, FULL}, "notes": set(REMARKS)}
NEW_ROWS = {
    "things": {*ROWS, FULL},
    "notes": {(*row[:3], len(str(row[3])), row[3]) for row in REMARKS},
    "group": {(f"{number:03}", 1, f"{number:03}") for number in range(3)},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "a.db"
    with open_store(path, journal="truncate") as store, store.transaction(write=True) as work:
        work.apply([*(Insert("things", row) for row in [*ROWS, FULL]), *(Insert("notes", row) for row in REMARKS)])
    return path


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made, tmp_path))


def upgrade(path: Path, **options: str) -> None:
    SqliteBackend().upgrade(url(path, **options), AFTER, rewrite)


def version_of(path: Path) -> int:
    """The format of a store that must be whole, and hold what was there or what was to come."""
    stored = SqliteBackend().stored(url(path))
    assert stored is not None
    schema = SCHEMA if stored.version == SCHEMA.version else AFTER
    with open_store(path, schema) as store:
        assert store.check() == []
        assert everything(store) == (OLD_ROWS if schema is SCHEMA else NEW_ROWS)
    with beside(path) as other:
        tables = {name for (name,) in other.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == {*schema.collections, "_crmcore"}
    return schema.version


def test_the_schema_that_is_stored_is_told_and_nothing_changed(path: Path, tmp_path: Path) -> None:
    backend, before = SqliteBackend(), path.read_bytes()
    stored = backend.stored(url(path))
    assert stored is not None
    assert (stored.version, stored.fingerprint) == (SCHEMA.version, SCHEMA.fingerprint)
    assert path.read_bytes() == before
    assert backend.stored(url(tmp_path / "none.db")) is None
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "empty.db").touch()
    assert backend.stored(url(tmp_path / "empty.db")) is None
    with beside(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE things (id)")
    with pytest.raises(SchemaMismatch, match="another program"):
        backend.stored(url(tmp_path / "other.db"))
    (tmp_path / "text.db").write_bytes(b"name,phone\n" * 500)
    with pytest.raises(StoreCorrupt):
        backend.stored(url(tmp_path / "text.db"))


def test_a_store_with_a_log_tells_its_schema_and_keeps_its_log(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with open_wal_store(path):
        assert SqliteBackend().stored(url(path)) is not None
        with beside(path) as other:
            assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize(
    "facts", ["DELETE FROM _crmcore", "UPDATE _crmcore SET value = '[]'", "UPDATE _crmcore SET value = 'x'"]
)
def test_a_database_that_does_not_say_what_it_holds_is_damaged(path: Path, facts: str) -> None:
    with beside(path) as other:
        other.execute(facts)
    with pytest.raises(StoreCorrupt):
        SqliteBackend().stored(url(path))
    with pytest.raises(StorageError):
        open_store(path)


def test_everything_is_replaced_as_one_piece(path: Path) -> None:
    upgrade(path)
    assert version_of(path) == 4
    with pytest.raises(SchemaMismatch, match="not in an older format"):
        upgrade(path)
    assert version_of(path) == 4


@pytest.mark.parametrize("fault", [KeyError("x"), DuplicateKey("x"), KeyboardInterrupt()])
def test_what_goes_wrong_in_between_leaves_all_as_it_was(path: Path, fault: BaseException) -> None:
    def failing(scan: Scan):
        yield from rewrite(scan)
        raise fault

    with pytest.raises(type(fault)):
        SqliteBackend().upgrade(url(path), AFTER, failing)
    assert version_of(path) == 3


def test_a_key_that_is_taken_twice_leaves_all_as_it_was(path: Path) -> None:
    def twice(scan: Scan):
        yield from rewrite(scan)
        yield Insert("group", ("x", 1, "001"))

    with pytest.raises(DuplicateKey):
        SqliteBackend().upgrade(url(path), AFTER, twice)
    assert version_of(path) == 3


def test_nobody_may_have_a_store_with_a_log_open(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with open_wal_store(path) as store:
        with store.transaction(write=True) as work:
            work.apply([Insert("notes", REMARKS[0])])
        with pytest.raises(StoreBusy, match="must be closed"):
            upgrade(path, wait="0.05")
        assert everything(store)["notes"] == {REMARKS[0]}
    upgrade(path)
    with open_store(path, AFTER) as store:
        assert len(everything(store)["notes"]) == 1


def test_somebody_who_reads_or_writes_is_waited_for_and_then_the_upgrade_gives_up(path: Path) -> None:
    for write in (False, True):
        with open_store(path, journal="truncate") as store, store.transaction(write=write) as work:
            next(work.scan("notes"))
            with pytest.raises(StoreBusy):
                upgrade(path, wait="0.05")
    assert version_of(path) == 3


def test_there_must_be_something_to_upgrade(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        upgrade(tmp_path / "none.db")
    (tmp_path / "empty.db").touch()
    with pytest.raises(StoreUnavailable):
        upgrade(tmp_path / "empty.db")
    assert (tmp_path / "empty.db").read_bytes() == b""


CUT = """
import os, random, shutil, signal, subprocess, sys, time
how, folder, turns = sys.argv[1], sys.argv[3], int(sys.argv[4])
sys.path[:0] = sys.argv[5:]
from pathlib import Path
import sqlite3
from test_sqlite_upgrading import upgrade, version_of
path, made = Path(folder) / "a.db", Path(sys.argv[2])

def child_upgrades(go):
    child = os.fork()
    if not child:
        os.read(go, 1)
        upgrade(path)
        os._exit(0)
    return child

def after(child):
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), status
    hot = path.with_name("a.db-journal")
    cut = status and hot.exists() and hot.stat().st_size > 0
    version = version_of(path)
    assert status or version == 4
    return status, cut, version

def begun(**options):
    hot = path.with_name("a.db-journal")
    hot.unlink(missing_ok=True)
    shutil.copy(made, path)
    ear, mouth = os.pipe()
    return child_upgrades(ear), mouth

seen, cuts = set(), 0
if how == "random":
    random.seed(1)
    for _ in range(turns):
        child, mouth = begun()
        os.write(mouth, b"x")
        time.sleep(random.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        status, cut, version = after(child)
        cuts += bool(cut)
        seen.add(version)
        os.close(mouth)
else:
    for call in ("pwrite64", "fdatasync", "fsync", "ftruncate", "unlink"):
        number, step = 1, 1
        while True:
            child, mouth = begun()
            tracer = subprocess.Popen(["strace", "-qq", "-o", "/dev/null", "-p", str(child), "-e", f"trace={call}",
                "-e", f"inject={call}:signal=SIGKILL:when={number}"])
            while "TracerPid:\\t0" in Path(f"/proc/{child}/status").read_text():
                assert tracer.poll() is None
                time.sleep(0.001)
            os.write(mouth, b"x")
            status, cut, version = after(child)
            tracer.wait()
            os.close(mouth)
            cuts += bool(cut)
            seen.add(version)
            if not status:
                break
            step += number // turns
            number += step
print(cuts, *sorted(seen))
"""


def cut_run(how: str, made: Path, folder: Path, turns: int) -> list[int]:
    tests = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", CUT, how, str(made), str(folder), str(turns), tests, *sys.path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return list(map(int, done.stdout.split()))


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
def test_a_killed_upgrade_leaves_the_old_data_or_the_new(made: Path, tmp_path: Path) -> None:
    cuts, *seen = cut_run("random", made, tmp_path, 60)
    assert cuts > 0, "no upgrade was cut off in the middle"
    assert 3 in seen


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_an_upgrade_killed_at_a_call_of_the_system_leaves_the_old_data_or_the_new(made: Path, tmp_path: Path) -> None:
    cuts, *seen = cut_run("strace", made, tmp_path, 3)
    assert cuts > 0
    assert seen == [3, 4]


def test_an_old_table_takes_up_no_room_afterwards(path: Path) -> None:
    upgrade(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA freelist_count").fetchone() == (0,)
