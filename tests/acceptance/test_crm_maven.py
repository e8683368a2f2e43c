"""A whole sales history taken in, reported, and held against a few independent lines over the same files."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from decimal import Decimal

import pytest

import crmcore

MAPPING = {
    "currency": "USD",
    "units": {"customer.annual_revenue": 1_000_000},
    "values": {"opportunity.product": {"GTXPro": "GTX Pro"}},
}
STAGES = {"Prospecting": "requirements", "Engaging": "proposal", "Won": "signed", "Lost": "lost"}


@pytest.fixture(scope="module")
def maven(tmp_path_factory, shared_data):
    folder = shared_data / "crm_maven"
    url = f"sqlite:///{tmp_path_factory.mktemp('maven')}/crm.db"
    with crmcore.open(url) as crm:
        me = crm.acting_as("importer")
        files = [folder / "sales_pipeline.csv", folder / "accounts.csv"]
        first = me.imports.plan(files, mapping=MAPPING).apply()
        yield me, first, files, folder


@pytest.fixture(scope="module")
def rows(maven):
    with (maven[3] / "sales_pipeline.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_row_is_in_or_named(maven, rows):
    _, result, _, _ = maven
    assert (result.created, result.known, result.rejected) == (85 + len(rows), 0, 0)
    alone = [issue.row for issue in result.issues if issue.code == "no_customer"]
    assert sorted(alone) == [number for number, row in enumerate(rows, 2) if not row["account"]]


def test_the_funnel_equals_an_independent_count(maven, rows):
    me, *_ = maven
    report = me.reports.funnel().to_plain()
    counted = Counter(STAGES[row["deal_stage"]] for row in rows)
    assert {stage["stage"]: stage["count"] for stage in report["stages"] if stage["count"]} == counted
    won, lost = counted["signed"], counted["lost"]
    totals = report["totals"]
    assert (totals["won"], totals["lost"], totals["open"]) == (won, lost, len(rows) - won - lost)
    assert totals["win_rate"] == pytest.approx(won / (won + lost))
    amount = sum(Decimal(row["close_value"]) for row in rows if row["deal_stage"] == "Won")
    assert [(Decimal(money["amount"]), money["currency"]) for money in totals["won_amount"]] == [(amount, "USD")]


@pytest.mark.parametrize("dimension", ["quarter", "owner", "product"])
def test_each_slice_equals_an_independent_count(maven, rows, dimension):
    def key(row):
        month = int(row["close_date"][5:7]) if row["close_date"] else 0
        return {
            "quarter": f"{row['close_date'][:4]}-Q{(month + 2) // 3}",
            "owner": row["sales_agent"],
            "product": row["product"].replace("GTXPro", "GTX Pro"),
        }[dimension]

    won, lost, amount = Counter(), Counter(), defaultdict(Decimal)
    for row in rows:
        if row["deal_stage"] == "Won":
            won[key(row)] += 1
            amount[key(row)] += Decimal(row["close_value"])
        elif row["deal_stage"] == "Lost":
            lost[key(row)] += 1
    me, *_ = maven
    found = me.reports.funnel().to_plain()[f"by_{dimension}"]
    assert {item[dimension]: (item["won"], item["lost"]) for item in found if item["won"] or item["lost"]} == {
        name: (won[name], lost[name]) for name in won.keys() | lost.keys()
    }
    assert {item[dimension]: Decimal(item["won_amount"][0]["amount"]) for item in found if item["won"]} == amount
    for item in found:
        if item["won"] or item["lost"]:
            assert item["win_rate"] == pytest.approx(item["won"] / (item["won"] + item["lost"]))


def test_accounts_became_customers(maven):
    me, *_ = maven
    with (maven[3] / "accounts.csv").open(encoding="utf-8") as file:
        accounts = {row["account"]: row for row in csv.DictReader(file)}
    customers = list(me.customers.find(limit=200))
    assert {customer.name for customer in customers} == accounts.keys()
    for customer in customers:
        row = accounts[customer.name]
        assert (customer.industry, customer.address) == (row["sector"], row["office_location"])
        assert customer.headcount_low == customer.headcount_high == int(row["employees"])
        assert customer.annual_revenue.amount == Decimal(row["revenue"]) * 1_000_000
        assert customer.scale == (
            "large" if int(row["employees"]) >= 1000 else "small_medium" if int(row["employees"]) >= 8 else None
        )


def test_a_won_deal_made_its_customer_a_customer(maven, rows):
    me, *_ = maven
    won = {row["account"] for row in rows if row["deal_stage"] == "Won" and row["account"]}
    assert {customer.name for customer in me.customers.find(stage="customer", limit=200)} == won


def test_importing_again_changes_nothing(maven):
    me, _, files, _ = maven
    before = me.reports.funnel().to_plain()
    events = me.crm.read(lambda transaction: transaction.count("events"))
    again = me.imports.plan(files, mapping=MAPPING).apply()
    assert (again.created, again.rejected) == (0, 0)
    assert me.crm.read(lambda transaction: transaction.count("events")) == events
    after = me.reports.funnel().to_plain()
    for stage in (*before["stages"], *after["stages"]):
        del stage["days_running"]
    assert after == before


def test_the_forecast_of_what_was_won_equals_an_independent_count(maven, rows):
    me, *_ = maven
    found = me.reports.forecast().to_plain()
    won = [row for row in rows if row["deal_stage"] == "Won"]
    for name, key in (("month", lambda row: row["close_date"][:7]), ("owner", lambda row: row["sales_agent"])):
        amount, count = defaultdict(Decimal), Counter()
        for row in won:
            amount[key(row)] += Decimal(row["close_value"])
            count[key(row)] += 1
        lines = found[f"by_{name}"]
        assert {line[name]: line["won"] for line in lines} == count
        assert {line[name]: Decimal(line["outlook"][0]["amount"]) for line in lines} == amount
    # No deal here has a day on which it is expected to close, so every open one stands apart.
    assert found["undated"]["open"] == sum(row["deal_stage"] in ("Prospecting", "Engaging") for row in rows)
    assert (found["total"]["open"], found["overdue"]["open"]) == (0, 0)


def test_the_customers_funnel_equals_an_independent_count(maven, rows):
    me, *_ = maven
    found = me.reports.customer_funnel()
    won = {row["account"] for row in rows if row["deal_stage"] == "Won" and row["account"]}
    stages = {stage.stage: stage for stage in found.stages}
    assert (found.count, stages["prospect"].reached, stages["customer"].reached) == (85, 85, len(won))
    with (maven[3] / "accounts.csv").open(encoding="utf-8") as file:
        sectors = {row["account"]: row["sector"] for row in csv.DictReader(file)}
    assert {one.key: (one.count, one.won) for one in found.slices["by_industry"]} == {
        sector: (
            sum(other == sector for other in sectors.values()),
            sum(sectors[account] == sector for account in won),
        )
        for sector in sectors.values()
    }


def test_a_report_of_one_industry_counts_its_deals_alone(maven, rows):
    me, *_ = maven
    with (maven[3] / "accounts.csv").open(encoding="utf-8") as file:
        accounts = {row["account"] for row in csv.DictReader(file) if row["sector"] == "medical"}
    totals = me.reports.funnel(of={"industry": "medical"}).totals
    stages = Counter(row["deal_stage"] for row in rows if row["account"] in accounts)
    assert (totals.won, totals.lost) == (stages["Won"], stages["Lost"])
    assert totals.open == stages["Prospecting"] + stages["Engaging"]
    review = me.reports.review(of={"industry": "medical"})
    assert (review.customers.total, review.funnel.totals.count) == (len(accounts), stages.total())


def test_the_overview_agrees_with_the_funnel(maven, rows):
    me, *_ = maven
    counted = Counter(STAGES[row["deal_stage"]] for row in rows)
    assert {stage: count for (_, stage, _), count in me.reports.overview().opportunities.items()} == counted
