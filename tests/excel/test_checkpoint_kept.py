"""Of a person's workbook only our own cells change: all else stays byte for byte, whatever program and features made it."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl.styles import Font, PatternFill
from stores_by_hand import ROWS, VIEW

from crmcore.errors import NotSupported, StoreCorrupt
from crmcore.storage import Row
from crmcore.testing import strategies
from crmcore.testing.kit_schema import SCHEMA, VALUES, changed, values_row
from crmcore_excel.checkpoints import is_someones, read_checkpoint, write_checkpoint
from crmcore_excel.sheetxml import SheetXML

Parts = dict[str, bytes]
Change = Callable[[Parts], None]

DOT = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc0000003010100"
    "18dd8db00000000049454e44ae426082"
)
FOREIGN = {
    "xl/cellimages.xml": b"<x/>",
    "customXml/item1.xml": b"<x/>",
    "xl/vbaProject.bin": b"\0\1",
    "xl/threadedComments/threadedComment1.xml": b"<x/>",
    "xl/slicers/slicer1.xml": b"<x/>",
    "xl/media/image.webp": b"RIFF",
}
SHEET = "xl/worksheets/sheet2.xml"  #: of customers, behind the guide


def parts_of(path: Path) -> Parts:
    with zipfile.ZipFile(path) as package:
        return {name: package.read(name) for name in package.namelist()}


def saved(path: Path, change: Change) -> Path:
    """The workbook as another program would save it."""
    parts = parts_of(path)
    parts["docProps/app.xml"] += b"<!-- saved -->"
    change(parts)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        for name, part in parts.items():
            package.writestr(name, part)
    return path


def write(path: Path, rows: list[Row], kept: Path | None = None) -> Path:
    write_checkpoint(path, SCHEMA, {"values": rows}, store_id="s", sequence=3, presentation=VIEW, kept=kept)
    return path


def holds(path: Path, rows: list[Row]) -> None:
    found = read_checkpoint(path, SCHEMA)
    assert (found.edited, found.unread) == (False, ())
    assert sorted(found.rows["values"], key=lambda row: str(row[0])) == sorted(rows, key=lambda row: str(row[0]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it names what it would lose
        assert openpyxl.load_workbook(path)["客户"].max_row > 0


def decorate(book: Any, picture: Path) -> None:
    """Puts everything into a workbook that its writer can draw."""
    sheet = book.get_worksheet_by_name("客户")
    own = book.add_worksheet("我的")
    for at in (sheet, own):
        at.add_sparkline("AA2", {"range": "我的!A1:C1"})
        at.conditional_format("AA1:AA9", {"type": "data_bar", "data_bar_2010": True})
        at.conditional_format("AB1:AB9", {"type": "duplicate", "format": book.add_format({"bold": True})})
        at.insert_textbox("AC2", "记得回访")
        at.insert_button("AD2", {"caption": "按"})
        at.insert_checkbox("AE1", True)
        at.set_background(str(picture))
        at.insert_image("AF2", str(picture))
        at.write_comment("A1", "打过电话")
        at.write_rich_string("AG1", book.add_format({"bold": True}), "粗", "细")
        at.data_validation("AH1:AH9", {"validate": "list", "source": ["甲", "乙"]})
        at.set_header("&C页眉")
        at.set_h_pagebreaks([9])
        at.ignore_errors({"number_stored_as_text": "A1:B9"})
        at.protect("", {"sort": True})
        chart = book.add_chart({"type": "column"})
        chart.add_series({"values": "=我的!$A$1:$A$2", "trendline": {"type": "linear"}})
        at.insert_chart("AM3", chart)
    own.write_column("A1", [1, 2, 3])
    own.write_url("A8", "https://example.com/")
    own.merge_range("AI1:AJ2", "合并")
    own.write_dynamic_array_formula("AK20", "=SORT(B1:B5)")
    own.write_array_formula("AL20:AL22", "{=A1:A3}")
    own.add_table("D1:E3", {"name": "我的表"})
    own.embed_image("F9", str(picture))
    own.outline_settings(True)
    own.set_row(5, None, None, {"level": 1})
    book.define_name("我的名字", "=我的!$A$1")
    pie = book.add_chart({"type": "pie"})
    pie.add_series({"values": "=我的!$A$1:$A$2"})
    book.add_chartsheet("图").set_chart(pie)
    book.set_custom_property("部门", "市场部")


@pytest.fixture
def featured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workbook with all that."""
    picture = tmp_path / "dot.png"
    picture.write_bytes(DOT)
    close = xlsxwriter.Workbook.close

    def decorated(book: Any) -> None:
        decorate(book, picture)
        close(book)

    with monkeypatch.context() as patched:
        patched.setattr(xlsxwriter.Workbook, "close", decorated)
        path = write(tmp_path / "featured.xlsx", ROWS)
    return saved(path, lambda parts: parts.update(FOREIGN))


def test_every_part_but_ours_stays_byte_for_byte(featured: Path, tmp_path: Path) -> None:
    rows = [changed(VALUES, ROWS[0], text="甲集团"), *ROWS[1:], values_row("four", 1, text="丁公司")]
    path = write(tmp_path / "next.xlsx", rows, featured)
    holds(path, rows)
    before, after = parts_of(featured), parts_of(path)
    assert before.keys() == after.keys()
    assert len(before) > 40
    changes = {name for name in before if before[name] != after[name]}
    marks = {name for name in changes if b"layout" in after[name] and name.startswith("xl/worksheets/sheet")}
    assert len(marks) == 1
    own = next(name for name, part in before.items() if b"SORT(" in part)
    hidden = {name for name in changes if name.startswith("xl/worksheets/")} - marks - {SHEET, own}
    assert hidden <= {"xl/worksheets/sheet3.xml", "xl/worksheets/sheet4.xml", "xl/worksheets/sheet6.xml"}
    assert changes - marks - hidden == {SHEET, "docProps/custom.xml", own}
    assert after[own] == re.sub(rb"</f><v>[^<]*</v>", b"</f>", before[own])  # results are worked out anew
    head, tail = re.compile(b".*<sheetData>", re.DOTALL), re.compile(b"</sheetData>.*", re.DOTALL)
    assert _found(head, before[SHEET]) == _found(head, after[SHEET])
    stretched = _found(tail, before[SHEET]).replace(b'4"/>', b'5"/>', 1)
    assert stretched == _found(tail, after[SHEET])
    again = write(tmp_path / "again.xlsx", rows, path)
    assert parts_of(again)[SHEET] == after[SHEET]


def _found(pattern: re.Pattern[bytes], content: bytes) -> bytes:
    found = pattern.search(content)
    assert found is not None
    return found[0]


def test_only_the_cells_that_differ_change(featured: Path, tmp_path: Path) -> None:
    rows = [changed(VALUES, ROWS[0], text="a<b & _x0041_ \n c"), *ROWS[1:]]
    path = write(tmp_path / "next.xlsx", rows, featured)
    holds(path, rows)
    one, other = ([*_cells(parts_of(each)[SHEET])] for each in (featured, path))
    differ = [(a, b) for a, b in zip(one, other, strict=True) if a != b]
    assert [_found(re.compile(rb'(?<=r=")[A-Z0-9]+'), there) for _, there in differ] == [b"A2", b"I2"]  # text, version
    assert b'r="A2"' in differ[0][0]
    assert b'<t xml:space="preserve">a&lt;b &amp; _x005F_x0041_ \n c</t>' in differ[0][1]


def _cells(sheet: bytes) -> list[bytes]:
    return re.findall(rb"<c\s[^>]*?(?:/>|>.*?</c>)", sheet, re.DOTALL)


def with_prefix(part: bytes) -> bytes:
    part = re.sub(rb"<(/?)(?=[A-Za-z])", rb"<\1x:", part)
    return part.replace(b" xmlns=", b" xmlns:x=")


def with_single_quotes(part: bytes) -> bytes:
    return re.sub(rb"<[^<>?]*>", lambda found: found[0].replace(b'"', b"'"), part)


def without_places(part: bytes) -> bytes:
    """Every cell is there, and none says where."""
    made = []
    for row in re.findall(rb"<row .*?</row>", part, re.DOTALL):
        cells = {_letters(cell): cell for cell in _cells(row)}
        width = max(cells)
        told = [re.sub(rb'\sr="[^"]*"', b"", cells.get(index, b"<c/>"), count=1) for index in range(1, width + 1)]
        made.append(b"<row>" + b"".join(told) + b"</row>")
    start, end = part.index(b"<row "), part.rindex(b"</row>") + 6
    return part[:start] + b"".join(made) + part[end:]


def _letters(cell: bytes) -> int:
    number = 0
    for letter in _found(re.compile(rb'(?<=r=")[A-Z]+'), cell):
        number = number * 26 + letter - 64
    return number


def with_asides(part: bytes) -> bytes:
    part = re.sub(rb'(<t xml:space="preserve">)([^<&]+)(</t>)', rb"\1<![CDATA[\2]]>\3", part)
    return part.replace(b"<row ", b'<!-- <row r="7"> --><?not a="row"?>\n<row ')


def with_a_bom(part: bytes) -> bytes:
    return b"\xef\xbb\xbf" + part


WAYS: Mapping[str, Callable[[bytes], bytes]] = {
    "prefix": with_prefix,
    "single quotes": with_single_quotes,
    "counted": without_places,
    "comments and CDATA": with_asides,
    "byte order mark": with_a_bom,
    "prefix and counted": lambda part: with_prefix(without_places(part)),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_sheet_is_changed_however_it_is_written(tmp_path: Path, way: str) -> None:
    def rewrite(parts: Parts) -> None:
        parts[SHEET] = WAYS[way](parts[SHEET])

    kept = saved(write(tmp_path / "kept.xlsx", ROWS), rewrite)
    rows = [
        changed(VALUES, ROWS[0], text="甲集团", some_integer=7),
        ROWS[2],
        values_row("four", 1, text="丁"),
        values_row("five"),
    ]
    for number in range(2):
        path = write(tmp_path / f"{number}.xlsx", rows, kept)
        holds(path, rows)
        kept, rows = path, rows[1:]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            lambda part: part.replace(b"</sheetData>", b"<mc:AlternateContent xmlns:mc='m'/></sheetData>"),
            "alternate content among the rows in 客户",
        ),
        (lambda part: part.replace(b"<pageMargins", b'<mergeCells><mergeCell ref="B2:B3"/></mergeCells><pageMargins'),
         "merged cells B2:B3 in 客户"),
        (
            lambda part: part.replace(b"</row></sheetData>", b'<c r="XA4"><f t="array" ref="A4:XA4">1</f></c></row></sheetData>'),
            "formula over A4:XA4 in 客户",
        ),
        (
            lambda part: re.sub(
                rb'<c r="A3".*?</c>', b'<c r="A3"><f t="shared" ref="A3:XA3" si="0">B1</f><v>1</v></c>', part, count=1
            ).replace(b"</row></sheetData>", b'<c r="XA4"><f t="shared" si="0"/></c></row></sheetData>'),
            "formulas shared with cells of the store, XA4 in 客户",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_named_and_nothing_is_written(
    tmp_path: Path, change: Callable[[bytes], bytes], named: str
) -> None:
    def rewrite(parts: Parts) -> None:
        parts[SHEET] = change(parts[SHEET])

    kept, target = saved(write(tmp_path / "kept.xlsx", ROWS), rewrite), tmp_path / "target.xlsx"
    with pytest.raises(NotSupported) as caught:
        write(target, ROWS, kept)
    assert caught.value.details["parts"] == (named,)
    assert named in caught.value.message
    assert not target.exists()


def test_a_sheet_in_another_encoding_is_named() -> None:
    sheet = '<?xml version="1.0" encoding="UTF-16"?><worksheet><sheetData/></worksheet>'
    other = b'<?xml version="1.0" encoding="GBK"?><worksheet><sheetData/></worksheet>'
    for part, encoding in ((sheet.encode("utf-16"), "UTF-16"), (sheet.encode("utf-16-le"), "UTF-16"), (other, "GBK")):
        with pytest.raises(NotSupported) as caught:
            SheetXML.of(part, "客户")
        assert caught.value.details["parts"] == (f"text in {encoding} in 客户",)


def test_a_signature_that_would_no_longer_hold_is_named(tmp_path: Path) -> None:
    kept = saved(write(tmp_path / "kept.xlsx", ROWS), lambda parts: parts.update({"_xmlsignatures/sig1.xml": b"<x/>"}))
    with pytest.raises(NotSupported) as caught:
        write(tmp_path / "target.xlsx", ROWS, kept)
    assert caught.value.details["parts"] == ("_xmlsignatures/sig1.xml",)


def test_a_formula_in_a_cell_of_ours_becomes_its_value_and_the_order_of_calculation_goes(tmp_path: Path) -> None:
    chain = '<calcChain xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><c r="A2" i="2"/></calcChain>'

    def rewrite(parts: Parts) -> None:
        parts[SHEET] = re.sub(
            rb'<c r="A2"( s="\d+")?.*?</c>', rb'<c r="A2"\1 t="str"><f>"x"</f><v>x</v></c>', parts[SHEET], count=1
        )
        parts["xl/calcChain.xml"] = chain.encode()
        parts["xl/_rels/workbook.xml.rels"] = parts["xl/_rels/workbook.xml.rels"].replace(
            b"</Relationships>",
            b'<Relationship Id="rId99" Target="calcChain.xml"'
            b' Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/calcChain"/></Relationships>',
        )
        parts["[Content_Types].xml"] = parts["[Content_Types].xml"].replace(
            b"</Types>",
            b'<Override PartName="/xl/calcChain.xml"'
            b' ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.calcChain+xml"/></Types>',
        )

    first = write(tmp_path / "kept.xlsx", ROWS)
    whole = parts_of(first)
    path = write(tmp_path / "next.xlsx", ROWS, saved(first, rewrite))
    holds(path, ROWS)
    after = parts_of(path)
    assert "xl/calcChain.xml" not in after
    assert after["[Content_Types].xml"] == whole["[Content_Types].xml"]
    assert after["xl/_rels/workbook.xml.rels"] == whole["xl/_rels/workbook.xml.rels"]
    assert after[SHEET] == whole[SHEET]


def test_a_formula_that_other_rows_share_stays_when_its_record_is_gone(tmp_path: Path) -> None:
    def rewrite(parts: Parts) -> None:
        rows = parts[SHEET].split(b"</row>")
        rows[0] += b'<c r="XA1" t="inlineStr"><is><t>mine</t></is></c>'
        rows[1] += b'<c r="XA2"><f t="shared" ref="XA2:XA4" si="0">C2*2</f><v>1</v></c>'
        rows[2] += b'<c r="XA3"><f t="shared" si="0"/><v>2</v></c>'
        rows[3] += b'<c r="XA4"><f t="shared" si="0"/><v>3</v></c>'
        parts[SHEET] = b"</row>".join(rows)

    path = write(tmp_path / "next.xlsx", ROWS[1:], saved(write(tmp_path / "kept.xlsx", ROWS), rewrite))
    holds(path, ROWS[1:])
    sheet = openpyxl.load_workbook(path)["客户"]
    assert [sheet[f"XA{number}"].value for number in (2, 3, 4)] == ["=C2*2", "=C3*2", "=C4*2"]


def test_a_sheet_that_ends_too_early_is_damaged(tmp_path: Path) -> None:
    def rewrite(parts: Parts) -> None:
        parts[SHEET] = parts[SHEET].replace(b"<pageMargins", b"<pageMargins <")

    kept = saved(write(tmp_path / "kept.xlsx", ROWS), rewrite)
    with pytest.raises(StoreCorrupt):
        write(tmp_path / "target.xlsx", ROWS, kept)


def test_formulas_are_worked_out_anew_when_the_workbook_is_opened(tmp_path: Path) -> None:
    def rewrite(parts: Parts) -> None:
        parts["xl/workbook.xml"] = re.sub(b"<calcPr[^>]*>", b"", parts["xl/workbook.xml"])
        parts[SHEET] = parts[SHEET].replace(
            b"</row></sheetData>", b'<c r="XA4"><f>A2</f><v>0</v></c></row></sheetData>'
        )

    path = write(tmp_path / "next.xlsx", ROWS[:2], saved(write(tmp_path / "kept.xlsx", ROWS), rewrite))
    holds(path, ROWS[:2])
    book = openpyxl.load_workbook(path)
    assert book.calculation.fullCalcOnLoad
    assert book["客户"]["XA4"].value == "=A2"
    assert openpyxl.load_workbook(path, data_only=True)["客户"]["XA4"].value is None


def test_a_number_in_a_cell_made_a_date_stays_a_number(tmp_path: Path) -> None:
    kept = write(tmp_path / "kept.xlsx", ROWS)
    book = openpyxl.load_workbook(kept)
    sheet = book["客户"]
    at = {cell.value: cell.column for cell in sheet[1]}
    for row in (2, 3, 4):
        for heading in ("金额", "日期", "时间", "some_integer"):
            cell = sheet.cell(row, at[heading])
            cell.number_format, cell.font = "[h]:mm" if row == 3 else "yyyy-mm-dd", Font(bold=True)
    book.save(kept)
    rows = [
        changed(VALUES, row, integer=45_000, some_integer=45_001, date=ROWS[0][VALUES.position("date")]) for row in ROWS
    ]
    path = write(tmp_path / "next.xlsx", rows, kept)
    holds(path, rows)
    cell = openpyxl.load_workbook(path)["客户"].cell(2, at["金额"])
    assert (cell.number_format, cell.font.bold) == ("#,##0.00", True)


FORMATS = st.sampled_from(["General", "yyyy-mm-dd", "[h]:mm", '0.00"元"', "@", "#,##0"])


# A person may show any number as a date; openpyxl warns of one that is none.
@pytest.mark.filterwarnings("ignore:Cell .* is marked as a date")
@settings(max_examples=max(15, settings().max_examples // 4))
@given(data=st.data())
def test_the_store_s_rows_and_all_else_a_person_made_come_through_any_number_of_checkpoints(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("kept")
    drawn = st.lists(strategies.rows(VALUES, id=st.sampled_from("abcdefgh")), max_size=5, unique_by=lambda row: row[0])
    rows = data.draw(drawn)
    kept = write(folder / "0.xlsx", rows)
    book = openpyxl.load_workbook(kept)
    sheet = book["客户"]
    above = data.draw(st.integers(0, 2))
    if above:
        sheet.insert_rows(1, above)
    sheet.insert_cols(data.draw(st.integers(1, 8)), data.draw(st.integers(1, 2)))
    far = sheet.max_column + 3
    for number in range(above + 2, sheet.max_row + 1):
        sheet.cell(number, far).value = f"=ROW()+{number}"
        for cell in data.draw(st.lists(st.sampled_from(sheet[number]), max_size=3)):
            cell.number_format = data.draw(FORMATS)
            cell.fill = PatternFill("solid", fgColor="FFFFC7CE")
    if data.draw(st.booleans()):
        sheet.cell(above + 1, far).value = "我的"
    book.save(kept)
    assert is_someones(kept)
    for number in range(1, 3):
        rows = data.draw(drawn)
        path = write(folder / f"{number}.xlsx", rows, kept)
        holds(path, rows)
        one, other = openpyxl.load_workbook(kept)["客户"], openpyxl.load_workbook(path)["客户"]
        headed = {cell.column for cell in other[above + 1] if cell.value is not None}
        for line in one.iter_rows():
            for cell in line:
                there = other.cell(cell.row, cell.column)
                if cell.column not in headed:
                    assert (there.value, there.number_format) == (cell.value, cell.number_format)
                if cell.has_style:
                    assert there.fill.fgColor.rgb == cell.fill.fgColor.rgb
        kept = path
