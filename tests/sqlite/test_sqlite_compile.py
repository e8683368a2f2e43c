"""What the query tree becomes: the same answers as the Python evaluation, never NULL, once per shape, on the indices."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlite_samples import EPOCH, MOMENT, SCHEMA, THINGS, open_store, thing

from crmcore.storage import (
    And,
    Between,
    Collection,
    Contains,
    Eq,
    Field,
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
    Schema,
    Where,
    place_of,
)
from crmcore.storage.codec import SCHEMA as CORE
from crmcore.storage.evaluate import finish, predicate, tally_rows
from crmcore_sqlite.compile import Compiler, after_prefix
from crmcore_sqlite.flavour import SQLITE
from crmcore_sqlite.store import SqliteStore

TEXTS = ["", "a", "A", "ab", "a%", "客", "客户", "\ud7ff", "\ud7ffz", "\ue000", "\U0010ffff", "\U0010ffff\U0010ffff"]
SMALL: dict[str, list[Any]] = {
    "text": TEXTS,
    "integer": [-(2**63), -1, 0, 1, 2**63 - 1],
    "boolean": [False, True],
    "date": [date(1, 1, 1), date(2024, 2, 29), date(9999, 12, 31)],
    "instant": [EPOCH, MOMENT, datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)],
    "decimal": [Decimal("1.0"), Decimal("1.00"), Decimal("-3e5"), Decimal(0)],
}
# Beyond what is stored: finer than a millisecond, in another zone, outside the calendar of UTC, too large for SQLite, not Unicode.
ASKED: dict[str, list[Any]] = {
    **SMALL,
    "text": [*TEXTS, "\ud800", "a\0b"],
    "integer": [*SMALL["integer"], 2**63, -(2**70)],
    "instant": [
        *SMALL["instant"],
        MOMENT + timedelta(microseconds=1),
        MOMENT - timedelta(microseconds=1),
        MOMENT.astimezone(timezone(timedelta(hours=8))),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=8))),
        datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-8))),
    ],
}
TYPES = {field.name: field.type for field in THINGS.fields}
FIELDS = st.sampled_from([name for name in TYPES if name not in ("id", "version")])


@st.composite
def leaves(draw: st.DrawFn) -> Where:
    name = draw(FIELDS)
    value = st.sampled_from(ASKED[TYPES[name]])
    kinds: list[Any] = [Eq, Ne, Lt, Le, Gt, Ge, In, Between, IsNull]
    if TYPES[name] == "text":
        kinds += [Prefix, Contains, Prefix, Contains]
    kind = draw(st.sampled_from(kinds))
    if kind is IsNull:
        return IsNull(name)
    if kind is In:
        return In(name, draw(st.lists(value, max_size=6)))
    return Between(name, draw(value), draw(value)) if kind is Between else kind(name, draw(value))


@st.composite
def conditions(draw: st.DrawFn, depth: int = 2) -> Where:
    kind = draw(st.sampled_from([None, None, None, Not, And, Or])) if depth else None
    if kind is None:
        return draw(leaves())
    if kind is Not:
        return Not(draw(conditions(depth - 1)))
    return kind(*(draw(conditions(depth - 1)) for _ in range(draw(st.integers(0, 3)))))


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    found = []
    for index in range(draw(st.integers(3, 9))):
        values = {
            field.name: draw(st.sampled_from([*SMALL[field.type], *([None] if field.nullable else [])]))
            for field in THINGS.fields[3:]
        }
        # Unique keys are not what is tried here.
        values["integer"] = None if values["text"] is not None else values["integer"]
        found.append(thing(f"{index}", number=f"{9 - index}", **values))
    return found


@st.composite
def queries(draw: st.DrawFn) -> tuple[list[Row], Query]:
    known = draw(rows())
    names = draw(st.lists(FIELDS | FIELDS.map("-{}".format), max_size=3))
    query = Query("things", draw(conditions()) if draw(st.integers(0, 9)) else None, order=names)
    after = None
    if names and draw(st.booleans()):
        after = place_of(draw(st.sampled_from(known)), query, THINGS)
    return known, Query("things", query.where, names, after, draw(st.none() | st.integers(0, 5)))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteStore]:
    with open_store(tmp_path_factory.mktemp("compile") / "a.db") as opened:
        yield opened


class UndoneError(Exception):
    """Leaves the store as it was."""


@settings(max_examples=400, deadline=None)
@given(queries())
@example(([thing("1", text=""), thing("2", text="a")], Query("things", Contains("text", ""))))
@example(([thing("1"), thing("2", date=date(2024, 2, 29))], Query("things", Not(Eq("date", date(2024, 2, 29))))))
def test_answers_are_those_of_the_python_evaluation(store: SqliteStore, case: tuple[list[Row], Query]) -> None:
    known, query = case
    expected = list(finish(known, query, THINGS))
    with pytest.raises(UndoneError), store.transaction(write=True) as transaction:
        transaction.apply(Insert("things", row) for row in known)
        found = list(transaction.find(query))
        if query.order:
            assert found == expected
        else:
            wanted = predicate(query.where, THINGS)
            assert len(found) == len(set(found)) == len(expected)
            assert all(wanted(row) for row in found)
        counts = transaction.tally("things", query.where, ("boolean", "select"), ("version", "integer"))
        assert counts == tally_rows(
            filter(predicate(query.where, THINGS), known), ("boolean", "select"), ("version", "integer"), THINGS
        )
        raise UndoneError


@settings(max_examples=100, deadline=None)
@given(rows(), conditions())
def test_no_condition_is_ever_null(store: SqliteStore, known: list[Row], where: Where) -> None:
    pushed = store.compiler.select(Query("things", where))
    condition = pushed.statement.sql.partition("WHERE ")[2]
    if not condition:
        return
    with pytest.raises(UndoneError), store.transaction(write=True) as transaction:
        transaction.apply(Insert("things", row) for row in known)
        arguments = pushed.statement.arguments(pushed.values)
        try:
            cursor = transaction._connection.execute(f"SELECT ({condition}) IS NULL FROM things", arguments)
        except (OverflowError, UnicodeEncodeError):
            raise UndoneError from None
        assert set(cursor.fetchall()) <= {(0,)}
        raise UndoneError


def pushed_whole(query: Query) -> bool:
    rest = Compiler(SCHEMA, SQLITE).select(query).rest
    return rest == Query(query.collection)


def test_everything_but_decimals_is_pushed_down() -> None:
    where = And(
        Or(Eq("text", "a"), Not(In("integer", (1, 2, 3)))),
        Between("date", date(2024, 1, 1), date(2024, 2, 1)),
        And(Prefix("text", "a"), Contains("text", "b"), Ne("boolean", True)),
        IsNull("decimal"),
        Lt("instant", MOMENT),
        Or(),
        And(),
    )
    assert pushed_whole(Query("things", where, order=("-text", "due"), after=("a", None, "x"), limit=3))
    assert not pushed_whole(Query("things", Eq("decimal", Decimal(1))))
    assert not pushed_whole(Query("things", order=("decimal",)))


def test_what_can_not_be_pushed_is_left_with_what_depends_on_it() -> None:
    compiler = Compiler(SCHEMA, SQLITE)
    sharp, plain = Eq("decimal", Decimal(1)), Eq("text", "a")
    rest = compiler.select(Query("things", And(plain, sharp), order=("due",), limit=3)).rest
    assert rest == Query("things", sharp, limit=3)
    rest = compiler.select(Query("things", Or(plain, sharp))).rest
    assert rest == Query("things", Or(plain, sharp))
    rest = compiler.select(Query("things", plain, order=("decimal",), after=(None, "x"), limit=3)).rest
    assert rest == Query("things", None, ("decimal",), (None, "x"), 3)


def deep(levels: int) -> Where:
    where: Where = Eq("text", "a")
    for _ in range(levels):
        where = Not(And(where, Ne("text", "z")))
    return where


@pytest.mark.parametrize(
    "where",
    [
        In("integer", range(5000)),
        And(*(Ne("integer", value) for value in range(3000))),
        Or(*(Eq("integer", value) for value in range(3000))),
        deep(60),
        And(*(In("integer", range(400)) for _ in range(5))),
    ],
    ids=["long list", "many conditions", "many alternatives", "deep", "many lists"],
)
def test_conditions_too_large_for_sqlite_are_answered_all_the_same(store: SqliteStore, where: Where) -> None:
    known = [thing(f"{index}", integer=index, text="a" if index % 2 else None) for index in range(4)]
    with pytest.raises(UndoneError), store.transaction(write=True) as transaction:
        transaction.apply(Insert("things", row) for row in known)
        found = transaction.find(Query("things", where, order=("id",)))
        assert list(found) == list(filter(predicate(where, THINGS), known))
        raise UndoneError


def test_a_shape_is_compiled_once() -> None:
    compiler = Compiler(SCHEMA, SQLITE)

    def statement(**parts: Any) -> object:
        return compiler.select(Query("things", **parts)).statement

    one = statement(where=And(Eq("text", "a"), In("integer", (1, 2, 3))), order=("due",), limit=3)
    assert statement(where=And(Eq("text", "b"), In("integer", (5, 6, 7, 8))), order=("due",), limit=9) is one
    others = [
        statement(where=And(Ne("text", "a"), In("integer", (1, 2, 3))), order=("due",), limit=3),
        statement(where=And(Eq("text", "a"), In("integer", (1, 2))), order=("due",), limit=3),
        statement(where=Or(Eq("text", "a"), In("integer", (1, 2, 3))), order=("due",), limit=3),
        statement(where=And(Eq("text", "a"), In("integer", (1, 2, 3))), order=("-due",), limit=3),
        statement(where=And(Eq("text", "a"), In("integer", (1, 2, 3))), order=("due",)),
        statement(where=And(Eq("text", "a"), In("integer", (1, 2, 3))), order=("due",), after=(MOMENT, "a"), limit=3),
    ]
    assert len({id(each) for each in [one, *others]}) == 7
    # A list is filled up with a value of its own.
    found = compiler.select(Query("things", And(Eq("text", "z"), In("text", ("a", "b", "c")))))
    assert found.values == ["z", "a", "b", "c", "c"]


def test_shapes_are_forgotten_in_the_end() -> None:
    compiler = Compiler(SCHEMA, SQLITE)
    for order in permutations(THINGS.positions, 3):
        compiler.select(Query("things", order=order))
    assert len(compiler._statements) == 512
    assert pushed_whole(Query("things", order=("text",)))


def test_ties_are_broken_by_id_unless_there_can_be_none() -> None:
    fields = (*THINGS.fields[:2], *(Field(name, "text", nullable=name == "may") for name in ("one", "two", "may")))
    schema = Schema.of(1, [Collection(name="pairs", fields=fields, unique=(("one", "two"), ("one", "may")))])

    def order(*names: str) -> list[str]:
        sql = Compiler(schema, SQLITE).select(Query("pairs", order=names)).statement.sql
        return [term.split(".")[1] for term in sql.split("ORDER BY ")[1].split(", ")]

    assert order("one") == ["one ASC", "id ASC"]
    assert order("-one", "may") == ["one DESC", "may ASC", "id ASC"]
    assert order("two", "-one", "may") == ["two ASC", "one DESC"]
    assert order("-id", "may") == ["id DESC"]


@given(st.sampled_from(TEXTS), st.sampled_from(TEXTS), st.sampled_from(["", "b", "\U0010ffff"]))
def test_the_end_of_a_prefix_is_exact(prefix: str, text: str, more: str) -> None:
    end = after_prefix(prefix)
    assert end is None or end.encode()
    for candidate in (text, prefix + more, text + more):
        assert candidate.startswith(prefix) == (candidate >= prefix and (end is None or candidate < end))


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteStore]:
    with open_store(tmp_path_factory.mktemp("plans") / "core.db", CORE) as opened:
        yield opened


BY_NUMBER: dict[str, Any] = {"order": ("number",), "limit": 50}
DUE = And(Eq("state", "open"), Lt("due_at", MOMENT))


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (Query("customers", Eq("stage", "x"), **BY_NUMBER), "ix_customers_stage_number (stage=?)"),
        (
            Query("customers", Eq("stage", "x"), **BY_NUMBER, after=("a", "b")),
            "ix_customers_stage_number (stage=? AND number>?)",
        ),
        (
            Query("customers", Eq("owner", "x"), **BY_NUMBER, after=("a", "b")),
            "ix_customers_owner_number (owner=? AND number>?)",
        ),
        (Query("customers", **BY_NUMBER, after=("a", "b")), "uq_customers_number (number>?)"),
        (Query("customers", Prefix("name_key", "示例")), "ix_customers_name_key (name_key>? AND name_key<?)"),
        (Query("customers", In("uscc", ("a", "b", "c"))), "ix_customers_uscc (uscc=?)"),
        (
            Query("obligations", DUE, order=("due_at",), limit=50),
            "ix_obligations_state_due_at (state=? AND due_at<?)",
        ),
        (
            Query("obligations", DUE, order=("due_at",), after=(EPOCH, "x"), limit=50),
            "ix_obligations_state_due_at (state=? AND due_at>? AND due_at<?)",
        ),
        (
            Query("obligations", And(DUE, Eq("owner", "me")), order=("due_at",), after=(EPOCH, "x"), limit=50),
            "ix_obligations_state_owner_due_at (state=? AND owner=? AND due_at>? AND due_at<?)",
        ),
    ],
)
def test_the_core_s_own_queries_go_by_an_index(core: SqliteStore, query: Query, index: str) -> None:
    plan = plan_of(core, query)
    assert plan[0] == f"SEARCH {query.collection} USING INDEX {index}"
    # Ties are put in the order of their ids, one run of equals at a time; nothing else is sorted.
    assert plan[1:] in ([], ["USE TEMP B-TREE FOR RIGHT PART OF ORDER BY"])
    if query.order == ("number",):
        assert plan[1:] == []


def plan_of(store: SqliteStore, query: Query) -> list[str]:
    pushed = store.compiler.select(query)
    with store.transaction() as transaction:
        arguments = pushed.statement.arguments(pushed.values)
        cursor = transaction._connection.execute(f"EXPLAIN QUERY PLAN {pushed.statement.sql}", arguments)
        return [str(row[3]).replace("LAST TERM", "RIGHT PART") for row in cursor]


def test_a_tally_goes_by_a_covering_index(core: SqliteStore) -> None:
    planned = core.compiler.tally("customers", None, ("stage",), ())
    assert planned is not None
    with core.transaction() as transaction:
        cursor = transaction._connection.execute(f"EXPLAIN QUERY PLAN {planned[0].sql}")
        assert [row[3] for row in cursor] == ["SCAN customers USING COVERING INDEX ix_customers_stage_number"]


def test_a_page_costs_the_same_in_a_longer_list(tmp_path: Path) -> None:
    def steps(count: int) -> int:
        with open_store(tmp_path / f"{count}.db") as store:
            with store.transaction(write=True) as transaction:
                transaction.apply(
                    Insert("things", thing(f"{n}", select="open", due=EPOCH + timedelta(minutes=n)))
                    for n in range(count)
                )
            with store.transaction() as transaction:
                ticks = 0

                def tick() -> int:
                    nonlocal ticks
                    ticks += 1
                    return 0

                transaction._connection.set_progress_handler(tick, 10)
                place = (EPOCH + timedelta(minutes=100), "100")
                query = Query("things", Eq("select", "open"), order=("due",), after=place, limit=20)
                found = [row[0] for row in transaction.find(query)]
                transaction._connection.set_progress_handler(None, 0)
            assert found == [f"{n}" for n in range(101, 121)]
            return ticks

    assert steps(4000) <= steps(1000) * 1.5
