"""How good the customers' files are: completeness 信息完整率 and timely updates 更新及时率 (seed 004)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import attrs

from crmcore.domain.customer import Contact, Customer
from crmcore.domain.follow_up import FollowUp
from crmcore.domain.playbook import FIELD_KINDS, Playbook
from crmcore.domain.policies import Label
from crmcore.metrics.activity import LOGGED_WITHIN
from crmcore.metrics.dimensions import FACETS, FEW, FEW_COLUMN, facet_column, facets_of, few, few_note, shown_order
from crmcore.metrics.outcomes import rate
from crmcore.metrics.tables import Column, Table, plain
from crmcore.rules.stages import value_of

_FILLED = (
    Column("asked", "应填", "Asked for", "integer"),
    Column("filled", "已填", "Filled in", "integer"),
    Column("rate", "信息完整率", "Completeness", "percent"),
)
_TIMELY = (
    Column("timed", "计入及时率的沟通", "Conversations timed", "integer"),
    Column("timely", "及时记录", "In the file in time", "integer"),
    Column("timely_rate", "更新及时率", "Timely updates", "percent"),
)
_NOTES = (
    Label(
        zh="应填:方案的必填字段;成交客户另加“成交后补充”的字段。完整率 = 已填 ÷ 应填。",
        en="Asked for: the playbook's required fields and, of customers won, the fields to be completed after a deal. "
        "Completeness: filled in, of those asked for.",
    ),
)
_TIMELY_NOTE = Label(
    zh="更新及时率:期间内的沟通在时限内记入档案的比例;导入的记录不计。",
    en="Timely updates: conversations of the period that were in the file within the time set; imported ones are left out.",
)


@attrs.frozen(kw_only=True)
class Filled:
    """One field, or one value of a dimension: how many values were asked for and are there. ``rate`` is None of none."""

    key: str | None
    asked: int
    filled: int
    rate: float | None


@attrs.frozen(kw_only=True)
class Quality:
    """What :func:`quality` found. ``complete`` of the ``customers`` lack nothing; ``completeness`` is over all values asked for.

    ``timely_rate`` is ``timely`` of the ``timed`` conversations, None of none. ``slices`` are ``by_owner``, ``by_tier``,
    ``by_stage``, ``by_industry`` and ``by_source``; ``timely_slices`` are conversations ``timely_by_owner`` and
    ``timely_by_source``: timed, in time, and the rate.
    """

    playbook: Playbook
    customers: int
    complete: int
    asked: int
    filled: int
    completeness: float | None
    timed: int
    timely: int
    timely_rate: float | None
    fields: tuple[Filled, ...]
    slices: Mapping[str, tuple[Filled, ...]]
    timely_slices: Mapping[str, tuple[Filled, ...]]
    threshold: int

    @property
    def tables(self) -> tuple[Table, ...]:
        """The whole in one row, the fields, and one table per dimension."""
        columns = (
            Column("customers", "客户数", "Customers", "integer"),
            Column("complete", "完整档案", "Complete files", "integer"),
            *_FILLED,
            *_TIMELY,
        )
        row = (
            self.customers,
            self.complete,
            self.asked,
            self.filled,
            self.completeness,
            self.timed,
            self.timely,
            self.timely_rate,
        )
        labels = {
            one.key: Label(zh=self.playbook.label(one.key, "zh-CN"), en=self.playbook.label(one.key))
            for one in self.fields
            if one.key is not None
        }
        return (
            Table("quality", "档案质量", "Quality of the files", columns, (row,), (*_NOTES, _TIMELY_NOTE)),
            self._table("quality_by_field", Column("field", "字段", "Field", labels=labels), self.fields),
            *(
                self._table(f"quality_{name}", facet_column(name.removeprefix("by_"), self.playbook), found)
                for name, found in self.slices.items()
            ),
            *(self._timely_table(name, found) for name, found in self.timely_slices.items()),
        )

    def to_plain(self) -> dict[str, Any]:
        """For JSON: the figures, and fields and dimensions as lists of objects."""
        names = (
            "customers",
            "complete",
            "asked",
            "filled",
            "completeness",
            "timed",
            "timely",
            "timely_rate",
            "threshold",
        )
        named = {"fields": self.fields, **self.slices, **self.timely_slices}
        rows = {
            name: [
                {("field" if name == "fields" else name.rpartition("by_")[2]): row.pop("key"), **row}
                for row in map(plain, found)
            ]
            for name, found in named.items()
        }
        return {**{name: getattr(self, name) for name in names}, **rows}

    def _table(self, key: str, column: Column, found: Iterable[Filled]) -> Table:
        rows = tuple((one.key, one.asked, one.filled, one.rate, few(one.asked, self.threshold)) for one in found)
        titles = f"档案质量(按{column.zh})", f"Quality by {column.en.lower()}"
        return Table(key, *titles, (column, *_FILLED, FEW_COLUMN), rows, (*_NOTES, few_note(self.threshold)))

    def _timely_table(self, name: str, found: Iterable[Filled]) -> Table:
        column = facet_column(name.rpartition("by_")[2], self.playbook)
        rows = tuple((one.key, one.asked, one.filled, one.rate) for one in found)
        titles = f"更新及时率(按{column.zh})", f"Timely updates by {column.en.lower()}"
        return Table(f"quality_{name}", *titles, (column, *_TIMELY), rows, (_TIMELY_NOTE,))


def asked_of(customer: Customer, playbook: Playbook) -> Iterator[str]:
    """The dotted fields that a customer's file is to have: what is required of it and, once it is won, what is to be
    completed after the deal (seed 003)."""
    conditions = {
        name.partition("=")[0].partition(".")[2] for name in playbook.required if name.startswith("customer.")
    }
    values = {name: value_of(customer, name) for name in conditions}
    fields = [name if "." in name else f"customer.{name}" for name in playbook.required_fields("customer", values)]
    stage = playbook.lifecycle.find(customer.stage)
    if stage is not None and stage.outcome == "won":
        fields += [
            field
            for target in playbook.targets
            if target.on == "customer.won" and target.met_by == "customer.completed"
            for field in target.fields
        ]
    yield from dict.fromkeys(fields)


def has(customer: Customer, people: Collection[Contact], field: str) -> bool:
    """Whether a file has a field; that of a contact where one of its people has it."""
    entity, _, name = field.partition(".")
    if field == "contact.reach":
        return any(person.phones or person.emails or person.wechat for person in people)
    records: Iterable[Any] = people if entity == "contact" else (customer,)
    return any(value_of(record, name) not in (None, ()) for record in records)


def quality(
    customers: Iterable[Customer],
    contacts: Iterable[Contact],
    playbook: Playbook,
    *,
    follow_ups: Iterable[FollowUp] = (),
    imported_ids: Collection[str] = frozenset(),
    within: timedelta = LOGGED_WITHIN,
    threshold: int = FEW,
) -> Quality:
    """How complete the files of these customers are, and how soon what was said is in them.

    A field of a contact is there when one of the customer's contacts has it. The ``follow_ups`` are those of the period;
    in time means written down within ``within`` (elapsed) of the conversation, or before it.
    """
    people: dict[str, list[Contact]] = {}
    for contact in contacts:
        people.setdefault(contact.customer_id, []).append(contact)
    asked: Counter[str] = Counter()
    filled: Counter[str] = Counter()
    groups: dict[str, tuple[Counter[str | None], Counter[str | None]]] = {
        name: (Counter(), Counter()) for name in FACETS
    }
    total = complete = 0
    facets: dict[str, Mapping[str, str | None]] = {}
    for customer in customers:
        wanted = list(asked_of(customer, playbook))
        there = [field for field in wanted if has(customer, people.get(customer.id, ()), field)]
        total += 1
        complete += len(there) == len(wanted)
        asked.update(wanted)
        filled.update(there)
        facets[customer.id] = facets_of(customer)
        for name, key in facets[customer.id].items():
            groups[name][0][key] += len(wanted)
            groups[name][1][key] += len(there)
    timed = timely = 0
    in_time: dict[str, tuple[Counter[str | None], Counter[str | None]]] = {
        name: (Counter(), Counter()) for name in ("owner", "source")
    }
    for one in follow_ups:
        if one.id not in imported_ids:
            soon = one.created_at - one.at <= within
            timed += 1
            timely += soon
            for name, (all_of, soon_of) in in_time.items():
                if one.customer_id in facets:
                    all_of[facets[one.customer_id][name]] += 1
                    soon_of[facets[one.customer_id][name]] += soon
    order = [key for key in FIELD_KINDS if key in asked]
    return Quality(
        playbook=playbook,
        customers=total,
        complete=complete,
        asked=asked.total(),
        filled=filled.total(),
        completeness=rate(filled.total(), asked.total()),
        timed=timed,
        timely=timely,
        timely_rate=rate(timely, timed),
        fields=tuple(_filled(key, asked[key], filled[key]) for key in [*order, *sorted(asked.keys() - set(order))]),
        slices={
            f"by_{name}": tuple(
                _filled(key, wanted[key], there[key])
                for key in shown_order(
                    wanted, wanted, list(playbook.vocabulary(f"customer.{name}")) if name in ("tier", "stage") else ()
                )
            )
            for name, (wanted, there) in groups.items()
        },
        timely_slices={
            f"timely_by_{name}": tuple(
                _filled(key, all_of[key], soon_of[key]) for key in shown_order(all_of, all_of, ())
            )
            for name, (all_of, soon_of) in in_time.items()
        },
        threshold=threshold,
    )


def _filled(key: str | None, asked: int, filled: int) -> Filled:
    return Filled(key=key, asked=asked, filled=filled, rate=rate(filled, asked))
