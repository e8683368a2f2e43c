"""Amounts in characters and ranges of amounts: read where they say one thing, refused where they leave it open."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmcore.domain.fields import Unclean
from crmcore.domain.values import Money
from crmcore.interchange.amounts import is_range, read_range
from crmcore.interchange.cells import DEFAULTS, CellOptions, parse
from crmcore.interchange.numerals import read_numeral, spoken_amount

ORDINARY, CAPITAL = "零一二三四五六七八九", "零壹贰叁肆伍陆柒捌玖"
UNITS = {ORDINARY: "千百十", CAPITAL: "仟佰拾"}


def spoken(number: int, digits: str) -> str:
    """A number below 10^12 as it is read aloud."""
    if number >= 10**4:
        size, name = (10**8, "亿") if number >= 10**8 else (10**4, "万")
        head, rest = divmod(number, size)
        gap = digits[0] if 0 < rest < size // 10 else ""
        return spoken(head, digits) + name + gap + (spoken(rest, digits) if rest else "")
    said = ""
    for unit, name in zip((1000, 100, 10, 1), [*UNITS[digits], ""], strict=True):
        here, number = divmod(number, unit)
        if here:
            said += digits[here] + name
        elif said and number and not said.endswith(digits[0]):
            said += digits[0]
    return said or digits[0]


@given(number=st.integers(0, 10**12 - 1), digits=st.sampled_from([ORDINARY, CAPITAL]))
def test_a_number_is_read_as_it_is_spoken(number: int, digits: str) -> None:
    assert read_numeral(spoken(number, digits)) == number


@given(
    fen=st.integers(0, 10**12),
    digits=st.sampled_from([ORDINARY, CAPITAL]),
    before=st.sampled_from(["", "人民币", "RMB "]),
)
def test_an_amount_in_characters_is_the_amount_in_digits(fen: int, digits: str, before: str) -> None:
    yuan, rest = divmod(fen, 100)
    tenths, hundredths = divmod(rest, 10)
    text = f"{before}{spoken(yuan, digits)}元"
    text += f"{digits[tenths]}角" if tenths else digits[0] if hundredths else ""
    text += f"{digits[hundredths]}分" if hundredths else "" if tenths else "整"
    assert parse("money", text) == Money(fen, "CNY")


@given(text=st.text(st.sampled_from("零一二五十百千万亿元角分整壹拾0123.人民币-至以上下")))
def test_any_text_is_read_or_left(text: str) -> None:
    assert bool(spoken_amount(text)) == bool(text)
    number = read_numeral(text)
    assert number is None or number >= 0
    assert is_range(text, DEFAULTS) in (True, False)


@pytest.mark.parametrize("text", ["五百五", "二万五", "一二", "万", "百", "十百", "一千千", "五"])
def test_what_can_be_read_in_two_ways_is_no_amount(text: str) -> None:
    with pytest.raises(Unclean, match="bad_money"):
        parse("money", f"人民币{text}")


def test_a_column_s_unit_counts_unless_the_cell_names_its_own() -> None:
    options = CellOptions(unit=Decimal(10_000))
    assert parse("money", "三百", options=options) == Money.of(3_000_000)
    assert parse("money", "三百元", options=options) == Money.of(300)
    assert parse("money", "五十万", options=options) == Money.of(500_000)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("20-30万", 200_000, 300_000),
        ("20万-30万", 200_000, 300_000),
        ("20~30万元", 200_000, 300_000),
        ("20 至 30 万", 200_000, 300_000),
        ("¥200,000-300,000", 200_000, 300_000),
        ("5千到1万", 5_000, 10_000),
        ("二十万至三十万", 200_000, 300_000),
        ("1.5亿", 150_000_000, 150_000_000),
        ("10万以上", 100_000, None),
        ("10万+", 100_000, None),
        ("不低于10万元", 100_000, None),
        ("50万以下", None, 500_000),
        ("不超过50万", None, 500_000),
        ("≤50万", None, 500_000),
    ],
)
def test_ranges_as_people_write_them(text: str, low: int | None, high: int | None) -> None:
    assert read_range(text, DEFAULTS) == tuple(None if end is None else Money.of(end) for end in (low, high))
    assert is_range(text, DEFAULTS) == (low != high)


@given(
    ends=st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), scale=st.sampled_from(["", "万", "元", "万元", "亿"])
)
def test_a_range_is_read_forwards_only(ends: tuple[int, int], scale: str) -> None:
    low, high = ends
    text = f"{low}-{high}{scale}"
    if low <= high:
        assert read_range(text, DEFAULTS) == (parse("money", f"{low}{scale}"), parse("money", f"{high}{scale}"))
    else:
        with pytest.raises(Unclean, match="out_of_range"):
            read_range(text, DEFAULTS)


@pytest.mark.parametrize("text", ["约10万", "10万左右", "面议", "¥20-$30", "20-", "-30万", "10-20-30万"])
def test_what_names_no_ends_is_no_range(text: str) -> None:
    assert not is_range(text, DEFAULTS)
