"""Crashes on purpose: every point is tried, in order, and what was acknowledged is known."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from crmcore.storage import Insert
from crmcore.testing import SCHEMA, crash_points
from crmcore.testing.crashes import Opener, can_fork, strace
from crmcore.testing.kit_schema import group_row

crmcore_sqlite = pytest.importorskip("crmcore_sqlite")
pytestmark = pytest.mark.skipif(not can_fork(), reason="processes can't be forked here")

#: Where the work that writes a file writes it; the process that dies is told so through its environment.
PLACE = "CRMCORE_TEST_PLACE"


def two_commits(opener: Opener, acknowledge: Callable[[str], None]) -> None:
    with opener(SCHEMA) as store:
        for name in ("one", "two"):
            with store.transaction(write=True) as work:
                work.apply([Insert("group", group_row(name))])
            acknowledge(name)


def write_a_file(opener: Opener, acknowledge: Callable[[str], None]) -> None:
    path = Path(os.environ[PLACE])
    with path.open("w", encoding="utf-8") as file:
        file.write("01" * 500)
    path.rename(path.with_suffix(".new"))
    acknowledge("renamed")


def fail(opener: Opener, acknowledge: Callable[[str], None]) -> None:
    raise LookupError("nothing to do with crashes")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/kit.db"


def nothing() -> None:
    """Every run goes on where the one before ended."""


def test_every_call_is_a_point(url: str, tmp_path: Path) -> None:
    def reset() -> None:
        for file in tmp_path.iterdir():
            file.unlink()

    crashes = list(crash_points(crmcore_sqlite.SqliteBackend(), url, two_commits, at="calls", reset=reset))
    calls = ["begin", "apply", "commit"] * 2
    assert [crash.moment for crash in crashes] == [
        f"{when} {call} (call {number})" for number, call in enumerate(calls, 1) for when in ("before", "after")
    ]
    assert [len(crash.acknowledged) for crash in crashes] == [0] * 6 + [1] * 6
    assert [crash.point for crash in crashes] == list(range(1, 13))
    some = crash_points(crmcore_sqlite.SqliteBackend(), url, two_commits, at="calls", reset=reset, most=3)
    assert [crash.point for crash in some] == [1, 6, 12]


def test_every_step_of_a_file_is_a_point(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "file.old"
    monkeypatch.setenv(PLACE, str(place))
    seen = {}
    for crash in crash_points(crmcore_sqlite.SqliteBackend(), url, write_a_file, at="files", reset=nothing):
        seen[crash.moment] = {file.name: file.read_text() for file in tmp_path.iterdir()}
        for file in tmp_path.iterdir():
            file.unlink()
    assert list(seen.values()) == [
        {"file.new": "01" * 500},
        {"file.old": ""},
        {"file.old": "01" * 256},
        {"file.old": "01" * 500},
    ]
    assert [moment.split()[0] for moment in seen] == ["open", "write", "half", "rename"]


@pytest.mark.skipif(strace() is None, reason="strace is not installed")
def test_every_system_call_is_a_point(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLACE, str(tmp_path / "file.old"))
    crashes = list(crash_points(crmcore_sqlite.SqliteBackend(), url, write_a_file, at="system calls", reset=nothing))
    assert [crash.moment for crash in crashes] == ["write 1", "rename 1"]
    assert not any(crash.finished for crash in crashes)


def test_work_that_fails_by_itself_is_no_crash(url: str) -> None:
    with pytest.raises(RuntimeError, match="nothing to do with crashes"):
        list(crash_points(crmcore_sqlite.SqliteBackend(), url, fail, at="calls", reset=nothing))
