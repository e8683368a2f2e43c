"""Random tables of permissions on random stores, every cell of each compared with an oracle of its own: none may disagree.

    python benchmarks/reliability/permissions.py [URL ...] [--cases 100000] [--seed 1]

A world is a random table, ten users and some records of every kind. In it each user tries to read every record in six ways, to ask by every
field in five, to change every field, and to move, assign, take away and create every record; each answer is one case. A URL may name a
store of its own for each world with ``{}``: ``sqlite:///worlds/{}.db``. Ends with 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/app"))

from permission_worlds import Tally, World


def run(url: str, cases: int, seed: int) -> list[str]:
    """Worlds on one kind of store until so many cases were compared; prints the figures and gives what disagrees."""
    begun, tally = time.monotonic(), Tally()
    for number in count(seed):
        world = World(url.format(number), number, each=2)
        try:
            world.compare(tally)
        finally:
            world.crm.close()
        if tally.cases >= cases or tally.wrong:
            break
    length = time.monotonic() - begun
    worlds = number - seed + 1
    print(f"{url}: {tally.cases:,} cases in {worlds} worlds, {len(tally.wrong)} disagree ({length:.0f} s)")
    return tally.wrong


def main() -> int:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("urls", nargs="*", default=["memory:"], metavar="URL")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    wrong = [problem for url in asked.urls for problem in run(url, asked.cases, asked.seed)]
    for problem in wrong:
        print(f"VIOLATION {problem}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
