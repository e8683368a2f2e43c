"""What a file is, told by what is in it."""

import zipfile
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from crmcore.errors import ImportRejected, MissingExtra, PluginConflict, PluginLoadError
from crmcore.interchange.rejections import REASONS, reason_text, rejected
from crmcore.interchange.sheets import Sheet, read_sheets
from crmcore.plugins import discovery


class Recorded:
    """A plugin that says what it was asked to read."""

    def read(self, path: Path) -> list[Sheet]:
        return [Sheet(name=path.name, rows=[("read",)])]


class Broken:
    def __init__(self) -> None:
        raise RuntimeError("no licence")


def install(monkeypatch: pytest.MonkeyPatch, *values: str) -> None:
    entries = [EntryPoint("excel", value, "crmcore.workbooks") for value in values]
    monkeypatch.setattr(discovery, "entry_points", lambda group: entries if group == "crmcore.workbooks" else [])


def file(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["a.xlsx", "a.csv", "a.txt", "a", "a.XLS"])
def test_a_workbook_is_one_under_any_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "test_sheets:Recorded")
    for content in (b"PK\x03\x04rest", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest"):
        assert read_sheets(file(tmp_path, name, content)) == [Sheet(name=name, rows=[("read",)])]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.xlsx", "名称,电话\n甲,1\n".encode(), "not_a_workbook"),
        ("a.xls", b"name\tphone\n", "not_a_workbook"),
        ("a.xlsx", b"\x00\x01\x02", "not_a_workbook"),
        ("a.xls", b"\n <html><table><tr><td>1</td></tr></table></html>", "web_page"),
        ("a.csv", b"\xef\xbb\xbf<!DOCTYPE HTML>", "web_page"),
        (
            "a.xml",
            b'<?xml version="1.0"?><Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet">',
            "old_format",
        ),
        ("a.xls", b"\x09\x04\x06\x00\x00\x00\x10\x00", "old_format"),
        ("a.csv", b"", "empty"),
        ("a.csv", b"%PDF-1.7\n\0\0", "not_text"),
    ],
)
def test_what_is_under_a_wrong_name_is_refused_with_a_reason(
    name: str, content: bytes, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ImportRejected) as caught:
        read_sheets(file(tmp_path, name, content))
    assert caught.value.reason == reason


def test_files_that_are_not_there_or_are_folders(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "no.csv", "not_found"), (tmp_path, "unreadable"), ("a\0b", "unreadable")):
        with pytest.raises(ImportRejected) as caught:
            read_sheets(path)
        assert caught.value.reason == reason


def test_text_is_one_sheet_named_as_the_file(tmp_path: Path) -> None:
    path = file(tmp_path, "客户.csv", "PK,名称\n1,甲\n".encode("gb18030"))
    assert read_sheets(str(path)) == [Sheet(name="客户", rows=[("PK", "名称"), ("1", "甲")], delimited=True)]
    assert read_sheets(path, encoding="gb18030")[0].rows[1] == ("1", "甲")


def test_cells_are_found_by_the_numbers_that_a_spreadsheet_shows() -> None:
    sheet = Sheet(name="a", rows=[("x", None, 1.0), (), ("y",)], first_row=5)
    assert [sheet.cell(5, 1), sheet.cell(5, 3), sheet.cell(7, 1)] == ["x", 1.0, "y"]
    assert {sheet.cell(*place) for place in ((4, 1), (6, 1), (7, 2), (8, 1), (5, 0), (5, 4))} == {None}


def test_the_plugin_is_missing_or_twice_there_or_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file(tmp_path, "a.xlsx", b"PK\x03\x04")
    install(monkeypatch)
    with pytest.raises(MissingExtra, match=r"pip install \"crmcore\[excel\]\""):
        read_sheets(path)
    install(monkeypatch, "one:Reader", "two:Reader")
    with pytest.raises(PluginConflict, match="one:Reader, two:Reader"):
        read_sheets(path)
    for value in ("no_such_module:Reader", "test_sheets:Absent", "test_sheets:Broken"):
        install(monkeypatch, value)
        with pytest.raises(PluginLoadError, match=value):
            read_sheets(path)


def test_our_own_plugin_is_the_one_that_is_installed(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "no workbook")
    with pytest.raises(ImportRejected) as caught:
        read_sheets(path)
    assert caught.value.reason == "not_a_workbook"


def test_a_part_is_shown_as_plain_text() -> None:
    assert rejected("bomb", part="xl/\x1b[31m\n" + "a" * 500).part == "xl/?[31m?" + "a" * 91


def test_every_reason_has_a_text_in_both_languages() -> None:
    for reason in REASONS:
        assert rejected(reason, part="xl/workbook.xml").message == f"{reason_text(reason)} (xl/workbook.xml)"
        assert reason_text(reason, "zh-CN") != reason_text(reason)
