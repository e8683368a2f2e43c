"""Taking files in: plan what would happen, see every bad cell, then apply the good rows.

A row that was taken in once is never taken in again: its digest is kept in the same transaction as the record. So an
import that was cut off goes on where it stopped, and importing the same file again changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from crmcore.app.customers import register_customer
from crmcore.app.engine import Engine, UseCases
from crmcore.app.follow_ups import add_plan, log_follow_up
from crmcore.app.opportunities import open_opportunity
from crmcore.app.work import Work
from crmcore.domain import Contact, Customer, Entity, FollowUp, FollowUpPlan, ImportedRow, Opportunity, Referral
from crmcore.domain.playbook import FIELD_KINDS
from crmcore.domain.values import fold
from crmcore.errors import DomainError, DuplicateCustomer, ImportRejected, Invalid, Issue
from crmcore.interchange.dates import DateOrder
from crmcore.interchange.drafts import Draft, plain_heading, read_drafts
from crmcore.interchange.headers import Header, HeaderColumn, Vocabulary, explain_no_header, find_header
from crmcore.interchange.mapping import Mapped, read_mapping
from crmcore.interchange.sheets import Sheet, read_sheets
from crmcore.rules.timing import day_start
from crmcore.storage.query import Eq, In

BATCH = 250
"""Rows per transaction: few enough that others get their turn, many enough that the disk is not asked for each."""

#: What hangs on what: customers come before everything that names one.
_ORDER = ("customer", "contact", "opportunity", "follow_up_plan", "follow_up", "referral")

Progress = Callable[[int, int], None]
"""Told after each batch: rows done, rows in all."""


@attrs.frozen(kw_only=True)
class SheetPlan:
    """What one sheet of one file would bring. ``table`` is None where no header was found; ``note`` then says why."""

    file: str
    sheet: str
    table: str | None
    header_row: int | None
    drafts: tuple[Draft, ...]
    issues: tuple[Issue, ...]
    note: str | None = None

    @property
    def rows(self) -> int:
        """Rows that hold anything."""
        return len(self.drafts)

    @property
    def ready(self) -> int:
        """Rows that nothing but warnings is against."""
        return sum(draft.ready for draft in self.drafts)

    @property
    def rejected(self) -> int:
        """Rows with at least one error."""
        return self.rows - self.ready


@attrs.frozen(kw_only=True)
class SheetResult:
    """What became of one sheet. ``known`` rows were taken in before, or are customers on file already."""

    file: str
    sheet: str
    table: str | None
    created: int
    known: int
    rejected: int
    issues: tuple[Issue, ...]


@attrs.frozen(kw_only=True)
class ImportResult:
    """What became of all of them. Every row is created, known or rejected; every rejection has its issues."""

    sheets: tuple[SheetResult, ...]

    @property
    def created(self) -> int:
        """Rows that became records."""
        return sum(sheet.created for sheet in self.sheets)

    @property
    def known(self) -> int:
        """Rows that were there already."""
        return sum(sheet.known for sheet in self.sheets)

    @property
    def rejected(self) -> int:
        """Rows that were left out."""
        return sum(sheet.rejected for sheet in self.sheets)

    @property
    def issues(self) -> tuple[Issue, ...]:
        """Everything found, in the order of the sheets."""
        return tuple(issue for sheet in self.sheets for issue in sheet.issues)


class Imports(UseCases):
    """Planning imports, for one user."""

    def plan(
        self,
        files: Path | str | Sequence[Path | str],
        *,
        table: str | None = None,
        mapping: Path | str | Mapping[str, Any] | None = None,
        encoding: str | None = None,
        sheet: str | None = None,
        date_order: DateOrder | None = None,
        currency: str | None = None,
    ) -> ImportPlan:
        """Reads files and checks every row; stores nothing.

        ``table`` is a table of the playbook, where the header leaves a doubt; ``sheet`` names one sheet. ``mapping`` says what
        strange headers and values mean (:mod:`crmcore.interchange.mapping`). Raises :class:`ImportRejected` for a file
        that can't be read or has no header, naming why.
        """
        paths = _paths(files)
        mapped = read_mapping(mapping)
        given = {"table": table, "date_order": date_order, "currency": currency}
        mapped = read_mapping(
            {**attrs.asdict(mapped, recurse=False), **{key: value for key, value in given.items() if value}}
        )
        crm = self.engine
        if mapped.table is not None and mapped.table not in crm.playbook.tables:
            raise ImportRejected("bad_mapping", f"there is no such table; there are {', '.join(crm.playbook.tables)}")
        vocabularies = {
            key: Vocabulary(crm.playbook.synonyms(key))
            for key, found in crm.playbook.tables.items()
            if found.entity in _ORDER and mapped.table in (None, key)
        }
        plans = []
        for path in paths:
            try:
                sheets = [found for found in read_sheets(path, encoding=encoding) if not found.hidden]
            except ImportRejected as rejected:
                told = rejected.message
                raise ImportRejected(rejected.reason, told, part=rejected.part, file=_shown(path)) from rejected
            if sheet is not None:
                sheets = [found for found in sheets if found.name == sheet]
                if not sheets:
                    raise ImportRejected("no_sheet", "there is no sheet of that name", part=sheet, file=_shown(path))
            own = [self._plan_sheet(_shown(path), found, vocabularies, mapped) for found in sheets]
            if all(item.table is None for item in own):
                note = (own[0].note if own else None) or "there is no sheet with anything in it"
                raise ImportRejected("no_header", note, file=_shown(path))
            plans += own
        rank = {key: _ORDER.index(found.entity) for key, found in crm.playbook.tables.items() if found.entity in _ORDER}
        plans.sort(key=lambda item: rank.get(item.table or "", len(_ORDER)))
        return ImportPlan(self.engine, self.actor, tuple(plans))

    def _plan_sheet(self, file: str, sheet: Sheet, vocabularies: Mapping[str, Vocabulary], mapped: Mapped) -> SheetPlan:
        crm = self.engine
        columns = {heading: field or None for heading, field in mapped.columns.items()}
        # Among tables that fit alike, the one that the sheet is called goes first.
        called = [
            key for key in vocabularies if fold(sheet.name) in map(fold, crm.playbook.tables[key].label.spellings)
        ]
        vocabularies = {key: vocabularies[key] for key in dict.fromkeys([*called, *vocabularies])}
        header = find_header(sheet, vocabularies, mapping=columns)
        if header is None:
            note = explain_no_header(sheet, vocabularies) if sheet.rows else "the sheet is blank"
            return SheetPlan(file=file, sheet=sheet.name, table=None, header_row=None, drafts=(), issues=(), note=note)
        drafts = tuple(read_drafts(sheet, header, crm.playbook, mapped, crm.zone))
        issues = [*_column_issues(sheet, header), *(issue for draft in drafts for issue in draft.issues)]
        return SheetPlan(
            file=file, sheet=sheet.name, table=header.table, header_row=header.row, drafts=drafts, issues=tuple(issues)
        )


def _paths(files: Any) -> list[Path]:
    """The files to read; raises :class:`ImportRejected` for what is no path."""
    listed = [files] if isinstance(files, (str, Path)) or not isinstance(files, (list, tuple)) else files
    if not all(isinstance(path, (str, Path)) for path in listed):
        raise ImportRejected("unreadable", "a file to import is named by its path")
    return list(map(Path, listed))


#: Fields that take what several columns say.
_JOINED = ("contact.reach", "customer.remarks", "opportunity.remarks", "customer.history")


def _column_issues(sheet: Sheet, header: Header) -> Iterator[Issue]:
    """Columns that nobody knows, and columns that share a field which holds one value: none is left out in silence."""
    claims: dict[str, list[HeaderColumn]] = {}
    for column in header.columns:
        kind = FIELD_KINDS.get(column.field or "")
        if column.field is not None and not (kind is not None and kind.name == "texts") and column.field not in _JOINED:
            claims.setdefault(column.field, []).append(column)
    for columns in claims.values():
        for column in columns[1:]:
            facts = {"label": " / ".join(plain_heading(one.text) for one in columns)}
            yield Issue(
                code="shared_column",
                field=column.field,
                level="warning",
                sheet=sheet.name,
                row=header.row,
                column=column.column,
                facts=facts,
            )
    for column in header.columns:
        if column.field is None:
            yield Issue(
                code="ignored_column",
                level="warning",
                sheet=sheet.name,
                row=header.row,
                column=column.column,
                facts={"label": column.text},
            )


class ImportPlan:
    """What files would bring: look at ``sheets`` and ``issues``, then :meth:`apply`."""

    def __init__(self, engine: Engine, actor: str, sheets: tuple[SheetPlan, ...]) -> None:
        self._engine, self._actor = engine, actor
        self.sheets = sheets

    @property
    def issues(self) -> tuple[Issue, ...]:
        """Everything found, in the order of the sheets."""
        return tuple(issue for sheet in self.sheets for issue in sheet.issues)

    def apply(self, progress: Progress | None = None) -> ImportResult:
        """Takes the good rows in, a batch per transaction; a bad one never takes its neighbours down.

        A customer that is on file already is known and left as it is. An opportunity without a customer stands alone, with
        a warning; one whose customer is nobody's is rejected. Can be called again, also after a crash.
        """
        for sheet in self.sheets:
            for entity in dict.fromkeys(draft.entity for draft in sheet.drafts if draft.ready):
                self._engine.ask(entity, "import", everywhere=False)
        total, done = sum(sheet.ready for sheet in self.sheets), 0
        results = []
        for sheet in self.sheets:
            counts = {"created": 0, "known": 0, "rejected": sheet.rejected}
            issues = list(sheet.issues)
            # Conversations go in as they took place, whatever the order of the sheet: one may carry out what another planned.
            ready = sorted((draft for draft in sheet.drafts if draft.ready), key=_held_at)
            for start in range(0, len(ready), BATCH):
                batch = ready[start : start + BATCH]
                for outcome, found in self._apply_batch(sheet.file, batch):
                    counts[outcome] += 1
                    issues += found
                done += len(batch)
                if progress:
                    progress(done, total)
            results.append(
                SheetResult(file=sheet.file, sheet=sheet.sheet, table=sheet.table, issues=tuple(issues), **counts)
            )
        return ImportResult(sheets=tuple(results))

    def rehearse(self, progress: Progress | None = None) -> ImportResult:
        """What :meth:`apply` would do, tried on a copy of the store in memory: stores nothing."""
        return ImportPlan(self._engine.copied_to_memory(), self._actor, self.sheets).apply(progress)

    def _apply_batch(self, file: str, batch: Sequence[Draft]) -> list[tuple[str, list[Issue]]]:
        try:
            return self._take(file, batch)
        except DomainError:
            # Some row was refused by a rule that only the store can tell: each gets a transaction of its own.
            return [self._apply_one(file, draft) for draft in batch]

    def _apply_one(self, file: str, draft: Draft) -> tuple[str, list[Issue]]:
        try:
            return self._take(file, [draft])[0]
        except Invalid as invalid:
            return "rejected", [_at(issue, draft) for issue in invalid.issues]
        except DomainError as error:
            return "rejected", [_at(Issue(code="refused", field=draft.entity, facts={"why": error.code}), draft)]

    def _take(self, file: str, batch: Sequence[Draft]) -> list[tuple[str, list[Issue]]]:
        return self._engine.write(self._actor, lambda work: _Taking(self._engine, work, file, batch).take_all())


def _shown(path: Path) -> str:
    """The name of a file as text that can be kept: what is no text in it is replaced."""
    return path.name.encode("utf-8", "replace").decode("utf-8")


def _held_at(draft: Draft) -> datetime:
    at = draft.values.get("follow_up", {}).get("at")
    return at if isinstance(at, datetime) else datetime.min.replace(tzinfo=UTC)


def _at(issue: Issue, draft: Draft) -> Issue:
    return attrs.evolve(issue, sheet=draft.sheet, row=draft.row, facts={"label": issue.field, **issue.facts})


def _told_alike(kept: Any, told: Any) -> bool:
    """Whether a cell says what is on file; a cell tells moments to the second."""
    if isinstance(kept, datetime) and isinstance(told, datetime):
        return kept.replace(microsecond=0) == told.replace(microsecond=0)
    return bool(kept == told)


@attrs.frozen
class _Taken:
    """The record that a row became, or was already (``known``), and what was found on the way."""

    id: str
    issues: tuple[Issue, ...] = ()
    known: bool = False


class _Taking:
    """One batch being taken in, within one unit of work."""

    def __init__(self, crm: Engine, work: Work, file: str, batch: Sequence[Draft]) -> None:
        self.crm, self.work, self.file, self.batch = crm, work, file, batch
        if work.permit is not None:
            work.permit.also = ("import",)
        self.taken = set(work.transaction.get_many("imported_rows", [draft.digest for draft in batch]))
        self.customers = self._customers(batch)
        self.opportunities = self._opportunities(batch)
        self.matched: set[str] = set()

    def _customers(self, batch: Iterable[Draft]) -> dict[str, list[Customer]]:
        """The customers that the batch names, by number and by folded name."""
        numbers = {draft.references[key] for draft in batch for key in _NUMBERS if key in draft.references}
        numbers |= {number for draft in batch if (number := draft.values.get("customer", {}).get("number"))}
        names = {fold(draft.references[key]) for draft in batch for key in _NAMES if key in draft.references}
        found: dict[str, list[Customer]] = {}
        if numbers:
            for customer in filter(self.work.sees, self.work.find(Customer, In("number", tuple(numbers)))):
                found.setdefault(customer.number, []).append(customer)
        if names:
            for customer in filter(self.work.sees, self.work.find(Customer, In("name_key", tuple(names)))):
                # What is kept back isn't guessed by naming it either.
                if self.work.readable(customer, "name"):
                    found.setdefault(fold(customer.name), []).append(customer)
        return found

    def _opportunities(self, batch: Iterable[Draft]) -> dict[str, str]:
        """The ids of the opportunities on file that the batch refers to, by reference; our own exports refer by id."""
        references = [ref for draft in batch if (ref := draft.values.get("opportunity", {}).get("reference"))]
        if not references:
            return {}
        ids = list(self.work.transaction.get_many("opportunities", references))
        by_id = {id: id for id in ids if (one := self.work.get(Opportunity, id)) and self.work.sees(one)}
        found = filter(self.work.sees, self.work.find(Opportunity, In("reference", tuple(references))))
        readable = (one for one in found if self.work.readable(one, "reference"))
        return by_id | {str(opportunity.reference): opportunity.id for opportunity in readable}

    def take_all(self) -> list[tuple[str, list[Issue]]]:
        """Per row what became of it, and what was found on the way."""
        return [self._take(draft) for draft in self.batch]

    def _take(self, draft: Draft) -> tuple[str, list[Issue]]:
        if draft.digest in self.taken:
            return "known", []
        taken = _TAKERS[draft.entity](self, draft)
        source = f"{self.file} {draft.sheet}!{draft.row}"
        marked = ImportedRow(id=draft.digest, record_id=taken.id, source=source, at=self.work.now)
        self.work.add(marked, "row.imported")
        return "known" if taken.known else "created", [_at(issue, draft) for issue in taken.issues]

    def _on_file(self, field: str, id: str, number: str) -> _Taken:
        facts = {"label": self.crm.playbook.label(field, "zh-CN"), "number": number}
        return _Taken(id, (Issue(code="duplicate", field=field, level="warning", facts=facts),), known=True)

    def _named(self, draft: Draft, number: str = "customer_number", name: str = "customer_name") -> Customer | None:
        """The customer that a row names, None where it names none; raises :class:`Invalid` for nobody or for several."""
        for key, form in ((number, str), (name, fold)):
            wanted = draft.references.get(key)
            if wanted is None:
                continue
            found = self.customers.get(form(wanted), [])
            if len(found) == 1:
                return self.work.get(Customer, found[0].id)
            code = "unknown_customer" if not found else "ambiguous_customer"
            label = self.crm.playbook.label(f"{draft.entity}.{key}", "zh-CN")
            raise Invalid([Issue(code=code, field=f"{draft.entity}.{key}", facts={"label": label})])
        return None

    def _owner(self, draft: Draft, number: str = "customer_number", name: str = "customer_name") -> Customer:
        customer = self._named(draft, number, name)
        if customer is None:
            raise Invalid([Issue(code="required", field=f"{draft.entity}.{name}")])
        return customer

    def _same(self, cls: type[Entity], parent: str, id: str, values: Mapping[str, Any]) -> _Taken | None:
        """A record of that parent which says all that the row says: the row of an export, come back."""
        for record in self.work.find(cls, Eq(parent, id)):
            # What this batch made or matched already answers for another row that says the same.
            if (
                record.id not in self.matched
                and all(_told_alike(getattr(record, name), value) for name, value in values.items())
                and self.work.sees(record)
                and all(self.work.readable(record, name) for name in values)
            ):
                self.matched.add(record.id)
                return _Taken(record.id, known=True)
        return None

    def _made(self, id: str) -> _Taken:
        self.matched.add(id)
        return _Taken(id)

    def _customer(self, draft: Draft) -> _Taken:
        contact = dict(draft.values.get("contact", {}))
        values = dict(draft.values.get("customer", {}))
        if on_file := self.customers.get(values.get("number", "")):
            return self._on_file("customer.number", on_file[0].id, on_file[0].number)
        if contact and not contact.get("name"):
            # A telephone without a name still belongs to somebody there.
            contact["name"] = values["name"]
        try:
            return _Taken(register_customer(self.work, values, [contact] if contact else [], imported=True).id)
        except DuplicateCustomer as duplicate:
            if duplicate.details["id"] is None:
                facts = {"why": duplicate.message}
                raise Invalid([Issue(code="refused", field="customer.name", facts=facts)]) from None
            return self._on_file("customer.name", duplicate.details["id"], duplicate.details["number"])

    def _contact(self, draft: Draft) -> _Taken:
        customer, values = self._owner(draft), draft.values.get("contact", {})
        same = self._same(Contact, "customer_id", customer.id, values)
        whole = {**values, "customer_id": customer.id}
        return same or self._made(self.work.create(Contact, "contact.added", whole).id)

    def _opportunity(self, draft: Draft) -> _Taken:
        customer = self._named(draft)
        values = dict(draft.values.get("opportunity", {}))
        reference = values.get("reference")
        if reference in self.opportunities:
            return self._on_file("opportunity.reference", self.opportunities[reference], reference)
        values["name"] = values.get("name") or values.get("product") or reference
        since = values.get("closed_on") or values.get("opened_on")
        if since is not None:
            values["stage_since"] = day_start(since, self.crm.zone)
        alone = Issue(code="no_customer", field="opportunity.customer_name", level="warning")
        opened = open_opportunity(self.work, values, customer, imported=True)
        if reference:
            self.opportunities[reference] = opened.id
        return _Taken(opened.id, () if customer else (alone,))

    def _plan(self, draft: Draft) -> _Taken:
        customer, values = self._owner(draft), dict(draft.values.get("follow_up_plan", {}))
        same = self._same(FollowUpPlan, "customer_id", customer.id, values)
        return same or self._made(add_plan(self.work, customer, values, imported=True).id)

    def _follow_up(self, draft: Draft) -> _Taken:
        customer, values = self._owner(draft), dict(draft.values.get("follow_up", {}))
        same = self._same(FollowUp, "customer_id", customer.id, values)
        return same or self._made(log_follow_up(self.work, customer, values, imported=True).id)

    def _referral(self, draft: Draft) -> _Taken:
        referrer = self._owner(draft, "referrer_number", "referrer_name")
        values = draft.values.get("referral", {})
        same = self._same(Referral, "referrer_id", referrer.id, values)
        whole = {**values, "referrer_id": referrer.id}
        return same or self._made(self.work.create(Referral, "referral.made", whole).id)


_NUMBERS, _NAMES = ("customer_number", "referrer_number"), ("customer_name", "referrer_name")

_TAKERS: Mapping[str, Callable[[_Taking, Draft], _Taken]] = {
    "customer": _Taking._customer,
    "contact": _Taking._contact,
    "opportunity": _Taking._opportunity,
    "follow_up_plan": _Taking._plan,
    "follow_up": _Taking._follow_up,
    "referral": _Taking._referral,
}
