"""An open workbook store: all rows in memory, what is committed in the journal, the workbook written now and then."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from crmcore.errors import (
    CRMError,
    ReadOnly,
    StorageError,
    StoreBusy,
    StoreClosed,
    StoreCorrupt,
    StoreFull,
    StoreUnavailable,
)
from crmcore.storage import Insert, Scan, Schema, Store
from crmcore.storage.filesystems import filesystem_of
from crmcore.storage.memory import Changes, MemoryData, MemoryTransaction
from crmcore.storage.presentation import Edit, Presentation
from crmcore_excel import checkpointing
from crmcore_excel.journal import Fingerprint, Header, Mark, OpenJournal, scan
from crmcore_excel.loading import Loaded, check_name, edited_alone, litter, load, load_alone, recover, replay
from crmcore_excel.locking import WriterLock
from crmcore_excel.owners import owner_of
from crmcore_excel.places import Places, Settings, fingerprint
from crmcore_excel.records import NOTHING, RecordForm
from crmcore_excel.replacing import typed_errors

LIMIT = 200_000
"""Rows of all collections together: more take longer to open and to write than people wait."""
JOURNAL_LIMIT = 4 * 2**20
"""Bytes of the journal at which the workbook is written, and again at each multiple while that isn't possible."""

_log = logging.getLogger("crmcore.excel")


class ExcelStore(Store):
    """One workbook and the folder that belongs to it. Shared by threads; a forked child reads the files for itself."""

    def __init__(self, settings: Settings, schema: Schema) -> None:
        self.schema = schema
        self.settings = settings
        self.places = settings.places
        self._form = RecordForm(schema)
        self._presentation: Presentation | None = None
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._alone = WriterLock(self.places.lock)
        self._writing_workbook = WriterLock(self.places.turn)
        # Whoever reads the journal or adds to it, of the threads of this handle.
        self._turn = threading.Lock()
        self._due = False
        self._next_try = JOURNAL_LIMIT
        with typed_errors(self.places.workbook):
            self.read_only = not _prepare(self.places, self.schema)
            self._now = self._load()

    def _load(self) -> Loaded:
        if self.read_only:
            return load_alone(self.places, self.schema)
        try:
            loaded = load(self.places, self.schema)
        except (FileNotFoundError, StoreUnavailable, StoreCorrupt):  # made or written this moment, or broken
            loaded = None
        if loaded is not None and not litter(self.places):
            return loaded
        try:
            self._alone.take(self.settings.wait_seconds if loaded is None else 0)
        except StoreBusy:  # somebody is just writing the workbook, perhaps
            if loaded is None:
                raise
            return loaded
        try:
            return self._recover()
        finally:
            self._alone.give()

    def _recover(self) -> Loaded:
        """Under the writer's lock."""
        try:
            self._writing_workbook.take(0)
        except StoreBusy:
            return recover(self.places, self.schema, sweep=False)
        try:
            return recover(self.places, self.schema, sweep=True)
        finally:
            self._writing_workbook.give()

    # Transactions.

    def transaction(self, *, write: bool = False) -> MemoryTransaction:
        self._check_open()
        if write:
            return _ExcelTransaction(self, self._now.data)
        self._refresh()
        return MemoryTransaction(self._now.data, write=False)

    def begin(self) -> MemoryData:
        """Takes the writer's turn, until :meth:`end`; the tables as last committed."""
        if self.read_only:
            raise _read_only(self.places)
        with typed_errors(self.places.lock):
            self._alone.take(self.settings.wait_seconds)
        try:
            with self._turn:
                self._follow(alone=True)
        except BaseException:
            self._alone.give()
            raise
        return self._now.data

    def end(self) -> None:
        """The next writer's turn. A journal that has become long is made short then."""
        long = self._now.mark.end >= self._next_try
        self._alone.give()
        if long:
            self._try_checkpoint(0)

    @contextmanager
    def _held(self) -> Iterator[None]:
        self.begin()
        try:
            yield
        finally:
            self._alone.give()

    def commit(self, changes: Changes) -> None:
        """Adds the changes to the journal, then to the tables. Under the writer's lock."""
        self._check_size(changes)
        body = self._form.dump(changes)
        with self._turn:
            after = self._append(body)
            self._now.data.commit(changes)
            # Last, so that a record whose changes were interrupted is read again.
            self._now.mark = after

    def _append(self, body: bytes) -> Mark:
        with typed_errors(self.places.journal), OpenJournal(self.places.journal, write=True) as journal:
            self._due = True
            return journal.append(body, self._now.mark)

    def _check_size(self, changes: Changes) -> None:
        tables = self._now.data.tables
        total = sum(len(table.rows) for table in tables.values())
        for name, changed in changes.items():
            there = tables[name].rows
            total += sum((row is not None) - (id in there) for id, row in changed.rows.items())
        if total > LIMIT:
            raise StoreFull.phrased(
                "a workbook holds {limit} rows as a store, and no more: move the data with crmcore copy excel:///{name}"
                " sqlite:///crm.db",
                limit=LIMIT,
                name=self.places.workbook.name,
            )

    def _refresh(self) -> None:
        """Reads what others have committed; without a lock, unless the files have become others."""
        with self._turn:
            try:
                if self._follow(alone=False):
                    return
            except StoreCorrupt:  # or half written this moment: the lock will tell
                pass
        if self.read_only:
            with self._turn, typed_errors(self.places.workbook):
                self._now = load_alone(self.places, self.schema)
            return
        with self._held():
            pass

    def _follow(self, *, alone: bool) -> bool:
        now = self._now
        if self.read_only and not self.places.journal.exists():
            return True
        with typed_errors(self.places.journal), OpenJournal(self.places.journal, write=alone) as journal:
            last = journal.stands_at(now.header, now.mark)
            if last:
                return True
            header = now.header if last is False else journal.header()
            mark = now.mark if last is False else header.mark
            found = scan(journal.rest(mark), mark, self.places.journal)
            if found.torn and alone:
                journal.wipe(found.mark, found.torn)
        records = found.records
        if last is None:
            known = [mark[1:], *((record.sequence, record.checksum) for record in records)]
            if now.mark[1:] not in known or header.schema != now.header.schema:
                return self._reload(alone=alone)
            # Somebody has written the workbook; what is known here is in it, or in the new journal.
            records = records[known.index(now.mark[1:]) :]
            now.header, now.seen, now.edits, now.later = header, header.fingerprint, (), False
        replay(records, now.data, header.base)
        now.mark = found.mark
        return True

    def _reload(self, *, alone: bool) -> bool:
        if not alone:
            return False
        with typed_errors(self.places.workbook):
            self._now = self._recover()
        return True

    # The workbook.

    def present(self, presentation: Presentation) -> None:
        self._presentation = presentation

    def edits(self) -> Sequence[Edit]:
        self._check_open()
        return () if self.read_only else self._now.edits

    def settle_edits(self) -> None:
        self._check_open()
        with self._held(), typed_errors(self.places.folder):
            if self._now.seen == self._now.header.fingerprint:
                return
            checkpointing.settle(self.places, self._now)
            self._due = True
        if self.settings.checkpoint == "close":  # before somebody opens it again and goes on in new rows without an id
            self._try_checkpoint(0)

    def checkpoint(self) -> None:
        """Writes the workbook as last committed, verified, in the place of the old one.

        Raises :class:`StoreUnavailable` while another program has it open or a person's edits in it wait to be looked at;
        the journal keeps everything meanwhile.
        """
        self._check_open()
        self._checkpoint(self.settings.wait_seconds)

    def _checkpoint(self, wait_seconds: float) -> None:
        if self.read_only:
            raise _read_only(self.places)
        with typed_errors(self.places.workbook):
            self._writing_workbook.take(wait_seconds)
            try:
                with self._held():
                    now = self._ready()
                    if now.mark.sequence == now.header.base:
                        with self._turn:  # two workbooks of one number could not be told apart after a crash
                            now.mark = self._append(NOTHING)
                    mark, snapshot = now.mark, now.data.begin_reading()
                try:
                    written = checkpointing.write(
                        self.places, now.header, self.schema, snapshot.tables, mark, self._presentation
                    )
                finally:
                    now.data.end_reading(snapshot)
                with self._held():
                    self._put_in_place(now.header, self.schema, mark, written)
            finally:
                self._writing_workbook.give()

    def _ready(self) -> Loaded:
        """The store, when its workbook may be written; what a person saved is kept. Under both locks."""
        if fingerprint(self.places.base) != self._now.header.fingerprint or self.places.next.exists():
            with self._turn:  # a checkpoint was cut short
                self._now = recover(self.places, self.schema, sweep=True)
        checkpointing.check_free(self.places, self._now)
        if self._now.seen != self._now.header.fingerprint:
            checkpointing.keep_person(self.places, self._now)
        return self._now

    def _put_in_place(self, header: Header, schema: Schema, mark: Mark, written: Fingerprint) -> None:
        with self._turn:
            if self._now.header != header:
                raise StoreBusy("the files were put in order by somebody else meanwhile")
            checkpointing.put_in_place(self.places, self._now, schema, mark, written)
        self._due = self._now.mark.sequence > mark.sequence
        self._next_try = JOURNAL_LIMIT

    def _try_checkpoint(self, wait_seconds: float) -> None:
        try:
            self._checkpoint(wait_seconds)
        except (
            Exception
        ) as problem:  # the journal has it all, and a commit that is done must not look like one that failed
            # The log takes the error itself, which can be told in another language.
            told = problem if isinstance(problem, CRMError) else f"{type(problem).__name__} while it was drawn"
            self._next_try = self._now.mark.end + JOURNAL_LIMIT
            checkpointing.tell_postponed(self.places, getattr(problem, "code", ""), str(told))
            _log.warning("the workbook is not written yet: %s", told)
            _log.debug("the workbook is not written yet", exc_info=True)  # which may show what stands in rows

    def close(self) -> None:
        if self._closed:
            return
        try:
            mine = self.settings.checkpoint == "close" and os.getpid() == self._process
            if mine and (self._due or self._may_catch_up()) and self._is_behind():
                self._try_checkpoint(self.settings.wait_seconds)
        finally:
            self._closed = True
            if os.getpid() == self._process:
                self._alone.close()
                self._writing_workbook.close()

    def _may_catch_up(self) -> bool:
        """Whether the workbook could not be written for something that may be gone now."""
        if self.read_only or self._now.edits or not checkpointing.was_in_the_way(self.places):
            return False
        owner = owner_of(self.places.workbook)
        return owner is None or not owner.live

    def _is_behind(self) -> bool:
        """Whether the workbook lacks something; somebody who closed before may have written it."""
        try:
            self._refresh()
        except StorageError as problem:
            _log.info("the workbook is not written yet: %s", problem.message)
            return False
        now = self._now
        return now.mark.sequence > now.header.base or now.seen != now.header.fingerprint

    def clean(self) -> Sequence[str]:
        self.checkpoint()
        with typed_errors(self.places.folder):
            return checkpointing.forget_older(self.places)

    def backup(self, target: str) -> None:
        self._check_open()
        self._refresh()
        with self._turn:
            data, mark, header = self._now.data, self._now.mark, self._now.header
            snapshot = data.begin_reading()
        try:
            checkpointing.back_up(Path(target), self.schema, snapshot.tables, header, mark, self._presentation)
        finally:
            data.end_reading(snapshot)

    def replace_all(self, schema: Schema, rewrite: Callable[[Scan], Iterable[Insert]]) -> None:
        """See :meth:`Backend.upgrade`. The handle is of no further use."""
        with typed_errors(self.places.workbook):
            self._writing_workbook.take(self.settings.wait_seconds)
            try:
                with self._held():
                    now, data = self._ready(), MemoryData(schema)
                    with MemoryTransaction(now.data, write=False) as old, MemoryTransaction(data, write=True) as new:
                        new.apply(rewrite(old.scan))
                    # An empty record, so that the number of the new workbook is one that the journal has reached.
                    now.mark = self._append(NOTHING)
                    written = checkpointing.write(
                        self.places, now.header, schema, data.tables, now.mark, self._presentation
                    )
                    self._put_in_place(now.header, schema, now.mark, written)
            finally:
                self._writing_workbook.give()

    # What the doctor asks.

    def describe(self) -> dict[str, object]:
        self._check_open()
        self._refresh()
        owner = owner_of(self.places.workbook)
        tables = self._now.data.tables
        return {
            "path": str(self.places.workbook),
            "folder": str(self.places.folder),
            "filesystem": filesystem_of(str(self.places.workbook)) or "unknown",
            "read_only": self.read_only,
            "schema_version": self.schema.version,
            "sequence": self._now.mark.sequence,
            "workbook_sequence": self._now.header.base,
            "journal_bytes": self._now.mark.end,
            "rows": sum(len(table.rows) for table in tables.values()),
            "row_limit": LIMIT,
            "wait_seconds": self.settings.wait_seconds,
            "checkpoint": self.settings.checkpoint,
            "postponed": checkpointing.postponed(self.places),
            "open_in": None if owner is None else {"file": owner.file.name, "user": owner.user, "live": owner.live},
            "edits_waiting": len(self._now.edits),
            "edits_later": self._now.later,
            "backups": sorted(path.name for path in self.places.backups.glob("*.xlsx")),
        }

    def check(self) -> list[str]:
        self._check_open()
        if self.read_only:
            return []
        with self._held():
            return checkpointing.check(self.places, self.schema, self._now)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed("the store is closed")
        if os.getpid() != self._process:  # a fork's child shares its parent's lock, and perhaps a change half made
            self._begin()


class _ExcelTransaction(MemoryTransaction):
    """A writer's: its changes go to the journal first."""

    def __init__(self, store: ExcelStore, data: MemoryData) -> None:
        super().__init__(data, write=True)
        self._store = store

    def __enter__(self) -> Self:
        self._data, self._process = self._store.begin(), os.getpid()
        try:
            return super().__enter__()
        except BaseException:
            self._store.end()
            raise

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if os.getpid() != self._process:  # it is the parent's, and so is the lock
            self._state = "over"
            if kind is None:
                raise StoreClosed("a transaction ends in the process that began it")
            return
        try:
            super().__exit__(kind, *rest)
        finally:
            self._store.end()

    def _commit(self, changes: Changes) -> None:
        self._store.commit(changes)


def _prepare(places: Places, schema: Schema) -> bool:
    """Makes the folder beside a workbook where it may be one's own; False where nothing may be written."""
    from crmcore_excel.checkpoints import read_checkpoint

    if places.workbook.is_dir():
        raise StoreUnavailable.phrased("{path} is a folder, not a file", path=str(places.workbook))
    parent = places.workbook.parent
    if not parent.is_dir():
        raise StoreUnavailable.phrased("there is no folder {path}", path=str(parent))
    if places.folder.is_dir():
        journal = places.journal
        return _may_write(places.folder) and (not journal.exists() or _may_write(journal)) and _may_write(parent)
    if places.workbook.exists():
        # Another program's is left alone, with nothing beside it.
        if read_checkpoint(places.workbook, schema).edited:
            raise edited_alone(places)
        check_name(places)
        if not _may_write(parent):
            return False
    elif not _may_write(parent):
        raise StoreUnavailable.phrased("no file can be made in {path}: it may not be written", path=str(parent))
    places.folder.mkdir(exist_ok=True)
    if sys.platform == "win32":
        import ctypes

        ctypes.windll.kernel32.SetFileAttributesW(str(places.folder), 2)  # hidden
    return True


def _read_only(places: Places) -> ReadOnly:
    return ReadOnly.phrased("{path} may not be written", path=str(places.folder))


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK)
