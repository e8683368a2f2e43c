"""Codes of companies: GB 32100 to the letter, and look-alikes read only where the check leaves one reading."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from stdnum.cn import uscc

from crmcore_cn.divisions import divisions
from crmcore_cn.registrations import ALPHABET, faults, organisation_check, read_registration

WEIGHTS = [3**place % 31 for place in range(17)]
PROVINCES = sorted(code for code in divisions() if len(code) == 2)
DIGITS_AND_LETTERS = st.sampled_from(ALPHABET)


def check_character(code: str) -> str:
    """The last character by GB 32100-2015, 4.4: worked out apart from the library."""
    total = sum(weight * ALPHABET.index(sign) for weight, sign in zip(WEIGHTS, code, strict=True))
    return ALPHABET[(31 - total % 31) % 31]


@st.composite
def codes(draw: st.DrawFn) -> str:
    head = draw(st.sampled_from("159Y")) + draw(st.sampled_from("129"))
    division = draw(st.sampled_from(PROVINCES)) + draw(st.from_regex(r"[0-9]{4}", fullmatch=True))
    organisation = "".join(draw(st.lists(DIGITS_AND_LETTERS, min_size=8, max_size=8)))
    code = head + division + organisation + organisation_check(organisation)
    return code + check_character(code)


@given(code=codes())
def test_a_right_code_is_read_in_any_case_and_spacing(code: str) -> None:
    for text in (code, code.lower(), f" {code[:8]} {code[8:17]}-{code[17]} ", f"统一社会信用代码:{code}"):
        made = read_registration(text)
        assert made.key == made.shown == code
        assert made.findings == ()
    assert made.parts["division"] == code[2:8]
    assert made.parts["province"] == divisions()[code[2:4]].name


@given(code=codes(), place=st.integers(0, 17), sign=DIGITS_AND_LETTERS)
def test_every_single_wrong_character_is_found_and_placed(code: str, place: int, sign: str) -> None:
    assume(code[place] != sign)
    changed = code[:place] + sign + code[place + 1 :]
    assert place in faults(changed)
    made = read_registration(changed)
    assert made.key is None
    assert [issue.code for issue in made.findings] == ["bad_registration"]


@given(code=codes(), place=st.integers(0, 17), sign=st.characters(min_codepoint=0x21, max_codepoint=0x2FF))
def test_no_single_change_makes_another_code_of_it(code: str, place: int, sign: str) -> None:
    assert read_registration(code[:place] + sign + code[place + 1 :]).key in (None, code)


@given(code=codes(), place=st.integers(0, 16))
def test_neighbours_that_changed_places_are_found(code: str, place: int) -> None:
    assume(code[place] != code[place + 1])
    swapped = code[:place] + code[place + 1] + code[place] + code[place + 2 :]
    assert faults(swapped)


@given(code=codes(), data=st.data())
def test_letters_that_no_code_has_are_read_as_what_they_look_like(code: str, data: st.DataObject) -> None:
    alike = {"0": "O", "1": "I", "5": "S", "2": "Z"}
    places = [place for place, sign in enumerate(code) if sign in alike]
    assume(places)
    place = data.draw(st.sampled_from(places))
    made = read_registration(code[:place] + alike[code[place]] + code[place + 1 :])
    assert made.key == code
    assert [(issue.code, issue.facts["positions"]) for issue in made.findings] == [
        ("misread_registration", f"{place + 1}")
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "registration_length"),
        ("无", "registration_length"),
        ("91350100M000100Y4", "registration_length"),
        ("0" * 18, "bad_registration"),
        ("A" * 18, "bad_registration"),
        ("1" * 15, "bad_registration"),
        ("123456789", "bad_registration"),
    ],
)
def test_what_is_no_code_says_so(text: str, code: str) -> None:
    made = read_registration(text)
    assert made.key is None
    assert [issue.code for issue in made.findings] == [code]


def test_where_the_fault_lies_is_told_as_people_count() -> None:
    made = read_registration("9135O100M000101Y43").findings[0]
    assert made.text("zh-CN") == "None不是有效的登记号码,请核对第5位"
    assert read_registration("91350100M000100Y49").findings[0].facts["positions"] != "1-18"


@given(code=codes().filter(lambda code: code[:8].isdigit()), place=st.integers(8, 17), sign=DIGITS_AND_LETTERS)
def test_the_check_is_that_of_an_independent_library(code: str, place: int, sign: str) -> None:
    changed = code[:place] + sign + code[place + 1 :]
    assert uscc.is_valid(code)
    assert uscc.is_valid(changed) == (changed == code)


def test_older_numbers_are_numbers_too() -> None:
    assert read_registration("D2143569-X").parts["kind"] == "organisation"
    assert read_registration("110000013220150").key in (None, "110000013220150")


def test_every_code_of_a_public_register_is_right(shared_data: Path) -> None:
    found = set()
    for name in ("registry_pool", "truth_name_variants_dev", "look_alikes_dev"):
        with (shared_data / "cn_company_registry" / f"{name}.csv").open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                found |= {row[key] for key in ("uscc", "uscc_a", "uscc_b") if row.get(key) not in (None, "", "-")}
    assert len(found) > 4000
    assert [code for code in found if read_registration(code).key != code] == []


def test_marks_that_meet_when_others_are_left_out_come_in_one_order() -> None:
    made = read_registration("\ufdfa\u1175\u036e·\u0331")
    assert read_registration(made.shown).shown == made.shown
