"""The journal beside a workbook: what was committed since the workbook was last written, one record per transaction.

A file of text. First a header, then records, then zeros that were written and synced beforehand, so that appending moves
no size. Every record ends in a checksum of all records before it, those of earlier journals too, so that nothing in the middle
can change, go or come; and who has read one knows its place in a later journal.
A crash leaves the last record with whole sectors of zeros in it: it was never acknowledged and is taken away. Anything else
that doesn't check is damage, and said to be.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import zlib
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import attrs

from crmcore.errors import SchemaMismatch, StoreCorrupt, StoreUnavailable
from crmcore_excel.replacing import move, sync_folder

FORMAT = b"crmcore journal 1 "
HEADER_SIZE = 1024
CHUNK = 64 * 1024  #: the file grows by so much at a time
SECTOR = 512  #: what a disk writes whole or not at all
ALIGNMENT = 8  #: so that no torn record looks like one with a single byte gone

_HEAD = re.compile(rb"([0-9a-f]{8}) ([0-9a-f]{12}) ([0-9a-f]{8}) ")
HEAD_SIZE, TAIL_SIZE = 31, 10
_NO_HEAD = bytes(HEAD_SIZE)
_ZEROS = re.compile(rb"\0+")

_synchronise = getattr(os, "fdatasync", os.fsync)
_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class Mark(NamedTuple):
    """How far a journal was read: to which byte, record and checksum."""

    end: int
    sequence: int
    checksum: int


_START = Mark(0, 0, 0)


class Record(NamedTuple):
    """What one transaction changed, and the checksum that it ends in."""

    sequence: int
    body: bytes
    checksum: int


class Fingerprint(NamedTuple):
    """What a file is known by: its size and SHA-256."""

    size: int
    sha256: str


@attrs.frozen(kw_only=True, slots=False)
class Header:
    """What a journal belongs to.

    ``store_id`` is what the next workbook is written under, ``workbook_id`` and ``base`` (a sequence number) are what the
    workbook of ``fingerprint`` carries; ``previous`` is the checksum of the last record in that workbook. ``generation`` is
    a new random word each time.
    """

    store_id: str
    workbook_id: str
    base: int
    fingerprint: Fingerprint
    schema_version: int
    schema: str
    previous: int = 0
    generation: str = attrs.field(factory=lambda: secrets.token_hex(8))

    def to_bytes(self) -> bytes:
        """The header as it stands in the file."""
        text = FORMAT + json.dumps(attrs.asdict(self), separators=(",", ":")).encode()
        text = text.ljust(HEADER_SIZE - TAIL_SIZE)
        return text + _tail(zlib.crc32(text))

    @classmethod
    def of(cls, data: bytes, path: Path) -> Header:
        """Reads a header; raises :class:`StoreCorrupt`, :class:`SchemaMismatch` for a format of the future."""
        text, tail = data[: HEADER_SIZE - TAIL_SIZE], data[HEADER_SIZE - TAIL_SIZE : HEADER_SIZE]
        if len(data) < HEADER_SIZE:
            raise _cut_off(path, len(data))
        if re.match(rb"crmcore journal \d+ ", text) and tail == _tail(zlib.crc32(text)) and not text.startswith(FORMAT):
            raise SchemaMismatch(f"{path} was written by a newer crmcore, which is needed to read it", path=str(path))
        if not text.startswith(FORMAT) or tail != _tail(zlib.crc32(text)):
            raise damaged(path, 0)
        told = json.loads(text[len(FORMAT) :])
        told["fingerprint"] = Fingerprint(*told["fingerprint"])
        return cls(**told)

    @cached_property
    def seal(self) -> bytes:
        """The checksum of the header itself."""
        return self.to_bytes()[-TAIL_SIZE:]

    @property
    def mark(self) -> Mark:
        """Where the records begin."""
        return Mark(HEADER_SIZE, self.base, self.previous)


def _tail(checksum: int) -> bytes:
    return b" %08x\n" % checksum


def damaged(path: Path, place: int) -> StoreCorrupt:
    """The error for a byte that isn't what was written."""
    return StoreCorrupt(
        f"{path} is damaged at or after byte {place}; what was committed before is whole. Put the folder back from a"
        " backup of the disk, or move it away to open the workbook as it was last written",
        path=str(path),
        place=place,
    )


def _cut_off(path: Path, size: int) -> StoreCorrupt:
    return StoreCorrupt(
        f"{path} was cut off at byte {size}: what was committed behind is missing. Put the folder back from a backup of"
        " the disk, or move it away to open the workbook as it was last written",
        path=str(path),
        place=size,
    )


def record_bytes(body: bytes, mark: Mark) -> tuple[bytes, Mark]:
    """The record that follows on a mark, and the mark behind it."""
    body = body.ljust(len(body) + -(HEAD_SIZE + len(body) + TAIL_SIZE) % ALIGNMENT)
    head = b"%08x %012x " % (len(body), mark.sequence + 1)
    head += b"%08x " % zlib.crc32(head, mark.checksum)
    checksum = zlib.crc32(body, zlib.crc32(head, mark.checksum))
    record = b"".join((head, body, _tail(checksum)))
    return record, Mark(mark.end + len(record), mark.sequence + 1, checksum)


class Scan(NamedTuple):
    """What was found behind a mark: whole records, the mark behind them, and how many bytes of a torn one follow."""

    records: list[Record]
    mark: Mark
    torn: int


def scan(data: bytes, mark: Mark, path: Path) -> Scan:
    """Reads what follows on a mark, up to the end of the file; raises :class:`StoreCorrupt`."""
    records: list[Record] = []
    start, begin = mark.end, 0
    while True:
        head = data[begin : begin + HEAD_SIZE]
        if len(head) < HEAD_SIZE:
            raise _cut_off(path, start + len(data))
        found = _HEAD.fullmatch(head)
        if found is None or int(found[3], 16) != zlib.crc32(head[:22], mark.checksum):
            rest = data[begin:].rstrip(b"\0")
            torn = b"\0" in head and _lacks_sectors(rest, start + begin) and not _follows(rest, mark.sequence)
            if rest and not torn:
                raise damaged(path, start + begin)
            return Scan(records, mark, len(rest))
        end = begin + HEAD_SIZE + int(found[1], 16) + TAIL_SIZE
        if end > len(data):
            raise _cut_off(path, start + len(data))
        checksum = zlib.crc32(data[begin : end - TAIL_SIZE], mark.checksum)
        if data[end - TAIL_SIZE : end] != _tail(checksum):
            span = data[begin:end]
            torn = b"\0" in span and _lacks_sectors(span, start + begin) and not data[end:].strip(b"\0")
            if not torn:
                raise damaged(path, start + begin)
            return Scan(records, mark, end - begin)
        mark = Mark(start + end, int(found[2], 16), checksum)
        records.append(Record(mark.sequence, data[begin + HEAD_SIZE : end - TAIL_SIZE], checksum))
        begin = end


def _lacks_sectors(span: bytes, start: int) -> bool:
    """Whether what is missing of a record, if anything, is whole sectors, as a crash leaves it. ``span`` ends where the record
    does, or with its last byte that isn't zero."""
    end = start + len(span)
    runs = [(start + run.start(), start + run.end()) for run in _ZEROS.finditer(span)]
    if not runs:
        return end % SECTOR == 0
    return all((low == start or low % SECTOR == 0) and (high == end or high % SECTOR == 0) for low, high in runs)


def _follows(span: bytes, sequence: int) -> bool:
    return any(int(found[2], 16) > sequence + 1 for found in _HEAD.finditer(span))


def create(path: Path, header: Header, records: Iterable[Record] = ()) -> Mark:
    """Puts a new journal with these records in the place of what is there, whole or not at all; the mark behind them."""
    draft, mark = path.with_name(f"{path.name}.new"), header.mark
    with draft.open("wb") as file:
        file.write(header.to_bytes())
        for record in records:
            written, mark = record_bytes(record.body, mark)
            file.write(written)
        file.write(bytes(-(mark.end + HEAD_SIZE) % CHUNK + HEAD_SIZE))
        file.flush()
        os.fsync(file.fileno())
    move(draft, path)
    sync_folder(path.parent)
    return mark


class OpenJournal:
    """A journal's file for as long as one transaction lasts. It may be another file the next time."""

    def __init__(self, path: Path, *, write: bool) -> None:
        self.path = path
        self._file = os.open(path, (os.O_RDWR if write else os.O_RDONLY) | _BINARY)

    def close(self) -> None:
        """Gives the file back."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def header(self) -> Header:
        """Its header; raises :class:`StoreCorrupt`."""
        return Header.of(self._read(0, HEADER_SIZE), self.path)

    def stands_at(self, header: Header, mark: Mark) -> bool | None:
        """Whether nothing follows on the mark. None: this is another journal, or the mark is no longer in it."""
        if self._read(HEADER_SIZE - TAIL_SIZE, TAIL_SIZE) != header.seal:
            return None
        found = self._read(mark.end - TAIL_SIZE, TAIL_SIZE + HEAD_SIZE)
        if found[:TAIL_SIZE] != (header.seal if mark.end == HEADER_SIZE else _tail(mark.checksum)):
            return None
        return found[TAIL_SIZE:] == _NO_HEAD

    def whole(self) -> bytes:
        """All of it."""
        return self.rest(_START)

    def rest(self, mark: Mark) -> bytes:
        """All that stands behind the mark."""
        os.lseek(self._file, mark.end, os.SEEK_SET)
        with open(self._file, "rb", buffering=0, closefd=False) as file:
            return file.read()

    def append(self, body: bytes, mark: Mark) -> Mark:
        """Adds a record behind the mark and syncs it. On an :class:`OSError` nothing of it is left; where the disk doesn't even
        let it be taken away, raises :class:`StoreUnavailable` with ``outcome`` unknown."""
        record, after = record_bytes(body, mark)
        self._make_room(after.end + HEAD_SIZE)
        try:
            self._write(mark.end, record)
            _synchronise(self._file)
        except BaseException:
            try:
                self.wipe(mark, len(record))
            except OSError as problem:
                raise StoreUnavailable(
                    f"{self.path} can be neither synced nor put back ({problem.strerror}); whether the transaction was kept"
                    " isn't known",
                    path=str(self.path),
                    outcome="unknown",
                ) from problem
            raise
        return after

    def wipe(self, mark: Mark, size: int) -> None:
        """Turns what was written behind the mark back into zeros."""
        self._write(mark.end, bytes(size))
        os.fsync(self._file)

    def _make_room(self, size: int) -> None:
        there = os.fstat(self._file).st_size
        if there >= size:
            return
        try:
            self._write(there, bytes(-(-size // CHUNK) * CHUNK - there))
            os.fsync(self._file)
        except BaseException:
            os.ftruncate(self._file, there)
            raise

    def _read(self, place: int, size: int) -> bytes:
        os.lseek(self._file, place, os.SEEK_SET)
        return os.read(self._file, size)

    def _write(self, place: int, data: bytes) -> None:
        os.lseek(self._file, place, os.SEEK_SET)
        written = os.write(self._file, data)
        while written < len(data):
            written += os.write(self._file, data[written:])
