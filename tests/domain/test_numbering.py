from datetime import date

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crmcore.domain.numbering import NumberScheme, may_collide
from crmcore.errors import Invalid, NumbersExhausted

DAYS = st.dates(date(1, 1, 1), date(9999, 12, 31))
LITERALS = st.text(st.sampled_from("CRM0129-_/号é."), max_size=3)
SHORT_NAMES = st.text(st.sampled_from("AB示例0129-:C"), min_size=1, max_size=6)


@st.composite
def schemes(draw, parts=("{short_name}", "{year}", "{month}", "{day}")):
    chosen = draw(st.lists(st.sampled_from(parts), unique=True))
    serial = f"{{serial:{draw(st.integers(1, 5))}}}"
    pieces = draw(st.permutations([*chosen, serial]))
    return NumberScheme.parse("".join(piece + draw(LITERALS) for piece in ["", *pieces]))


@st.composite
def draws(draw):
    scheme = draw(schemes())
    return scheme, draw(st.integers(1, 10**scheme.width - 1)), draw(DAYS), draw(SHORT_NAMES)


@given(draws())
def test_a_number_is_read_as_it_was_written(drawn):
    scheme, serial, on, short_name = drawn
    read = scheme.read(scheme.format(serial, on, short_name))
    assert read == (scheme.parts(on, short_name), serial)
    assert scheme.scope_of("customer", read[0]) == scheme.scope("customer", on, short_name)


@given(draws(), DAYS, SHORT_NAMES)
def test_the_scope_changes_exactly_with_the_parts_of_the_template(drawn, other_day, other_name):
    scheme, _, on, short_name = drawn
    same = all(
        f"{{{part}}}" not in scheme.template or one == other
        for part, one, other in (
            ("year", on.year, other_day.year),
            ("month", on.month, other_day.month),
            ("day", on.day, other_day.day),
            ("short_name", short_name, other_name),
        )
    )
    assert (scheme.scope("customer", on, short_name) == scheme.scope("customer", other_day, other_name)) == same


@given(draws(), st.integers(1, 99_999))
def test_within_a_scope_numbers_sort_as_their_serials_do_and_never_repeat(drawn, other):
    scheme, serial, on, short_name = drawn
    assume(other < 10**scheme.width)
    one, two = scheme.format(serial, on, short_name), scheme.format(other, on, short_name)
    assert (one < two) == (serial < other)
    assert len(one) == len(two)


@given(draws(), DAYS, SHORT_NAMES, st.integers(1, 99_999))
def test_two_scopes_of_one_scheme_never_give_the_same_number(drawn, other_day, other_name, other):
    scheme, serial, on, short_name = drawn
    assume(other < 10**scheme.width)
    scopes = scheme.scope("customer", on, short_name), scheme.scope("customer", other_day, other_name)
    assume(scopes[0] != scopes[1])
    assert scheme.format(serial, on, short_name) != scheme.format(other, other_day, other_name)


@given(draws(), schemes())
def test_schemes_that_give_the_same_number_are_said_to_collide(drawn, other):
    scheme, serial, on, short_name = drawn
    number = scheme.format(serial, on, short_name)
    if other.read(number) is not None:
        assert may_collide(scheme, other) and may_collide(other, scheme)
    assert may_collide(scheme, scheme)


@given(draws(), st.data())
def test_a_scheme_made_to_give_the_same_number_is_said_to_collide(drawn, data):
    scheme, serial, on, short_name = drawn
    number = scheme.format(serial, on, short_name)
    at = data.draw(st.sampled_from([at for at, character in enumerate(number) if character in "123456789"]))
    named = data.draw(st.integers(0, at))
    other = NumberScheme.parse("{short_name}" * (named > 0) + number[named:at] + "{serial:1}" + number[at + 1 :])
    assert other.read(number)
    assert may_collide(scheme, other) and may_collide(other, scheme)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("{year}{month}{serial:3}", "CRM{year}-{serial:3}"),
        ("C{year}{month}{day}{serial:5}", "O{year}{month}{day}{serial:5}"),
        ("KH{serial:6}", "KH{serial:7}"),
        ("{year}{month}{serial:3}", "{year}{month}{serial:4}"),
        ("{year}-{serial:3}", "{short_name}/{serial:3}"),
        ("A{month}{serial:2}", "A2{serial:3}"),
    ],
)
def test_these_never_collide(one, other):
    assert not may_collide(NumberScheme.parse(one), NumberScheme.parse(other))


@pytest.mark.parametrize(
    ("template", "number"),
    [
        ("KH{serial:6}", "KH000007"),  # seed 000, ours
        ("{short_name}{year}{serial:4}", "AB20240007"),  # seed 001
        ("C{year}{month}{day}{serial:3}", "C20240515007"),  # seed 002
        ("{year}{month}{serial:3}", "202405007"),  # seed 003
        ("CRM{year}-{serial:3}", "CRM2024-007"),  # seed 004
    ],
)
def test_the_numbers_of_the_seeds(template, number):
    scheme = NumberScheme.parse(template)
    assert scheme.format(7, date(2024, 5, 15), "AB") == number
    assert scheme.read(number) == (scheme.parts(date(2024, 5, 15), "AB"), 7)


def test_scopes():
    scope = NumberScheme.parse("{year}{month}{serial:3}").scope
    assert scope("customer", date(2023, 11, 5)) == "customer:202311"
    assert NumberScheme.parse("KH{serial:6}").scope("customer", date(2023, 11, 5)) == "customer"
    assert NumberScheme.parse("{short_name}{year}{serial:4}").scope("order", date(2023, 11, 5), "AB") == "order:2023:AB"


def test_an_exhausted_series_is_an_error_and_no_longer_number():
    scheme = NumberScheme.parse("{year}{month}{serial:3}")
    assert scheme.format(999, date(2023, 10, 8)) == "202310999"
    with pytest.raises(NumbersExhausted, match="999"):
        scheme.format(1000, date(2023, 10, 8))
    with pytest.raises(ValueError, match="from 1"):
        scheme.format(0, date(2023, 10, 8))


@pytest.mark.parametrize("short_name", [None, ""])
def test_a_company_without_its_short_name_gets_no_number(short_name):
    with pytest.raises(Invalid) as caught:
        NumberScheme.parse("{short_name}{year}{serial:4}").format(1, date(2024, 5, 15), short_name)
    assert [(issue.code, issue.field) for issue in caught.value.issues] == [("required", "customer.short_name")]


@pytest.mark.parametrize(
    "number",
    [
        "",
        "C20240515",
        "c20240515001",
        "C20240515000",
        "C20241315001",
        "C20240230001",
        "C00000515001",
        "C202405150011",
        "C2024051500１",
        "C20240515001\n",
        "XC20240515001",
    ],
)
def test_no_number_of_this_scheme(number):
    assert NumberScheme.parse("C{year}{month}{day}{serial:3}").read(number) is None


def test_a_leap_day_is_a_day_where_the_year_is_not_told():
    assert NumberScheme.parse("{month}{day}{serial:1}").read("02291")


@given(st.text(st.sampled_from("{}:serialyear1 0A\n"), max_size=16) | st.text(max_size=8))
def test_any_text_is_a_scheme_or_an_error_that_says_what_is_allowed(template):
    try:
        scheme = NumberScheme.parse(template)
    except ValueError as error:
        assert "{serial:N}" in str(error)
    else:
        assert "".join(scheme.pieces).replace("{serial}", f"{{serial:{scheme.width}}}") == template


@pytest.mark.parametrize(
    "template",
    [
        "",
        "C",
        "{year}",
        "{serial}",
        "{serial:0}",
        "{serial:19}",
        "{serial:3}{serial:3}",
        "{year}{year}{serial:3}",
        "{quarter}{serial:3}",
        "{serial:3",
        "serial:3}",
        "C {serial:3}",
        "{year:4}{serial:3}",
        "{{serial:3}}",
        "\x00{serial:3}",
    ],
)
def test_templates_refused(template):
    with pytest.raises(ValueError, match="a number scheme is"):
        NumberScheme.parse(template)
