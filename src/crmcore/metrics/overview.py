"""How much there is of everything right now: customers, duties, opportunities, tickets and feedback, counted by group.

These are counts alone, so a store can answer them without handing out a record; :func:`counted` is the reference that
every store is held to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from crmcore.domain.playbook import Playbook
from crmcore.domain.policies import Label
from crmcore.domain.values import FrozenMap
from crmcore.metrics.dimensions import FACETS, facet_column
from crmcore.metrics.due import rule_labels
from crmcore.metrics.tables import NOT_GIVEN, Column, Table, plain

Group = tuple[str | None, ...]
Counts = Mapping[Group, int]
"""How many there are of each group: of each combination of the values of some fields."""

_COUNT = Column("count", "数量", "Count", "integer")
_STATES: Mapping[str, Label] = {
    "open": Label(zh="未到期", en="open, in time"),
    "breached": Label(zh="逾期未完成", en="breached"),
    "paused": Label(zh="暂停", en="paused"),
    "met": Label(zh="按时完成", en="met"),
    "met_late": Label(zh="逾期完成", en="met late"),
    "waived": Label(zh="已豁免", en="waived"),
    "superseded": Label(zh="已重排", en="planned anew"),
}


def counted(records: Iterable[Any], by: Iterable[str]) -> Counts:
    """The records counted by the values of some of their fields."""
    fields = tuple(by)
    return Counter(tuple(getattr(one, name) for name in fields) for one in records)


def along(counts: Counts, place: int) -> Counts:
    """The counts along one of the fields alone."""
    found: Counter[Group] = Counter()
    for group, number in counts.items():
        found[group[place],] += number
    return found


def with_breached(states: Counts, late: Counts) -> Counts:
    """Counts by rule and state, with those of ``late`` (by rule) taken out of open and shown as breached."""
    found = Counter(states)
    for (rule,), number in late.items():
        found[rule, "open"] -= number
        found[rule, "breached"] += number
    return +found


@attrs.frozen(kw_only=True)
class Overview:
    """Counts by group. ``customers`` by each dimension of :data:`crmcore.metrics.dimensions.FACETS`; ``duties`` by rule and
    state, where what is open at or past its due time is breached; ``opportunities`` by pipeline, stage and outcome;
    ``tickets`` and ``feedback`` by state."""

    playbook: Playbook
    customers: Mapping[str, Counts]
    duties: Counts
    opportunities: Counts
    tickets: Counts
    feedback: Counts

    @property
    def tables(self) -> tuple[Table, ...]:
        """One table per kind of count, customers first."""
        word = self.playbook.vocabulary
        pipelines = {key: graph.label for key, graph in self.playbook.pipelines.items()}
        stages = {stage.key: stage.label for graph in self.playbook.pipelines.values() for stage in graph.stages}
        return (
            *(
                _table(f"customers_by_{name}", f"客户(按{label.zh})", f"Customers by {label.en.lower()}", found, column)
                for name, label in FACETS.items()
                for column, found in [(facet_column(name, self.playbook), self.customers[name])]
            ),
            _table(
                "duties",
                "事项",
                "Duties",
                self.duties,
                _column("rule", "事项", "Duty", rule_labels(self.playbook)),
                _column("state", "状态", "State", _STATES),
            ),
            _table(
                "opportunities",
                "销售机会",
                "Opportunities",
                self.opportunities,
                _column("pipeline", "流程", "Pipeline", pipelines),
                _column("stage", "阶段", "Stage", stages),
                _column("outcome", "结果", "Outcome", word("opportunity.outcome")),
            ),
            *(
                _table(name, zh, en, found, _column("state", "状态", "State", word(f"{entity}.state")))
                for name, entity, zh, en, found in (
                    ("tickets", "ticket", "服务工单", "Tickets", self.tickets),
                    ("feedback", "feedback", "客户反馈", "Feedback", self.feedback),
                )
            ),
        )

    def to_plain(self) -> dict[str, Any]:
        """For JSON: each table as a list of objects."""
        return {table.key: plain(table.records()) for table in self.tables}


def _column(key: str, zh: str, en: str, labels: Mapping[str, Label]) -> Column:
    return Column(key, zh, en, labels=FrozenMap(labels), blank=NOT_GIVEN)


def _table(key: str, zh: str, en: str, found: Counts, *columns: Column) -> Table:
    """The groups in the order of the labels, what isn't given last."""
    places = [{word: index for index, word in enumerate(column.labels)} for column in columns]

    def place(group: Group) -> list[tuple[bool, int, str]]:
        return [
            (value is None, order.get(value or "", len(order)), value or "")
            for value, order in zip(group, places, strict=True)
        ]

    rows = tuple((*group, found[group]) for group in sorted(found, key=place))
    return Table(key, zh, en, (*columns, _COUNT), rows)
