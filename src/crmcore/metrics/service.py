"""Feedback and tickets: how many, how soon, how well (seeds 001, 002): 问题解决率, 满意度, and the time from creation to solution."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from statistics import mean, median, pstdev
from typing import Any
from zoneinfo import ZoneInfo

import attrs

from crmcore.domain.playbook import Playbook
from crmcore.domain.policies import Label
from crmcore.domain.service import Feedback, Ticket
from crmcore.metrics.dimensions import FEW, FEW_COLUMN, MONTH, few, few_note, in_period, percentile, shown_order
from crmcore.metrics.outcomes import month_of, rate
from crmcore.metrics.tables import NOT_GIVEN, Column, Table, plain
from crmcore.rules.timing import local_day

_HOUR = timedelta(hours=1)
_SORTS: Mapping[str, Label] = {
    "feedback": Label(zh="客户反馈", en="Feedback"),
    "ticket": Label(zh="服务工单", en="Tickets"),
}
_SORT = Column("sort", "类别", "Sort", labels=_SORTS)
DIMENSIONS: Mapping[str, Label] = {
    "type": Label(zh="反馈类型", en="Type"),
    "topic": Label(zh="问题类别", en="Topic"),
    "priority": Label(zh="优先级", en="Priority"),
    "person": Label(zh="处理人", en="Person"),
    "month": MONTH,
}
_FIGURES = (
    Column("count", "数量", "Received", "integer"),
    Column("open", "处理中", "Open", "integer"),
    Column("resolution_rate", "问题解决率", "Resolution rate", "percent"),
    Column("reopening_rate", "重开率", "Reopening rate", "percent"),
    Column("satisfied", "满意", "Satisfied", "integer"),
    Column("mostly_satisfied", "基本满意", "Mostly satisfied", "integer"),
    Column("to_improve", "需进一步优化", "To improve", "integer"),
    Column("satisfaction", "满意度", "Satisfaction", "percent"),
    Column("rated", "评分次数", "Rated", "integer"),
    Column("stars_mean", "平均星级", "Mean stars", "days"),
    Column("stars_spread", "星级标准差", "Spread of stars", "days"),
    Column("response_mean", "平均响应时长(小时)", "Mean hours to answer", "days"),
    Column("response_median", "响应时长中位数(小时)", "Median hours to answer", "days"),
    Column("solution_mean", "平均解决时长(小时)", "Mean hours to solution", "days"),
    Column("solution_median", "解决时长中位数(小时)", "Median hours to solution", "days"),
    Column("solution_p90", "解决时长90分位(小时)", "90th percentile, hours", "days"),
)
_NOTES = (
    Label(
        zh="按接收或创建日期计入。解决:反馈已确认且非“需进一步优化”,工单已解决或已关闭。重开:处理轮次大于1。",
        en="By the day it came in. Resolved: a feedback that is confirmed and not to be improved, a ticket that is solved or "
        "closed. Reopened: in a cycle beyond the first.",
    ),
    Label(
        zh="时长为自然时间:响应自创建至首次答复,解决自创建至反馈确认或工单解决;未结束的不计。满意度 =(满意+基本满意)÷ 已确认。",
        en="Hours are elapsed: to the first answer, and to the confirmation of a feedback or the solution of a ticket; what "
        "goes on is left out. Satisfaction: satisfied and mostly satisfied, of those confirmed.",
    ),
)


@attrs.frozen(kw_only=True)
class ServiceFigures:
    """The figures of one group; every rate, mean and median is None of none.

    ``satisfaction`` is ``satisfied + mostly_satisfied`` of the confirmations given, ``stars_spread`` the standard deviation of
    the ``rated`` ones. ``response_*`` are hours from creation to the first answer, ``solution_*`` to the solution: the
    customer's confirmation of a feedback, ``solved_at`` (else ``closed_at``) of a ticket. ``small`` says that ``count`` is below the threshold.
    """

    sort: str
    key: str | None
    count: int
    open: int
    resolved: int
    resolution_rate: float | None
    reopened: int
    reopening_rate: float | None
    satisfied: int
    mostly_satisfied: int
    to_improve: int
    satisfaction: float | None
    rated: int
    stars_mean: float | None
    stars_spread: float | None
    answered: int
    response_mean: float | None
    response_median: float | None
    solved: int
    solution_mean: float | None
    solution_median: float | None
    solution_p90: float | None
    small: bool


@attrs.frozen(kw_only=True)
class Service:
    """What :func:`service` found: the whole of each sort, and ``slices`` by ``by_type`` (of feedback), ``by_topic``,
    ``by_priority``, ``by_person`` (responsible or assignee) and ``by_month``, feedback before tickets."""

    playbook: Playbook
    feedback: ServiceFigures
    tickets: ServiceFigures
    slices: Mapping[str, tuple[ServiceFigures, ...]]
    threshold: int

    @property
    def tables(self) -> tuple[Table, ...]:
        """The whole, then one table per dimension."""
        whole = [one for one in (self.feedback, self.tickets) if one.count]
        return (
            self._table("service", "服务", "Service", (), whole),
            *(self._sliced(name.removeprefix("by_"), found) for name, found in self.slices.items()),
        )

    def to_plain(self) -> dict[str, Any]:
        """For JSON: both wholes, and each dimension as a list of objects."""
        whole = {"feedback": plain(self.feedback), "tickets": plain(self.tickets)}
        for row in whole.values():
            del row["key"]
        named = {
            dimension: [{dimension.removeprefix("by_"): row.pop("key"), **row} for row in map(plain, found)]
            for dimension, found in self.slices.items()
        }
        return {**whole, "threshold": self.threshold, **named}

    def _sliced(self, name: str, found: Iterable[ServiceFigures]) -> Table:
        label = DIMENSIONS[name]
        labels = {**self.playbook.vocabulary(f"ticket.{name}"), **self.playbook.vocabulary(f"feedback.{name}")}
        column = Column(name, label.zh, label.en, labels=labels, blank=NOT_GIVEN)
        return self._table(
            f"service_by_{name}", f"服务(按{label.zh})", f"Service by {label.en.lower()}", (column,), found
        )

    def _table(self, key: str, zh: str, en: str, named: tuple[Column, ...], found: Iterable[ServiceFigures]) -> Table:
        rows = tuple(
            (
                one.sort,
                *((one.key,) if named else ()),
                *(getattr(one, figure.key) for figure in _FIGURES),
                few(one.count, self.threshold),
            )
            for one in found
        )
        return Table(key, zh, en, (_SORT, *named, *_FIGURES, FEW_COLUMN), rows, (*_NOTES, few_note(self.threshold)))


class _Counting:
    __slots__ = ("answered", "confirmed", "count", "open", "reopened", "resolved", "solved", "stars")

    def __init__(self) -> None:
        self.count = self.open = self.resolved = self.reopened = 0
        self.confirmed = {"satisfied": 0, "mostly_satisfied": 0, "to_improve": 0}
        self.stars: list[int] = []
        self.answered: list[float] = []
        self.solved: list[float] = []

    def add(self, one: Feedback | Ticket) -> None:
        self.count += 1
        self.reopened += one.cycle > 1
        if one.stars is not None:
            self.stars.append(one.stars)
        if isinstance(one, Feedback):
            began, ended = one.received_at, one.closed_at
            over = one.state == "confirmed"
            self.resolved += over and one.confirmation != "to_improve"
            if one.confirmation is not None:
                self.confirmed[one.confirmation] += 1
        else:
            began, ended = one.opened_at, one.solved_at or one.closed_at
            over = one.state in ("solved", "closed")
            self.resolved += over
        self.open += not over
        if one.answered_at is not None:
            self.answered.append(_hours(began, one.answered_at))
        if over and ended is not None:
            self.solved.append(_hours(began, ended))

    def figures(self, sort: str, key: str | None, threshold: int) -> ServiceFigures:
        told, content = sum(self.confirmed.values()), self.confirmed["satisfied"] + self.confirmed["mostly_satisfied"]
        answered, solved = sorted(self.answered), sorted(self.solved)
        return ServiceFigures(
            sort=sort,
            key=key,
            count=self.count,
            open=self.open,
            resolved=self.resolved,
            resolution_rate=rate(self.resolved, self.count),
            reopened=self.reopened,
            reopening_rate=rate(self.reopened, self.count),
            **self.confirmed,
            satisfaction=rate(content, told),
            rated=len(self.stars),
            stars_mean=mean(self.stars) if self.stars else None,
            stars_spread=pstdev(self.stars) if self.stars else None,
            answered=len(answered),
            response_mean=mean(answered) if answered else None,
            response_median=median(answered) if answered else None,
            solved=len(solved),
            solution_mean=mean(solved) if solved else None,
            solution_median=median(solved) if solved else None,
            solution_p90=percentile(solved, 90),
            small=self.count < threshold,
        )


def _hours(began: datetime, ended: datetime) -> float:
    return max(0.0, (ended - began) / _HOUR)


def service(
    feedback: Iterable[Feedback],
    tickets: Iterable[Ticket],
    playbook: Playbook,
    *,
    zone: ZoneInfo,
    since: date | None = None,
    until: date | None = None,
    threshold: int = FEW,
) -> Service:
    """The feedback and tickets that came in during the period, from ``since`` (the first day in) to ``until`` (the first day out)
    in the zone, as they stand now. See :class:`ServiceFigures` for what each figure counts."""
    whole = {sort: _Counting() for sort in _SORTS}
    groups: dict[str, dict[tuple[str, str | None], _Counting]] = {name: {} for name in DIMENSIONS}
    for sort, cases in (("feedback", feedback), ("ticket", tickets)):
        for one in cases:
            day = local_day(one.received_at if isinstance(one, Feedback) else one.opened_at, zone)
            if not in_period(day, since, until):
                continue
            whole[sort].add(one)
            keys = {"topic": one.topic, "priority": one.priority, "month": month_of(day)}
            if isinstance(one, Feedback):
                keys |= {"type": one.type, "person": one.responsible}
            else:
                keys["person"] = one.assignee
            for name, key in keys.items():
                group = groups[name]
                (group.get((sort, key)) or group.setdefault((sort, key), _Counting())).add(one)
    return Service(
        playbook=playbook,
        feedback=whole["feedback"].figures("feedback", None, threshold),
        tickets=whole["ticket"].figures("ticket", None, threshold),
        slices={f"by_{name}": _sliced(name, group, playbook, threshold) for name, group in groups.items()},
        threshold=threshold,
    )


def _sliced(
    name: str, group: Mapping[tuple[str, str | None], _Counting], playbook: Playbook, threshold: int
) -> tuple[ServiceFigures, ...]:
    found = []
    for sort in _SORTS:
        sizes = {key: counted.count for (owner, key), counted in group.items() if owner == sort}
        known = (
            sorted(key for key in sizes if key is not None)
            if name == "month"
            else list(playbook.vocabulary(f"{sort}.{name}"))
        )
        found += [group[sort, key].figures(sort, key, threshold) for key in shown_order(sizes, sizes, known)]
    return tuple(found)
