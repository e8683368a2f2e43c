"""A working calendar from plain data, as it stands in a TOML or JSON file; and every problem in it at once.

Keys: ``timezone``, ``weekly`` (``mon`` … ``sun``, or ``mon-fri``, with windows ``"09:00-12:00"`` or ``["09:00", "12:00"]``; a day
on its own goes before a range, two ranges share no day), ``holidays``, ``annual_holidays`` (``12-25``), ``date_overrides`` and
``date_breaks`` (windows by date), ``leaves`` (pairs of moments; without an offset they are local times of the calendar),
``public_holidays`` (``china``), ``confirmed_from``, ``confirmed_until`` and ``note``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from crmcore.errors import Invalid, Issue
from crmcore.rules.calendar_years import instant_of
from crmcore.rules.calendars import WEEKDAYS, Leave, Window, Windows, WorkingCalendar
from crmcore.rules.china_days import in_china
from crmcore.rules.timing import zone_named

#: Days off and make-up days that the library knows, by the word that asks for them.
PUBLIC_HOLIDAYS: Mapping[str, Callable[[WorkingCalendar], WorkingCalendar]] = {"china": in_china}

KEYS = (
    *("timezone", "weekly", "holidays", "annual_holidays", "date_overrides", "date_breaks", "leaves"),
    *("public_holidays", "confirmed_from", "confirmed_until", "note"),
)
Read = TypeVar("Read")


class _Problem(Exception):
    """What one value of the data has against it: the code of an issue and its facts."""

    def __init__(self, code: str, **facts: str) -> None:
        super().__init__(code)
        self.code, self.facts = code, facts


class _Reader:
    """Takes values out of the data and keeps what is wrong with them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.issues: list[Issue] = []

    def read(self, key: str, value: Any, how: Callable[[Any], Read]) -> Read | None:
        try:
            return how(value)
        except _Problem as problem:
            self.issues.append(Issue(code=problem.code, field=f"{self.name}.{key}", facts=problem.facts))
            return None

    def each(self, key: str, value: Any, how: Callable[[Any], Read]) -> list[Read]:
        if not isinstance(value, list | tuple | set | frozenset):
            self.read(key, value, _not_a("a list"))
            return []
        found = [self.read(f"{key}.{number}", item, how) for number, item in enumerate(value, 1)]
        return [item for item in found if item is not None]

    def items(self, key: str, value: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(value, Mapping):
            yield from ((str(inner), item) for inner, item in value.items())
        else:
            self.read(key, value, _not_a("a table"))

    def windows(self, key: str, value: Any) -> Windows:
        return tuple(sorted(self.each(key, value, _window)))

    def by_date(self, key: str, value: Any) -> dict[date, Windows]:
        found = {}
        for text, hours in self.items(key, value):
            day = self.read(f"{key}.{text}", text, _date)
            opening = self.windows(f"{key}.{text}", hours)
            if day is not None:
                found[day] = opening
        return found


def _not_a(expected: str) -> Callable[[Any], Any]:
    def refuse(value: Any) -> Any:
        raise _Problem("bad_type", expected=expected)

    return refuse


def _date(value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise _Problem("bad_date") from None


def _day_of_year(value: Any) -> tuple[int, int]:
    # 2024 is a leap year: 02-29 may be a holiday.
    day = _date(f"2024-{value}")
    return day.month, day.day


def _window(value: Any) -> Window:
    try:
        return Window.parse(value if isinstance(value, str) else "{}-{}".format(*value))
    except (TypeError, ValueError, IndexError):
        raise _Problem("bad_window") from None


def _moment(zone: ZoneInfo) -> Callable[[Any], datetime]:
    def read(value: Any) -> datetime:
        try:
            moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        except (TypeError, ValueError):
            raise _Problem("bad_date") from None
        return moment if moment.tzinfo else instant_of(moment, zone)

    return read


def _leave(zone: ZoneInfo) -> Callable[[Any], Leave]:
    moment = _moment(zone)

    def read(value: Any) -> Leave:
        if not isinstance(value, list | tuple) or len(value) != 2:
            raise _Problem("bad_type", expected="a pair of moments")
        leave = Leave(moment(value[0]), moment(value[1]))
        if leave.end < leave.start:
            raise _Problem("ends_early")
        return leave

    return read


def _zone(value: Any) -> ZoneInfo:
    try:
        return zone_named(value)
    except (KeyError, TypeError, ValueError, OSError):
        raise _Problem("unknown_zone") from None


def _public(value: Any) -> Callable[[WorkingCalendar], WorkingCalendar]:
    if value not in PUBLIC_HOLIDAYS:
        raise _Problem("bad_choice", allowed=", ".join(PUBLIC_HOLIDAYS))
    return PUBLIC_HOLIDAYS[value]


def _week(reader: _Reader, value: Any) -> tuple[Windows, ...]:
    ranges: dict[str, Windows] = {}
    single: dict[str, Windows] = {}
    for key, hours in reader.items("weekly", value):
        first, dash, last = key.partition("-")
        last = last if dash else first
        if first not in WEEKDAYS or last not in WEEKDAYS:
            facts = {"allowed": ", ".join((*WEEKDAYS, "mon-fri"))}
            reader.issues.append(Issue(code="bad_choice", field=f"{reader.name}.weekly.{key}", facts=facts))
            continue
        opening = reader.windows(f"weekly.{key}", hours)
        begin = WEEKDAYS.index(first)
        length = (WEEKDAYS.index(last) - begin) % len(WEEKDAYS) + 1
        chosen = (WEEKDAYS * 2)[begin : begin + length]
        if dash and not ranges.keys().isdisjoint(chosen):
            reader.issues.append(Issue(code="overlapping", field=f"{reader.name}.weekly.{key}"))
        (ranges if dash else single).update(dict.fromkeys(chosen, opening))
    # A playbook that extends another says one day anew beside the range that it takes over.
    days = ranges | single
    return tuple(days.get(day, ()) for day in WEEKDAYS)


def read_calendar(data: Mapping[str, Any], name: str = "calendar") -> WorkingCalendar:
    """The calendar that plain data describe. Raises :class:`Invalid` with everything that is wrong, by ``name`` and key."""
    if not isinstance(data, Mapping):
        raise Invalid([Issue(code="bad_type", field=name, facts={"expected": "a table"})])
    reader = _Reader(name)
    unknown = [key for key in data if key not in KEYS]
    reader.issues += [Issue(code="unknown_field", field=f"{name}.{key}") for key in unknown]
    if "timezone" not in data:
        reader.issues.append(Issue(code="required", field=f"{name}.timezone"))
    zone = reader.read("timezone", data.get("timezone", "UTC"), _zone) or zone_named("UTC")
    weekly = _week(reader, data.get("weekly", {}))
    values: dict[str, Any] = {
        "holidays": reader.each("holidays", data.get("holidays", ()), _date),
        "annual_holidays": reader.each("annual_holidays", data.get("annual_holidays", ()), _day_of_year),
        "overrides": reader.by_date("date_overrides", data.get("date_overrides", {})),
        "breaks": reader.by_date("date_breaks", data.get("date_breaks", {})),
        "leaves": tuple(reader.each("leaves", data.get("leaves", ()), _leave(zone))),
    }
    for key in ("confirmed_from", "confirmed_until"):
        if key in data:
            values[key] = reader.read(key, data[key], _date)
    added = reader.read("public_holidays", data["public_holidays"], _public) if "public_holidays" in data else None
    if reader.issues:
        raise Invalid(reader.issues)
    try:
        calendar = WorkingCalendar(timezone=data["timezone"], weekly=weekly, **values)
        return added(calendar) if added else calendar
    except Invalid as invalid:
        renamed = [(issue.field or "calendar").replace("calendar", name, 1) for issue in invalid.issues]
        issues = zip(invalid.issues, renamed, strict=True)
        raise Invalid(
            Issue(code=issue.code, field=field, level=issue.level, facts=issue.facts) for issue, field in issues
        ) from None
