"""The Django ORM: model objects in and out, ``bulk_create``, ``prefetch_related``, ``filter(...).update(...)``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import django
from django.conf import settings

from contenders.contract import Contender, LostUpdateError, portions
from data import CONTACT, CUSTOMER, FOLLOW_UP, HISTORY, TABLES, Family, Row, Table, Takes

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": ":memory:",
            "OPTIONS": {"transaction_mode": "IMMEDIATE"},
        }
    },
    INSTALLED_APPS=[],
    USE_TZ=True,
)
django.setup()

from django.db import connection, models, transaction  # noqa: E402 - models need the settings above

FIELDS = {
    "text": models.TextField,
    "day": models.DateField,
    "integer": models.BigIntegerField,
    "instant": models.BigIntegerField,
    "flag": models.BooleanField,
}


def _model(name: str, table: Table, children: str | None = None) -> Any:
    fields: dict[str, Any] = {}
    for column, kind in table.kinds.items():
        if column == "customer_id":
            fields["customer"] = models.ForeignKey(
                Customer,
                models.CASCADE,
                related_name=children,
                db_constraint=False,
                db_index=False,
            )
        else:
            fields[column] = FIELDS[kind.rstrip("?")](primary_key=column == "id", null=kind.endswith("?"))
    meta = type("Meta", (), {"app_label": "benchmark", "db_table": table.name, "managed": False})
    return type(name, (models.Model,), {**fields, "Meta": meta, "__module__": __name__})


Customer = _model("Customer", CUSTOMER)
Contact = _model("Contact", CONTACT, "contacts")
FollowUp = _model("FollowUp", FOLLOW_UP, "follow_ups")
History = _model("History", HISTORY, "history")


class Contestant(Contender):
    title = f"Django {django.__version__} ORM"
    role = "peer"
    takes: ClassVar[Takes] = {"day": date.fromisoformat, "flag": bool}
    models: ClassVar[Mapping[str, Any]] = {
        table.name: model for table, model in zip(TABLES, (Customer, Contact, FollowUp, History), strict=True)
    }

    def open(self, path: Path) -> None:
        connection.close()
        connection.settings_dict["NAME"] = str(path)
        commands = [f"PRAGMA {name}={value}" for name, value in self.pragmas.items()]
        connection.settings_dict["OPTIONS"]["init_command"] = ";".join(commands)
        connection.ensure_connection()

    def close(self) -> None:
        connection.close()

    def setting(self, pragma: str) -> Any:
        with connection.cursor() as cursor:
            return cursor.execute(f"PRAGMA {pragma}").fetchone()[0]

    def bulk(self, families: Iterable[Family]) -> None:
        with transaction.atomic():
            for customers, contacts, follow_ups in portions(families):
                Customer.objects.bulk_create([Customer(*row) for row in customers])
                Contact.objects.bulk_create([Contact(*row) for row in contacts])
                FollowUp.objects.bulk_create([FollowUp(*row) for row in follow_ups])

    def get(self, number: str) -> Any:
        return Customer.objects.get(number=number)

    def aggregate(self, number: str) -> tuple[Any, Sequence[Any], Sequence[Any]]:
        customer = Customer.objects.prefetch_related("contacts", "follow_ups").get(number=number)
        return customer, list(customer.contacts.all()), list(customer.follow_ups.all())

    def page(self, owner: str, stage: str, after: str) -> Sequence[Any]:
        return list(Customer.objects.filter(owner=owner, stage=stage, number__gt=after).order_by("number")[:50])

    def count_by_stage(self) -> Mapping[str, int]:
        return dict(Customer.objects.values_list("stage").annotate(count=models.Count("*")))

    def overdue(self, before: int) -> Sequence[Any]:
        return list(FollowUp.objects.filter(state="open", due_at__lt=before).order_by("due_at", "id")[:100])

    def update(self, held: tuple[str, int], stage: str, at: int, history: Row) -> None:
        customer_id, version = held
        with transaction.atomic():
            current = Customer.objects.filter(id=customer_id, version=version)
            if current.update(stage=stage, updated_at=at, version=version + 1) != 1:
                raise LostUpdateError
            History(*history).save(force_insert=True)

    def plain(self, table: Table, thing: Any) -> Row:
        values = (getattr(thing, column) for column in table.columns)
        return tuple(value.isoformat() if isinstance(value, date) else value for value in values)
