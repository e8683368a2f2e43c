"""The workbook store keeps the storage contract."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import openpyxl
import pytest

from crmcore.storage import StoreURL
from crmcore.testing import SCHEMA, Harness, StoreContract
from crmcore.testing.edit_plan import PersonsEdit
from crmcore_excel import ExcelBackend


def edit(path: Path, edits: Sequence[PersonsEdit]) -> None:
    """What a person does in another program: finds rows and columns by what they read there, and saves."""
    book = openpyxl.load_workbook(path)
    for each in edits:
        sheet = book[each.collection]
        columns = {cell.value: cell.column for cell in sheet[1]}
        ids = {sheet.cell(row, columns["id"]).value: row for row in range(2, sheet.max_row + 1)}
        if each.kind == "removed":
            sheet.delete_rows(ids[each.id])
            continue
        row = ids[each.id] if each.id else max((row for id, row in ids.items() if id), default=1) + 1
        for name, value in each.values.items():
            sheet.cell(row, columns[name]).value = value
    book.save(path)


class TestExcel(StoreContract):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        path = tmp_path / "客户.xlsx"
        url = f"excel:///{quote(str(path))}"
        backend = ExcelBackend()
        impatient = StoreURL.parse(f"{url}?wait=0.05")
        return Harness(
            backend=backend,
            url=url,
            impatient=lambda: backend.open(impatient, SCHEMA),
            edit=lambda edits: edit(path, edits),
            examples=5,
        )
