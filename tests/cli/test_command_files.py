"""Files in and out: import, template and export, and the demo that ties them together."""

from __future__ import annotations

import os
import zipfile
from datetime import UTC, date, datetime
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crmcore
from crmcore import Money
from crmcore.cli.exporting import FORMULA_STARTS, csv_text
from crmcore.cli.program import program, run

CUSTOMERS = (
    "客户名称,联系人,手机,客户状态\n甲有限公司,联系人甲,13800138000,潜在客户\n乙有限公司,销售甲,13900139000,意向客户\n"
)


@pytest.fixture(autouse=True)
def in_the_store(store, monkeypatch) -> None:
    monkeypatch.setenv("CRMCORE_STORE", store)


def test_an_import_says_what_became_of_each_row_and_can_be_repeated(command) -> None:
    Path("客户.csv").write_text(CUSTOMERS, "gb18030")
    first = command("import", "客户.csv", "--json")
    assert first.code == 0
    (sheet,) = first.json["sheets"]
    assert (sheet["file"], sheet["table"], sheet["header_row"], sheet["rows"]) == ("客户.csv", "customers", 1, 2)
    assert (first.json["created"], first.json["known"], first.json["rejected"]) == (2, 0, 0)
    again = command("import", "客户.csv", "--json").json
    assert (again["created"], again["known"], again["rejected"]) == (0, 2, 0)
    assert [item["name"] for item in command("list", "--search", "有限公司", "--json").json["items"]][1:] == [
        "甲有限公司",
        "乙有限公司",
    ]


def test_a_dry_run_finds_the_same_and_stores_nothing(command) -> None:
    Path("客户.csv").write_text(f"{CUSTOMERS},联系人,x,潜在客户\n", "utf-8")
    dry = command("import", "客户.csv", "--dry-run", "--json")
    assert dry.code == 3
    assert (dry.json["dry_run"], dry.json["created"], dry.json["rejected"]) == (True, 0, 1)
    assert dry.json["sheets"][0]["ready"] == 2
    assert len(command("list", "--json").json["items"]) == 2
    wet = command("import", "客户.csv", "--json")
    assert wet.code == 3
    assert wet.json["sheets"][0]["issues"] == dry.json["sheets"][0]["issues"]
    assert {(issue["row"], issue["code"]) for issue in wet.json["sheets"][0]["issues"]} == {
        (4, "required"),
        (4, "bad_phone"),
    }


def test_no_cell_is_repeated_in_what_an_import_prints(command) -> None:
    Path("客户.csv").write_text("客户名称,手机,邮箱\n丙有限公司,1380013SECRET,SECRET@@example\n", "utf-8")
    outcome = command("import", "客户.csv")
    assert outcome.code == 3
    assert "SECRET" not in outcome.out + outcome.err
    assert "丙" not in outcome.out + outcome.err


def test_customers_go_in_before_what_names_them_in_any_order_of_files(command) -> None:
    Path("deals.csv").write_text("商机名称,客户名称,销售阶段,预计成交金额\n软件,甲有限公司,方案提交,5万\n", "utf-8")
    Path("客户.csv").write_text(CUSTOMERS, "utf-8")
    outcome = command("import", "deals.csv", "客户.csv", "--json")
    assert (outcome.code, outcome.json["created"]) == (0, 3)


def test_only_the_first_warnings_of_a_code_are_printed(command) -> None:
    rows = "".join(f"机会{number},需求确认\n" for number in range(9))
    Path("deals.csv").write_text(f"商机名称,销售阶段\n{rows}", "utf-8")
    outcome = command("import", "deals.csv", "--table", "opportunities")
    assert outcome.code == 0
    assert outcome.out.count("no_customer (warning)") == 5
    assert "4 more no_customer" in outcome.out


def test_a_mapping_and_its_faults(command) -> None:
    Path("客户.csv").write_text("Acct,Tel no\n甲有限公司,13800138000\n", "utf-8")
    Path("map.toml").write_text('[columns]\n"Acct" = "customer.name"\n"Tel no" = "contact.phones"\n', "utf-8")
    assert (
        command("import", "客户.csv", "--mapping", "map.toml", "--table", "客户信息表", "--json").json["created"] == 1
    )
    Path("map.toml").write_text("colums = 1\n", "utf-8")
    assert command("import", "客户.csv", "--mapping", "map.toml").code == 1


def test_a_template_needs_no_store_and_is_taken_by_an_import(command) -> None:
    assert command("template", "-o", "all.xlsx", "--store", "none.db").code == 0
    assert command("template", "客户信息表", "-o", "one.xlsx", "--language", "zh-CN", "--json").json == {
        "file": "one.xlsx"
    }
    blank = command("import", "one.xlsx", "--dry-run", "--json")
    assert (blank.code, "no_rows" in blank.err) == (1, True)
    book = openpyxl.load_workbook("one.xlsx")
    sheet = book["客户信息表"]
    sheet.cell(2, [cell.value for cell in sheet[1]].index("客户名称*") + 1, "甲公司")
    book.save("one.xlsx")
    outcome = command("import", "one.xlsx", "--dry-run", "--json")
    assert outcome.code == 0
    assert {sheet["table"]: sheet["ready"] for sheet in outcome.json["sheets"] if sheet["table"]} == {"customers": 1}
    assert not Path("none.db").exists()


@pytest.mark.parametrize("name", ["customers.csv", "customers.xlsx"])
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_an_export_comes_back_unchanged(command, store, name, language) -> None:
    with crmcore.open(store) as crm:
        crm.acting_as("sales.east").customers.register(
            name='=HYPERLINK("http://x")',
            kind="individual",
            uscc="91310000000000000X",
            tier="A",
            scale="small_medium",
            first_contact_on=date(2025, 1, 5),
            urgency="high",
            need_tags=["采购设备", "-自定义"],
            headcount_low=100,
            headcount_high=500,
            contract_amount=Money.of("1234.50", "USD"),
            contract_signed_on=date(2024, 2, 29),
            last_follow_up_at=datetime(2025, 1, 5, 8, 30, tzinfo=UTC),
            remarks='第一行\n+第二行, "引号"',
            contacts=[{"name": "@bob", "phones": ["+86 138 0013 8000", "021-5555"], "email": "b@example.com"}],
        )
    before = command("export", "customers", "--json").json
    assert command("export", "customers", "-o", name, "--language", language).code == 0
    assert command("init", "--store", "fresh.db").code == 0
    taken = command("import", name, "--store", "fresh.db", "--json")
    assert (taken.code, taken.json["created"], taken.json["rejected"]) == (0, 3, 0)
    assert command("export", "customers", "--json", "--store", "fresh.db").json == before
    assert command("import", name, "--json").json["created"] == 0


@pytest.mark.parametrize("name", ["opportunities.csv", "opportunities.xlsx"])
def test_opportunities_in_several_currencies_come_back_unchanged(command, store, name) -> None:
    with crmcore.open(store) as crm:
        me = crm.acting_as("sales.east")
        (customer,) = me.customers.find(search="South")
        me.opportunities.open(name="Lathe", customer=customer, expected_amount=Money.of("99.5", "EUR"))
    before = command("export", "opportunities", "--json").json
    command("export", "customers", "-o", "customers.csv")
    command("export", "opportunities", "-o", name)
    command("init", "--store", "fresh.db")
    assert command("import", "customers.csv", name, "--store", "fresh.db").code == 0
    assert command("export", "opportunities", "--json", "--store", "fresh.db").json == before


_TEXTS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=12)
_RISKY = st.builds(str.__add__, st.sampled_from(["=", "+", "-", "@", "＝", "'", '"', "\t=", ",", ";"]), _TEXTS)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(_TEXTS, _RISKY), min_size=1, max_size=3))
def test_any_text_comes_back_from_csv_and_none_is_a_formula_there(tmp_path_factory, texts) -> None:
    with crmcore.open("memory:", "standard") as source, crmcore.open("memory:", "standard") as target:
        me = source.acting_as("sales.east")
        for number, text in enumerate(texts):
            me.customers.register(name=f"C{number}", first_contact_on=date(2026, 1, 2), address=text, remarks=text)
        table = me.exports.table("customers")
        content = csv_text(table, "CNY", "en")
        assert not [field for field in content.split('","') if field.startswith(FORMULA_STARTS)]
        path = tmp_path_factory.mktemp("csv") / "customers.csv"
        path.write_text(content, "utf-8-sig", newline="")
        you = target.acting_as("sales.east")
        you.imports.plan(path).apply()
        assert you.exports.table("customers").rows == table.rows


def test_csv_goes_to_stdout_as_utf8_and_to_a_file_with_a_mark(command) -> None:
    on_stdout = command("export", "customers", "-o", "-").out
    command("export", "customers", "-o", "a.csv")
    assert Path("a.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert Path("a.csv").read_text("utf-8-sig").splitlines() == on_stdout.splitlines()
    command("export", "customers", "-o", "b.csv", "--encoding", "gb18030")
    assert Path("b.csv").read_text("gb18030").splitlines() == on_stdout.splitlines()


def test_a_file_that_cannot_be_written_is_an_error_and_leaves_nothing(command) -> None:
    Path("taken.csv").mkdir()
    for name in ("nosuch/a.csv", "nosuch/a.xlsx", "taken.csv"):
        outcome = command("export", "customers", "-o", name)
        assert outcome.code == 1
        assert outcome.err.startswith("error [")
        assert "Traceback" not in outcome.err
    assert not list(Path("taken.csv").iterdir())


def processor_seconds() -> float:
    """What child processes have used so far: a busy machine makes no demo slow."""
    used = os.times()
    return used.children_user + used.children_system


def test_the_demo_does_the_main_job_and_says_where_it_left_it(process) -> None:
    began = processor_seconds()
    outcome = process("demo")
    assert processor_seconds() - began < 10
    assert outcome.code == 0
    assert "error" not in outcome.err
    assert str(Path("crm-demo/crm.db").resolve()) in outcome.out
    assert str(Path("crm-demo/review.xlsx").resolve()) in outcome.out
    with zipfile.ZipFile("crm-demo/review.xlsx") as archive:
        charts = [archive.read(name).decode() for name in archive.namelist() if name.startswith("xl/charts/chart")]
    assert all(any(kind in chart for chart in charts) for kind in ("<c:barChart>", "<c:lineChart>", "<c:pieChart>"))
    suggested = [line.split("crmcore ", 1)[1] for line in outcome.out.splitlines() if line.startswith("  crmcore ")]
    assert len(suggested) == 3
    assert all(run(line.split()) == 0 for line in suggested)


def test_the_demo_shows_a_bad_row_and_takes_the_others(command) -> None:
    shown = command("demo", "--language", "zh-CN")
    assert shown.code == 0
    assert "required" in shown.out
    assert "bad_date" in shown.out
    again = command("import", "crm-demo/customers.xlsx", "--store", "crm-demo/crm.db", "--json")
    assert again.code == 3
    assert (again.json["created"], again.json["known"], again.json["rejected"]) == (0, 17, 1)
    found = command(
        "show",
        "--store",
        "crm-demo/crm.db",
        "--json",
        command("list", "--store", "crm-demo/crm.db", "--json").json["items"][0]["number"],
    )
    assert found.json["contacts"][0]["phones"] == ["13800138001"]
    assert command("due", "--store", "crm-demo/crm.db", "--json").json[0]["state"] == "overdue"


def test_the_demo_makes_its_own_folder_anew_and_leaves_any_other_alone(command) -> None:
    first = command("demo", "mine", "--json").json
    assert set(first) == {"store", "review"}
    assert command("demo", "mine", "--json").json == first
    assert command("report", "funnel", "--store", "mine/crm.db", "--json").json["totals"]["count"] == 23
    Path("yours").mkdir()
    Path("yours/crm.db").write_text("mine!", "utf-8")
    outcome = command("demo", "yours")
    assert outcome.code == 1
    assert Path("yours/crm.db").read_text("utf-8") == "mine!"
    Path("file").touch()
    assert command("demo", "file").code == 2


def test_the_verbs_are_those_that_were_promised() -> None:
    promised = {
        "init",
        "keys",
        "encrypt",
        "rekey",
        "import",
        "imports",
        "template",
        "export",
        "list",
        "show",
        "follow",
        "move",
        "outbox",
        "edits",
        "copy",
        "backup",
        "upgrade",
        "check",
        "due",
        "report",
        "doctor",
        "demo",
        "playbook",
        "quality",
        "recompute",
        "remind",
        "replay",
        "tier",
        "verify",
        "unmerge",
        "merge",
        "duplicates",
        "delete",
        "restore",
        "retain",
        "erase",
    }
    assert set(program.commands) == promised
