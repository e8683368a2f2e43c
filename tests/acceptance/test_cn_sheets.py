"""Chinese templates and exports as other systems make them: header found, every row imported or named."""

from __future__ import annotations

import datetime

import pytest

import crmcore
from crmcore.errors import ImportRejected
from crmcore.interchange.rejections import REASONS

pytest.importorskip("python_calamine")


@pytest.fixture
def take(shared_data):
    with crmcore.open("memory:") as crm:
        me = crm.acting_as("importer")

        def taken(name):
            plan = me.imports.plan(shared_data / "cn_sheets" / name)
            return me, plan.sheets[0], plan.apply()

        yield taken


def people(me):
    return {customer.name: me.contacts.of(customer) for customer in me.customers.find(limit=100)}


def test_an_instruction_row_is_no_customer_and_a_phone_is_digits(take):
    me, sheet, result = take("jsherp_customer_template.xls")
    assert (sheet.header_row, sheet.rows, result.created, result.rejected) == (2, 2, 2, 0)
    found = {name: contacts[0] for name, contacts in people(me).items()}
    assert {name: (contact.name, contact.phones) for name, contact in found.items()} == {
        "客户a": ("小梁", ("13000000000",)),
        "客户b": ("小魏", ("15000000000",)),
    }


def test_a_template_whose_rows_name_no_customer_is_reported_row_by_row(take):
    _, sheet, result = take("jsherp_member_template.xls")
    assert (sheet.header_row, result.created, result.rejected) == (2, 0, 2)
    errors = [(issue.row, issue.code, issue.field) for issue in result.issues if issue.level == "error"]
    assert errors == [(3, "required", "customer.name"), (4, "required", "customer.name")]


def test_a_template_that_nobody_filled_is_refused_at_the_lower_level_of_its_header(take):
    with pytest.raises(ImportRejected) as caught:
        take("ydh_客户导入模板.xlsx")
    assert (caught.value.reason, caught.value.part) == ("no_rows", "客户数据!2")


def test_phones_e_mail_and_wechat_go_where_they_belong(take):
    me, sheet, result = take("leadsystem_客户导入模板.xlsx")
    assert (sheet.header_row, result.created, result.rejected) == (1, 3, 0)
    (contact,) = people(me)["YY建材市场"]
    assert (contact.phones, contact.emails, contact.wechat) == (("13900139002",), ("li@yy.com",), "li_wechat")


def test_the_end_of_a_contract_is_a_date(take):
    me, _, result = take("wordauto_客户清单_合同到期.xlsx")
    assert (result.created, result.rejected) == (4, 0)
    ends = {customer.name: customer.contract_expires_on for customer in me.customers.find(limit=9)}
    assert ends["张飞"] == datetime.date(2023, 9, 1)


def test_no_file_is_a_success_of_no_rows(shared_data):
    for path in sorted((shared_data / "cn_sheets").iterdir()):
        with crmcore.open("memory:") as crm:
            me = crm.acting_as("importer")
            try:
                result = me.imports.plan(path).apply()
            except ImportRejected as error:
                assert error.reason in {*REASONS, "no_header"}, path.name
                assert error.part, path.name
                continue
            assert result.created + result.rejected, path.name
            for sheet in result.sheets:
                named = {issue.row for issue in sheet.issues if issue.level == "error"}
                assert len(named) == sheet.rejected, path.name


def test_an_export_taken_in_again_changes_nothing(tmp_path, me):
    import csv

    from crmcore.domain import Money

    customer = me.customers.register(
        name="示例科技有限公司", industry="制造业", tier="B", headcount_low=100, headcount_high=500,
        tags=["需求明确"], contacts=[{"name": "采购部", "phone": "+86 138-0013-8000", "email": "a@example.com"}],
    )  # fmt: skip
    at = datetime.datetime(2023, 10, 9, 1, 2, 3, 456_000, tzinfo=datetime.UTC)
    me.follow_ups.log(customer, at=at, summary="谈了报价", next_step="发资料", next_on=datetime.date(2023, 10, 12))
    me.opportunities.open(name="=1+1", customer=customer, expected_amount=Money.of("1234.50"))
    for key in me.crm.playbook.tables:
        table = me.exports.table(key)
        path = tmp_path / f"{key}.csv"
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([column.zh for column in table.columns])
            for row in table.rows:
                named = [column.named(cell, "zh-CN") for column, cell in zip(table.columns, row, strict=True)]
                writer.writerow([cell.amount if isinstance(cell, Money) else cell for cell in named])
        if table.rows and me.crm.playbook.tables[key].entity != "customer":
            result = me.imports.plan(path, table=key).apply()
            assert (result.created, result.rejected) == (0, 0), (key, result.issues)
            assert result.known == len(table.rows)
    result = me.imports.plan(tmp_path / "customers.csv", table="customers").apply()
    assert (result.created, result.known, result.rejected) == (0, 1, 0)
