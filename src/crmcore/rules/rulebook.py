"""A playbook made ready for the questions of :mod:`crmcore.rules.obligations`: calendar compiled, rules by what they listen to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from functools import cached_property
from hashlib import sha256
from typing import NamedTuple

from crmcore.domain.duration import Duration
from crmcore.domain.fields import LAST_DAY
from crmcore.domain.playbook import MOMENTS, Playbook
from crmcore.domain.policies import Cadence, Stage, StageGraph, Target
from crmcore.rules.calendar_reading import read_calendar
from crmcore.rules.calendars import WorkingCalendar, round_the_clock
from crmcore.rules.timing import day_after, day_end, day_start, due_at, due_day, zone_named
from crmcore.rules.working_days import add_working_days, is_working_day, working_day_after
from crmcore.rules.working_time import WorkingTime, working_time

CONTACT = "contact"
"""The track that every conversation meets."""

#: Moments that an event brings about beside the one of its own name.
_ALSO: Mapping[str, tuple[str, ...]] = {
    # Who answers needed no plan any more, and who solves has answered.
    "feedback.answered": ("feedback.planned",),
    "ticket.solved": ("ticket.answered",),
    "ticket.closed": ("ticket.answered", "ticket.solved"),
}
#: Which moments a reopening takes back: the first answer stays given.
REOPENS: Mapping[str, frozenset[str]] = {
    "feedback.reopened": frozenset(("feedback.planned", "feedback.answered", "feedback.confirmed")),
    "ticket.reopened": frozenset(("ticket.solved", "ticket.closed")),
}
#: Events after which nothing more is owed about their subject.
ENDS = frozenset(
    ("feedback.confirmed", "ticket.closed", "opportunity.lost", "opportunity.left", "action_plan.cancelled")
)
#: Where a moment has a time of its own, the field that holds it.
EFFECTIVE: Mapping[str, str] = {
    "customer.won": "stage_since",
    "follow_up.held": "at",
    "feedback.received": "received_at",
    "ticket.opened": "opened_at",
    "opportunity.opened": "stage_since",
}
#: The field of a record that says who owes what is due of it, where its target names none.
OWED_BY: Mapping[str, str] = {"feedback": "responsible", "ticket": "assignee", "follow_up": "recorder"}

_CADENCE = ("key", "every", "track", "tiers", "stages", "method", "working_days", "any_contact")
_TARGET = ("key", "on", "met_by", "within", "fields", "owed_by", "warn", "pause", "reopening", "boundary")

# Any day serves to compare two durations, as long as it is the same for both and starts a long month.
_SOME_DAY = date(2026, 1, 1)


def calendar_of(playbook: Playbook) -> WorkingCalendar:
    """The team's working calendar; always open where the playbook gives none. Raises :class:`Invalid`."""
    if not playbook.calendar:
        return round_the_clock(playbook.timezone)
    return read_calendar({"timezone": playbook.timezone, **playbook.calendar})


class Reaction(NamedTuple):
    """What an action says by its name: of which entity, what was done, the moments it brings about; whether a target can
    begin or change by it, whatever is open, or be met by it if it is."""

    entity: str
    done: str
    moments: tuple[str, ...]
    begins: bool
    meets: bool


class Rulebook:
    """A playbook's rules about what is owed, compiled. Make one per playbook and keep it."""

    def __init__(self, playbook: Playbook) -> None:
        self.playbook = playbook
        self.zone = zone_named(playbook.timezone)
        targets = playbook.targets
        self.entities = {target.key: entity_of(target) for target in targets}
        self.conditions = {
            target.key: tuple((*field.split(".", 1), value) for field, value in target.where.items())
            for target in targets
        }
        self.on = _by((target.on, target) for target in targets if target.on in MOMENTS)
        self.met_by = _by((target.met_by, target) for target in targets)
        self.conditional = _by((entity_of(target), target) for target in targets if target.where)
        self.dated = _by((entity_of(target), target) for target in targets if target.on not in MOMENTS)
        self.shared = _by((entity_of(target), target) for target in targets if target.owed_by == "collaborators")
        looked_at = [(f.partition(".")[0], t) for t in targets if t.on == "customer.changed" for f in t.fields]
        self.resting = tuple(
            target
            for target in targets
            if entity_of(target) != "customer" and any(field.startswith("customer.") for field in target.where)
        )
        self.changing = _by(dict.fromkeys(looked_at))
        self.completing = tuple(target for target in targets if target.met_by == "customer.completed")
        self.names = {one.key: (f"cadence.{one.key}", f"cadence.{one.track}") for one in playbook.cadences}
        self._reactions: dict[str, Reaction] = {}
        self._cadences: dict[tuple[str, str | None], tuple[Cadence, ...]] = {}
        self._days: dict[tuple[str, date], date] = {}
        self._spans: dict[date, tuple[datetime, datetime]] = {}

    @cached_property
    def working(self) -> WorkingTime:
        """The team's working time. What is due beyond the days for which it is confirmed is worked out all the same; the
        explanation of it says so."""
        return working_time(calendar_of(self.playbook))

    @cached_property
    def digest(self) -> str:
        """A text that differs for two playbooks under which something else may be owed; labels don't count."""
        playbook = self.playbook
        graphs = (playbook.lifecycle, *playbook.pipelines.values())
        said = (
            (playbook.timezone, playbook.cadence_policy, playbook.default_tier, sorted(playbook.calendar.items())),
            # With a new notice of China's holidays other days are open.
            self.working.calendar.confirmed_until,
            (playbook.default_pipeline, list(playbook.pipelines)),
            [[(one.key, one.outcome, one.final) for one in graph.stages] for graph in graphs],
            [(move.source, move.target) for graph in graphs for move in graph.transitions if move.rollback],
            [[getattr(one, name) for name in _CADENCE] for one in playbook.cadences],
            [[getattr(one, name) for name in _TARGET] + [sorted(one.where.items())] for one in playbook.targets],
        )
        return sha256(repr(said).encode()).hexdigest()

    @cached_property
    def listens(self) -> frozenset[str]:
        """The actions of events that can change what is owed."""
        own = {moment for target in self.playbook.targets for moment in (target.on, target.met_by)}
        told = {action for action, moments in _ALSO.items() if own & {action, *moments}}
        about = {*self.entities.values(), *self.changing, *_ALWAYS}
        if any(moment.startswith("opportunity.") for moment in own):
            # That it was won or came further stands in what a move says, not in its name.
            about.add("opportunity")
        return frozenset((*own, *told, *(f"{entity}.*" for entity in about)))

    def hears(self, action: str) -> bool:
        """Whether an event of that action can change what is owed."""
        return action in self.listens or f"{action.partition('.')[0]}.*" in self.listens

    def reaction(self, action: str) -> Reaction:
        """What an event of that action means to the rules, whatever is in it."""
        known = self._reactions.get(action)
        if known is None:
            entity, _, done = action.partition(".")
            moments = moments_of(action)
            began = [*self.on, *REOPENS, *ENDS]
            known = self._reactions[action] = Reaction(
                entity,
                done,
                moments,
                # What a stage means stands in the event alone.
                begins=entity in ("customer", "opportunity")
                or any(moment in began for moment in moments)
                or any(entity in kinds for kinds in (self.conditional, self.dated, self.shared, self.changing)),
                meets=any(moment in self.met_by for moment in moments),
            )
        return known

    # Stages and cadences

    def is_owed(self, stage: str) -> bool:
        """Whether a customer at that stage is owed anything: a lost one is not, nor one at an end that was not won."""
        found = self.playbook.lifecycle.find(stage)
        return found is None or not (found.outcome == "lost" or (found.final and found.outcome != "won"))

    def cadences(self, stage: str, tier: str | None) -> tuple[Cadence, ...]:
        """The cadences in force, one per track, chosen by the playbook's policy.

        ``strictest`` takes the most frequent; ``tier_first`` and ``stage_first`` prefer those that name the tier or the
        stage, and among equals the most frequent (seeds 000 by stage, 001 and 003 by tier; ``standard`` takes the strictest).
        """
        known = self._cadences.get((stage, tier))
        if known is None:
            known = self._cadences[stage, tier] = tuple(self._chosen(stage, tier or self.playbook.default_tier))
        return known

    def _chosen(self, stage: str, tier: str | None) -> Iterable[Cadence]:
        chosen: dict[str, Cadence] = {}
        for cadence in self.playbook.cadences:
            if (cadence.tiers and tier not in cadence.tiers) or (cadence.stages and stage not in cadence.stages):
                continue
            rival = chosen.get(cadence.track)
            if rival is None or self._rank(cadence) < self._rank(rival):
                chosen[cadence.track] = cadence
        return chosen.values()

    def _rank(self, cadence: Cadence) -> tuple[bool, date]:
        named = {"strictest": True, "tier_first": bool(cadence.tiers), "stage_first": bool(cadence.stages)}
        return not named[self.playbook.cadence_policy], self.day_after(_SOME_DAY, cadence.every)

    # Time

    def day(self, moment: datetime) -> date:
        """The team's calendar day of an aware moment."""
        return moment.astimezone(self.zone).date()

    def day_after(self, day: date, duration: Duration) -> date:
        """The day that lies a duration of days, months or working days after another."""
        if duration.unit == "working_days":
            return working_day_after(self.working.unchecked, day, duration.amount)
        return day_after(day, duration)

    def cadence_day(self, cadence: Cadence, base: date) -> date:
        """The day on which a cadence falls due that counts from another; an open one where the cadence asks for that."""
        key = cadence.key, base
        known = self._days.get(key)
        if known is None:
            known = min(self.day_after(base, cadence.every), LAST_DAY)
            if cadence.working_days and not is_working_day(self.working.unchecked, known):
                known = working_day_after(self.working.unchecked, known, 1)
            self._days[key] = known
        return known

    def day_span(self, day: date) -> tuple[datetime, datetime]:
        """The first moment (UTC) of a day, and the first that is no longer that day."""
        known = self._spans.get(day)
        if known is None:
            known = self._spans[day] = day_start(day, self.zone), day_end(day, self.zone)
        return known

    def day_end(self, day: date) -> datetime:
        """The first moment (UTC) that is no longer that day."""
        return self.day_span(day)[1]

    def day_start(self, day: date) -> datetime:
        """The first moment (UTC) of that day."""
        return self.day_span(day)[0]

    def after(self, moment: datetime, duration: Duration) -> datetime:
        """The first moment (UTC) that is too late for what is to be done within a duration; a working day ends at its last close."""
        if duration.unit == "working_hours":
            return self.working.unchecked.due(moment, timedelta(hours=duration.amount))
        if duration.unit == "working_days":
            return add_working_days(self.working.unchecked, moment, duration.amount, landing="close")
        return due_at(moment, duration, self.zone)

    def warn_at(self, due: datetime, lead: Duration) -> datetime:
        """The moment so long before something is due. Days are whole ones before its last day."""
        if lead.unit in ("minutes", "hours"):
            return due - timedelta(**{lead.unit: lead.amount})
        if lead.unit == "working_hours":
            return self.working.unchecked.due(due, -timedelta(hours=lead.amount))
        last = due_day(due, self.zone)
        if lead.unit == "working_days":
            return day_start(working_day_after(self.working.unchecked, last, -lead.amount), self.zone)
        return day_start(day_after(last, lead, back=True), self.zone)


#: Whatever a playbook says, these change what is owed: the customer itself, what is planned and said, and what is let go.
_ALWAYS = ("customer", "follow_up", "follow_up_plan", "obligation")


def entity_of(target: Target) -> str:
    """The entity whose records a target is about."""
    return target.on.partition(".")[0]


def moments_of(action: str) -> tuple[str, ...]:
    """The moments that an event brings about whatever is in it, the weaker first."""
    if action == "follow_up.logged":
        return ("follow_up.held", action)
    # Of an imported conversation nobody knows when it was first written down: no target holds for it.
    return () if action == "follow_up.imported" else (*_ALSO.get(action, ()), action)


def advanced(graph: StageGraph | None, before: str | None, after: Stage | None) -> bool:
    """Whether a move leads on: to a stage that isn't lost, by a way that is no rollback."""
    if graph is None or before is None or after is None or after.outcome == "lost":
        return False
    way = graph.transition(before, after.key)
    return way is None or not way.rollback


def _by(pairs: Iterable[tuple[str, Target]]) -> Mapping[str, tuple[Target, ...]]:
    found: dict[str, tuple[Target, ...]] = {}
    for key, target in pairs:
        found[key] = (*found.get(key, ()), target)
    return found
