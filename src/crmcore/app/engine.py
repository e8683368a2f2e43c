"""A store under a playbook, and how a unit of work is run on it."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from types import TracebackType
from typing import Self, TypeVar

from crmcore.app import match_keys
from crmcore.app.chain_keys import keys_of
from crmcore.app.duties import settle_touched
from crmcore.app.finding import find_customer, find_one
from crmcore.app.similar import Resemblance
from crmcore.app.sources import Clock, IdSource, new_salt
from crmcore.app.work import Work
from crmcore.domain import ENTITIES, Chain, Customer, Entity, Setting
from crmcore.domain.fields import Unclean, clean_instant
from crmcore.errors import CRMError, DuplicateKey, Invalid, Issue, NotFound, PluginError, StoreBusy, StoreCorrupt
from crmcore.playbooks import Playbook
from crmcore.plugins import Plugins, installed_normaliser
from crmcore.rules.normalisation import PlainNormaliser
from crmcore.rules.permissions import Rights, rights_of
from crmcore.rules.rulebook import Rulebook
from crmcore.rules.timing import local_day, zone_named
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Insert, Store, Transaction
from crmcore.storage.keys import KeyRing
from crmcore.storage.memory import MemoryData, MemoryStore
from crmcore.storage.query import Query, Where
from crmcore.storage.schema import Row
from crmcore.storage.sealed_state import SETTING
from crmcore.storage.sealed_store import refuse_sealed

E = TypeVar("E", bound=Entity)
T = TypeVar("T")

ATTEMPTS = 3
"""How often a unit of work is tried when the store says that trying again may help."""
PAUSE_SECONDS = 0.05
LIBRARY = "crmcore"
"""In whose name the library works by itself."""

PLAIN = PlainNormaliser.key
_RULES = "rules"
_ENTITY_OF = {cls.collection: cls.entity for cls in ENTITIES}


class Engine:
    """A store, a playbook, plugins, a clock. May be shared by threads."""

    def __init__(
        self,
        store: Store,
        playbook: Playbook,
        plugins: Plugins,
        clock: Clock,
        ids: IdSource,
        keys: KeyRing | None = None,
    ) -> None:
        self.store = store
        self.keys = keys
        self.playbook = playbook
        self.plugins = plugins
        self.zone = zone_named(playbook.timezone)
        self.rulebook = Rulebook(playbook)
        self.clock = clock
        self.new_id = ids
        self.resemblance = Resemblance(self.read, plugins)
        self.new_salt = new_salt
        self.audit_keys = keys_of(keys)
        self._closed = False
        self._keyed = False
        self._rights: dict[tuple[str, ...], Rights] = {}

    @property
    def plain(self) -> Engine:
        """The engine as the library works with it, whoever acts."""
        return self

    def rights(self, roles: tuple[str, ...]) -> Rights:
        """What these roles may do under the playbook."""
        if roles not in self._rights:
            self._rights[roles] = rights_of(self.playbook, roles)
        return self._rights[roles]

    def ask(self, entity: str, action: str, *, everywhere: bool = True) -> None:
        """Raises :class:`Forbidden` where the user may not do that to every record of the entity, or to any at all."""

    def kept_rules(self, transaction: Transaction) -> str | None:
        """The digest of the rules under which what is owed was last worked out; None in a store that is new."""
        row = transaction.get("settings", _RULES)
        return None if row is None else str(CODECS[Setting].load(row).value)

    def keep_rules(self, work: Work) -> None:
        """Notes that what is owed is worked out under the playbook as it is now."""
        kept = work.get(Setting, _RULES)
        if kept is None:
            work.add(Setting(id=_RULES, value=self.rulebook.digest), "setting.kept")
        elif kept.value != self.rulebook.digest:
            work.put(kept.replace(value=self.rulebook.digest, version=kept.version + 1), kept, "setting.kept")

    def ask_by(self, fields: Iterable[str]) -> None:
        """Raises :class:`Forbidden` where one of the dotted fields is kept back from the user in any record."""

    def begin(self, work: Work) -> None:
        """Notes in a new store under which rules, and with keys of which forms, it is kept."""
        self.keep_rules(work)
        if not work.find(Customer, limit=1):
            self._note_keys(work)

    def settle_normaliser(self) -> None:
        """Where no plugin brings forms, and the store's keys were made by those of an installed one: reads by these, too.

        Else who opens a store with a plugin, and who without, would not find one another's customers.
        """
        kept = self.read(match_keys.made_by)
        if kept not in (None, PLAIN, self.plugins.normaliser.key) and self.plugins.normaliser.key == PLAIN:
            self.plugins.normaliser = installed_normaliser(str(kept)) or self.plugins.normaliser

    def _keep_keys(self, work: Work) -> None:
        """Makes the keys by which customers are found again, where the store never had any, or had those of the plain forms and
        a plugin brings better ones: within the unit of work that asks for them, so that one that is refused changes nothing.

        A store that is damaged goes without: it must stay open to be looked at. Raises :class:`PluginError` where the keys were
        made by forms that nobody brings: what is written would not be found among them.
        """
        kept, own = match_keys.made_by(work.transaction), self.plugins.normaliser.key
        if kept not in (None, PLAIN, own):
            raise PluginError.phrased(
                "the keys by which customers are found were made by the forms {plugin}: open the store with the plugin that"
                " brings them, or make the keys anew with crmcore recompute",
                plugin=kept,
            )
        if kept != own:
            with contextlib.suppress(StoreCorrupt):
                match_keys.refresh(lambda some: some(work.transaction), self.plugins.normaliser)
                self._note_keys(work)

    def make_keys(self) -> int:
        """Makes all keys anew, by the forms that the plugins bring; gives how many differed."""

        def write(some: Callable[[Transaction], int]) -> int:
            return self.write("crmcore", lambda work: some(work.transaction))

        self._keyed = True
        made = match_keys.refresh(write, self.plugins.normaliser)
        self.write("crmcore", self._note_keys)
        return made

    def _note_keys(self, work: Work) -> None:
        kept, by = work.get(Setting, match_keys.MADE_BY), self.plugins.normaliser.key
        if kept is None:
            work.add(Setting(id=match_keys.MADE_BY, value=by), "setting.kept")
        elif kept.value != by:
            work.put(kept.replace(value=by, version=kept.version + 1), kept, "setting.kept")

    def now(self) -> datetime:
        """The clock's moment: UTC, in milliseconds. Raises :class:`Invalid` (``clock``) for what is no moment to keep."""
        try:
            return clean_instant(self.clock())
        except Unclean as problem:
            raise Invalid([Issue(code=problem.code, field="clock", facts=problem.facts)]) from problem

    def today(self) -> date:
        """The team's calendar day, in the playbook's zone."""
        return local_day(self.now(), self.zone)

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
        try:
            with self.store.transaction(write=True) as transaction:
                refuse_sealed(transaction)
                now = self.now()  # once it has its turn, so that moments follow each other as units of work do
                work = Work(
                    transaction,
                    playbook=self.playbook,
                    rulebook=self.rulebook,
                    actor=actor,
                    now=now,
                    today=local_day(now, self.zone),
                    new_id=self.new_id,
                    plugins=self.plugins,
                    audit_keys=self.audit_keys,
                    new_salt=self.new_salt,
                )
                if not self._keyed and actor != LIBRARY:  # who only looks leaves the store as it is
                    self._keep_keys(work)
                result = decide(work)
                settle_touched(work)
                work.flush()
        except DuplicateKey as taken:
            if taken.details["collection"] == Chain.collection:  # somebody began the chain at the same moment
                raise StoreBusy("another writer began the same history") from taken
            entity = _ENTITY_OF[taken.details["collection"]]
            fields = taken.details["fields"]
            raise Invalid([Issue(code="duplicate_number", field=f"{entity}.{name}") for name in fields]) from taken
        self._keyed = self._keyed or actor != LIBRARY
        return result

    def copied_to_memory(self) -> Engine:
        """The same on a copy of the store that nobody else sees, for trying things."""
        store = MemoryStore(MemoryData(self.store.schema))
        with self.store.transaction() as source, store.transaction(write=True) as target:
            for name in self.store.schema.collections:
                # In memory all is plain, so nothing there may say that it is encrypted.
                target.apply(Insert(name, row) for row in source.scan(name) if row[0] != SETTING or name != "settings")
        copied = Engine(store, self.playbook, self.plugins, self.clock, self.new_id, self.keys)
        copied.new_salt = self.new_salt
        return copied

    def read(self, look: Callable[[Transaction], T], action: str = "read") -> T:
        """Looks at one state of the store. ``action`` is what is done with what is seen, where that is more than reading it."""
        with self.store.transaction() as transaction:
            return look(transaction)

    def close(self) -> None:
        """Tells the plugins, then closes the store, whatever a plugin says. Closing twice is nothing."""
        closed, self._closed = self._closed, True
        try:
            if not closed:
                self.plugins.closing(self)
        finally:
            self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Joined(Engine):
    """The same within a unit of work that has begun: what use cases write here is committed with it, or not at all."""

    def __init__(self, engine: Engine, work: Work) -> None:
        vars(self).update(vars(engine))
        self._work = work

    def write(self, actor: str, decide: Callable[[Work], T]) -> T:
        """Runs a use case as a part of the unit of work, which is in the name of ``actor`` already."""
        result = decide(self._work)
        settle_touched(self._work)
        self._work.flush()
        return result

    def read(self, look: Callable[[Transaction], T], action: str = "read") -> T:
        """Looks at the state that the unit of work has come to."""
        self._work.flush()
        return look(self._work.transaction)


class UseCases:
    """What one user does in one field."""

    def __init__(self, engine: Engine, actor: str) -> None:
        self.engine = engine
        self.actor = actor

    def write(self, decide: Callable[[Work], T]) -> T:
        """One unit of work in this user's name."""
        return self.engine.write(self.actor, decide)

    def customer(self, customer: Customer | str) -> Customer:
        """The customer as it is now, by number, by id or by itself. Raises :class:`NotFound`."""
        found = self.engine.read(lambda transaction: find_customer(transaction, customer))
        if found is None:
            raise NotFound("there is no such customer", entity="customer")
        return found

    def one(self, cls: type[E], wanted: E | str, name: str | None = None) -> E:
        """The entity as it is now, by itself, by id, or by the field ``name``. Raises :class:`NotFound`."""
        found = self.engine.read(lambda transaction: find_one(transaction, cls, wanted, name))
        if found is None:
            raise NotFound(f"there is no such {cls.entity.replace('_', ' ')}", entity=cls.entity)
        return found

    def listed(self, cls: type[E], where: Where | None = None, order: Sequence[str] = ("id",)) -> list[E]:
        """Every entity that the condition holds for."""
        query = Query(cls.collection, where, tuple(order))
        load: Callable[[Row], E] = CODECS[cls].load
        return self.engine.read(lambda transaction: list(map(load, transaction.find(query))))
