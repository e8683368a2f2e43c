"""Entities: frozen, cleaned, all errors at once; the generated copy agrees with the plain way."""

from __future__ import annotations

import datetime
import pickle

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crmcore.domain import ENTITIES, Customer, Money
from crmcore.domain.fields import FIRST_DAY, LAST_DAY, MAX_TEXT
from crmcore.domain.values import FrozenMap, fold
from crmcore.errors import Invalid

NOW = datetime.datetime(2024, 2, 29, 8, 30, tzinfo=datetime.UTC)
BASE = {"id": "1", "created_at": NOW, "created_by": "a", "updated_at": NOW, "updated_by": "a"}


def a_customer(**values) -> Customer:
    return Customer(**{**BASE, "number": "C1", "name": "示例", "stage": "lead", "stage_since": NOW, **values})


TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn")), max_size=20)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "address": st.none() | TEXTS,
        "tags": st.lists(TEXTS, max_size=3),
        "urgency": st.sampled_from([None, "high", "medium", "low"]),
        "headcount_low": st.none() | st.integers(0, 2**63 - 1),
        "contract_amount": st.none() | st.builds(Money, st.integers(0, 2**63 - 1), st.just("CNY")),
        "first_contact_on": st.none() | st.dates(FIRST_DAY, LAST_DAY),
        "last_follow_up_at": st.none()
        | st.datetimes(datetime.datetime(1901, 1, 1), datetime.datetime(8999, 1, 1), timezones=st.timezones()),
        "custom": st.dictionaries(st.from_regex("[a-z]{1,5}", fullmatch=True), st.none() | st.booleans() | TEXTS),
    },
)


@given(CHANGES, CHANGES)
def test_replace_agrees_with_building_anew(first, second):
    customer = a_customer(**first)
    plain = {field.name: getattr(customer, field.name) for field in attrs.fields(Customer)}
    assert customer.replace(**second) == Customer(**{**plain, **second})
    assert customer == a_customer(**first)


@given(CHANGES)
def test_cleaning_twice_is_cleaning_once(values):
    customer = a_customer(**values)
    again = customer.replace(**{name: getattr(customer, name) for name in values})
    assert again == customer
    assert pickle.loads(pickle.dumps(customer)) == customer


@pytest.mark.parametrize("cls", ENTITIES, ids=lambda cls: cls.entity)
def test_nothing_in_an_entity_can_be_set(cls):
    entity = object.__new__(cls)
    for name in cls.kinds:
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(entity, name, 1)
    assert not hasattr(entity, "__dict__")


@pytest.mark.parametrize("cls", ENTITIES, ids=lambda cls: cls.entity)
def test_everything_that_is_missing_is_named_at_once(cls):
    with pytest.raises(Invalid) as caught:
        cls()
    required = {f"{cls.entity}.{name}" for name, kind in cls.kinds.items() if kind.required}
    assert {issue.field for issue in caught.value.issues} == required


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("name", None, "required"),
        ("name", " \u3000 ", "required"),
        ("name", 7, "bad_type"),
        ("name", "a\x00b", "bad_text"),
        ("name", "a\ud800b", "bad_text"),
        ("name", "x" * (MAX_TEXT + 1), "too_long"),
        ("name", "😀" * (MAX_TEXT // 2 + 1), "too_long"),
        ("kind", "robot", "bad_choice"),
        ("headcount_low", True, "bad_type"),
        ("headcount_low", 1.0, "bad_type"),
        ("headcount_low", 2**63, "out_of_range"),
        ("headcount_low", -1, "out_of_range"),
        ("contract_amount", Money(-1), "out_of_range"),
        ("contract_amount", 12.5, "bad_money"),
        ("first_contact_on", NOW, "bad_date"),
        ("first_contact_on", "2024-01-01", "bad_date"),
        ("first_contact_on", datetime.date(9999, 12, 31), "out_of_range"),
        ("last_follow_up_at", datetime.datetime(1, 1, 1, tzinfo=datetime.UTC), "out_of_range"),
        ("last_follow_up_at", datetime.datetime(2024, 1, 1), "naive_time"),
        ("tags", "one", "bad_type"),
        ("custom", {5: "x"}, "bad_type"),
        ("custom", "x", "bad_type"),
        ("nonsense", 1, "unknown_field"),
    ],
)
def test_what_a_field_refuses(field, value, code):
    with pytest.raises(Invalid) as caught:
        a_customer(**{field: value})
    assert [(issue.code, issue.field) for issue in caught.value.issues] == [(code, f"customer.{field}")]


def test_every_custom_value_at_fault_is_named():
    with pytest.raises(Invalid) as caught:
        a_customer(custom={"x": 1.5, "y": "fine", "z": "a\x00b"})
    found = [(issue.code, issue.field) for issue in caught.value.issues]
    assert found == [("bad_type", "customer.x"), ("bad_text", "customer.z")]


@pytest.mark.parametrize("amount", [19.99, 1.0, True, None, [], (0, (1,), 0)])
def test_an_amount_is_exact_or_refused_as_what_it_is(amount):
    with pytest.raises(ValueError, match="given as text, as a whole number or as a Decimal"):
        Money.of(amount)


def test_text_is_kept_as_every_store_can_keep_it():
    customer = a_customer(name=" Cafe\u0301\u00a0A ", address="a\r\nb\tc", short_name="  ")
    assert (customer.name, customer.address, customer.short_name) == ("Café A", "a\nb\tc", None)


def test_instants_are_utc_in_milliseconds():
    east = datetime.timezone(datetime.timedelta(hours=8))
    customer = a_customer(last_follow_up_at=datetime.datetime(2024, 1, 1, 8, 0, 0, 123_999, tzinfo=east))
    assert customer.last_follow_up_at == datetime.datetime(2024, 1, 1, 0, 0, 0, 123_000, tzinfo=datetime.UTC)


@given(st.text())
@example("T¨")
def test_folding_is_settled_after_once(text):
    assert fold(fold(text)) == fold(text)
    assert fold(text.upper().lower()) == fold(text.lower())


@given(st.integers(-(10**15), 10**15), st.sampled_from(["CNY", "JPY", "KWD"]))
def test_money_comes_back_from_its_amount(minor, currency):
    money = Money(minor, currency)
    assert Money.of(money.amount, currency) == money
    assert Money.of(str(money.amount), currency) == money


def test_money_is_never_rounded_in_silence():
    with pytest.raises(ValueError, match="decimals"):
        Money.of("0.001", "CNY")
    assert Money.of("0.005", "CNY", rounded=True) == Money(1)
    with pytest.raises(ValueError, match="currencies"):
        Money(1, "CNY") + Money(1, "USD")
    with pytest.raises(ValueError, match="minor units"):
        Money(1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="letters"):
        Money(1, "yuan")


def test_a_frozen_map_is_a_value():
    one = FrozenMap({"a": 1})
    assert one == {"a": 1}
    assert hash(one) == hash(FrozenMap({"a": 1}))
    assert one != FrozenMap({"a": 2})
    with pytest.raises(TypeError):
        one["a"] = 2  # type: ignore[index]
