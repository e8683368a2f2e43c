"""A person's life in a store: every kind of record, with a word that is found again wherever it is left."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import crmcore
from crmcore.domain import ENTITIES

#: Whatever stands in a field of the person's. Plain letters and digits, so that no form of a file hides them.
CANARY = "qzkanari"
PHONE, EMAIL, WECHAT = "13800138777", f"{CANARY}@example.com", f"wxid_{CANARY}"
NAME = f"{CANARY}女士"


def lived(me: crmcore.Session) -> crmcore.Customer:
    """A person with every kind of record, and another customer beside it."""
    other = me.customers.register(
        name="旁观有限公司", industry="制造业", contacts=[{"name": "李四", "phones": ["13900139000"]}]
    )
    person = me.customers.register(
        name=NAME,
        kind="individual",
        short_name=f"{CANARY}s",
        address=f"{CANARY}路1号",
        core_need=f"{CANARY}需求",
        remarks=f"{CANARY} {PHONE}",
        decision_makers=[NAME],
        tags=[CANARY],
        custom={"hobby": CANARY},
        contacts=[{"name": NAME, "phones": [PHONE], "emails": [EMAIL], "wechat": WECHAT, "remarks": CANARY}],
    )
    me.follow_ups.log(
        person, summary=f"{NAME}说", participants=[NAME], feedback=CANARY, objection=CANARY, method="phone",
        next_step=CANARY, next_on=datetime.date(2023, 10, 12),
    )  # fmt: skip
    me.plans.add(person, due_on=datetime.date(2023, 10, 20), goal=CANARY, remarks=CANARY)
    me.customers.update(person, remarks=f"又是{CANARY}", reason=f"{NAME}要求")
    deal = me.opportunities.open(name=f"{CANARY}订单", customer=person, expected_amount=crmcore.Money.of(5000))
    me.objections.raise_(person, description=CANARY, type="price", opportunity=deal)
    ticket = me.tickets.open(person, subject=CANARY, description=CANARY).id
    me.tickets.answer(ticket)
    me.tickets.wait(ticket, reason=CANARY)
    me.feedback.receive(person, description=CANARY)
    me.attachments.add(person, name=f"{CANARY}.pdf", place=f"/scans/{CANARY}.pdf")
    me.referrals.make(other, referred=person, referred_on=datetime.date(2023, 10, 9))
    me.referrals.make(person, referred_name=CANARY, referred_reach=PHONE, referred_on=datetime.date(2023, 10, 9))
    me.action_plans.add(f"联系{NAME}", customer=person, owner="hua", due_on=datetime.date(2023, 11, 1))
    me.obligations.waive(me.obligations.of(person)[0], reason=f"{NAME}出国")
    return me.customers.get(person)


def everything(crm: crmcore.CRM) -> Iterator[tuple[str, Any]]:
    with crm.store.transaction() as transaction:
        for cls in ENTITIES:
            for row in transaction.scan(cls.collection):
                yield cls.collection, row
