"""The limit: the driver alone, statements written out, tuples in and out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from contenders.contract import Contender, LostUpdateError, portions
from data import CONTACT, CUSTOMER, FOLLOW_UP, HISTORY, Family, Row, Table


def _insert(table: Table) -> str:
    return f"INSERT INTO {table.name} VALUES ({', '.join('?' * len(table.columns))})"


def _select(table: Table, rest: str) -> str:
    return f"SELECT {', '.join(table.columns)} FROM {table.name} {rest}"


BULK = [_insert(table) for table in (CUSTOMER, CONTACT, FOLLOW_UP)]
GET = _select(CUSTOMER, "WHERE number = ?")
CONTACTS_OF = _select(CONTACT, "WHERE customer_id = ?")
FOLLOW_UPS_OF = _select(FOLLOW_UP, "WHERE customer_id = ?")
PAGE = _select(CUSTOMER, "WHERE owner = ? AND stage = ? AND number > ? ORDER BY number LIMIT 50")
COUNT = "SELECT stage, COUNT(*) FROM customer GROUP BY stage"
OVERDUE = _select(FOLLOW_UP, "WHERE state = 'open' AND due_at < ? ORDER BY due_at, id LIMIT 100")
UPDATE = "UPDATE customer SET stage = ?, updated_at = ?, version = ? WHERE id = ? AND version = ?"
REMEMBER = _insert(HISTORY)
HISTORY_OF = _select(HISTORY, "WHERE customer_id = ?")


class Contestant(Contender):
    title = "raw sqlite3 (limit)"
    role = "limit"

    def open(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        for name, value in self.pragmas.items():
            self.connection.execute(f"PRAGMA {name}={value}")
        self.execute = self.connection.execute

    def close(self) -> None:
        self.connection.close()

    def setting(self, pragma: str) -> Any:
        return self.execute(f"PRAGMA {pragma}").fetchone()[0]

    def bulk(self, families: Iterable[Family]) -> None:
        self.execute("BEGIN IMMEDIATE")
        for portion in portions(families):
            for statement, rows in zip(BULK, portion, strict=True):
                self.connection.executemany(statement, rows)
        self.execute("COMMIT")

    def get(self, number: str) -> Row:
        row: Row = self.execute(GET, (number,)).fetchone()
        return row

    def aggregate(self, number: str) -> tuple[Row, list[Row], list[Row]]:
        execute = self.execute
        execute("BEGIN")
        customer = execute(GET, (number,)).fetchone()
        key = (customer[0],)
        contacts = execute(CONTACTS_OF, key).fetchall()
        follow_ups = execute(FOLLOW_UPS_OF, key).fetchall()
        execute("COMMIT")
        return customer, contacts, follow_ups

    def page(self, owner: str, stage: str, after: str) -> list[Row]:
        return self.execute(PAGE, (owner, stage, after)).fetchall()

    def count_by_stage(self) -> Mapping[str, int]:
        return dict(self.execute(COUNT).fetchall())

    def overdue(self, before: int) -> list[Row]:
        return self.execute(OVERDUE, (before,)).fetchall()

    def update(self, held: tuple[str, int], stage: str, at: int, history: Row) -> None:
        customer_id, version = held
        execute = self.execute
        execute("BEGIN IMMEDIATE")
        if execute(UPDATE, (stage, at, version + 1, customer_id, version)).rowcount != 1:
            execute("ROLLBACK")
            raise LostUpdateError
        execute(REMEMBER, history)
        execute("COMMIT")

    def plain(self, table: Table, thing: Any) -> Row:
        return tuple(thing)
