"""Findings of what is on file and of what is imported, and the numbers that a normaliser's short codes make."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import crmcore
from crmcore.playbooks.wording import said
from crmcore_cn.plugin import ChinesePlugin


def test_findings_of_a_customer_are_told_and_it_is_kept_as_it_was_written(open_crm) -> None:
    me = open_crm("standard", plugins=[ChinesePlugin()]).acting_as("sales.east")
    acme = me.customers.register(
        name="示例科技有限公司",
        industry="汽车",
        address="广东深圳南山区",
        uscc="9135O100M000100Y43",
        core_need="需要产品!",
        contract_signed_on=date(2023, 3, 2),
        contract_expires_on=date(2023, 3, 1),
        contacts=[{"name": "李明", "phone": "010-88886666", "email": "li@qq.com", "wechat": "李"}],
    )
    findings = me.customers.findings(acme.number)
    assert [(issue.code, issue.field) for issue in findings] == [
        ("misread_registration", "customer.uscc"),
        ("ambiguous", "customer.industry"),
        ("bad_wechat", "contact.wechat"),
        ("contradiction", "customer.contract_expires_on"),
        ("contradiction", "customer.uscc"),
        ("contradiction", "contact.phones"),
        ("vague", "customer.core_need"),
    ]
    assert {issue.level for issue in findings} == {"warning"}
    assert said(findings[4], me.crm.playbook, "zh-CN") == "统一社会信用代码与客户地址不相符"
    assert me.customers.get(acme.id).uscc == "9135O100M000100Y43"


def test_without_a_plugin_little_is_doubted(open_crm) -> None:
    me = open_crm("standard").acting_as("sales.east")
    acme = me.customers.register(name="示例科技有限公司", industry="汽车", uscc="9135O100M000100Y43")
    assert me.customers.findings(acme) == []


def test_an_import_tells_what_is_doubtful_and_takes_the_row_all_the_same(open_crm, tmp_path: Path) -> None:
    file = tmp_path / "客户.csv"
    rows = [
        ("客户名称", "所属行业", "联系人", "联系电话", "客户地址"),
        ("示例科技有限公司", "软件", "李明", "0755-88886666", "深圳市南山区科技园1号"),
        ("样品商贸有限公司", "乱七八糟", "王芳", "88886666", "鼓楼区中山路1号"),
    ]
    with file.open("w", encoding="utf-8", newline="") as opened:
        csv.writer(opened).writerows(rows)
    me = open_crm("standard", plugins=[ChinesePlugin()]).acting_as("sales.east")
    plan = me.imports.plan(file)
    assert [(issue.code, issue.row, issue.column, issue.level) for issue in plan.issues] == [
        ("unknown_industry", 3, 2, "warning"),
        ("ambiguous", 3, 5, "warning"),
        ("no_area_code", 3, 4, "warning"),
    ]
    assert plan.issues[0].text("zh-CN") == "所属行业不是GB/T 4754-2017中的行业"
    assert plan.apply().created == 2


def test_a_range_in_a_column_of_amounts_is_kept_beside_it(open_crm, tmp_path: Path) -> None:
    file = tmp_path / "客户.csv"
    file.write_text(
        "客户名称,预算(万元)\n示例科技有限公司,20-30\n样品商贸有限公司,25\n范例物流有限公司,面议\n", "utf-8"
    )
    me = open_crm("standard").acting_as("sales.east")
    plan = me.imports.plan(file)
    assert [(issue.code, issue.row, issue.level) for issue in plan.issues] == [
        ("amount_range", 2, "warning"),
        ("bad_money", 4, "error"),
    ]
    assert plan.apply().created == 2
    first, second = me.customers.find().items
    assert (first.budget, first.custom) == (None, {"budget_range": "20-30"})
    assert str(second.budget) == "CNY 250000.00"


def test_a_number_has_the_pinyin_of_a_name_that_has_no_latin_one(open_crm) -> None:
    me = open_crm("maintenance", plugins=[ChinesePlugin()]).acting_as("sales.east")

    def register(name: str, **values: str) -> str:
        person = [{"name": "李明"}]
        return str(me.customers.register(name=name, industry="软件", contacts=person, **values).number)

    assert register("重庆示例有限公司", short_name="重庆示例") == "CQSL20230001"
    assert register("长沙样品有限公司", short_name="CSYP") == "CSYP20230001"
    assert register("重庆实力有限公司", short_name="重庆实力") == "CQSL20230002"
    assert register("样品", short_name="样品") == "YP20230001"
    assert register("乐清范例") == "YQFL20230001"


def test_without_a_plugin_the_short_name_is_taken_as_it_is() -> None:
    with crmcore.open("memory:", "maintenance") as crm:
        me = crm.acting_as("sales.east")
        person = [{"name": "李明"}]
        made = me.customers.register(name="示例", short_name="示例", industry="软件", contacts=person)
        assert made.number.startswith("示例")
