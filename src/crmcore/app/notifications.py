"""Telling people what they are to be reminded of: notices into the outbox, once each, and out of it through notifiers."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import attrs

from crmcore.app.engine import Engine, UseCases
from crmcore.app.finding import customers_of, read_all
from crmcore.app.obligations import notices_between
from crmcore.app.permitting import Recipients
from crmcore.app.work import Work
from crmcore.domain import OutboxMessage, Setting
from crmcore.domain.fields import Unclean, clean_instant
from crmcore.errors import DomainError, PluginError, QueryError
from crmcore.notify.contract import Notifier
from crmcore.notify.outbox import OutboxFacts, messages_of, outbox_facts
from crmcore.notify.policy import POLICY, DeliveryPolicy, revived
from crmcore.notify.relay import Relay, Tried
from crmcore.rules.timing import day_start
from crmcore.storage.query import Eq, In

FROM, UNTIL = "notices_from", "notices_until"
"""The settings that say since when, and up to when, notices were put into the outbox."""
_AT_ONCE = 200


@attrs.frozen(kw_only=True)
class Enqueued:
    """What was put into the outbox: the notices after ``since`` up to ``until`` that were not there yet."""

    since: datetime
    until: datetime
    notices: int
    messages: int


class Notifications(UseCases):
    """The use cases about notices that leave the house."""

    def __init__(self, engine: Engine, actor: str, *, policy: DeliveryPolicy = POLICY) -> None:
        super().__init__(engine, actor)
        self.policy = policy

    def enqueue(
        self, since: datetime | None = None, until: datetime | None = None, *, through: Iterable[str] | None = None
    ) -> Enqueued:
        """Puts every notice up to ``until``, now unless given, into the outbox, each once however often this is called.

        It goes on where it stopped the last time, so nothing is left out when it did not run for a while, and looks back
        some days for what came late. The first time it begins at ``since``, without it with yesterday; later an earlier
        ``since`` reaches further back, and a later one leaves no gap. Of what has been done in the meantime nobody is reminded.

        ``through`` names notifiers; each is given each notice. Without it those of the plugins, and where there are none
        the messages go to whichever notifier a relay has. Raises :class:`QueryError` for a moment that is not aware or that
        lies ahead, for an end before the beginning, and for anything but a list of keys.
        """
        self.engine.ask("outbox_message", "create")
        keys = _keys(self.engine.plugins.notifiers.notifiers if through is None else through)

        def decide(work: Work) -> Enqueued:
            end = work.now if until is None else _moment(until)
            if end > work.now:
                raise QueryError("notices are put into the outbox up to now, not ahead")
            asked = None if since is None else _moment(since)
            start = self._start(work, asked, end)
            if max(start, asked or start) > end:
                raise QueryError("a period does not end before it begins")
            notices = notices_between(work.transaction, work.rulebook, start, end)
            known = set[str]()
            for first in range(0, len(notices), _AT_ONCE):
                some = tuple(notice.id for notice in notices[first : first + _AT_ONCE])
                known |= {kept.notice_id for kept in work.find(OutboxMessage, In("notice_id", some))}
            new = [notice for notice in notices if notice.id not in known]
            customers = customers_of(work.transaction, new)
            messages = 0
            allowed = Recipients(work, self.engine)
            for notice in new:
                customer = customers.get(notice.customer_id or "")
                told = allowed.of(notice, customer)
                for message in messages_of(told, customer.number if customer else None, keys) if told else ():
                    work.add(message, "outbox_message.enqueued")
                    messages += 1
            _keep(work, UNTIL, end)
            return Enqueued(since=start, until=end, notices=len(new), messages=messages)

        return self.engine.plain.write(self.actor, decide)

    def _start(self, work: Work, since: datetime | None, end: datetime) -> datetime:
        """From when on notices are looked for; keeps the earliest moment that it was ever asked for."""
        first, last = _kept(work, FROM), _kept(work, UNTIL)
        if first is None or last is None:
            first = since or day_start(work.today - timedelta(days=1), self.engine.zone)
            _keep(work, FROM, first)
            return first
        if since is not None and since < first:
            _keep(work, FROM, since)
        # A clock that went back leaves a mark that lies ahead.
        back = max(first, min(last, end) - self.policy.look_back)
        return back if since is None else min(since, back)

    def find(self, state: str = "waiting", *, limit: int | None = None) -> list[OutboxMessage]:
        """The messages of a state (``waiting``, ``sent``, ``dead``), in the order of the moments that they are for."""
        allowed = OutboxMessage.kinds["state"].choices
        if state not in allowed:
            raise QueryError(f"state is one of {', '.join(allowed)}", field="state")
        return self.engine.read(lambda look: list(read_all(look, OutboxMessage, Eq("state", state), ("at",), limit)))

    def retry(self, message: OutboxMessage | str | None = None) -> int:
        """Has a dead message tried again, or all of them, as if for the first time; says how many.

        Raises :class:`NotFound`, and :class:`DomainError` for one that isn't dead.
        """

        def decide(work: Work) -> int:
            if message is None:
                found = work.find(OutboxMessage, Eq("state", "dead"))
            else:
                found = [work.current(OutboxMessage, message)]
            for one in found:
                if one.state != "dead":
                    raise DomainError(f"the message is {one.state}, not dead")
                work.put(revived(one, work.now), one, "outbox_message.revived")
            return len(found)

        self.engine.ask("outbox_message", "update")
        return self.engine.plain.write(self.actor, decide)

    def facts(self) -> OutboxFacts:
        """How the outbox stands."""
        return self.engine.read(outbox_facts)

    def relay(self, *notifiers: Notifier, name: str | None = None) -> Relay:
        """A relay on this store, through these notifiers, or through those of the plugins.

        Raises :class:`PluginError` where there are none, with what was wrong with those that can't be used.
        """
        self.engine.ask("outbox_message", "update")
        crm = self.engine
        offered = crm.plugins.notifiers
        used = list(notifiers or offered.notifiers.values())
        if not used:
            why = "; ".join(map(str, offered.faults)) or "no plugin brings one"
            raise PluginError(f"there is no notifier: {why}")
        return Relay(
            crm.store,
            used,
            name=name or f"{socket.gethostname()}:{os.getpid()}:{crm.new_id()}",
            clock=crm.now,
            policy=self.policy,
            zone=crm.zone,
        )

    def deliver(self, *notifiers: Notifier) -> list[Tried]:
        """Sends what can be sent now, each message once, and says what became of each."""
        return list(self.relay(*notifiers).run())


def _keys(given: Iterable[str]) -> Sequence[str | None]:
    """The notifiers that each notice is given to: None, whichever a relay has, where none is named."""
    named = [] if isinstance(given, str) else list(given)
    if isinstance(given, str) or not all(isinstance(key, str) and key.strip() for key in named):
        raise QueryError("notifiers are named by a list of their keys")
    return list(dict.fromkeys(named)) or [None]


def _moment(given: object) -> datetime:
    try:
        if isinstance(given, datetime):
            moment: datetime = clean_instant(given)
            return moment
    except Unclean:
        pass
    raise QueryError("reminders are asked for between two aware moments")


def _kept(work: Work, name: str) -> datetime | None:
    kept = work.get(Setting, name)
    return None if kept is None else datetime.fromisoformat(kept.value)


def _keep(work: Work, name: str, moment: datetime) -> None:
    kept = work.get(Setting, name)
    if kept is None:
        work.add(Setting(id=name, value=moment.isoformat()), "setting.kept")
    elif kept.value != moment.isoformat():
        work.put(kept.replace(value=moment.isoformat(), version=kept.version + 1), kept, "setting.kept")
