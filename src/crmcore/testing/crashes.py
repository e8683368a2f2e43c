"""Processes killed on purpose, at one point after the other, so that what is left can be looked at.

The work runs in a process of its own and acknowledges what it was told is kept. :func:`crash_points` runs it again and again,
kills it at a point further on each time, and hands out what had been acknowledged by then; whoever asked looks at the store
and decides whether that is right::

    for crash in crash_points(backend, url, work, at="calls", reset=empty):
        with backend.open(StoreURL.parse(url), SCHEMA) as store:
            assert state_of(store) in (states[len(crash.acknowledged)], states[len(crash.acknowledged) + 1])

Where the points are:

- ``calls``: before and after each begin, apply, commit and claim of the store.
- ``files``: before each open for writing, write, fsync, rename, truncation and removal that is made from Python, and in the
  middle of each write, at the end of a sector: what a disk writes whole or not at all.
- ``system calls``: at each of the same system calls, whoever makes it; needs Linux and strace.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import importlib
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final, Literal, TypeAlias

import attrs

from crmcore.storage import Backend, Schema, Store, StoreURL
from crmcore.testing.observing import Moment, ObservedStore
from crmcore.testing.processes import environment_of_children, found, named

At = Literal["calls", "files", "system calls"]

Opener: TypeAlias = Callable[[Schema], Store]
"""Opens the store that the work is about."""
Work: TypeAlias = Callable[[Opener, Callable[[str], None]], None]
"""What is done until it is killed: opens the store, and acknowledges each piece that it was told is kept."""

SYSTEM_CALLS: Final = (
    *("write", "pwrite64", "writev", "pwritev", "pwritev2", "fsync", "fdatasync", "ftruncate", "truncate"),
    *("rename", "renameat", "renameat2", "unlink", "unlinkat", "link", "linkat", "fallocate"),
)

SECTOR: Final = 512  #: bytes


@attrs.frozen(kw_only=True)
class Crash:
    """One run of the work. ``moment`` says where it was killed; ``finished`` that it came to its end instead."""

    point: int
    moment: str
    acknowledged: tuple[str, ...]
    finished: bool = False


def can_fork() -> bool:
    """Whether processes can be killed here at all: they are forked from one that has everything loaded."""
    return hasattr(os, "fork")


def strace() -> str | None:
    """The path of strace, where it can be used."""
    path = shutil.which("strace") if sys.platform == "linux" else None
    if path is None or subprocess.run([path, "-qq", "true"], capture_output=True, check=False).returncode:  # noqa: S603
        return None
    return path


def crash_points(
    backend: Backend,
    url: str,
    work: Work,
    *,
    at: At,
    reset: Callable[[], None],
    most: int | None = None,
) -> Iterator[Crash]:
    """Runs the work, killed at point 1, 2, 3 … until it comes to its end; ``reset`` makes the place as it was before each run.

    ``most`` bounds the number of kills: the points are then spread evenly over the run. Backend and work must be importable.
    Raises :class:`RuntimeError` when the work fails by itself.
    """
    with _Nursery(backend, url, work, at) as nursery:
        reset()
        total, names = nursery.count()
        for point in _spread(total, most):
            reset()
            yield nursery.run(point, names)


def _spread(total: int, most: int | None) -> Sequence[int]:
    if most is None or most >= total:
        return range(1, total + 1)
    return sorted({1 + place * (total - 1) // max(most - 1, 1) for place in range(most)})


class _Nursery:
    """A process with everything loaded, from which one that is to die is forked in a few milliseconds."""

    def __init__(self, backend: Backend, url: str, work: Work, at: At) -> None:
        self._at = at
        order = {"path": sys.path, "backend": named(type(backend)), "url": url, "work": named(work), "at": at}
        command = [sys.executable, "-B", "-c", "from crmcore.testing import crashes; crashes.main()"]
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own words
            command, env=environment_of_children(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._say(order)

    def __enter__(self) -> _Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        for end in (self._process.stdin, self._process.stdout):
            assert end is not None
            end.close()
        self._process.wait()

    def _say(self, words: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()

    def _ask(self, **words: Any) -> dict[str, Any]:
        self._say(words)
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the process that others are forked from has died")
        told: dict[str, Any] = json.loads(answer)
        if told["failed"]:
            raise RuntimeError(f"the work failed by itself:\n{told['failed']}")
        return told

    def count(self) -> tuple[int, list[tuple[str, int]]]:
        """How many points there are and, for system calls, which: each with how often it was made until then."""
        told = self._ask(point=0)
        calls = [(str(name), number) for name, times in told["calls"].items() for number in range(1, times + 1)]
        return (len(calls) if self._at == "system calls" else int(told["moments"])), calls

    def run(self, point: int, calls: list[tuple[str, int]]) -> Crash:
        """One run, killed at the point."""
        call = calls[point - 1] if self._at == "system calls" else None
        told = self._ask(point=point, call=call)
        moment = f"{call[0]} {call[1]}" if call else told["moment"]
        return Crash(
            point=point, moment=moment, acknowledged=tuple(told["acknowledged"]), finished=bool(told["finished"])
        )


# What happens in the process with everything loaded, and in those forked from it.


def main() -> None:
    """In the child: forks a process for each line that comes, and tells what became of it."""
    answers, asked = os.fdopen(os.dup(1), "w"), sys.stdin
    os.dup2(2, 1)
    order = json.loads(asked.readline())
    sys.path[:] = order["path"]
    if order["at"] == "files":
        _watch_files()
    backend: Backend = found(order["backend"])()
    work, url = found(order["work"]), StoreURL.parse(order["url"])
    for line in asked:
        told = _fork(backend, url, work, order["at"], json.loads(line))
        # What the first run loaded is there already for the next.
        for name in told.pop("modules"):
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        answers.write(json.dumps(told) + "\n")
        answers.flush()


def _fork(backend: Backend, url: StoreURL, work: Work, at: At, words: dict[str, Any]) -> dict[str, Any]:
    # What is said through a socket is no write of a file, and so no point.
    said, saying = socket.socketpair()
    waiting, going = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.read(waiting, 1)
            _live(backend, url, work, at, words["point"], saying)
        finally:
            os._exit(1)
    saying.close()
    tracing = _traced(child, words.get("call")) if at == "system calls" else contextlib.nullcontext(Counter[str]())
    with tracing as calls:
        os.write(going, b"!")
        with said, said.makefile() as reading:
            lines = reading.read().splitlines()
        _, status = os.waitpid(child, 0)
    os.close(waiting)
    os.close(going)
    told = [(line[:1], json.loads(line[1:])) for line in lines]
    ended = {kind: value for kind, value in told if kind != "A"}
    killed = os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    failed = "" if killed or "N" in ended else ended.get("E", f"it ended with {os.waitstatus_to_exitcode(status)}")
    return {
        "acknowledged": [value for kind, value in told if kind == "A"],
        "finished": "N" in ended,
        "failed": failed,
        "moment": ended.get("M", ""),
        "moments": ended.get("N", 0),
        "modules": ended.get("I", []),
        "calls": calls,
    }


def _live(backend: Backend, url: StoreURL, work: Work, at: At, point: int, saying: socket.socket) -> None:
    """In the process that is to die."""

    def say(kind: str, value: object) -> None:
        saying.sendall(f"{kind}{json.dumps(value)}\n".encode())

    def die(moment: str) -> None:
        say("M", moment)
        os.kill(os.getpid(), signal.SIGKILL)

    steps = _Steps(point, die)
    if at == "files":
        _STEPS.append(steps)

    def opener(schema: Schema) -> Store:
        store = backend.open(url, schema)
        return ObservedStore(store, steps.observe) if at == "calls" else store

    known = set(sys.modules)
    try:
        work(opener, lambda token: say("A", token))
    except BaseException:
        say("E", traceback.format_exc())
        os._exit(1)
    if not point:
        say("I", sorted(set(sys.modules) - known))
    say("N", steps.taken)
    os._exit(0)


@attrs.define
class _Steps:
    """The points passed, and the one at which it ends."""

    point: int
    die: Callable[[str], None]
    taken: int = 0

    def take(self, moment: str, half: Callable[[], object] | None = None) -> None:
        """A step that is about to be taken; one of which half can be done is two points."""
        for doing in (None,) if half is None else (None, half):
            self.taken += 1
            if self.taken == self.point:
                if doing is not None:
                    doing()
                self.die(moment if doing is None else f"half of {moment}")

    def observe(self, moment: Moment) -> None:
        if moment.call != "read":
            self.take(str(moment))


_STEPS: Final[list[_Steps]] = []
_ORIGINAL_OPEN: Final = builtins.open
_PATHS: Final = ("replace", "rename", "remove", "unlink", "link", "truncate")
_DESCRIPTORS: Final = ("fsync", "fdatasync", "ftruncate")


def _step(moment: str, half: Callable[[], object] | None = None) -> None:
    for steps in _STEPS:
        steps.take(moment, half)


def _watch_files() -> None:
    """Puts a step before everything that Python can do to a file's content or name."""
    for name in (*_PATHS, *_DESCRIPTORS):
        original = getattr(os, name, None)
        if original is not None:
            setattr(os, name, _stepping(name, original))
    for name in ("write", "pwrite"):
        original = getattr(os, name, None)
        if original is not None:
            setattr(os, name, _stepping_write(name, original))
    for module in (builtins, io, importlib.import_module("_io")):
        vars(module)["open"] = _open


def _stepping(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def stepping(*arguments: Any, **options: Any) -> Any:
        _step(" ".join([name, *(_shown(argument) for argument in arguments[:2])]))
        return original(*arguments, **options)

    return stepping


def _stepping_write(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def stepping(descriptor: int, data: Any, *rest: Any) -> Any:
        start = rest[0] if rest else _position(descriptor)
        half = _half(bytes(data), start)
        _step(f"{name} {_shown(descriptor)}", (lambda: original(descriptor, half, *rest)) if half else None)
        return original(descriptor, data, *rest)

    return stepping


def _position(descriptor: int) -> int:
    try:
        return os.lseek(descriptor, 0, os.SEEK_CUR)
    except OSError:
        return 0


def _half(data: bytes, start: int) -> bytes:
    """About half of what is written from there on, up to the end of a sector; nothing where there is no such end in it."""
    middle = (start + len(data) // 2 + SECTOR - 1) // SECTOR * SECTOR - start
    return data[:middle] if 0 < middle < len(data) else b""


def _shown(argument: Any) -> str:
    if isinstance(argument, int) and not isinstance(argument, bool):
        with contextlib.suppress(OSError):
            argument = os.readlink(f"/proc/self/fd/{argument}")
    return os.path.basename(os.fsdecode(argument)) if isinstance(argument, (str, bytes, os.PathLike)) else str(argument)


class _File(io.FileIO):
    def write(self, data: Any, /) -> int:
        half = _half(bytes(data), _position(self.fileno()))
        _step(f"write {_shown(self.name)}", (lambda: io.FileIO.write(self, half)) if half else None)
        return super().write(data)

    def truncate(self, size: int | None = None, /) -> int:
        _step(f"truncate {_shown(self.name)}")
        return super().truncate(size)


def _open(
    file: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Callable[[str, int], int] | None = None,
) -> IO[Any]:
    if not _STEPS or not set(mode) & set("wax+"):
        return _ORIGINAL_OPEN(file, mode, buffering, encoding, errors, newline, closefd, opener)
    _step(f"open {_shown(file)}")
    raw: Any = _File(file, "".join(letter for letter in mode if letter not in "bt"), closefd, opener)
    if buffering == 0:
        return raw  # type: ignore[no-any-return]
    buffered: Any = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
    if "b" in mode:
        return buffered  # type: ignore[no-any-return]
    text = io.TextIOWrapper(buffered, encoding, errors, newline, line_buffering=buffering == 1)
    text.mode = mode  # type: ignore[misc]
    return text


# strace, which is there from a process's first step to its last.


@contextlib.contextmanager
def _traced(child: int, call: tuple[str, int] | None) -> Iterator[Counter[str]]:
    """Traces a process for as long as it lives, and kills it at the call; afterwards tells the calls that it made."""
    tool = shutil.which("strace")
    assert tool is not None, "strace is not installed"
    with tempfile.TemporaryDirectory() as folder:
        log, calls = Path(folder) / "log", Counter[str]()
        command = [tool, "-f", "-o", str(log), "-e", f"trace={','.join(f'?{name}' for name in SYSTEM_CALLS)}"]
        if call is not None:
            command += ["-e", f"inject={call[0]}:signal=KILL:when={call[1]}"]
        tracer = subprocess.Popen(  # noqa: S603 - a tool that was looked up, our own words
            [*command, "-p", str(child)], stderr=subprocess.PIPE, text=True
        )
        assert tracer.stderr is not None
        try:
            for line in tracer.stderr:
                if "attached" in line:
                    break
            else:
                raise RuntimeError("strace can't be attached to a process here")
            yield calls
        finally:
            # It ends with the process that it traces.
            tracer.communicate()
        made = re.findall(r"^\d+\s+(\w+)\(", log.read_text("utf-8", "replace"), re.M)
        calls.update(name for name in made if name in SYSTEM_CALLS)
