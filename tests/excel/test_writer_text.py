"""Text in a workbook that we write is text: never a formula, never a link, never markup."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmcore.domain.policies import Label
from crmcore.errors import Invalid
from crmcore.metrics.tables import Chart, Column, Listing, Table
from crmcore_excel import ExcelWorkbooks
from crmcore_excel.writer import write, write_listings

#: What spreadsheets have been made to do by a cell, in ASCII and in the full-width forms that Excel takes for it.
PAYLOADS = [
    start + rest
    for start in ("=", "+", "-", "@", "\t=", "\n=", " =", "＝", "＋", "－", "＠", "'=", '"=', ";=", ",=", "%0A=")
    for rest in ("1+1", "cmd|'/C calc'!A0", 'HYPERLINK("http://example.com","x")', "SUM(A1:A9)", "A1")
] + [
    "http://example.com",
    "https://example.com/a b",
    "mailto:sales.east@example.com",
    "internal:Sheet1!A1",
    "external:c:\\a.xlsx",
    "ftp://example.com",
    "{=SUM(A1)}",
    "<r>bold</r>",
    "<r><t>bold</t></r>",
    "<r></r>",
    "<r>",
    "<t>x</t>",
    "_x0041_",
    "&amp;<>\"'",
    "+86 138-0013-8000",
    "-5",
    "013800138000",
    "1E5",
    "1101051949123100021",
    "TRUE",
    "#N/A",
    "2024-01-01",
    " leading and trailing ",
    "line\nbreak",
]


def _table(texts: list[str], key: str = "t") -> Table:
    columns = (Column("a", "文字", "Text"), Column("n", "数", "N", "integer"))
    return Table(key, "表", "Table", columns, tuple((text, 1) for text in texts))


def _read(path: Path, sheet: str, *, inline: bool = False) -> list[str]:
    book = openpyxl.load_workbook(path, data_only=False)
    shown = []
    for cells in book[sheet].iter_rows(min_row=2, max_col=1):
        assert cells[0].data_type == "s"
        assert cells[0].hyperlink is None
        shown.append(cells[0].value)
        if inline:
            # A workbook's escape for an underscore, which openpyxl undoes in shared strings alone.
            shown[-1] = shown[-1].replace("_x005F_", "_")
    for cells in book[sheet].iter_rows():
        assert all(cell.data_type != "f" for cell in cells)
    return shown


@pytest.mark.parametrize("streamed", [False, True])
def test_no_payload_does_anything(tmp_path: Path, streamed: bool) -> None:
    path = tmp_path / "t.xlsx"
    table = _table(PAYLOADS)
    if streamed:
        write_listings(path, [Listing("t", "表", "Table", table.columns, table.rows)])
    else:
        write(path, [table])
    assert _read(path, "表", inline=streamed) == PAYLOADS
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert not any(b"<f>" in part or b"<hyperlink" in part or b"TargetMode" in part for part in parts.values())
    assert not any("externalLink" in name or "vba" in name for name in parts)


@pytest.mark.parametrize("streamed", [False, True])
def test_our_own_reader_gives_back_what_was_written(tmp_path: Path, streamed: bool) -> None:
    table, workbooks = _table(PAYLOADS), ExcelWorkbooks()
    if streamed:
        workbooks.write_listings(tmp_path / "t.xlsx", [Listing("t", "表", "Table", table.columns, table.rows)])
    else:
        workbooks.write(tmp_path / "t.xlsx", [table])
    (sheet,) = workbooks.read(tmp_path / "t.xlsx")
    assert [tuple(row) for row in sheet.rows[1:]] == [(text, 1) for text in PAYLOADS]
    assert not sheet.formulas


def test_titles_notes_and_labels_do_nothing_either(tmp_path: Path) -> None:
    path, evil = tmp_path / "t.xlsx", "=1+1"
    label = Label(zh=evil, en=evil)
    columns = (Column("a", evil, evil, labels={"x": label}, blank=label), Column("n", evil, evil, "integer"))
    table = Table("t", evil, evil, columns, (("x", 1), (None, 2)), (label,))
    summary = Table("s", evil, evil, (Column("k", evil, evil),), ((evil,),), (label,))
    write(path, [summary, table], [Chart("c", "bar", evil, evil, "t", "a", ("n",))])
    for sheet in openpyxl.load_workbook(path):
        assert all(cell.data_type != "f" for row in sheet.iter_rows() for cell in row)
    with zipfile.ZipFile(path) as archive:
        chart = archive.read("xl/charts/chart1.xml").decode()
    assert "<c:f>1+1" not in chart


@pytest.mark.parametrize("text", ["_x005F_x0041_", "a_x0041_x0042_", "<r>_x0041_</r>"])
def test_what_would_come_back_as_something_else_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        write(tmp_path / "t.xlsx", [_table([text])])
    assert [issue.code for issue in caught.value.issues] == ["bad_text"]


@settings(max_examples=25)
@given(
    st.lists(
        st.text(
            st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff")
            | st.sampled_from("=+-@\t\n＝＋－＠<>&'\"_x0"),
            min_size=1,
            max_size=30,
        ),
        min_size=1,
        max_size=20,
    )
)
def test_any_text_comes_back_as_it_was(texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.xlsx"
        write(path, [_table(texts)])
        assert _read(path, "表") == texts
