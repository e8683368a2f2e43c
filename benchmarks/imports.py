"""A file of 100,000 customers with 20 columns, checked and taken into SQLite, beside what else one would use for it.

    python benchmarks/imports.py [--rows 100000] [--rounds 1] [--kinds xlsx csv] [--only NAME ...] [--json FILE]

Every contender has a fresh process and file. Printed are wall and processor seconds, the reading of the file in them, and the
most memory that the process held, with its children beside it. All must come to the same counts of new, known and rejected rows.
"""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from importers import rows
from measure import machine

CONTENDERS = {
    "crmcore": "importers.crmcore_import",
    "django-import-export": "importers.django_import",
    "pandas + calamine + sqlite3": "importers.by_hand",
}


def run_here(name: str, path: Path, database: Path) -> None:
    """One contender in this process; prints what it came to as JSON."""
    importer = importlib.import_module(CONTENDERS[name])
    wall = time.perf_counter()
    counts = importer.take(path, database)
    wall = time.perf_counter() - wall
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    unit = 1e6 if sys.platform == "darwin" else 1e3
    found = {
        "counts": counts,
        "stored": importer.stored(database),
        "wall": wall,
        "processor": sum(each.ru_utime + each.ru_stime for each in used),
        "memory": used[0].ru_maxrss / unit,
        "memory_of_children": used[1].ru_maxrss / unit,
    }
    print(json.dumps(found))


def measured(name: str, path: Path, count: int) -> dict[str, Any]:
    """One contender in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--here", name, str(path), str(Path(folder) / "crm.db")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    new, _, _ = wanted = rows.expected(count)
    if tuple(found["counts"]) != wanted or found["stored"][0] != new:
        raise SystemExit(f"{name} came to {found['counts']}, {found['stored']} stored, where {wanted} are right")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--kinds", nargs="*", choices=["xlsx", "csv"], default=["xlsx", "csv"])
    parser.add_argument("--only", nargs="*", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--here", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        name, path, database = options.here
        run_here(name, Path(path), Path(database))
        return
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        facts = machine(Path(folder))
        print(facts)
        for kind in options.kinds:
            path = Path(folder) / f"customers.{kind}"
            rows.write(path, options.rows)
            print(
                f"\n{options.rows:,} rows x {len(rows.HEADINGS)} columns, .{kind} of {path.stat().st_size / 1e6:.1f} MB"
            )
            print(f"{'':30}{'wall s':>9}{'CPU s':>9}{'rows/s CPU':>12}{'MB':>8}{'MB child':>10}")
            for name in options.only:
                taken = [measured(name, path, options.rows) for _ in range(options.rounds)]
                wall, processor = (statistics.median(each[what] for each in taken) for what in ("wall", "processor"))
                held, child = (max(each[what] for each in taken) for what in ("memory", "memory_of_children"))
                speed = options.rows / processor
                print(f"{name:30}{wall:9.1f}{processor:9.1f}{speed:12,.0f}{held:8.0f}{child:10.0f}", flush=True)
                found[f"{kind}: {name}"] = taken
    if options.json:
        options.json.write_text(json.dumps({"machine": facts, "imports": found}, indent=1), "utf-8")


if __name__ == "__main__":
    main()
