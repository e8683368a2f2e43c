"""Stores of one file that claim, back up, upgrade, show or open wrongly."""

import os
import pickle
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
import file_store
from file_store import FileBackend, FileStore
from mutants import Harness, Patch, caught_by, file_harness, wrap

from crmcore.errors import QueryError, StorageError
from crmcore.storage import Change, Delete, Edit, Insert, Query, Row, Scan, Schema, Store, StoreURL, Unreadable, Update
from crmcore.storage.memory import MemoryData, MemoryStore, MemoryTransaction

# Claims.


@caught_by("CLAIM-01", "CLAIM-03")
def a_claim_has_no_limit(patch: Patch) -> None:
    wrap(
        patch,
        Store,
        "claim",
        lambda original, self, query, change: original(self, Query(query.collection, query.where, query.order), change),
    )


@caught_by("CLAIM-02", "CLAIM-04", "OUTBOX-02")
def a_claim_is_not_kept(patch: Patch) -> None:
    def claim(self: Any, query: Query, change: Any) -> list[Row]:
        with self.transaction() as work:
            found = list(work.find(query))
        # Gone for the next, so that claiming comes to an end.
        with self.transaction(write=True) as work:
            work.apply(Delete(query.collection, str(row[0]), row[1]) for row in found)
        return [change(row) for row in found]

    patch.setattr(Store, "claim", claim)


class TwoSteps(FileBackend):
    """Looks for rows in one transaction, and takes them in the next without asking whether they are still free."""

    class store(FileStore):  # noqa: N801 - it stands in the place of an attribute
        def claim(self, query: Query, change: Callable[[Row], Row]) -> list[Row]:
            with self.transaction() as work:
                found = list(work.find(query))
            claimed = []
            with self.transaction(write=True) as work:
                for row in found:
                    now = work.get(query.collection, str(row[0])) or row
                    work.apply([Update(query.collection, change(row), int(str(now[1])))])
                    claimed.append(change(row))
            return claimed


@caught_by("CLAIM-04", "CLAIM-05")
def rows_are_looked_for_before_they_are_taken(patch: Patch) -> Callable[[], Harness]:
    return file_harness(TwoSteps())


@caught_by("CLAIM-06", "CLAIM-07")
def rows_are_claimed_one_by_one(patch: Patch) -> None:
    def claim(self: Any, query: Query, change: Any) -> list[Row]:
        with self.transaction() as work:
            found = list(work.find(query))
        for row in found:
            with self.transaction(write=True) as work:
                work.apply([Update(query.collection, change(row), row[1])])
        return [change(row) for row in found]

    patch.setattr(Store, "claim", claim)


@caught_by("CLAIM-08")
def a_claim_of_nonsense_is_a_claim_of_nothing(patch: Patch) -> None:
    def claim(original: Any, self: Any, query: Query, change: Any) -> list[Row]:
        try:
            return list(original(self, query, change))
        except QueryError:
            return []

    wrap(patch, Store, "claim", claim)


@caught_by("CLAIM-09")
def a_closed_store_claims(patch: Patch) -> None:
    def claim(original: Any, self: Any, query: Query, change: Any) -> list[Row]:
        closed, self._closed = self._closed, False
        try:
            return list(original(self, query, change))
        finally:
            self._closed = closed

    wrap(patch, Store, "claim", claim)


@caught_by("OUTBOX-01")
def messages_are_kept_whatever_happens(patch: Patch) -> None:
    def leave(original: Any, self: Any, kind: Any, *rest: Any) -> None:
        if self._write and kind is not None:
            self._data.tables = {**self._data.tables, "group": self._tables["group"]}
        original(self, kind, *rest)

    wrap(patch, MemoryTransaction, "__exit__", leave)


@caught_by("MODEL-02")
def a_claim_keeps_a_row_to_itself(patch: Patch) -> None:
    wrap(patch, Store, "claim", lambda original, self, query, change: original(self, query, change)[:-1])


# Readers.


@caught_by("ISOLATION-06")
def pages_show_what_is_newest(patch: Patch) -> None:
    def find(original: Any, self: Any, query: Query) -> Any:
        if not self._write and query.after is not None:
            self._tables = dict(self._data.tables)
        return original(self, query)

    wrap(patch, MemoryTransaction, "find", find)


@caught_by("ISOLATION-07")
def readers_see_what_is_not_committed(patch: Patch) -> None:
    def make(original: Any, self: Any, change: Any) -> None:
        original(self, change)
        self._data.tables = dict(self._tables)

    wrap(patch, MemoryTransaction, "_make", make)


# Cleaning.


@caught_by("CLEAN-01")
def cleaning_takes_rows(patch: Patch) -> None:
    def clean(original: Any, self: Any) -> Any:
        with self.transaction(write=True) as work:
            work.apply([Delete("values", "1", 2)])
        return original(self)

    wrap(patch, MemoryStore, "clean", clean)


@caught_by("CLEAN-02")
def an_old_version_is_kept(patch: Patch) -> Callable[[], Harness]:
    def save(original: Any, path: str, kept: Any) -> None:
        if os.path.exists(path) and not os.path.exists(f"{path}.old"):
            shutil.copyfile(path, f"{path}.old")
        elif os.path.exists(path):
            with open(path, "rb") as now, open(f"{path}.old", "ab") as old:
                old.write(now.read())
        original(path, kept)

    wrap(patch, file_store, "save", save)
    return file_harness(FileBackend())


@caught_by("CLEAN-03")
def a_closed_store_is_cleaned(patch: Patch) -> None:
    patch.setattr(MemoryStore, "clean", lambda self: ())


# Backups.


@caught_by("BACKUP-01", "BACKUP-02", "BACKUP-03")
def a_backup_has_no_small_collections(patch: Patch) -> Callable[[], Harness]:
    def backup(original: Any, self: Any, target: str) -> None:
        original(self, target)
        kept = file_store.load(target)
        assert kept is not None
        kept.rows = {name: rows if name == "values" else [] for name, rows in kept.rows.items()}
        file_store.save(target, kept)

    wrap(patch, FileStore, "backup", backup)
    return file_harness(FileBackend())


@caught_by("BACKUP-02")
def a_backup_is_the_same_file(patch: Patch) -> Callable[[], Harness]:
    def backup(original: Any, self: Any, target: str) -> None:
        original(self, target)
        os.unlink(target)
        os.link(self._path, target)

    def save(path: str, kept: Any) -> None:
        with open(path, "wb") as file:
            file.write(file_store.MAGIC + pickle.dumps(kept))

    wrap(patch, FileStore, "backup", backup)
    patch.setattr(file_store, "save", save)
    return file_harness(FileBackend())


@caught_by("BACKUP-03")
def a_backup_holds_what_is_not_committed(patch: Patch) -> Callable[[], Harness]:
    under_way: list[Any] = []

    @contextmanager
    def transaction(original: Any, self: Any, *, write: bool = False) -> Iterator[Any]:
        with original(self, write=write) as work:
            if write:
                under_way[:] = [work]
            yield work

    def backup(original: Any, self: Any, target: str) -> None:
        original(self, target)
        kept = file_store.load(target)
        assert kept is not None
        kept.rows["group"] = list(under_way[0].scan("group"))
        file_store.save(target, kept)

    wrap(patch, FileStore, "transaction", transaction)
    wrap(patch, FileStore, "backup", backup)
    return file_harness(FileBackend())


@caught_by("BACKUP-04")
def a_backup_overwrites(patch: Patch) -> Callable[[], Harness]:
    def backup(original: Any, self: Any, target: str) -> None:
        if os.path.exists(target):
            os.unlink(target)
        original(self, target)

    wrap(patch, FileStore, "backup", backup)
    return file_harness(FileBackend())


@caught_by("BACKUP-05")
def a_backup_makes_folders(patch: Patch) -> Callable[[], Harness]:
    def backup(original: Any, self: Any, target: str) -> None:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        original(self, target)

    wrap(patch, FileStore, "backup", backup)
    return file_harness(FileBackend())


@caught_by("BACKUP-06")
def a_closed_store_makes_a_backup(patch: Patch) -> Callable[[], Harness]:
    def backup(original: Any, self: Any, target: str) -> None:
        self._closed = False
        original(self, target)

    wrap(patch, FileStore, "backup", backup)
    return file_harness(FileBackend())


# Schemas.


@caught_by("UPGRADE-01")
def only_the_programs_schema_is_known(patch: Patch) -> Callable[[], Harness]:
    patch.setattr(FileBackend, "stored", lambda self, url: Schema.of(7, []))
    return file_harness(FileBackend())


@caught_by("UPGRADE-02")
def asking_for_the_schema_makes_the_file(patch: Patch) -> Callable[[], Harness]:
    def stored(original: Any, self: Any, url: StoreURL) -> Any:
        from crmcore.testing import SCHEMA

        self.open(url, SCHEMA).close()
        return original(self, url)

    wrap(patch, FileBackend, "stored", stored)
    return file_harness(FileBackend())


@caught_by("UPGRADE-03")
def older_data_are_good_enough(patch: Patch) -> Callable[[], Harness]:
    def check(original: Any, self: Any, kept: Any) -> None:
        if kept.version >= self.schema.version:
            original(self, kept)

    wrap(patch, FileStore, "_check", check)
    return file_harness(FileBackend())


@caught_by("UPGRADE-04")
def an_upgrade_passes_over_a_row(patch: Patch) -> Callable[[], Harness]:
    def upgrade(original: Any, self: Any, url: StoreURL, schema: Schema, rewrite: Any) -> None:
        original(self, url, schema, lambda scan: list(rewrite(scan))[1:])

    wrap(patch, FileBackend, "upgrade", upgrade)
    return file_harness(FileBackend())


class InPlace(FileBackend):
    """Writes the new schema down first, and each row as it comes."""

    def upgrade(self, url: StoreURL, schema: Schema, rewrite: Callable[[Scan], Iterable[Insert]]) -> None:
        kept = file_store.load(url.path)
        assert kept is not None
        old, data = kept.rows, MemoryData(schema)
        with MemoryTransaction(data, write=True) as work:
            for change in rewrite(lambda name: iter(old[name])):
                work.apply([change])
                new = {name: list(work.scan(name)) for name in schema.collections}
                file_store.save(url.path, file_store.Kept(schema.version, schema.fingerprint, new, {}))


@caught_by("UPGRADE-05", "UPGRADE-06", "UPGRADE-07")
def an_upgrade_is_written_as_it_goes(patch: Patch) -> Callable[[], Harness]:
    return file_harness(InPlace())


@caught_by("URL-04")
def any_file_is_overwritten(patch: Patch) -> Callable[[], Harness]:
    def load(original: Any, path: str) -> Any:
        try:
            return original(path)
        except StorageError:
            return None

    wrap(patch, file_store, "load", load)
    return file_harness(FileBackend())


@caught_by("URL-05")
def folders_are_made(patch: Patch) -> Callable[[], Harness]:
    def opened(original: Any, self: Any, url: StoreURL, schema: Schema) -> Any:
        os.makedirs(os.path.dirname(url.path), exist_ok=True)
        return original(self, url, schema)

    wrap(patch, FileBackend, "open", opened)
    return file_harness(FileBackend())


# Crashes.


class BatchByBatch(FileBackend):
    """Writes every batch down as it comes."""

    class store(FileStore):  # noqa: N801 - it stands in the place of an attribute
        @contextmanager
        def transaction(self, *, write: bool = False) -> Iterator[MemoryTransaction]:
            with super().transaction(write=write) as work:
                apply = work.apply

                def applied(changes: Iterable[Change]) -> None:
                    apply(changes)
                    kept = file_store.load(self._path)
                    assert kept is not None
                    kept.rows = {name: list(work.scan(name)) for name in self.schema.collections}
                    self._save(kept)

                work.apply = applied  # type: ignore[method-assign]
                yield work


class Late(FileBackend):
    """Writes down what was committed when it is closed."""

    class store(FileStore):  # noqa: N801
        def _save(self, kept: Any) -> None:
            if os.path.exists(self._path):
                self._late = kept
            else:
                super()._save(kept)

        def _read(self) -> Any:
            kept, data = super()._read()
            if hasattr(self, "_late"):
                kept = self._late
                data = MemoryData(self.schema)
                with MemoryTransaction(data, write=True) as work:
                    work.apply(Insert(name, row) for name, rows in kept.rows.items() for row in rows)
            return kept, data

        def close(self) -> None:
            if hasattr(self, "_late"):
                super()._save(self._late)
            super().close()


class Overwriting(FileBackend):
    """Writes over the file instead of putting another in its place."""

    class store(FileStore):  # noqa: N801
        def _save(self, kept: Any) -> None:
            with open(self._path, "wb") as file:
                file.write(file_store.MAGIC + pickle.dumps(kept))


class Untidy(FileBackend):
    """Leaves what dead processes left."""

    class store(FileStore):  # noqa: N801
        def _sweep(self) -> None:
            pass


@caught_by("CRASH-01", "CRASH-06")
def batches_are_kept_one_by_one(patch: Patch) -> Callable[[], Harness]:
    return file_harness(BatchByBatch())


@caught_by("CRASH-01")
def commits_are_kept_when_the_store_is_closed(patch: Patch) -> Callable[[], Harness]:
    return file_harness(Late())


@caught_by("CRASH-02", "CRASH-03", "CRASH-04")
def the_file_is_written_over(patch: Patch) -> Callable[[], Harness]:
    return file_harness(Overwriting())


@caught_by("CRASH-05")
def litter_stays(patch: Patch) -> Callable[[], Harness]:
    return file_harness(Untidy())


# What people edit.


@caught_by("CAPABILITY-05")
def edits_are_declared_and_nobody_edits(patch: Patch) -> Callable[[], Harness]:
    def make() -> Harness:
        harness = file_harness(FileBackend())()
        harness.edit = None
        return harness

    return make


def told(patch: Patch, change: Callable[[Sequence[Edit]], Sequence[Edit]]) -> Callable[[], Harness]:
    wrap(patch, FileStore, "edits", lambda original, self: change(original(self)))
    return file_harness(FileBackend())


@caught_by("EDIT-01", "EDIT-03", "EDIT-04", "EDIT-05", "EDIT-08", "EDIT-09", "EDIT-10")
def edits_are_not_told(patch: Patch) -> Callable[[], Harness]:
    return told(patch, lambda edits: [])


@caught_by("EDIT-02")
def a_value_taken_away_is_no_edit(patch: Patch) -> Callable[[], Harness]:
    return told(
        patch,
        lambda edits: [edit for edit in edits if all(cell.after is not None for cell in edit.cells)],
    )


@caught_by("EDIT-04")
def nonsense_is_none(patch: Patch) -> Callable[[], Harness]:
    def none(edit: Edit) -> Edit:
        cells = (attrs.evolve(cell, after=None) if isinstance(cell.after, Unreadable) else cell for cell in edit.cells)
        return attrs.evolve(edit, cells=tuple(cells))

    return told(patch, lambda edits: list(map(none, edits)))


@caught_by("EDIT-05", "EDIT-09")
def marks_are_new_each_time(patch: Patch) -> Callable[[], Harness]:
    return told(patch, lambda edits: [attrs.evolve(edit, mark=os.urandom(8).hex()) for edit in edits])


def taking_over(patch: Patch) -> Callable[[], Harness]:
    """The store takes edits for rows, as it opens."""

    def opened(original: Any, self: Any, path: str, schema: Schema, wait: float) -> None:
        original(self, path, schema, wait)
        changes = []
        for edit in self._edits:
            if edit.kind == "removed":
                changes.append(Delete(edit.collection, str(edit.id), 1))
        with self.transaction(write=True) as work:
            work.apply(changes)

    wrap(patch, FileStore, "__init__", opened)
    return file_harness(FileBackend())


@caught_by("EDIT-06")
def edits_become_rows_by_themselves(patch: Patch) -> Callable[[], Harness]:
    return taking_over(patch)


@caught_by("EDIT-07", "EDIT-12")
def every_saving_is_an_edit(patch: Patch) -> Callable[[], Harness]:
    def between(original: Any, kept: Any, view: Any, schema: Schema) -> list[Edit]:
        found: list[Edit] = original(kept, view, schema)
        if view is not None and not found:
            found = [Edit(mark="saved", kind="changed", collection="values", id="a", row=1)]
        return found

    wrap(patch, file_store, "edits_between", between)
    return file_harness(FileBackend())


@caught_by("EDIT-08", "EDIT-10")
def edits_are_never_over(patch: Patch) -> Callable[[], Harness]:
    patch.setattr(FileStore, "settle_edits", lambda self: None)
    return file_harness(FileBackend())


@caught_by("EDIT-09")
def closing_writes_over_edits(patch: Patch) -> Callable[[], Harness]:
    def close(original: Any, self: Any) -> None:
        self.settle_edits()
        original(self)

    wrap(patch, FileStore, "close", close)
    return file_harness(FileBackend())


@caught_by("EDIT-11")
def presenting_takes_rows_away(patch: Patch) -> None:
    def present(self: Any, presentation: Any) -> None:
        self._data.tables = {
            **self._data.tables,
            "keys": MemoryData(self.schema).tables["keys"],
            "group": MemoryData(self.schema).tables["group"],
        }

    patch.setattr(MemoryStore, "present", present, raising=False)
