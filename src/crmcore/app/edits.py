"""Taking in what people changed in a store with another program: through the use cases that everybody has, with a report.

Each edited row is one unit of work in the name of :data:`EDITOR`, unless the host says who edited. A row goes in whole or not
at all, with every reason at once. What somebody else changed in the meantime is never written over. A row that was taken in
leaves its mark in the same transaction, so that after a crash it isn't taken in again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, cast

import attrs

from crmcore.app.edit_steps import ADDITIONS, CHANGES, NEEDED, Hands, Told
from crmcore.app.engine import Engine, Joined
from crmcore.app.presenting import SHEETS, EditedSheet, only_words
from crmcore.app.work import Work
from crmcore.domain import ENTITIES, Customer, Entity, ImportedRow, Money, Opportunity, Order
from crmcore.domain.fields import Unclean
from crmcore.domain.playbook import FIELD_KINDS, Playbook
from crmcore.domain.policies import Label
from crmcore.domain.values import fold
from crmcore.errors import DomainError, DuplicateCustomer, Invalid, Issue, Language, language_of
from crmcore.interchange.cells import CURRENCIES, CellKind, CellOptions, parse
from crmcore.interchange.headers import column_letters
from crmcore.metrics.tables import Column, Table
from crmcore.playbooks.wording import said
from crmcore.rules.validation import check_contact
from crmcore.storage.codec import CODECS
from crmcore.storage.presentation import Edit, Unreadable
from crmcore.storage.query import Eq
from crmcore.storage.schema import Row, Scalar

EDITOR = "workbook"
"""In whose name edits are taken in where nobody says who made them: a file doesn't tell."""

Outcome = Literal["taken", "known", "refused"]

_RANK: Mapping[str, int] = {cls.collection: rank for rank, cls in enumerate(ENTITIES)}
_ENTITY: Mapping[str, str] = {cls.collection: cls.entity for cls in ENTITIES}
_CELL_KINDS: Mapping[str, CellKind] = {"contact.phones": "phones", "contact.emails": "emails"}
_EXPECTED: Mapping[str, str] = {
    "integer": "a whole number",
    "flag": "true or false",
    "day": "a date",
    "instant": "a date and time",
    "money": "an amount of money",
}
_PLACE = re.compile(r"(?P<sheet>.*)!\$?(?P<column>[A-Z]{1,3})\$?(?P<row>\d{1,7})", re.DOTALL)
_REFERENCES: Mapping[str, type[Entity]] = {
    **dict.fromkeys(("customer_id", "referrer_id", "referred_id"), Customer),
    "opportunity_id": Opportunity,
    "order_id": Order,
}

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
    if isinstance(error, DuplicateCustomer):
        return [Issue(code="duplicate", field=f"{entity}.name", facts={"number": error.details["number"]})]
    return [Issue(code="refused", field=entity, facts={"why": error.message})]


class _Taking:
    """The rows of one group being taken in, within one unit of work. What is against a row is put into its list."""

    def __init__(
        self, crm: Engine, work: Work, actor: str, group: Sequence[Edit], found: Sequence[list[Issue]]
    ) -> None:
        self.crm, self.work, self.group, self.found = crm, work, group, found
        self.hands = Hands(Joined(crm, work), actor)
        self.options = CellOptions(zone=crm.zone, currency=crm.playbook.currency)

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
        if edit.kind == "added" or not edit.cells:
            self._against(0, "row_not_addable", entity)
        for cell in edit.cells if edit.kind != "added" else ():
            self._against(0, "not_editable", f"{entity}.{cell.field}")

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
            name, part = _part_of(cls, cell.field)
            field = f"{cls.entity}.{name}"
            if cell.field not in sheet.changed:
                self._against(0, "not_editable", f"{cls.entity}.{cell.field}")
                continue
            try:
                value = self._value(cls, name, part, cell.after, record)
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
        for name, given in parts.items():
            self._give_money(0, f"{cls.entity}.{name}", given, told, getattr(record, name))
        return told

    # New rows

    def _add(self, edit: Edit, others: Sequence[Edit], sheet: EditedSheet) -> str | None:
        told = self._filled(0, edit, sheet)
        people = [self._filled(index, other, SHEETS["contacts"]) for index, other in enumerate(others, 1)]
        for index, person in enumerate(people, 1):
            person.pop("customer_id", None)
            self.found[index] += check_contact(person)
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
            name, part = _part_of(cls, cell.field)
            if cell.field not in sheet.filled:
                self._against(index, "not_editable", f"{cls.entity}.{cell.field}")
                continue
            try:
                if index and name == "customer_id":
                    continue  # the new customer of the same group
                value = self._value(cls, name, part, cell.after, None)
            except Unclean as problem:
                self._against(index, problem.code, f"{cls.entity}.{name}", **problem.facts)
                continue
            if part:
                parts.setdefault(name, {})[part] = value
                told.setdefault(name, None)
            elif value is not None:
                told[name] = value
        for name, given in parts.items():
            self._give_money(index, f"{cls.entity}.{name}", given, told)
        at_fault = {issue.field for issue in self.found[index]}
        for name in NEEDED[edit.collection]:
            needed = name not in told and f"{cls.entity}.{name}" not in at_fault
            if needed and not (index and name == "customer_id"):
                self._against(index, "required", f"{cls.entity}.{name}")
        return told

    # Cells

    def _value(self, cls: type[Entity], name: str, part: str | None, after: Any, record: Entity | None) -> Any:
        """What a cell says, as the field keeps it; raises :class:`Unclean`."""
        field, kind = f"{cls.entity}.{name}", cls.kinds[name]
        if part == "currency":
            return _currency(after)
        if isinstance(after, Unreadable):
            if not self.crm.playbook.vocabulary(field):
                raise Unclean("bad_type", expected=_EXPECTED.get(kind.name, "text"))
            after = after.text
        if part == "minor":
            if after is not None and type(after) is not int:
                raise Unclean("bad_money")
            return after
        if name in _REFERENCES and after is not None:
            return self._referred(field, _REFERENCES[name], str(parse("text", after, options=self.options)))
        if kind.name == "texts":
            return _texts(field, after, self.options)
        value = parse(cast(CellKind, "text" if kind.name == "choice" else kind.name), after, options=self.options)
        return self._word(field, value, record) if isinstance(value, str) else value

    def _word(self, field: str, text: str, record: Entity | None) -> str:
        """A text that has a fixed or a suggested meaning, as its key."""
        playbook = self.crm.playbook
        if field == "opportunity.stage":
            graph = playbook.pipelines.get(getattr(record, "pipeline", playbook.default_pipeline))
            labels = [stage.label for other in playbook.pipelines.values() if (stage := other.find(text))]
            for spelling in (text, *(label.zh for label in labels)):
                if graph is not None and (key := graph.stage_key(spelling)) is not None:
                    return key
            return text  # for the move to refuse
        if field == "opportunity.pipeline":
            return next((key for key, graph in playbook.pipelines.items() if text in graph.label.spellings), text)
        key = playbook.choice_key(field, text)
        if key is None and only_words(field, FIELD_KINDS[field], playbook):
            allowed = ", ".join(playbook.vocabulary(field) or FIELD_KINDS[field].choices)
            raise Unclean("unknown_stage" if field.endswith(".stage") else "bad_choice", allowed=allowed)
        return key or text

    def _referred(self, field: str, cls: type[Entity], text: str) -> str:
        """The id of the record that a text names: its id, its number, or a name that only one has."""
        found: Sequence[Entity] = [known] if (known := self.work.get(cls, text)) is not None else []
        ways = {Customer: ("number", "name_key"), Opportunity: ("reference", "name_key"), Order: ("number",)}
        for name in ways[cast(Any, cls)]:
            if not found:
                found = self.work.find(cls, Eq(name, fold(text) if name.endswith("_key") else text), limit=2)
        if len(found) == 1:
            return found[0].id
        if cls is Customer:
            raise Unclean("ambiguous_customer" if found else "unknown_customer")
        why = "more than one goes by this name" if found else f"there is no such {cls.entity}"
        raise Unclean("refused", why=why)

    def _give_money(
        self, index: int, field: str, given: Mapping[str, Any], told: Told, kept: Money | None = None
    ) -> None:
        """An amount from its two cells, of which one may stay as it is."""
        name = field.partition(".")[2]
        minor = given.get("minor", kept.minor if kept else None)
        currency = given.get("currency") or (kept.currency if kept else self.crm.playbook.currency)
        if minor is None and given.get("currency"):
            self._against(index, "required", field)
        try:
            told[name] = None if minor is None else Money(minor, currency)
        except ValueError:
            self._against(index, "bad_money", field)


def _mark(edit: Edit) -> str:
    return f"edit:{edit.mark}"


def _part_of(cls: type[Entity], column: str) -> tuple[str, str | None]:
    """The field that a column belongs to, and which part of it where it holds money."""
    name = column.removesuffix("_currency")
    kind = cls.kinds.get(name)
    if kind is not None and kind.name == "money":
        return name, "minor" if name == column else "currency"
    return column, None


def _currency(after: Any) -> str | None:
    """A currency code, or a sign or word for one."""
    if after is None or (isinstance(after, str) and not after.strip()):
        return None
    text = after.strip() if isinstance(after, str) else ""
    known = CURRENCIES.get(text.casefold())
    if known is None and not re.fullmatch(r"[A-Z]{3}", text):
        raise Unclean("bad_currency")
    return known[0] if known else text


def _texts(field: str, after: Any, options: CellOptions) -> Any:
    """A list as it is kept, or as people write one."""
    if isinstance(after, str) and after.startswith("["):
        try:
            kept = json.loads(after)
        except ValueError:
            kept = None
        if isinstance(kept, list) and all(isinstance(text, str) for text in kept):
            return tuple(kept)
    return parse(_CELL_KINDS.get(field, "texts"), after, options=options)
