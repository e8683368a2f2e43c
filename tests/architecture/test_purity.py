"""Rules, values and metrics do no input or output and never ask for the time: seen in their source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "crmcore"
FORBIDDEN_CALLS = {"open", "print", "input", "breakpoint"}
FORBIDDEN_ATTRIBUTES = {"now", "today", "utcnow", "environ", "getenv"}
PURE = sorted(path for package in ("domain", "rules", "metrics") for path in (SOURCE / package).rglob("*.py"))


def offences(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id in FORBIDDEN_CALLS:
                found.append(f"line {node.lineno}: {called.id}()")
            if isinstance(called, ast.Attribute) and called.attr in FORBIDDEN_ATTRIBUTES:
                found.append(f"line {node.lineno}: .{called.attr}()")
    return found


@pytest.mark.parametrize("path", PURE, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_pure_code_stays_pure(path):
    assert offences(ast.parse(path.read_text("utf-8"))) == []


def test_an_offence_is_seen():
    assert offences(ast.parse("from datetime import datetime\nopen('x')\ndatetime.now()")) != []
