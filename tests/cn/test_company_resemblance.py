"""Two company names are compared part by part, with reasons."""

import pytest
from company_samples import CORE_CHARACTERS, FORMS, TRADES, company_names, cores
from hypothesis import assume, given
from hypothesis import strategies as st

from crmcore_cn.characters import Likeness, likeness
from crmcore_cn.name_reasons import REASONS
from crmcore_cn.resemblance import compare

names = company_names() | st.text(max_size=30)
numbers = (
    st.sampled_from("一二三四五六七八九十")
    | st.integers(1, 30).map(str)
    | st.sampled_from(["十一", "十二", "二十", "二十一"])
)


def keys(one: str, other: str) -> set[str]:
    return {reason.key for reason in compare(one, other).reasons}


@given(names, names)
def test_it_is_the_same_both_ways_round(one: str, other: str) -> None:
    assert compare(one, other) == compare(other, one)


@given(names)
def test_a_name_and_itself_are_the_same(name: str) -> None:
    found = compare(name, name)
    assert (found.score, found.verdict) == (1.0, "same")


@given(names, names)
def test_scores_lie_between_none_and_one_and_reasons_have_words(one: str, other: str) -> None:
    found = compare(one, other)
    assert 0.0 <= found.score <= 1.0
    assert all(reason.key in REASONS and reason.label.zh and reason.label.en for reason in found.reasons)


@given(cores, st.sampled_from(TRADES), st.sampled_from(FORMS), st.sampled_from(FORMS))
def test_a_legal_form_left_out_or_changed_is_the_same_company(core: str, trade: str, form: str, other: str) -> None:
    name = f"济南{core}{trade}"
    assert compare(name + form, name).verdict == "same"
    assert compare(name + form, name + other).verdict == "same"


@given(cores, st.sampled_from(TRADES), numbers, numbers)
def test_different_numbers_are_never_one_company(core: str, trade: str, one: str, other: str) -> None:
    from crmcore_cn.alignment import number_of

    assume(number_of(one) != number_of(other))
    for pattern in ("济南第{}{}厂", "{}", "济南{}有限公司第{}分公司"):
        first = pattern.format(one, trade) if pattern.startswith("济南第") else f"济南{core}{trade}有限公司{one}分公司"
        second = (
            pattern.format(other, trade) if pattern.startswith("济南第") else f"济南{core}{trade}有限公司{other}分公司"
        )
        assert compare(first, second).verdict != "same"


@pytest.mark.parametrize(("one", "other"), [("东", "西"), ("南", "北"), ("甲", "乙"), ("上", "下")])
def test_directions_and_series_tell_sister_companies_apart(one: str, other: str) -> None:
    found = compare(f"济南鑫{one}食品有限公司", f"济南鑫{other}食品有限公司")
    assert found.verdict == "different"
    assert "series_differs" in {reason.key for reason in found.reasons}


@given(cores, st.integers(0, 3), st.sampled_from(CORE_CHARACTERS))
def test_another_character_in_the_core_is_another_company(core: str, at: int, character: str) -> None:
    assume(at < len(core) and likeness(core[at], character) == Likeness.NONE)
    other = core[:at] + character + core[at + 1 :]
    assert compare(f"济南{core}食品有限公司", f"济南{other}食品有限公司").verdict != "same"


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ("济南凯岳食品有限公司", "济南凯越食品有限公司", "core_sound"),
        ("济南凤翔食品有限公司", "济南风翔食品有限公司", "core_sound"),
        ("济南天末食品有限公司", "济南天未食品有限公司", "core_look"),
        ("济南翔鹏食品有限公司", "济南鹏翔食品有限公司", "core_order"),
        ("长沙县鑫源食品厂", "长沙鑫源食品厂", "region_level"),
        ("青岛鑫源食品有限公司", "山东鑫源食品有限公司", "region_nested"),
        ("长沙县黄花镇鑫源食品厂", "长沙县黄花鑫源食品厂", "core_same"),
        ("济南鑫源食品有限公司", "济南鑫源食品股份有限公司", "form_close"),
        ("济南鑫源食品（集团）有限公司", "济南鑫源食品集团有限公司", "core_same"),
    ],
)
def test_what_people_mistype_or_leave_out_is_forgiven(one: str, other: str, reason: str) -> None:
    assert compare(one, other).verdict == "same"
    assert reason in keys(one, other)


def test_one_core_in_two_provinces_is_not_one_company() -> None:
    assert compare("浙江鑫源食品有限公司", "湖南鑫源食品有限公司").verdict != "same"
    assert "region_differs" in keys("浙江鑫源食品有限公司", "湖南鑫源食品有限公司")


def weight(one: str, other: str, *keys: str) -> float:
    return sum(reason.weight for reason in compare(one, other).reasons if reason.key in keys)


def test_a_trade_with_words_more_is_nearer_than_another_trade() -> None:
    trades = ("trade_close", "trade_differs")
    longer = weight("济南鑫源五金厂", "济南鑫源五金机械配件厂", *trades)
    other = weight("济南鑫源五金厂", "济南鑫源食品厂", *trades)
    assert longer > 0 > other


def test_a_place_written_without_its_head_is_still_the_place_where_nothing_but_a_trade_follows() -> None:
    assert compare("济南污水处理厂", "济南市污水处理厂").verdict == "same"
    assert "region_level" in keys("长沙污水处理厂", "长沙市污水处理厂")


def test_a_name_without_a_core_is_told_by_its_trade() -> None:
    assert compare("湖南长沙齿轮厂", "湖南长沙发电厂").verdict == "different"
