"""Working time beside prefix sums with bisect written by hand (the limit) and beside other libraries.

    python benchmarks/timing.py [--quick] [--rounds R] [--many N] [--json FILE]

Peers that aren't installed are left out with the reason (``pip install timegrid business-duration businesstime
businesstimedelta``), and so are whole arrays without numpy. See README.md beside this file and timekeepers.py.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import report
from measure import machine
from report import Measured, Round
from timekeepers import FIRST_YEAR, LAST_YEAR, PEERS, ZONE, Limit, Peer, office

LIMIT, OURS = "limit", "crmcore"
TITLES = {LIMIT: Limit.name, OURS: "crmcore"}
BUDGET = 0.05
"""About so many seconds are spent on one contender in one round."""
TOLERANCE = 0.002
"""Seconds by which a float in seconds since 1970 and the rounding of a peer may be off."""

Calls = Callable[[int], Any]
"""Asks the same question so many times, each time of other moments."""


def moments(number: int, first: tuple[int, ...], days: int) -> list[datetime]:
    """Moments with odd seconds, spread over days from the first on; the same in every run."""
    dice = random.Random(20261001)
    start = datetime(*first, tzinfo=ZONE)
    return [start + timedelta(seconds=dice.randrange(days * 86400) + 0.25) for _ in range(number)]


def asking(question: Callable[..., Any], arguments: list[tuple[Any, Any]]) -> Calls:
    """A question of two arguments, asked over and over."""
    size = len(arguments)

    def ask(times: int) -> None:
        for number in range(times):
            one, other = arguments[number % size]
            question(one, other)

    return ask


def once(work: Callable[[], Any]) -> Calls:
    """A piece of work that is done as a whole."""

    def do(times: int) -> None:
        for _ in range(times):
            work()

    return do


def calls_within(ask: Calls, budget: float) -> int:
    """How many of them fit into the budget, at least one."""
    times = 1
    while True:
        start = time.perf_counter()
        ask(times)
        spent = time.perf_counter() - start
        if spent > budget / 4 or times >= 100_000:
            return max(1, int(times * budget / max(spent, 1e-9)))
        times *= 4


def measure(contenders: dict[str, Calls], rounds: int, per: int = 1) -> Measured:
    """All contenders in turn, round by round, forwards and backwards; seconds of one call (``per``: that many at once)."""
    number = {name: calls_within(ask, BUDGET) for name, ask in contenders.items()}
    measured: Measured = {name: [] for name in contenders}
    gc.collect()
    gc.freeze()
    for turn in range(rounds):
        for name in list(contenders)[:: 1 if turn % 2 else -1]:
            wall, cpu = time.perf_counter(), time.process_time()
            contenders[name](number[name])
            done = number[name] * per
            measured[name].append(Round((time.perf_counter() - wall) / done, (time.process_time() - cpu) / done))
    gc.unfreeze()
    return measured


class Bench:
    """The contenders, and what they answer."""

    def __init__(self) -> None:
        self.limit, self.ours = Limit(), office()
        self.plain_limit, self.plain_ours = Limit(make_up=False), office(make_up=False)
        self.peers: dict[str, Peer] = {}
        for make in PEERS:
            try:
                peer = make()
                self.peers[peer.name] = peer
            except ImportError as error:
                print(f"left out: {make.__name__} ({error})")

    def due(self, starts: list[datetime], work: timedelta) -> dict[str, Calls]:
        """A due time, by everybody who can give one; those who refuse are left out with their words."""
        seconds = work.total_seconds()
        contenders = {
            LIMIT: asking(self.limit.due, [(start, seconds) for start in starts]),
            OURS: asking(self.ours.due, [(start, work) for start in starts]),
        }
        agree(
            [self.limit.due(start, seconds) for start in starts], [self.ours.due(start, work) for start in starts], OURS
        )
        for name, peer in self.peers.items():
            if peer.due is None:
                continue
            given = [(peer.moment(start), work) for start in starts]
            try:
                said = [peer.instant(peer.due(*each)) for each in given[:5]]
            except Exception as error:
                print(f"left out: {name} ({str(error)[:90]})")
                continue
            agree([self.plain_ours.unchecked.due(start, work) for start in starts[:5]], said, name)
            contenders[name] = asking(peer.due, given)
        return contenders

    def between(self, starts: list[datetime], span: timedelta) -> dict[str, Calls]:
        """A difference, by everybody."""
        pairs = [(start, start + span) for start in starts]
        contenders = {LIMIT: asking(self.limit.between, pairs), OURS: asking(self.ours.between, pairs)}
        agree(
            [self.limit.between(*pair) for pair in pairs],
            [self.ours.between(*pair).total_seconds() for pair in pairs],
            OURS,
        )
        for name, peer in self.peers.items():
            if peer.between is None:
                continue
            given = [(peer.moment(start), peer.moment(end)) for start, end in pairs]
            said = [peer.seconds(peer.between(*each)) for each in given[:5]]
            agree([self.plain_ours.unchecked.between(*pair).total_seconds() for pair in pairs[:5]], said, name)
            contenders[name] = asking(peer.between, given)
        return contenders

    def lists(self, starts: list[datetime], work: timedelta) -> tuple[dict[str, Calls], dict[str, Calls]]:
        """Many moments in a list: the plain loop over the limit, and what this library has for it."""
        due, between, seconds = self.limit.due, self.limit.between, work.total_seconds()
        ends = [start + 30 * timedelta(days=1) for start in starts]
        agree([due(start, seconds) for start in starts], self.ours.due_many(starts, work), OURS)
        return {
            LIMIT: once(lambda: [due(start, seconds) for start in starts]),
            OURS: once(lambda: self.ours.due_many(starts, work)),
        }, {
            LIMIT: once(lambda: [between(start, end) for start, end in zip(starts, ends, strict=True)]),
            OURS: once(lambda: self.ours.between_many(starts, ends)),
        }

    def arrays(self, starts: list[datetime], work: timedelta) -> tuple[dict[str, Calls], dict[str, Calls]]:
        """Many moments in an array: numpy's searchsorted by hand in whole seconds, and what this library has for it."""
        numpy = importlib.import_module("numpy")
        opens, ends, sums = (
            numpy.array(each, "int64") for each in (self.limit.starts, self.limit.ends, self.limit.sums)
        )
        whole = numpy.array([int(start.timestamp()) for start in starts])
        later, seconds = whole + 30 * 86400, int(work.total_seconds())

        def worked(at: Any) -> Any:
            index = numpy.searchsorted(opens, at, side="right") - 1
            return sums[index] + numpy.minimum(at, ends[index]) - opens[index]

        def due() -> Any:
            target = worked(whole) + seconds
            landing = numpy.searchsorted(sums, target, side="left") - 1
            return opens[landing] + target - sums[landing]

        stamps, later_stamps = whole.astype("datetime64[s]"), later.astype("datetime64[s]")
        ours = self.ours.due_many(stamps, work)
        agree(due().tolist(), ours.astype("datetime64[s]").astype("int64").tolist(), OURS)
        gone = self.ours.between_many(stamps, later_stamps)
        agree((worked(later) - worked(whole)).tolist(), gone.astype("timedelta64[s]").astype("int64").tolist(), OURS)
        return {LIMIT: once(due), OURS: once(lambda: self.ours.due_many(stamps, work))}, {
            LIMIT: once(lambda: worked(later) - worked(whole)),
            OURS: once(lambda: self.ours.between_many(stamps, later_stamps)),
        }


def agree(expected: list[Any], said: list[Any], name: str) -> None:
    """Stops where a contender answers something else than it should."""
    for one, other in zip(expected, said, strict=True):
        off = abs(one - other)
        if (off.total_seconds() if isinstance(off, timedelta) else off) > TOLERANCE:
            raise SystemExit(f"{name} answers {other} where {one} is right")


def main() -> None:
    parser = argparse.ArgumentParser(description="Working time beside the limit and its peers.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--many", type=int, default=100_000, help="moments in a list or an array (default 100,000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round and figure here")
    parser.add_argument("--quick", action="store_true", help="few rounds: shows that it runs, not how fast it is")
    options = parser.parse_args()
    rounds, many = (3, 2000) if options.quick else (options.rounds, options.many)
    facts = machine(Path(__file__).parent / "results")
    print(report.preface(facts))
    bench = Bench()
    eight, years = timedelta(hours=8), timedelta(hours=10_000)
    spread, early = moments(200, (2021, 1, 4), 1500), moments(200, (2021, 1, 4), 150)
    listed = moments(many, (2016, 1, 4), 3600)
    due_list, between_list = bench.lists(listed, eight)
    operations: list[tuple[str, dict[str, Calls], int, int]] = [
        ("due: 8 working hours (goal 1.3)", bench.due(spread, eight), 1, rounds),
        ("due: 10,000 working hours, five years (goal 1.3)", bench.due(early, years), 1, rounds),
        ("between: a month (goal 1.3, ahead of all peers)", bench.between(spread, timedelta(days=30)), 1, rounds),
        (
            "between: five years (goal 1.3, 20 times ahead of all peers)",
            bench.between(early, timedelta(days=1826)),
            1,
            rounds,
        ),
        (f"due: a list of {many:,} (goal 1.1)", due_list, many, min(rounds, 7)),
        (f"between: a list of {many:,} (goal 1.1)", between_list, many, min(rounds, 7)),
        (
            f"compile {LAST_YEAR - FIRST_YEAR + 1} years (goal 8 ms, or by the year as they are asked)",
            {LIMIT: once(Limit), OURS: once(office)},
            1,
            rounds,
        ),
    ]
    try:
        due_arrays, between_arrays = bench.arrays(listed, eight)
        operations[-1:-1] = [
            (f"due: an array of {many:,} (goal 1.5)", due_arrays, many, rounds),
            (f"between: an array of {many:,} (goal 1.5)", between_arrays, many, rounds),
        ]
    except ImportError as error:
        print(f"left out: arrays ({error})")
    found: dict[str, Any] = {}
    for heading, contenders, per, turns in operations:
        measured = measure(contenders, turns, per)
        titles = {**{name: name for name in contenders}, **TITLES}
        made = report.lines(measured, LIMIT, list(bench.peers))
        print(report.table(heading, made, titles), flush=True)
        found[heading] = report.as_json(made, measured)
    if options.json:
        options.json.write_text(json.dumps({"machine": facts, "operations": found}, indent=1), "utf-8")


if __name__ == "__main__":
    main()
