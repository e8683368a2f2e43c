"""Workbooks made part by part, so that a test can have them as broken or as hostile as it likes."""

import io
import struct
import zipfile
from collections.abc import Mapping

TYPES = (
    '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Override PartName="/xl/workbook.xml"'
    ' ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/></Types>'
)
RELATIONS = '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{}</Relationships>'
RELATION = (
    '<Relationship Id="{}" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/{}" Target="{}"/>'
)
BOOK = (
    '<?xml version="1.0"?><workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    ' xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">'
    '<sheets><sheet name="客户" sheetId="1" r:id="rId1"/></sheets></workbook>'
)
SHEET = (
    '<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
    "<sheetData>{}</sheetData>{}</worksheet>"
)
STRINGS = '<?xml version="1.0"?><sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" uniqueCount="{}">{}</sst>'


def text_cell(place: str, text: str) -> str:
    return f'<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>'


def row(number: int, *cells: str) -> str:
    return f'<row r="{number}">{"".join(cells)}</row>'


def package(
    parts: Mapping[str, str | bytes | None] | None = None, *, rows: str = "", after: str = "", twice: str | None = None
) -> bytes:
    """A small .xlsx. ``parts`` replace or add parts, None takes one away; ``twice`` is put in once more."""
    content: dict[str, str | bytes | None] = {
        "[Content_Types].xml": TYPES,
        "_rels/.rels": RELATIONS.format(RELATION.format("rId1", "officeDocument", "xl/workbook.xml")),
        "xl/workbook.xml": BOOK,
        "xl/_rels/workbook.xml.rels": RELATIONS.format(
            RELATION.format("rId1", "worksheet", "worksheets/sheet1.xml")
            + RELATION.format("rId2", "sharedStrings", "sharedStrings.xml")
        ),
        "xl/worksheets/sheet1.xml": SHEET.format(rows or row(1, text_cell("A1", "名称")), after),
        **(parts or {}),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in content.items():
            if part is not None:
                archive.writestr(name, part)
        if twice:
            again = zipfile.ZipInfo(twice.swapcase())
            archive.writestr(again, content[twice] or "")
    return buffer.getvalue()


def record(kind: int, body: bytes = b"") -> bytes:
    return struct.pack("<HH", kind, len(body)) + body


def bof(kind: int) -> bytes:
    return record(0x0809, struct.pack("<HHHHII", 0x0600, kind, 0x0DBB, 0x07CC, 0, 6))


def biff_sheet(*records: bytes) -> bytes:
    return bof(0x0010) + b"".join(records) + record(0x000A)


def biff_number(row_index: int, column: int, value: float) -> bytes:
    return record(0x0203, struct.pack("<HHHd", row_index, column, 0, value))


def biff_error(row_index: int, column: int, code: int) -> bytes:
    return record(0x0205, struct.pack("<HHHBB", row_index, column, 0, code, 1))


def biff_formula(row_index: int, column: int, result: bytes) -> bytes:
    tokens = b"\x1e\x01\x00"  # the whole number 1
    return record(0x0006, struct.pack("<HHH", row_index, column, 0) + result + struct.pack("<HIH", 0, 0, 3) + tokens)


def xls(*sheets: bytes, globals_extra: bytes = b"", stream_name: str = "Workbook") -> bytes:
    """An .xls of sheets Sheet1, Sheet2 …; ``globals_extra`` are records of the workbook itself."""
    names = [f"Sheet{number}".encode() for number in range(1, len(sheets) + 1)]
    size = len(bof(5)) + len(globals_extra) + sum(len(name) + 12 for name in names) + 4
    heads, at = b"", size
    for name, sheet in zip(names, sheets, strict=True):
        heads += record(0x0085, struct.pack("<IBBBB", at, 0, 0, len(name), 0) + name)
        at += len(sheet)
    return ole(stream_name, bof(5) + globals_extra + heads + record(0x000A) + b"".join(sheets))


def ole(name: str, stream: bytes) -> bytes:
    """An OLE container of one stream, which is kept in the large sectors."""
    stream = stream.ljust(max(4096, -(-len(stream) // 512) * 512), b"\0")
    count = len(stream) // 512
    table = [0xFFFFFFFD, 0xFFFFFFFE, *range(3, count + 2), 0xFFFFFFFE]
    assert len(table) <= 128
    table += [0xFFFFFFFF] * (128 - len(table))
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    header += struct.pack("<9I", 0, 1, 1, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0)
    header += struct.pack("<109I", 0, *[0xFFFFFFFF] * 108)
    directory = _entry("Root Entry", 5, 0xFFFFFFFE, 0, child=1) + _entry(name, 2, 2, len(stream))
    return header + struct.pack("<128I", *table) + directory.ljust(512, b"\0") + stream


def _entry(name: str, kind: int, start: int, size: int, child: int = 0xFFFFFFFF) -> bytes:
    encoded = name.encode("utf-16-le") + b"\0\0"
    links = struct.pack("<3I", 0xFFFFFFFF, 0xFFFFFFFF, child)
    return (
        encoded.ljust(64, b"\0")
        + struct.pack("<HBB", len(encoded), kind, 1)
        + links
        + bytes(36)
        + struct.pack("<IQ", start, size)
    )
