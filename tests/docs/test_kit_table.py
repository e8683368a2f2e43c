"""The table of the README on the kit says what the kit's runner says."""

import re
from pathlib import Path

import pytest

from crmcore.plugins import find_backend, schemes
from crmcore.testing import StoreContract, clauses
from crmcore.testing.__main__ import main

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| \[?`(\w+):`[^|]*\| (\d+) \| (\d+) \|", README, re.M)


def test_the_number_of_clauses_is_the_kits() -> None:
    assert f"{len(clauses(StoreContract))} clauses in all" in README


def test_every_store_of_ours_is_in_the_table_and_keeps_all_that_applies() -> None:
    ours = {scheme for scheme in schemes() if type(find_backend(scheme)).__module__.startswith("crmcore")}
    assert {scheme for scheme, _, _ in ROWS} == ours - {"postgres"} | {"jsonl"}
    assert all(applicable == passed for _, applicable, passed in ROWS)


def test_the_runner_counts_what_the_table_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["memory:", "--examples", "1"]) == 0
    (counted,) = [applicable for scheme, applicable, _ in ROWS if scheme == "memory"]
    assert f"passed {counted} of {counted} applicable clauses" in capsys.readouterr().out
