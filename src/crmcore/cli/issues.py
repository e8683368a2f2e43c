"""Issues for a reader: where they are, which code they have and what they say."""

from __future__ import annotations

from crmcore.errors import Issue, Language
from crmcore.playbooks import Playbook
from crmcore.playbooks.wording import said


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


def line(issue: Issue, playbook: Playbook | None, language: Language) -> str:
    """Place, field, code and text in one line."""
    parts = (place(issue), issue.field or "", issue.code, said(issue, playbook, language))
    return " ".join(part for part in parts if part)
