"""Taking an import back: from the last row to the first, each from the events that it caused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial
from typing import Any

import attrs

from crmcore.app.absent import kept_content
from crmcore.app.engine import Engine
from crmcore.app.finding import read_all
from crmcore.app.work import Work
from crmcore.domain import ENTITIES, Customer, Entity, Event, FrozenMap, ImportedRow, ImportRun, Record
from crmcore.domain.event import UNDONE, changes_of, standing
from crmcore.storage.codec import from_plain, plain_fields
from crmcore.storage.contract import Transaction
from crmcore.storage.query import Eq, In

BATCH = 100
"""Rows per transaction."""
Progress = Callable[[int, int], None]

_BY_NAME: dict[str, type[Entity]] = {cls.entity: cls for cls in ENTITIES}
NOTHING: Mapping[str, list[Any]] = FrozenMap()
#: What the id of a row begins with of whose record a person was erased: what it had said is not known any more.
ERASED_ROW = "erased:"
#: What an import does when it makes a record.
_BEGINNINGS = ("registered", "added", "opened", "made", "imported")
_OF_CUSTOMERS = tuple(cls for cls in ENTITIES if "customer_id" in cls.kinds and issubclass(cls, Record))


@attrs.frozen(kw_only=True)
class Left:
    """What an import had brought and was left as it is: a whole record, or some fields of one. ``number`` is its customer's."""

    entity: str
    id: str
    number: str | None
    fields: tuple[str, ...] = ()
    """The fields that were changed since; none where the whole record stays."""


@attrs.frozen(kw_only=True)
class ImportUndone:
    """What undoing an import came to: how many records it took away and put back, and what it left because it was edited since."""

    removed: int = 0
    restored: int = 0
    left: tuple[Left, ...] = ()


def undo(engine: Engine, actor: str, run: ImportRun, progress: Progress | None = None) -> ImportUndone:
    """Takes a run back, a batch of rows per transaction, the last first."""
    removed = restored = done = total = 0
    left: list[Left] = []
    while rows := engine.plain.read(partial(_rows_of, run)):
        causes = frozenset(row.id for row in rows)
        total += len(rows)
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            outcome = engine.write(actor, partial(_undo_batch, run, batch, causes))
            removed, restored = removed + outcome.removed, restored + outcome.restored
            left += outcome.left
            done += len(batch)
            if progress:
                progress(done, total)

    def finish(work: Work) -> None:
        kept = work.get(ImportRun, run.id)
        if kept is not None:
            changed = kept.replace(undone_at=work.now, undone_by=actor, version=kept.version + 1)
            work.put(changed, kept, "import.undone")

    engine.write(actor, finish)
    return ImportUndone(removed=removed, restored=restored, left=tuple(left))


def _rows_of(run: ImportRun, transaction: Transaction) -> list[ImportedRow]:
    """Every row that the run has taken in, the last first."""
    return sorted(read_all(transaction, ImportedRow, Eq("run_id", run.id)), key=lambda row: row.at, reverse=True)


def _undo_batch(run: ImportRun, rows: Sequence[ImportedRow], causes: Set[str], work: Work) -> ImportUndone:
    return _Undoing(work, run, rows, causes).undo()


class _Undoing:
    """A batch of rows being taken back within one unit of work."""

    def __init__(self, work: Work, run: ImportRun, rows: Sequence[ImportedRow], causes: Set[str]) -> None:
        work.ask(run, "update")
        self.work, self.run = work, run
        self.rows = [row for row in rows if work.get(ImportedRow, row.id) is not None]
        self.removed = self.restored = 0
        self.left: list[Left] = []
        self.causes = causes
        events = work.find(Event, In("cause", tuple(row.id for row in self.rows)), ("id",))
        self.events = list(reversed(events))

    def undo(self) -> ImportUndone:
        # What was made last goes first: nothing that this import made hangs on a record by then.
        born = {event.subject_id: event.id for event in self.events}
        for event in self.events:
            if born[event.subject_id] == event.id:
                self._undo_record(event)
        for row in self.rows:
            if row.id.startswith(ERASED_ROW):
                customer = self.work.get(Customer, row.record_id)
                number = self._number(customer) if customer else None
                self.left.append(Left(entity="customer" if customer else "contact", id=row.record_id, number=number))
            self.work.remove(row)
        return ImportUndone(removed=self.removed, restored=self.restored, left=tuple(self.left))

    def _undo_record(self, first: Event) -> None:
        record = self.work.get(_BY_NAME[first.subject], first.subject_id)
        if not isinstance(record, Record):
            content = kept_content(self.work, first.subject, first.subject_id)
            if isinstance(content, Mapping):  # in the bin, or absorbed by another customer
                self.left.append(Left(entity=first.subject, id=first.subject_id, number=content.get("number")))
            return
        own = [event for event in self.events if event.subject_id == record.id]  # the last first
        if first.action.partition(".")[2] not in _BEGINNINGS:
            self._restore(record, own)
        elif self._edited(record) or (isinstance(record, Customer) and self._others_hang_on(record)):
            self.left.append(Left(entity=record.entity, id=record.id, number=self._number(record)))
        else:
            self._note(record, own)
            # Who may take records in may take them back.
            self.work.ask(record, "import")
            with self.work.following():
                self.work.remove(record)
            self.removed += 1

    def _note(self, record: Record, own: Sequence[Event], changes: Mapping[str, list[Any]] = NOTHING) -> None:
        """Tells of each row that what it did to the record is taken back."""
        for cause in dict.fromkeys(event.cause for event in own):
            self.work.cause = cause
            self.work.note(record, f"{record.entity}.{UNDONE}", changes, None)
            changes = NOTHING
        self.work.cause = None

    def _log(self, record: Record) -> list[Event]:
        """Every event about a record, the first first."""
        owner = _owner(record)
        where = Eq("customer_id", owner) if owner else Eq("subject_id", record.id)
        return [event for event in self.work.find(Event, where, ("id",)) if event.subject_id == record.id]

    def _edited(self, record: Record) -> bool:
        """Whether anything but this import has changed a record that it made."""
        return any(event.cause not in self.causes for event in standing(self._log(record)))

    def _never_undone(self, record: Record, before: dict[str, Any]) -> None:
        """Takes from what is to be put back what came of another import that was undone meanwhile."""
        log = self._log(record)
        stands = {event.id for event in standing(log)}
        for event in reversed(log):
            if event.id in stands or event.cause in self.causes or event.action.endswith(UNDONE):
                continue
            for name, (old, new) in changes_of(event).items():
                if name in before and before[name] == new:
                    before[name] = old

    def _others_hang_on(self, customer: Customer) -> bool:
        """Whether a customer has a record by now that this import doesn't take away."""
        return any(self.work.find(cls, Eq("customer_id", customer.id), limit=1) for cls in _OF_CUSTOMERS)

    def _restore(self, record: Record, own: Sequence[Event]) -> None:
        """Puts every field back that is still as the import left it."""
        before: dict[str, Any] = {}
        after: dict[str, Any] = {}
        for event in own:
            for name, (old, new) in changes_of(event).items():
                before[name] = old
                after.setdefault(name, new)
        self._never_undone(record, before)
        now = plain_fields(record, before)
        back = {name: value for name, value in before.items() if now[name] == after[name] and value != after[name]}
        stays = tuple(name for name in before if now[name] != after[name] and before[name] != now[name])
        if stays:
            self.left.append(Left(entity=record.entity, id=record.id, number=self._number(record), fields=stays))
        self._note(record, own, {name: [now[name], value] for name, value in back.items()})
        if back:
            self.work.change(record, f"{record.entity}.{UNDONE}", from_plain(type(record), back), silent=True)
            self.restored += 1

    def _number(self, record: Record) -> str | None:
        owner = _owner(record)
        customer = self.work.get(Customer, owner) if owner else None
        return customer.number if customer and self.work.sees(customer) else None


def _owner(record: Record) -> str | None:
    """The id of the customer that a record is, or hangs on."""
    if isinstance(record, Customer):
        return record.id
    return getattr(record, "customer_id", None) or getattr(record, "referrer_id", None)
