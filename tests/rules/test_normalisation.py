"""The plain normaliser, which every country's builds on, and the keys by which a customer is found again."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmcore.domain import Contact, Customer
from crmcore.rules.normalisation import Normaliser, PlainNormaliser, half_width, match_keys, without_blanks
from crmcore.testing.strategies import contacts, customers

PLAIN = PlainNormaliser()
FORMS = ("phone", "email", "wechat", "registration", "company_name", "person_name", "address", "industry")

ASCII = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=30)
WRITTEN = st.one_of(st.text(max_size=40), ASCII, st.from_regex(r"[-+() \d转x.]{5,20}", fullmatch=True), st.emails())


def wide(text: str) -> str:
    """The text in full-width forms, as Chinese keyboards write it."""
    return "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in text)


@pytest.mark.parametrize("form", FORMS)
@given(text=WRITTEN)
def test_what_is_shown_has_the_key_that_the_text_had(form: str, text: str) -> None:
    made = getattr(PLAIN, form)(text)
    assert made.original == text
    assert made.key is None or made.key
    again = getattr(PLAIN, form)(made.shown)
    assert (again.key, again.shown) == (made.key, made.shown)


@pytest.mark.parametrize("form", FORMS)
@given(text=WRITTEN.filter(str.isascii))
def test_full_width_is_half_width(form: str, text: str) -> None:
    assert getattr(PLAIN, form)(wide(text)).key == getattr(PLAIN, form)(text).key
    assert PLAIN.short_code(wide(text)) == PLAIN.short_code(text)


@given(text=st.text())
def test_half_width_text_has_nothing_to_take_away(text: str) -> None:
    assert half_width(half_width(text)) == half_width(text)


def test_a_mark_joins_its_letter_when_what_stood_between_is_taken_away() -> None:
    assert half_width("a\u200b\u0301") == "á"
    assert without_blanks("U\u00a8") == "Ü"


@given(customer=customers(), contact=contacts())
def test_keys_are_of_the_known_kinds_and_each_comes_once(customer: Customer, contact: Contact) -> None:
    keys = match_keys(customer, PLAIN)
    assert {kind for kind, _ in keys} <= {"uscc", "name"}
    assert (customer.kind == "individual") <= ("name" not in dict(keys))
    assert {kind for kind, _ in match_keys(contact, PLAIN)} <= {"phone", "email", "wechat"}
    assert len(set(keys)) == len(keys)


def test_people_who_are_reached_alike_share_keys_however_that_is_written(contact: Contact) -> None:
    other = contact.replace(phones=("１３８ 0013 8000",), emails=("LI.ming@Example.cn",), wechat="LiMing_01")
    assert match_keys(contact, PLAIN) == match_keys(other, PLAIN)
    assert match_keys(contact, PLAIN) == (
        ("phone", "13800138000"),
        ("email", "li.ming@example.cn"),
        ("wechat", "liming_01"),
    )


@given(phones=st.lists(st.sampled_from(["138-0013-8000", "13800138000", "010 88886666"]), max_size=3))
def test_the_order_in_which_numbers_are_listed_decides_nothing_but_the_order_of_keys(phones: list[str]) -> None:
    made = [match_keys(person(tuple(order)), PLAIN) for order in permutations(phones)]
    assert len({frozenset(keys) for keys in made}) == 1


def person(phones: tuple[str, ...]) -> Contact:
    stamps = dict.fromkeys(("created_at", "updated_at"), datetime(2026, 1, 1, tzinfo=UTC))
    by = dict.fromkeys(("created_by", "updated_by"), "li.ming")
    return Contact(id="c1", version=1, customer_id="x", name="李明", phones=phones, **stamps, **by)


@pytest.fixture
def contact() -> Contact:
    return person(("13800138000",)).replace(emails=("li.ming@example.cn",), wechat="liming_01")


def test_what_can_t_be_read_gives_no_key_and_says_so() -> None:
    for made in (PLAIN.phone("see card"), PLAIN.email("li.ming at example")):
        assert made.key is None
        assert [issue.level for issue in made.findings] == ["warning"]


def test_a_country_s_own_forms_are_used_for_keys(contact: Contact) -> None:
    class Island(Normaliser):
        key = "island"

        def email(self, text):
            return super().email(text.replace("(at)", "@"))

    assert match_keys(contact.replace(emails=("li.ming(at)example.cn",)), Island()) == match_keys(contact, PLAIN)
