"""What a report comes to: plain tables and descriptions of charts, before anybody decides how they look.

Cells hold values, never formatted text; a cell that stands for a key (a stage, a method) keeps the key, and its column
knows what the key is called in either language.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Literal

import attrs

from crmcore.domain.policies import Label
from crmcore.domain.values import FrozenMap, Money
from crmcore.errors import Language, language_of

ColumnKind = Literal["text", "integer", "percent", "money", "date", "instant", "days"]
ChartKind = Literal["bar", "line", "pie"]
Cell = str | int | float | Money | date | datetime | None

#: Kinds whose cells are figures, set flush right.
FIGURES: frozenset[ColumnKind] = frozenset({"integer", "percent", "money", "days"})

NOT_GIVEN = Label(zh="未填写", en="(not given)")
_NO_ROWS = Label(zh="(没有记录)", en="(no rows)")


@attrs.frozen
class Column:
    """A column: ``percent`` cells are fractions of one, ``days`` may have a fraction, ``instant`` cells are aware.

    ``labels`` say what a cell's key is called, ``blank`` what an empty cell is.
    """

    key: str
    zh: str
    en: str
    kind: ColumnKind = "text"
    labels: Mapping[str, Label] = attrs.field(factory=FrozenMap, converter=FrozenMap, kw_only=True)
    blank: Label | None = attrs.field(default=None, kw_only=True)

    def title(self, language: Language = "en") -> str:
        """The heading in one language."""
        return self.zh if language_of(language) == "zh-CN" else self.en

    def named(self, cell: Cell, language: Language = "en") -> Cell:
        """The cell as a reader knows it: a key becomes its label, everything else stays."""
        if cell is None:
            return self.blank.text(language) if self.blank else None
        label = self.labels.get(cell) if self.labels and isinstance(cell, str) else None
        return label.text(language) if label else cell


@attrs.frozen
class Table:
    """Rows under columns, with notes that say how the figures were reached."""

    key: str
    zh: str
    en: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[Label, ...] = ()

    def __attrs_post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"the table {self.key} has a row that doesn't fit its columns")

    def title(self, language: Language = "en") -> str:
        """The title in one language."""
        return self.zh if language_of(language) == "zh-CN" else self.en

    def position(self, key: str) -> int:
        """Which column, counted from 0, has that key; raises KeyError."""
        for index, column in enumerate(self.columns):
            if column.key == key:
                return index
        raise KeyError(key)

    def labelled(self, key: str, labels: Mapping[str, Label]) -> Table:
        """The table with what the keys of one column are called; raises KeyError for an unknown column."""
        columns = list(self.columns)
        columns[self.position(key)] = attrs.evolve(columns[self.position(key)], labels=labels)
        return attrs.evolve(self, columns=tuple(columns))

    def records(self) -> list[dict[str, Cell]]:
        """The rows as mappings of column key to value."""
        keys = [column.key for column in self.columns]
        return [dict(zip(keys, row, strict=True)) for row in self.rows]

    def to_text(self, language: Language = "en") -> str:
        """The table for a terminal; Chinese characters count as two columns wide."""
        titles = [heading(column, currencies(self, index), language) for index, column in enumerate(self.columns)]
        shared = [len(currencies(self, index)) <= 1 for index in range(len(self.columns))]
        body = [
            [
                " ".join(cell_text(column, cell, language, bare=alone).split())
                for column, cell, alone in zip(self.columns, row, shared, strict=True)
            ]
            for row in self.rows
        ]
        widths = [max(map(display_width, texts)) for texts in zip(titles, *body, strict=True)]
        right = [column.kind in FIGURES for column in self.columns]
        rule = "  ".join("-" * width for width in widths)
        lines = [_aligned(texts, widths, right) for texts in (titles, *body)]
        shown = [self.title(language), lines[0], rule, *(lines[1:] or [_NO_ROWS.text(language)])]
        return "\n".join([*shown, *(note.text(language) for note in self.notes)])


@attrs.frozen
class Listing:
    """Rows that come one by one, for more than memory should hold."""

    key: str
    zh: str
    en: str
    columns: tuple[Column, ...]
    rows: Iterable[Sequence[Cell]]

    def title(self, language: Language = "en") -> str:
        """The title in one language."""
        return self.zh if language_of(language) == "zh-CN" else self.en


@attrs.frozen
class Chart:
    """A chart of a table: one ``category`` column against one or more ``values`` columns.

    ``first`` limits it to so many rows from the top.
    """

    key: str
    kind: ChartKind
    zh: str
    en: str
    table: str
    category: str
    values: tuple[str, ...]
    first: int | None = None

    def title(self, language: Language = "en") -> str:
        """The title in one language."""
        return self.zh if language_of(language) == "zh-CN" else self.en


def currencies(table: Table, index: int) -> tuple[str, ...]:
    """The currencies in a column, in alphabetical order; none for a column that isn't money."""
    if table.columns[index].kind != "money":
        return ()
    return tuple(sorted({cell.currency for row in table.rows if isinstance(cell := row[index], Money)}))


def heading(column: Column, found: tuple[str, ...], language: Language = "en") -> str:
    """A column's heading, with the currency where all of its cells share one."""
    return f"{column.title(language)} ({found[0]})" if len(found) == 1 else column.title(language)


def cell_text(column: Column, cell: Cell, language: Language = "en", *, bare: bool = False) -> str:
    """A cell as text. ``bare`` leaves out the currency; a moment keeps its own zone, to the minute."""
    named = column.named(cell, language)
    if named is None:
        return ""
    if isinstance(named, Money):
        return f"{named.amount:,f}" if bare else f"{named.amount:,f} {named.currency}"
    if isinstance(named, datetime):
        return named.isoformat(sep=" ", timespec="minutes")
    if isinstance(named, (int, float)):
        shape = {"percent": ".1%", "days": ",.1f"}.get(column.kind, ",")
        return format(named, shape)
    return str(named)


def display_width(text: str) -> int:
    """How many terminal columns a text takes: two for each wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    return sum(
        2 if unicodedata.east_asian_width(character) in "WF" else 0 if unicodedata.combining(character) else 1
        for character in text
    )


def last_day(until: date | None) -> date | None:
    """The last day of a period that ends before ``until``."""
    return None if until is None else until - timedelta(days=1)


def period_label(since: date | None, until: date | None) -> Label:
    """A period as people say it, both days included."""
    first, last = since or "…", last_day(until) or "…"
    return Label(zh=f"{first}至{last}", en=f"{first} to {last}")


def _aligned(texts: list[str], widths: list[int], right: list[bool]) -> str:
    parts = []
    for text, width, flush_right in zip(texts, widths, right, strict=True):
        gap = " " * (width - display_width(text))
        parts.append(gap + text if flush_right else text + gap)
    return "  ".join(parts).rstrip()


def plain(value: Any) -> Any:
    """Any result of the metrics as what JSON can say: money as amount and currency, times as ISO 8601."""
    if isinstance(value, Money):
        return {"amount": f"{value.amount:f}", "currency": value.currency}
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, Label):
        return {"zh": value.zh, "en": value.en}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if attrs.has(type(value)):
        return {field.name: plain(getattr(value, field.name)) for field in attrs.fields(type(value))}
    return value
