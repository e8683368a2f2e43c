"""Sheets as they stand in a file: names, rows, cells at the places a spreadsheet shows.

What a file is follows from its first bytes, never from its name. Text is read here; workbooks are read by the plugin
that serves the entry-point group ``crmcore.workbooks``.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeAlias, cast

import attrs

from crmcore.domain.playbook import Playbook
from crmcore.errors import Language, MissingExtra, PluginConflict
from crmcore.interchange.csv_files import MAX_TEXT_FILE, read_records
from crmcore.interchange.rejected_rows import RejectedRows
from crmcore.interchange.rejections import rejected
from crmcore.metrics.tables import Chart, Table
from crmcore.plugins.discovery import entry_points_of, load_entry_point

WORKBOOK_GROUP = "crmcore.workbooks"
WORKBOOK_SUFFIXES = frozenset({".xlsx", ".xlsm", ".xltx", ".xltm", ".xlsb", ".xls", ".xlt", ".et", ".ods"})
OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
_OLD_BINARY = (b"\x09\x00\x04\x00", b"\x09\x02\x06\x00", b"\x09\x04\x06\x00")  # Excel 2, 3 and 4, before OLE
_WEB_PAGE = (b"<!doctype html", b"<html", b"<head", b"<meta", b"<body", b"<table", b"<div", b"<style")
_XML_SPREADSHEET = b"urn:schemas-microsoft-com:office:spreadsheet"


@attrs.frozen
class CellError:
    """A cell that shows an error such as ``#N/A`` instead of a value."""

    code: str


Cell: TypeAlias = (
    bool | int | float | str | datetime.date | datetime.datetime | datetime.time | CellError | None
)  #: A blank cell is None; a date-time is naive, as it stands in the sheet; a formula is its last value.


@attrs.frozen(kw_only=True)
class Sheet:
    """One sheet. ``rows[0]`` is the row that the spreadsheet numbers ``first_row``; a row starts in column A.

    Rows end at their last filled cell and the sheet at its last filled row, so rows differ in length and a blank row
    is ``()``. In a text file a row is a record, blank lines and line breaks within quotes counted as a spreadsheet does.
    ``formulas`` are the places (row, column; from 1) whose value came from a formula, the first 100,000 of them.
    ``from_1904`` says that a number which stands for a day counts from 1904, as in workbooks of old Macs.
    ``delimited`` says that a separator parts the cells, so that one too many moves all that follow.
    """

    name: str
    rows: Sequence[tuple[Cell, ...]]
    hidden: bool = False
    first_row: int = 1
    formulas: frozenset[tuple[int, int]] = frozenset()
    delimited: bool = False
    from_1904: bool = False

    def cell(self, row: int, column: int) -> Cell:
        """The cell at a row and column as the spreadsheet numbers them; outside the rows it is blank."""
        index = row - self.first_row
        if not 0 <= index < len(self.rows):
            return None
        cells = self.rows[index]
        return cells[column - 1] if 0 < column <= len(cells) else None


class Workbooks(Protocol):
    """What a plugin of the group ``crmcore.workbooks`` offers; the entry point names a class without arguments."""

    def read(self, path: Path) -> list[Sheet]:
        """All sheets of a workbook, or :class:`crmcore.errors.ImportRejected`."""
        ...

    def write(
        self,
        path: Path,
        tables: Sequence[Table],
        charts: Sequence[Chart] = (),
        *,
        language: Language = "zh-CN",
        zone: datetime.tzinfo = datetime.UTC,
    ) -> None:
        """Tables and native charts as a workbook, in place of what was there; text never becomes a formula."""

    def write_rejected(
        self, path: Path, source: Path, sheets: Sequence[RejectedRows], *, encoding: str | None = None
    ) -> None:
        """A copy of an imported file as a workbook: the rejected rows with their reasons, the wrong cells red."""
        ...

    def template(
        self, path: Path, playbook: Playbook, table_keys: Sequence[str] | None = None, *, language: Language = "zh-CN"
    ) -> None:
        """A workbook to fill in: the sheets of a playbook, with drop-downs and a guide."""


def read_sheets(path: Path | str, *, encoding: str | None = None) -> list[Sheet]:
    """Every sheet of a workbook or text file (.xlsx, .xlsm, .xlsb, .xls, .ods, .csv, .tsv), hidden ones too.

    ``encoding`` is for text; without it UTF-8, UTF-16 and GB18030 are told apart. Raises ``ImportRejected`` with one of
    :data:`crmcore.interchange.rejections.REASONS`, and ``MissingExtra`` where no library reads workbooks.
    """
    path = Path(path)
    head, size = _look(path)
    if head.startswith((OLE_MAGIC, *ZIP_MAGICS)):
        return workbooks().read(path)
    _refuse_lookalikes(head, path)
    if size > MAX_TEXT_FILE:
        raise rejected("too_large")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise rejected("unreadable") from error
    return [Sheet(name=path.stem, rows=read_records(content, encoding=encoding), delimited=True)]


def workbooks() -> Workbooks:
    """The installed plugin for workbooks. Raises ``MissingExtra``, ``PluginConflict`` or ``PluginLoadError``."""
    entries = entry_points_of(WORKBOOK_GROUP)
    if not entries:
        raise MissingExtra('workbooks need an optional library: pip install "crmcore[excel]"', plugin=WORKBOOK_GROUP)
    if len(entries) > 1:
        found = ", ".join(entry.value for entry in entries)
        raise PluginConflict(f"more than one package serves workbooks: {found}", plugin=WORKBOOK_GROUP)
    return cast(Workbooks, load_entry_point(entries[0]))


def _look(path: Path) -> tuple[bytes, int]:
    try:
        with path.open("rb") as file:
            head = file.read(4096)
            size = file.seek(0, 2)
    except FileNotFoundError as error:
        raise rejected("not_found") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise rejected("unreadable") from error
    if not size:
        raise rejected("empty")
    return head, size


def _refuse_lookalikes(head: bytes, path: Path) -> None:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith(_WEB_PAGE):
        raise rejected("web_page")
    if head.startswith(_OLD_BINARY) or (start.startswith(b"<?xml") and _XML_SPREADSHEET in start):
        raise rejected("old_format")
    if path.suffix.lower() in WORKBOOK_SUFFIXES:
        raise rejected("not_a_workbook")
