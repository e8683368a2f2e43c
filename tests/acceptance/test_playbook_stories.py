"""A customer walked through the story of each seed, on every store, with a clock that stands still between the steps.

Dates are counted here by hand from the seed's words, never by the library.
"""

from __future__ import annotations

import csv
import datetime
from contextlib import contextmanager
from decimal import Decimal

import pytest

from crmcore.domain import Money
from crmcore.errors import Invalid, NumbersExhausted, TransitionRefused

DAY = datetime.date
FAR = DAY(2100, 1, 1)
ENTERPRISE = {"name": "示例科技有限公司", "kind": "企业客户", "industry": "互联网"}
PERSON = {"name": "联系人甲", "phones": ["010-88885678"], "emails": ["contact@example.com"]}


@pytest.fixture
def at(clock):
    """Sets the clock to a time of day in Shanghai."""

    def set_to(year, month, day, hour=10):
        clock.now = datetime.datetime(year, month, day, hour, tzinfo=datetime.timezone(datetime.timedelta(hours=8)))
        return clock.now

    return set_to


@pytest.fixture
def sheet(tmp_path):
    """Writes a sheet with the headers of a seed, as a spreadsheet saves it."""

    def write(headers, *rows, name="sheet.csv"):
        path = tmp_path / name
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            csv.writer(file).writerows([headers.split(" "), *rows])
        return path

    return write


def due(me, customer):
    """What is owed to the customer: rule and the last day on which it is in time."""
    zone = me.crm.zone
    last = datetime.timedelta(microseconds=1)
    return {one.rule: (one.due_at - last).astimezone(zone).date() for one in me.obligations.of(customer)}


def states(me, customer, rule):
    return [one.state for one in me.obligations.of(customer, state=None) if one.rule == rule]


@contextmanager
def refused(*expected):
    """The block is refused for exactly these reasons, all of them at once."""
    with pytest.raises(Invalid) as caught:
        yield
    assert {f"{issue.code} {issue.field}" for issue in caught.value.issues} == set(expected)


def taken_in(me, path, table=None):
    """Imports a sheet of which no row may be rejected and no column be strange, unless the table is told."""
    result = me.imports.plan(path, table=table).apply()
    assert result.rejected == 0, [(issue.code, issue.field, issue.facts) for issue in result.issues]
    if table is None:
        assert [issue.facts for issue in result.issues if issue.code == "ignored_column"] == []
    return result


# ---- 000: registration and tracking ----


def test_seed_000_registration(open_crm, at):
    at(2023, 10, 9)
    me = open_crm("registration").acting_as("sales.east")
    with refused("required customer.kind", "required contact.phones", "required contact.emails"):
        me.customers.register(name="示例科技有限公司")
    with refused("required customer.industry", "required contact.emails"):
        me.customers.register(
            name="示例科技有限公司", kind="企业客户", contacts=[{"name": "联系人甲", "phone": "010-88885678"}]
        )
    with refused("bad_phone contact.phones", "bad_email contact.emails"):
        me.customers.register(**ENTERPRISE, contacts=[{**PERSON, "phones": ["138"], "emails": ["xxx"]}])
    customer = me.customers.register(
        **ENTERPRISE, source="展会推广", owner="ming", collaborators=["hua/技术支持"], contacts=[PERSON]
    )
    assert (customer.number, customer.source) == ("KH000001", "exhibition")
    assert me.crm.playbook.lifecycle.stage(customer.stage).label.zh == "潜在客户-未接触"
    assert due(me, customer) == {"cadence.untouched": DAY(2023, 10, 16)}  # 每周1次

    at(2023, 10, 12)
    me.follow_ups.log(customer, summary="电话初次沟通", method="电话", result="进展顺利(需继续跟进)")
    assert due(me, customer) == {"cadence.untouched": DAY(2023, 10, 19)}
    customer = me.customers.move(customer, "潜在客户-已接触")
    assert due(me, customer) == {"cadence.contacted": DAY(2023, 10, 15)}  # 每3天1次, planned anew with the stage
    assert states(me, customer, "cadence.untouched") == ["met", "superseded"]

    at(2023, 10, 15)
    with refused("reason_required follow_up.reason"):
        me.follow_ups.log(customer, summary="暂缓合作", result="暂缓/终止(需记录原因)")
    with refused("required follow_up.next_step"):
        me.follow_ups.log(customer, summary="需提供详细操作手册", next_on=DAY(2023, 10, 18))
    me.follow_ups.log(
        customer, summary="需提供详细操作手册", method="拜访", next_step="发送操作手册", next_on=DAY(2023, 10, 18)
    )
    assert due(me, customer) == {"cadence.contacted": DAY(2023, 10, 18), "plan": DAY(2023, 10, 18)}
    with refused("required customer.core_need"):
        me.customers.move(customer, "意向客户-方案洽谈")
    customer = me.customers.move(customer, "意向客户-方案洽谈", core_need="需要定制化CRM系统")
    assert due(me, customer)["cadence.proposal"] == DAY(2023, 10, 16)  # 每天1次

    at(2023, 10, 18)
    me.follow_ups.log(customer, summary="已发送操作手册", method="邮件")
    assert due(me, customer) == {"cadence.proposal": DAY(2023, 10, 19)}  # the plan is carried out
    assert states(me, customer, "cadence.proposal")[0] == "met_late"
    with refused("evidence_required customer.contract_signed_on"):
        me.customers.move(customer, "成交客户-合作中")
    customer = me.customers.move(customer, "成交客户-合作中", contract_signed_on=DAY(2023, 10, 18))
    assert due(me, customer) == {"cadence.cooperating": DAY(2023, 11, 18)}  # 每月1次

    at(2023, 10, 31)
    me.follow_ups.log(customer, summary="满意度调研", method="电话")
    assert due(me, customer) == {"cadence.cooperating": DAY(2023, 11, 30)}  # a month that has no 31st
    with refused("reason_required customer.reason"):
        me.customers.move(customer, "流失客户-已终止")
    customer = me.customers.move(customer, "流失客户-已终止", reason="公司战略调整")
    assert (customer.lost_reason, due(me, customer)) == ("公司战略调整", {})

    at(2024, 1, 2)  # the number has no date, so the series goes on
    person = me.customers.register(name="客户乙女士", kind="个人客户", contacts=[PERSON])
    assert (person.number, person.industry) == ("KH000002", None)


def test_seed_000_one_sheet_holds_the_customer_its_plan_and_what_was_said(open_crm, at, sheet):
    at(2023, 10, 20)
    me = open_crm("registration").acting_as("sales.east")
    path = sheet(
        "客户名称 客户类型 所属行业 电话 邮箱 客户来源 备注信息 核心需求 期望目标 合作阶段 负责人 协作人 频率 方式 目标 计划跟踪日期 "
        "跟踪日期 跟进方式 沟通内容摘要 客户反馈与需求变化 跟进结果 下一步计划",
        ["示例科技有限公司", "企业客户", "互联网", "010-88885678", "a@example.com", "展会推广", "企业规模:100-500人", "定制化CRM系统",
         "3个月内上线系统", "意向客户-方案洽谈", "ming", "hua/技术支持", "每天1次", "电话+拜访", "推动合同签订", "2023-10-21",
         "2023-10-15", "电话", "需提供详细操作手册", "认可方案,需内部审批", "进展顺利(需继续跟进)", "发送操作手册"],
        ["客户乙女士", "个人客户", "", "13987654321", "b@example.com", "同行转介绍", "关注高端护肤产品", "护肤产品", "", "潜在客户-已接触",
         "ming", "", "每3天1次", "跟进+方案推送", "深化需求理解", "2023-10-22", "2023-10-16", "拜访", "偏好线下体验", "", "存在障碍(需协调资源)", ""],
    )  # fmt: skip
    for table in ("customers", "follow_up_plans", "follow_ups"):
        assert taken_in(me, path, table).created == 2
    first, second = me.customers.find().items
    assert (first.stage, first.source, first.expected_outcome) == ("proposal", "exhibition", "3个月内上线系统")
    assert (second.kind, second.source) == ("individual", "referral")
    assert [(plan.method, plan.cycle) for plan in me.plans.of(second)] == [("wechat", "每3天1次")]
    (said,) = me.follow_ups.of(first).items
    assert (said.method, said.feedback, said.result) == ("phone", "认可方案,需内部审批", "progressing")
    assert due(me, first) == {"cadence.proposal": DAY(2023, 10, 20), "plan": DAY(2023, 10, 21)}


def test_seed_000_a_row_without_its_e_mail_is_named_and_its_neighbour_goes_in(open_crm, sheet):
    me = open_crm("registration").acting_as("sales.east")
    path = sheet(
        "客户名称 客户类型 所属行业 电话 邮箱",
        ["甲有限公司", "企业客户", "", "13800138000", ""],
        ["乙有限公司", "企业客户", "零售业", "13800138001", "b@example.com"],
    )
    result = me.imports.plan(path, table="customers").apply()
    assert (result.created, result.rejected) == (1, 1)
    told = {(issue.row, issue.code, issue.field) for issue in result.issues if issue.level == "error"}
    assert told == {(2, "required", "customer.industry"), (2, "required", "contact.emails")}


# ---- 001: keeping customers ----


def test_seed_001_maintenance(open_crm, at):
    at(2024, 3, 1)
    me = open_crm("maintenance").acting_as("sales.east")
    firm = {"industry": "制造业", "contacts": [{"name": "联系人甲"}]}
    with refused("required customer.industry", "required contact.name"):
        me.customers.register(name="示例科技有限公司", short_name="AB")
    with refused("required customer.short_name"):
        me.customers.register(name="示例科技有限公司", **firm)
    customer = me.customers.register(name="示例科技有限公司", short_name="AB", tier="A类", **firm)
    numbers = [customer.number]
    for name, short in (("示例贸易有限公司", "AB"), ("样品机械有限公司", "样品")):
        numbers.append(me.customers.register(name=name, short_name=short, **firm).number)
    assert numbers == ["AB20240001", "AB20240002", "样品20240001"]

    # 每周至少1次主动跟进, 每月1次高层互动: two tracks, of which a call meets the first alone
    both = {"cadence.tier_a_contact": DAY(2024, 3, 8), "cadence.executive_meeting": DAY(2024, 4, 1)}
    assert due(me, customer) == both
    at(2024, 3, 7)
    me.follow_ups.log(customer, summary="上月服务总结", method="电话", participants=["联系人甲"])
    assert due(me, customer) == {**both, "cadence.tier_a_contact": DAY(2024, 3, 14)}
    at(2024, 3, 13)
    me.follow_ups.log(customer, summary="高层互动", method="面谈")
    assert due(me, customer) == {
        "cadence.tier_a_contact": DAY(2024, 3, 20),
        "cadence.executive_meeting": DAY(2024, 4, 13),
    }

    customer = me.customers.update(customer, tier="B")
    assert due(me, customer)["cadence.tier_b_contact"] == DAY(2024, 3, 27)  # 每两周1次
    assert due(me, customer).keys() == {"cadence.tier_b_contact", "cadence.deep_conversation"}
    customer = me.customers.update(customer, tier="C")
    assert due(me, customer)["cadence.tier_c_contact"] == DAY(2024, 4, 13)  # 每月1次
    # C类客户公司3个月无跟进,需激活: three months from the last conversation
    assert due(me, customer)["cadence.silent_customer"] == DAY(2024, 6, 13)
    assert due(me, customer).keys() == {
        "cadence.tier_c_contact",
        "cadence.information_update",
        "cadence.silent_customer",
    }

    assert me.customers.tag(customer, "需求明确", "待签约").tags == ("需求明确", "待签约")
    with refused("reason_required customer.reason"):
        me.customers.move(customer, "流失客户")
    assert due(me, me.customers.move(customer, "流失客户", reason="价格")) == {}

    at(2025, 1, 2)
    assert me.customers.register(name="新示例有限公司", short_name="AB", **firm).number == "AB20250001"


@pytest.mark.parametrize(
    ("tier", "contact", "deepening"),
    [
        ("A", DAY(2024, 3, 8), DAY(2024, 4, 1)),
        ("B", DAY(2024, 3, 15), DAY(2024, 6, 1)),
        ("C", DAY(2024, 4, 1), DAY(2024, 9, 1)),
    ],
)
def test_seed_001_each_tier_has_its_two_tracks(open_crm, at, tier, contact, deepening):
    at(2024, 3, 1)
    me = open_crm("maintenance").acting_as("sales.east")
    customer = me.customers.register(
        name="甲", short_name="AB", industry="x", tier=tier, contacts=[{"name": "联系人甲"}]
    )
    owed = due(me, customer)
    assert owed.pop("cadence.silent_customer", None) == (DAY(2024, 6, 1) if tier == "C" else None)
    assert sorted(owed.values()) == [contact, deepening]


def test_seed_001_a_record_belongs_on_file_within_24_hours(open_crm, at):
    held = at(2024, 3, 1)
    me = open_crm("maintenance").acting_as("sales.east")
    customer = me.customers.register(name="甲", short_name="AB", industry="x", contacts=[{"name": "联系人甲"}])
    at(2024, 3, 2)
    me.follow_ups.log(customer, summary="刚好24小时", at=held)
    at(2024, 3, 2, 11)
    me.follow_ups.log(customer, summary="晚了1小时", at=held)
    assert (me.reports.activity().in_time, me.reports.activity().timed) == (1, 2)


def test_seed_001_its_sheets_come_in(open_crm, at, sheet):
    at(2024, 4, 1)
    me = open_crm("maintenance").acting_as("sales.east")
    taken_in(me, sheet(
        "客户编号 客户名称 所属行业 规模 主营业务 联系人 职务 联系方式 合作意向阶段 客户分级 客户标签",
        ["AB20240007", "示例科技有限公司", "制造业", "大型企业", "办公设备", "联系人甲", "采购经理", "13800138000", "意向客户", "A类", "需求明确"],
    ))  # fmt: skip
    taken_in(me, sheet(
        "客户编号 客户名称 跟进时间 跟进方式 参与人员 沟通核心内容 客户反馈与需求变化 下一步行动计划",
        ["AB20240007", "示例科技有限公司", "2024-03-28", "电话", "联系人甲", "希望增加功能", "对当前服务速度表示满意", "提供功能试用版"],
        name="records.csv",
    ))  # fmt: skip
    customer = me.customers.get("AB20240007")
    assert (customer.tier, customer.stage, customer.scale) == ("A", "interested", "large")
    assert me.follow_ups.of(customer).items[0].next_step == "提供功能试用版"
    assert due(me, customer)["cadence.tier_a_contact"] == DAY(2024, 4, 4)
    # A number that came in is never drawn again.
    other = me.customers.register(name="乙", short_name="AB", industry="x", contacts=[{"name": "联系人乙"}])
    assert other.number == "AB20240008"


# ---- 002: from the lead to service ----

BUYER = {"name": "联系人甲", "title": "采购经理", "phones": ["13800138000"]}


def test_seed_002_lifecycle(open_crm, at):
    at(2024, 5, 15)
    me = open_crm("lifecycle").acting_as("sales.east")
    with refused(
        "required customer.industry", "required customer.scale", "required contact.title", "required contact.phones"
    ):
        me.customers.register(name="示例科技有限公司", contacts=[{"name": "联系人甲"}])
    customer = me.customers.register(
        name="示例科技有限公司",
        industry="IT服务业",
        scale="中小企业",
        stage="潜在客户",
        need_tags=["采购设备"],
        contacts=[BUYER],
    )
    assert customer.number == "C20240515001"
    assert due(me, customer) == {"cadence.prospect_contact": DAY(2024, 5, 22)}  # 初步接洽: 每周1次
    customer = me.customers.move(customer, "需求确认")
    assert due(me, customer) == {"cadence.interested_contact": DAY(2024, 5, 29)}  # 每两周1次
    customer = me.customers.move(customer, "方案洽谈")
    assert due(me, customer) == {"cadence.proposal_contact": DAY(2024, 5, 22)}

    plan = me.plans.add(customer, due_on=DAY(2024, 5, 20), goal="协商合作细节")
    assert (plan.state, plan.reminder_minutes) == ("planned", 60)  # 待执行; 跟进前1小时
    at(2024, 5, 20)
    me.follow_ups.log(customer, summary="协商合作细节", method="面谈", plan=plan)
    assert [plan.state for plan in me.plans.of(customer, state=None)] == ["done"]  # 已完成
    assert due(me, customer) == {"cadence.proposal_contact": DAY(2024, 5, 27)}

    with refused("evidence_required customer.contract_signed_on"):
        me.customers.move(customer, "成交客户")
    deal = me.opportunities.open(name="设备采购项目", customer=customer, competitors=["竞品甲"])
    deal = me.opportunities.move(deal, "方案提交")
    deal = me.opportunities.move(deal, "商务谈判")
    with refused("required opportunity.amount"):
        me.opportunities.move(deal, "合同签订")
    with refused("reason_required opportunity.reason"):
        me.opportunities.move(deal, "输单")
    me.opportunities.win(deal, amount=Money.of(Decimal(200000)), order_number="DD-1")
    customer = me.customers.get(customer)
    assert me.crm.playbook.lifecycle.stage(customer.stage).label.zh == "成交客户"  # by itself
    assert due(me, customer) == {}
    assert me.opportunities.move(deal.id, "回款完成").stage == "collected"

    at(2024, 5, 16)
    firm = {"industry": "x", "scale": "large", "contacts": [BUYER]}
    assert me.customers.register(name="第二天有限公司", **firm).number == "C20240516001"
    me.customers.register(name="末号有限公司", number="C20240516999", **firm)
    with pytest.raises(NumbersExhausted):
        me.customers.register(name="无号有限公司", **firm)


def test_seed_002_its_customer_type_is_the_status(open_crm, at, sheet):
    at(2024, 5, 15)
    me = open_crm("lifecycle").acting_as("sales.east")
    taken_in(me, sheet(
        "客户编号 客户名称 客户类型 所属行业 客户规模 姓名 职位 联系方式 客户需求标签 来源渠道 首次接触时间",
        ["C20240515001", "示例科技有限公司", "意向客户", "制造业", "大型企业", "联系人甲", "采购经理", "13800138000", "采购设备",
         "线上广告", "2024-05-10"],
    ))  # fmt: skip
    customer = me.customers.get("C20240515001")
    assert (customer.stage, customer.kind, customer.need_tags) == ("interested", "enterprise", ("采购设备",))
    # Two weeks from the first contact.
    assert due(me, customer) == {"cadence.interested_contact": DAY(2024, 5, 24)}


# ---- 003: a marketing team ----


def test_seed_003_marketing(open_crm, at):
    at(2023, 10, 8)
    me = open_crm("marketing").acting_as("sales.east")
    customer = me.customers.register(name="示例科技有限公司", tier="B级", source="行业展会")
    assert customer.number == "202310001"
    at(2023, 10, 9)
    me.follow_ups.log(customer, summary="介绍产品", objection="担心售后响应速度", solution="已提供售后承诺函")
    assert due(me, customer) == {"cadence.tier_b_contact": DAY(2023, 10, 23)}
    customer = me.customers.update(customer, tier="A")  # 从B级升至A级
    assert due(me, customer) == {"cadence.tier_a_contact": DAY(2023, 10, 16)}  # 模板2: 10-09 → 10-16

    with pytest.raises(TransitionRefused):
        me.customers.move(customer, "成交")  # 线索→意向→方案→谈判→成交
    for stage in ("意向", "方案", "谈判"):
        customer = me.customers.move(customer, stage)
    at(2023, 11, 1)
    customer = me.customers.move(customer, "成交")
    assert due(me, customer) == {
        "target.complete_fields": DAY(2023, 12, 1),  # 成交后30天内
        "cadence.revisit": DAY(2024, 2, 1),  # 每季度1次
    }
    customer = me.customers.update(
        customer, first_deal_amount=Money.of(Decimal(80000)), contract_expires_on=DAY(2024, 10, 31)
    )
    assert "target.complete_fields" in due(me, customer)  # one of the three is missing
    at(2023, 11, 30)
    customer = me.customers.update(customer, service_contact="客服甲")
    assert due(me, customer) == {"cadence.revisit": DAY(2024, 2, 1), "target.renew_contract": DAY(2024, 10, 31)}
    assert states(me, customer, "target.complete_fields") == ["met"]
    assert me.customers.register(name="样品商贸有限公司").number == "202311001"


def test_seed_003_its_sheets_come_in(open_crm, at, sheet):
    at(2023, 10, 10)
    me = open_crm("marketing").acting_as("sales.east")
    taken_in(me, sheet(
        "客户编号 客户名称 所属行业 联系人 职务 联系方式 初步需求 来源渠道 初级标签(规模/紧急度/潜力) 建档日期",
        ["202310001", "示例科技有限公司", "制造业", "联系人甲", "采购经理", "", "采购办公设备", "行业展会", "大型企业/紧急/A级", "2023-10-08"],
        ["202310002", "样品商贸有限公司", "零售", "联系人乙", "负责人", "13956789012", "寻求物流合作", "官网表单", "中小企业/一般/B级", "2023-10-10"],
    ))  # fmt: skip
    taken_in(me, sheet(
        "客户编号 客户名称 负责人 首次跟进时间 下次跟进时间 跟进方式 核心目标 所需资源(如资料/工具) 备注",
        ["202310001", "示例科技有限公司", "ming", "2023-10-09", "2023-10-16", "电话", "发送产品报价单", "产品手册、报价模板", "客户关注性价比"],
        ["202310002", "样品商贸有限公司", "hua", "2023-10-11", "2023-10-25", "线上会议", "演示", "", ""],
        name="plans.csv",
    ))  # fmt: skip
    first, second = me.customers.find().items
    assert (first.scale, first.urgency, first.tier) == ("large", "high", "A")
    assert (second.scale, second.urgency, second.tier) == ("small_medium", "medium", "B")
    assert due(me, first)["plan"] == DAY(2023, 10, 16)
    assert due(me, second)["plan"] == DAY(2023, 10, 25)


# ---- 004: one file from many sources ----


def test_seed_004_integration(open_crm, at):
    at(2024, 3, 15)
    me = open_crm("integration").acting_as("sales.east")
    with refused("required contact.name"):
        me.customers.register(name="示例科技有限公司")
    firm = {"contacts": [{"name": "联系人甲", "emails": ["zhang@example.com"]}]}
    customer = me.customers.register(name="示例科技有限公司", core_need="采购服务器", priority="高", **firm)
    assert customer.number == "CRM2024-001"
    # No cadence but the monthly comparison with outside sources; contacts are what the owner plans.
    assert due(me, customer) == {"cadence.check_file": DAY(2024, 4, 15)}
    me.plans.add(customer, due_on=DAY(2024, 4, 20))
    at(2024, 4, 2)
    me.follow_ups.log(customer, summary="客户有采购需求", method="电话")
    assert due(me, customer) == {"cadence.check_file": DAY(2024, 4, 15), "plan": DAY(2024, 4, 20)}
    at(2024, 4, 2, 11)
    me.follow_ups.log(customer, summary="工商信息无变更", purpose="check")
    assert due(me, customer) == {"cadence.check_file": DAY(2024, 5, 2), "plan": DAY(2024, 4, 20)}

    with refused("reason_required customer.reason"):
        me.customers.move(customer, "意向客户")
    customer = me.customers.move(customer, "意向客户", reason="需求明确")
    with refused("evidence_required customer.contract_signed_on"):
        me.customers.move(customer, "成交客户")
    customer = me.customers.update(customer, contract_signed_on=DAY(2024, 4, 2))
    assert me.crm.playbook.lifecycle.stage(customer.stage).label.zh == "成交客户"  # 自动流转
    newest = me.customers.timeline(customer).items[0]
    assert (newest.action, newest.reason) == ("customer.moved", "automatic: contract_signed")
    with refused("reason_required customer.reason"):
        me.customers.move(customer, "流失客户")
    customer = me.customers.move(customer, "流失客户", reason="合同到期未续")
    assert (customer.lost_reason, due(me, customer)) == ("合同到期未续", {})

    at(2025, 1, 1)
    assert me.customers.register(name="样品制造集团", **firm).number == "CRM2025-001"


def test_seed_004_its_form_comes_in_with_both_columns_of_one_name(open_crm, at, sheet):
    at(2024, 4, 21)
    me = open_crm("integration").acting_as("sales.east")
    taken_in(me, sheet(
        "客户编号 客户名称 所属行业 客户类型 联系人 联系方式 联系方式 客户地址 首次接触时间 最近跟进时间 交往记录 客户需求 需求优先级 "
        "跟进负责人 客户状态 备注",
        ["CRM2024-001", "示例科技有限公司", "信息技术", "潜在客户", "联系人甲", "13812345678", "zhang@example.com", "北京市海淀区", "2024-03-15",
         "2024-04-20", "2024-04-20,对方有服务器采购需求,预算50万,预计6月决策", "采购高功能服务器用于新项目", "高", "li",
         "意向客户", "决策人还有技术总监"],
        ["CRM2024-002", "样品制造集团", "制造业", "成交客户", "联系人乙", "13912345678", "liu@example.com", "上海市浦东新区", "2023-11-08",
         "2024-04-18", "2024-04-18,设备运行正常;2024-03-10,完成合同续签", "设备维护及耗材供应", "中", "wang", "成交客户", "合同有效期至2025年3月"],
    ))  # fmt: skip
    first, second = me.customers.find().items
    assert (first.stage, first.custom["status_on_file"], first.priority) == ("interested", "潜在客户", "high")
    assert (second.stage, second.custom["status_on_file"], second.owner) == ("customer", "成交客户", "wang")
    (contact,) = me.contacts.of(first)
    assert (contact.phones, contact.emails) == (("13812345678",), ("zhang@example.com",))
    assert me.customers.register(name="新客户", contacts=[{"name": "联系人丙"}]).number == "CRM2024-003"
