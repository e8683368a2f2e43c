"""Sheets out of good workbooks: places, types, marks, hidden sheets; and the workbooks that people send around."""

import datetime
import struct
from pathlib import Path

import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from workbooks_by_hand import biff_error, biff_formula, biff_number, biff_sheet, package, row, xls

from crmcore.errors import ImportRejected, MissingExtra, PluginError
from crmcore.interchange.sheets import CellError, Sheet
from crmcore_excel import ExcelWorkbooks, reader
from crmcore_excel.limits import Limits
from crmcore_excel.reader import read_workbook

SHARED = Path(__file__).parents[2] / "../shared/data/cn_sheets"
shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared workbooks are not here")


def written(path: Path, cells: dict[tuple[int, int], object], **options: object) -> Path:
    book = xlsxwriter.Workbook(path, {"default_date_format": "yyyy-mm-dd hh:mm:ss", **options})
    sheet = book.add_worksheet("客户")
    for (row_index, column), value in cells.items():
        if isinstance(value, str) and not value.startswith("="):
            sheet.write_string(row_index, column, value)
        else:
            sheet.write(row_index, column, value)
    book.close()
    return path


CELLS = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn")), min_size=1, max_size=20).filter(
        lambda text: text.strip() == text and not text.startswith("=") and "_x" not in text
    ),
    st.booleans(),
    st.integers(-(10**14), 10**14).map(float),
    st.decimals(-(10**6), 10**6, places=3).map(float),
    st.datetimes(datetime.datetime(1905, 1, 1), datetime.datetime(2200, 1, 1)).map(
        lambda at: at.replace(microsecond=0)
    ),
)
PLACES = st.tuples(st.integers(0, 60), st.integers(0, 30))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(PLACES, CELLS, min_size=1, max_size=12), st.booleans())
def test_what_was_written_is_read_at_its_place(tmp_path: Path, cells: dict[tuple[int, int], object], mac: bool) -> None:
    (sheet,) = read_workbook(written(tmp_path / "a.xlsx", cells, date_1904=mac))
    assert sheet.first_row == min(cells)[0] + 1
    assert len(sheet.rows) == max(cells)[0] - min(cells)[0] + 1
    assert sum(cell is not None for cells_of_row in sheet.rows for cell in cells_of_row) == len(cells)
    for (row_index, column), value in cells.items():
        found = sheet.cell(row_index + 1, column + 1)
        if isinstance(value, datetime.datetime) and value.time() == datetime.time():
            assert (found, type(found)) == (value.date(), datetime.date)
        else:
            assert (found, type(found)) == (value, type(value))
        assert len(sheet.rows[row_index + 1 - sheet.first_row]) == max(c for r, c in cells if r == row_index) + 1


def test_formulas_are_marked_and_their_last_value_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    book = xlsxwriter.Workbook(path)
    sheet = book.add_worksheet()
    sheet.write_row(0, 0, ["甲", 2])
    sheet.write_formula(1, 1, "=B1*2", None, 4)
    sheet.write_formula(4, 2, '=IF(B1>"<a>",1,NA())', None, "#N/A")
    book.close()
    (read,) = read_workbook(path)
    assert read.cell(2, 2) == 4.0
    assert read.cell(5, 3) == CellError("#N/A")
    assert read.formulas == {(2, 2), (5, 3)}


def test_marks_are_found_across_the_windows_of_a_long_sheet(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    book = xlsxwriter.Workbook(path, {"constant_memory": True})
    sheet = book.add_worksheet()
    for index in range(10_000):
        sheet.write_row(index, 0, ["文字 abc>def", index, index / 7])
        sheet.write_formula(index, 3, f"=B{index + 1}", None, "#DIV/0!" if index % 100 == 0 else index)
    book.close()
    (read,) = read_workbook(path)
    assert read.formulas == {(number, 4) for number in range(1, 10_001)}
    errors = [number for number, cells in enumerate(read.rows, 1) if cells[3] == CellError("#DIV/0!")]
    assert errors == list(range(1, 10_001, 100))


def test_errors_and_formulas_of_an_xls(tmp_path: Path) -> None:
    path = tmp_path / "a.xls"
    not_available = struct.pack("<BBBBBBH", 2, 0, 42, 0, 0, 0, 0xFFFF)
    first = biff_sheet(
        biff_number(1, 0, 5.0),
        biff_error(2, 1, 23),
        biff_formula(3, 2, struct.pack("<d", 7.0)),
        biff_formula(4, 0, not_available),
    )
    chart = struct.pack("<HH", 0x0809, 16) + bytes(16) + biff_error(0, 0, 7) + struct.pack("<HH", 0x000A, 0)
    path.write_bytes(xls(first, biff_sheet(biff_number(0, 0, 1.0), chart, biff_error(8, 3, 7))))
    one, two = read_workbook(path)
    assert (one.first_row, list(one.rows)) == (
        2,
        [(5.0,), (None, CellError("#REF!")), (None, None, 7.0), (CellError("#N/A"),)],
    )
    assert one.formulas == {(4, 3), (5, 1)}
    assert (two.first_row, two.rows[0], len(two.rows)) == (1, (1.0,), 9)
    assert two.cell(9, 4) == CellError("#DIV/0!")


def test_a_sheet_of_nothing_but_an_error_above_others(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    error = '<c r="B2" t="e"><v>#REF!</v></c>'
    path.write_bytes(package(rows=row(2, error) + row(4, '<c r="A4"><v>1</v></c>')))
    (read,) = read_workbook(path)
    assert (read.first_row, list(read.rows)) == (2, [(None, CellError("#REF!")), (), (1.0,)])


def test_sheets_keep_their_order_hidden_ones_too(tmp_path: Path) -> None:
    book = xlsxwriter.Workbook(tmp_path / "a.xlsx")
    for name in ("乙", "甲 & <1>", "丙"):
        book.add_worksheet(name).write(0, 0, name)
    book.worksheets()[1].write_formula(1, 0, "=1", None, 1)
    book.worksheets()[1].hide()
    book.worksheets()[2].very_hidden()
    book.add_chartsheet("图")
    book.close()
    sheets = read_workbook(tmp_path / "a.xlsx")
    assert [(sheet.name, sheet.hidden) for sheet in sheets] == [("乙", False), ("甲 & <1>", True), ("丙", True)]
    assert [sheet.formulas for sheet in sheets] == [frozenset(), {(2, 1)}, frozenset()]


def test_a_missing_parser_is_named_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader.importlib.util, "find_spec", lambda name: None)
    path = tmp_path / "a.xlsx"
    path.write_bytes(package())
    with pytest.raises(MissingExtra, match=r"crmcore\[excel\]"):
        read_workbook(path)


def test_a_frame_that_is_no_plain_value_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a child sends can't run anything in this process, whatever became of the child."""
    child = tmp_path / "child.py"
    child.write_text(
        "import os, pickle, sys\nframe = pickle.dumps(('sheet', os.getcwd))\n"
        "sys.stdout.buffer.write(len(frame).to_bytes(4, 'big') + frame)\n"
    )
    monkeypatch.setattr(reader, "_CHILD", child)
    path = tmp_path / "a.xlsx"
    path.write_bytes(package())
    with pytest.raises(ImportRejected) as caught:
        read_workbook(path)
    assert caught.value.reason == "parser_died"


@pytest.mark.parametrize(
    "script", ["", "raise SystemExit(3)", "import os; os.abort()", "import os; os.write(1, b'\\0\\0\\0\\7abc')"]
)
def test_a_child_that_says_nothing_sensible_has_died(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "child.py"
    child.write_text(script)
    monkeypatch.setattr(reader, "_CHILD", child)
    path = tmp_path / "a.xlsx"
    path.write_bytes(package())
    with pytest.raises(ImportRejected) as caught:
        read_workbook(path)
    assert caught.value.reason == "parser_died"


def test_a_hanging_child_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = tmp_path / "child.py"
    child.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(reader, "_CHILD", child)
    path = tmp_path / "a.xlsx"
    path.write_bytes(package())
    with pytest.raises(ImportRejected) as caught:
        read_workbook(path, Limits(seconds=0.2))
    assert caught.value.reason == "timeout"


@pytest.mark.parametrize("interpreter", [None, b"/no/such/python"])
def test_no_interpreter_is_a_fault_of_the_plugin(
    interpreter: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "get_executable", lambda: interpreter)
    path = tmp_path / "a.xlsx"
    path.write_bytes(package())
    with pytest.raises(PluginError):
        read_workbook(path)


def by_name(name: str) -> list[Sheet]:
    return ExcelWorkbooks().read(SHARED / name)


@shared
def test_the_template_with_instructions_above_its_header() -> None:
    (sheet,) = by_name("jsherp_customer_template.xls")
    assert sheet.cell(2, 1) == "名称*"
    assert sheet.cell(3, 3) == 13000000000.0
    assert sheet.cell(1, 2) is None


@shared
def test_the_template_of_two_levels() -> None:
    customers, manual = by_name("ydh_客户导入模板.xlsx")
    assert (customers.cell(1, 15), customers.cell(1, 16), customers.cell(2, 15)) == ("联系人信息", None, "姓名")
    assert len(customers.rows) == 2
    assert (manual.first_row, manual.cell(3, 3)) == (3, "客户导入模板使用说明")


@shared
def test_the_list_of_contracts_has_dates() -> None:
    (sheet,) = by_name("wordauto_客户清单_合同到期.xlsx")
    assert sheet.cell(2, 2) == "10万"
    assert sheet.cell(2, 4) == datetime.date(2023, 9, 1)


@shared
def test_every_workbook_of_the_folder_is_read() -> None:
    for path in sorted(SHARED.glob("*.xls*")):
        sheets = read_workbook(path)
        assert any(sheet.rows for sheet in sheets), path.name
        assert all(not cells or cells[-1] is not None for sheet in sheets for cells in sheet.rows), path.name
    assert by_name("openhis_bdModel_jk.xlsx")[1].hidden


@pytest.mark.parametrize("mac", [False, True])
def test_which_calendar_a_plain_number_counts_in_is_told(tmp_path: Path, mac: bool) -> None:
    (sheet,) = read_workbook(written(tmp_path / "a.xlsx", {(0, 0): 45366}, date_1904=mac))
    assert (sheet.from_1904, sheet.cell(1, 1)) == (mac, 45366.0)
