"""What the team did: follow-ups by person, method and period, how they went, and how soon they were written down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import attrs

from crmcore.domain.follow_up import FollowUp
from crmcore.domain.playbook import Playbook
from crmcore.domain.policies import Label
from crmcore.metrics.outcomes import month_of, rate
from crmcore.metrics.tables import NOT_GIVEN, Cell, Column, Table, plain
from crmcore.rules.timing import local_day

#: A conversation is to be written down within this time (seeds 001, 003, 004).
LOGGED_WITHIN = timedelta(hours=24)

_TOTAL = Column("total", "合计", "Total", "integer")
_LOGGED = (
    Column("timed", "计入及时率", "Timed", "integer"),
    Column("in_time", "及时记录", "Logged in time", "integer"),
    Column("in_time_rate", "及时记录率", "Share in time", "percent"),
)


def week_of(day: date) -> str:
    """The ISO week that a day lies in, as ``2024-W05``; its year is the one that has the week's Thursday."""
    year, week, _ = day.isocalendar()
    return f"{year:04d}-W{week:02d}"


class _Person:
    __slots__ = ("in_time", "methods", "results", "timed")

    def __init__(self) -> None:
        self.methods: Counter[str | None] = Counter()
        self.results: Counter[str | None] = Counter()
        self.timed = self.in_time = 0


@attrs.frozen(kw_only=True)
class Activity:
    """What :func:`activity` found, as tables. ``in_time_rate`` is None where no follow-up could be timed."""

    total: int
    timed: int
    in_time: int
    in_time_rate: float | None
    by_month: Mapping[str, int]
    tables: tuple[Table, ...]

    def to_plain(self) -> dict[str, Any]:
        """For JSON: the figures, and each table as a list of objects."""
        return {
            "total": self.total,
            "timed": self.timed,
            "in_time": self.in_time,
            "in_time_rate": self.in_time_rate,
            **{table.key: plain(table.records()) for table in self.tables},
        }


def activity(
    follow_ups: Iterable[FollowUp],
    playbook: Playbook,
    *,
    zone: ZoneInfo,
    since: date | None = None,
    until: date | None = None,
    imported_ids: Collection[str] = frozenset(),
    within: timedelta = LOGGED_WITHIN,
) -> Activity:
    """Counts the follow-ups held in the period, from ``since`` (the first day in) to ``until`` (the first day out) in the zone.

    A person is the recorder, else whoever entered the record. One that ``imported_ids`` names is not timed: when it was
    first written down is not known. In time means written down within ``within`` of the conversation, or before it.
    """
    people: dict[str | None, _Person] = {}
    weeks: Counter[str] = Counter()
    months: Counter[str] = Counter()
    for one in follow_ups:
        day = local_day(one.at, zone)
        if (since is not None and day < since) or (until is not None and day >= until):
            continue
        name = one.recorder or one.created_by
        person = people.get(name) or people.setdefault(name, _Person())
        person.methods[one.method] += 1
        person.results[one.result] += 1
        weeks[week_of(day)] += 1
        months[month_of(day)] += 1
        if one.id not in imported_ids:
            person.timed += 1
            person.in_time += one.created_at - one.at <= within
    ranked = sorted(people.items(), key=lambda item: (-item[1].methods.total(), item[0] or ""))
    timed, in_time = sum(one.timed for one in people.values()), sum(one.in_time for one in people.values())
    hours = f"{within.total_seconds() / 3600:g}"
    note = Label(
        zh=f"及时:沟通后{hours}小时内完成记录;导入的记录不计入。",
        en=f"In time: written down within {hours} h of the conversation; imported records are left out.",
    )
    return Activity(
        total=months.total(),
        timed=timed,
        in_time=in_time,
        in_time_rate=rate(in_time, timed),
        by_month=dict(sorted(months.items())),
        tables=(
            _people_table(ranked, playbook.vocabulary("follow_up.method"), note),
            _results_table(ranked, playbook.vocabulary("follow_up.result")),
            _periods_table("week", "周", "Week", weeks),
            _periods_table("month", "月份", "Month", months),
        ),
    )


_PERSON = Column("owner", "跟进人", "Person", blank=NOT_GIVEN)


def _spread(known: Mapping[str, Label], counters: Iterable[Counter[str | None]]) -> tuple[Column, ...]:
    """A column for every value of the playbook, then for any other that occurs, then for none where it occurs."""
    found = {key for counter in counters for key in counter}
    others = sorted(key for key in found if key is not None and key not in known)
    columns = [Column(key, label.zh, label.en, "integer") for key, label in known.items()]
    columns += [Column(key, key, key, "integer") for key in others]
    return (*columns, Column("not_given", NOT_GIVEN.zh, NOT_GIVEN.en, "integer")) if None in found else tuple(columns)


def _people_table(ranked: list[tuple[str | None, _Person]], methods: Mapping[str, Label], note: Label) -> Table:
    spread = _spread(methods, (person.methods for _, person in ranked))
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            name,
            person.methods.total(),
            *(person.methods[None if column.key == "not_given" else column.key] for column in spread),
            person.timed,
            person.in_time,
            rate(person.in_time, person.timed),
        )
        for name, person in ranked
    )
    columns = (_PERSON, _TOTAL, *spread, *_LOGGED)
    return Table("activity_by_owner", "跟进活动", "Follow-ups by person", columns, rows, (note,))


def _results_table(ranked: list[tuple[str | None, _Person]], results: Mapping[str, Label]) -> Table:
    spread = _spread(results, (person.results for _, person in ranked))
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (name, *(person.results[None if column.key == "not_given" else column.key] for column in spread))
        for name, person in ranked
    )
    return Table("activity_results", "跟进结果", "Results of follow-ups", (_PERSON, *spread), rows)


def _periods_table(key: str, zh: str, en: str, counted: Counter[str]) -> Table:
    columns = (Column(key, zh, en), Column("follow_ups", "跟进次数", "Follow-ups", "integer"))
    return Table(
        f"activity_by_{key}", f"每{zh[0]}跟进", f"Follow-ups by {key}", columns, tuple(sorted(counted.items()))
    )
