"""Edits as a store with readers of its own gives them, and a world of records to edit."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import crmcore
from crmcore import Money
from crmcore.app.presenting import presentation_of
from crmcore.interchange.headers import column_letters
from crmcore.storage.codec import SCHEMA
from crmcore.storage.memory import MemoryData, MemoryStore
from crmcore.storage.presentation import CellEdit, Edit, Presentation
from crmcore.storage.schema import Row

DAY = datetime.date(2023, 10, 9)
_marks = itertools.count(1)


class EditedStore(MemoryStore):
    """A store in memory that people open, too: it holds what they changed until it is told that it was looked at."""

    def __init__(self, data: MemoryData | None = None, edits: Sequence[Edit] = ()) -> None:
        super().__init__(data or MemoryData(SCHEMA))
        self.given = tuple(edits)
        self.presented: Presentation | None = None
        self.settled = 0

    def present(self, presentation: Presentation) -> None:
        self.presented = presentation

    def edits(self) -> Sequence[Edit]:
        return self.given

    def settle_edits(self) -> None:
        self.given = ()
        self.settled += 1


def rows_of(crm: crmcore.CRM) -> dict[str, dict[str, Row]]:
    """Everything in a store, without the marks of what was taken in, the report on it, and the salts and digests of the log."""
    return crm.read(
        lambda work: {
            name: {str(row[0]): row[:-3] if name == "events" else row for row in work.scan(name) if row[0] != "edits"}
            for name in crm.store.schema.collections
            if name not in ("imported_rows", "chains")
        }
    )


def changed(crm: crmcore.CRM, collection: str, id: str, /, row: int = 2, **after: Any) -> Edit:
    """A person's edit of some cells of a row that is there."""
    shape = crm.store.schema.collection(collection)
    kept = crm.read(lambda work: work.get(collection, id))
    before = {name: kept[shape.position(name)] for name in after}
    return _edit("changed", crm, collection, id, row, before, after)


def added(crm: crmcore.CRM, collection: str, /, row: int = 9, **after: Any) -> Edit:
    """A row that a person added."""
    return _edit("added", crm, collection, None, row, dict.fromkeys(after), after)


def removed(collection: str, id: str) -> Edit:
    """A row that a person removed."""
    return Edit(mark=f"mark {next(_marks)}", kind="removed", collection=collection, id=id, row=0)


def _edit(
    kind: Any,
    crm: crmcore.CRM,
    collection: str,
    id: str | None,
    row: int,
    before: dict[str, Any],
    after: dict[str, Any],
) -> Edit:
    sheet = presentation_of(crm.playbook).sheets.get(collection)
    columns = list(sheet.fields) if sheet else []
    title = sheet.title if sheet else collection
    cells = tuple(
        CellEdit(
            field=name,
            place=f"{title}!{column_letters(columns.index(name) + 1 if name in columns else 99)}{row}",
            before=before[name],
            after=value,
        )
        for name, value in after.items()
    )
    return Edit(mark=f"mark {next(_marks)}", kind=kind, collection=collection, id=id, row=row, cells=cells)


def open_edited(store: EditedStore, clock: Callable[[], datetime.datetime], **options: Any) -> crmcore.CRM:
    """A CRM on such a store, with counted ids that don't meet those of another opening."""
    start = 1 + 10_000 * next(_marks)
    counter = itertools.count(start)
    ids = lambda: f"00000000-0000-7000-8000-{next(counter):012}"  # noqa: E731
    return crmcore.open(store, "standard", clock=clock, ids=ids, **options)


class World:
    """One or more records of every kind, by name."""

    def __init__(self, crm: crmcore.CRM) -> None:
        me = crm.acting_as("sales.east")
        person = {"name": "联系人甲", "phones": ("13800138000",), "emails": ("a@example.com",)}
        common: dict[str, Any] = {"industry": "制造业", "scale": "small_medium", "core_need": "采购办公设备"}
        self.customer = me.customers.register(name="示例科技有限公司", contacts=[person], tier="B", **common)
        self.other = me.customers.register(name="样本贸易有限公司", contacts=[person], **common)
        self.held = me.customers.register(name="范例实业有限公司", contacts=[person], **common)
        self.held = me.tiers.set(self.held, "A", reason="总部要求", until=datetime.date(2024, 1, 31))
        (self.contact,) = me.contacts.of(self.customer)
        self.plan = me.plans.add(self.customer, due_on=datetime.date(2023, 10, 20), goal="报价")
        self.follow_up = me.follow_ups.log(self.customer, summary="首次拜访", method="visit")
        amount = Money.of("50000")
        self.deal = me.opportunities.open(name="办公设备采购", customer=self.customer, expected_amount=amount)
        self.loose = me.opportunities.open(name="尚无客户的机会")
        self.order = me.orders.sign(self.customer, number="DD-1", amount=amount)
        half = {"due_on": datetime.date(2023, 12, 1), "amount": Money.of("25000")}
        self.parts = me.orders.sign(self.customer, number="DD-2", instalments=[half, half])
        self.instalment = me.orders.instalments(self.parts)[0]
        self.small = me.orders.sign(self.customer, number="DD-3", amount=amount)
        self.ticket = me.tickets.open(self.customer, subject="设备无法启动")
        self.solved = me.tickets.solve(me.tickets.open(self.customer, subject="发票"), "已补开")
        self.feedback = me.feedback.receive(self.customer, description="响应太慢")
        self.answered = me.feedback.answer(me.feedback.receive(self.customer, description="咨询"), "已说明")
        self.objection = me.objections.raise_(self.customer, description="价格偏高", type="price")
        self.solution = me.objections.answer(me.objections.raise_(self.customer, description="担心售后"), "延长质保")
        self.referral = me.referrals.make(self.customer, referred_name="样本贸易有限公司", incentive="礼品卡")
        won = me.customers.register(name="成交示例有限公司", contacts=[person], stage="customer", **common)
        self.succeeded = me.referrals.make(self.customer, referred=won, incentive="礼品卡")
        self.attachment = me.attachments.add(self.customer, name="名片.png")
        self.action = me.action_plans.add("拜访前十大客户", owner="sales.east")
