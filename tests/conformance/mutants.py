"""Mutants: seeded defects of the memory store, each registered with the clauses that must catch it."""

import functools
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from file_store import FileBackend, play_person
from hypothesis import Phase, settings

from crmcore.storage.memory import MemoryBackend, MemoryData, MemoryStore
from crmcore.testing import Harness

Patch = pytest.MonkeyPatch
Seed = Callable[[Patch], "Callable[[], Harness] | None"]

MUTANTS: list[tuple[Seed, tuple[str, ...]]] = []


class PlainHarness(Harness):
    """The same cases every time, and no search for the smallest: it is enough that a mutant fails."""

    def settings(self) -> settings:
        return settings(super().settings(), phases=[Phase.generate], derandomize=True, database=None)


def harness_of(data: MemoryData, backend: MemoryBackend | None = None, examples: int = 200) -> Harness:
    return PlainHarness(
        backend=backend or MemoryBackend(),
        open=lambda: MemoryStore(data),
        impatient=lambda: MemoryStore(data, wait_seconds=0.05),
        examples=examples,
        many=3_000,
    )


def caught_by(*ids: str) -> Callable[[Seed], Seed]:
    def register(seed: Seed) -> Seed:
        MUTANTS.append((seed, tuple(f"S-{id}" for id in ids)))
        return seed

    return register


def wrap(patch: Patch, owner: Any, name: str, around: Callable[..., Any]) -> None:
    """Puts ``around(original, ...)`` in the place of a function."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        return around(original, *arguments, **options)

    patch.setattr(owner, name, wrapped)


#: Folders for stores of one file; they go with this process.
_FOLDERS: list[TemporaryDirectory[str]] = []


def file_harness(backend: FileBackend) -> Callable[[], Harness]:
    """A store of one file with a defect, in a new folder each time. A class, since child processes need it too."""

    def make() -> Harness:
        folder = TemporaryDirectory(ignore_cleanup_errors=True)
        _FOLDERS.append(folder)
        path = f"{folder.name}/kit.data"
        return PlainHarness(
            backend=backend,
            url=f"kitfile:///{path}",
            edit=lambda edits: play_person(path, edits),
            examples=20,
            crashes=24,
        )

    return make
