"""What is owed to a customer, derived from the customer, the playbook and what is planned; and how it comes to its end.

Cadences, planned follow-ups and fields to be completed are all obligations. :func:`wanted` says which ones should be open;
:func:`settle` compares that with those that are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

import attrs

from crmcore.domain import Customer, FollowUp, FollowUpPlan, Obligation
from crmcore.domain.playbook import Playbook
from crmcore.domain.policies import Cadence
from crmcore.rules.stages import value_of
from crmcore.rules.timing import day_after, day_end, day_start, due_at, local_day

PLAN_RULE = "plan"
CONTACT = "contact"
"""The track that every conversation meets."""
NO_TRACKS: Mapping[str, datetime] = {}


@attrs.frozen
class Wanted:
    """An obligation that should be open: one per track and subject."""

    rule: str
    track: str
    subject_id: str
    owner: str | None
    opened_at: datetime
    warn_at: datetime | None
    due_at: datetime


def cadences_for(customer: Customer, playbook: Playbook) -> list[Cadence]:
    """The cadences in force for a customer: one per track, chosen by the playbook's policy.

    ``strictest`` takes the most frequent; ``tier_first`` and ``stage_first`` prefer those that name the tier or the stage,
    and among equals the most frequent (seeds 000 by stage, 001 and 003 by tier; ``standard`` takes the strictest).
    """
    tier = customer.tier or playbook.default_tier
    chosen: dict[str, Cadence] = {}
    for cadence in playbook.cadences:
        if (cadence.tiers and tier not in cadence.tiers) or (cadence.stages and customer.stage not in cadence.stages):
            continue
        rival = chosen.get(cadence.track)
        if rival is None or _rank(cadence, playbook) < _rank(rival, playbook):
            chosen[cadence.track] = cadence
    return list(chosen.values())


# Any day serves to compare two durations, as long as it is the same for both and starts a long month.
_SOME_DAY = date(2026, 1, 1)


def _rank(cadence: Cadence, playbook: Playbook) -> tuple[bool, date]:
    named = {"strictest": True, "tier_first": bool(cadence.tiers), "stage_first": bool(cadence.stages)}
    return not named[playbook.cadence_policy], day_after(_SOME_DAY, cadence.every)


def wanted(
    customer: Customer,
    plans: Iterable[FollowUpPlan],
    playbook: Playbook,
    zone: ZoneInfo,
    running: Mapping[str, datetime] = NO_TRACKS,
) -> list[Wanted]:
    """What should be open for a customer now: its cadences, its planned follow-ups, and the fields that a deal leaves to be
    completed. A lost customer is owed nothing.

    The track ``contact`` counts from the last real contact. Any other track counts from the moment that ``running`` gives for
    it (when it was last met, or began), else from the day the customer came to its stage. Nothing falls due before the day
    of the last change of stage: nobody is late for what did not hold yet.
    """
    stage = playbook.lifecycle.find(customer.stage)
    if stage is not None and (stage.outcome == "lost" or (stage.final and stage.outcome != "won")):
        return []
    found = [_planned(plan, customer, zone) for plan in plans if plan.state == "planned"]
    return [*found, *_cadences(customer, playbook, zone, running), *_completions(customer, playbook, zone)]


def _cadences(
    customer: Customer, playbook: Playbook, zone: ZoneInfo, running: Mapping[str, datetime]
) -> Iterator[Wanted]:
    last = customer.last_follow_up_at
    met = local_day(last, zone) if last else customer.first_contact_on or local_day(customer.created_at, zone)
    since = local_day(customer.stage_since, zone)
    for cadence in cadences_for(customer, playbook):
        track = f"cadence.{cadence.track}"
        began = running.get(track, customer.stage_since)
        contact = cadence.track == CONTACT
        day = max(day_after(met if contact else local_day(began, zone), cadence.every), since)
        yield Wanted(
            rule=f"cadence.{cadence.key}",
            track=track,
            subject_id=customer.id,
            owner=customer.owner,
            opened_at=(last or customer.created_at) if contact else began,
            warn_at=day_start(day, zone),
            due_at=day_end(day, zone),
        )


def meets(follow_up: FollowUp, obligation: Obligation, playbook: Playbook) -> bool:
    """Whether a conversation is what a cadence asks for.

    Any conversation meets the track ``contact``. Another track is met by one whose ``purpose`` is that track, or that took
    place by the method that the cadence names: the monthly 高层互动 is not met by a telephone call (seed 001).
    """
    kind, _, track = obligation.track.partition(".")
    if kind != "cadence":
        return False
    methods = {f"cadence.{cadence.key}": cadence.method for cadence in playbook.cadences}
    method = methods.get(obligation.rule)
    return track in (CONTACT, follow_up.purpose) or (method is not None and follow_up.method == method)


def is_won(customer: Customer, playbook: Playbook) -> bool:
    """Whether the customer is at a stage whose outcome is won (成交)."""
    stage = playbook.lifecycle.find(customer.stage)
    return stage is not None and stage.outcome == "won"


def _planned(plan: FollowUpPlan, customer: Customer, zone: ZoneInfo) -> Wanted:
    return Wanted(
        rule=PLAN_RULE,
        track=PLAN_RULE,
        subject_id=plan.id,
        owner=plan.owner or customer.owner,
        opened_at=plan.created_at,
        warn_at=day_start(plan.due_on, zone),
        due_at=day_end(plan.due_on, zone),
    )


def _completions(customer: Customer, playbook: Playbook, zone: ZoneInfo) -> list[Wanted]:
    """Fields that are to be filled in within a time of the deal (seed 003: three fields in 30 days)."""
    if not is_won(customer, playbook):
        return []
    return [
        Wanted(
            rule=f"target.{target.key}",
            track=f"target.{target.key}",
            subject_id=customer.id,
            owner=customer.owner,
            opened_at=customer.stage_since,
            warn_at=None,
            due_at=due_at(customer.stage_since, target.within, zone),  # type: ignore[arg-type]
        )
        for target in playbook.targets
        if target.on == "customer.won"
        and any(value_of(customer, field.rpartition(".")[2]) in (None, ()) for field in target.fields)
    ]


@attrs.frozen
class Settlement:
    """What has to be written: obligations that end, and those that begin."""

    ended: tuple[Obligation, ...]
    begun: tuple[Obligation, ...]


def settle(
    open_now: Sequence[Obligation],
    wanted_now: Sequence[Wanted],
    *,
    customer_id: str,
    now: datetime,
    new_id: Callable[[], str],
    met: Callable[[Obligation], bool] = lambda obligation: False,
    met_at: datetime | None = None,
    evidence_id: str | None = None,
    waived: Iterable[Obligation] = (),
) -> Settlement:
    """Brings the open obligations of a customer in line with the wanted ones.

    An open one that is still wanted as it is stays. Otherwise it ends: met (or met late) where ``met`` holds for it,
    by the evidence and at ``met_at``; superseded where it was only re-planned (seed 000). What was
    waived stays waived until it would fall due at another time. At most one stays open per track and subject.
    """
    let_go = {(item.rule, item.subject_id, item.due_at) for item in waived}
    remaining = {
        (item.track, item.subject_id): item
        for item in wanted_now
        if (item.rule, item.subject_id, item.due_at) not in let_go
    }
    ended: list[Obligation] = []
    for old in open_now:
        item = remaining.get((old.track, old.subject_id))
        fulfilled = met(old)
        same = item is not None and (item.rule, item.due_at, item.owner) == (old.rule, old.due_at, old.owner)
        if same and not fulfilled:
            del remaining[(old.track, old.subject_id)]
            continue
        moment = (met_at or now) if fulfilled else now
        ended.append(
            old.replace(
                version=old.version + 1,
                state=("met" if moment < old.due_at else "met_late") if fulfilled else "superseded",
                closed_at=moment,
                evidence_id=evidence_id if fulfilled else None,
            )
        )
    begun = [
        Obligation(
            id=new_id(),
            customer_id=customer_id,
            rule=item.rule,
            track=item.track,
            subject_id=item.subject_id,
            owner=item.owner,
            opened_at=item.opened_at,
            warn_at=item.warn_at,
            due_at=item.due_at,
        )
        for item in remaining.values()
    ]
    return Settlement(tuple(ended), tuple(begun))
