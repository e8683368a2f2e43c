"""Numbers written in Chinese characters, the ordinary and the capital ones of cheques: 五十万元, 人民币伍拾万元整. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

_DIGITS: Mapping[str, int] = {
    sign: number for signs in ("〇一二三四五六七八九", "零壹贰叁肆伍陆柒捌玖") for number, sign in enumerate(signs)
} | {"两": 2, "貳": 2, "陸": 6}
_UNITS: Mapping[str, int] = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000}
_SECTIONS: Mapping[str, int] = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
_SIGNS = "".join([*_DIGITS, *_UNITS, *_SECTIONS])
_SAID = re.compile(
    rf"(?P<before>人民币|rmb|cny|¥)?:?(?P<whole>[{_SIGNS}]+)(?:(?P<coin>元|圆|块)(?:(?P<tenths>[{''.join(_DIGITS)}])角)?"
    rf"(?:零?(?P<hundredths>[{''.join(_DIGITS)}])分)?)?[整正]?"
)


def spoken_amount(text: str) -> str:
    """An amount in characters as digits, in 元 where it names that or counts by 万; any other text as it is.

    >>> spoken_amount("人民币伍拾万元整"), spoken_amount("一亿二千万"), spoken_amount("叁元伍角零贰分"), spoken_amount("三百")
    ('人民币500000元', '120000000元', '3.52元', '300')
    """
    found = _SAID.fullmatch(text)
    if not found or not (found["coin"] or set(found["whole"]) & {*_UNITS, *_SECTIONS}):
        return text
    whole = read_numeral(found["whole"])
    if whole is None:
        return text
    parts = [Decimal(_DIGITS[found[name]] if found[name] else 0) for name in ("tenths", "hundredths")]
    amount = whole + parts[0] / 10 + parts[1] / 100
    coin = "元" if found["coin"] or set(found["whole"]) & {*_SECTIONS} else ""
    return f"{found['before'] or ''}{amount.normalize():f}{coin}"


def read_numeral(text: str) -> int | None:
    """A whole number in characters; None where they are none in the order in which they are said.

    >>> read_numeral("三千零五十"), read_numeral("十"), read_numeral("两万亿"), read_numeral("五百五"), read_numeral("百")
    (3050, 10, 2000000000000, None, None)
    """
    total = section = 0
    digit: int | None = None
    least_unit, zero = 10**4, True
    for place, sign in enumerate(text):
        if sign in _DIGITS:
            if digit is not None:
                return None
            if _DIGITS[sign] == 0:
                zero = True
                continue
            digit = _DIGITS[sign]
        elif sign in _UNITS:
            unit = _UNITS[sign]
            if unit >= least_unit or (digit is None and not (unit == 10 and place == 0)):
                return None
            section += (1 if digit is None else digit) * unit
            digit, least_unit, zero = None, unit, False
        elif sign not in _SECTIONS:
            return None
        else:
            section += digit or 0
            if not section and not total:
                return None
            # 两万亿: a section of sections.
            total = (total + section) * _SECTIONS[sign] if _SECTIONS[sign] > 10**4 else total + section * 10**4
            section, digit, least_unit, zero = 0, None, 10**4, False
    if digit is not None and not zero and least_unit != 10:
        return None  # 五百五 leaves open whether fifty or five is meant
    return total + section + (digit or 0)
