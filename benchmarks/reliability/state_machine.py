"""The same random steps on several stores side by side, all held to one plain dict that shares no code with the library.

    python benchmarks/reliability/state_machine.py memory: sqlite:///kit.db excel:///kit.xlsx [--steps 50000] [--seed N] [--crash-every 2500]

A URL of a file gets a folder of its own beside that file; one of a server must name a database without data. Prints the steps
taken of each kind and every divergence; ends with 1 if there is one. The same seed is the same run.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import ExitStack

from crmcore.storage import StoreURL
from crmcore.testing import side_by_side
from crmcore.testing.places import places


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("urls", nargs="*", default=["memory:", "sqlite:///kit.db"])
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument(
        "--crash-every", type=int, default=2_500, help="a process dies in a transaction every so many steps"
    )
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    began = time.perf_counter()

    def tell(step: int) -> None:
        if step % 1_000 == 0:
            print(f"{step} steps, {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)

    with ExitStack() as stack:
        harnesses = {
            f"{place} {StoreURL.parse(url).scheme}:": stack.enter_context(places(url))()
            for place, url in enumerate(asked.urls, 1)
        }
        run = side_by_side(harnesses, asked.steps, seed=asked.seed, crash_every=asked.crash_every, tell=tell)
    seconds = time.perf_counter() - began
    for kind, times in sorted(run.steps.items()):
        print(f"{kind:<14} {times:>7}")
    print(f"{run.taken} steps on {', '.join(harnesses)} in {seconds:.0f} s: {len(run.divergences)} divergences")
    for found in run.divergences:
        print(f"\nstep {found.step}, {found.store} {found.what}\n  expected {found.expected}\n  got      {found.got}")
    return 1 if run.divergences or run.taken < asked.steps else 0


if __name__ == "__main__":
    sys.exit(main())
