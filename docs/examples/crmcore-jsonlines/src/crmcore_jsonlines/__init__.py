"""A store of JSON lines: one file, two lines of head and then one per row, replaced as a whole at each commit."""

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

from filelock import FileLock, Timeout

from crmcore import errors
from crmcore.storage import Backend, Capability, FieldType, Insert, Scalar, Schema, Store, StoreURL
from crmcore.storage.memory import MemoryData, MemoryTransaction

FORMAT = "crmcore-jsonlines 1"
TYPES: dict[FieldType, Callable[[str], Scalar]] = {
    "date": date.fromisoformat,
    "instant": datetime.fromisoformat,
    "decimal": Decimal,
}


def to_line(value: Any) -> bytes:
    """One line of JSON, which has no dates, instants or decimals: these become text."""
    return json.dumps(value, default=str, ensure_ascii=False).encode() + b"\n"


def from_json(type: FieldType, value: Scalar) -> Scalar:
    """What was written: equal, and of the field's own type."""
    return TYPES[type](value) if type in TYPES and isinstance(value, str) else value


def to_insert(schema: Schema, name: str, *values: Scalar) -> Insert:
    """The row that a line tells."""
    told = zip(schema.collection(name).fields, values, strict=True)
    return Insert(name, tuple(from_json(field.type, value) for field, value in told))


class JsonLinesFile:
    """The file, never changed but replaced: whoever has opened it has one state of it."""

    def __init__(self, path: Path, schema: Schema) -> None:
        self.path, self.schema = path, schema
        self.head = to_line([FORMAT, schema.version, schema.fingerprint])
        self.known = "", MemoryData(schema)  # the commit that was seen last, and the rows as of it

    def read(self) -> MemoryData:
        """The rows as last committed; read anew only where another handle has committed since."""
        try:
            with self.path.open("rb") as file:
                if file.readline() != self.head:
                    raise errors.SchemaMismatch("the file was written under another schema, or by another program")
                commit, count = json.loads(file.readline())
                if commit != self.known[0]:
                    lines = [json.loads(line) for line in file]
                    if len(lines) != count:
                        raise ValueError
                    data = MemoryData(self.schema)
                    with MemoryTransaction(data, write=True) as work:
                        work.apply(to_insert(self.schema, *line) for line in lines)
                    self.known = commit, data
                return self.known[1]
        except OSError as error:
            raise errors.StoreUnavailable("the file can't be read") from error
        except (ValueError, LookupError, TypeError, ArithmeticError, errors.DuplicateKey):
            raise errors.StoreCorrupt("the file is damaged") from None

    def replace(self, data: MemoryData) -> None:
        """Writes a new file beside the old one and puts it in its place, each on the disk before the next step."""
        with MemoryTransaction(data, write=False) as work:
            lines = [to_line([name, *row]) for name in self.schema.collections for row in work.scan(name)]
        commit = os.urandom(8).hex()
        beside = self.path.with_name(self.path.name + ".new")
        try:
            with beside.open("wb") as file:
                file.writelines([self.head, to_line([commit, len(lines)]), *lines])
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
            if os.name == "posix":  # Windows can't sync a folder
                folder = os.open(self.path.parent, os.O_RDONLY)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
        except OSError as error:
            full = error.errno == errno.ENOSPC
            raise (errors.StoreFull if full else errors.StoreUnavailable)("the file can't be written") from error
        self.known = commit, data


class JsonLinesStore(Store):
    """A handle on the file. Writers take turns by a lock beside it; readers need none."""

    def __init__(self, path: Path, schema: Schema, wait: float) -> None:
        self.schema, self.wait = schema, wait
        self.file = JsonLinesFile(path, schema)
        self.closed = False
        if not path.parent.is_dir():
            raise errors.StoreUnavailable("the folder of the store is not there")
        with self._turn():
            if not path.exists():
                self.file.replace(MemoryData(schema))
        self.file.read()

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[MemoryTransaction]:
        if self.closed:
            raise errors.StoreClosed("the store is closed")
        with self._turn() if write else nullcontext():
            data = self.file.read()
            if write:
                data = data.copy()
            with MemoryTransaction(data, write=write) as work:
                yield work
            if work.changed:
                self.file.replace(data)

    def close(self) -> None:
        self.closed = True

    @contextmanager
    def _turn(self) -> Iterator[None]:
        try:
            turn = FileLock(f"{self.file.path}.lock").acquire(timeout=self.wait, poll_interval=0.01)
        except Timeout:
            raise errors.StoreBusy(f"another writer held the store for over {self.wait:g} s") from None
        except OSError as error:
            raise errors.StoreUnavailable("the lock beside the file can't be taken") from error
        with turn:
            yield


class JsonLinesBackend(Backend):
    """``jsonl:///crm.jsonl`` (relative), ``jsonl:////srv/crm.jsonl`` (absolute); ``wait``: seconds for a turn to write."""

    capabilities: ClassVar = frozenset({Capability.DURABLE, Capability.MULTI_PROCESS, Capability.SNAPSHOT_READS})

    def open(self, url: StoreURL, schema: Schema) -> Store:
        wait = url.take({"wait": "5"})["wait"]
        if url.host or not url.path or "\0" in url.path:
            raise errors.InvalidURL("a file of JSON lines is named after three slashes: jsonl:///crm.jsonl")
        if not wait.replace(".", "", 1).isdecimal():
            raise errors.InvalidURL("wait is a number of seconds, such as 5 or 0.5")
        return JsonLinesStore(Path(url.path).absolute(), schema, float(wait))
