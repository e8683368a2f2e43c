"""Industries of GB/T 4754-2017: the data are whole, and words that can mean several are left open."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmcore_cn.industries import LEVELS, industries, read_industry, words


def test_there_are_as_many_as_the_standard_has() -> None:
    # The foreword of the standard counts 1,380 classes; the published lists have one more, and don't say which.
    assert Counter(LEVELS[len(code)] for code in industries()) == {
        "section": 20,
        "division": 97,
        "group": 473,
        "class": 1381,
    }
    parents = {code: code[:1] if len(code) == 3 else code[:-1] for code in industries() if len(code) > 1}
    assert set(parents.values()) <= set(industries())


def test_the_names_are_those_of_the_published_list(shared_data: Path) -> None:
    with (shared_data / "ref_industry" / "gbt4754_2017.csv").open(encoding="utf-8-sig") as file:
        listed = {row["code"]: row["name"].strip() for row in csv.DictReader(file)}
    assert industries() == listed


@given(code=st.sampled_from(sorted(industries())))
def test_a_code_and_a_name_are_what_they_say(code: str) -> None:
    made = read_industry(code)
    assert made.key == code
    assert made.parts["section"] == code[0]
    by_name = read_industry(industries()[code])
    assert by_name.key is not None
    # A group with a single class bears its name.
    assert code.startswith(by_name.key)
    assert industries()[by_name.key] == industries()[code]
    if len(code) > 1:
        assert read_industry(code[1:]).key == code


def test_every_word_means_industries_that_are_and_none_that_the_standard_names_already() -> None:
    assert {code for codes in words().values() for code in codes} <= set(industries())
    names = {read_industry(name).key for name in industries().values()}
    assert None not in names
    for word, codes in words().items():
        made = read_industry(word)
        assert [made.key] == list(codes) or [candidate.key for candidate in made.candidates] == list(codes), word


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("IT", "I"),
        ("ＩＴ行业", "I"),
        ("互联网", "I64"),
        ("制造业", "C"),
        ("软件", "I65"),
        ("餐饮", "H62"),
        ("餐饮业", "H62"),
        ("批发和零售业", "F"),
        ("制造业-汽车", "C36"),
        ("制造业 > 汽车制造业 > 汽车零部件", "C367"),
        ("制造业/汽车零部件", "C367"),
        ("金融、保险", "J"),
        ("C36 汽车制造业", "C36"),
        ("Software", "I65"),
    ],
)
def test_what_people_write(text: str, key: str) -> None:
    assert read_industry(text).key == key


@pytest.mark.parametrize("text", ["汽车", "医药", "电商", "互联网/电商", "茶叶", "C36 餐饮业"])
def test_what_can_mean_several_is_left_open(text: str) -> None:
    made = read_industry(text)
    assert made.key is None
    assert len(made.candidates) > 1
    assert [issue.code for issue in made.findings] == ["ambiguous"]


@pytest.mark.parametrize("text", ["", "乱七八糟", "X99", "00", "C99"])
def test_what_is_none_says_so(text: str) -> None:
    made = read_industry(text)
    assert (made.key, made.candidates) == (None, ())
    assert [issue.code for issue in made.findings] == ["unknown_industry"]
