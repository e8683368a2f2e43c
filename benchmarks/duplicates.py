"""Duplicates found without training, beside recordlinkage, splink and rapidfuzz by hand; one new customer against 100,000.

    python benchmarks/duplicates.py [--data FOLDER] [--seed N] [--only NAME ...] [--rounds R] [--quick] [--json FILE]

``--data`` holds ``dedup_febrl`` and ``dedup_pairs``; without it only the companies that don't exist are compared. Every
contender and set has a process of its own; libraries are loaded before the clock starts. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import multiprocessing
import statistics
import time
import tracemalloc
from pathlib import Path
from typing import Any

from linkage.contenders import CLUSTERS, CONTENDERS, OURS
from linkage.sets import chinese, sets
from measure import Memory, machine

LIBRARIES = {
    OURS: ("crmcore.rules.duplicates", "rapidfuzz.fuzz", "rapidfuzz.distance"),
    CLUSTERS: ("crmcore.rules.duplicates", "rapidfuzz.fuzz", "rapidfuzz.distance"),
    "recordlinkage": ("pandas", "recordlinkage"),
    "splink": ("pandas", "splink", "splink.comparison_library", "splink.backends.duckdb", "duckdb"),
    "rapidfuzz by hand": ("rapidfuzz.distance",),
}
THRESHOLDS = (0.5, 0.8, 0.9, 0.99, 0.999)
"""A peer is given the best of these for the set at hand, seen against the truth. Ours has its tiers."""
GOAL_PROBE, GOAL_BYTES = 60, 1200
"""Microseconds and bytes."""


def judged(found: set[tuple[str, str]], truth: set[tuple[str, str]]) -> tuple[float, float, float]:
    """F1, precision and recall of pairs."""
    right = len(found & truth)
    precision, recall = right / max(1, len(found)), right / max(1, len(truth))
    return 2 * precision * recall / max(1e-9, precision + recall), precision, recall


def one(task: tuple[str, str, Path, int]) -> dict[str, Any]:
    """One contender, one set, in a process of its own."""
    who, name, folder, seed = task
    try:
        for library in LIBRARIES[who]:
            importlib.import_module(library)
        given = sets(folder, seed)[name]()
    except (ImportError, OSError) as error:
        return {"who": who, "set": name, "error": str(error)[:80]}
    memory = Memory()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        scored = CONTENDERS[who](given)
    except Exception as error:
        return {"who": who, "set": name, "error": f"{type(error).__name__}: {error}"[:80]}
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    thresholds = (0.5,) if who == OURS else THRESHOLDS
    figures = max(judged({pair for pair, chance in scored.items() if chance >= at}, given.truth) for at in thresholds)
    suspects = {pair for pair, chance in scored.items() if chance < 0.5} if who == OURS else set()
    return {
        "who": who,
        "set": name,
        "f1": figures[0],
        "precision": figures[1],
        "recall": figures[2],
        "wall": wall,
        "cpu": cpu,
        "memory": memory.added(),
        "suspects": len(suspects),
        "suspects_true": len(suspects & given.truth),
        "digest": hash(frozenset(pair for pair, chance in scored.items() if chance >= 0.5)) if who == OURS else None,
    }


def table(results: list[dict[str, Any]]) -> list[str]:
    """A row for each set and contender, times as medians of the rounds."""
    lines = [
        "| set | who | F1 | precision | recall | seconds | x ours | CPU s | peak MB | suspects (true) |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    rounds: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for result in results:
        rounds.setdefault((result["set"], result["who"]), []).append(result)
    for (name, who), found in rounds.items():
        if "error" in found[0]:
            lines.append(f"| {name} | {who} | {found[0]['error']} | | | | | | | |")
            continue
        wall, cpu = (statistics.median(each[what] for each in found) for what in ("wall", "cpu"))
        own = rounds.get((name, OURS), found)
        ratio = statistics.median(
            each["wall"] / base["wall"] for each, base in zip(found, own, strict=False) if "wall" in base
        )
        first = found[0]
        suspects = f"{first['suspects']:,} ({first['suspects_true']:,})" if who == OURS else ""
        lines.append(
            f"| {name} | {'**' + who + '**' if who in (OURS, CLUSTERS) else who} | {first['f1']:.4f} | {first['precision']:.4f} | "
            f"{first['recall']:.4f} | {wall:.2f} | {ratio:.1f} | {cpu:.2f} | {max(each['memory'] for each in found):.0f} | {suspects} |"
        )
    return lines


def scanned(task: tuple[int, int]) -> dict[str, Any]:
    """A scan of so many companies."""
    from crmcore.rules.duplicates import ORGANISATIONS, cluster, scan

    number, seed = task
    given = chinese(number, seed)
    memory = Memory()
    wall, cpu = time.perf_counter(), time.process_time()
    found = scan(given.left, ORGANISATIONS)
    groups = cluster(found.pairs, given.left)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    same = {(pair.one, pair.other) for pair in found.pairs if pair.tier == "same"}
    return {
        "records": len(given.left),
        "wall": wall,
        "cpu": cpu,
        "memory": memory.added(),
        "compared": found.compared,
        "clusters": len(groups.groups),
        "figures": judged(same, given.truth),
    }


def probed(task: tuple[int, int]) -> dict[str, Any]:
    """New customers, one by one, against so many in an index."""
    from crmcore.rules.duplicates import ORGANISATIONS, DuplicateIndex, scan

    number, seed = task
    given = chinese(number, seed)
    new = list(chinese(2000, seed + 1).left.values())
    weights = scan(dict(list(given.left.items())[:10_000]), ORGANISATIONS).weights
    gc.collect()
    tracemalloc.start()
    index = DuplicateIndex(ORGANISATIONS, weights)
    for id, record in given.left.items():
        index.add(id, record)
    gc.collect()
    bytes_each = tracemalloc.get_traced_memory()[0] / len(index)
    tracemalloc.stop()
    twin = DuplicateIndex(ORGANISATIONS, weights)
    start = time.process_time()
    for id, record in list(given.left.items())[:10_000]:
        twin.add(id, record)
    built = (time.process_time() - start) / len(twin)
    del twin
    plain: dict[str, list[str]] = {}
    for id, record in given.left.items():
        for name, value in record.items():
            plain.setdefault(f"{name}{value}", []).append(id)
    chunks, limits = [], []
    gc.collect()
    gc.freeze()
    for first in range(0, len(new), 50):
        part = new[first : first + 50]
        start = time.process_time()
        for record in part:
            index.probe(record)
        chunks.append((time.process_time() - start) / len(part))
        start = time.process_time()
        for record in part:
            [plain.get(f"{name}{value}") for name, value in record.items()]
        limits.append((time.process_time() - start) / len(part))
    return {
        "records": len(index),
        "bytes": bytes_each,
        "add": built,
        "least": min(chunks),
        "median": statistics.median(chunks),
        "lookup": min(limits),
    }


def apart(pool_of: Any, work: Any, task: Any) -> Any:
    """Work in a new process, so that nobody inherits another's memory."""
    with pool_of.Pool(1) as pool:
        return pool.apply(work, (task,))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--seed", type=int, default=20261128)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    processes = multiprocessing.get_context("spawn")
    about = machine(Path())
    print(json.dumps(about))

    names = list(sets(chosen.data, chosen.seed))
    wanted = [name for name in names if not chosen.only or any(word.lower() in name.lower() for word in chosen.only)]
    results = []
    for _ in range(1 if chosen.quick else chosen.rounds):
        for name in wanted:
            for who in CONTENDERS:
                if chosen.quick and who == "splink":
                    continue
                results.append(apart(processes, one, (who, name, chosen.data, chosen.seed)))
    print("\n".join(table(results)))

    sizes = (2_000, 4_000) if chosen.quick else (chosen.records // 4, chosen.records // 2, chosen.records)
    print("\n| scanned | seconds | CPU s | us per record | peak MB | compared | clusters | F1 | precision |")
    print("|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    scans = [apart(processes, scanned, (size, chosen.seed)) for size in sizes]
    for found in scans:
        each, (f1, precision, _) = found["cpu"] / found["records"] * 1e6, found["figures"]
        print(
            f"| {found['records']:,} | {found['wall']:.1f} | {found['cpu']:.1f} | {each:.0f} | {found['memory']:.0f} | "
            f"{found['compared']:,} | {found['clusters']:,} | {f1:.4f} | {precision:.4f} |"
        )
    probe = apart(processes, probed, (sizes[-1], chosen.seed))
    least, middle, lookup = (probe[what] * 1e6 for what in ("least", "median", "lookup"))
    print(
        f"\none against {probe['records']:,}: {least:.0f} us of CPU at best, {middle:.0f} in the middle (goal {GOAL_PROBE})"
    )
    print(f"exact look-ups of its values alone: {lookup:.0f} us; to add one: {probe['add'] * 1e6:.0f} us")
    print(f"an indexed record takes {probe['bytes']:.0f} bytes (goal {GOAL_BYTES})")
    if chosen.json:
        chosen.json.write_text(
            json.dumps({"machine": about, "pairs": results, "scans": scans, "probe": probe}, indent=1)
        )


if __name__ == "__main__":
    main()
