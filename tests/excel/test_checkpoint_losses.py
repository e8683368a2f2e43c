"""What would be lost on the way through openpyxl is named, and nothing is written; what would not be lost is no reason to refuse."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import xlsxwriter
from openpyxl.chart import BarChart, Reference
from openpyxl.comments import Comment
from openpyxl.formatting.rule import DataBarRule
from openpyxl.worksheet.datavalidation import DataValidation

from crmcore.errors import NotSupported, StorageError
from crmcore.testing.kit_schema import SCHEMA, values_row
from crmcore_excel.checkpoints import write_checkpoint
from crmcore_excel.losses import lost_parts

Draw = Callable[[Any, Any], object]

FEATURES: dict[str, tuple[Draw, str]] = {
    "sparkline": (lambda book, sheet: sheet.add_sparkline("A9", {"range": "Sheet1!A1:C1"}), "sparklines in Sheet1"),
    "data bar of 2010": (
        lambda book, sheet: sheet.conditional_format("A1:A9", {"type": "data_bar", "data_bar_2010": True}),
        "conditional formatting of Excel 2010 in Sheet1",
    ),
    "text box": (
        lambda book, sheet: sheet.insert_textbox("B2", "记得回访"),
        "text box or shape in xl/drawings/drawing1.xml",
    ),
    "button": (
        lambda book, sheet: sheet.insert_button("B2", {"caption": "按"}),
        "form control Button in xl/drawings/vmlDrawing1.vml",
    ),
    "dynamic array": (lambda book, sheet: sheet.write_dynamic_array_formula("A1", "=SORT(B1:B5)"), "xl/metadata.xml"),
    "checkbox": (lambda book, sheet: sheet.insert_checkbox("A1", True), "xl/featurePropertyBag/featurePropertyBag.xml"),
    "background": (lambda book, sheet: sheet.set_background(str(PICTURE)), "picture in Sheet1"),
}
PICTURE = Path(__file__).with_name("dot.png")

CHARTED: Draw = lambda book, sheet: (  # noqa: E731
    sheet.write_column("A1", [1, 2]),
    sheet.insert_chart("C1", _chart(book)),
)


def _chart(book: Any) -> Any:
    chart = book.add_chart({"type": "column"})
    chart.add_series({"values": "=Sheet1!$A$1:$A$2", "trendline": {"type": "linear"}})
    return chart


def drawn(path: Path, draw: Draw) -> Path:
    with xlsxwriter.Workbook(path) as book:
        draw(book, book.add_worksheet())
    return path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A PNG of one dot."""
    path = tmp_path / "dot.png"
    path.write_bytes(
        bytes.fromhex(
            "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc0000003010100"
            "18dd8db00000000049454e44ae426082"
        )
    )
    return path


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_that_would_be_lost_is_named(
    tmp_path: Path, picture: Path, feature: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "PICTURE", picture)
    draw, name = FEATURES[feature]
    assert name in lost_parts(drawn(tmp_path / "book.xlsx", draw))


def test_charts_rules_lists_notes_and_tables_are_no_reason_to_refuse(tmp_path: Path) -> None:
    assert lost_parts(drawn(tmp_path / "charted.xlsx", CHARTED)) == []
    book = openpyxl.Workbook()
    sheet = book.active
    sheet["A1"], sheet["A2"] = "数", 5
    sheet["A1"].comment = Comment("注", "李明")
    sheet.conditional_formatting.add("A2:A9", DataBarRule(start_type="min", end_type="max", color="FF638EC6"))
    validation = DataValidation(type="list", formula1='"甲,乙"')
    validation.add("B2")
    sheet.add_data_validation(validation)
    sheet.merge_cells("C1:D1")
    chart = BarChart()
    chart.add_data(Reference(sheet, min_col=1, min_row=1, max_row=2), titles_from_data=True)
    sheet.add_chart(chart, "E5")
    book.save(tmp_path / "book.xlsx")
    assert lost_parts(tmp_path / "book.xlsx") == []


def with_part(path: Path, part: str) -> Path:
    made = path.with_name("more.xlsx")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        new.writestr(part, b"<x/>")
    return made


@pytest.mark.parametrize(
    "part",
    [
        "xl/cellimages.xml",
        "customXml/item1.xml",
        "xl/vbaProject.bin",
        "xl/threadedComments/threadedComment1.xml",
        "xl/slicers/slicer1.xml",
    ],
)
def test_nothing_is_written_over_a_workbook_with_a_part_that_would_be_lost(tmp_path: Path, part: str) -> None:
    ours, target = tmp_path / "ours.xlsx", tmp_path / "target.xlsx"
    rows = {"values": [values_row("one")]}
    write_checkpoint(ours, SCHEMA, rows, store_id="s", sequence=1, presentation=None)
    with pytest.raises(NotSupported) as caught:
        write_checkpoint(target, SCHEMA, rows, store_id="s", sequence=2, presentation=None, kept=with_part(ours, part))
    assert caught.value.details["parts"] == (part,)
    assert part in caught.value.message
    assert not target.exists()


def test_merged_cells_over_our_columns_are_named(tmp_path: Path) -> None:
    ours = tmp_path / "ours.xlsx"
    rows = {"values": [values_row("one"), values_row("two")]}
    write_checkpoint(ours, SCHEMA, rows, store_id="s", sequence=1, presentation=None)
    book = openpyxl.load_workbook(ours)
    book["values"].merge_cells("C2:C3")
    book.save(ours)
    with pytest.raises(NotSupported) as caught:
        write_checkpoint(tmp_path / "t.xlsx", SCHEMA, rows, store_id="s", sequence=2, presentation=None, kept=ours)
    assert caught.value.details["parts"] == ("merged cells C2:C3 in values",)


def test_any_workbook_can_be_asked_what_it_would_lose(shared_data: Path) -> None:
    asked = 0
    for path in sorted((shared_data / "xlsx_torture").rglob("*.xlsx")):
        asked += 1
        try:
            assert all(isinstance(name, str) for name in lost_parts(path))
        except StorageError:
            continue
    assert asked > 10
