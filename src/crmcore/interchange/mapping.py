"""What a user says about a file whose headers or values are strange: an explicit mapping, in a small TOML file.

.. code-block:: toml

    table = "customers"          # which sheet of the playbook it is
    date_order = "dmy"           # how 03/04/2024 is meant
    currency = "USD"             # what a bare amount is in

    [columns]                    # header, or column letter, to field; "" leaves the column out
    "Acct" = "customer.name"
    "F" = "contact.phones"

    [units]                      # amounts are in these units: here in millions
    "customer.annual_revenue" = 1000000

    [values."opportunity.product"]   # cell to value
    "GTXPro" = "GTX Pro"
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import attrs

from crmcore.domain.values import FrozenMap
from crmcore.errors import ImportRejected
from crmcore.interchange.dates import DateOrder

_CURRENCY = re.compile(r"[A-Z]{3}")
DATE_ORDERS = get_args(DateOrder)


@attrs.frozen(kw_only=True)
class Mapped:
    """A mapping as read; empty where the file speaks for itself."""

    table: str | None = None
    date_order: DateOrder | None = None
    currency: str | None = None
    columns: Mapping[str, str] = FrozenMap()
    units: Mapping[str, int] = FrozenMap()
    values: Mapping[str, Mapping[str, str]] = FrozenMap()


_SHAPES: Mapping[str, type] = {
    "table": str,
    "date_order": str,
    "currency": str,
    "columns": dict,
    "units": dict,
    "values": dict,
}


def read_mapping(source: Path | str | Mapping[str, Any] | None) -> Mapped:
    """A mapping from a TOML file or from the same as a mapping. Raises :class:`ImportRejected` naming all that is wrong."""
    if source is None:
        return Mapped()
    if isinstance(source, Mapping):
        data: dict[str, Any] = {
            key: dict(value) if isinstance(value, Mapping) else value
            for key, value in source.items()
            if value is not None
        }
    elif not isinstance(source, (str, Path)):
        raise ImportRejected("bad_mapping", "a mapping is a mapping, or the path of a TOML file")
    else:
        try:
            data = tomllib.loads(Path(source).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ImportRejected("bad_mapping", f"the mapping can't be read: {error}") from error
    problems = [f"{key} is not known; there are {', '.join(_SHAPES)}" for key in data if key not in _SHAPES]
    problems += [
        f"{key} must be {'text' if shape is str else 'a table'}"
        for key, shape in _SHAPES.items()
        if key in data and not isinstance(data[key], shape)
    ]
    if not problems:
        problems = _contents(data)
    if problems:
        raise ImportRejected("bad_mapping", "the mapping can't be used: " + "; ".join(problems))
    return Mapped(**data)


def _contents(data: Mapping[str, Any]) -> list[str]:
    problems = []
    if data.get("date_order", "ymd") not in DATE_ORDERS:
        problems.append(f"date_order must be one of {', '.join(DATE_ORDERS)}")
    currency = data.get("currency")
    if currency is not None and not _CURRENCY.fullmatch(currency):
        problems.append("currency must be three capital letters (ISO 4217)")
    problems += [
        f"columns: {key} must name a field"
        for key, field in data.get("columns", {}).items()
        if not isinstance(field, str)
    ]
    problems += [
        f"units: {key} must be a whole number from 1 up"
        for key, unit in data.get("units", {}).items()
        if type(unit) is not int or unit < 1
    ]
    problems += [
        f"values: {field} must be a table of texts"
        for field, words in data.get("values", {}).items()
        if not isinstance(words, dict) or not all(isinstance(word, str) for word in words.values())
    ]
    return problems
