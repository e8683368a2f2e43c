"""What is wrong with an input, in the words of a playbook."""

from __future__ import annotations

from typing import Any

import attrs

from crmcore.domain.playbook import Playbook
from crmcore.errors import Issue, Language


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
    for name in ("limit", "other"):
        if type(told := facts.get(name)) is str:
            facts[name] = playbook.label(told, language)
    return facts
