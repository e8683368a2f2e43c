"""The workbook store under SIGKILL: nothing acknowledged is lost, nothing is half done, no file is unreadable, no litter stays.

    python benchmarks/reliability/excel_kills.py [--kills 500] [--seed N] [--no-boundaries] [--most N] [--directory DIR]

First, writers that register, update, move, follow up and import, and write the workbook now and then, are killed at random
moments. Then a writer that makes a store, commits and writes the workbook is killed at every system call that writes (strace does it;
without it, at every such call from Python). After each kill the store is opened, everything is checked, and the workbook is
read. Ends with 1 if anything is wrong. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import soundness
import sqlite_kills
import steps

import crmcore
from crmcore.storage import Insert, Schema, Store, StoreURL
from crmcore.storage.codec import SCHEMA as CORE
from crmcore.testing import SCHEMA
from crmcore.testing.crashes import crash_points, strace
from crmcore.testing.kit_schema import group_row
from crmcore_excel import ExcelBackend
from crmcore_excel.checkpoints import read_checkpoint
from crmcore_excel.loading import litter
from crmcore_excel.places import Places

ROUNDS_PER_FILE = 10
WRITERS = 2
PIECES = 6


def write(url: str, label: str, folder: Path, told: int) -> None:
    """In a child: takes step after step, and writes the workbook after every second."""
    with soundness.open_crm(url) as crm:
        me = crm.acting_as(label)
        os.write(told, b"ready\n")
        step = 0
        while True:
            steps.take_step(me, label, step, folder)
            os.write(told, b"%d\n" % step)
            step += 1
            if step % 2 == 0:
                crm.store.checkpoint()  # type: ignore[attr-defined]


def kills(folder: Path, times: int, chance: random.Random, counts: Counter[str]) -> list[str]:
    """Rounds of writers that are killed, one after the other; what was wrong."""
    done: dict[str, steps.Customers] = {}
    path = folder / "none.xlsx"
    for number in range((times + WRITERS - 1) // WRITERS):
        if number % ROUNDS_PER_FILE == 0:
            path, done = folder / f"{number}.xlsx", {}
            soundness.open_crm(f"excel:///{path}").close()
        url = f"excel:///{path}?wait=60&checkpoint=manual"
        labels = [f"w{number}x{writer}" for writer in range(WRITERS)]
        running = [sqlite_kills.start(url, label, folder) for label in labels]
        told = [sqlite_kills.kill(*each, chance.randint(1, sqlite_kills.MOST_CALLS), chance) for each in running]
        counts["kills"] += WRITERS
        counts["checkpoints cut short"] += bool(litter(Places(path)))
        with soundness.open_crm(f"excel:///{path}") as crm:
            problems = soundness.violations(crm)
            problems += [f"{each.name} is left in the folder" for each in litter(Places(path))]
            there = soundness.seen(crm)
        for label, lines in zip(labels, told, strict=True):
            if lines != [str(step) for step in range(len(lines))]:
                problems.append(f"a writer ended by itself: {lines[-1]}")
            found = {name: what for name, what in there.items() if name.startswith(f"{label}-")}
            if found not in (steps.after(label, len(lines)), steps.after(label, len(lines) + 1)):
                problems.append(f"after {len(lines)} acknowledged calls {label} left {found}")
            counts["calls acknowledged"] += len(lines)
            done[label] = found
        for label, found in done.items():
            if found != {name: what for name, what in there.items() if name.startswith(f"{label}-")}:
                problems.append(f"what {label} had left has changed")
        read_checkpoint(path, CORE)
        if problems:
            return problems
    return []


def commit_and_write(opener: Callable[[Schema], Store], acknowledge: Callable[[str], None]) -> None:
    """In a child that is killed: some commits, the workbook written in between and at the end."""
    with opener(SCHEMA) as store:
        for piece in range(PIECES):
            with store.transaction(write=True) as work:
                work.apply(Insert("group", group_row(f"{piece}/{part}", order=part)) for part in range(3))
            acknowledge(str(piece))
            if piece % 3 == 2:
                store.checkpoint()  # type: ignore[attr-defined]


def boundaries(folder: Path, most: int | None, counts: Counter[str]) -> list[str]:
    """The same work killed at each of its system calls; what was wrong."""
    import excel_kills  # under a name by which the children find the work

    place = folder / "boundaries"
    path = place / "客户.xlsx"
    url, backend, problems = f"excel:///{path}", ExcelBackend(), []

    def reset() -> None:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()

    at = "files" if strace() is None else "system calls"
    for crash in crash_points(backend, url, excel_kills.commit_and_write, at=at, reset=reset, most=most):  # type: ignore[arg-type]
        counts[f"kills at {at}"] += 1
        with backend.open(StoreURL.parse(url), SCHEMA) as store:
            with store.transaction() as work:
                found = {str(row[0]) for row in work.scan("group")}
            whole = [{f"{piece}/{part}" for piece in range(n) for part in range(3)} for n in range(PIECES + 1)]
            acknowledged = len(crash.acknowledged)
            if found not in whole[acknowledged : acknowledged + 2]:
                problems.append(f"killed {crash.moment}: {acknowledged} pieces acknowledged, there are {sorted(found)}")
            problems += [f"killed {crash.moment}: {finding}" for finding in store.check()]
        if path.exists():
            read_checkpoint(path, SCHEMA)
        problems += [f"killed {crash.moment}: {each.name} stays" for each in litter(Places(path))]
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--no-boundaries", action="store_true", help="leave the system calls out")
    parser.add_argument("--most", type=int, help="try no more than so many system calls, spread over all")
    parser.add_argument("--directory", help="where the files are made (a disk of its own, say)")
    given = parser.parse_args()
    if not hasattr(os, "fork"):
        print("this needs fork and SIGKILL")
        return 0
    print(f"crmcore {crmcore.__version__}, Python {sys.version.split()[0]}, seed {given.seed}")
    sqlite_kills.write = write
    folder = Path(tempfile.mkdtemp(prefix="crmcore-kills-", dir=given.directory)).resolve()
    counts: Counter[str] = Counter()
    begun = time.monotonic()
    try:
        steps.warm(f"excel:///{folder}/warm.xlsx", folder)
        problems = kills(folder, given.kills, random.Random(given.seed), counts)
        if not given.no_boundaries:
            problems += boundaries(folder, given.most, counts)
        for name, count in counts.items():
            print(f"{count:8,}  {name}")
        print(f"{len(problems):8,}  violations, {time.monotonic() - begun:.0f} s")
        sqlite_kills.tell(problems)
        return 1 if problems else 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
