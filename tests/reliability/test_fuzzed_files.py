"""A small part of the fuzzer's inputs, and proof that it sees what it is there to see."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from crmcore.errors import Issue
from crmcore.interchange.rejections import rejected

SCRIPTS = Path(__file__).parents[2] / "benchmarks/reliability"

pytest.importorskip("python_calamine", reason="workbooks need crmcore[excel]")
pytest.importorskip("openpyxl", reason="one of the good files is made with openpyxl")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGALRM")


def test_spoilt_files_end_in_rows_or_in_a_typed_refusal(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPTS / "fuzz_files.py", "--inputs", "200", "--seed", "3"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert "200 inputs of seed 3, 0 violations\n" in done.stdout
    assert list(tmp_path.iterdir()) == []
    became = {line.split(maxsplit=1)[1] for line in done.stdout.splitlines() if line[:7].strip().isdecimal()}
    assert {"rows", "rows, some rejected", "damaged", "bad_encoding"} <= became


def importing(result: SimpleNamespace | BaseException, rows: int = 1) -> SimpleNamespace:
    def rehearse() -> SimpleNamespace:
        if isinstance(result, BaseException):
            raise result
        return result

    plan = SimpleNamespace(sheets=[SimpleNamespace(rows=rows)], rehearse=rehearse)
    return SimpleNamespace(imports=SimpleNamespace(plan=lambda path: plan))


def test_the_fuzzer_sees_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    from fuzz_files import outcome

    def counted(created: int, rejections: int, *issues: Issue) -> SimpleNamespace:
        return SimpleNamespace(created=created, updated=0, known=0, asked=0, rejected=rejections, issues=issues)

    issue = Issue(code="required", sheet="a", row=2)
    right = [counted(1, 0), counted(0, 1, issue), rejected("damaged", part="zip")]
    wrong = [counted(0, 0), counted(2, 0), counted(0, 1), KeyError("x"), RecursionError(), MemoryError()]
    assert [outcome(importing(result), Path())[1] for result in right] == [None] * 3
    assert all(outcome(importing(result), Path())[1] for result in wrong)
    assert outcome(importing(counted(0, 0), rows=0), Path())[1]
