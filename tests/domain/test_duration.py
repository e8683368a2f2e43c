import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmcore.domain.duration import LONGEST, UNITS, Duration

DURATIONS = st.builds(Duration, st.integers(1, LONGEST), st.sampled_from(UNITS))


@given(DURATIONS)
def test_what_is_written_is_read(duration):
    assert Duration.parse(str(duration)) == duration


@given(st.text() | st.from_regex(r"-?[0-9]{0,8} ?[a-z_]{0,14}", fullmatch=True))
def test_a_text_is_a_duration_or_an_error_that_says_what_is_allowed(text):
    try:
        duration = Duration.parse(text)
    except ValueError as error:
        assert "working_days" in str(error) and "7 days" in str(error)
    else:
        assert text.split(" ")[0] in (str(duration.amount), str(duration.amount // 7), str(duration.amount // 12))


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("7 days", 7, "days"),
        ("1 day", 1, "days"),
        ("24 hours", 24, "hours"),
        ("30 minutes", 30, "minutes"),
        ("1 month", 1, "months"),
        ("2 weeks", 14, "days"),
        ("1 year", 12, "months"),
        ("3 working_days", 3, "working_days"),
        ("8 working_hours", 8, "working_hours"),
    ],
)
def test_units(text, amount, unit):
    assert Duration.parse(text) == Duration(amount, unit)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "days",
        "7days",
        "7  days",
        " 7 days",
        "7 days ",
        "-7 days",
        "0 days",
        "1.5 days",
        "7 Days",
        "٧ days",
        "7 fortnights",
        "1000000 days",
        "999999 weeks",
        "7 dayss",
        "07 days",
        "1 day\n",
    ],
)
def test_refused(text):
    with pytest.raises(ValueError, match="a duration is a whole number from 1"):
        Duration.parse(text)


@pytest.mark.parametrize(
    ("amount", "unit"), [(0, "days"), (-1, "days"), (True, "days"), (1.0, "days"), (1, "weeks"), (1, "day")]
)
def test_a_duration_made_by_hand_is_checked_as_well(amount, unit):
    with pytest.raises(ValueError, match="a duration is"):
        Duration(amount, unit)


@pytest.mark.parametrize(
    ("text", "most"),
    [("83334 years", "83333 years"), ("999999 years", "999999 months"), ("142858 weeks", "142857 weeks")],
)
def test_of_a_larger_unit_that_is_too_many_it_says_how_many_there_may_be(text, most):
    with pytest.raises(ValueError, match=most):
        Duration.parse(text)
    assert Duration.parse("83333 years").amount == 999_996


def test_frozen():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Duration(1, "days").amount = 2
