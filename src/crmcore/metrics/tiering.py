"""Re-tiering: who comes to which tier and why, and who stays by hand or by the margin (seeds 001, 003)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import attrs

from crmcore.domain import Customer, Order
from crmcore.domain.playbook import Playbook
from crmcore.domain.policies import Label
from crmcore.metrics.tables import NOT_GIVEN, Cell, Column, Table, plain
from crmcore.rules.tier_decisions import TierDecision, decimal
from crmcore.rules.tiering import Pasts

_WHY: Mapping[str, Label] = {
    "worked_out": Label(zh="按规则", en="Worked out"),
    "lapsed": Label(zh="手工定级到期", en="No longer set by hand"),
    "by_hand": Label(zh="手工定级", en="Set by hand"),
    "margin": Label(zh="分界缓冲", en="Within the margin"),
}


@attrs.frozen(kw_only=True)
class Retiering:
    """What a re-tiering comes to: ``moved`` come to another tier; ``kept`` stay where they are by hand or by the margin.

    ``lapsed`` were set by hand, are no longer, and stay nevertheless. ``counts`` has everybody, by the tier before and after.
    """

    playbook: Playbook = attrs.field(eq=False, repr=False)
    today: date
    moved: tuple[TierDecision, ...]
    kept: tuple[TierDecision, ...]
    lapsed: tuple[TierDecision, ...]
    counts: Mapping[tuple[str | None, str], int]

    @property
    def total(self) -> int:
        """How many customers were looked at."""
        return sum(self.counts.values())

    def to_table(self) -> Table:
        """Who moved and who was kept, the moves first, each by number."""
        labels = self.playbook.vocabulary("customer.tier")
        columns = (
            Column("number", "客户编号", "Customer number"),
            Column("name", "客户名称", "Customer name"),
            Column("from", "原分级", "From", labels=labels, blank=NOT_GIVEN),
            Column("to", "现分级", "To", labels=labels),
            Column("fitting", "按规则", "Worked out", labels=labels),
            Column("score", "得分", "Score"),
            Column("why", "依据", "Why", labels=_WHY),
        )
        rows = tuple(map(_row, (*self.moved, *self.kept)))
        return Table("retiering", "客户分级调整", "Re-tiering", columns, rows)

    def counts_table(self) -> Table:
        """How many customers came from which tier to which."""
        labels = self.playbook.vocabulary("customer.tier")
        columns = (
            Column("from", "原分级", "From", labels=labels, blank=NOT_GIVEN),
            Column("to", "现分级", "To", labels=labels),
            Column("customers", "客户数", "Customers", "integer"),
        )
        rows = tuple((before, tier, number) for (before, tier), number in self.counts.items())
        return Table("tier_counts", "分级变化", "From tier to tier", columns, rows)

    @property
    def tables(self) -> tuple[Table, ...]:
        """The counts, then the customers."""
        return self.counts_table(), self.to_table()

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "today": self.today.isoformat(),
            "total": self.total,
            "counts": plain(self.counts_table().records()),
            **{name: [one.to_plain() for one in getattr(self, name)] for name in ("moved", "kept", "lapsed")},
        }


def _row(decision: TierDecision) -> tuple[Cell, ...]:
    customer = decision.customer
    why = (decision.held if not decision.moves else None) or ("lapsed" if decision.lapsed else "worked_out")
    score = None if decision.score is None else decimal(decision.score)
    return customer.number, customer.name, decision.before, decision.tier, decision.fitting, score, why


def report_of(decisions: Iterable[TierDecision], playbook: Playbook, today: date) -> Retiering:
    """What decisions on many customers come to; only those that are told one by one are kept."""
    groups: dict[str, list[TierDecision]] = {"moved": [], "kept": [], "lapsed": []}
    counts: Counter[tuple[str | None, str]] = Counter()
    for decision in decisions:
        counts[decision.before, decision.tier] += 1
        group = "moved" if decision.moves else "lapsed" if decision.lapsed else "kept" if decision.held else None
        if group:
            groups[group].append(decision)
    place = {tier.key: index for index, tier in enumerate(playbook.tiers)}

    def rank(pair: tuple[str | None, str]) -> tuple[int, str, int]:
        return place.get(pair[0] or "", len(place)), pair[0] or "", place[pair[1]]

    for decided in groups.values():
        decided.sort(key=lambda decision: decision.customer.number)
    return Retiering(
        playbook=playbook,
        today=today,
        **{name: tuple(decided) for name, decided in groups.items()},
        counts={pair: counts[pair] for pair in sorted(counts, key=rank)},
    )


def retier(customers: Iterable[Customer], orders: Iterable[Order], playbook: Playbook, today: date) -> Retiering:
    """The tier of every customer on a day of the playbook's zone, from all of their orders. Both are read once.

    Raises :class:`DomainError` for a playbook without tiering.
    """
    pasts = Pasts.of(orders, playbook, today)
    return report_of(map(pasts.decide, customers), playbook, today)
