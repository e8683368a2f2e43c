"""Rules that are pure: a function is watched while it runs, and must depend on nothing but its arguments and change nothing.

::

    check_pure(due_at, st.tuples(moments, durations, zones))       # raises Impure, and says why

What is seen, in the thread that runs the rule: another result for the same arguments, changed arguments, and every call of the
machine's clock or zone, of chance, of the environment, of files, sockets, processes and printing, whether by the rule itself or
by Python code that it calls. What isn't: what compiled code does within itself without an audit event, and a state of the
rule's own that happens to change no result that was drawn, or that lies in a thing equal to itself alone. A run before the one
that is watched loads what is loaded when it is first needed: modules, time zones.
"""

from __future__ import annotations

import copy
import io
import os
import random
import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any, Final, Literal

import attrs
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from crmcore.testing.clause import Contract, clause

Aspect = Literal["result", "arguments", "clock", "chance", "environment", "world"]

_CLOCKS: Final = frozenset(
    f"{name}{unit}"
    for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time")
    for unit in ("", "_ns")
) | {"localtime", "sleep", "clock_gettime", "clock_gettime_ns"}
_NOW: Final = frozenset({"now", "utcnow", "today"})
_WRITES: Final = frozenset({"write", "writelines", "flush", "read", "readline", "readinto", "truncate"})
_FILES: Final = frozenset({"stat", "lstat", "access", "readlink", "scandir", "listdir", "open", "read", "write"})
_PREFIXES: Final = (
    "socket.",
    "subprocess.",
    "os.",
    "shutil.",
    "tempfile.",
    "glob.",
    "urllib.",
    "http.",
    "sqlite3.",
    "ftplib.",
)
_EVENTS: Final = frozenset({"open", "builtins.input", "webbrowser.open", "time.sleep"})


class Impure(AssertionError):
    """A function that is no pure rule. ``aspect`` says in which way."""

    def __init__(self, aspect: Aspect, message: str) -> None:
        super().__init__(message)
        self.aspect = aspect


class _Watch(threading.local):
    seen: list[tuple[Aspect, str]] | None = None


_WATCH: Final = _Watch()
_HOOKED: Final[list[bool]] = []


def _heard(event: str, _: tuple[Any, ...]) -> None:
    seen = _WATCH.seen
    if seen is not None and (event in _EVENTS or event.startswith(_PREFIXES)):
        seen.append(("world", f"it caused {event}"))


def _judged(called: Any) -> tuple[Aspect, str] | None:
    """What a call of a compiled function is against, if anything."""
    name, owner = getattr(called, "__name__", ""), getattr(called, "__self__", None)
    if isinstance(owner, types.ModuleType):
        if owner.__name__ == "time" and name in _CLOCKS:
            return "clock", f"it called time.{name}"
        if owner.__name__ == "builtins" and name in ("print", "input", "open", "breakpoint"):
            return "world", f"it called {name}"
        if owner.__name__ in ("posix", "nt") and name in ("urandom", "getrandom"):
            return "chance", f"it called os.{name}"
        if owner.__name__ in ("posix", "nt") and name in (
            "getpid",
            "getcwd",
            "getuid",
            "getlogin",
            "uname",
            "cpu_count",
        ):
            return "environment", f"it called os.{name}"
        if owner.__name__ in ("posix", "nt") and name in _FILES:
            return "world", f"it called os.{name}"
        if owner.__name__ == "_uuid":
            return "chance", f"it called {name}"
    elif isinstance(owner, type) and issubclass(owner, date) and name in _NOW:
        return "clock", f"it called {owner.__name__}.{name}"
    elif isinstance(owner, random.Random) and (owner is _GLOBAL_CHANCE or isinstance(owner, random.SystemRandom)):
        return "chance", f"it called random.{name}"
    elif isinstance(owner, io.IOBase) and not isinstance(owner, (io.StringIO, io.BytesIO)) and name in _WRITES:
        return "world", f"it called {name} of a file"
    return None


_GLOBAL_CHANCE: Final = random.random.__self__  # type: ignore[attr-defined]
_ENVIRONMENT: Final = frozenset(
    getattr(type(os.environ), name).__code__ for name in ("__getitem__", "__setitem__", "__delitem__", "__iter__")
)


@contextmanager
def watched() -> Iterator[list[tuple[Aspect, str]]]:
    """Notes, for this thread, each call that a pure function doesn't make, as long as the block lasts."""
    if not _HOOKED:  # a hook can't be taken away again
        sys.addaudithook(_heard)
        _HOOKED.append(True)
    seen: list[tuple[Aspect, str]] = []

    def profile(frame: types.FrameType, event: str, called: Any) -> None:
        # Hypothesis times the collection of garbage, which may begin in the middle of anything.
        if event == "c_call" and not str(frame.f_globals.get("__name__")).startswith("hypothesis."):
            found = _judged(called)
            if found is not None:
                seen.append(found)
        elif event == "call" and frame.f_code in _ENVIRONMENT:
            seen.append(("environment", "it used os.environ"))

    before = sys.getprofile()
    _WATCH.seen = seen
    sys.setprofile(profile)
    try:
        yield seen
    finally:
        sys.setprofile(before)
        _WATCH.seen = None


@attrs.frozen
class _Outcome:
    """What a call came to: a result, or an error; errors are alike when their class and words are."""

    value: Any = None
    error: str = ""


def _call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> _Outcome:
    try:
        value = function(*arguments)
        # What is made step by step is made while the function is watched.
        return _Outcome(list(value) if isinstance(value, Iterator) else value)
    except Exception as error:
        return _Outcome(error=f"{type(error).__name__}: {error}")


def _same(one: Any, other: Any) -> bool:
    """Whether two things are of one type and equal. Things that are equal to themselves alone can't be told apart."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    equal: Any = type(one).__eq__
    return equal is object.__eq__ or bool(one == other)


def impurities(function: Callable[..., Any], arguments: tuple[Any, ...]) -> list[tuple[Aspect, str]]:
    """Everything impure that is seen of the function with these arguments."""
    kept = copy.deepcopy(arguments)
    first = _call(function, arguments)
    found: list[tuple[Aspect, str]] = []
    if not _same(arguments, kept):
        found.append(("arguments", "it changed its arguments"))
    with watched() as seen:
        second = _call(function, kept)
    if first.error != second.error or not _same(first.value, second.value):
        found.append(("result", "it gave another result for the same arguments"))
    return [*found, *seen]


def check_pure(
    function: Callable[..., Any],
    arguments: st.SearchStrategy[tuple[Any, ...]],
    *,
    examples: int = 25,
    aspects: frozenset[Aspect] | None = None,
) -> None:
    """Raises :class:`Impure` when the function is not pure for some of the arguments drawn; an error is an outcome like another."""

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    @given(arguments)
    def check(drawn: tuple[Any, ...]) -> None:
        for aspect, message in impurities(function, drawn):
            if aspects is None or aspect in aspects:
                name = getattr(function, "__qualname__", repr(function))
                raise Impure(aspect, f"{name} is not pure: {message}")

    check()


@attrs.frozen(kw_only=True)
class RuleHarness:
    """A rule and the arguments that it is tried with, as tuples."""

    function: Callable[..., Any]
    arguments: st.SearchStrategy[tuple[Any, ...]]
    examples: int = 25


class RuleContract(Contract):
    """R-PURE: what a rule may depend on, and what it may change. Subclass it and give it a ``harness``."""

    @pytest.fixture
    def harness(self) -> RuleHarness:
        """The rule to be tried."""
        raise NotImplementedError("override the fixture harness; it returns RuleHarness(function=…, arguments=…)")

    def _check(self, harness: RuleHarness, *aspects: Aspect) -> None:
        check_pure(harness.function, harness.arguments, examples=harness.examples, aspects=frozenset(aspects))

    @clause("R-PURE-01", "The same arguments give the same result, or the same error")
    def test_the_same_result(self, harness: RuleHarness) -> None:
        self._check(harness, "result")

    @clause("R-PURE-02", "The arguments stay as they are")
    def test_the_arguments_stay(self, harness: RuleHarness) -> None:
        self._check(harness, "arguments")

    @clause("R-PURE-03", "Nobody asks what time it is, or waits")
    def test_no_clock(self, harness: RuleHarness) -> None:
        self._check(harness, "clock")

    @clause("R-PURE-04", "Nothing is left to chance")
    def test_no_chance(self, harness: RuleHarness) -> None:
        self._check(harness, "chance")

    @clause("R-PURE-05", "Nothing is read from or written to a file, the network, another process or the screen")
    def test_no_world(self, harness: RuleHarness) -> None:
        self._check(harness, "world")

    @clause("R-PURE-06", "Nothing is asked of the environment: its variables, its folders, its processes")
    def test_no_environment(self, harness: RuleHarness) -> None:
        self._check(harness, "environment")
