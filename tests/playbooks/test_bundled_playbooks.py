"""What the bundled playbooks say, held to the seeds."""

import itertools
from datetime import date
from pathlib import Path

import pytest

from crmcore.domain import Contact, Customer, Feedback, FollowUp, FollowUpPlan, Opportunity, Order, Referral, Ticket
from crmcore.domain.duration import Duration
from crmcore.domain.entity import Record
from crmcore.domain.numbering import NumberScheme
from crmcore.domain.values import fold
from crmcore.errors import NumbersExhausted
from crmcore.playbooks import BUNDLED, COMPOUND_FIELDS, DERIVED_FIELDS, load

TEAMS = sorted((Path(__file__).parent / "teams").glob("*.toml"))
LABELLED = (Customer, Contact, Opportunity, FollowUpPlan, FollowUp, Feedback, Ticket, Order, Referral)
FIELDS = [f"{e.entity}.{name}" for e in LABELLED for name in e.kinds if name not in Record.kinds]

SEED_003_TABLES = {
    "customers": "客户编号, 客户名称, 所属行业, 联系人, 职务, 联系方式, 初步需求, 来源渠道, 初级标签(规模/紧急度/潜力), 建档日期",
    "follow_up_plans": "客户编号, 客户名称, 负责人, 首次跟进时间, 下次跟进时间, 跟进方式, 核心目标, 所需资源(如资料/工具), 备注",
    "follow_ups": "客户编号, 客户名称, 跟进时间, 沟通内容, 客户反馈, 异议点, 解决方案, 下一步行动, 记录人",
    "funnel": "客户编号, 客户名称, 当前阶段, 进入时间, 停留天数, 成交可能性, 卡点",
    "referrals": "转介绍人编号, 转介绍人, 被转介绍客户, 联系方式, 来源, 转介绍日期, 激励, 激励状态",
}


def headers(playbook, table):
    return [playbook.label(column, "zh-CN") for column in playbook.tables[table].columns]


@pytest.mark.parametrize(("table", "columns"), SEED_003_TABLES.items())
def test_the_sheets_of_marketing_have_the_headers_of_seed_003_in_their_order(table, columns):
    assert headers(load("marketing"), table) == columns.split(", ")


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
    assert [(t.key, str(t.within)) for t in marketing.targets] == [
        ("record_follow_up", "24 hours"),
        ("complete_fields", "30 days"),
    ]
    assert {field.partition(".")[2] for field in marketing.targets[1].fields} == {
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


# ---- The other teams of the seeds fit the same format ----


@pytest.mark.parametrize("path", TEAMS, ids=lambda path: path.stem)
def test_the_format_carries_the_other_seeds(path):
    playbook = load(path)
    assert playbook.key == path.stem
    assert NumberScheme.parse(playbook.numbering["customer"]).format(1, date(2024, 5, 15), "AB")


def test_seed_000_has_a_cadence_for_each_stage_and_needs_an_industry_of_an_enterprise():
    playbook = load(TEAMS[[path.stem for path in TEAMS].index("registration")])
    assert {cadence.stages[0]: str(cadence.every) for cadence in playbook.cadences} == {
        "untouched": "7 days",
        "contacted": "3 days",
        "proposal": "1 day",
        "cooperating": "1 month",
    }
    assert "industry" in playbook.required_fields("customer", {"kind": "enterprise"})
    assert "industry" not in playbook.required_fields("customer", {"kind": "individual"})
    assert playbook.required_fields("order") == ()
    assert playbook.synonyms("register")["follow_up.at"][0] == "跟进时间"


def test_seed_001_runs_two_tracks():
    playbook = load(TEAMS[[path.stem for path in TEAMS].index("maintenance")])
    of_a = {cadence.track: cadence.every for cadence in playbook.cadences if cadence.tiers == ("A",)}
    assert of_a == {"contact": Duration(7, "days"), "deepening": Duration(1, "months")}
    assert next(t for t in playbook.targets if t.key == "silent_c").where == {"customer.tier": "C"}


def test_seed_002_counts_in_weeks_and_working_days():
    playbook = load(TEAMS[[path.stem for path in TEAMS].index("lifecycle")])
    every = {cadence.key: str(cadence.every) for cadence in playbook.cadences}
    assert every["prospect_contact"] == "7 days" and every["interested_contact"] == "14 days"
    assert {target.key: str(target.within) for target in playbook.targets}["submit_proposal"] == "3 working_days"


def test_seed_004_has_its_sixteen_columns():
    playbook = load(TEAMS[[path.stem for path in TEAMS].index("integration")])
    assert headers(playbook, "form") == [
        "客户编号",
        "客户名称",
        "所属行业",
        "客户类型",
        "联系人",
        "联系方式",
        "联系方式",
        "客户地址",
        "首次接触时间",
        "最近跟进时间",
        "交往记录",
        "客户需求",
        "需求优先级",
        "跟进负责人",
        "客户状态",
        "备注",
    ]
    assert playbook.label("customer.region", "zh-CN") == "区域"
    assert playbook.synonyms("form")["customer.region"] == ("区域", "Region")
    assert "customers" not in playbook.tables and "follow_ups" in playbook.tables
