"""From the files of a workbook store to its rows: what to read, and how to go on after a crash.

What lasts is ``base.xlsx``, the workbook as it was last written, and the journal behind it. The workbook itself is for
people. It is replaced before its copy becomes the base, and the journal begins anew last of all; the names and fingerprints
say how far that came.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from crmcore.errors import SchemaMismatch, StorageError, StoreCorrupt, StoreUnavailable
from crmcore.storage import Row, Schema
from crmcore.storage.memory import MemoryData
from crmcore.storage.presentation import Edit
from crmcore_excel.journal import HEADER_SIZE, Fingerprint, Header, Mark, OpenJournal, Record, Scan, create, scan
from crmcore_excel.owners import owner_of
from crmcore_excel.places import Places, fingerprint
from crmcore_excel.records import RecordForm, changes_of
from crmcore_excel.replacing import move, sync_folder

if TYPE_CHECKING:
    from crmcore_excel.checkpoints import Checkpoint

# It names files; a workbook may come from anywhere.
_ID = re.compile(r"[0-9a-f]{32}")
_MOST = 2**40

_log = logging.getLogger("crmcore.excel")


@attrs.define(kw_only=True)
class Loaded:
    """The rows of a store in memory, and how far its files were read.

    ``seen`` is the workbook as it was when it was looked at, ``edits`` what a person changed in it; ``later`` says that this
    can't be taken in now, since a program has the workbook open or nothing may be written.
    """

    header: Header
    mark: Mark
    data: MemoryData
    seen: Fingerprint
    edits: Sequence[Edit] = ()
    later: bool = False


def load(places: Places, schema: Schema) -> Loaded | None:
    """The store as its files are, without a lock. None where they are to be put in order first, or are being written."""
    with OpenJournal(places.journal, write=False) as journal:
        content = journal.whole()
    header = Header.of(content, places.journal)
    check_schema(header, schema)
    if fingerprint(places.base) != header.fingerprint or fingerprint(places.workbook) != header.fingerprint:
        return None
    found = scan(content[HEADER_SIZE:], header.mark, places.journal)
    data, _ = _read_base(places.base, schema)
    replay(found.records, data, header.base)
    with OpenJournal(places.journal, write=False) as journal:
        if journal.header() != header:
            return None
    return Loaded(header=header, mark=found.mark, data=data, seen=header.fingerprint)


def recover(places: Places, schema: Schema, *, sweep: bool) -> Loaded:
    """The store after its files were put in order; under the writer's lock, and under the checkpoint's for a ``sweep``.

    Raises :class:`StoreCorrupt`, :class:`SchemaMismatch`, :class:`StoreUnavailable`, :class:`OSError`.
    """
    if not places.journal.exists():
        if places.base.exists():
            raise StoreCorrupt.phrased(
                "{path} is missing, and with it what was committed last: put it back from a backup of the disk, or move its"
                " folder away to open the workbook as it was last written",
                path=str(places.journal),
            )
        _begin(places, schema)
    header, found = _read_journal(places)
    header, mark, records = _finish(places, header, found)
    check_schema(header, schema)
    if fingerprint(places.workbook) is None:
        _restore(places)
    for path in litter(places) if sweep else ():
        path.unlink(missing_ok=True)
    data, _ = _read_base(places.base, schema)
    replay(records, data, header.base)
    seen = fingerprint(places.workbook) or header.fingerprint
    loaded = Loaded(header=header, mark=mark, data=data, seen=seen)
    if seen != header.fingerprint and told(places.settled) != seen:
        # Taken in now, a new row that is changed and saved once more would be another new row then.
        if (owner := owner_of(places.workbook)) is not None and owner.live:
            loaded.later, loaded.seen = True, header.fingerprint
            _log.warning(
                "%s was changed by hand and is open in another program (%s): what was changed is taken in when the store"
                " is opened after the workbook was closed there",
                places.workbook,
                owner.file.name,
            )
        else:
            loaded.edits = tuple(find_edits(places, header, schema))
    return loaded


def load_alone(places: Places, schema: Schema) -> Loaded:
    """The store as far as it can be read, where nothing may be written: neither put in order nor swept."""
    from crmcore_excel.checkpoints import read_checkpoint

    if not places.journal.exists():
        known = fingerprint(places.workbook)
        if known is None:
            raise StoreUnavailable.phrased("{path} is missing", path=str(places.workbook))
        checkpoint = read_checkpoint(places.workbook, schema)
        header = _header(schema, known, checkpoint.store_id, checkpoint.store_id, checkpoint.sequence)
        return Loaded(header=header, mark=header.mark, data=fill(schema, checkpoint.rows), seen=known)
    with OpenJournal(places.journal, write=False) as journal:
        content = journal.whole()
    header = Header.of(content, places.journal)
    check_schema(header, schema)
    found = scan(content[HEADER_SIZE:], header.mark, places.journal)
    data, base = _read_base(places.base, schema)
    replay(found.records, data, base)
    seen = fingerprint(places.workbook) or header.fingerprint
    loaded = Loaded(header=header, mark=found.mark, data=data, seen=seen)
    if seen != header.fingerprint and told(places.settled) != seen:
        try:
            loaded.edits = tuple(find_edits(places, header, schema))
            loaded.later = bool(loaded.edits)
        except StorageError as problem:
            loaded.later = True
            _log.warning("%s", problem)
        if loaded.later:
            _log.warning(
                "%s was changed by hand, and %s may not be written: what was changed is taken in when somebody opens the"
                " store who may write",
                places.workbook,
                places.folder,
            )
    return loaded


def check_schema(header: Header, schema: Schema) -> None:
    """Raises :class:`SchemaMismatch` for data that were written under another schema."""
    # A journal knows the fields by their digest alone.
    same = header.schema == schema_digest(schema)
    schema.require(header.schema_version, schema.fingerprint if same else "")


def schema_digest(schema: Schema) -> str:
    """What a schema is known by in a journal."""
    return hashlib.sha256(schema.fingerprint.encode()).hexdigest()


def fill(schema: Schema, rows: Mapping[str, Sequence[Row]]) -> MemoryData:
    """The rows as tables in memory."""
    data = MemoryData(schema)
    data.commit({name: changes_of(data, name, put) for name, put in rows.items()})
    return data


def replay(records: Sequence[Record], data: MemoryData, base: int) -> None:
    """Makes the changes of what was committed after the base."""
    form = RecordForm(data.schema)
    for record in records:
        if record.sequence > base:
            data.commit(form.load(record.body, data))


def find_edits(places: Places, header: Header, schema: Schema) -> list[Edit]:
    """What a person changed in the workbook since it was written; raises what can't be taken for a person's work."""
    from crmcore_excel.checkpoints import read_checkpoint
    from crmcore_excel.edits import edits_between

    try:
        edited = read_checkpoint(places.workbook, schema)
    except StoreCorrupt as problem:
        raise _unusable(places, problem) from problem
    base, since = _base_of(places, header, edited), ""
    settled = told(places.settled)
    if settled is not None and fingerprint(places.kept) == settled:
        # Saved again by somebody who had it open all the while: what was looked at is not told once more.
        before = read_checkpoint(places.kept, schema)
        if (before.store_id, before.sequence, before.unread) == (edited.store_id, edited.sequence, ()):
            base, since = places.kept, settled.sha256
    # What says again what was written has taken something back, where that was looked at.
    if not edited.edited and not since:
        return []
    try:
        return edits_between(base, places.workbook, schema, since)
    except StoreCorrupt as problem:
        if problem.details.get("path") != str(places.workbook):
            raise
        raise _unusable(places, problem) from problem


def _unusable(places: Places, problem: StoreCorrupt) -> StoreCorrupt:
    """The error for a workbook that was damaged, or changed in a way that nothing can be taken in of."""
    return StoreCorrupt.phrased(
        "{trouble}. Nothing that was committed is lost: put that right in {path}, or move it away and open the store"
        " again, and the workbook is written anew; older ones are in {backups}",
        trouble=problem,
        path=str(places.workbook),
        backups=str(places.backups),
    )


def litter(places: Places) -> list[Path]:
    """What a process that died left in the folder, or one is just writing."""
    known = places.journal, places.lock, places.turn, places.base, places.kept, places.settled, places.postponed
    lasting = {*known, places.backups}
    return [path for path in (*places.folder.iterdir(), *places.backups.glob("*.new")) if path not in lasting]


def backup_of(places: Places, store_id: str, sequence: int) -> Path:
    """Where the workbook goes that was written under that number, once it is no longer the last."""
    return places.backups / f"{store_id[:8]}-{sequence:012d}.xlsx"


def copy(source: Path, target: Path) -> None:
    """A synced copy, whole or not at all; its fingerprint is its source's."""
    draft = target.with_name(f"{target.name}.new")
    shutil.copyfile(source, draft)
    sync(draft)
    move(draft, target)


def sync(path: Path) -> None:
    """Makes the content of a file last."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def told(path: Path) -> Fingerprint | None:
    """The fingerprint that a file holds."""
    try:
        size, digest = path.read_text("ascii").split()
        return Fingerprint(int(size), digest)
    except (FileNotFoundError, ValueError):
        return None


def _base_of(places: Places, header: Header, edited: Checkpoint) -> Path:
    """The workbook as it was before it was edited; its rows are told by their digest, since a copy of the store that went its
    own way has workbooks of the same numbers."""
    from crmcore_excel.checkpoints import stored_digest

    last = (edited.store_id, edited.sequence) == (header.workbook_id, header.base)
    base = places.base if last else backup_of(places, edited.store_id, edited.sequence)
    if base.exists() and stored_digest(base) == edited.digest:
        return base
    raise StoreUnavailable.phrased(
        "{path} is not the workbook that {folder} belongs to, nor one of its last versions: put the right workbook back,"
        " or move this one to a place of its own and open it there",
        path=str(places.workbook),
        folder=str(places.folder),
    )


def _read_base(path: Path, schema: Schema) -> tuple[MemoryData, int]:
    from crmcore_excel.checkpoints import read_checkpoint

    checkpoint = read_checkpoint(path, schema)
    return fill(schema, checkpoint.rows), checkpoint.sequence


def _identity(path: Path) -> tuple[str, int, Schema] | None:
    """Store, number and schema of a workbook of ours; None for what can't be read as one."""
    from crmcore_excel.checkpoints import read_checkpoint, stored_schema

    try:
        schema = stored_schema(path)
        checkpoint = read_checkpoint(path, schema)
    except (StorageError, OSError):
        return None
    return checkpoint.store_id, checkpoint.sequence, schema


def _begin(places: Places, schema: Schema) -> None:
    """A new store: empty, or out of a workbook that came without its folder."""
    from crmcore_excel.checkpoints import read_checkpoint, write_checkpoint

    own = workbook_id = uuid.uuid4().hex
    base = 0
    if places.workbook.exists():
        checkpoint = read_checkpoint(places.workbook, schema)
        if checkpoint.edited:
            raise edited_alone(places)
        workbook_id, base = checkpoint.store_id, checkpoint.sequence
        if not _ID.fullmatch(workbook_id) or not 0 <= base < _MOST:
            raise SchemaMismatch(f"{places.workbook} is not a store that this library wrote", path=str(places.workbook))
        copy(places.workbook, places.next)
    else:
        empty: dict[str, list[Row]] = {name: [] for name in schema.collections}
        write_checkpoint(places.draft, schema, empty, store_id=own, sequence=0, presentation=None)
        sync(places.draft)
        copy(places.draft, places.next)
    known = fingerprint(places.next)
    assert known is not None
    header = _header(schema, known, own, workbook_id, base)
    create(places.journal, header)
    move(places.next, places.base)
    if not places.workbook.exists():
        move(places.draft, places.workbook)
    sync_folder(places.folder)
    sync_folder(places.workbook.parent)


def _header(
    schema: Schema, known: Fingerprint, store_id: str, workbook_id: str, base: int, previous: int = 0
) -> Header:
    return Header(
        store_id=store_id,
        workbook_id=workbook_id,
        base=base,
        fingerprint=known,
        schema_version=schema.version,
        schema=schema_digest(schema),
        previous=previous,
    )


def edited_alone(places: Places) -> StoreUnavailable:
    """The error for a workbook whose edits can't be told from what it held."""
    return StoreUnavailable.phrased(
        "{path} was changed by hand, and the folder {folder} that belongs to it is not beside it: put the folder there, or"
        " take the table in with crmcore import",
        path=str(places.workbook),
        folder=places.folder.name,
    )


def check_name(places: Places) -> None:
    """Raises :class:`StoreUnavailable` for a workbook that was renamed and left behind what was committed since."""
    known = fingerprint(places.workbook)
    for folder in places.workbook.parent.iterdir():
        name = folder.name[1:].removesuffix(".crm")
        if folder.name != f".{name}.crm" or not name.lower().endswith(".xlsx"):
            continue
        other = Places(places.workbook.with_name(name))
        if other.workbook.exists():
            continue
        try:
            with OpenJournal(other.journal, write=False) as journal:
                header, records = (
                    journal.header(),
                    scan(journal.whole()[HEADER_SIZE:], journal.header().mark, folder).records,
                )
        except (OSError, StorageError):
            continue
        if records and header.fingerprint == known:
            raise StoreUnavailable.phrased(
                "{path} was renamed, and what was committed since it was written is in {folder}: rename that to {wanted},"
                " or the workbook to {name}",
                path=str(places.workbook),
                folder=folder.name,
                wanted=places.folder.name,
                name=name,
            )


def _read_journal(places: Places) -> tuple[Header, Scan]:
    with OpenJournal(places.journal, write=True) as journal:
        content = journal.whole()
        header = Header.of(content, places.journal)
        found = scan(content[HEADER_SIZE:], header.mark, places.journal)
        if found.torn:
            journal.wipe(found.mark, found.torn)
    return header, found


def _finish(places: Places, header: Header, found: Scan) -> tuple[Header, Mark, Sequence[Record]]:
    """Goes on with a checkpoint that was cut short: forward once the workbook was replaced, back before."""
    known, there, base = header.fingerprint, fingerprint(places.workbook), fingerprint(places.base)
    coming = fingerprint(places.next)
    if coming is not None and base is None and coming == known:  # the first one of all
        move(places.next, places.base)
        sync_folder(places.folder)
        base = coming
    elif coming is not None and there != known and _is_of(places.workbook, there, places.next, coming):
        if base is not None:
            keep_base(places, header)
        move(places.next, places.base)
        if places.kept.exists():
            copy(places.base, places.kept)
        sync_folder(places.folder)
        base = coming
    if base == known:
        return header, found.mark, found.records
    identity = None if base is None else _identity(places.base)
    if base is not None and identity is not None and identity[0] == header.store_id and identity[1] > header.base:
        return _renew(places, header, found, base, identity)
    if there == known:
        copy(places.workbook, places.base)
        return header, found.mark, found.records
    raise StoreCorrupt.phrased(
        "{path} is missing or damaged, and the workbook isn't as it was written: put the folder back from a backup of the"
        " disk; older workbooks are in {backups}",
        path=str(places.base),
        backups=str(places.backups),
    )


def _is_of(workbook: Path, there: Fingerprint | None, coming: Path, fingerprint: Fingerprint) -> bool:
    if there is None or there == fingerprint:
        return there is not None
    found, written = _identity(workbook), _identity(coming)
    return found is not None and written is not None and found[:2] == written[:2]


def _renew(
    places: Places, header: Header, found: Scan, base: Fingerprint, identity: tuple[str, int, Schema]
) -> tuple[Header, Mark, Sequence[Record]]:
    store_id, sequence, schema = identity
    if sequence > found.mark.sequence:
        raise StoreCorrupt.phrased(
            "{path} is older than the workbook beside it: put the folder back as a whole",
            path=str(places.journal),
        )
    last = next(record for record in found.records if record.sequence == sequence)
    renewed = _header(schema, base, store_id, store_id, sequence, last.checksum)
    later = [record for record in found.records if record.sequence > sequence]
    return renewed, create(places.journal, renewed, later), later


def keep_base(places: Places, header: Header) -> None:
    """The base goes to the backups, to make room for the next."""
    places.backups.mkdir(exist_ok=True)
    move(places.base, backup_of(places, header.workbook_id, header.base))


def _restore(places: Places) -> None:
    """Writes the workbook that somebody renamed or deleted; what was committed since comes into it at the next checkpoint."""
    if (owner := owner_of(places.workbook)) is not None and owner.live:
        raise StoreUnavailable.phrased(
            "{path} is missing while another program has it open: close it there first",
            path=str(places.workbook),
        )
    copy(places.base, places.draft)
    move(places.draft, places.workbook)
    sync_folder(places.workbook.parent)
