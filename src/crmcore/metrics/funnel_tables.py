"""The funnel as tables, with notes that say how each figure was reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crmcore.domain.policies import Label
from crmcore.metrics.dimensions import FEW_COLUMN, few, few_note
from crmcore.metrics.outcomes import money_cells, money_columns
from crmcore.metrics.stage_paths import STAGE_COLUMNS
from crmcore.metrics.tables import Cell, Column, Table, period_label

if TYPE_CHECKING:
    from crmcore.metrics.funnel import Funnel, StageFigures

_TOTAL_COLUMNS = (
    Column("count", "机会总数", "Opportunities", "integer"),
    Column("open", "进行中", "Open", "integer"),
    Column("won", "赢单", "Won", "integer"),
    Column("lost", "输单", "Lost", "integer"),
    Column("win_rate", "赢单率", "Win rate", "percent"),
    Column("days_to_close", "平均结案天数", "Mean days to close", "days"),
    Column("timed", "计入天数的数量", "Of so many", "integer"),
)
_AMOUNT_COLUMNS = (
    Column("currency", "货币", "Currency"),
    Column("won_amount", "赢单金额", "Won amount", "money"),
    Column("expected", "进行中预计金额", "Expected, open", "money"),
    Column("weighted", "加权预计金额", "Weighted, open", "money"),
)
_NOTES = (
    Label(
        zh="曾到达:历史与当前阶段中最远的一个及其之前的各阶段;没有历史的输单只计入第一阶段。",
        en="Ever reached: every stage up to the furthest in its history or now; a lost one without history counts for the first.",
    ),
    Label(
        zh="加权预计金额 = 进行中机会的预计金额 × 阶段成交可能性;输单不计。不同货币从不相加。",
        en="Weighted: expected amounts of open opportunities × the stage's probability; lost ones weigh nothing. "
        "Currencies are never added up.",
    ),
)


def _note(zh: str, en: str) -> Label:
    return Label(zh=zh, en=en)


def stages_table(funnel: Funnel) -> Table:
    """One row per stage in the order of the graph, lost and unknown ones last; the notes name method and bottleneck."""
    labels = {one.stage: one.label for one in funnel.stages}
    names, won = money_columns("won_amount", "赢单金额", "Won amount", (one.won_amount for one in funnel.stages))
    open_names, expected = money_columns("expected", "预计金额", "Expected", (one.expected for one in funnel.stages))
    _, weighted = money_columns("weighted", "加权金额", "Weighted", (one.expected for one in funnel.stages))

    def row(one: StageFigures) -> tuple[Cell, ...]:
        blank = (None,) * len(open_names)
        is_open = one.outcome in ("open", None)
        return (
            one.stage,
            *(getattr(one, column.key) for column in STAGE_COLUMNS),
            *(money_cells(one.expected, open_names) if is_open else blank),
            *(blank if one.weighted is None or not is_open else money_cells(one.weighted, open_names)),
            *((None,) * len(names) if one.outcome == "lost" else money_cells(one.won_amount, names)),
            None if one.conversion is None else few(one.reached or 0, funnel.threshold),
        )

    columns = (Column("stage", "阶段", "Stage", labels=labels), *STAGE_COLUMNS, *expected, *weighted, *won, FEW_COLUMN)
    notes = [*_NOTES, *_bottleneck_note(funnel), few_note(funnel.threshold), *_period_notes(funnel)]
    return Table("funnel_stages", "销售漏斗", "Sales funnel", columns, tuple(map(row, funnel.stages)), tuple(notes))


def _bottleneck_note(funnel: Funnel) -> list[Label]:
    found, least = funnel.bottleneck, funnel.threshold
    if found is None:
        zh, en = f"瓶颈:没有到达数不少于{least}的进行中阶段。", f"Bottleneck: no open stage was reached by {least}."
        return [_note(zh, en)]
    label = next(one.label for one in funnel.stages if one.stage == found.stage)
    share = f"{found.conversion:.1%}"
    return [
        _note(
            f"瓶颈:{label.zh}(转化率{share},到达{found.reached};只比较到达数不少于{least}的进行中阶段)。",
            f"Bottleneck: {label.en} ({share} of {found.reached} go on; among open stages reached by {least} or more).",
        )
    ]


def _period_notes(funnel: Funnel) -> list[Label]:
    if not (funnel.since or funnel.until):
        return []
    span = period_label(funnel.since, funnel.until)
    notes = [
        _note(
            f"期间:{span.zh};已结案的按结案日期,进行中的按开始日期不晚于期末。",
            f"Period: {span.en}; closed ones by day of closing, open ones if opened by its end.",
        )
    ]
    if funnel.undated:
        zh, en = (
            f"未计入无结案日期的{funnel.undated}个机会。",
            f"Left out: {funnel.undated} closed without a day of closing.",
        )
        notes.append(_note(zh, en))
    return notes


def totals_table(funnel: Funnel) -> Table:
    """The counts of the whole funnel in one row."""
    row = tuple(getattr(funnel.totals, column.key) for column in _TOTAL_COLUMNS)
    return Table("funnel_totals", "漏斗合计", "Funnel totals", _TOTAL_COLUMNS, (row,), tuple(_period_notes(funnel)))


def amounts_table(funnel: Funnel) -> Table:
    """What was won and what is expected, one row per currency."""
    totals = funnel.totals
    names = sorted({money.currency for sums in (totals.won_amount, totals.expected) for money in sums})
    rows = tuple(
        (name, *(money_cells(sums, (name,))[0] for sums in (totals.won_amount, totals.expected, totals.weighted)))
        for name in names
    )
    return Table("funnel_amounts", "金额合计", "Amounts", _AMOUNT_COLUMNS, rows)
