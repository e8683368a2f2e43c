"""The package of a store's workbook: sheets drawn by XlsxWriter, their rows put in as XML, and a seal over all parts.

The rows are most of the file, and XlsxWriter takes them cell by cell. The seal is the digest of the parts' checksums, kept
as a property of the document: while it fits, nobody has saved the file since.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import IO, BinaryIO

SEAL = "crmcore"  #: the document's property
UNSEALED = "0" * 64
PROPERTIES = "docProps/custom.xml"
_PACKED = 3  #: zlib's level: half again as fast as its usual one, and a file little larger
_MOMENT = (1980, 1, 1, 0, 0, 0)  #: the same content always gives the same bytes
_NO_ROWS = re.compile("<sheetData ?/>")
_DIMENSION = re.compile(r'<dimension ref="[^"]*" ?/>')
_SEAL_VALUE = re.compile(rb'name="crmcore"[^>]*>\s*<(?:\w+:)?lpwstr[^>]*>([0-9a-f]{64})<')


def styles_of(sheet: str) -> dict[int, int]:
    """The cell format of each column of a sheet's XML that has one, counted from 0."""
    found: dict[int, int] = {}
    for column in re.findall(r"<col ([^>]*)/>", sheet):
        told = dict(re.findall(r'(\w+)="(\d+)"', column))
        for number in range(int(told["min"]), int(told["max"]) + 1):
            found[number - 1] = int(told.get("style", 0))
    return found


def fill(sheet: str, rows: Iterable[str]) -> str:
    """A sheet's XML with rows put in behind its own."""
    head, _, tail = _NO_ROWS.sub("<sheetData></sheetData>", sheet, count=1).partition("</sheetData>")
    return "".join((_DIMENSION.sub("", head, count=1), *rows, "</sheetData>", tail))


def read_parts(drawn: BinaryIO) -> dict[str, bytes]:
    """All parts of a package in their order."""
    with zipfile.ZipFile(drawn) as package:
        return {name: package.read(name) for name in package.namelist()}


def write_package(file: IO[bytes], parts: Mapping[str, bytes | str]) -> None:
    """Writes the parts as a package, sealed. Raises OSError as the file does."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=_PACKED) as package:
        for name, part in parts.items():
            if name != PROPERTIES:
                _put(package, name, part)
        properties = parts[PROPERTIES]
        text = properties.decode() if isinstance(properties, bytes) else properties
        _put(package, PROPERTIES, text.replace(UNSEALED, _seal(package)))


def copy_package(file: IO[bytes], parts: Mapping[str, bytes]) -> None:
    """Writes the parts of somebody's workbook as a package. Raises OSError as the file does."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=_PACKED) as package:
        for name, part in parts.items():
            _put(package, name, part)


def _put(package: zipfile.ZipFile, name: str, part: bytes | str) -> None:
    entry = zipfile.ZipInfo(name, _MOMENT)
    entry.compress_type, entry.external_attr, entry.create_system = zipfile.ZIP_DEFLATED, 0o600 << 16, 3
    package.writestr(entry, part)


def _seal(package: zipfile.ZipFile) -> str:
    told = sorted((entry.filename, entry.CRC, entry.file_size) for entry in package.infolist())
    return sha256(repr([part for part in told if part[0] != PROPERTIES]).encode()).hexdigest()


def is_sealed(package: zipfile.ZipFile) -> bool:
    """Whether the package is as :func:`write_package` left it, by its directory."""
    if PROPERTIES not in package.namelist():
        return False
    found = _SEAL_VALUE.search(package.read(PROPERTIES))
    return found is not None and found[1].decode() == _seal(package)


def broken_part(package: zipfile.ZipFile) -> str | None:
    """The first part whose content doesn't fit its checksum."""
    for entry in package.infolist():
        try:
            package.read(entry)
        except Exception:
            return entry.filename
    return None
