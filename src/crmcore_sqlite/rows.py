"""Rows as SQLite keeps them: instants and days as ISO 8601 text, a decimal as its own text.

An instant has a fixed width and stands in UTC, ``2024-05-15T08:30:00.000Z``, so its texts sort as time does and anybody
can read them; Python reads such a text three times as fast as a count of milliseconds. Decimals are no REAL: that
would go through floating point.

A million rows pass here, so each collection gets one generated function per direction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeAlias

from crmcore.storage import Collection, FieldType, Row

LoadRows: TypeAlias = Callable[[list[Any]], list[Row]]
DumpRow: TypeAlias = Callable[[Row], Sequence[Any]]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_LOADED: Mapping[FieldType, Callable[[Any], Any]] = {
    "boolean": bool,
    "date": date.fromisoformat,
    "decimal": Decimal,
    "instant": datetime.fromisoformat,
}
# isoformat() of an aware datetime takes four times as long as these.
_MINUTES = [f"T{minute // 60:02}:{minute % 60:02}:" for minute in range(1440)]
_SECONDS = [f"{second:02}." for second in range(60)]
_MILLISECONDS = [f"{millisecond:03}Z" for millisecond in range(1000)]


@lru_cache(maxsize=4096)
def _day(days: int) -> str:
    return (EPOCH.date() + timedelta(days)).isoformat()


def dump_instant(value: datetime) -> str:
    """An instant of any zone as it is kept, cut to milliseconds; raises OverflowError beyond the years 1 to 9999."""
    since = value - EPOCH
    seconds, rest = since.seconds, since.microseconds // 1000
    return f"{_day(since.days)}{_MINUTES[seconds // 60]}{_SECONDS[seconds % 60]}{_MILLISECONDS[rest]}"


def comparable_instant(value: datetime) -> str:
    """An instant of any zone to compare with: on the right side of every kept one, and equal to none if it is finer."""
    try:
        kept = dump_instant(value)
    except OverflowError:  # in UTC it lies before the year 1 or after 9999
        return "" if value.year == 1 else "~"
    return f"{kept}~" if (value - EPOCH).microseconds % 1000 else kept


_DUMPED: Mapping[FieldType, Callable[[Any], Any]] = {
    "date": date.isoformat,
    "decimal": str,
    "instant": dump_instant,
}


def load_function(collection: Collection) -> LoadRows:
    """Rows of SQLite, all columns in order, to rows of the contract."""
    taken, given, scope = _passage(collection, _LOADED)
    return _function(f"def made(rows): return [({given}) for {taken} in rows]", scope) if scope else lambda rows: rows


def dump_function(collection: Collection) -> DumpRow:
    """A row of the contract to what SQLite is given for it."""
    taken, given, scope = _passage(collection, _DUMPED)
    return _function(f"def made(row): {taken} = row; return ({given})", scope) if scope else lambda row: row


def load_value(type: FieldType) -> Callable[[Any], Any] | None:
    """How one value of that type is read; None where it is read as it is."""
    load = _LOADED.get(type)
    return None if load is None else lambda value: None if value is None else load(value)


def _passage(
    collection: Collection, changes: Mapping[FieldType, Callable[[Any], Any]]
) -> tuple[str, str, dict[str, Any]]:
    """The names to take a row apart into, the values to make another of, and the functions that this needs."""
    taken: list[str] = []
    given: list[str] = []
    scope: dict[str, Any] = {}
    for place, field in enumerate(collection.fields):
        name = value = f"v{place}"
        if field.type in changes:
            scope[field.type] = changes[field.type]
            value = f"{field.type}({name})"
            if field.nullable:
                value = f"None if {name} is None else {value}"
        taken.append(name)
        given.append(value)
    return ", ".join(taken), ", ".join(given), scope


def _function(source: str, scope: dict[str, Any]) -> Callable[[Any], Any]:
    exec(source, scope)  # noqa: S102 - built from types and places alone
    function: Callable[[Any], Any] = scope["made"]
    return function
