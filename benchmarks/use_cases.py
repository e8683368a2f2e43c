"""A library's public use cases beside the same rows written and read by raw sqlite3.

    python benchmarks/use_cases.py [--quick] [--customers N] [--rounds R] [--only NAME ...] [--json FILE]

See README.md beside this file.
"""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import report
import subjects
from checks import differ
from measure import machine, timed
from replay import Limit, Statement, Write, capture, contents, described
from report import Measured, Round
from subjects.contract import Subject

LIMIT = "limit"
TURNS, WARM = 5, 2  #: a round goes to and fro so many times; so many calls before it are not timed
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Operation:
    """A use case: the subject's method, calls per round, and the ratio to the limit that this library sets itself."""

    method: str
    heading: str
    calls: int
    goal: float
    writes: bool


OPERATIONS = (
    Operation("create", "create: a customer with a contact", 100, 3, True),
    Operation("move", "move to the next stage", 100, 3, True),
    Operation("follow_up", "log a follow-up", 100, 2.5, True),
    Operation("read", "read one by its number", 400, 4, False),
    Operation("page", "list of 50", 100, 3, False),
)


@dataclass(frozen=True)
class Plan:
    """Customers in the file before anything is measured, rounds, a factor on the calls per round."""

    customers: int
    rounds: int
    effort: float


class Bench:
    """One subject and its file; works in a directory of its own."""

    def __init__(self, subject: Subject, plan: Plan, directory: Path) -> None:
        self.subject, self.plan, self.directory = subject, plan, directory
        self.base = directory / "base.db"
        subject.make(self.base, plan.customers)
        subject.open(self.base)
        self.pragmas = dict(subject.pragmas())
        subject.close()

    def copy(self, name: str) -> Path:
        """A fresh copy of the file as it was made."""
        path = self.directory / name
        for old in self.directory.glob(f"{name}*"):
            old.unlink()
        shutil.copyfile(self.base, path)
        return path

    def run(self, operation: Operation) -> tuple[str, Measured]:
        """What the operation does, and its rounds."""
        part = max(2, int(operation.calls * self.plan.effort / TURNS))
        serials = list(range(WARM + part * TURNS))
        if len(serials) > self.plan.customers:
            raise SystemExit(f"{operation.method} needs at least {len(serials)} customers")
        measured: Measured = {LIMIT: [], "subject": []}
        prepared = self.captured(operation, serials) if operation.writes else None
        note = "reads" if prepared is None else prepared.note
        for turn in range(self.plan.rounds):
            ours, theirs = self.copy("subject.db"), self.copy("limit.db")
            self.subject.open(ours)
            limit = Limit(theirs, self.pragmas)
            if prepared is None:
                self.check_reads(operation, limit, serials)
                calls = [tuple(self.subject.by_hand(operation.method, serial)) for serial in serials]
                results = self.round(operation, limit.read, calls, serials, part, turn)
            else:
                results = self.round(operation, limit.write, prepared.calls, serials, part, turn)
            self.subject.close()
            limit.close()
            if prepared is not None:
                prepared.check(ours, theirs)
            for name, result in results.items():
                measured[name].append(result)
        return note, measured

    def captured(self, operation: Operation, serials: list[int]) -> Captured:
        """What the calls of a writing operation write, found by a run that is not timed."""
        path = self.copy("capture.db")
        self.subject.open(path)
        writes = capture(path, getattr(self.subject, operation.method), serials)
        self.subject.close()
        if not all(writes):
            raise differ(operation.method, "a call wrote nothing")
        return Captured(writes, contents(path))

    def check_reads(self, operation: Operation, limit: Limit, serials: list[int]) -> None:
        """Both read the same customers."""
        for serial in serials[:20]:
            rows = limit.read(*self.subject.by_hand(operation.method, serial))
            answer = self.subject.keys(getattr(self.subject, operation.method)(serial))
            if not answer or answer != [row[0] for row in rows[0]]:
                raise differ(operation.method, f"call {serial} does not give what the statements by hand give")

    def round(
        self,
        operation: Operation,
        by_hand: Callable[..., Any],
        calls: list[tuple[Any, ...]],
        serials: list[int],
        part: int,
        turn: int,
    ) -> dict[str, Round]:
        """To and fro between the subject and the limit, each with its part of the calls."""
        sides: dict[str, tuple[Callable[..., Any], list[tuple[Any, ...]]]] = {
            LIMIT: (by_hand, calls),
            "subject": (getattr(self.subject, operation.method), [(serial,) for serial in serials]),
        }
        spent = {name: [0.0, 0.0] for name in sides}
        for call, given in sides.values():
            timed(call, given[:WARM])
        gc.collect()
        gc.freeze()
        for visit in range(TURNS):
            start = WARM + visit * part
            for name in sorted(sides, reverse=bool((turn + visit) % 2)):
                call, given = sides[name]
                wall, cpu = timed(call, given[start : start + part])
                spent[name][0] += wall
                spent[name][1] += cpu
        return {name: Round(wall / (part * TURNS), cpu / (part * TURNS)) for name, (wall, cpu) in spent.items()}


class Captured:
    """The calls of one writing operation as statements, and what the file must hold after them."""

    def __init__(self, writes: list[list[Write]], after: Any) -> None:
        self.calls: list[tuple[Statement, ...]] = [tuple(write.statement() for write in each) for each in writes]
        self.after = after
        self.note = described(writes[-1])

    def check(self, ours: Path, theirs: Path) -> None:
        """The limit left exactly the rows of the captured run; the subject as many rows in every table."""
        if contents(theirs) != self.after:
            raise differ(LIMIT, "its file does not hold the rows that the library wrote")
        sizes = {layout.table: len(rows) for layout, rows in contents(ours).items()}
        if sizes != {layout.table: len(rows) for layout, rows in self.after.items()}:
            raise differ("subject", "it wrote other rows in the timed run than in the captured one")


def main() -> None:
    known = subjects.names()
    parser = argparse.ArgumentParser(description="Use cases beside the same rows by hand.")
    parser.add_argument("--customers", type=int, default=2000, help="customers in the file (default 2000)")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=known, default=known, metavar="NAME", help=", ".join(known))
    parser.add_argument(
        "--directory", type=Path, default=RESULTS, help="where the files go (a RAM disk hides the sync)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round and figure here")
    parser.add_argument(
        "--quick", action="store_true", help="few rows and rounds: shows that it runs, not how fast it is"
    )
    options = parser.parse_args()
    plan = Plan(100, 2, 0.1) if options.quick else Plan(options.customers, options.rounds, 1)
    options.directory.mkdir(exist_ok=True)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=options.directory) as made:
        facts = machine(Path(made))
        print(report.preface(facts))
        for name in options.only:
            place = Path(made) / name
            place.mkdir()
            bench = Bench(subjects.subject(name)(), plan, place)
            titles = {LIMIT: "the same by raw sqlite3", "subject": bench.subject.title}
            print(f"\n{bench.subject.title}: {bench.pragmas}")
            for operation in OPERATIONS:
                print(f"{name}: {operation.method}", file=sys.stderr, flush=True)
                note, measured = bench.run(operation)
                lines = report.lines(measured, LIMIT, [])
                print(report.table(f"{operation.heading} (goal {operation.goal}): {note}", lines, titles), flush=True)
                found.setdefault(name, {})[operation.method] = {"note": note, **report.as_json(lines, measured)}
    if options.json:
        text = json.dumps({"machine": facts, "plan": plan.__dict__, "subjects": found}, indent=1, ensure_ascii=False)
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
