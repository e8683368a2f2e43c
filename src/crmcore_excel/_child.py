"""The process that a workbook is parsed in. Run as a script in a bare interpreter; imports nothing of this project.

Arguments: the folder of the parser, bytes of address space, seconds of processor time. The workbook comes on standard
input; pickled tuples of plain values go to standard output, each after its length in four bytes.
"""

from __future__ import annotations

import datetime
import itertools
import pickle
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # Every import is paid for with each workbook.
    from typing import Any

BATCH = 4096


def limit_resources(memory: int, seconds: int) -> None:
    """Lower the limits of this process, where the system has them; the parent watches the clock in any case."""
    if sys.platform == "win32":
        return
    import resource

    wanted = {"RLIMIT_CORE": 0, "RLIMIT_CPU": seconds, "RLIMIT_AS": memory}
    if sys.platform == "darwin":  # it has the limit of address space and refuses to set it
        del wanted["RLIMIT_AS"]
    for name, value in wanted.items():
        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        # At the soft limit a signal says why it ended; at the hard one the process is just killed.
        later = name == "RLIMIT_CPU" and (hard == resource.RLIM_INFINITY or allowed < hard)
        resource.setrlimit(kind, (allowed, allowed + later))


def send(*message: object) -> None:
    """One message to the parent."""
    frame = pickle.dumps(message, protocol=5)
    sys.stdout.buffer.write(len(frame).to_bytes(4, "big") + frame)


def clock_text(value: datetime.timedelta) -> str:
    """A length of time as the sheet shows it: hours beyond 24 too."""
    seconds = round(value.total_seconds())
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def plain(row: list[object]) -> tuple[object, ...]:
    """The cells of a row up to its last filled one."""
    cells = [None if cell == "" else cell for cell in row]
    while cells and cells[-1] is None:
        cells.pop()
    if datetime.timedelta in map(type, cells):
        cells = [clock_text(cell) if type(cell) is datetime.timedelta else cell for cell in cells]
    return tuple(cells)


def send_sheet(calamine: Any, workbook: Any, position: int, about: Any) -> None:
    """A sheet's head, its rows in batches."""
    sheet = workbook.get_sheet_by_index(position)
    start = sheet.start
    hidden = about.visible != calamine.SheetVisibleEnum.Visible
    send("sheet", position, about.name, hidden, start[0] + 1 if start else 1)
    if start is None:
        return
    skipped = (None,) * start[1]
    batch = []
    # The parser counts blank rows above the first filled cell, but not blank columns before it.
    for row in itertools.islice(sheet.iter_rows(), start[0], None):
        cells = plain(row)
        batch.append(skipped + cells if cells else ())
        if len(batch) == BATCH:
            send("rows", batch)
            batch = []
    send("rows", batch)


def main() -> None:
    """Parse the workbook on standard input."""
    folder, memory, seconds = sys.argv[1:]
    limit_resources(int(memory), int(seconds))
    sys.path.append(folder)
    import python_calamine as calamine

    name = None
    try:
        workbook = calamine.CalamineWorkbook.from_filelike(sys.stdin.buffer)
        for position, about in enumerate(workbook.sheets_metadata):
            name = about.name
            if about.typ == calamine.SheetTypeEnum.WorkSheet:
                send_sheet(calamine, workbook, position, about)
        send("end")
    except calamine.PasswordError:
        send("failed", "encrypted", None)
    except MemoryError:
        send("failed", "parser_died", name)
    except BaseException:  # A panic of the parser is no Exception. Whatever it says may quote the file.
        send("failed", "damaged", name)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
