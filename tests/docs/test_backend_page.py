"""The page about writing a backend tells the example package, word for word."""

from __future__ import annotations

from markdown_pages import ROOT, blocks_of

PACKAGE = ROOT / "docs/examples/crmcore-jsonlines"
BLOCKS = blocks_of(ROOT / "docs/how-to/write-a-backend.md")


def told(name: str) -> str:
    return "\n\n".join(block.text for block in BLOCKS if name in (block.note("file"), block.note("added to")))


def test_the_pages_code_is_the_packages_code() -> None:
    assert told("crmcore_jsonlines.py") == (PACKAGE / "src/crmcore_jsonlines/__init__.py").read_text("utf-8")


def test_the_pages_test_is_the_packages_test() -> None:
    imports, _, kit = told("test_jsonlines.py").partition("\n\n\n")
    tests = (PACKAGE / "tests/test_jsonlines.py").read_text("utf-8")
    assert kit in tests
    assert set(filter(None, imports.splitlines())) <= set(tests.splitlines()) | {"from crmcore.storage import StoreURL"}


def test_the_pages_project_file_is_the_packages() -> None:
    files = [block.text for block in BLOCKS if block.language == "toml"]
    assert files == [(PACKAGE / "pyproject.toml").read_text("utf-8")]
