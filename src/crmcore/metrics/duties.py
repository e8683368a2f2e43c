"""What became of what was owed: obligations by rule, person, kind of customer and month, against their due times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import attrs

from crmcore.domain.customer import Customer
from crmcore.domain.obligation import Obligation
from crmcore.domain.playbook import Playbook
from crmcore.domain.policies import Label
from crmcore.metrics.dimensions import (
    FACETS,
    FEW,
    FEW_COLUMN,
    facet_column,
    facets_of,
    few,
    few_note,
    in_period,
    percentile,
    shown_order,
)
from crmcore.metrics.due import rule_labels
from crmcore.metrics.outcomes import month_of, rate
from crmcore.metrics.tables import Column, Table, plain
from crmcore.rules.obligations import standing_of
from crmcore.rules.owed import Owed
from crmcore.rules.timing import due_day

_HOUR = timedelta(hours=1)
_RULE = Label(zh="事项", en="Duty")
DIMENSIONS = ("rule", *FACETS, "month")

_FIGURES = (
    Column("owed", "应完成", "Owed", "integer"),
    Column("met", "按时完成", "Met in time", "integer"),
    Column("met_late", "逾期完成", "Met late", "integer"),
    Column("breached", "逾期未完成", "Breached", "integer"),
    Column("open", "未到期", "Open, in time", "integer"),
    Column("share_in_time", "按时完成率", "Share in time", "percent"),
    Column("overdue_rate", "逾期率", "Overdue rate", "percent"),
    Column("median_hours", "完成用时中位数(小时)", "Median hours", "days"),
    Column("p90_hours", "完成用时90分位(小时)", "90th percentile, hours", "days"),
    Column("late_hours", "逾期时长中位数(小时)", "Median hours late", "days"),
    Column("waived", "已豁免", "Waived", "integer"),
    Column("superseded", "已重排", "Planned anew", "integer"),
)
_NOTES = (
    Label(
        zh="应完成不含已豁免与已重排。按时完成率 = 按时完成 ÷(按时+逾期完成+逾期未完成);"
        "逾期率 =(逾期完成+逾期未完成)÷ 应完成。暂停中的计为未到期。",
        en="Owed leaves out what was waived or planned anew. Share in time: met in time of those met or breached; "
        "overdue rate: met late or breached, of those owed. One that is paused counts as open in time.",
    ),
    Label(
        zh="用时:从开始到完成的自然时间;逾期时长:从到期到完成,未完成的到此刻。",
        en="Hours are elapsed time from opening to meeting; hours late from the due time to meeting, or until now.",
    ),
)


@attrs.frozen(kw_only=True)
class DutyOutcomes:
    """The outcomes of one group; ``key`` None stands for those that don't give it.

    ``owed = met + met_late + breached + open``; ``waived`` and ``superseded`` stand beside. Breached is what is open at or
    past its due time; ``open`` is in time, or paused. ``share_in_time`` is ``met`` of the decided (``met + met_late +
    breached``), ``overdue_rate`` is ``met_late + breached`` of ``owed``; each is None of none. ``median_hours`` and
    ``p90_hours`` (nearest rank) are elapsed from opening to meeting, ``late_hours`` the median from the due time to
    meeting or, of what is breached, to now. ``small`` says that fewer than the threshold are decided.
    """

    key: str | None
    owed: int
    met: int
    met_late: int
    breached: int
    open: int
    waived: int
    superseded: int
    share_in_time: float | None
    overdue_rate: float | None
    median_hours: float | None
    p90_hours: float | None
    late_hours: float | None
    small: bool


@attrs.frozen(kw_only=True)
class Duties:
    """What :func:`duties` found; ``slices`` by ``by_rule``, ``by_owner``, ``by_tier``, ``by_stage``, ``by_industry``,
    ``by_source`` and ``by_month``."""

    playbook: Playbook
    total: DutyOutcomes
    slices: Mapping[str, tuple[DutyOutcomes, ...]]
    threshold: int

    @property
    def tables(self) -> tuple[Table, ...]:
        """One table per dimension, the rules first."""
        return tuple(self._table(dimension, found) for dimension, found in self.slices.items())

    def to_plain(self) -> dict[str, Any]:
        """For JSON: the total, and each dimension as a list of objects."""
        named = {
            dimension: [{dimension.removeprefix("by_"): row.pop("key"), **row} for row in map(plain, found)]
            for dimension, found in self.slices.items()
        }
        total = plain(self.total)
        del total["key"]
        return {"total": total, "threshold": self.threshold, **named}

    def _table(self, dimension: str, found: tuple[DutyOutcomes, ...]) -> Table:
        name = dimension.removeprefix("by_")
        if name == "rule":
            column = Column("rule", _RULE.zh, _RULE.en, labels=rule_labels(self.playbook))
        else:
            column = facet_column(name, self.playbook)
        rows = tuple(
            (
                one.key,
                *(getattr(one, figure.key) for figure in _FIGURES),
                few(one.met + one.met_late + one.breached, self.threshold),
            )
            for one in found
        )
        titles = f"时限达成(按{column.zh})", f"Duties by {column.en.lower()}"
        return Table(
            f"duties_{dimension}", *titles, (column, *_FIGURES, FEW_COLUMN), rows, (*_NOTES, few_note(self.threshold))
        )


class _Counting:
    __slots__ = ("late", "outcomes", "spent")

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.spent: list[float] = []
        self.late: list[float] = []

    def add(self, outcome: str, spent: float | None, late: float | None) -> None:
        self.outcomes[outcome] += 1
        if spent is not None:
            self.spent.append(spent)
        if late is not None:
            self.late.append(late)

    def figures(self, key: str | None, threshold: int) -> DutyOutcomes:
        count, spent = self.outcomes, sorted(self.spent)
        decided = count["met"] + count["met_late"] + count["breached"]
        owed = decided + count["open"]
        return DutyOutcomes(
            key=key,
            owed=owed,
            **{name: count[name] for name in ("met", "met_late", "breached", "open", "waived", "superseded")},
            share_in_time=rate(count["met"], decided),
            overdue_rate=rate(count["met_late"] + count["breached"], owed),
            median_hours=median(spent) if spent else None,
            p90_hours=percentile(spent, 90),
            late_hours=median(self.late) if self.late else None,
            small=decided < threshold,
        )


def _times(one: Obligation, outcome: str, now: datetime) -> tuple[float | None, float | None]:
    """Hours from opening to meeting, and hours late; None for what it has none of."""
    if outcome == "breached":
        return None, (now - one.due_at) / _HOUR
    if outcome not in ("met", "met_late"):
        return None, None
    ended = one.closed_at or one.due_at
    return max(0.0, (ended - one.opened_at) / _HOUR), (ended - one.due_at) / _HOUR if outcome == "met_late" else None


def outcome_of(obligation: Obligation | Owed, now: datetime) -> str:
    """met, met_late, waived, superseded, breached (open at or past ``due_at``) or open (in time, or paused)."""
    standing = standing_of(obligation, now)
    return "open" if standing in ("at_risk", "paused") else standing


def duties(
    obligations: Iterable[Obligation],
    customers: Mapping[str, Customer],
    playbook: Playbook,
    *,
    now: datetime,
    zone: ZoneInfo,
    since: date | None = None,
    until: date | None = None,
    rule: str | None = None,
    threshold: int = FEW,
) -> Duties:
    """What became of obligations, open and ended ones, whose last day in time lies in the period, from ``since`` (the first day
    in) to ``until`` (the first day out) in the zone.

    The month is that of the last day in time, too: what is due by the end of October belongs to October, although it is
    late from the first moment of November on. The owner is who owed it; tier, stage, industry and source are those that its
    customer (``customers`` by id) has today. ``rule`` takes one rule (``target.answer_ticket``) or one sort of them
    (``target``, ``cadence``, ``plan``). See :class:`DutyOutcomes` for what each figure counts.
    """
    total = _Counting()
    groups: dict[str, dict[str | None, _Counting]] = {name: {} for name in DIMENSIONS}
    for one in obligations:
        if rule is not None and rule not in (one.rule, one.rule.partition(".")[0]):
            continue
        day = due_day(one.due_at, zone)
        if not in_period(day, since, until):
            continue
        outcome = outcome_of(one, now)
        spent, late = _times(one, outcome, now)
        total.add(outcome, spent, late)
        keys = facets_of(customers.get(one.customer_id or ""))
        keys |= {"rule": one.rule, "owner": one.owner, "month": month_of(day)}
        for name, group in groups.items():
            key = keys[name]
            (group.get(key) or group.setdefault(key, _Counting())).add(outcome, spent, late)
    return Duties(
        playbook=playbook,
        total=total.figures(None, threshold),
        slices={f"by_{name}": _sliced(name, group, playbook, threshold) for name, group in groups.items()},
        threshold=threshold,
    )


def _sliced(
    name: str, group: Mapping[str | None, _Counting], playbook: Playbook, threshold: int
) -> tuple[DutyOutcomes, ...]:
    found = {key: counted.figures(key, threshold) for key, counted in group.items()}
    known = {
        "rule": list(rule_labels(playbook)),
        "tier": list(playbook.vocabulary("customer.tier")),
        "stage": list(playbook.vocabulary("customer.stage")),
        "month": sorted(key for key in group if key is not None),
    }.get(name, [])
    return tuple(found[key] for key in shown_order(group, {key: one.owed for key, one in found.items()}, known))
