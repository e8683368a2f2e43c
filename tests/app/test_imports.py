"""Imports: every row is created, known or named; a bad row takes no neighbour down; going on where it stopped."""

from __future__ import annotations

import csv
import datetime

import pytest

import crmcore
from crmcore.app.imports import BATCH
from crmcore.domain import Money
from crmcore.errors import ImportRejected, StoreUnavailable

OURS = """
extends = "standard"
key = "ours"
[required]
customer = ["name", "region"]
[custom_fields.customer.region]
kind = "text"
label = { zh = "大区", en = "Region" }
[custom_fields.customer.seats]
kind = "integer"
label = { zh = "座席数", en = "Seats" }
"""


def write(path, *rows, encoding="utf-8"):
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.fixture
def us(open_crm):
    return open_crm("standard").acting_as("importer")


def test_a_bad_row_takes_no_neighbour_down(us, tmp_path):
    path = write(
        tmp_path / "客户.csv",
        ["客户名称*", "联系电话", "首次接触时间", "客户状态", "合同金额(万元)"],
        ["甲公司", "13800138000", "2024/3/15", "潜在客户", "1.5"],
        ["", "13800138001", "", "", ""],
        ["丙公司", "abc", "2024-13-45", "火星", "很多"],
        ["丁公司", "", "2024年3月16日", "意向", "2万"],
    )
    plan = us.imports.plan(path)
    assert us.customers.count() == 0
    result = plan.apply()
    assert (result.created, result.known, result.rejected) == (2, 0, 2)
    errors = {(issue.row, issue.column, issue.code) for issue in result.issues if issue.level == "error"}
    assert errors == {
        (3, 1, "required"),
        (4, 2, "bad_phone"),
        (4, 3, "bad_date"),
        (4, 4, "unknown_stage"),
        (4, 5, "bad_money"),
    }
    customers = {customer.name: customer for customer in us.customers.find()}
    assert customers["甲公司"].contract_amount == Money.of("15000")
    assert customers["丁公司"].contract_amount == Money.of("20000")
    assert customers["丁公司"].first_contact_on == datetime.date(2024, 3, 16)
    assert "abc" not in " ".join(issue.text(language) for issue in result.issues for language in ("en", "zh-CN"))


@pytest.mark.parametrize("rows", [1, 2, BATCH, BATCH + 1])
def test_what_only_the_store_can_refuse_is_named_row_by_row(us, tmp_path, rows):
    us.customers.register(name="甲公司")
    lines = [["甲公司" if row % 2 else "乙公司", f"机会{row}"] for row in range(rows)]
    path = write(tmp_path / "opportunities.csv", ["客户名称", "机会名称"], *lines)
    result = us.imports.plan(path, table="opportunities").apply()
    unknown = sum(row % 2 == 0 for row in range(rows))
    assert (result.created, result.rejected) == (rows - unknown, unknown)
    assert [issue.row for issue in result.issues if issue.code == "unknown_customer"] == list(range(2, rows + 2, 2))


class Cut(Exception):
    """The power goes."""


def test_an_import_that_was_cut_off_goes_on_where_it_stopped(us, tmp_path):
    path = write(tmp_path / "c.csv", ["客户名称", "地址"], *([f"公司{row}", "上海"] for row in range(2 * BATCH + 7)))

    def cut(done, total):
        if done > BATCH:
            raise Cut

    with pytest.raises(Cut):
        us.imports.plan(path).apply(cut)
    taken = us.customers.count()
    assert 0 < taken < 2 * BATCH + 7
    result = us.imports.plan(path).apply()
    assert (result.known, result.created) == (taken, 2 * BATCH + 7 - taken)
    assert us.customers.count() == 2 * BATCH + 7


def test_rows_that_say_the_same_are_two_rows(us, tmp_path):
    path = write(tmp_path / "o.csv", ["机会名称", "产品"], ["复购", "A"], ["复购", "A"])
    assert us.imports.plan(path, table="opportunities").apply().created == 2
    again = us.imports.plan(path, table="opportunities").apply()
    assert (again.created, again.known) == (0, 2)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_every_usual_encoding(us, tmp_path, encoding):
    path = write(tmp_path / "c.csv", ["客户名称", "地址"], ["示例科技有限公司", "上海市"], encoding=encoding)
    assert us.imports.plan(path).apply().created == 1
    assert us.customers.find().items[0].address == "上海市"


def test_a_date_that_can_be_read_twice_is_asked_about(us, tmp_path):
    path = write(tmp_path / "c.csv", ["客户名称", "首次接触时间"], ["甲", "03/04/2024"], ["乙", "05/06/2024"])
    assert [issue.code for issue in us.imports.plan(path).issues] == ["ambiguous_date"] * 2
    result = us.imports.plan(path, date_order="dmy").apply()
    assert result.created == 2
    assert {customer.first_contact_on for customer in us.customers.find()} == {
        datetime.date(2024, 4, 3),
        datetime.date(2024, 6, 5),
    }


def test_an_explicit_mapping(us, tmp_path):
    path = write(
        tmp_path / "c.csv", ["Acct", "Rev", "Chan", "Note"], ["Acme", "12.5", "Expo", "x"], ["Beta", "1", "-", "y"]
    )
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(
        'currency = "USD"\n[columns]\n"Acct" = "customer.name"\n"Rev" = "customer.annual_revenue"\n'
        '"C" = "customer.source"\n"D" = "customer.remarks"\n[units]\n"customer.annual_revenue" = 1000000\n'
        '[values."customer.source"]\n"Expo" = "展会推广"\n"-" = ""\n',
        "utf-8",
    )
    assert us.imports.plan(path, mapping=mapping).apply().created == 2
    acme, beta = us.customers.find()
    assert (acme.annual_revenue, acme.source) == (Money.of("12500000", "USD"), "exhibition")
    assert beta.source is None
    assert (acme.remarks, beta.remarks) == ("x", "y")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[columns\n", "can't be read"),
        ('colums = "x"\n', "colums is not known"),
        ('date_order = "ydm"\n', "date_order"),
        ("[units]\nx = 0\n", "units: x"),
        ('[values]\n"customer.source" = "x"\n', "values: customer.source"),
    ],
)
def test_a_mapping_at_fault_says_so(us, tmp_path, text, says):
    (tmp_path / "mapping.toml").write_text(text, "utf-8")
    path = write(tmp_path / "c.csv", ["客户名称"], ["甲"])
    with pytest.raises(ImportRejected, match=says):
        us.imports.plan(path, mapping=tmp_path / "mapping.toml")


def test_a_file_without_a_header_is_refused_by_name(us, tmp_path):
    path = write(tmp_path / "numbers.csv", ["1", "2"], ["3", "4"])
    with pytest.raises(ImportRejected, match=r"numbers\.csv") as caught:
        us.imports.plan(path)
    assert caught.value.reason == "no_header"


def test_custom_fields_of_a_playbook(tmp_path):
    (tmp_path / "ours.toml").write_text(OURS, "utf-8")
    with crmcore.open("memory:", tmp_path / "ours.toml") as crm:
        me = crm.acting_as("importer")
        path = write(
            tmp_path / "c.csv",
            ["客户名称", "大区", "座席数"],
            ["甲", "华东", "12"],
            ["乙", "", "3"],
            ["丙", "华北", "x"],
        )
        result = me.imports.plan(path).apply()
        assert {(issue.row, issue.code) for issue in result.issues} == {(3, "required"), (4, "bad_number")}
        (customer,) = me.customers.find()
        assert customer.custom == {"region": "华东", "seats": 12}
        with pytest.raises(crmcore.Invalid) as caught:
            me.customers.register(name="丁", custom={"seats": "many"})
        assert {(issue.code, issue.field) for issue in caught.value.issues} == {
            ("required", "customer.region"),
            ("bad_type", "customer.seats"),
        }
        assert me.customers.register(name="戊", custom={"region": "华南"}).custom == {"region": "华南"}


def test_a_review_goes_nowhere_where_it_can_t_be_written(us, tmp_path):
    pytest.importorskip("xlsxwriter")
    with pytest.raises(StoreUnavailable):
        us.reports.write_review(tmp_path / "no such folder" / "review.xlsx")
    path = us.reports.write_review(tmp_path / "review.xlsx")
    assert path.stat().st_size > 5000
    assert [found.name for found in tmp_path.iterdir() if found.suffix == ".xlsx"] == ["review.xlsx"]


def test_a_heading_that_stands_twice_is_named(us, tmp_path):
    path = write(
        tmp_path / "c.csv", ["客户名称", "公司名称", "手机", "联系电话"], ["甲", "乙", "13800138000", "13900139000"]
    )
    result = us.imports.plan(path).apply()
    assert [(issue.code, issue.column) for issue in result.issues] == [("shared_column", 2)]
    (customer,) = us.customers.find()
    assert customer.name == "甲"
    assert us.contacts.of(customer)[0].phones == ("13800138000", "13900139000")


def test_a_rehearsal_finds_what_only_the_store_can_tell_and_keeps_nothing(us, tmp_path):
    us.customers.register(name="甲公司")
    path = write(tmp_path / "o.csv", ["客户名称", "机会名称"], ["甲公司", "x"], ["乙公司", "y"])
    plan = us.imports.plan(path, table="opportunities")
    rehearsed = plan.rehearse()
    assert (rehearsed.created, rehearsed.rejected) == (1, 1)
    assert len(us.opportunities.find()) == 0
    assert plan.apply() == rehearsed


def test_a_number_that_people_would_take_for_another_is_named_and_its_neighbours_go_in(us, tmp_path):
    rows = [["C2023100900007", "甲公司"], ["c2023100900008", "乙公司"], ["KH-9", "丙公司"]]
    result = us.imports.plan(write(tmp_path / "c.csv", ["客户编号", "客户名称"], *rows)).apply()
    assert (result.created, result.rejected) == (2, 1)
    assert [(issue.row, issue.code, issue.field) for issue in result.issues] == [
        (3, "bad_number_format", "customer.number")
    ]
    assert us.customers.register(name="丁公司").number == "C2023100900008"


def test_a_file_of_headings_alone_is_refused_and_one_among_others_is_noted(us, tmp_path):
    empty = write(tmp_path / "empty.csv", ["客户名称", "联系电话"], ["", "\u00a0"])
    with pytest.raises(ImportRejected) as caught:
        us.imports.plan(empty)
    assert (caught.value.reason, caught.value.part, caught.value.file) == ("no_rows", "empty!1", "empty.csv")
    full = write(tmp_path / "full.csv", ["客户名称", "联系电话"], ["甲公司", "13800138000"])
    plan = us.imports.plan([empty, full])
    assert [(sheet.rows, bool(sheet.note)) for sheet in plan.sheets] == [(0, True), (1, False)]
    assert plan.apply().created == 1


def test_a_row_longer_than_its_header_is_refused_where_a_separator_may_have_moved_it(us, tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("客户名称,年营业额,备注\n甲公司,¥1,200,好\n乙公司,¥900,好,,\n", "utf-8")
    result = us.imports.plan(path).apply()
    assert (result.created, result.rejected) == (1, 1)
    assert [(issue.code, issue.row, issue.column) for issue in result.issues] == [("surplus_cells", 2, 4)]


def test_what_stands_under_no_heading_of_a_workbook_is_named_once_a_column(us, tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (
        ["客户名称", None, "联系人"],
        ["甲", "内", "张", "外"],
        ["乙", "内", "李"],
        ["丙", None, "王", None, "远"],
    ):
        book.active.append(row)
    book.save(tmp_path / "c.xlsx")
    result = us.imports.plan(tmp_path / "c.xlsx").apply()
    assert (result.created, result.rejected) == (3, 0)
    assert [(issue.code, issue.row, issue.column, issue.facts["label"]) for issue in result.issues] == [
        ("unheaded_cell", 2, 2, "B"),
        ("unheaded_cell", 2, 4, "D"),
        ("unheaded_cell", 4, 5, "E"),
    ]


def test_a_total_below_the_rows_is_no_customer(us, tmp_path):
    path = write(
        tmp_path / "c.csv",
        ["序号", "客户名称", "年营业额"],
        ["1", "甲公司", "100"],
        ["2", "合计", "很多"],
        ["", "合 计:", "¥1,100.00"],
        ["小计", "", "5%"],
    )
    result = us.imports.plan(path).apply()
    assert (result.created, result.rejected) == (1, 3)
    assert [issue.row for issue in result.issues if issue.code == "total_row"] == [4, 5]


def test_a_phone_kept_as_text_by_a_mark_is_a_phone(us, tmp_path):
    path = tmp_path / "c.csv"
    path.write_text('客户名称,联系电话\n="甲公司",="13800138000"\n乙公司,\'13900139000\n', "utf-8")
    assert us.imports.plan(path).apply().created == 2
    found = {customer.name: us.contacts.of(customer)[0].phones for customer in us.customers.find()}
    assert found == {"甲公司": ("13800138000",), "乙公司": ("13900139000",)}
