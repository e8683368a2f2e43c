"""The scripts that kill, fail and crowd a store run, find nothing wrong, and would find what is wrong."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "benchmarks/reliability"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
pytest.importorskip("sqlalchemy", reason="the SQLite store needs crmcore[sqlite]")


@pytest.fixture(autouse=True)
def on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)


def run(script: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, SCRIPTS / script, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert "VIOLATION" not in done.stdout
    return done.stdout


def test_killed_writers_leave_a_sound_store(tmp_path: Path) -> None:
    told = run("sqlite_kills.py", "--kills", 12, "--no-boundaries", "--directory", tmp_path, "--seed", 1)
    assert " 12  kills\n" in told
    assert not any(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="strace is for Linux")
def test_a_call_is_stopped_at_its_system_calls(tmp_path: Path) -> None:
    chosen = "register", "fdatasync", "kill"
    told = run("sqlite_kills.py", "--kills", 0, "--directory", tmp_path, "--only", *chosen)
    points = re.search(r": (\d+) points", told)
    assert "strace" in told or (points and int(points[1]) > 1)


def test_registrations_from_several_processes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/crm.db?wait=60"
    assert " 0  violations" in run("registrations.py", "--url", url, "--processes", 3, "--each", 20, "--seed", 4)


def test_edits_from_several_processes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/crm.db?wait=60"
    assert " 0  violations" in run("edits.py", "--url", url, "--processes", 3, "--each", 30, "--records", 2)


def test_what_is_there_after_so_many_steps_is_what_was_said(tmp_path: Path) -> None:
    import soundness
    import steps

    with soundness.open_crm(f"sqlite:///{tmp_path}/crm.db") as crm:
        for step in range(2 * steps.CYCLE + 1):
            assert soundness.seen(crm) == steps.after("a", step)
            steps.take_step(crm.acting_as("a"), "a", step, tmp_path)
        assert soundness.violations(crm) == []


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM events WHERE rowid = 1",
        "DELETE FROM events WHERE action = 'follow_up.logged'",
        "DELETE FROM obligations WHERE rowid = 1",
        "DELETE FROM customers WHERE rowid = 1",
        "DELETE FROM follow_ups",
        "UPDATE customers SET remarks = 'other' WHERE rowid = 1",
        "UPDATE number_series SET last = last + 1",
        "DELETE FROM number_series",
        "UPDATE imported_rows SET record_id = 'none' WHERE rowid = 1",
    ],
)
def test_damage_is_seen(tmp_path: Path, damage: str) -> None:
    import soundness
    import steps

    path = tmp_path / "crm.db"
    steps.warm(f"sqlite:///{path}", tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        changed = connection.execute(damage).rowcount
        connection.commit()
    assert changed > 0
    with soundness.open_crm(f"sqlite:///{path}") as crm:
        assert soundness.violations(crm)
        assert soundness.seen(crm) == steps.after("warm", steps.CYCLE) or "customers" in damage or "follow" in damage


def test_a_journal_that_was_synced_is_litter_and_one_that_was_not_is_none(tmp_path: Path) -> None:
    import soundness

    path = tmp_path / "crm.db"
    for name, first, left in (
        ("crm.db-journal", b"", False),
        ("crm.db-journal", b"\0\0", False),
        ("crm.db-journal", b"\xd9\xd5", True),
        ("crm.db-wal", b"", True),
        ("other.db-wal", b"1", False),
    ):
        (tmp_path / name).write_bytes(first)
        assert soundness.litter(path) == ([name] if left else [])
        (tmp_path / name).unlink()


@pytest.mark.parametrize("keyed", [(), ("--keyed",)])
def test_tamperings_are_found_and_placed(keyed: tuple[str, ...]) -> None:
    told = run("tampering.py", "--tamperings", 22, "--customers", 5, "--seed", 7, *keyed)
    assert "22  tamperings, 0 violations" in told


def test_a_violation_ends_a_script_with_1() -> None:
    import crowd

    import crmcore

    with crmcore.open("memory:") as crm:
        assert crowd.conclude(crm, ["something"]) == 1
        assert crowd.conclude(crm, []) == 0
