"""A small store in one file, for the clauses that memory can't be tried by: it lasts, is shared by processes, backed up,
upgraded, and edited by people. Each commit replaces the whole file."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import attrs
from filelock import FileLock, Timeout

from crmcore.errors import SchemaMismatch, StoreBusy, StoreClosed, StoreCorrupt, StoreUnavailable
from crmcore.storage import (
    Backend,
    Capability,
    CellEdit,
    Edit,
    Insert,
    Presentation,
    Row,
    Scan,
    Schema,
    StoreURL,
    Unreadable,
)
from crmcore.storage.memory import MemoryData, MemoryStore, MemoryTransaction
from crmcore.testing.edit_plan import PersonsEdit

MAGIC = b"crmcore kit\n"

#: What a person sees: per collection the rows, each with its id, or None where the person added it.
View = dict[str, list[dict[str, Any]]]


@attrs.define
class Kept:
    """What the file holds: the schema, the rows, and the view as the store last wrote it."""

    version: int
    fingerprint: str
    rows: dict[str, list[Row]]
    shown: View


class FileBackend(Backend):
    """``kitfile:////srv/data``."""

    capabilities: ClassVar = frozenset(
        {
            Capability.DURABLE,
            Capability.MULTI_PROCESS,
            Capability.SNAPSHOT_READS,
            Capability.EXTERNAL_EDITS,
        }
    )
    store: ClassVar[type[FileStore]]

    def open(self, url: StoreURL, schema: Schema) -> FileStore:
        wait = float(url.take({"wait": "20"})["wait"])
        if not os.path.isdir(os.path.dirname(url.path)):
            raise StoreUnavailable("there is no such folder")
        return self.store(url.path, schema, wait)

    def stored(self, url: StoreURL) -> Schema | None:
        kept = load(url.path)
        return None if kept is None else Schema.from_fingerprint(kept.version, kept.fingerprint)

    def upgrade(self, url: StoreURL, schema: Schema, rewrite: Callable[[Scan], Iterable[Insert]]) -> None:
        with locked(url.path, 20):
            kept = load(url.path)
            old = {} if kept is None else kept.rows
            data = MemoryData(schema)
            with MemoryTransaction(data, write=True) as work:
                work.apply(rewrite(lambda name: iter(old[name])))
            self.save(url.path, kept_of(data, {}))

    def save(self, path: str, kept: Kept) -> None:
        save(path, kept)


class FileStore(MemoryStore):
    """A handle; nothing is held in memory between transactions."""

    def __init__(self, path: str, schema: Schema, wait: float) -> None:
        self.schema = schema
        self._path = path
        self._wait_seconds = wait
        self._closed = False
        self._presentation: Presentation | None = None
        with locked(path, wait):
            self._sweep()
            kept = load(path)
            if kept is None:
                kept = kept_of(MemoryData(schema), {})
                self._save(kept)
            self._check(kept)
            self._edits = edits_between(kept, view_of(path), schema)

    def _sweep(self) -> None:
        """Takes away what processes left that died before they replaced the file."""
        for litter in glob.glob(f"{glob.escape(self._path)}.new*"):
            os.unlink(litter)

    def _check(self, kept: Kept) -> None:
        if (kept.version, kept.fingerprint) != (self.schema.version, self.schema.fingerprint):
            raise SchemaMismatch("the data are of another schema", found=kept.version, expected=self.schema.version)

    def _read(self) -> tuple[Kept, MemoryData]:
        kept = load(self._path)
        if kept is None:
            raise StoreUnavailable("the file is gone")
        data = MemoryData(self.schema)
        with MemoryTransaction(data, write=True) as work:
            work.apply(Insert(name, row) for name, rows in kept.rows.items() for row in rows)
        return kept, data

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[MemoryTransaction]:
        if self._closed:
            raise StoreClosed("the store is closed")
        with locked(self._path, self._wait_seconds) if write else contextlib.nullcontext():
            kept, data = self._read()
            with MemoryTransaction(data, write=write) as work:
                yield work
            if write:
                self._save(kept_of(data, kept.shown))

    def _save(self, kept: Kept) -> None:
        save(self._path, kept)

    def close(self) -> None:
        if not self._closed and self._presentation is not None and not self._edits:
            self._show()
        self._closed = True

    def _show(self) -> None:
        """Writes the view anew, unless a person's changes stand in it."""
        assert self._presentation is not None
        with locked(self._path, self._wait_seconds):
            kept = load(self._path)
            if kept is not None and not edits_between(kept, view_of(self._path), self.schema):
                kept.shown = shown(kept, self._presentation, self.schema)
                save(self._path, kept)
                write_view(self._path, kept.shown)

    def backup(self, target: str) -> None:
        if self._closed:
            raise StoreClosed("the store is closed")
        if os.path.exists(target):
            raise StoreUnavailable("the target is there already")
        if not os.path.isdir(os.path.dirname(target)):
            raise StoreUnavailable("the target can't be written")
        kept = load(self._path)
        if kept is not None:
            save(target, attrs.evolve(kept, shown={}))

    def clean(self) -> Sequence[str]:
        if self._closed:
            raise StoreClosed("the store is closed")
        return ()

    def present(self, presentation: Presentation) -> None:
        self._presentation = presentation

    def edits(self) -> Sequence[Edit]:
        return self._edits

    def settle_edits(self) -> None:
        self._edits = []
        if self._presentation is not None:
            with locked(self._path, self._wait_seconds):
                kept = load(self._path)
                assert kept is not None
                kept.shown = shown(kept, self._presentation, self.schema)
                save(self._path, kept)
                write_view(self._path, kept.shown)


FileBackend.store = FileStore


def kept_of(data: MemoryData, view: View) -> Kept:
    rows = {name: list(table.rows.values()) for name, table in data.tables.items()}
    return Kept(data.schema.version, data.schema.fingerprint, rows, view)


def load(path: str) -> Kept | None:
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return None
    if not content.startswith(MAGIC):
        raise StoreCorrupt("the file is of another program")
    kept: Kept = pickle.loads(content[len(MAGIC) :])
    return kept


def save(path: str, kept: Kept) -> None:
    folder, name = os.path.split(path)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=f"{name}.new", delete=False) as file:
        file.write(MAGIC + pickle.dumps(kept))
        file.flush()
        os.fsync(file.fileno())
    os.replace(file.name, path)


@contextmanager
def locked(path: str, wait: float) -> Iterator[None]:
    try:
        with FileLock(f"{path}.lock").acquire(timeout=wait, poll_interval=0.001):
            yield
    except Timeout:
        raise StoreBusy("another writer held the file for too long") from None


# What people see and change.


def shown(kept: Kept, presentation: Presentation, schema: Schema) -> View:
    view: View = {}
    for name, sheet in presentation.sheets.items():
        shape = schema.collection(name)
        view[name] = [{field: row[shape.position(field)] for field in (*sheet.fields, "id")} for row in kept.rows[name]]
    return view


def view_of(path: str) -> View | None:
    try:
        with open(f"{path}.view", "rb") as file:
            view: View = pickle.load(file)
    except FileNotFoundError:
        return None
    return view


def write_view(path: str, view: View) -> None:
    with open(f"{path}.view", "wb") as file:
        pickle.dump(view, file)


def edits_between(kept: Kept, view: View | None, schema: Schema) -> list[Edit]:
    if view is None or not kept.shown:
        return []
    found = []
    for name, rows in view.items():
        before = {row["id"]: row for row in kept.shown[name]}
        for number, row in enumerate(rows, 1):
            was = {} if row["id"] is None else before.pop(row["id"])
            cells = tuple(
                CellEdit(
                    field=field,
                    place=f"{name}!{field}{number}",
                    before=was.get(field),
                    after=read(name, field, value, schema),
                )
                for field, value in row.items()
                if field != "id" and value != was.get(field)
            )
            if cells:
                kind = "added" if row["id"] is None else "changed"
                found.append(edit_of(kept, kind, name, row["id"], number, cells))
        found += [edit_of(kept, "removed", name, id, 0, ()) for id in before]
    return found


def read(collection: str, field: str, value: Any, schema: Schema) -> Any:
    expected = schema.collection(collection).field(field).type
    return Unreadable(value) if isinstance(value, str) and expected != "text" else value


def edit_of(kept: Kept, kind: Any, name: str, id: str | None, number: int, cells: tuple[CellEdit, ...]) -> Edit:
    base = hashlib.sha256(pickle.dumps(kept.shown)).hexdigest()
    mark = hashlib.sha256(repr((base, kind, name, id, number, cells)).encode()).hexdigest()
    return Edit(mark=mark, kind=kind, collection=name, id=id, row=number, cells=cells)


def play_person(path: str, edits: Sequence[PersonsEdit]) -> None:
    """Opens the view, makes the edits and saves it again."""
    view = view_of(path)
    assert view is not None, "nothing was shown"
    for edit in edits:
        rows = view[edit.collection]
        if edit.kind == "added":
            rows.append({"id": None, **edit.values})
        elif edit.kind == "removed":
            rows[:] = [row for row in rows if row["id"] != edit.id]
        else:
            next(row for row in rows if row["id"] == edit.id).update(edit.values)
    write_view(path, view)
