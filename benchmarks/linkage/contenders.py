"""Who looks for duplicates: this library, recordlinkage, splink, and rapidfuzz by hand. Each gives pairs with a score.

All are unsupervised. The peers are set up by what a field is, as their documentation advises, not by the set: blocks on
every selective field, thresholds on resemblance, weights by EM.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import combinations
from typing import TYPE_CHECKING

from linkage.sets import ORGANISATIONS, PEOPLE, Record, Set

if TYPE_CHECKING:
    from crmcore.rules.duplicates import Pair

Scored = dict[tuple[str, str], float]
"""Pairs, and how sure one is of them, from 0 to 1."""

TEXTS = {
    PEOPLE: ("given_name", "family_name", "street", "place", "city"),
    ORGANISATIONS: ("name", "address", "city", "contact", "email", "industry"),
    "products": ("name", "description"),
}
CODES = {
    PEOPLE: ("date_of_birth", "id_number", "postcode", "street_number", "region"),
    ORGANISATIONS: ("phone", "uscc"),
    "products": ("price",),
}
BLOCKS: dict[str, tuple[tuple[str, ...], ...]] = {
    PEOPLE: (
        ("id_number",),
        ("date_of_birth",),
        ("given_name", "family_name"),
        ("family_name", "postcode"),
        ("given_name", "postcode"),
        ("street",),
        ("city", "street_number"),
    ),
    ORGANISATIONS: (("uscc",), ("phone",), ("email",), ("name",), ("address",), ("contact",), ("word", "city")),
    "products": (("word",), ("name",), ("price",)),
}
TRAINING = {PEOPLE: 3, ORGANISATIONS: 4, "products": 2}


def ours(given: Set) -> Scored:
    """The pairs as they are decided."""
    return {(pair.one, pair.other): 1.0 if pair.tier == "same" else 0.0 for pair in _found(given)}


def ours_in_clusters(given: Set) -> Scored:
    """The pairs that clusters make of them; across only, where there are two lists."""
    from crmcore.rules.duplicates import cluster

    groups = cluster(_found(given), given.records).groups
    within = {pair for group in groups for pair in combinations(group, 2)}
    if given.right is not None:
        within = {pair for pair in within if (pair[0] in given.left) != (pair[1] in given.left)}
    return dict.fromkeys(within, 1.0)


def _found(given: Set) -> list[Pair]:
    from crmcore.rules.duplicates import ORGANISATIONS as OUR_ORGANISATIONS
    from crmcore.rules.duplicates import PEOPLE as OUR_PEOPLE
    from crmcore.rules.duplicates import FieldRule, MatchRules, find_pairs

    rules = {
        PEOPLE: OUR_PEOPLE,
        ORGANISATIONS: OUR_ORGANISATIONS,
        "products": MatchRules(
            fields=(
                FieldRule(field="name", comparer="words", required=True),
                FieldRule(field="description", comparer="words"),
                FieldRule(field="price"),
            )
        ),
    }[given.shape]
    return find_pairs(given.left, rules, against=given.right)


# Rapidfuzz by hand: blocks, levels of agreement, EM over the patterns of agreement


def _blocked(given: Set, most: int = 200) -> Iterable[tuple[str, str]]:
    """Pairs that share a block that isn't too large; of organisations and goods also a first word."""
    found: set[tuple[str, str]] = set()
    left = given.left
    for names in BLOCKS[given.shape]:
        blocks: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for id, record in given.records.items():
            values = tuple(record.get("name", "")[:2] if name == "word" else record.get(name, "") for name in names)
            if all(values):
                blocks[values].append(id)
        for ids in blocks.values():
            if len(ids) <= most:
                found.update(combinations(sorted(ids), 2))
    if given.right is None:
        return found
    return {tuple(sorted(pair)) for pair in found if (pair[0] in left) != (pair[1] in left)}  # type: ignore[misc]


def by_hand(given: Set) -> Scored:
    from rapidfuzz.distance import OSA, JaroWinkler

    records = given.records
    texts, codes = TEXTS[given.shape], CODES[given.shape]
    fields = [name for name in (*texts, *codes) if any(name in record for record in records.values())]

    def level(name: str, one: Record, other: Record) -> int:
        left, right = one.get(name), other.get(name)
        if not left or not right:
            return 0
        if left == right:
            return 4
        if name in texts:
            alike = JaroWinkler.similarity(left, right)
            return 3 if alike >= 0.92 else 2 if alike >= 0.8 else 1
        slips = OSA.distance(left, right, score_cutoff=2)
        return 3 if slips == 1 else 2 if slips == 2 else 1

    patterns = {
        (one, other): tuple(level(name, records[one], records[other]) for name in fields)
        for one, other in _blocked(given)
    }
    counted = Counter(patterns.values())
    same = [[0, 0.1, 0.05, 0.1, 0.75] for _ in fields]
    apart = [[0, 0.9, 0.05, 0.02, 0.03] for _ in fields]
    share, chances = 0.2, {}
    for _ in range(25):
        sums, rest, total = [[0.1] * 5 for _ in fields], [[0.1] * 5 for _ in fields], 0.0
        for pattern, number in counted.items():
            bits = math.log(share / (1 - share)) + sum(
                math.log(same[at][seen] / apart[at][seen]) for at, seen in enumerate(pattern) if seen
            )
            chance = 1 / (1 + math.exp(-max(-500, min(500, bits))))
            chances[pattern] = chance
            total += chance * number
            for at, seen in enumerate(pattern):
                sums[at][seen] += chance * number
                rest[at][seen] += (1 - chance) * number
        share = min(0.99, max(1e-4, total / max(1, sum(counted.values()))))
        same = [[part / sum(row[1:]) for part in row] for row in sums]
        apart = [[part / sum(row[1:]) for part in row] for row in rest]
    name_at = fields.index("name") if "name" in fields else None
    return {
        pair: chances[pattern]
        for pair, pattern in patterns.items()
        if name_at is None or pattern[name_at] != 1  # the gate: names must resemble
    }


# Peers


def recordlinkage(given: Set) -> Scored:
    import pandas
    import recordlinkage as toolkit

    warnings.filterwarnings("ignore")
    texts, codes = TEXTS[given.shape], CODES[given.shape]

    def frame(records: dict[str, Record]) -> pandas.DataFrame:
        table = pandas.DataFrame.from_dict(records, orient="index", columns=[*texts, *codes])
        table["word"] = table[texts[0]].str[:2]
        return table

    left = frame(given.left)
    right = frame(given.right) if given.right is not None else None
    present = [name for name in (*texts, *codes) if left[name].notna().any()]
    indexer = toolkit.Index()
    for names in BLOCKS[given.shape]:
        if all(left[name].notna().any() for name in names):
            indexer.block(list(names))
    both = (left,) if right is None else (left, right)
    pairs = indexer.index(*both)
    compare = toolkit.Compare()
    for name in present:
        if name in texts:
            compare.string(name, name, method="jarowinkler", threshold=0.85, label=name)
        else:
            compare.exact(name, name, label=name)
    features = compare.compute(pairs, *both)
    classifier = toolkit.ECMClassifier(binarize=0.5)
    classifier.fit(features)
    chances = classifier.prob(features)
    return {tuple(sorted(pair)): float(chance) for pair, chance in chances.items()}  # type: ignore[misc]


def splink(given: Set) -> Scored:
    import pandas
    import splink.comparison_library as library
    from splink import Linker, SettingsCreator, block_on
    from splink.backends.duckdb import DuckDBAPI

    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    texts, codes = TEXTS[given.shape], CODES[given.shape]

    def frame(records: dict[str, Record]) -> pandas.DataFrame:
        table = pandas.DataFrame.from_dict(records, orient="index", columns=[*texts, *codes]).reset_index(
            names="unique_id"
        )
        table["word"] = table[texts[0]].str[:2]
        return table.astype(object).where(table.notna(), None)

    tables = [frame(given.left)] + ([frame(given.right)] if given.right is not None else [])
    present = [name for name in (*texts, *codes) if all(table[name].notna().any() for table in tables)]
    blocks = [block_on(*names) for names in BLOCKS[given.shape] if all(name in (*present, "word") for name in names)]
    comparisons = [
        library.JaroWinklerAtThresholds(name, [0.92, 0.8]).configure(term_frequency_adjustments=True)
        if name in texts
        else library.DamerauLevenshteinAtThresholds(name, [1, 2]).configure(term_frequency_adjustments=True)
        for name in present
    ]
    settings = SettingsCreator(
        link_type="dedupe_only" if given.right is None else "link_only",
        blocking_rules_to_generate_predictions=blocks,
        comparisons=comparisons,
    )
    database = DuckDBAPI()
    registered = [database.register(table) for table in tables]
    linker = Linker(registered if len(registered) > 1 else registered[0], settings)
    linker.training.estimate_probability_two_random_records_match(blocks[:1], recall=0.8)
    linker.training.estimate_u_using_random_sampling(max_pairs=1e6, seed=1)
    for block in blocks[: TRAINING[given.shape]]:
        linker.training.estimate_parameters_using_expectation_maximisation(block)
    found = linker.inference.predict(threshold_match_probability=0.01).as_pandas_dataframe()
    columns = found[["unique_id_l", "unique_id_r", "match_probability"]]
    return {tuple(sorted((one, other))): chance for one, other, chance in columns.itertuples(index=False)}  # type: ignore[misc]


OURS, CLUSTERS = "crmcore", "crmcore, clusters"
CONTENDERS: dict[str, Callable[[Set], Scored]] = {
    OURS: ours,
    CLUSTERS: ours_in_clusters,
    "recordlinkage": recordlinkage,
    "splink": splink,
    "rapidfuzz by hand": by_hand,
}
