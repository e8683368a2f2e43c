"""The marks of an .xls workbook: a walk over the records of its stream inside the OLE container.

Layouts: [MS-CFB] for the container, [MS-XLS] for the records.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from crmcore.interchange.rejections import rejected
from crmcore_excel.marks import MAX_FORMULAS, Marks

_CONTAINER, _STREAM = "OLE container", "workbook stream"
_STREAMS, _ENCRYPTED = ("workbook", "book"), "encryptedpackage"
_FORMULAS = frozenset({0x0006, 0x0206, 0x0406})
_BOOL_OR_ERROR, _SHEET, _PASSWORD, _BEGIN, _END = 0x0205, 0x0085, 0x002F, 0x0809, 0x000A
_ERRORS = {0: "#NULL!", 7: "#DIV/0!", 15: "#VALUE!", 23: "#REF!", 29: "#NAME?", 36: "#NUM!", 42: "#N/A"}
_CHAIN_END = 0xFFFF_FFFA  # this and above are no sectors


def read_marks(content: bytes) -> list[Marks]:
    """The marks of every sheet in the workbook's order.

    Raises ``ImportRejected``: ``encrypted``, ``not_a_workbook`` for another kind of OLE file, ``damaged``.
    """
    try:
        stream = _Container(content).workbook()
        # The shortest cell takes 10 bytes and sheets share none: more records than this are no workbook's.
        budget = len(stream) // 8
        starts = []
        for kind, start, size in _records(stream, 0, budget):
            budget -= 1
            if kind == _PASSWORD:
                raise rejected("encrypted", part="FilePass")
            if kind == _SHEET and size >= 4:
                starts.append(struct.unpack_from("<I", stream, start)[0])
        sheets = []
        for start in starts:
            marks, visited = _sheet_marks(stream, start, budget)
            sheets.append(marks)
            budget -= visited
    except (struct.error, IndexError) as error:
        raise rejected("damaged", part=_STREAM) from error
    return sheets


def _records(stream: bytes, start: int, budget: int) -> Iterator[tuple[int, int, int]]:
    """Kind, start and size of each record up to the end of the substream; what is nested in it comes as kind 0."""
    depth = 0
    for _ in range(budget):
        if start + 4 > len(stream):
            return
        kind, size = struct.unpack_from("<HH", stream, start)
        if kind == _BEGIN:
            depth += 1
        elif kind == _END:
            depth -= 1
            if depth <= 0:
                return
        yield kind if depth <= 1 else 0, start + 4, size
        start += 4 + size
    raise rejected("damaged", part=_STREAM)


def _sheet_marks(stream: bytes, start: int, budget: int) -> tuple[Marks, int]:
    errors: dict[tuple[int, int], str] = {}
    formulas: set[tuple[int, int]] = set()
    visited = 0
    for kind, at, size in _records(stream, start, budget):
        visited += 1
        if kind in _FORMULAS and size >= 14:
            row, column, _, value, _, code, _, _, _, is_text = struct.unpack_from("<HHHBBBBBBH", stream, at)
            if len(formulas) < MAX_FORMULAS:
                formulas.add((row + 1, column + 1))
            if is_text == 0xFFFF and value == 2:
                errors[row + 1, column + 1] = _ERRORS.get(code, "#ERROR!")
        elif kind == _BOOL_OR_ERROR and size >= 8:
            row, column, _, code, is_error = struct.unpack_from("<HHHBB", stream, at)
            if is_error:
                errors[row + 1, column + 1] = _ERRORS.get(code, "#ERROR!")
    return Marks(errors=errors, formulas=frozenset(formulas)), visited


def _numbers(content: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(content) // 4}I", content)


class _Container:
    """An OLE compound file, as much of it as leads to one stream."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.shift, self.small_shift = struct.unpack_from("<HH", content, 30)
        if self.shift not in (9, 12) or self.small_shift >= self.shift:
            raise rejected("damaged", part=_CONTAINER)
        self.directory, _, self.small_limit, self.small_table, _, extension, _ = struct.unpack_from("<7I", content, 48)
        table_sectors = list(struct.unpack_from("<109I", content, 76))
        per_sector = (1 << self.shift) // 4 - 1
        for _ in range(len(content) >> self.shift):
            if extension >= _CHAIN_END:
                break
            *more, extension = struct.unpack_from(f"<{per_sector + 1}I", content, (extension + 1) << self.shift)
            table_sectors += more
        used = [sector for sector in table_sectors if sector < _CHAIN_END]
        if len(used) > len(content) >> self.shift:
            raise rejected("damaged", part=_CONTAINER)
        self.table = _numbers(b"".join(map(self._sector, used)))

    def workbook(self) -> bytes:
        """The stream that the sheets are in."""
        directory = self._chain(self.directory)
        streams: dict[str, tuple[int, int]] = {}
        root = None
        for at in range(0, len(directory) - 127, 128):
            entry = directory[at : at + 128]
            length, kind = struct.unpack_from("<HB", entry, 64)
            start, size = struct.unpack_from("<II", entry, 116)
            name = entry[: max(0, min(length, 64) - 2)].decode("utf-16-le", "replace").lower()
            if kind == 5:
                root = start
            elif kind == 2:
                streams.setdefault(name, (start, size))
        if _ENCRYPTED in streams:
            raise rejected("encrypted", part="EncryptedPackage")
        found = next((streams[name] for name in _STREAMS if name in streams), None)
        if found is None:
            raise rejected("not_a_workbook", part=_STREAM)
        start, size = found
        if size >= self.small_limit:
            return self._chain(start)[:size]
        if root is None:
            raise rejected("damaged", part=_CONTAINER)
        return self._small_chain(start, root)[:size]

    def _sector(self, number: int) -> bytes:
        at = (number + 1) << self.shift
        return self.content[at : at + (1 << self.shift)].ljust(1 << self.shift, b"\0")

    def _chain(self, sector: int) -> bytes:
        pieces: list[bytes] = []
        while sector < _CHAIN_END:
            if len(pieces) > len(self.content) >> self.shift:
                raise rejected("damaged", part=_CONTAINER)
            pieces.append(self._sector(sector))
            sector = self.table[sector]
        return b"".join(pieces)

    def _small_chain(self, sector: int, root: int) -> bytes:
        container = self._chain(root)
        table = _numbers(self._chain(self.small_table))
        pieces: list[bytes] = []
        while sector < _CHAIN_END:
            if len(pieces) > len(table):
                raise rejected("damaged", part=_CONTAINER)
            pieces.append(container[sector << self.small_shift : (sector + 1) << self.small_shift])
            sector = table[sector]
        return b"".join(pieces)
