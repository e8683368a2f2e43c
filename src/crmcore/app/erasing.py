"""Erasing a person: nothing of what was personal stays, in no file of the store; what was counted stays as it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from crmcore.app.absent import kept_content, rewrite
from crmcore.app.deleting import delete_customer, in_bin, restore_customer
from crmcore.app.engine import Engine
from crmcore.app.finding import not_named, read_all
from crmcore.app.work import Work, check_reason, encode_changes
from crmcore.domain import (
    ENTITIES,
    AbsentRecord,
    Alias,
    Contact,
    Customer,
    Entity,
    Erasure,
    Event,
    ImportedRow,
    ImportRun,
    JudgedPair,
    MatchKey,
    Obligation,
    Record,
    Referral,
    Setting,
)
from crmcore.domain.event import changes_of
from crmcore.errors import Invalid, Issue, NotFound, StorageError
from crmcore.rules.audit import SEQUENCES, chain_of, erased_mark, is_content_whole, told_places
from crmcore.rules.erasing import (
    ERASED,
    Scrub,
    erased_changes,
    erased_values,
    identifiers_of,
    scrubbed_changes,
    scrubbed_content,
    scrubbed_values,
    scrubbing,
)
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Delete, Insert, Update
from crmcore.storage.query import And, Eq, In, IsNull

_CLASSES: Mapping[str, type[Entity]] = {cls.entity: cls for cls in ENTITIES}
_NAMING = ("name", "short_name", "phones", "emails", "wechat")
"""Fields by whose earlier values a person is named, too."""
_MOST_MENTIONS = 100
_RECORDS: tuple[type[Record], ...] = tuple(
    cls for cls in ENTITIES if issubclass(cls, Record) and "customer_id" in cls.kinds
)


@attrs.frozen(kw_only=True)
class Erased:
    """What erasing a person came to, or with ``dry_run`` would.

    ``records`` and ``events`` are how many were rewritten. ``mentions`` are records of others, by kind and id, in which the
    person's name, number or address stands too, and records whose own number holds one: look there yourself. ``outside`` is
    what the store can't reach.
    """

    number: str
    records: Mapping[str, int]
    events: int
    removed: int
    """Keys, kept rows of an import, and records off the lists, that are gone altogether."""
    mentions: tuple[tuple[str, str], ...]
    outside: tuple[str, ...]
    cleaned: bool
    """Whether the store's files were cleaned; else ``outside`` says why not, and it is to be done later."""
    dry_run: bool


class _Rehearsed(Exception):
    """Ends a unit of work that was only tried."""


def erase(
    engine: Engine,
    customer: Customer | str,
    contact: Contact | str | None = None,
    *,
    reason: str,
    actor: str,
    dry_run: bool = False,
) -> Erased:
    """Erases a customer that is a person, or people at one that is none: one contact, or without it all of them.

    A person's record stays under its number, without a name, so that reports say what they said; of an enterprise only
    what names the person goes, also from texts. Events keep their places in their chain, which holds. Doing it again does
    nothing more. ``reason`` is kept and must name nobody. Raises :class:`NotFound`, :class:`Invalid`, and whatever a plugin
    has against it; then nothing is changed.
    """
    found: list[Erased] = []

    def decide(work: Work) -> Erased:
        done = erase_within(work, customer, contact, reason, dry_run=dry_run)
        if dry_run:
            work.flush()
            found.append(done)
            raise _Rehearsed
        return done

    try:
        done = engine.write(actor, decide)
    except _Rehearsed:
        return found[0]
    cleaned, outside = clean(engine.plain)
    return attrs.evolve(done, cleaned=cleaned, outside=(*done.outside, *outside))


def erase_within(
    work: Work, customer: Customer | str, contact: Contact | str | None, reason: str, *, dry_run: bool = False
) -> Erased:
    """Erases within a unit of work; see :func:`erase`. One in the bin is erased there. The files are still to be cleaned."""
    if not isinstance(reason, str) or not reason.strip():
        raise Invalid([Issue(code="reason_required", field="erasure.reason")])
    if not isinstance(customer, (str, Customer)):
        raise not_named(Customer, "number")
    if not isinstance(contact, (str, Contact, type(None))):
        raise not_named(Contact, "name")
    named = customer if isinstance(customer, str) else customer.id
    binned = in_bin(work, named)
    if binned is not None:
        with work.following():
            restore_customer(work, named)
    erasing = _Erasing(work, binned or customer, contact, reason)
    with work.following():
        done = erasing.run(dry_run)
        if binned is not None:
            work.flush()
            delete_customer(work, binned, reason)
    return done


def clean(engine: Engine) -> tuple[bool, tuple[str, ...]]:
    """Cleans the store's files of what was erased: whether that was done, and what may still hold it."""
    try:
        outside = tuple(engine.store.clean())
    except StorageError as problem:
        return False, (f"the files of the store: {problem.message}",)

    def note(work: Work) -> None:
        for erasure in work.find(Erasure, IsNull("cleaned_at")):
            work.put(erasure.replace(cleaned_at=work.now, version=erasure.version + 1), erasure, "erasure.cleaned")

    engine.write("crmcore", note)
    return True, (*outside, "backups and copies that were made before, and files that were imported or exported")


class _Erasing:
    def __init__(self, work: Work, customer: Customer | str, contact: Contact | str | None, reason: str) -> None:
        self.work = work
        self.reason = reason
        check_reason("customer", reason)
        self.customer = work.current(Customer, customer)
        work.ask(self.customer, "erase")
        self.whole = contact is None and self.customer.kind == "individual"
        self.people = self._people(contact)
        self.ids = [
            self.customer.id,
            *(one.absorbed_id for one in work.find(Alias, Eq("customer_id", self.customer.id))),
        ]
        self.counts: Counter[str] = Counter()
        self.removed = 0
        self.outside: list[str] = []
        self.records = list(self._records())
        self.events = list(self._events())
        self.identifiers = self._identifiers()
        self.scrub: Scrub = scrubbing(self.identifiers)

    def _people(self, contact: Contact | str | None) -> list[Contact]:
        at_customer = self.work.find(Contact, Eq("customer_id", self.customer.id), ("created_at",))
        if contact is None:
            return at_customer
        wanted = contact if isinstance(contact, str) else contact.id
        named = [one for one in at_customer if wanted in (one.id, one.name)]
        if not named:
            raise NotFound("there is no such contact", entity="contact")
        return named

    def _records(self) -> Iterator[Record]:
        """Everything that hangs on the customer, and the referrals that brought it."""
        yield self.customer
        seen: set[str] = set()
        cls: type[Record]
        for cls in (*_RECORDS, Referral):
            for name in ("customer_id", "referrer_id", "referred_id"):
                for record in self.work.find(cls, Eq(name, self.customer.id)) if name in cls.kinds else ():
                    if record.id not in seen and isinstance(record, Record):
                        seen.add(record.id)
                        yield record

    def _events(self) -> Iterator[Event]:
        """Every event about them, whosever chain it stands in."""
        seen: set[str] = set()
        ids = [record.id for record in self.records]
        for start in range(0, len(ids), 500):
            some = tuple(ids[start : start + 500])
            for event in read_all(self.work.transaction, Event, In("subject_id", some)):
                if event.id not in seen:
                    seen.add(event.id)
                    yield event
        for event in read_all(self.work.transaction, Event, In("customer_id", tuple(self.ids))):
            if event.id not in seen:
                seen.add(event.id)
                yield event

    def _identifiers(self) -> list[str]:
        """By what the person is named, now and earlier."""
        found = [one for person in self.people for one in identifiers_of(person)]
        subjects = {person.id for person in self.people}
        if self.whole:
            found += identifiers_of(self.customer)
            subjects |= set(self.ids)
        for event in self.events:
            if event.subject_id in subjects and event.subject in ("customer", "contact"):
                for name, pair in changes_of(event).items():
                    if name in _NAMING:
                        found += [text for value in pair for text in _texts(value)]
        return [one for one in dict.fromkeys(found) if not one.startswith(ERASED)]

    def run(self, dry_run: bool) -> Erased:
        """Rewrites what names the person."""
        work = self.work
        people = {person.id for person in self.people}
        for record in self.records:
            full = record.id in people or (self.whole and not self._of_others(record))
            self._rewrite(record, full)
        self._rewrite_obligations()
        self._rewrite_events(people)
        self._remove()
        subject: Customer | Contact = self.customer if self.whole or len(self.people) != 1 else self.people[0]
        if self.counts.total() + self.removed:
            erasure = Erasure(
                id=work.new_id(),
                customer_id=self.customer.id,
                subject=subject.entity,
                subject_id=subject.id,
                at=work.now,
                by=work.actor,
                reason=self.reason,
            )
            work.add(erasure, "erasure.made")
        events = self.counts.pop("event", 0)
        return Erased(
            number=self.customer.number,
            records=dict(sorted(self.counts.items())),
            events=events,
            removed=self.removed,
            mentions=tuple(self._mentions()),
            outside=tuple(self.outside),
            cleaned=False,
            dry_run=dry_run,
        )

    def _of_others(self, record: Record) -> bool:
        """Whether a record is another customer's, and only names this one."""
        return isinstance(record, Referral) and record.referrer_id != self.customer.id

    def _rewrite(self, record: Record, full: bool) -> None:
        changes = erased_values(record, self.scrub) if full else scrubbed_values(record, self.scrub)
        if isinstance(record, Referral) and self.whole and self._of_others(record):
            changes |= {name: ERASED for name in ("referred_name", "referred_reach") if getattr(record, name)}
            changes = {name: value for name, value in changes.items() if value != getattr(record, name)}
        if not changes:
            return
        place = getattr(record, "place", None)
        if "place" in changes and place:
            self.outside.append(f"attachment: {place}")
        changed = record.replace(**changes, version=record.version + 1)
        self.work.put(changed, record, f"{record.entity}.erased", self.reason)
        self.counts[record.entity] += 1

    def _rewrite_obligations(self) -> None:
        for obligation in self.work.find(Obligation, Eq("customer_id", self.customer.id)):
            reason = self._reason(obligation.reason)
            if reason != obligation.reason:
                changed = obligation.replace(reason=reason, version=obligation.version + 1)
                self.work.put(changed, obligation, "obligation.erased")
                self.counts[obligation.entity] += 1

    def _reason(self, reason: str | None) -> str | None:
        if reason is None:
            return None
        return ERASED if self.whole else self.scrub(reason)

    def _rewrite_events(self, people: set[str]) -> None:
        """Takes the content of the events, marks them, and tells each chain which it took."""
        taken: dict[str, list[Event]] = {}
        dump = CODECS[Event].dump
        updates: list[Update] = []
        for event in self.events:
            if event.action.endswith(".erased"):
                continue
            full = event.subject_id in people or (self.whole and not self._is_of_others(event))
            told = changes_of(event)
            if full:
                changes = erased_changes(_CLASSES.get(event.subject), event.subject_id, told, self.scrub)
                reason = None if event.reason is None else ERASED
            else:
                changes = scrubbed_changes(told, self.scrub)
                reason = None if event.reason is None else self.scrub(event.reason)
            if self.whole and self._is_of_others(event):
                for name in ("referred_name", "referred_reach"):
                    if name in changes:
                        changes[name] = [None if value is None else ERASED for value in changes[name]]
            kept = encode_changes(changes) if event.changes is not None else None
            if (kept, reason) == (event.changes, event.reason):
                continue
            if not is_content_whole(event, self.work.audit_keys):
                self.outside.append(f"event {event.id}: it was not as it was written; see crmcore verify")
            left = event.replace(changes=kept, reason=reason, version=event.version + 1)
            marked = left.replace(salt=erased_mark(left, self.work.audit_keys))
            updates.append(Update(Event.collection, dump(marked), event.version))
            taken.setdefault(chain_of(event), []).append(event)
        self.work.transaction.apply(updates)
        self.counts["event"] += len(updates)
        for chain, events in taken.items():
            places = told_places(event.sequence for event in events if event.sequence is not None)
            action, holder = self._holder(chain, events[0])
            self.work.note(holder, action, {SEQUENCES: [None, places]}, self.reason)

    def _is_of_others(self, event: Event) -> bool:
        return event.customer_id is not None and event.customer_id not in self.ids

    def _holder(self, chain: str, event: Event) -> tuple[str, Any]:
        """A record in whose name a chain is told of it, and the action."""
        if chain in self.ids:
            if self.whole or len(self.people) != 1 or chain != self.customer.id:
                return "customer.erased", self.customer.replace(id=chain)
            return "contact.erased", self.people[0]
        record = next(one for one in self.records if one.id == event.subject_id)
        if event.customer_id is None:  # from the time when it stood alone
            return f"{record.entity}.erased", record.replace(customer_id=None)
        field = "referrer_id" if isinstance(record, Referral) else "customer_id"
        return f"{record.entity}.erased", record.replace(**{field: chain})

    def _remove(self) -> None:
        """What is gone altogether: records off the lists, digests of imported rows, what the last report of edits said."""
        work = self.work
        work.flush()  # the keys follow their records
        gone: list[Delete | Insert | Update] = []
        if self.whole:
            for absent in read_all(work.transaction, AbsentRecord, In("customer_id", tuple(self.ids))):
                gone.append(Delete(AbsentRecord.collection, absent.id, absent.version))
        else:
            self._scrub_absent()
        for key in read_all(work.transaction, MatchKey, In("subject_id", tuple(self.ids[1:]))) if self.whole else ():
            gone.append(Delete(MatchKey.collection, key.id, key.version))
        ids = {record.id for record in self.records} if self.whole else {person.id for person in self.people}
        ids |= {self.customer.id}
        for row in list(read_all(work.transaction, ImportedRow)):
            if row.record_id in ids and not row.id.startswith("erased:"):
                # That it was imported counts; what it said could be tried out by its digest.
                kept = row.replace(id=f"erased:{work.new_id()}", source=self.scrub(row.source) if row.source else None)
                gone.append(Delete(ImportedRow.collection, row.id, row.version))
                gone.append(Insert(ImportedRow.collection, CODECS[ImportedRow].dump(kept)))
        for pair in list(read_all(work.transaction, JudgedPair)):
            reason = self._reason(pair.reason)
            if reason != pair.reason and {pair.one_id, pair.other_id} & set(self.ids):
                kept_pair = pair.replace(reason=reason, version=pair.version + 1)
                gone.append(Update(JudgedPair.collection, CODECS[JudgedPair].dump(kept_pair), pair.version))
        for run in list(read_all(work.transaction, ImportRun)):
            told = {
                "files": tuple(map(self.scrub, run.files)),
                "source": self.scrub(run.source) if run.source else None,
            }
            kept_run = run.replace(**told, version=run.version + 1)
            if (kept_run.files, kept_run.source) != (run.files, run.source):
                gone.append(Update(ImportRun.collection, CODECS[ImportRun].dump(kept_run), run.version))
        for setting in list(read_all(work.transaction, Setting, Eq("id", "edits"))):
            value = self.scrub(setting.value)
            if value != setting.value:
                kept_setting = setting.replace(value=value, version=setting.version + 1)
                gone.append(Update(Setting.collection, CODECS[Setting].dump(kept_setting), setting.version))
        work.transaction.apply(gone)
        self.removed += sum(isinstance(change, Delete) for change in gone)

    def _scrub_absent(self) -> None:
        """Of records off the lists that belong to an enterprise, what names the person."""
        first = And(In("customer_id", tuple(self.ids)), Eq("part", 0))
        for absent in list(read_all(self.work.transaction, AbsentRecord, first)):
            place = absent.subject, absent.subject_id
            content = kept_content(self.work, *place)
            scrubbed = scrubbed_content(content, self.scrub)
            if scrubbed != content:
                rewrite(self.work, absent.customer_id, *place, scrubbed, absent.reason)
                self.work.flush()
                self.removed += 1

    def _mentions(self) -> Iterator[tuple[str, str]]:
        """Where else the person stands: in texts of records that are not this customer's, and in numbers, which stay."""
        mine = {record.id for record in self.records}
        found = 0
        for cls in ENTITIES:
            if not issubclass(cls, Record) or not self.identifiers:
                continue
            for record in read_all(self.work.transaction, cls):
                number = str(getattr(record, "number", None) or "")
                if (record.id not in mine and scrubbed_values(record, self.scrub)) or self.scrub(number) != number:
                    found += 1
                    if found > _MOST_MENTIONS:
                        return
                    yield record.entity, record.id


def _texts(value: Any) -> Sequence[str]:
    if isinstance(value, str):
        return (value,)
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else ()
