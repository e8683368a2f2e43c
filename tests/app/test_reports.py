"""The reports of a store: restricted to some customers, of one month, and as a workbook."""

from __future__ import annotations

import json
from datetime import date, timedelta

import pytest

from crmcore import Money
from crmcore.domain import Feedback
from crmcore.errors import QueryError
from crmcore.interchange.sheets import workbooks
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Insert

REPORTS = [
    "overview",
    "funnel",
    "customer_funnel",
    "forecast",
    "activity",
    "duties",
    "service",
    "risk",
    "quality",
    "review",
]


@pytest.fixture
def team(open_crm, clock):
    """Two owners with a customer each, a deal, conversations and what is owed."""
    crm = open_crm("standard")
    east, west = crm.acting_as("east"), crm.acting_as("west")
    acme = east.customers.register(
        name="甲有限公司", source="website", tier="A", contract_expires_on=date(2023, 10, 20)
    )
    east.opportunities.open(
        name="设备", customer=acme, expected_amount=Money.of(1000), expected_close_on=date(2023, 11, 15)
    )
    other = west.customers.register(name="乙有限公司", source="exhibition", contract_expires_on=date(2023, 10, 21))
    west.opportunities.open(
        name="配件", customer=other, expected_amount=Money.of(500), expected_close_on=date(2023, 12, 1)
    )
    clock.forward(days=3)
    east.follow_ups.log(acme, summary="沟通", at=clock.now - timedelta(hours=30), method="phone")
    west.follow_ups.log(other, summary="沟通", method="phone")
    clock.forward(days=40)
    stamps = dict.fromkeys(("created_at", "updated_at"), clock.now) | dict.fromkeys(
        ("created_by", "updated_by"), "east"
    )
    with crm.store.transaction(write=True) as transaction:
        for id, customer, owner in (("f", acme, "east"), ("g", other, "west")):
            told = {"customer_id": customer.id, "received_at": clock.now, "description": "问题", "responsible": owner}
            transaction.apply([Insert("feedback", CODECS[Feedback].dump(Feedback(id=id, **told, **stamps)))])
    return east


@pytest.mark.parametrize("report", REPORTS)
def test_a_report_of_one_owner_has_nothing_of_another(team, report) -> None:
    ask = getattr(team.reports, report)
    whole, east, nobody = (
        json.dumps(ask(of=of).to_plain(), ensure_ascii=False) for of in ({}, {"owner": "east"}, {"owner": "nobody"})
    )
    assert east != nobody
    assert whole != east
    assert "west" not in east.replace("_", "")
    assert not {"east", "west"} & set(nobody.replace('"', " ").split())


@pytest.mark.parametrize(
    ("field", "value"), [("owner", "east"), ("tier", "A级"), ("source", "website"), ("stage", "潜在客户")]
)
def test_each_field_restricts_by_its_key_or_its_label(team, field, value) -> None:
    count = 2 if field == "stage" else 1
    assert team.reports.customer_funnel(of={field: value}).count == count
    assert team.reports.customer_funnel(of={"owner": "west", field: value}).count == count - (field != "owner")
    assert sum(team.reports.customer_funnel(of={field: None}).to_plain()["stages"][0][name] for name in ["count"]) == 0


def test_a_restriction_that_is_none_is_refused(team) -> None:
    for of in ({"colour": "red"}, {"owner": 3}):
        with pytest.raises(QueryError):
            team.reports.review(of=of)
    for month in ((2023, 0), (2023, 13), ("2023", 1), (1, 1)):
        with pytest.raises(QueryError):
            team.reports.monthly(*month)


def test_a_month_is_reviewed_as_one_object(team) -> None:
    october = team.reports.monthly(2023, 10)
    assert october == team.reports.review(since=date(2023, 10, 1), until=date(2023, 10, 31))
    assert (october.activity.total, october.activity.in_time) == (2, 1)
    assert (october.quality.timed, october.quality.timely) == (2, 1)
    assert october.customer_funnel.count == 2
    assert [finding.rule for one in october.risk.at_risk for finding in one.findings] == ["contract", "contract"]
    assert [(one.key, one.weighted) for one in october.forecast.slices["by_month"]] == [("2023-12", (Money(10000),))]
    assert october.forecast.overdue.open == 1
    summary = october.tables[0].records()[0]
    assert (summary["customers"], summary["at_risk"], summary["completeness"]) == (2, 2, 1.0)
    september = team.reports.monthly(2023, 9)
    assert (september.activity.total, september.customer_funnel.count) == (0, 0)
    assert "仅限客户:负责人为east" in team.reports.monthly(2023, 10, of={"owner": "east"}).tables[0].to_text("zh-CN")


def test_what_was_owed_in_a_month_is_told_with_its_outcome(team) -> None:
    found = team.reports.monthly(2023, 10).duties
    stored = [
        one
        for customer in team.customers.find()
        for one in team.obligations.of(customer, state=None)
        if (one.due_at - timedelta(milliseconds=1)).astimezone(team.crm.zone).date().month == 10
    ]
    assert found.total.owed + found.total.waived + found.total.superseded == len(stored) > 0
    assert found.total.met == sum(one.state == "met" for one in stored)
    assert found.total.breached == sum(one.state == "open" for one in stored)
    cadences = team.reports.duties(rule="cadence", since=date(2023, 10, 1), until=date(2023, 10, 31))
    assert cadences.total.owed == sum(
        one.owed for one in found.slices["by_rule"] if str(one.key).startswith("cadence.")
    )


def test_the_workbook_of_a_review_holds_what_the_review_says(team, tmp_path) -> None:
    period = {"since": date(2023, 10, 1), "until": date(2023, 10, 31)}
    path = team.reports.write_review(tmp_path / "review.xlsx", **period, language="en")
    expected = {table.en: table for table in team.reports.review(**period).tables}
    sheets = {sheet.name: [list(row) for row in sheet.rows] for sheet in workbooks().read(path)}
    table = expected["Churn risks"]
    (name,) = [name for name in sheets if name.startswith("Churn risks")]
    cells = [str(cell) for row in sheets[name] for cell in row if cell is not None]
    for row in table.rows:
        assert row[0] in cells
        assert row[-1] in cells
    assert len(sheets) >= len(expected)


@pytest.mark.parametrize(
    ("year", "month", "told"),
    [
        (2023, 13, "from 1 to 12"),
        (2023, 0, "from 1 to 12"),
        ("2023", 1, "from 1 to 12"),
        (9999, 12, "1900 to 9000"),
        (1899, 1, "1900 to 9000"),
    ],
)
def test_a_month_that_is_none_is_told_what_is_wrong(team, year, month, told):
    with pytest.raises(QueryError, match=told):
        team.reports.monthly(year, month)
