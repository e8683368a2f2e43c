"""Spoilt files through the import: each ends in rows, every one of them accounted for, or in an error of the library's own.

    python benchmarks/reliability/fuzz_files.py [--inputs 20000] [--seed 1] [--from 0] [--xls FOLDER] [--keep FOLDER]

Good workbooks and text files are spoilt, one after another, and taken through ``imports.plan`` and the whole of the
import on an empty store. Input number N of a seed is always the same. Prints what became of them by the way they were
spoilt and by reason, the slowest one, the memory that was held, and every violation: an exception of another class, a refusal
that names no part, a row that is not accounted for, more than 5 s of the processor, a minute, more than
512 MB. Ends with 1 if there is one, and keeps those files in ``--keep``. It needs a system with SIGALRM.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from good_files import good_files
from mutations import mutated

import crmcore
from crmcore.errors import CRMError, ImportRejected

_TURNS = {".xlsx": 4, ".ods": 2}  #: how often one of these comes for one of any other kind
SECONDS, MEGABYTES, GIVEN_UP = 5.0, 512, 60


class Hung(BaseException):
    """It took far too long."""


def outcome(me: Any, path: Path) -> tuple[str, str | None]:
    """What became of a file, and what was wrong about that."""
    try:
        plan = me.imports.plan(path)
        result = plan.rehearse()
    except ImportRejected as error:
        return error.reason, None if error.part else "the refusal names no part"
    except CRMError as error:
        return f"{type(error).__name__}: {error.code}", "no refusal of a file"
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        return "violation", f"{type(error).__name__}: {error}"
    rows = sum(sheet.rows for sheet in plan.sheets)
    named = {(i.sheet, i.row) for i in result.issues if i.level == "error"}
    ended = result.created + result.updated + result.known + result.asked + result.rejected
    if ended != rows or not rows:
        return "violation", "a row is not accounted for"
    if len(named) != result.rejected:
        return "violation", "a row is rejected without a reason"
    return ("rows, some rejected" if result.rejected else "rows"), None


def processor_seconds() -> float:
    """Of this process and of its children that have ended; a busy machine doesn't count."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--from", dest="first", type=int, default=0, help="the number of the first input")
    parser.add_argument("--xls", type=Path, help="a folder of .xls files to spoil as well")
    parser.add_argument("--keep", type=Path, default=Path("fuzzed"))
    options = parser.parse_args()
    files = good_files(options.xls)
    contents = list(files.values())
    turns = [name for name in files for _ in range(_TURNS.get(Path(name).suffix, 1))]
    counts: Counter[tuple[str, str]] = Counter()
    slowest, wrong = (0.0, 0), 0

    def hang(number: int, frame: FrameType | None) -> None:
        raise Hung

    signal.signal(signal.SIGALRM, hang)
    with tempfile.TemporaryDirectory() as folder, crmcore.open("memory:") as crm:
        me = crm.acting_as("fuzzer")
        for number in range(options.first, options.first + options.inputs):
            random = Random(f"{options.seed}:{number}")
            name = turns[number % len(turns)]
            how, content = mutated(files[name], contents, random)
            path = Path(folder) / name
            path.write_bytes(content)
            started = processor_seconds()
            signal.alarm(GIVEN_UP)
            became, problem = outcome(me, path)
            signal.alarm(0)
            seconds = processor_seconds() - started
            if seconds > SECONDS:
                problem = problem or f"it took {seconds:.1f} s"
            slowest = max(slowest, (seconds, number))
            counts[f"{path.suffix[1:]}, {how}", became] += 1
            if problem:
                wrong += 1
                print(f"VIOLATION input {number} ({name}, {how}): {problem}", flush=True)
                options.keep.mkdir(exist_ok=True)
                (options.keep / f"{options.seed}-{number}{path.suffix}").write_bytes(content)
    unit = 1e6 if sys.platform == "darwin" else 1e3
    held = [resource.getrusage(who).ru_maxrss / unit for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    if max(held) > MEGABYTES:
        wrong += 1
        print(f"VIOLATION {max(held):.0f} MB were held")
    report(counts)
    print(f"{options.inputs} inputs of seed {options.seed}, {wrong} violations")
    print(
        f"slowest {slowest[0]:.1f} s (input {slowest[1]}); at most {held[0]:.0f} MB here and {held[1]:.0f} MB in a child"
    )
    return 1 if wrong else 0


def report(counts: Counter[tuple[str, str]]) -> None:
    """A line for each way and what became of it, then one for each of these."""
    total: Counter[str] = Counter()
    for (way, became), count in sorted(counts.items()):
        print(f"{count:7,}  {way:28}  {became}")
        total[became] += count
    print()
    for became, count in total.most_common():
        print(f"{count:7,}  {became}")


if __name__ == "__main__":
    sys.exit(main())
