"""A merge and its taking back, to be killed on the way."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import crmcore
from crmcore.storage.codec import SCHEMA
from crmcore.testing.crashes import Opener

STEPS = ("merge", "unmerge")


def opened(store: Any, first: int = 10_000) -> crmcore.CRM:
    """A CRM whose clock stands still, and that makes the same ids each time."""
    counter = itertools.count(first)
    return crmcore.open(
        store,
        "standard",
        clock=lambda: datetime(2026, 3, 1, tzinfo=UTC),
        ids=lambda: f"00000000-0000-7000-8000-{next(counter):012}",
    )


def step(me: crmcore.Session, what: str) -> None:
    """One of the steps, for the customers that were prepared."""
    if what == "merge":
        me.customers.merge("C1", "C2", reason="重复")
    else:
        me.customers.unmerge("C2")


def work(open_store: Opener, acknowledge: Callable[[str], None]) -> None:
    """Merges and takes it back, each acknowledged."""
    with opened(open_store(SCHEMA)) as crm:
        for what in STEPS:
            step(crm.acting_as("hua"), what)
            acknowledge(what)
