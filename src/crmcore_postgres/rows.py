"""Rows on their way to the server: as parameters of a statement, or as lines of a COPY.

A million rows pass here, so each collection gets one generated function per way. What comes back is made into Python's
values by psycopg.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

from crmcore.errors import NotSupported
from crmcore.storage import Collection, FieldType, Row
from crmcore_sqlite.rows import dump_instant

Parameters: TypeAlias = Callable[[Row], list[bytes | None]]
Line: TypeAlias = Callable[[Row], str]

NULL = "\x01"
"""Stands for None in a COPY. No text of a row is a control character."""

_MOST_FRACTION = -16_383


def _decimal(value: Decimal) -> str:
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < _MOST_FRACTION:
        raise NotSupported("PostgreSQL keeps at most 16,383 digits behind the point")
    return str(value)


_SCOPE: Mapping[str, Any] = {"instant": dump_instant, "decimal": _decimal, "NULL": NULL}

_AS_PARAMETER: Mapping[FieldType, str] = {
    "text": "{}.encode()",
    "integer": "b'%d' % {}",
    "boolean": "(b't' if {} else b'f')",
    "date": "{}.isoformat().encode()",
    "instant": "instant({}).encode()",
    "decimal": "decimal({}).encode()",
}
_AS_CELL: Mapping[FieldType, str] = {
    "text": "{}",
    "integer": "{}",
    "boolean": "('t' if {} else 'f')",
    "date": "{}",
    "instant": "instant({})",
    "decimal": "decimal({})",
}


def parameters_function(collection: Collection) -> Parameters:
    """A row to the parameters of an insert, in the order of the fields."""
    taken, given = _passage(collection, _AS_PARAMETER, "None")
    return _function(f"def made(row): {taken} = row; return [{', '.join(given)}]")


def line_function(collection: Collection) -> Line:
    """A row to a line of COPY's text format, nothing escaped yet."""
    taken, given = _passage(collection, _AS_CELL, "NULL")
    return _function(f"""def made(row): {taken} = row; return f"{TAB.join(f"{{{value}}}" for value in given)}\\n" """)


TAB = "\\t"

_SPECIAL = re.compile(r"[\\\n\t\r]")
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def copy_text(collection: Collection, line: Line, rows: Sequence[Row]) -> bytes:
    """Rows in COPY's text format.

    Escaping every text costs more than all the rest. So rows are put together as they are and counted: where tabs and
    line ends are as many as there have to be, and no backslash is among them, nothing was to be escaped.
    """
    made = "".join(map(line, rows))
    count, width = len(rows), len(collection.fields)
    if "\\" in made or "\r" in made or made.count("\n") != count or made.count("\t") != count * (width - 1):
        made = "".join(line(tuple(map(_escaped, row))) for row in rows)
    return made.encode()


def _escaped(value: Any) -> Any:
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], value) if isinstance(value, str) else value


def _passage(collection: Collection, forms: Mapping[FieldType, str], null: str) -> tuple[str, list[str]]:
    """The names to take a row apart into, and what to make of each."""
    taken: list[str] = []
    given: list[str] = []
    for place, field in enumerate(collection.fields):
        name = f"v{place}"
        value = forms[field.type].format(name)
        nullable = field.nullable and place > 1
        taken.append(name)
        given.append(f"{null} if {name} is None else {value}" if nullable else value)
    return ", ".join(taken), given


def _function(source: str) -> Callable[[Any], Any]:
    scope = dict(_SCOPE)
    exec(source, scope)  # noqa: S102 - built from types and places alone
    function: Callable[[Any], Any] = scope["made"]
    return function
