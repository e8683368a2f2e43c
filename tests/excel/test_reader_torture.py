"""A hundred awkward workbooks from the test corpora of other libraries: each is read, or rejected with a reason."""

import datetime
import resource
import time
from pathlib import Path

import pytest

from crmcore.errors import ImportRejected
from crmcore.interchange.sheets import CellError, read_sheets
from crmcore_excel.limits import Limits

FOLDER = Path(__file__).parents[2] / "../shared/data/xlsx_torture"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the shared workbooks are not here")

REJECTED = {
    "broken/excelize__BadWorkbook.xlsx": "no_sheets",
    "broken/poi__clusterfuzz-testcase-minimized-POIHSSFFuzzer-6137883240824832.xls": "damaged",
    "broken/poi__clusterfuzz-testcase-minimized-POIXSSFFuzzer-6123461607817216.xlsx": "damaged",
    "broken/poi__clusterfuzz-testcase-minimized-XLSX2CSVFuzzer-5636439151607808.xlsx": "damaged",
    "broken/poi__crash-274d6342e4842d61be0fb48eaadad6208ae767ae.xlsx": "damaged",
    "broken/poi__duplicate-filename.xlsx": "duplicate_part",
    "dates/sheetjs__1904.xml": "old_format",
    "encrypted/excelize__encryptAES.xlsx": "encrypted",
    "encrypted/excelize__encryptSHA512.xlsx": "encrypted",
    "encrypted/msoffcrypto-tool__rc4cryptoapi_password.xls": "encrypted",
    "encrypted/poi__password.xls": "encrypted",
    "macro/poi__xlmmacro.xlsm": "old_format",
    "structure/poi__Simple.xlsb": "damaged",
    "structure/poi__testEXCEL_3.xls": "old_format",
    "structure/poi__testEXCEL_4.xls": "old_format",
    "structure/sheetjs__BlankSheetTypes.xlsm": "old_format",
    "structure/sheetjs__column_width.htm": "web_page",
}


def test_every_file_is_read_or_rejected_soon_and_small() -> None:
    files = sorted(path for path in FOLDER.rglob("*") if path.is_file())
    outcomes: dict[str, str] = {}
    for path in files:
        name = path.relative_to(FOLDER).as_posix()
        started = time.monotonic()
        try:
            sheets = read_sheets(path)
        except ImportRejected as error:
            outcomes[name] = error.reason
            assert error.part, name
        else:
            assert sheets, name
            outcomes[name] = f"{len(sheets)} sheets, {sum(len(sheet.rows) for sheet in sheets)} rows"
        seconds = time.monotonic() - started
        print(f"{name:85} {seconds:5.2f} s  {outcomes[name]}")
        assert seconds < 5, name
    assert {name: outcome for name, outcome in outcomes.items() if " sheets, " not in outcome} == REJECTED
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 < Limits().memory


def cells(name: str, sheet: int = 0) -> list[tuple[object, ...]]:
    return list(read_sheets(FOLDER / name)[sheet].rows)


@pytest.mark.parametrize("suffix", ["xls", "xlsx"])
def test_both_calendars_give_the_dates_that_the_sheet_shows(suffix: str) -> None:
    """Column B holds a serial, C and D what it shows as text."""
    for calendar in ("1900", "1904"):
        for row in cells(f"dates/sheetjs__{calendar}.{suffix}"):
            assert row[1] == datetime.date.fromisoformat(str(row[2]))


def test_dates_written_as_text_of_the_standard_are_dates() -> None:
    rows = cells("dates/calamine__date_iso.xlsx")
    assert [row[0] for row in rows[:3]] == [
        datetime.date(2021, 1, 1),
        datetime.datetime(2021, 1, 1, 10, 10, 10),
        datetime.time(10, 10, 10),
    ]


def test_a_length_of_time_is_the_text_that_the_sheet_shows() -> None:
    assert cells("dates/calamine__date.xlsx")[2][0] == "255:10:10"


def test_errors_and_formulas_are_marked() -> None:
    (sheet,) = read_sheets(FOLDER / "strings_numbers/sheetjs__ErrorTypes.xlsx")
    assert sheet.cell(2, 1) == CellError("#NULL!")
    assert {cell.code for row in sheet.rows for cell in row if isinstance(cell, CellError)} == {
        "#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A",
    }  # fmt: skip
    assert len(sheet.formulas) == 65


def test_rows_keep_their_numbers() -> None:
    """The first filled cell of this sheet is C3, and its table starts in row 9."""
    (sheet,) = read_sheets(FOLDER / "structure/calamine__header-row.xlsx")
    assert (sheet.first_row, sheet.cell(3, 3), sheet.cell(3, 1), sheet.cell(1, 1)) == (3, "Note 1", None, None)
    assert sheet.cell(9, 1) is not None


def test_hidden_sheets_are_flagged_and_charts_left_out() -> None:
    sheets = read_sheets(FOLDER / "structure/calamine__any_sheets.xlsx")
    assert [(sheet.name, sheet.hidden) for sheet in sheets] == [
        ("Visible", False),
        ("Hidden", True),
        ("VeryHidden", True),
    ]
