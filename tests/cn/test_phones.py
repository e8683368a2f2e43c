"""Telephone numbers: one key for every way to write a number, and no guess where a text leaves a choice."""

from __future__ import annotations

import gzip
from pathlib import Path

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmcore_cn.divisions import area_codes, area_codes_of, divisions, path
from crmcore_cn.normaliser import ChineseNormaliser
from crmcore_cn.phones import read_phone, read_phones


def in_use(number: str) -> bool:
    return phonenumbers.is_valid_number(phonenumbers.PhoneNumber(country_code=86, national_number=int(number)))


MOBILES = st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True).filter(in_use)
AREAS = st.sampled_from(sorted(area_codes()))
LANDLINES = st.tuples(AREAS, st.from_regex(r"[2-8][0-9]{6,7}", fullmatch=True)).filter(
    lambda line: in_use("".join(line))
)
EXTENSIONS = st.from_regex(r"[1-9][0-9]{1,4}", fullmatch=True)
COUNTRY = st.sampled_from(["", "+86", "+86 ", "0086", "0086-", "(86)", "(+86)", "86-", "86 ", "８６－"])
LABELS = st.sampled_from(["", "电话:", "手机号:", "Tel: ", "T:", "联系电话:"])
MARKS = st.sampled_from(["转", "-转", "分机", " 分机号:", " ext.", "x", "X", "#", "-", " ext ", "转分机"])


def spaced(digits: str, cuts: tuple[int, ...], between: str) -> str:
    """The digits in groups."""
    ends = [*cuts, len(digits)]
    return between.join(digits[start:end] for start, end in zip([0, *cuts], ends, strict=True))


@given(mobile=MOBILES, country=COUNTRY, label=LABELS, between=st.sampled_from(["", " ", "-", "—", "."]))
def test_a_mobile_is_the_same_however_it_is_written(mobile, country, label, between) -> None:
    made = read_phone(label + country + spaced(mobile, (3, 7), between))
    assert made.key == f"+86{mobile}"
    assert made.shown == mobile
    assert made.parts["kind"] == "mobile"
    assert made.findings == ()


@given(mobile=MOBILES)
def test_what_a_spreadsheet_makes_of_a_number_is_the_number(mobile: str) -> None:
    assert {read_phone(text).key for text in (str(float(mobile)), f"{int(mobile):.10E}", f"0{mobile}")} == {
        f"+86{mobile}"
    }
    lost = read_phone(f"{int(mobile):.2E}")
    assert lost.key is None
    assert [issue.code for issue in lost.findings] == ["precision_lost"]


@given(line=LANDLINES, country=COUNTRY, between=st.sampled_from(["-", " ", "", "—"]), label=LABELS)
def test_a_landline_is_split_into_area_code_and_number(line, country, between, label) -> None:
    area, local = line
    written = [
        f"{country}{area}{between}{local}",
        f"({area}){local}",
        f"+86{area[1:]}{local}",
        f"+86(0){area[1:]}-{local}",
    ]
    for text in written:
        made = read_phone(label + text)
        assert made.key == f"+86{area[1:]}{local}"
        assert (made.parts["area_code"], made.parts["number"]) == line
        assert made.shown == f"{area}-{local}"


@given(line=LANDLINES)
def test_a_zero_that_a_spreadsheet_dropped_comes_back(line) -> None:
    area, local = line
    digits = area[1:] + local
    made = read_phone(str(float(digits)))
    readings = [made.key, *(candidate.key for candidate in made.candidates)]
    assert f"+86{digits}" in readings
    # A mobile has eleven digits, too, and goes without a zero.
    assert made.key == f"+86{digits}" or made.candidates


@given(line=LANDLINES, extension=EXTENSIONS, mark=MARKS)
def test_an_extension_is_a_part_and_not_of_the_key(line, extension, mark) -> None:
    area, local = line
    made = read_phone(f"{area}-{local}{mark}{extension}")
    if made.candidates:  # 0311-8866666-1 could be one longer number.
        assert mark == "-"
        assert f"+86{area[1:]}{local}" in [candidate.key for candidate in made.candidates]
    elif mark != "-" or len(local) == 8:
        assert made.key == f"+86{area[1:]}{local}"
        assert made.parts["extension"] == extension


@given(
    numbers=st.lists(MOBILES, min_size=2, max_size=4, unique=True),
    between=st.sampled_from([";", "、", "/", " ", "，", "\n", "或"]),
)
def test_several_numbers_in_one_text_are_all_read_and_none_is_chosen(numbers, between) -> None:
    text = between.join(numbers)
    assert [one.key for one in read_phones(text)] == [f"+86{number}" for number in numbers]
    made = read_phone(text)
    assert made.key is None
    assert {candidate.key for candidate in made.candidates} == {f"+86{number}" for number in numbers}


def test_another_ending_and_a_number_without_its_area_belong_to_the_one_before() -> None:
    found = read_phones("0755-88886666/7/68;88886669")
    assert [one.shown for one in found] == ["0755-88886666", "0755-88886667", "0755-88886668", "0755-88886669"]


@pytest.mark.parametrize(
    ("text", "key", "kind"),
    [
        ("400-820-8820", "+864008208820", "service"),
        ("4008208820转1", "+864008208820", "service"),
        ("800 810 1234", "+868008101234", "service"),
        ("95588", "+8695588", "service"),
        ("12306", "+8612306", "service"),
        ("+852 2888 8888", "+85228888888", "foreign"),
        ("852-28888888", "+85228888888", "foreign"),
        ("00852-28888888", "+85228888888", "foreign"),
        ("+1 (650) 253-0000", "+16502530000", "foreign"),
        ("13800138000(微信同号)", "+8613800138000", "mobile"),
    ],
)
def test_numbers_of_every_kind(text: str, key: str, kind: str) -> None:
    made = read_phone(text)
    assert (made.key, made.parts["kind"]) == (key, kind)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("12311211222", "bad_phone"),
        ("139****1234", "bad_phone"),
        ("212-555-1234", "bad_phone"),
        ("١٣٨٠٠١٣٨٠٠٠", "bad_phone"),
        ("see card", "bad_phone"),
        ("", "bad_phone"),
        ("88886666", "no_area_code"),
        ("8888-6666", "no_area_code"),
        ("1.38E+10", "precision_lost"),
    ],
)
def test_what_has_no_sure_reading_has_no_key_and_says_why(text: str, code: str) -> None:
    made = read_phone(text)
    assert made.key is None
    assert [issue.code for issue in made.findings] == [code]


@pytest.mark.parametrize("area", ["0755", "755", "深圳市南山区科技园1号", "广东深圳"])
def test_a_local_number_takes_the_area_that_it_is_given(area: str) -> None:
    assert ChineseNormaliser().phone("8888 6666", area=area).shown == "0755-88886666"
    assert read_phone("88886666", "广东省").key is None


def test_a_number_from_a_plan_that_has_moved_on_is_kept_and_told() -> None:
    made = read_phone("0312-31666661")
    assert made.key == "+8631231666661"
    assert [issue.code for issue in made.findings] == ["unassigned_phone"]


def test_every_area_code_serves_divisions_of_one_province() -> None:
    for code, served in area_codes().items():
        assert code.startswith("0")
        assert all(path(one)[-1].code == one for one in served)
        assert len({one[:2] for one in served}) == 1
    cities = {code for code in divisions() if len(code) == 4}
    assert all(area_codes_of(city) for city in cities)


@pytest.fixture(scope="module")
def segments(shared_data: Path) -> list[list[str]]:
    """Head of a mobile number, carrier, province, city, postcode, area code; no field holds a comma."""
    with gzip.open(shared_data / "ref_phone" / "mobile_segments.csv.gz", "rt", encoding="utf-8") as file:
        return [line.rstrip("\n").split(",") for line in file][1:]


def test_the_area_codes_are_those_of_the_published_lists(shared_data: Path, segments: list[list[str]]) -> None:
    lines = (shared_data / "ref_phone" / "landline_phone_area_code.txt").read_text("utf-8").split("\n")
    listed = {line.split()[0] for line in lines if line.strip()}
    # These were given up when their cities joined the area of a neighbour.
    assert listed - set(area_codes()) == {"0565", "0852", "0853"}
    rows = {(area, province) for _, _, province, _, _, area in segments}
    named = {(code, divisions()[served[0][:2]].name) for code, served in area_codes().items()}
    differing = [row for row in rows if not any(row[0] == code and name.startswith(row[1]) for code, name in named)]
    assert sorted(differing) == [("00479", "内蒙古")]


def test_every_mobile_segment_is_read(segments: list[list[str]]) -> None:
    heads = {head[:4] for head, *_ in segments}
    assert len(heads) > 300
    assert [head for head in sorted(heads) if read_phone(f"{head}0138000").key != f"+86{head}0138000"] == []
