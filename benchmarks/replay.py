"""The limit of a use case: the rows that a library wrote, written again by prepared statements and nothing else.

What an operation writes is found by looking at the file before and after it, so it can't be described wrongly: the
difference is a list of writes, and writing these into a copy of the first file gives exactly the second.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = tuple[Any, ...]
Statement = tuple[str, Row]


@dataclass(frozen=True)
class Layout:
    """A table as the file's own schema describes it: its columns, and those that tell its rows apart."""

    table: str
    columns: tuple[str, ...]
    key: tuple[str, ...]

    def key_of(self, row: Row) -> Row:
        return tuple(row[self.columns.index(column)] for column in self.key)


@dataclass(frozen=True)
class Insert:
    """A row that was not there before."""

    layout: Layout
    row: Row

    def statement(self) -> Statement:
        marks = ", ".join("?" * len(self.row))
        return f"INSERT INTO {self.layout.table} ({', '.join(self.layout.columns)}) VALUES ({marks})", self.row


@dataclass(frozen=True)
class Update:
    """A row of which some columns changed. Where ``version`` is one of them, the version before is checked."""

    layout: Layout
    before: Row
    after: Row

    def statement(self) -> Statement:
        names, columns = self.layout.key, self.layout.columns
        places = [place for place in range(len(columns)) if self.before[place] != self.after[place]]
        changed = [columns[place] for place in places]
        tested = [*names, *(["version"] if "version" in changed else [])]
        text = f"UPDATE {self.layout.table} SET {', '.join(f'{column} = ?' for column in changed)}"
        text += f" WHERE {' AND '.join(f'{column} = ?' for column in tested)}"
        return text, (
            *(self.after[place] for place in places),
            *(self.before[columns.index(column)] for column in tested),
        )


@dataclass(frozen=True)
class Delete:
    """A row that is no longer there."""

    layout: Layout
    row: Row

    def statement(self) -> Statement:
        text = f"DELETE FROM {self.layout.table} WHERE {' AND '.join(f'{column} = ?' for column in self.layout.key)}"
        return text, self.layout.key_of(self.row)


Write = Insert | Update | Delete


@dataclass(frozen=True)
class Read:
    """A statement of a reading operation."""

    sql: str
    parameters: Row = ()


Contents = dict[Layout, dict[Row, Row]]


def layouts(connection: sqlite3.Connection) -> list[Layout]:
    """The tables of a file, read from the schema that is stored in it."""
    found = []
    tables = (
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
    )
    for (table,) in connection.execute(tables).fetchall():
        described = connection.execute(f'PRAGMA table_info("{table}")').fetchall()
        columns = tuple(f'"{row[1]}"' if row[1] != "version" else "version" for row in described)
        key = tuple(
            column
            for column, row in sorted(zip(columns, described, strict=True), key=lambda pair: pair[1][5])
            if row[5]
        )
        found.append(Layout(f'"{table}"', columns if key else ("rowid", *columns), key or ("rowid",)))
    return found


def contents(path: Path) -> Contents:
    """Every row of a file, by table and key."""
    connection = sqlite3.connect(path)
    found: Contents = {}
    for layout in layouts(connection):
        rows = connection.execute(f"SELECT {', '.join(layout.columns)} FROM {layout.table}")
        found[layout] = {layout.key_of(row): row for row in rows}
    connection.close()
    return found


def difference(before: Contents, after: Contents) -> list[Write]:
    """The writes that lead from one to the other."""
    writes: list[Write] = []
    for layout, rows in after.items():
        known = before[layout]
        for key, row in rows.items():
            if key not in known:
                writes.append(Insert(layout, row))
            elif row != known[key]:
                writes.append(Update(layout, known[key], row))
        writes += [Delete(layout, row) for key, row in known.items() if key not in rows]
    return writes


def capture(path: Path, operate: Callable[[int], Any], serials: Iterable[int]) -> list[list[Write]]:
    """What each call of an operation writes to the file."""
    captured, before = [], contents(path)
    for serial in serials:
        operate(serial)
        after = contents(path)
        captured.append(difference(before, after))
        before = after
    return captured


def described(writes: Sequence[Write]) -> str:
    """The writes of one call in words, without their values."""
    words: dict[str, int] = {}
    for write in writes:
        name = f"{type(write).__name__.lower()} {write.layout.table.strip(chr(34))}"
        words[name] = words.get(name, 0) + 1
    return ", ".join(name if count == 1 else f"{count} x {name}" for name, count in words.items()) or "nothing"


class Limit:
    """The driver alone on a copy of the library's file."""

    def __init__(self, path: Path, pragmas: Mapping[str, str]) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        for name, value in pragmas.items():
            self.connection.execute(f"PRAGMA {name}={value}")
        self.execute = self.connection.execute

    def write(self, *statements: Statement) -> None:
        """One call's rows, in one transaction."""
        execute = self.execute
        execute("BEGIN IMMEDIATE")
        for text, parameters in statements:
            if execute(text, parameters).rowcount != 1:
                raise LookupError("a statement of the limit did not change exactly one row")
        execute("COMMIT")

    def read(self, *reads: Read) -> list[list[Row]]:
        """The rows of each statement, in one transaction where there are several."""
        execute = self.execute
        if len(reads) == 1:
            return [execute(reads[0].sql, reads[0].parameters).fetchall()]
        execute("BEGIN")
        found = [execute(read.sql, read.parameters).fetchall() for read in reads]
        execute("COMMIT")
        return found

    def close(self) -> None:
        self.connection.close()
