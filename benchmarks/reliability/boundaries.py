"""A call stopped, or told of a failing disk, at every system call that it writes with.

strace counts the system calls of each process that name the store's files, and makes one of them fail. One process is kept
warm under strace; for each point it forks a child, which first makes so many calls on a spare file that the one to be hit is
the next of that number. So a point costs a fork, not a start of Python.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import soundness
import steps

from crmcore.app.stores import upgrade
from crmcore.errors import CRMError, StorageError
from crmcore.plugins import open_store
from crmcore.storage import Insert, Schema
from crmcore.storage.codec import SCHEMA
from crmcore.storage.upgrades import STEPS

CALLS = ("pwrite64", "write", "fdatasync", "fsync", "ftruncate", "unlink", "rename")
FAULTS = {"kill": "signal=KILL", "EIO": "error=EIO", "ENOSPC": "error=ENOSPC"}
LABEL = "one"
UPGRADE = -1
#: What is tried: from what state, and the step that is taken there. Opening belongs to each.
CASES: dict[str, tuple[str, int | None]] = {
    "open a new file": ("absent", None),
    "register": ("full", 10),
    "update": ("full", 6),
    "move": ("full", 7),
    "follow up": ("full", 8),
    "import": ("full", 4),
    "register after a kill": ("hot", 10),
    "upgrade": ("format 1", UPGRADE),
}


def serve() -> None:
    """Under strace: for each line (a job in JSON) forks a child that does it, and tells how it ended."""
    with tempfile.TemporaryDirectory() as folder:
        steps.warm(f"sqlite:///{folder}/warm.db", Path(folder))
    for line in sys.stdin:
        job = json.loads(line)
        heard, told = os.pipe()
        child = os.fork()
        if not child:
            os.write(told, work(**job).encode())
            os._exit(0)
        os.close(told)
        with open(heard, encoding="utf-8") as words:
            said = words.read()
        _, status = os.waitpid(child, 0)
        said = "killed" if os.WIFSIGNALED(status) else said or f"ended with {status}"
        print(said, flush=True)


def work(url: str, step: int | None, call: str | None, spend: int, spare: str, folder: str) -> str:
    """In a child: makes so many calls that the one to be hit is the next of its number, then takes the step."""
    if call is not None:
        _spend(call, spend, spare)
    try:
        if step == UPGRADE:
            upgrade(url, backup=False)
            return "done"
        with soundness.open_crm(url, ids=soundness.counted_ids()) as crm:
            if step is not None:
                steps.take_step(crm.acting_as(LABEL), LABEL, step, Path(folder))
    except StorageError as error:
        return f"refused: {error.code}"
    except CRMError as error:
        return f"wrongly refused: {type(error).__name__}: {error}"
    except BaseException as error:
        return f"failed: {type(error).__name__}: {error}"
    return "done"


def _spend(call: str, times: int, spare: str) -> None:
    file = os.open(spare, os.O_WRONLY | os.O_CREAT)
    for _ in range(times):
        match call:
            case "pwrite64":
                os.pwrite(file, b"x", 0)
            case "write":
                os.write(file, b"x")
            case "fdatasync":
                os.fdatasync(file)
            case "fsync":
                os.fsync(file)
            case "ftruncate":
                os.ftruncate(file, 0)
            case "unlink":
                with suppress(FileNotFoundError):
                    os.unlink(f"{spare}.absent")
            case "rename":
                os.rename(spare, spare)
    os.close(file)


class Server:
    """A warm process under strace; in each of its children the call of number ``last`` fails, or none."""

    def __init__(self, place: Place, call: str | None, fault: str, last: int) -> None:
        self.place = place
        self.call = call
        self.last = last
        inject = [f"inject={call}:{fault}:when={last}"] if call else []
        traced = f"trace={call or ','.join(CALLS)}"
        watched = [path for each in place.files for path in ("-P", str(each))]
        command = ["strace", "-f", "-qq", "-o", str(place.log)]
        for expression in [traced, *inject]:
            command += ["-e", expression]
        self.process = subprocess.Popen(
            [*command, *watched, sys.executable, "-c", "import boundaries; boundaries.serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])},
        )

    def do(self, step: int | None, nth: int = 0) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        job = {"url": self.place.url, "step": step, "call": self.call, "spare": str(self.place.spare)}
        more = {"spend": self.last - nth, "folder": str(self.place.csv)}
        self.process.stdin.write(json.dumps({**job, **more}) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


class Place:
    """A folder with the store that is written, and copies of the states that it is brought to."""

    def __init__(self, folder: Path, journal: str) -> None:
        self.folder = folder / "store"
        self.csv = folder / "csv"
        self.states = folder / "states"
        for made in (self.folder, self.csv, self.states):
            made.mkdir(parents=True)
        self.path = self.folder / "crm.db"
        self.spare = self.folder / "spare"
        self.log = folder / "strace.log"
        self.url = f"sqlite:///{self.path}?journal={journal}"
        beside = [Path(f"{self.path}{suffix}") for suffix in ("", "-journal", "-wal", "-shm")]
        self.files = [self.folder, *beside, self.spare, Path(f"{self.spare}.absent")]

    def keep(self, state: str) -> None:
        """Remembers the files as they are under a name."""
        shutil.rmtree(self.states / state, ignore_errors=True)
        shutil.copytree(self.folder, self.states / state)

    def bring(self, state: str) -> None:
        """Brings back the files of that name."""
        for each in self.folder.iterdir():
            each.unlink()
        for each in (self.states / state).iterdir():
            shutil.copy(each, self.folder)

    def look(self, *, formats: bool = False) -> tuple[steps.Customers, list[str]]:
        """What is there, with ``formats`` in which format too, and everything that is wrong with it."""
        if formats:
            upgraded = upgrade(self.url, backup=False)
            there, problems = self.look()
            return {"format": (upgraded.source,), **there}, problems
        with soundness.open_crm(self.url) as crm:
            there, problems = soundness.seen(crm), soundness.violations(crm)
        return there, problems + [f"{name} is left beside the file" for name in soundness.litter(self.path)]


@contextmanager
def serving(place: Place, call: str | None = None, fault: str = "", last: int = 0) -> Iterator[Server]:
    server = Server(place, call, fault, last)
    try:
        yield server
    finally:
        server.close()


def _prepare(place: Place, states: Iterable[str]) -> None:
    """The states: no file; one with some steps taken; this with the journal of a commit that was cut off late; this in format 1."""
    place.keep("absent")
    with soundness.open_crm(place.url) as crm:
        for step in (0, 1, 2, 3, 5):
            steps.take_step(crm.acting_as(LABEL), LABEL, step, place.csv)
    place.keep("full")
    if "hot" in states:
        with serving(place, "fdatasync", FAULTS["kill"], last=50) as server:
            nth, said = 1, "killed"
            while said == "killed":
                place.bring("full")
                said = server.do(CASES["register"][1], nth)
                if soundness.litter(place.path):
                    place.keep("hot")
                nth += 1
    if "format 1" in states:
        place.bring("full")
        _back_to_format_1(place)
        place.keep("format 1")


def _back_to_format_1(place: Place) -> None:
    """Makes the store one of the first format, which had fewer collections."""
    new = {shape if isinstance(shape, str) else shape.name for step in STEPS for shape in step.shapes}
    old = Schema.of(1, [shape for name, shape in SCHEMA.collections.items() if name not in new])
    with open_store(place.url, SCHEMA) as store, store.transaction() as transaction:
        rows = [Insert(name, row) for name in old.collections for row in transaction.scan(name)]
    for each in place.folder.iterdir():
        each.unlink()
    with open_store(place.url, old) as store, store.transaction(write=True) as transaction:
        transaction.apply(rows)


class Case:
    """What is tried: what must be there if it was done and if it wasn't, and how often it makes each system call."""

    def __init__(self, place: Place, name: str) -> None:
        self.name = name
        self.state, self.step = CASES[name]
        self.upgrades = self.step == UPGRADE
        place.bring(self.state)
        self.before, self.problems = place.look(formats=self.upgrades)
        with serving(place) as server:
            place.bring(self.state)
            said = server.do(self.step)
        if said != "done":
            self.problems.append(f"without any fault: {said}")
        self.after, problems = place.look(formats=self.upgrades)
        self.problems += problems
        calls = re.findall(r"^\d+ +(\w+)\(", place.log.read_text(encoding="utf-8"), re.M)
        self.calls = Counter(call for call in calls if call in CALLS)
        self.counts: Counter[str] = Counter()

    def hit(self, place: Place, server: Server, fault: str, nth: int, *, beyond: bool) -> None:
        """Tries one point; ``beyond`` the last call nothing may be hit and everything must be done."""
        place.bring(self.state)
        said = server.do(self.step, nth)
        there, problems = place.look(formats=self.upgrades)
        wanted = ["done"] if beyond else ["killed"] if fault == "kill" else ["done", "refused"]
        if said.partition(":")[0] not in wanted:
            problems.append(said)
        if there != self.after and (said == "done" or there != self.before):
            problems.append(f"{said}, and there is {there}")
        self.problems += [f"{self.name}, {fault} at {server.call} {nth}: {problem}" for problem in problems]
        if not beyond:
            self.counts[fault] += 1
            self.counts[
                "said done" if said == "done" else "kept" if there == self.after != self.before else "undone"
            ] += 1


def _chosen(all_of: Iterable[str], only: Iterable[str]) -> list[str]:
    """Those that are named, or all where none is."""
    return [each for each in all_of if each in only] or list(all_of)


def run(folder: Path, journal: str, every: int = 1, only: Sequence[str] = ()) -> list[str]:
    """Tries every point, or each so many-th, and prints a table; gives what was wrong.

    ``only`` names cases, system calls and faults.
    """
    if shutil.which("strace") is None:
        print("\nThere is no strace here, so nothing was tried at system calls.")
        return []
    if subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], capture_output=True, check=False).returncode:
        print("\nstrace may not trace here, so nothing was tried at system calls.")
        return []
    begun = time.monotonic()
    place = Place(folder / "boundaries", journal)
    chosen = _chosen(CASES, only)
    _prepare(place, {CASES[name][0] for name in chosen})
    cases = [Case(place, name) for name in chosen]
    for case, call, fault in itertools.product(cases, _chosen(CALLS, only), _chosen(FAULTS, only)):
        if count := case.calls[call]:
            with serving(place, call, FAULTS[fault], count + 1) as server:
                for nth in range(1, count + 1, every):
                    case.hit(place, server, fault, nth, beyond=False)
                case.hit(place, server, fault, count + 1, beyond=True)
    points = sum(case.counts[fault] for case in cases for fault in FAULTS)
    print(f"\nStopped or failing at a system call: {points:,} points, {time.monotonic() - begun:.0f} s")
    columns = [*FAULTS, "said done", "kept", "undone"]
    print(f"{'':24}" + "".join(f"{column:>11}" for column in [*columns, "violations"]))
    for case in cases:
        figures = [*(case.counts[column] for column in columns), len(case.problems)]
        print(f"{case.name:24}" + "".join(f"{figure:11,}" for figure in figures))
    problems = [problem for case in cases for problem in case.problems]
    for problem in problems[:20]:
        print(f"VIOLATION: {problem}")
    return problems
