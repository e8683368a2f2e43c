"""What the kit's child processes do. Each is a fresh interpreter that opens the store for itself, by its URL."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any, cast

from crmcore.storage import Backend, Insert, Store, StoreURL, Update
from crmcore.testing.kit_schema import GROUP, SCHEMA, changed, group_row, order_of, version_of

PATIENCE = 60.0  #: seconds that a child may take
DIED = 7  #: how a child ends that is to die


def add_one(store: Store, id: str = "counter") -> int:
    """Draws the next number from a counter row, in a transaction of its own."""
    with store.transaction(write=True) as work:
        row = work.get(GROUP.name, id)
        if row is None:
            raise LookupError(id)
        number = order_of(row) + 1
        work.apply([Update(GROUP.name, changed(GROUP, row, order=number), version_of(row))])
        return number


def count_up(store: Store, name: str, times: int) -> None:
    """Draws numbers, and keeps each in a row of its own."""
    for time in range(times):
        number = add_one(store)
        with store.transaction(write=True) as work:
            work.apply([Insert(GROUP.name, group_row(f"{name} {time}", order=number))])


def die_writing(store: Store) -> None:
    """Commits one row, applies another, and dies inside that transaction without a word."""
    with store.transaction(write=True) as work:
        work.apply([Insert(GROUP.name, group_row("committed"))])
    with store.transaction(write=True) as work:
        work.apply([Insert(GROUP.name, group_row("half done"))])
        os._exit(DIED)


def main(job: str) -> None:
    """In the child: opens the store and does the work that :func:`run_children` ordered."""
    ordered = json.loads(job)
    sys.path[:] = ordered["path"]
    backend: Any = importlib.import_module(ordered["module"])
    for name in ordered["backend"].split("."):
        backend = getattr(backend, name)
    with closing(cast(type[Backend], backend)().open(StoreURL.parse(ordered["url"]), SCHEMA)) as store:
        globals()[ordered["work"]](store, *ordered["arguments"])


def run_children(
    backend: Backend, url: str, work: Callable[..., None], *arguments: tuple[str | int, ...], expected: int = 0
) -> None:
    """Runs one child per tuple of arguments, all at once; every one must end with the expected exit code.

    The backend must be importable: a class of a module, not of a script or of a function.
    """
    order = {"path": sys.path, "module": type(backend).__module__, "backend": type(backend).__qualname__, "url": url}
    command = [sys.executable, "-c", "import sys; from crmcore.testing import processes; processes.main(sys.argv[1])"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    children = [
        subprocess.Popen(  # noqa: S603 - our own interpreter, our own words
            [*command, json.dumps({**order, "work": work.__name__, "arguments": each})],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for each in arguments
    ]
    try:
        told = [child.communicate(timeout=PATIENCE)[1] for child in children]
    finally:
        for child in children:
            child.kill()
            child.communicate()
    codes = [child.returncode for child in children]
    assert codes == [expected] * len(children), f"child processes ended with {codes}:\n{''.join(told)}"
