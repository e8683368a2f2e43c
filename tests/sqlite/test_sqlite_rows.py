"""Values come out of SQLite's types as they went in."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlite_samples import EPOCH, FULL, MILLISECOND, THINGS, thing

from crmcore.storage import Row
from crmcore_sqlite.rows import comparable_instant, dump_function, dump_instant, load_function, load_value

FIRST = (datetime.min.replace(tzinfo=UTC) - EPOCH) // MILLISECOND
LAST = (datetime.max.replace(tzinfo=UTC) - EPOCH) // MILLISECOND
milliseconds = st.integers(FIRST, LAST) | st.integers(-5000, 5000) | st.sampled_from([FIRST, LAST])

LOAD, DUMP = load_function(THINGS), dump_function(THINGS)


@pytest.fixture(scope="module")
def echo() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    yield connection
    connection.close()


@given(milliseconds)
def test_every_millisecond_of_the_calendar_is_exact(count: int) -> None:
    moment = EPOCH + count * MILLISECOND
    kept = DUMP(thing("a", instant=moment))
    assert kept[7] == moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    (row,) = LOAD([tuple(kept)])
    assert row[7] == moment
    assert row[7].tzinfo is UTC  # type: ignore[union-attr]


@given(
    st.builds(
        partial(thing, "a"),
        text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        integer=st.integers(-(2**63), 2**63 - 1),
        boolean=st.booleans() | st.none(),
        date=st.dates() | st.none(),
        decimal=st.decimals(allow_nan=False, allow_infinity=False) | st.none(),
    )
)
def test_rows_pass_through_sqlite_unchanged(echo: sqlite3.Connection, row: Row) -> None:
    kept = DUMP(row)
    found = echo.execute(f"SELECT {', '.join('?' * len(kept))}", tuple(kept)).fetchall()
    (back,) = LOAD(found)
    assert back == row
    assert [type(value) for value in back] == [type(value) for value in row]
    assert str(back[8]) == str(row[8])  # 1.10 stays 1.10


def test_a_collection_of_texts_and_integers_is_not_touched() -> None:
    from sqlite_samples import NOTES

    rows = [("a", 1, "b", None)]
    assert load_function(NOTES)(rows) is rows
    assert dump_function(NOTES)(rows[0]) is rows[0]


@given(st.datetimes(timezones=st.just(UTC)), milliseconds)
def test_a_finer_instant_compares_as_it_does_in_python(fine: datetime, count: int) -> None:
    near = [(fine - EPOCH) // MILLISECOND + shift for shift in (-1, 0, 1)]
    for kept in [count, *near]:
        if FIRST <= kept <= LAST:
            moment, compared = EPOCH + kept * MILLISECOND, comparable_instant(fine)
            text = dump_instant(moment)
            assert (text < compared, text == compared, text > compared) == (
                moment < fine,
                moment == fine,
                moment > fine,
            )


def test_a_comparison_may_come_in_another_zone() -> None:
    zone = timezone(timedelta(hours=8))
    assert comparable_instant(datetime(1970, 1, 1, 8, 0, 1, tzinfo=zone)) == "1970-01-01T00:00:01.000Z"
    finer = timezone(timedelta(microseconds=1))
    assert comparable_instant(datetime(1970, 1, 1, 0, 0, 1, 1, tzinfo=finer)) == "1970-01-01T00:00:01.000Z"
    first, last = (dump_instant(EPOCH + count * MILLISECOND) for count in (FIRST, LAST))
    assert comparable_instant(datetime.min.replace(tzinfo=zone)) < first
    assert comparable_instant(datetime.max.replace(tzinfo=timezone(-timedelta(hours=8)))) > last


def test_single_values_are_read_as_in_rows() -> None:
    kept = DUMP(FULL)
    for place, field in enumerate(THINGS.fields):
        read = load_value(field.type)
        assert (read(kept[place]) if read else kept[place]) == FULL[place]
    decimal = load_value("decimal")
    assert decimal is not None
    assert decimal(None) is None
    assert decimal("1.50") == Decimal("1.5")
