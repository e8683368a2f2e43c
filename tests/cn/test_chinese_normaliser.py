"""What holds of every form of the Chinese normaliser, and how it is found as a plugin."""

from __future__ import annotations

import subprocess
import sys
import time
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import crmcore
from crmcore.domain import MatchKey
from crmcore.errors import ISSUES, Invalid, MissingExtra
from crmcore.plugins import Plugins
from crmcore.rules.normalisation import PlainNormaliser
from crmcore_cn import libraries
from crmcore_cn.addresses import read_address
from crmcore_cn.divisions import divisions, former_divisions
from crmcore_cn.industries import industries, words
from crmcore_cn.normaliser import ChineseNormaliser
from crmcore_cn.plugin import ChinesePlugin

ROOT = Path(__file__).parents[2]
CHINESE = ChineseNormaliser()
FORMS = ("phone", "email", "wechat", "registration", "company_name", "person_name", "address", "industry")
SIGNS = st.sampled_from("0123456789０１2８6+-()（）转x.#/;、 \n京北广东深圳市南山区朝阳路县一二AIOZabc@._行业制造IT·")
PLACES = st.sampled_from([*(one.name for one in divisions().values()), *(one.name for one in former_divisions())])
WRITTEN = st.one_of(
    st.text(max_size=30),
    st.text(SIGNS, max_size=25),
    st.lists(st.one_of(PLACES, st.text(SIGNS, max_size=4)), max_size=5).map("".join),
    st.lists(st.sampled_from([*industries().values(), *words(), *industries()]), min_size=1, max_size=3).map("/".join),
    st.emails(),
)


def wide(text: str) -> str:
    """The text in full-width forms."""
    return "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in text)


@pytest.mark.parametrize("form", FORMS)
@given(text=WRITTEN)
@example("A´")
@example("李·´")
def test_any_text_is_read_and_what_is_shown_has_its_key(form: str, text: str) -> None:
    made = getattr(CHINESE, form)(text)
    assert made.original == text
    again = getattr(CHINESE, form)(made.shown)
    assert (again.key, again.shown) == (made.key, made.shown)
    assert made.key is None or not made.candidates
    assert made.key != ""
    for issue in made.findings:
        assert issue.level == "warning"
        assert issue.code in ISSUES
        assert issue.text("en")
        assert issue.text("zh-CN")


@pytest.mark.parametrize("form", FORMS)
@given(text=WRITTEN)
def test_full_width_says_what_half_width_says(form: str, text: str) -> None:
    assert getattr(CHINESE, form)(wide(text)).key == getattr(CHINESE, form)(text).key


@pytest.mark.parametrize("form", ["phone", "email", "wechat"])
@given(text=WRITTEN)
def test_findings_about_people_hold_nothing_that_was_typed(form: str, text: str) -> None:
    for issue in getattr(CHINESE, form)(text).findings:
        assert issue.facts == {}


@given(text=WRITTEN)
def test_a_short_code_is_capital_letters_and_digits(text: str) -> None:
    code = CHINESE.short_code(text)
    assert code is None or (code.isascii() and code.isalnum() and code == code.upper())


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("重庆华美", "CQHM"),
        ("长沙中联", "CSZL"),
        ("厦门象屿", "XMXY"),
        ("单县人民医院", "SXRMYY"),
        ("朝阳科技", "CYKJ"),
        ("乐清电器", "YQDQ"),
        ("曾氏", "ZS"),
        ("ＡＢ科技", "ABKJ"),
        ("重庆华美科技有限公司", "HM"),
        ("", None),
        ("🙂", None),
    ],
)
def test_characters_of_several_readings_are_read_as_in_names(name: str, code: str | None) -> None:
    assert CHINESE.short_code(name) == code


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("li_ming01", "li_ming01"),
        ("微信号:LiMing_01", "liming_01"),
        ("wxid_a1b2c3", "wxid_a1b2c3"),
        ("13800138000", "13800138000"),
        ("小李", None),
        ("abc", None),
    ],
)
def test_a_wechat_name_has_a_form_of_its_own(text: str, key: str | None) -> None:
    assert CHINESE.wechat(text).key == key


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("LI.Ming@QQ.com", "li.ming@qq.com"),
        ("邮箱:li@163.com", "li@163.com"),
        ("li@qq。com", "li@qq.com"),
        ("li@例子.中国", "li@例子.中国"),
        ("a..b@qq.com", None),
        ("li@qq,com", None),
        ("li@localhost", None),
        ("x" * 65 + "@qq.com", None),
    ],
)
def test_an_address_is_right_by_the_standards(text: str, key: str | None) -> None:
    assert CHINESE.email(text).key == key


@pytest.mark.parametrize(
    "name", ["示例科技有限公司", "示例(中国)股份有限公司(深圳分公司)", "示例律师事务所", "示例合伙企业(有限合伙)"]
)
def test_companies_are_told_from_people_by_their_names(name: str) -> None:
    assert CHINESE.is_company(name)
    assert not PlainNormaliser().is_company(name)


@pytest.mark.parametrize(
    "names",
    [
        (
            "深圳市示例科技有限公司",
            "深圳示例科技有限责任公司",
            "示例科技(深圳)有限公司",
            "示例科技（深圳）股份有限公司",
        ),
        ("ＡＢＣ商贸有限公司", "abc商贸有限公司", " ABC 商贸有限公司"),
    ],
)
def test_a_company_has_one_key_however_its_name_is_put(names: tuple[str, ...]) -> None:
    assert len({CHINESE.company_name(name).key for name in names}) == 1


def test_companies_of_other_places_branches_and_nations_are_not_one() -> None:
    names = [
        "示例科技有限公司",
        "深圳市示例科技有限公司",
        "上海示例科技有限公司",
        "示例(中国)科技有限公司",
        "示例科技有限公司上海分公司",
    ]
    names += ["示例商贸有限公司", "示例科技厂", "示例科技"]
    assert len({CHINESE.company_name(name).key for name in names}) == len(names)
    assert dict(CHINESE.company_name(names[4]).parts) == {
        "core": "示例",
        "industry": "科技",
        "form": "有限公司",
        "branch": "上海分公司",
    }


def test_a_person_s_name_is_no_company_s() -> None:
    assert not any(map(CHINESE.is_company, ["李明", "欧阳娜娜", "阿里木·买买提", "Li Ming"]))
    assert CHINESE.person_name("阿里木•买买提").key == CHINESE.person_name("阿里木 · 买买提").key


def test_the_plugin_is_declared_and_brings_the_normaliser() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    module, _, name = project["entry-points"]["crmcore.plugins"]["cn"].partition(":")
    assert getattr(import_module(module), name) is ChinesePlugin
    assert isinstance(Plugins([ChinesePlugin()]).normaliser, ChineseNormaliser)


def test_without_the_libraries_the_plugin_offers_nothing_and_a_direct_use_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr(libraries, "NEEDED", ("no_such_library",))
    assert isinstance(Plugins([ChinesePlugin()]).normaliser, PlainNormaliser)
    with pytest.raises(MissingExtra, match=r"crmcore\[cn\]"):
        libraries.library("no_such_library")


def test_the_plugin_alone_loads_none_of_its_libraries() -> None:
    code = (
        "import sys, crmcore\nfrom crmcore_cn.plugin import ChinesePlugin\n"
        "crmcore.open('memory:', plugins=[ChinesePlugin()]).close()\n"
        "print([name for name in ('phonenumbers', 'pypinyin', 'stdnum', 'email_validator') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_customers_are_registered_with_the_plugin_as_without() -> None:
    with crmcore.open("memory:", plugins=[ChinesePlugin()]) as crm:
        me = crm.acting_as("sales.east")
        acme = me.customers.register(
            name="示例科技有限公司", contacts=[{"name": "李明", "phone": "０７５５－８８８８６６６６"}]
        )
        assert me.contacts.of(acme)[0].phones == ("０７５５－８８８８６６６６",)


def test_the_reading_of_an_address_needs_no_library(monkeypatch) -> None:
    monkeypatch.setattr(libraries, "import_module", None)
    assert read_address("深圳南山").key == "440305"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "unit", ["x", "转", "公司(", "1-", "8/", "北京", "制造业/", "a.", "@a", "行业", "O", "13800138000;"]
)
def test_the_longest_text_is_read_in_no_time(form: str, unit: str) -> None:
    text = (unit * 32_767)[:32_767]
    began = time.process_time()
    getattr(CHINESE, form)(text)
    CHINESE.is_company(text)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("text", ["13800138000 微信同号", "电话：13800138000", "13800138000；"])
def test_a_telephone_that_is_read_is_taken_in(tmp_path, text: str) -> None:
    key = "+8613800138000"
    read = ChineseNormaliser().phone(text)
    assert (read.key, read.findings, read.original) == (key, (), text)
    path = tmp_path / "customers.csv"
    path.write_text(f"客户名称,联系电话\n示例乙公司,{text}\n", "utf-8")
    with crmcore.open("memory:", "marketing", plugins=[ChinesePlugin()]) as crm:
        me = crm.acting_as("hua")
        one = me.customers.register(name="示例甲公司", contacts=[{"name": "王", "phone": text}])
        me.contacts.add(one, name="李", phone=text)
        assert me.imports.plan(path).apply().rejected == 0
        assert me.customers.count() == 2
        keys = me.customers.listed(MatchKey)
        assert [one.value for one in keys if one.kind == "phone"] == [key] * 3


@pytest.mark.parametrize("text", ["13800138000 微信同号", "电话：13800138000"])
def test_without_a_normaliser_words_are_no_telephone(text: str) -> None:
    with crmcore.open("memory:", "marketing") as crm, pytest.raises(Invalid):
        crm.acting_as("hua").customers.register(name="示例甲公司", contacts=[{"name": "王", "phone": text}])
