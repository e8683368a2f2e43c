"""Files that an import takes in whole, made here and the same each time: what the fuzzer begins with."""

from __future__ import annotations

import datetime
import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

CUSTOMERS: Sequence[Sequence[object]] = (
    ("客户名称*", "所属行业", "联系人", "联系电话", "邮箱", "建档日期", "合同金额(万元)", "备注"),
    *(
        (
            f"示例{n}科技有限公司",
            "制造业",
            f"联系人{n}",
            f"1380013{n:04}",
            f"a{n}@example.com",
            _day,
            n * 1.5,
            f"第{n}行\n备注",
        )
        for n, _day in enumerate((datetime.date(2024, 3, day) for day in range(1, 25)), 1)
    ),
)
OPPORTUNITIES: Sequence[Sequence[object]] = (
    ("机会编号", "客户名称", "机会名称", "金额"),
    *((f"P{n:04}", f"示例{n}科技有限公司", f"机会{n}", f"{n}万") for n in range(1, 9)),
)
_MOMENT = (1980, 1, 1, 0, 0, 0)
_STAMP = re.compile(rb"(<dcterms:(?:created|modified)[^>]*>)[^<]*")
_ODS_TYPE = "application/vnd.oasis.opendocument.spreadsheet"
_ODS = (
    '<?xml version="1.0" encoding="UTF-8"?><office:document-content office:version="1.2"'
    ' xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"'
    ' xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"'
    ' xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:body><office:spreadsheet>'
    '<table:table table:name="客户">{}</table:table></office:spreadsheet></office:body></office:document-content>'
)
_ODS_MANIFEST = (
    '<?xml version="1.0"?><manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
    f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{_ODS_TYPE}"/>'
    '<manifest:file-entry manifest:full-path="content.xml" manifest:media-type="text/xml"/></manifest:manifest>'
)


def good_files(old: Path | None = None) -> dict[str, bytes]:
    """The files by name; ``old`` is a folder of .xls files, which nothing here can make."""
    found = {
        "xlsxwriter.xlsx": _by_xlsxwriter(),
        "openpyxl.xlsx": _by_openpyxl(),
        "plain.ods": _ods(),
        "utf-8.csv": _text(",").encode("utf-8-sig"),
        "gb18030.csv": _text(",").encode("gb18030"),
        "utf-16.txt": _text("\t").encode("utf-16"),
        "semicolons.csv": _text(";").encode(),
    }
    for path in sorted(old.glob("*.xls")) if old else ():
        found[path.name] = path.read_bytes()
    return found


def parts_of(content: bytes) -> dict[str, bytes]:
    """The parts of a zip."""
    with zipfile.ZipFile(io.BytesIO(content)) as package:
        return {name: package.read(name) for name in package.namelist()}


def packed(parts: Mapping[str, bytes]) -> bytes:
    """A zip of these parts: the same parts, the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        for name, part in parts.items():
            entry = zipfile.ZipInfo(name, _MOMENT)
            entry.compress_type = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            package.writestr(entry, part)
    return buffer.getvalue()


def _by_xlsxwriter() -> bytes:
    import xlsxwriter

    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer) as book:
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        sheet = book.add_worksheet("客户")
        sheet.merge_range(0, 0, 0, 7, "华东区客户登记")
        for number, row in enumerate(CUSTOMERS, 1):
            for column, cell in enumerate(row):
                if isinstance(cell, datetime.date):
                    sheet.write_datetime(number, column, datetime.datetime.combine(cell, datetime.time()), day)
                else:
                    sheet.write(number, column, cell)
        sheet.write_formula(3, 6, "=1+2", None, 3)
        others = book.add_worksheet("销售机会")
        for number, row in enumerate(OPPORTUNITIES):
            others.write_row(number, 0, row)
        hidden = book.add_worksheet("数据")
        hidden.write_column(0, 0, ["A级", "B级"])
        hidden.hide()
    return _without_clock(buffer.getvalue())


def _by_openpyxl() -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
    for row in CUSTOMERS:
        book.active.append(row)
    book.active.title = "客户"
    book.active["I3"] = "=NA()"
    buffer = io.BytesIO()
    book.save(buffer)
    return _without_clock(buffer.getvalue())


def _without_clock(content: bytes) -> bytes:
    return packed({name: _STAMP.sub(rb"\g<1>2024-01-01T00:00:00Z", part) for name, part in parts_of(content).items()})


def _ods() -> bytes:
    rows = "".join(f"<table:table-row>{''.join(map(_ods_cell, row))}</table:table-row>" for row in CUSTOMERS)
    parts = {"mimetype": _ODS_TYPE, "META-INF/manifest.xml": _ODS_MANIFEST, "content.xml": _ODS.format(rows)}
    return packed({name: part.encode() for name, part in parts.items()})


def _ods_cell(cell: object) -> str:
    if isinstance(cell, datetime.date):
        return f'<table:table-cell office:value-type="date" office:date-value="{cell}"/>'
    if isinstance(cell, float):
        return f'<table:table-cell office:value-type="float" office:value="{cell}"/>'
    return f'<table:table-cell office:value-type="string"><text:p>{cell}</text:p></table:table-cell>'


def _text(separator: str) -> str:
    rows = (separator.join(f'"{cell}"' if "\n" in str(cell) else str(cell) for cell in row) for row in CUSTOMERS)
    return "\r\n".join(rows) + "\r\n"
