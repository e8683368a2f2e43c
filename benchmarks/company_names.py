"""Chinese company names: how often the right one is found, how fast, and in how much memory, beside rapidfuzz in the same run.

    python benchmarks/company_names.py [--quick] [--names N] [--data DIRECTORY] [--json FILE]

Quality is measured on data sets that lie beside the checkout (``../shared/data``), and left out where they are absent; each
half of a set (by the CRC of its code) is told apart, as the parameters were chosen by looking at one of them. Speed and memory
are measured on invented names. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import statistics
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rapidfuzz import fuzz, process

from crmcore_cn.name_index import NameIndex
from crmcore_cn.resemblance import compare
from measure import machine

PLACES = [
    "北京",
    "上海",
    "济南市",
    "青岛",
    "杭州市",
    "苏州",
    "长沙县",
    "广州市",
    "成都",
    "武汉",
    "西安市",
    "昆山市",
    "宁波",
    "厦门",
    "大连",
    "沈阳",
    "郑州市",
    "合肥",
    "南京市",
    "无锡",
]
CORES = "鑫瑞祥泰恒盛昌隆茂源晟翔凯鹏腾骏锦璟沐宸霖澜华丰宏达兴利德和信安诚远创嘉博雅康美宝"
TRADES = [
    "机械",
    "食品",
    "化工",
    "建材",
    "科技",
    "信息技术",
    "贸易",
    "五金制品",
    "物流",
    "服装",
    "电子",
    "环保工程",
    "汽车配件",
    "纺织",
    "包装",
    "医疗器械",
]
FORMS = ["有限公司", "有限责任公司", "股份有限公司", "厂", "经营部"]
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def invented(number: int, seed: int = 1) -> list[str]:
    """So many names of firms that don't exist; the same in every run."""
    dice = random.Random(seed)
    return [
        dice.choice(PLACES)
        + "".join(dice.choices(CORES, k=dice.choice((2, 2, 3, 4))))
        + dice.choice(TRADES)
        + dice.choice(FORMS)
        for _ in range(number)
    ]


def mistyped(name: str, dice: random.Random) -> str:
    """A name with one character left out."""
    at = dice.randrange(len(name))
    return name[:at] + name[at + 1 :]


def microseconds(work: Callable[[Any], Any], each: Iterable[Any]) -> float:
    """The median of the processor's microseconds for a piece of work."""
    taken: list[float] = []
    for one in each:
        before = time.process_time()
        work(one)
        taken.append((time.process_time() - before) * 1e6)
    return round(statistics.median(taken), 1)


def speed(names: int, asked: int) -> dict[str, float]:
    """Medians of microseconds, and bytes, among so many names; rapidfuzz looks at every name for the one nearest."""
    pool = invented(names)
    dice = random.Random(2)
    wanted = [mistyped(dice.choice(pool), dice) for _ in range(asked)]
    index = NameIndex()
    NameIndex().add("0", pool[0])  # tables that are read once are no part of a name
    tracemalloc.start()
    for number, name in enumerate(pool):
        index.add(str(number), name)
    memory = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    index.find(wanted[0])
    ours = microseconds(lambda name: index.find(name, 1), wanted)
    theirs = microseconds(lambda name: process.extractOne(name, pool, scorer=fuzz.ratio), wanted)
    return {
        "names": names,
        "bytes_per_name": round(memory / names),
        "find_us": ours,
        "find_ten_us": microseconds(lambda name: index.find(name, 10), wanted),
        "rapidfuzz_us": theirs,
        "find_x_rapidfuzz": round(ours / theirs, 2),
        "compare_us": microseconds(lambda pair: compare(*pair), zip(wanted, pool, strict=False)),
    }


def rows(path: Path) -> list[dict[str, str]]:
    """A data set as it is on disk."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def halves(outcomes: Iterable[tuple[str, bool]]) -> tuple[float, float, float]:
    """The share that came out right: of all, and of each half by the CRC of a code."""
    both: list[list[bool]] = [[], []]
    for code, right in outcomes:
        both[zlib.crc32(code.encode()) & 1].append(right)
    everything = [*both[0], *both[1]]
    return tuple(round(sum(part) / max(len(part), 1), 4) for part in (everything, *both))  # type: ignore[return-value]


def f1(right: list[bool], wrong: list[bool]) -> float:
    """The harmonic mean of precision and recall."""
    return round(2 * sum(right) / (sum(right) + sum(wrong) + len(right)), 4)


def quality(data: Path) -> dict[str, Any]:
    """How often the right company comes first, and how well variants are told from look-alikes."""
    registry = data / "cn_company_registry"
    variants, look_alikes = rows(registry / "truth_name_variants_dev.csv"), rows(registry / "look_alikes_dev.csv")
    pool = [row["registry_name"] for row in rows(registry / "registry_pool.csv")]
    index, listing = NameIndex(), NameIndex()
    for name in pool:
        index.add(name, name)

    def first(row: dict[str, str]) -> tuple[str, bool]:
        hit = index.find(row["given_name"], 1)
        return row["code_in_source"], bool(hit) and hit[0][0] == row["registry_name"]

    def plainly(row: dict[str, str]) -> tuple[str, bool]:
        return row["code_in_source"], process.extractOne(row["given_name"], pool, scorer=fuzz.ratio)[0] == row[
            "registry_name"
        ]

    found: dict[str, Any] = {
        "variants, by name alone": halves(map(first, variants)),
        "variants, rapidfuzz ratio": halves(map(plainly, variants)),
    }
    for row in variants:
        if row["former_names"]:
            index.add(row["registry_name"], row["former_names"])
    found["variants, former names known"] = halves(map(first, variants))
    found["accept or reject, F1"] = f1(
        [compare(row["given_name"], row["registry_name"]).verdict == "same" for row in variants],
        [compare(row["a"], row["b"]).verdict == "same" for row in look_alikes],
    )
    found["accept or reject, F1, rapidfuzz ratio at its best"] = max(
        f1(
            [fuzz.ratio(row["given_name"], row["registry_name"]) >= least for row in variants],
            [fuzz.ratio(row["a"], row["b"]) >= least for row in look_alikes],
        )
        for least in range(50, 100)
    )
    listed = rows(data / "cn_company_names" / "listed_short_full_dev.csv")
    for row in listed:
        listing.add(row["code"], row["full"])
    hits = [(row["code"], listing.find(row["short"], 1)) for row in listed]
    found["short names of listed companies"] = halves((code, bool(hit) and hit[0][0] == code) for code, hit in hits)
    full = [row["full"] for row in listed]
    found["short names, rapidfuzz partial ratio"] = halves(
        (row["code"], process.extractOne(row["short"], full, scorer=fuzz.partial_ratio)[0] == row["full"])
        for row in listed
    )
    return found


def main() -> None:
    """Measure and print; shares are followed by those of the two halves."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--names", type=int, default=100_000)
    arguments.add_argument("--data", type=Path, default=DATA)
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    results: dict[str, Any] = {"machine": machine(Path())}
    for names in (2_000,) if given.quick else (given.names // 5, given.names):
        results[f"speed, {names} names"] = speed(names, 20 if given.quick else 200)
    if not given.quick and given.data.is_dir():
        results["quality"] = quality(given.data)
    for part in [part for part in results if part != "machine"]:
        for name, value in results[part].items():
            print(f"{name:52}", *([value] if not isinstance(value, tuple) else value))
    if given.json:
        given.json.write_text(json.dumps(results, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
