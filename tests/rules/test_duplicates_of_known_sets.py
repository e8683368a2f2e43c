"""Floors on sets with known duplicates, where they are at hand. The rules are those by shape; nothing is set for a set."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import pytest

from crmcore.rules.duplicates import ORGANISATIONS, PEOPLE, Pair, find_pairs

NAMES = {
    "surname": "family_name",
    "address_1": "street",
    "address_2": "place",
    "suburb": "city",
    "state": "region",
    "soc_sec_id": "id_number",
    "type": "industry",
}
Known = set[tuple[str, str]]


def renamed(row: dict[str, str]) -> dict[str, str]:
    return {NAMES.get(name, name): value.strip() for name, value in row.items()}


def figures(pairs: Iterable[Pair], truth: Known) -> tuple[float, float]:
    """Precision and recall of what was decided."""
    same = {(pair.one, pair.other) for pair in pairs if pair.tier == "same"}
    return len(same & truth) / len(same), len(same & truth) / len(truth)


@pytest.mark.parametrize("number", [1, 3])
def test_people_are_found_again(shared_data: Path, number: int) -> None:
    records, groups = {}, dict[str, list[str]]()
    with (shared_data / "dedup_febrl" / f"dataset{number}.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, skipinitialspace=True):
            id = row.pop("rec_id").strip()
            records[id] = renamed(row)
            groups.setdefault(id.split("-")[1], []).append(id)
    truth = {(min(pair), max(pair)) for ids in groups.values() for pair in combinations(ids, 2)}
    pairs = find_pairs(records, PEOPLE)
    precision, recall = figures(pairs, truth)
    assert precision >= 0.999
    assert recall >= 0.998
    missed = truth - {(pair.one, pair.other) for pair in pairs}
    assert len(missed) <= len(truth) / 1000


def test_restaurants_of_two_lists_are_found_again(shared_data: Path) -> None:
    sides = []
    for name in ("fodors", "zagats"):
        with (shared_data / "dedup_pairs" / f"{name}.csv").open(encoding="utf-8", errors="replace", newline="") as file:
            rows = csv.DictReader(file, quotechar="'", escapechar="\\")
            sides.append({name[0] + row.pop("id"): renamed(row) for row in rows})
    with (shared_data / "dedup_pairs" / "truth_fodors_zagats.csv").open(encoding="utf-8", newline="") as file:
        truth = {(f"f{row['idFodors']}", f"z{row['idZagats']}") for row in csv.DictReader(file)}
    pairs = find_pairs(sides[0], ORGANISATIONS, against=sides[1])
    precision, recall = figures(pairs, truth)
    assert precision >= 0.99
    assert recall >= 0.96
    assert truth <= {(pair.one, pair.other) for pair in pairs}
