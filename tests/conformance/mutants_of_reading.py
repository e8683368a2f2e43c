"""Stores that show, answer, declare or tell the wrong thing."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from mutants import Harness, Patch, PlainHarness, caught_by, harness_of, wrap

from crmcore.errors import Conflict, DuplicateKey, StorageError
from crmcore.storage import Capability, Pushed, Query, Schema, Store, contract, evaluate
from crmcore.storage.memory import MemoryBackend, MemoryData, MemoryStore, MemoryTransaction
from crmcore.storage.url import StoreURL
from crmcore.testing import SCHEMA

# Who shares it.


class _NoLock:
    def acquire(self, timeout: float) -> bool:
        return True

    def release(self) -> None:
        pass


@caught_by("ISOLATION-03", "ISOLATION-05", "THREAD-01")
def writers_do_not_wait(patch: Patch) -> None:
    def initialise(original: Any, self: Any, schema: Schema) -> None:
        original(self, schema)
        self.writing = _NoLock()

    wrap(patch, MemoryData, "__init__", initialise)


@caught_by("ISOLATION-04", "THREAD-02")
def readers_see_what_is_newest(patch: Patch) -> None:
    def table(original: Any, self: Any, collection: str) -> Any:
        return original(self, collection) if self._write else self._data.tables[collection]

    wrap(patch, MemoryTransaction, "_table", table)


@caught_by("HANDLE-01", "VALUE-05", "LARGE-01")
def rows_once_read_stay_as_they_were(patch: Patch) -> None:
    seen: dict[Any, Any] = {}

    def get(original: Any, self: Any, name: str, id: str) -> Any:
        return seen.setdefault((name, id), original(self, name, id))

    wrap(patch, MemoryTransaction, "get", get)
    wrap(patch, MemoryTransaction, "scan", lambda original, self, name: iter([*original(self, name)][:1000]))


@caught_by("HANDLE-04", "REOPEN-03")
def closing_takes_the_data_away(patch: Patch) -> None:
    def close(original: Any, self: Any) -> None:
        self._data.tables.update(MemoryData(SCHEMA).tables)
        original(self)

    wrap(patch, MemoryStore, "close", close)


# Orders and queries.


def ranked(patch: Patch, rank: Callable[[Any], Any]) -> None:
    def key(original: Any, values: Any, directions: Any) -> Any:
        return [evaluate._Descending(rank(v)) if down else rank(v) for v, down in zip(values, directions, strict=True)]

    wrap(patch, evaluate, "_key", key)


@caught_by("ORDER-01", "TALLY-01", "TALLY-02")
def none_sorts_last(patch: Patch) -> None:
    ranked(patch, lambda value: (value is None, 0 if value is None else value))


@caught_by("ORDER-01", "ORDER-02", "ORDER-04")
def text_sorts_by_utf_16(patch: Patch) -> None:
    def units(value: Any) -> Any:
        return value.encode("utf-16-be", "surrogatepass") if isinstance(value, str) else value or 0

    ranked(patch, lambda value: (value is not None, units(value)))


@caught_by("ORDER-03")
def ties_fall_as_they_may(patch: Patch) -> None:
    wrap(patch, evaluate, "sort_key", lambda original, order, shape: lambda row: original(order, shape)(row)[:-1])


@caught_by("ORDER-03", "ORDER-04")
def ties_turn_around_with_the_order(patch: Patch) -> None:
    def finish(original: Any, rows: Any, rest: Any, shape: Any) -> Any:
        down = bool(rest.order) and rest.order[-1].startswith("-") and "-id" not in rest.order
        return original(rows, Query(rest.collection, rest.where, (*rest.order, "-id")) if down else rest, shape)

    wrap(patch, contract, "finish", finish)


@caught_by("ORDER-04", "ORDER-05", "MODEL-01", "QUERY-07")
def a_mark_is_looked_up(patch: Patch) -> None:
    def finish(original: Any, rows: Any, rest: Any, shape: Any) -> Any:
        ordered = list(original(rows, Query(rest.collection, rest.where, rest.order), shape))
        ids = [row[0] for row in ordered]
        start = ids.index(rest.after[-1]) if rest.after and rest.after[-1] in ids else 0
        return iter(ordered[start : None if rest.limit is None else start + rest.limit])

    wrap(patch, contract, "finish", finish)
    patch.setattr(contract, "with_order", lambda query: query)


@caught_by("ORDER-06")
def a_page_needs_no_order(patch: Patch) -> None:
    patch.setattr(contract, "with_order", lambda query: query)


def finished(patch: Patch, change: Callable[[Query], Query]) -> None:
    wrap(patch, contract, "finish", lambda original, rows, rest, shape: original(rows, change(rest), shape))


@caught_by("ORDER-07")
def a_limit_of_nothing_is_no_limit(patch: Patch) -> None:
    finished(patch, lambda rest: Query(rest.collection, rest.where, rest.order, rest.after, rest.limit or None))


@caught_by("QUERY-01", "QUERY-02", "QUERY-06", "QUERY-07", "TX-03", "TALLY-03", "TALLY-05", "MODEL-01")
def the_condition_is_dropped(patch: Patch) -> None:
    finished(patch, lambda rest: Query(rest.collection, None, rest.order, rest.after, rest.limit))


@caught_by("QUERY-06", "QUERY-05")
def the_limit_comes_first(patch: Patch) -> None:
    def push(self: Any, query: Query) -> Pushed:
        rows = list(
            evaluate.finish(
                self.scan(query.collection),
                Query(query.collection, None, query.order, query.after, query.limit),
                self.schema.collection(query.collection),
            )
        )
        return Pushed(rows, Query(query.collection, query.where))

    patch.setattr(MemoryTransaction, "push", push, raising=False)


def leaves(patch: Patch, holds: Callable[[Any, Any, Any], Any]) -> None:
    def leaf(original: Any, where: Any, place: int) -> Any:
        test = original(where, place)
        return lambda row: holds(where, row[place], test(row))

    wrap(patch, evaluate, "_leaf", leaf)


@caught_by("QUERY-02", "QUERY-01")
def ne_drops_none(patch: Patch) -> None:
    leaves(patch, lambda where, value, true: true and (value is not None or type(where).__name__ != "Ne"))


@caught_by("QUERY-01")
def at_most_is_less_than(patch: Patch) -> None:
    leaves(patch, lambda where, value, true: true and not (type(where).__name__ == "Le" and value == where.value))


@caught_by("QUERY-03")
def text_matches_without_case(patch: Patch) -> None:
    leaves(
        patch,
        lambda where, value, true: (
            true
            or (type(where).__name__ == "Contains" and value is not None and where.value.casefold() in value.casefold())
        ),
    )


@caught_by("QUERY-04")
def and_of_nothing_is_false(patch: Patch) -> None:
    def predicate(original: Any, where: Any, shape: Any) -> Any:
        return (lambda row: False) if getattr(where, "parts", None) == () else original(where, shape)

    wrap(patch, evaluate, "predicate", predicate)


@caught_by("QUERY-05")
def many_values_are_too_many(patch: Patch) -> None:
    def leaf(original: Any, where: Any, place: int) -> Any:
        return original(type(where)(where.field, where.values[:999]) if hasattr(where, "values") else where, place)

    wrap(patch, evaluate, "_leaf", leaf)


@caught_by("QUERY-08")
def nonsense_is_no_error(patch: Patch) -> None:
    patch.setattr(contract, "check_query", lambda query, schema: schema.collections.get(query.collection))


@caught_by("QUERY-09")
def instants_are_cut_before_they_are_compared(patch: Patch) -> None:
    def leaf(original: Any, where: Any, place: int) -> Any:
        value = getattr(where, "value", None)
        if isinstance(value, datetime):
            where = type(where)(where.field, value.replace(microsecond=value.microsecond // 1000 * 1000))
        return original(where, place)

    wrap(patch, evaluate, "_leaf", leaf)


# Tallies.


@caught_by("TALLY-01", "TALLY-02", "TALLY-05", "TX-03")
def none_is_no_group(patch: Patch) -> None:
    wrap(
        patch,
        contract,
        "tally_rows",
        lambda original, rows, by, sums, shape: [
            row for row in original(rows, by, sums, shape) if None not in row[: len(by)]
        ],
    )


@caught_by("TALLY-03")
def nothing_is_a_group_of_zero(patch: Patch) -> None:
    wrap(
        patch,
        contract,
        "tally_rows",
        lambda original, rows, by, sums, shape: (
            original(rows, by, sums, shape) or [(*[None] * len(by), 0, *[0] * len(sums))]
        ),
    )


@caught_by("TALLY-04")
def sums_have_64_bits(patch: Patch) -> None:
    def tally(original: Any, rows: Any, by: Any, sums: Any, shape: Any) -> Any:
        groups = original(rows, by, sums, shape)
        return [
            (*row[: len(by) + 1], *((total + 2**63) % 2**64 - 2**63 for total in row[len(by) + 1 :])) for row in groups
        ]

    wrap(patch, contract, "tally_rows", tally)


# How it lasts, and what is declared.


@caught_by("LARGE-01", "LARGE-02")
def a_batch_ends_early(patch: Patch) -> None:
    def apply(original: Any, self: Any, changes: Any) -> None:
        original(self, [change for _, change in zip(range(1500), changes, strict=False)])

    wrap(patch, MemoryTransaction, "apply", apply)


class Boaster(MemoryBackend):
    """Declares everything."""

    capabilities = frozenset(Capability)

    def open(self, url: StoreURL, schema: Schema) -> MemoryStore:
        return MemoryStore(MemoryData(schema))


@caught_by(
    *("REOPEN-01", "REOPEN-02", "REOPEN-03", "URL-01", "URL-02", "URL-03", "CAPABILITY-03", "PROCESS-01", "PROCESS-02")
)
def everything_is_declared(patch: Patch) -> Callable[[], Harness]:
    return lambda: PlainHarness(backend=Boaster(), url="memory:")


@caught_by("CAPABILITY-02")
def several_processes_are_declared_and_no_url(patch: Patch) -> Callable[[], Harness]:
    return lambda: harness_of(MemoryData(SCHEMA), Boaster())


@caught_by("CAPABILITY-01")
def capabilities_are_words(patch: Patch) -> None:
    patch.setattr(MemoryBackend, "capabilities", {"large"})


@caught_by("CLOSE-01", "CLOSE-03")
def closing_is_forgotten(patch: Patch) -> None:
    patch.setattr(MemoryStore, "close", lambda self: None)


@caught_by("CLOSE-02")
def closing_twice_is_an_error(patch: Patch) -> None:
    def close(original: Any, self: Any) -> None:
        if self._closed:
            raise StorageError("closed already")
        original(self)

    wrap(patch, MemoryStore, "close", close)


@caught_by("CLOSE-03")
def a_with_block_leaves_the_store_open(patch: Patch) -> None:
    patch.setattr(Store, "__exit__", lambda self, *_: None)


def failing(patch: Patch, told: Callable[[StorageError, Any], StorageError]) -> None:
    def make(original: Any, self: Any, change: Any) -> None:
        try:
            original(self, change)
        except (Conflict, DuplicateKey) as error:
            raise told(error, change) from None

    wrap(patch, MemoryTransaction, "_make", make)


@caught_by("ERROR-01")
def errors_tell_nothing(patch: Patch) -> None:
    failing(patch, lambda error, change: type(error)(error.message))


@caught_by("ERROR-02")
def errors_tell_everything(patch: Patch) -> None:
    failing(patch, lambda error, change: type(error)(f"{error.message}: {change}", **error.details))
