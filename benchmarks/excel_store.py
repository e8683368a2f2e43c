"""The workbook store beside what it can't go below: a synced append, python-calamine, XlsxWriter; and beside openpyxl.

    python benchmarks/excel_store.py [--quick] [--customers N] [--rounds R] [--directory DIR] [--json FILE]

- **Commit**: one changed row, durably; the limit appends as many bytes to a file and syncs it. Beside it openpyxl loads the same
  workbook, changes one cell and saves it, which is not even safe.
- **Open**: all customers of a store, ready to be queried; the limit is python-calamine reading every cell of the same workbook.
- **Checkpoint**: the workbook written, read back, compared, synced, copied and put in place; the limit is XlsxWriter writing
  the same cells to a file, and nothing else.
- **Carried over**: the same after a person saved the workbook with openpyxl, and with LibreOffice where that is installed; from then
  on the library changes their file. Beside it the workbook of a store that nobody saved, which is drawn anew.

Customers have 20 columns, as everywhere here. See README.md beside this file for how to read the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import xlsxwriter
from python_calamine import CalamineWorkbook

import data
import report
from crmcore.storage import Collection, Field, FieldType, Insert, Row, Schema, StoreURL, Update
from crmcore_excel import ExcelBackend, journal
from crmcore_excel.store import ExcelStore
from measure import machine
from report import Measured, Round

OURS = "crmcore"
GOALS = {"commit": 2.0, "open": 2.0, "checkpoint": 1.5, "carried over": 2.0}
NAMES: dict[str, FieldType] = {"text": "text", "integer": "integer", "instant": "instant", "day": "date"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

CUSTOMERS = Collection(
    name="customers",
    fields=tuple(
        Field(name, NAMES[kind.rstrip("?")], nullable=kind.endswith("?")) for name, kind in data.CUSTOMER.kinds.items()
    ),
    unique=data.CUSTOMER.unique,
)
SCHEMA = Schema.of(1, [CUSTOMERS])


def value(kind: str, given: Any) -> Any:
    """A value as the library takes it."""
    if given is None:
        return None
    if kind.startswith("instant"):
        return EPOCH + timedelta(milliseconds=given)
    return date.fromisoformat(given) if kind.startswith("day") else given


def customer(index: int, version: int = 1) -> Row:
    """Customer ``index`` at a version."""
    row = [value(kind, given) for kind, given in zip(data.CUSTOMER.kinds.values(), data.family(index)[0], strict=True)]
    row[1] = version
    row[-1] = f"version {version}"
    return tuple(row)


def open_store(path: Path) -> ExcelStore:
    """The store at that path, whose workbook is written only when asked."""
    store = ExcelBackend().open(StoreURL.parse(f"excel:///{path}?checkpoint=manual"), SCHEMA)
    assert isinstance(store, ExcelStore)
    return store


@contextmanager
def clocked(into: list[Round], times: int = 1) -> Iterator[None]:
    """Adds what the block takes, per operation."""
    cpu, wall = time.process_time(), time.perf_counter()
    yield
    into.append(Round((time.perf_counter() - wall) / times, (time.process_time() - cpu) / times))


def commits(path: Path, customers: int, rounds: int, times: int) -> Measured:
    """One changed row after the other, beside appending the same bytes."""
    measured: Measured = {OURS: [], "append and sync": []}
    version = 1
    with open_store(path) as store, path.with_name("appended").open("ab", buffering=0) as file:
        for _ in range(rounds):
            ids = [index * 7 % customers for index in range(times)]
            version += 1
            changed = [customer(index, version) for index in ids]
            before = store.describe()["journal_bytes"]
            with clocked(measured[OURS], times):
                for row in changed:
                    with store.transaction(write=True) as work:
                        work.apply([Update("customers", row, version - 1)])
            written = (int(str(store.describe()["journal_bytes"])) - int(str(before))) // times
            assert written > 300
            block = b"x" * written
            with clocked(measured["append and sync"], times):
                for _ in range(times):
                    file.write(block)
                    journal._synchronise(file.fileno())
            store.checkpoint()
    path.with_name("appended").unlink()
    return measured


def openings(path: Path, customers: int, rounds: int) -> Measured:
    """A store opened, beside its workbook's cells being read."""
    measured: Measured = {OURS: [], "python-calamine": []}
    for _ in range(rounds):
        with clocked(measured[OURS]):
            store = open_store(path)
        with store.transaction() as work:
            assert work.count("customers") == customers
        store.close()
        with clocked(measured["python-calamine"]):
            book = CalamineWorkbook.from_path(str(path))
            cells = [book.get_sheet_by_name(name).to_python() for name in book.sheet_names]
        assert max(map(len, cells)) > customers
    return measured


def checkpoints(path: Path, customers: int, rounds: int) -> Measured:
    """A workbook replaced, beside the same cells being written."""
    measured: Measured = {OURS: [], "XlsxWriter": []}
    book = CalamineWorkbook.from_path(str(path))
    sheets = {name: book.get_sheet_by_name(name).to_python() for name in book.sheet_names}
    with open_store(path) as store:
        for _ in range(rounds):
            with store.transaction(write=True) as work:
                row = work.get("customers", str(customer(3)[0]))
                assert row is not None
                work.apply([Update("customers", (row[0], int(str(row[1])) + 1, *row[2:]), int(str(row[1])))])
            with clocked(measured[OURS]):
                store.checkpoint()
            with clocked(measured["XlsxWriter"]):
                write_cells(path.with_name("written.xlsx"), sheets)
    path.with_name("written.xlsx").unlink()
    return measured


def carried(path: Path, rounds: int) -> Measured:
    """A workbook replaced that a person saved, by each program, beside one that is drawn anew."""
    measured: Measured = {OURS: [], "drawn anew": []}
    stores = {"drawn anew": _copied(path, "drawn"), OURS: _copied(path, "openpyxl")}
    book = openpyxl.load_workbook(stores[OURS])
    book.create_sheet("own")["A1"] = "=1+1"
    book.save(stores[OURS])
    if (office := shutil.which("soffice")) is not None:
        measured["after LibreOffice"] = []
        stores["after LibreOffice"] = saved = _copied(path, "office")
        target = saved.with_name("office")
        command = [
            office,
            "--headless",
            "--convert-to",
            "xlsx:Calc MS Excel 2007 XML",
            "--outdir",
            str(target),
            str(saved),
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=600)
        shutil.move(target / saved.name, saved)
    for name, workbook in stores.items():
        with open_store(workbook) as store:
            assert not store.edits()
            store.checkpoint()  # which reads the person's file from outside, once
            for number in range(rounds):
                with store.transaction(write=True) as work:
                    row = work.get("customers", str(customer(number)[0]))
                    assert row is not None
                    work.apply([Update("customers", (row[0], int(str(row[1])) + 1, *row[2:]), int(str(row[1])))])
                with clocked(measured[name]):
                    store.checkpoint()
    return measured


def _copied(path: Path, name: str) -> Path:
    """A copy of a store, the workbook and the folder beside it."""
    made = path.with_name(f"{name}.xlsx")
    shutil.copy(path, made)
    shutil.copytree(path.with_name(f".{path.name}.crm"), made.with_name(f".{made.name}.crm"))
    return made


def write_cells(path: Path, sheets: dict[str, list[list[Any]]]) -> None:
    """The cells as they were read, row by row, as XlsxWriter is used for many."""
    book = xlsxwriter.Workbook(path, {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    day, moment = book.add_format({"num_format": "yyyy-mm-dd"}), book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
    for name, cells in sheets.items():
        sheet = book.add_worksheet(name[:31])
        for number, row in enumerate(cells):
            for place, cell in enumerate(row):
                if cell == "":
                    continue
                if isinstance(cell, datetime):
                    sheet.write_datetime(number, place, cell, moment)
                elif isinstance(cell, date):
                    sheet.write_datetime(number, place, datetime(cell.year, cell.month, cell.day), day)
                elif isinstance(cell, str):
                    sheet.write_string(number, place, cell)
                else:
                    sheet.write(number, place, cell)
    book.close()


def openpyxl_change(path: Path, rounds: int) -> Measured:
    """openpyxl loading, changing one cell and saving."""
    measured: Measured = {"openpyxl": []}
    copied = path.with_name("copied.xlsx")
    for _ in range(rounds):
        shutil.copy(path, copied)
        with clocked(measured["openpyxl"]):
            book = openpyxl.load_workbook(copied)
            book.worksheets[0]["C5"] = "changed"
            book.save(copied)
    copied.unlink()
    return measured


def main() -> None:
    """Runs it and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="few rows and rounds: shows that it runs, not how fast it is"
    )
    parser.add_argument("--customers", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--directory", type=Path, help="where the files are made; a disk, not a RAM disk")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    customers, rounds = (500, 3) if given.quick else (given.customers, given.rounds)
    directory = Path(tempfile.mkdtemp(dir=given.directory))
    found: dict[str, Any] = {}
    try:
        facts = machine(directory)
        print(report.preface(facts))
        path = directory / "customers.xlsx"
        with open_store(path) as store:
            with store.transaction(write=True) as work:
                work.apply(Insert("customers", customer(index)) for index in range(customers))
            store.checkpoint()
        print(f"{customers:,} customers of {len(CUSTOMERS.fields)} columns, {path.stat().st_size / 1e6:.1f} MB\n")
        operations: dict[str, Callable[[], Measured]] = {
            "open": lambda: openings(path, customers, rounds),
            "checkpoint": lambda: checkpoints(path, customers, rounds),
            "carried over": lambda: carried(path, rounds),
            "commit": lambda: commits(path, customers, rounds, min(200, customers // 10)),
        }
        for name, measure in operations.items():
            measured = measure()
            limit = next(each for each in measured if each != OURS)
            made = report.lines(measured, limit, [])
            print(
                report.table(f"{name} (goal: {GOALS[name]:g} x limit)", made, {each: each for each in measured}),
                flush=True,
            )
            found[name] = report.as_json(made, measured)
        changed = openpyxl_change(path, 1 if given.quick else 3)["openpyxl"]
        slow, quick = min(each.wall for each in changed), float(found["commit"]["lines"][0]["wall"])
        print(f"openpyxl: load, change a cell, save: {report.duration(slow)}, {slow / quick:,.0f} x a commit")
        found["openpyxl"] = [each.wall for each in changed]
    finally:
        shutil.rmtree(directory)
    if given.json:
        given.json.write_text(json.dumps({"machine": facts, "operations": found}, indent=1), "utf-8")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    main()
