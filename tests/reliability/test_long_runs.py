"""The scripts for long runs run, end with 0 where stores agree, and say how much they did."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "benchmarks/reliability"

pytest.importorskip("sqlalchemy", reason="the SQLite store needs crmcore[sqlite]")


@pytest.mark.parametrize(
    ("script", "options", "told"),
    [
        ("state_machine.py", ["--steps", "60", "--crash-every", "40"], "60 steps on 1 memory:, 2 sqlite: in "),
        ("queries.py", ["--queries", "60", "--rows", "20"], "0 disagreements\n"),
    ],
)
def test_a_long_run_made_short(script: str, options: list[str], told: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPTS / script, "memory:", "sqlite:///kit.db", "--seed", "1", *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert told in done.stdout
    assert list(tmp_path.iterdir()) == [], "the script left something behind"
