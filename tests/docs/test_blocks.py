"""Every block of the documentation does what its page says.

The blocks of a page run in order, in one namespace and one empty folder, Python on the morning of 30 November 2026, the
command today. A comment right above a block says what is special about it: ``file: NAME`` writes it to a file, ``added to:
NAME`` to the end of one; ``output`` is what the Python block before it prints; ``not run: REASON`` is for what makes a
virtual environment.
"""

from __future__ import annotations

import contextlib
import datetime
import doctest
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from markdown_pages import PAGES, Block, blocks_of, name_of
from postgres_server import Server, beside

import crmcore

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
SHOWN_ONLY = frozenset({"text", "mermaid"})
NEVER_RUN = frozenset({"sh", "powershell"})
POSTGRES = "docs/how-to/use-postgresql.md"  #: the page that needs a server, which the tests start for it
MORNING = datetime.datetime(2026, 11, 30, 2, 0, tzinfo=datetime.UTC)  # 10:00 in Shanghai


class Run:
    """One reading of one page, from top to bottom."""

    def __init__(self, page: Path, server: Server | None = None) -> None:
        self.server = server
        self.names: dict[str, Any] = {"__name__": page.stem}
        self.printed = ""
        self.exit_code = 0
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("CRMCORE_", "LC_", "LANG"))},
            "LC_ALL": "C.UTF-8",
            "PYTHONUTF8": "1",
            "PYTHONUNBUFFERED": "1",  # so that the two streams stand in the order in which they were written
            "COLUMNS": "80",
        }

    def take(self, block: Block) -> None:
        """Runs or checks one block."""
        if block.note("not run") is not None:
            assert block.language in NEVER_RUN, f"{block}: only shell commands may be left out"
            assert "venv" in block.text and block.note("not run"), f"{block}: only a virtual environment is a reason"
        elif block.note("file"):
            Path(block.note("file") or "").write_text(block.text, "utf-8")
        elif block.note("added to"):
            with Path(block.note("added to") or "").open("a", encoding="utf-8") as file:
                file.write(f"\n\n{block.text}")
        elif block.note("output") is not None:
            self._compare(block, block.text, self.printed)
        elif block.language == "python":
            self._python(block)
        elif block.language == "console":
            self._console(block)
        elif block.language == "sql":
            self._sql(block)
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "json":
            json.loads(block.text)
        else:
            assert block.language in SHOWN_ONLY, f"{block}: nobody checks a block of {block.language or 'no language'}"

    def _python(self, block: Block) -> None:
        if ">>> " in block.text:
            self._session(block)
            return
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block.text, str(block), "exec"), self.names)
        self.printed = printed.getvalue()

    def _session(self, block: Block) -> None:
        examples = doctest.DocTestParser().get_examples(block.text, str(block))
        session = doctest.DocTest(examples, self.names, str(block), str(block), block.line - 1, block.text)
        session.globs = self.names  # its own copy would hide what this block defines from the next
        told: list[str] = []
        failed = doctest.DocTestRunner(optionflags=FLAGS).run(session, out=told.append, clear_globs=False).failed
        assert not failed, "".join(told)

    def _console(self, block: Block) -> None:
        commands: list[tuple[str, list[str]]] = []
        for line in block.text.splitlines():
            if line.startswith("$ "):
                commands.append((line[2:], []))
            else:
                assert commands, f"{block}: begins with a command"
                commands[-1][1].append(line)
        for command, expected in commands:
            if command == "echo $?":
                printed, self.exit_code = f"{self.exit_code}\n", 0
            else:
                assert not self.exit_code, f"{block}: the command before failed, which the page doesn't say"
                printed = self._command(block, command)
            if "".join(expected).strip():
                self._compare(block, "\n".join(expected).strip("\n") + "\n", printed)
        assert not self.exit_code, f"{block}: exit code {self.exit_code}\n{printed}"

    def _command(self, block: Block, command: str) -> str:
        words = shlex.split(command)
        if self.server is not None and words[0] in ("pg_dump", "pg_restore"):
            program = [str(self.server.programs / words[0])]
        else:
            assert words[0] == "crmcore", f"{block}: {words[0]} is not run here"
            installed = shutil.which("crmcore", path=str(Path(sys.executable).parent))
            program = [installed] if installed else [sys.executable, "-m", "crmcore.cli"]
        done = subprocess.run(
            [*program, *words[1:]],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=self.environment,
            timeout=120,
            check=False,
        )
        self.exit_code = done.returncode
        return done.stdout.decode("utf-8")

    def _sql(self, block: Block) -> None:
        assert self.server is not None, f"{block}: there is a server for {POSTGRES} only"
        with beside(self.server.url().replace("/crm?", f"/{block.note('database') or 'crm'}?")) as connection:
            for statement in filter(str.strip, block.text.split(";\n")):
                connection.execute(statement.encode())

    def _compare(self, block: Block, expected: str, printed: str) -> None:
        checker = doctest.OutputChecker()
        example = doctest.Example("", expected)
        assert checker.check_output(expected, printed, FLAGS), (
            f"{block}\n{checker.output_difference(example, printed, FLAGS)}"
        )

    def close(self) -> None:
        for value in self.names.values():
            if isinstance(value, crmcore.CRM):
                value.store.close()  # nothing when the page closed it


@pytest.mark.parametrize("page", [page for page in PAGES if blocks_of(page)], ids=name_of)
def test_every_block_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # as at a Python prompt
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setitem(crmcore.open.__kwdefaults__, "clock", lambda: MORNING)
    loaded = set(sys.modules)
    server = None
    if name_of(page) == POSTGRES:
        server = Server()
        monkeypatch.setenv("PGHOST", str(server.folder))
    run = Run(page, server)
    try:
        for block in blocks_of(page):
            run.take(block)
    finally:
        run.close()
        if server is not None:
            server.remove()
        for name in set(sys.modules) - loaded:
            if tmp_path in Path(getattr(sys.modules[name], "__file__", None) or "/").parents:
                del sys.modules[name]


def test_a_wrong_block_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    wrong = [
        Block(tmp_path, 1, "python", ">>> 1 + 1\n3\n", ()),
        Block(tmp_path, 1, "python", "raise ValueError\n", ()),
        Block(tmp_path, 1, "text", "3\n", ("output",)),
        Block(tmp_path, 1, "console", "$ crmcore --version\nno version\n", ()),
        Block(tmp_path, 1, "console", "$ crmcore list\n", ()),
        Block(tmp_path, 1, "console", "$ rm -r .\n", ()),
        Block(tmp_path, 1, "sql", "SELECT 1;\n", ()),
        Block(tmp_path, 1, "toml", "key = ", ()),
        Block(tmp_path, 1, "sh", "ls\n", ()),
        Block(tmp_path, 1, "sh", "ls\n", ("not run: tired",)),
        Block(tmp_path, 1, "python", "1\n", ("not run: venv",)),
    ]
    monkeypatch.setattr(Block, "__str__", lambda block: block.language)
    for block in wrong:
        with pytest.raises((AssertionError, ValueError)):
            Run(tmp_path).take(block)
