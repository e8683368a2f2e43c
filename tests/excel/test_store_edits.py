"""A person edits a store's workbook with another program; the next opening takes in what the rules let in."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.worksheet.worksheet import Worksheet

import crmcore
from crmcore import Money
from crmcore.app.stores import copy
from crmcore.errors import StoreCorrupt, StoreUnavailable

NOW = datetime.datetime(2023, 10, 9, 2, 0, tzinfo=datetime.UTC)
PERSON = {"name": "联系人甲", "phones": ("13800138000",), "emails": ("a@example.com",)}
COMMON = {"industry": "制造业", "scale": "small_medium", "core_need": "采购办公设备"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "客户.xlsx"


def opened(path: Path, **options: Any) -> crmcore.CRM:
    return crmcore.open(f"excel:///{path}", "standard", clock=lambda: NOW, **options)


@pytest.fixture
def customer(path: Path) -> crmcore.Customer:
    with opened(path) as crm:
        me = crm.acting_as("sales.east")
        made = me.customers.register(
            name="示例科技有限公司", contacts=[PERSON], contract_amount=Money.of("1234.50"), **COMMON
        )
        me.customers.register(name="样本贸易有限公司", contacts=[PERSON], **COMMON)
        me.opportunities.open(name="办公设备采购", customer=made, expected_amount=Money.of("50000"))
        return made


class Sheet:
    """A sheet as a person knows it: by its headings."""

    def __init__(self, sheet: Worksheet) -> None:
        self.sheet = sheet
        self.columns = {cell.value: cell.column for cell in sheet[1]}

    def write(self, row: int, **cells: Any) -> None:
        for heading, value in cells.items():
            self.sheet.cell(row, self.columns[heading]).value = value

    def read(self, row: int, heading: str) -> Any:
        return self.sheet.cell(row, self.columns[heading]).value

    def place(self, row: int, heading: str) -> str:
        return f"{self.sheet.title}!{self.sheet.cell(row, self.columns[heading]).coordinate}"


@contextmanager
def person(path: Path) -> Iterator[dict[str, Sheet]]:
    """A person opens the workbook, changes it and saves it."""
    book = openpyxl.load_workbook(path)
    yield {sheet.title: Sheet(sheet) for sheet in book.worksheets}
    book.save(path)


def test_edits_go_through_the_use_cases_and_the_workbook_shows_what_came_of_them(path, customer):
    with person(path) as sheets:
        sheets["客户"].write(
            2, 客户状态="意向客户", 备注="年底前定", 合同金额=2000.5, 合同签订日期=datetime.date(2023, 10, 8)
        )
        sheets["客户"].write(
            4, 客户名称="新客户有限公司", 负责人="li.ming", 所属行业="零售业", 核心需求="收银机", 客户规模="大型企业"
        )
        sheets["联系人"].write(
            4,
            所属客户="新客户有限公司",
            联系人="联系人乙",
            联系电话="13900139000",
            邮箱="b@example.com",
            是否决策人="是",
        )
        sheets["跟进记录"].write(
            2,
            所属客户=customer.number,
            跟进方式="电话",
            沟通内容="报价已发",
            下一步行动="回访",
            下次跟进时间=datetime.date(2023, 10, 16),
        )
        sheets["商机"].write(2, 销售阶段="方案提交", 预计成交金额=60000)
    with opened(path, edited_by="li.ming") as crm:
        assert crm.edit_report is not None
        assert not crm.edit_report.issues, crm.edit_report.text()
        assert len(crm.edit_report.taken) == 5
        me = crm.acting_as("sales.east")
        first, _, new = me.customers.find().items
        assert (first.stage, first.remarks, first.updated_by) == ("interested", "年底前定", "li.ming")
        assert first.contract_amount == Money.of("2000.50")
        assert [event.by for event in me.customers.timeline(first) if event.action == "customer.moved"] == ["li.ming"]
        assert (new.name, new.owner) == ("新客户有限公司", "li.ming")
        assert [(one.phones, one.decision_maker) for one in me.contacts.of(new)] == [(("13900139000",), True)]
        assert [one.summary for one in me.follow_ups.of(first)] == ["报价已发"]
        assert [plan.due_on for plan in me.plans.of(first)] == [datetime.date(2023, 10, 16)]
        deal = me.opportunities.find().items[0]
        assert (deal.stage, deal.expected_amount) == ("proposal", Money.of("60000"))
        assert me.obligations.of(first)
    with person(path) as sheets:
        assert sheets["客户"].read(4, "客户编号") == new.number
        assert sheets["客户"].read(2, "客户状态") == "意向客户"
    with opened(path) as crm:
        assert crm.edit_report is None


def test_people_read_names_for_ids_and_lists_without_brackets_and_may_write_them_so(path, customer):
    with person(path) as sheets:
        assert sheets["联系人"].read(2, "所属客户") == f"{customer.number} 示例科技有限公司"
        assert sheets["联系人"].read(2, "联系电话") == "13800138000"
        assert sheets["商机"].read(2, "所属客户") == f"{customer.number} 示例科技有限公司"
        sheets["联系人"].write(2, 联系电话="13800138000; 010-66668888、13900139000")
        sheets["商机"].write(2, 所属客户=sheets["联系人"].read(3, "所属客户"))
        # Another name in the same file doesn't make the others point at nobody.
        sheets["客户"].write(3, 客户名称="样本贸易集团")
        sheets["跟进记录"].write(2, 所属客户=sheets["联系人"].read(3, "所属客户"), 沟通内容="改名")
    with opened(path) as crm:
        assert crm.edit_report is not None and not crm.edit_report.issues, crm.edit_report
        me = crm.acting_as("x")
        (contact,) = me.contacts.of(customer)
        assert contact.phones == ("13800138000", "010-66668888", "13900139000")
        other = me.customers.find(search="样本贸易集团").items[0]
        assert me.opportunities.find().items[0].customer_id == other.id
        assert [one.summary for one in me.follow_ups.of(other)] == ["改名"]
    with person(path) as sheets:
        assert sheets["商机"].read(2, "所属客户") == f"{other.number} 样本贸易集团"


def test_what_is_refused_is_named_cell_by_cell_and_comes_back(path, customer):
    with person(path) as sheets:
        shown = sheets["客户"]
        shown.write(2, 客户状态="成交客户", 备注="年底前定")
        shown.write(3, 员工人数下限="很多", 进入时间=datetime.datetime(2020, 1, 1), 备注="这一行不录入")
        sheets["联系人"].sheet.delete_rows(2)
        places = [shown.place(2, "客户状态"), shown.place(3, "员工人数下限"), shown.place(3, "进入时间")]
    with opened(path) as crm:
        report = crm.edit_report
        assert report is not None and not report.taken
        lines = report.text("zh-CN").splitlines()
        assert lines[0] == "外部修改:已录入0行,未录入3行"
        assert {line.split()[0] for line in lines[1:4]} == set(places)
        assert "[no_way]" in lines[1]
        assert [issue.code for issue in report.issues] == ["no_way", "bad_type", "not_editable", "row_removed"]
        assert all(one.remarks is None for one in crm.acting_as("x").customers.find())
        assert len(crm.acting_as("x").contacts.of(customer)) == 1
    book = openpyxl.load_workbook(path)
    shown = Sheet(book["客户"])
    assert (shown.read(2, "客户状态"), shown.read(2, "备注"), shown.read(3, "员工人数下限")) == ("潜在客户", None, None)
    assert Sheet(book["联系人"]).read(2, "联系人") == "联系人甲"
    guide = [row[0].value for row in book["使用说明"].iter_rows() if row[0].value]
    assert any(str(line).startswith(places[0]) for line in guide)
    # The file that was edited is kept.
    assert any("很多" in str(cell.value) for kept in path.parent.rglob("saved-*.xlsx")
               for row in openpyxl.load_workbook(kept)["客户"].iter_rows() for cell in row)  # fmt: skip


def test_what_somebody_else_changed_meanwhile_is_not_written_over(path, customer):
    """The journal has a change that the workbook, which a person has open, doesn't show yet."""
    with opened(path) as crm, person(path) as sheets:
        crm.acting_as("sales.west").customers.update(customer.number, remarks="西区说", address="上海")
        sheets["客户"].write(2, 备注="东区说")
        sheets["客户"].write(3, 备注="没有冲突")
    with opened(path) as crm:
        report = crm.edit_report
        assert report is not None
        assert [(issue.code, issue.field) for issue in report.issues] == [("edit_conflict", "customer.remarks")]
        first, second = crm.acting_as("x").customers.find().items
        assert (first.remarks, first.address, second.remarks) == ("西区说", "上海", "没有冲突")


def test_a_workbook_that_is_saved_again_without_having_been_closed_is_not_taken_in_twice(path, customer):
    """The person goes on in the file as they have it, which knows nothing of what was taken in meanwhile."""
    book = openpyxl.load_workbook(path)
    sheet = Sheet(book["跟进记录"])
    sheet.write(2, 所属客户=customer.number, 沟通内容="报价已发")
    book.save(path)
    with opened(path) as crm:
        assert crm.edit_report is not None and len(crm.edit_report.taken) == 1
    sheet.write(3, 所属客户=customer.number, 沟通内容="客户确认收到")
    sheet.write(4, 所属客户=customer.number, 沟通内容="客户确认收到")
    book.save(path)
    with opened(path) as crm:
        assert [row.outcome for row in crm.edit_report.rows] == ["known", "taken", "taken"]
        held = sorted(one.summary for one in crm.acting_as("x").follow_ups.of(customer))
        assert held == ["客户确认收到", "客户确认收到", "报价已发"]


def test_what_is_saved_while_the_workbook_stays_open_is_taken_in_when_it_was_closed(path, customer, caplog):
    owner = path.with_name(f".~lock.{path.name}#")
    owner.write_text(",li.ming,host,28.11.2026 17:00,file:///tmp;")
    book = openpyxl.load_workbook(path)
    sheet = Sheet(book["跟进记录"])
    sheet.write(2, 所属客户=customer.number, 沟通内容="报价已")
    book.save(path)
    with opened(path) as crm:
        assert crm.edit_report is None
        assert owner.name in caplog.text and "taken in" in caplog.text
        assert (crm.store.describe()["edits_waiting"], crm.store.describe()["edits_later"]) == (0, True)
        with pytest.raises(StoreUnavailable, match="not taken in yet"):
            copy(crm.store, f"sqlite:///{path.with_name('copy.db')}")
        crm.acting_as("sales.east").customers.update(customer.number, address="上海")
        sheet.write(2, 沟通内容="报价已发")
        book.save(path)
        owner.unlink()  # closed while the store is open: nothing of it is written over at the end
    with opened(path) as crm:
        assert [row.outcome for row in crm.edit_report.rows] == ["taken"]
        assert not crm.store.describe()["edits_later"]
        assert [one.summary for one in crm.acting_as("x").follow_ups.of(customer)] == ["报价已发"]


def test_what_was_taken_in_stands_in_the_workbook_at_once(path, customer):
    with person(path) as sheets:
        sheets["客户"].write(3, 备注="年底前定", 员工人数下限="很多")
        sheets["客户"].write(2, 备注="下月再谈")
    with opened(path) as crm:
        assert crm.edit_report is not None
        # Whoever opens it now, with the store still open, goes on from what is kept.
        book = openpyxl.load_workbook(path)
        assert (Sheet(book["客户"]).read(2, "备注"), Sheet(book["客户"]).read(3, "备注")) == ("下月再谈", None)
        guide = [str(row[0].value) for row in book["使用说明"].iter_rows()]
        assert any(line.startswith(sheets["客户"].place(3, "员工人数下限")) for line in guide)
        book.save(path)
    with opened(path) as crm:
        assert crm.edit_report is None


@pytest.mark.parametrize("slip", ["renamed", "twice", "no column", "no sheet", "no ids"])
def test_a_slip_that_shuts_the_store_is_told_in_the_readers_language_and_can_be_put_right(path, customer, slip):
    with person(path) as sheets:
        shown = sheets["客户"]
        heading = shown.sheet.cell(1, shown.columns["备注"])
        match slip:
            case "renamed":
                heading.value = "说明栏"
            case "twice":
                shown.sheet.cell(1, 80).value = "备注"
            case "no column":
                shown.sheet.delete_cols(heading.column)
            case "no sheet":
                shown.sheet.parent.remove(shown.sheet)
            case "no ids":
                ids = next(
                    cell.column for cell in shown.sheet[1] if shown.sheet.cell(2, cell.column).value == customer.id
                )
                for row in (2, 3):
                    shown.sheet.cell(row, ids).value = "?"
    with pytest.raises(StoreCorrupt) as raised:
        opened(path)
    english, chinese = raised.value.text(), raised.value.text("zh-CN")
    assert "客户" in english and ". Nothing that was committed is lost: " in english
    assert "工作表“客户”" in chinese and "。已提交的数据没有丢失:" in chinese
    told = chinese.replace(str(path.parent), "")
    assert not re.search("[A-Za-z]{3,}", re.sub(r"\w*\.xlsx(\.crm/backups)?", "", told)), told
    assert raised.value.details["path"] == str(path)
    path.unlink()
    with opened(path) as crm:
        assert crm.acting_as("x").customers.count() == 2


def test_a_copied_row_is_an_addition_and_what_it_may_not_bring_along_is_said(path, customer):
    with person(path) as sheets:
        sheet = sheets["客户"].sheet
        for cell in list(sheet[2]):
            sheet.cell(4, cell.column).value = cell.value
        place = sheets["客户"].place(4, "客户编号")
    with opened(path) as crm:
        report = crm.edit_report
        assert report is not None
        assert [issue.code for issue in report.issues][:1] == ["row_copied"]
        assert {issue.code for issue in report.issues[1:]} == {"not_editable"}
        line = report.text("zh-CN").splitlines()[1]
        assert line.startswith(f"{place} 客户编号 [row_copied] ") and f"客户编号{customer.number}已被使用" in line
        assert crm.acting_as("x").customers.count() == 2
