"""The file that everybody takes in: made from the number of a row alone, so it is the same each time."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

HEADINGS = (
    *(
        "客户名称",
        "客户类型",
        "公司简称",
        "统一社会信用代码",
        "所属行业",
        "联系人",
        "职务",
        "联系电话",
        "邮箱",
        "微信号",
    ),
    *(
        "客户地址",
        "客户来源",
        "负责人",
        "首次接触时间",
        "合同金额(万元)",
        "年营业额",
        "员工人数",
        "主营业务",
        "客户标签",
        "备注",
    ),
)
FIELDS = (
    *("name", "kind", "short_name", "uscc", "industry", "contact", "title", "phone", "email", "wechat"),
    *("address", "source", "owner", "first_contact_on", "contract_amount", "annual_revenue", "headcount"),
    *("main_business", "tags", "remarks"),
)
BAD_EVERY, SAME_EVERY = 100, 50  #: rows with an error in them; rows that name a customer again
_CODE = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)  # GB 32100-2015
_INDUSTRIES = ("制造业", "零售业", "物流", "软件和信息技术服务业", "建筑业", "教育")
_CITIES = ("上海市浦东新区", "北京市海淀区", "深圳市南山区", "成都市武侯区", "杭州市西湖区")
_FIRST_DAY = date(2023, 1, 1)


def uscc(number: int) -> str:
    """A unified social credit code with its check character."""
    body = f"91310000{number:09d}"
    rest = sum(_CODE.index(sign) * weight for sign, weight in zip(body, _WEIGHTS, strict=True)) % 31
    return body + _CODE[(31 - rest) % 31]


def row(number: int) -> tuple[object, ...]:
    """One row. Each hundredth has a date that is none; each fiftieth is of the company 25 rows above."""
    who = number - 25 if number % SAME_EVERY == 0 and number > 25 else number
    city = _CITIES[number % 5]
    day: object = _FIRST_DAY + timedelta(days=number % 1000)
    return (
        f"{city[:2]}示例{who}科技有限公司",
        "企业",
        f"示例{who}",
        uscc(who),
        _INDUSTRIES[number % 6],
        f"联系人{who}",
        "采购经理",
        f"138{who:08d}",
        f"buyer{who}@example.com",
        f"wx_{who:06d}",
        f"{city}科技路{number % 900}号",
        "官网",
        f"sales.{number % 20}",
        "2024-13-45" if number % BAD_EVERY == BAD_EVERY - 1 else day,
        number % 500 + 0.5,
        (number % 900) * 10_000,
        number % 4000 + 1,
        "软件开发与系统集成",
        "重点;老客户" if number % 3 else "重点",
        f"第{number}行,由展会登记",
    )


def rows(count: int) -> Iterator[tuple[object, ...]]:
    """All rows, without the header."""
    return map(row, range(1, count + 1))


def expected(count: int) -> tuple[int, int, int]:
    """How many are new, known (the same company again) and rejected."""
    bad = sum(number % BAD_EVERY == BAD_EVERY - 1 for number in range(1, count + 1))
    # The company of 25 rows above is there unless that row was a bad one, which it never is: 25 + 50 n ends in 25 or 75.
    same = sum(number % SAME_EVERY == 0 and number > 25 for number in range(1, count + 1))
    return count - bad - same, same, bad


def write(path: Path, count: int) -> None:
    """The file, .csv or .xlsx by its name."""
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(HEADINGS)
            writer.writerows(rows(count))
        return
    import xlsxwriter

    options = {"constant_memory": True, "default_date_format": "yyyy-mm-dd", "strings_to_urls": False}
    with xlsxwriter.Workbook(path, options) as book:
        sheet = book.add_worksheet("客户")
        sheet.write_row(0, 0, HEADINGS)
        for number, cells in enumerate(rows(count), 1):
            sheet.write_row(number, 0, cells)
