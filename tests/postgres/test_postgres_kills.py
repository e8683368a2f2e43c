"""A server that is killed under its writers: a few rounds of what benchmarks/reliability/postgres_kills.py does a hundred times."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "reliability" / "postgres_kills.py"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_a_killed_server_loses_nothing_and_leaves_nothing_half_done() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--kills", "2"], capture_output=True, text=True, check=False, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    figures = {
        words[1].strip(): words[0] for line in done.stdout.splitlines() if len(words := line.split("  ")[-2:]) == 2
    }
    assert int(figures["kills"].replace(",", "")) == 2
    assert int(figures["calls acknowledged"].replace(",", "")) > 0
    assert int(figures["messages delivered"].replace(",", "")) > 0
