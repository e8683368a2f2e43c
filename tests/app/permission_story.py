"""One customer with everything that can hang on it, a word nobody else uses in each field, and every use case tried on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import crmcore
from crmcore.domain import ENTITIES, Money, Record
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Transaction
from crmcore.storage.query import Query

OWNER = "东一"
#: Who acts: name to roles, department, active.
ACTORS: Mapping[str, tuple[tuple[str, ...], str | None, bool]] = {
    OWNER: (("sales",), "东区", True),
    "东二": (("sales",), "东区", True),
    "西一": (("sales",), "西区", True),
    "客服": (("service",), "西区", True),
    "市场": (("marketing",), None, True),
    "东主管": (("manager",), "东区", True),
    "西主管": (("manager",), "西区", True),
    "数据": (("data_steward",), None, True),
    "财务": (("finance",), None, True),
    "两岗": (("finance", "sales"), "西区", True),
    "无岗": ((), "东区", True),
    "离职": (("sales",), "东区", False),
    "admin": (("administrator",), None, True),
}
DAY = date(2023, 10, 9)


def secret(entity: str, field: str) -> str:
    """A word that stands in that field and nowhere else."""
    return f"密{entity}·{field}"


def tell(crm: crmcore.CRM) -> SimpleNamespace:
    """The story, in the owner's name and before permissions are kept: who and what there is, by entity."""
    me, r = crm.acting_as(OWNER), SimpleNamespace()
    for name, (roles, department, active) in ACTORS.items():
        if name != "admin":
            user = me.users.add(name, roles=roles, department=department)
            if not active:
                me.users.deactivate(user)
    r.user = "西一"
    amounts = {name: Money(minor, "CNY") for name, minor in [("contract_amount", 7771101), ("budget", 7771102)]}
    texts = {name: secret("customer", name) for name in ("address", "remarks", "core_need", "expected_outcome")}
    r.customer = me.customers.register(
        name="机密科技有限公司",
        uscc="91110000600037341L",
        industry="制造业",
        stage="interested",
        decision_makers=[secret("customer", "decision_makers")],
        contract_signed_on=DAY,
        tags=["old"],
        **amounts,
        **texts,
    )
    r.other = me.customers.register(name="另一家有限公司")
    phones = ["13812345678", "010-87654321"]
    emails = ["canary.person@example.com"]
    r.contact = me.contacts.add(
        r.customer,
        name="司马相如",
        phones=phones,
        emails=emails,
        wechat="wxid_canary77",
        remarks=secret("contact", "remarks"),
    )
    r.attachment = me.attachments.add(
        r.customer, name=secret("attachment", "name"), place=secret("attachment", "place")
    )
    r.opportunity = me.opportunities.open(
        name=secret("opportunity", "name"),
        customer=r.customer,
        expected_amount=Money(7771103, "CNY"),
        competitors=["密对手"],
    )
    r.follow_up = me.follow_ups.log(
        r.customer, summary=secret("follow_up", "summary"), feedback=secret("follow_up", "feedback")
    )
    goal = secret("follow_up_plan", "goal")
    r.follow_up_plan = me.plans.add(r.customer, due_on=DAY + timedelta(days=3), goal=goal, owner=OWNER)
    r.order = me.orders.sign(r.customer, amount=Money(7771104, "CNY"), remarks=secret("order", "remarks"))
    r.instalment = me.orders.add_instalment(r.order, due_on=DAY + timedelta(days=30), amount=Money(7771104, "CNY"))
    r.objection = me.objections.raise_(r.customer, description=secret("objection", "description"))
    r.objection_answered = me.objections.answer(
        me.objections.raise_(r.customer, description="价格"), secret("objection", "solution")
    )
    r.feedback = me.feedback.receive(r.customer, description=secret("feedback", "description"), responsible=OWNER)
    r.feedback_answered = me.feedback.answer(
        me.feedback.receive(r.customer, description="…", responsible=OWNER, collaborators=[OWNER]),
        secret("feedback", "result"),
    )
    r.ticket = me.tickets.open(r.customer, subject=secret("ticket", "subject"), assignee=OWNER, collaborators=[OWNER])
    r.ticket_waiting = me.tickets.wait(me.tickets.open(r.customer, subject="等", assignee=OWNER))
    r.ticket_solved = me.tickets.solve(
        me.tickets.open(r.customer, subject="好", assignee=OWNER), secret("ticket", "result")
    )
    r.referral = me.referrals.make(
        r.customer, referred_name="诸葛孔明", referred_reach="13987654321", incentive=secret("referral", "incentive")
    )
    r.referral_won = me.referrals.make(r.customer, referred_name="某", incentive="礼品", referred=r.other)
    me.customers.move(r.other.id, "interested")
    me.customers.move(r.other.id, "customer", contract_signed_on=DAY)
    r.action_plan = me.action_plans.add(secret("action_plan", "what"), customer=r.customer, owner=OWNER)
    r.obligation = next(one for one in me.obligations.of(r.customer) if one.rule.startswith("cadence."))
    me.quality.draw("2023Q4", share=100)
    binned = me.customers.register(name="回收站里的有限公司", remarks=secret("customer", "binned"))
    me.customers.delete(binned.id, "…")
    me.notifications.enqueue()
    me.users.add("admin", roles=("administrator",))
    return r


def rows_of(crm: Any) -> dict[str, list[Any]]:
    """Every row of the store: what a refusal must leave as it was."""

    def look(transaction: Transaction) -> dict[str, list[Any]]:
        return {cls.collection: sorted(transaction.scan(cls.collection)) for cls in ENTITIES}

    found: dict[str, list[Any]] = crm.plain.read(look)
    return found


def truth(crm: Any) -> dict[type[Any], list[Any]]:
    """Every record as it is."""

    def look(transaction: Transaction) -> dict[type[Any], list[Any]]:
        records = (cls for cls in ENTITIES if issubclass(cls, Record))
        return {cls: list(map(CODECS[cls].load, transaction.find(Query(cls.collection)))) for cls in records}

    found: dict[type[Any], list[Any]] = crm.plain.read(look)
    return found


Call = Callable[[Any, Any, Path], Any]

#: Every use case that only reads; ``me``, the story, a folder to write in.
READS: Mapping[str, Call] = {
    "customers.get": lambda me, r, _: me.customers.get(r.customer.id),
    "customers.find": lambda me, r, _: me.customers.find(),
    "customers.count": lambda me, r, _: me.customers.count(),
    "customers.stages": lambda me, r, _: me.customers.stages(r.customer.id),
    "customers.timeline": lambda me, r, _: me.customers.timeline(r.customer.id),
    "customers.sources": lambda me, r, _: me.customers.sources(r.customer.id),
    "customers.similar": lambda me, r, _: me.customers.similar(
        name=r.customer.name, contacts=[{"name": "谁", "phone": "13812345678"}]
    ),
    "customers.findings": lambda me, r, _: me.customers.findings(r.customer.id),
    "customers.deleted": lambda me, r, _: me.customers.deleted(),
    "duplicates.scan": lambda me, r, _: me.duplicates.scan(),
    "duplicates.told_apart": lambda me, r, _: me.duplicates.told_apart(),
    "quality.samples": lambda me, r, _: me.quality.samples(),
    "quality.of": lambda me, r, _: me.quality.of("2023Q4"),
    "quality.worksheet": lambda me, r, _: me.quality.worksheet("2023Q4"),
    "quality.result": lambda me, r, _: me.quality.result("2023Q4").tables,
    "reports.incomplete": lambda me, r, _: me.reports.incomplete(),
    "customers.unconfirmed": lambda me, r, _: me.customers.unconfirmed(OWNER),
    "contacts.of": lambda me, r, _: me.contacts.of(r.customer.id),
    "attachments.of": lambda me, r, _: me.attachments.of(r.customer.id),
    "follow_ups.of": lambda me, r, _: me.follow_ups.of(r.customer.id),
    "plans.of": lambda me, r, _: me.plans.of(r.customer.id, state=None),
    "opportunities.find": lambda me, r, _: me.opportunities.find(),
    "opportunities.get": lambda me, r, _: me.opportunities.get(r.opportunity.id),
    "opportunities.stages": lambda me, r, _: me.opportunities.stages(r.opportunity.id),
    "objections.of": lambda me, r, _: me.objections.of(r.customer.id),
    "orders.get": lambda me, r, _: me.orders.get(r.order.id),
    "orders.of": lambda me, r, _: me.orders.of(r.customer.id),
    "orders.instalments": lambda me, r, _: me.orders.instalments(r.order.id),
    "referrals.of": lambda me, r, _: me.referrals.of(r.customer.id),
    "feedback.get": lambda me, r, _: me.feedback.get(r.feedback.id),
    "feedback.of": lambda me, r, _: me.feedback.of(r.customer.id),
    "feedback.find": lambda me, r, _: me.feedback.find(),
    "tickets.get": lambda me, r, _: me.tickets.get(r.ticket.id),
    "tickets.of": lambda me, r, _: me.tickets.of(r.customer.id),
    "tickets.find": lambda me, r, _: me.tickets.find(),
    "action_plans.of": lambda me, r, _: me.action_plans.of(r.customer.id),
    "action_plans.find": lambda me, r, _: me.action_plans.find(state=None),
    "users.find": lambda me, r, _: me.users.find(active=None),
    "obligations.due": lambda me, r, _: [one.explain() for one in me.obligations.due(date(2024, 10, 1))],
    "obligations.of": lambda me, r, _: me.obligations.of(r.customer.id, state=None),
    "obligations.explain": lambda me, r, _: me.obligations.explain(r.obligation.id).text(),
    "obligations.outdated": lambda me, r, _: me.obligations.outdated(),
    "obligations.reminders": lambda me, r, _: me.obligations.reminders(me.crm.now() - timedelta(days=40)),
    "imports.runs": lambda me, r, _: me.imports.runs(),
    "notifications.find": lambda me, r, _: me.notifications.find(),
    "notifications.facts": lambda me, r, _: me.notifications.facts(),
    "tiers.explain": lambda me, r, _: me.tiers.explain(r.customer.id).text(),
    "exports.table": lambda me, r, _: [me.exports.table(key) for key in me.crm.playbook.tables],
    "reports.activity": lambda me, r, _: me.reports.activity().tables,
    "reports.customer_funnel": lambda me, r, _: me.reports.customer_funnel().tables,
    "reports.due": lambda me, r, _: me.reports.due().table,
    "reports.duties": lambda me, r, _: me.reports.duties().tables,
    "reports.forecast": lambda me, r, _: me.reports.forecast().to_plain(),
    "reports.funnel": lambda me, r, _: me.reports.funnel().to_plain(),
    "reports.monthly": lambda me, r, _: me.reports.monthly(2023, 10).tables,
    "reports.overview": lambda me, r, _: me.reports.overview().to_plain(),
    "reports.quality": lambda me, r, _: me.reports.quality().to_plain(),
    "reports.review": lambda me, r, _: me.reports.review().to_plain(),
    "reports.risk": lambda me, r, _: me.reports.risk().to_plain(),
    "reports.service": lambda me, r, _: me.reports.service().to_plain(),
    "reports.write_review": lambda me, r, folder: me.reports.write_review(folder / "review.xlsx") and None,
}

Needed = tuple[tuple[str, str], ...]

#: Every use case that changes something on the story, and the rights that it takes: entity and action, or field and ``write``.
WRITES: Mapping[str, tuple[Call, Needed]] = {
    "customers.register": (lambda me, r, _: me.customers.register(name="新客户"), (("customer", "create!own"),)),
    "customers.update": (
        lambda me, r, _: me.customers.update(r.customer, remarks="…"),
        (("customer", "update"), ("customer.remarks", "write")),
    ),
    "customers.move": (
        lambda me, r, _: me.customers.move(r.customer, "prospect", reason="…"),
        (("customer", "move"),),
    ),
    "customers.assign": (lambda me, r, _: me.customers.assign(r.customer, "西一"), (("customer", "assign"),)),
    "customers.add_collaborators": (
        lambda me, r, _: me.customers.add_collaborators(r.customer, "西一"),
        (("customer", "assign"),),
    ),
    "customers.remove_collaborators": (
        lambda me, r, _: me.customers.remove_collaborators(r.customer, "nobody"),
        (),
    ),
    "customers.tag": (lambda me, r, _: me.customers.tag(r.customer, "new"), (("customer", "update"),)),
    "customers.untag": (lambda me, r, _: me.customers.untag(r.customer, "old"), (("customer", "update"),)),
    "customers.merge": (lambda me, r, _: me.customers.merge(r.customer.id, r.other.id), (("customer", "merge"),)),
    "customers.plan_merge": (
        lambda me, r, _: me.customers.plan_merge(r.customer.id, r.other.id),
        (("customer", "merge"),),
    ),
    "customers.unmerge": (
        lambda me, r, _: me.customers.unmerge(me.customers.merge(r.customer.id, r.other.id).absorbed.number),
        (("customer", "merge"),),
    ),
    "customers.delete": (lambda me, r, _: me.customers.delete(r.other.id, "…"), (("customer", "delete"),)),
    "customers.restore": (
        lambda me, r, _: me.customers.delete(r.other.id, "…") and me.customers.restore(r.other.id),
        (("customer", "delete"),),
    ),
    "retention.due": (lambda me, r, _: me.retention.due(), (("customer", "delete!all"),)),
    "retention.run": (lambda me, r, _: me.retention.run(), (("customer", "delete!all"),)),
    "customers.erase": (
        lambda me, r, _: me.customers.erase(r.customer.id, reason="…", dry_run=True),
        (("customer", "erase"),),
    ),
    "duplicates.tell_apart": (
        lambda me, r, _: me.duplicates.tell_apart(r.customer.id, r.other.id, reason="…"),
        (("customer", "merge"),),
    ),
    "duplicates.forget": (
        lambda me, r, _: me.duplicates.forget(r.customer.id, r.other.id),
        (("customer", "merge"),),
    ),
    "quality.draw": (
        lambda me, r, _: me.quality.draw("2024Q1", share=100) or refused(),
        (("quality_check", "create"), ("customer", "read")),
    ),
    "quality.record": (
        lambda me, r, _: me.quality.record("2023Q4", r.customer.id, right=True),
        (("quality_check", "update"),),
    ),
    "quality.take_in": (
        lambda me, r, folder: me.quality.take_in("2023Q4", a_worksheet(folder, r)),
        (("quality_check", "update"),),
    ),
    "contacts.add": (lambda me, r, _: me.contacts.add(r.customer, name="新人"), (("contact", "create"),)),
    "contacts.update": (lambda me, r, _: me.contacts.update(r.contact, title="总"), (("contact", "update"),)),
    "attachments.add": (lambda me, r, _: me.attachments.add(r.customer, name="…"), (("attachment", "create"),)),
    "follow_ups.log": (
        lambda me, r, _: me.follow_ups.log(r.customer, summary="…"),
        (("follow_up", "create"), ("follow_up.summary", "write")),
    ),
    "plans.add": (lambda me, r, _: me.plans.add(r.customer, due_on=DAY), (("follow_up_plan", "create"),)),
    "plans.cancel": (
        lambda me, r, _: me.plans.cancel(r.follow_up_plan, reason="…"),
        (("follow_up_plan", "update"),),
    ),
    "opportunities.open": (
        lambda me, r, _: me.opportunities.open(name="新", customer=r.customer),
        (("opportunity", "create"),),
    ),
    "opportunities.update": (
        lambda me, r, _: me.opportunities.update(r.opportunity, remarks="…"),
        (("opportunity", "update"),),
    ),
    "opportunities.move": (
        lambda me, r, _: me.opportunities.move(r.opportunity, "proposal"),
        (("opportunity", "move"),),
    ),
    "opportunities.lose": (
        lambda me, r, _: me.opportunities.lose(r.opportunity, reason="…"),
        (("opportunity", "move"), ("opportunity", "update")),
    ),
    "opportunities.win": (
        lambda me, r, _: me.opportunities.move(r.opportunity, "lost", reason="…"),
        (("opportunity", "move"), ("opportunity", "update")),
    ),
    "objections.raise_": (
        lambda me, r, _: me.objections.raise_(r.customer, description="…"),
        (("objection", "create"),),
    ),
    "objections.answer": (lambda me, r, _: me.objections.answer(r.objection, "…"), (("objection", "update"),)),
    "objections.settle": (
        lambda me, r, _: me.objections.settle(r.objection_answered, "accepted"),
        (("objection", "update"),),
    ),
    "orders.sign": (lambda me, r, _: me.orders.sign(r.customer), (("order", "create"),)),
    "orders.add_instalment": (
        lambda me, r, _: me.orders.add_instalment(
            me.orders.sign(r.customer, amount=Money(500, "CNY")), due_on=DAY, amount=Money(500, "CNY")
        ),
        (("order", "create"), ("instalment", "create"), ("order.amount", "write"), ("instalment.amount", "write")),
    ),
    "orders.change_instalment": (
        lambda me, r, _: me.orders.change_instalment(r.instalment.id, due_on=DAY),
        (("instalment", "update"),),
    ),
    "orders.collect": (
        lambda me, r, _: me.orders.collect(r.order.id, Money(100, "CNY")),
        (
            ("order", "update"),
            ("instalment", "update"),
            ("order.collected", "write"),
            ("instalment.collected", "write"),
        ),
    ),
    "referrals.make": (lambda me, r, _: me.referrals.make(r.customer, referred_name="某"), (("referral", "create"),)),
    "referrals.connect": (lambda me, r, _: me.referrals.connect(r.referral, r.other), (("referral", "update"),)),
    "referrals.reward": (lambda me, r, _: me.referrals.reward(r.referral_won.id), (("referral", "update"),)),
    "feedback.receive": (lambda me, r, _: me.feedback.receive(r.customer, description="…"), (("feedback", "create"),)),
    "feedback.assign": (
        lambda me, r, _: me.feedback.assign(r.feedback, "西一"),
        (("feedback", "assign"), ("feedback", "update")),
    ),
    "feedback.plan": (lambda me, r, _: me.feedback.plan(r.feedback, "…"), (("feedback", "update"),)),
    "feedback.answer": (lambda me, r, _: me.feedback.answer(r.feedback, "…"), (("feedback", "update"),)),
    "feedback.confirm": (
        lambda me, r, _: me.feedback.confirm(r.feedback_answered, "satisfied"),
        (("feedback", "update"),),
    ),
    "feedback.add_collaborators": (
        lambda me, r, _: me.feedback.add_collaborators(r.feedback, "西一"),
        (("feedback", "assign"),),
    ),
    "feedback.contribute": (
        lambda me, r, _: me.feedback.contribute(me.feedback.add_collaborators(r.feedback, "西一"), collaborator="西一"),
        (("feedback", "assign"), ("feedback", "update")),
    ),
    "tickets.open": (lambda me, r, _: me.tickets.open(r.customer, subject="…"), (("ticket", "create"),)),
    "tickets.assign": (
        lambda me, r, _: me.tickets.assign(r.ticket, "西一"),
        (("ticket", "assign"), ("ticket", "update")),
    ),
    "tickets.add_collaborators": (
        lambda me, r, _: me.tickets.add_collaborators(r.ticket, "西一"),
        (("ticket", "assign"),),
    ),
    "tickets.contribute": (
        lambda me, r, _: me.tickets.contribute(r.ticket, collaborator=OWNER),
        (("ticket", "update"),),
    ),
    "tickets.answer": (lambda me, r, _: me.tickets.answer(r.ticket), (("ticket", "update"),)),
    "tickets.plan": (lambda me, r, _: me.tickets.plan(r.ticket, "…"), (("ticket", "update"),)),
    "tickets.wait": (lambda me, r, _: me.tickets.wait(r.ticket), (("ticket", "update"),)),
    "tickets.resume": (lambda me, r, _: me.tickets.resume(r.ticket_waiting), (("ticket", "update"),)),
    "tickets.solve": (lambda me, r, _: me.tickets.solve(r.ticket, "…"), (("ticket", "update"),)),
    "tickets.reopen": (lambda me, r, _: me.tickets.reopen(r.ticket_solved, reason="…"), (("ticket", "update"),)),
    "tickets.close": (lambda me, r, _: me.tickets.close(r.ticket_solved, stars=5), (("ticket", "update"),)),
    "action_plans.add": (lambda me, r, _: me.action_plans.add("新"), (("action_plan", "create!own"),)),
    "action_plans.change": (
        lambda me, r, _: me.action_plans.change(r.action_plan, due_on=DAY),
        (("action_plan", "update"),),
    ),
    "action_plans.done": (lambda me, r, _: me.action_plans.done(r.action_plan), (("action_plan", "update"),)),
    "action_plans.cancel": (
        lambda me, r, _: me.action_plans.cancel(r.action_plan, reason="…"),
        (("action_plan", "update"),),
    ),
    "users.add": (lambda me, r, _: me.users.add("新人"), (("user", "create!all"),)),
    "users.update": (lambda me, r, _: me.users.update(r.user, department="南区"), (("user", "update!all"),)),
    "users.deactivate": (lambda me, r, _: me.users.deactivate(r.user), (("user", "update!all"),)),
    "users.activate": (lambda me, r, _: me.users.activate("离职"), (("user", "update!all"),)),
    "users.hand_over": (
        lambda me, r, _: me.users.hand_over(OWNER, "西一"),
        tuple(
            (entity, action)
            for entity in ("customer", "follow_up_plan", "opportunity", "ticket", "feedback", "action_plan", "user")
            for action in ("assign", "read")
            if entity != "user" or action == "read"
        ),
    ),
    "obligations.waive": (
        lambda me, r, _: me.obligations.waive(r.obligation.id, reason="…"),
        (("obligation", "update"),),
    ),
    "obligations.recompute": (lambda me, r, _: me.obligations.recompute(), (("obligation", "update!all"),)),
    "notifications.enqueue": (lambda me, r, _: me.notifications.enqueue(), (("outbox_message", "create!all"),)),
    "notifications.retry": (lambda me, r, _: me.notifications.retry(), (("outbox_message", "update!all"),)),
    "notifications.relay": (
        lambda me, r, _: me.notifications.relay(crmcore_folder(_)),
        (("outbox_message", "update!all"),),
    ),
    "notifications.deliver": (
        lambda me, r, _: me.notifications.deliver(crmcore_folder(_)),
        (("outbox_message", "update!all"),),
    ),
    "tiers.set": (lambda me, r, _: me.tiers.set(r.customer, "A", reason="…"), (("customer", "update"),)),
    "tiers.release": (
        lambda me, r, _: me.tiers.release(me.tiers.set(r.customer, "A", reason="…")),
        (("customer", "update"),),
    ),
    "tiers.run": (lambda me, r, _: me.tiers.run(), (("customer", "update!all"),)),
    "reports.replay": (lambda me, r, _: me.reports.replay("marketing"), (("obligation", "update!all"),)),
    "imports.plan": (
        lambda me, r, folder: me.imports.plan(a_file(folder)).apply().rejected and refused(),
        (("contact", "import"), ("contact", "create")),
    ),
}
#: Use cases that neither list holds, and why.
ELSEWHERE = {
    "customers.confirm": "only the owner does it, whatever the roles: it has a test of its own",
    "imports.undo": "it needs an import of the user's own: it has a test of its own",
}


def refused() -> None:
    from crmcore.errors import Forbidden

    raise Forbidden("a row was refused")


def crmcore_folder(folder: Path) -> Any:
    from crmcore.notify import FolderNotifier

    return FolderNotifier(folder)


def a_worksheet(folder: Path, r: Any) -> Path:
    path = folder / "worksheet.csv"
    path.write_text(f"客户编号,核对结果(对/错)\n{r.customer.number},对\n", "utf-8")
    return path


def a_file(folder: Path) -> Path:
    path = folder / "contacts.csv"
    path.write_text("客户名称,联系人,职务\n机密科技有限公司,新联系人,经理\n", "utf-8")
    return path
