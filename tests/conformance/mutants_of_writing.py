"""Stores that keep the wrong thing, or keep it wrongly."""

from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from mutants import Patch, caught_by, wrap

from crmcore.errors import DuplicateKey, StorageError
from crmcore.storage import Delete, Insert, Transaction, Update
from crmcore.storage.memory import MemoryStore, MemoryTransaction

# What is kept.


def keeps(patch: Patch, convert: Callable[[Any], Any]) -> None:
    def make(original: Any, self: Any, change: Any) -> None:
        if not isinstance(change, Delete):
            change = change._replace(row=(*change.row[:2], *map(convert, change.row[2:])))
        original(self, change)

    wrap(patch, MemoryTransaction, "_make", make)


@caught_by("VALUE-01")
def decimals_go_through_float(patch: Patch) -> None:
    keeps(patch, lambda value: Decimal(float(value)) if isinstance(value, Decimal) else value)


@caught_by("VALUE-01", "KEY-06")
def texts_of_digits_lose_their_zeros(patch: Patch) -> None:
    keeps(patch, lambda value: str(int(value)) if isinstance(value, str) and value.isdecimal() else value)


@caught_by("VALUE-01", "VALUE-05")
def booleans_become_numbers(patch: Patch) -> None:
    keeps(patch, lambda value: int(value) if isinstance(value, bool) else value)


@caught_by("VALUE-01", "VALUE-04", "MODEL-01")
def instants_lose_their_zone(patch: Patch) -> None:
    keeps(patch, lambda value: value.replace(tzinfo=None) if isinstance(value, datetime) else value)


@caught_by("VALUE-02", "VALUE-01")
def a_word_becomes_none(patch: Patch) -> None:
    keeps(patch, lambda value: None if value in ("None", "NULL") else value)


@caught_by("VALUE-03")
def long_texts_are_cut(patch: Patch) -> None:
    keeps(patch, lambda value: value[:32_000] if isinstance(value, str) else value)


@caught_by("VALUE-05")
def an_update_leaves_what_is_none(patch: Patch) -> None:
    def make(original: Any, self: Any, change: Any) -> None:
        if isinstance(change, Update):
            old = self.get(change.collection, change.row[0]) or change.row
            row = tuple(was if now is None else now for now, was in zip(change.row, old, strict=True))
            change = change._replace(row=row)
        original(self, change)

    wrap(patch, MemoryTransaction, "_make", make)


# Ids and versions.


@caught_by("ID-01")
def a_row_is_found_in_any_collection(patch: Patch) -> None:
    def get(original: Any, self: Any, collection: str, id: str) -> Any:
        return next((row for name in self.schema.collections if (row := original(self, name, id))), None)

    wrap(patch, MemoryTransaction, "get", get)


@caught_by("ID-02", "HANDLE-03")
def an_insert_replaces(patch: Patch) -> None:
    def make(original: Any, self: Any, change: Any) -> None:
        if isinstance(change, Insert) and (old := self.get(change.collection, change.row[0])):
            change = Update(change.collection, change.row, old[1])
        original(self, change)

    wrap(patch, MemoryTransaction, "_make", make)


@caught_by("ID-03", "BATCH-03")
def deleted_ids_stay_taken(patch: Patch) -> None:
    gone: set[tuple[str, object]] = set()

    def make(original: Any, self: Any, change: Any) -> None:
        if isinstance(change, Delete):
            gone.add((change.collection, change.id))
        elif (change.collection, change.row[0]) in gone:
            raise DuplicateKey("taken", collection=change.collection, fields=("id",))
        original(self, change)

    wrap(patch, MemoryTransaction, "_make", make)


@caught_by("ID-04", "TX-03")
def the_store_counts_versions_itself(patch: Patch) -> None:
    def make(original: Any, self: Any, change: Any) -> None:
        if not isinstance(change, Delete):
            old = self.get(change.collection, change.row[0])
            version = 0 if old is None or isinstance(change, Insert) else old[1]
            change = change._replace(row=(change.row[0], version * 2 + 1, *change.row[2:]))
        original(self, change)

    wrap(patch, MemoryTransaction, "_make", make)


@caught_by("ID-05", "MODEL-01")
def ids_ignore_case(patch: Patch) -> None:
    def make(original: Any, self: Any, change: Any) -> None:
        ids = {row[0].casefold() for row in self.scan(change.collection)}
        if isinstance(change, Insert) and change.row[0].casefold() in ids:
            raise DuplicateKey("taken", collection=change.collection, fields=("id",))
        original(self, change)

    wrap(patch, MemoryTransaction, "_make", make)


@caught_by("ID-06")
def a_drivers_error_comes_through(patch: Patch) -> None:
    wrap(patch, MemoryTransaction, "get", lambda original, self, name, id: original(self, name, id.encode().decode()))


@caught_by("ID-07")
def many_ids_are_too_many(patch: Patch) -> None:
    wrap(patch, Transaction, "get_many", lambda original, self, name, ids: original(self, name, ids[:999]))


@caught_by("ID-07")
def absent_ids_give_none(patch: Patch) -> None:
    patch.setattr(Transaction, "get_many", lambda self, name, ids: {id: self.get(name, id) for id in ids})


# Unique keys.


@caught_by("KEY-01", "KEY-02", "KEY-03", "KEY-07", "HANDLE-03", "BATCH-02", "LARGE-02")
def keys_are_not_enforced(patch: Patch) -> None:
    patch.setattr(MemoryTransaction, "_claim_keys", lambda *_: None)
    patch.setattr(MemoryTransaction, "_forget_keys", lambda *_: None)
    an_insert_replaces(patch)


@caught_by("KEY-02", "KEY-05")
def keys_are_never_free_again(patch: Patch) -> None:
    patch.setattr(MemoryTransaction, "_forget_keys", lambda *_: None)


def keyed(patch: Patch, change_key: Callable[[tuple[Any, ...]], Iterable[Any]]) -> None:
    def unique_keys(original: Any, self: Any, collection: str, row: Any) -> Any:
        for index, names in enumerate(self.schema.collection(collection).unique):
            key = tuple(change_key(tuple(row[self.schema.collection(collection).position(name)] for name in names)))
            if key:
                yield index, names, key

    wrap(patch, MemoryTransaction, "_unique_keys", unique_keys)


@caught_by("KEY-03")
def a_compound_key_counts_by_its_first_field(patch: Patch) -> None:
    keyed(patch, lambda key: () if None in key else key[:1])


@caught_by("KEY-04")
def none_takes_a_key(patch: Patch) -> None:
    keyed(patch, lambda key: key)


@caught_by("KEY-06")
def keys_ignore_case(patch: Patch) -> None:
    keyed(patch, lambda key: () if None in key else (str(part).casefold() for part in key))


# Versions, batches, transactions.


@caught_by("CONFLICT-01", "CONFLICT-04", "HANDLE-02", "BATCH-01", "MODEL-01")
def an_update_ignores_versions(patch: Patch) -> None:
    def make(original: Any, self: Any, change: Any) -> None:
        if isinstance(change, Update) and (old := self.get(change.collection, change.row[0])):
            change = change._replace(expected_version=old[1])
        original(self, change)

    wrap(patch, MemoryTransaction, "_make", make)


@caught_by("CONFLICT-02")
def a_delete_ignores_versions(patch: Patch) -> None:
    def make(original: Any, self: Any, change: Any) -> None:
        if isinstance(change, Delete) and (old := self.get(change.collection, change.id)):
            change = change._replace(expected_version=old[1])
        original(self, change)

    wrap(patch, MemoryTransaction, "_make", make)


@caught_by("CONFLICT-03", "BATCH-07", "TX-05", "TX-06")
def a_row_that_is_gone_is_passed_over(patch: Patch) -> None:
    def make(original: Any, self: Any, change: Any) -> None:
        id = change.id if isinstance(change, Delete) else change.row[0]
        if isinstance(change, Insert) or self.get(change.collection, id):
            original(self, change)

    wrap(patch, MemoryTransaction, "_make", make)


@caught_by("CONFLICT-04")
def versions_are_those_before_the_batch(patch: Patch) -> None:
    def make(original: Any, self: Any, change: Any) -> None:
        if isinstance(change, Update):
            before = self._data.tables[change.collection].rows.get(change.row[0])
            now = self.get(change.collection, change.row[0])
            if before and now and change.expected_version == before[1]:
                change = change._replace(expected_version=now[1])
        original(self, change)

    wrap(patch, MemoryTransaction, "_make", make)


@caught_by("BATCH-01", "BATCH-02", "BATCH-05", "BATCH-07", "TX-02", "ISOLATION-02", "MODEL-01")
def an_error_keeps_what_was_done(patch: Patch) -> None:
    def leave(original: Any, self: Any, kind: Any, *rest: Any) -> None:
        if self._write:
            self._data.commit(self._changes)
        original(self, kind, *rest)

    wrap(patch, MemoryTransaction, "__exit__", leave)


@caught_by("BATCH-01", "BATCH-07", "ISOLATION-01", "ISOLATION-02", "TX-02", "THREAD-02")
def every_batch_commits_alone(patch: Patch) -> None:
    def make(original: Any, self: Any, change: Any) -> None:
        original(self, change)
        self._data.commit(self._changes)

    wrap(patch, MemoryTransaction, "_make", make)


@caught_by("BATCH-03", "KEY-07")
def changes_are_sorted_by_kind(patch: Patch) -> None:
    kinds = [Delete, Update, Insert]
    wrap(
        patch,
        MemoryTransaction,
        "apply",
        lambda original, self, changes: original(self, sorted(changes, key=lambda change: kinds.index(type(change)))),
    )


@caught_by("BATCH-04")
def changes_are_read_twice(patch: Patch) -> None:
    def apply(original: Any, self: Any, changes: Any) -> None:
        sum(1 for _ in changes)
        original(self, changes)

    wrap(patch, MemoryTransaction, "apply", apply)


@caught_by("BATCH-05")
def errors_of_the_source_are_disguised(patch: Patch) -> None:
    def apply(original: Any, self: Any, changes: Any) -> None:
        try:
            original(self, changes)
        except LookupError as error:
            raise StorageError("no") from error

    wrap(patch, MemoryTransaction, "apply", apply)


@caught_by("BATCH-06")
def an_empty_batch_is_an_error(patch: Patch) -> None:
    def apply(original: Any, self: Any, changes: Any) -> None:
        found = list(changes)
        if not found:
            raise StorageError("nothing to do")
        original(self, found)

    wrap(patch, MemoryTransaction, "apply", apply)


@caught_by("TX-01", "ISOLATION-03", "LARGE-01", "CAPABILITY-04")
def nothing_is_committed(patch: Patch) -> None:
    wrap(patch, MemoryTransaction, "__exit__", lambda original, self, kind, *rest: original(self, kind or KeyError))
    patch.setattr(MemoryStore, "check", lambda self: ["nothing is here"])


@caught_by("TX-03")
def own_writes_are_unseen(patch: Patch) -> None:
    patch.setattr(MemoryTransaction, "get", lambda self, name, id: self._data.tables[name].rows.get(id))


@caught_by("TX-04")
def readers_may_write(patch: Patch) -> None:
    wrap(patch, MemoryTransaction, "__init__", lambda original, self, data, *, write: original(self, data, write=True))


@caught_by("TX-05")
def a_failed_transaction_goes_on(patch: Patch) -> None:
    def check(original: Any, self: Any) -> None:
        if self._state == "over":
            original(self)

    wrap(patch, MemoryTransaction, "_check_open", check)


@caught_by("TX-06")
def a_swallowed_error_is_forgotten(patch: Patch) -> None:
    def leave(original: Any, self: Any, kind: Any, *rest: Any) -> None:
        original(self, kind or (KeyError if self._state == "failed" else None), *rest)

    wrap(patch, MemoryTransaction, "__exit__", leave)


@caught_by("TX-05", "TX-07")
def transactions_never_end(patch: Patch) -> None:
    patch.setattr(MemoryTransaction, "_check_open", lambda self: None)


@caught_by("TX-08")
def a_scan_goes_by_place(patch: Patch) -> None:
    def scan(original: Any, self: Any, collection: str) -> Any:
        place = 0
        while place < len(rows := sorted(original(self, collection), key=lambda row: row[1])):
            yield rows[place]
            place += 1

    wrap(patch, MemoryTransaction, "scan", scan)
