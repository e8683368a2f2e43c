"""Finding headers below titles and notes, and knowing headings under their marks."""

import csv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmcore.errors import Invalid
from crmcore.interchange.headers import (
    SEARCHED_ROWS,
    Header,
    Vocabulary,
    column_letters,
    explain_no_header,
    find_header,
    normalise_header,
    read_heading,
)
from crmcore.interchange.sheets import Cell, Sheet, read_sheets

SHARED = Path(__file__).parents[2] / "../shared/data"

CUSTOMERS = Vocabulary(
    {
        "customer.name": ("客户名称", "名称", "公司名称", "单位", "客户", "客户单位名称", "account", "company"),
        "customer.industry": ("所属行业", "行业", "sector"),
        "customer.address": ("客户地址", "地址", "客户单位地址", "客户单位注册地址", "address", "office_location"),
        "customer.uscc": ("社会信用代码", "纳税人识别号"),
        "customer.source": ("来源", "来源渠道"),
        "customer.owner": ("负责人", "业务员", "sales_agent", "owner"),
        "customer.tags": ("初级标签", "级别"),
        "customer.annual_revenue": ("营业额", "年收入", "revenue"),
        "customer.contract_signed_on": ("合同日期", "签约起始日期", "起始日期"),
        "customer.contract_expires_on": ("合同到期日", "截止日期", "签约结束日期"),
        "customer.remarks": ("备注", "remark"),
        "contact.name": ("联系人", "姓名", "客户单位联系人", "contact"),
        "contact.title": ("职务", "职位"),
        "contact.phones": (
            "电话",
            "手机",
            "手机号码",
            "联系电话",
            "联系方式",
            "客户电话",
            "电话/手机",
            "phone",
            "mobile",
        ),
        "contact.emails": ("电子邮箱", "邮箱", "email"),
        "contact.wechat": ("微信", "微信号"),
    }
)
OPPORTUNITIES = Vocabulary(
    {
        "opportunity.reference": ("商机编号", "opportunity_id"),
        "opportunity.customer": ("客户名称", "account"),
        "opportunity.owner": ("负责人", "sales_agent"),
        "opportunity.product": ("产品", "product"),
        "opportunity.stage": ("阶段", "deal_stage"),
        "opportunity.opened_on": ("开始日期", "engage_date"),
        "opportunity.closed_on": ("成交日期", "close_date"),
        "opportunity.amount": ("成交金额", "close_value"),
    }
)
TABLES = {"customers": CUSTOMERS, "opportunities": OPPORTUNITIES}
NAMES = {field: names[0] for field, names in CUSTOMERS.synonyms.items()}


def sheet(*rows: tuple[Cell, ...], first_row: int = 1) -> Sheet:
    return Sheet(name="客户", rows=rows, first_row=first_row)


def found(*rows: tuple[Cell, ...], **options: object) -> Header:
    header = find_header(sheet(*rows), TABLES, **options)  # type: ignore[arg-type]
    assert header is not None
    return header


def fields(header: Header) -> list[str | None]:
    return [column.field for column in header.columns]


MARKS = ["{}*", "*{}", "＊ {}", "{}(必填)", "{}（必填）", "{}【必填】", "[必填]{}", "{}-必填", "{}（必填，不可重复）"]
PLAIN = ["{}", " {} ", "{}：", "{}:", "{}(非必填)", "{}[选填]", "{} 选填", "\u00a0{}\n", "\u200b{}", "“{}”"]


@pytest.mark.parametrize("form", MARKS + PLAIN)
@pytest.mark.parametrize("heading", ["客户名称", "联系人", "E-mail", "Close Date"])
def test_a_heading_is_itself_under_its_marks(form: str, heading: str) -> None:
    written = read_heading(form.format(heading))
    assert written.key == normalise_header(heading)
    assert written.required == (form in MARKS)


@pytest.mark.parametrize(
    ("text", "key", "unit"),
    [
        ("合同金额（万元）", "合同金额", "万元"),
        ("预计金额(单位：元)", "预计金额", "元"),
        ("税率(%)", "税率", "%"),
        ("金额(万元,必填)", "金额", "万元"),
        ("建档日期(yyyy-mm-dd)", "建档日期", None),
        ("日期（格式：2024-01-01）", "日期", None),
        ("客户\n名称", "客户名称", None),
        ("close_date", "closedate", None),
        ("closeDate", "closedate", None),
        ("电话／手机", "电话/手机", None),
        ("联系方式(邮箱)", "联系方式(邮箱)", None),
    ],
)
def test_units_and_formats_are_no_part_of_a_heading(text: str, key: str, unit: str | None) -> None:
    heading = read_heading(text)
    assert (heading.key, heading.unit) == (key, unit)


@given(st.text(max_size=40))
def test_a_normal_form_is_normal_whatever_was_written(text: str) -> None:
    heading = read_heading(text)
    assert heading.key == "".join(heading.key.split())
    assert read_heading(f" {text} ").key == heading.key


def test_two_fields_can_not_have_one_name() -> None:
    with pytest.raises(ValueError, match=r"'Name \*' is claimed by customer\.name and contact\.name"):
        Vocabulary({"customer.name": ("客户", "name"), "contact.name": ("姓名", "Name *")})
    assert Vocabulary({"customer.name": ("客户", "客户 ", "customer name")}).field("customername") == "customer.name"


def test_what_stands_in_brackets_is_dropped_only_where_it_must_be() -> None:
    vocabulary = Vocabulary(
        {"contact.phones": ("联系方式",), "contact.emails": ("联系方式(邮箱)",), "customer.tags": ("初级标签",)}
    )
    assert [vocabulary.field(normalise_header(text)) for text in ("联系方式（手机）", "联系方式（邮箱）", "初级标签(规模/紧急度/潜力)")] == [
        "contact.phones", "contact.emails", "customer.tags",
    ]  # fmt: skip


ABOVE = st.lists(
    st.sampled_from(
        [
            (),
            ("客户信息导入表",),
            ("客户",),
            (None, "填写须知：", None),
            ("1、带星号的为必填项，客户名称不可重复；\n2、导入时本段内容请勿删除，切记！" * 3,),
            ("制表日期", 45366.0),
            ("客户基本信息", None, None, "联系人信息"),
        ]
    ),
    max_size=6,
)


@settings(max_examples=100)
@given(ABOVE, st.lists(st.sampled_from(sorted(NAMES)), min_size=3, unique=True), st.integers(1, 5), st.integers(0, 3))
def test_the_header_is_found_below_titles_and_notes(
    above: list[tuple[Cell, ...]], chosen: list[str], first_row: int, indent: int
) -> None:
    heading = (None,) * indent + tuple(NAMES[field] + "*" for field in chosen)
    data: list[tuple[Cell, ...]] = [(None,) * indent + tuple(f"值{number}" for number in range(len(chosen)))] * 3
    header = find_header(sheet(*above, heading, *data, first_row=first_row), TABLES)
    assert header is not None
    assert (header.row, header.first_data_row) == (first_row + len(above), first_row + len(above) + 1)
    assert header.table == "customers"
    own = [column for column in header.columns if column.field]
    assert [(column.column, column.field, column.required) for column in own] == [
        (number, field, True) for number, field in enumerate(chosen, indent + 1)
    ]


def test_the_table_is_the_one_that_most_columns_are_of() -> None:
    heading = (
        "opportunity_id",
        "sales_agent",
        "product",
        "account",
        "deal_stage",
        "engage_date",
        "close_date",
        "close_value",
    )
    header = found(
        heading, ("1C1I7A6R", "Moses Frase", "GTX Plus Basic", "Cancity", "Won", "2016-10-20", "2017-03-01", "1054")
    )
    assert header.table == "opportunities"
    assert None not in fields(header)
    assert (
        found(("account", "sector", "revenue", "office_location"), ("Acme", "retail", "1", "Ohio")).table == "customers"
    )


def test_unknown_columns_are_kept_with_their_text() -> None:
    header = found(("客户名称", "联系人", "QQ号", None, "备注"), ("甲", "乙", "1", "x", "丙"))
    assert [(column.column, column.text, column.field) for column in header.columns] == [
        (1, "客户名称", "customer.name"),
        (2, "联系人", "contact.name"),
        (3, "QQ号", None),
        (5, "备注", "customer.remarks"),
    ]


def test_two_columns_may_have_one_field() -> None:
    header = found(("客户名称", "联系方式", "联系方式", "手机号码", "联系电话"))
    assert fields(header) == ["customer.name"] + ["contact.phones"] * 4
    assert header.fields() == {"customer.name", "contact.phones"}


def test_under_groups_the_lower_level_is_the_header() -> None:
    header = found(
        ("客户基本信息", None, None, "联系人", None),
        ("客户名称", "地址", "来源", "姓名", "手机"),
        ("甲", "上海", "展会", "联系人", "13800138000"),
    )
    assert (header.row, header.first_data_row) == (2, 3)
    assert fields(header)[3:] == ["contact.name", "contact.phones"]


def test_where_the_lower_level_is_blank_the_upper_one_is_the_heading() -> None:
    header = found(
        ("客户导入",),
        ("客户名称*", "地址", "联系人信息", None, "备注"),
        (None, None, "姓名", "手机", None),
        ("甲", "上海", "联系人", "13800138000", "无"),
    )
    assert (header.row, header.first_data_row) == (3, 4)
    assert fields(header) == ["customer.name", "customer.address", "contact.name", "contact.phones", "customer.remarks"]
    assert header.columns[0].required


def test_a_first_row_of_data_is_no_second_level() -> None:
    header = found(
        ("客户名称", "联系人", "类型", "备注"), ("甲公司", None, "客户", None), ("乙公司", "联系人", "单位", "地址")
    )
    assert (header.row, header.first_data_row) == (1, 2)


@pytest.mark.parametrize(
    "below",
    [
        ("cust_name", "contact_name", "phone_no", "remark"),
        ("customerName", "contactName", "phone", "remark"),
        ("customer.name", "contact.name", "contact.phones", "customer.remarks"),
        ("company", "contact", "mobile", "remark"),
        ("Company", "Contact", "Phone", "Remark"),
    ],
)
def test_a_row_of_codes_or_of_another_language_is_no_data(below: tuple[str, ...]) -> None:
    header = found(("客户名称", "联系人", "电话", "备注"), below, ("甲", "联系人", "13800138000", "无"))
    assert (header.row, header.first_data_row) == (1, 3)
    reversed_order = found(below, ("客户名称", "联系人", "电话", "备注"), ("甲", "联系人", "13800138000", "无"))
    assert reversed_order.first_data_row == 3


@pytest.mark.parametrize(
    "below",
    [
        ("acme", "john", "li_ming", "beijing"),
        ("acme", "john", "13800138000", "x_y"),
        ("Acme", "John", "Wang", "Beijing"),
        ("甲", "联系人", "13800138000", "cust_name"),
        ("acme", None, None, "note_1"),
        ("demo", "demo", "demo", "a_b"),
    ],
)
def test_a_row_of_data_is_not_taken_for_codes(below: tuple[Cell, ...]) -> None:
    assert found(("客户名称", "联系人", "电话", "备注"), below).first_data_row == 2


def test_a_list_of_one_column_has_a_header_of_one_name() -> None:
    assert found(("客户名称",), ("甲",), ("乙",)).row == 1
    assert find_header(sheet(("客户",), ("甲", "联系人"), ("乙", "李四")), TABLES) is None


@pytest.mark.parametrize(
    "rows",
    [
        (),
        ((), ()),
        (("甲公司", "联系人", 13800138000.0), ("乙公司", "李四", 13900139000.0)),
        (("字段名称", "字段说明", "示例"), ("客户编号", "自动生成", "C1"), ("客户名称", "全称", "甲")),
        ((None, "使用说明"), (None, "客户名称不允许为空,电话必须填写")),
        ((45366.0, True, None),),
        (*(((),) * SEARCHED_ROWS), ("客户名称", "联系人", "电话")),
    ],
)
def test_a_sheet_without_a_header_has_none(rows: tuple[tuple[Cell, ...], ...]) -> None:
    assert find_header(sheet(*rows), TABLES) is None


def test_a_missing_header_is_explained_without_what_the_sheet_holds() -> None:
    rows = (("甲公司", "客户名称", 13800138000.0), ("乙公司", "李四", 13900139000.0))
    english = explain_no_header(sheet(*rows, first_row=4), TABLES)
    assert "row 4, where only customer.name is known" in english
    assert "customers: 客户名称, 所属行业" in english
    chinese = explain_no_header(sheet(*rows), TABLES, language="zh-CN")
    assert "第1行" in chinese
    assert not any(secret in text for secret in ("甲公司", "李四") for text in (english, chinese))
    assert "nearest" not in explain_no_header(sheet(), TABLES)


def test_an_explicit_mapping_goes_first() -> None:
    rows = (("Acct", "电话", "Zuständig", "客户名称"), ("甲", "1", "2", "3"))
    mapping = {
        "acct ": "customer.name",
        "C": "customer.owner",
        "客户名称": None,
        "Nowhere": "customer.remarks",
        "ZZ": "customer.tags",
    }
    header = found(*rows, mapping=mapping)
    assert fields(header) == ["customer.name", "contact.phones", "customer.owner", None]
    assert header.unused == ("Nowhere", "ZZ")


def test_a_mapping_alone_is_enough() -> None:
    header = found(
        ("Übersicht",), ("x1", "x2", "x3"), ("甲", "乙", "丙"), mapping={"A": "customer.name", "C": "contact.phones"}
    )
    assert (header.row, header.table, fields(header)) == (2, "customers", ["customer.name", None, "contact.phones"])
    assert found(("x1", "x2"), ("甲", "乙"), mapping={"X2": "customer.name"}).row == 1


def test_a_heading_goes_before_a_column_letter() -> None:
    header = found(("B", "客户名称", "电话"), mapping={"B": "customer.remarks"})
    assert fields(header) == ["customer.remarks", "customer.name", "contact.phones"]


def test_a_mapping_to_a_field_that_nobody_has_is_refused_all_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        find_header(sheet(("a",)), TABLES, mapping={"a": "customer.nmae", "b": "contact.fon", "c": "customer.name"})
    assert [(issue.code, issue.field) for issue in caught.value.issues] == [
        ("unknown_field", "contact.fon"),
        ("unknown_field", "customer.nmae"),
    ]


@given(st.integers(1, 16_384))
def test_column_letters_count_like_a_spreadsheet(column: int) -> None:
    letters = column_letters(column)
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    assert number == column


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared workbooks are not here")
@pytest.mark.parametrize(
    ("name", "row", "table", "expected"),
    [
        ("cn_sheets/jsherp_customer_template.xls", 2, "customers",
         {1: "customer.name", 2: "contact.name", 3: "contact.phones", 4: "contact.phones", 5: "contact.emails", 9: None}),
        ("cn_sheets/ydh_客户导入模板.xlsx", 2, "customers",
         {1: "customer.name", 6: "contact.phones", 9: "customer.contract_expires_on", 15: "contact.name", 17: "contact.phones"}),
        ("cn_sheets/leadsystem_客户导入模板.xlsx", 1, "customers", {1: "customer.name", 3: "contact.phones", 5: "contact.wechat"}),
        ("cn_sheets/wordauto_客户清单_合同到期.xlsx", 1, "customers", {1: "customer.name", 2: None, 4: "customer.contract_expires_on"}),
        ("cn_sheets/openhis_clientModel_kh.xlsx", 1, "customers",
         {1: "customer.name", 2: "contact.name", 3: "customer.industry", 4: None, 6: "contact.phones"}),
        ("cn_sheets/openhis_customerModel_kh.xlsx", 1, "customers", {3: "customer.address", 7: "customer.uscc"}),
        ("cn_sheets/jiang_联系人.xlsx", 1, "customers", {1: "contact.name", 2: "contact.phones", 3: "contact.emails"}),
        ("crm_maven/sales_pipeline.csv", 1, "opportunities", {1: "opportunity.reference", 8: "opportunity.amount"}),
        ("crm_maven/accounts.csv", 1, "customers", {1: "customer.name", 2: "customer.industry", 4: "customer.annual_revenue"}),
    ],
)  # fmt: skip
def test_files_as_people_have_them(name: str, row: int, table: str, expected: dict[int, str | None]) -> None:
    header = find_header(read_sheets(SHARED / name)[0], TABLES)
    assert header is not None
    assert (header.row, header.first_data_row, header.table) == (row, row + 1, table)
    by_column = {column.column: column.field for column in header.columns}
    assert {column: by_column[column] for column in expected} == expected


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared workbooks are not here")
@pytest.mark.parametrize(
    ("name", "position"),
    [
        ("ydh_客户导入模板.xlsx", 1),
        ("ydh_订单导入单模板.xlsx", 1),
        ("telaker_销售数据.xlsx", 1),
        ("logydoghan_客户数据.csv", 0),
    ],
)
def test_manuals_and_other_tables_are_no_customers(name: str, position: int) -> None:
    assert find_header(read_sheets(SHARED / "cn_sheets" / name)[position], TABLES) is None


def test_a_csv_of_the_standard_library_is_a_sheet_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "客户.csv"
    with path.open("w", encoding="gb18030", newline="") as file:
        csv.writer(file).writerows([["客户清单"], [], ["客户名称*", "电话"], ["甲", "1"]])
    header = find_header(read_sheets(path)[0], TABLES)
    assert header is not None
    assert (header.row, fields(header)) == (3, ["customer.name", "contact.phones"])
