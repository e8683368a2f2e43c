"""Issues for a reader: where they are, which code they have and what they say."""

from __future__ import annotations

from typing import Any

import attrs

from crmcore.errors import Issue, Language
from crmcore.playbooks import Playbook


def column_letters(column: int) -> str:
    """A column as a spreadsheet names it: 1 is A, 27 is AA."""
    letters = ""
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def place(issue: Issue) -> str:
    """Where in a file an issue is: ``sheet!row:column``, as far as it is known."""
    if issue.row is None:
        return issue.sheet or ""
    column = f":{column_letters(issue.column)}" if issue.column else ""
    return f"{issue.sheet or ''}!{issue.row}{column}"


def said(issue: Issue, playbook: Playbook | None, language: Language) -> str:
    """The issue's text, with its field called as the playbook calls it."""
    facts = {"label": issue.field, **issue.facts}
    if playbook and issue.field:
        facts = {"label": playbook.label(issue.field, language), **_named(issue, playbook, language)}
    return attrs.evolve(issue, facts=facts).text(language)


def _named(issue: Issue, playbook: Playbook, language: Language) -> dict[str, Any]:
    """The facts of an issue, with stages, choices and fields called as the playbook calls them."""
    field, facts = issue.field or "", dict(issue.facts)

    def called(words: str) -> str:
        found = [(playbook.choice_key(field, word) or word) for word in words.split(", ")]
        return ", ".join(playbook.choice_label(field, word, language) for word in found)

    choices = ("state", "source") if issue.code == "not_possible" else ("state", "source", "allowed")
    facts |= {name: called(facts[name]) for name in choices if type(facts.get(name)) is str}
    if type(limit := facts.get("limit")) is str:
        facts["limit"] = playbook.label(limit, language)
    return facts


def line(issue: Issue, playbook: Playbook | None, language: Language) -> str:
    """Place, field, code and text in one line."""
    parts = (place(issue), issue.field or "", issue.code, said(issue, playbook, language))
    return " ".join(part for part in parts if part)
