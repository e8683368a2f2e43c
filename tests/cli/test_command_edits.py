"""Any verb that opens a store says what became of what people changed in it; the verb edits says it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openpyxl
import pytest
from conftest import Command

import crmcore

STORE = "excel:///客户.xlsx"


@pytest.fixture
def edited(command: Command) -> None:
    with crmcore.open(STORE, "standard") as crm:
        person = {"name": "甲", "phones": ("13800138000",), "emails": ("a@example.com",)}
        told: dict[str, Any] = {"industry": "制造业", "scale": "large", "core_need": "采购"}
        crm.acting_as("li.ming").customers.register(name="示例科技有限公司", contacts=[person], **told)
    change(客户状态="成交客户")


def change(**cells: Any) -> None:
    book = openpyxl.load_workbook("客户.xlsx")
    columns = {cell.value: cell.column for cell in book["客户"][1]}
    for heading, value in cells.items():
        book["客户"].cell(2, columns[heading]).value = value
    book.save("客户.xlsx")


def test_the_verb_that_opens_the_store_says_what_was_refused(command, edited):
    outcome = command("list", "--store", STORE, "--json", "--quiet")
    assert outcome.code == 0
    assert "[no_way]" in outcome.err and "0 rows taken in, 1 refused" in outcome.err
    assert "no_way" not in outcome.out and outcome.json
    again = command("list", "--store", STORE)
    assert again.err == "" or "refused" not in again.err
    kept = command("edits", "--store", STORE, "--language", "zh-CN")
    assert "外部修改:已录入0行,未录入1行" in kept.out and "[no_way]" in kept.out
    told = command("edits", "--store", STORE, "--json").json
    assert (told["taken"], told["refused"], len(told["issues"])) == (0, 1, 1)


def test_what_was_taken_in_is_said_unless_somebody_wants_quiet(command, edited):
    command("list", "--store", STORE)
    change(备注="年底前定")
    assert command("list", "--store", STORE, "--language", "zh-CN").err.startswith("外部修改:已录入1行,未录入0行")
    change(备注="明年再说")
    assert command("list", "--store", STORE, "--quiet").err == ""
    assert command("list", "--store", STORE, "--quiet").code == 0


def test_a_store_that_nobody_edited_says_so(command, tmp_path: Path):
    command("init", "--store", "crm.db")
    outcome = command("edits", "--store", "crm.db")
    assert (outcome.code, outcome.out) == (0, "") and "nobody changed" in outcome.err
    told = command("edits", "--store", "crm.db", "--json").json
    assert told == {"at": None, "taken": 0, "refused": 0, "issues": []}


def test_more_refused_cells_than_fit_are_counted(command, edited):
    command("list", "--store", STORE)
    change(**{f"{name}": "不是数字" for name in ("员工人数下限", "员工人数上限", "合同签订日期", "合同到期日")})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("crmcore.cli.shell.MOST_EDITS", 3)
        outcome = command("list", "--store", STORE)
    assert "… and 1 more; crmcore edits has them all" in outcome.err


@pytest.fixture
def kept(command: Command) -> None:
    assert command("init", "--store", STORE).code == 0


def test_a_workbook_that_is_damaged_is_told_by_its_own_code(command, kept):
    Path("客户.xlsx").write_bytes(b"PK")
    for verb in ("list", "check", "init", "edits"):
        outcome = command(verb, "--store", STORE, "--language", "zh-CN")
        assert outcome.code == 6
        assert outcome.err.startswith("error [store_corrupt]: ") and "不是工作簿" in outcome.err


@pytest.mark.parametrize("verb", ["list", "doctor", "init"])
def test_a_workbook_that_was_moved_away_is_written_again(command, kept, verb):
    Path("客户.xlsx").rename("别处.xlsx")
    outcome = command(verb, "--store", STORE, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert verb != "init" or outcome.json["made"] is False
    assert Path("客户.xlsx").exists()


def test_an_empty_workbook_is_damaged_whichever_verb_opens_it(command, kept):
    Path("客户.xlsx").write_bytes(b"")
    for verb in ("list", "init"):
        outcome = command(verb, "--store", STORE)
        assert (outcome.code, "[store_corrupt]" in outcome.err) == (6, True)


def test_a_workbook_that_never_was_is_not_made_by_a_slip(command):
    outcome = command("list", "--store", STORE)
    assert outcome.code == 1 and "make it with: crmcore init" in outcome.err
    assert list(Path().iterdir()) == []


def test_a_file_beside_the_store_is_told_as_a_file(command, kept):
    Path("there.xlsx").touch()
    outcome = command("backup", "there.xlsx", "--store", STORE, "--language", "zh-CN")
    assert outcome.code == 1 and outcome.err.startswith("error [file]: 文件无法使用(")
