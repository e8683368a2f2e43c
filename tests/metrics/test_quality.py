"""Completeness and timely updates of the customers' files."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from sales import NOW, STAMPS

from crmcore.domain import Contact, Customer, FollowUp, Money
from crmcore.metrics import quality
from crmcore.playbooks import load

REGISTRATION, STANDARD = load("registration"), load("standard")


def customer(id: str, **fields: Any) -> Customer:
    return Customer(
        id=id, **{"number": id, "name": "示例", "stage": "prospect", "stage_since": NOW, **STAMPS, **fields}
    )


def contact(id: str, customer_id: str, **fields: Any) -> Contact:
    return Contact(id=id, customer_id=customer_id, name="联系人", **{**STAMPS, **fields})


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["enterprise", "individual"]),
            st.sampled_from([None, "制造业"]),
            st.booleans(),
            st.booleans(),
            st.sampled_from([None, "east", "west"]),
        ),
        max_size=10,
    )
)
def test_completeness_is_what_is_filled_of_what_is_asked(
    drawn: list[tuple[str, str | None, bool, bool, str | None]],
) -> None:
    people, customers = [], []
    asked = filled = complete = 0
    for index, (kind, industry, phone, email, owner) in enumerate(drawn):
        id = str(index)
        customers.append(customer(id, kind=kind, industry=industry, owner=owner))
        if phone:
            people.append(contact(f"p{id}", id, phones=["13800138000"]))
        if email:
            people.append(contact(f"e{id}", id, emails=["contact@example.com"]))
        needed = [True, True, phone, email, *([industry is not None] if kind == "enterprise" else [])]
        asked, filled, complete = asked + len(needed), filled + sum(needed), complete + all(needed)
    found = quality(iter(customers), iter(people), REGISTRATION)
    assert (found.customers, found.asked, found.filled, found.complete) == (len(drawn), asked, filled, complete)
    assert found.completeness == (filled / asked if asked else None)
    for rows in (found.fields, *found.slices.values()):
        assert (sum(one.asked for one in rows), sum(one.filled for one in rows)) == (asked, filled)
        assert len({one.key for one in rows}) == len(rows)
    assert json.dumps(found.to_plain())
    assert all(table.to_text("zh-CN") for table in found.tables)


def test_what_is_to_be_completed_after_a_deal_is_asked_of_won_customers_alone() -> None:
    made = [customer("a"), customer("b", stage="customer", first_deal_amount=Money(100))]
    found = {one.key: (one.filled, one.asked) for one in quality(made, [], STANDARD).fields}
    assert found == {
        "customer.name": (2, 2),
        "customer.contract_expires_on": (0, 1),
        "customer.first_deal_amount": (1, 1),
        "customer.service_contact": (0, 1),
    }


def test_an_update_is_timely_within_24_hours_and_imports_are_not_timed() -> None:
    def told(id: str, **late: float) -> FollowUp:
        given = {**STAMPS, "created_at": NOW + timedelta(**late)}
        return FollowUp(id=id, customer_id="a", at=NOW, summary="沟通", **given)

    made = [told("a", hours=24), told("b", hours=24, milliseconds=1), told("c", hours=90)]
    found = quality([], [], STANDARD, follow_ups=made, imported_ids={"c"})
    assert (found.timely, found.timed, found.timely_rate) == (1, 2, 0.5)
    assert quality([], [], STANDARD).timely_rate is None
