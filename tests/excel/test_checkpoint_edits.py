"""What a person changed in a store's workbook is found, cell by cell."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from stores_by_hand import ROWS, VIEW

from crmcore.errors import StoreCorrupt
from crmcore.storage import Scalar
from crmcore.storage.presentation import Edit, Unreadable
from crmcore.testing.kit_schema import SCHEMA
from crmcore_excel.checkpoints import read_checkpoint, write_checkpoint
from crmcore_excel.edits import edits_between


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.xlsx"
    write_checkpoint(path, SCHEMA, {"values": ROWS}, store_id="s", sequence=3, presentation=VIEW)
    return path


def edited(base: Path, change: Callable[[Any], object]) -> Path:
    """The workbook after somebody changed it with another program."""
    workbook = openpyxl.load_workbook(base)
    change(workbook)
    path = base.with_name("edited.xlsx")
    workbook.save(path)
    return path


def cells(edit: Edit) -> dict[str, tuple[Scalar, Scalar | Unreadable]]:
    return {cell.place: (cell.before, cell.after) for cell in edit.cells}


def test_a_workbook_that_was_only_saved_again_is_not_edited(base: Path) -> None:
    path = edited(base, lambda book: None)
    read = read_checkpoint(path, SCHEMA)
    assert (read.edited, read.rows["values"]) == (False, ROWS)
    assert edits_between(base, path, SCHEMA) == []


def test_each_changed_cell_is_told_with_its_place(base: Path) -> None:
    def change(book: Any) -> None:
        sheet = book["客户"]
        sheet["A2"], sheet["B2"], sheet["C2"], sheet["D2"] = "甲集团", "重点", 99.5, None
        sheet["E2"] = datetime(2024, 3, 2, 8, 30)

    path = edited(base, change)
    (edit,) = edits_between(base, path, SCHEMA)
    assert (edit.kind, edit.collection, edit.id, edit.row) == ("changed", "values", "one", 2)
    assert cells(edit) == {
        "客户!A2": ("甲公司", "甲集团"),
        "客户!B2": ("plain", "vip"),
        "客户!C2": (123456, 9950),
        "客户!D2": (date(2024, 3, 1), None),
        "客户!E2": (datetime(2024, 3, 1, 2, tzinfo=UTC), datetime(2024, 3, 2, 0, 30, tzinfo=UTC)),
    }
    assert read_checkpoint(path, SCHEMA).edited


def test_rows_added_copied_and_removed_are_told(base: Path) -> None:
    def change(book: Any) -> None:
        sheet = book["客户"]
        sheet.append(["丁公司", "普通"])
        sheet.append([cell.value for cell in sheet[2]])
        sheet["A6"] = "甲公司分部"
        sheet.delete_rows(3)

    added, copied, removed = edits_between(base, edited(base, change), SCHEMA)
    assert (added.kind, added.id, added.row) == ("added", None, 4)
    assert cells(added) == {"客户!A4": (None, "丁公司"), "客户!B4": (None, "plain")}
    assert (copied.kind, copied.id, cells(copied)["客户!A5"]) == ("added", None, (None, "甲公司分部"))
    assert (removed.kind, removed.id, removed.row, removed.cells) == ("removed", "two", 0, ())


@pytest.mark.parametrize("heading", ["名称", "id"])
def test_a_heading_that_is_gone_is_named(base: Path, heading: str) -> None:
    def change(book: Any) -> None:
        next(cell for cell in book["客户"][1] if cell.value == heading).value = "别的"

    path = edited(base, change)
    for read in (lambda: edits_between(base, path, SCHEMA), lambda: read_checkpoint(path, SCHEMA)):
        with pytest.raises(StoreCorrupt, match=heading) as caught:
            read()
        assert caught.value.details["part"] == "客户"
