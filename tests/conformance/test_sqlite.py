"""The SQLite store keeps the storage contract."""

from pathlib import Path
from urllib.parse import quote

import pytest

from crmcore.storage import StoreURL
from crmcore.testing import SCHEMA, Harness, StoreContract

pytest.importorskip("sqlalchemy", reason="the SQLite store needs crmcore[sqlite]")
crmcore_sqlite = pytest.importorskip("crmcore_sqlite")


class TestSqlite(StoreContract):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        url = f"sqlite:///{quote(str(tmp_path))}/kit.db"
        backend = crmcore_sqlite.SqliteBackend()
        impatient = StoreURL.parse(f"{url}?wait=0.05")
        return Harness(backend=backend, url=url, impatient=lambda: backend.open(impatient, SCHEMA))
