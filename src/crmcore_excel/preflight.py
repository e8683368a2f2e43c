"""Cheap checks of a workbook from outside, before any parser sees it.

What is refused here is refused for what it claims: parts that unpack a thousandfold, cells that no sheet has, XML that
declares entities, more strings than there are bytes. What still gets through meets the limits of the child process.
Macros are let in, since nothing runs them; so are merged ranges and declared extents of any size, since nothing here
allocates by them.
"""

from __future__ import annotations

import posixpath
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import BinaryIO
from xml.parsers import expat

import attrs

from crmcore.errors import ImportRejected
from crmcore.interchange.rejections import rejected
from crmcore.interchange.sheets import OLE_MAGIC
from crmcore_excel.biff import read_marks
from crmcore_excel.limits import Limits
from crmcore_excel.marks import Marks, scan_sheet

_PROLOG = 2**16
_MAX_INDEX_PART = 2**22
_INDEX_TAGS = frozenset({"workbook", "workbookpr", "sheet", "relationship"})
_DIRECTORY_ENTRY = b"PK\x01\x02"
_BEFORE_ROOT = re.compile(rb"\A(?:\xef\xbb\xbf)?(?:\s++|<\?.*?\?>|<!--.*?-->)*+", re.DOTALL)
_STRING_COUNT = re.compile(rb"""\buniqueCount=["'](\d+)["']""")
_SMALLEST_STRING = len("<t/>")
_CONTENT_TYPES, _ROOT_RELATIONS = "[content_types].xml", "_rels/.rels"
_OPEN_DOCUMENT = b"application/vnd.oasis.opendocument.spreadsheet"
# What the standard library raises on packages that are none.
_BROKEN_ZIP = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError),
    *(ValueError, RuntimeError, LookupError, ArithmeticError),
)

PACKAGE = "zip"
Parts = Mapping[str, zipfile.ZipInfo]


@attrs.frozen(kw_only=True)
class Preflight:
    """What the checks found. ``marks`` go by the name of the sheet, in an .xls by its position."""

    unpacked: int
    marks: Mapping[str | int, Marks]


def preflight(file: BinaryIO, limits: Limits) -> Preflight:
    """Check a workbook and collect its marks. Raises ``ImportRejected`` with the reason."""
    size = file.seek(0, 2)
    if size > limits.file_size:
        raise rejected("too_large")
    file.seek(0)
    if file.read(len(OLE_MAGIC)) == OLE_MAGIC:
        return Preflight(unpacked=size, marks=dict(enumerate(read_marks(OLE_MAGIC + file.read()))))
    if _count_entries(file) > limits.parts:
        raise rejected("bomb", part=PACKAGE)
    try:
        with zipfile.ZipFile(file) as package:
            try:
                return _check_package(package, size, limits)
            except _BROKEN_ZIP as error:
                if isinstance(error, ImportRejected):
                    raise
                raise rejected("damaged", part=damaged_part(package) or PACKAGE) from error
    except ImportRejected:
        raise
    except _BROKEN_ZIP as error:
        raise rejected("damaged", part=PACKAGE) from error


def _count_entries(file: BinaryIO) -> int:
    """How many directory entries a zip can have at most, so that its directory is only read where that is safe."""
    file.seek(0)
    count, tail = 0, b""
    while chunk := file.read(2**20):
        count += (tail + chunk).count(_DIRECTORY_ENTRY)
        tail = chunk[-3:]
    return count


def _check_package(package: zipfile.ZipFile, size: int, limits: Limits) -> Preflight:
    entries = check_directory(package, size, limits)
    parts = {_canonical(entry.filename): entry for entry in entries}
    for name, entry in parts.items():
        if name.endswith((".xml", ".rels", ".vml")):
            with package.open(entry) as part:
                _check_prolog(part.read(_PROLOG), entry)
    marks: dict[str | int, Marks] = {}
    for title, name, from_1904 in _sheet_parts(package, parts):
        with package.open(parts[name]) as part:
            found = scan_sheet(part, name=title, max_cells=limits.cells)
            marks[title] = attrs.evolve(found, from_1904=from_1904)
    return Preflight(unpacked=sum(entry.file_size for entry in entries), marks=marks)


def damaged_part(package: zipfile.ZipFile) -> str | None:
    """The first part that doesn't unpack to what its checksum says, or is XML that is torn; read in pieces."""
    for entry in package.infolist():
        parser = expat.ParserCreate() if entry.filename.endswith((".xml", ".rels")) else None
        try:
            with package.open(entry) as part:
                while chunk := part.read(2**20):
                    if parser:
                        parser.Parse(chunk)
            if parser:
                parser.Parse(b"", True)
        except (*_BROKEN_ZIP, expat.ExpatError):
            return entry.filename
    return None


def _canonical(name: str) -> str:
    return name.replace("\\", "/").lstrip("/").lower()


def check_directory(package: zipfile.ZipFile, size: int, limits: Limits) -> Sequence[zipfile.ZipInfo]:
    """The parts of a package of that many bytes, by its directory alone. Raises ``ImportRejected`` with the reason."""
    entries = [entry for entry in package.infolist() if not entry.filename.endswith("/")]
    seen: set[str] = set()
    for entry in entries:
        name = _canonical(entry.filename)
        if ".." in name.split("/"):
            raise rejected("unsafe_path", part=name)
        if name in seen:
            raise rejected("duplicate_part", part=name)
        seen.add(name)
        if entry.flag_bits & 1:
            raise rejected("encrypted", part=name)
        if entry.file_size > max(limits.ratio_from, limits.ratio * entry.compress_size):
            raise rejected("bomb", part=name)
    if sum(entry.compress_size for entry in entries) > size:  # parts that share their bytes
        raise rejected("bomb", part=PACKAGE)
    if sum(entry.file_size for entry in entries) > limits.unpacked:
        raise rejected("too_large")
    return entries


def _check_prolog(head: bytes, entry: zipfile.ZipInfo) -> None:
    name = _canonical(entry.filename)
    before = _BEFORE_ROOT.match(head)
    root = head[before.end() if before else 0 :]
    if root.startswith(b"<!") or (not root and entry.file_size > len(head)):
        raise rejected("unsafe_xml", part=name)
    claimed = _STRING_COUNT.search(root[:4096]) if b"sst" in root[:64] else None
    if claimed and int(claimed[1][:20]) > entry.file_size // _SMALLEST_STRING:
        raise rejected("bomb", part=name)


def _sheet_parts(package: zipfile.ZipFile, parts: Parts) -> list[tuple[str, str, bool]]:
    """Title and part of each worksheet of an .xlsx, and whether its days count from 1904.

    None for other kinds of workbook, whose cells are not marked.
    """
    if "mimetype" in parts and package.read(parts["mimetype"]).startswith(_OPEN_DOCUMENT):
        return []
    if _CONTENT_TYPES not in parts:
        raise rejected("not_a_workbook", part="[Content_Types].xml")
    targets = _relations(package, parts, _ROOT_RELATIONS)
    workbook = next((target for kind, target in targets.values() if kind == "officedocument"), "xl/workbook.xml")
    if workbook not in parts:
        raise rejected("not_a_workbook", part=workbook)
    if workbook.endswith(".bin"):
        return []
    folder, name = posixpath.split(workbook)
    related = _relations(package, parts, posixpath.join(folder, "_rels", f"{name}.rels"))
    elements = _elements(package, parts, workbook)
    if not elements or elements[0][0] != "workbook":
        raise rejected("not_a_workbook", part=workbook)
    found: list[tuple[str, str, bool]] = []
    from_1904 = any(tag == "workbookpr" and one.get("date1904") in ("1", "true") for tag, one in elements)
    for tag, attributes in elements:
        kind, target = related.get(attributes.get("id", ""), ("", ""))
        if tag == "sheet" and kind.endswith("macrosheet"):
            raise rejected("old_format", part=attributes.get("name", target))
        if tag == "sheet" and kind == "worksheet" and target in parts:
            if any(part == target for _, part, _ in found):  # one sheet under many names multiplies its rows
                raise rejected("duplicate_part", part=target)
            found.append((attributes.get("name", ""), target, from_1904))
    return found


def _relations(package: zipfile.ZipFile, parts: Parts, name: str) -> dict[str, tuple[str, str]]:
    """Id: (last word of the type, part) of a relationships part; nothing where there is none."""
    if name not in parts:
        return {}
    folder = posixpath.dirname(posixpath.dirname(name))
    found: dict[str, tuple[str, str]] = {}
    for tag, attributes in _elements(package, parts, name):
        if tag == "relationship":
            kind = attributes.get("type", "").rpartition("/")[2].lower()
            target = posixpath.normpath(posixpath.join("/", folder, attributes.get("target", "").replace("\\", "/")))
            found[attributes.get("id", "")] = kind, _canonical(target)
    return found


def _elements(package: zipfile.ZipFile, parts: Parts, name: str) -> list[tuple[str, dict[str, str]]]:
    """The telling elements of a small XML part in their order, names without namespace and in lower case."""
    entry = parts[name]
    if entry.file_size > _MAX_INDEX_PART:
        raise rejected("bomb", part=name)
    found: list[tuple[str, dict[str, str]]] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition("}")[2].lower()
        if tag in _INDEX_TAGS:
            found.append((tag, {key.rpartition("}")[2].lower(): value for key, value in attributes.items()}))

    def doctype(*_: object) -> None:
        raise rejected("unsafe_xml", part=name)

    parser = expat.ParserCreate(namespace_separator="}")
    parser.StartElementHandler, parser.StartDoctypeDeclHandler = start, doctype
    try:
        parser.Parse(package.read(entry), True)
    except expat.ExpatError as error:
        raise rejected("damaged", part=name) from error
    return found
