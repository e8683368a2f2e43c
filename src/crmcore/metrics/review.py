"""The review 复盘: everything that a team looks at together, as tables and the charts that belong to them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import attrs

from crmcore.domain import (
    Contact,
    Customer,
    Event,
    Feedback,
    FollowUp,
    Obligation,
    Opportunity,
    Order,
    Referral,
    Ticket,
)
from crmcore.domain.playbook import Playbook
from crmcore.domain.policies import Label
from crmcore.metrics.activity import LOGGED_WITHIN, Activity, activity
from crmcore.metrics.customer_funnel import CustomerFunnel, customer_funnel
from crmcore.metrics.customers import CustomerCounts, count_customers
from crmcore.metrics.dimensions import FACETS, FEW, in_period
from crmcore.metrics.due import Due, due_list, rule_labels
from crmcore.metrics.duties import Duties, duties
from crmcore.metrics.forecast import Forecast, forecast
from crmcore.metrics.funnel import Funnel, funnel
from crmcore.metrics.outcomes import money_cells, money_columns, rate
from crmcore.metrics.quality import Quality, quality
from crmcore.metrics.risk import Risk, risk
from crmcore.metrics.service import Service, service
from crmcore.metrics.tables import NOT_GIVEN, Chart, Column, Table, period_label, plain
from crmcore.rules.timing import local_day

#: The trend shows this many months at most, unless a period is asked for.
TREND_MONTHS = 24
#: A chart of people shows this many of them.
MOST_OWNERS = 10


@attrs.frozen
class Review:
    """Tables, the one-row summary first, and charts of them; and each part by itself, with more than the tables show."""

    tables: tuple[Table, ...]
    charts: tuple[Chart, ...]
    customers: CustomerCounts = attrs.field(kw_only=True)
    customer_funnel: CustomerFunnel = attrs.field(kw_only=True)
    funnel: Funnel = attrs.field(kw_only=True)
    forecast: Forecast = attrs.field(kw_only=True)
    activity: Activity = attrs.field(kw_only=True)
    due: Due = attrs.field(kw_only=True)
    duties: Duties = attrs.field(kw_only=True)
    service: Service = attrs.field(kw_only=True)
    risk: Risk = attrs.field(kw_only=True)
    quality: Quality = attrs.field(kw_only=True)

    def table(self, key: str) -> Table:
        """The table of that key; raises KeyError."""
        for table in self.tables:
            if table.key == key:
                return table
        raise KeyError(key)

    def to_plain(self) -> dict[str, Any]:
        """For JSON: each table as a list of objects, under its key."""
        return {table.key: plain(table.records()) for table in self.tables}


def review(
    playbook: Playbook,
    *,
    customers: Iterable[Customer],
    contacts: Iterable[Contact] = (),
    opportunities: Iterable[Opportunity] = (),
    moves: Iterable[Event] = (),
    follow_ups: Iterable[FollowUp] = (),
    feedback: Iterable[Feedback] = (),
    tickets: Iterable[Ticket] = (),
    orders: Iterable[Order] = (),
    referrals: Iterable[Referral] = (),
    obligations: Iterable[Obligation] = (),
    now: datetime,
    zone: ZoneInfo,
    since: date | None = None,
    until: date | None = None,
    pipeline: str | None = None,
    imported_ids: Collection[str] = frozenset(),
    within: timedelta = LOGGED_WITHIN,
    of: Mapping[str, str | None] | None = None,
    threshold: int = FEW,
) -> Review:
    """The review of a period, from ``since`` (the first day in) to ``until`` (the first day out), or of all that there is.

    Of the opportunities those of one pipeline count, the playbook's default where none is named; ``moves`` are their events
    and those of the customers. What is due and who may be lost is told as of ``now``, the forecast from the period on: the
    rest of it is about the period. ``of`` is only told in the heading: the records that are handed in are those that it
    leaves. For what each part counts see :func:`count_customers`, :func:`customer_funnel`, :func:`funnel`, :func:`forecast`,
    :func:`activity`, :func:`due_list`, :func:`duties`, :func:`service`, :func:`risk` and :func:`quality`.
    """
    by_id = {customer.id: customer for customer in customers}
    graph = playbook.pipelines[pipeline or playbook.default_pipeline]
    deals = [one for one in opportunities if one.pipeline == graph.key]
    events, held, owed = list(moves), list(follow_ups), list(obligations)
    told, cases = list(feedback), list(tickets)
    period: Any = {"since": since, "until": until}
    sales = funnel(deals, events, graph, now=now, threshold=threshold, **period)
    path = customer_funnel(by_id.values(), events, playbook, now=now, zone=zone, threshold=threshold, **period)
    people = count_customers(by_id.values(), playbook, zone=zone, **period)
    done = activity(held, playbook, zone=zone, imported_ids=imported_ids, within=within, **period)
    found = Review(
        tables=(),
        charts=(),
        customers=people,
        customer_funnel=path,
        funnel=sales,
        forecast=forecast(deals, graph, today=local_day(now, zone), since=since),
        activity=done,
        due=due_list(owed, by_id, labels=rule_labels(playbook), now=now, zone=zone),
        duties=duties(owed, by_id, playbook, now=now, zone=zone, threshold=threshold, **period),
        service=service(told, cases, playbook, zone=zone, threshold=threshold, **period),
        risk=risk(
            playbook,
            customers=by_id.values(),
            follow_ups=held,
            feedback=told,
            tickets=cases,
            orders=orders,
            referrals=referrals,
            now=now,
            zone=zone,
        ),
        quality=quality(
            by_id.values(),
            contacts,
            playbook,
            follow_ups=(one for one in held if in_period(local_day(one.at, zone), since, until)),
            imported_ids=imported_ids,
            within=within,
            threshold=threshold,
        ),
    )
    notes = [_when(now, zone, since, until), *_whom(playbook, of or {})]
    tables = [table for table in _parts(found, playbook, since, until) if _says_something(table)]
    return attrs.evolve(found, tables=(_summary(found, notes), *tables), charts=tuple(_charts(tables, sales)))


def _parts(found: Review, playbook: Playbook, since: date | None, until: date | None) -> Iterable[Table]:
    """Every table in the order in which a team goes through it."""
    sales, people = found.funnel, found.customers
    stages, _, amounts, *dimensions = sales.tables
    sources = playbook.vocabulary("customer.source")
    by_stage, _, by_tier, by_owner, _ = people.tables
    customer_stages, *customer_slices = found.customer_funnel.tables
    return (
        *((stages, amounts) if sales.totals.count else ()),
        _trend(people, sales, since, until),
        by_stage,
        *((customer_stages,) if found.customer_funnel.count else ()),
        *_named(customer_slices, "customer_funnel_by_source", "customer_funnel_by_owner"),
        people.source_shares(),
        by_tier,
        by_owner,
        *(table.labelled("source", sources) if table.key == "funnel_by_source" else table for table in dimensions),
        *(found.forecast.tables if sales.totals.count else ()),
        *_named(found.duties.tables, "duties_by_rule", "duties_by_owner"),
        *_named(found.service.tables, "service", "service_by_type", "service_by_priority", "service_by_person"),
        *found.risk.tables,
        *(_named(found.quality.tables, "quality", "quality_by_field") if found.quality.customers else ()),
        found.due.table,
        *found.activity.tables,
    )


def _named(tables: Iterable[Table], *keys: str) -> Iterable[Table]:
    return (table for table in tables if table.key in keys)


def _when(now: datetime, zone: ZoneInfo, since: date | None, until: date | None) -> Label:
    moment = now.astimezone(zone).strftime("%Y-%m-%d %H:%M")
    if not (since or until):
        return Label(zh=f"全部期间;截至{moment}({zone})", en=f"All that there is, as of {moment} ({zone})")
    span = period_label(since, until)
    return Label(zh=f"期间:{span.zh};截至{moment}({zone})", en=f"{span.en}; as of {moment} ({zone})")


def _whom(playbook: Playbook, of: Mapping[str, str | None]) -> Iterable[Label]:
    """Which customers the review is restricted to."""
    for name, value in of.items():
        zh, en = (
            (NOT_GIVEN.zh, NOT_GIVEN.en)
            if value is None
            else (
                playbook.choice_label(f"customer.{name}", value, "zh-CN"),
                playbook.choice_label(f"customer.{name}", value),
            )
        )
        yield Label(
            zh=f"仅限客户:{FACETS[name].zh}为{zh}", en=f"Only customers whose {FACETS[name].en.lower()} is {en}"
        )


def _says_something(table: Table) -> bool:
    """Whether a table has a row, beyond the one row of those that don't give what the table is about."""
    return len(table.rows) > 1 or (len(table.rows) == 1 and table.rows[0][0] is not None)


def _summary(found: Review, notes: Iterable[Label]) -> Table:
    people, done, due = found.customers, found.activity, found.due
    totals, feedback, tickets = found.funnel.totals, found.service.feedback, found.service.tickets
    won_in, won = money_columns("won_amount", "赢单金额", "Won amount", [totals.won_amount])
    open_in, weighted = money_columns("weighted", "加权预计金额", "Weighted pipeline", [totals.weighted])
    columns = (
        Column("customers", "客户总数", "Customers", "integer"),
        Column("new_customers", "新增客户", "New customers", "integer"),
        Column("open", "进行中机会", "Open opportunities", "integer"),
        Column("won", "赢单", "Won", "integer"),
        Column("win_rate", "赢单率", "Win rate", "percent"),
        *won,
        *weighted,
        Column("follow_ups", "跟进次数", "Follow-ups", "integer"),
        Column("in_time_rate", "及时记录率", "Logged in time", "percent"),
        Column("due", "待办事项", "Open duties", "integer"),
        Column("overdue", "已逾期", "Overdue", "integer"),
        Column("overdue_rate", "逾期率", "Overdue rate", "percent"),
        Column("share_in_time", "按时完成率", "Duties met in time", "percent"),
        Column("resolution_rate", "问题解决率", "Resolution rate", "percent"),
        Column("satisfaction", "满意度", "Satisfaction", "percent"),
        Column("at_risk", "流失风险客户", "At risk", "integer"),
        Column("candidates", "升级候选客户", "Upgrade candidates", "integer"),
        Column("completeness", "信息完整率", "Completeness", "percent"),
    )
    row = (
        people.total,
        people.new,
        totals.open,
        totals.won,
        totals.win_rate,
        *money_cells(totals.won_amount, won_in),
        *money_cells(totals.weighted, open_in),
        done.total,
        done.in_time_rate,
        due.open,
        due.overdue,
        due.overdue_rate,
        found.duties.total.share_in_time,
        rate(feedback.resolved + tickets.resolved, feedback.count + tickets.count),
        feedback.satisfaction,
        len(found.risk.at_risk),
        len(found.risk.candidates),
        found.quality.completeness,
    )
    return Table("summary", "客户复盘", "Customer review", columns, (row,), tuple(notes))


def _trend(people: CustomerCounts, sales: Funnel, since: date | None, until: date | None) -> Table:
    """New customers and won deals month by month, without a gap."""
    won: Mapping[str, int] = {one.key: one.won for one in sales.slices["by_month"] if one.key is not None}
    shown = _months(sorted({*people.by_month, *won}), since, until)
    columns = (
        Column("month", "月份", "Month"),
        Column("new_customers", "新增客户", "New customers", "integer"),
        Column("won", "赢单", "Deals won", "integer"),
    )
    rows = tuple((month, people.by_month.get(month, 0), won.get(month, 0)) for month in shown)
    notes = () if since and until else (_TREND_NOTE,)
    return Table("trend", "月度趋势", "Monthly trend", columns, rows, notes)


_TREND_NOTE = Label(
    zh=f"截至有记录的最后一个月,最多{TREND_MONTHS}个月。",
    en=f"Up to the last month with any, {TREND_MONTHS} months at most.",
)


def _months(found: list[str], since: date | None, until: date | None) -> list[str]:
    """Every month from the first to the last; the last 24 where the period is open at either end."""
    if not found:
        return []
    first, last = (int(month[:4]) * 12 + int(month[5:]) - 1 for month in (found[0], found[-1]))
    if not (since and until):
        first = max(first, last - TREND_MONTHS + 1)
    return [f"{index // 12:04d}-{index % 12 + 1:02d}" for index in range(first, last + 1)]


def _charts(tables: Iterable[Table], sales: Funnel) -> Iterable[Chart]:
    """The charts whose tables are there. Without opportunities the customers' own stages are the funnel (seed 003)."""
    path = sum(stage.reached is not None for stage in sales.stages)
    most = f"Won by owner (top {MOST_OWNERS})"
    charts = [
        Chart("trend", "line", "月度趋势", "Monthly trend", "trend", "month", ("new_customers", "won")),
        Chart("sources", "pie", "客户来源", "Customers by source", "customers_by_source", "source", ("count",)),
        Chart(
            "owners", "bar", f"负责人赢单(前{MOST_OWNERS}名)", most, "funnel_by_owner", "owner", ("won",), MOST_OWNERS
        ),
    ]
    if sales.totals.count:
        reached = "销售漏斗(曾到达)", "Sales funnel (ever reached)"
        charts.insert(0, Chart("funnel", "bar", *reached, "funnel_stages", "stage", ("reached",), path))
    else:
        charts.insert(
            0, Chart("funnel", "bar", "客户阶段", "Customers by stage", "customers_by_stage", "stage", ("count",))
        )
    there = {table.key for table in tables}
    return (chart for chart in charts if chart.table in there)
