"""A digest tells rows apart by their values, and by nothing else."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmcore.storage import Row
from crmcore.storage.digest import Digest, overall
from crmcore.testing import strategies
from crmcore.testing.kit_schema import GROUP, VALUES

ROWS = st.lists(strategies.rows(VALUES), unique_by=lambda row: row[0], max_size=6)


def digest(rows: list[Row]) -> str:
    taken = Digest(VALUES)
    assert list(taken.adding(rows)) == rows
    assert taken.count == len(rows)
    return taken.hexdigest()


@given(ROWS, st.randoms())
def test_the_order_does_not_matter(rows, random) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert digest(shuffled) == digest(rows)


@given(ROWS, ROWS)
def test_two_sets_of_rows_have_the_same_digest_only_where_they_are_the_same(one, other) -> None:
    def alike(rows: list[Row]) -> set[tuple[Row, tuple[type, ...]]]:
        return {(row, tuple(map(type, row))) for row in rows}

    assert (digest(one) == digest(other)) == (alike(one) == alike(other))


@given(strategies.rows(VALUES), st.data())
def test_one_changed_value_changes_the_digest(row, data) -> None:
    place = data.draw(st.integers(0, len(row) - 1))
    field = VALUES.fields[place]
    value = data.draw(strategies.values(field))
    changed = (*row[:place], value, *row[place + 1 :])
    assert (digest([row]) == digest([changed])) == (row[place] == value)


@pytest.mark.parametrize(("one", "other"), [("1.10", "1.1"), ("1E+2", "100"), ("-0", "0.00"), ("1E-20", "10E-21")])
def test_how_a_decimal_was_written_does_not_matter(one: str, other: str) -> None:
    plain = dict.fromkeys(VALUES.positions, None) | {"id": "1", "version": 1}
    first, second = (tuple((plain | {"decimal": Decimal(text)}).values()) for text in (one, other))
    assert digest([first]) == digest([second])


def test_where_rows_lie_counts() -> None:
    assert Digest(VALUES).hexdigest() != Digest(GROUP).hexdigest()
    assert overall({"a": "1", "b": "2"}) == overall({"b": "2", "a": "1"}) != overall({"a": "2", "b": "1"})
