"""Who the customers are: by stage, by source, by tier, by owner, and how many came when (seeds 001 to 004)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import attrs

from crmcore.domain.customer import Customer
from crmcore.domain.playbook import Playbook
from crmcore.domain.policies import Label
from crmcore.metrics.outcomes import month_of, rate
from crmcore.metrics.tables import NOT_GIVEN, Cell, Column, Table, plain
from crmcore.rules.timing import local_day

#: Stands in the source table for every source that is not among the most frequent.
OTHER = "other"
_OTHER = Label(zh="其他", en="Other")
_NEW_BY = Label(
    zh="新增按首次接触日期计;没有该日期的按登记日期计。",
    en="New: by the day of first contact, or of registration where that isn't known.",
)
_COUNT = Column("count", "客户数", "Customers", "integer")
_SHARE = Column("share", "占比", "Share", "percent")


@attrs.frozen(kw_only=True)
class CustomerCounts:
    """What :func:`count_customers` found; each mapping is of a key to its number of customers, in the order to be shown."""

    playbook: Playbook
    total: int
    new: int
    by_stage: Mapping[str, int]
    by_source: Mapping[str | None, int]
    by_tier: Mapping[str | None, int]
    by_owner: Mapping[str | None, int]
    by_month: Mapping[str, int]

    @property
    def tables(self) -> tuple[Table, ...]:
        """By stage, source, tier, owner and month."""
        return (
            self._table("stage", "客户阶段", "Customers by stage", "阶段", "Stage", self.by_stage),
            self._table("source", "客户来源", "Customers by source", "来源", "Source", self.by_source),
            self._table("tier", "客户分级", "Customers by tier", "分级", "Tier", self.by_tier),
            self._table("owner", "客户负责人", "Customers by owner", "负责人", "Owner", self.by_owner),
            Table(
                "customers_by_month",
                "每月新增客户",
                "New customers by month",
                (Column("month", "月份", "Month"), _COUNT),
                tuple(self.by_month.items()),
                (_NEW_BY,),
            ),
        )

    def source_shares(self, most: int = 8) -> Table:
        """The sources as parts of a whole: the ``most`` frequent, and all others as one row."""
        ranked = list(self.by_source.items())
        shown: dict[str | None, int] = dict(ranked[:most])
        if rest := sum(number for _, number in ranked[most:]):
            shown[OTHER] = shown.get(OTHER, 0) + rest
        return self._table("source", "客户来源", "Customers by source", "来源", "Source", shown)

    def to_plain(self) -> dict[str, Any]:
        """For JSON: lists of objects in the order of the tables."""
        return {
            "total": self.total,
            "new": self.new,
            **{table.key.removeprefix("customers_"): plain(table.records()) for table in self.tables},
        }

    def _table(self, field: str, zh: str, en: str, column_zh: str, column_en: str, counts: Mapping[Any, int]) -> Table:
        labels = {OTHER: _OTHER, **self.playbook.vocabulary(f"customer.{field}")}
        rows: tuple[tuple[Cell, ...], ...] = tuple(
            (key, number, rate(number, self.total)) for key, number in counts.items()
        )
        column = Column(field, column_zh, column_en, labels=labels, blank=NOT_GIVEN)
        return Table(f"customers_by_{field}", zh, en, (column, _COUNT, _SHARE), rows)


def new_on(customer: Customer, zone: ZoneInfo) -> date:
    """The day from which somebody counts as a customer on file: of first contact, else of registration, in the zone."""
    return customer.first_contact_on or local_day(customer.created_at, zone)


def count_customers(
    customers: Iterable[Customer],
    playbook: Playbook,
    *,
    zone: ZoneInfo,
    since: date | None = None,
    until: date | None = None,
) -> CustomerCounts:
    """Counts customers in one pass. All of them count, but ``new`` and ``by_month`` only those that came in the period, from
    ``since`` (the first day in) to ``until`` (the first day out)."""
    stages: Counter[str] = Counter()
    sources: Counter[str | None] = Counter()
    tiers: Counter[str | None] = Counter()
    owners: Counter[str | None] = Counter()
    months: Counter[str] = Counter()
    for customer in customers:
        stages[customer.stage] += 1
        sources[customer.source] += 1
        tiers[customer.tier] += 1
        owners[customer.owner] += 1
        day = new_on(customer, zone)
        if (since is None or day >= since) and (until is None or day < until):
            months[month_of(day)] += 1
    known = [stage.key for stage in playbook.lifecycle.stages]
    return CustomerCounts(
        playbook=playbook,
        total=stages.total(),
        new=months.total(),
        by_stage={key: stages[key] for key in [*known, *sorted(stages.keys() - set(known))]},
        by_source=_ranked(sources),
        by_tier=_in_order(tiers, [tier.key for tier in playbook.tiers]),
        by_owner=_ranked(owners),
        by_month=dict(sorted(months.items())),
    )


def _ranked(counted: Counter[str | None]) -> dict[str | None, int]:
    """The most first, equals by name; what isn't given comes last."""
    return dict(sorted(counted.items(), key=lambda item: (item[0] is None, -item[1], item[0] or "")))


def _in_order(counted: Counter[str | None], known: list[str]) -> dict[str | None, int]:
    place = {key: index for index, key in enumerate(known)}
    order = sorted(counted, key=lambda key: (key is None, place.get(key or "", len(known)), key or ""))
    return {key: counted[key] for key in order}
