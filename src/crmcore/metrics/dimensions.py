"""What a report can be cut by: the customer's owner, tier, stage, industry and source, and the month; and what is too few to judge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from math import ceil
from typing import TypeVar

from crmcore.domain.customer import Customer
from crmcore.domain.playbook import Playbook
from crmcore.domain.policies import Label
from crmcore.domain.values import FrozenMap
from crmcore.metrics.tables import NOT_GIVEN, Column

T = TypeVar("T", int, float)

#: The fields of a customer that a report is cut by, and restricted to.
FACETS: Mapping[str, Label] = {
    "owner": Label(zh="负责人", en="Owner"),
    "tier": Label(zh="分级", en="Tier"),
    "stage": Label(zh="阶段", en="Stage"),
    "industry": Label(zh="行业", en="Industry"),
    "source": Label(zh="来源", en="Source"),
}
MONTH = Label(zh="月份", en="Month")

#: A share of fewer cases than this says little; it is shown, and marked.
FEW = 20
_MARK = {"few": Label(zh="样本少", en="few cases")}
#: The column that marks a row whose shares rest on too few cases.
FEW_COLUMN = Column("sample", "样本", "Sample", labels=_MARK)


def few(cases: int, threshold: int) -> str | None:
    """The mark of a share that rests on fewer than ``threshold`` cases."""
    return "few" if cases < threshold else None


def few_note(threshold: int) -> Label:
    """What the mark means."""
    return Label(
        zh=f"样本少:少于{threshold}个,比率仅供参考。",
        en=f"few cases: fewer than {threshold}; a share of so few says little.",
    )


def facet_column(name: str, playbook: Playbook | None = None, label: Label | None = None) -> Column:
    """The column of a dimension, with what its values are called."""
    shown = label or FACETS.get(name, MONTH)
    labels = playbook.vocabulary(f"customer.{name}") if playbook else FrozenMap()
    return Column(name, shown.zh, shown.en, labels=labels, blank=NOT_GIVEN)


def facets_of(customer: Customer | None) -> dict[str, str | None]:
    """Where a customer belongs in each dimension; nowhere, where there is none."""
    return {name: getattr(customer, name, None) for name in FACETS}


def in_period(day: date | None, since: date | None, until: date | None) -> bool:
    """Whether a day lies in a period, from ``since`` (the first day in) to ``until`` (the first day out).

    What has no day lies in no period but the one that is open at both ends.
    """
    if day is None:
        return since is None and until is None
    return (since is None or day >= since) and (until is None or day < until)


def shown_order(
    keys: Iterable[str | None], sizes: Mapping[str | None, int], known: Sequence[str] = ()
) -> list[str | None]:
    """The keys in the playbook's order where it has one, else the largest first; equals by name, what isn't given last."""
    place = {key: index for index, key in enumerate(known)}
    return sorted(
        keys,
        key=lambda key: (key is None, place.get(key or "", len(known)), 0 if known else -sizes[key], key or ""),
    )


def percentile(values: Sequence[T], percent: int) -> T | None:
    """The least of the sorted values that so many percent of them don't exceed (nearest rank); None of none.

    >>> percentile([1, 2, 3, 4], 90)
    4
    """
    return values[max(0, ceil(len(values) * percent / 100) - 1)] if values else None
