"""The workbook store keeps the storage contract."""

from pathlib import Path
from urllib.parse import quote

import pytest

from crmcore.storage import StoreURL
from crmcore.testing import SCHEMA, Harness, StoreContract
from crmcore_excel import ExcelBackend
from crmcore_excel.testing import edit


class TestExcel(StoreContract):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        url = f"excel:///{quote(str(tmp_path))}/客户.xlsx"
        backend = ExcelBackend()
        impatient = StoreURL.parse(f"{url}?wait=0.05")
        return Harness(
            backend=backend,
            url=url,
            impatient=lambda: backend.open(impatient, SCHEMA),
            edit=lambda edits: edit(f"{tmp_path}/客户.xlsx", edits),
            examples=5,
        )
