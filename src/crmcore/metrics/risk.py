"""Who may be lost and who may want more (seed 001): findings by the rules of the playbook, each with its reason.

Nothing is guessed: a rule that the playbook doesn't give finds nobody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import attrs

from crmcore.domain.customer import Customer
from crmcore.domain.duration import Duration
from crmcore.domain.follow_up import FollowUp
from crmcore.domain.opportunity import Order
from crmcore.domain.playbook import Playbook
from crmcore.domain.policies import Label, Risks
from crmcore.domain.relation import Referral
from crmcore.domain.service import Feedback, Ticket
from crmcore.domain.values import Money
from crmcore.metrics.dimensions import facet_column, shown_order
from crmcore.metrics.tables import NOT_GIVEN, Cell, Column, Table
from crmcore.rules.timing import add_months, day_after, local_day

#: What a finding is called; the keys stand in the order in which findings are listed.
RISKS: Mapping[str, Label] = {
    "complaint": Label(zh="投诉未处理完", en="Open complaint"),
    "contract": Label(zh="合同到期未续", en="Contract not renewed"),
    "silent": Label(zh="长期未跟进", en="Untouched"),
    "falling": Label(zh="往来减少", en="Falling activity"),
}
CHANCES: Mapping[str, Label] = {
    "needs": Label(zh="需求扩大", en="Changed needs"),
    "orders": Label(zh="订单增长", en="Growing orders"),
    "referrals": Label(zh="转介绍", en="Referrals"),
    "satisfied": Label(zh="满意", en="Satisfied"),
}


@attrs.frozen
class Finding:
    """Why a customer is on the list: the rule, and the reason in both languages."""

    rule: str
    reason: Label


@attrs.frozen
class Flagged:
    """A customer, with every finding about it."""

    customer: Customer
    findings: tuple[Finding, ...]


@attrs.frozen(kw_only=True)
class Risk:
    """What :func:`risk` found; both lists have the customers with the most findings first, then by tier and number."""

    playbook: Playbook
    at_risk: tuple[Flagged, ...]
    candidates: tuple[Flagged, ...]

    @property
    def tables(self) -> tuple[Table, ...]:
        """One row per finding: who may be lost, and who may want more."""
        return (
            self._table("churn_risks", "流失风险", "Churn risks", RISKS, self.at_risk),
            self._table("upgrade_candidates", "升级候选", "Upgrade candidates", CHANCES, self.candidates),
        )

    def to_plain(self) -> dict[str, Any]:
        """For JSON: two lists of customers with their findings."""
        return {"churn_risks": _plain(self.at_risk), "upgrade_candidates": _plain(self.candidates)}

    def _table(self, key: str, zh: str, en: str, rules: Mapping[str, Label], found: Sequence[Flagged]) -> Table:
        reasons = {finding.reason.en: finding.reason for one in found for finding in one.findings}
        columns = (
            Column("number", "客户编号", "Customer number"),
            Column("name", "客户名称", "Customer name"),
            facet_column("tier", self.playbook),
            Column("owner", "负责人", "Owner", blank=NOT_GIVEN),
            Column("rule", "依据", "Finding", labels=rules),
            Column("reason", "原因", "Reason", labels=reasons),
        )
        rows: list[tuple[Cell, ...]] = [
            (
                one.customer.number,
                one.customer.name,
                one.customer.tier,
                one.customer.owner,
                finding.rule,
                finding.reason.en,
            )
            for one in found
            for finding in one.findings
        ]
        return Table(key, zh, en, columns, tuple(rows))


def _plain(found: Iterable[Flagged]) -> list[dict[str, Any]]:
    return [
        {
            **{name: getattr(one.customer, name) for name in ("id", "number", "name", "tier", "owner")},
            "findings": [
                {"rule": item.rule, "reason": {"zh": item.reason.zh, "en": item.reason.en}} for item in one.findings
            ],
        }
        for one in found
    ]


@attrs.frozen(kw_only=True)
class _Evidence:
    """What is known of one customer, in the two windows that end with today: (before, now)."""

    contacts: tuple[int, int] = (0, 0)
    needs: date | None = None
    orders: Mapping[str, tuple[int, int]] = attrs.field(factory=dict)
    referrals: int = 0
    complaints: tuple[date, ...] = ()
    word: tuple[datetime, str | int] | None = None


def risk(
    playbook: Playbook,
    *,
    customers: Iterable[Customer],
    follow_ups: Iterable[FollowUp] = (),
    feedback: Iterable[Feedback] = (),
    tickets: Iterable[Ticket] = (),
    orders: Iterable[Order] = (),
    referrals: Iterable[Referral] = (),
    now: datetime,
    zone: ZoneInfo,
) -> Risk:
    """The customers that a rule of ``playbook.risks`` finds something about, as of ``now``; days are those of the zone.

    Risks are sought among customers that aren't at an end of the lifecycle (lost, or an end that isn't won), candidates
    among those at a won stage. The last window holds the days after ``window`` before today up to today, the one before it
    has the same length. A candidate has at least ``signals`` findings.

    - silent: ``silent_for`` has passed since the last contact (else the first, else registration); of ``silent_tiers``, where
      there are tiers.
    - contract: it expires within ``renewal_within``, or has expired. A renewal moves that day, so this asks for nothing more.
    - complaint: a feedback of type complaint isn't confirmed.
    - falling: of ``activity_least`` conversations or more in the window before, ``activity_fall`` percent or more are missing in the last.
    - needs: a conversation in the last window notes changed needs.
    - orders: what was signed in the last window exceeds the window before by ``orders_growth`` percent or more, in one currency.
    - referrals: as many as ``referrals`` in the last window.
    - satisfied: the customer's last word in the window is satisfied, or at least ``satisfied_stars``.
    """
    policy, today = playbook.risks, local_day(now, zone)
    evidence = _gathered(policy, today, zone, follow_ups, feedback, tickets, orders, referrals)
    at_risk, candidates = [], []
    for customer in customers:
        stage = playbook.lifecycle.find(customer.stage)
        known = evidence.get(customer.id) or _Evidence()
        won = stage is not None and stage.outcome == "won"
        if stage is None or won or not (stage.outcome == "lost" or stage.final):
            found = tuple(_risks(customer, known, playbook, today, zone))
            if found:
                at_risk.append(Flagged(customer, found))
        if won:
            found = tuple(_chances(known, policy))
            if len(found) >= max(1, policy.signals):
                candidates.append(Flagged(customer, found))
    return Risk(playbook=playbook, at_risk=_ranked(at_risk, playbook), candidates=_ranked(candidates, playbook))


def _ranked(found: Sequence[Flagged], playbook: Playbook) -> tuple[Flagged, ...]:
    tiers = list(playbook.vocabulary("customer.tier"))
    present = {one.customer.tier for one in found}
    place = {key: index for index, key in enumerate(shown_order(present, dict.fromkeys(present, 0), tiers))}
    return tuple(
        sorted(
            found, key=lambda one: (-len(one.findings), place[one.customer.tier], one.customer.number, one.customer.id)
        )
    )


def _earlier(day: date, length: Duration) -> date:
    """The day that lies a duration of whole days or months before another."""
    if length.unit == "months":
        return add_months(day, -length.amount)
    return day - timedelta(days=length.amount)


def first_day_compared(policy: Risks, today: date) -> date:
    """The day after which the window before the last one begins."""
    return _earlier(_earlier(today, policy.window), policy.window)


def _gathered(
    policy: Risks,
    today: date,
    zone: ZoneInfo,
    follow_ups: Iterable[FollowUp],
    feedback: Iterable[Feedback],
    tickets: Iterable[Ticket],
    orders: Iterable[Order],
    referrals: Iterable[Referral],
) -> dict[str, _Evidence]:
    """Everything that is known of each customer, in one pass over each kind of record."""
    middle = _earlier(today, policy.window)
    first = first_day_compared(policy, today)

    def window(day: date | None) -> int | None:
        """0 for the window before, 1 for the last."""
        if day is None or not first < day <= today:
            return None
        return int(day > middle)

    contacts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    needs: dict[str, date] = {}
    for held in follow_ups:
        day = local_day(held.at, zone)
        if (index := window(day)) is None:
            continue
        contacts[held.customer_id][index] += 1
        if index and held.changed_needs:
            needs[held.customer_id] = max(day, needs.get(held.customer_id, day))
    signed: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for order in orders:
        index = window(order.signed_on)
        if index is not None and order.amount is not None:
            signed[order.customer_id][order.amount.currency][index] += order.amount.minor
    made: dict[str, int] = defaultdict(int)
    for referral in referrals:
        made[referral.referrer_id] += window(referral.referred_on or local_day(referral.created_at, zone)) == 1
    complaints: dict[str, list[date]] = defaultdict(list)
    words: dict[str, tuple[datetime, str | int]] = {}
    for told in feedback:
        if told.type == "complaint" and told.state != "confirmed":
            complaints[told.customer_id].append(local_day(told.received_at, zone))
        if (
            told.confirmation is not None
            and told.closed_at is not None
            and window(local_day(told.closed_at, zone)) == 1
        ):
            word = (told.closed_at, told.confirmation)
            words[told.customer_id] = _later(words.get(told.customer_id), word)
    for ticket in tickets:
        ended = ticket.closed_at or ticket.solved_at
        if ticket.stars is not None and ended is not None and window(local_day(ended, zone)) == 1:
            words[ticket.customer_id] = _later(words.get(ticket.customer_id), (ended, ticket.stars))
    ids = {*contacts, *signed, *made, *complaints, *words}
    return {
        id: _Evidence(
            contacts=(contacts[id][0], contacts[id][1]) if id in contacts else (0, 0),
            needs=needs.get(id),
            orders={name: (sums[0], sums[1]) for name, sums in sorted(signed[id].items())} if id in signed else {},
            referrals=made.get(id, 0),
            complaints=tuple(sorted(complaints.get(id, ()))),
            word=words.get(id),
        )
        for id in ids
    }


def _later(one: tuple[datetime, str | int] | None, other: tuple[datetime, str | int]) -> tuple[datetime, str | int]:
    return other if one is None or (other[0], str(other[1])) > (one[0], str(one[1])) else one


def _risks(customer: Customer, known: _Evidence, playbook: Playbook, today: date, zone: ZoneInfo) -> Iterator[Finding]:
    policy = playbook.risks
    if policy.open_complaint and known.complaints:
        day, count = known.complaints[0], len(known.complaints)
        yield _finding(
            "complaint", f"{count}件投诉未确认,最早为{day}", f"{count} complaints not confirmed, the first of {day}"
        )
    expires = customer.contract_expires_on
    if policy.renewal_within is not None and expires is not None and expires <= day_after(today, policy.renewal_within):
        if expires < today:
            yield _finding(
                "contract", f"合同已于{expires}到期,未续约", f"the contract ran out on {expires} and wasn't renewed"
            )
        else:
            left = (expires - today).days
            yield _finding(
                "contract",
                f"合同将于{expires}到期(还有{left}天),未续约",
                f"the contract runs out on {expires}, in {left} days, not renewed",
            )
    tiers = policy.silent_tiers if playbook.tiers else ()
    if policy.silent_for is not None and (not tiers or (customer.tier or playbook.default_tier) in tiers):
        last = customer.last_follow_up_at
        day = local_day(last, zone) if last else customer.first_contact_on or local_day(customer.created_at, zone)
        if today >= day_after(day, policy.silent_for):
            gone = (today - day).days
            yield _finding("silent", f"自{day}起{gone}天无跟进", f"no contact since {day}, for {gone} days")
    before, now = known.contacts
    enough = policy.activity_fall is not None and before >= max(1, policy.activity_least)
    if enough and (before - now) * 100 >= before * (policy.activity_fall or 0):
        yield _finding(
            "falling",
            f"近一期往来{now}次,前一期{before}次",
            f"{now} conversations in the last {policy.window}, {before} in the {policy.window} before",
        )


def _chances(known: _Evidence, policy: Risks) -> Iterator[Finding]:
    if policy.changed_needs and known.needs is not None:
        yield _finding("needs", f"{known.needs}的跟进记录了需求变化", f"changed needs noted on {known.needs}")
    if policy.orders_growth is not None:
        for currency, (before, now) in known.orders.items():
            if before > 0 and (now - before) * 100 >= before * policy.orders_growth:
                was, is_now = (Money(minor, currency) for minor in (before, now))
                yield _finding("orders", f"订单由{was}增至{is_now}", f"orders grew from {was} to {is_now}")
                break
    if policy.referrals is not None and known.referrals >= max(1, policy.referrals):
        yield _finding(
            "referrals", f"近期转介绍{known.referrals}次", f"{known.referrals} referrals in the last {policy.window}"
        )
    if policy.satisfied_stars is not None and known.word is not None:
        word = known.word[1]
        if word == "satisfied":
            yield _finding("satisfied", "最近一次反馈确认为满意", "satisfied with the last answer")
        elif isinstance(word, int) and word >= policy.satisfied_stars:
            yield _finding("satisfied", f"最近一次评分{word}星", f"{word} stars in the last rating")


def _finding(rule: str, zh: str, en: str) -> Finding:
    return Finding(rule, Label(zh=zh, en=en))
