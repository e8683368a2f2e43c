"""What the bundled playbooks say, held to the seeds."""

import itertools
from datetime import date

import pytest

from crmcore.domain import Contact, Customer, Feedback, FollowUp, FollowUpPlan, Opportunity, Order, Referral, Ticket
from crmcore.domain.entity import Record
from crmcore.domain.numbering import NumberScheme
from crmcore.domain.values import fold
from crmcore.errors import NumbersExhausted
from crmcore.playbooks import BUNDLED, COMPOUND_FIELDS, DERIVED_FIELDS, load

LABELLED = (Customer, Contact, Opportunity, FollowUpPlan, FollowUp, Feedback, Ticket, Order, Referral)
FIELDS = [f"{e.entity}.{name}" for e in LABELLED for name in e.kinds if name not in Record.kinds]

SEED_003_TABLES = {
    "customers": "客户编号, 客户名称, 所属行业, 联系人, 职务, 联系方式, 初步需求, 来源渠道, 初级标签(规模/紧急度/潜力), 建档日期",
    "follow_up_plans": "客户编号, 客户名称, 负责人, 首次跟进时间, 下次跟进时间, 跟进方式, 核心目标, 所需资源(如资料/工具), 备注",
    "follow_ups": "客户编号, 客户名称, 跟进时间, 沟通内容, 客户反馈, 异议点, 解决方案, 下一步行动, 记录人",
    "funnel": "客户编号, 客户名称, 当前阶段, 进入时间, 停留天数, 成交可能性, 卡点",
    "referrals": "转介绍人编号, 转介绍人, 被转介绍客户, 联系方式, 来源, 转介绍日期, 激励, 激励状态",
}

# 004's form as printed, 001's from the field lists of its text, 002's begins with the number.
OTHER_TABLES = {
    (
        "integration",
        "customers",
    ): "客户编号, 客户名称, 所属行业, 客户类型, 联系人, 联系方式, 联系方式, 客户地址, 首次接触时间, "
    "最近跟进时间, 交往记录, 客户需求, 需求优先级, 跟进负责人, 客户状态, 备注",
    (
        "maintenance",
        "customers",
    ): "客户编号, 客户名称, 公司简称, 所属行业, 客户规模, 主营业务, 联系人, 职务, 联系方式, 合作意向阶段, "
    "客户分级, 客户标签, 负责人",
    (
        "maintenance",
        "follow_ups",
    ): "客户编号, 客户名称, 跟进时间, 跟进方式, 参与人员, 沟通核心内容, 客户反馈与需求变化, 下一步行动计划, "
    "下次跟进时间, 记录人",
    (
        "maintenance",
        "feedback",
    ): "客户编号, 客户名称, 反馈时间, 反馈来源, 反馈类型, 问题描述, 客户期望, 处理责任人, 复杂程度, 处理进度, "
    "处理方案, 结果, 客户确认结果",
    (
        "lifecycle",
        "customers",
    ): "客户编号, 客户名称, 客户状态, 所属行业, 客户规模, 联系人, 职位, 联系方式, 客户需求标签, 来源渠道, "
    "首次接触时间, 负责人, 备注",
    (
        "registration",
        "customers",
    ): "客户编号, 客户名称, 客户类型, 所属行业, 联系人, 电话, 邮箱, 微信号, 客户来源, 备注信息, 核心需求, "
    "期望目标, 合作阶段, 负责人, 协作人, 登记人",
    ("registration", "follow_up_plans"): "客户编号, 客户名称, 负责人, 计划跟踪日期, 频率, 方式, 目标",
    (
        "registration",
        "follow_ups",
    ): "客户编号, 客户名称, 跟踪日期, 跟进方式, 沟通内容摘要, 客户反馈与需求变化, 跟进结果, 暂缓/终止原因, "
    "下一步计划, 下次跟进时间, 记录人",
}


def headers(playbook, table):
    return [playbook.label(column, "zh-CN") for column in playbook.tables[table].columns]


@pytest.mark.parametrize(("table", "columns"), SEED_003_TABLES.items())
def test_the_sheets_of_marketing_have_the_headers_of_seed_003_in_their_order(table, columns):
    assert headers(load("marketing"), table) == columns.split(", ")


@pytest.mark.parametrize(("place", "columns"), OTHER_TABLES.items())
def test_the_sheets_of_the_other_seeds(place, columns):
    key, table = place
    assert headers(load(key), table) == columns.split(", ")


def test_marketing_has_the_sheets_of_its_seed_and_one_of_ours():
    tables = load("marketing").tables
    assert [key for key in tables if key != "opportunities"] == list(SEED_003_TABLES)
    assert all(f"模板{at}" in tables[key].label.aliases for at, key in enumerate(SEED_003_TABLES, 1))


def test_marketing_numbers_as_seed_003_and_stops_at_999():
    scheme = NumberScheme.parse(load("marketing").numbering["customer"])
    assert scheme.format(1, date(2023, 10, 8)) == "202310001"
    with pytest.raises(NumbersExhausted):
        scheme.format(1000, date(2023, 10, 8))


def test_standard_has_room_for_a_bulk_import():
    scheme = NumberScheme.parse(load("standard").numbering["customer"])
    assert scheme.format(8_800, date(2024, 5, 15)) == "C2024051508800"


def test_the_funnel_of_seed_003():
    marketing = load("marketing")
    for graph in (marketing.lifecycle, marketing.pipelines["sales"]):
        assert [stage.label.zh for stage in graph.stages] == ["线索", "意向", "方案", "谈判", "成交", "流失"]
        assert [stage.outcome for stage in graph.stages] == ["open"] * 4 + ["won", "lost"]


def test_the_cadences_and_targets_of_seed_003():
    marketing = load("marketing")
    every = {(cadence.tiers, cadence.track): str(cadence.every) for cadence in marketing.cadences}
    assert every == {
        (("A",), "contact"): "7 days",
        (("B",), "contact"): "14 days",
        (("C",), "contact"): "1 month",
        ((), "revisit"): "3 months",
    }
    targets = {target.key: target for target in marketing.targets}
    assert (str(targets["record_follow_up"].within), str(targets["complete_fields"].within)) == ("24 hours", "30 days")
    assert {field.partition(".")[2] for field in targets["complete_fields"].fields} == {
        "first_deal_amount",
        "contract_expires_on",
        "service_contact",
    }


@pytest.mark.parametrize("key", BUNDLED)
def test_the_stages_of_a_pipeline_that_others_use_map_one_to_one(key):
    playbook = load(key)
    mapped = [
        playbook.stage_key(playbook.default_pipeline, stage) for stage in ("Prospecting", "Engaging", "Won", "Lost")
    ]
    assert None not in mapped and len(set(mapped)) == 4
    graph = playbook.pipelines[playbook.default_pipeline]
    assert [graph.stage(stage).outcome for stage in mapped] == ["open", "open", "won", "lost"]


def test_the_standard_pipeline_is_that_of_seed_002():
    sales = load("standard").pipelines["sales"]
    assert [s.label.zh for s in sales.stages] == ["需求确认", "方案提交", "商务谈判", "合同签订", "回款完成", "输单"]
    path = [stage.key for stage in sales.stages[:5]]
    assert all(sales.transition(one, other) for one, other in itertools.pairwise(path))
    assert sales.targets("collected") == ()


def test_a_contract_is_asked_for_before_a_customer_is_won_by_hand_and_a_reason_before_one_is_lost():
    lifecycle = load("standard").lifecycle
    assert lifecycle.transition("interested", "customer").guards == ("contract_signed",)
    assert all(move.guards == ("reason",) for move in lifecycle.transitions if move.target == "lost")
    assert lifecycle.transition("prospect", "customer") is None


@pytest.mark.parametrize("key", BUNDLED)
def test_every_field_has_its_label(key):
    fields = load(key).fields
    assert set(fields) >= {*FIELDS, *COMPOUND_FIELDS, *DERIVED_FIELDS}


@pytest.mark.parametrize("key", BUNDLED)
def test_every_fixed_choice_has_its_labels_and_each_leads_back_to_it(key):
    playbook = load(key)
    fixed = {f"{e.entity}.{n}": k.choices for e in LABELLED for n, k in e.kinds.items() if k.choices}
    for field, choices in fixed.items():
        assert set(playbook.choices[field]) == set(choices)
        for choice, label in playbook.choices[field].items():
            assert {playbook.choice_key(field, text) for text in (choice, *label.spellings)} == {choice}
            assert playbook.choice_label(field, choice, "zh-CN") == label.zh


@pytest.mark.parametrize(
    ("field", "texts"),
    [
        ("contact.phones", "电话/手机/手机号码/联系电话/客户电话/phone/mobile"),
        ("contact.reach", "联系方式"),
        ("customer.name", "公司名称/客户名称/名称/单位/客户单位名称/account/company"),
        ("customer.owner", "跟进人/跟进负责人/负责人/销售/业务员/sales_agent/owner"),
        ("customer.contract_expires_on", "截止日期/合同到期/签约结束日期"),
        ("customer.contract_signed_on", "签约起始日期/合同日期"),
        ("customer.industry", "sector/所属行业/行业"),
        ("customer.annual_revenue", "revenue"),
        ("customer.headcount", "employees/员工人数"),
        ("customer.address", "office_location/地址/客户单位地址/客户单位注册地址"),
        ("customer.uscc", "统一社会信用代码/社会信用代码/纳税人识别号"),
        ("customer.core_need", "核心需求/初步需求/客户需求"),
        ("customer.stage", "客户状态/合作阶段/当前阶段"),
    ],
)
@pytest.mark.parametrize("key", BUNDLED)
def test_headers_that_people_write_for_customers(key, field, texts):
    spellings = {fold(text) for text in load(key).synonyms("customers")[field]}
    assert {fold(text) for text in texts.split("/")} <= spellings


def test_headers_of_an_opportunity_export():
    synonyms = load("standard").synonyms("opportunities")
    found = {
        header: [field.partition(".")[2] for field, texts in synonyms.items() if fold(header) in map(fold, texts)]
        for header in [
            "opportunity_id",
            "sales_agent",
            "product",
            "account",
            "deal_stage",
            "engage_date",
            "close_date",
            "close_value",
        ]
    }
    assert found == {
        "opportunity_id": ["reference"],
        "sales_agent": ["owner"],
        "product": ["product"],
        "account": ["customer_name"],
        "deal_stage": ["stage"],
        "engage_date": ["opened_on"],
        "close_date": ["closed_on"],
        "close_value": ["amount"],
    }


@pytest.mark.parametrize(
    ("field", "text", "key"),
    [
        ("customer.urgency", "紧急", "high"),
        ("customer.urgency", "一般", "medium"),
        ("customer.priority", "建议", "low"),
        ("customer.scale", "大型企业", "large"),
        ("customer.potential", "A级", "A"),
        ("customer.tier", "ｂ级", "B"),
        ("customer.stage", "潜在客户", "prospect"),
        ("opportunity.stage", "方案提交", "proposal"),
        ("customer.source", "同行转介绍", "referral"),
        ("customer.source", "官网表单", "website"),
        ("customer.source", "行业展会", "exhibition"),
        ("follow_up.result", "进展顺利(需继续跟进)", "progressing"),
        ("follow_up.result", "暂缓·终止", "stopped"),
        ("follow_up.method", "线上", "online_meeting"),
        ("follow_up.method", " 电话 ", "phone"),
        ("feedback.confirmation", "需进一步优化", "to_improve"),
        ("customer.urgency", "whenever", None),
        ("customer.name", "whatever", None),
    ],
)
def test_words_of_the_seeds(field, text, key):
    assert load("standard").choice_key(field, text) == key


def test_an_internal_reference_is_no_header():
    for key in BUNDLED:
        playbook = load(key)
        for table in playbook.tables:
            assert not [field for field in playbook.synonyms(table) if field.endswith("_id")]


@pytest.mark.parametrize("key", BUNDLED)
def test_examples_are_words_that_the_playbook_knows(key):
    playbook = load(key)
    for table in playbook.tables.values():
        for field, text in table.example.items():
            if playbook.vocabulary(field) and field not in ("customer.need_tags", "customer.tags"):
                assert playbook.choice_key(field, text), f"{table.key}: {field}"


# ---- What each seed says, in its own playbook ----


@pytest.mark.parametrize(
    ("key", "number", "last"),
    [
        ("registration", "KH000001", 999_999),
        ("maintenance", "AB20240001", 9_999),
        ("lifecycle", "C20240515001", 999),
        ("marketing", "202405001", 999),
        ("integration", "CRM2024-001", 999),
    ],
)
def test_numbers_have_the_form_of_their_seed_and_never_grow_longer(key, number, last):
    scheme = NumberScheme.parse(load(key).numbering["customer"])
    assert scheme.format(1, date(2024, 5, 15), "AB") == number
    assert len(scheme.format(last, date(2024, 5, 15), "AB")) == len(number)
    with pytest.raises(NumbersExhausted):
        scheme.format(last + 1, date(2024, 5, 15), "AB")


CADENCES = {
    "registration": {
        ("潜在客户-未接触", "contact"): "7 days",
        ("潜在客户-已接触", "contact"): "3 days",
        ("意向客户-方案洽谈", "contact"): "1 day",
        ("成交客户-合作中", "contact"): "1 month",
    },
    "maintenance": {
        ("A", "contact"): "7 days",
        ("A", "deepening"): "1 month",
        ("B", "contact"): "14 days",
        ("B", "deepening"): "3 months",
        ("C", "contact"): "1 month",
        ("C", "deepening"): "6 months",
        ("C", "silence"): "3 months",
    },
    "lifecycle": {
        ("潜在客户-初步接洽", "contact"): "7 days",
        ("意向客户-需求确认", "contact"): "14 days",
        ("意向客户-方案洽谈", "contact"): "7 days",
    },
}


@pytest.mark.parametrize(("key", "expected"), CADENCES.items())
def test_how_often_whom_to_contact(key, expected):
    playbook = load(key)
    found = {}
    for cadence in playbook.cadences:
        whom = cadence.tiers or [playbook.lifecycle.stage(stage).label.zh for stage in cadence.stages]
        found |= {(one, cadence.track): str(cadence.every) for one in whom}
    assert found == expected


TARGETS = {
    "registration": {"record_follow_up": "24 hours"},
    "maintenance": {
        "record_follow_up": "24 hours",
        "solve_feedback": "24 hours",
        "plan_feedback": "48 hours",
    },
    "lifecycle": {"submit_proposal": "3 days", "answer_ticket": "24 hours"},
    "integration": {"record_follow_up": "24 hours"},
}


@pytest.mark.parametrize(("key", "expected"), TARGETS.items())
def test_what_is_due_within_a_time_by_its_seed(key, expected):
    own = {"record_follow_up", "submit_proposal", "complete_fields", "solve_feedback", "plan_feedback", "answer_ticket"}
    found = {target.key: str(target.within) for target in load(key).targets if target.key in own}
    assert found == expected


REQUIRED = {
    "registration": "name kind contact.phones contact.emails",
    "maintenance": "name industry contact.name",
    "lifecycle": "name industry scale contact.name contact.title contact.phones",
    "integration": "name contact.name",
}


@pytest.mark.parametrize(("key", "fields"), REQUIRED.items())
def test_what_must_be_filled_in(key, fields):
    assert load(key).required_fields("customer") == tuple(fields.split())


def test_seed_000_needs_an_industry_of_an_enterprise_alone():
    playbook = load("registration")
    assert "industry" in playbook.required_fields("customer", {"kind": "enterprise"})
    assert "industry" not in playbook.required_fields("customer", {"kind": "individual"})


def test_seed_001_wants_a_silent_c_customer_won_back_and_splits_feedback_by_complexity():
    silent = next(one for one in load("maintenance").cadences if one.key == "silent_customer")
    assert (silent.tiers, silent.any_contact, str(silent.every)) == (("C",), True, "3 months")
    where = {target.key: dict(target.where) for target in load("maintenance").targets}
    assert where["solve_feedback"] == {"feedback.complexity": "ordinary"}
    assert where["plan_feedback"] == {"feedback.complexity": "complex"}


@pytest.mark.parametrize(
    ("word", "stage"),
    [("潜在客户", "prospect"), ("初步接洽", "prospect"), ("意向客户", "interested"), ("需求确认", "interested"),
     ("方案洽谈", "proposal"), ("成交客户", "customer")],
)  # fmt: skip
def test_seed_002_has_its_need_stages_within_the_status(word, stage):
    playbook = load("lifecycle")
    assert playbook.lifecycle.stage_key(word) == stage
    assert (
        next(field for field, texts in playbook.synonyms("customers").items() if "客户类型" in texts)
        == "customer.stage"
    )


def test_seed_004_asks_for_a_reason_of_every_move_and_for_the_contract_of_a_deal():
    moves = load("integration").lifecycle.transitions
    assert all("reason" in move.guards for move in moves if not move.automatic)
    assert {move.source for move in moves if move.target == "customer"} == {"interested"}
    # 客户状态自动流转规则: the deal follows from the contract by itself.
    assert [move.guards for move in moves if move.automatic] == [("contract_signed",)]
    assert [move.target for move in moves if move.automatic] == ["customer"]


def test_seed_004_reminds_of_what_is_overdue_and_of_renewals():
    reminders = {reminder.key: reminder for reminder in load("integration").reminders}
    assert (str(reminders["overdue_follow_up"].after), reminders["overdue_follow_up"].before) == ("9 hours", None)
    assert reminders["contract_renewal"].on == "customer.contract_expires_on"


@pytest.mark.parametrize("key", ["registration", "lifecycle", "integration"])
def test_who_has_no_tiers_in_the_seed_has_none(key):
    assert (load(key).tiers, load(key).default_tier) == ((), None)
