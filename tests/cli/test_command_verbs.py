"""The verbs on one small store: what they print for people and for programs."""

from __future__ import annotations

import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import crmcore
from crmcore.cli.issues import column_letters
from crmcore.cli.reporting import KINDS
from crmcore.cli.shell import harmless

TODAY = datetime.now(UTC).date()


def _number(command, name: str) -> str:
    (item,) = command("list", "--search", name, "--json").json["items"]
    return item["number"]


@pytest.fixture(autouse=True)
def in_the_store(store, monkeypatch) -> None:
    monkeypatch.setenv("CRMCORE_STORE", store)


def test_init_makes_a_store_once_and_keeps_its_playbook(command) -> None:
    made = command("init", "--store", "new.db", "--playbook", "marketing", "--json").json
    assert made == {"store": "sqlite:///new.db", "playbook": "marketing", "made": True}
    again = command("init", "--store", "new.db", "--json").json
    assert again == {**made, "made": False}
    assert "marketing" in command("init", "--store", "new.db").err


def test_a_playbook_file_is_found_from_any_folder(command, monkeypatch) -> None:
    Path("mine.toml").write_text('extends = "standard"\nkey = "mine"\n', "utf-8")
    made = command("init", "--store", f"{Path.cwd()}/new.db", "--playbook", "mine.toml", "--json").json
    Path("deeper").mkdir()
    monkeypatch.chdir("deeper")
    assert made["playbook"] == "mine"
    assert command("init", "--store", "../new.db", "--json").json["playbook"] == "mine"


def test_list_pages_without_gap_or_repetition(command) -> None:
    first = command("list", "--limit", "1", "--json").json
    second = command("list", "--limit", "1", "--json", "--after", first["next"]).json
    assert [item["name"] for item in first["items"] + second["items"]] == ["北方机械有限公司", "South Trading Ltd"]
    assert second["next"] is None
    shown = command("list", "--limit", "1")
    assert first["next"] in shown.err
    assert first["next"] not in shown.out


def test_list_filters_by_stage_label_owner_and_name(command) -> None:
    def names(*filters: str) -> list[str]:
        return [item["name"] for item in command("list", *filters, "--json").json["items"]]

    assert names("--stage", "意向客户") == names("--stage", "interested") == ["北方机械有限公司"]
    assert names("--owner", "chen") == names("--search", "southtrading") == ["South Trading Ltd"]
    assert names("opportunities", "--search", "PARTS") == ["Spare parts"]
    assert names("--search", "nobody") == []
    assert "(no rows)" in command("list", "--search", "nobody").out


def test_the_list_of_opportunities_gives_what_move_takes(command) -> None:
    (with_reference, without) = command("list", "opportunities").out.splitlines()[3:]
    assert with_reference.split()[0] == "D-1"
    assert _number(command, "北方") in with_reference
    for key in ("D-1", without.split()[0]):
        moved = command("move", key, "方案提交", "--json")
        assert moved.json["stage"] == "proposal"


def test_show_gathers_everything_about_a_customer(command) -> None:
    number = _number(command, "北方")
    next_on = str(TODAY + timedelta(days=9))
    command("follow", number, "--summary", "介绍产品", "--next-step", "报价", "--next-on", next_on)
    found = command("show", number, "--json").json
    assert found["customer"]["number"] == number
    assert [contact["phones"] for contact in found["contacts"]] == [["13800138000"]]
    assert [plan["due_on"] for plan in found["plans"]] == [next_on]
    assert [follow_up["summary"] for follow_up in found["follow_ups"]] == ["介绍产品"]
    assert [opportunity["reference"] for opportunity in found["opportunities"]] == ["D-1"]
    assert found["timeline"][-1]["action"] == "customer.registered"
    shown = command("show", number, "--language", "zh-CN").out
    for text in (number, "北方机械有限公司", "意向客户", "王磊", "介绍产品", next_on, "数控机床", "登记客户"):
        assert text in shown
    assert "FrozenMap" not in shown
    assert command("show", found["customer"]["id"], "--json").json == found


def test_due_lists_the_oldest_first_and_by_owner(command) -> None:
    duties = command("due", "--until", "2999-12-31", "--json").json
    assert [duty["due_at"] for duty in duties] == sorted(duty["due_at"] for duty in duties)
    assert {duty["owner"] for duty in duties} == {"sales.east", "chen"}
    late = command("due", "--json", "--owner", "chen").json
    assert {duty["owner"] for duty in late} == {"chen"}
    assert late[0]["state"] == "overdue"
    assert late[0]["days_overdue"] > 1000
    assert len(command("due", "--until", "2999-12-31", "--limit", "1", "--json").json) == 1
    shown = command("due", "--language", "zh-CN")
    assert "已逾期" in shown.out
    assert "South Trading Ltd" in shown.out
    nobody = command("due", "--owner", "nobody")
    assert (nobody.code, nobody.out) == (0, "")
    assert "nothing is due" in nobody.err


def test_follow_takes_labels_and_local_times(command) -> None:
    number = _number(command, "北方")
    logged = command(
        "follow",
        number,
        "--summary",
        "上门",
        "--method",
        "上门拜访",
        "--result",
        "进展顺利",
        "--at",
        "2026年1月5日 09:30",
        "--json",
    ).json
    assert (logged["method"], logged["result"]) == ("visit", "progressing")
    assert logged["at"] == "2026-01-05T01:30:00+00:00"


def test_follow_keeps_data_off_stdout_and_messages_off_a_quiet_run(command) -> None:
    number = _number(command, "北方")
    told = command("follow", number, "--summary", "called")
    assert (told.code, told.out) == (0, "")
    assert number in told.err
    assert command("follow", number, "--summary", "called", "--quiet")[1:] == ("", "")


def test_move_sets_fields_by_name_and_by_label(command) -> None:
    number = _number(command, "北方")
    refused = command("move", number, "成交客户")
    assert refused.code == 1
    assert "customer.contract_signed_on evidence_required" in refused.err
    moved = command(
        "move",
        number,
        "成交客户",
        "--set",
        "合同签订日期=2026/1/5",
        "--set",
        "contract_amount=12万",
        "--set",
        "Tags=重点;老客户",
        "--json",
    ).json
    assert moved["stage"] == "customer"
    assert moved["contract_signed_on"] == "2026-01-05"
    assert moved["contract_amount"] == {"amount": "120000.00", "currency": "CNY"}
    assert moved["tags"] == ["重点", "老客户"]


def test_a_stage_that_is_none_is_answered_with_those_that_can_follow(command) -> None:
    outcome = command("move", _number(command, "北方"), "nosuch", "--language", "zh-CN")
    assert outcome.code == 1
    assert "unknown_stage" in outcome.err
    assert all(label in outcome.err for label in ("成交客户", "流失客户", "潜在客户"))


def test_a_won_opportunity_takes_its_customer_along(command) -> None:
    command("move", "D-1", "proposal")
    command("move", "D-1", "negotiation")
    won = command("move", "D-1", "赢单", "--set", "amount=118000")
    assert won.code == 0
    assert command("show", _number(command, "北方"), "--json").json["customer"]["stage"] == "customer"
    found = command("report", "funnel", "--json").json
    assert found["totals"]["won"] == 1
    assert found["totals"]["won_amount"] == [{"amount": "118000.00", "currency": "CNY"}]
    assert command("report", "funnel", "--json", "--until", "2020-01-01").json["totals"]["won"] == 0
    today = str(TODAY + timedelta(days=1))
    assert command("report", "funnel", "--json", "--since", "2020-01-01", "--until", today).json["totals"]["won"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_report_comes_as_text_as_json_and_as_a_workbook(command, kind) -> None:
    assert command("report", kind).out
    assert isinstance(command("report", kind, "--json").json, dict)
    written = command("report", kind, "-o", "report.xlsx", "--json")
    assert written.json == {"file": "report.xlsx"}
    with zipfile.ZipFile("report.xlsx") as archive:
        assert archive.testzip() is None


def test_a_report_of_some_customers_leaves_the_others_out(command) -> None:
    whole, chen = (command("report", "customers", "--json", *of).json for of in ((), ("--of", "owner=chen")))
    assert (whole["count"], chen["count"]) == (2, 1)
    assert [row["owner"] for row in chen["by_owner"]] == ["chen"]
    assert command("report", "customers", "--json", "--of", "owner=chen", "--of", "stage=意向客户").json["count"] == 0
    assert command("report", "customers", "--json", "--of", "industry=").json["count"] == 2


def test_a_monthly_review_is_of_the_month_asked_for_or_the_last(command) -> None:
    january = command("report", "monthly", "--month", "2026-01", "--json").json
    assert january["summary"][0]["new_customers"] == 1
    assert command("report", "monthly", "--month", "2026-1", "--json").json["summary"] == january["summary"]
    told = command("report", "monthly", "--month", "2026-01", "--language", "zh-CN").out
    assert "期间:2026-01-01至2026-01-31" in told
    ended = TODAY.replace(day=1) - timedelta(days=1)
    assert f"{ended.replace(day=1)} to {ended}" in command("report", "monthly").out


def test_the_doctor_says_what_runs_and_what_is_kept(command) -> None:
    found = command("doctor", "--json").json
    assert found["crmcore"] == crmcore.__version__
    assert found["counts"]["customers"] == 2
    assert found["counts"]["opportunities"] == 2
    assert found["playbook"]["key"] == "standard"
    assert found["findings"] == []
    assert found["store"]["path"].endswith("crm.db")
    assert "click" in command("doctor").out


def test_the_doctor_still_says_what_runs_where_the_store_is_missing(command) -> None:
    outcome = command("doctor", "--store", "none.db", "--json")
    assert outcome.code == 1
    assert outcome.json["libraries"]["attrs"]
    assert "store_unavailable" in outcome.err


def test_the_doctor_ends_in_6_where_the_data_are_damaged(command, tmp_path) -> None:
    content = bytearray((tmp_path / "crm.db").read_bytes())
    # The last page of an index or table: overwritten, the tree no longer holds together.
    content[-3000:-1000] = b"\xff" * 2000
    (tmp_path / "crm.db").write_bytes(content)
    outcome = command("doctor")
    assert outcome.code == 6
    assert "Traceback" not in outcome.err


def test_json_is_utf8_whatever_the_terminal_is(process) -> None:
    outcome = process("list", "--json", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert outcome.json["items"][0]["name"] == "北方机械有限公司"
    plain = process("list", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert plain.code == 0
    assert "????????" in plain.out


def test_there_is_no_colour_where_nobody_sees_it(process) -> None:
    assert "\x1b" not in process("show", "nobody").err
    coloured = process("show", "nobody", FORCE_COLOR="1", TERM="xterm")
    assert "\x1b" in coloured.err
    assert "\x1b[31m" not in process("show", "nobody", FORCE_COLOR="1", NO_COLOR="1", TERM="xterm").err


@pytest.mark.parametrize(
    ("column", "letters"), [(1, "A"), (26, "Z"), (27, "AA"), (52, "AZ"), (703, "AAA"), (16384, "XFD")]
)
def test_columns_are_named_as_a_spreadsheet_does(column, letters) -> None:
    assert column_letters(column) == letters


def test_nothing_that_steers_a_terminal_gets_out() -> None:
    assert harmless("a\x1b[31mb\rc\u202ed\ne\tf") == "a\ufffd[31mb\ufffdc\ufffdd\ne\tf"


@pytest.mark.parametrize("bounds", [["--until", "9999-12-31"], ["--since", "0001-01-01"], ["--since", "9999-12-31"]])
def test_reminders_are_told_for_any_day_of_a_calendar(command, bounds) -> None:
    found = command("remind", *bounds)
    assert (found.code, "internal" in found.err) == (0, False)


@pytest.mark.parametrize("verb", ["remind", "report activity"])
def test_a_period_does_not_end_before_it_begins(command, verb) -> None:
    found = command(*verb.split(), "--since", "2026-12-01", "--until", "2026-11-01")
    assert (found.code, found.out) == (2, "")
    assert "a period does not end before it begins" in found.err


def test_reminders_name_the_customer_and_keep_the_ids_for_programs(command) -> None:
    number = _number(command, "South")
    period = ("--since", "2020-01-01", "--until", "2030-01-01")
    notices = command("remind", *period, "--json").json
    assert notices
    assert list(notices[0]) == ["at", "reminder", "to_whom", "due_at", "number", "name", "customer_id", "id"]
    assert number in {notice["number"] for notice in notices}
    shown = command("remind", *period).out
    assert number in shown and "South Trading Ltd" in shown
    assert not any(notice["customer_id"] in shown or notice["id"] in shown for notice in notices)


def test_another_playbook_is_refused_until_init_switches_to_it(command) -> None:
    refused = command("list", "--playbook", "marketing")
    assert refused.code == 2
    assert "crmcore init --switch-playbook" in refused.err
    assert command("init", "--switch-playbook").code == 2
    switched = command("init", "--playbook", "marketing", "--switch-playbook", "--json").json
    assert (switched["playbook"], switched["made"]) == ("marketing", False)
    assert command("list", "--playbook", "marketing").code == 0


def test_nobody_acts_as_a_blank_name(command) -> None:
    for name in ("", " "):
        assert command("list", "--as", name).code == 2
