"""`crmcore playbook`: showing, checking and drawing, with and without a store."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import attrs
import pytest

from crmcore.cli.texts import TEXTS
from crmcore.playbooks import BUNDLED, MOMENTS, Playbook, load
from crmcore.playbooks.drawing import dot, mermaid

BROKEN = 'extends = "marketing"\nkey = "mine"\n[tiers]\nC = false\n[tiering]\nbands = { C = false, B = 0 }\n'


@pytest.mark.parametrize("key", BUNDLED)
def test_every_bundled_playbook_is_in_order(command, key) -> None:
    assert command("playbook", "check", key) == (0, "", f"{key}: in order\n")
    assert command("playbook", "check", key, "--json").json == {"playbook": key, "problems": []}


def test_check_prints_every_problem_and_ends_in_1(command) -> None:
    Path("mine.toml").write_text(BROKEN, "utf-8")
    problems = [
        f"{place}: there is no tier 'C'. Allowed: A, B." for place in ("default_tier", "cadences.tier_c_contact.tiers")
    ]
    code, out, err = command("playbook", "check", "mine.toml")
    assert (code, out.splitlines(), err) == (1, problems, "mine.toml: problems found: 2\n")
    assert command("--playbook", "mine.toml", "playbook", "check", "-q").out.splitlines() == problems
    found = command("playbook", "--json", "check", "mine.toml")
    assert (found.code, found.json) == (1, {"playbook": "mine.toml", "problems": problems})


@pytest.mark.parametrize("name", ["nowhere.toml", "nobody"])
def test_check_of_what_is_not_there_is_a_problem(command, name) -> None:
    code, out, _ = command("playbook", "check", name)
    assert code == 1 and len(out.splitlines()) == 1


@pytest.mark.parametrize("verb", ["show", "draw"])
def test_a_broken_playbook_is_neither_shown_nor_drawn(command, verb) -> None:
    Path("mine.toml").write_text(BROKEN, "utf-8")
    code, out, err = command("playbook", verb, "mine.toml")
    assert (code, out) == (2, "")
    assert err.startswith("error [playbook]")


@pytest.mark.parametrize("key", BUNDLED)
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_show_says_everything_in_one_language(command, key, language) -> None:
    playbook = load(key)
    code, out, err = command("playbook", "show", key, "--language", language)
    assert (code, err) == (0, "")
    named = [stage for graph in (playbook.lifecycle, *playbook.pipelines.values()) for stage in graph.stages]
    named += [*playbook.tiers, *playbook.cadences, *playbook.targets, *playbook.reminders, *playbook.tables.values()]
    for one in named:
        assert " ".join(one.label.text(language).split()) in out
    for scheme in playbook.numbering.values():
        assert scheme in out
    for table in playbook.tables.values():
        assert ", ".join(playbook.label(column, language) for column in table.columns) in out


def test_show_in_words(command) -> None:
    out = command("playbook", "show", "registration", "--language", "zh-CN").out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "客户 KH{serial:6} KH000001" in lines
    assert (
        "意向客户-方案洽谈 proposal 进行中 50 成交客户-合作中 (合同已签订); 流失客户-已终止 (注明原因); ↩ 潜在客户-已接触 (注明原因)"
        in lines
    )
    assert "已接触客户跟踪 3天 潜在客户-已接触 contact 微信 跟进+方案推送" in lines
    assert "24小时内填写跟踪记录 24小时 沟通 填写记录" in lines
    assert "合同续约提醒 提前30天 合同到期日 负责人" in lines
    assert "客户 (客户类型: 企业客户) 所属行业" in lines
    english = [" ".join(line.split()) for line in command("playbook", "show", "integration").out.splitlines()]
    assert "Follow-up overdue 9 hours after planned follow-ups owner" in english


def test_show_as_data(command) -> None:
    found = command("playbook", "show", "maintenance", "--json").json
    year = datetime.datetime.now(datetime.timezone(datetime.timedelta(hours=8))).year
    assert found["numbering"]["customer"] == {"scheme": "{short_name}{year}{serial:4}", "first_today": f"AB{year}0001"}
    every = {cadence["key"]: (cadence["every"], cadence["track"]) for cadence in found["cadences"]}
    assert every["tier_a_contact"] == ("7 days", "contact")
    assert every["executive_meeting"] == ("1 month", "deepening")
    label = found["lifecycle"]["stages"][0]["label"]
    assert (label["zh"], label["en"]) == ("潜在客户", "Prospect") and "线索" in label["aliases"]
    assert found["required"] == {"customer": ["name", "industry", "contact.name"]}
    assert found["tables"]["customers"]["columns"][:2] == ["customer.number", "customer.name"]
    assert found["reminders"][0]["before"] == "1 hour" and found["reminders"][0]["after"] is None


@pytest.mark.parametrize("key", BUNDLED)
def test_show_as_data_leaves_nothing_out(command, key) -> None:
    found = command("playbook", "show", key, "--json").json
    assert list(found) == [field.name for field in attrs.fields(Playbook)]
    playbook = load(key)
    assert found["scale_bands"] == dict(playbook.scale_bands)
    assert found["vague"] == list(playbook.vague)
    assert found["fields"]["customer.name"]["zh"] == playbook.fields["customer.name"].zh
    assert found["choices"]["customer.urgency"]["high"]["aliases"] == ["紧急", "急", "urgent"]
    assert found["risks"].keys() == {field.name for field in attrs.fields(type(playbook.risks))}


def test_show_says_what_stands_beside_the_tables(command) -> None:
    own = """
        extends = "standard"
        key = "mine"
        vague = ["随便看看"]
        [risks]
        silent_for = "60 days"
        changed_needs = true
        activity_fall = 37
        [custom_fields.customer.region]
        kind = "text"
        label = { zh = "大区", en = "Region" }
    """
    Path("mine.toml").write_text(own, "utf-8")
    lines = [" ".join(line.split()) for line in command("playbook", "show", "mine.toml").out.splitlines()]
    for line in (
        "Pipeline unless named: Sales (sales)",
        "Needs that are too vague: 随便看看",
        "At risk: no contact for 60 days",
        "At risk: fewer conversations, % 37",
        "May want more: changed needs yes",
        "Region customer.region text",
    ):
        assert line in lines, line
    won = load("standard").lifecycle.stage(load("standard").won_moves_customer_to).label.en
    assert any(line.startswith(f"A won opportunity takes its customer to: {won} (") for line in lines)
    assert any(line.startswith("Scale by employees: ") and "≥1,000" in line for line in lines)
    chinese = command("playbook", "show", "mine.toml", "--language", "zh-CN").out
    assert "风险:沟通减少%" in chinese and "大区" in chinese


def test_without_a_name_it_is_the_store_s_own_or_the_one_asked_for(command, store) -> None:
    def title(*arguments: str) -> str:
        return command("playbook", *arguments).out.splitlines()[0]

    assert title("show", "--store", store) == "Standard (standard)"
    assert title("show", "--playbook", "lifecycle", "--store", "nowhere.db") == "Lifecycle (lifecycle)"
    assert title("show", "marketing", "--store", store) == "Marketing team (marketing)"
    assert not Path("nowhere.db").exists()


@pytest.mark.parametrize(("form", "make"), [("mermaid", mermaid), ("dot", dot)])
def test_draw(command, form, make) -> None:
    playbook = load("lifecycle")
    sales = playbook.pipelines["sales"]
    for graph, name in ((playbook.lifecycle, "lifecycle"), (sales, "sales"), (sales, "销售机会")):
        arguments = ("playbook", "draw", "lifecycle", "--graph", name, "--format", form, "--language", "zh-CN")
        drawn = make(graph, "zh-CN", playbook.fields)
        assert command(*arguments).out == drawn
        assert command(*arguments, "--json").json == {
            "playbook": "lifecycle",
            "graph": graph.key,
            "format": form,
            "text": drawn,
        }
    assert command("playbook", "draw", "lifecycle").out == mermaid(playbook.lifecycle, "en", playbook.fields)


def test_draw_names_fields_of_the_team_s_own(command) -> None:
    Path("mine.toml").write_text(
        'extends = "standard"\nkey = "mine"\n[custom_fields.customer.region]\nkind = "text"\nlabel = { zh = "区域", en = "Region" }\n'
        '[lifecycle.transitions]\n"prospect -> interested" = { guards = ["fields"], fields = ["customer.region"] }\n',
        "utf-8",
    )
    assert "filled in: Region" in command("playbook", "draw", "mine.toml", "--format", "dot").out


@pytest.mark.parametrize(
    "arguments", [("draw", "standard", "--graph", "x"), ("draw", "--format", "svg"), ("paint",), ()]
)
def test_what_can_t_be_followed(command, arguments) -> None:
    code, out, err = command("playbook", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error [usage]: ") and "see: crmcore playbook" in err


def test_every_moment_is_said_in_both_languages() -> None:
    assert {key for key in TEXTS if key.startswith("moment.")} == {f"moment.{moment}" for moment in MOMENTS}


def test_a_process_writes_utf_8(process) -> None:
    outcome = process("playbook", "show", "registration", "--json")
    assert json.loads(outcome.out)["title"]["zh"] == "客户信息登记与跟踪"
