"""Replay: what the same history would have owed under another playbook, side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import attrs

from crmcore.domain.obligation import Obligation
from crmcore.domain.policies import Label
from crmcore.metrics.duties import outcome_of
from crmcore.metrics.tables import Cell, Column, Table, plain
from crmcore.rules.owed import Owed

COUNTED: Mapping[str, Label] = {
    "owed": Label(zh="应完成", en="Owed"),
    "met": Label(zh="按时", en="Met"),
    "late": Label(zh="逾期完成", en="Met late"),
    "breached": Label(zh="逾期未完成", en="Breached"),
}
_SIDES: Mapping[str, Label] = {"before": Label(zh="原", en="before"), "after": Label(zh="新", en="after")}
_CHANGE = Label(zh="差", en="change")
_ONLY: Mapping[str, Label] = {
    "before": Label(zh="仅原方案有", en="only before"),
    "after": Label(zh="仅新方案有", en="only after"),
}
_NOTE = Label(
    zh="应完成不含已豁免与已重排;未到期的只计入应完成。",
    en="Owed leaves out what was waived or planned anew; what is open in time counts as owed alone.",
)


@attrs.frozen(kw_only=True)
class RuleReplay:
    """One rule under both playbooks: each mapping has ``owed``, ``met``, ``late`` and ``breached``; ``change`` is after - before.

    ``only`` names the side that alone has obligations of this rule; None where both have.
    """

    rule: str
    before: Mapping[str, int]
    after: Mapping[str, int]
    change: Mapping[str, int]
    only: str | None


@attrs.frozen(kw_only=True)
class Replay:
    """What :func:`replay` found, rule by rule."""

    rules: tuple[RuleReplay, ...]
    labels: Mapping[str, Label]

    @property
    def table(self) -> Table:
        """One row per rule; a side that doesn't have the rule is left blank."""
        columns = [Column("rule", "事项", "Duty", labels=self.labels)]
        columns += [
            Column(f"{name}_{side}", f"{label.zh}({told.zh})", f"{label.en}, {told.en}", "integer")
            for name, label in COUNTED.items()
            for side, told in {**_SIDES, "change": _CHANGE}.items()
        ]
        columns.append(Column("only", "备注", "Remark", labels=_ONLY))
        return Table(
            "replay", "方案对比", "Replay under two playbooks", tuple(columns), tuple(map(_row, self.rules)), (_NOTE,)
        )

    @property
    def tables(self) -> tuple[Table, ...]:
        """The one table."""
        return (self.table,)

    def to_plain(self) -> dict[str, Any]:
        """For JSON: a list of rules."""
        return {"rules": plain(self.rules)}


def _row(one: RuleReplay) -> tuple[Cell, ...]:
    cells: list[Cell] = [one.rule]
    for name in COUNTED:
        cells.append(None if one.only == "after" else one.before[name])
        cells.append(None if one.only == "before" else one.after[name])
        cells.append(one.change[name])
    return (*cells, one.only)


def replay(
    before: Iterable[Obligation | Owed],
    after: Iterable[Obligation | Owed],
    *,
    now: datetime,
    labels: Mapping[str, Label] | None = None,
) -> Replay:
    """Two lists of obligations, derived from one history under two playbooks, compared rule by rule in alphabetical order.

    What counts as owed, met, late and breached is what :class:`crmcore.metrics.duties.DutyOutcomes` says. ``labels`` are of
    the rules of both playbooks.
    """
    counted = {side: _counted(found, now) for side, found in (("before", before), ("after", after))}
    rules = []
    for rule in sorted(counted["before"].keys() | counted["after"].keys()):
        sides = {side: _figures(found.get(rule, Counter())) for side, found in counted.items()}
        alone = [side for side, found in counted.items() if rule in found]
        rules.append(
            RuleReplay(
                rule=rule,
                before=sides["before"],
                after=sides["after"],
                change={name: sides["after"][name] - sides["before"][name] for name in COUNTED},
                only=alone[0] if len(alone) == 1 else None,
            )
        )
    return Replay(rules=tuple(rules), labels=dict(labels or {}))


def _counted(obligations: Iterable[Obligation | Owed], now: datetime) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for one in obligations:
        found.setdefault(one.rule, Counter())[outcome_of(one, now)] += 1
    return found


def _figures(counted: Counter[str]) -> dict[str, int]:
    decided = {"met": counted["met"], "late": counted["met_late"], "breached": counted["breached"]}
    return {"owed": sum(decided.values()) + counted["open"], **decided}
