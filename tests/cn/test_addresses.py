"""Addresses: the divisions at their head are found as people write them, and never guessed."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmcore_cn.addresses import division_of, read_address
from crmcore_cn.divisions import divisions, former_divisions, path, told

CODES = sorted(divisions())
COUNTIES = [code for code in CODES if len(code) == 6]
RESTS = st.sampled_from(["", "科技园1号", "建国路88号A座1201室", "XX工业园"])


@given(code=st.sampled_from(CODES), rest=RESTS, between=st.sampled_from(["", " ", "-", "/"]))
def test_a_full_address_is_read_whatever_stands_between_its_parts(code: str, rest: str, between: str) -> None:
    made = read_address(between.join([*(division.name for division in path(code)), rest]))
    assert made.parts["division"] == code
    assert made.shown == told(code) + rest
    assert made.findings == ()


@given(code=st.sampled_from(COUNTIES))
def test_the_city_may_be_left_out_where_the_province_has_one_such_county(code: str) -> None:
    province, *_, county = path(code)
    named = [one for one in COUNTIES if one[:2] == code[:2] and divisions()[one].name == county.name]
    for former in former_divisions():
        if former.code[:2] == code[:2] and former.name == county.name:
            named += [one for one in former.became if divisions()[one].name != county.name]
    made = read_address(province.name + county.name)
    if len(named) == 1:
        assert made.parts["division"] == code
    else:
        assert made.key is None
        assert {told(one) for one in named} <= {candidate.shown for candidate in made.candidates}


@given(code=st.sampled_from(COUNTIES))
def test_a_county_s_name_alone_is_that_county_only_where_no_other_bears_it(code: str) -> None:
    made = read_address(divisions()[code].name)
    named = [one for one in CODES if divisions()[one].name == divisions()[code].name]
    if made.key is not None:
        assert named == [code]
        assert made.key == code
    else:
        assert {told(one) for one in named} <= {candidate.shown for candidate in made.candidates}
        assert [issue.code for issue in made.findings] == ["ambiguous"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("广东深圳南山", "广东省深圳市南山区"),
        ("深圳市南山区科技园1号", "广东省深圳市南山区科技园1号"),
        ("北京朝阳区建国路88号", "北京市朝阳区建国路88号"),
        ("北京市北京市朝阳区建国路", "北京市朝阳区建国路"),
        ("中国上海市浦东新区", "上海市浦东新区"),
        ("重庆市 市辖区 渝中区解放碑", "重庆市渝中区解放碑"),
        ("湖北省直辖县级行政区划仙桃市", "湖北省仙桃市"),
        ("内蒙古呼市", "内蒙古自治区呼和浩特市"),
        ("四川凉山州西昌市", "四川省凉山彝族自治州西昌市"),
        ("吉林吉林", "吉林省吉林市"),
        ("苏州昆山", "江苏省苏州市昆山市"),
        ("地址:518000 深圳市福田区", "广东省深圳市福田区"),
        ("深圳南山大道1号", "广东省深圳市南山大道1号"),
        ("上海路100号", "上海路100号"),
        ("长安街", "长安街"),
        ("·地址:地址: 北京", "北京市"),
        ("和平里东街", "和平里东街"),
        ("南京东路1号", "南京东路1号"),
        ("中国人民大学", "中国人民大学"),
        ("中国 200120 上海市浦东新区", "上海市浦东新区"),
        ("新疆乌鲁木齐", "新疆维吾尔自治区乌鲁木齐市"),
        ("湖南长沙黄花镇", "湖南省长沙市黄花镇"),
        ("长沙长沙县", "湖南省长沙市长沙县"),
        ("河北雄安新区容城县", "河北省保定市容城县"),
        ("河北雄安", "河北省雄安"),
        ("天津河北区", "天津市河北区"),
        ("广东省 深圳 市", "广东省深圳市"),
        ("广东省 深圳 市 南山 区 科技园1号", "广东省深圳市南山区科技园1号"),
        ("深圳 市民中心", "广东省深圳市市民中心"),
    ],
)
def test_addresses_as_people_write_them(text: str, shown: str) -> None:
    made = read_address(text)
    assert made.shown == shown
    assert made.key
    assert made.findings == ()


@pytest.mark.parametrize(
    ("text", "shared", "least"),
    [
        ("鼓楼区", None, 4),
        ("朝阳", None, 3),
        ("海南", None, 3),
        ("吉林", "22", 2),
        ("桥西区", "13", 3),
        ("云南大理", "5329", 2),
        ("杭州西湖文化广场", "3301", 2),
        ("余杭市", "3301", 2),
    ],
)
def test_what_can_be_two_places_is_neither_and_what_they_share_is_known(
    text: str, shared: str | None, least: int
) -> None:
    made = read_address(text)
    assert made.key is None
    assert len(made.candidates) >= least
    assert division_of(text) == shared


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("北京市宣武区", "北京市西城区"),
        ("襄樊市", "湖北省襄阳市"),
        ("西安市户县", "陕西省西安市鄠邑区"),
        ("邢台市桥西区", "河北省邢台市信都区"),
    ],
)
def test_a_former_division_is_read_as_what_it_is_now_and_told(text: str, shown: str) -> None:
    made = read_address(text)
    assert made.shown == shown
    assert [(issue.code, issue.facts) for issue in made.findings] == [("former_division", {"now": shown})]


def test_former_divisions_became_divisions_that_are() -> None:
    known = set(divisions())
    assert all(set(one.became) <= known and one.became for one in former_divisions())


def test_there_are_as_many_divisions_as_the_lists_have(shared_data: Path) -> None:
    folder = shared_data / "ref_divisions"
    named: dict[str, str] = {}
    for part in ("provinces", "cities", "areas"):
        with (folder / f"china-division_{part}.csv").open(encoding="utf-8") as file:
            named |= {row["code"]: row["name"] for row in csv.DictReader(file)}
    # Neither the headings of the statisticians nor their development zones are divisions of GB/T 2260.
    expected = {
        code: name
        for code, name in named.items()
        if not re.fullmatch(r"市辖区|县|(?:省|自治区)直辖县级行政区划", name) and code[4:5] != "7" and code[4:] != "00"
    }
    ours = {code: division.name for code, division in divisions().items()}
    # A city without counties, which the statisticians give one of its own name.
    assert {code: name for code, name in expected.items() if ours.get(code) != name} == {"620201": "嘉峪关市"}
    assert set(ours) - set(expected) == {"71", "81", "82", "460302", "460303"}
    assert [sum(len(code) == length for code in ours) for length in (2, 4, 6)] == [34, 333, 2852]


def test_every_division_of_2016_is_known_now_or_as_a_former_one(shared_data: Path) -> None:
    lines = (shared_data / "ref_divisions" / "GB2260_mca_201607.tsv").read_text("utf-8").splitlines()[1:]
    former = {(one.code, one.name) for one in former_divisions()}
    unknown = []
    for line in lines:
        _, _, code, name = line.split("\t")
        short = code[:2] if code.endswith("0000") else code[:4] if code.endswith("00") else code
        now = divisions().get(short)
        if name != "市辖区" and (now is None or now.name != name) and (short, name) not in former:
            unknown.append((code, name))
    # The list has this city of Sichuan under a wrong kind.
    assert unknown == [("513201", "马尔康区")]
