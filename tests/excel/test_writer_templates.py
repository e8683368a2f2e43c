"""Templates: what people fill in is found again by the import, and nothing else in the workbook is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import attrs
import openpyxl
import pytest
from openpyxl.utils import get_column_letter

from crmcore.domain.playbook import DERIVED_FIELDS, FIELD_KINDS, Playbook
from crmcore.domain.policies import Label
from crmcore.errors import Language, NotFound
from crmcore.interchange.headers import Vocabulary, find_header
from crmcore.playbooks.loading import BUNDLED, load
from crmcore_excel import ExcelWorkbooks
from crmcore_excel.templates import MAX_LIST, write_template

LANGUAGES: tuple[Language, ...] = ("zh-CN", "en")


def _validations(sheet: Any) -> dict[str, Any]:
    """The drop-downs by column letter."""
    return {str(rule.sqref).split(":")[0].rstrip("0123456789"): rule for rule in sheet.data_validations.dataValidation}


def _choices(book: Any, rule: Any) -> list[str]:
    if rule.formula1.startswith('"'):
        assert len(rule.formula1) - 2 <= MAX_LIST
        return str(rule.formula1)[1:-1].split(",")
    sheet, area = re.fullmatch(r"'(.+)'!(.+)", rule.formula1).groups()  # type: ignore[union-attr]
    return [row[0].value for row in book[sheet][area.replace("$", "")]]


def _column_format(sheet: Any, number: int) -> str:
    """The format of a column; columns alike stand together."""
    (found,) = [one for one in sheet.column_dimensions.values() if one.min <= number <= one.max]
    return str(found.number_format)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("key", BUNDLED)
def test_a_template_offers_every_column_with_its_choices(tmp_path: Path, key: str, language: Language) -> None:
    playbook = load(key)
    write_template(tmp_path / "t.xlsx", playbook, tuple(playbook.tables), language=language)
    book = openpyxl.load_workbook(tmp_path / "t.xlsx")
    for table in playbook.tables.values():
        sheet = book[table.label.text(language)]
        fields = [field for field in table.columns if field not in DERIVED_FIELDS]
        headings = [cell.value for cell in sheet[1]]
        assert [heading.rstrip("*") for heading in headings] == [playbook.label(field, language) for field in fields]
        assert sheet.max_row == 1
        rules = _validations(sheet)
        for number, field in enumerate(fields, 1):
            letter = get_column_letter(number)
            words = [label.text(language) for label in playbook.vocabulary(field).values()]
            assert (_choices(book, rules[letter]) if letter in rules else []) == words
            kind = FIELD_KINDS.get(field)
            if kind is None or kind.name in ("text", "texts", "choice"):
                expected = "yyyy-mm-dd" if field == "customer.registered_on" else "@"
                assert _column_format(sheet, number) == expected
            if words:
                fixed = field.endswith((".stage", ".tier")) or (kind is not None and kind.name in ("choice", "flag"))
                assert bool(rules[letter].showErrorMessage) == fixed
    for sheet in book:
        assert all(cell.data_type != "f" for row in sheet.iter_rows() for cell in row)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("key", BUNDLED)
def test_the_import_finds_each_sheet_and_takes_the_guide_for_none(tmp_path: Path, key: str, language: Language) -> None:
    playbook = load(key)
    # A sheet of contacts names nothing that a sheet of customers with theirs doesn't.
    names = [name for name, table in playbook.tables.items() if table.entity != "contact"]
    vocabularies = {name: Vocabulary(playbook.synonyms(name)) for name in names}
    entered = [name for name in names if not set(playbook.tables[name].columns) & set(DERIVED_FIELDS)]
    write_template(tmp_path / "t.xlsx", playbook, entered, language=language)
    by_label = {table.label.text(language): table for table in playbook.tables.values()}
    found = {}
    for sheet in ExcelWorkbooks().read(tmp_path / "t.xlsx"):
        header = find_header(sheet, vocabularies)
        if sheet.name in by_label:
            table = by_label[sheet.name]
            assert header is not None
            assert header.table == table.key
            assert [column.field for column in header.columns] == list(table.columns)
            found[table.key] = {column.field for column in header.columns if column.required}
        else:
            assert header is None or sheet.hidden
    assert list(found) == entered
    for key_of_table, needed in (
        ("customers", {"customer.name"}),
        ("follow_ups", {"follow_up.at", "follow_up.summary"}),
    ):
        table = playbook.tables[key_of_table]
        asked = {
            field if "." in field else f"{table.entity}.{field}" for field in playbook.required_fields(table.entity)
        }
        assert found[key_of_table] == (needed | asked) & set(table.columns)


def _with_long_list() -> Playbook:
    playbook = load("marketing")
    sources = {f"s{index}": Label(zh=f"来源渠道第{index}号", en=f"source number {index}") for index in range(60)}
    commas = {"a": Label(zh="展会,线下", en="fair, offline"), "b": Label(zh="=1+1", en="=1+1")}
    choices = {**playbook.choices, "customer.source": sources, "customer.industry": commas}
    required = {"customer": ("name", "contact.name"), "customer.kind=enterprise": ("industry",)}
    return attrs.evolve(playbook, choices=choices, required=required)


def test_long_and_awkward_lists_stand_on_a_hidden_sheet(tmp_path: Path) -> None:
    playbook = _with_long_list()
    write_template(tmp_path / "t.xlsx", playbook, ["customers"])
    book = openpyxl.load_workbook(tmp_path / "t.xlsx")
    assert book.sheetnames == ["客户信息基础表", "填写说明", "字典"]
    assert [book[name].sheet_state for name in book.sheetnames] == ["visible", "visible", "hidden"]
    rules = _validations(book["客户信息基础表"])
    columns = list(playbook.tables["customers"].columns)
    for field in ("customer.source", "customer.industry"):
        rule = rules[get_column_letter(columns.index(field) + 1)]
        assert _choices(book, rule) == [label.zh for label in playbook.vocabulary(field).values()]
    assert all(cell.data_type != "f" for row in book["字典"].iter_rows() for cell in row)


def test_required_columns_are_marked_and_the_guide_says_when(tmp_path: Path) -> None:
    write_template(tmp_path / "t.xlsx", _with_long_list(), ["customers"])
    book = openpyxl.load_workbook(tmp_path / "t.xlsx")
    marked = {cell.value for cell in book["客户信息基础表"][1] if cell.value.endswith("*")}
    assert marked == {"客户名称*", "联系人*"}
    guide = {row[1]: row for row in book["填写说明"].iter_rows(min_row=2, values_only=True)}
    assert guide["客户名称"][2] == "必填"
    assert guide["所属行业"][2] == "客户类型为“企业客户”时必填"
    assert guide["联系方式"][2] == "选填"
    assert guide["客户名称"][5] == "示例科技有限公司"
    assert guide["来源渠道"][4].startswith("来源渠道第0号、来源渠道第1号")
    assert guide["来源渠道"][4].endswith("(也可填写其他内容)")


def test_without_keys_every_table_that_people_fill_in_is_there(tmp_path: Path) -> None:
    write_template(tmp_path / "t.xlsx", load("marketing"))
    assert openpyxl.load_workbook(tmp_path / "t.xlsx").sheetnames == [
        "客户信息基础表",
        "客户跟进计划表",
        "客户跟进记录表",
        "销售机会表",
        "客户转介绍记录表",
        "填写说明",
    ]


def test_an_unknown_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="invoices"):
        ExcelWorkbooks().template(tmp_path / "t.xlsx", load("marketing"), ["customers", "invoices"])
    assert list(tmp_path.iterdir()) == []
