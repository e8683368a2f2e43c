"""What dies: processes killed at every step, and what they leave."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from crmcore.storage import Capability, Change, Delete, Insert, Row, Scalar, Store, Update
from crmcore.testing import oracle
from crmcore.testing.clause import Contract, clause
from crmcore.testing.contract.steps import add, everything, opened
from crmcore.testing.crashes import At, Crash, Opener, can_fork, crash_points, strace
from crmcore.testing.harness import Harness
from crmcore.testing.kit_schema import GROUP, SCHEMA, group_row, keys_row, values_row

_PIECES: Final = 4
_LONG: Final = "客户 " * 3_000


def piece(number: int) -> list[list[Change]]:
    """The batches of a piece of work: a record, the message about it, a counter; one record changes and one goes."""
    counter = group_row("counter", number + 1, order=number)
    batches: list[list[Change]] = [
        [
            Insert("keys", keys_row(f"{number}", number=f"{number}", scope="x", serial=number)),
            Insert("values", values_row(f"{number}", text=_LONG, integer=number)),
            Update("group", counter, number) if number else Insert("group", counter),
        ],
        [Insert("group", group_row(f"about {number}", order=number))],
    ]
    if number:
        batches[1].append(Update("values", values_row(f"{number - 1}", 2, text=_LONG[:-number]), 1))
        batches[1].append(Delete("keys", f"{number - 1}", 1))
    return batches


def states() -> list[dict[str, dict[Scalar, Row]]]:
    """What is kept before the first piece, and after each."""
    model = oracle.Model(SCHEMA)
    found = [_held(model)]
    for number in range(_PIECES):
        for batch in piece(number):
            assert model.attempt(batch) is None
        found.append(_held(model))
    return found


def _held(model: oracle.Model) -> dict[str, dict[Scalar, Row]]:
    return {name: {row[0]: row for row in rows.values()} for name, rows in model.tables.items()}


def work_until_killed(opener: Opener, acknowledge: Callable[[str], None]) -> None:
    """In a child: piece after piece, each acknowledged once it is kept."""
    with opener(SCHEMA) as store:
        for number in range(_PIECES):
            with store.transaction(write=True) as work:
                for batch in piece(number):
                    work.apply(batch)
            acknowledge(str(number))


def _crashes(harness: Harness, at: At, reset: Callable[[], None]) -> list[Crash]:
    """Kills the work at as many points as the harness asks for, and looks at what is left each time."""
    if not can_fork():
        pytest.skip("S-CRASH needs processes that can be forked, which this system does not offer")
    expected, killed = states(), []
    for crash in crash_points(
        harness.backend, str(harness.url), work_until_killed, at=at, reset=reset, most=harness.crashes
    ):
        killed.append(crash)
        with opened(harness) as store:
            _assert_whole(store, expected, crash)
    return killed


def _assert_whole(store: Store, expected: list[dict[str, dict[Scalar, Row]]], crash: Crash) -> None:
    acknowledged = len(crash.acknowledged)
    left = everything(store)
    assert left in expected[acknowledged : acknowledged + 2], (
        f"killed {crash.moment}, {acknowledged} pieces acknowledged: "
        + ("something acknowledged is gone" if left in expected else "something is half done")
    )
    add(store, GROUP, group_row("goes on"))


class Crashing(Contract):
    """S-CRASH: what was acknowledged is kept, and of what was under way all or nothing."""

    @clause(
        "S-CRASH-01",
        "A process killed before or after any begin, apply or commit leaves all that was acknowledged and nothing half done",
        since=(1, 1),
        needs=Capability.DURABLE,
        given="url",
    )
    def test_killed_at_any_call(self, harness: Harness) -> None:
        assert len(_crashes(harness, "calls", harness.clear)) >= min(harness.crashes, 8)

    @clause(
        "S-CRASH-02",
        "So does one killed at any write, fsync, rename, truncation or removal made from Python, and within a write",
        since=(1, 1),
        needs=Capability.DURABLE,
        given="file",
    )
    def test_killed_at_any_step_from_python(self, harness: Harness) -> None:
        if not _crashes(harness, "files", harness.clear):
            pytest.skip("S-CRASH-02 needs files written from Python, and this store has none")

    @clause(
        "S-CRASH-03",
        "So does one killed at any system call that writes, syncs, renames, cuts or removes a file",
        since=(1, 1),
        needs=Capability.DURABLE,
        given="file",
    )
    def test_killed_at_any_system_call(self, harness: Harness) -> None:
        if strace() is None:
            pytest.skip("S-CRASH-03 needs strace, which is not to be had here")
        assert _crashes(harness, "system calls", harness.clear)

    @clause(
        "S-CRASH-04",
        "A process killed while it makes the store leaves a place where it can be made",
        since=(1, 1),
        needs=Capability.DURABLE,
        given="file",
    )
    def test_killed_while_the_store_is_made(self, harness: Harness) -> None:
        at: At = "files" if strace() is None else "system calls"
        assert harness.file is not None
        folder = Path(harness.file).parent
        there = set(folder.iterdir())

        def remove() -> None:
            for path in set(folder.iterdir()) - there:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

        _crashes(harness, at, remove)

    @clause(
        "S-CRASH-05",
        "When the store was written to and closed again, nothing of a killed process lies beside its files, and check is content",
        since=(1, 1),
        needs=Capability.DURABLE,
        given="file",
    )
    def test_a_crash_leaves_no_litter(self, harness: Harness) -> None:
        if not can_fork():
            pytest.skip("S-CRASH-05 needs processes that can be forked, which this system does not offer")
        assert harness.file is not None
        folder = os.path.dirname(harness.file) or "."
        with opened(harness) as store:
            add(store, GROUP, group_row("goes on"))
        at: At = "files" if strace() is None else "system calls"
        tidy = set(os.listdir(folder))
        for crash in crash_points(
            harness.backend, str(harness.url), work_until_killed, at=at, reset=harness.clear, most=harness.crashes
        ):
            with opened(harness) as store:
                add(store, GROUP, group_row("goes on"))
            litter = set(os.listdir(folder)) - tidy
            assert not litter, f"killed {crash.moment}"
            with opened(harness) as store:
                assert store.check() == [], f"killed {crash.moment}"

    @clause(
        "S-CRASH-06",
        "Handles that others have open go on when a process is killed, and see nothing of what it had not committed",
        since=(1, 1),
        needs=Capability.MULTI_PROCESS,
        given="url",
    )
    def test_others_go_on(self, harness: Harness) -> None:
        if not can_fork():
            pytest.skip("S-CRASH-06 needs processes that can be forked, which this system does not offer")
        expected = states()
        with opened(harness) as store:
            for crash in crash_points(
                harness.backend,
                str(harness.url),
                work_until_killed,
                at="calls",
                reset=harness.clear,
                most=harness.crashes,
            ):
                _assert_whole(store, expected, crash)
