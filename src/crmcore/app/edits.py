"""Taking in what people changed in a store with another program: through the use cases that everybody has, with a report.

Each edited row is one unit of work in the name of :data:`EDITOR`, unless the host says who edited. A row goes in whole or not
at all, with every reason at once. What somebody else changed in the meantime is never written over. A row that was taken in
leaves its mark in the same transaction, so that after a crash it isn't taken in again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import attrs

from crmcore.app.edit_cells import CellReader, part_of
from crmcore.app.edit_reports import EditedRow, EditReport, Outcome
from crmcore.app.edit_steps import ADDITIONS, CHANGES, NEEDED, Hands, Told
from crmcore.app.engine import Engine, Joined
from crmcore.app.presenting import SHEETS, EditedSheet
from crmcore.app.work import Work
from crmcore.domain import ENTITIES, Entity, ImportedRow
from crmcore.domain.fields import Unclean
from crmcore.domain.values import fold
from crmcore.errors import DomainError, DuplicateCustomer, Invalid, Issue
from crmcore.rules.validation import check_contact
from crmcore.storage.codec import CODECS
from crmcore.storage.presentation import Edit, Unreadable
from crmcore.storage.query import Eq
from crmcore.storage.schema import Row, Scalar

EDITOR = "workbook"
"""In whose name edits are taken in where nobody says who made them: a file doesn't tell."""

_RANK: Mapping[str, int] = {cls.collection: rank for rank, cls in enumerate(ENTITIES)}
_ENTITY: Mapping[str, str] = {cls.collection: cls.entity for cls in ENTITIES}
_PLACE = re.compile(r"(?P<sheet>.*)!\$?(?P<column>[A-Z]{1,3})\$?(?P<row>\d{1,7})", re.DOTALL)


def take_in(crm: Engine, edits: Sequence[Edit], actor: str = EDITOR) -> EditReport:
    """Takes in each edited row that the rules let in, in the name of ``actor``, and reports on every one.

    A new customer goes in together with new contacts that name it. Taking the same edits in again changes nothing. Raises
    what a store raises; what was taken in until then stays.
    """
    marks = crm.read(lambda work: work.get_many("imported_rows", [_mark(edit) for edit in edits]))
    known = [index for index, edit in enumerate(edits) if _mark(edit) in marks]
    rows = {index: _row(crm, edits[index], "known") for index in known}
    for group in _grouped(edits, known):
        members = [edits[index] for index in group]
        rows.update(zip(group, _take(crm, members, actor), strict=True))
    return EditReport(rows=tuple(rows[index] for index in sorted(rows)), playbook=crm.playbook)


def _grouped(edits: Sequence[Edit], known: Iterable[int]) -> Iterator[list[int]]:
    """What goes in together, by its place among the edits: what is named by others first, conversations as they took place."""
    taken = set(known)
    contacts = [index for index, edit in enumerate(edits) if (edit.kind, edit.collection) == ("added", "contacts")]

    def order(index: int) -> tuple[int, datetime]:
        at = _after(edits[index], "at")
        aware = isinstance(at, datetime) and at.tzinfo is not None
        return _RANK.get(edits[index].collection, len(_RANK)), cast(datetime, at) if aware else _FIRST

    for index in sorted(range(len(edits)), key=order):
        if index in taken:
            continue
        group, edit = [index], edits[index]
        if (edit.kind, edit.collection) == ("added", "customers"):
            names = {_folded(_after(edit, name)) for name in ("name", "number")} - {""}
            group += [found for found in contacts if _folded(_after(edits[found], "customer_id")) in names]
        group = [found for found in group if found not in taken]
        taken.update(group)
        yield group


_FIRST = datetime.min.replace(tzinfo=UTC)


def _after(edit: Edit, field: str) -> Scalar | Unreadable:
    return next((cell.after for cell in edit.cells if cell.field == field), None)


def _folded(value: Scalar | Unreadable) -> str:
    return fold(value) if isinstance(value, str) else ""


def _take(crm: Engine, group: Sequence[Edit], actor: str) -> list[EditedRow]:
    """One unit of work: all rows of a group, or none."""
    found: list[list[Issue]] = [[] for _ in group]
    outcomes: Sequence[tuple[Outcome, str | None]] = ()

    def decide(work: Work) -> list[tuple[Outcome, str | None]]:
        for issues in found:
            issues.clear()
        taking = _Taking(crm, work, actor, group, found)
        outcomes = taking.take()
        if any(found):
            raise Invalid([issue for issues in found for issue in issues])
        return outcomes

    try:
        outcomes = crm.write(actor, decide)
    except Invalid as invalid:
        if not any(found):
            found[0] += invalid.issues
    except DomainError as error:
        found[0] += _issues_of(error, group[0])
    if not any(found):
        return [_row(crm, edit, outcome, id=id) for edit, (outcome, id) in zip(group, outcomes, strict=True)]
    for edit, issues in zip(group, found, strict=True):
        if not issues:
            facts = {"why": "a row that belongs to it was refused"}
            issues.append(Issue(code="refused", field=_ENTITY.get(edit.collection), facts=facts))
    return [_row(crm, edit, "refused", issues) for edit, issues in zip(group, found, strict=True)]


def _row(
    crm: Engine, edit: Edit, outcome: Outcome, issues: Sequence[Issue] = (), *, id: str | None = None
) -> EditedRow:
    sheet = _where(edit.cells[0].place)[0] if edit.cells else crm.playbook.label(f"sheet.{edit.collection}", "zh-CN")
    return EditedRow(
        kind=edit.kind,
        collection=edit.collection,
        id=id or edit.id,
        sheet=sheet,
        row=edit.row,
        outcome=outcome,
        issues=tuple(_placed(issue, edit, sheet) for issue in issues),
    )


def _where(place: str) -> tuple[str, int | None, int | None]:
    """Sheet, row and column of a place such as ``客户!C12``; what isn't of this form is the sheet's name."""
    found = _PLACE.fullmatch(place)
    if found is None:
        return place, None, None
    column = 0
    for letter in found["column"]:
        column = column * 26 + ord(letter) - ord("A") + 1
    return found["sheet"], int(found["row"]), column


def _placed(issue: Issue, edit: Edit, sheet: str) -> Issue:
    """The issue at the cell that its field was edited in, or at the row."""
    entity, _, name = (issue.field or "").partition(".")
    if entity == _ENTITY.get(edit.collection):
        for cell in edit.cells:
            if name in (cell.field, cell.field.removesuffix("_currency")):
                sheet, row, column = _where(cell.place)
                return attrs.evolve(issue, sheet=sheet, row=row or edit.row or None, column=column)
    return attrs.evolve(issue, sheet=sheet, row=edit.row or None)


def _issues_of(error: DomainError, edit: Edit) -> list[Issue]:
    """What a rule said against a row."""
    entity = _ENTITY.get(edit.collection, edit.collection)
    if isinstance(error, Invalid):
        return list(error.issues)
    if isinstance(error, DuplicateCustomer) and error.details["number"] is not None:
        return [Issue(code="duplicate", field=f"{entity}.name", facts={"number": error.details["number"]})]
    return [Issue(code="refused", field=entity, facts={"why": error.message})]


class _Taking:
    """The rows of one group being taken in, within one unit of work. What is against a row is put into its list."""

    def __init__(self, crm: Engine, work: Work, actor: str, group: Sequence[Edit], found: list[list[Issue]]) -> None:
        self.crm, self.work, self.group, self.found = crm, work, group, found
        self.hands = Hands(Joined(crm, work), actor)
        self.cells = CellReader(crm, work)

    def take(self) -> list[tuple[Outcome, str | None]]:
        """What becomes of each row, unless something is against one of them."""
        edit, *others = self.group
        marks = self.work.transaction.get_many("imported_rows", [_mark(edit) for edit in self.group])
        if len(marks) == len(self.group):
            return [("known", edit.id) for edit in self.group]
        sheet = SHEETS.get(edit.collection)
        if edit.kind == "removed":
            self._against(0, "row_removed", _ENTITY.get(edit.collection), record=self._named(edit))
            return []
        if sheet is None:
            self._not_shown(edit)
            return []
        outcome: Outcome = "taken"
        if edit.kind == "added":
            id = self._add(edit, others, sheet)
        else:
            id = edit.id
            if not self._change(edit, sheet):
                outcome = "known"
        if any(self.found):
            return []
        for one in self.group:
            self._keep_mark(one, f"{edit.collection}/{id}")
        return [(outcome, id if one is edit else None) for one in self.group]

    def _against(self, index: int, code: str, field: str | None, **facts: Any) -> None:
        self.found[index].append(Issue(code=code, field=field, facts=facts))

    def _named(self, edit: Edit) -> str:
        """The number that people know a record by, or its id."""
        cls = SHEETS[edit.collection].entity if edit.collection in SHEETS else None
        record = self.work.get(cls, edit.id) if cls and edit.id else None
        return getattr(record, "number", None) or edit.id or edit.collection

    def _not_shown(self, edit: Edit) -> None:
        entity = _ENTITY.get(edit.collection, edit.collection)
        # Its fields have no names that people know.
        self._against(0, "row_not_addable" if edit.kind == "added" else "sheet_kept", entity)

    def _keep_mark(self, edit: Edit, record: str) -> None:
        source = edit.cells[0].place if edit.cells else None
        # Not the record's own id: it was not written down elsewhere before, as an imported one was.
        self.work.add(ImportedRow(id=_mark(edit), record_id=record, source=source, at=self.work.now), "row.imported")
        self.work.flush()

    # Rows that are there

    def _change(self, edit: Edit, sheet: EditedSheet) -> bool:
        """Changes the record; False where it says all that the row says."""
        cls = sheet.entity
        row = self.work.transaction.get(edit.collection, edit.id or "")
        if row is None:
            self._against(0, "refused", cls.entity, why=f"there is no such {cls.entity}")
            return False
        record = CODECS[cls].load(row)
        told = self._told(edit, sheet, row, record)
        if self.found[0]:
            return False
        told = {name: value for name, value in told.items() if value != getattr(record, name)}
        if not told:
            return False
        for step in CHANGES[edit.collection](self.hands, record, told):
            self._try(edit, step)
        return True

    def _try(self, edit: Edit, step: Any) -> Any:
        try:
            return step()
        except DomainError as error:
            self.found[0] += _issues_of(error, edit)
        return None

    def _told(self, edit: Edit, sheet: EditedSheet, row: Row, record: Entity) -> Told:
        """The values of the changed cells; a cell that somebody else changed otherwise is against the row."""
        cls, shape = sheet.entity, CODECS[sheet.entity].collection
        told: Told = {}
        parts: dict[str, dict[str, Any]] = {}
        for cell in edit.cells:
            name, part = part_of(cls, cell.field)
            field = f"{cls.entity}.{name}"
            if cell.field not in sheet.changed:
                self._against(0, "not_editable", f"{cls.entity}.{cell.field}")
                continue
            try:
                value = self.cells.value(cls, cell, record)
            except Unclean as problem:
                self._against(0, problem.code, field, **problem.facts)
                continue
            current = row[shape.position(cell.field)]
            same = current == value if part else getattr(record, name) == value
            if current != cell.before and not same:
                self._against(0, "edit_conflict", field)
            elif part:
                parts.setdefault(name, {})[part] = value
                told.setdefault(name, None)
            else:
                told[name] = value
        self._give_money(0, cls, parts, told, record)
        return told

    def _give_money(
        self, index: int, cls: type[Entity], parts: Mapping[str, Any], told: Told, record: Entity | None = None
    ) -> None:
        for name, given in parts.items():
            try:
                told[name] = self.cells.money(given, getattr(record, name, None))
            except Unclean as problem:
                self._against(index, problem.code, f"{cls.entity}.{name}", **problem.facts)

    # New rows

    def _add(self, edit: Edit, others: Sequence[Edit], sheet: EditedSheet) -> str | None:
        told = self._filled(0, edit, sheet)
        people = [self._filled(index, other, SHEETS["contacts"]) for index, other in enumerate(others, 1)]
        for index, person in enumerate(people, 1):
            person.pop("customer_id", None)
            self.found[index] += check_contact(person, self.work.reads_phone)
        if any(self.found):
            return None
        if people:
            told["contacts"] = people
        added = self._try(edit, lambda: ADDITIONS[edit.collection](self.hands, told))
        return added.id if added is not None else None

    def _filled(self, index: int, edit: Edit, sheet: EditedSheet) -> Told:
        cls = sheet.entity
        told: Told = {}
        parts: dict[str, dict[str, Any]] = {}
        for cell in edit.cells:
            if cell.after in (None, ""):
                continue
            name, part = part_of(cls, cell.field)
            if cell.field not in sheet.filled:
                self._against(index, "not_editable", f"{cls.entity}.{cell.field}")
                continue
            try:
                if index and name == "customer_id":
                    continue  # the new customer of the same group
                value = self.cells.value(cls, cell)
            except Unclean as problem:
                self._against(index, problem.code, f"{cls.entity}.{name}", **problem.facts)
                continue
            if part:
                parts.setdefault(name, {})[part] = value
                told.setdefault(name, None)
            elif value is not None:
                told[name] = value
        number = told.get("number")
        if number is not None and self.work.find(cls, Eq("number", number), limit=1):
            copied = Issue(code="row_copied", field=f"{cls.entity}.number", facts={"record": number})
            self.found[index].insert(0, copied)  # which is why there is more against it
        self._give_money(index, cls, parts, told)
        at_fault = {issue.field for issue in self.found[index]}
        for name in NEEDED[edit.collection]:
            needed = name not in told and f"{cls.entity}.{name}" not in at_fault
            if needed and not (index and name == "customer_id"):
                self._against(index, "required", f"{cls.entity}.{name}")
        return told


def _mark(edit: Edit) -> str:
    return f"edit:{edit.mark}"
