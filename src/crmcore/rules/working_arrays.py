"""Working time for whole numpy arrays. Only here numpy is used, and only where it is installed.

An array of ``datetime64`` is UTC, as numpy has it. For lists of aware moments numpy would not pay: turning them into numbers
takes as long as the answer (``due_many``, ``between_many``).
"""

from __future__ import annotations

import importlib
from datetime import UTC, datetime, timedelta
from typing import Any

from crmcore.domain.policies import Boundary
from crmcore.errors import Invalid, Issue, MissingExtra
from crmcore.rules.calendar_table import Table, out_of_reach
from crmcore.rules.time_policies import Reversed, bad_type, check_words
from crmcore.rules.working_time import WorkingTime, check_length

_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


def due_array(working: WorkingTime, starts: Any, work: timedelta, *, boundary: Boundary = "close") -> Any:
    """:meth:`WorkingTime.due` of every moment of a ``datetime64`` array (UTC), as another of microseconds.

    Raises what ``due`` raises if it would for any of them, ``bad_type`` for another array or a NaT, ``negative_duration`` for
    less than some working time, ``bad_choice`` for a word that the policy doesn't have, and :class:`MissingExtra` without numpy.
    """
    numpy = _numpy()
    check_words(boundary=boundary)
    check_length(work)
    asked = _microseconds(numpy, starts)
    if work <= timedelta(0):
        raise Invalid([Issue(code="negative_duration", field="work")])
    if not asked.size:
        return asked.view("datetime64[us]")
    first, last = _moment(asked.min()), _moment(asked.max())
    # Whatever lies between is due no later than the last of them, so one table holds all the answers.
    latest = working.due(last, work, boundary=boundary)
    working.confirmed(first, latest)
    table = working.tables.covering(first, latest)
    _, _, bases, sums = arrays = _arrays(numpy, table)
    target = _worked(numpy, arrays, asked) + work // _MICROSECOND
    landing = numpy.searchsorted(sums, target, side="left" if boundary == "close" else "right") - 1
    return (bases[landing] + target).view("datetime64[us]")


def between_array(working: WorkingTime, starts: Any, ends: Any, *, reversed: Reversed = "negative") -> Any:
    """:meth:`WorkingTime.between` of the pairs of two ``datetime64`` arrays (UTC), as ``timedelta64`` of microseconds.

    Raises what ``between`` raises if it would for any pair, ``bad_type`` for other arrays, a NaT or sides of different length, and
    :class:`MissingExtra` without numpy.
    """
    numpy = _numpy()
    check_words(reversed=reversed)
    first, second = _microseconds(numpy, starts), _microseconds(numpy, ends)
    if first.shape != second.shape:
        raise bad_type("ends", "as many moments as starts")
    if not first.size:
        return first.view("timedelta64[us]")
    moments = [_moment(value) for array in (first, second) for value in (array.min(), array.max())]
    working.confirmed(*moments)
    arrays = _arrays(numpy, working.tables.covering(min(moments), max(moments)))
    found = _worked(numpy, arrays, second) - _worked(numpy, arrays, first)
    return (numpy.maximum(found, 0) if reversed == "zero" else found).view("timedelta64[us]")


def _numpy() -> Any:
    try:
        return importlib.import_module("numpy")
    except ImportError as error:
        raise MissingExtra("arrays of moments need numpy: pip install numpy", plugin="numpy") from error


def _microseconds(numpy: Any, moments: Any) -> Any:
    array = numpy.asarray(moments)
    if array.dtype.kind != "M" or numpy.isnat(array).any():
        raise bad_type("moments", "datetime64 without NaT")
    return array.astype("datetime64[us]").view("int64")


def _moment(microseconds: Any) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=int(microseconds))
    except OverflowError:
        raise out_of_reach() from None


def _arrays(numpy: Any, table: Table) -> Any:
    """Openings, closes, bases and sums of a table in microseconds; made once for each table."""
    if table.arrays is None:
        columns = [
            [(moment - _EPOCH) // _MICROSECOND for moment in column]
            for column in (table.starts, table.ends, table.bases)
        ]
        columns.append([total // _MICROSECOND for total in table.sums])
        table.arrays = tuple(numpy.array(column, dtype="int64") for column in columns)
    return table.arrays


def _worked(numpy: Any, arrays: Any, at: Any) -> Any:
    opens, ends, bases, _ = arrays
    index = numpy.searchsorted(opens, at, side="right") - 1
    return numpy.minimum(at, ends[index]) - bases[index]
