"""Taking files in: plan what would happen, see every bad cell and every difference, apply the good rows, undo what was done.

A row that was taken in once is never taken in again: its digest is kept in the same transaction as the record. So an
import that was cut off goes on where it stopped, and importing the same file again changes nothing. The events of a row
name it as their cause; the differences that a plan shows and the undoing of an import are read from them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import attrs

from crmcore.app.engine import Engine, UseCases
from crmcore.app.import_differences import RowDifference, differences
from crmcore.app.import_rows import Answer, Duplicates, Outcome, Taking, Update, placed
from crmcore.app.import_undo import ImportUndone, undo
from crmcore.app.work import Work
from crmcore.domain import ImportRun
from crmcore.domain.playbook import FIELD_KINDS
from crmcore.domain.values import fold
from crmcore.errors import DomainError, ImportRejected, Invalid, Issue, Language, NotFound
from crmcore.interchange.dates import DateOrder
from crmcore.interchange.drafts import Draft, plain_heading, read_drafts
from crmcore.interchange.headers import Header, HeaderColumn, Vocabulary, explain_no_header, find_header
from crmcore.interchange.mapping import Mapped, read_mapping
from crmcore.interchange.rejected_rows import REASON_HEADINGS, rejected_rows
from crmcore.interchange.rejections import WHOLE_FILE, reason_text, rejected
from crmcore.interchange.sheets import Sheet, read_sheets, workbooks
from crmcore.playbooks.wording import said
from crmcore.storage.query import Eq

BATCH = 250
"""Rows per transaction: few enough that others get their turn, many enough that the disk is not asked for each."""

#: What hangs on what: customers come before everything that names one.
_ORDER = ("customer", "contact", "opportunity", "follow_up_plan", "follow_up", "referral")

Progress = Callable[[int, int], None]
"""Told after each batch: rows done, rows in all."""


@attrs.frozen(kw_only=True)
class SheetPlan:
    """What one sheet of one file would bring. ``table`` is None where no header was found; ``note`` says why it brings nothing."""

    file: str
    sheet: str
    table: str | None
    header_row: int | None
    drafts: tuple[Draft, ...]
    issues: tuple[Issue, ...]
    note: str | None = None
    path: Path = attrs.field(default=Path(), repr=False)
    places: Mapping[str, int] = attrs.field(factory=dict, repr=False)
    """The column of each field, from 1."""
    reason_column: int = attrs.field(default=1, repr=False)
    """Where a copy says why a row was rejected."""

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
    """What became of one sheet. ``known`` rows were taken in before, or bring nothing to what is on file already; ``asked`` ones
    wait for an answer.
    """

    file: str
    sheet: str
    table: str | None
    created: int
    updated: int
    known: int
    asked: int
    rejected: int
    issues: tuple[Issue, ...]


@attrs.frozen(kw_only=True)
class ImportResult:
    """What became of all of them. Every row is created, updated, known, asked about or rejected; every rejection has its
    issues. ``run`` is the id under which the import can be undone; None where it took nothing in.
    """

    sheets: tuple[SheetResult, ...]
    run: str | None = attrs.field(default=None, eq=False)
    _undo: Callable[[], ImportUndone] = attrs.field(default=ImportUndone, repr=False, eq=False, alias="undo")

    def undo(self) -> ImportUndone:
        """Takes the import back; see :meth:`Imports.undo`."""
        return self._undo()

    @property
    def created(self) -> int:
        """Rows that became records."""
        return sum(sheet.created for sheet in self.sheets)

    @property
    def updated(self) -> int:
        """Rows that brought something to a record on file."""
        return sum(sheet.updated for sheet in self.sheets)

    @property
    def known(self) -> int:
        """Rows that were there already."""
        return sum(sheet.known for sheet in self.sheets)

    @property
    def asked(self) -> int:
        """Rows about something on file, of which somebody is to say what becomes of them."""
        return sum(sheet.asked for sheet in self.sheets)

    @property
    def rejected(self) -> int:
        """Rows that were left out."""
        return sum(sheet.rejected for sheet in self.sheets)

    @property
    def issues(self) -> tuple[Issue, ...]:
        """Everything found, in the order of the sheets."""
        return tuple(issue for sheet in self.sheets for issue in sheet.issues)


@attrs.frozen
class Question:
    """A row about something that is on file: of which file and sheet, and the number or reference under which it is."""

    file: str
    sheet: str
    row: int
    number: str
    digest: str = attrs.field(repr=False)


class Imports(UseCases):
    """Planning imports and undoing them, for one user."""

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
        duplicates: Duplicates = "skip",
        update: Update = "fill",
        source: str | None = None,
    ) -> ImportPlan:
        """Reads files and checks every row; stores nothing.

        ``table`` is a table of the playbook, where the header leaves a doubt; ``sheet`` names one sheet. ``mapping`` says what
        strange headers and values mean (:mod:`crmcore.interchange.mapping`). ``duplicates`` is what is done with a row about
        something on file, ``update`` how it is put together with that (:data:`crmcore.rules.updating.UPDATES`); ``source`` is
        what people call the list that the rows come from. Raises :class:`ImportRejected` for a file that can't be read or
        has no header, and where none of them has a row, naming why.
        """
        for given, known, name in ((duplicates, Duplicates, "duplicates"), (update, Update, "update")):
            if given not in get_args(known):
                raise DomainError(f"{name} is one of {', '.join(get_args(known))}")
        paths = _paths(files)
        mapped = read_mapping(mapping)
        said = {"table": table, "date_order": date_order, "currency": currency}
        mapped = read_mapping(
            {**attrs.asdict(mapped, recurse=False), **{key: value for key, value in said.items() if value}}
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
            except ImportRejected as problem:
                told = problem.message
                raise ImportRejected(problem.reason, told, part=problem.part, file=_shown(path)) from problem
            if sheet is not None:
                sheets = [found for found in sheets if found.name == sheet]
                if not sheets:
                    raise ImportRejected("no_sheet", "there is no sheet of that name", part=sheet, file=_shown(path))
            own = [self._plan_sheet(path, found, vocabularies, mapped) for found in sheets]
            if all(item.table is None for item in own):
                note = (own[0].note if own else None) or "there is no sheet with anything in it"
                named = ", ".join(item.sheet for item in own) or WHOLE_FILE
                raise ImportRejected("no_header", note, part=named, file=_shown(path))
            plans += own
        if plans and not any(item.rows for item in plans):
            empty = next(item for item in plans if item.table is not None)
            raise rejected("no_rows", part=f"{empty.sheet}!{empty.header_row}", file=empty.file)
        rank = {key: _ORDER.index(found.entity) for key, found in crm.playbook.tables.items() if found.entity in _ORDER}
        plans.sort(key=lambda item: rank.get(item.table or "", len(_ORDER)))
        return ImportPlan(self.engine, self.actor, tuple(plans), duplicates=duplicates, update=update, source=source)

    def runs(self) -> list[ImportRun]:
        """Every import that took something in, the latest first."""
        return self.listed(ImportRun, None, ("-at", "-id"))

    def undo(self, run: ImportRun | str, progress: Progress | None = None) -> ImportUndone:
        """Takes an import back: what it made goes, what it changed is as it was before.

        A record that somebody has edited since, or on which something else hangs by now, stays, and so does a field that was
        changed since; the result lists them. Numbers that were drawn are not drawn again. The rows can be taken in again
        afterwards. Can be called again, also after a crash. Raises :class:`NotFound`, and :class:`DomainError` for an import
        that is undone already.
        """
        if not isinstance(run, (str, ImportRun)):
            raise DomainError("an import is named by itself or by its id")
        wanted = run if isinstance(run, str) else run.id
        found = next(iter(self.listed(ImportRun, Eq("id", wanted))), None)
        if found is None:
            raise NotFound("there is no such import", entity="import_run")
        if found.undone_at is not None:
            raise DomainError("this import is undone already")
        return undo(self.engine, self.actor, found, progress)

    def _plan_sheet(
        self, path: Path, sheet: Sheet, vocabularies: Mapping[str, Vocabulary], mapped: Mapped
    ) -> SheetPlan:
        crm, file = self.engine, _shown(path)
        columns = {heading: field or None for heading, field in mapped.columns.items()}
        # Among tables that fit alike, the one that the sheet is called goes first.
        called = [
            key for key in vocabularies if fold(sheet.name) in map(fold, crm.playbook.tables[key].label.spellings)
        ]
        vocabularies = {key: vocabularies[key] for key in dict.fromkeys([*called, *vocabularies])}
        header = find_header(sheet, vocabularies, mapping=columns)
        if header is None:
            note = explain_no_header(sheet, vocabularies) if sheet.rows else "the sheet is blank"
            return SheetPlan(
                file=file, sheet=sheet.name, table=None, header_row=None, drafts=(), issues=(), note=note, path=path
            )
        read = read_drafts(sheet, header, crm.playbook, mapped, crm.zone, crm.plugins.normaliser)
        drafts = tuple(_follow_one_another(read))
        issues = [*_column_issues(sheet, header), *(issue for draft in drafts for issue in draft.issues)]
        return SheetPlan(
            file=file,
            sheet=sheet.name,
            table=header.table,
            header_row=header.row,
            drafts=drafts,
            issues=tuple(issues),
            note=None if drafts else reason_text("no_rows"),
            path=path,
            places={column.field: column.column for column in reversed(header.columns) if column.field},
            reason_column=next(
                (column.column for column in header.columns if column.text.strip() in REASON_HEADINGS),
                max(map(len, sheet.rows)) + 1,
            ),
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
        if column.field is None and column.text.strip() not in REASON_HEADINGS:
            yield Issue(
                code="ignored_column",
                level="warning",
                sheet=sheet.name,
                row=header.row,
                column=column.column,
                facts={"label": column.text},
            )


class ImportPlan:
    """What files would bring: look at ``sheets``, ``issues``, ``differences()`` and ``questions()``, then :meth:`apply`."""

    def __init__(
        self,
        engine: Engine,
        actor: str,
        sheets: tuple[SheetPlan, ...],
        *,
        duplicates: Duplicates = "skip",
        update: Update = "fill",
        source: str | None = None,
    ) -> None:
        self._engine, self._actor = engine, actor
        self.sheets = sheets
        self.duplicates: Duplicates = duplicates
        self.update: Update = update
        self.source = source

    @property
    def issues(self) -> tuple[Issue, ...]:
        """Everything found, in the order of the sheets."""
        return tuple(issue for sheet in self.sheets for issue in sheet.issues)

    def apply(self, progress: Progress | None = None, answers: Mapping[Question, Answer] | None = None) -> ImportResult:
        """Takes the good rows in, a batch per transaction; a bad one never takes its neighbours down.

        What is done with a row about something on file is the plan's ``duplicates``; ``answers`` say it row by row. An
        opportunity without a customer stands alone, with a warning; one whose customer is nobody's is rejected. Can be called
        again, also after a crash.
        """
        for sheet in self.sheets:
            for entity in dict.fromkeys(draft.entity for draft in sheet.drafts if draft.ready):
                self._engine.ask(entity, "import", everywhere=False)
        run = self._run()
        told = _answers(answers)
        total, done = sum(sheet.ready for sheet in self.sheets), 0
        results = []
        for sheet in self.sheets:
            counts = dict.fromkeys((*get_args(Outcome), "rejected"), 0) | {"rejected": sheet.rejected}
            issues = list(sheet.issues)
            # Conversations go in as they took place, whatever the order of the sheet: one may carry out what another planned.
            ready = sorted((draft for draft in sheet.drafts if draft.ready), key=_held_at)
            for start in range(0, len(ready), BATCH):
                batch = ready[start : start + BATCH]
                for outcome, found in self._apply_batch(run, sheet.file, batch, told):
                    counts[outcome] += 1
                    issues += (attrs.evolve(issue, column=sheet.places.get(issue.field or "")) for issue in found)
                done += len(batch)
                if progress:
                    progress(done, total)
            results.append(
                SheetResult(file=sheet.file, sheet=sheet.sheet, table=sheet.table, issues=tuple(issues), **counts)
            )
        kept = self._finish(run)
        imports = Imports(self._engine, self._actor)
        return ImportResult(
            sheets=tuple(results),
            run=run.id if kept else None,
            undo=(lambda: imports.undo(run)) if kept else ImportUndone,
        )

    def rehearse(
        self, progress: Progress | None = None, answers: Mapping[Question, Answer] | None = None
    ) -> ImportResult:
        """What :meth:`apply` would do, tried on a copy of the store in memory: stores nothing."""
        return self._on(self._engine.copied_to_memory()).apply(progress, answers)

    def write_rejected(
        self, result: ImportResult, to: Path | str, *, encoding: str | None = None, language: Language = "zh-CN"
    ) -> bool:
        """Writes a copy of the file as a workbook in which each rejected row says why and each wrong cell is red; gives whether
        any row was rejected, without which nothing is written.

        Filled right, the copy is imported as it is: the column of reasons is passed over, and the rows that were taken in, which
        it hides, are known. ``result`` is what :meth:`apply` or :meth:`rehearse` gave. Raises ValueError for a plan of
        several files, and where the copy would take the place of the file; ``MissingExtra`` without the library for workbooks.
        """
        if not isinstance(to, (str, Path)):
            raise DomainError("a copy is written to a path")
        (source,) = sources if len(sources := {sheet.path for sheet in self.sheets}) == 1 else (None,)
        if source is None:
            raise ValueError("rejected rows are written for one file at a time")
        if Path(to).exists() and Path(to).samefile(source):
            raise ValueError("the copy would take the place of the file")
        marked = []
        for sheet, outcome in zip(self.sheets, result.sheets, strict=True):
            found = rejected_rows(
                sheet.sheet,
                outcome.issues,
                (draft.row for draft in sheet.drafts),
                header_row=sheet.header_row or 1,
                column=sheet.reason_column,
                said=lambda issue: said(issue, self._engine.playbook, language),
                language=language,
            )
            if found is not None:
                marked.append(found)
        if marked:
            workbooks().write_rejected(Path(to), source, marked, encoding=encoding)
        return bool(marked)

    def differences(self, answers: Mapping[Question, Answer] | None = None) -> list[RowDifference]:
        """What each row would change, field by field, before and after: found on a copy of the store, and nothing is stored.

        Of a row that is asked about, and not answered yet, it shows what an update would change; its outcome is ``asked``.
        """
        copied, asked = self._engine.copied_to_memory(), set[str]()
        plan = self._on(copied)
        if self.duplicates == "ask":
            asked = {question.digest for question in self.questions()} - {one.digest for one in answers or ()}
            plan.duplicates = "update"
        result = plan.apply(answers=answers)
        return differences(copied, result.run, asked) if result.run else []

    def questions(self) -> list[Question]:
        """Every row that is about something on file, whatever the plan's ``duplicates`` say; nothing is stored."""
        asking = ImportPlan(
            self._engine.copied_to_memory(), self._actor, self.sheets, duplicates="ask", update=self.update
        )
        found = []
        for sheet, result in zip(self.sheets, asking.apply().sheets, strict=True):
            digests = {draft.row: draft.digest for draft in sheet.drafts}
            found += [
                Question(sheet.file, sheet.sheet, issue.row, str(issue.facts["number"]), digests[issue.row])
                for issue in result.issues
                if issue.code == "duplicate_asked" and issue.row is not None
            ]
        return found

    def _on(self, engine: Engine) -> ImportPlan:
        return ImportPlan(
            engine, self._actor, self.sheets, duplicates=self.duplicates, update=self.update, source=self.source
        )

    def _run(self) -> ImportRun:
        return ImportRun(
            id=self._engine.new_id(),
            at=self._engine.now(),
            by=self._actor,
            files=tuple(dict.fromkeys(sheet.file for sheet in self.sheets)),
            source=self.source,
            duplicates=self.duplicates,
            update=self.update,
        )

    def _finish(self, run: ImportRun) -> bool:
        """Notes when the run ended; whether it took anything in."""

        def decide(work: Work) -> bool:
            kept = work.get(ImportRun, run.id)
            if kept is not None:
                work.put(kept.replace(finished_at=work.now, version=kept.version + 1), kept, "import.finished")
            return kept is not None

        return self._engine.write(self._actor, decide)

    def _apply_batch(
        self, run: ImportRun, file: str, batch: Sequence[Draft], answers: Mapping[str, Answer]
    ) -> list[tuple[str, list[Issue]]]:
        try:
            return self._take(run, file, batch, answers)
        except DomainError:
            # Some row was refused by a rule that only the store can tell: each gets a transaction of its own.
            return [self._apply_one(run, file, draft, answers) for draft in batch]

    def _apply_one(
        self, run: ImportRun, file: str, draft: Draft, answers: Mapping[str, Answer]
    ) -> tuple[str, list[Issue]]:
        try:
            return self._take(run, file, [draft], answers)[0]
        except Invalid as invalid:
            return "rejected", [placed(issue, draft) for issue in invalid.issues]
        except DomainError as error:
            return "rejected", [placed(Issue(code="refused", field=draft.entity, facts={"why": error.code}), draft)]

    def _take(
        self, run: ImportRun, file: str, batch: Sequence[Draft], answers: Mapping[str, Answer]
    ) -> list[tuple[str, list[Issue]]]:
        def decide(work: Work) -> list[tuple[str, list[Issue]]]:
            return [*Taking(self._engine, work, run, file, batch, answers).take_all()]

        return self._engine.write(self._actor, decide)


def _answers(answers: Mapping[Question, Answer] | None) -> dict[str, Answer]:
    """The answers by the digest of the row."""
    if answers is not None and not isinstance(answers, Mapping):
        raise DomainError("answers are by question")
    found: dict[str, Answer] = {}
    for question, answer in (answers or {}).items():
        if not isinstance(question, Question) or answer not in get_args(Answer):
            raise DomainError(f"an answer is one of {', '.join(get_args(Answer))}, by its question")
        found[question.digest] = answer
    return found


def _follow_one_another(drafts: Iterable[Draft]) -> Iterator[Draft]:
    """The rows of a sheet, each that is about the customer of a row above with that row's digest: one customer, several
    people, a row for each. A customer is told by its number, else an enterprise by its name."""
    first: dict[str, str] = {}
    for draft in drafts:
        key = _customer_key(draft)
        if key is None or not draft.ready:
            yield draft
        elif key in first:
            yield attrs.evolve(draft, follows=first[key])
        else:
            first[key] = draft.digest
            yield draft


def _customer_key(draft: Draft) -> str | None:
    told = draft.values.get("customer", {})
    if draft.entity != "customer" or not told.get("name"):
        return None
    if number := told.get("number"):
        return f"number {number}"
    return f"name {fold(told['name'])}" if told.get("kind", "enterprise") == "enterprise" else None


def _shown(path: Path) -> str:
    """The name of a file as text that can be kept: what is no text in it is replaced."""
    return path.name.encode("utf-8", "replace").decode("utf-8")


def _held_at(draft: Draft) -> datetime:
    at = draft.values.get("follow_up", {}).get("at")
    return at if isinstance(at, datetime) else datetime.min.replace(tzinfo=UTC)
