"""Workbooks that we write, read back by another library: exact values, native charts, whole files or none."""

from __future__ import annotations

import errno
import os
import re
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import openpyxl
import pytest

from crmcore.domain import Money
from crmcore.domain.policies import Label
from crmcore.errors import Invalid, MissingExtra, ReadOnly, StoreBusy, StoreFull, StoreUnavailable
from crmcore.metrics.tables import Chart, Column, Listing, Table
from crmcore_excel import ExcelWorkbooks, writer
from crmcore_excel.writer import write, write_listings

COLUMNS = (
    Column("name", "客户名称", "Name"),
    Column("stage", "阶段", "Stage", labels={"lead": Label(zh="线索", en="Lead")}, blank=Label(zh="未填写", en="none")),
    Column("count", "数量", "Count", "integer"),
    Column("share", "占比", "Share", "percent"),
    Column("paid", "金额", "Paid", "money"),
    Column("on", "日期", "On", "date"),
    Column("at", "时间", "At", "instant"),
    Column("days", "天数", "Days", "days"),
)
MOMENT = datetime(2024, 6, 18, 3, 30, 15, tzinfo=UTC)
ROW = ("示例科技有限公司", "lead", 12, 0.25, Money(123456), date(2024, 2, 29), MOMENT, 2.5)
TABLE = Table("customers", "客户表", "Customers", COLUMNS, (ROW, (None,) * 8), (Label(zh="说明", en="A note"),))
SUMMARY = Table(
    "summary",
    "复盘",
    "Review",
    (
        Column("won", "赢单", "Won", "integer"),
        Column("paid", "赢单金额", "Paid", "money"),
        Column("rate", "率", "Rate", "percent"),
    ),
    ((7, Money(990), None),),
)
STAGES = Table(
    "stages",
    "漏斗",
    "Funnel",
    (
        Column("stage", "阶段", "Stage"),
        Column("reached", "到达", "Reached", "integer"),
        Column("won", "赢单", "Won", "integer"),
    ),
    (("线索", 9, 1), ("意向", 4, 2), ("成交", 2, 3)),
)
CHARTS = (
    Chart("funnel", "bar", "漏斗图", "Funnel", "stages", "stage", ("reached",), 2),
    Chart("trend", "line", "趋势图", "Trend", "stages", "stage", ("reached", "won")),
    Chart("share", "pie", "来源图", "Sources", "stages", "stage", ("won",)),
)


def cells(path: Path, sheet: str) -> list[list[Any]]:
    book = openpyxl.load_workbook(path)
    return [[cell.value for cell in row] for row in book[sheet].iter_rows()]


def test_every_kind_of_cell_comes_back_exactly(tmp_path: Path) -> None:
    path = tmp_path / "客户.xlsx"
    write(path, [TABLE], zone=ZoneInfo("Asia/Shanghai"))
    book = openpyxl.load_workbook(path)
    sheet = book["客户表"]
    assert [cell.value for cell in sheet[1]] == [
        "客户名称",
        "阶段",
        "数量",
        "占比",
        "金额 (CNY)",
        "日期",
        "时间 (Asia/Shanghai)",
        "天数",
    ]
    local = datetime(2024, 6, 18, 11, 30, 15)
    day = datetime(2024, 2, 29)
    assert [cell.value for cell in sheet[2]] == ["示例科技有限公司", "线索", 12, 0.25, 1234.56, day, local, 2.5]
    assert [cell.value for cell in sheet[3]] == [None, "未填写", *[None] * 6]
    shapes = [cell.number_format for cell in sheet[2]]
    assert shapes == ["@", "@", "#,##0", "0.0%", "#,##0.00", "yyyy-mm-dd", "yyyy-mm-dd hh:mm", "#,##0.0"]
    assert sheet.freeze_panes == "A2"
    assert sheet.auto_filter.ref == "A1:H3"
    assert sheet["A5"].value == "说明"
    assert sheet.column_dimensions["A"].width >= 2 * len("示例科技有限公司")


def test_what_a_number_cannot_say_is_text(tmp_path: Path) -> None:
    columns = (Column("n", "数", "N", "integer"), Column("m", "金额", "M", "money"), Column("d", "日", "D", "date"))
    rows = ((10**15 - 1, Money(10**15 - 1), date(1900, 3, 1)), (10**17 + 1, Money(10**15), date(1900, 2, 28)))
    write(tmp_path / "t.xlsx", [Table("t", "表", "T", columns, rows)])
    first, second = cells(tmp_path / "t.xlsx", "表")[1:]
    assert first == [10**15 - 1, 9999999999999.99, datetime(1900, 3, 1)]
    assert second == ["100000000000000001", "10000000000000.00", "1900-02-28"]


def test_amounts_of_several_currencies_have_theirs_beside_them(tmp_path: Path) -> None:
    columns = (Column("paid", "金额", "Paid", "money"), Column("n", "数", "N", "integer"))
    table = Table("t", "表", "T", columns, ((Money(150), 1), (Money(150, "JPY"), 2), (None, 3)))
    chart = Chart("c", "bar", "图", "C", "t", "paid", ("n",))
    write(tmp_path / "t.xlsx", [table], [chart], language="en")
    assert cells(tmp_path / "t.xlsx", "T")[:4] == [
        ["Paid", "Currency", "N"],
        [1.5, "CNY", 1],
        [150, "JPY", 2],
        [None, None, 3],
    ]
    assert "'T'!$C$2:$C$4" in charts(tmp_path / "t.xlsx")[0].replace("<c:f>T!", "<c:f>'T'!")


def charts(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.startswith("xl/charts/chart"))
        return [archive.read(name).decode() for name in names]


def test_the_overview_has_key_figures_and_native_charts(tmp_path: Path) -> None:
    path = tmp_path / "review.xlsx"
    write(path, [SUMMARY, STAGES], CHARTS)
    assert openpyxl.load_workbook(path).sheetnames == ["概览", "漏斗"]
    shown = {value for row in cells(path, "概览") for value in row if value is not None}
    assert {"复盘", "赢单", 7, "赢单金额 (CNY)", 9.9, "率", "–"} <= shown
    bar, line, pie = charts(path)
    assert '<c:barDir val="bar"/>' in bar
    assert '<c:orientation val="maxMin"/>' in bar
    assert "漏斗!$B$2:$B$3" in bar
    assert ["意向" in bar, "成交" in bar] == [True, False]
    assert "<c:lineChart>" in line
    assert line.count("<c:ser>") == 2
    assert "漏斗!$C$2:$C$4" in line
    assert "<c:pieChart>" in pie
    assert '<c:showPercent val="1"/>' in pie
    for chart, title in zip((bar, line, pie), ("漏斗图", "趋势图", "来源图"), strict=True):
        assert title in chart
        assert chart.count("<c:chart>") == 1


def test_charts_stand_side_by_side_and_never_overlap(tmp_path: Path) -> None:
    many = [Chart(f"c{index}", "bar", "图", "C", "stages", "stage", ("won",)) for index in range(5)]
    write(tmp_path / "t.xlsx", [SUMMARY, STAGES], many)
    with zipfile.ZipFile(tmp_path / "t.xlsx") as archive:
        drawing = archive.read("xl/drawings/drawing1.xml").decode()
    corners = [
        tuple(int(number) for number in found)
        for found in re.findall(
            r"<xdr:from><xdr:col>(\d+)</xdr:col><xdr:colOff>-?\d+</xdr:colOff><xdr:row>(\d+)</xdr:row>.*?"
            r"<xdr:to><xdr:col>(\d+)</xdr:col><xdr:colOff>-?\d+</xdr:colOff><xdr:row>(\d+)</xdr:row>",
            drawing,
        )
    ]
    assert len(corners) == 5
    taken: set[tuple[int, int]] = set()
    for left, top, right, bottom in corners:
        area = {(column, row) for column in range(left, right + 1) for row in range(top, bottom + 1)}
        assert not area & taken
        taken |= area
    assert {left for left, *_ in corners} == {0, 6}


def test_a_chart_of_nothing_is_refused_or_left_out(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="funnel"):
        write(tmp_path / "t.xlsx", [SUMMARY], CHARTS)
    empty = Table("stages", "漏斗", "Funnel", STAGES.columns, ())
    write(tmp_path / "t.xlsx", [SUMMARY, empty], CHARTS)
    assert charts(tmp_path / "t.xlsx") == []
    assert os.listdir(tmp_path) == ["t.xlsx"]


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.xlsx", "b.xlsx"):
        write(tmp_path / name, [SUMMARY, STAGES, TABLE], CHARTS)
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()


def test_sheet_names_are_safe_short_and_distinct(tmp_path: Path) -> None:
    titles = ["a/b[c]:*?", "'quoted'", "History", "客" * 40, "客" * 40, "😀" * 20, "", "X", "x"]
    tables = [Table(str(index), title, title, STAGES.columns, ()) for index, title in enumerate(titles)]
    write(tmp_path / "t.xlsx", tables)
    names = openpyxl.load_workbook(tmp_path / "t.xlsx").sheetnames
    assert len({name.casefold() for name in names}) == len(titles)
    for name in names:
        assert 0 < len(name.encode("utf-16-le")) // 2 <= 31
        assert not re.search(r"[\[\]:*?/\\]|^'|'$", name)
        assert name.casefold() != "history"


def test_listings_are_streamed_and_run_on_when_a_sheet_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAX_ROWS", 4)
    columns = (Column("name", "名称", "Name"), Column("paid", "金额", "Paid", "money"))
    rows = (("客户", Money(index, "USD")) for index in range(7))
    write_listings(tmp_path / "t.xlsx", [Listing("c", "客户", "C", columns, rows)])
    book = openpyxl.load_workbook(tmp_path / "t.xlsx")
    assert book.sheetnames == ["客户", "客户 (2)", "客户 (3)"]
    for sheet, expected in zip(book, ([0, 1, 2], [3, 4, 5], [6]), strict=True):
        header, *body = [[cell.value for cell in row] for row in sheet.iter_rows()]
        assert header == ["名称", "金额", "货币"]
        assert body == [["客户", index / 100, "USD"] for index in expected]


@pytest.mark.skipif(sys.platform == "win32", reason="the resource module is POSIX only")
def test_a_long_listing_takes_no_memory(tmp_path: Path) -> None:
    import tracemalloc

    columns = tuple(Column(f"c{index}", "列", "c") for index in range(5))

    def peak(count: int) -> int:
        tracemalloc.start()
        rows = ((f"客户 {index}",) * 5 for index in range(count))
        write_listings(tmp_path / "t.xlsx", [Listing("c", "客户", "C", columns, rows)])
        try:
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)  # imports
    assert peak(6_000) < peak(1_500) + 300_000


def test_texts_that_a_cell_cannot_hold_are_all_named_and_nothing_is_left(tmp_path: Path) -> None:
    columns = (Column("name", "名称", "Name"),)
    rows = (("x" * 32_767,), ("x" * 32_768,), ("😀" * 16_384,), ("a\x07",), ("\ud800",), ("ok",))
    path = tmp_path / "t.xlsx"
    with pytest.raises(Invalid) as caught:
        write(path, [Table("t", "表", "T", columns, rows)])
    assert [(issue.code, issue.sheet, issue.row, issue.column) for issue in caught.value.issues] == [
        ("too_long", "表", 3, 1),
        ("too_long", "表", 4, 1),
        ("bad_text", "表", 5, 1),
        ("bad_text", "表", 6, 1),
    ]
    assert "xxx" not in str(caught.value)
    with pytest.raises(Invalid):
        write_listings(path, [Listing("t", "表", "T", columns, rows)])
    assert os.listdir(tmp_path) == []
    write(path, [Table("t", "表", "T", columns, rows[:1])])
    assert cells(path, "表")[1] == ["x" * 32_767]


def test_a_folder_in_the_way_or_missing_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder.xlsx").mkdir()
    with pytest.raises(StoreUnavailable):
        write(tmp_path / "folder.xlsx", [TABLE])
    with pytest.raises(StoreUnavailable):
        write(tmp_path / "missing" / "t.xlsx", [TABLE])
    assert os.listdir(tmp_path) == ["folder.xlsx"]
    assert os.listdir(tmp_path / "folder.xlsx") == []


@pytest.fixture
def nobody() -> Iterator[None]:
    """The test's rights without root's, which would open every door."""
    if sys.platform == "win32" or os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.usefixtures("nobody")
def test_a_folder_or_a_file_without_the_right_to_write_is_read_only(tmp_path_factory: pytest.TempPathFactory) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "t.xlsx"
        file.write_bytes(b"mine")
        file.chmod(0o444)
        with pytest.raises(ReadOnly):
            write(file, [TABLE])
        folder.chmod(0o555)
        with pytest.raises(ReadOnly):
            write(folder / "new.xlsx", [TABLE])
        folder.chmod(0o755)
        assert os.listdir(folder) == ["t.xlsx"]
        assert file.read_bytes() == b"mine"


def test_a_failure_while_rows_come_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    write(path, [TABLE])
    before = path.read_bytes()

    def rows(problem: Exception) -> Iterator[tuple[str]]:
        yield ("客户",)
        raise problem

    for raised, expected in (
        (StoreBusy("busy"), StoreBusy),
        (OSError(errno.ENOSPC, "full"), StoreFull),
        (ZeroDivisionError(), ZeroDivisionError),
    ):
        with pytest.raises(expected):
            write_listings(path, [Listing("t", "表", "T", (Column("n", "名", "N"),), rows(raised))])
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["t.xlsx"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX file modes and links")
def test_a_replaced_file_keeps_its_mode_and_its_link(tmp_path: Path) -> None:
    path, link = tmp_path / "t.xlsx", tmp_path / "link.xlsx"
    path.write_bytes(b"old")
    path.chmod(0o640)
    link.symlink_to(path)
    write(link, [TABLE])
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert cells(path, "客户表")[0][0] == "客户名称"


def test_without_the_library_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    with pytest.raises(MissingExtra, match=r'pip install "crmcore\[excel\]"'):
        ExcelWorkbooks().write(tmp_path / "t.xlsx", [TABLE])
    assert os.listdir(tmp_path) == []
