"""How often customers are to be contacted: what was owed on each track, met by which conversation, from the first day on.

The answer depends on what happened and when, not on the order in which it was written down: a conversation that is logged a
week later counts for the day on which it took place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import NamedTuple

from crmcore.domain.policies import Cadence
from crmcore.rules.owed import Owed
from crmcore.rules.rulebook import CONTACT, Rulebook


class Standing(NamedTuple):
    """What a customer was from a moment on, as far as cadences go by it; ``event_id`` is the event that told it."""

    at: datetime
    event_id: str
    stage: str
    tier: str | None
    owner: str | None
    stage_since: datetime
    first_contact_on: date | None


class Conversation(NamedTuple):
    """A conversation that took place at a moment. Without ``follow_up_id`` only that it took place is known."""

    at: datetime
    event_id: str
    follow_up_id: str | None
    method: str | None
    purpose: str | None


class Waiver(NamedTuple):
    """An obligation was let go, with a reason."""

    at: datetime
    event_id: str
    obligation_id: str
    reason: str | None


def meets(cadence: Cadence, conversation: Conversation) -> bool:
    """Whether a conversation is what a cadence asks for.

    Any conversation meets the track ``contact``, and a cadence that takes ``any_contact``. Another one is met by a conversation
    whose purpose is that track, or that took place by the method that the cadence names: the monthly 高层互动 is not met by a
    telephone call (seed 001).
    """
    if cadence.track == CONTACT or cadence.any_contact:
        return True
    return conversation.purpose == cadence.track or (
        cadence.method is not None and conversation.method == cadence.method
    )


def owed_by_cadence(
    customer_id: str,
    standings: Sequence[Standing],
    conversations: Iterable[Conversation],
    waivers: Iterable[Waiver],
    rulebook: Rulebook,
) -> list[Owed]:
    """Everything that cadences ever asked for: of each track one after the other, at most one of them open.

    The track ``contact`` counts from the last conversation, before there is one from the first contact or the day of
    registration; any other track from when it was last met, or began. Nothing falls due before the day on which it began to
    hold (at first: since which the customer is at its stage): nobody is late for what did not hold yet.
    """
    if not standings:
        return []
    walk = _Walk(customer_id, rulebook, standings[0])
    began = standings[0].at
    facts: list[Standing | Conversation | Waiver] = [*standings, *waivers]
    for conversation in conversations:
        # What a registration tells of was before it.
        if conversation.at < began or conversation.event_id == standings[0].event_id:
            walk.last = conversation.at if walk.last is None else max(walk.last, conversation.at)
        else:
            facts.append(conversation)
    facts.sort(key=_moment)
    for fact in facts:
        if type(fact) is Conversation:
            walk.talk(fact)
        elif type(fact) is Standing:
            walk.stand(fact)
        elif type(fact) is Waiver:
            walk.waive(fact)
    return walk.found


def _moment(fact: Standing | Conversation | Waiver) -> tuple[datetime, str]:
    return fact[0], fact[1]


class _Walk:
    """Goes through a customer's life in the order of time and keeps what is open on each track."""

    def __init__(self, customer_id: str, rulebook: Rulebook, first: Standing) -> None:
        self.customer_id = customer_id
        self.rulebook = rulebook
        self.first = first
        self.now = first
        self.last: datetime | None = None
        self.in_force: tuple[Cadence, ...] = ()
        self.open: dict[str, Owed] = {}
        self.began: dict[str, datetime] = {}
        self.waived: dict[str, str] = {}
        self.found: list[Owed] = []

    def stand(self, now: Standing) -> None:
        """The customer came to another stage, tier or owner: what is still open is planned anew (seed 000)."""
        moved_first_contact = self.last is None and now.first_contact_on != self.now.first_contact_on
        self.now = now
        self.in_force = self.rulebook.cadences(now.stage, now.tier) if self.rulebook.is_owed(now.stage) else ()
        tracks = {cadence.track for cadence in self.in_force}
        for track in [track for track in self.open if track not in tracks]:
            self.open.pop(track).close("superseded", now.at)
        for kept in (self.began, self.waived):
            for track in [track for track in kept if track not in tracks]:
                del kept[track]
        is_first = now is self.first
        floor = self.rulebook.day(now.stage_since if is_first else now.at)
        for cadence in self.in_force:
            rule, old = f"cadence.{cadence.key}", self.open.get(cadence.track)
            if self.waived.get(cadence.track) == rule:
                continue
            self.waived.pop(cadence.track, None)
            if old is not None:
                old.owner = now.owner
                if old.rule == rule and not (moved_first_contact and cadence.track == CONTACT):
                    continue
                old.close("superseded", now.at)
            self.began.setdefault(cadence.track, now.stage_since if is_first else now.at)
            self._begin(cadence, now.at, now.event_id, floor)

    def talk(self, conversation: Conversation) -> None:
        """A conversation took place: it meets what it is fit for, and the next is due from then on."""
        at = self.last = conversation.at
        for cadence in self.in_force:
            track = cadence.track
            if track != CONTACT and not meets(cadence, conversation):
                continue
            if old := self.open.pop(track, None):
                old.meet(at, conversation.follow_up_id)
            self.waived.pop(track, None)
            self.began[track] = at
            self._begin(cadence, at, conversation.event_id, None)

    def waive(self, waiver: Waiver) -> None:
        """It comes back with the next conversation, or when another cadence takes its place."""
        for track, owed in self.open.items():
            if owed.id == waiver.obligation_id:
                owed.close("waived", waiver.at, waiver.reason)
                self.waived[track] = owed.rule
                del self.open[track]
                return

    def _begin(self, cadence: Cadence, at: datetime, event_id: str, floor: date | None) -> None:
        rulebook, track = self.rulebook, cadence.track
        if track == CONTACT or cadence.any_contact:
            if self.last is not None:
                base, day = self.last, rulebook.day(self.last)
            else:
                day = self.now.first_contact_on or rulebook.day(self.first.at)
                base = rulebook.day_start(day) if self.now.first_contact_on else self.first.at
        else:
            base = self.began[track]
            day = rulebook.day(base)
        due = rulebook.cadence_day(cadence, day)
        if floor is not None and due < floor:
            due = floor
        rule, on_track = self.rulebook.names[cadence.key]
        starts, ends = rulebook.day_span(due)
        owed = Owed(
            f"{event_id}:{rule}",
            rule,
            on_track,
            self.customer_id,
            self.customer_id,
            self.now.owner,
            at,
            ends,
            base,
            starts,
        )
        self.open[track] = owed
        self.found.append(owed)
