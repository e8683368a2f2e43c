"""What the SQL of PostgreSQL is like.

Values go to the server as bytes: a text in binary format, so that nothing ends at a NUL, all else as people write it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Boolean, Date, DateTime, Numeric, Text, any_, func, literal_column
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql.elements import ColumnElement

from crmcore.storage import FieldType
from crmcore_sqlite.compile import Unpushable
from crmcore_sqlite.tables import Flavour, Parameter

TEXT = Text(collation="C")
_TYPES: dict[FieldType, Any] = {
    "text": TEXT,
    "integer": BigInteger(),
    "boolean": Boolean(),
    "date": Date(),
    "instant": DateTime(timezone=True),
    "decimal": Numeric(),
}
_DIALECT = PGDialect_psycopg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]

_LEAST, _MOST = -(2**63), 2**63 - 1
_MOST_DIGITS = 16_000
"""PostgreSQL keeps 16,383 digits behind the point, and more in front of it."""


def flavour_of(namespace: str) -> Flavour:
    """PostgreSQL's SQL for tables in that schema."""
    return Flavour(
        dialect=_DIALECT,
        types=_TYPES,
        adapters={
            "text": comparable_text,
            "integer": comparable_integer,
            "boolean": lambda value: b"t" if value else b"f",
            "date": comparable_date,
            "instant": comparable_instant,
            "decimal": comparable_decimal,
        },
        contains=lambda column, value: func.strpos(column, value) > literal_column("0"),
        most_parameters=20_000,  # 65,535 are allowed; a plan of so many helps nobody
        pack=packed,
        contained=_contained,
        limits_written=True,
        namespace=namespace,
    )


def _contained(column: ColumnElement[Any], parameter: Parameter) -> ColumnElement[bool]:
    return column == any_(parameter(ARRAY(column.type)))


def packed(values: Iterable[bytes]) -> bytes:
    """One parameter, an array, of values that were adapted."""
    quoted = [b'"%b"' % value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') for value in values]
    return b"{%b}" % b",".join(quoted)


# Values to compare with. Python compares any with any; what PostgreSQL can't be told is left to Python.


def comparable_text(value: str) -> bytes:
    """UTF-8; the server knows neither NUL nor lone surrogates."""
    if "\0" in value:
        raise Unpushable
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise Unpushable from None


def comparable_integer(value: int) -> bytes:
    """64 bits, and no more."""
    if _LEAST <= value <= _MOST:
        return b"%d" % value
    raise Unpushable


def comparable_date(value: date) -> bytes:
    """Every day that Python has."""
    return value.isoformat().encode()


def comparable_instant(value: datetime) -> bytes:
    """To the microsecond, in its own zone: in UTC it may lie before the year 1 or after 9999, which the server knows."""
    offset = value.utcoffset()
    if offset is None or offset.microseconds:
        raise Unpushable
    return value.isoformat().encode()


def comparable_decimal(value: Decimal) -> bytes:
    """Finite, and not longer than the server keeps them."""
    if not value.is_finite():
        raise Unpushable
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -_MOST_DIGITS or value.adjusted() > _MOST_DIGITS:
        raise Unpushable
    return str(value).encode()
