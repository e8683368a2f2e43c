"""Rejected rows in a copy of the file: the reasons beside them, the wrong cells red, all else as its owner made it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook, load_workbook
from openpyxl.comments import Comment
from openpyxl.styles import Border, Font, PatternFill, Side
from openpyxl.worksheet.datavalidation import DataValidation

import crmcore
from crmcore_excel.rejected_rows import RED

HEADINGS = ["客户名称*", "所属行业", "联系人", "联系电话", "建档日期", "合同金额(万元)"]
ROWS = [
    ["甲科技有限公司", "制造业", "张三", 13800138000, "2024-03-15", 12.5],
    ["乙商贸有限公司", "零售", "李四", "不详", "03/04/2024", 3],
    [None, "物流", "王五", "13900139000", "2024-03-18", None],
    ["丙物流有限公司", "物流", "赵六", "13900139001", "2024-03-19", "很多"],
    ["丁公司", "物流", "钱七", "13900139002", "2024-03-20", 8],
]
REASONS = {
    4: "联系电话不是有效电话;建档日期可以读成两个日期,请说明年月日的顺序",
    5: "客户名称必填",
    6: "合同金额(万元)不是金额",
}
WRONG = {"D4", "E4", "A5", "F6"}


@pytest.fixture
def importer():
    with crmcore.open("memory:") as crm:
        yield crm.acting_as("importer")


@pytest.fixture
def formatted(tmp_path: Path) -> Path:
    """A workbook as somebody made it: title, colours, lines, a drop-down, a comment, a filter, a second sheet."""
    book = Workbook()
    sheet = book.active
    sheet.title = "客户登记"
    sheet["A1"] = "华东区客户登记表"
    sheet.merge_cells("A1:F1")
    for row in (HEADINGS, *ROWS):
        sheet.append(row)
    for cell in sheet[2]:
        cell.font, cell.fill = Font(bold=True), PatternFill("solid", fgColor="FF4472C4")
    for cell in sheet["D"]:
        cell.border = Border(top=Side(style="thin"))
    sheet["F6"].number_format = "0.00"
    sheet["B6"].fill = PatternFill("solid", fgColor="FFFFFF00")
    sheet["D4"].comment = Comment("问过前台", "同事")
    sheet.freeze_panes, sheet.auto_filter.ref = "A3", "A2:F7"
    choices = DataValidation(type="list", formula1='"制造业,零售,物流"')
    choices.add("B3:B100")
    sheet.add_data_validation(choices)
    book.create_sheet("说明")["A1"] = "填写说明"
    path = tmp_path / "客户.xlsx"
    book.save(path)
    return path


def copied(me: Any, source: Path, name: str = "copy.xlsx") -> Any:
    plan = me.imports.plan(source)
    assert plan.write_rejected(plan.apply(), source.with_name(name))
    return load_workbook(source.with_name(name))


def red(sheet: Any) -> set[str]:
    return {cell.coordinate for row in sheet.iter_rows() for cell in row if cell.fill.fgColor.rgb == RED}


def test_exactly_the_wrong_cells_are_red_and_each_rejected_row_says_why(importer, formatted):
    sheet = copied(importer, formatted)["客户登记"]
    assert red(sheet) == WRONG
    assert sheet["G2"].value == "失败原因"
    assert {row: sheet.cell(row, 7).value for row in range(3, 8) if sheet.cell(row, 7).value} == REASONS
    assert [row for row in range(1, 8) if sheet.row_dimensions[row].hidden] == [3, 7]


def test_all_that_its_owner_made_of_it_is_kept(importer, formatted):
    book = copied(importer, formatted)
    before, after = load_workbook(formatted)["客户登记"], book["客户登记"]
    for row in before.iter_rows():
        for cell in row:
            found = after[cell.coordinate]
            assert found.value == cell.value
            kept = ["font", "border", "alignment", "number_format", *(["fill"] if cell.coordinate not in WRONG else [])]
            assert [repr(getattr(found, look)) for look in kept] == [repr(getattr(cell, look)) for look in kept]
    assert (after.freeze_panes, after.auto_filter.ref) == ("A3", "A2:F7")
    assert [str(area) for area in after.merged_cells.ranges] == ["A1:F1"]
    assert str(after.data_validations.dataValidation[0].sqref) == "B3:B100"
    assert after["D4"].comment.text == "问过前台"
    assert book["说明"]["A1"].value == "填写说明"
    with zipfile.ZipFile(formatted) as one, zipfile.ZipFile(formatted.with_name("copy.xlsx")) as other:
        assert one.namelist() == other.namelist()
        changed = {name for name in one.namelist() if one.read(name) != other.read(name)}
    assert changed == {"xl/worksheets/sheet1.xml", "xl/styles.xml"}


def test_filled_right_it_is_imported_and_the_reasons_are_passed_over(importer, formatted):
    book = copied(importer, formatted)
    sheet = book["客户登记"]
    for place, value in {"D4": "13800138009", "E4": "2024-04-03", "A5": "戊公司", "F6": 7}.items():
        sheet[place] = value
    book.save(formatted.with_name("filled.xlsx"))
    plan = importer.imports.plan(formatted.with_name("filled.xlsx"))
    result = plan.apply()
    assert (result.created, result.known, result.rejected, result.issues) == (3, 2, 0, ())
    assert not plan.write_rejected(result, formatted.with_name("none.xlsx"))
    assert not formatted.with_name("none.xlsx").exists()


def test_a_copy_of_a_copy_forgets_what_is_right_by_now(importer, formatted):
    book = copied(importer, formatted)
    for place, value in {"D4": "13800138009", "A5": "戊公司", "F6": 7}.items():
        book["客户登记"][place] = value
    book.save(formatted.with_name("partly.xlsx"))
    sheet = copied(importer, formatted.with_name("partly.xlsx"), "again.xlsx")["客户登记"]
    assert red(sheet) == {"E4"}
    assert [sheet.cell(row, 7).value for row in range(2, 8)] == [
        "失败原因", None, "建档日期可以读成两个日期,请说明年月日的顺序", None, None, None,
    ]  # fmt: skip
    assert sheet.max_column == 7
    assert sheet["B6"].fill.fgColor.rgb == "FFFFFF00"


def test_of_a_text_file_the_cells_stay_texts(importer, tmp_path):
    path = tmp_path / "客户.csv"
    path.write_bytes("客户名称,联系电话,备注\n甲,010-88886666,=1+1\n,013800138000,00123\n乙,不详,\n".encode("gb18030"))
    sheet = copied(importer, path).active
    assert [[cell.value for cell in row] for row in sheet.iter_rows()] == [
        ["客户名称", "联系电话", "备注", "失败原因"],
        ["甲", "010-88886666", "=1+1", None],
        [None, "013800138000", "00123", "客户名称必填"],
        ["乙", "不详", None, "联系电话不是有效电话"],
    ]
    assert sheet["C2"].data_type == "s"
    assert red(sheet) == {"A3", "B4"}
    assert sheet.row_dimensions[2].hidden
    assert [result.row for result in importer.imports.plan(tmp_path / "copy.xlsx").issues] == [3, 4]


def test_what_only_the_store_can_refuse_is_red_too(importer, tmp_path):
    book = Workbook()
    for row in (["机会名称", "客户名称"], ["机会一", "没有的公司"]):
        book.active.append(row)
    book.save(tmp_path / "opportunities.xlsx")
    assert red(copied(importer, tmp_path / "opportunities.xlsx").active) == {"B2"}


def test_a_row_that_waits_for_a_decision_says_so(importer, formatted):
    importer.customers.register(name="丁公司")
    plan = importer.imports.plan(formatted, duplicates="ask")
    assert plan.write_rejected(plan.apply(), formatted.with_name("copy.xlsx"))
    sheet = load_workbook(formatted.with_name("copy.xlsx"))["客户登记"]
    assert [bool(sheet.cell(row, 7).value) for row in (3, 7)] == [False, True]
    assert [bool(sheet.row_dimensions[row].hidden) for row in (3, 7)] == [True, False]


def test_a_copy_never_takes_the_place_of_the_file_and_is_of_one_file(importer, formatted):
    plan = importer.imports.plan(formatted)
    with pytest.raises(ValueError, match="place of the file"):
        plan.write_rejected(plan.rehearse(), formatted)
    other = formatted.with_name("other.csv")
    other.write_text("客户名称\n\n,\n甲\n", "utf-8")
    plan = importer.imports.plan([formatted, other])
    with pytest.raises(ValueError, match="one file at a time"):
        plan.write_rejected(plan.rehearse(), formatted.with_name("copy.xlsx"))
