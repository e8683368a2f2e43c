"""A store of one file keeps the storage contract, with everything in it that a store may leave out."""

from pathlib import Path

import pytest
from file_store import FileBackend, play_person

from crmcore.storage import StoreURL
from crmcore.testing import SCHEMA, Harness, StoreContract


def harness_at(folder: Path, backend: FileBackend | None = None) -> Harness:
    backend = backend or FileBackend()
    path = f"{folder}/kit.data"
    url = f"kitfile:///{path}"
    return Harness(
        backend=backend,
        url=url,
        impatient=lambda: backend.open(StoreURL.parse(f"{url}?wait=0.05"), SCHEMA),
        edit=lambda edits: play_person(path, edits),
        examples=4,
        steps=8,
    )


class TestFile(StoreContract):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        return harness_at(tmp_path)
