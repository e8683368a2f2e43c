"""What the kit's child processes do. Each is a fresh interpreter that opens the store for itself, by its URL."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from operator import attrgetter
from typing import Any

from crmcore.storage import Backend, Insert, IsNull, Query, Row, Store, StoreURL, Update
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
    for turn in range(times):
        number = add_one(store)
        with store.transaction(write=True) as work:
            work.apply([Insert(GROUP.name, group_row(f"{name} {turn}", order=number))])


def die_writing(store: Store) -> None:
    """Commits one row, applies another, and dies inside that transaction without a word."""
    with store.transaction(write=True) as work:
        work.apply([Insert(GROUP.name, group_row("committed"))])
    with store.transaction(write=True) as work:
        work.apply([Insert(GROUP.name, group_row("half done"))])
        os._exit(DIED)


def die_changing(store: Store) -> None:
    """Changes every row in one transaction, and dies inside it without a word."""
    with store.transaction(write=True) as work:
        for name, collection in SCHEMA.collections.items():
            rows = list(work.scan(name))
            work.apply(Update(name, changed(collection, row), version_of(row)) for row in rows)
        os._exit(DIED)


def claim_some(store: Store, name: str) -> list[Row]:
    """Claims waiting rows, few at a time, until there are none; gives them as they are now."""

    def take(row: Row) -> Row:
        time.sleep(0.001)  # lets another in, where one can get in
        return changed(GROUP, row, select=name)

    claimed: list[Row] = []
    while found := store.claim(Query(GROUP.name, IsNull("select"), ("order",), None, 3), take):
        claimed += found
    return claimed


def claim_all(store: Store, name: str, *names: str) -> None:
    """Claims all that wait, as soon as the others are there too, and keeps each claim in a row of its own."""
    add_row(store, group_row(f"here {name}", select=name))
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with store.transaction() as work:
            if len(work.get_many(GROUP.name, [f"here {other}" for other in names])) == len(names):
                break
        time.sleep(0.001)
    claimed = claim_some(store, name)
    with store.transaction(write=True) as work:
        work.apply(
            Insert(GROUP.name, group_row(f"claim {name} {row[0]}", order=order_of(row), select=name)) for row in claimed
        )


def add_row(store: Store, row: Row) -> None:
    """Inserts a row of the small collection, in a transaction of its own."""
    with store.transaction(write=True) as work:
        work.apply([Insert(GROUP.name, row)])


def main(job: str) -> None:
    """In the child: does the work that :func:`run_children` ordered."""
    ordered = json.loads(job)
    sys.path[:] = ordered["path"]
    backend: Backend = found(ordered["backend"])()
    work, url = found(ordered["work"]), StoreURL.parse(ordered["url"])
    if ordered["opened"]:
        with closing(backend.open(url, SCHEMA)) as store:
            work(store, *ordered["arguments"])
    else:
        work(backend, url, *ordered["arguments"])


def named(thing: Any) -> str:
    """Where a class or a function is found by another process: it must be one of a module, not of a script or a function."""
    return f"{thing.__module__}:{thing.__qualname__}"


def found(name: str) -> Any:
    """What :func:`named` named."""
    module, _, path = name.partition(":")
    return attrgetter(path)(importlib.import_module(module))


def environment_of_children() -> dict[str, str]:
    """Children import what this process imports."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def run_children(
    backend: Backend,
    url: str,
    work: Callable[..., None],
    *arguments: tuple[str | int, ...],
    expected: int = 0,
    opened: bool = True,
) -> None:
    """Runs one child per tuple of arguments, all at once; every one must end with the expected exit code.

    The work is given the store, open, and its arguments; the backend and the URL instead of the store where it is not
    ``opened``. Backend and work must be importable.
    """
    order = {"path": sys.path, "backend": named(type(backend)), "url": url, "work": named(work), "opened": opened}
    command = [sys.executable, "-c", "import sys; from crmcore.testing import processes; processes.main(sys.argv[1])"]
    children = [
        subprocess.Popen(  # noqa: S603 - our own interpreter, our own words
            [*command, json.dumps({**order, "arguments": each})],
            env=environment_of_children(),
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
