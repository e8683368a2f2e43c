"""What a contender does. Every method does its work the way the library's own documentation does it."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Literal

from data import TABLES, Family, Row, Table, Takes

Portion = tuple[list[Row], list[Row], list[Row]]


class Contender(ABC):
    """One way to keep the rows of :mod:`data` in a SQLite file. One instance has at most one file open."""

    title: ClassVar[str]
    role: ClassVar[Literal["limit", "peer", "own"]]
    own_schema: ClassVar[bool] = False
    """Whether :meth:`prepare` makes its own tables; their shape is then held against that of :mod:`data`."""
    takes: ClassVar[Takes] = {}
    """The values it wants in rows and arguments, where they differ from the stored ones; made outside the measured time."""
    stored: ClassVar[Takes] = {}
    """Where its own tables keep values otherwise than :mod:`data` says: how to read them back for the checks, by kind."""

    @classmethod
    def refuses(cls, pragmas: Mapping[str, str]) -> str | None:
        """Why it can't run with these pragmas; None where it can."""
        return None

    def __init__(self, pragmas: Mapping[str, str]) -> None:
        self.pragmas = pragmas

    def prepare(self, path: Path) -> None:
        """Makes the empty tables in a new file; not measured."""
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute(f"PRAGMA journal_mode={self.pragmas['journal_mode']}")
        for table in TABLES:
            for statement in table.ddl():
                connection.execute(statement)
        connection.close()

    @abstractmethod
    def open(self, path: Path) -> None:
        """Connects to a prepared file with the given pragmas."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of the file."""

    @abstractmethod
    def setting(self, pragma: str) -> Any:
        """A pragma as this library's own connection sees it."""

    @abstractmethod
    def bulk(self, families: Iterable[Family]) -> None:
        """Inserts all, in one transaction."""

    @abstractmethod
    def get(self, number: str) -> Any:
        """The customer with this number."""

    @abstractmethod
    def aggregate(self, number: str) -> tuple[Any, Sequence[Any], Sequence[Any]]:
        """The customer with its contacts and its follow-ups."""

    @abstractmethod
    def page(self, owner: str, stage: str, after: str) -> Sequence[Any]:
        """The next 50 customers of an owner in a stage, by number."""

    @abstractmethod
    def count_by_stage(self) -> Mapping[str, int]:
        """How many customers are in each stage."""

    @abstractmethod
    def overdue(self, before: Any) -> Sequence[Any]:
        """The 100 open follow-ups that have been due longest, those due at the same moment by id."""

    def hold(self, customer_id: str, number: str) -> Any:
        """What a program holds of a customer that it is about to change; not measured."""
        return customer_id, 1

    @abstractmethod
    def update(self, held: Any, stage: str, at: Any, history: Row) -> None:
        """Sets stage, updated_at and version and adds the history row, in one durable transaction.

        Raises LostUpdateError, and leaves nothing behind, where the version is no longer the one held.
        """

    @abstractmethod
    def plain(self, table: Table, thing: Any) -> Row:
        """What a read returned, as the row that is stored; not measured."""


class LostUpdateError(Exception):
    """The version was no longer the one held."""


def portions(families: Iterable[Family], size: int = 1000) -> Iterator[Portion]:
    """Families taken together by table, ``size`` customers at a time."""
    remaining = iter(families)
    while taken := list(islice(remaining, size)):
        yield (
            [customer for customer, _, _ in taken],
            [contact for _, contacts, _ in taken for contact in contacts],
            [follow_up for _, _, follow_ups in taken for follow_up in follow_ups],
        )
