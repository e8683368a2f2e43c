"""Checking the files by sample: draw it, give out a worksheet, take the findings in, say what came of it (seed 004)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from crmcore.app.engine import UseCases
from crmcore.app.exports import shown
from crmcore.app.finding import find_customer, read_all
from crmcore.app.scope import Of, Scope, checked_of
from crmcore.app.work import Work
from crmcore.domain import Contact, Customer, QualityCheck
from crmcore.domain.playbook import FIELD_KINDS
from crmcore.domain.values import fold
from crmcore.errors import DomainError, ImportRejected, Invalid, Issue, NotFound
from crmcore.interchange.sheets import Cell as SheetCell
from crmcore.interchange.sheets import Sheet, read_sheets
from crmcore.metrics import Accuracy, accuracy
from crmcore.metrics.quality import asked_of
from crmcore.metrics.tables import Column, Table
from crmcore.rules.sampling import drawn
from crmcore.storage.contract import Transaction
from crmcore.storage.query import And, Eq

SHARE = 5
"""Percent of the files, unless told otherwise (seed 004: 5–10 %)."""
_NUMBER = Column("customer.number", "客户编号", "Customer number")
_FINDINGS = (
    Column("verdict", "核对结果(对/错)", "Verdict (right/wrong)"),
    Column("wrong_fields", "错误字段", "Fields that are wrong"),
    Column("check_remarks", "核对备注", "Remarks on the check"),
)
_TOLD: Mapping[str, Column] = {"number": _NUMBER, **{column.key: column for column in _FINDINGS}}
"""What a filled-in worksheet is read for, with the column where it stands."""
_WORDS: Mapping[str, str] = {
    **dict.fromkeys(map(fold, ("对", "正确", "是", "right", "ok", "true", "√")), "right"),
    **dict.fromkeys(map(fold, ("错", "错误", "否", "wrong", "false", "×")), "wrong"),
}


class QualityChecks(UseCases):
    """The use cases about samples of the files, for one user. A sample is known by its name, such as ``2026Q4``."""

    def draw(self, sample: str, *, share: int = SHARE, of: Of | None = None) -> list[QualityCheck]:
        """Draws a sample (随机抽查) of so many percent of the customers, or of those that ``of`` leaves.

        It is drawn by its name, not by chance: the same customers and the same name give the same sample. Raises
        :class:`DomainError` for a name that is taken, and :class:`Invalid` for a share outside 1 to 100.
        """
        if not isinstance(sample, str) or not sample.strip():
            raise Invalid([Issue(code="required", field="quality_check.sample")])
        if type(share) is not int or not 1 <= share <= 100:
            raise Invalid([Issue(code="out_of_range", field="quality_check.share", facts={"limit": "1 to 100"})])
        name = sample.strip()
        restricted = checked_of(of, self.engine.playbook)
        customers = self.engine.read(lambda transaction: list(Scope(transaction, restricted).customers))

        def decide(work: Work) -> list[QualityCheck]:
            if work.find(QualityCheck, Eq("sample", name), limit=1):
                raise DomainError("there is a sample of that name already")
            told = [{"customer_id": id, "sample": name} for id in drawn(customers, share, name)]
            return [work.create(QualityCheck, "quality_check.drawn", values) for values in told]

        return self.write(decide)

    def samples(self) -> list[str]:
        """The names of the samples, the latest first."""
        checks = sorted(self.listed(QualityCheck), key=lambda check: check.created_at, reverse=True)
        return list(dict.fromkeys(check.sample for check in checks))

    def of(self, sample: str) -> list[QualityCheck]:
        """The checks of a sample. Raises :class:`NotFound` for one that was not drawn."""
        found = self.listed(QualityCheck, Eq("sample", sample))
        if not found:
            raise NotFound("there is no such sample", entity="quality_check")
        return found

    def worksheet(self, sample: str) -> Table:
        """The sample as a sheet to check by: what the files say, and columns for what was found."""
        crm = self.engine
        checks = {check.customer_id: check for check in self.of(sample)}

        def look(transaction: Transaction) -> Table:
            customers = [one for one in read_all(transaction, Customer, None, ("number",)) if one.id in checks]
            people: dict[str, Contact] = {}
            for contact in read_all(transaction, Contact, None, ("created_at",)):
                people.setdefault(contact.customer_id, contact)
            asked = {field for one in customers for field in asked_of(one, crm.playbook) if field in FIELD_KINDS}
            fields = [
                field
                for field in FIELD_KINDS
                if field in asked | {"customer.name", "customer.owner", "customer.source"}
            ]
            columns = (
                _NUMBER,
                *(
                    Column(
                        field,
                        crm.playbook.label(field, "zh-CN"),
                        crm.playbook.label(field),
                        labels=crm.playbook.vocabulary(field),
                    )
                    for field in fields
                ),
                *_FINDINGS,
            )
            rows = tuple(
                (
                    one.number,
                    *(_said(one, people.get(one.id), field, crm) for field in fields),
                    {"right": "对", "wrong": "错"}.get(checks[one.id].verdict),
                    "、".join(crm.playbook.label(field, "zh-CN") for field in checks[one.id].wrong_fields) or None,
                    checks[one.id].remarks,
                )
                for one in customers
            )
            return Table("worksheet", f"抽查核对表 {sample}", f"Files to be checked {sample}", columns, rows)

        return crm.read(look)

    def record(
        self,
        sample: str,
        customer: Customer | str,
        *,
        right: bool,
        wrong_fields: Sequence[str] = (),
        remarks: str | None = None,
    ) -> QualityCheck:
        """Writes down what was found of one file: right, or wrong in some fields (dotted, or by a label)."""

        def decide(work: Work) -> QualityCheck:
            current = work.current(Customer, customer)
            found = work.find(QualityCheck, And(Eq("sample", sample), Eq("customer_id", current.id)), limit=1)
            if not found:
                raise NotFound("the customer is not in this sample", entity="quality_check")
            return self._recorded(work, found[0], right, self._fields(wrong_fields, right), remarks)

        return self.write(decide)

    def take_in(self, sample: str, path: Path | str) -> int:
        """Takes a filled-in worksheet in, and says how many rows told something.

        Rows without a verdict are left open. Raises :class:`ImportRejected` for a file that is no worksheet, and
        :class:`Invalid` with every issue, by row; then nothing is stored.
        """
        checks = {check.customer_id: check for check in self.of(sample)}
        sheet, heading, places = _worksheet_of(read_sheets(path), Path(path).name)

        def decide(work: Work) -> int:
            issues: list[Issue] = []
            taken: set[str] = set()
            for row, cells in enumerate(sheet.rows, sheet.first_row):
                if row <= heading:
                    continue
                number, verdict, fields, remarks = (_text(cells, places.get(name)) for name in _TOLD)
                if not verdict:
                    continue
                customer = find_customer(work.transaction, number) if number else None
                known = _WORDS.get(fold(verdict))
                if customer is None or customer.id not in checks:
                    issues.append(_at(sheet, row, "unknown_customer", "customer.number", label=_NUMBER.zh))
                elif customer.id in taken:
                    why = "this customer stands in two rows"
                    issues.append(_at(sheet, row, "refused", "quality_check.verdict", why=why))
                elif known is None:
                    issues.append(_at(sheet, row, "bad_choice", "quality_check.verdict", allowed="对, 错"))
                else:
                    try:
                        wrong = self._fields(_split(fields), known == "right")
                    except Invalid as invalid:
                        issues.extend(
                            _at(sheet, row, one.code, "quality_check.wrong_fields", **one.facts)
                            for one in invalid.issues
                        )
                        continue
                    current = work.current(QualityCheck, checks[customer.id].id)
                    self._recorded(work, current, known == "right", wrong, remarks)
                    taken.add(customer.id)
            if issues:
                raise Invalid(issues)
            return len(taken)

        return self.write(decide)

    def result(self, sample: str) -> Accuracy:
        """What the sample came to: how many files are right, by owner and by source, and which fields are not."""
        checks = self.of(sample)
        crm = self.engine

        def look(transaction: Transaction) -> Accuracy:
            wanted = {check.customer_id for check in checks}
            customers = {one.id: one for one in read_all(transaction, Customer) if one.id in wanted}
            return accuracy(sample, checks, customers, crm.playbook)

        return crm.read(look)

    def _recorded(
        self, work: Work, check: QualityCheck, right: bool, wrong: Sequence[str], remarks: str | None
    ) -> QualityCheck:
        told = {
            "verdict": "right" if right else "wrong",
            "wrong_fields": tuple(wrong),
            "remarks": remarks,
        }
        if all(getattr(check, name) == value for name, value in told.items()):
            return check
        return work.change(check, "quality_check.recorded", {**told, "checked_by": work.actor, "checked_at": work.now})

    def _fields(self, given: Iterable[str], right: bool) -> list[str]:
        """The dotted fields that are meant, by themselves or by a label. Raises :class:`Invalid` for others."""
        playbook = self.engine.playbook
        names = {fold(label): key for key, one in reversed(list(playbook.fields.items())) for label in one.spellings}
        found = [text if text in FIELD_KINDS else names.get(fold(text)) for text in given]
        field = "quality_check.wrong_fields"
        if any(name is None for name in found):
            raise Invalid([Issue(code="bad_choice", field=field, facts={"allowed": "客户名称, 客户地址 …"})])
        if right and found:
            raise Invalid(
                [Issue(code="refused", field=field, facts={"why": "a file that is right has no wrong fields"})]
            )
        return [name for name in found if name is not None]


def _said(customer: Customer, person: Contact | None, field: str, crm: Any) -> Any:
    entity, _, name = field.partition(".")
    record: Customer | Contact | None = customer if entity == "customer" else person if entity == "contact" else None
    return None if record is None else shown(getattr(record, name, None), crm)


def _worksheet_of(sheets: Iterable[Sheet], file: str) -> tuple[Sheet, int, dict[str, int]]:
    """The sheet with the headings of a worksheet, the row of these, and in which column each stands."""
    for sheet in sheets:
        for row, cells in enumerate(sheet.rows[:30], sheet.first_row):
            told = {fold(str(cell)): place for place, cell in enumerate(cells) if isinstance(cell, str)}
            places = {
                name: told[spelling]
                for name, column in _TOLD.items()
                for spelling in (fold(column.zh), fold(column.en))
                if spelling in told
            }
            if {"number", "verdict"} <= places.keys():
                return sheet, row, places
    raise ImportRejected("no_header", "this is no worksheet of a sample", file=file)


def _text(cells: Sequence[SheetCell], place: int | None) -> str | None:
    cell = cells[place] if place is not None and place < len(cells) else None
    return str(cell).strip() or None if cell is not None else None


def _split(text: str | None) -> list[str]:
    for mark in ",;\uff0c\uff1b/\n":
        text = text.replace(mark, "、") if text else text
    return [part.strip() for part in (text or "").split("、") if part.strip()]


def _at(sheet: Sheet, row: int, code: str, field: str, **facts: Any) -> Issue:
    return Issue(code=code, field=field, sheet=sheet.name, row=row, facts={"label": field, **facts})
