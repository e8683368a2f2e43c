"""The lock of the one writer among processes and threads: a file on the side, since a workbook is replaced under its lock.

The system gives the lock back when its holder dies, so the file that stays behind means nothing. ``filelock`` opens and
closes its file at every turn, which costs more than the commit that it guards.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
import weakref
from pathlib import Path

from crmcore.errors import StoreBusy

_LOOK_AGAIN = 0.0003, 0.002  #: seconds, between these two

if sys.platform == "win32":
    import msvcrt

    def _take(file: int) -> None:
        os.lseek(file, 0, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

    def _give(file: int) -> None:
        os.lseek(file, 0, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _take(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _give(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)


class WriterLock:
    """Held by one thread of one process at a time. A forked child makes its own."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._threads = threading.Lock()
        self._file: int | None = None
        self._closed = False
        _locks.add(self)

    def take(self, wait_seconds: float) -> None:
        """Waits for the turn to write. Raises :class:`StoreBusy` if it doesn't come in time, :class:`OSError`."""
        deadline = time.monotonic() + wait_seconds
        if not self._threads.acquire(timeout=wait_seconds):
            raise _busy(wait_seconds)
        try:
            self._take(deadline, wait_seconds)
        except BaseException:
            self._threads.release()
            raise

    def give(self) -> None:
        """The next one's turn."""
        try:
            if self._file is not None:
                _give(self._file)
            if self._closed:
                self._drop()
        finally:
            self._threads.release()

    def _take(self, deadline: float, wait_seconds: float) -> None:
        while True:
            file = self._open()
            try:
                _take(file)
            except (BlockingIOError, PermissionError):
                if time.monotonic() >= deadline:
                    raise _busy(wait_seconds) from None
                time.sleep(random.uniform(*_LOOK_AGAIN))  # noqa: S311 - so that two do not keep step
                continue
            if self._is_there(file):
                return
            _give(file)
            self._drop()

    def _open(self) -> int:
        if self._file is None:
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
            self._file = os.open(self._path, flags, 0o666)
        return self._file

    def _is_there(self, file: int) -> bool:
        # Taken away and made anew by somebody, the file at this path guards another door.
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return False
        held = os.fstat(file)
        return (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)

    def close(self) -> None:
        """Gives the file back, as soon as nobody holds the lock by it."""
        self._closed = True
        if self._threads.acquire(blocking=False):
            try:
                self._drop()
            finally:
                self._threads.release()

    def _drop(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


_locks: weakref.WeakSet[WriterLock] = weakref.WeakSet()


def _let_go() -> None:
    # A child would keep the lock when its parent dies with it; that it closes the file takes nothing from the parent.
    for lock in list(_locks):
        lock._drop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def _busy(wait_seconds: float) -> StoreBusy:
    return StoreBusy(f"another writer held the workbook for over {wait_seconds:g} s")
