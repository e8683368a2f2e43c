"""The workbook store: its files, what is told when they are not as they should be, and other programs beside it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from excel_samples import names, open_store, places, put, rows, url

from crmcore.errors import (
    PHRASES,
    InvalidURL,
    ReadOnly,
    SchemaMismatch,
    StorageError,
    StoreBusy,
    StoreClosed,
    StoreCorrupt,
    StoreFull,
    StoreUnavailable,
)
from crmcore.storage import Collection, Field, Insert, Scan, Schema, StoreURL, filesystems
from crmcore.storage.memory import MemoryData
from crmcore.testing import SCHEMA
from crmcore.testing.kit_schema import GROUP, group_row
from crmcore_excel import ExcelBackend, checkpointing, loading, replacing
from crmcore_excel import store as stores
from crmcore_excel.checkpointing import KEPT_BACKUPS
from crmcore_excel.checkpoints import read_checkpoint, write_checkpoint
from crmcore_excel.journal import FORMAT, HEADER_SIZE, TAIL_SIZE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "客户 #1 100%?.xlsx"


def flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 0x41
    file.write_bytes(content)


def edit(file: Path, before: int, after: int) -> None:
    """A person changes a number in a cell and saves with another program."""
    book = openpyxl.load_workbook(file)
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row if str(cell.value) == str(before)]
    assert len(cells) == 1
    cells[0].value = after
    book.save(file)


def in_workbook(file: Path) -> dict[str, int]:
    return {str(row[0]): row[2] for row in read_checkpoint(file, SCHEMA).rows["group"]}  # type: ignore[misc]


# The files.


def test_a_new_store_is_a_workbook_and_one_folder(tmp_path: Path, path: Path) -> None:
    open_store(path).close()
    assert names(tmp_path) == {path.name, f".{path.name}.crm"}
    assert names(places(path).folder) == {"journal", "lock", "checkpoint.lock", "base.xlsx"}
    assert path.read_bytes() == places(path).base.read_bytes()


def test_a_commit_goes_into_the_journal_and_nowhere_else(path: Path) -> None:
    with open_store(path) as store:
        before = {file: file.read_bytes() for file in (path, places(path).base)}
        put(store, "one", 11)
        assert {file: file.read_bytes() for file in before} == before
        assert b'"one"' in places(path).journal.read_bytes()
        assert names(places(path).folder) == {"journal", "lock", "checkpoint.lock", "base.xlsx"}
    assert in_workbook(path) == {"one": 11}
    assert b'"one"' not in places(path).journal.read_bytes()


def test_the_workbook_is_written_when_asked_or_at_the_end(path: Path) -> None:
    with open_store(path, checkpoint="manual") as store:
        put(store, "one", 11)
    assert in_workbook(path) == {}
    with open_store(path, checkpoint="manual") as store:
        assert set(rows(store)) == {"one"}
        store.checkpoint()
        assert in_workbook(path) == {"one": 11}
        put(store, "two", 12)
    with open_store(path) as store:  # commits nothing of its own
        assert set(rows(store)) == {"one", "two"}
    assert in_workbook(path) == {"one": 11}


def test_a_long_journal_is_made_short(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "JOURNAL_LIMIT", 5_000)
    with open_store(path, checkpoint="manual") as store:
        for number in range(60):
            put(store, f"{number}", number)
        assert places(path).journal.read_bytes().rstrip(b"\0").count(b'"put"') < 40
        assert len(rows(store)) == 60
    with open_store(path) as store:
        assert len(rows(store)) == 60


def test_a_handle_goes_on_past_the_checkpoints_of_others(path: Path) -> None:
    with open_store(path) as one, open_store(path) as two:
        put(one, "a", 1)
        assert set(rows(two)) == {"a"}
        one.checkpoint()  # the second handle knows all that went into it
        assert set(rows(two)) == {"a"}
        put(two, "b", 2)
        put(one, "c", 3)
        put(one, "d", 4)
        one.checkpoint()  # this time it doesn't
        assert set(rows(two)) == {"a", "b", "c", "d"}
        put(two, "e", 5)
        assert set(rows(one)) == {"a", "b", "c", "d", "e"}


def test_others_commit_while_the_workbook_is_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(path) as one, open_store(path, wait="0.05") as two:
        put(one, "before", 1)
        assert set(rows(two)) == {"before"}
        tables = two._now.data
        working = checkpointing.write

        def write(*arguments: Any) -> Any:
            put(two, "by another", 2)
            put(one, "by itself", 3)
            with pytest.raises(StoreBusy):
                two.checkpoint()  # one at a time
            return working(*arguments)

        monkeypatch.setattr(checkpointing, "write", write)
        one.checkpoint()
        monkeypatch.undo()
        assert in_workbook(path) == {"before": 1}
        put(two, "after", 4)
        everything = {"before", "by another", "by itself", "after"}
        assert set(rows(one)) == set(rows(two)) == everything
        assert two._now.data is tables, "a handle that knew it all read the workbook again"
        with open_store(path) as three:
            assert set(rows(three)) == everything
    assert set(in_workbook(path)) == everything


def test_why_a_workbook_is_behind_is_told_until_it_is_written(path: Path) -> None:
    open_store(path).close()
    owner = path.with_name(f"~${path.name}")
    owner.write_bytes(excel_owner("Li Ming"))
    with open_store(path) as store:
        put(store, "one", 11)
    with open_store(path) as store:
        assert owner.name in str(store.describe()["postponed"])
        owner.unlink()
        store.checkpoint()
        assert store.describe()["postponed"] is None


def test_a_snapshot_holds_while_others_write_and_replace_the_workbook(path: Path) -> None:
    with open_store(path) as one, open_store(path) as two:
        put(one, "a", 1)
        with two.transaction() as reading:
            assert reading.count("group") == 1
            put(one, "b", 2)
            one.checkpoint()
            put(two, "c", 3)
            assert reading.count("group") == 1
        assert set(rows(two)) == {"a", "b", "c"}


def test_older_versions_are_kept_and_bounded(path: Path) -> None:
    with open_store(path) as store:
        for number in range(KEPT_BACKUPS + 3):
            put(store, f"{number}", number)
            store.checkpoint()
    backups = sorted(places(path).backups.iterdir())
    assert [len(in_workbook(backup)) for backup in backups] == [number + 2 for number in range(1, KEPT_BACKUPS + 1)]


def test_a_backup_is_a_whole_workbook_of_the_last_commit(tmp_path: Path, path: Path) -> None:
    with open_store(path) as store, open_store(path) as other:
        put(other, "one", 11)
        with store.transaction(write=True) as work:
            work.apply([Insert("group", group_row("not committed"))])
            other.backup(str(tmp_path / "backup.xlsx"))
        assert in_workbook(tmp_path / "backup.xlsx") == {"one": 11}
        with pytest.raises(StoreUnavailable, match="there already"):
            store.backup(str(tmp_path / "backup.xlsx"))
        with pytest.raises(StoreUnavailable):
            store.backup(str(tmp_path / "nowhere" / "backup.xlsx"))
    assert names(tmp_path) == {path.name, f".{path.name}.crm", "backup.xlsx"}
    with open_store(tmp_path / "backup.xlsx") as restored:
        assert set(rows(restored)) == {"one"}


def test_a_forked_child_reads_and_writes_for_itself(path: Path) -> None:
    with open_store(path) as store:
        put(store, "parent", 1)
        child = os.fork()
        if not child:
            try:
                put(store, "child", 2)
                store.close()
                os._exit(0 if in_workbook(path) == {"parent": 1, "child": 2} else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert set(rows(store)) == {"parent", "child"}
        put(store, "after", 3)


# URLs and places that can't be.


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("excel:", "no file"),
        ("excel:///", "no file"),
        ("excel://crm.xlsx", "three slashes"),
        ("excel:///a%00b.xlsx", "NUL"),
        ("excel:///crm.xls", r"\.xlsx"),
        ("excel:///crm.xlsx?wait=soon", "seconds"),
        ("excel:///crm.xlsx?checkpoint=never", "close or manual"),
        ("excel:///crm.xlsx?network=yes", "refuse or allow"),
        ("excel:///crm.xlsx?lock=5", "lock"),
    ],
)
def test_a_url_that_says_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, part: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidURL, match=part):
        ExcelBackend().open(StoreURL.parse(text), SCHEMA)
    assert list(tmp_path.iterdir()) == []


def test_a_network_disk_is_refused_unless_the_url_allows_it(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/share {tmp_path.as_posix()} nfs4 rw 0 0\n")
    monkeypatch.setattr(filesystems, "_MOUNTS", str(mounts))
    with pytest.raises(StoreUnavailable, match="network=allow"):
        open_store(path)
    assert names(tmp_path) == {"mounts"}
    with open_store(path, network="allow") as store:
        assert store.describe()["filesystem"] == "nfs4"


def test_there_must_be_a_folder_and_no_folder_in_the_way(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="no folder"):
        open_store(tmp_path / "nowhere" / "crm.xlsx")
    (tmp_path / "crm.xlsx").mkdir()
    with pytest.raises(StoreUnavailable, match="is a folder"):
        open_store(tmp_path / "crm.xlsx")


def test_where_nothing_may_be_written_it_is_read(tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(path) as store:
        put(store, "one", 11)
        store.checkpoint()
        put(store, "two", 12)
        # To the superuser every folder may be written, so the system's answer is made up.
        monkeypatch.setattr(os, "access", lambda *arguments, **options: False)
        with open_store(path) as reader:
            assert set(rows(reader)) == {"one", "two"}
            put(store, "three", 13)
            assert set(rows(reader)) == {"one", "two", "three"}
            store.checkpoint()
            assert set(rows(reader)) == {"one", "two", "three"}
            with pytest.raises(ReadOnly), reader.transaction(write=True):
                pytest.fail("a writer where nothing may be written")
            with pytest.raises(ReadOnly):
                reader.checkpoint()
    shutil.rmtree(places(path).folder)
    before = names(tmp_path)
    with open_store(path) as reader:
        assert set(rows(reader)) == {"one", "two", "three"}
    assert names(tmp_path) == before
    with pytest.raises(StoreUnavailable, match="may not be written"):
        open_store(tmp_path / "new.xlsx")


# Files that are not as they should be.


def test_a_workbook_of_another_program_stays_untouched(tmp_path: Path, path: Path) -> None:
    book = openpyxl.Workbook()
    book.active["A1"] = "mine"
    book.save(path)
    before = path.read_bytes()
    with pytest.raises(SchemaMismatch):
        open_store(path)
    assert (path.read_bytes(), names(tmp_path)) == (before, {path.name})


@pytest.mark.parametrize(
    "schema",
    [
        Schema.of(2, SCHEMA.collections.values()),
        Schema.of(1, [*SCHEMA.collections.values(), Collection(name="more", fields=GROUP.fields)]),
        Schema.of(1, [Collection(name="group", fields=(*GROUP.fields, Field("extra", "text")))]),
    ],
)
@pytest.mark.parametrize("alone", [False, True])
def test_data_of_another_schema_stay_untouched(path: Path, schema: Schema, alone: bool) -> None:
    with open_store(path, checkpoint="manual") as store:
        put(store, "one", 11)
    if alone:
        shutil.rmtree(places(path).folder)
    before = path.read_bytes()
    with pytest.raises(SchemaMismatch):
        ExcelBackend().open(url(path), schema)
    assert path.read_bytes() == before
    with open_store(path) as store:
        assert set(rows(store)) == (set() if alone else {"one"})


def test_a_workbook_that_came_alone_is_a_store_of_its_own(tmp_path: Path, path: Path) -> None:
    with open_store(path) as store:
        put(store, "one", 11)
    mailed = tmp_path / "mailed.xlsx"
    shutil.copy(path, mailed)
    with open_store(mailed) as other, open_store(path) as store:
        assert set(rows(other)) == {"one"}
        put(other, "theirs", 12)
        put(store, "ours", 13)
    assert (in_workbook(mailed), in_workbook(path)) == ({"one": 11, "theirs": 12}, {"one": 11, "ours": 13})
    # They are two stores from now on: one is not a version of the other.
    shutil.copy(mailed, path)
    with pytest.raises(StoreUnavailable, match="right workbook"):
        open_store(path)


def test_a_workbook_that_came_alone_and_was_edited_is_refused(tmp_path: Path, path: Path) -> None:
    with open_store(path) as store:
        put(store, "one", 1234567)
    shutil.rmtree(places(path).folder)
    edit(path, 1234567, 7654321)
    with pytest.raises(StoreUnavailable, match="changed by hand"):
        open_store(path)
    assert names(tmp_path) == {path.name}


@pytest.mark.parametrize(("store_id", "sequence"), [("../../../elsewhere", 3), ("a" * 2000, 3), ("a" * 32, 2**80)])
def test_a_workbook_that_came_alone_names_no_files(tmp_path: Path, path: Path, store_id: str, sequence: int) -> None:
    write_checkpoint(path, SCHEMA, {"group": []}, store_id=store_id, sequence=sequence, presentation=None)
    with pytest.raises(SchemaMismatch):
        open_store(path)


def test_a_transaction_is_entered_once(path: Path) -> None:
    with open_store(path, wait="0.05") as store:
        with store.transaction(write=True) as work:
            pass
        with pytest.raises(StoreClosed), work:
            pytest.fail("a transaction that is over")
        put(store, "one", 11)


def test_a_workbook_that_is_gone_is_written_again(path: Path) -> None:
    with open_store(path, checkpoint="manual") as store:
        put(store, "one", 11)
    path.unlink()
    with open_store(path) as store:
        assert set(rows(store)) == {"one"}
        put(store, "two", 12)
    assert in_workbook(path) == {"one": 11, "two": 12}


def test_a_workbook_that_is_gone_while_a_program_has_it_open_is_left_to_that_program(path: Path) -> None:
    with open_store(path) as store:
        put(store, "one", 11)
    path.unlink()
    owner = path.with_name(f"~${path.name}")
    owner.write_bytes(excel_owner("Li Ming"))
    with pytest.raises(StoreUnavailable, match="open"):
        open_store(path)
    owner.unlink()
    with open_store(path) as store:
        assert set(rows(store)) == {"one"}


@pytest.mark.parametrize("damage", ["flipped", "cut", "text"])
def test_a_damaged_workbook_is_told_and_can_be_written_again(path: Path, damage: str) -> None:
    with open_store(path, checkpoint="manual") as store:
        put(store, "one", 11)
        store.checkpoint()
        put(store, "two", 12)
    content = path.read_bytes()
    if damage == "flipped":
        with zipfile.ZipFile(path) as package:
            sheet = package.getinfo("xl/worksheets/sheet1.xml")
        flip(path, sheet.header_offset + 60 + sheet.compress_size // 2)
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"no workbook")
    broken = path.read_bytes()
    with pytest.raises((StoreCorrupt, SchemaMismatch)):
        open_store(path)
    assert path.read_bytes() == broken
    path.rename(path.with_name("damaged.xlsx"))
    with open_store(path) as store:
        assert set(rows(store)) == {"one", "two"}


def test_no_flipped_byte_of_the_workbook_changes_a_row(path: Path) -> None:
    with open_store(path, checkpoint="manual") as store:
        put(store, "one", 11)
        store.checkpoint()
    content, told = path.read_bytes(), 0
    for place in range(0, len(content), len(content) // 30):
        path.write_bytes(content)
        flip(path, place)
        try:
            with open_store(path) as store:
                # A byte that no program reads, such as the time of a part.
                assert (store.edits(), set(rows(store))) == ((), {"one"})
        except (StoreCorrupt, SchemaMismatch):
            told += 1
    assert told > 15


def test_a_damaged_base_is_made_of_the_workbook_or_told(path: Path) -> None:
    with open_store(path, checkpoint="manual") as store:
        put(store, "one", 11)
        store.checkpoint()
        put(store, "two", 12)
    base = places(path).base
    flip(base, base.stat().st_size // 2)
    with open_store(path) as store:
        assert set(rows(store)) == {"one", "two"}
        assert store.check() == []
    flip(base, base.stat().st_size // 2)
    path.unlink()
    with pytest.raises(StoreCorrupt, match=r"base\.xlsx"):
        open_store(path)
    base.unlink()
    with pytest.raises(StoreCorrupt, match=r"base\.xlsx"):
        open_store(path)


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_damaged_journal_is_told(path: Path, damage: str) -> None:
    with open_store(path, checkpoint="manual") as store:
        put(store, "one", 11)
        put(store, "two", 12)
    journal = places(path).journal
    if damage == "flipped":
        flip(journal, journal.read_bytes().index(b'"one"'))
    elif damage == "cut":
        os.truncate(journal, journal.read_bytes().index(b'"two"'))
    else:
        journal.unlink()
    with pytest.raises(StoreCorrupt) as raised:
        open_store(path)
    assert raised.value.details["path"] == str(journal)


def test_a_journal_damaged_under_an_open_handle_is_told(path: Path) -> None:
    with open_store(path, checkpoint="manual") as store, open_store(path) as other:
        put(store, "one", 11)
        flip(places(path).journal, places(path).journal.read_bytes().index(b'"one"'))
        with pytest.raises(StoreCorrupt):
            rows(other)


def test_check_finds_what_is_wrong_and_describe_says_what_is_there(path: Path) -> None:
    with open_store(path, checkpoint="manual") as store:
        put(store, "one", 11)
        assert store.check() == []
        told = json.loads(json.dumps(store.describe()))
        assert (told["path"], told["rows"], told["sequence"], told["workbook_sequence"]) == (str(path), 1, 1, 0)
        assert (told["open_in"], told["edits_waiting"], told["backups"]) == (None, 0, [])
        flip(places(path).base, 100)
        assert len(store.check()) >= 1
        places(path).base.write_bytes(path.read_bytes())
        flip(places(path).journal, places(path).journal.read_bytes().index(b'"one"'))
        assert any("journal" in finding for finding in store.check())


# A full and a failing disk.


@pytest.mark.parametrize(("number", "expected"), [(errno.ENOSPC, StoreFull), (errno.EIO, StoreUnavailable)])
@pytest.mark.parametrize("failing", ["write", "sync"])
def test_a_commit_that_the_disk_refuses_is_undone(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[StorageError], failing: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with open_store(path) as store, open_store(path) as other:
        put(store, "one", 11)
        with monkeypatch.context() as patch:
            if failing == "sync":
                patch.setattr("crmcore_excel.journal._synchronise", fail)
            else:
                patch.setattr(os, "write", fail_once(os.write, number))
            with pytest.raises(expected):
                put(store, "two", 12)
        assert set(rows(store)) == set(rows(other)) == {"one"}
        put(other, "three", 13)
        put(store, "two", 12)
        assert set(rows(store)) == set(rows(other)) == {"one", "two", "three"}


def test_a_commit_that_can_neither_be_synced_nor_undone_says_that_its_outcome_is_unknown(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with open_store(path) as store:
        put(store, "one", 11)
        with monkeypatch.context() as patch:
            patch.setattr("crmcore_excel.journal._synchronise", fail)
            patch.setattr(os, "fsync", fail)
            patch.setattr("crmcore_excel.journal.OpenJournal.wipe", fail)
            with pytest.raises(StoreUnavailable) as raised:
                put(store, "two", 12)
        assert raised.value.details["outcome"] == "unknown"
        assert not raised.value.retryable
        assert set(rows(store)) == {"one", "two"}


def fail_once(working: object, number: int) -> object:
    calls: list[int] = []

    def call(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 1:
            raise OSError(number, os.strerror(number))
        return working(*arguments)  # type: ignore[operator]

    return call


def test_a_commit_interrupted_behind_the_disk_is_a_commit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with open_store(path) as store, open_store(path) as other:
        with monkeypatch.context() as patch:
            patch.setattr(MemoryData, "commit", interrupted)
            with pytest.raises(KeyboardInterrupt):
                put(store, "one", 11)
        assert set(rows(store)) == set(rows(other)) == {"one"}
        put(store, "one", 12, version=2)
        assert store.check() == []


def test_a_store_closed_under_a_writer_keeps_its_lock_to_the_end(path: Path) -> None:
    with open_store(path, wait="0.05") as other:
        store = open_store(path)
        with store.transaction(write=True) as work:
            store.close()
            with pytest.raises(StoreBusy), other.transaction(write=True):
                pytest.fail("two writers at once")
            work.apply([Insert("group", group_row("one"))])
        put(other, "two")
        assert set(rows(other)) == {"one", "two"}


def test_a_journal_of_the_future_is_told(path: Path) -> None:
    open_store(path).close()
    journal = places(path).journal
    content = journal.read_bytes()
    text = content[: HEADER_SIZE - TAIL_SIZE].replace(FORMAT, b"crmcore journal 2 ")
    journal.write_bytes(text + b" %08x\n" % zlib.crc32(text) + content[HEADER_SIZE:])
    with pytest.raises(SchemaMismatch, match="newer crmcore"):
        open_store(path)


def test_a_workbook_that_finds_no_room_is_written_later(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(path) as store:
        put(store, "one", 11)
        before = path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "copyfile", fail_once(shutil.copyfile, errno.ENOSPC))
            with pytest.raises(StoreFull):
                store.checkpoint()
        assert path.read_bytes() == before
        assert set(rows(store)) == {"one"}
    assert in_workbook(path) == {"one": 11}


def test_more_rows_than_the_limit_are_refused_with_the_way_out(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "LIMIT", 3)
    with open_store(path) as store:
        with store.transaction(write=True) as work:
            work.apply(Insert("group", group_row(f"{number}")) for number in range(3))
        with pytest.raises(StoreFull, match=r"crmcore copy excel:.* sqlite:"):
            put(store, "one too many")
        assert len(rows(store)) == 3
        put(store, "1", version=2)


# Other programs.


def excel_owner(user: str) -> bytes:
    """As Excel writes it: the name in the system's own letters, then in UTF-16, each in a field of 54 characters."""
    narrow = user.encode("gb18030")
    wide = user.ljust(54).encode("utf-16-le")
    return bytes([len(narrow)]) + narrow.ljust(54) + len(user).to_bytes(2, "little") + wide


OWNERS = [
    ("~${}", excel_owner("李明"), "李明"),
    ("~${short}", excel_owner("Li Ming"), "Li Ming"),
    (".~{}", excel_owner("李明"), "李明"),
    (".~lock.{}#", "李明,li,desk,28.11.2026 10:00,file:///home/li/;".encode(), "李明"),
]


@pytest.mark.parametrize(("form", "content", "user"), OWNERS)
def test_a_workbook_that_is_open_is_left_alone_until_it_is_closed(
    path: Path, form: str, content: bytes, user: str
) -> None:
    open_store(path).close()
    owner = path.with_name(form.format(path.name, short=path.name[2:]))
    owner.write_bytes(content)
    before = path.read_bytes()
    with open_store(path) as store:
        assert store.describe()["open_in"] == {"file": owner.name, "user": user, "live": True}
        put(store, "one", 11)
        with pytest.raises(StoreUnavailable) as raised:
            store.checkpoint()
        assert user not in str(raised.value)
    assert path.read_bytes() == before
    with open_store(path) as store:
        assert set(rows(store)) == {"one"}
        owner.unlink()
        store.checkpoint()
    assert in_workbook(path) == {"one": 11}


def test_a_workbook_that_was_open_is_written_by_whoever_uses_the_store_next(path: Path) -> None:
    open_store(path).close()
    owner = path.with_name(f"~${path.name}")
    owner.write_bytes(excel_owner("Li Ming"))
    with open_store(path) as store:
        put(store, "one", 11)
    with open_store(path) as store:
        assert set(rows(store)) == {"one"}
    assert in_workbook(path) == {}, "a program has it open"
    owner.unlink()
    with open_store(path, checkpoint="manual"):
        pass
    assert in_workbook(path) == {}, "it is written by hand alone"
    with open_store(path) as store:
        assert set(rows(store)) == {"one"}
    assert in_workbook(path) == {"one": 11}
    with open_store(path) as store:
        assert store.describe()["postponed"] is None
        before = path.read_bytes()
    assert path.read_bytes() == before


def test_what_is_logged_can_be_told_in_another_language(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    open_store(path).close()
    path.with_name(f"~${path.name}").write_bytes(excel_owner("Li Ming"))
    with open_store(path) as store:
        put(store, "one", 11)
    (record,) = caplog.records
    assert isinstance(record.args, tuple) and isinstance(record.args[0], StoreUnavailable)
    told = PHRASES[str(record.msg)] % record.args[0].text("zh-CN")
    assert told.startswith("工作簿尚未写入:") and "正在其他程序中打开" in told


def test_who_only_reads_does_not_try_again_what_will_fail_again(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    open_store(path).close()
    owner = path.with_name(f"~${path.name}")
    owner.write_bytes(excel_owner("Li Ming"))
    with open_store(path) as store:
        put(store, "one", 1234567)
    caplog.clear()
    open_store(path).close()
    assert not caplog.text, "it was told already"
    owner.unlink()
    open_store(path).close()
    edit(path, 1234567, 7654321)
    owner.write_bytes(excel_owner("Li Ming"))
    with open_store(path) as store:
        put(store, "two", 2)
    owner.unlink()
    caplog.clear()
    with open_store(path) as store:
        assert len(store.edits()) == 1
    assert not caplog.text, "the edits wait for whoever takes them in"


def test_an_owner_file_left_by_a_crash_does_not_block_for_ever(path: Path) -> None:
    with open_store(path) as store:
        put(store, "one", 11)
        owner = path.with_name(f"~${path.name}")
        owner.write_bytes(excel_owner("Li Ming"))
        os.utime(owner, (time.time() - 25 * 3600,) * 2)
        assert any(owner.name in finding for finding in store.check())
        store.checkpoint()
    assert in_workbook(path) == {"one": 11}


@pytest.mark.parametrize("number", [5, 32, 33])
def test_windows_is_asked_again_while_a_file_is_in_use(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    working, refused = os.replace, []

    def replace(source: Path, target: Path) -> None:
        if Path(target) == path and len(refused) < 3:
            refused.append(1)
            problem = PermissionError(errno.EACCES, "in use")
            problem.winerror = number  # type: ignore[attr-defined]
            raise problem
        working(source, target)

    waited: list[float] = []
    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(replacing.time, "sleep", waited.append)
    with open_store(path) as store:
        put(store, "one", 11)
        store.checkpoint()
    assert (len(refused), len(waited)) == (3, 3)
    assert in_workbook(path) == {"one": 11}


def test_windows_is_not_asked_for_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    working = os.replace
    clock = iter(range(10_000))

    def replace(source: Path, target: Path) -> None:
        if Path(target) == path:
            problem = PermissionError(errno.EACCES, "in use")
            problem.winerror = 32  # type: ignore[attr-defined]
            raise problem
        working(source, target)

    with open_store(path) as store:
        put(store, "one", 11)
        before = path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", replace)
            patch.setattr(replacing.time, "sleep", lambda _: None)
            patch.setattr(replacing.time, "monotonic", lambda: next(clock))
            with pytest.raises(ReadOnly, match="another program"):
                store.checkpoint()
        assert path.read_bytes() == before
        put(store, "two", 12)
    assert in_workbook(path) == {"one": 11, "two": 12}


# What a person edits.


def test_edits_are_told_and_not_taken_in_by_themselves(path: Path) -> None:
    with open_store(path) as store:
        put(store, "one", 1234567)
    edit(path, 1234567, 7654321)
    theirs = path.read_bytes()
    with open_store(path) as store:
        (found,) = store.edits()
        assert (found.kind, found.collection, found.id) == ("changed", "group", "one")
        assert [(cell.field, cell.before, cell.after) for cell in found.cells] == [("order", 1234567, 7654321)]
        assert rows(store)["one"][2] == 1234567
        put(store, "two", 12)
        with pytest.raises(StoreUnavailable, match="changed by hand"):
            store.checkpoint()
    assert path.read_bytes() == theirs
    with open_store(path) as store:
        assert len(store.edits()) == 1
        put(store, "one", 7654321, version=2)  # taken in
        store.settle_edits()
        assert store.edits() == ()
    assert in_workbook(path) == {"one": 7654321, "two": 12}
    assert theirs in [file.read_bytes() for file in places(path).backups.iterdir()]
    with open_store(path) as store:
        assert store.edits() == ()


def test_edits_where_nothing_may_be_written_are_said_to_wait(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with open_store(path) as store:
        put(store, "one", 1234567)
    edit(path, 1234567, 7654321)
    monkeypatch.setattr(os, "access", lambda *arguments, **options: False)
    with open_store(path) as reader:
        assert reader.edits() == (), "which nobody can settle"
        assert (reader.describe()["edits_waiting"], reader.describe()["edits_later"]) == (1, True)
        assert rows(reader)["one"][2] == 1234567
    assert "changed by hand" in caplog.text and "may not be written" in caplog.text
    path.write_bytes(b"no workbook")
    with open_store(path) as reader:
        assert set(rows(reader)) == {"one"}
        assert (reader.describe()["edits_waiting"], reader.describe()["edits_later"]) == (0, True)


def test_settled_edits_stay_settled_when_the_workbook_is_not_yet_written(path: Path) -> None:
    with open_store(path) as store:
        put(store, "one", 1234567)
    edit(path, 1234567, 7654321)
    with open_store(path, checkpoint="manual") as store:
        assert len(store.edits()) == 1
        store.settle_edits()
    with open_store(path) as store:
        assert store.edits() == ()
        put(store, "two", 12)
    assert in_workbook(path) == {"one": 1234567, "two": 12}


def test_what_a_person_saves_again_is_told_without_what_was_settled(path: Path) -> None:
    with open_store(path) as store:
        put(store, "one", 1234567)
        put(store, "two", 2345678)
    edit(path, 1234567, 7654321)
    with open_store(path, checkpoint="manual") as store:  # as while the workbook is still open in a program
        assert [found.id for found in store.edits()] == ["one"]
        store.settle_edits()
    edit(path, 2345678, 8765432)
    with open_store(path) as store:
        (found,) = store.edits()
        assert (found.id, [cell.after for cell in found.cells]) == ("two", [8765432])


def test_a_change_that_is_made_taken_back_and_made_again_has_another_mark(path: Path) -> None:
    with open_store(path) as store:
        put(store, "one", 1234567)
    marks = []
    for before, after in ((1234567, 7654321), (7654321, 1234567), (1234567, 7654321)):
        edit(path, before, after)
        with open_store(path, checkpoint="manual") as store:
            (found,) = store.edits()
            marks.append(found.mark)
            store.settle_edits()
    assert len(set(marks)) == 3


def test_who_opens_while_the_base_is_replaced_waits_for_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(path) as store:
        put(store, "one", 1)
    read, away = loading._read_base, places(path).backups / "away.xlsx"

    def read_base(*arguments: Any) -> Any:
        monkeypatch.undo()
        os.replace(places(path).base, away)
        try:
            return read(*arguments)
        finally:
            os.replace(away, places(path).base)

    monkeypatch.setattr(loading, "_read_base", read_base)
    with open_store(path) as store:
        assert set(rows(store)) == {"one"}


def test_a_backup_has_the_number_of_its_rows(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(path) as store:
        put(store, "one", 1)
        begin, writer = MemoryData.begin_reading, threading.Thread(target=put, args=(store, "two", 2))

        def begin_reading(data: MemoryData) -> Any:
            snapshot = begin(data)
            monkeypatch.undo()
            writer.start()
            writer.join(0.2)
            return snapshot

        monkeypatch.setattr(MemoryData, "begin_reading", begin_reading)
        store.backup(str(tmp_path / "backup.xlsx"))
        writer.join()
        made = read_checkpoint(tmp_path / "backup.xlsx", SCHEMA)
        assert (len(made.rows["group"]), made.sequence) == (1, 1)


def test_a_commit_is_done_also_where_the_workbook_can_not_be_drawn(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stores, "JOURNAL_LIMIT", 1)

    def write(*arguments: object) -> None:
        raise ValueError("a fault in what draws the workbook")

    monkeypatch.setattr(checkpointing, "write", write)
    with open_store(path) as store:
        put(store, "one", 1)
        assert "ValueError" in caplog.text and "a fault" not in caplog.text
        assert "ValueError" in str(store.describe()["postponed"])
    monkeypatch.undo()
    with open_store(path) as store:
        assert set(rows(store)) == {"one"}


def test_a_renamed_workbook_without_what_was_committed_since_is_refused(path: Path) -> None:
    with open_store(path) as store:
        put(store, "one", 1)
    with open_store(path, checkpoint="manual") as store:
        put(store, "two", 2)
    renamed = path.with_name("renamed.xlsx")
    path.rename(renamed)
    with pytest.raises(StoreUnavailable, match="was renamed") as refused:
        open_store(renamed)
    assert places(path).folder.name in str(refused.value) and not places(renamed).folder.exists()
    places(path).folder.rename(places(renamed).folder)
    with open_store(renamed) as store:
        assert set(rows(store)) == {"one", "two"}
        store.checkpoint()
    # With nothing committed since, or as a copy of one that is still there, it is a store of its own.
    other = path.with_name("other.xlsx")
    renamed.rename(other)
    with open_store(other) as store:
        assert set(rows(store)) == {"one", "two"}


def test_an_edit_that_nobody_looked_at_is_not_written_over(path: Path) -> None:
    with open_store(path) as store:
        put(store, "one", 1234567)
        store.checkpoint()
        edit(path, 1234567, 7654321)  # while the store is open
        theirs = path.read_bytes()
        put(store, "two", 12)
        with pytest.raises(StoreUnavailable, match="changed by hand"):
            store.checkpoint()
    assert path.read_bytes() == theirs
    with open_store(path) as store:
        assert set(rows(store)) == {"one", "two"}
        assert len(store.edits()) == 1


def test_an_edit_of_an_older_version_is_compared_with_that_version(path: Path) -> None:
    with open_store(path) as store:
        put(store, "one", 1234567)
    old = path.with_name("open in a program.xlsx")
    shutil.copy(path, old)
    with open_store(path) as store:
        put(store, "two", 12)
    edit(old, 1234567, 7654321)
    shutil.move(old, path)
    with open_store(path) as store:
        (found,) = store.edits()
        assert (found.kind, found.id) == ("changed", "one")
        assert set(rows(store)) == {"one", "two"}


# Another schema.


NEWER = Schema.of(2, [Collection(name="group", fields=(*GROUP.fields, Field("extra", "text")))])


def test_the_stored_schema_is_told(path: Path) -> None:
    backend = ExcelBackend()
    assert backend.stored(url(path)) is None
    open_store(path).close()
    stored = backend.stored(url(path))
    assert stored is not None
    assert (stored.version, stored.fingerprint) == (SCHEMA.version, SCHEMA.fingerprint)


def test_an_upgrade_replaces_all_data(path: Path) -> None:
    with open_store(path, checkpoint="manual") as store:
        put(store, "one", 11)
    backend = ExcelBackend()
    backend.upgrade(url(path), NEWER, lambda scan: (Insert("group", (*row, "new")) for row in scan("group")))
    with pytest.raises(SchemaMismatch, match="newer crmcore"):
        open_store(path)
    with backend.open(url(path), NEWER) as upgraded, upgraded.transaction() as work:
        assert list(work.scan("group")) == [(*group_row("one", order=11), "new")]
        assert upgraded.check() == []


def test_an_upgrade_that_fails_leaves_the_old_data(path: Path) -> None:
    with open_store(path) as store:
        put(store, "one", 11)
    before = path.read_bytes()

    def rewrite(scan: Scan) -> Iterator[Insert]:
        yield Insert("group", (*next(scan("group")), "new"))
        raise LookupError

    with pytest.raises(LookupError):
        ExcelBackend().upgrade(url(path), NEWER, rewrite)
    assert path.read_bytes() == before
    with open_store(path) as store:
        assert set(rows(store)) == {"one"}


def test_an_open_handle_notices_an_upgrade(path: Path) -> None:
    with open_store(path, checkpoint="manual") as store:
        put(store, "one", 11)
        ExcelBackend().upgrade(url(path), NEWER, lambda scan: (Insert("group", (*row, None)) for row in scan("group")))
        with pytest.raises(SchemaMismatch):
            rows(store)
        with pytest.raises(SchemaMismatch), store.transaction(write=True):
            pytest.fail("a write into data of another schema")


def test_a_writer_waits_as_long_as_it_was_told(path: Path) -> None:
    with (
        open_store(path) as store,
        open_store(path, wait="0.05") as other,
        store.transaction(write=True),
        pytest.raises(StoreBusy, match=r"0\.05 s"),
        other.transaction(write=True),
    ):
        pytest.fail("two writers at once")


def test_a_workbook_of_a_copy_that_went_its_own_way_is_no_persons_edit(path: Path, tmp_path: Path) -> None:
    with open_store(path) as store:
        put(store, "one", 1)
    copied = tmp_path / "copy" / path.name
    shutil.copytree(places(path).folder, copied.parent / places(path).folder.name)
    shutil.copy(path, copied)
    for file, id in ((path, "here"), (copied, "there")):
        with open_store(file) as store:
            put(store, id, 1234567)
    edit(copied, 1234567, 7654321)
    shutil.copy(copied, path)
    with pytest.raises(StoreUnavailable, match="is not the workbook that"):
        open_store(path)
    shutil.copy(places(path).base, path)
    with open_store(path) as store:
        assert set(rows(store)) == {"one", "here"}
