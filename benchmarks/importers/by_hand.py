"""pandas with calamine, and raw ``sqlite3``: what one writes by hand for this one file. Whole columns are checked at once.

It reads, checks required, phone, e-mail, code, choice, date and amounts, drops rows of companies that are there, and
writes two tables in one transaction. No history, no duties, no reasons by cell.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pandas

from importers.rows import FIELDS, HEADINGS

_WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
_CODE = {sign: value for value, sign in enumerate("0123456789ABCDEFGHJKLMNPQRTUWXY")}
_CONTACT = ("contact", "title", "phone", "email", "wechat")
_CUSTOMER = tuple(field for field in FIELDS if field not in _CONTACT)


def _is_code(text: str) -> bool:
    if len(text) != 18 or any(sign not in _CODE for sign in text):
        return False
    return sum(_CODE[sign] * weight for sign, weight in zip(text, (*_WEIGHTS, 1), strict=True)) % 31 == 0


def take(path: Path, database: Path) -> tuple[int, int, int]:
    """New, known and rejected rows."""
    if path.suffix == ".csv":
        frame = pandas.read_csv(path, dtype=str, encoding="utf-8-sig")
    else:
        frame = pandas.read_excel(path, dtype=str, engine="calamine")
    frame = frame.rename(columns=dict(zip(HEADINGS, FIELDS, strict=True)))
    for field in FIELDS:
        frame[field] = frame[field].str.strip()
    day = pandas.to_datetime(frame["first_contact_on"], errors="coerce", format="ISO8601")
    amount = pandas.to_numeric(frame["contract_amount"], errors="coerce")
    revenue = pandas.to_numeric(frame["annual_revenue"], errors="coerce")
    people = pandas.to_numeric(frame["headcount"], errors="coerce")
    good = (
        frame["name"].notna()
        & frame["kind"].isin(["企业", "个人"])
        & frame["phone"].str.fullmatch(r"1\d{10}")
        & frame["email"].str.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+")
        & frame["uscc"].map(_is_code)
        & day.notna() & amount.notna() & revenue.notna() & people.notna()
    )  # fmt: skip
    frame["first_contact_on"] = day.dt.strftime("%Y-%m-%d")
    frame["contract_amount"] = (amount * 1_000_000).round()
    frame["annual_revenue"] = (revenue * 100).round()
    frame["headcount"] = people
    rejected = int((~good).sum())
    frame = frame[good]
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"CREATE TABLE customers (id INTEGER PRIMARY KEY, {', '.join(_CUSTOMER)})")
        connection.execute(
            f"CREATE TABLE contacts (id INTEGER PRIMARY KEY, customer_id INTEGER, {', '.join(_CONTACT)})"
        )
        connection.execute("CREATE UNIQUE INDEX customer_name ON customers (name)")
        connection.execute("CREATE INDEX contact_customer ON contacts (customer_id)")
        there = {name for (name,) in connection.execute("SELECT name FROM customers")}
        fresh = frame[~frame["name"].isin(there) & ~frame["name"].duplicated()]
        ids = range(1, len(fresh) + 1)
        _insert(
            connection, "customers", ("id", *_CUSTOMER), zip(ids, *(fresh[field] for field in _CUSTOMER), strict=True)
        )
        contacts = zip(ids, ids, *(fresh[field] for field in _CONTACT), strict=True)
        _insert(connection, "contacts", ("id", "customer_id", *_CONTACT), contacts)
    return len(fresh), len(frame) - len(fresh), rejected


def _insert(connection: sqlite3.Connection, table: str, fields: tuple[str, ...], found: object) -> None:
    marks = ", ".join("?" * len(fields))
    connection.executemany(f"INSERT INTO {table} ({', '.join(fields)}) VALUES ({marks})", found)  # type: ignore[arg-type]


def stored(database: Path) -> tuple[int, int]:
    """Customers and contacts in the file."""
    with sqlite3.connect(database) as connection:
        return tuple(
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("customers", "contacts")
        )  # type: ignore[return-value]
