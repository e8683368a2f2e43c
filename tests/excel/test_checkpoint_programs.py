"""A store's workbook as a real spreadsheet program saves it."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import openpyxl
import pytest
from openpyxl.styles import Font
from stores_by_hand import PRESENTED, ROWS, VIEW, difficult_rows

from crmcore.storage import Collection, Schema
from crmcore.storage.presentation import Unreadable
from crmcore.testing.kit_schema import SCHEMA, VALUES, changed, values_row
from crmcore_excel.checkpoints import read_checkpoint, write_checkpoint
from crmcore_excel.edits import edits_between

Convert = Callable[[Path, str], Path]
#: Text in UTF-8 of the second sheet.
SECOND_SHEET = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false,false,false,2"
Save = Callable[[Path], Path]


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Convert:
    """Opens a workbook in LibreOffice and saves it in a format, next to where it was."""
    program = shutil.which("soffice")
    if program is None:
        pytest.skip("LibreOffice is not installed")
    home = tmp_path_factory.mktemp("home")

    def convert(path: Path, to: str) -> Path:
        target = path.parent / "saved"
        subprocess.run(
            [program, "--headless", "--convert-to", to, "--outdir", str(target), str(path)],
            check=True,
            capture_output=True,
            timeout=120,
            env={**os.environ, "HOME": str(home)},
        )
        return next(target.glob(f"{path.stem}*.{to.partition(':')[0]}"))

    return convert


@pytest.fixture(scope="module")
def saved(converted: Convert) -> Save:
    """Opens a workbook in LibreOffice and saves it."""
    return lambda path: converted(path, "xlsx:Calc MS Excel 2007 XML")


def test_every_difficult_value_is_unchanged_after_the_program_saved_it(tmp_path: Path, saved: Save) -> None:
    path = tmp_path / "store.xlsx"
    write_checkpoint(path, SCHEMA, {"values": difficult_rows()}, store_id="s", sequence=1, presentation=PRESENTED)
    again = saved(path)
    assert edits_between(path, again, SCHEMA) == []
    read = read_checkpoint(again, SCHEMA)
    assert (read.edited, read.rows["values"]) == (False, difficult_rows())


def test_what_the_program_saved_is_carried_over(tmp_path: Path, saved: Save) -> None:
    path, following = tmp_path / "store.xlsx", tmp_path / "following.xlsx"
    write_checkpoint(path, SCHEMA, {"values": difficult_rows()}, store_id="s", sequence=1, presentation=PRESENTED)
    book = openpyxl.load_workbook(path)
    sheet = book["各种值"]
    sheet["B3"], sheet["A4"], sheet["E5"] = "甲", 12.34, datetime(2024, 3, 1, 8)
    book.create_sheet("我的")["A1"] = "=1+1"
    book.save(path.with_name("edited.xlsx"))
    again = saved(path.with_name("edited.xlsx"))
    edits = edits_between(path, again, SCHEMA)
    assert [(cell.place, cell.after) for edit in edits for cell in edit.cells] == [
        ("各种值!B3", "a"),
        ("各种值!A4", 1234),
        ("各种值!E5", Unreadable("2024-03-01 08:00:00")),
    ]
    write_checkpoint(
        following, SCHEMA, {"values": difficult_rows()}, store_id="s", sequence=2, presentation=PRESENTED, kept=again
    )
    assert read_checkpoint(following, SCHEMA).rows["values"] == difficult_rows()
    assert openpyxl.load_workbook(following)["我的"]["A1"].value == "=1+1"


def test_the_program_shows_what_was_carried_over(tmp_path: Path, converted: Convert, saved: Save) -> None:
    path, following = tmp_path / "store.xlsx", tmp_path / "following.xlsx"
    write_checkpoint(path, SCHEMA, {"values": ROWS}, store_id="s", sequence=1, presentation=VIEW)
    book = openpyxl.load_workbook(path)
    sheet = book["客户"]
    column = sheet.max_column + 1
    sheet.cell(1, column).value = "我的"
    for number, formula in enumerate(("=C2*2", "=C3*2", "=C4*2"), 2):
        sheet.cell(number, column).value = formula
    book.save(path)
    rows = [changed(VALUES, ROWS[0], text="甲<集团>", integer=700), ROWS[2], values_row("four", 1, text="丁公司")]
    write_checkpoint(following, SCHEMA, {"values": rows}, store_id="s", sequence=2, presentation=VIEW, kept=saved(path))
    shown = list(csv.DictReader(converted(following, SECOND_SHEET).read_text("utf-8").splitlines()))
    assert [row["名称"] for row in shown] == ["甲<集团>", "丁公司", "丙公司"]
    assert [row["金额"] for row in shown] == ["7", "", ""]
    assert [row["我的"] for row in shown] == ["14", "", "0"]
    again = saved(following)
    assert read_checkpoint(again, SCHEMA).rows["values"] == [rows[0], rows[2], rows[1]]


def test_the_program_opens_a_kept_workbook_with_new_sheets_columns_and_drop_downs(tmp_path: Path, saved: Save) -> None:
    path, following = tmp_path / "store.xlsx", tmp_path / "following.xlsx"
    fewer = Collection(name="values", fields=tuple(f for f in VALUES.fields if f.name not in ("date", "some_text")))
    old = Schema.of(1, [fewer])
    places = [VALUES.position(field.name) for field in fewer.fields]
    write_checkpoint(
        path,
        old,
        {"values": [tuple(row[place] for place in places) for row in ROWS]},
        store_id="s",
        sequence=1,
        presentation=None,
    )
    book = openpyxl.load_workbook(path)
    book["values"]["A1"].font = Font(bold=True)
    book.save(path)
    rows = {"values": ROWS, "keys": [], "group": []}
    write_checkpoint(following, SCHEMA, rows, store_id="s", sequence=2, presentation=VIEW, kept=saved(path))
    for made in (following, saved(following)):
        read = read_checkpoint(made, SCHEMA)
        assert (read.edited, read.rows["values"]) == (False, ROWS)
        book = openpyxl.load_workbook(made)
        assert book["group"].sheet_state == "hidden"
        sheet = book["values"]
        at = {cell.value: cell for cell in sheet[1]}
        assert sheet.cell(2, at["日期"].column).number_format.replace("\\", "") == "yyyy-mm-dd"
        (one,) = sheet.data_validations.dataValidation
        assert at["类别"].column_letter in str(one.sqref)
        assert sheet.column_dimensions[at["id"].column_letter].hidden
