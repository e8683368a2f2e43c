"""Whole arrays give what one moment after the other gives; without numpy the error says what to install."""

from __future__ import annotations

import datetime
import importlib.util

import pytest
from calendar_strategies import MINUTE, UTC, calendars, moments
from hypothesis import given
from hypothesis import strategies as st

from crmcore.errors import Invalid, MissingExtra
from crmcore.rules.calendars import WorkingCalendar, week, windows
from crmcore.rules.china_days import in_china
from crmcore.rules.working_arrays import due_array
from crmcore.rules.working_time import WorkingTime, working_time

OFFICE = WorkingCalendar(timezone="Asia/Shanghai", weekly=week(windows("09:00-12:00", "13:00-18:00")))
HOUR = datetime.timedelta(hours=1)
MOMENT = datetime.datetime(2026, 3, 2, 9, tzinfo=UTC)
INSTALLED = importlib.util.find_spec("numpy") is not None
needs_numpy = pytest.mark.skipif(not INSTALLED, reason="numpy is not installed")


def array(asked):
    import numpy

    return numpy.array([moment.replace(tzinfo=None) for moment in asked], dtype="datetime64[s]")


def told(found):
    return [moment.replace(tzinfo=UTC) for moment in found.tolist()]


@needs_numpy
@given(
    calendars(),
    st.lists(moments(), max_size=5),
    st.integers(1, 5000).map(lambda minutes: minutes * MINUTE),
    st.sampled_from(["close", "next_open"]),
    st.sampled_from(["negative", "zero"]),
)
def test_an_array_is_each_of_its_moments(calendar, asked, work, boundary, reversed_as):
    used, one_by_one = WorkingTime(calendar), WorkingTime(calendar)
    due = one_by_one.due_many(asked, work, boundary=boundary)
    assert told(used.due_many(array(asked), work, boundary=boundary)) == due
    ends = asked[::-1]
    gone = one_by_one.between_many(asked, ends, reversed=reversed_as)
    assert used.between_many(array(asked), array(ends), reversed=reversed_as).tolist() == gone


@needs_numpy
@pytest.mark.parametrize(
    ("asked", "work", "code"),
    [
        (["2026-12-31T09:00"], 3 * HOUR, "unconfirmed"),
        (["2026-12-01T09:00"], -HOUR, "negative_duration"),
        (["1700-01-01T09:00"], HOUR, "out_of_reach"),
        (["NaT"], HOUR, "bad_type"),
        ([], HOUR, None),
    ],
)
def test_what_an_array_cannot_be(asked, work, code):
    import numpy

    starts = numpy.array(asked, dtype="datetime64[s]")
    if code is None:
        assert due_array(working_time(OFFICE), starts, work).size == 0
        return
    with pytest.raises(Invalid) as caught:
        due_array(working_time(in_china(OFFICE)), starts, work)
    assert {issue.code for issue in caught.value.issues} == {code}
    with pytest.raises(Invalid, match="datetime64"):
        due_array(working_time(OFFICE), numpy.array([1, 2]), HOUR)


@needs_numpy
def test_arrays_take_no_other_words_nor_sides_of_different_length():
    two, working = array([MOMENT, MOMENT]), working_time(OFFICE)
    for ask, wrong in (
        (lambda: working.due_many(two, HOUR, boundary="Close"), ("bad_choice", "boundary")),
        (lambda: working.due_many(two, 8), ("bad_type", "work")),
        (lambda: working.between_many(two, two, reversed="x"), ("bad_choice", "reversed")),
        (lambda: working.between_many(two, two[:1]), ("bad_type", "ends")),
        (lambda: working.between_many(two[:0], two), ("bad_type", "ends")),
    ):
        with pytest.raises(Invalid) as caught:
            ask()
        assert [(issue.code, issue.field) for issue in caught.value.issues] == [wrong]


@pytest.mark.skipif(INSTALLED, reason="numpy is installed")
def test_without_numpy_it_says_what_to_install():
    with pytest.raises(MissingExtra, match="pip install numpy"):
        due_array(working_time(OFFICE), [], HOUR)
