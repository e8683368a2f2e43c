"""Killed processes leave all or nothing; several processes lose nothing and draw no number twice."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlite_samples import everything, note, open_store

from crmcore.storage import Insert, Update

KILLS = 20

# One child after the other commits transactions of a counter and some rows, tells each commit through a pipe, and is
# killed at some moment; then the parent opens the file.
KILLED = """
import os, random, select, signal, sys, time
sys.path[:0] = sys.argv[4:]
from pathlib import Path
from sqlite_samples import everything, note, open_store, open_wal_store
from crmcore.storage import Insert, Update
path, journal, kills = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
opened = open_wal_store if journal == "wal" else open_store
PARTS = 60
random.seed(journal)

def write(told):
    store = opened(path)
    while True:
        with store.transaction(write=True) as transaction:
            number = int(transaction.get("notes", "counter")[3]) + 1
            transaction.apply([
                Update("notes", note("counter", version=number + 1, text=str(number)), number),
                *(Insert("notes", note(f"{number}/{part}", str(number), text="x" * 600)) for part in range(PARTS)),
            ])
        os.write(told, b"%d\\n" % number)

with opened(path) as store, store.transaction(write=True) as transaction:
    transaction.apply([Insert("notes", note("counter", text="0"))])
done = cut = 0
for turn in range(kills):
    ear, mouth = os.pipe()
    child = os.fork()
    if not child:
        os.close(ear)
        write(mouth)
    os.close(mouth)
    if turn % 2:  # once it is at work, also on a machine that has much else to do
        select.select([ear], [], [], 30)
    time.sleep(random.uniform(0.005, 0.05))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with open(ear, "rb") as heard:
        told = [int(line) for line in heard]
    journals = [path.with_name(path.name + suffix) for suffix in ("-journal", "-wal")]
    cut += any(each.exists() and each.stat().st_size > 0 for each in journals)
    with opened(path) as store:
        assert store.check() == []
        rows = everything(store)["notes"]
    number = next(int(row[3]) for row in rows if row[0] == "counter")
    assert told == list(range(done + 1, done + 1 + len(told))), "an acknowledged commit is lost or out of order"
    assert done + len(told) <= number <= done + len(told) + 1, "more or less is there than was committed"
    expected = {f"{each}/{part}" for each in range(1, number + 1) for part in range(PARTS)}
    assert {row[0] for row in rows} == expected | {"counter"}, "half a transaction is there"
    done = number
print(done, cut)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
@pytest.mark.parametrize("journal", ["truncate", "wal"])
def test_a_killed_writer_leaves_all_or_nothing(tmp_path: Path, journal: str) -> None:
    tests = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "a.db"), journal, str(KILLS), tests, *sys.path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    committed, cut = map(int, done.stdout.split())
    assert committed > 0, "no child came to write: nothing was tried"
    assert cut > 0, "no child was killed in the middle of a write"


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder where a sync costs nothing, if there is one: it is processes that are tried here, not disks."""
    shared_memory = Path("/dev/shm")
    if not os.access(shared_memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shared_memory) as made:
        yield Path(made)


def draw_numbers(path: Path, worker: int, count: int) -> None:
    with open_store(path, wait="60") as store:
        for _ in range(count):
            with store.transaction(write=True) as transaction:
                row = transaction.get("notes", "counter")
                assert row is not None
                number = int(str(row[3])) + 1
                transaction.apply(
                    [
                        Update("notes", note("counter", version=number + 1, text=str(number)), number),
                        Insert("notes", note(f"{worker} drew {number}", "number", text=str(number))),
                    ]
                )


def test_processes_draw_each_number_once(quick_folder: Path) -> None:
    path, workers, count = quick_folder / "a.db", 4, 100
    with open_store(path) as store, store.transaction(write=True) as transaction:
        transaction.apply([Insert("notes", note("counter", text="0"))])
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=draw_numbers, args=(path, worker, count)) for worker in range(workers)]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
    assert [child.exitcode for child in children] == [0] * workers
    with open_store(path) as store:
        rows = everything(store)["notes"]
    numbers = sorted(int(str(row[3])) for row in rows if row[2] == "number")
    assert numbers == list(range(1, workers * count + 1))
    assert next(row[3] for row in rows if row[0] == "counter") == str(workers * count)
