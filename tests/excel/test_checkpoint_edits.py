"""What a person changed in a store's workbook is found, cell by cell."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores_by_hand import PRESENTED, ROWS, VIEW

from crmcore.errors import SchemaMismatch, StoreCorrupt
from crmcore.storage import Scalar
from crmcore.storage.presentation import Edit, Unreadable
from crmcore.testing import strategies
from crmcore.testing.kit_schema import SCHEMA, VALUES
from crmcore_excel.cells import cell_value, fits, with_escapes
from crmcore_excel.checkpoints import read_checkpoint, write_checkpoint
from crmcore_excel.edits import edits_between
from crmcore_excel.opening import open_workbook


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


def one(base: Path, place: str, value: Any) -> Scalar | Unreadable:
    """What a cell is read as after somebody typed the value there."""

    def change(book: Any) -> None:
        book["客户"][place] = value

    found = [cell for edit in edits_between(base, edited(base, change), SCHEMA) for cell in edit.cells]
    assert [cell.place for cell in found] == [f"客户!{place}"]
    return found[0].after


@pytest.mark.parametrize(
    ("place", "typed", "after"),
    [
        ("A2", 13800138000, "13800138000"),
        ("A2", 13800138000.0, "13800138000"),
        ("A2", 3.5, "3.5"),
        ("A2", -0.25, "-0.25"),
        ("A2", 110101199003078888, Unreadable("1.10101199003079E+17", why="precision_lost")),
        ("A2", 0.1234567890123456, Unreadable("0.123456789012346", why="precision_lost")),
        ("A2", True, Unreadable("TRUE")),
        ("A2", "#N/A", Unreadable("#N/A", why="cell_error")),
        ("C2", "#DIV/0!", Unreadable("#DIV/0!", why="cell_error")),
        ("A2", "=1+1", Unreadable("=")),
        ("B2", "重点", "vip"),
        ("B2", "vip", "vip"),
        ("B2", "别的", "别的"),
        ("C2", 0.07, 7),
        ("C2", 0.075, Unreadable("0.075")),
        ("C2", "12.30", 1230),
        ("C2", "一百", Unreadable("一百")),
        ("C2", 1e15, Unreadable("1E+15")),
        ("D2", "2024-02-29", date(2024, 2, 29)),
        ("D2", "2024-02-30", Unreadable("2024-02-30")),
        ("D2", datetime(2024, 3, 2), date(2024, 3, 2)),
        ("D2", datetime(2024, 3, 2, 8), Unreadable("2024-03-02 08:00:00")),
        ("D2", "明天", Unreadable("明天")),
        ("E2", date(2024, 3, 2), datetime(2024, 3, 1, 16, tzinfo=UTC)),
        ("E2", "2024-03-02T00:00:00.000Z", datetime(2024, 3, 2, tzinfo=UTC)),
        ("E2", "三点", Unreadable("三点")),
        ("F2", "true", True),
        ("F2", False, False),
        ("F2", "也许", Unreadable("也许")),
        ("G2", 1.5, Decimal("1.5")),
        ("G2", "1.50", Decimal("1.50")),
        ("G2", "NaN", Unreadable("NaN")),
    ],
)
def test_what_is_typed_is_read_as_the_fields_type_or_told_as_it_stands(
    base: Path, place: str, typed: Any, after: Scalar | Unreadable
) -> None:
    found = one(base, place, typed)
    assert (found, type(found)) == (after, type(after))


def test_a_cell_that_cannot_be_read_leaves_the_other_rows_readable(base: Path) -> None:
    def change(book: Any) -> None:
        book["客户"]["C2"] = "一百"
        book["客户"]["A5"] = "丁公司"

    read = read_checkpoint(edited(base, change), SCHEMA)
    assert read.edited
    assert read.rows["values"] == ROWS[1:]
    assert [place.partition("!")[0] for place in read.unread] == ["客户", "客户"]
    assert read.unread[0] == "客户!C2"


def test_moved_columns_sorted_rows_and_rows_above_are_no_edits(base: Path) -> None:
    def change(book: Any) -> None:
        sheet = book["客户"]
        rows = [[cell.value for cell in row] for row in sheet.iter_rows()]
        formats = [cell.number_format for cell in sheet[2]]
        sheet.delete_rows(1, sheet.max_row)
        for number, row in enumerate([rows[0], *reversed(rows[1:])], 3):
            for column, value in enumerate(row):
                cell = sheet.cell(number, 2 * (len(row) - column), value)
                cell.number_format = formats[column] if number > 3 else "General"
        sheet["A1"] = "客户一览"

    path = edited(base, change)
    assert edits_between(base, path, SCHEMA) == []
    assert not read_checkpoint(path, SCHEMA).edited


def test_changes_out_of_sight_are_edits_too(base: Path) -> None:
    def change(book: Any) -> None:
        sheet = book["客户"]
        version = next(cell.column_letter for cell in sheet[1] if cell.value == "version")
        sheet[f"{version}2"] = 9
        book["group"].append(["new", 1])

    hidden, added = edits_between(base, edited(base, change), SCHEMA)
    assert [(cell.field, cell.before, cell.after) for cell in hidden.cells] == [("version", 1, 9)]
    assert (added.collection, added.kind) == ("group", "added")


@settings(max_examples=max(10, settings().max_examples // 2))
@given(data=st.data())
def test_exactly_the_cells_that_were_changed_are_told(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("edits")
    rows = data.draw(st.lists(strategies.rows(VALUES), min_size=1, max_size=4, unique_by=lambda row: row[0]))
    write_checkpoint(folder / "base.xlsx", SCHEMA, {"values": rows}, store_id="s", sequence=3, presentation=PRESENTED)
    (layout,) = (sheet for sheet in open_workbook(folder / "base.xlsx").marks.sheets if sheet.collection == "values")
    expected: dict[str, tuple[Scalar, Scalar]] = {}

    def change(book: Any) -> None:
        sheet = book[layout.title]
        for index, row in enumerate(rows):
            for column, laid in enumerate(layout.columns):
                if laid.field not in ("id", "version") and data.draw(st.integers(0, 3)) == 0:
                    place = VALUES.position(laid.field)
                    value = data.draw(strategies.values(VALUES.fields[place]))
                    # A text like a choice's label is that choice.
                    if value is None or (laid.choices and value in laid.choices.values()):
                        continue
                    written = cell_value(laid, value, ZoneInfo(PRESENTED.zone))
                    if isinstance(written, str) and not fits(written):
                        continue
                    cell = sheet.cell(index + 2, column + 1)
                    cell.value = with_escapes(written) if isinstance(written, str) else written
                    if isinstance(written, str):
                        cell.data_type = "s"
                    if value != row[place]:
                        expected[f"{layout.title}!{cell.coordinate}"] = row[place], value

    found = edits_between(folder / "base.xlsx", edited(folder / "base.xlsx", change), SCHEMA)
    assert {edit.kind for edit in found} <= {"changed"}
    assert {place: values for edit in found for place, values in cells(edit).items()} == expected


def test_an_edit_has_the_same_mark_whenever_it_is_read_and_another_where_it_says_something_else(
    base: Path, tmp_path: Path
) -> None:
    def change(text: str) -> Callable[[Any], None]:
        def changed(book: Any) -> None:
            book["客户"]["A2"] = text
            book["客户"]["A3"] = text
            book["客户"].append([text])
            book["客户"].delete_rows(4)

        return changed

    path = edited(base, change("一"))
    first, again = edits_between(base, path, SCHEMA), edits_between(base, path, SCHEMA)
    assert first == again
    marks = {edit.mark for edit in first}
    assert len(marks) == 4
    other = edits_between(base, edited(base, change("二")), SCHEMA)
    assert {edit.kind for edit in other if edit.mark in marks} == {"removed"}


def without_sheet(book: Any) -> None:
    del book["客户"]


def two_headings(book: Any) -> None:
    book["客户"].cell(1, book["客户"].max_column + 1, "名称")


def no_ids(book: Any) -> None:
    at = next(cell.column for cell in book["客户"][1] if cell.value == "id")
    for number in range(2, 5):
        book["客户"].cell(number, at).value = None


@pytest.mark.parametrize(
    ("change", "named"),
    [(without_sheet, "客户"), (two_headings, "名称"), (no_ids, "id")],
    ids=["sheet", "headings", "ids"],
)
def test_what_would_look_as_if_all_rows_were_gone_is_named(
    base: Path, change: Callable[[Any], None], named: str
) -> None:
    with pytest.raises(StoreCorrupt, match=named) as caught:
        edits_between(base, edited(base, change), SCHEMA)
    assert caught.value.details["part"] == "客户"


def test_workbooks_of_two_stores_or_states_are_not_compared(base: Path, tmp_path: Path) -> None:
    for other in ({"store_id": "t", "sequence": 3}, {"store_id": "s", "sequence": 4}):
        write_checkpoint(tmp_path / "other.xlsx", SCHEMA, {"values": ROWS}, presentation=VIEW, **other)
        with pytest.raises(SchemaMismatch):
            edits_between(base, tmp_path / "other.xlsx", SCHEMA)


@pytest.mark.parametrize("heading", ["名称", "id"])
def test_a_heading_that_is_gone_is_named(base: Path, heading: str) -> None:
    def change(book: Any) -> None:
        next(cell for cell in book["客户"][1] if cell.value == heading).value = "别的"

    path = edited(base, change)
    for read in (lambda: edits_between(base, path, SCHEMA), lambda: read_checkpoint(path, SCHEMA)):
        with pytest.raises(StoreCorrupt, match=heading) as caught:
            read()
        assert caught.value.details["part"] == "客户"
