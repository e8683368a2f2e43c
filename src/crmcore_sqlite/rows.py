"""Rows as SQLite keeps them: an instant as milliseconds since 1970, a date as ISO text, a decimal as its own text.

A million rows pass here, so each collection gets one generated function per direction that touches only the columns
that differ. Decimals are no REAL: that would go through floating point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

from crmcore.storage import Collection, FieldType, Row

LoadRows: TypeAlias = Callable[[list[Any]], list[Row]]
DumpRow: TypeAlias = Callable[[Row], Sequence[Any]]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Up to here fromtimestamp() is exact to the millisecond, and quicker than adding to the epoch.
_EXACT_BELOW = 4_102_444_800_000  # 2100-01-01

_LOADED: Mapping[FieldType, str] = {
    "boolean": "v != 0",
    "date": "day(v)",
    "decimal": "Decimal(v)",
    "instant": f"moment(v / 1000, UTC) if 0 <= v < {_EXACT_BELOW} else EPOCH + timedelta(0, 0, 0, v)",
}
_DUMPED: Mapping[FieldType, str] = {
    "date": "v.isoformat()",
    "decimal": "str(v)",
    "instant": "(d := v - EPOCH).days * 86400000 + d.seconds * 1000 + d.microseconds // 1000",
}
_SCOPE: Mapping[str, Any] = {
    "EPOCH": EPOCH,
    "UTC": UTC,
    "Decimal": Decimal,
    "day": date.fromisoformat,
    "moment": datetime.fromtimestamp,
    "timedelta": timedelta,
}


def load_function(collection: Collection) -> LoadRows:
    """Rows of SQLite, all columns in order, to rows of the contract."""
    steps: list[str] = []
    for place, field in enumerate(collection.fields):
        if field.type == "instant":
            # An instant costs more than all the rest of a row, and many stand there twice: created and updated.
            remember = f"last, made = v, {_LOADED['instant']}"
            steps += [f"if (v := r[{place}]) is not None:", f"    if v != last: {remember}", f"    r[{place}] = made"]
        elif field.type in _LOADED:
            steps.append(f"if (v := r[{place}]) is not None: r[{place}] = {_LOADED[field.type]}")
    if not steps:
        return lambda rows: rows
    body = ["r = list(kept)", *steps, "done.append(tuple(r))"]
    return _function(
        "rows", ["done, last = [], None", "for kept in rows:", *(f"    {line}" for line in body), "return done"]
    )


def dump_function(collection: Collection) -> DumpRow:
    """A row of the contract to what SQLite is given for it."""
    steps = [
        f"if (v := r[{place}]) is not None: r[{place}] = {_DUMPED[field.type]}"
        for place, field in enumerate(collection.fields)
        if field.type in _DUMPED
    ]
    return _function("row", ["r = list(row)", *steps, "return r"]) if steps else lambda row: row


def load_value(type: FieldType) -> Callable[[Any], Any] | None:
    """How one value of that type is read; None where it is read as it is."""
    return _function("v", [f"return None if v is None else {_LOADED[type]}"]) if type in _LOADED else None


def dump_instant(value: datetime) -> float:
    """An instant to compare with. Between two milliseconds it is the half: on the right side of every kept one."""
    whole = (since := value - EPOCH) // timedelta(milliseconds=1)
    return whole + 0.5 if since.microseconds % 1000 else whole


def _function(parameter: str, body: Sequence[str]) -> Callable[[Any], Any]:
    scope = dict(_SCOPE)
    lines = [f"def made({parameter}):", *(f"    {line}" for line in body)]
    exec("\n".join(lines), scope)  # noqa: S102 - built from the lines above and places alone
    function: Callable[[Any], Any] = scope["made"]
    return function
