"""What a query may say, and page marks that travel as text."""

import base64
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmcore.errors import QueryError
from crmcore.storage import (
    And,
    Between,
    Contains,
    Eq,
    Ge,
    Gt,
    In,
    IsNull,
    Le,
    Lt,
    Ne,
    Not,
    Or,
    Prefix,
    Query,
    Row,
    Where,
    decode_place,
    encode_place,
    place_of,
)
from crmcore.storage.query import check_query, check_where, with_order
from crmcore.testing import SCHEMA, strategies
from crmcore.testing.kit_schema import FIELD_TYPES, VALUES

OF_TYPE: dict[str, Any] = {
    "text": "a",
    "integer": 1,
    "boolean": True,
    "date": date(2024, 1, 1),
    "instant": datetime(2024, 1, 1, tzinfo=UTC),
    "decimal": Decimal(1),
}


@given(query=strategies.queries(VALUES))
def test_what_the_strategies_draw_is_allowed(query: Query) -> None:
    assert check_query(query, SCHEMA) is VALUES


@pytest.mark.parametrize("type", FIELD_TYPES)
def test_a_field_is_compared_with_its_own_type_only(type: str) -> None:
    for other, value in {**OF_TYPE, "none": None, "float": 1.0, "bytes": b"a"}.items():
        conditions: list[Where] = [kind(type, value) for kind in (Eq, Ne, Lt, Le, Gt, Ge)]  # type: ignore[arg-type]
        conditions += [
            In(type, [OF_TYPE[type], value]),
            Between(type, OF_TYPE[type], value),
            Between(type, value, OF_TYPE[type]),
        ]  # type: ignore[list-item, arg-type]
        for where in conditions:
            for tree in (where, Not(where), And(IsNull("id"), where), Or(where)):
                if other == type:
                    check_where(tree, VALUES)
                else:
                    with pytest.raises(QueryError) as raised:
                        check_where(tree, VALUES)
                    assert raised.value.details == {"field": type}


@pytest.mark.parametrize("type", FIELD_TYPES[1:])
def test_only_texts_are_searched(type: str) -> None:
    for kind in (Prefix, Contains):
        check_where(kind("text", "a"), VALUES)
        with pytest.raises(QueryError):
            check_where(kind(type, "a"), VALUES)


@pytest.mark.parametrize(
    "value",
    [Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), OF_TYPE["instant"].replace(tzinfo=None)],
    ids=str,
)
def test_a_value_without_a_place_in_the_order_is_refused(value: Decimal | datetime) -> None:
    field = "decimal" if isinstance(value, Decimal) else "instant"
    for where in (Eq(field, value), Lt(field, value), In(field, [value])):
        with pytest.raises(QueryError):
            check_where(where, VALUES)
    with pytest.raises(QueryError):
        check_query(Query("values", None, (field,), (value, "a")), SCHEMA)


@pytest.mark.parametrize(
    "query",
    [
        Query("absent"),
        Query("values", Eq("absent", 1)),
        Query("values", IsNull("absent")),
        Query("values", order=("absent",)),
        Query("values", order=("--id",)),
        Query("values", limit=-1),
        Query("values", None, ("text",), ("a",)),
        Query("values", None, ("text",), ("a", "b", "c")),
        Query("values", None, ("text",), (1, "b")),
        Query("values", None, (), (1,)),
        Query("values", "text = 'a'"),  # type: ignore[arg-type]
    ],
    ids=str,
)
def test_nonsense_is_refused(query: Query) -> None:
    with pytest.raises(QueryError):
        check_query(query, SCHEMA)


@given(known=strategies.lists_of_rows(VALUES), order=strategies.orders(VALUES))
def test_a_place_travels_as_text(known: list[Row], order: tuple[str, ...]) -> None:
    query = Query("values", None, order)
    for row in known:
        place = place_of(row, query, VALUES)
        token = encode_place(place)
        assert token.isascii()
        assert not set(token) & set("+/=&?# ")
        found = decode_place(token)
        assert found == place
        assert [type(value) for value in found] == [type(value) for value in place]
        check_query(Query("values", None, order, found), SCHEMA)


@given(token=st.text(max_size=30) | st.binary(max_size=30).map(lambda data: encode_place((data.hex(),))[3:]))
def test_any_other_text_is_no_page_mark(token: str) -> None:
    try:
        place = decode_place(token)
    except QueryError:
        return
    assert all(value is None or type(value) in (str, int, bool, date, datetime, Decimal) for value in place)


@pytest.mark.parametrize(
    "json",
    [
        "5",
        '"abc"',
        '{"a": 1}',
        "[1.5]",
        '[{"t": 1e300}]',
        '[{"t": NaN}]',
        '[{"d": "2024-02-30"}]',
        '[{"n": "x"}]',
        "[{}]",
        *("[[1]]", '[{"d": 5}]', '[{"n": []}]', '[{"n": {}}]', "null", "[" * 100_000, "[1", ""),
    ],
    ids=lambda json: json[:12],
)
def test_what_only_looks_like_a_mark_is_refused(json: str) -> None:
    with pytest.raises(QueryError):
        decode_place(base64.urlsafe_b64encode(json.encode()).decode().rstrip("="))


def test_a_page_without_an_order_goes_by_id() -> None:
    plain, ordered = Query("values", IsNull("text")), Query("values", None, ("text",), ("a", "b"), 3)
    assert with_order(plain) is plain
    assert with_order(ordered) is ordered
    assert with_order(Query("values", limit=0)) == Query("values", None, ("id",), None, 0)
    assert with_order(Query("values", after=("a",), limit=2)) == Query("values", None, ("id",), ("a", "a"), 2)


def test_an_instant_of_another_zone_is_allowed() -> None:
    check_where(Eq("instant", datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=8)))), VALUES)
