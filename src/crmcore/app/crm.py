"""The face of the library: a CRM on one store, under one playbook, and the session of one user in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from crmcore.app.action_plans import ActionPlans
from crmcore.app.attachments import Attachments
from crmcore.app.audit import Audit, begin_chains, chains_begun
from crmcore.app.checking import Checked, Progress, check
from crmcore.app.contacts import Contacts
from crmcore.app.customers import Customers
from crmcore.app.duplicates import Duplicates
from crmcore.app.encryption import Rekeyed, begin, encrypt, encrypted_fields, opened_with, rekey
from crmcore.app.engine import Engine
from crmcore.app.exports import Exports
from crmcore.app.feedback import Feedbacks
from crmcore.app.follow_ups import FollowUps, Plans
from crmcore.app.guard import Guarded
from crmcore.app.imports import Imports
from crmcore.app.notifications import Notifications
from crmcore.app.objections import Objections
from crmcore.app.obligations import Obligations
from crmcore.app.opportunities import Opportunities
from crmcore.app.orders import Orders
from crmcore.app.quality_checks import QualityChecks
from crmcore.app.referrals import Referrals
from crmcore.app.reports import Reports
from crmcore.app.retention import RetentionRules
from crmcore.app.sources import Clock, IdSource, UUID7Source, system_clock
from crmcore.app.tickets import Tickets
from crmcore.app.tiers import Tiers
from crmcore.app.users import Users
from crmcore.app.work import Work
from crmcore.domain import Contact, Customer, Entity, Setting
from crmcore.errors import DomainError, InvalidKeys, InvalidURL, PlaybookError, ReadOnly, StoreCorrupt
from crmcore.playbooks import Playbook, load
from crmcore.playbooks.loading import load_or_check
from crmcore.plugins import Plugins, open_store
from crmcore.rules.permissions import Decision
from crmcore.storage.codec import CODECS, SCHEMA
from crmcore.storage.contract import Insert, Store, Transaction, Update
from crmcore.storage.keys import KeyRing

if TYPE_CHECKING:  # few stores are edited; the others needn't wait for this
    from crmcore.app.edit_reports import EditReport, KeptReport
    from crmcore.app.erasing import Erased


T = TypeVar("T")


class CRM(Engine):
    """The whole of it: a store under a playbook, for as many users as act. Made by :func:`open`.

    ``edit_report`` tells what became of what people had changed with another program; None where nothing was changed.
    """

    edit_report: EditReport | None = None

    def acting_as(self, user: str) -> Session:
        """What a user can do. ``user`` is the name under which the host knows who is acting."""
        if not isinstance(user, str) or not user.strip():
            raise DomainError("somebody must be acting: give the user's name")
        return Session(self, user.strip())

    def last_edits(self) -> KeptReport | None:
        """What became of the last edits that were taken in, at this opening or an earlier one; None where there were none."""
        from crmcore.app.edit_reports import kept_report

        return self.read(kept_report)

    def erase(
        self,
        customer: Customer | str,
        contact: Contact | str | None = None,
        *,
        reason: str,
        by: str = "crmcore",
        dry_run: bool = False,
    ) -> Erased:
        """Erases a customer who is a person, or people at one that is none: see :func:`crmcore.app.erasing.erase`."""
        from crmcore.app.erasing import erase

        return erase(self, customer, contact, reason=reason, actor=by, dry_run=dry_run)

    def clean(self) -> tuple[bool, tuple[str, ...]]:
        """Cleans the store's files of what was erased, where that could not be done at once: see :func:`crmcore.app.erasing.clean`."""
        from crmcore.app.erasing import clean

        return clean(self)

    @property
    def audit(self) -> Audit:
        """Whether what happened is still on file as it was written."""
        return Audit(self)

    def check(self, progress: Progress | None = None) -> Checked:
        """Whether the store is whole: see :func:`crmcore.app.checking.check`."""
        return check(self, progress)

    def encrypt(self, progress: Progress | None = None) -> Rekeyed:
        """Encrypts the fields that the playbook names (``[privacy]``) in a store in which they lie in plain, and decrypts others.

        A new store that is opened with keys has them encrypted from the start. Others may read and write meanwhile, if they were
        opened with the keys. An interruption is made good by calling it again. Raises :class:`KeyMissing`, :class:`MissingExtra`.
        """
        done = encrypt(self.store, encrypted_fields(self.playbook), progress)
        _present(self)
        return done

    def rekey(self, progress: Progress | None = None) -> Rekeyed:
        """Gives every encrypted value the ring's current key, while others read and write.

        A key that is retired then opens nothing here any longer; entries of the chain of events are still verified with it. An
        interruption is made good by calling it again. Raises :class:`KeyMissing`.
        """
        return rekey(self.store, progress)


class Session:
    """What one user does: the use cases, by what they are about. Where permissions are kept, as far as the user may."""

    def __init__(self, crm: CRM, actor: str) -> None:
        self.crm = crm
        self.actor = actor
        self._guarded = guarded = Guarded(crm, actor)
        self.customers = Customers(guarded, actor)
        self.contacts = Contacts(guarded, actor)
        self.duplicates = Duplicates(guarded, actor)
        self.attachments = Attachments(guarded, actor)
        self.follow_ups = FollowUps(guarded, actor)
        self.plans = Plans(guarded, actor)
        self.opportunities = Opportunities(guarded, actor)
        self.objections = Objections(guarded, actor)
        self.orders = Orders(guarded, actor)
        self.referrals = Referrals(guarded, actor)
        self.feedback = Feedbacks(guarded, actor)
        self.tickets = Tickets(guarded, actor)
        self.action_plans = ActionPlans(guarded, actor)
        self.users = Users(guarded, actor)
        self.obligations = Obligations(guarded, actor)
        self.notifications = Notifications(guarded, actor)
        self.tiers = Tiers(guarded, actor)
        self.imports = Imports(guarded, actor)
        self.exports = Exports(guarded, actor)
        self.reports = Reports(guarded, actor)
        self.retention = RetentionRules(guarded, actor)
        self.quality = QualityChecks(guarded, actor)

    def may(self, action: str, what: Entity | str) -> Decision:
        """Whether the user may do an action of :data:`crmcore.rules.permissions.ACTIONS` to a record as it is now, or to any record
        of an entity at all; and by which cell of the table. Raises :class:`NotFound` for a record that the user doesn't see.
        """
        return self._guarded.may(action, what)

    def ask(self, entity: str, action: str) -> None:
        """Raises :class:`Forbidden` where the user may not do that to every record of the entity."""
        self._guarded.ask(entity, action)

    def read(self, look: Callable[[Transaction], T]) -> T:
        """Looks at one state of the store as the user may see it."""
        return self._guarded.read(look)


def open(
    url: str | Store,
    playbook: str | Path | Playbook | None = None,
    *,
    plugins: Iterable[Any] = (),
    clock: Clock = system_clock,
    ids: IdSource | None = None,
    switch_playbook: bool = False,
    edited_by: str | None = None,
    keys: KeyRing | str | None = None,
) -> CRM:
    """Opens a CRM on a store.

    ``url`` names the store (``sqlite:///crm.db``, ``memory:``) or is one that is open; it is made if it isn't there.
    ``playbook`` is the key of a bundled or a plugin's playbook, the path of a TOML file, or a playbook; without it the store's
    own. The first opening settles which one that is (``standard`` unless given); another one is refused, unless
    ``switch_playbook`` says that the store is to be kept under it from now on. ``plugins`` are modules or objects with
    hooks, named one by one; ``crmcore.plugins.installed().plugins`` are all that are installed. ``clock`` gives aware
    moments; ``ids`` gives ids.

    ``keys`` are a :class:`KeyRing`, or say where one is: ``env:NAME``, ``file:/path``; without it what a plugin's ``crm_keys``
    brings. They are kept in memory alone. With them a new store has the playbook's ``privacy.encrypted`` fields encrypted; one
    that is encrypted isn't opened without.

    What people changed in the store with another program is taken in first, in the name of ``edited_by`` (``workbook`` unless
    given); ``edit_report`` of the CRM tells what became of it. Raises :class:`BackendNotFound`, :class:`InvalidURL`,
    :class:`PlaybookError`, :class:`InvalidKeys` or a :class:`StorageError`.
    """
    registered = Plugins(plugins)
    extra = registered.playbook_texts()
    ring = _key_ring(keys, registered)
    # A playbook at fault is reported before a store is made.
    chosen = None if playbook is None else load_or_check(playbook, extra)
    if not isinstance(url, (str, Store)):
        raise InvalidURL("a store is named by a URL such as sqlite:///crm.db, or is one that is open")
    store = open_store(url, SCHEMA) if isinstance(url, str) else url
    try:
        store = opened_with(store, ring)
        settled = _settle_playbook(store, _playbook_name(playbook), switch=switch_playbook)
        kept_under = chosen or load(settled, extra)
        begin(store, encrypted_fields(kept_under))
        crm = CRM(store, kept_under, registered, clock, ids or UUID7Source(), ring)
        crm.settle_normaliser()
        _begin(crm)
        _present(crm)
        if store.edits():
            _take_in(crm, edited_by)
        registered.opened(crm)
    except BaseException:
        if isinstance(url, str):
            store.close()
        raise
    return crm


def _begin(crm: CRM) -> None:
    """Writes down, in a store that is new, under which rules what is owed is worked out, and begins the chains of the audit."""

    def is_begun(transaction: Transaction) -> bool:
        return crm.kept_rules(transaction) is not None and chains_begun(transaction) is not None

    def begin(work: Work) -> None:
        if crm.kept_rules(work.transaction) is None:
            crm.begin(work)
        if chains_begun(work.transaction) is None:
            begin_chains(work)

    if not crm.read(is_begun):
        with suppress(ReadOnly, StoreCorrupt):  # then it stays as it is, which the audit tells
            crm.write("crmcore", begin)


def _key_ring(keys: KeyRing | str | None, plugins: Plugins) -> KeyRing | None:
    if isinstance(keys, str):
        return KeyRing.read(keys)
    if keys is not None and not isinstance(keys, KeyRing):
        raise InvalidKeys("keys are a KeyRing, or named by env:NAME or file:PATH")
    return keys or plugins.keys()


def _take_in(crm: CRM, edited_by: str | None) -> None:
    """Takes in what people changed, keeps the report and shows it to them."""
    from crmcore.app.edit_reports import keep_report
    from crmcore.app.edits import EDITOR, take_in

    actor = EDITOR if edited_by is None else crm.acting_as(edited_by).actor
    # Whoever is named edits with their own rights; nobody in particular has those of whoever holds the file.
    engine = crm if edited_by is None else Guarded(crm, actor)
    crm.edit_report = report = take_in(engine, crm.store.edits(), actor)
    crm.write("crmcore", lambda work: keep_report(work, report))
    _present(crm)
    crm.store.settle_edits()


def _present(crm: CRM) -> None:
    """Tells a store with readers of its own how they are to see it, and what became of their last edits."""
    if type(crm.store).present is not Store.present:
        from crmcore.app.presenting import presentation_of

        kept = crm.last_edits()
        crm.store.present(presentation_of(crm.playbook, notes=kept.lines("zh-CN", crm.zone) if kept else ()))


def _playbook_name(playbook: str | Path | Playbook | None) -> str | None:
    """What the store writes down: a key, or a path that holds from every folder."""
    if playbook is None or isinstance(playbook, Playbook):
        return playbook.key if playbook else None
    return str(Path(playbook).resolve()) if str(playbook).endswith(".toml") else str(playbook)


def _settle_playbook(store: Store, given: str | None, *, switch: bool) -> str:
    """The playbook that the store is kept under; the first opening writes it down, and only ``switch`` changes it."""
    load_setting, dump_setting = CODECS[Setting].load, CODECS[Setting].dump
    with store.transaction() as transaction:
        row = transaction.get("settings", "playbook")
    kept = None if row is None else load_setting(row)
    if kept is not None and (given is None or given == kept.value):
        return str(kept.value)
    if kept is not None and not switch:
        raise PlaybookError(str(given), [_told_kept(kept.value)])
    with store.transaction(write=True) as transaction:
        row = transaction.get("settings", "playbook")
        if row is None:
            transaction.apply([Insert("settings", dump_setting(Setting(id="playbook", value=given or "standard")))])
            return given or "standard"
        before = load_setting(row)
        if given is None or given == before.value:
            return str(before.value)
        if not switch:
            raise PlaybookError(given, [_told_kept(before.value)])
        after = before.replace(value=given, version=before.version + 1)
        transaction.apply([Update("settings", dump_setting(after), before.version)])
    return given


def _told_kept(value: str) -> str:
    return (
        f"the store is kept under {value}; name no other playbook, or switch the store to it once: in Python with"
        " switch_playbook=True, on the command line with crmcore init --switch-playbook"
    )
