"""A workbook that is broken, cut off or another program's is said to be so, whatever was done to it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest
import xlsxwriter
from hypothesis import given
from hypothesis import strategies as st

from crmcore.errors import SchemaMismatch, StorageError, StoreCorrupt, StoreUnavailable
from crmcore.storage import Schema
from crmcore.testing.kit_schema import GROUP, KEYS, SCHEMA, VALUES, keys_row, values_row
from crmcore_excel.checkpoints import read_checkpoint, stored_schema, write_checkpoint

ROWS = {
    "values": [values_row(f"id {n}", 1, text=f"客户 {n}", integer=n) for n in range(20)],
    "keys": [keys_row("a")],
    "group": [],
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "store.xlsx"
    write_checkpoint(path, SCHEMA, ROWS, store_id="s", sequence=3, presentation=None)
    return path


def read_or_typed(path: Path) -> None:
    """Reading gives what was written, or an error of ours."""
    try:
        read = read_checkpoint(path, SCHEMA)
    except StorageError as problem:
        assert str(path) in problem.message or problem.details
        return
    assert read.rows == ROWS
    assert not read.edited


@given(st.data())
def test_a_flipped_byte_is_noticed_or_does_no_harm(whole: Path, data: st.DataObject) -> None:
    content = bytearray(whole.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    broken = whole.with_name("flipped.xlsx")
    broken.write_bytes(content)
    read_or_typed(broken)


@given(st.data())
def test_a_file_cut_off_anywhere_is_corrupt(whole: Path, data: st.DataObject) -> None:
    content = whole.read_bytes()
    broken = whole.with_name("cut.xlsx")
    broken.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(StoreCorrupt) as caught:
        read_checkpoint(broken, SCHEMA)
    assert caught.value.details["part"] == "zip"


def rewritten(path: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """The package with its parts changed, under right checksums."""
    made = path.with_name("rewritten.xlsx")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            part = change(name, old.read(name))
            if part is not None:
                new.writestr(name, part)
    return made


def test_a_package_that_lacks_any_one_part_is_typed(whole: Path) -> None:
    with zipfile.ZipFile(whole) as package:
        names = package.namelist()
    for lacking in names:
        read_or_typed(rewritten(whole, lambda name, part, lacking=lacking: None if name == lacking else part))  # type: ignore[misc]


def test_a_changed_value_under_right_checksums_is_an_edit(whole: Path) -> None:
    changed = rewritten(whole, lambda name, part: part.replace("客户 7<".encode(), "客户 8<".encode()))
    assert read_checkpoint(changed, SCHEMA).edited


def test_marks_that_were_tampered_with_are_named(whole: Path) -> None:
    for old, new in (
        (b"&quot;", b""),
        (b"schema_version", b"schema_versiom"),
        (b'"sequence"', b'"sequense"'),
        (b">3<", b">x<"),
    ):
        changed = rewritten(whole, lambda name, part, old=old, new=new: part.replace(old, new))  # type: ignore[misc]
        read_or_typed(changed)


def test_the_part_that_is_damaged_is_named(whole: Path) -> None:
    with zipfile.ZipFile(whole) as package:
        entry = package.getinfo("xl/worksheets/sheet1.xml")
    content = bytearray(whole.read_bytes())
    content[entry.header_offset + 30 + len(entry.filename) + entry.compress_size // 2] ^= 0xFF
    broken = whole.with_name("damaged.xlsx")
    broken.write_bytes(content)
    with pytest.raises(StoreCorrupt) as caught:
        read_checkpoint(broken, SCHEMA)
    assert caught.value.details["part"] == "xl/worksheets/sheet1.xml"


def foreign_xlsxwriter(path: Path) -> None:
    with xlsxwriter.Workbook(path) as workbook:
        workbook.add_worksheet().write(0, 0, "客户")


def foreign_openpyxl(path: Path) -> None:
    openpyxl.Workbook().save(path)


def foreign_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as package:
        package.writestr("mimetype", "nothing")


def old_format(path: Path) -> None:
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000))


@pytest.mark.parametrize("make", [foreign_xlsxwriter, foreign_openpyxl, foreign_zip, old_format])
def test_a_file_of_another_program_is_refused_as_such(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "foreign.xlsx"
    make(path)
    with pytest.raises(SchemaMismatch):
        read_checkpoint(path, SCHEMA)
    with pytest.raises(SchemaMismatch):
        stored_schema(path)


@pytest.mark.parametrize("content", [b"", b"id,name\n1,a\n", bytes(200), "客户".encode("gb18030")])
def test_what_is_no_zip_is_corrupt(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "text.xlsx"
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt):
        read_checkpoint(path, SCHEMA)


def test_a_file_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.xlsx", tmp_path):
        with pytest.raises(StoreUnavailable):
            read_checkpoint(path, SCHEMA)


def test_another_version_or_other_fields_are_refused_with_both_versions(whole: Path) -> None:
    for schema in (Schema.of(2, [VALUES, KEYS, GROUP]), Schema.of(1, [VALUES, KEYS])):
        with pytest.raises(SchemaMismatch) as caught:
            read_checkpoint(whole, schema)
        assert caught.value.details["stored"] == 1
    assert stored_schema(whole).version == 1


def test_a_folder_that_is_not_there_is_unavailable_to_write_to(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        write_checkpoint(tmp_path / "no" / "a.xlsx", SCHEMA, {}, store_id="s", sequence=0, presentation=None)


def test_marks_are_out_of_sight(whole: Path) -> None:
    book = openpyxl.load_workbook(io.BytesIO(whole.read_bytes()))
    assert {sheet.title: sheet.sheet_state for sheet in book if sheet.title.startswith("crmcore")} == {
        "crmcore lists": "veryHidden",
        "crmcore texts": "veryHidden",
        "crmcore": "veryHidden",
    }
