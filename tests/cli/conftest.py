"""Running the command: in this process where only its answer counts, in a process of its own where the streams do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import crmcore
from crmcore.cli.program import run

_VARIABLES = (
    "CRMCORE_STORE",
    "CRMCORE_USER",
    "CRMCORE_KEYS",
    "LC_ALL",
    "LC_MESSAGES",
    "FORCE_COLOR",
    "NO_COLOR",
    "TTY_COMPATIBLE",
)


class Outcome(NamedTuple):
    """What a run came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Stdout as one JSON document."""
        return json.loads(self.out)


Command = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """English, a user, no store from outside, and a folder of the test's own."""
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("CRMCORE_USER", "sales.east")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs the command in this process."""

    def call(*arguments: str) -> Outcome:
        capfd.readouterr()
        code = run(arguments)
        out, err = capfd.readouterr()
        return Outcome(code, out, err)

    return call


@pytest.fixture
def process() -> Command:
    """Runs the command in a process of its own, as a shell would."""

    def call(*arguments: str, **environment: str) -> Outcome:
        found = subprocess.run(
            [sys.executable, "-m", "crmcore.cli", *arguments],
            capture_output=True,
            encoding="utf-8",
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
        return Outcome(found.returncode, found.stdout, found.stderr)

    return call


@pytest.fixture
def store(tmp_path: Path) -> Iterator[str]:
    """A store in a file, with two customers and two opportunities."""
    url = f"sqlite:///{(tmp_path / 'crm.db').as_posix()}"
    with crmcore.open(url, "standard") as crm:
        me = crm.acting_as("sales.east")
        north = me.customers.register(
            name="北方机械有限公司",
            stage="interested",
            first_contact_on=date(2026, 1, 2),
            contacts=[{"name": "王磊", "phone": "13800138000"}],
        )
        me.customers.register(name="South Trading Ltd", owner="chen", first_contact_on=date(2020, 1, 1))
        me.opportunities.open(
            name="数控机床", customer=north, reference="D-1", expected_amount=crmcore.Money.of(120000)
        )
        me.opportunities.open(name="Spare parts")
    yield url
