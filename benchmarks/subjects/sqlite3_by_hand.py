"""A subject that does by hand what the limit does: how far from 1 its ratios are is how far any ratio can be trusted."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import data
from replay import Read
from subjects.contract import Subject

COUNTER = "CREATE TABLE counter (id TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL, last INTEGER NOT NULL)"
ADD = {table: f"INSERT INTO {table.name} VALUES ({', '.join('?' * len(table.columns))})" for table in data.TABLES}
COLUMNS = ", ".join(data.CUSTOMER.columns)
ONE = f"SELECT {COLUMNS} FROM customer WHERE number = ?"
PAGE = f"SELECT {COLUMNS} FROM customer WHERE number > ? ORDER BY number LIMIT 50"


class Candidate(Subject):
    title = "sqlite3 by hand"

    def make(self, path: Path, customers: int) -> None:
        connection = sqlite3.connect(path)
        for statement in (COUNTER, *(statement for table in data.TABLES for statement in table.ddl())):
            connection.execute(statement)
        for index in range(customers):
            customer, contacts, _ = data.family(index)
            connection.execute(ADD[data.CUSTOMER], customer)
            connection.execute(ADD[data.CONTACT], contacts[0])
        connection.execute("INSERT INTO counter VALUES ('customer', 1, ?)", (customers,))
        connection.commit()
        connection.close()

    def open(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.execute = self.connection.execute
        self.execute("PRAGMA journal_mode=TRUNCATE")
        self.execute("PRAGMA synchronous=FULL")
        self.customers = self.execute("SELECT last FROM counter").fetchone()[0]

    def close(self) -> None:
        self.connection.close()

    def pragmas(self) -> Mapping[str, str]:
        return {name: str(self.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("journal_mode", "synchronous")}

    def _remember(self, serial: int, customer_id: str, before: str, after: str) -> None:
        self.execute(ADD[data.HISTORY], data.history_row(serial, customer_id, data.NOW + serial, before, after))

    def create(self, serial: int) -> str:
        customer, contacts, _ = data.family(self.customers + serial)
        self.execute("BEGIN IMMEDIATE")
        last, version = self.execute("SELECT last, version FROM counter WHERE id = 'customer'").fetchone()
        self.execute("UPDATE counter SET last = ?, version = ? WHERE id = 'customer'", (last + 1, version + 1))
        self.execute(ADD[data.CUSTOMER], customer)
        self.execute(ADD[data.CONTACT], contacts[0])
        self._remember(serial, customer[0], "", data.stage_of(serial))
        self.execute("COMMIT")
        return str(customer[0])

    def move(self, serial: int) -> str:
        customer_id, before = data.customer_id_of(serial), data.stage_of(serial)
        after = data.STAGES[(data.STAGES.index(before) + 1) % len(data.STAGES)]
        self.execute("BEGIN IMMEDIATE")
        change = "UPDATE customer SET stage = ?, updated_at = ?, version = ? WHERE id = ? AND version = ?"
        self.execute(change, (after, data.NOW + serial, 2, customer_id, 1))
        self._remember(serial, customer_id, before, after)
        self.execute("COMMIT")
        return after

    def follow_up(self, serial: int) -> str:
        row = data.family(serial)[2][0]
        self.execute("BEGIN IMMEDIATE")
        self.execute(ADD[data.FOLLOW_UP], row)
        self._remember(serial, row[2], "", "")
        self.execute("COMMIT")
        return str(row[0])

    def read(self, serial: int) -> list[Any]:
        return self.execute(ONE, (data.number_of(serial),)).fetchall()

    def page(self, serial: int) -> list[Any]:
        return self.execute(PAGE, (data.number_of(serial * 7 % (self.customers - 1)),)).fetchall()

    def by_hand(self, operation: str, serial: int) -> Sequence[Read]:
        if operation == "read":
            return [Read(ONE, (data.number_of(serial),))]
        return [Read(PAGE, (data.number_of(serial * 7 % (self.customers - 1)),))]

    def keys(self, answer: list[Any]) -> list[str]:
        return [row[0] for row in answer]
