"""Clauses: the sentences of a contract, each with an id, each held by one test."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final, TypeVar

import attrs
import pytest

#: The version of the storage contract that this kit holds; a new clause raises the second number, never a third.
CONTRACT_VERSION: Final = (1, 2)

#: What a broken clause ends in. Hypothesis wraps several distinct failures in a group.
FAILURES: Final = (Exception, BaseExceptionGroup, pytest.fail.Exception)

Test = Callable[[Any, Any], None]
T = TypeVar("T", bound=Callable[..., None])

_FORM = re.compile(r"[A-Z]-[A-Z]+-\d\d")


class NotOffered(Exception):
    """Raised by a clause about something that a store need not be able to do, where it says at the first call that it can't."""


@attrs.frozen(kw_only=True)
class Clause:
    """One sentence of the contract.

    ``needs`` names the capability that it belongs to, ``given`` the part of a harness without which it can't be tried,
    ``offers`` the method that a store may leave as it is.
    """

    id: str
    text: str
    since: tuple[int, int] = (1, 0)
    needs: StrEnum | None = None
    given: str | None = None
    offers: str | None = None

    def inapplicable(self, harness: Any) -> str | None:
        """Why the clause can't be tried here, or None."""
        if self.needs is not None and self.needs not in harness.backend.capabilities:
            return f"{self.id} needs the capability {self.needs.value}, which the backend does not declare"
        if self.given is not None and getattr(harness, self.given) is None:
            return f"{self.id} needs {self.given}, which the harness does not give"
        return None


def clause(
    id: str,
    text: str,
    *,
    since: tuple[int, int] = (1, 0),
    needs: StrEnum | None = None,
    given: str | None = None,
    offers: str | None = None,
) -> Callable[[Test], Test]:
    """Makes a test method the proof of a clause: skipped with a reason where it doesn't apply, named where it fails."""
    if not _FORM.fullmatch(id):
        raise ValueError("a clause id has the form S-FAMILY-01")
    stated = Clause(id=id, text=text, since=since, needs=needs, given=given, offers=offers)

    def hold(test: Test) -> Test:
        @functools.wraps(test)
        def held(self: Any, harness: Any) -> None:
            reason = stated.inapplicable(harness)
            if reason:
                pytest.skip(reason)
            try:
                test(self, harness)
            except NotOffered:
                pytest.skip(f"{id} needs {offers}, which the store does not offer")
            except FAILURES as failure:
                failure.add_note(f"{id}: {text}")
                raise

        held.clause = stated  # type: ignore[attr-defined]
        return held

    return hold


def expected_failure(id: str, reason: str) -> Callable[[T], T]:
    """Marks the override of a clause that a store is known to break. The clause itself runs, and must fail.

    The body of the override is never run: a broken promise can be declared, not replaced.
    """

    def mark(test: T) -> T:
        test.expected_failure = (id, reason)  # type: ignore[attr-defined]
        return test

    return mark


class Contract:
    """What contracts share: none of their clauses can be overridden silently."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, override in list(vars(cls).items()):
            test = next((vars(parent)[name] for parent in cls.__mro__[1:] if name in vars(parent)), None)
            stated: Clause | None = getattr(test, "clause", None)
            if test is None or stated is None:
                continue
            id, reason = getattr(override, "expected_failure", (None, ""))
            if id != stated.id:
                raise TypeError(
                    f"{cls.__name__}.{name} overrides clause {stated.id}; a clause is not replaced, "
                    f'but declared as broken with @expected_failure("{stated.id}", "why")'
                )
            setattr(cls, name, _fails(test, stated, reason))


def _fails(test: Test, stated: Clause, reason: str) -> Test:
    @functools.wraps(test)
    def failing(self: Any, harness: Any) -> None:
        try:
            test(self, harness)
        except FAILURES:
            pytest.xfail(f"{stated.id}: {reason}")
        pytest.fail(f"{stated.id} is declared as broken ({reason}) but holds: take the declaration away")

    return failing


def clauses(contract: type[Contract]) -> Mapping[str, str]:
    """The ids of a contract's clauses and the names of their tests; raises :class:`TypeError` for an id used twice."""
    found: dict[str, str] = {}
    for parent in reversed(contract.__mro__):
        for name, test in vars(parent).items():
            stated: Clause | None = getattr(test, "clause", None)
            if stated is None:
                continue
            if found.setdefault(stated.id, name) != name:
                raise TypeError(f"{stated.id} is held by {found[stated.id]} and by {name}")
    names = list(found.values())
    if len(set(names)) != len(names):
        raise TypeError("one test holds two clauses")
    return dict(sorted(found.items()))


def clause_of(contract: type[Contract], name: str) -> Clause:
    """The clause that a test holds."""
    stated: Clause = getattr(contract, name).clause
    return stated
