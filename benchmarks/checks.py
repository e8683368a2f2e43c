"""Nobody is measured doing less: the same tables, the same settings, the same answers, the same rows afterwards."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import data
from contenders.contract import Contender, LostUpdateError

SYNCHRONOUS = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}


class DifferentError(Exception):
    """A contender did not do the same work or did not give the same answer."""


def differ(name: str, what: str) -> DifferentError:
    return DifferentError(f"{name}: {what}")


def shape(connection: sqlite3.Connection) -> set[tuple[str, ...]]:
    """The columns and the indexes of a file, without the names that a library may choose for its indexes."""
    found = set()
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        found |= {("column", table, str(row[1])) for row in connection.execute(f"PRAGMA table_info({table})")}
        for _, index, unique, *_ in connection.execute(f"PRAGMA index_list({table})").fetchall():
            columns = [str(row[2]) for row in connection.execute(f"PRAGMA index_info({index})")]
            found.add(("unique index" if unique else "index", table, *columns))
    return found


def check_shape(name: str, path: Path) -> list[str]:
    """Every column and index of :mod:`data` is there; returns what there is beyond them."""
    with closing(sqlite3.connect(":memory:")) as model, closing(sqlite3.connect(path)) as file:
        for table in data.TABLES:
            for statement in table.ddl():
                model.execute(statement)
        expected, found = shape(model), shape(file)
    if missing := sorted(expected - found):
        raise differ(name, f"its file has no {' '.join(missing[0])}")
    return [" ".join(more) for more in sorted(found - expected)]


def check_settings(name: str, contender: Contender, pragmas: Mapping[str, str]) -> None:
    """Every connection must journal and sync as it was told to."""
    seen = {"journal_mode": str(contender.setting("journal_mode")).upper()}
    seen["synchronous"] = SYNCHRONOUS[int(contender.setting("synchronous"))]
    if seen != dict(pragmas):
        raise differ(name, f"its connection has {seen}, asked were {dict(pragmas)}")


def plain_family(contender: Contender, answer: tuple[Any, Any, Any]) -> tuple[Any, ...]:
    customer, contacts, follow_ups = answer
    return (
        contender.plain(data.CUSTOMER, customer),
        sorted(contender.plain(data.CONTACT, each) for each in contacts),
        sorted(contender.plain(data.FOLLOW_UP, each) for each in follow_ups),
    )


def truth(index: int) -> tuple[Any, ...]:
    customer, contacts, follow_ups = data.family(index)
    return customer, sorted(contacts), sorted(follow_ups)


def rows_in(
    contender: Contender, path: Path, table: data.Table, rest: str = "", parameters: tuple[Any, ...] = ()
) -> list[Any]:
    """Rows as the file holds them, seen by a connection of its own: what isn't committed isn't there."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(f"SELECT {', '.join(table.columns)} FROM {table.name} {rest}", parameters).fetchall()
    return list(map(data.converter(table, contender.stored), rows))


def totals(path: Path) -> tuple[int, ...]:
    """How many rows each table holds."""
    with closing(sqlite3.connect(path)) as connection:
        return tuple(connection.execute(f"SELECT COUNT(*) FROM {table.name}").fetchone()[0] for table in data.TABLES)


def check_stored(name: str, contender: Contender, path: Path, customers: int) -> None:
    """The totals are right, and some families, the first and the last among them, are those handed in: in the file and as answered."""
    expected = (customers, customers * data.CONTACTS, customers * data.FOLLOW_UPS, 0)
    if totals(path) != expected:
        raise differ(name, f"holds {totals(path)} rows, not {expected}")
    for index in {0, customers - 1, *range(0, customers, max(1, customers // 20))}:
        key = (data.customer_id_of(index),)
        held = (
            rows_in(contender, path, data.CUSTOMER, "WHERE id = ?", key)[0],
            sorted(rows_in(contender, path, data.CONTACT, "WHERE customer_id = ?", key)),
            sorted(rows_in(contender, path, data.FOLLOW_UP, "WHERE customer_id = ?", key)),
        )
        if held != truth(index):
            raise differ(name, f"customer {index} is stored otherwise")
        if plain_family(contender, contender.aggregate(data.number_of(index))) != truth(index):
            raise differ(name, f"customer {index} came back changed")


def answers(contender: Contender, numbers: list[tuple[Any, ...]], cursors: list[tuple[Any, ...]]) -> list[Any]:
    """What a contender answers to a few calls of each reading operation, as stored rows."""
    found: list[Any] = []
    for (number,) in numbers:
        found.append(contender.plain(data.CUSTOMER, contender.get(number)))
        found.append(plain_family(contender, contender.aggregate(number)))
    for cursor in cursors:
        found.append([contender.plain(data.CUSTOMER, each) for each in contender.page(*cursor)])
    for _ in range(3):
        found.append(dict(contender.count_by_stage()))
        found.append(
            [
                contender.plain(data.FOLLOW_UP, each)
                for each in contender.overdue(contender.takes.get("instant", int)(data.NOW))
            ]
        )
    return found


def check_answers(given: Mapping[str, list[Any]], limit: str) -> None:
    """All gave the answers of the limit, none of them empty."""
    for name, found in given.items():
        for place, (answer, expected) in enumerate(zip(found, given[limit], strict=True)):
            if not answer or answer != expected:
                raise differ(name, f"answer {place} is empty or not that of the limit")


def check_updates(
    name: str, contender: Contender, path: Path, calls: list[tuple[Any, ...]], stale: tuple[Any, ...]
) -> None:
    """Each update is in the file with its version and its history row, and one that holds an old version is refused."""
    try:
        contender.update(*stale)
    except LostUpdateError:
        pass
    else:
        raise differ(name, "it took an update that holds an old version")
    if totals(path)[-1] != len(calls):
        raise differ(name, f"has {totals(path)[-1]} history rows after {len(calls)} updates")
    for index, stage, at, history in calls:
        customer = dict(zip(data.CUSTOMER.columns, data.family(index)[0], strict=True))
        expected = tuple({**customer, "stage": stage, "updated_at": at, "version": 2}.values())
        if rows_in(contender, path, data.CUSTOMER, "WHERE number = ?", (data.number_of(index),)) != [expected]:
            raise differ(name, f"customer {index} is not as updated")
        if rows_in(contender, path, data.HISTORY, "WHERE customer_id = ?", (history[2],)) != [history]:
            raise differ(name, f"the history of customer {index} is not as written")
