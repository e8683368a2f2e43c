"""The reference page and the contract of notifiers name the same clauses, in the same words."""

from __future__ import annotations

from pathlib import Path

from crmcore.notify import Notifier, Outcome
from crmcore.testing import NotifierContract, clauses
from crmcore.testing.clause import clause_of

PAGE = (Path(__file__).parents[2] / "docs/reference/notifier-contract.md").read_text("utf-8")


def test_every_clause_is_on_the_page_and_no_other() -> None:
    stated = [clause_of(NotifierContract, name) for name in clauses(NotifierContract).values()]
    needs = [f"a harness with `{one.given}`" if one.given else "" for one in stated]
    expected = [
        f"| {one.id} | {one.text} | {need} |".replace("|  |", "| |") for one, need in zip(stated, needs, strict=True)
    ]
    found = [line for line in PAGE.splitlines() if line.startswith("| N-")]
    assert found == expected, "the table should be:\n" + "\n".join(expected)


def test_every_outcome_and_method_is_on_the_page() -> None:
    for outcome in Outcome:
        assert f"| `{outcome.value}` | `Delivery.{outcome.value}(" in PAGE
    for method in Notifier.__abstractmethods__:
        assert f"`Notifier.{method}(" in PAGE
