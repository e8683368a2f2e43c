"""What happens to customers before, between and after merges: steps drawn by Hypothesis, and the state of a store to compare."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

import crmcore
from crmcore.domain import ENTITIES, FollowUpPlan, Money, Opportunity, Ticket
from crmcore.errors import DomainError
from crmcore.storage import Eq
from crmcore.storage.codec import CODECS, to_plain

#: What is no part of a customer's state: what happened, and what the store keeps of its own order.
LEFT_OUT = ("event", "chain", "number_series", "setting", "absent_record", "alias")
STAMPS = ("version", "updated_at", "updated_by")


def state(crm: crmcore.CRM) -> dict[str, dict[str, Any]]:
    """Every record but for its version and when it was changed."""
    with crm.store.transaction() as transaction:
        return {
            cls.entity: {
                row[0]: {
                    field.name: value
                    for field, value in zip(CODECS[cls].collection.fields, row, strict=True)
                    if field.name not in STAMPS
                }
                for row in transaction.scan(cls.collection)
            }
            for cls in ENTITIES
            if cls.entity not in LEFT_OUT
        }


def reports(me: crmcore.Session) -> dict[str, Any]:
    """What every report says."""
    told = me.reports
    found = (
        told.overview(),
        told.funnel(),
        told.customer_funnel(),
        told.forecast(),
        told.due(),
        told.duties(),
        told.service(),
        told.risk(),
        told.quality(),
        told.activity(),
    )
    return {
        type(one).__name__: to_plain([table.rows for table in getattr(one, "tables", None) or [one.table]])
        for one in found
    }


def assert_in_step(me: crmcore.Session) -> None:
    """What is owed is what follows from what happened, and the store is whole."""
    found = me.obligations.recompute(dry_run=True)
    assert (found.begun, found.changed, found.gone) == (0, 0, 0)
    checked = me.crm.check()
    assert not checked.findings


PLACES = st.integers(0, 3)
WORDS = st.sampled_from(["展会", "", "a b", "推广  x", "陈"])
AMOUNTS = st.sampled_from([None, Money.of(5), Money.of(7), Money.of(1, "USD")])
CUSTOMER_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "industry": WORDS,
        "remarks": WORDS,
        "tags": st.lists(st.sampled_from("xyz"), max_size=2),
        "tier": st.sampled_from(["A", "B", None]),
        "budget": AMOUNTS,
        "urgency": st.sampled_from(["high", "low", None]),
        "first_contact_on": st.sampled_from([None, datetime.date(2023, 9, 1), datetime.date(2023, 9, 5)]),
        "custom": st.dictionaries(st.sampled_from("pq"), st.integers(0, 2), max_size=2),
    },
)
#: A step: what is done, to which customer, with which of its records, and what with.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["update", "contact", "phone", "log", "log_plan", "plan", "cancel", "opportunity", "deal", "win", "instalment", "ticket",
             "answer", "feedback", "objection", "referral", "attach", "action", "waive", "assign", "move"]
        ),
        PLACES,
        st.integers(0, 3),
        CUSTOMER_FIELDS,
    ),
    max_size=12,
)  # fmt: skip


def run(me: crmcore.Session, clock: Any, names: list[str], steps: list[tuple[str, int, int, dict[str, Any]]]) -> None:
    """Takes the steps, as far as the rules allow them."""
    for what, place, index, fields in steps:
        clock.forward(hours=7, milliseconds=3)
        with contextlib.suppress(DomainError):
            STORIES[what](me, names[place % len(names)], index, fields, names)


def _some(found: Any, index: int) -> Any:
    found = list(found)
    if not found:
        raise DomainError("there is none")
    return found[index % len(found)]


Story = Callable[[crmcore.Session, str, int, dict[str, Any], list[str]], Any]


def _tickets(me: crmcore.Session, customer: str) -> list[Ticket]:
    found = me.customers.get(customer)
    return me.tickets.listed(Ticket, Eq("customer_id", found.id))


def _opportunities(me: crmcore.Session, customer: str) -> list[Opportunity]:
    found = me.customers.get(customer)
    return me.tickets.listed(Opportunity, Eq("customer_id", found.id))


def _plans(me: crmcore.Session, customer: str) -> list[FollowUpPlan]:
    found = me.customers.get(customer)
    return me.tickets.listed(FollowUpPlan, Eq("customer_id", found.id))


DAY = datetime.date(2023, 10, 20)
STORIES: dict[str, Story] = {
    "update": lambda me, one, index, fields, names: me.customers.update(one, **fields),
    "contact": lambda me, one, index, fields, names: me.contacts.add(
        one, name=f"王{index}", phone=f"1380013800{index}"
    ),
    "phone": lambda me, one, index, fields, names: me.contacts.update(
        _some(me.contacts.of(one), index), phones=[f"1390013800{index}"]
    ),
    "log": lambda me, one, index, fields, names: me.follow_ups.log(one, summary=f"说{index}", method="phone"),
    "log_plan": lambda me, one, index, fields, names: me.follow_ups.log(
        one, summary="按计划", plan=_some(_plans(me, one), index)
    ),
    "plan": lambda me, one, index, fields, names: me.plans.add(one, due_on=DAY + datetime.timedelta(days=index)),
    "cancel": lambda me, one, index, fields, names: me.plans.cancel(_some(_plans(me, one), index), reason="出差"),
    "opportunity": lambda me, one, index, fields, names: me.opportunities.open(name=f"机会{index}", customer=one),
    "deal": lambda me, one, index, fields, names: me.orders.sign(
        one, number=f"HT-{one}-{index}", opportunity=_some([*_opportunities(me, one), None], index), amount=Money.of(9)
    ),
    "win": lambda me, one, index, fields, names: me.opportunities.move(
        _some(_opportunities(me, one), index), _some(me.crm.playbook.pipelines.values(), 0).keys[index + 1]
    ),
    "instalment": lambda me, one, index, fields, names: me.orders.add_instalment(
        _some(me.orders.of(one), index), due_on=DAY, amount=Money.of(1)
    ),
    "ticket": lambda me, one, index, fields, names: me.tickets.open(one, subject=f"问题{index}"),
    "answer": lambda me, one, index, fields, names: me.tickets.answer(_some(_tickets(me, one), index)),
    "feedback": lambda me, one, index, fields, names: me.feedback.receive(one, description="慢", type="complaint"),
    "objection": lambda me, one, index, fields, names: me.objections.raise_(
        one, description="贵", opportunity=_some(_opportunities(me, one), index)
    ),
    "referral": lambda me, one, index, fields, names: me.referrals.make(
        one, referred=names[index % len(names)], source="饭局"
    ),
    "attach": lambda me, one, index, fields, names: me.attachments.add(one, name=f"合同{index}.pdf"),
    "action": lambda me, one, index, fields, names: me.action_plans.add("回访", customer=one, due_on=DAY),
    "waive": lambda me, one, index, fields, names: me.obligations.waive(
        _some(me.obligations.of(one), index), reason="暂停"
    ),
    "assign": lambda me, one, index, fields, names: me.customers.assign(one, f"user{index}"),
    "move": lambda me, one, index, fields, names: me.customers.move(
        one, me.crm.playbook.lifecycle.keys[index], reason="说明"
    ),
}
