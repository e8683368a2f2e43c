"""Masks show what people know by sight and never the value itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmcore.domain import Contact, Customer
from crmcore.rules import masking
from crmcore.rules.masking import masked

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("mask", "value", "shown"),
    [
        (masking.mask_phone, "18049531999", "180****1999"),
        (masking.mask_phone, "+86 138 1234 5678", "+86138****5678"),
        (masking.mask_phone, "010-62345678", "010-******78"),
        (masking.mask_phone, "0571-8765432", "0571-*****32"),
        (masking.mask_phone, "62345678", "******78"),
        (masking.mask_phone, "110", "***"),
        (masking.mask_email, "duandazhi@126.com", "d********@126.com"),
        (masking.mask_email, "a@b.cn", "*@b.cn"),
        (masking.mask_name, "段正淳", "段**"),
        (masking.mask_name, "李四", "李*"),
        (masking.mask_name, "李", "*"),
        (masking.mask_code, "91110000600037341L", "91**************1L"),
        (masking.mask_code, "wxid_x", "w****x"),
        (masking.mask_code, "ab", "***"),
        (masking.mask_address, "北京市海淀区中关村大街1号院2号楼", "北京市海***"),
        (masking.mask_address, "上海", "***"),
        (masking.mask_text, "报价偏高", "报***"),
        (masking.mask_text, "高", "***"),
        (masking.mask_reach, "duandazhi@126.com", "d********@126.com"),
        (masking.mask_reach, "微信13812345678", "微信138****5678"),
    ],
)
def test_masks_have_the_forms_that_people_know(mask, value: str, shown: str) -> None:
    assert mask(value) == shown


@given(TEXTS)
def test_a_mask_is_never_the_value(value: str) -> None:
    for cls in (Customer, Contact):
        for name, kind in cls.kinds.items():
            if kind.name == "text":
                assert masked(name, kind, value) not in (value, "")
            elif kind.name == "texts":
                assert value not in masked(name, kind, (value,))
    assert masking.mask_custom(value) != value


@given(st.from_regex(r"1[3-9]\d{9}", fullmatch=True))
def test_the_middle_four_of_a_mobile_number_are_gone(number: str) -> None:
    shown = masking.mask_phone(number)
    assert shown == f"{number[:3]}****{number[7:]}"


@given(st.from_regex(r"(0\d{2,3}-)?\d{5,8}", fullmatch=True))
def test_a_landline_keeps_its_area_and_two_digits_at_most(number: str) -> None:
    shown = masking.mask_phone(number)
    assert len(shown) == len(number)
    assert shown.count("*") >= len(number.rpartition("-")[2]) - 2


@given(TEXTS)
def test_at_least_half_of_a_text_is_covered(value: str) -> None:
    for mask in (masking.mask_code, masking.mask_name, masking.mask_text):
        shown = sum(one == other for one, other in zip(value, mask(value), strict=False) if one != "*")
        assert shown <= max(
            len(value) // 2, len(value) - 1 if mask is masking.mask_name and len(value) == 1 else len(value) // 2
        )


def test_what_is_no_text_shows_nothing() -> None:
    assert masked("headcount_low", Customer.kinds["headcount_low"], 12) is None
    assert masked("decision_maker", Contact.kinds["decision_maker"], True) is False
    assert masking.mask_custom(7) is None
    assert masked("remarks", Customer.kinds["remarks"], None) is None
