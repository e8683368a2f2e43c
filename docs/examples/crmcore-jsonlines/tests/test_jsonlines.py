"""The store of JSON lines keeps the storage contract."""

from datetime import date
from pathlib import Path
from urllib.parse import quote

import pytest
from crmcore_jsonlines import JsonLinesBackend

import crmcore
from crmcore.errors import SchemaMismatch, StoreCorrupt, StoreUnavailable
from crmcore.storage import StoreURL
from crmcore.testing import SCHEMA, Harness, StoreContract


class TestJsonLines(StoreContract):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        url = f"jsonl:///{quote(str(tmp_path))}/kit.jsonl"
        backend = JsonLinesBackend()
        impatient = StoreURL.parse(f"{url}?wait=0.05")
        return Harness(backend=backend, url=url, impatient=lambda: backend.open(impatient, SCHEMA))


def test_a_damaged_file_is_told_from_another_programs(tmp_path: Path) -> None:
    path = tmp_path / "kit.jsonl"
    url = StoreURL.parse(f"jsonl:///{quote(str(path))}")
    JsonLinesBackend().open(url, SCHEMA).close()
    whole = path.read_bytes()
    for text, error in (
        (b"", SchemaMismatch),
        (b"SQLite format 3\0", SchemaMismatch),
        (whole[:-3], StoreCorrupt),
        (whole + b'["group", "a", 1, 2, "\xff"]\n', StoreCorrupt),
        (whole + b'["group", "a", 1, 2, null]\n', StoreCorrupt),
    ):
        path.write_bytes(text)
        with pytest.raises(error):
            JsonLinesBackend().open(url, SCHEMA)
        assert path.read_bytes() == text


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        JsonLinesBackend().open(StoreURL.parse(f"jsonl:///{quote(str(tmp_path))}/absent/kit.jsonl"), SCHEMA)
    assert not any(tmp_path.iterdir())


def test_a_crm_is_kept_in_it(tmp_path: Path) -> None:
    url = f"jsonl:///{quote(str(tmp_path))}/crm.jsonl"
    with crmcore.open(url, playbook="marketing") as crm:
        me = crm.acting_as("sales.east")
        acme = me.customers.register(name="示例科技有限公司", tier="A")
        me.follow_ups.log(acme, method="phone", summary="介绍产品", next_step="报价", next_on=date(2100, 1, 31))
    with crmcore.open(url, playbook="marketing") as crm:
        again = crm.acting_as("sales.west")
        assert again.customers.get(acme.number).name == "示例科技有限公司"
        assert len(again.obligations.due(until=date(2100, 2, 1))) == 2
