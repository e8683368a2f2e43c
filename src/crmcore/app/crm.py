"""The face of the library: a CRM on one store, under one playbook, and the session of one user in it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from crmcore.app.contacts import Contacts
from crmcore.app.customers import Customers
from crmcore.app.exports import Exports
from crmcore.app.follow_ups import FollowUps, Plans
from crmcore.app.imports import Imports
from crmcore.app.obligations import Obligations
from crmcore.app.opportunities import Opportunities
from crmcore.app.reports import Reports
from crmcore.app.sources import Clock, IdSource, UUID7Source, system_clock
from crmcore.app.work import Work
from crmcore.domain import ENTITIES, Setting
from crmcore.domain.fields import clean_instant
from crmcore.errors import CRMError, DomainError, DuplicateKey, Invalid, Issue
from crmcore.playbooks import Playbook, load
from crmcore.plugins import Plugins, open_store
from crmcore.rules.stages import StageTable, compile_stages
from crmcore.rules.timing import local_day, zone_named
from crmcore.storage.codec import CODECS, SCHEMA
from crmcore.storage.contract import Insert, Store, Transaction

T = TypeVar("T")

ATTEMPTS = 3
"""How often a unit of work is tried when the store says that trying again may help."""
PAUSE_SECONDS = 0.05

_ENTITY_OF = {cls.collection: cls.entity for cls in ENTITIES}


class CRM:
    """A store, a playbook, plugins, a clock. Made by :func:`open`; may be shared by threads."""

    def __init__(self, store: Store, playbook: Playbook, plugins: Plugins, clock: Clock, ids: IdSource) -> None:
        self.store = store
        self.playbook = playbook
        self.plugins = plugins
        self.zone = zone_named(playbook.timezone)
        self.clock = clock
        self.new_id = ids

    @cached_property
    def lifecycle(self) -> StageTable:
        """The playbook's lifecycle, compiled."""
        return compile_stages(self.playbook.lifecycle)

    @cached_property
    def pipelines(self) -> dict[str, StageTable]:
        """The playbook's pipelines, compiled, by key."""
        return {key: compile_stages(graph) for key, graph in self.playbook.pipelines.items()}

    def now(self) -> datetime:
        """The clock's moment: UTC, in milliseconds."""
        return clean_instant(self.clock())

    def today(self) -> date:
        """The team's calendar day, in the playbook's zone."""
        return local_day(self.now(), self.zone)

    def acting_as(self, user: str) -> Session:
        """What a user can do. ``user`` is the name under which the host knows who is acting."""
        if not isinstance(user, str) or not user.strip():
            raise DomainError("somebody must be acting: give the user's name")
        return Session(self, user.strip())

    def write(self, actor: str, decide: Callable[[Work], T]) -> T:
        """Runs one unit of work and commits it; tries again, a bounded number of times, where the store says it may help."""
        attempt = 1
        while True:
            try:
                return self._try(actor, decide)
            except CRMError as error:
                if not error.retryable or attempt == ATTEMPTS:
                    raise
            time.sleep(PAUSE_SECONDS * attempt * (0.5 + random.random()))  # noqa: S311 - spreads rivals, guards nothing
            attempt += 1

    def _try(self, actor: str, decide: Callable[[Work], T]) -> T:
        now = self.now()
        try:
            with self.store.transaction(write=True) as transaction:
                work = Work(
                    transaction,
                    playbook=self.playbook,
                    actor=actor,
                    now=now,
                    today=local_day(now, self.zone),
                    new_id=self.new_id,
                    plugins=self.plugins,
                )
                result = decide(work)
                work.flush()
        except DuplicateKey as taken:
            entity = _ENTITY_OF[taken.details["collection"]]
            fields = taken.details["fields"]
            raise Invalid([Issue(code="duplicate_number", field=f"{entity}.{name}") for name in fields]) from taken
        return result

    def read(self, look: Callable[[Transaction], T]) -> T:
        """Looks at one state of the store."""
        with self.store.transaction() as transaction:
            return look(transaction)

    def close(self) -> None:
        """Tells the plugins, then closes the store, whatever a plugin says."""
        try:
            self.plugins.closing(self)
        finally:
            self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Session:
    """What one user does: the use cases, by what they are about."""

    def __init__(self, crm: CRM, actor: str) -> None:
        self.crm = crm
        self.actor = actor
        self.customers = Customers(self)
        self.contacts = Contacts(self)
        self.follow_ups = FollowUps(self)
        self.plans = Plans(self)
        self.opportunities = Opportunities(self)
        self.obligations = Obligations(self)
        self.imports = Imports(self)
        self.exports = Exports(self)
        self.reports = Reports(self)

    def write(self, decide: Callable[[Work], T]) -> T:
        """One unit of work in this user's name."""
        return self.crm.write(self.actor, decide)


def open(
    url: str | Store,
    playbook: str | Path | Playbook | None = None,
    *,
    plugins: Iterable[Any] = (),
    clock: Clock = system_clock,
    ids: IdSource | None = None,
) -> CRM:
    """Opens a CRM on a store.

    ``url`` names the store (``sqlite:///crm.db``, ``memory:``) or is one that is open; it is made if it isn't there.
    ``playbook`` is the key of a bundled or a plugin's playbook, the path of a TOML file, or a playbook; without it the store's
    own, which the first opening settles (``standard`` unless given). ``plugins`` are modules or objects with hooks, named
    one by one; ``crmcore.plugins.installed().plugins`` are all that are installed. ``clock`` gives aware moments; ``ids``
    gives ids. Raises :class:`BackendNotFound`, :class:`InvalidURL`, :class:`PlaybookError` or a :class:`StorageError`.
    """
    registered = Plugins(plugins)
    extra = {key: source.toml for key, source in registered.playbooks().items()}
    # A playbook at fault is reported before a store is made.
    chosen = playbook if isinstance(playbook, Playbook) or playbook is None else load(playbook, extra)
    store = open_store(url, SCHEMA) if isinstance(url, str) else url
    try:
        settled = _settle_playbook(store, playbook if not isinstance(playbook, Playbook) else playbook.key)
        crm = CRM(store, chosen or load(settled, extra), registered, clock, ids or UUID7Source())
        registered.opened(crm)
    except BaseException:
        store.close()
        raise
    return crm


def _settle_playbook(store: Store, wanted: str | Path | None) -> str:
    """The playbook that the store is kept under; the first opening writes it down."""
    load_setting = CODECS[Setting].load
    with store.transaction() as transaction:
        row = transaction.get("settings", "playbook")
    if row is None:
        with store.transaction(write=True) as transaction:
            row = transaction.get("settings", "playbook")
            if row is None:
                row = CODECS[Setting].dump(Setting(id="playbook", value=str(wanted or "standard")))
                transaction.apply([Insert("settings", row)])
    return str(load_setting(row).value)
