"""Calendars as values, read from plain data, with China's days; and working days."""

from __future__ import annotations

import datetime
import json

import attrs
import pytest
from calendar_strategies import DATES, DAY, UTC, calendars, moments
from hypothesis import given
from hypothesis import strategies as st

from crmcore.errors import ISSUES, Invalid
from crmcore.rules.calendar_reading import KEYS, read_calendar
from crmcore.rules.calendar_years import instant_of, midnight
from crmcore.rules.calendars import WEEKDAYS, Leave, Window, WorkingCalendar, round_the_clock, week, windows
from crmcore.rules.china_days import CONFIRMED_FROM, CONFIRMED_UNTIL, days_off, in_china, make_up_days
from crmcore.rules.timing import zone_named
from crmcore.rules.working_days import add_working_days, count_working_days, is_working_day, working_day_after
from crmcore.rules.working_time import WorkingTime, working_time

OFFICE = WorkingCalendar(timezone="Asia/Shanghai", weekly=week(windows("09:00-12:00", "13:00-18:00")))
DAYS = st.integers(-12, 12)
LANDINGS = st.sampled_from(["same_time", "next_open", "previous_close", "close", "whole_days"])


def codes(caught: pytest.ExceptionInfo[Invalid]) -> list[tuple[str, str | None]]:
    for issue in caught.value.issues:
        assert issue.text("zh-CN") and issue.text("en")
    return [(issue.code, issue.field) for issue in caught.value.issues]


@pytest.mark.parametrize("text", ["09:00-12:00", "00:00-24:00", "22:00-31:00", "08:30:15-08:30:16"])
def test_a_window_is_read_as_it_is_written(text):
    assert str(Window.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "9-12", "09:00", "12:00-09:00", "09:00-09:00", "24:00-25:00", "00:00-49:00", "09:60-10:00"]
)
def test_what_is_no_window_is_refused(text):
    with pytest.raises(ValueError, match=r"window|time of day"):
        Window.parse(text)


def test_everything_wrong_with_a_calendar_comes_at_once():
    moment = datetime.datetime(2026, 3, 2, tzinfo=UTC)
    with pytest.raises(Invalid) as caught:
        WorkingCalendar(
            timezone="Asia/Pekin",
            weekly=week(windows("09:00-12:00", "11:00-13:00"), ["mon"]),
            overrides={datetime.date(2026, 1, 4): windows("09:00-12:00", "10:00-11:00")},
            leaves=(Leave(moment, moment - DAY), Leave(moment.replace(tzinfo=None), moment)),
            confirmed_from=datetime.date(2026, 1, 1),
            confirmed_until=datetime.date(2025, 1, 1),
        )
    assert codes(caught) == [
        ("unknown_zone", "calendar.timezone"),
        ("overlapping", "calendar.weekly.mon"),
        ("overlapping", "calendar.date_overrides.2026-01-04"),
        ("ends_early", "calendar.leaves.1"),
        ("naive_time", "calendar.leaves.2"),
        ("ends_early", "calendar.confirmed_until"),
    ]


@pytest.mark.parametrize("zone", ["", "Europe", "../etc/passwd", "Mars/Olympus"])
def test_what_is_no_zone_is_refused(zone):
    with pytest.raises(Invalid) as caught:
        round_the_clock(zone)
    assert codes(caught) == [("unknown_zone", "calendar.timezone")]


@pytest.mark.parametrize(
    "special",
    [{}, {"overrides": {datetime.date(2026, 1, 4): windows("09:00-12:00")}, "holidays": [datetime.date(2026, 1, 4)]}],
)
def test_a_calendar_without_an_open_day_is_refused(special):
    with pytest.raises(Invalid) as caught:
        WorkingCalendar(timezone="UTC", weekly=((),) * 7, **special)
    assert codes(caught) == [("never_open", "calendar.weekly")]


def test_a_holiday_comes_before_an_override_and_that_before_the_week():
    monday, tuesday, sunday = (datetime.date(2026, 3, number) for number in (2, 3, 8))
    calendar = WorkingCalendar(
        timezone="UTC",
        weekly=week(windows("09:00-17:00")),
        holidays=[monday],
        annual_holidays=[(3, 4)],
        overrides=dict.fromkeys((monday, sunday, tuesday), windows("10:00-11:00")),
    )
    assert calendar.windows_on(monday) == calendar.windows_on(datetime.date(2027, 3, 4)) == ()
    assert calendar.windows_on(tuesday) == calendar.windows_on(sunday) == windows("10:00-11:00")
    assert calendar.windows_on(datetime.date(2026, 3, 5)) == windows("09:00-17:00")


def test_annual_holidays_come_every_year_that_has_the_day():
    calendar = attrs.evolve(OFFICE, annual_holidays=[(2, 29), (12, 25)])
    working = WorkingTime(calendar)
    days = [datetime.date(*day) for day in ((2023, 2, 28), (2023, 3, 1), (2023, 12, 25), (2024, 2, 29), (2024, 12, 25))]
    assert [is_working_day(working, day) for day in days] == [True, True, False, False, False]


def test_a_calendar_reads_from_plain_data():
    read = read_calendar(
        {
            "timezone": "Asia/Shanghai",
            "weekly": {"mon-fri": ["09:00-12:00", ["13:00", "18:00"]], "sat": ["10:00-12:00"]},
            "holidays": ["2026-01-01", datetime.date(2026, 1, 2)],
            "annual_holidays": ["02-29"],
            "date_overrides": {"2026-01-04": ["09:00-12:00"]},
            "date_breaks": {"2026-01-05": ["09:00-10:00"]},
            "leaves": [["2026-02-02T09:00:00", "2026-02-02T03:00:00+00:00"]],
            "confirmed_until": datetime.date(2026, 12, 31),
            "note": "the office",
        }
    )
    assert read == WorkingCalendar(
        timezone="Asia/Shanghai",
        weekly=(*week(windows("09:00-12:00", "13:00-18:00"))[:5], windows("10:00-12:00"), ()),
        holidays=[datetime.date(2026, 1, 1), datetime.date(2026, 1, 2)],
        annual_holidays=[(2, 29)],
        overrides={datetime.date(2026, 1, 4): windows("09:00-12:00")},
        breaks={datetime.date(2026, 1, 5): windows("09:00-10:00")},
        leaves=(
            Leave(
                datetime.datetime(2026, 2, 2, 1, tzinfo=UTC),
                datetime.datetime(2026, 2, 2, 3, tzinfo=UTC),
            ),
        ),
        confirmed_until=datetime.date(2026, 12, 31),
    )
    assert working_time(read) is working_time(read)


def test_everything_wrong_with_plain_data_comes_at_once():
    with pytest.raises(Invalid) as caught:
        read_calendar(
            {
                "weekly": {"mon": ["9-10", ["09:00"]], "funday": [], "tue": "all day"},
                "holidays": ["2026-13-01", 5],
                "annual_holidays": ["02-30"],
                "date_overrides": {"someday": ["09:00-12:00"]},
                "date_breaks": ["2026-01-01"],
                "leaves": [["2026-01-02", "2026-01-01"], ["2026-01-02"], ["x", "y"]],
                "public_holidays": "atlantis",
                "confirmed_until": "soon",
                "lunch": True,
            },
            "shop",
        )
    assert codes(caught) == [
        ("unknown_field", "shop.lunch"),
        ("required", "shop.timezone"),
        ("bad_window", "shop.weekly.mon.1"),
        ("bad_window", "shop.weekly.mon.2"),
        ("bad_choice", "shop.weekly.funday"),
        ("bad_type", "shop.weekly.tue"),
        ("bad_date", "shop.holidays.1"),
        ("bad_date", "shop.holidays.2"),
        ("bad_date", "shop.annual_holidays.1"),
        ("bad_date", "shop.date_overrides.someday"),
        ("bad_type", "shop.date_breaks"),
        ("ends_early", "shop.leaves.1"),
        ("bad_type", "shop.leaves.2"),
        ("bad_date", "shop.leaves.3"),
        ("bad_date", "shop.confirmed_until"),
        ("bad_choice", "shop.public_holidays"),
    ]
    assert {code for code, _ in codes(caught)} <= set(ISSUES)


def opening_hours(weekly):
    return read_calendar({"timezone": "UTC", "weekly": weekly}).weekly


@given(st.integers(0, 6), st.integers(0, 6))
def test_a_range_of_days_goes_on_over_the_end_of_the_week(first, length):
    chosen = [WEEKDAYS[(first + number) % 7] for number in range(length + 1)]
    assert opening_hours({f"{chosen[0]}-{chosen[-1]}": ["09:00-12:00"]}) == week(windows("09:00-12:00"), chosen)


@given(st.permutations(["mon-fri", "wed", "sat"]))
def test_a_day_on_its_own_goes_before_a_range_whichever_comes_first(keys):
    hours = {"mon-fri": ["09:00-17:00"], "wed": [], "sat": ["10:00-12:00"]}
    whole, short = windows("09:00-17:00"), windows("10:00-12:00")
    assert opening_hours({key: hours[key] for key in keys}) == (whole, whole, (), whole, whole, short, ())


@pytest.mark.parametrize(
    ("weekly", "wrong"),
    [
        ({"mon-wed": ["09:00-12:00"], "wed-fri": ["13:00-18:00"]}, ["wed-fri"]),
        ({"fri-mon": [], "mon-thu": ["09:00-12:00"]}, ["mon-thu"]),
        ({"mon-sun": ["09:00-12:00"], "tue-wed": [], "fri-fri": [], "sat": []}, ["tue-wed", "fri-fri"]),
    ],
)
def test_two_ranges_that_share_a_day_are_refused(weekly, wrong):
    with pytest.raises(Invalid) as caught:
        opening_hours(weekly)
    assert codes(caught) == [("overlapping", f"calendar.weekly.{key}") for key in wrong]


@pytest.mark.parametrize("key", ["mon-", "-mon", "mon-tue-wed", "Mon", "mon - tue", ""])
def test_what_names_no_days_is_refused(key):
    with pytest.raises(Invalid) as caught:
        opening_hours({key: ["09:00-12:00"]})
    assert codes(caught) == [("bad_choice", f"calendar.weekly.{key}")]


def test_what_a_calendar_refuses_is_named_as_the_data_are():
    for data in ({"timezone": "UTC"}, {"timezone": "UTC", "public_holidays": "china"}):
        with pytest.raises(Invalid) as caught:
            read_calendar(data, "shop")
        assert codes(caught) == [("never_open", "shop.weekly")]
    assert "public_holidays" in KEYS


@given(calendars())
def test_equal_calendars_are_one_key(calendar):
    again = WorkingCalendar(**{name: getattr(calendar, name) for name in ("timezone", "weekly", "overrides", "breaks")})
    assert (again == calendar) is (hash(again) == hash(calendar) and again == calendar)
    assert {calendar: 1}[calendar] == 1


@pytest.mark.parametrize(
    ("zone", "wall", "instant"),
    [
        ("Europe/Berlin", "2016-03-27T02:30:00", "2016-03-27T01:00:00"),  # left out: the moment of the change
        ("Europe/Berlin", "2016-10-30T02:30:00", "2016-10-30T00:30:00"),  # comes twice: the first time
        ("America/Sao_Paulo", "2015-10-18T00:00:00", "2015-10-18T03:00:00"),
        ("Pacific/Apia", "2011-12-30T12:00:00", "2011-12-30T10:00:00"),  # a day left out
        ("Australia/Lord_Howe", "2016-10-02T02:20:00", "2016-10-01T15:30:00"),
        ("Asia/Shanghai", "2016-06-15T12:00:00", "2016-06-15T04:00:00"),
    ],
)
def test_a_wall_time_is_an_instant(zone, wall, instant):
    found = instant_of(datetime.datetime.fromisoformat(wall), zone_named(zone))
    assert found == datetime.datetime.fromisoformat(instant).replace(tzinfo=UTC)


@given(calendars(), DATES, DATES)
def test_working_days_are_counted_one_by_one(calendar, one, other):
    working = WorkingTime(calendar)
    first, last = sorted((one, other))
    days = [first + DAY * number for number in range(1, (last - first).days + 1)]
    assert count_working_days(working, first, last) == sum(is_working_day(working, day) for day in days)
    assert count_working_days(working, last, first) == -count_working_days(working, first, last)


@given(calendars(), DATES, DAYS.filter(bool))
def test_the_nth_working_day_is_n_days_away(calendar, day, days):
    working = WorkingTime(calendar)
    found = working_day_after(working, day, days)
    assert is_working_day(working, found)
    counted = count_working_days(working, day, found)
    # Back, the start's own day is not counted, the day found is.
    assert counted == days if days > 0 else -counted == -days - 1 + is_working_day(working, day)
    moved = working_day_after(working, day, days, closed_start="move")
    assert (moved == found) is is_working_day(working, day)


@given(calendars(), moments(), DAYS, LANDINGS)
def test_working_days_from_a_moment(calendar, at, days, landing):
    working = WorkingTime(calendar)
    found = add_working_days(working, at, days, landing=landing)
    longer = add_working_days(working, at, days + 1, landing=landing)
    assert found <= longer
    if landing == "next_open":
        assert working.is_open(found)
    if landing in ("previous_close", "close") or (landing == "whole_days" and days > 0):
        assert working.previous_close(found) == found
    if days > 0:
        assert at <= found
    if landing == "same_time" and calendar.timezone in ("UTC", "Asia/Shanghai"):
        assert (found - at) % DAY == datetime.timedelta(0)


def test_working_days_by_hand():
    working, friday = working_time(OFFICE), datetime.datetime(2026, 3, 6, 20, tzinfo=OFFICE.zone)

    def landed(days: int, landing: str = "same_time", closed_start: str = "count", start=friday) -> str:
        found = add_working_days(working, start, days, landing=landing, closed_start=closed_start)
        return f"{found.astimezone(OFFICE.zone):%d %H:%M}"

    assert landed(1) == "09 20:00"
    assert landed(1, "next_open") == "10 09:00"
    assert landed(1, "previous_close") == landed(1, "close") == "09 18:00"
    assert landed(1, "whole_days") == "09 18:00"  # nothing is left of the Friday
    assert landed(1, "whole_days", start=friday.replace(hour=17)) == "06 18:00"
    assert landed(-1, "whole_days") == "06 09:00"
    assert landed(-1, "close") == "05 18:00"
    assert landed(0) == landed(0, "whole_days") == "06 20:00"
    saturday = friday + DAY
    assert landed(1, start=saturday) == "09 20:00"
    assert landed(1, closed_start="move", start=saturday) == "10 20:00"
    assert landed(-1, closed_start="move", start=saturday) == "05 20:00"
    assert landed(0, "close", start=saturday) == "06 18:00"


def test_working_days_know_how_far_they_are_confirmed():
    working = working_time(in_china(OFFICE))
    last = datetime.date(2026, 12, 31)
    assert working_day_after(working, last - DAY, 1) == last
    for ask in (
        lambda: working_day_after(working, last, 1),
        lambda: is_working_day(working, datetime.date(2027, 1, 1)),
        lambda: count_working_days(working, last, datetime.date(2027, 1, 9)),
        lambda: add_working_days(working, datetime.datetime(2026, 12, 31, 10, tzinfo=UTC), 1),
    ):
        with pytest.raises(Invalid) as caught:
            ask()
        assert codes(caught) == [("unconfirmed", "calendar.confirmed_until")]


def test_chinas_days_are_those_of_the_published_tables(shared_data):
    folder = shared_data / "ref_holidays"
    tables = [
        json.loads((folder / name).read_text("utf-8"))
        for name in ("chinesecalendar_1.11.0.json", "chinese-days_chinese-days.json")
    ]
    working = working_time(in_china(OFFICE))
    day, differing = CONFIRMED_FROM, []
    while day <= CONFIRMED_UNTIL:
        for table in tables:
            worked = f"{day}" in table["workdays"] or (day.weekday() < 5 and f"{day}" not in table["holidays"])
            if worked is not is_working_day(working, day):
                differing.append(day)
        day += DAY
    # The notice for 2006 has this Saturday worked; both tables have it free.
    assert differing == [datetime.date(2005, 12, 31)] * 2
    assert is_working_day(working, differing[0])


def test_chinas_days_hang_together():
    assert not days_off().keys() & make_up_days().keys()
    assert all(day.weekday() >= 5 for day in make_up_days())
    assert all(CONFIRMED_FROM <= day <= CONFIRMED_UNTIL for day in [*days_off(), *make_up_days()])
    assert {day.year for day in days_off()} == set(range(2004, 2027))
    assert (len(days_off()), len(make_up_days())) == (621, 151)


def test_a_calendars_own_dates_go_before_chinas():
    kept_open, kept_closed = datetime.date(2026, 10, 2), datetime.date(2026, 10, 10)
    own = WorkingCalendar(
        timezone="Asia/Shanghai",
        weekly=week(windows("09:00-12:00", "13:00-18:00")),
        overrides={kept_open: windows("10:00-11:00")},
        holidays=[kept_closed],
        confirmed_until=datetime.date(2026, 6, 30),
    )
    calendar = in_china(own, make_up=windows("09:00-12:00"))
    assert calendar.windows_on(kept_open) == windows("10:00-11:00")
    assert calendar.windows_on(kept_closed) == ()
    assert calendar.windows_on(datetime.date(2026, 9, 20)) == windows("09:00-12:00")
    assert in_china(OFFICE).windows_on(datetime.date(2026, 9, 20)) == windows("09:00-12:00", "13:00-18:00")
    assert (calendar.confirmed_from, calendar.confirmed_until) == (CONFIRMED_FROM, datetime.date(2026, 6, 30))
    assert calendar.names[datetime.date(2026, 10, 1)].zh == "国庆节"
    assert midnight(kept_open, calendar.zone) == datetime.datetime(2026, 10, 1, 16, tzinfo=UTC)
    assert WEEKDAYS[0] == "mon"
