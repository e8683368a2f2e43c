"""Opening: what is made, what is refused, and how the connection is set."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlite_samples import SCHEMA, THINGS, beside, everything, open_store, open_wal_store, thing, url

from crmcore.errors import InvalidURL, MissingExtra, SchemaMismatch, StorageError, StoreCorrupt, StoreUnavailable
from crmcore.storage import Collection, Field, Insert, Schema, StoreURL
from crmcore.storage.filesystems import mounted_type
from crmcore_sqlite import SqliteBackend
from crmcore_sqlite.settings import SAFE_WAL, Settings, journal_for

OLD, SAFE = (3, 51, 2), SAFE_WAL


def test_a_new_file_gets_tables_indices_and_its_name(tmp_path: Path) -> None:
    path = tmp_path / "客户 #1 100%?.db"
    open_store(path).close()
    assert {child.name for child in tmp_path.iterdir()} <= {path.name, f"{path.name}-journal"}
    with beside(path) as other:
        assert other.execute("PRAGMA application_id").fetchone() == (0x43524D43,)
        assert other.execute("PRAGMA user_version").fetchone() == (3,)
        names = {name for (name,) in other.execute("SELECT name FROM sqlite_master WHERE sql NOT NULL")}
        assert names == {
            *("things", "notes", "_crmcore"),
            *("uq_things_number", "uq_things_text_integer", "ix_things_select_due", "ix_notes_thing"),
        }
        if sqlite3.sqlite_version_info >= (3, 37):
            strict = dict(other.execute("SELECT name, strict FROM pragma_table_list"))
            assert (strict["things"], strict["notes"]) == (1, 1)


def test_the_data_are_there_again(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db") as store, store.transaction(write=True) as transaction:
        transaction.apply([Insert("things", thing("a"))])
    with open_store(tmp_path / "a.db") as store:
        assert everything(store)["things"] == {thing("a")}


def test_the_connection_is_set_for_safety(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db", wait="0.25s", journal="truncate") as store:
        for _ in range(2):
            connections = [store.take(), store.take()]  # the second one is new
            for connection in connections:
                seen = {
                    name: connection.execute(f"PRAGMA {name}").fetchone()[0]
                    for name in ("foreign_keys", "synchronous", "secure_delete", "trusted_schema", "busy_timeout")
                }
                assert seen == {
                    "foreign_keys": 1,
                    "synchronous": 2,
                    "secure_delete": 1,
                    "trusted_schema": 0,
                    "busy_timeout": 250,
                }
                assert connection.execute("PRAGMA journal_mode").fetchone() == ("truncate",)
                store.give_back(connection)
            with store.transaction(write=True):
                pass


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("sqlite:", "no file"),
        ("sqlite://", "no file"),
        ("sqlite:///", "no file"),
        ("sqlite:///:memory:", "memory:"),
        ("sqlite://crm.db", "three slashes"),
        ("sqlite://host/crm.db", "three slashes"),
        ("sqlite:///a%00b.db", "NUL"),
        ("sqlite:///crm.db?wait=soon", "seconds"),
        ("sqlite:///crm.db?wait=-1", "seconds"),
        ("sqlite:///crm.db?wait=nan", "seconds"),
        ("sqlite:///crm.db?journal=off", "auto, wal or truncate"),
        ("sqlite:///crm.db?jornal=wal", "jornal"),
    ],
)
def test_a_url_that_says_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, part: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidURL, match=part):
        SqliteBackend().open(StoreURL.parse(text), SCHEMA)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("text", "seconds"), [("5", 5), ("5s", 5), ("0", 0), ("0.5", 0.5), ("1.25s", 1.25)])
def test_the_wait_is_in_seconds(tmp_path: Path, text: str, seconds: float) -> None:
    assert Settings.of(url(tmp_path / "a.db", wait=text)).wait_seconds == seconds
    assert Settings.of(url(tmp_path / "a.db")).wait_seconds == 5


def test_the_log_is_used_only_where_it_is_safe() -> None:
    assert journal_for("auto", SAFE, "ext4") == "wal"
    assert journal_for("auto", SAFE, None) == "wal"
    assert journal_for("auto", OLD, "ext4") == "truncate"
    for remote in ("nfs4", "nfs", "cifs", "smb3", "fuse.sshfs", "9p", "virtiofs"):
        assert journal_for("auto", SAFE, remote) == "truncate"
        with pytest.raises(InvalidURL, match="local disk"):
            journal_for("wal", SAFE, remote)
    assert journal_for("truncate", SAFE, "ext4") == "truncate"
    assert journal_for("wal", SAFE, "btrfs") == "wal"
    with pytest.raises(InvalidURL, match=r"needs SQLite 3\.51\.3, here is 3\.51\.2"):
        journal_for("wal", OLD, "ext4")


def test_the_innermost_mount_counts() -> None:
    mounts = (
        "/dev/root / ext4 rw 0 0\n"
        "server:/home /home nfs4 rw 0 0\n"
        "tmpfs /home/li/tmp tmpfs rw 0 0\n"
        "//nas/x /mnt/our\\040share cifs rw 0 0\n"
        "/dev/sdb /over ext4 rw 0 0\n"
        "host:/over /over nfs rw 0 0\n"
    )
    assert mounted_type("/srv/crm.db", mounts) == "ext4"
    assert mounted_type("/home/li/crm.db", mounts) == "nfs4"
    assert mounted_type("/homes/crm.db", mounts) == "ext4"
    assert mounted_type("/home/li/tmp/crm.db", mounts) == "tmpfs"
    assert mounted_type("/mnt/our share/crm.db", mounts) == "cifs"
    assert mounted_type("/over/crm.db", mounts) == "nfs"
    assert mounted_type("/srv/crm.db", "") is None


def test_a_missing_folder_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="there is no folder"):
        open_store(tmp_path / "none" / "a.db")
    with pytest.raises(StoreUnavailable, match="is a folder"):
        open_store(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"xy", b"name,phone\n" * 500, b"SQLite format 3\0" + b"x" * 4080])
def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt):
        open_store(path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_an_empty_file_is_taken_for_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "a.db").touch()
    with open_store(tmp_path / "a.db") as store:
        assert everything(store)["things"] == set()


def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with beside(path) as other:
        other.execute("CREATE TABLE things (id)")
    before = path.read_bytes()
    with pytest.raises(SchemaMismatch, match="another program"):
        open_store(path)
    assert path.read_bytes() == before


def test_another_format_is_refused_with_a_hint(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    open_store(path).close()
    collections = SCHEMA.collections.values()
    with pytest.raises(SchemaMismatch, match="crmcore upgrade") as raised:
        open_store(path, Schema.of(4, collections))
    assert raised.value.details == {"found": 3, "expected": 4}
    with pytest.raises(SchemaMismatch, match="a newer crmcore is needed"):
        open_store(path, Schema.of(2, collections))


def test_other_fields_under_the_same_number_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    open_store(path).close()
    more = Collection(name="things", fields=(*THINGS.fields, Field("more", "text")))
    with pytest.raises(SchemaMismatch, match="other fields"):
        open_store(path, Schema.of(3, [more, SCHEMA.collection("notes")]))
    open_store(path).close()


@pytest.mark.parametrize("journal", ["truncate", "wal"])
def test_two_that_open_at_once_make_the_tables_once(tmp_path: Path, journal: str) -> None:
    opened = open_wal_store if journal == "wal" else open_store
    for turn in range(10):
        path = tmp_path / f"{turn}.db"
        with ThreadPoolExecutor(4) as pool:
            stores = list(pool.map(opened, [path] * 4))
        for index, store in enumerate(stores):
            with store.transaction(write=True) as transaction:
                transaction.apply([Insert("things", thing(str(index)))])
        assert len(everything(stores[0])["things"]) == 4
        for store in stores:
            store.close()


TRIED_BY_SOMEBODY = """
import os, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
import sqlite_samples
from sqlite_samples import SCHEMA, Insert, open_store, thing
from crmcore.errors import StorageError
import crmcore_sqlite.store
folder = Path(sys.argv[1])
if os.geteuid() == 0:
    os.setgid(65534); os.setuid(65534)

def told(work):
    try:
        return work()
    except StorageError as error:
        return f"{error.code}: {error}"

def written(store):
    with store.transaction(write=True) as transaction:
        transaction.apply([Insert("things", thing("b"))])
    return "written"

print(told(lambda: open_store(folder / "new.db")))
with open_store(folder / "old.db") as store:
    with store.transaction() as transaction:
        print(transaction.count("things"))
    print(told(lambda: written(store)))
"""


def read_only_run(folder: Path) -> list[str]:
    tests = str(Path(__file__).parent)
    script = TRIED_BY_SOMEBODY.replace("SCHEMA, Insert, ", "").replace(
        "import sqlite_samples\n", "from crmcore.storage import Insert\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder), tests, *sys.path], capture_output=True, text=True, check=False
    )
    assert not done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are another matter there")
@pytest.mark.parametrize("file_mode", [0o444, 0o666], ids=["file", "folder"])
def test_what_may_not_be_written_can_be_read(file_mode: int) -> None:
    # Not in tmp_path: that is for its owner alone, and root reads and writes everything.
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        with open_store(folder / "old.db", journal="truncate") as store, store.transaction(write=True) as transaction:
            transaction.apply([Insert("things", thing("a"))])
        (folder / "old.db-journal").unlink()
        (folder / "old.db").chmod(file_mode)
        folder.chmod(0o555)
        try:
            new, count, write = read_only_run(folder)
        finally:
            folder.chmod(0o755)
        assert new.startswith("store_unavailable: no file can be made")
        assert count == "1"
        assert write.startswith("read_only: ")
        with open_store(folder / "old.db") as store:
            assert everything(store)["things"] == {thing("a")}


def test_a_file_that_goes_away_is_not_made_again(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with open_store(path) as store, store.transaction():
        if sys.platform != "win32":
            path.unlink()
            with pytest.raises(StoreUnavailable), store.transaction():  # a second connection
                pass
            assert not path.exists()


def test_a_file_with_a_log_goes_back_to_the_rollback_journal(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with open_wal_store(path) as store, store.transaction(write=True) as transaction:
        transaction.apply([Insert("things", thing("a"))])
        assert path.with_name("a.db-wal").exists()
    with open_store(path, journal="truncate") as store:
        assert store.describe()["journal"] == "truncate"
        assert everything(store)["things"] == {thing("a")}
        assert not path.with_name("a.db-wal").exists()


def test_facts_for_the_doctor(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with open_store(path, journal="truncate") as store:
        facts = store.describe()
        assert facts["path"] == str(path)
        assert facts["size_bytes"] == path.stat().st_size
        assert facts["journal"] == "truncate"
        assert facts["schema_version"] == 3
        assert facts["sqlite_version"] == sqlite3.sqlite_version
        assert facts["wal_reset_bug"] is (sqlite3.sqlite_version_info < (3, 51, 3))
        assert facts["filesystem"]
        assert store.check() == []


def test_a_damaged_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with open_store(path, journal="truncate") as store:
        with store.transaction(write=True) as transaction:
            transaction.apply(Insert("notes", (f"{n:04}", 1, "x" * 50, "y" * 50)) for n in range(2000))
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(size // 2 // 4096 * 4096)
            file.write(b"\xff" * 4096 * 3)
    with open_store(path) as store:
        findings = store.check()
        assert findings
        assert not any("yyy" in finding for finding in findings)
        with pytest.raises(StorageError) as raised, store.transaction() as transaction:
            list(transaction.scan("notes"))
        assert isinstance(raised.value, StoreCorrupt)


def test_importing_the_backend_loads_no_sqlalchemy() -> None:
    script = "import sys, crmcore_sqlite; crmcore_sqlite.SqliteBackend(); assert 'sqlalchemy' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ})


def test_without_sqlalchemy_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(MissingExtra, match=r'pip install "crmcore\[sqlite\]"'):
        open_store(tmp_path / "a.db")
    assert list(tmp_path.iterdir()) == []
