"""What it answers: conditions and tallies, held to an oracle that shares no code with the library."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given

from crmcore.errors import QueryError
from crmcore.storage import (
    And,
    Between,
    Contains,
    Eq,
    Ge,
    Gt,
    In,
    Insert,
    IsNull,
    Le,
    Lt,
    Ne,
    Not,
    Or,
    Prefix,
    Query,
    Row,
    Scalar,
    Store,
    Transaction,
    Where,
)
from crmcore.testing import oracle, strategies
from crmcore.testing.clause import Contract, clause
from crmcore.testing.contract.ordering import find
from crmcore.testing.contract.steps import add, opened
from crmcore.testing.difficult import DIFFICULT
from crmcore.testing.harness import Harness
from crmcore.testing.kit_schema import FIELD_TYPES, VALUES, values_row

COMPARISONS: tuple[Callable[[str, Scalar], Where], ...] = (Eq, Ne, Lt, Le, Gt, Ge)


def _by_id(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: str(row[0]))


def _agree(store: Store, rows: list[Row], *conditions: Where) -> None:
    with store.transaction() as work:
        for where in conditions:
            query = Query("values", where)
            expected = oracle.answer(query, rows, VALUES)
            assert _by_id(list(work.find(query))) == expected, where
            assert work.count("values", where) == len(expected), where


class Querying(Contract):
    """S-QUERY: a condition means the same everywhere."""

    @clause("S-QUERY-01", "Every comparison of every field type agrees with the oracle, at difficult values")
    def test_comparisons_agree(self, harness: Harness) -> None:
        rows, conditions = [values_row("none")], []
        for type in FIELD_TYPES:
            difficult = DIFFICULT[type][:40]
            rows += [values_row(f"{type} {place}", **{type: value}) for place, value in enumerate(difficult)]
            for value in difficult[::3]:
                conditions += [compare(type, value) for compare in COMPARISONS]
            conditions += [Between(type, low, high) for low, high in pairwise(difficult)]
            conditions += [In(type, difficult[::2]), IsNull(type)]
        with opened(harness) as store:
            add(store, VALUES, *rows)
            _agree(store, rows, *conditions)

    @clause(
        "S-QUERY-02", "None makes no comparison true but Ne and IsNull, and Not turns that around: two truth values"
    )
    def test_none_has_two_truth_values(self, harness: Harness) -> None:
        rows = [values_row("none"), values_row("a", text="a", integer=1), values_row("b", text="b")]
        leaves: list[Where] = [compare("text", "a") for compare in COMPARISONS]
        leaves += [
            In("text", ("a",)),
            In("text", ()),
            Between("text", "a", "b"),
            Prefix("text", "a"),
            Contains("text", ""),
        ]
        leaves += [IsNull("text"), IsNull("some_text"), Eq("integer", 1), Ne("integer", 1)]
        trees = [*leaves, *map(Not, leaves), *(Not(Not(leaf)) for leaf in leaves)]
        trees += [Not(And(leaf, Ne("integer", 2))) for leaf in leaves] + [
            Not(Or(leaf, IsNull("date"))) for leaf in leaves
        ]
        with opened(harness) as store:
            add(store, VALUES, *rows)
            _agree(store, rows, *trees)

    @clause("S-QUERY-03", "Prefix and Contains compare to the letter: case counts, wildcards are letters")
    def test_text_matches_to_the_letter(self, harness: Harness) -> None:
        texts = DIFFICULT["text"]
        rows = [values_row(f"{place:03}", text=text) for place, text in enumerate(texts)]
        bits = [
            "",
            "a",
            "A",
            "%",
            "_",
            "*",
            "?",
            "[",
            "\\",
            "'",
            '"',
            "a%",
            "a_",
            "客",
            "示例",
            "é",
            "E",
            "\u0301",
            "\n",
            "^",
        ]
        conditions: list[Where] = [match("text", bit) for bit in bits for match in (Prefix, Contains)]
        conditions += [Contains("text", str(text)) for text in texts[::3]]
        with opened(harness) as store:
            add(store, VALUES, *rows)
            _agree(store, rows, *conditions)

    @clause("S-QUERY-04", "And of nothing is true, Or and In of nothing are false, Between turned around is false")
    def test_empty_conditions(self, harness: Harness) -> None:
        rows = [values_row("none"), values_row("a", integer=1, text="a")]
        empty: list[Where] = [
            And(),
            Or(),
            In("integer", ()),
            Between("integer", 2, 1),
            And(Or(), And()),
            Or(And(), Or()),
        ]
        with opened(harness) as store:
            add(store, VALUES, *rows)
            _agree(store, rows, *empty, *map(Not, empty))

    @clause("S-QUERY-05", "Conditions of any size are answered: 40,000 values, 2,000 parts, 100 deep")
    def test_large_conditions(self, harness: Harness) -> None:
        rows = [values_row(f"{number:02}", integer=number, text=str(number)) for number in range(20)]
        deep: Where = Eq("integer", 3)
        for number in range(50):
            deep = Not(And(deep, Ne("integer", number + 4))) if number % 2 else Or(deep, Eq("integer", number))
        for _ in range(50):
            deep = Not(deep)
        with opened(harness) as store:
            add(store, VALUES, *rows)
            _agree(
                store,
                rows,
                In("integer", range(10, 40_000)),
                In("integer", reversed(range(10, 40_000))),
                Not(In("text", [str(number) for number in range(15, 40_000)])),
                Or(*(Eq("integer", number) for number in range(5, 2_005))),
                And(*(Ne("integer", number) for number in range(5, 2_005))),
                deep,
            )
            # What a store can't answer itself it leaves, and must leave the limit with it.
            for where in (
                In("integer", range(3, 40_000)),
                deep,
                Or(*(Eq("integer", number) for number in range(2_000))),
            ):
                for order in (("-integer",), ("text", "-id"), ()):
                    query = Query("values", And(Ge("integer", 2), where), order, None, 3)
                    assert find(store, query) == oracle.answer(query, rows, VALUES)

    @clause("S-QUERY-06", "The limit counts the rows that the condition holds for, in the order asked for")
    def test_the_limit_comes_last(self, harness: Harness) -> None:
        rows = [
            values_row(f"{number:02}", integer=number % 5, text="x" if number % 2 else None) for number in range(30)
        ]
        with opened(harness) as store:
            add(store, VALUES, *rows)
            for where in (Eq("text", "x"), IsNull("text"), Ge("integer", 3), Contains("id", "9")):
                for order in (("-integer",), ("integer", "-id"), ("-id",)):
                    query = Query("values", where, order, None, 4)
                    assert find(store, query) == oracle.answer(query, rows, VALUES)

    @clause("S-QUERY-07", "Any query agrees with the oracle: condition, order, mark and limit together")
    def test_any_query_agrees(self, harness: Harness) -> None:
        @harness.settings()
        @given(asked=strategies.asked(VALUES))
        def agree(asked: tuple[list[Row], list[Query]]) -> None:
            rows, questions = asked
            harness.clear()
            with opened(harness) as store:
                add(store, VALUES, *rows)
                for query in questions:
                    got, expected = find(store, query), oracle.answer(query, rows, VALUES)
                    paged = query.order or query.after is not None or query.limit is not None
                    assert (got if paged else _by_id(got)) == expected, query

        agree()

    @clause("S-QUERY-08", "A name that the schema doesn't have, or a value of another type, raises QueryError")
    def test_nonsense_is_refused(self, harness: Harness) -> None:
        nonsense: list[Callable[[Transaction], object]] = [
            lambda work: work.get("absent", "a"),
            lambda work: list(work.scan("absent")),
            lambda work: list(work.find(Query("absent"))),
            lambda work: work.count("absent"),
            lambda work: list(work.find(Query("values", Eq("absent", 1)))),
            lambda work: list(work.find(Query("values", Eq("integer", "1")))),
            lambda work: list(work.find(Query("values", Eq("text", None)))),
            lambda work: list(work.find(Query("values", Gt("decimal", Decimal("NaN"))))),
            lambda work: list(work.find(Query("values", Lt("instant", datetime(2024, 1, 1))))),  # noqa: DTZ001
            lambda work: list(work.find(Query("values", order=("absent",)))),
            lambda work: list(work.find(Query("values", after=("a", "b")))),
            lambda work: list(work.find(Query("values", limit=-1))),
            lambda work: work.count("values", Prefix("integer", "1")),
            lambda work: work.tally("values", None, ["absent"]),
            lambda work: work.tally("values", None, [], ["decimal"]),
            lambda work: work.tally("values", Eq("text", 1), []),
        ]
        with opened(harness) as store:
            for ask in nonsense:
                with store.transaction() as work, pytest.raises(QueryError):
                    ask(work)
            with pytest.raises(QueryError), store.transaction(write=True) as work:
                work.apply([Insert("absent", values_row("a"))])

    @clause(
        "S-QUERY-09",
        "Values that no row can hold compare as Python compares them: beyond 64 bits, between two milliseconds, "
        "in other zones, lone surrogates, control characters",
    )
    def test_impossible_values_compare(self, harness: Harness) -> None:
        noon = datetime(2024, 5, 1, 12, tzinfo=UTC)
        rows = [values_row("none")]
        rows += [values_row(str(n), integer=n, instant=noon + timedelta(milliseconds=n)) for n in range(-2, 3)]
        rows += [values_row(text, text=text) for text in ("a", "\U00010000", "\ud7ff", "\ue000")]
        near = [noon + timedelta(microseconds=n) for n in (-1999, -1001, -1, 1, 499, 500, 999, 1001)]
        near.append(noon.astimezone(timezone(timedelta(hours=8))))
        conditions: list[Where] = []
        for compare in COMPARISONS:
            conditions += [compare("integer", number) for number in (2**63, -(2**63) - 1, 10**30)]
            conditions += [compare("instant", moment) for moment in near]
            conditions += [compare("text", text) for text in ("\ud800", "a\x00", "\x00", "")]
        conditions += [
            In("integer", (1, 2**64)),
            Between("integer", -(10**30), 10**30),
            Between("instant", near[2], near[3]),
        ]
        conditions += [
            Contains("text", "\ud800"),
            Prefix("text", "\ud800"),
            Contains("text", "\x00"),
            In("instant", near),
        ]
        with opened(harness) as store:
            add(store, VALUES, *rows)
            _agree(store, rows, *conditions)


class Tallying(Contract):
    """S-TALLY: counts and sums, by groups."""

    @clause("S-TALLY-01", "Groups of every field type are counted and summed, in the order of their values, None first")
    def test_groups_of_every_type(self, harness: Harness) -> None:
        rows = [
            values_row(f"{type} {place} {copy}", **{type: value, "some_integer": place})
            for type in FIELD_TYPES
            for place, value in enumerate(DIFFICULT[type])
            for copy in range(1 + place % 2)
        ]
        with opened(harness) as store:
            add(store, VALUES, *rows)
            with store.transaction() as work:
                for type in FIELD_TYPES:
                    for by in ([type], ["some_boolean", type]):
                        got = work.tally("values", None, by, ["some_integer"])
                        expected = oracle.tally(rows, None, by, ["some_integer"], VALUES)
                        assert got == expected
                        assert [list(map(_type, row)) for row in got] == [list(map(_type, row)) for row in expected]

    @clause("S-TALLY-02", "None is a group of its own and adds nothing to a sum; a sum of nothing but None is 0")
    def test_none_in_a_tally(self, harness: Harness) -> None:
        rows = [
            values_row("a"),
            values_row("b", text="x"),
            values_row("c", text="x", integer=3),
            values_row("d", integer=-5),
        ]
        with opened(harness) as store:
            add(store, VALUES, *rows)
            with store.transaction() as work:
                assert work.tally("values", None, ["text"], ["integer"]) == [(None, 2, -5), ("x", 2, 3)]
                assert work.tally("values", IsNull("integer"), ["text"], ["integer"]) == [(None, 1, 0), ("x", 1, 0)]
                assert work.tally("values", None, [], ["integer", "some_integer"]) == [(4, -2, 4)]

    @clause("S-TALLY-03", "Of no rows there are no groups, not even one of 0, and the count is 0")
    def test_a_tally_of_nothing(self, harness: Harness) -> None:
        with opened(harness) as store:
            add(store, VALUES, values_row("a"))
            with store.transaction() as work:
                assert work.tally("group", None, []) == []
                assert work.tally("group", None, ["order"], ["order"]) == []
                assert work.tally("values", Eq("text", "x"), [], ["integer"]) == []
                assert work.count("group") == 0
                assert work.count("values", Eq("text", "x")) == 0
                assert work.count("values") == 1

    @clause("S-TALLY-04", "A sum beyond 64 bits is exact")
    def test_a_sum_beyond_its_bits(self, harness: Harness) -> None:
        rows = [values_row(str(number), integer=2**63 - 1, some_integer=-(2**63)) for number in range(3)]
        with opened(harness) as store:
            add(store, VALUES, *rows)
            with store.transaction() as work:
                expected = (3, 3 * (2**63 - 1), -3 * 2**63)
                assert work.tally("values", None, [], ["integer", "some_integer"]) == [expected]
                assert work.tally("values", None, ["text"], ["integer", "some_integer"]) == [(None, *expected)]

    @clause("S-TALLY-05", "Any tally agrees with the oracle")
    def test_any_tally_agrees(self, harness: Harness) -> None:
        @harness.settings()
        @given(tallied=strategies.tallied(VALUES))
        def agree(tallied: tuple[list[Row], Where | None, tuple[str, ...], tuple[str, ...]]) -> None:
            rows, where, by, sums = tallied
            harness.clear()
            with opened(harness) as store:
                add(store, VALUES, *rows)
                with store.transaction() as work:
                    assert work.tally("values", where, by, sums) == oracle.tally(rows, where, by, sums, VALUES)

        agree()


def _type(value: Scalar) -> type:
    return type(value)
