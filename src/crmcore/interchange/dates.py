"""Reading dates as people type them, and telling in which order a column writes day, month and year. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Literal

from crmcore.domain.fields import Unclean
from crmcore.interchange.sheets import Cell

DateOrder = Literal["ymd", "dmy", "mdy"]
CENTURY_PIVOT = 69  #: two-digit years from here on are 19xx, below 20xx, as in POSIX
_DAY_ZERO, _DAY_ZERO_1904 = date(1899, 12, 30), date(1904, 1, 1)
_SERIALS = range(10_000, 100_000)  # 1927-05-18 to 2173-10-13; a shorter number is rather a year or a count
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

_TIME = (
    r"(?:(?:(?<=[日号])|[t\s])\s*(?P<before>上午|下午)?\s*(?P<hour>\d{1,2})[:时点](?P<minute>\d{1,2})分?"
    r"(?::?(?P<second>\d{1,2})(?:\.\d+)?秒?)?\s*(?P<after>am|pm)?\s*(?P<zone>z|[+-]\d\d:?\d\d)?)?"
)
_WEEKDAY = r"(?:\s*\(?(?:星期|周)[一二三四五六日天]\)?)?"
_YEAR_FIRST = re.compile(
    r"(?:(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})"
    rf"|(?P<year_cn>\d{{4}}|\d\d)年(?P<month_cn>\d{{1,2}})月(?P<day_cn>\d{{1,2}})[日号]?){_WEEKDAY}{_TIME}"
)
_YEAR_LAST = re.compile(
    r"(?P<first>\d{1,2})(?P<mark>[-/.])(?P<second_part>\d{1,2})(?P=mark)(?P<last>\d{4}|\d\d)" + _TIME
)
_NAMED_MONTH = re.compile(
    r"(?:(?P<day>\d{1,2})[-\s](?P<month>[a-z]{3,9})[-\s,]+|(?P<month_us>[a-z]{3,9})\s+(?P<day_us>\d{1,2}),?\s+)"
    r"(?P<year>\d{4}|\d\d)" + _TIME
)
_CHARACTERS = {"零": 0, **{sign: number for number, sign in enumerate("〇一二三四五六七八九")}}
_IN_CHARACTERS = re.compile(
    r"(?P<year>[〇零一二三四五六七八九]{4}|[〇零一二三四五六七八九]{2})年"
    r"(?P<month>[〇零]?[一二三四五六七八九]|十[一二]?|一十[一二]?)月"
    r"(?P<day>[〇零]?[一二三四五六七八九]|[一二三]?十[一二三四五六七八九]?)(?P<mark>[日号])"
)
_DIGITS = re.compile(r"\d{8}|\d{5}(?:\.\d+)?")


def infer_date_order(cells: Iterable[Cell]) -> DateOrder | None:
    """The order of a column whose dates do not begin with a four-digit year, where the column itself decides it.

    Each such text allows the orders in which it is a date: a part above 12 is no month, a year of two digits may stand
    first. The one order that all of them allow is the column's; None where there are several, none, or no such text.
    """
    allowed: set[DateOrder] | None = None
    for cell in cells:
        found = _YEAR_LAST.fullmatch(_plain(cell)) if isinstance(cell, str) else None
        readings = _readings(found) if found else {}
        if readings and (len(readings) == 1 or len(set(readings.values())) > 1):
            allowed = set(readings) if allowed is None else allowed & readings.keys()
    return allowed.pop() if allowed and len(allowed) == 1 else None


def read_moment(cell: Cell, order: DateOrder | None = None, *, from_1904: bool = False) -> date | datetime:
    """A date, or a date-time where a time of day stands beside it; aware only where an offset was written.

    Takes cells that are dates, ``2024-03-15``, ``2024/3/15``, ``2024.3.15``, ``2024年3月15日``, 二〇二四年三月十五日, ``20240315``,
    ``15-Mar-2024``, spreadsheet serials of the 1900 system, or of the other one ``from_1904``, and with ``order``
    ``15/03/2024``. Raises ``Unclean`` with ``bad_date``, or ``ambiguous_date`` where the order would decide and is not known.
    """
    if isinstance(cell, date):
        return cell
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        return _from_number(cell, from_1904)
    if not isinstance(cell, str):
        raise Unclean("bad_date")
    text = _plain(cell)
    if _DIGITS.fullmatch(text):
        return _from_number(float(text), from_1904)
    if found := _YEAR_FIRST.fullmatch(text):
        year, month, day = (found[part] or found[f"{part}_cn"] for part in ("year", "month", "day"))
        return _with_time(_date(_year(year), int(month), int(day)), found)
    if found := _NAMED_MONTH.fullmatch(text):
        name, day = found["month"] or found["month_us"], found["day"] or found["day_us"]
        if name[:3] not in _MONTHS:
            raise Unclean("bad_date")
        return _with_time(_date(_year(found["year"]), _MONTHS.index(name[:3]) + 1, int(day)), found)
    if found := _YEAR_LAST.fullmatch(text):
        return _with_time(_choose(_readings(found), order), found)
    raise Unclean("bad_date")


def _plain(text: str) -> str:
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return _IN_CHARACTERS.sub(_in_digits, plain)


def _in_digits(found: re.Match[str]) -> str:
    """二〇二四年三月十五日 with its numbers in digits; a year is written digit by digit."""
    year = "".join(str(_CHARACTERS[sign]) for sign in found["year"])
    return f"{year}年{_below_hundred(found['month'])}月{_below_hundred(found['day'])}{found['mark']}"


def _below_hundred(text: str) -> int:
    """十五, 二十, 三十一, 〇三 as a number."""
    tens, ten, ones = text.rpartition("十")
    if not ten:
        return int("".join(str(_CHARACTERS[sign]) for sign in ones))
    return 10 * (_CHARACTERS[tens] if tens else 1) + (_CHARACTERS[ones] if ones else 0)


def _year(digits: str) -> int:
    year = int(digits)
    return year if len(digits) == 4 else year + (1900 if year >= CENTURY_PIVOT else 2000)


def _date(year: int, month: int, day: int) -> date:
    try:
        return date(year, month, day)
    except ValueError:
        raise Unclean("bad_date") from None


def _from_number(number: float, from_1904: bool) -> date | datetime:
    if not 0 < number < 10**8:
        raise Unclean("bad_date")
    whole = int(number)
    if number == whole and whole >= 19_000_101:
        return _date(whole // 10_000, whole // 100 % 100, whole % 100)
    if whole not in _SERIALS:
        raise Unclean("bad_date")
    day = (_DAY_ZERO_1904 if from_1904 else _DAY_ZERO) + timedelta(days=whole)
    return (
        day if number == whole else datetime.combine(day, time()) + timedelta(seconds=round((number - whole) * 86_400))
    )


def _readings(found: re.Match[str]) -> dict[DateOrder, date]:
    """The dates that a text with its year last, or with three short parts, can mean."""
    first, second, last = found["first"], found["second_part"], found["last"]
    ways: dict[DateOrder, tuple[str, str, str]] = {"dmy": (last, second, first), "mdy": (last, first, second)}
    if len(first) == len(last) == 2:
        ways["ymd"] = (first, second, last)
    readings: dict[DateOrder, date] = {}
    for order, (year, month, day) in ways.items():
        if 1 <= int(month) <= 12:
            try:
                readings[order] = date(_year(year), int(month), int(day))
            except ValueError:
                continue  # No such day in that order; another may have one.
    return readings


def _choose(readings: dict[DateOrder, date], order: DateOrder | None) -> date:
    if order in readings:
        return readings[order]
    if not readings or order in ("dmy", "mdy"):
        raise Unclean("bad_date")
    if len(set(readings.values())) > 1:
        raise Unclean("ambiguous_date")
    return next(iter(readings.values()))


def _with_time(day: date, found: re.Match[str]) -> date | datetime:
    if not found["hour"]:
        return day
    hour, minute, second = int(found["hour"]), int(found["minute"]), int(found["second"] or 0)
    if found["before"] == "下午" or found["after"] == "pm":
        hour += 12 * (hour < 12)
    elif found["before"] or found["after"]:
        hour %= 12
    zone = None
    if offset := found["zone"]:
        minutes = 0 if offset == "z" else int(offset[1:3]) * 60 + int(offset[-2:])
        zone = timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes)) if minutes < 1440 else None
        zone = UTC if offset == "z" else zone
    try:
        return datetime.combine(day, time(hour, minute, second, tzinfo=zone))
    except ValueError:
        raise Unclean("bad_date") from None
