"""Chinese company names are taken apart into place, core, trade and form."""

import pytest
from company_samples import FORMS, PLACES, TOWNS, TRADES, company_names, cores
from hypothesis import given
from hypothesis import strategies as st

from crmcore_cn.company_names import localities, normalise, parse


@given(
    st.sampled_from(PLACES), st.sampled_from(TOWNS), cores, st.sampled_from(TRADES), st.sampled_from(FORMS)
)  # fmt: skip
def test_each_part_is_found_where_it_was_put(place: str, town: str, core: str, trade: str, form: str) -> None:
    name = parse(place + town + core + trade + form)
    assert "".join(region.text for region in name.regions) == place
    assert (name.locality, name.core, name.trade, name.form) == (town, core, trade, form)


@given(st.text(max_size=40) | company_names())
def test_any_text_is_parsed_and_loses_nothing(text: str) -> None:
    name = parse(text)
    assert name.original == text
    assert normalise(name.text) == name.text
    assert not name.text.strip("()") or name.core or name.trade or name.regions or name.notes


@given(company_names())
def test_width_brackets_blanks_and_marks_make_no_difference(name: str) -> None:
    written = f" {name[:3]} {name[3:]}（集团）。"
    assert parse(written).text == parse(f"{name}(集团)").text
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in f"{name}A1(集团)")
    assert parse(wide).text == parse(f"{name}A1【集团】").text


@pytest.mark.parametrize(
    ("name", "place", "core", "trade", "form", "branch"),
    [
        ("苏州璟澜精密机械（昆山）有限公司", "苏州昆山", "璟澜", "精密机械", "有限公司", ""),
        ("杭州沐宸信息科技有限公司合肥分公司", "杭州", "沐宸", "信息科技", "有限公司", "合肥分公司"),
        ("上海霖翔（集团）股份有限公司", "上海", "霖翔", "", "股份有限公司", ""),
        ("青岛瑞恒五金厂（普通合伙）", "青岛", "瑞恒", "五金", "厂", ""),
        ("骏锦食品有限公司", "", "骏锦", "食品", "有限公司", ""),
        ("佛山陶瓷有限公司", "", "佛山", "陶瓷", "有限公司", ""),
        ("章丘市隆茂建材有限公司", "章丘市", "隆茂", "建材", "有限公司", ""),
    ],
)
def test_names_of_many_forms(name: str, place: str, core: str, trade: str, form: str, branch: str) -> None:
    parts = parse(name)
    assert "".join(region.text for region in parts.regions) == place
    assert (parts.core, parts.trade, parts.form, parts.branch) == (core, trade, form, branch)


def test_a_town_goes_between_the_county_and_the_core() -> None:
    name = parse("长沙县黄花镇鑫源食品厂")
    assert (name.locality, name.core) == ("黄花镇", "鑫源")


def test_a_place_that_may_be_the_core_is_read_both_ways() -> None:
    name = parse("长安汽车股份有限公司")
    assert name.core == "长安"
    assert name.alternative is not None
    assert name.alternative.regions


def test_a_works_of_a_company_is_read_as_a_firm_in_the_company_s_county_too() -> None:
    name = parse("长沙县鑫源化工有限公司黄花镇食品厂")
    assert (name.core, name.branch) == ("鑫源", "黄花镇食品厂")
    assert name.alternative is not None
    assert [region.text for region in name.alternative.regions] == ["长沙县"]
    assert (name.alternative.locality, name.alternative.form, name.alternative.branch) == ("黄花镇", "厂", "")


def test_a_town_s_name_keeps_its_village_where_one_character_would_be_left() -> None:
    assert localities("张村") == localities("张村镇") == {"张村"}
    assert localities("黄花镇") == {"黄花"}
