"""Several processes on one store, each telling what it did in a file of its own that outlives it."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import soundness
import steps

import crmcore


def parser_for(description: str, each: int) -> argparse.ArgumentParser:
    """The options that the scripts share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="an empty store; a SQLite file in a folder of its own unless given")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--each", type=int, default=each, help="so many by each process")
    return parser


@contextmanager
def place(url: str | None) -> Iterator[tuple[str, Path]]:
    """The URL, and a folder for what the processes tell. A store that isn't empty is refused."""
    with tempfile.TemporaryDirectory(prefix="crmcore-crowd-") as made:
        folder = Path(made)
        steps.warm("memory:", folder)
        url = url or f"sqlite:///{folder}/crm.db?wait=120"
        with soundness.open_crm(url) as crm:
            if crm.acting_as("reader").customers.count():
                raise SystemExit("the store holds customers already; give an empty one")
        yield url, folder


def fork(task: Callable[[], None]) -> int:
    """A child that does the task: it ends with 0, or with 3 after telling why not."""
    child = os.fork()
    if not child:
        code = 3
        try:
            task()
            code = 0
        except BaseException as error:
            print(f"a process failed: {type(error).__name__}: {error}", flush=True)
        finally:
            os._exit(code)
    return child


def ended(child: int) -> int:
    """How a child ended, as :func:`os.waitstatus_to_exitcode` says."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Ledger:
    """A file of lines, each written with one system call: what is in it was done, whoever died since."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(self, *words: object) -> None:
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.path.read_text(encoding="utf-8").splitlines()]


def conclude(crm: crmcore.CRM, problems: list[str]) -> int:
    """Says what was wrong, and what to end with."""
    if "path" in (facts := crm.store.describe()):
        print(
            ", ".join(f"{name} {facts[name]}" for name in facts if name in ("sqlite_version", "journal", "filesystem"))
        )
    print(f"{len(problems):8,}  violations")
    for problem in problems[:20]:
        print(f"VIOLATION: {problem}")
    return 1 if problems else 0
