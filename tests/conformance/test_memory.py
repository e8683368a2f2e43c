"""The memory store keeps the storage contract."""

import pytest

from crmcore.storage.memory import MemoryBackend, MemoryData, MemoryStore
from crmcore.testing import SCHEMA, Harness, StoreContract


class TestMemory(StoreContract):
    @pytest.fixture
    def harness(self) -> Harness:
        data = MemoryData(SCHEMA)
        return Harness(
            backend=MemoryBackend(),
            open=lambda: MemoryStore(data),
            impatient=lambda: MemoryStore(data, wait_seconds=0.05),
        )
