"""What a library does to be held against its own rows written by hand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from replay import Read


class Subject(ABC):
    """A library at work on one SQLite file. Customers are numbered 0, 1, 2 … in the order in which :meth:`make` added them."""

    title: ClassVar[str]

    @abstractmethod
    def make(self, path: Path, customers: int) -> None:
        """A new file with that many customers, each with a contact, as the library itself stores them; not measured."""

    @abstractmethod
    def open(self, path: Path) -> None:
        """Opens a copy of such a file."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of the file, everything in it."""

    @abstractmethod
    def pragmas(self) -> Mapping[str, str]:
        """How the open connection journals and syncs, asked of itself: ``journal_mode`` and ``synchronous``."""

    @abstractmethod
    def create(self, serial: int) -> Any:
        """Registers one more customer with a contact."""

    @abstractmethod
    def move(self, serial: int) -> Any:
        """Moves customer ``serial`` to its next stage."""

    @abstractmethod
    def follow_up(self, serial: int) -> Any:
        """Logs a conversation with customer ``serial``."""

    @abstractmethod
    def read(self, serial: int) -> Any:
        """Reads customer ``serial`` by its number."""

    @abstractmethod
    def page(self, serial: int) -> Any:
        """Lists 50 customers, a different page for each serial."""

    @abstractmethod
    def by_hand(self, operation: str, serial: int) -> Sequence[Read]:
        """The statements that fetch what :meth:`read` or :meth:`page` answers, written as well as one can."""

    @abstractmethod
    def keys(self, answer: Any) -> list[str]:
        """The ids of the customers in an answer of :meth:`read` or :meth:`page`: the first column of the first statement by hand."""
