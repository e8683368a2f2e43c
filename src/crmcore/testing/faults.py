"""Stores that fail or are slow on purpose: wrappers around any store, to see what a program makes of it.

>>> from crmcore.testing import FaultyStore, at_call, by_chance  # doctest: +SKIP
>>> store = FaultyStore(store, at_call(3, StoreUnavailable("the disk is gone")))  # doctest: +SKIP

One plan, one run: nothing here depends on the clock, and a plan by chance depends on its seed alone, which stands in every
error that it raises.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeAlias

from crmcore.errors import StorageError, StoreBusy, StoreFull, StoreUnavailable
from crmcore.storage import Store
from crmcore.testing.observing import Call, Moment, ObservedStore, When

FaultPlan: TypeAlias = Callable[[Moment], StorageError | None]
"""The error to raise at a moment, or None. An error ``after`` a commit means that the data are kept and nobody is told."""

WRITES: Final[tuple[Call, ...]] = ("begin", "apply", "commit", "claim")
"""The calls by which something is written."""


class FaultyStore(ObservedStore):
    """The store inside, failing as planned. ``raised`` holds every moment at which it failed, with the error."""

    def __init__(self, store: Store, plan: FaultPlan) -> None:
        super().__init__(store, self._fail)
        self.plan = plan
        self.raised: list[tuple[Moment, StorageError]] = []

    def _fail(self, moment: Moment) -> None:
        error = self.plan(moment)
        if error is not None:
            error.add_note(f"made to fail {moment}")
            self.raised.append((moment, error))
            raise error


def at_call(number: int, error: StorageError, *, call: Call | None = None, when: When = "before") -> FaultPlan:
    """The error at one call only: the ``number``-th of all, or of those named ``call``, counted from 1."""
    if number < 1:
        raise ValueError("calls are counted from 1")
    seen = 0

    def plan(moment: Moment) -> StorageError | None:
        nonlocal seen
        if moment.when != when or (call is not None and moment.call != call):
            return None
        seen += 1
        return error if seen == number else None

    return plan


def by_chance(
    seed: int,
    probability: float,
    *,
    calls: Collection[Call] = WRITES,
    moments: Collection[When] = ("before", "after"),
    errors: Sequence[type[StorageError]] = (StoreBusy, StoreUnavailable, StoreFull),
) -> FaultPlan:
    """Errors at random moments, the same ones whenever the seed and the calls are the same.

    Retryable errors (:class:`StoreBusy`) come only before a call or within a transaction that is still to be committed: an
    honest store never says "try again" of what it has kept.
    """
    if not 0 <= probability <= 1:
        raise ValueError("a probability lies between 0 and 1")
    lasting = [error for error in errors if not error.retryable]

    def plan(moment: Moment) -> StorageError | None:
        if moment.call not in calls or moment.when not in moments:
            return None
        chance = random.Random(f"{seed} {moment}")  # noqa: S311 - repeatable, guards nothing
        kept = moment.when == "after" and moment.call in ("commit", "claim", "backup", "clean")
        among = lasting if kept else errors
        if not among or chance.random() >= probability:
            return None
        error = chance.choice(among)("made to fail")
        error.add_note(f"by chance, seed {seed}, probability {probability:g}")
        return error

    return plan


class SlowStore(ObservedStore):
    """The store inside, each call delayed by ``latency``: seconds, or a function of the moment. ``sleep`` is what waits."""

    def __init__(
        self, store: Store, latency: float | Callable[[Moment], float], *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        super().__init__(store, self._wait)
        self._latency = latency
        self._sleep = sleep

    def _wait(self, moment: Moment) -> None:
        latency = self._latency
        if callable(latency):
            seconds = latency(moment)
        else:
            seconds = latency if moment.when == "before" else 0.0
        if seconds > 0:
            self._sleep(seconds)
