"""What became of the edits that were taken in: told when it is done, and kept for whoever looks later.

The one who edited is seldom the one who opens the store next. So the last report stays in the store, and stands in the guide
that people see.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

import attrs

from crmcore.app.work import Work
from crmcore.domain import Setting
from crmcore.domain.playbook import Playbook
from crmcore.domain.policies import Label
from crmcore.errors import Issue, Language, language_of
from crmcore.interchange.headers import column_letters
from crmcore.metrics.tables import Column, Table
from crmcore.playbooks.wording import said
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Transaction

Outcome = Literal["taken", "known", "refused"]

MOST_KEPT = 100
"""Issues of a report that are kept in the store; ``edit_report`` of the opening that took the edits in has all."""

_KEPT = "edits"
_SUMMARY = Label(
    zh="外部修改:已录入{taken}行,未录入{refused}行", en="edits from outside: {taken} rows taken in, {refused} refused"
)
_COLUMNS = (Column("place", "位置", "Place"), Column("field", "字段", "Field"), Column("code", "代码", "Code"))
_WHY = Column("why", "原因", "Why")


@attrs.frozen(kw_only=True)
class EditedRow:
    """What became of one row. ``known`` was taken in before, or says what is on file. ``row`` is 0 for one that was removed.

    A row is refused with at least one issue; nothing of it is stored then, also of its other cells.
    """

    kind: Literal["changed", "added", "removed"]
    collection: str
    id: str | None
    sheet: str
    row: int
    outcome: Outcome
    issues: tuple[Issue, ...] = ()


@attrs.frozen(kw_only=True)
class EditReport:
    """What became of everything that people changed with another program, in the order of the sheets."""

    rows: tuple[EditedRow, ...]
    playbook: Playbook = attrs.field(repr=False)

    @property
    def taken(self) -> tuple[EditedRow, ...]:
        """Rows that are in the store now, also those that were before."""
        return tuple(row for row in self.rows if row.outcome != "refused")

    @property
    def refused(self) -> tuple[EditedRow, ...]:
        """Rows of which nothing was stored."""
        return tuple(row for row in self.rows if row.outcome == "refused")

    @property
    def issues(self) -> tuple[Issue, ...]:
        """Everything that was against them, cell by cell."""
        return tuple(issue for row in self.rows for issue in row.issues)

    def text(self, language: Language = "en") -> str:
        """The report for a reader: a summary, then a line for each issue with its place, field, code and text."""
        counts = {"taken": len(self.taken), "refused": len(self.refused)}
        summary = _SUMMARY.text(language_of(language)).format(**counts)
        lines = (
            f"{place_of(issue)} {self._label(issue, language)} [{issue.code}] {said(issue, self.playbook, language)}"
            for issue in self.issues
        )
        return "\n".join((summary, *(" ".join(line.split()) for line in lines)))

    def to_table(self) -> Table:
        """The issues as a table."""
        fields: dict[str, Label] = {}
        reasons: dict[str, Label] = {}
        rows = []
        for issue in self.issues:
            field, english = issue.field or "", said(issue, self.playbook, "en")
            fields[field] = Label(zh=self._label(issue, "zh-CN"), en=self._label(issue, "en"))
            reasons[english] = Label(zh=said(issue, self.playbook, "zh-CN"), en=english)
            rows.append((place_of(issue), field, issue.code, english))
        why = attrs.evolve(_WHY, labels=reasons)
        table = Table("edits", "外部修改", "Edits from outside", (*_COLUMNS, why), tuple(rows))
        return table.labelled("field", fields)

    def _label(self, issue: Issue, language: Language) -> str:
        return self.playbook.label(issue.field, language) if issue.field and "." in issue.field else ""


def place_of(issue: Issue) -> str:
    """Where an issue is as a spreadsheet says it, as far as it is known: ``客户!C12``."""
    if not issue.row:
        return issue.sheet or ""
    return f"{issue.sheet}!{column_letters(issue.column) if issue.column else ''}{issue.row}"


@attrs.frozen(kw_only=True)
class KeptReport:
    """The last report as the store keeps it: when it was made (UTC), the counts, and its text in each language."""

    at: datetime
    taken: int
    refused: int
    texts: Mapping[str, str] = attrs.field(repr=False)

    def text(self, language: Language = "en") -> str:
        """The report for a reader, with at most :data:`MOST_KEPT` issues."""
        return self.texts[language_of(language)]

    def lines(self, language: Language, zone: ZoneInfo) -> tuple[str, ...]:
        """The same as lines of a guide, with the time in a zone."""
        moment = f"{self.at.astimezone(zone):%Y-%m-%d %H:%M}"
        return tuple(f"{moment} {self.text(language)}".splitlines())


def keep_report(work: Work, report: EditReport) -> None:
    """Puts the report into the store, in the place of the one before."""
    told = {
        "at": work.now.isoformat(),
        "taken": len(report.taken),
        "refused": len(report.refused),
        "texts": {
            language: "\n".join(report.text(language).splitlines()[: MOST_KEPT + 1]) for language in ("en", "zh-CN")
        },
    }
    value, before = json.dumps(told, ensure_ascii=False), work.get(Setting, _KEPT)
    if before is None:
        work.add(Setting(id=_KEPT, value=value), "setting.kept")
    else:
        work.put(before.replace(value=value, version=before.version + 1), before, "setting.kept")


def kept_report(transaction: Transaction) -> KeptReport | None:
    """The report that the store keeps, if anything was ever edited."""
    row = transaction.get("settings", _KEPT)
    if row is None:
        return None
    told = json.loads(CODECS[Setting].load(row).value)
    return KeptReport(**{**told, "at": datetime.fromisoformat(told["at"])})
