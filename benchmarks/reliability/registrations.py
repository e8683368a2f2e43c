"""Processes that register customers at once: no number twice and none left out, though some are refused and some die.

    python benchmarks/reliability/registrations.py [--url URL] [--processes 8] [--each 1000] [--seed N]

A fifth of the registrations is refused by a plugin after the number was drawn. A tenth ends in SIGKILL: half of these inside the
transaction, after the number was drawn, and half after the commit, before it could be acknowledged; another process then goes on.
Ends with 1 if anything is wrong. See README.md beside this file.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

import soundness
from crowd import Ledger, conclude, ended, fork, parser_for, place

import crmcore
from crmcore.domain import Customer
from crmcore.errors import Veto

KEPT, REFUSED, CUT, UNHEARD = "kept", "refused", "killed inside", "killed after"


def fate(seed: int, process: int, number: int) -> str:
    """What is to become of a registration."""
    chance = random.Random(f"{seed} {process} {number}").random()
    return REFUSED if chance < 0.2 else CUT if chance < 0.25 else UNHEARD if chance < 0.3 else KEPT


def name(seed: int, process: int, number: int) -> str:
    return f"{process}-{number} {fate(seed, process, number)}"


class Fates:
    """The plugin: it comes after the number was drawn and before the commit."""

    @crmcore.hookimpl
    def crm_check(self, change: object) -> None:
        after = getattr(change, "after", None)
        if isinstance(after, Customer) and after.name.endswith(REFUSED):
            raise Veto("refused", plugin="fates")
        if isinstance(after, Customer) and after.name.endswith(CUT):
            os.kill(os.getpid(), signal.SIGKILL)


def register(url: str, path: Path, seed: int, process: int, first: int, each: int) -> None:
    """Registers from the number ``first`` on, until all are done or one of them is deadly."""
    ledger = Ledger(path)
    with soundness.open_crm(url, plugins=[Fates()]) as crm:
        me = crm.acting_as(f"clerk{process}")
        for number in range(first, each):
            what = name(seed, process, number)
            begun = time.perf_counter()
            try:
                customer = me.customers.register(name=what)
            except Veto:
                continue
            if what.endswith(UNHEARD):
                os.kill(os.getpid(), signal.SIGKILL)
            ledger.note(number, customer.number, time.perf_counter() - begun)


def keep_registering(url: str, path: Path, seed: int, process: int, each: int) -> None:
    """Starts one process after another until all is done."""
    first = 0
    while (code := ended(fork(partial(register, url, path, seed, process, first, each)))) == -signal.SIGKILL:
        first = next(number for number in range(first, each) if fate(seed, process, number) in (CUT, UNHEARD)) + 1
    if code:
        raise RuntimeError(f"a process ended with {code}")


def run(url: str, folder: Path, processes: int, each: int, seed: int) -> int:
    """Everything; prints the figures and gives what to end with."""
    begun = time.monotonic()
    paths = [folder / f"{process}.told" for process in range(processes)]
    children = [fork(partial(keep_registering, url, path, seed, process, each)) for process, path in enumerate(paths)]
    problems = [f"a clerk ended with {code}" for child in children if (code := ended(child))]
    length = time.monotonic() - begun
    told = {
        name(seed, process, int(number)): (drawn, float(seconds))
        for process, path in enumerate(paths)
        for number, drawn, seconds in Ledger(path).lines()
    }
    fates = {
        name(seed, process, number): fate(seed, process, number)
        for process in range(processes)
        for number in range(each)
    }
    with soundness.open_crm(url) as crm:
        there = {customer.name: customer.number for customer in soundness.rows(crm, Customer)}
        problems += soundness.violations(crm)
        expected = {what for what, became in fates.items() if became in (KEPT, UNHEARD)}
        if set(there) != expected:
            problems.append(f"{len(expected - set(there))} customers are lost, {len(set(there) - expected)} too many")
        if set(told) != {what for what, became in fates.items() if became == KEPT}:
            problems.append("not every registration that was to be kept was acknowledged")
        problems += [f"{drawn} is not {what}'s" for what, (drawn, _) in told.items() if there.get(what) != drawn]
        print(f"{processes} processes, {each:,} registrations each, {length:.0f} s, seed {seed}")
        for became, count in sorted(Counter(fates.values()).items()):
            print(f"{count:8,}  {became}")
        times = [seconds * 1000 for _, seconds in told.values()]
        if len(times) > 1:
            cuts = statistics.quantiles(times, n=100)
            print(
                f"{len(told):8,}  acknowledged: p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms, {len(told) / length:,.0f}/s"
            )
        return conclude(crm, problems)


def main() -> int:
    parser = parser_for(__doc__ or "", 1000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    with place(arguments.url) as (url, folder):
        return run(url, folder, arguments.processes, arguments.each, arguments.seed)


if __name__ == "__main__":
    sys.exit(main())
