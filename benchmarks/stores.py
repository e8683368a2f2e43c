"""This library's SQLite store beside raw sqlite3, SQLAlchemy Core, the Django ORM and peewee, in one run on the same rows.

    python benchmarks/stores.py [--quick] [--customers N] [--rounds R] [--only NAME ...] [--json FILE]

See README.md beside this file for what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import contenders
import data
import report
from checks import SYNCHRONOUS, answers, check_answers, check_settings, check_shape, check_stored, check_updates
from contenders.contract import Contender
from measure import Memory, machine, timed
from report import Measured, Round

LIMIT = "raw_sqlite3"
RESULTS = Path(__file__).parent / "results"
TURNS = 5  #: in a round every contender comes round so many times, with a part of the calls each time


@dataclass(frozen=True)
class Plan:
    """How much is done: customers of the bulk and of the single operations, rounds, a factor on the calls per round."""

    customers: int
    bulk_rounds: int
    single_customers: int
    rounds: int
    effort: float
    pragmas: Mapping[str, str]


def spread(plan: Plan, salt: int) -> Iterator[int]:
    """Customers in an order that jumps about the file, none twice."""
    count = plan.single_customers
    step = next(step for step in range(int(count * 0.618) | 1, 2 * count + 3) if _coprime(step, count))
    return ((salt * 7919 + each * step) % count for each in range(count))


def _coprime(one: int, two: int) -> bool:
    while two:
        one, two = two, one % two
    return one == 1


# Each operation: the calls it makes in one round, as (method, its arguments), the same for every contender.

Arguments = Callable[[Plan, int], Iterator[tuple[Any, ...]]]


def _numbers(plan: Plan, salt: int) -> Iterator[tuple[Any, ...]]:
    return ((data.number_of(index),) for index in spread(plan, salt))


def _cursors(plan: Plan, salt: int) -> Iterator[tuple[Any, ...]]:
    for index in spread(plan, salt):
        yield data.owner_of(index), data.stage_of(index), data.number_of(index // 2)


def _moves(plan: Plan, salt: int) -> Iterator[tuple[Any, ...]]:
    for serial, index in enumerate(spread(plan, salt)):
        before, at = data.stage_of(index), data.NOW + serial
        after = data.STAGES[(data.STAGES.index(before) + 1) % len(data.STAGES)]
        customer_id = data.customer_id_of(index)
        yield index, after, at, data.history_row(serial, customer_id, at, before, after)


@dataclass(frozen=True)
class Operation:
    """A single operation; ``goal`` is the ratio to the limit that this library sets itself."""

    heading: str
    method: str
    calls: int
    arguments: Arguments
    goal: float


OPERATIONS = (
    Operation("get customer by number", "get", 400, _numbers, 2.2),
    Operation("customer with its 2 contacts and 5 follow-ups", "aggregate", 250, _numbers, 1.7),
    Operation("page of 50: owner and stage, by number, keyset", "page", 100, _cursors, 1.35),
    Operation("count by stage", "count_by_stage", 50, lambda plan, salt: iter([()] * 1000), 1.1),
    Operation(
        "overdue: the oldest 100 open follow-ups", "overdue", 100, lambda plan, salt: iter([(data.NOW,)] * 1000), 1.3
    ),
    Operation("durable update, version check, history row", "update", 100, _moves, 1.5),
)
BULK_GOAL = 1.8


# --- bulk: a fresh process for each contender and round ---


def bulk_once(name: str, customers: int, path: Path, pragmas: Mapping[str, str]) -> Round:
    """Inserts everything into a new file; called in a process of its own."""
    kind = contenders.contender(name)
    contender = kind(pragmas)
    contender.prepare(path)
    check_shape(name, path)
    contender.open(path)
    check_settings(name, contender, pragmas)
    feed = data.Feed(customers, kind.takes)
    memory = Memory()
    wall, cpu = timed(contender.bulk, [(feed,)])
    added = memory.added()
    check_stored(name, contender, path, customers)
    contender.close()
    return Round((wall - feed.wall) / customers, (cpu - feed.cpu) / customers, added)


def run_bulk(names: list[str], plan: Plan, directory: Path) -> Measured:
    measured: Measured = {name: [] for name in names}
    context = multiprocessing.get_context("spawn")
    for turn in range(plan.bulk_rounds):
        for name in rotated(names, turn):
            say(f"bulk, round {turn + 1} of {plan.bulk_rounds}: {name}")
            path = directory / f"bulk-{name}.db"
            with context.Pool(1) as pool:
                measured[name].append(pool.apply(bulk_once, (name, plan.customers, path, plan.pragmas)))
            remove(path)
    return measured


# --- single operations: all contenders in this process, turn by turn ---


def run_single(names: list[str], plan: Plan, directory: Path, operations: list[Operation]) -> dict[str, Measured]:
    entrants = {name: contenders.contender(name)(plan.pragmas) for name in names}
    templates = make_templates(entrants, plan, directory)
    measured: dict[str, Measured] = {operation.method: {name: [] for name in names} for operation in operations}
    for turn in range(plan.rounds):
        say(f"single operations, round {turn + 1} of {plan.rounds}")
        paths = {name: directory / f"single-{name}.db" for name in names}
        for name, contender in entrants.items():
            copy(templates[name], paths[name])
            contender.open(paths[name])
            check_settings(name, contender, plan.pragmas)
        questions = list(islice(_numbers(plan, turn), 20)), list(islice(_cursors(plan, turn), 10))
        check_answers({name: answers(contender, *questions) for name, contender in entrants.items()}, LIMIT)
        gc.collect()
        gc.freeze()  # one contender's objects must not be walked through in another's time
        for operation in operations:
            results = single_round(operation, entrants, paths, plan, turn)
            for name, result in results.items():
                measured[operation.method][name].append(result)
        for name, contender in entrants.items():
            contender.close()
            remove(paths[name])
    return measured


def single_round(
    operation: Operation,
    entrants: dict[str, Contender],
    paths: dict[str, Path],
    plan: Plan,
    turn: int,
) -> dict[str, Round]:
    """One operation by every contender, a part of the calls at a time."""
    part = max(2, int(operation.calls * plan.effort / TURNS))
    warm = 2
    calls = list(islice(operation.arguments(plan, turn), warm + part * TURNS))
    prepared = {name: [call_of(operation, contender, call) for call in calls] for name, contender in entrants.items()}
    spent = {name: [0.0, 0.0] for name in entrants}
    for name, contender in entrants.items():
        timed(getattr(contender, operation.method), prepared[name][:warm])
    for visit in range(TURNS):
        start = warm + visit * part
        for name in rotated(list(entrants), turn + visit):
            wall, cpu = timed(getattr(entrants[name], operation.method), prepared[name][start : start + part])
            spent[name][0] += wall
            spent[name][1] += cpu
    if operation.method == "update":
        for name, contender in entrants.items():
            check_updates(name, contender, paths[name], calls, prepared[name][0])
    done = part * TURNS
    return {name: Round(wall / done, cpu / done) for name, (wall, cpu) in spent.items()}


def call_of(operation: Operation, contender: Contender, call: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments as this contender takes them, and for an update what it holds of the customer."""
    instant = contender.takes.get("instant", int)
    if operation.method == "overdue":
        return tuple(map(instant, call))
    if operation.method != "update":
        return call
    index, stage, at, history = call
    held = contender.hold(data.customer_id_of(index), data.number_of(index))
    return held, stage, instant(at), data.converter(data.HISTORY, contender.takes)(history)


def make_templates(entrants: dict[str, Contender], plan: Plan, directory: Path) -> dict[str, Path]:
    """A filled file for each schema; contenders of the same schema start from copies of one file."""
    made: dict[str, Path] = {}
    for name, contender in entrants.items():
        path = directory / f"template-{name if contender.own_schema else LIMIT}.db"
        if not path.exists():
            say(f"filling {plan.single_customers} customers: {name}")
            contender.prepare(path)
            contender.open(path)
            contender.bulk(data.Feed(plan.single_customers, contender.takes))
            check_stored(name, contender, path, plan.single_customers)
            contender.close()
        made[name] = path
        if more := check_shape(name, path):
            say(f"{name} keeps more than the others: {'; '.join(more)}")
    return made


def copy(source: Path, target: Path) -> None:
    """A copy that is on the disk, so that nothing of it is left to write while others are measured."""
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def remove(path: Path) -> None:
    for each in path.parent.glob(path.name + "*"):
        each.unlink()


def rotated(names: list[str], turn: int) -> list[str]:
    place = turn % len(names)
    return names[place:] + names[:place]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def chosen(only: list[str] | None, pragmas: Mapping[str, str]) -> list[str]:
    """The limit and those asked for; what can't run here is left out, or an error where it was asked for."""
    known = contenders.names()
    for name in set(only or ()) - set(known):
        raise SystemExit(f"no contender {name}; there are {', '.join(known)}")
    names = [name for name in known if only is None or name in only or name == LIMIT]
    present = []
    for name in names:
        try:
            reason = contenders.contender(name).refuses(pragmas)
        except ImportError as missing:
            reason = f'{missing} (pip install "crmcore[benchmarks]")'
        if reason is None:
            present.append(name)
        elif only:
            raise SystemExit(f"{name}: {reason}")
        else:
            say(f"{name} is left out: {reason}")
    return present


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The stores side by side.")
    known, methods = contenders.names(), ["bulk", *(operation.method for operation in OPERATIONS)]
    modes, syncs = ["DELETE", "TRUNCATE", "PERSIST", "WAL"], list(SYNCHRONOUS.values())
    option = parser.add_argument
    option("--customers", type=int, default=100_000, help="customers of the bulk insert (default 100000)")
    option("--single-customers", type=int, default=20_000, help="customers of single operations (default 20000)")
    option("--rounds", type=int, default=7, help="rounds of the single operations (default 7)")
    option("--bulk-rounds", type=int, default=3, help="rounds of the bulk insert (default 3)")
    option("--only", nargs="+", metavar="NAME", help=f"these contenders and the limit: {', '.join(known)}")
    option("--operations", nargs="+", choices=methods, default=methods, metavar="NAME", help=", ".join(methods))
    option("--journal-mode", default="TRUNCATE", type=str.upper, choices=modes)
    option("--synchronous", default="FULL", type=str.upper, choices=syncs)
    option("--directory", type=Path, default=RESULTS, help="where the files go (a RAM disk hides the sync)")
    option("--json", type=Path, metavar="FILE", help="write every round and figure here")
    option("--quick", action="store_true", help="few rows and rounds: shows that it runs, not how fast it is")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    pragmas = {"journal_mode": options.journal_mode, "synchronous": options.synchronous}
    if options.quick:
        plan = Plan(300, 1, 1000, 2, 0.1, pragmas)
    else:
        plan = Plan(options.customers, options.bulk_rounds, options.single_customers, options.rounds, 1, pragmas)
    names = chosen(options.only, pragmas)
    titles = {name: contenders.contender(name).title for name in names}
    peers = [name for name in names if contenders.contender(name).role == "peer"]
    operations = [operation for operation in OPERATIONS if operation.method in options.operations]
    options.directory.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.directory) as made:
        directory = Path(made)
        facts = machine(directory)
        print(report.preface(facts))
        print(f"journal {options.journal_mode}, synchronous {options.synchronous}")
        results: dict[str, Any] = {}
        if "bulk" in options.operations:
            headline = f"bulk insert of {plan.customers} customers with 7 children each, per customer (goal {BULK_GOAL}, 20 MB)"
            results["bulk"] = finish(headline, run_bulk(names, plan, directory), titles, peers)
        if operations:
            for method, measured in run_single(names, plan, directory, operations).items():
                operation = next(each for each in operations if each.method == method)
                headline = f"{operation.heading}, of {plan.single_customers} customers (goal {operation.goal})"
                results[method] = finish(headline, measured, titles, peers)
    if options.json:
        found = {"machine": facts, "plan": {**plan.__dict__}, "titles": titles, "operations": results}
        options.json.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def finish(headline: str, measured: Measured, titles: dict[str, str], peers: list[str]) -> dict[str, Any]:
    made = report.lines(measured, LIMIT, peers)
    print(report.table(headline, made, titles), flush=True)
    return report.as_json(made, measured)


if __name__ == "__main__":
    main()
