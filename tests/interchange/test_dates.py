"""Dates as people write them, and the order that a column gives away."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmcore.domain.fields import Unclean
from crmcore.interchange.dates import CENTURY_PIVOT, DateOrder, infer_date_order, read_moment
from crmcore.interchange.sheets import Cell

DAYS = st.dates(datetime.date(1930, 1, 1), datetime.date(2173, 10, 13))
FORMS = {
    "ymd": "{0.year:04}{1}{0.month}{1}{0.day}",
    "dmy": "{0.day}{1}{0.month}{1}{0.year:04}",
    "mdy": "{0.month}{1}{0.day}{1}{0.year:04}",
}


def problem(cell: Cell, order: DateOrder | None = None) -> str:
    with pytest.raises(Unclean) as caught:
        read_moment(cell, order)
    return caught.value.code


@given(DAYS)
def test_forms_that_begin_with_the_year_need_no_order(day: datetime.date) -> None:
    serial = (day - datetime.date(1899, 12, 30)).days
    forms: list[Cell] = [
        f"{day:%Y%m%d}",
        float(f"{day:%Y%m%d}"),
        float(serial),
        str(serial),
        f"{day:%d-%b-%Y}",
        f"{day:%B %d, %Y}",
    ]
    forms += [FORMS["ymd"].format(day, mark) for mark in "-/."]
    forms += [
        f" {day} ",
        f"{day.year}年{day.month}月{day.day}日",
        f"{day.year} 年 {day.month} 月 {day.day} 日".replace(" ", ""),
    ]
    for form in forms:
        assert read_moment(form) == day, form


@given(DAYS, st.sampled_from("-/."), st.sampled_from(["dmy", "mdy"]))
def test_a_known_order_is_followed_and_never_swapped(day: datetime.date, mark: str, order: DateOrder) -> None:
    text = FORMS[order].format(day, mark)
    assert read_moment(text, order) == day
    other: DateOrder = "mdy" if order == "dmy" else "dmy"
    if day.day > 12:
        assert problem(text, other) == "bad_date"
        assert read_moment(text) == day
    elif day.day != day.month:
        assert problem(text) == "ambiguous_date"


@given(st.lists(DAYS, min_size=1, max_size=30), st.sampled_from(["dmy", "mdy"]))
def test_a_column_gives_its_order_away_by_one_day_above_12(days: list[datetime.date], order: DateOrder) -> None:
    cells: list[Cell] = [FORMS[order].format(day, "/") for day in days]
    inferred = infer_date_order([None, 5.0, "text", *cells, datetime.date(2024, 1, 1), "2024-01-02"])
    assert inferred == (order if any(day.day > 12 for day in days) else None)


@given(
    st.lists(st.dates(datetime.date(2000, 1, 1), datetime.date(2031, 12, 31)), min_size=1, max_size=20),
    st.sampled_from(["ymd", "dmy", "mdy"]),
)
def test_short_years_are_decided_by_the_column_or_not_at_all(days: list[datetime.date], order: DateOrder) -> None:
    form = {"ymd": "%y-%m-%d", "dmy": "%d-%m-%y", "mdy": "%m-%d-%y"}[order]
    cells: list[Cell] = [day.strftime(form) for day in days]
    assert infer_date_order(cells) in (order, None)
    assert [read_moment(cell, order) for cell in cells] == days


def test_a_column_that_contradicts_itself_is_not_decided() -> None:
    assert infer_date_order(["13/02/2024", "02/13/2024"]) is None
    assert infer_date_order(["03/03/2024", "04/04/2024"]) is None
    assert infer_date_order([]) is None
    assert infer_date_order(["99/99/2024", "13/02/2024"]) == "dmy"


def test_short_years_turn_at_the_pivot() -> None:
    assert [read_moment(f"15-03-{year:02}", "dmy").year for year in (0, CENTURY_PIVOT - 1, CENTURY_PIVOT, 99)] == [
        2000, 2068, 1969, 1999,
    ]  # fmt: skip
    assert problem("15-03-24") == "ambiguous_date"


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2024-05-25\u00a011:12:53", (11, 12, 53)),
        ("2012/10/09 14:50:17.000", (14, 50, 17)),
        ("2024-05-25T11:12", (11, 12, 0)),
        ("2024/5/25 下午 3:20:00", (15, 20, 0)),
        ("2024/5/25 上午12:20", (0, 20, 0)),
        ("5/25/2024 12:05 AM", (0, 5, 0)),
        ("25/5/2024 3:05 pm", (15, 5, 0)),
        ("2024年5月25日10时30分", (10, 30, 0)),
        ("2024年5月25日 星期六 9:30", (9, 30, 0)),
    ],
)
def test_a_time_of_day_beside_the_date(text: str, time: tuple[int, int, int]) -> None:
    found = read_moment(text)
    assert isinstance(found, datetime.datetime)
    assert found.time() == datetime.time(*time)


def test_an_offset_makes_it_aware() -> None:
    found = read_moment("2024-03-15 10:00:00+05:30")
    assert isinstance(found, datetime.datetime)
    assert found.utcoffset() == datetime.timedelta(hours=5, minutes=30)


@pytest.mark.parametrize(
    "cell",
    ["2024-02-30", "2024-13-01", "2024年3月", "2024-03/15", "星期五", "31/31/2024", "15-Mxx-24", "99999999", 2024.0, 5.0,
     "2024", 1e9, float("nan"), float("inf"), -45366.0, True, datetime.time(9), None, "2024-03-15 25:00", "2024-03-15 10:61"],
)  # fmt: skip
def test_what_is_no_date(cell: Cell) -> None:
    assert problem(cell) == "bad_date"


CHARACTERS = "〇一二三四五六七八九"


def spoken(number: int) -> str:
    """A number below a hundred as it is read."""
    tens, ones = divmod(number, 10)
    return f"{CHARACTERS[tens] if tens > 1 else ''}{'十' if tens else ''}{CHARACTERS[ones] if ones else ''}"


@given(DAYS, st.sampled_from("日号"), st.sampled_from(["", " 星期三"]))
def test_a_date_in_characters_is_the_date(day: datetime.date, mark: str, weekday: str) -> None:
    year = "".join(CHARACTERS[int(digit)] for digit in str(day.year))
    text = f"{year}年{spoken(day.month)}月{spoken(day.day)}{mark}"
    assert read_moment(text + weekday) == day
    assert read_moment(text.replace("〇", "零")) == day


@given(DAYS)
def test_a_number_of_the_other_calendar_is_a_day_of_it(day: datetime.date) -> None:
    serial = (day - datetime.date(1904, 1, 1)).days
    for form in (float(serial), str(serial)):
        if serial >= 10_000:
            assert read_moment(form, from_1904=True) == day
            assert read_moment(form) == day - datetime.timedelta(days=1462)
    assert read_moment(f"{day:%Y%m%d}", from_1904=True) == day


@pytest.mark.parametrize(
    "text", ["二〇二四年十三月一日", "二〇二四年二月三十日", "二〇二四年三月", "三月十五日", "二千年一月一日"]
)
def test_characters_that_name_no_day_are_no_date(text: str) -> None:
    assert problem(text) == "bad_date"
