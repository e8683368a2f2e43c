"""Makes the sample's files as people have them: a workbook with a title above its header, and a CSV from a Chinese Excel."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from crmcore.errors import MissingExtra

_PHONE = "手机"
_CUSTOMER_DAYS = ("首次接触时间", "最近跟进时间")
_OPPORTUNITY_DAYS = ("开始日期", "预计成交日期", "成交日期")


def write_customers(path: Path, today: date) -> None:
    """The customer workbook: a title, a note, a header with a mark, phones as numbers, dates in two forms, a bad row."""
    if find_spec("xlsxwriter") is None:
        raise MissingExtra('the demo needs XlsxWriter: pip install "crmcore[excel]"', plugin="crmcore_excel")
    import xlsxwriter

    header, *rows = _rows("customers.csv")
    with xlsxwriter.Workbook(str(path), {"strings_to_formulas": False, "strings_to_urls": False}) as book:
        sheet = book.add_worksheet("客户信息")
        title, bold = book.add_format({"bold": True, "font_size": 14}), book.add_format({"bold": True})
        day_format = book.add_format({"num_format": "yyyy-mm-dd"})
        sheet.merge_range(0, 0, 0, len(header) - 1, f"客户信息登记表({today.year}年)", title)
        sheet.write(1, 0, "填写说明:带*的列必填,日期请写到日")
        sheet.write_row(2, 0, header, bold)
        sheet.set_column(0, len(header) - 1, 16)
        for number, row in enumerate(rows):
            for column, (name, cell) in enumerate(zip(header, row, strict=True)):
                day = _day(cell, today) if name in _CUSTOMER_DAYS else None
                if day is not None and name == _CUSTOMER_DAYS[0] and number % 3 == 2:
                    sheet.write(3 + number, column, f"{day.year}年{day.month}月{day.day}日")
                elif day is not None:
                    sheet.write_datetime(3 + number, column, datetime.combine(day, time()), day_format)
                elif name == _PHONE and cell.isdecimal():
                    sheet.write_number(3 + number, column, int(cell))
                elif cell:
                    sheet.write_string(3 + number, column, cell)


def write_opportunities(path: Path, today: date) -> None:
    """The opportunity file, in the encoding of a Chinese Windows."""
    header, *rows = _rows("opportunities.csv")
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    for row in rows:
        days = (
            _day(cell, today) if name in _OPPORTUNITY_DAYS else None for name, cell in zip(header, row, strict=True)
        )
        writer.writerow(
            [f"{day.year}/{day.month}/{day.day}" if day else cell for cell, day in zip(row, days, strict=True)]
        )
    path.write_bytes(text.getvalue().encode("gb18030"))


def _rows(name: str) -> Iterable[list[str]]:
    return csv.reader(files("crmcore.cli.sample").joinpath(name).read_text("utf-8").splitlines())


def _day(cell: str, today: date) -> date | None:
    """The day so many days from today; None for what is no such number."""
    return today + timedelta(days=int(cell)) if cell.lstrip("-").isdecimal() else None
