"""Encryption doesn't break the storage contract: the kit's clauses over sealed rows, in memory and in SQLite."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

pytest.importorskip("cryptography", reason="encryption needs crmcore[crypto]")

from sealed_kit import NarrowStore, SealedMemoryBackend, SealedSqliteBackend, encrypted, wide

from crmcore.storage import StoreURL
from crmcore.storage.memory import MemoryData, MemoryStore
from crmcore.testing import SCHEMA, Harness, StoreContract, expected_failure


class SealedContract(StoreContract):
    """All clauses but one."""

    @expected_failure(
        "S-VALUE-03", "a text is longer when it is sealed: the longest don't fit, and are told to be too long"
    )
    def test_the_longest_texts_come_back(self, harness: Harness) -> None: ...


class TestSealedMemory(SealedContract):
    @pytest.fixture
    def harness(self) -> Harness:
        data = MemoryData(wide(SCHEMA))

        def opened(wait_seconds: float = 5.0) -> NarrowStore:
            return NarrowStore(encrypted(MemoryStore(data, wait_seconds=wait_seconds)), SCHEMA)

        return Harness(
            backend=SealedMemoryBackend(), open=opened, impatient=lambda: opened(0.05), many=2_000, examples=8
        )


class TestSealedSqlite(SealedContract):
    @expected_failure(
        "S-CLEAN-02", "the clause first looks for what it wrote in the files, and encrypted it is not there"
    )
    def test_nothing_is_left_in_the_files(self, harness: Harness) -> None: ...

    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        url = f"sqlite:///{quote(str(tmp_path))}/kit.db"
        backend = SealedSqliteBackend()
        impatient = StoreURL.parse(f"{url}?wait=0.05")
        return Harness(
            backend=backend,
            url=url,
            impatient=lambda: backend.open(impatient, SCHEMA),
            many=2_000,
            crashes=1,
            examples=4,
            steps=10,
        )
