"""Processes that die at any step leave what was acknowledged, whole, and no litter; several of them lose nothing."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from excel_samples import names, open_store, places, put, rows, url
from stores_by_hand import PRESENTED
from test_excel_store import NEWER, edit

from crmcore.errors import SchemaMismatch, StoreBusy, StoreClosed
from crmcore.storage import Insert, Update
from crmcore.testing.kit_schema import group_row
from crmcore_excel import ExcelBackend, journal
from crmcore_excel.checkpoints import read_checkpoint
from crmcore_excel.store import ExcelStore

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")

EFFECTS: list[tuple[Any, str]] = [
    *((os, name) for name in ("write", "fsync", "replace", "ftruncate", "mkdir")),
    *((Path, name) for name in ("unlink", "mkdir", "open")),
    (shutil, "copyfile"),
    (journal, "_synchronise"),
]
DIED = 7


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder where a sync costs nothing, if there is one: it is processes that are tried here, not disks."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as made:
        yield Path(made)


def run_until(step: int, work: Callable[[Callable[[str], None]], None]) -> tuple[int, list[str]]:
    """Runs the work in a child that dies before its n-th step on a file; its exit code, and what it told as done."""
    ear, mouth = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(ear)
            tell = os.write
            left = [step]

            def dying(working: Callable[..., Any]) -> Callable[..., Any]:
                def call(*arguments: Any, **options: Any) -> Any:
                    left[0] -= 1
                    if left[0] < 0:
                        os._exit(DIED)
                    return working(*arguments, **options)

                return call

            for owner, name in EFFECTS:
                setattr(owner, name, dying(getattr(owner, name)))
            work(lambda word: tell(mouth, f"{word}\n".encode()) and None)
            os._exit(0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)
    os.close(mouth)
    with open(ear, encoding="utf-8") as heard:
        told = heard.read().split()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), told


def each_step(
    work: Callable[[Callable[[str], None]], None], begin: Callable[[], None], every: int = 1
) -> Iterator[list[str]]:
    """What was told before each step at which the work can die, up to its end; by night no step is left out."""
    for step in range(0, 1000, 1 if os.environ.get("CRMCORE_TEST_PROFILE") == "nightly" else every):
        begin()
        code, told = run_until(step, work)
        assert code in (0, DIED)
        yield told
        if code == 0:
            assert step > 10, "nothing was tried"
            return
    pytest.fail("the work comes to no end")


def assert_sound(store: ExcelStore, path: Path) -> None:
    assert store.check() == []
    assert names(places(path).folder) <= {
        "journal",
        "lock",
        "checkpoint.lock",
        "base.xlsx",
        "backups",
        "kept.xlsx",
        "settled",
    }
    assert names(path.parent) <= {path.name, places(path).folder.name}


def test_a_store_that_is_made_written_and_closed_is_whole_at_every_step(folder: Path) -> None:
    path = folder / "客户.xlsx"

    def work(tell: Callable[[str], None]) -> None:
        with open_store(path) as store:
            for number in range(2):
                put(store, f"{number}")
                tell(f"{number}")
            store.checkpoint()
            put(store, "2")
            tell("2")

    def begin() -> None:
        shutil.rmtree(folder)
        folder.mkdir()

    for told in each_step(work, begin, every=2):
        with open_store(path) as store:
            found = set(rows(store))
            assert set(told) <= found <= {f"{number}" for number in range(len(told) + 1)}
            put(store, "after")
            assert_sound(store, path)
        with open_store(path) as store:
            assert set(rows(store)) == found | {"after"}
            assert_sound(store, path)
        assert {row[0] for row in read_checkpoint(path, store.schema).rows["group"]} == found | {"after"}


def test_others_go_on_committing_after_a_checkpoint_was_cut_short(folder: Path) -> None:
    path, kept = folder / "客户.xlsx", folder.parent / f"{folder.name}-kept"
    with open_store(path, checkpoint="manual") as store:
        put(store, "before")

    def work(tell: Callable[[str], None]) -> None:
        with open_store(path) as store:
            store.checkpoint()

    def begin() -> None:
        if kept.exists():
            shutil.rmtree(folder)
            shutil.copytree(kept, folder)
        else:
            shutil.copytree(folder, kept)

    try:
        for told in each_step(work, begin):
            assert told == []
            # What a handle that has been open all the while would do, without looking at the workbook.
            with journal.OpenJournal(places(path).journal, write=True) as written:
                content = written.whole()
                header = journal.Header.of(content, path)
                mark = journal.scan(content[journal.HEADER_SIZE :], header.mark, path).mark
                written.append(b'{"group":{"put":[["later",1,5,null]],"gone":[]}}', mark)
            with open_store(path) as store:
                assert set(rows(store)) == {"before", "later"}
                put(store, "after")
                assert_sound(store, path)
            assert len(read_checkpoint(path, store.schema).rows["group"]) == 3
    finally:
        shutil.rmtree(kept)


def test_a_workbook_that_is_only_drawn_anew_is_whole_at_every_step(folder: Path) -> None:
    path, kept = folder / "客户.xlsx", folder.parent / f"{folder.name}-kept"
    with open_store(path) as store:
        put(store, "one")
    shutil.copytree(folder, kept)

    def work(tell: Callable[[str], None]) -> None:
        with open_store(path) as store:
            store.present(PRESENTED)
            store.checkpoint()

    def begin() -> None:
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)

    try:
        for _ in each_step(work, begin, every=2):
            with open_store(path) as store:
                assert set(rows(store)) == {"one"}
                put(store, "after")
                assert_sound(store, path)
            assert len(read_checkpoint(path, store.schema).rows["group"]) == 2
    finally:
        shutil.rmtree(kept)


def forked(work: Callable[[], object]) -> int:
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def test_a_child_that_was_forked_within_a_transaction_has_neither_it_nor_its_lock(folder: Path) -> None:
    path = folder / "客户.xlsx"

    def end_it() -> None:
        work.apply([Insert("group", group_row("child", select="x" * 1000))])
        with pytest.raises(StoreClosed, match="process"):
            transaction.__exit__(None, None, None)
        with pytest.raises(StoreBusy):
            put(store, "child")

    with open_store(path, wait="0.05") as store:
        transaction = store.transaction(write=True)
        with transaction as work:
            work.apply([Insert("group", group_row("parent"))])
            assert os.waitstatus_to_exitcode(os.waitpid(forked(end_it), 0)[1]) == 0
        assert set(rows(store)) == {"parent"}
        ear, mouth = os.pipe()

        def die_and_leave_a_child() -> None:
            with open_store(path) as own, own.transaction(write=True):
                os.write(mouth, f"{forked(lambda: time.sleep(60))}".encode())
                os.kill(os.getpid(), signal.SIGKILL)

        os.waitpid(forked(die_and_leave_a_child), 0)
        left = int(os.read(ear, 20))
        try:
            put(store, "after")
        finally:
            os.kill(left, signal.SIGKILL)
        assert store.check() == []


def test_a_persons_file_is_never_lost_while_it_is_settled(folder: Path) -> None:
    path, kept = folder / "客户.xlsx", folder.parent / f"{folder.name}-kept"
    with open_store(path) as store:
        put(store, "one", 1234567)
    edit(path, 1234567, 7654321)
    theirs = path.read_bytes()
    shutil.copytree(folder, kept)

    def work(tell: Callable[[str], None]) -> None:
        with open_store(path) as store:
            assert len(store.edits()) == 1
            put(store, "one", 7654321, version=2)
            tell("taken")
            store.settle_edits()
            tell("settled")

    def begin() -> None:
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)

    try:
        for told in each_step(work, begin, every=5):
            with open_store(path) as store:
                assert rows(store)["one"][2] in ((7654321,) if told else (1234567, 7654321))
                assert len(store.edits()) == 1 or places(path).settled.exists() or path.read_bytes() != theirs
                assert not (store.edits() and "settled" in told)
                saved = [file.read_bytes() for file in places(path).backups.glob("saved-*.xlsx")]
                assert theirs in (path.read_bytes(), *saved)
                store.settle_edits()
                put(store, "after")
                assert_sound(store, path)
            assert len(read_checkpoint(path, store.schema).rows["group"]) == 2
    finally:
        shutil.rmtree(kept)


def test_an_upgrade_leaves_the_old_data_or_the_new(folder: Path) -> None:
    path, kept = folder / "客户.xlsx", folder.parent / f"{folder.name}-kept"
    with open_store(path, checkpoint="manual") as store:
        put(store, "one", 11)
    shutil.copytree(folder, kept)

    def work(tell: Callable[[str], None]) -> None:
        ExcelBackend().upgrade(url(path), NEWER, lambda scan: (Insert("group", (*row, "x")) for row in scan("group")))
        tell("upgraded")

    def begin() -> None:
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)

    seen = set()
    try:
        for told in each_step(work, begin):
            stored = ExcelBackend().stored(url(path))
            assert stored is not None
            other = NEWER if stored.version == 1 else store.schema
            with pytest.raises(SchemaMismatch):
                ExcelBackend().open(url(path), other)
            with ExcelBackend().open(url(path), stored) as opened, opened.transaction() as work_on:
                assert list(work_on.scan("group")) == [
                    (*group_row("one", order=11), "x") if stored.version == 2 else group_row("one", order=11)
                ]
                assert opened.check() == []
            assert stored.version == 2 or not told
            seen.add(stored.version)
    finally:
        shutil.rmtree(kept)
    assert seen == {1, 2}


def count_for_ever(path: Path, mouth: int) -> None:
    store = open_store(path)
    number = 0
    while True:
        with store.transaction(write=True) as work:
            row = work.get("group", "counter")
            number = 1 if row is None else int(row[2] or 0) + 1  # type: ignore[arg-type]
            counter = group_row("counter", number, order=number)
            work.apply(
                [
                    Insert("group", counter) if row is None else Update("group", counter, number - 1),
                    *(Insert("group", group_row(f"{number}/{part}", order=number)) for part in range(10)),
                ]
            )
        os.write(mouth, b"%d\n" % number)
        if number % 3 == 0:
            store.checkpoint()


def test_a_killed_writer_leaves_all_or_nothing(folder: Path) -> None:
    path = folder / "客户.xlsx"
    chance = random.Random(20)
    done = cut = 0
    for turn in range(12):
        ear, mouth = os.pipe()
        child = os.fork()
        if not child:
            os.close(ear)
            try:
                count_for_ever(path, mouth)
            finally:
                os._exit(1)
        os.close(mouth)
        with open(ear, "rb") as heard:
            told = [int(heard.readline())]
            # However slow the machine is: every second one dies while it writes the workbook.
            late = time.monotonic() + 20
            while turn % 2 and not places(path).draft.exists() and time.monotonic() < late:
                time.sleep(0.0005)
            time.sleep(chance.uniform(0, 0.01))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            told += [int(line) for line in heard]
        cut += places(path).draft.exists() or places(path).next.exists()
        with open_store(path, checkpoint="manual") as store:
            found = rows(store)
            assert_sound(store, path)
        number = int(found.pop("counter", (0, 0, 0))[2])  # type: ignore[call-overload]
        assert told == list(range(done + 1, done + 1 + len(told))), "an acknowledged commit is lost or out of order"
        assert done + len(told) <= number <= done + len(told) + 1, "more or less is there than was committed"
        assert set(found) == {f"{each}/{part}" for each in range(1, number + 1) for part in range(10)}
        done = number
    assert done > 0, "no child came to write: nothing was tried"
    assert cut > 0, "no child was killed in the middle of a checkpoint"


def draw_numbers(path: Path, worker: int, count: int) -> None:
    with open_store(path, wait="60") as store:
        for turn in range(count):
            with store.transaction(write=True) as work:
                row = work.get("group", "counter")
                assert row is not None
                number = int(row[2]) + 1  # type: ignore[arg-type]
                work.apply(
                    [
                        Update("group", group_row("counter", number + 1, order=number), number),
                        Insert("group", group_row(f"{worker} drew {number}", order=number)),
                    ]
                )
            if turn % 20 == worker:
                store.checkpoint()


def test_processes_draw_each_number_once(folder: Path) -> None:
    path, workers, count = folder / "客户.xlsx", 3, 60
    with open_store(path) as store:
        put(store, "counter")
        context = multiprocessing.get_context("spawn")
        children = [context.Process(target=draw_numbers, args=(path, worker, count)) for worker in range(workers)]
        for child in children:
            child.start()
        for child in children:
            child.join(120)
        assert [child.exitcode for child in children] == [0] * workers
        found = rows(store)
    assert found.pop("counter")[2] == workers * count
    assert sorted(int(row[2]) for row in found.values()) == list(range(1, workers * count + 1))  # type: ignore[arg-type]
