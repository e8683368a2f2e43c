"""What importing the library costs and drags in, seen in a fresh process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("sqlalchemy", "psycopg", "xlsxwriter", "python_calamine", "openpyxl", "pytest", "hypothesis", "click", "rich")


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(' '.join({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_library_loads_nothing_heavy():
    loaded = loaded_by("import crmcore")
    assert {"attrs", "cattrs", "pluggy"} <= loaded | {"attrs"}
    assert not loaded & set(HEAVY)


def test_a_memory_store_needs_nothing_heavy():
    statement = "import crmcore\nwith crmcore.open('memory:') as crm: crm.acting_as('a').customers.register(name='x')"
    assert not loaded_by(statement) & set(HEAVY)


def test_only_the_kit_imports_pytest_and_hypothesis():
    root = Path(__file__).parents[2] / "src"
    guilty = [
        path
        for path in root.rglob("*.py")
        if "crmcore/testing" not in path.as_posix()
        and any(
            f"import {name}" in (text := path.read_text("utf-8")) or f"from {name}" in text
            for name in ("pytest", "hypothesis")
        )
    ]
    assert guilty == []


@pytest.mark.parametrize("package", ["crmcore", "crmcore_sqlite", "crmcore_postgres", "crmcore_excel"])
def test_every_package_says_that_it_is_typed(package):
    assert (Path(__file__).parents[2] / "src" / package / "py.typed").is_file()
