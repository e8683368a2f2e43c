"""SQLAlchemy Core: tables as metadata, statements as expressions, a connection from the pool for each operation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import sqlalchemy
from sqlalchemy import BigInteger, Boolean, Column, Date, MetaData, Text, event, func, insert, select, update
from sqlalchemy.engine import Row as CoreRow

from contenders.contract import Contender, LostUpdateError, portions
from data import CONTACT, CUSTOMER, FOLLOW_UP, HISTORY, Family, Row, Table, Takes

TYPES = {"text": Text, "day": Date, "integer": BigInteger, "instant": BigInteger, "flag": Boolean}
METADATA = MetaData()


def _core(table: Table) -> sqlalchemy.Table:
    columns = [
        Column(name, TYPES[kind.rstrip("?")], primary_key=name == "id", nullable=kind.endswith("?"))
        for name, kind in table.kinds.items()
    ]
    return sqlalchemy.Table(table.name, METADATA, *columns)


customers, contacts, follow_ups, histories = (_core(table) for table in (CUSTOMER, CONTACT, FOLLOW_UP, HISTORY))


def _dicts(table: Table, rows: Iterable[Row]) -> list[dict[str, Any]]:
    return [dict(zip(table.columns, row, strict=True)) for row in rows]


class Contestant(Contender):
    title = f"SQLAlchemy {sqlalchemy.__version__} Core"
    role = "peer"
    takes: ClassVar[Takes] = {"day": date.fromisoformat, "flag": bool}

    def open(self, path: Path) -> None:
        self.engine = sqlalchemy.create_engine(f"sqlite:///{path}")

        @event.listens_for(self.engine, "connect")
        def set_pragmas(connection: Any, record: Any) -> None:
            for name, value in self.pragmas.items():
                connection.execute(f"PRAGMA {name}={value}")

    def close(self) -> None:
        self.engine.dispose()

    def setting(self, pragma: str) -> Any:
        with self.engine.connect() as connection:
            return connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one()

    def bulk(self, families: Iterable[Family]) -> None:
        with self.engine.begin() as connection:
            for some_customers, some_contacts, some_follow_ups in portions(families):
                connection.execute(insert(customers), _dicts(CUSTOMER, some_customers))
                connection.execute(insert(contacts), _dicts(CONTACT, some_contacts))
                connection.execute(insert(follow_ups), _dicts(FOLLOW_UP, some_follow_ups))

    def get(self, number: str) -> CoreRow[Any]:
        with self.engine.connect() as connection:
            return connection.execute(select(customers).where(customers.c.number == number)).one()

    def aggregate(self, number: str) -> tuple[Any, Sequence[Any], Sequence[Any]]:
        with self.engine.connect() as connection:
            customer = connection.execute(select(customers).where(customers.c.number == number)).one()
            some_contacts = connection.execute(select(contacts).where(contacts.c.customer_id == customer.id)).all()
            some_follow_ups = connection.execute(
                select(follow_ups).where(follow_ups.c.customer_id == customer.id)
            ).all()
            return customer, some_contacts, some_follow_ups

    def page(self, owner: str, stage: str, after: str) -> Sequence[CoreRow[Any]]:
        statement = (
            select(customers)
            .where(customers.c.owner == owner, customers.c.stage == stage, customers.c.number > after)
            .order_by(customers.c.number)
            .limit(50)
        )
        with self.engine.connect() as connection:
            return connection.execute(statement).all()

    def count_by_stage(self) -> Mapping[str, int]:
        statement = select(customers.c.stage, func.count()).group_by(customers.c.stage)
        with self.engine.connect() as connection:
            return dict(connection.execute(statement).tuples().all())

    def overdue(self, before: int) -> Sequence[CoreRow[Any]]:
        statement = (
            select(follow_ups)
            .where(follow_ups.c.state == "open", follow_ups.c.due_at < before)
            .order_by(follow_ups.c.due_at, follow_ups.c.id)
            .limit(100)
        )
        with self.engine.connect() as connection:
            return connection.execute(statement).all()

    def update(self, held: tuple[str, int], stage: str, at: int, history: Row) -> None:
        customer_id, version = held
        statement = (
            update(customers)
            .where(customers.c.id == customer_id, customers.c.version == version)
            .values(stage=stage, updated_at=at, version=version + 1)
        )
        with self.engine.begin() as connection:
            if connection.execute(statement).rowcount != 1:
                raise LostUpdateError
            connection.execute(insert(histories), dict(zip(HISTORY.columns, history, strict=True)))

    def plain(self, table: Table, thing: Any) -> Row:
        return tuple(value.isoformat() if isinstance(value, date) else value for value in thing)
