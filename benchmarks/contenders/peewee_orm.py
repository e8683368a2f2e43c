"""peewee: models, ``insert_many`` in batches of a hundred rows as its documentation advises, back-references for children."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import peewee
from peewee import SQL, chunked, fn

from contenders.contract import Contender, LostUpdateError, portions
from data import CONTACT, CUSTOMER, FOLLOW_UP, HISTORY, TABLES, Family, Row, Table, Takes

FIELDS = {
    "text": peewee.TextField,
    "day": peewee.DateField,
    "integer": peewee.BigIntegerField,
    "instant": peewee.BigIntegerField,
    "flag": peewee.BooleanField,
}
database = peewee.SqliteDatabase(None)


def _model(name: str, table: Table, children: str | None = None) -> Any:
    fields: dict[str, Any] = {}
    for column, kind in table.kinds.items():
        if column == "customer_id":
            fields["customer"] = peewee.ForeignKeyField(Customer, backref=children, column_name=column, index=False)
        else:
            fields[column] = FIELDS[kind.rstrip("?")](primary_key=column == "id", null=kind.endswith("?"))
    meta = type("Meta", (), {"database": database, "table_name": table.name})
    return type(name, (peewee.Model,), {**fields, "Meta": meta})


Customer = _model("Customer", CUSTOMER)
Contact = _model("Contact", CONTACT, "contacts")
FollowUp = _model("FollowUp", FOLLOW_UP, "follow_ups")
History = _model("History", HISTORY, "history")


class Contestant(Contender):
    title = f"peewee {peewee.__version__}"
    role = "peer"
    takes: ClassVar[Takes] = {"day": date.fromisoformat, "flag": bool}
    models: ClassVar[Mapping[str, Any]] = {
        table.name: model for table, model in zip(TABLES, (Customer, Contact, FollowUp, History), strict=True)
    }

    def open(self, path: Path) -> None:
        database.init(str(path), pragmas=dict(self.pragmas))
        database.connect()

    def close(self) -> None:
        database.close()

    def setting(self, pragma: str) -> Any:
        return database.pragma(pragma)

    def bulk(self, families: Iterable[Family]) -> None:
        with database.atomic():
            for portion in portions(families):
                for model, rows in zip((Customer, Contact, FollowUp), portion, strict=True):
                    for batch in chunked(rows, 100):
                        model.insert_many(batch, fields=model._meta.sorted_fields).execute()

    def get(self, number: str) -> Any:
        return Customer.get(Customer.number == number)

    def aggregate(self, number: str) -> tuple[Any, Sequence[Any], Sequence[Any]]:
        customer = Customer.get(Customer.number == number)
        return customer, list(customer.contacts), list(customer.follow_ups)

    def page(self, owner: str, stage: str, after: str) -> Sequence[Any]:
        found = Customer.select().where(
            (Customer.owner == owner) & (Customer.stage == stage) & (Customer.number > after)
        )
        return list(found.order_by(Customer.number).limit(50))

    def count_by_stage(self) -> Mapping[str, int]:
        return dict(Customer.select(Customer.stage, fn.COUNT(SQL("*"))).group_by(Customer.stage).tuples())

    def overdue(self, before: int) -> Sequence[Any]:
        found = FollowUp.select().where((FollowUp.state == "open") & (FollowUp.due_at < before))
        return list(found.order_by(FollowUp.due_at, FollowUp.id).limit(100))

    def update(self, held: tuple[str, int], stage: str, at: int, history: Row) -> None:
        customer_id, version = held
        with database.atomic():
            change = Customer.update(stage=stage, updated_at=at, version=version + 1)
            if change.where((Customer.id == customer_id) & (Customer.version == version)).execute() != 1:
                raise LostUpdateError
            History.create(**dict(zip(HISTORY.columns, history, strict=True)))

    def plain(self, table: Table, thing: Any) -> Row:
        values = (getattr(thing, column) for column in table.columns)
        return tuple(value.isoformat() if isinstance(value, date) else value for value in values)
