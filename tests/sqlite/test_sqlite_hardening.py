"""Damaged files, full disks, folders that may not be written, what others left behind: typed, explained, nothing lost that was acknowledged."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_samples import FULL, SCHEMA, beside, everything, note, open_store, open_wal_store, thing, url

from crmcore.errors import StorageError, StoreCorrupt, StoreFull, StoreUnavailable
from crmcore.storage import Delete, Eq, Ge, Insert, Query
from crmcore_sqlite import SqliteBackend

THINGS = [
    thing(f"{number:03}", text="客户" * 20, integer=number, decimal=FULL[8], date=FULL[6]) for number in range(30)
]
REMARKS = [note(f"{number:03}", text="x" * 200) for number in range(50)]
LONG = note("long", text="y" * 9000)  # on overflow pages


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small database with every type of page: tables, indices, overflow, free pages."""
    path = tmp_path_factory.mktemp("sound") / "a.db"
    with open_store(path, journal="truncate") as store, store.transaction(write=True) as work:
        work.apply(
            [
                *(Insert("things", row) for row in [*THINGS, FULL]),
                *(Insert("notes", row) for row in [*REMARKS, LONG]),
                *(Insert("notes", note(f"gone {number}", text="z" * 900)) for number in range(20)),
            ]
        )
    with beside(path) as other:
        other.execute("DELETE FROM notes WHERE id LIKE 'gone%'")
        assert other.execute("PRAGMA freelist_count").fetchone()[0] > 0
    return path


def use_all(path: Path) -> None:
    """Reads and writes in every way that there is."""
    backend = SqliteBackend()
    backend.stored(url(path))
    with open_store(path) as store:
        store.describe()
        store.check()
        with store.transaction() as work:
            for name in SCHEMA.collections:
                for row in work.scan(name):
                    hash(row)
                work.get(name, "003")
                work.get_many(name, ["003", "full", "long"])
                list(work.find(Query(name, Ge("id", "002"), ("-version",), limit=7)))
                work.count(name)
            list(work.find(Query("things", Eq("select", "x"), ("due",))))
            work.tally("things", None, ["boolean", "date", "instant"], ["integer"])
        with store.transaction(write=True) as work:
            work.apply([Insert("notes", note("new")), Insert("things", thing("new"))])
        store.backup(str(path.with_name("backup.db")))


def survives(path: Path) -> str:
    """ "right" where everything went well, else the code of the typed error."""
    try:
        use_all(path)
    except StorageError as error:
        assert str(error)
        return error.code
    return "right"


@settings(max_examples=150)
@given(st.data())
def test_a_flipped_byte_is_a_typed_error_or_does_no_harm(sound: Path, data: st.DataObject) -> None:
    content = bytearray(sound.read_bytes())
    # The first bytes of a page say the most: half of the flips go there.
    pages = len(content) // 4096
    place = data.draw(
        st.integers(0, len(content) - 1)
        | st.builds(lambda page, offset: page * 4096 + offset, st.integers(0, pages - 1), st.integers(0, 99))
    )
    content[place] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.db"
        path.write_bytes(content)
        survives(path)


@settings(max_examples=40)
@given(st.data())
def test_a_file_that_was_cut_off_is_a_typed_error(sound: Path, data: st.DataObject) -> None:
    content = sound.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.db"
        path.write_bytes(content[: data.draw(st.integers(2, len(content) - 4096))])
        assert survives(path) in ("store_corrupt", "store_unavailable")


def test_what_does_not_fit_the_column_is_damage(sound: Path, tmp_path: Path) -> None:
    for column, value in (("date", "'2024-02-30'"), ("instant", "'soon'"), ("decimal", "'12,5'"), ("due", "''")):
        path = Path(shutil.copy(sound, tmp_path))
        with beside(path) as other:
            other.execute(f"UPDATE things SET {column} = {value} WHERE id = '003'")
        with open_store(path) as store:
            for ask in (
                lambda work: work.get("things", "003"),
                lambda work: work.get_many("things", ["003"]),
                lambda work: list(work.scan("things")),
                lambda work: list(work.find(Query("things", Eq("integer", 3)))),
            ):
                with pytest.raises(StoreCorrupt, match="can't be read"), store.transaction() as work:
                    ask(work)
            if column in ("date", "instant"):
                with pytest.raises(StoreCorrupt), store.transaction() as work:
                    work.tally("things", None, [column])


def left_by_a_dead_writer(path: Path, journal: str) -> None:
    """Kills a process in the middle of a commit."""
    script = (
        "import os, sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path\n"
        "from sqlite_samples import *\n"
        "from crmcore.storage import Insert\n"
        f"store = {'open_wal_store' if journal == 'wal' else 'open_store'}(Path(sys.argv[1]))\n"
        "with store.transaction(write=True) as work:\n"
        "    work._connection.execute('PRAGMA cache_size=3')\n"
        "    work.apply(Insert('notes', note(f'half {number}', text='x' * 900)) for number in range(200))\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    tests = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", script, str(path), tests, *sys.path], check=False)
    assert done.returncode == -9


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize("journal", ["truncate", "wal"])
def test_what_a_killed_writer_left_is_undone_by_the_next_to_open(sound: Path, tmp_path: Path, journal: str) -> None:
    path = Path(shutil.copy(sound, tmp_path))
    left_by_a_dead_writer(path, journal)
    beside_it = path.with_name("a.db-wal" if journal == "wal" else "a.db-journal")
    assert beside_it.stat().st_size > 0
    assert SqliteBackend().stored(url(path)) is not None
    with open_store(path, wait="0.05") as store:
        assert store.check() == []
        assert everything(store)["notes"] == {*REMARKS, LONG}
        with store.transaction(write=True) as work:
            work.apply([Insert("notes", note("next"))])


SOMEBODY = """
import os, sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from sqlite_samples import *
from crmcore.errors import StorageError
from crmcore.storage import Insert
from crmcore_sqlite import SqliteBackend
import crmcore_sqlite.store, crmcore_sqlite.upgrading
path, what = Path(sys.argv[1]), sys.argv[2]
os.setgid(65534); os.setuid(65534)
try:
    if what == "stored":
        print(SqliteBackend().stored(url(path)).version)
    else:
        with open_store(path) as store, store.transaction() as work:
            print(work.count("notes"))
            if what == "backup":
                store.backup(str(path) + ".copy")
except StorageError as error:
    print(error.code, error)
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(
    ("mode", "file_mode", "hot", "what", "told"),
    [
        (0o555, 0o444, True, "read", "read_only"),
        (0o555, 0o444, True, "stored", "read_only"),
        (0o555, 0o444, False, "stored", "3"),
        (0o555, 0o644, False, "backup", "store_unavailable"),
        (0o000, 0o644, False, "read", "store_unavailable"),
        (0o755, 0o000, False, "read", "store_unavailable"),
        (0o755, 0o000, False, "stored", "store_unavailable"),
    ],
)
def test_somebody_who_may_not_is_told_and_nothing_is_lost(
    sound: Path, mode: int, file_mode: int, hot: bool, what: str, told: str
) -> None:
    with tempfile.TemporaryDirectory() as made:
        os.chmod(made, 0o755)
        folder = Path(made) / "folder"
        folder.mkdir()
        path = Path(shutil.copy(sound, folder))
        if hot:
            left_by_a_dead_writer(path, "truncate")
        path.chmod(file_mode)
        folder.chmod(mode)
        tests = str(Path(__file__).parent)
        done = subprocess.run(
            [sys.executable, "-c", SOMEBODY, str(path), what, tests, *sys.path],
            capture_output=True,
            text=True,
            check=False,
        )
        folder.chmod(0o755)
        assert done.stderr == ""
        assert done.stdout.split()[-1 if told.isdigit() else -len(done.stdout.splitlines()[-1].split())] == told
        with open_store(path) as store:
            assert everything(store)["notes"] == {*REMARKS, LONG}


def test_a_full_disk_is_told_and_what_was_committed_stays(sound: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(sound, tmp_path))
    with open_store(path) as store:
        connection = store.take()
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages + 2}")
        store.give_back(connection)
        with pytest.raises(StoreFull), store.transaction(write=True) as work:
            work.apply(Insert("notes", note(f"more {number}", text="x" * 900)) for number in range(200))
        assert everything(store)["notes"] == {*REMARKS, LONG}
    with open_store(path) as store:
        assert store.check() == []
        assert everything(store)["notes"] == {*REMARKS, LONG}


LIMITED = """
import resource, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from sqlite_samples import *
from crmcore.errors import StorageError
from crmcore.storage import Insert
import crmcore_sqlite.upgrading
from test_sqlite_upgrading import AFTER, rewrite
path, what = Path(sys.argv[1]), sys.argv[2]
store = open_store(path)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
size = path.stat().st_size
room = {"write": size + 20_000, "backup": size // 2, "upgrade": size + 8192}[what]
resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
try:
    if what == "write":
        with store.transaction(write=True) as work:
            work.apply(Insert("notes", note(f"more {number}", text="x" * 900)) for number in range(900))
    elif what == "backup":
        store.backup(str(path) + ".copy")
    else:
        store.close()
        SqliteBackend().upgrade(url(path), AFTER, rewrite)
    print("done")
except StorageError as error:
    print(error.code)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the size of files")
@pytest.mark.parametrize("what", ["write", "backup", "upgrade"])
def test_where_a_file_can_grow_no_further_nothing_is_half_done(sound: Path, tmp_path: Path, what: str) -> None:
    path = Path(shutil.copy(sound, tmp_path))
    tests = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path), what, tests, *sys.path], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.strip() in ("store_full", "store_unavailable")
    assert {each.name for each in tmp_path.iterdir()} <= {"a.db", "a.db-journal"}
    with open_store(path) as store:
        assert store.check() == []
        assert everything(store)["notes"] == {*REMARKS, LONG}


@pytest.mark.skipif(sys.platform == "win32", reason="an open file can't be moved there")
@pytest.mark.parametrize("journal", ["truncate", "wal"])
def test_a_file_that_was_moved_while_open_takes_no_more_writes(tmp_path: Path, journal: str) -> None:
    path = tmp_path / "a.db"
    with open_wal_store(path) if journal == "wal" else open_store(path, journal=journal) as store:
        with store.transaction(write=True) as work:
            work.apply([Insert("notes", REMARKS[0])])
        path.rename(tmp_path / "moved.db")
        for more in (1, 2):
            with pytest.raises(StoreUnavailable), store.transaction(write=True) as work:
                work.apply([Insert("notes", REMARKS[more])])
    assert not path.exists()
    if journal == "wal":  # what was committed lies in the log until it is moved, too
        for suffix in ("-wal", "-shm"):
            if (tmp_path / f"a.db{suffix}").exists():
                (tmp_path / f"a.db{suffix}").rename(tmp_path / f"moved.db{suffix}")
    with open_store(tmp_path / "moved.db") as store:
        assert everything(store)["notes"] == {REMARKS[0]}


def test_the_journal_of_another_database_does_no_harm(sound: Path, tmp_path: Path) -> None:
    other, path = tmp_path / "other.db", Path(shutil.copy(sound, tmp_path))
    for suffix in ("-journal", "-wal"):
        shutil.copy(sound, other)
        left_by_a_dead_writer(other, "wal" if suffix == "-wal" else "truncate")
        journal = other.with_name(f"other.db{suffix}").read_bytes()
        assert journal
        for content in (journal[: len(journal) // 2], random.Random(1).randbytes(5000), b"x" * 512):
            shutil.copy(sound, path)
            path.with_name(f"a.db{suffix}").write_bytes(content)
            assert survives(path) in ("right", "store_corrupt", "store_unavailable")
            for litter in tmp_path.glob("a.db-*"):
                litter.unlink()
            (tmp_path / "backup.db").unlink(missing_ok=True)
        for litter in tmp_path.glob("other.db*"):
            litter.unlink()


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_a_link_leads_to_the_same_database_and_journal(sound: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "links").mkdir()
    path = Path(shutil.copy(sound, tmp_path / "real"))
    link = tmp_path / "links" / "b.db"
    link.symlink_to(path)
    with open_store(link) as one, open_store(path) as other:
        with one.transaction(write=True) as work:
            work.apply([Insert("notes", note("through the link"))])
        assert note("through the link") in everything(other)["notes"]
        one.backup(str(tmp_path / "backup.db"))
    assert [each.name for each in (tmp_path / "links").iterdir()] == ["b.db"]
    assert link.is_symlink()
    link.unlink()
    link.symlink_to(tmp_path / "nowhere" / "c.db")
    with pytest.raises(StorageError):
        open_store(link)


def test_a_lock_file_that_somebody_left_is_no_lock(sound: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(sound, tmp_path))
    path.with_name("a.db-journal").touch()
    path.with_name("a.db.lock").write_text("4711")
    with open_store(path, wait="0.05") as store, store.transaction(write=True) as work:
        work.apply([Insert("notes", note("new"))])


@pytest.mark.parametrize("journal", ["truncate", "wal"])
def test_nothing_of_a_deleted_text_is_left_in_the_file(tmp_path: Path, journal: str) -> None:
    path = tmp_path / "a.db"
    with open_wal_store(path) if journal == "wal" else open_store(path, journal=journal) as store:
        with store.transaction(write=True) as work:
            work.apply(
                [*(Insert("notes", row) for row in REMARKS), Insert("notes", note("canary", text="13800138000"))]
            )
        with store.transaction(write=True) as work:
            work.apply([Delete("notes", "canary", 1)])
    assert all(b"13800138000" not in each.read_bytes() for each in tmp_path.iterdir())


def test_a_backup_is_made_while_others_write(sound: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(sound, tmp_path))
    with open_store(path) as store, open_store(path) as writer:
        with writer.transaction(write=True) as work:
            work.apply([Insert("notes", note("not yet committed"))])
            work._connection.execute("PRAGMA cache_size")
            store.backup(str(tmp_path / "backup.db"))
        with open_store(tmp_path / "backup.db") as copy:
            assert everything(copy)["notes"] == {*REMARKS, LONG}
            assert copy.check() == []
        assert (tmp_path / "backup.db").stat().st_mode == path.stat().st_mode
        assert not list(tmp_path.glob("*.part*"))


def test_a_damaged_database_makes_no_backup(sound: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(sound, tmp_path))
    with open_store(path) as store:
        with beside(path) as other:
            (root,) = other.execute("SELECT rootpage FROM sqlite_master WHERE name = 'notes'").fetchone()
        content = bytearray(path.read_bytes())
        content[(root - 1) * 4096 : root * 4096] = b"\xff" * 4096
        path.write_bytes(content)
        with pytest.raises(StoreCorrupt, match="damaged"):
            store.backup(str(tmp_path / "backup.db"))
    assert [each.name for each in tmp_path.iterdir() if "journal" not in each.name] == ["a.db"]
