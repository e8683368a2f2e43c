"""What is measured, and how: seconds of wall and of processor, the memory that a piece of work adds, the cost of a sync."""

from __future__ import annotations

import gc
import os
import platform
import resource
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

Seconds = tuple[float, float]
"""Wall and processor seconds."""


def timed(call: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> Seconds:
    """How long it takes to call it once with each of the arguments."""
    arguments = list(arguments)
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    for each in arguments:
        call(*each)
    return time.perf_counter() - wall, time.process_time() - cpu


class Memory:
    """The most memory that this process has held since, above what it holds now.

    On Linux the kernel's mark for this program (VmHWM) is set back first. ``ru_maxrss`` can't be set back and a new
    process inherits its parent's, so it is only the second choice, right in a fresh process of a small parent.
    """

    def __init__(self) -> None:
        gc.collect()
        self._status = Path("/proc/self/status")
        self.exact = self._status.exists()
        if self.exact:
            Path("/proc/self/clear_refs").write_text("5")
        self._before = self._mark()

    def added(self) -> float:
        """In MB (10⁶ bytes)."""
        return (self._mark() - self._before) / 1e6

    def _mark(self) -> int:
        if self.exact:
            lines = self._status.read_text().splitlines()
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def sync_floor(directory: Path, rounds: int = 50) -> float:
    """Seconds of appending one page to a file and syncing it: what no durable write can go below here."""
    path, taken = directory / "sync-floor", []
    with path.open("ab", buffering=0) as file:
        for _ in range(rounds):
            start = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - start)
    path.unlink()
    return statistics.median(taken)


def machine(directory: Path) -> dict[str, Any]:
    """What a reader of the figures must know about where they come from."""
    versions = {}
    for package in ("crmcore", "sqlalchemy", "django", "peewee"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "versions": versions,
        "sync_floor_seconds": sync_floor(directory),
        "load_average": os.getloadavg()[0],
    }
