"""What a person made of a store's workbook stays when the store writes it again, or is named before anything is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl.comments import Comment
from openpyxl.formatting.rule import CellIsRule
from openpyxl.styles import Font, PatternFill
from openpyxl.worksheet.table import Table
from stores_by_hand import ROWS, VIEW

import crmcore
from crmcore.storage import Row
from crmcore.storage.presentation import FieldView, Presentation, SheetView
from crmcore.testing import strategies
from crmcore.testing.difficult import DIFFICULT
from crmcore.testing.kit_schema import FIELD_TYPES, GROUP, SCHEMA, VALUES, changed, values_row
from crmcore_excel.checkpoints import is_someones, read_checkpoint, write_checkpoint


def write(path: Path, rows: list[Row], kept: Path | None = None, presentation: Presentation | None = VIEW) -> None:
    write_checkpoint(path, SCHEMA, {"values": rows}, store_id="s", sequence=3, presentation=presentation, kept=kept)


def read(path: Path) -> list[Row]:
    found = read_checkpoint(path, SCHEMA)
    assert (found.edited, found.unread) == (False, ())
    return sorted(found.rows["values"], key=lambda row: str(row[0]))


def ordered(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: str(row[0]))


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A workbook in which somebody has worked."""
    path = tmp_path / "theirs.xlsx"
    write(path, ROWS)
    book = openpyxl.load_workbook(path)
    sheet = book["客户"]
    sheet.insert_cols(2)
    sheet["B1"], sheet["B2"], sheet["B3"], sheet["B4"] = "备注", "重要", "一般", "=1+1"
    sheet["A2"].font = Font(bold=True, color="FFFF0000")
    sheet["A3"].comment = Comment("打过电话", "李明")
    sheet["A4"].hyperlink = "https://example.com/"
    sheet.column_dimensions["A"].width = 33
    sheet.conditional_formatting.add(
        "D2:D9",
        CellIsRule(operator="greaterThan", formula=["100"], fill=PatternFill(bgColor="FFFFC7CE", fill_type="solid")),
    )
    own = book.create_sheet("我的统计", 0)
    own["A1"], own["B1"] = "合计", "=SUM(客户!D2:D4)"
    book.save(path)
    return path


def test_formats_columns_sheets_and_notes_of_a_person_stay(theirs: Path, tmp_path: Path) -> None:
    path = tmp_path / "next.xlsx"
    rows = [changed(VALUES, ROWS[0], text="甲集团"), ROWS[1], ROWS[2], values_row("four", 1, text="丁公司")]
    write(path, rows, theirs)
    assert read(path) == ordered(rows)
    book = openpyxl.load_workbook(path)
    sheet = book["客户"]
    assert [cell.value for cell in sheet["A"]] == ["名称", "甲集团", "乙公司", "丙公司", "丁公司"]
    assert [cell.value for cell in sheet["B"]] == ["备注", "重要", "一般", "=1+1", None]
    assert sheet["A2"].font.bold
    assert sheet["A2"].font.color.rgb == "FFFF0000"
    assert sheet["A3"].comment.text == "打过电话"
    assert sheet["A4"].hyperlink.target == "https://example.com/"
    assert sheet.column_dimensions["A"].width == 33
    assert [str(area.sqref) for area in sheet.conditional_formatting] == ["D2:D9"]
    assert sheet.auto_filter.ref.endswith("5")
    assert book.sheetnames[:2] == ["我的统计", "说明"]
    assert book["我的统计"]["B1"].value == "=SUM(客户!D2:D4)"
    assert len(sheet.data_validations.dataValidation) == 1


def test_the_place_of_a_row_that_is_gone_goes_to_the_next_new_one(theirs: Path, tmp_path: Path) -> None:
    without, again = tmp_path / "without.xlsx", tmp_path / "again.xlsx"
    write(without, [ROWS[0], ROWS[2]], theirs)
    assert read(without) == ordered([ROWS[0], ROWS[2]])
    sheet = openpyxl.load_workbook(without)["客户"]
    assert [[cell.value for cell in row] for row in sheet["A2:B4"]] == [
        ["甲公司", "重要"],
        [None, None],
        ["丙公司", "=1+1"],
    ]
    assert sheet["A3"].comment is None
    rows = [ROWS[0], ROWS[2], values_row("four", 1, text="丁公司")]
    write(again, rows, without)
    assert read(again) == ordered(rows)
    assert openpyxl.load_workbook(again)["客户"]["A3"].value == "丁公司"


def test_a_row_that_was_taken_in_keeps_its_place_and_what_stands_beside_it(theirs: Path, tmp_path: Path) -> None:
    book = openpyxl.load_workbook(theirs)
    book["客户"].append(["丁公司", "新来的", "重点", 12])
    book["客户"].append(["不行", "没有收下"])
    book.save(theirs)
    path = tmp_path / "next.xlsx"
    rows = [
        *ROWS,
        values_row("five", 1, text="戊公司"),
        values_row("four", 1, text="丁公司", some_text="vip", integer=1200),
    ]
    write(path, rows, theirs)
    assert read(path) == ordered(rows)
    sheet = openpyxl.load_workbook(path)["客户"]
    assert [cell.value for cell in sheet["A"]] == ["名称", "甲公司", "乙公司", "丙公司", "丁公司", "戊公司"]
    assert [cell.value for cell in sheet["B"]][4:] == ["新来的", None]


@settings(max_examples=max(10, settings().max_examples // 4))
@given(data=st.data())
def test_rows_out_of_sight_come_back_too_whatever_a_person_did_there(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("hidden")
    kept = folder / "kept.xlsx"
    drawn = st.lists(
        strategies.rows(GROUP, id=st.sampled_from("abcdefgh")), max_size=5, unique_by=lambda row: str(row[0])
    )
    done = data.draw(st.sampled_from(["nothing", "note", "column", "row above"]))
    write_checkpoint(
        kept, SCHEMA, {"group": data.draw(drawn), "values": ROWS}, store_id="s", sequence=1, presentation=VIEW
    )
    book = openpyxl.load_workbook(kept)
    sheet = book["group"]
    if done == "note":
        sheet["B2"].comment = Comment("注", "李明")
    elif done == "column":
        sheet["F2"] = "别的"
    elif done == "row above":
        sheet.insert_rows(1)
    book.save(kept)
    for sequence in (2, 3):
        rows = {"group": data.draw(drawn), "keys": [], "values": ROWS}
        following = folder / f"{sequence}.xlsx"
        write_checkpoint(following, SCHEMA, rows, store_id="s", sequence=sequence, presentation=VIEW, kept=kept)
        found = read_checkpoint(following, SCHEMA)
        assert {name: ordered(found.rows[name]) for name in rows} == {name: ordered(rows[name]) for name in rows}
        book = openpyxl.load_workbook(following)
        assert book["group"].sheet_state == "hidden"
        kept = following
    if done == "column":
        assert book["group"]["F2"].value == "别的"


def test_a_workbook_nobody_touched_is_drawn_anew(tmp_path: Path, theirs: Path) -> None:
    first, second, third = (tmp_path / name for name in ("1.xlsx", "2.xlsx", "3.xlsx"))
    write(first, ROWS)
    write(second, ROWS, first)
    write(third, ROWS, theirs)
    assert first.read_bytes() == second.read_bytes()
    assert [is_someones(path) for path in (first, second, theirs, third)] == [False, False, True, True]


def test_the_same_input_gives_the_same_bytes(theirs: Path, tmp_path: Path) -> None:
    made = []
    for name in ("1.xlsx", "2.xlsx"):
        write(tmp_path / name, ROWS, theirs)
        made.append((tmp_path / name).read_bytes())
    assert made[0] == made[1]


def test_a_table_made_of_the_rows_grows_with_them(theirs: Path, tmp_path: Path) -> None:
    book = openpyxl.load_workbook(theirs)
    sheet = book["客户"]
    sheet.auto_filter.ref = None
    sheet.add_table(Table(displayName="客户表", ref=f"A1:{sheet.cell(4, sheet.max_column).coordinate}"))
    book.save(theirs)
    path = tmp_path / "next.xlsx"
    write(path, [*ROWS, values_row("four")], theirs)
    assert openpyxl.load_workbook(path)["客户"].tables["客户表"].ref.endswith("5")


def test_new_headings_and_columns_of_a_presentation_come_to_a_kept_workbook(theirs: Path, tmp_path: Path) -> None:
    fields = {
        "text": FieldView(heading="备注"),
        "decimal": FieldView(heading="数值"),
        "date": FieldView(heading="日期"),
    }
    presentation = Presentation(sheets={"values": SheetView(title="客户表", fields=fields)}, zone="UTC")
    path = tmp_path / "next.xlsx"
    write(path, ROWS, theirs, presentation)
    assert read(path) == ordered(ROWS)
    sheet = openpyxl.load_workbook(path)["客户"]
    assert [cell.value for cell in sheet[1]][:3] == ["备注 (text)", "备注", "some_text"]


def test_a_table_made_of_the_rows_is_headed_as_its_cells_are(theirs: Path, tmp_path: Path) -> None:
    book = openpyxl.load_workbook(theirs)
    sheet = book["客户"]
    sheet.auto_filter.ref = None
    sheet.add_table(Table(displayName="客户表", ref=f"A1:{sheet.cell(4, sheet.max_column).coordinate}"))
    book.save(theirs)
    fields = {"text": FieldView(heading="<名>"), "decimal": FieldView(heading="数值")}
    presentation = Presentation(sheets={"values": SheetView(title="客户", fields=fields)}, zone="UTC")
    path = tmp_path / "next.xlsx"
    write(path, ROWS, theirs, presentation)
    sheet = openpyxl.load_workbook(path)["客户"]
    assert sheet.tables["客户表"].column_names == [cell.value for cell in sheet[1]]
    assert sheet["A1"].value == "<名>"


def test_every_difficult_value_comes_back_through_a_kept_workbook(theirs: Path, tmp_path: Path) -> None:
    values = [(type, value) for type in FIELD_TYPES for value in DIFFICULT[type]] + [
        ("text", "客" * 32_767),
        ("text", ""),
    ]
    rows = [
        values_row(f"{place}", 1, **{type: value, f"some_{type}": value}) for place, (type, value) in enumerate(values)
    ]
    write(tmp_path / "next.xlsx", rows, theirs)
    assert read(tmp_path / "next.xlsx") == ordered(rows)


@settings(max_examples=max(10, settings().max_examples // 4))
@given(st.data())
def test_any_change_of_the_rows_comes_back_through_a_kept_workbook(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("kept")
    drawn = st.lists(strategies.rows(VALUES, id=st.sampled_from("abcdefgh")), max_size=5, unique_by=lambda row: row[0])
    rows = data.draw(drawn)
    write(folder / "0.xlsx", rows)
    book = openpyxl.load_workbook(folder / "0.xlsx")
    book["客户"].insert_rows(1)
    book.save(folder / "0.xlsx")
    for number in range(1, 3):
        rows = data.draw(drawn)
        write(folder / f"{number}.xlsx", rows, folder / f"{number - 1}.xlsx")
        assert read(folder / f"{number}.xlsx") == ordered(rows)


def test_what_stands_beside_a_row_stays_there_whatever_becomes_of_the_row(tmp_path: Path) -> None:
    path = tmp_path / "客户.xlsx"

    def work(use: Callable[[crmcore.Session], object]) -> dict[Any, Any]:
        with crmcore.open(f"excel:///{path}", "marketing") as crm:
            use(crm.acting_as("li.ming"))
        sheet = openpyxl.load_workbook(path)["客户"]
        at = {cell.value: cell.column - 1 for cell in sheet[1]}
        return {row[at["客户名称"]].value: row[at["我的备注"]].value for row in sheet.iter_rows(2) if "我的备注" in at}

    work(lambda me: me.customers.register(name="示例科技有限公司", kind="enterprise", industry="制造业"))
    book = openpyxl.load_workbook(path)
    sheet = book["客户"]
    at = {cell.value: cell.column for cell in sheet[1]}
    for heading, value in {"客户名称": "新来科技有限公司", "客户类型": "企业客户", "负责人": "li.ming"}.items():
        sheet.cell(3, at[heading], value)
    for row, note in enumerate(("我的备注", "老客户", "朋友介绍"), 1):
        sheet.cell(row, sheet.max_column + (row == 1), note)
    book.save(path)
    assert work(lambda me: None) == {"示例科技有限公司": "老客户", "新来科技有限公司": "朋友介绍"}

    def rename(me: crmcore.Session) -> None:
        (customer,) = (one for one in me.customers.find() if one.name == "新来科技有限公司")
        me.customers.update(customer, name="改名科技有限公司")

    assert work(rename) == {"示例科技有限公司": "老客户", "改名科技有限公司": "朋友介绍"}
