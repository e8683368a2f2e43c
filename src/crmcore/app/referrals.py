"""Referrals: who brought whom, and the incentive that is due once the referred customer is won (seed 003)."""

from __future__ import annotations

from datetime import date
from typing import Any

from crmcore.app.engine import UseCases
from crmcore.app.loops import build, future_issues, given
from crmcore.app.work import STAMPS, Work, or_default, refuse_fixed
from crmcore.domain import Customer, Referral
from crmcore.errors import Invalid, Issue
from crmcore.rules.timing import local_day, zone_named
from crmcore.storage.query import And, Eq, IsNull

_FIXED = (*STAMPS, "referrer_id", "referred_id", "succeeded_on", "incentive_given")


def note_won(work: Work, customer: Customer) -> None:
    """The referrals that brought a customer succeed when it is won. Called within the unit of work that wins it."""
    with work.following():
        for referral in work.find(Referral, And(Eq("referred_id", customer.id), IsNull("succeeded_on"))):
            work.change(referral, "referral.succeeded", {"succeeded_on": work.today})


def _note_won_already(work: Work, referral: Referral, customer: Customer) -> Referral:
    """A customer who is named late may be won by then; one who was won before it was referred was not won by that."""
    stage = work.playbook.lifecycle.find(customer.stage)
    if stage is None or stage.outcome != "won":
        return referral
    won_on = local_day(customer.stage_since, zone_named(work.playbook.timezone))
    if referral.referred_on is not None and won_on < referral.referred_on:
        return referral
    with work.following():
        return work.change(referral, "referral.succeeded", {"succeeded_on": won_on})


def _self_issues(referrer_id: str, referred: Customer | None) -> list[Issue]:
    if referred is None or referred.id != referrer_id:
        return []
    return [Issue(code="refused", field="referral.referred_id", facts={"why": "nobody refers themselves"})]


class Referrals(UseCases):
    """The use cases about referrals, for one user."""

    def make(
        self,
        referrer: Customer | str,
        *,
        referred: Customer | str | None = None,
        referred_name: str | None = None,
        referred_on: date | None = None,
        **values: Any,
    ) -> Referral:
        """Notes that a customer brought another (转介绍): one on file (``referred``), or one that only has a name yet.

        ``referred_on`` is today unless given; ``values`` are fields of :class:`Referral`, as ``incentive`` and ``referred_reach``.
        """

        def decide(work: Work) -> Referral:
            refuse_fixed("referral", values, _FIXED)
            by = work.current(Customer, referrer)
            who = work.current(Customer, referred) if referred is not None else None
            named = {"referred_name": or_default(referred_name, who.name if who else None)}
            told = {
                **values,
                **named,
                "referred_on": work.today if referred_on is None else referred_on,
                "referrer_id": by.id,
                "referred_id": who.id if who else None,
            }
            issues = [*_self_issues(by.id, who), *future_issues(work, "referral.referred_on", told["referred_on"])]
            if named["referred_name"] is None:
                issues.append(Issue(code="required", field="referral.referred_name"))
            made = work.begin(build(work, Referral, told, issues), "referral.made")
            return _note_won_already(work, made, who) if who else made

        return self.write(decide)

    def connect(self, referral: Referral | str, customer: Customer | str) -> Referral:
        """Says which customer on file was referred. If that one is won by now, the referral has succeeded."""

        def decide(work: Work) -> Referral:
            current = work.current(Referral, referral, ("referred_id",))
            who = work.current(Customer, customer)
            issues = _self_issues(current.referrer_id, who)
            if current.referred_id not in (None, who.id):
                facts = {"why": "another customer is named already"}
                issues.append(Issue(code="refused", field="referral.referred_id", facts=facts))
            if issues:
                raise Invalid(issues)
            connected = work.change(current, "referral.connected", {"referred_id": who.id})
            return connected if connected.succeeded_on else _note_won_already(work, connected, who)

        return self.write(decide)

    def reward(self, referral: Referral | str, *, incentive: str | None = None) -> Referral:
        """Notes that the incentive was given. It is due only when the referred customer is won."""

        def decide(work: Work) -> Referral:
            current = work.current(Referral, referral, ("incentive_given", "succeeded_on"))
            told = given({"incentive": or_default(incentive, current.incentive)})
            lacking = [name for name in ("succeeded_on",) if getattr(current, name) is None]
            lacking += [] if told else ["incentive"]
            issues = [Issue(code="required", field=f"referral.{name}") for name in lacking]
            if current.incentive_given:
                facts = {"why": "the incentive was given already"}
                issues.append(Issue(code="refused", field="referral.incentive_given", facts=facts))
            if issues:
                raise Invalid(issues)
            return work.change(current, "referral.rewarded", {**told, "incentive_given": True})

        return self.write(decide)

    def of(self, customer: Customer | str) -> list[Referral]:
        """The referrals that a customer made, in the order in which they were noted."""
        return self.listed(Referral, Eq("referrer_id", self.customer(customer).id))
