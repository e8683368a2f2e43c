"""Reading a workbook in a child process: whatever happens to the parser, it happens there.

The child is a bare interpreter that imports the parser alone, limited in memory and time. It is started with
:mod:`subprocess`, so the parent may have threads.
"""

from __future__ import annotations

import importlib.util
import os
import pickle
import signal
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from io import BytesIO
from multiprocessing.spawn import get_executable
from pathlib import Path
from typing import IO, Any, BinaryIO

from crmcore.errors import MissingExtra, PluginError
from crmcore.interchange.rejections import rejected
from crmcore.interchange.sheets import Cell, CellError, Sheet
from crmcore_excel.limits import Limits
from crmcore_excel.marks import Marks
from crmcore_excel.preflight import Preflight, damaged_part, preflight

_CHILD = Path(__file__).with_name("_child.py")
_OUT_OF_TIME = getattr(signal, "SIGXCPU", 0)
_NO_MARKS = Marks()
_PLAIN_TYPES = frozenset({"date", "datetime", "time"})


def read_workbook(path: Path, limits: Limits | None = None) -> list[Sheet]:
    """Every worksheet of an .xlsx, .xlsm, .xlsb, .xls or .ods file; sheets of charts are left out.

    Dates are what the file's own calendar (1900 or 1904) makes of them; numbers are floats, in an .xls whole ones may
    be int; a length of time comes as text ``26:30:00``. In .xlsb and .ods a cell that shows an error comes blank, and
    formulas are not marked. Raises ``ImportRejected`` with the reason, ``MissingExtra`` where the parser is absent,
    ``PluginError`` where no process can be started.
    """
    limits = limits or Limits()
    parser = _parser_folder()
    try:
        file = path.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise rejected("not_found") from error
    except OSError as error:
        raise rejected("unreadable") from error
    with file:
        checked = preflight(file, limits)
        sheets = _parse(file, parser, checked, limits)
    if not sheets:
        raise rejected("no_sheets", part="workbook")
    return sheets


def _parser_folder() -> str:
    found = importlib.util.find_spec("python_calamine")
    if found is None or found.origin is None:
        raise MissingExtra('workbooks need python-calamine: pip install "crmcore[excel]"', plugin="crmcore_excel")
    return str(Path(found.origin).parent.parent)


def _parse(file: BinaryIO, parser: str, checked: Preflight, limits: Limits) -> list[Sheet]:
    seconds = limits.seconds + limits.seconds_per_mebibyte * checked.unpacked / 2**20
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    process = _start([parser, str(limits.memory), str(int(seconds) + 1)], file)
    late = threading.Event()

    def stop() -> None:
        late.set()
        process.kill()

    clock = threading.Timer(seconds * limits.patience, stop)
    clock.start()
    try:
        assert process.stdout is not None
        sheets = _collect(process.stdout, checked, limits)
    finally:
        clock.cancel()
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    if isinstance(sheets, list):
        return sheets
    late_or_died = "timeout" if late.is_set() or process.returncode == -_OUT_OF_TIME else "parser_died"
    reason, part = sheets or (late_or_died, None)
    if part is None and reason == "damaged":
        part = _damaged_part(file)
    raise rejected(reason, part=part or "workbook")


def _damaged_part(file: BinaryIO) -> str | None:
    """What is torn in a workbook that the parser couldn't make sense of, where that is a part of a zip."""
    try:
        with zipfile.ZipFile(file) as package:
            return damaged_part(package)
    except (zipfile.BadZipFile, OSError, ValueError):
        return None


def _start(arguments: list[str], file: BinaryIO) -> subprocess.Popen[bytes]:
    """The child, in the interpreter that :mod:`multiprocessing` would use too: an embedding program can set it."""
    interpreter = get_executable()
    if not interpreter:
        raise PluginError("no Python interpreter is known to read workbooks with", plugin="crmcore_excel")
    try:
        return subprocess.Popen(  # noqa: S603 - an interpreter and our own script
            # Isolated and without site: no start-up files, no folder of the caller's on the path.
            [os.fsdecode(interpreter), "-I", "-S", str(_CHILD), *arguments],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "RUST_BACKTRACE": "0"},
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError as error:
        message = f"the process that reads workbooks can't be started: {error.strerror}"
        raise PluginError(message, plugin="crmcore_excel") from error


def _collect(stream: IO[bytes], checked: Preflight, limits: Limits) -> list[Sheet] | tuple[str, str | None] | None:
    """The sheets that the child sent, or why it failed and where; None where it went silent before its end."""
    sheets: list[Sheet] = []
    head: tuple[int, str, bool, int] | None = None
    rows: list[tuple[Cell, ...]] = []
    for kind, *content in _messages(stream, limits.result):
        if kind == "rows":
            rows += content[0]
            continue
        if head is not None:
            sheets.append(_sheet(head, rows, checked))
            head, rows = None, []
        if kind == "sheet":
            head = (content[0], content[1], content[2], content[3])
        elif kind == "failed":
            return content[0], content[1]
        else:
            return sheets
    return None


def _sheet(head: tuple[int, str, bool, int], rows: list[tuple[Cell, ...]], checked: Preflight) -> Sheet:
    position, name, hidden, first_row = head
    marks = checked.marks.get(name) or checked.marks.get(position) or _NO_MARKS
    for (row, column), code in marks.errors.items():
        index = row - first_row
        if index < 0:
            rows[:0] = [()] * -index
            first_row, index = row, 0
        rows += [()] * (index + 1 - len(rows))
        cells = list(rows[index])
        cells += [None] * (column - len(cells))
        if cells[column - 1] is None:
            cells[column - 1] = CellError(code)
            rows[index] = tuple(cells)
    while rows and not rows[-1]:
        rows.pop()
    return Sheet(
        name=name,
        rows=rows,
        hidden=hidden,
        first_row=first_row,
        formulas=marks.formulas,
        from_1904=marks.from_1904,
    )


def _messages(stream: IO[bytes], limit: int) -> Iterator[tuple[Any, ...]]:
    received = 0
    while len(size := stream.read(4)) == 4:
        length = int.from_bytes(size, "big")
        received += length
        if received > limit:
            raise rejected("too_large")
        frame = stream.read(length)
        if len(frame) < length:
            return
        try:
            message = _PlainUnpickler(BytesIO(frame)).load()
        except Exception as error:  # A broken pickle raises almost anything.
            raise rejected("parser_died") from error
        yield message


class _PlainUnpickler(pickle.Unpickler):
    """Takes plain values and dates, nothing that could run."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "datetime" and name in _PLAIN_TYPES:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is no cell value")
