"""The words of the policies of working time, each policy with its choices, the default first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from crmcore.domain.policies import Boundary, PauseTime, Reopening
from crmcore.errors import Invalid, Issue

#: What no time at all from a moment on closed time comes to: that moment, or the next opening.
Zero = Literal["start", "next_open"]
#: What a negative duration means: counting back, or an error.
Negative = Literal["back", "refuse"]
#: What a difference is whose end lies before its start: negative, or nothing.
Reversed = Literal["negative", "zero"]
#: From a closed day, days are counted as they come, or it is first moved to the next open one (back: the one before).
ClosedStart = Literal["count", "move"]
#: When on its day something falls that is due in working days:
#: ``same_time`` at the local time of the start, open or not; ``next_open`` the same, moved on to open time; ``previous_close``
#: the same, moved back to it; ``close`` at the day's last close (counting back: at its last close, too); ``whole_days`` the
#: start's own day counts if it has open time left (back: had any before), and the end is the last close (back: first opening).
Landing = Literal["same_time", "next_open", "previous_close", "close", "whole_days"]
#: Beyond the confirmed days of a calendar: a warning in the reading, or an error.
Beyond = Literal["warn", "refuse"]

POLICIES: Mapping[str, tuple[str, ...]] = {
    "boundary": get_args(Boundary),
    "zero": get_args(Zero),
    "negative": get_args(Negative),
    "reversed": get_args(Reversed),
    "closed_start": get_args(ClosedStart),
    "landing": get_args(Landing),
    "pause": get_args(PauseTime),
    "reopening": get_args(Reopening),
    "beyond": get_args(Beyond),
}


def word_issues(**chosen: Any) -> list[Issue]:
    """An issue (``bad_choice``) for each policy whose word isn't one of its choices."""
    return [
        Issue(code="bad_choice", field=name, facts={"allowed": ", ".join(POLICIES[name])})
        for name, word in chosen.items()
        if word not in POLICIES[name]
    ]


def check_words(**chosen: Any) -> None:
    """Raises :class:`Invalid` with the :func:`word_issues`."""
    if issues := word_issues(**chosen):
        raise Invalid(issues)


def type_issue(field: str, expected: str) -> Issue:
    """The issue of a value of another type than the one that is asked for."""
    return Issue(code="bad_type", field=field, facts={"expected": expected})


def bad_type(field: str, expected: str) -> Invalid:
    """The error for one such value alone."""
    return Invalid([type_issue(field, expected)])
