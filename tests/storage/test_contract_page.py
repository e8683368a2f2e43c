"""The reference page and the contract name the same clauses, in the same words."""

import re
from pathlib import Path

import pytest

from crmcore.storage import Backend, Capability, Store, Transaction
from crmcore.testing import CONTRACT_VERSION, StoreContract, clauses
from crmcore.testing.clause import clause_of

PAGE = (Path(__file__).parents[2] / "docs/reference/storage-contract.md").read_text(encoding="utf-8")


def rows() -> list[str]:
    found = []
    for name in clauses(StoreContract).values():
        stated = clause_of(StoreContract, name)
        needs = [f"`{stated.needs.value}`"] if stated.needs else []
        needs += [f"a harness with `{stated.given}`"] if stated.given else []
        needs += [f"a store with `{stated.offers}`"] if stated.offers else []
        since = ".".join(map(str, stated.since))
        found.append(f"| {stated.id} | {stated.text} | {since} | {', '.join(needs)} |".replace("|  |", "| |"))
    return found


def test_every_clause_is_on_the_page_and_no_other() -> None:
    on_page = [line for line in PAGE.splitlines() if line.startswith("| S-")]
    assert on_page == rows(), "the table should be:\n" + "\n".join(rows())


def test_the_pages_code_runs(capsys: pytest.CaptureFixture[str]) -> None:
    scope: dict[str, object] = {"__name__": "page"}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.S | re.M):
        exec(block, scope)
    assert issubclass(scope["TestMemory"], StoreContract)  # type: ignore[arg-type]
    told = capsys.readouterr().out
    assert re.match(rf"passed (\d+) of \1 applicable clauses \({len(clauses(StoreContract))} in all\)\n", told)


def test_clauses_named_in_the_text_exist() -> None:
    assert set(re.findall(r"S-[A-Z]+-\d\d", PAGE)) <= set(clauses(StoreContract))


def test_every_capability_and_required_method_is_on_the_page() -> None:
    for capability in Capability:
        assert f"`{capability.value}`" in PAGE
    for kind in (Backend, Store, Transaction):
        for method in kind.__abstractmethods__:
            assert f"`{kind.__name__}.{method}" in PAGE
    assert f"version {'.'.join(map(str, CONTRACT_VERSION))}" in PAGE
