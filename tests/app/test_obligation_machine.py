"""Any path through the whole library: what is stored is what the rules derive, and nothing that is owed is lost or owed twice."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import crmcore
from crmcore.domain import Money, Obligation
from crmcore.errors import CRMError, TransitionRefused
from crmcore.playbooks import BUNDLED

FIRM = {
    "kind": "enterprise", "industry": "制造业", "scale": "large", "short_name": "AB",
    "contacts": [{"name": "联系人甲", "title": "采购经理", "phones": ["13800138000"], "emails": ["a@example.com"]}],
}  # fmt: skip
METHODS = st.sampled_from([None, "phone", "face_to_face", "email"])
#: Whole days for cadences and dates, minutes for targets.
PASSING = st.one_of(
    st.integers(1, 90).map(lambda minutes: timedelta(minutes=minutes)),
    st.integers(1, 100).map(lambda hours: timedelta(hours=hours)),
    st.integers(1, 40).map(lambda days: timedelta(days=days)),
)
SOME_DAYS = st.integers(0, 40)

#: What can be done with each of these, and with what.
CASES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "feedback": [
        ("assign", {"responsible": "wang"}),
        ("plan", {"plan": "更换轴承"}),
        ("answer", {"result": "轴承已更换"}),
        ("confirm", {"confirmation": "满意", "stars": 5}),
        ("confirm", {"confirmation": "需进一步优化"}),
    ],
    "tickets": [
        ("assign", {"assignee": "wang"}),
        ("answer", {}),
        ("wait", {}),
        ("resume", {}),
        ("contribute", {"collaborator": "hua"}),
        ("solve", {"result": "更换电源"}),
        ("close", {"stars": 4}),
        ("reopen", {"reason": "又无法开机"}),
    ],
    "objections": [
        ("answer", {"solution": "分期付款"}),
        ("settle", {"outcome": "accepted"}),
        ("settle", {"outcome": "rejected"}),
    ],
    "action_plans": [("done", {}), ("cancel", {"reason": "不再需要"}), ("change", {"owner": "wang"})],
    "plans": [("cancel", {"reason": "客户出差"})],
    "referrals": [("reward", {"incentive": "增值服务"})],
}
OTHERS = [(sort, *step) for sort, steps in CASES.items() if sort not in ("feedback", "tickets") for step in steps]


class Life(RuleBasedStateMachine):
    """Two customers of a team under any of the playbooks, and everything that can be done with them."""

    url = "memory:"

    @initialize(playbook=st.sampled_from(sorted(BUNDLED)), tier=st.sampled_from("ABC"))
    def begin(self, playbook: str, tier: str) -> None:
        self.now = datetime(2024, 1, 30, 2, tzinfo=UTC)
        self.directory = tempfile.mkdtemp() if self.url.startswith("sqlite") else ""
        ids = itertools.count(1)
        self.crm = crmcore.open(
            self.url.format(self.directory),
            playbook,
            clock=lambda: self.now,
            ids=lambda: f"00000000-0000-7000-8000-{next(ids):012}",
        )
        self.me = self.crm.acting_as("li")
        tiered = {"tier": tier} if self.crm.playbook.tiers else {}
        names = "示例科技有限公司", "样品制造有限公司"
        self.customers = [self.me.customers.register(name=name, **tiered, **FIRM).id for name in names]
        self.records: dict[str, list[str]] = {sort: [] for sort in (*CASES, "opportunities", "orders")}
        first, second = self.customers
        self.an_opportunity_opens(0)
        self.made("feedback", self.me.feedback.receive(first, description="异响", complexity="complex"))
        self.made("tickets", self.me.tickets.open(first, subject="无法开机", collaborators=("hua/技术支持",)))
        self.made("referrals", self.me.referrals.make(first, referred=second))

    def teardown(self) -> None:
        if hasattr(self, "crm"):
            self.crm.close()
            if self.directory:
                shutil.rmtree(self.directory)

    # What is seen of the store

    def stored(self) -> dict[str, list[Any]]:
        with self.crm.store.transaction() as transaction:
            return {name: sorted(transaction.scan(name), key=repr) for name in ("events", "obligations")}

    def of_all(self) -> list[Obligation]:
        return [one for customer in self.customers for one in self.me.obligations.of(customer, state=None)]

    def attempt(self, call: Callable[..., Any], *args: Any, **values: Any) -> Any:
        """What an action gave; None where it was refused, which leaves everything as it was."""
        before = self.stored()
        try:
            return call(*args, **values)
        except CRMError as refused:
            assert self.stored() == before
            return refused if isinstance(refused, TransitionRefused) else None

    def made(self, sort: str, record: Any) -> None:
        if record is not None:
            self.records[sort].append(record.id)

    def today(self, days: int = 0) -> date:
        return self.crm.today() + timedelta(days=days)

    # What can happen

    @rule(length=PASSING)
    def time_passes(self, length: timedelta) -> None:
        self.now += length

    @rule(minutes=st.integers(1, 90))
    def the_clock_goes_back(self, minutes: int) -> None:
        self.now -= timedelta(minutes=minutes)

    @rule(
        who=st.integers(0, 1),
        ago=st.one_of(st.just(timedelta(0)), PASSING),
        method=METHODS,
        purpose=st.sampled_from([None, "deepening", "revisit", "check"]),
        next_in=st.one_of(st.none(), SOME_DAYS),
    )
    def somebody_talks(
        self, who: int, ago: timedelta, method: str | None, purpose: str | None, next_in: int | None
    ) -> None:
        more = {} if next_in is None else {"next_step": "发送报价单", "next_on": self.today(next_in)}
        told = {"at": self.now - ago, "method": method, "purpose": purpose, **more}
        self.attempt(self.me.follow_ups.log, self.customers[who], summary="谈了报价", **told)

    @rule(who=st.integers(0, 1), days=SOME_DAYS, hour=st.one_of(st.none(), st.integers(0, 23)))
    def somebody_plans(self, who: int, days: int, hour: int | None) -> None:
        day = self.today(days)
        at = {} if hour is None else {"at": datetime(day.year, day.month, day.day, hour, tzinfo=self.crm.zone)}
        self.made("plans", self.attempt(self.me.plans.add, self.customers[who], due_on=day, **at))

    @rule(who=st.integers(0, 1), data=st.data())
    def the_customer_moves(self, who: int, data: st.DataObject) -> None:
        customer = self.me.customers.get(self.customers[who])
        targets = self.crm.playbook.lifecycle.targets(customer.stage)
        if targets:
            self.move(self.me.customers, customer.id, data.draw(st.sampled_from(targets)))

    def move(self, use_cases: Any, id: str, target: str) -> None:
        """Moves; what a refusal asks for is given then."""
        refused = self.attempt(use_cases.move, id, target)
        if isinstance(refused, TransitionRefused):
            given: dict[str, Any] = {}
            for issue in refused.issues:
                name = (issue.field or "").partition(".")[2]
                day_or_text = self.today() if name.endswith("_on") else "需要定制化系统"
                given[name] = Money.of(5) if name.endswith("amount") else day_or_text
            self.attempt(use_cases.move, id, target, **given)

    @rule(who=st.integers(0, 1), tier=st.sampled_from("ABC"), by_hand=st.booleans())
    def the_tier_changes(self, who: int, tier: str, by_hand: bool) -> None:
        if by_hand:
            self.attempt(self.me.tiers.set, self.customers[who], tier, reason="合同待续签")
        else:
            self.attempt(self.me.customers.update, self.customers[who], tier=tier)

    @rule(who=st.integers(0, 1), owner=st.sampled_from(["li", "wang"]))
    def the_owner_changes(self, who: int, owner: str) -> None:
        self.attempt(self.me.customers.assign, self.customers[who], owner)

    @rule(
        who=st.integers(0, 1),
        name=st.sampled_from(
            [
                *("budget", "decision_makers", "first_deal_amount", "service_contact", "address"),
                *("contract_expires_on", "contract_signed_on", "first_contact_on"),
            ]
        ),
        days=st.integers(-40, 60),
    )
    def the_file_changes(self, who: int, name: str, days: int) -> None:
        value: Any = f"人{days}"
        if name.endswith("_on"):
            value = self.today(days) if days != 0 else None
        elif name in ("budget", "first_deal_amount"):
            value = Money.of(100 + days)
        elif name == "decision_makers":
            value = [value]
        self.attempt(self.me.customers.update, self.customers[who], **{name: value})

    @rule(who=st.integers(0, 1), decides=st.booleans())
    def somebody_new_is_known(self, who: int, decides: bool) -> None:
        self.attempt(self.me.contacts.add, self.customers[who], name="联系人乙", decision_maker=decides)

    @rule(who=st.integers(0, 1))
    def tiers_are_worked_out(self, who: int) -> None:
        self.attempt(self.me.tiers.release, self.customers[who])
        self.attempt(self.me.tiers.run)

    @rule(who=st.one_of(st.none(), st.integers(0, 1)))
    def an_opportunity_opens(self, who: int | None) -> None:
        customer = None if who is None else self.customers[who]
        opened = self.attempt(self.me.opportunities.open, name="采购", customer=customer, expected_amount=Money.of(900))
        self.made("opportunities", opened)

    @rule(data=st.data(), who=st.one_of(st.none(), st.integers(0, 1)))
    def an_opportunity_goes_on(self, data: st.DataObject, who: int | None) -> None:
        if not self.records["opportunities"]:
            return
        deal = self.me.opportunities.get(data.draw(st.sampled_from(self.records["opportunities"])))
        if who is not None and data.draw(st.booleans()):
            self.attempt(self.me.opportunities.update, deal, customer_id=self.customers[who])
        elif targets := self.crm.playbook.graph(deal.pipeline).targets(deal.stage):
            self.move(self.me.opportunities, deal.id, data.draw(st.sampled_from(targets)))

    @rule(who=st.integers(0, 1), days=SOME_DAYS)
    def an_order_is_signed(self, who: int, days: int) -> None:
        parts = [
            {"due_on": self.today(days), "amount": Money.of(30)},
            {"due_on": self.today(70), "amount": Money.of(70)},
        ]
        self.made("orders", self.attempt(self.me.orders.sign, self.customers[who], instalments=parts))

    @rule(data=st.data(), amount=st.sampled_from([10, 30, 70]), later=st.one_of(st.none(), SOME_DAYS))
    def an_order_is_paid_or_put_off(self, data: st.DataObject, amount: int, later: int | None) -> None:
        if not self.records["orders"]:
            return
        order = data.draw(st.sampled_from(self.records["orders"]))
        if later is None:
            self.attempt(self.me.orders.collect, order, Money.of(amount))
        else:
            part = self.me.orders.instalments(order)[0]
            self.attempt(self.me.orders.change_instalment, part, due_on=self.today(later))

    @rule(who=st.integers(0, 1), ago=st.one_of(st.just(timedelta(0)), PASSING), data=st.data())
    def the_customer_asks(self, who: int, ago: timedelta, data: st.DataObject) -> None:
        customer, me = self.customers[who], self.me
        sort = data.draw(st.sampled_from(["feedback", "tickets", "objections", "referrals", "action_plans"]))
        if sort == "feedback":
            complexity = data.draw(st.sampled_from(["一般", "复杂"]))
            told = {"received_at": self.now - ago, "complexity": complexity}
            self.made(sort, self.attempt(me.feedback.receive, customer, description="异响", **told))
        elif sort == "tickets":
            told = {"opened_at": self.now - ago, "priority": data.draw(st.sampled_from(["紧急", "一般", "建议"]))}
            helpers = data.draw(st.sampled_from([(), ("hua/技术支持",), ("hua", "min")]))
            self.made(sort, self.attempt(me.tickets.open, customer, subject="无法开机", collaborators=helpers, **told))
        elif sort == "objections":
            self.made(sort, self.attempt(me.objections.raise_, customer, description="价格过高", type="price"))
        elif sort == "referrals":
            self.made(sort, self.attempt(me.referrals.make, customer, referred=self.customers[1 - who]))
        else:
            about = data.draw(st.sampled_from([customer, None]))
            told = {"customer": about, "due_on": self.today(data.draw(SOME_DAYS))}
            self.made(sort, self.attempt(me.action_plans.add, "优化话术", **told))

    @rule(step=st.sampled_from(CASES["feedback"]), data=st.data())
    def feedback_goes_on(self, step: tuple[str, dict[str, Any]], data: st.DataObject) -> None:
        self.take("feedback", *step, data)

    @rule(step=st.sampled_from(CASES["tickets"]), data=st.data())
    def a_ticket_goes_on(self, step: tuple[str, dict[str, Any]], data: st.DataObject) -> None:
        self.take("tickets", *step, data)

    @rule(step=st.sampled_from(OTHERS), data=st.data())
    def something_else_goes_on(self, step: tuple[str, str, dict[str, Any]], data: st.DataObject) -> None:
        self.take(*step, data)

    def take(self, sort: str, verb: str, values: dict[str, Any], data: st.DataObject) -> None:
        if self.records[sort]:
            record = data.draw(st.sampled_from(self.records[sort]))
            self.attempt(getattr(getattr(self.me, sort), verb), record, **values)

    @rule(data=st.data(), names=st.sampled_from([("hua",), ("min/物流配送",), ("min/技术支持", "hua/售后")]))
    def others_are_asked_to_help(self, data: st.DataObject, names: tuple[str, ...]) -> None:
        if self.records["tickets"]:
            ticket = data.draw(st.sampled_from(self.records["tickets"]))
            self.attempt(self.me.tickets.add_collaborators, ticket, *names)

    @rule(data=st.data())
    def something_is_waived(self, data: st.DataObject) -> None:
        found = [one.id for one in self.of_all() if one.state in ("open", "paused")]
        if found:
            self.attempt(self.me.obligations.waive, data.draw(st.sampled_from(found)), reason="春节")

    @rule(before=st.integers(0, 60), after=st.integers(0, 60), between=st.floats(0, 1))
    def reminders_are_asked_for(self, before: int, after: int, between: float) -> None:
        start, end = self.now - timedelta(days=before), self.now + timedelta(days=after)
        middle = start + (end - start) * between
        told = self.me.obligations.reminders
        whole = told(start, end)
        assert told(start, middle) + told(middle, end) == whole
        assert len({notice.id for notice in whole}) == len(whole)
        assert all(start < notice.at <= end for notice in whole)

    # What always holds

    @invariant()
    def what_is_stored_is_what_the_rules_derive(self) -> None:
        if hasattr(self, "crm"):
            found = self.me.obligations.recompute(dry_run=True)
            assert (found.begun, found.changed, found.gone) == (0, 0, 0)

    @invariant()
    def what_is_owed_is_owed_once_and_can_be_explained(self) -> None:
        if not hasattr(self, "crm"):
            return
        found = self.of_all()
        people = {f"target.{one.key}" for one in self.crm.playbook.targets if one.owed_by == "collaborators"}
        once = Counter(
            (one.track, one.subject_id, one.owner if one.rule in people else None)
            for one in found
            if one.state in ("open", "paused")
        )
        assert not [key for key, times in once.items() if times > 1]
        for one in found:
            ended = one.state not in ("open", "paused")
            assert (one.closed_at is not None) == ended
            assert one.closed_at is None or one.closed_at >= one.opened_at
            if one.state == "met":
                assert one.closed_at is not None and one.closed_at < one.due_at
            if one.state == "open":
                why = self.me.obligations.explain(one)
                assert sum((step.counted for step in why.steps), timedelta()) == why.amount
                assert why.end == one.due_at

    @invariant()
    def each_track_in_force_is_owed_unless_it_was_waived(self) -> None:
        if not hasattr(self, "crm"):
            return
        rulebook = self.crm.rulebook
        for id in self.customers:
            customer = self.me.customers.get(id)
            found = [one for one in self.me.obligations.of(id, state=None) if one.rule.startswith("cadence.")]
            open_on = {one.track for one in found if one.state == "open"}
            if not rulebook.is_owed(customer.stage):
                owed = [one for one in self.me.obligations.of(id) if one.subject_id == id or one.rule == "plan"]
                assert owed == []
                continue
            in_force = {f"cadence.{one.track}": one for one in rulebook.cadences(customer.stage, customer.tier)}
            waived = {one.track for one in found if one.state == "waived"}
            assert open_on <= in_force.keys() <= open_on | waived
            assert {one.rule for one in found if one.state == "open"} <= {
                f"cadence.{one.key}" for one in in_force.values()
            }


class LifeOnDisk(Life):
    """The same on SQLite, for fewer and shorter lives."""

    url = "sqlite:///{}/crm.db"


TestLife = Life.TestCase
TestLife.settings = settings(stateful_step_count=30)
TestLifeOnDisk = LifeOnDisk.TestCase
TestLifeOnDisk.settings = settings(max_examples=max(4, settings().max_examples // 10), stateful_step_count=15)
