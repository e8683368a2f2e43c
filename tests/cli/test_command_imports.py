"""`crmcore import` beside what is on file, and `crmcore imports`: updates shown before, made, listed, undone."""

from __future__ import annotations

import json

import pytest

import crmcore

SHEET = "客户名称,所属行业,备注\n甲公司,制造业,新\n乙公司,,\n"


@pytest.fixture(autouse=True)
def sheet(tmp_path, monkeypatch):
    monkeypatch.setenv("CRMCORE_STORE", "sqlite:///team.db")
    (tmp_path / "a.csv").write_text(SHEET, "utf-8")
    with crmcore.open("sqlite:///team.db", "standard") as crm:
        crm.acting_as("hua").customers.register(name="甲公司", remarks="旧")


def test_what_would_change_is_shown_and_then_changed_and_then_put_back(command) -> None:
    shown = command("import", "a.csv", "--duplicates", "update", "--update", "overwrite", "--dry-run", "--json").json
    assert (shown["rows"], shown["updated"], shown["run"]) == (2, 1, None)
    assert {(one["place"], one["was"], one["becomes"]) for one in shown["changes"]} == {
        ("a.csv a!2", None, "制造业"),
        ("a.csv a!2", "旧", "新"),
    }
    plain = command(
        "import", "a.csv", "--duplicates", "update", "--update", "overwrite", "--dry-run", "--language", "zh-CN"
    )
    assert "所属行业" in plain.out and "制造业" in plain.out and "档案变化" in plain.out
    done = command(
        "import", "a.csv", "--duplicates", "update", "--update", "overwrite", "--source", "名单", "--json"
    ).json
    assert (done["created"], done["updated"]) == (1, 1)
    listed = command("imports", "list", "--json").json
    assert [(run["by"], run["files"], run["source"], run["id"]) for run in listed] == [
        ("sales.east", "a.csv", "名单", done["run"])
    ]
    undone = command("imports", "undo", done["run"])
    assert undone.code == 0
    assert "1 records taken away, 1 put back" in undone.err
    assert [one["name"] for one in command("list", "--json").json["items"]] == ["甲公司"]
    assert command("imports", "undo", done["run"]).code == 1
    assert command("imports", "undo", "nothing").code == 1


def test_what_was_edited_since_is_listed(command) -> None:
    run = command("import", "a.csv", "--duplicates", "update", "--json").json["run"]
    with crmcore.open("sqlite:///team.db") as crm:
        me = crm.acting_as("hua")
        me.customers.update(me.customers.find(search="甲").items[0], industry="物流")
    told = json.loads(command("imports", "undo", run, "--json").out)
    assert [(one["entity"], one["fields"]) for one in told["left"]] == [("customer", ["industry"])]


def test_rows_that_wait_for_a_decision_end_in_3(command) -> None:
    done = command("import", "a.csv", "--duplicates", "ask", "--language", "zh-CN")
    assert done.code == 3
    assert "duplicate_asked" in done.out and "待定" in done.out


def test_nothing_was_imported_yet(command) -> None:
    assert "nothing was imported yet" in command("imports", "list").err
