"""The reference evaluation agrees with an oracle that shares no code with it."""

import random
from collections.abc import Iterator
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from crmcore.storage import Not, Query, Row, Where
from crmcore.storage.evaluate import finish, in_group_order, predicate, sort_key, tally_rows
from crmcore.storage.query import with_order
from crmcore.testing import oracle, strategies
from crmcore.testing.kit_schema import VALUES, values_row


@given(asked=strategies.asked(VALUES))
def test_any_query_is_answered_as_the_oracle_answers(asked: tuple[list[Row], list[Query]]) -> None:
    rows, questions = asked
    for query in questions:
        expected = oracle.answer(query, rows, VALUES)
        got = list(finish(iter(rows), with_order(query), VALUES))
        assert (got if with_order(query).order else sorted(got, key=lambda row: str(row[0]))) == expected


@given(asked=strategies.asked(VALUES, questions=2), cut=st.integers(0, 3))
def test_any_part_may_be_done_before(asked: tuple[list[Row], list[Query]], cut: int) -> None:
    # What a store has done of a query can be taken out of it, and the rest finishes the work.
    rows, questions = asked
    for query in map(with_order, questions):
        collection, where, order, after, limit = query.collection, query.where, query.order, query.after, query.limit
        steps = [
            Query(collection, where),
            Query(collection, None, order, after),
            Query(collection, None, (), None, limit),
        ]
        done: Iterator[Row] = iter(rows)
        for step in steps[:cut]:
            done = finish(done, step, VALUES)
        rest = [query, Query(collection, None, order, after, limit), steps[2], Query(collection)][cut]
        got = list(finish(done, rest, VALUES))
        assert sorted(map(repr, got)) == sorted(map(repr, finish(iter(rows), query, VALUES)))
        if order:
            assert got == oracle.answer(query, rows, VALUES)


@given(asked=strategies.asked(VALUES, questions=3), seed=st.integers())
def test_the_order_of_the_rows_given_does_not_matter(asked: tuple[list[Row], list[Query]], seed: int) -> None:
    rows, questions = asked
    shuffled = random.Random(seed).sample(rows, len(rows))
    for query in map(with_order, questions):
        if query.order:
            assert list(finish(rows, query, VALUES)) == list(finish(shuffled, query, VALUES))


@given(known=strategies.lists_of_rows(VALUES), data=st.data())
def test_a_condition_and_its_opposite_part_the_rows(known: list[Row], data: st.DataObject) -> None:
    where: Where = data.draw(strategies.wheres(VALUES, known))
    holds, fails = predicate(where, VALUES), predicate(Not(where), VALUES)
    for row in known:
        assert type(holds(row)) is bool
        assert holds(row) is not fails(row)


@given(tallied=strategies.tallied(VALUES))
def test_a_tally_is_the_oracles(
    tallied: tuple[list[Row], Where | None, tuple[str, ...], tuple[str, ...]],
) -> None:
    rows, where, by, sums = tallied
    chosen = filter(predicate(where, VALUES), rows)
    got = tally_rows(chosen, by, sums, VALUES)
    assert got == oracle.tally(rows, where, by, sums, VALUES)
    assert sum(row[len(by)] for row in got) == len(oracle.answer(Query("values", where), rows, VALUES))  # type: ignore[misc]
    assert in_group_order(reversed(got), len(by)) == got


@given(known=strategies.lists_of_rows(VALUES), order=strategies.orders(VALUES))
def test_an_order_is_total(known: list[Row], order: tuple[str, ...]) -> None:
    key = sort_key(order, VALUES)
    keys = sorted(map(key, known))
    assert all(one < other for one, other in pairwise(keys))


def test_a_limit_reads_no_further_than_it_must() -> None:
    def rows() -> Iterator[Row]:
        yield values_row("a")
        yield values_row("b")
        raise AssertionError("read too far")

    assert [row[0] for row in finish(rows(), Query("values", limit=2), VALUES)] == ["a", "b"]
