"""From the rows of a sheet to records in the making: every cell read by its field's kind, every bad one named.

Pure: nothing here knows a store. A draft with an error is not fit to be registered; its neighbours are.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any, cast
from zoneinfo import ZoneInfo

import attrs

from crmcore.domain import ENTITIES, Entity, Money
from crmcore.domain.entity import clean_fields
from crmcore.domain.fields import Unclean
from crmcore.domain.playbook import COMPOUND_FIELDS, DERIVED_FIELDS, FIELD_KINDS, NEEDED_FIELDS, Playbook
from crmcore.domain.values import fold
from crmcore.errors import Invalid, Issue
from crmcore.interchange.amounts import is_range
from crmcore.interchange.cells import CellKind, CellOptions, money_unit, parse
from crmcore.interchange.compounds import COMPOUNDS, Split
from crmcore.interchange.dates import infer_date_order
from crmcore.interchange.headers import Header, HeaderColumn, column_letters
from crmcore.interchange.histories import Conversation, read_history
from crmcore.interchange.mapping import Mapped
from crmcore.interchange.sheets import Cell, Sheet
from crmcore.rules.findings import contact_findings, customer_findings
from crmcore.rules.normalisation import Normaliser, PlainNormaliser, reads_phone

_TOTALS = frozenset(
    {"合计", "总计", "小计", "共计", "累计", "总合计", "本页合计", "本页小计", "subtotal", "grand total"}
)
_LONGEST_TOTAL = 20
_AMOUNT = re.compile(r"[\d.,%¥$€£\s+-]*")

BY_NAME: Mapping[str, type[Entity]] = {cls.entity: cls for cls in ENTITIES}


_PLAIN = PlainNormaliser()

#: Lists of text that are read as what they are.
_CELL_KINDS: Mapping[str, CellKind] = {"contact.phones": "phones", "contact.emails": "emails"}
_REFERENCES = frozenset({"customer_number", "customer_name", "referrer_number", "referrer_name"})
#: Columns that are no field of an entity and hold dates.
_DATED = ("customer.registered_on", "customer.history")


@attrs.frozen(kw_only=True)
class Draft:
    """One row as it would be registered.

    ``values`` holds fields per entity (a customer row brings its contact along), ``references`` what names a record that
    exists already (``customer_number``, ``customer_name``). ``digest`` is the same for the same row, wherever it stands.
    """

    table: str
    entity: str
    sheet: str
    row: int
    values: Mapping[str, Mapping[str, Any]]
    references: Mapping[str, str]
    issues: tuple[Issue, ...]
    digest: str
    history: tuple[Conversation, ...] = ()
    """Earlier conversations that a cell of the row holds (交往记录), the oldest first."""
    follows: str | None = None
    """The digest of the row above that is about the same customer: this one brings another person there."""

    @property
    def ready(self) -> bool:
        """Whether nothing but warnings is against it."""
        return all(issue.level != "error" for issue in self.issues)


@attrs.define
class _Row:
    """What is being gathered from one row."""

    number: int
    values: dict[str, dict[str, Any]]
    references: dict[str, str]
    issues: list[Issue]
    history: tuple[Conversation, ...] = ()

    def give(self, field: str, value: Any) -> None:
        """Keeps a value: lists, custom fields and remarks grow, anything else stays with the first that was given."""
        entity, _, name = field.partition(".")
        own = self.values.setdefault(entity, {})
        if name not in own:
            own[name] = value
        elif isinstance(value, tuple):
            own[name] = tuple(dict.fromkeys((*own[name], *value)))
        elif isinstance(value, dict):
            own[name] = {**own[name], **value}
        elif name == "remarks":
            own[name] = f"{own[name]}\n{value}"


def read_drafts(
    sheet: Sheet,
    header: Header,
    playbook: Playbook,
    mapped: Mapped,
    zone: ZoneInfo,
    normaliser: Normaliser = _PLAIN,
) -> list[Draft]:
    """The drafts of a sheet, blank rows left out, in order. What the normaliser finds doubtful are warnings."""
    reader = _Reader(sheet, header, playbook, mapped, zone, normaliser)
    seen: Counter[str] = Counter()
    drafts = []
    for number, cells in enumerate(sheet.rows, sheet.first_row):
        if number < header.first_data_row or all(map(_is_blank, cells)):
            continue
        drafts.append(reader.draft(number, cells, seen))
    return drafts


class _Reader:
    """Reads row after row of one sheet with what was found out about its columns once."""

    def __init__(
        self,
        sheet: Sheet,
        header: Header,
        playbook: Playbook,
        mapped: Mapped,
        zone: ZoneInfo,
        normaliser: Normaliser,
    ) -> None:
        self.normaliser = normaliser
        self.sheet, self.header, self.playbook, self.mapped, self.zone = sheet, header, playbook, mapped, zone
        self.entity = playbook.tables[header.table].entity
        known = [column for column in header.columns if column.field and column.field not in DERIVED_FIELDS]
        # A column of its own goes before what another column only implies.
        self.columns = sorted(known, key=lambda column: column.field in COMPOUND_FIELDS)
        self.own = {column.field for column in self.columns}
        self.readings = {column.column: self._reading(column) for column in self.columns}
        self.takers = [(column, column.column - 1, self._taker(column)) for column in self.columns]
        self.places = {column.field: column for column in reversed(self.columns)}
        headed = {column.column for column in header.columns}
        self.width = max(headed)
        self.left_out: set[int] = set()
        self.unheaded = [place for place in range(1, self.width) if place not in headed]

    def _reading(self, column: HeaderColumn) -> CellOptions:
        field = column.field or ""
        kind = FIELD_KINDS.get(field)
        order = None
        if (kind is not None and kind.name in ("day", "instant")) or field in _DATED:
            place = column.column - 1
            cells = [row[place] for row in self.sheet.rows if len(row) > place]
            order = self.mapped.date_order or infer_date_order(cells)
        factor, currency = money_unit(column.unit)
        return CellOptions(
            date_order=order,
            from_1904=self.sheet.from_1904,
            zone=self.zone,
            currency=currency or self.mapped.currency or self.playbook.currency,
            unit=Decimal(self.mapped.units.get(field, 1)) * factor,
            reads_phone=partial(reads_phone, self.normaliser),
        )

    def draft(self, number: int, cells: Sequence[Cell], seen: Counter[str]) -> Draft:
        row = _Row(number, {}, {}, [])
        if _is_total(cells):
            row.issues.append(Issue(code="total_row", sheet=self.sheet.name, row=number))
        else:
            self._read(row, number, cells)
        content = _canonical(self.header.table, row)
        digest = hashlib.sha256(f"{content}#{seen[content]}".encode()).hexdigest()
        seen[content] += 1
        return Draft(
            table=self.header.table,
            entity=self.entity,
            sheet=self.sheet.name,
            row=number,
            values=row.values,
            references=row.references,
            issues=tuple(row.issues),
            digest=digest,
            history=row.history,
        )

    def _read(self, row: _Row, number: int, cells: Sequence[Cell]) -> None:
        """Every cell into the row, with all that is wrong."""
        formulas, width = self.sheet.formulas, len(cells)
        for column, place, take in self.takers:
            cell = cells[place] if place < width else None
            if _is_blank(cell):
                if column.required:
                    self._report(row, column, number, "required")
                continue
            try:
                take(row, cell)
            except Unclean as problem:
                self._report(row, column, number, problem.code, **problem.facts)
            if formulas and (number, column.column) in formulas:
                self._report(row, column, number, "formula", level="warning")
        if self.unheaded or width > self.width:
            row.issues += self._unheaded(number, cells)
        row.issues += self._check(row, number)

    def _unheaded(self, number: int, cells: Sequence[Cell]) -> Iterator[Issue]:
        """What stands under no heading: in a text file a row that is too long, else each such column once."""
        beyond = range(self.width + 1, len(cells) + 1)
        filled = [
            place for place in (*self.unheaded, *beyond) if place <= len(cells) and not _is_blank(cells[place - 1])
        ]
        if not filled:
            return
        if self.sheet.delimited and filled[-1] > self.width:
            yield Issue(code="surplus_cells", sheet=self.sheet.name, row=number, column=filled[-1])
            return
        for place in filled:
            if place not in self.left_out:
                self.left_out.add(place)
                yield Issue(
                    code="unheaded_cell",
                    level="warning",
                    sheet=self.sheet.name,
                    row=number,
                    column=place,
                    facts={"label": column_letters(place)},
                )

    def _report(
        self, row: _Row, column: HeaderColumn, number: int, code: str, level: Any = "error", **facts: Any
    ) -> None:
        label = facts.pop("label", plain_heading(column.text))
        row.issues.append(
            Issue(
                code=code,
                field=column.field,
                level=level,
                sheet=self.sheet.name,
                row=number,
                column=column.column,
                facts={"label": label, **facts},
            )
        )

    def _taker(self, column: HeaderColumn) -> Callable[[_Row, Cell], None]:
        """What reads one cell of a column into a row, by the kind of its field; that raises :class:`Unclean`."""
        field, reading = column.field or "", self.readings[column.column]
        take = self._taker_of(field, reading)
        other_words = self.mapped.values.get(field)
        if not other_words:
            return take

        def take_other(row: _Row, cell: Cell) -> None:
            if isinstance(cell, str):
                cell = other_words.get(cell.strip(), cell)
                if not cell.strip():
                    return
            take(row, cell)

        return take_other

    def _taker_of(self, field: str, reading: CellOptions) -> Callable[[_Row, Cell], None]:
        entity, _, name = field.partition(".")
        if field == "customer.history":
            return lambda row, cell: self._converse(row, cell, reading)
        if field in COMPOUND_FIELDS and name in _REFERENCES:
            return lambda row, cell: row.references.__setitem__(name, str(parse("text", cell, options=reading)))
        if field in COMPOUND_FIELDS:
            return lambda row, cell: self._take_apart(row, cell, entity, COMPOUNDS[name], reading)
        if own := self.playbook.custom_fields.get(field):
            place, _, key = own.key.partition(".")
            return lambda row, cell: row.give(f"{place}.custom", {key: parse(own.kind, cell, options=reading)})
        kind = FIELD_KINDS[field]
        if self.playbook.vocabulary(field) and kind.name in ("text", "choice"):
            return lambda row, cell: row.give(
                field, self._word(field, str(parse("text", cell, options=reading)), kind.choices)
            )
        read_as = _CELL_KINDS.get(field) or cast(CellKind, kind.name)
        if read_as == "money":
            return lambda row, cell: self._take_amount(row, cell, field, reading)
        return lambda row, cell: row.give(field, parse(read_as, cell, options=reading))

    def _take_amount(self, row: _Row, cell: Cell, field: str, reading: CellOptions) -> None:
        try:
            row.give(field, parse("money", cell, options=reading))
        except Unclean:
            if not is_range(cell, reading):
                raise
            # The field holds one amount, and neither end is meant more than the other.
            entity, _, name = field.partition(".")
            row.give(f"{entity}.custom", {f"{name}_range": str(cell).strip()})
            column = self.places[field]
            self._report(row, column, row.number, "amount_range", level="warning")

    def _converse(self, row: _Row, cell: Cell, reading: CellOptions) -> None:
        read = read_history(str(parse("text", cell, options=reading)), reading.date_order, self.zone)
        row.history += read.conversations
        if read.dates_within:
            self._report(row, self.places["customer.history"], row.number, "dates_within", level="warning")
        if read.rest:
            row.give("customer.remarks", read.rest)

    def _take_apart(self, row: _Row, cell: Cell, entity: str, split: Split, reading: CellOptions) -> None:
        for target, value in split(cell, reading, self.playbook, entity):
            # What a cell only implies gives way to a column of its own, also to a blank one.
            joined = isinstance(value, (tuple, dict)) or target.endswith(".remarks")
            if joined or target not in self.own:
                row.give(target, value)

    def _word(self, field: str, text: str, fixed: tuple[str, ...]) -> str:
        """A text that has a fixed or a suggested meaning, as its key."""
        key = self.playbook.choice_key(field, text)
        if key is not None:
            return key
        if fixed or field == "customer.tier" or field.endswith(".stage"):
            allowed = [label.text("zh-CN") for label in self.playbook.vocabulary(field).values()]
            code = "unknown_stage" if field.endswith(".stage") else "bad_choice"
            raise Unclean(code, allowed=", ".join(allowed))
        return text

    def _check(self, row: _Row, number: int) -> Iterator[Issue]:
        """What is wrong with the row as a whole: fields of each entity, and what the playbook requires of a customer."""
        reported = {issue.field for issue in row.issues if issue.level == "error"}
        for entity, values in row.values.items():
            for issue in _entity_issues(BY_NAME[entity], values):
                if issue.field not in reported:
                    yield self._placed(issue, number)
        for issue in self._findings(row.values):
            if issue.field not in reported:
                yield self._placed(issue, number)
        own = row.values.get(self.entity, {})
        needed = [
            (f"{self.entity}.{group[0]}", any(own.get(name) for name in group)) for group in NEEDED_FIELDS[self.entity]
        ]
        for field in self.playbook.required_fields(self.entity, own):
            dotted = field if "." in field else f"{self.entity}.{field}"
            entity, _, name = dotted.partition(".")
            given = row.values.get(entity, {})
            needed.append((dotted, given.get(name, given.get("custom", {}).get(name)) not in (None, (), "")))
        for dotted in dict.fromkeys(field for field, given in needed if not given):
            if dotted not in reported:
                yield self._placed(Issue(code="required", field=dotted), number)

    def _findings(self, values: Mapping[str, Mapping[str, Any]]) -> list[Issue]:
        """What is doubtful of the row."""
        contact = values.get("contact", {})
        if self.entity == "customer":
            return customer_findings(values.get("customer", {}), [contact], self.playbook, self.normaliser)
        return contact_findings(contact, self.normaliser)

    def _placed(self, issue: Issue, number: int) -> Issue:
        column = self.places.get(issue.field)
        label = plain_heading(column.text) if column else self.playbook.label(issue.field or "", "zh-CN")
        return attrs.evolve(
            issue,
            sheet=self.sheet.name,
            row=number,
            column=column.column if column else None,
            facts={"label": label, **issue.facts},
        )


def _is_blank(cell: Cell) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _is_total(cells: Sequence[Cell]) -> bool:
    """Whether the row sums up what stands above it: the word for that, and nothing but numbers beside it."""
    filled = (cell for cell in cells if not _is_blank(cell))
    first = next(filled)
    if not isinstance(first, str) or len(first) > _LONGEST_TOTAL or fold(first).rstrip(":：") not in _TOTALS:
        return False
    return all(not isinstance(cell, str) or _AMOUNT.fullmatch(cell) for cell in filled)


def plain_heading(text: str) -> str:
    """A heading without its required marks, as it is called in a message."""
    return text.replace("*", "").replace("*", "").strip()


def _entity_issues(cls: type[Entity], values: Mapping[str, Any]) -> Iterable[Issue]:
    try:
        clean_fields(cls, values)
    except Invalid as invalid:
        return invalid.issues
    return ()


def _canonical(table: str, row: _Row) -> str:
    told = [table, row.values, row.references, *map(attrs.astuple, row.history)]
    return json.dumps(told, sort_keys=True, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, Money):
        return [value.minor, value.currency]
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    raise TypeError(type(value).__name__)
