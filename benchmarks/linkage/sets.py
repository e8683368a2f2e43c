"""The sets: read from where they lie, or made; each with its truth, and its fields in the words of this library's rules.

Every contender gets the same texts: lower case, NFKC, single blanks, telephones as digits; company names without legal form
and city. A field that is empty is left out.
"""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from linkage.companies import companies, normalised

Record = dict[str, str]
PEOPLE, ORGANISATIONS, PRODUCTS = "people", "organisations", "products"
_FEBRL = {
    "surname": "family_name",
    "address_1": "street",
    "address_2": "place",
    "suburb": "city",
    "state": "region",
    "soc_sec_id": "id_number",
}


@dataclass(frozen=True)
class Set:
    """``right`` is the other list, where pairs go across only."""

    shape: str
    left: dict[str, Record]
    right: dict[str, Record] | None
    truth: set[tuple[str, str]]

    @property
    def records(self) -> dict[str, Record]:
        return {**self.left, **(self.right or {})}


def text(value: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", value).lower().split())


def plain(record: Record) -> Record:
    found = {}
    for name, value in record.items():
        made = "".join(filter(str.isalnum, text(value))) if name == "phone" else text(value)
        if made:
            found[name] = made
    return found


def febrl(number: int, folder: Path) -> Set:
    """Febrl 1 to 3 and 4's like: ids ``rec-N-org`` and ``rec-N-dup-k``; blanks before values."""
    records: dict[str, Record] = {}
    groups: dict[str, list[str]] = {}
    with (folder / "dedup_febrl" / f"dataset{number}.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, skipinitialspace=True):
            id = row.pop("rec_id").strip()
            records[id] = plain({_FEBRL.get(name, name): value for name, value in row.items()})
            groups.setdefault(id.split("-")[1], []).append(id)
    truth = {tuple(sorted(pair)) for ids in groups.values() for pair in combinations(ids, 2)}
    return Set(PEOPLE, records, None, truth)  # type: ignore[arg-type]


def restaurants(folder: Path) -> Set:
    """Fodors and Zagats: quoted with ``'``, which is written ``\\'`` inside."""
    sides: list[dict[str, Record]] = []
    for name in ("fodors", "zagats"):
        with (folder / "dedup_pairs" / f"{name}.csv").open(encoding="utf-8", errors="replace", newline="") as file:
            rows = csv.DictReader(file, quotechar="'", escapechar="\\")
            sides.append(
                {
                    f"{name[0]}{row.pop('id')}": plain(
                        {"industry" if key == "type" else key: value for key, value in row.items()}
                    )
                    for row in rows
                }
            )
    with (folder / "dedup_pairs" / "truth_fodors_zagats.csv").open(encoding="utf-8", newline="") as file:
        truth = {(f"f{row['idFodors']}", f"z{row['idZagats']}") for row in csv.DictReader(file)}
    return Set(ORGANISATIONS, *sides, truth)


def products(folder: Path) -> Set:
    """Abt and Buy: names and descriptions of goods. Nothing that a CRM keeps; shown for what it is."""
    sides: list[dict[str, Record]] = []
    for name, encoding in (("Abt", "cp1252"), ("Buy", "cp1252")):
        with (folder / "dedup_pairs" / f"{name}.csv").open(encoding=encoding, errors="replace", newline="") as file:
            sides.append({f"{name[0]}{row.pop('id')}": plain(row) for row in csv.DictReader(file)})
    with (folder / "dedup_pairs" / "truth_abt_buy.csv").open(encoding="utf-8", newline="") as file:
        truth = {(f"A{row['idAbt']}", f"B{row['idBuy']}") for row in csv.DictReader(file)}
    return Set(PRODUCTS, *sides, truth)


def chinese(number: int, seed: int) -> Set:
    """Companies of :mod:`linkage.companies`."""
    records, truth = companies(number, seed)
    return Set(ORGANISATIONS, {id: plain(normalised(record)) for id, record in records.items()}, None, truth)


def sets(folder: Path, seed: int) -> dict[str, Callable[[], Set]]:
    """All sets by name; those whose files aren't there fail when they are asked for."""
    return {
        "Febrl 1": lambda: febrl(1, folder),
        "Febrl 2": lambda: febrl(2, folder),
        "Febrl 3": lambda: febrl(3, folder),
        "Fodors-Zagats": lambda: restaurants(folder),
        "Chinese companies": lambda: chinese(6000, seed),
        "Abt-Buy": lambda: products(folder),
    }
