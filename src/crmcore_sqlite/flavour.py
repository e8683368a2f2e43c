"""What the SQL of SQLite is like."""

from __future__ import annotations

import sqlite3
from typing import Any, NoReturn

from sqlalchemy import Integer, Text, func, literal_column
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from crmcore_sqlite.compile import Unpushable
from crmcore_sqlite.rows import comparable_instant
from crmcore_sqlite.tables import Flavour


def _refuse(value: Any) -> NoReturn:
    raise Unpushable


_INTEGER, _TEXT = Integer(), Text()

SQLITE = Flavour(
    dialect=SQLiteDialect_pysqlite(paramstyle="qmark"),
    types={
        "text": _TEXT,
        "integer": _INTEGER,
        "boolean": _INTEGER,
        "date": _TEXT,
        "instant": _TEXT,
        "decimal": _TEXT,
    },
    adapters={"date": lambda day: day.isoformat(), "instant": comparable_instant, "decimal": _refuse},
    contains=lambda column, value: func.instr(column, value) > literal_column("0"),
    incomparable=frozenset({"decimal"}),
    nulls_lowest=True,
    most_parameters=900,  # before SQLite 3.32, 999 were allowed
    table_options={"sqlite_strict": True} if sqlite3.sqlite_version_info >= (3, 37) else {},
)
"""Texts compare byte by byte in UTF-8 (SQLite's BINARY), which is by code point."""
