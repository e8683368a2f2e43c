"""China's days off and make-up working days, 2004 to 2026, as facts; and a calendar that keeps them.

Source: the yearly notices of the General Office of the State Council (国务院办公厅关于部分节假日安排的通知), with the notice
of January 2020 that lengthened the Spring Festival. Published tables agree with them but for 2005-12-31: the notice for
2006 (国办发明电〔2005〕35号) has that Saturday worked, and so has this table. A year's last days are moved by the notice for
the *next* year now and then (2005, 2006, 2007, 2011, 2018, 2022, 2023), which comes out in November or December.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from functools import cache
from types import MappingProxyType

import attrs

from crmcore.domain.policies import Label
from crmcore.errors import Invalid, Issue
from crmcore.rules.calendars import Windows, WorkingCalendar

CONFIRMED_FROM = date(2004, 1, 1)
CONFIRMED_UNTIL = date(2026, 12, 31)

FESTIVALS: Mapping[str, Label] = {
    "new_year": Label(zh="元旦", en="New Year's Day"),
    "spring": Label(zh="春节", en="Spring Festival"),
    "tomb_sweeping": Label(zh="清明节", en="Tomb-sweeping Day"),
    "labour": Label(zh="劳动节", en="Labour Day"),
    "dragon_boat": Label(zh="端午节", en="Dragon Boat Festival"),
    "mid_autumn": Label(zh="中秋节", en="Mid-autumn Festival"),
    "national": Label(zh="国庆节", en="National Day"),
    "victory": Label(zh="抗战胜利70周年纪念日", en="70th Victory Day"),
}

#: By year: the festival, its days off (MMDD, or first-last), and with a plus the weekend days worked for it.
_NOTICES: Mapping[int, str] = {
    2004: ("new_year 0101; spring 0122-0128 +0117 +0118; labour 0501-0507 +0508 +0509; national 1001-1007 +1009 +1010"),
    2005: (
        "new_year 0101-0103 +1231; spring 0209-0215 +0205 +0206; labour 0501-0507 +0430 +0508; "
        "national 1001-1007 +1008 +1009"
    ),
    2006: (
        "new_year 0101-0103 +1230 +1231; spring 0129-0204 +0128 +0205; labour 0501-0507 +0429 +0430; "
        "national 1001-1007 +0930 +1008"
    ),
    2007: (
        "new_year 0101-0103 1230-1231 +1229; spring 0218-0224 +0217 +0225; labour 0501-0507 +0428 +0429; "
        "national 1001-1007 +0929 +0930"
    ),
    2008: (
        "new_year 0101; spring 0206-0212 +0202 +0203; tomb_sweeping 0404-0406; labour 0501-0503 +0504; "
        "dragon_boat 0607-0609; mid_autumn 0913-0915; national 0929-1005 +0927 +0928"
    ),
    2009: (
        "new_year 0101-0103 +0104; spring 0125-0131 +0124 +0201; tomb_sweeping 0404-0406; labour 0501-0503; "
        "dragon_boat 0528-0530 +0531; national 1001-1002 1004-1008 +0927 +1010; mid_autumn 1003"
    ),
    2010: (
        "new_year 0101-0103; spring 0213-0219 +0220 +0221; tomb_sweeping 0403-0405; labour 0501-0503; "
        "dragon_boat 0614-0616 +0612 +0613; mid_autumn 0922-0924 +0919 +0925; national 1001-1007 +0926 +1009"
    ),
    2011: (
        "new_year 0101-0103 +1231; spring 0202-0208 +0130 +0212; tomb_sweeping 0403-0405 +0402; "
        "labour 0430-0502; dragon_boat 0604 0606; mid_autumn 0910-0912; national 1001-1007 +1008 +1009"
    ),
    2012: (
        "new_year 0101-0103; spring 0122-0128 +0121 +0129; tomb_sweeping 0402-0404 +0331 +0401; "
        "labour 0429-0501 +0428; dragon_boat 0622 0624; mid_autumn 0930; national 1001-1007 +0929"
    ),
    2013: (
        "new_year 0101-0103 +0105 +0106; spring 0209-0215 +0216 +0217; tomb_sweeping 0404-0406 +0407; "
        "labour 0429-0501 +0427 +0428; dragon_boat 0610-0612 +0608 +0609; mid_autumn 0919-0921 +0922; "
        "national 1001-1007 +0929 +1012"
    ),
    2014: (
        "new_year 0101; spring 0131-0206 +0126 +0208; tomb_sweeping 0405-0407; labour 0501-0503 +0504; "
        "dragon_boat 0602; mid_autumn 0908; national 1001-1007 +0928 +1011"
    ),
    2015: (
        "new_year 0101-0103 +0104; spring 0218-0224 +0215 +0228; tomb_sweeping 0405-0406; labour 0501; "
        "dragon_boat 0620 0622; victory 0903-0904 +0906; mid_autumn 0927; national 1001-1007 +1010"
    ),
    2016: (
        "new_year 0101; spring 0207-0213 +0206 +0214; tomb_sweeping 0404; labour 0501-0502; "
        "dragon_boat 0609-0611 +0612; mid_autumn 0915-0917 +0918; national 1001-1007 +1008 +1009"
    ),
    2017: (
        "new_year 0101-0102; spring 0127-0202 +0122 +0204; tomb_sweeping 0402-0404 +0401; labour 0501; "
        "dragon_boat 0528-0530 +0527; national 1001-1003 1005-1008 +0930; mid_autumn 1004"
    ),
    2018: (
        "new_year 0101 1230-1231 +1229; spring 0215-0221 +0211 +0224; tomb_sweeping 0405-0407 +0408; "
        "labour 0429-0501 +0428; dragon_boat 0618; mid_autumn 0924; national 1001-1007 +0929 +0930"
    ),
    2019: (
        "new_year 0101; spring 0204-0210 +0202 +0203; tomb_sweeping 0405-0407; labour 0501-0504 +0428 +0505; "
        "dragon_boat 0607-0609; mid_autumn 0913-0915; national 1001-1007 +0929 +1012"
    ),
    2020: (
        "new_year 0101; spring 0124-0202 +0119; tomb_sweeping 0404-0406; labour 0501-0505 +0426 +0509; "
        "dragon_boat 0625-0627 +0628; national 1001-1008 +0927 +1010"
    ),
    2021: (
        "new_year 0101-0103; spring 0211-0217 +0207 +0220; tomb_sweeping 0403-0405; "
        "labour 0501-0505 +0425 +0508; dragon_boat 0612-0614; mid_autumn 0919-0921 +0918; "
        "national 1001-1007 +0926 +1009"
    ),
    2022: (
        "new_year 0101-0103 1231; spring 0131-0206 +0129 +0130; tomb_sweeping 0403-0405 +0402; "
        "labour 0430-0504 +0424 +0507; dragon_boat 0603-0605; mid_autumn 0910-0912; "
        "national 1001-1007 +1008 +1009"
    ),
    2023: (
        "new_year 0101-0102 1230-1231; spring 0121-0127 +0128 +0129; tomb_sweeping 0405; "
        "labour 0429-0503 +0423 +0506; dragon_boat 0622-0624 +0625; mid_autumn 0929; "
        "national 0930-1006 +1007 +1008"
    ),
    2024: (
        "new_year 0101; spring 0210-0217 +0204 +0218; tomb_sweeping 0404-0406 +0407; "
        "labour 0501-0505 +0428 +0511; dragon_boat 0610; mid_autumn 0915-0917 +0914; "
        "national 1001-1007 +0929 +1012"
    ),
    2025: (
        "new_year 0101; spring 0128-0204 +0126 +0208; tomb_sweeping 0404-0406; labour 0501-0505 +0427; "
        "dragon_boat 0531-0602; national 1001-1005 1007-1008 +0928 +1011; mid_autumn 1006"
    ),
    2026: (
        "new_year 0101-0103 +0104; spring 0215-0223 +0214 +0228; tomb_sweeping 0404-0406; "
        "labour 0501-0505 +0509; dragon_boat 0619-0621; mid_autumn 0925-0927; national 1001-1007 +0920 +1010"
    ),
}


def _days(year: int, written: str) -> Iterator[date]:
    first, _, last = written.partition("-")
    day, end = (date(year, int(text[:2]), int(text[2:])) for text in (first, last or first))
    while day <= end:
        yield day
        day += timedelta(days=1)


@cache
def _facts() -> tuple[Mapping[date, str], Mapping[date, str]]:
    off: dict[date, str] = {}
    worked: dict[date, str] = {}
    for year, notice in _NOTICES.items():
        for entry in notice.split("; "):
            festival, *spans = entry.split(" ")
            for span in spans:
                kept = worked if span.startswith("+") else off
                kept.update(dict.fromkeys(_days(year, span.removeprefix("+")), festival))
    return MappingProxyType(off), MappingProxyType(worked)


def days_off() -> Mapping[date, str]:
    """The days off by date, with the key of their festival; weekends count where they lie within a holiday."""
    return _facts()[0]


def make_up_days() -> Mapping[date, str]:
    """The Saturdays and Sundays that are worked (调休上班), with the key of the festival they are worked for."""
    return _facts()[1]


def in_china(calendar: WorkingCalendar, make_up: Windows | None = None) -> WorkingCalendar:
    """A calendar with China's days off and make-up days added, confirmed for 2004 to 2026.

    A make-up day has the windows ``make_up``; by default those of the first day of the week that is open. What the calendar
    itself says of a date, as an override or a holiday, goes before. Raises :class:`Invalid` where no day of the week is open
    and ``make_up`` is not given.
    """
    opening = make_up or next((hours for hours in calendar.weekly if hours), None)
    if opening is None:
        raise Invalid([Issue(code="never_open", field="calendar.weekly")])
    off = {day: festival for day, festival in days_off().items() if day not in calendar.overrides}
    names = {day: FESTIVALS[festival] for day, festival in off.items()}
    for day, festival in make_up_days().items():
        label = FESTIVALS[festival]
        names[day] = Label(zh=f"{label.zh}调休上班", en=f"make-up day for {label.en}")
    return attrs.evolve(
        calendar,
        holidays=calendar.holidays.union(off),
        overrides={**dict.fromkeys(make_up_days(), opening), **calendar.overrides},
        names={**names, **calendar.names},
        confirmed_from=max(calendar.confirmed_from or CONFIRMED_FROM, CONFIRMED_FROM),
        confirmed_until=min(calendar.confirmed_until or CONFIRMED_UNTIL, CONFIRMED_UNTIL),
    )
