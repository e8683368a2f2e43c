"""Files that mean harm, or mean nothing: each one ends in a reason of the table, soon, and in this process."""

import random
import struct
import sys
import threading
import time
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from workbooks_by_hand import (
    BOOK,
    SHEET,
    STRINGS,
    biff_number,
    biff_sheet,
    bof,
    ole,
    package,
    record,
    row,
    text_cell,
    xls,
)

from crmcore.errors import ImportRejected
from crmcore.interchange.rejections import REASONS
from crmcore_excel.limits import Limits
from crmcore_excel.reader import read_workbook

NUMBER = '<c r="{}"><v>1</v></c>'
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
SHEET_PART, STRINGS_PART = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"


def filled(*places: str) -> str:
    return "".join(row(int("".join(filter(str.isdigit, place))[:7]), NUMBER.format(place)) for place in places)


def zeros(name: str, mebibytes: int) -> bytes:
    return package({name: b" " * (mebibytes * 2**20)})


def overlapping() -> bytes:
    """A zip whose directory names one stretch of bytes many times over."""
    content = package({"xl/media/a.bin": random.Random(1).randbytes(20_000)})
    start = content.index(b"PK\x01\x02")
    with zipfile.ZipFile(BytesIO(content)) as archive:
        count = len(archive.infolist())
    end = content.index(b"PK\x05\x06")
    last = content.rindex(b"PK\x01\x02", start, end)
    entry = content[last:end]
    copies = b"".join(entry.replace(b"a.bin", f"{n:05}".encode()) for n in range(500))
    directory = content[start:end] + copies
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count + 500, count + 500, len(directory), start, 0)
    return content[:start] + directory + tail


def locked() -> bytes:
    content = bytearray(package())
    at = content.index(b"PK\x01\x02")
    while at >= 0:
        content[at + 8] |= 1
        at = content.find(b"PK\x01\x02", at + 4)
    return bytes(content)


def many_parts() -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(10_001):
            archive.writestr(f"{number}", b"")
    return buffer.getvalue()


def understated() -> bytes:
    """A sheet whose directory entry states a hundredth of its size."""
    part = SHEET.format(row(1, text_cell("A1", "x" * 100_000)), "")
    content = package({SHEET_PART: part})
    return content.replace(struct.pack("<I", len(part)), struct.pack("<I", len(part) // 100))


def shared_sheets() -> bytes:
    """Sheets that all start at the same, long, stretch of records."""
    heads = b"".join(record(0x0085, struct.pack("<IBBBB", 2500, 0, 0, 1, 0) + b"%c" % (65 + n)) for n in range(26))
    content = (bof(5) + heads + record(0x000A)).ljust(2500, b"\0") + bof(0x10) + record(0x00FF) * 4000 + record(0x000A)
    return ole("Workbook", content)


def nameless() -> bytes:
    """The first entry of the directory has no name, so the next one starts too soon."""
    content = bytearray(package())
    at = content.index(b"PK\x01\x02")
    content[at + 28 : at + 30] = b"\0\0"
    return bytes(content)


GOOD = package()
HOSTILE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "damaged"),
    "noise": (random.Random(7).randbytes(5000), "damaged"),
    "zip head only": (b"PK\x03\x04", "damaged"),
    "empty zip": (b"PK\x05\x06" + bytes(18), "not_a_workbook"),
    "half a zip": (GOOD[: len(GOOD) // 2], "damaged"),
    "names that differ": (GOOD.replace(b"sheet1.xml", b"sheet1.xmk", 1), "damaged"),
    "no content types": (package({"[Content_Types].xml": None}), "not_a_workbook"),
    "no workbook part": (package({"xl/workbook.xml": None}), "not_a_workbook"),
    "a document": (package({"xl/workbook.xml": '<?xml version="1.0"?><document/>'}), "not_a_workbook"),
    "workbook is no xml": (package({"xl/workbook.xml": "workbook"}), "damaged"),
    "workbook torn": (package({"xl/workbook.xml": BOOK[:-20]}), "damaged"),
    "no sheet": (package({"xl/workbook.xml": BOOK.replace("<sheet ", "<other ")}), "no_sheets"),
    "sheet part missing": (package({SHEET_PART: None}), "damaged"),
    "one part twice": (package(twice=SHEET_PART), "duplicate_part"),
    "part without a name": (nameless(), "damaged"),
    "one sheet under two names": (
        package({"xl/workbook.xml": BOOK.replace("</sheets>", '<sheet name="b" sheetId="2" r:id="rId1"/></sheets>')}),
        "duplicate_part",
    ),
    "path upwards": (package({"../../etc/cron.d/x": "x"}), "unsafe_path"),
    "path upwards, backslashes": (package({"xl\\..\\..\\x": "x"}), "unsafe_path"),
    "macro sheet": (
        package(
            {
                "xl/_rels/workbook.xml.rels": '<?xml version="1.0"?><Relationships><Relationship Id="rId1"'
                ' Type="http://schemas.microsoft.com/office/2006/relationships/xlMacrosheet" Target="m.xml"/></Relationships>'
            }
        ),
        "old_format",
    ),
    "encrypted entries": (locked(), "encrypted"),
    "too many parts": (many_parts(), "bomb"),
    "parts share bytes": (overlapping(), "bomb"),
    "bomb in a sheet": (zeros(SHEET_PART, 40), "bomb"),
    "bomb in a picture": (zeros("xl/media/image1.png", 40), "bomb"),
    "size understated": (understated(), "damaged"),
    "more strings than bytes": (package({STRINGS_PART: STRINGS.format(4_000_000_000, "<si><t>a</t></si>")}), "bomb"),
    "laughs": (
        package({SHEET_PART: f"<!DOCTYPE l [<!ENTITY l0 'ha'>{LAUGHS}]>" + SHEET.format("&l9;", "")}),
        "unsafe_xml",
    ),
    "laughs after a comment": (
        package({SHEET_PART: f"<?xml version='1.0'?><!-- {'a' * 5000} -->\n<!DOCTYPE l [{LAUGHS}]>{SHEET}"}),
        "unsafe_xml",
    ),
    "outside entity": (
        package(
            {"xl/workbook.xml": '<!DOCTYPE w [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + BOOK.partition("?>")[2]}
        ),
        "unsafe_xml",
    ),
    "document type in a relationship": (package({"_rels/.rels": "<!DOCTYPE r><Relationships/>"}), "unsafe_xml"),
    "endless prolog": (package({SHEET_PART: " " * 70_000 + SHEET.format("", "")}), "unsafe_xml"),
    "far cell": (package(rows=filled("A1", "XFD1048576")), "too_large"),
    "cell beyond every sheet": (package(rows=filled("ZZZZZZ99999999999")), "bad_reference"),
    "column beyond": (package(rows=filled("XFE1")), "bad_reference"),
    "row beyond": (package(rows=filled("A1048577")), "bad_reference"),
    "row nought": (package(rows=filled("A0")), "bad_reference"),
    "string that is not there": (
        package({STRINGS_PART: STRINGS.format(1, "<si><t>a</t></si>")}, rows=row(1, '<c r="A1" t="s"><v>99</v></c>')),
        "damaged",
    ),
    "ole head only": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "damaged"),
    "ole noise": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + random.Random(3).randbytes(8000), "damaged"),
    "ole document": (ole("WordDocument", b"text"), "not_a_workbook"),
    "ole encrypted package": (ole("EncryptedPackage", b"secret"), "encrypted"),
    "ole password": (xls(biff_sheet(biff_number(0, 0, 1.0)), globals_extra=record(0x002F, bytes(54))), "encrypted"),
    "ole torn": (xls(biff_sheet(biff_number(0, 0, 1.0)))[:2000], "damaged"),
    "ole of empty records": (ole("Workbook", b"\xff\0\0\0" * 1000), "damaged"),
    "ole sheets at one place": (shared_sheets(), "damaged"),
    "ole chain in a circle": (
        xls(biff_sheet()).replace(struct.pack("<II", 3, 4), struct.pack("<II", 3, 2), 1),
        "damaged",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_rejected_with_its_reason(name: str, tmp_path: Path) -> None:
    content, reason = HOSTILE[name]
    path = tmp_path / "a.xlsx"
    path.write_bytes(content)
    started = time.monotonic()
    with pytest.raises(ImportRejected) as caught:
        read_workbook(path)
    assert caught.value.reason == reason
    assert caught.value.part
    assert caught.value.message.startswith(REASONS[reason][0])
    assert time.monotonic() - started < 5


def test_a_claim_that_costs_nothing_is_let_in(tmp_path: Path) -> None:
    """Extents, merged ranges and formatted cells far away are claims only; macros are not run."""
    claims = '<mergeCells count="1"><mergeCell ref="A1:XFD1048576"/></mergeCells>'
    sheet = SHEET.format(row(1, text_cell("A1", "名称")) + '<row r="1048576"><c r="XFD1048576" s="0"/></row>', claims)
    sheet = sheet.replace("<sheetData>", '<dimension ref="A1:XFD1048576"/><sheetData>')
    path = tmp_path / "a.xlsm"
    path.write_bytes(package({SHEET_PART: sheet, "xl/vbaProject.bin": b"macro"}))
    (read,) = read_workbook(path)
    assert list(read.rows) == [("名称",)]


def test_what_passes_the_preflight_and_kills_the_parser_is_a_reason_too(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(package(rows=filled("A1", "XFD1048576")))
    with pytest.raises(ImportRejected) as caught:
        read_workbook(path, Limits(cells=2**40))
    assert caught.value.reason == "parser_died"


def test_a_parser_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(GOOD)
    with pytest.raises(ImportRejected) as caught:
        read_workbook(path, Limits(seconds=0.0, seconds_per_mebibyte=0.0))
    assert caught.value.reason == "timeout"


@pytest.mark.skipif(sys.platform == "win32", reason="the system limits no processor time")
def test_a_parser_that_works_too_long_is_stopped_by_its_processor_time(tmp_path: Path) -> None:
    """A million cells take more than a second, whatever the clock on the wall shows."""
    cells = "".join(row(number, NUMBER.format(f"A{number}")) for number in range(1, 1_000_000))
    path = tmp_path / "a.xlsx"
    path.write_bytes(package(rows=cells))
    limits = Limits(seconds=0.0, seconds_per_mebibyte=0.0001, patience=10_000, ratio=10_000)
    with pytest.raises(ImportRejected) as caught:
        read_workbook(path, limits)
    assert caught.value.reason == "timeout"


@pytest.mark.parametrize(
    "limits", [Limits(file_size=100), Limits(unpacked=100), Limits(cells=5), Limits(result=10)], ids=str
)
def test_every_size_has_its_limit(limits: Limits, tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(package(rows=filled("A1", "B9")))
    assert len(read_workbook(path)) == 1
    with pytest.raises(ImportRejected) as caught:
        read_workbook(path, limits)
    assert caught.value.reason == "too_large"


@pytest.mark.parametrize(
    "attack", ["<c " * 300_000, "<c r=" * 200_000, '<c r="A1" ' + 'r="A1" t="e" ' * 80_000, "<" * 10**6]
)
def test_scanning_is_linear(attack: str, tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(package({SHEET_PART: SHEET.format(attack, "")}))
    started = time.monotonic()
    with pytest.raises(ImportRejected):
        read_workbook(path, Limits(ratio=10_000))
    assert time.monotonic() - started < 3


def test_no_mutation_of_a_good_file_ends_otherwise(tmp_path: Path) -> None:
    """A flipped byte, a cut or a doubled stretch: sheets, or a reason of the table."""
    draw = random.Random(20240315)
    good = [package(rows=filled("A1", "B2", "C3")), xls(biff_sheet(biff_number(0, 0, 1.0), biff_number(3, 2, 2.0)))]
    path = tmp_path / "a.xlsx"
    reasons = set()
    for attempt in range(80):
        content = bytearray(good[attempt % 2])
        for _ in range(draw.choice((1, 3, 30))):
            at = draw.randrange(len(content))
            match draw.randrange(4):
                case 0:
                    del content[at : at + draw.randrange(200)]
                case 1:
                    content[at:at] = content[at : at + 50]
                case _:
                    content[at] = draw.randrange(256)
        path.write_bytes(content)
        try:
            assert read_workbook(path)
        except ImportRejected as error:
            reasons.add(error.reason)
    assert reasons <= REASONS.keys()
    assert len(reasons) > 1


def test_threads_read_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(GOOD)
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(len(read_workbook(path)[0].rows))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1] * 6


@pytest.mark.parametrize(
    ("part", "content"),
    [
        (STRINGS_PART, STRINGS.format(1, "<si><t>a</t></si>")[:-8]),
        (STRINGS_PART, STRINGS.format(1, "<si><t>&none;</t></si>")),
        (SHEET_PART, SHEET.format(row(1, text_cell("A1", "x")), "")[:-30]),
        ("xl/styles.xml", '<?xml version="1.0"?><styleSheet><cellXfs><xf numFmtId="1"/></cellX></styleSheet>'),
    ],
)
def test_a_torn_part_is_named(part: str, content: str, tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(package({part: content}, rows=row(1, '<c r="A1" t="s"><v>0</v></c>')))
    with pytest.raises(ImportRejected) as caught:
        read_workbook(path)
    assert caught.value.reason == "damaged"
    assert caught.value.part in (part, "客户")


def test_a_part_that_does_not_fit_its_checksum_is_named(tmp_path: Path) -> None:
    content = bytearray(package({SHEET_PART: SHEET.format(row(1, text_cell("A1", "x" * 500)), "")}))
    with zipfile.ZipFile(BytesIO(content)) as archive:
        entry = archive.getinfo(SHEET_PART)
    content[entry.header_offset + 30 + len(SHEET_PART) + 20] ^= 0xFF
    path = tmp_path / "a.xlsx"
    path.write_bytes(content)
    with pytest.raises(ImportRejected) as caught:
        read_workbook(path)
    assert (caught.value.reason, caught.value.part) == ("damaged", SHEET_PART)
