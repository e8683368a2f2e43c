"""django-import-export: a resource with the checks of the model, rows found again by name, dry run off.

One model of 20 columns, without contacts, history or duties. Each row is saved by itself, as it is unless told otherwise:
``use_bulk`` can't be had here, as it doesn't find a company that stands above in the same batch, and one refused row refuses
them all.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import django
from django.conf import settings

from importers.rows import FIELDS, HEADINGS

_LONG = {"address", "main_business", "tags", "remarks"}


def take(path: Path, database: Path) -> tuple[int, int, int]:
    """New, known and rejected rows."""
    databases = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(database)}}
    settings.configure(DATABASES=databases, INSTALLED_APPS=["import_export"], USE_TZ=True)
    django.setup()
    resource, dataset = _resource(), _read(path)
    result = resource.import_data(
        dataset, dry_run=False, raise_errors=False, use_transactions=True, collect_failed_rows=False
    )
    totals = result.totals
    return totals["new"], totals["skip"], totals["error"] + totals["invalid"]


def _read(path: Path) -> Any:
    import tablib

    if path.suffix == ".csv":
        return tablib.Dataset().load(path.read_text("utf-8-sig"), format="csv")
    return tablib.Dataset().load(path.read_bytes(), format="xlsx")


def _resource() -> Any:
    from django.core.validators import EmailValidator, RegexValidator
    from django.db import connection, models
    from import_export import fields, resources, widgets

    checks: dict[str, list[Any]] = {
        "phone": [RegexValidator(r"^1\d{10}$")],
        "email": [EmailValidator()],
        "uscc": [RegexValidator(r"^[0-9A-HJ-NPQRTUWXY]{18}$"), _check_code],
        "kind": [RegexValidator("^(企业|个人)$")],
    }
    columns: dict[str, Any] = {}
    for name in FIELDS:
        if name == "first_contact_on":
            columns[name] = models.DateField()
        elif name in ("contract_amount", "annual_revenue"):
            columns[name] = models.DecimalField(max_digits=16, decimal_places=2)
        elif name == "headcount":
            columns[name] = models.IntegerField()
        elif name in _LONG:
            columns[name] = models.TextField(blank=True)
        else:
            columns[name] = models.CharField(max_length=200, unique=name == "name", validators=checks.get(name, []))
    meta = type("Meta", (), {"app_label": "import_export", "db_table": "customers"})
    model = type("BenchmarkCustomer", (models.Model,), {**columns, "Meta": meta, "__module__": __name__})
    with connection.schema_editor() as editor:
        editor.create_model(model)
    shown = dict(zip(FIELDS, HEADINGS, strict=True))
    kinds = {"first_contact_on": widgets.DateWidget("%Y-%m-%d"), "headcount": widgets.IntegerWidget()}
    kinds |= dict.fromkeys(("contract_amount", "annual_revenue"), widgets.DecimalWidget())
    taken = {
        name: fields.Field(attribute=name, column_name=shown[name], widget=kinds.get(name, widgets.CharWidget()))
        for name in FIELDS
    }
    options = {
        "model": model,
        "import_id_fields": ("name",),
        "fields": FIELDS,
        "clean_model_instances": True,
        "skip_unchanged": True,
        "report_skipped": False,
        "skip_diff": True,
    }

    def skip_row(self: Any, instance: Any, original: Any, row: Any, import_validation_errors: Any = None) -> bool:
        return instance.pk is not None  # a company that is there is left as it is

    body = {**taken, "Meta": type("Meta", (), options), "skip_row": skip_row}
    return type("CustomerResource", (resources.ModelResource,), body)()


def _check_code(text: str) -> None:
    from django.core.exceptions import ValidationError

    from importers.rows import uscc

    if uscc(int(text[8:17])) != text:
        raise ValidationError("no such code")


def stored(database: Path) -> tuple[int, int]:
    """Customers in the file; it has no contacts of their own."""
    with sqlite3.connect(database) as connection:
        return connection.execute("SELECT count(*) FROM customers").fetchone()[0], 0
