"""History and time in stage: each stay of a record at a stage, read from its events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

import attrs

from crmcore.domain import Event
from crmcore.domain.event import changes_of


@attrs.frozen(kw_only=True)
class Visit:
    """A stay at a stage (停留): since when and until when (UTC; None while it lasts), how long so far, who moved the record
    there, and the reason given.
    """

    stage: str
    since: datetime
    until: datetime | None
    length: timedelta
    by: str
    reason: str | None


@attrs.frozen
class _Arrival:
    source: str | None
    stage: str
    since: datetime
    event: Event


def visits(events: Iterable[Event], now: datetime) -> list[Visit]:
    """The stays of one record, in order, from its events; those that tell of no stage don't matter.

    A record that came later than its stage, as an import brings them, begins with the ``stage_since`` it was given. The
    stays follow on one another without a gap, so that their lengths add up to the time since the first; one that a clock
    going back would have ended before it began has no length.
    """
    arrivals = _in_order([found for event in events if (found := _arrival(event)) is not None])
    made: list[Visit] = []
    since = arrivals[0].since if arrivals else now
    for arrival, following in pairwise([*arrivals, None]):
        assert arrival is not None
        until = max(since, following.since) if following else None
        length = max(until or now, since) - since
        event = arrival.event
        made.append(
            Visit(stage=arrival.stage, since=since, until=until, length=length, by=event.by, reason=event.reason)
        )
        since = until or since
    return made


def _arrival(event: Event) -> _Arrival | None:
    changes = changes_of(event)
    if "stage" not in changes:
        return None
    source, stage = changes["stage"]
    given = changes.get("stage_since")
    return _Arrival(source, stage, datetime.fromisoformat(given[1]) if given else event.at, event)


def _in_order(arrivals: Sequence[_Arrival]) -> list[_Arrival]:
    """As they followed on one another: each leaves the stage that the one before came to, the earliest first.

    Times alone can't tell where they are equal, or a clock went back. This is Hierholzer's way through a graph, which gives
    the order of time back wherever that is a way. Where there is none, since events are missing, times decide.
    """
    by_time = sorted(arrivals, key=lambda arrival: (arrival.event.at, arrival.event.id))
    leaving: dict[str | None, list[_Arrival]] = {}
    for arrival in reversed(by_time):
        leaving.setdefault(arrival.source, []).append(arrival)
    way: list[_Arrival] = []
    going: list[_Arrival | None] = [None]
    while going:
        here = going[-1]
        if further := leaving.get(here.stage if here else None):
            going.append(further.pop())
        elif last := going.pop():
            way.append(last)
    return way[::-1] if len(way) == len(by_time) else by_time
