"""The cells of a store's workbook, read by the shortest way that is safe.

A file that nobody saved since we wrote it goes to the parser directly. Any other is one from outside: it is checked and
read in a child process, as files to import are.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import attrs

from crmcore.errors import ImportRejected, MissingExtra, SchemaMismatch, StorageError, StoreCorrupt, StoreUnavailable
from crmcore.interchange.rejections import WHOLE_FILE
from crmcore.interchange.sheets import OLE_MAGIC
from crmcore_excel.layout import MARKS, TEXTS, Marks, SheetLayout, joined, read_marks
from crmcore_excel.limits import Limits
from crmcore_excel.packages import broken_part, is_sealed
from crmcore_excel.preflight import check_directory
from crmcore_excel.reader import read_workbook

_LIMITS = Limits(file_size=256 * 2**20, unpacked=2**31, ratio=1100, cells=50_000_000, memory=4 * 2**30, seconds=60.0)
_FOREIGN = "the workbook was not written by this library"
_SEARCHED = 50  #: rows that a heading is looked for in


@attrs.frozen(kw_only=True)
class Cells:
    """A sheet's cells. ``first`` is the number of the first row; ``formulas`` are (row, column) from 1."""

    rows: Sequence[Sequence[Any]]
    first: int = 1
    formulas: frozenset[tuple[int, int]] = frozenset()


@attrs.frozen(kw_only=True)
class Opened:
    """A workbook of ours. ``sealed`` says that nobody saved it since it was written."""

    path: Path
    sealed: bool
    marks: Marks
    sheets: Mapping[str, Cells]

    def found(self, sheet: SheetLayout) -> Found:
        """Where the sheet's columns stand. Raises :class:`StoreCorrupt` naming a sheet or heading that isn't there."""
        cells = self.sheets.get(sheet.title)
        if cells is None:
            raise StoreCorrupt.phrased(
                "the workbook has no sheet {part} any more", path=str(self.path), part=sheet.title
            )
        return _find(sheet, cells, self.path)


@attrs.frozen(kw_only=True)
class Found:
    """The columns of a sheet: ``at`` is where each one stands, from 0; ``rows`` are those below the headings, each as wide
    as the last of them, ``first`` is the number of the first."""

    at: tuple[int, ...]
    rows: Sequence[Sequence[Any]]
    first: int
    formulas: frozenset[tuple[int, int]]


def open_workbook(path: Path, marks_only: bool = False, others: Sequence[str] = ()) -> Opened:
    """Reads the cells of a store's workbook; of a sealed one only its marks, if these are all that is wanted. ``others`` are
    titles of further sheets to read where they are.

    Raises :class:`StoreUnavailable` for a file that can't be read, :class:`SchemaMismatch` for another program's, and
    :class:`StoreCorrupt` with the part that is broken.
    """
    try:
        file = path.open("rb")
    except OSError as problem:
        raise StoreUnavailable.phrased(
            "{path} can't be read: {reason}", path=str(path), reason=problem.strerror
        ) from problem
    with file:
        sealed = _check(file, path)
        sheets = _direct(file, path, marks_only, others) if sealed else _apart(path)
    if MARKS not in sheets:
        raise SchemaMismatch(_FOREIGN, path=str(path))
    return Opened(path=path, sealed=sealed, marks=read_marks(sheets[MARKS].rows), sheets=sheets)


def _check(file: BinaryIO, path: Path) -> bool:
    """Whether the file is sealed; raises for one that is no workbook."""
    start = file.read(len(OLE_MAGIC))
    if start == OLE_MAGIC:
        raise SchemaMismatch.phrased("{path} is an .xls file or encrypted; this library writes .xlsx", path=str(path))
    if not start:
        raise StoreCorrupt.phrased("{path} is empty", path=str(path), part="zip")
    try:
        package = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as problem:
        raise StoreCorrupt.phrased("{path} is no workbook, or was cut off", path=str(path), part="zip") from problem
    with package:
        try:
            check_directory(package, file.seek(0, 2), _LIMITS)
            return is_sealed(package)
        except ImportRejected as problem:
            raise _rejected(problem, path) from problem
        except Exception as problem:  # a broken zip raises almost anything
            part = broken_part(package) or "zip"
            raise StoreCorrupt.phrased("{path} is damaged in {part}", path=str(path), part=part) from problem


def _direct(file: BinaryIO, path: Path, marks_only: bool, others: Sequence[str]) -> dict[str, Cells]:
    try:
        import python_calamine as calamine
    except ImportError as problem:
        raise MissingExtra('workbooks need python-calamine: pip install "crmcore[excel]"') from problem
    try:
        file.seek(0)
        workbook = calamine.CalamineWorkbook.from_filelike(file)
        there = set(workbook.sheet_names)

        def cells(name: str) -> Cells:
            return Cells(rows=workbook.get_sheet_by_name(name).to_python(skip_empty_area=False))

        if MARKS not in there:
            return {}
        marks = cells(MARKS)
        titles = () if marks_only else (TEXTS, *others, *(sheet.title for sheet in read_marks(marks.rows).sheets))
        return {MARKS: marks, **{name: cells(name) for name in titles if name in there}}
    except StorageError:
        raise
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as problem:  # a panic of the parser is no Exception
        raise _damaged(path) from problem


def _apart(path: Path) -> dict[str, Cells]:
    try:
        sheets = read_workbook(path, _LIMITS)
    except ImportRejected as problem:
        raise _rejected(problem, path) from problem
    return {sheet.name: Cells(rows=sheet.rows, first=sheet.first_row, formulas=sheet.formulas) for sheet in sheets}


def _rejected(problem: ImportRejected, path: Path) -> StorageError:
    reason, part = problem.details.get("reason"), problem.details.get("part")
    if reason in ("not_a_workbook", "no_sheets", "old_format", "encrypted"):
        return SchemaMismatch(f"{_FOREIGN}: {problem}", path=str(path), reason=reason)
    return (
        _damaged(path)
        if part in (None, WHOLE_FILE)
        else StoreCorrupt(f"{path}: {problem}", path=str(path), part=part, reason=reason)
    )


def _damaged(path: Path) -> StoreCorrupt:
    try:
        with zipfile.ZipFile(path) as package:
            part = broken_part(package) or "workbook"
    except (zipfile.BadZipFile, OSError, ValueError):
        part = "zip"
    return StoreCorrupt.phrased("{path} is damaged in {part}", path=str(path), part=part)


def _find(sheet: SheetLayout, cells: Cells, path: Path) -> Found:
    wanted = [column.heading for column in sheet.columns]
    best, best_index = 0, -1
    best_at: list[str] = []
    for index, row in enumerate(cells.rows[:_SEARCHED]):
        told = [str(cell).strip() if cell is not None else "" for cell in row]
        hits = sum(heading in told for heading in wanted)
        if hits > best:
            best, best_index, best_at = hits, index, told
    missing = [heading for heading in wanted if heading not in best_at]
    twice = [heading for heading in wanted if best_at.count(heading) > 1]
    if missing or twice:
        raise StoreCorrupt.phrased(
            "the sheet {part} has no heading {names}" if missing else "the sheet {part} has two headings {names}",
            path=str(path),
            part=sheet.title,
            headings=tuple(missing or twice),
            names=", ".join(missing or twice),
        )
    at = tuple(best_at.index(heading) for heading in wanted)
    width = max(at) + 1
    rows = cells.rows[best_index + 1 :]
    if any(len(row) < width for row in rows):
        rows = [row if len(row) >= width else (*row, *(None,) * (width - len(row))) for row in rows]
    return Found(at=at, rows=rows, first=cells.first + best_index + 1, formulas=cells.formulas)


def texts_apart(opened: Opened) -> list[tuple[str, str, str, str]]:
    """Collection, field, id and text of what no cell can hold. Raises :class:`StoreCorrupt`."""
    cells = opened.sheets.get(TEXTS)
    if cells is None:
        raise StoreCorrupt.phrased("the workbook has no sheet {part} any more", path=str(opened.path), part=TEXTS)
    try:
        return [(row[0], row[1], row[2], json.loads(joined(row[3:]))) for row in cells.rows if row and row[0]]
    except (ValueError, IndexError, TypeError) as problem:
        raise StoreCorrupt.phrased("the sheet {part} can't be read", path=str(opened.path), part=TEXTS) from problem
