"""What looks wrong and is kept all the same: every finding is a warning that can be read in both languages."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmcore.domain import Contact, Customer
from crmcore.playbooks import load
from crmcore.rules.findings import contact_findings, customer_findings
from crmcore.rules.normalisation import Normalised, Normaliser, PlainNormaliser, finding
from crmcore.testing.strategies import contacts, customers

PLAYBOOK = load("registration")
PLAIN = PlainNormaliser()


class Country(Normaliser):
    """A country of two provinces, which every text begins with, and where companies end in Ltd."""

    key = "country"

    def _placed(self, text: str) -> Normalised:
        province, _, rest = text.partition(" ")
        findings = () if rest else (finding("unknown_industry", standard="X"),)
        return Normalised(original=text, key=text, shown=text, parts={"province": province}, findings=findings)

    def address(self, text: str) -> Normalised:
        return self._placed(text)

    def registration(self, text: str) -> Normalised:
        return self._placed(text)

    def phone(self, text: str, *, area: str | None = None) -> Normalised:
        return self._placed(text)

    def is_company(self, text: str) -> bool:
        return text.endswith("Ltd")


def found(
    values: dict[str, Any], *people: dict[str, Any], normaliser: Normaliser = PLAIN
) -> list[tuple[str, str, str | None]]:
    issues = customer_findings(values, people, PLAYBOOK, normaliser)
    return [(issue.code, str(issue.field), issue.facts.get("other")) for issue in issues]


@given(customer=customers(), people=st.lists(contacts(), max_size=2))
def test_findings_are_warnings_of_fields_that_are(customer: Customer, people: list[Contact]) -> None:
    told = [attrs.asdict(one, recurse=False) for one in (customer, *people)]
    for normaliser in (PLAIN, Country()):
        for issue in customer_findings(told[0], told[1:], PLAYBOOK, normaliser):
            assert issue.level == "warning"
            entity, _, name = str(issue.field).partition(".")
            assert name in {"customer": Customer, "contact": Contact}[entity].kinds
            assert issue.text("en")
            assert issue.text("zh-CN")


JUNK = st.one_of(
    st.none(), st.integers(), st.text(max_size=5), st.binary(max_size=2), st.lists(st.integers(), max_size=2)
)


@given(
    values=st.dictionaries(st.sampled_from(sorted(Customer.kinds)), JUNK),
    person=st.dictionaries(st.sampled_from(sorted(Contact.kinds)), JUNK),
)
def test_what_is_no_value_of_its_field_is_passed_over(values: dict[str, Any], person: dict[str, Any]) -> None:
    customer_findings(values, [person], PLAYBOOK, Country())
    contact_findings(person, Country())


@pytest.mark.parametrize("need", ["需要产品", "需要产品。", " 需要 产品!!", "「需要产品」", "Needs a product."])
def test_a_vague_need_is_vague_with_any_signs_around_it(need: str) -> None:
    assert found({"core_need": need}) == [("vague", "customer.core_need", None)]


def test_a_need_that_says_more_is_not_vague() -> None:
    assert found({"core_need": "需要产品A的批量报价"}) == []


@pytest.mark.parametrize(
    ("values", "field", "other"),
    [
        (
            {"first_contact_on": date(2024, 3, 2), "last_follow_up_at": datetime(2024, 3, 1, 15, 59, tzinfo=UTC)},
            "customer.last_follow_up_at",
            "customer.first_contact_on",
        ),
        (
            {"contract_signed_on": date(2024, 3, 2), "contract_expires_on": date(2024, 3, 1)},
            "customer.contract_expires_on",
            "customer.contract_signed_on",
        ),
        ({"kind": "individual", "uscc": "East 1"}, "customer.kind", "customer.uscc"),
        ({"kind": "individual", "name": "Example Ltd"}, "customer.kind", "customer.name"),
        ({"scale": "small_medium", "headcount_low": 5000}, "customer.scale", "customer.headcount_low"),
        ({"address": "East street", "uscc": "West 1"}, "customer.uscc", "customer.address"),
    ],
)
def test_two_fields_that_can_t_both_be_true(values: dict[str, Any], field: str, other: str) -> None:
    assert found(values, normaliser=Country()) == [("contradiction", field, other)]


def test_what_goes_together_is_no_contradiction() -> None:
    same_day = {"first_contact_on": date(2024, 3, 2), "last_follow_up_at": datetime(2024, 3, 1, 16, 0, tzinfo=UTC)}
    assert found(same_day) == []  # midnight in Shanghai
    assert found({"scale": "large", "headcount_low": 1000}) == []
    assert found({"scale": "sole_trader", "headcount_low": 3}) == []
    assert found({"kind": "individual", "name": "Example"}, normaliser=Country()) == []
    assert (
        found({"address": "East street", "uscc": "East 1"}, {"phones": ("West 1", "East 2")}, normaliser=Country())
        == []
    )


def test_each_field_is_held_against_the_most_telling_one() -> None:
    phones = {"phones": ("West 1",)}
    expected = [("contradiction", "contact.phones", "customer.address")]
    assert found({"address": "East street", "uscc": "East 1"}, phones, normaliser=Country()) == expected
    assert found({"address": "East street"}, phones, phones, normaliser=Country()) == expected


def test_what_a_form_finds_is_told_of_its_field() -> None:
    assert found({"uscc": "x"}, {"emails": ("nobody",), "phones": ("12",)}) == [
        ("bad_phone", "contact.phones", None),
        ("bad_email", "contact.emails", None),
    ]
    assert found({"uscc": "x"}, normaliser=Country()) == [("unknown_industry", "customer.uscc", None)]
