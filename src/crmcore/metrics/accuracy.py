"""What a sample of the files showed: how many are right, whose, from where, and which fields are not (seed 004)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from crmcore.domain.customer import Customer
from crmcore.domain.playbook import Playbook
from crmcore.domain.policies import Label
from crmcore.domain.quality import QualityCheck
from crmcore.metrics.dimensions import facet_column
from crmcore.metrics.outcomes import rate
from crmcore.metrics.tables import Column, Table, plain

_BY = ("owner", "source")
_RATE = (
    Column("checked", "已核对", "Checked", "integer"),
    Column("right", "正确", "Right", "integer"),
    Column("rate", "准确率", "Accuracy", "percent"),
)


@attrs.frozen(kw_only=True)
class Checked:
    """Of one owner or one source: how many files were looked at and how many were right; ``rate`` is None of none."""

    key: str | None
    checked: int
    right: int
    rate: float | None


@attrs.frozen(kw_only=True)
class Accuracy:
    """What one sample showed. ``open`` files nobody has looked at yet; ``wrong_fields`` are how often each was found wrong."""

    playbook: Playbook
    sample: str
    size: int
    open: int
    checked: int
    right: int
    accuracy: float | None
    wrong_fields: tuple[tuple[str, int], ...]
    slices: Mapping[str, tuple[Checked, ...]]

    @property
    def tables(self) -> tuple[Table, ...]:
        """The whole in one row, the fields found wrong, and one table by owner and one by source."""
        whole = (
            Column("sample", "抽样", "Sample"),
            Column("size", "抽样数", "Drawn", "integer"),
            Column("open", "未核对", "To be checked", "integer"),
            *_RATE,
        )
        row = (self.sample, self.size, self.open, self.checked, self.right, self.accuracy)
        labels = {
            field: Label(zh=self.playbook.label(field, "zh-CN"), en=self.playbook.label(field))
            for field, _ in self.wrong_fields
        }
        fields = (Column("field", "字段", "Field", labels=labels), Column("wrong", "错误数", "Wrong", "integer"))
        return (
            Table("accuracy", "抽查结果", "What the sample showed", whole, (row,)),
            Table("accuracy_by_field", "错误字段", "Fields found wrong", fields, self.wrong_fields),
            *(self._table(name, found) for name, found in self.slices.items()),
        )

    def to_plain(self) -> dict[str, Any]:
        """For JSON: the figures, and fields, owners and sources as lists of objects."""
        names = ("sample", "size", "open", "checked", "right", "accuracy")
        return {
            **{name: getattr(self, name) for name in names},
            "wrong_fields": [{"field": field, "wrong": wrong} for field, wrong in self.wrong_fields],
            **{
                name: [{name.removeprefix("by_"): row.pop("key"), **row} for row in map(plain, found)]
                for name, found in self.slices.items()
            },
        }

    def _table(self, name: str, found: Iterable[Checked]) -> Table:
        column = facet_column(name.removeprefix("by_"), self.playbook)
        rows = tuple((one.key, one.checked, one.right, one.rate) for one in found)
        return Table(
            f"accuracy_{name}",
            f"抽查结果(按{column.zh})",
            f"What the sample showed by {column.en.lower()}",
            (column, *_RATE),
            rows,
        )


def accuracy(
    sample: str, checks: Iterable[QualityCheck], customers: Mapping[str, Customer], playbook: Playbook
) -> Accuracy:
    """What the checks of one sample come to. ``customers`` are by id; one who is not there counts in the whole alone."""
    told = list(checks)
    looked_at = [check for check in told if check.verdict != "open"]
    right = [check for check in looked_at if check.verdict == "right"]
    wrong = Counter(field for check in looked_at for field in check.wrong_fields)
    return Accuracy(
        playbook=playbook,
        sample=sample,
        size=len(told),
        open=len(told) - len(looked_at),
        checked=len(looked_at),
        right=len(right),
        accuracy=rate(len(right), len(looked_at)),
        wrong_fields=tuple(sorted(wrong.items(), key=lambda found: (-found[1], found[0]))),
        slices={f"by_{name}": tuple(_sliced(name, looked_at, customers)) for name in _BY},
    )


def _sliced(name: str, checks: Iterable[QualityCheck], customers: Mapping[str, Customer]) -> Iterable[Checked]:
    seen: Counter[str | None] = Counter()
    right: Counter[str | None] = Counter()
    for check in checks:
        customer = customers.get(check.customer_id)
        if customer is not None:
            key = getattr(customer, name)
            seen[key] += 1
            right[key] += check.verdict == "right"
    for key in sorted(seen, key=lambda key: (key is None, key or "")):
        yield Checked(key=key, checked=seen[key], right=right[key], rate=rate(right[key], seen[key]))
