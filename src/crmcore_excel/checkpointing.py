"""Writing the workbook anew in the place of the old one, so that a crash at any point leaves one of them, whole."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from crmcore.errors import ReadOnly, StorageError, StoreBusy, StoreCorrupt, StoreFull, StoreUnavailable
from crmcore.storage import Schema
from crmcore.storage.memory import Table
from crmcore.storage.presentation import Presentation
from crmcore_excel.journal import HEADER_SIZE, Fingerprint, Header, Mark, OpenJournal, create, scan
from crmcore_excel.loading import Loaded, copy, keep_base, litter, schema_digest, sync, told
from crmcore_excel.owners import owner_of
from crmcore_excel.places import Places, fingerprint
from crmcore_excel.replacing import move, replacing, sync_folder, typed_errors

_PASSING = {cls.code for cls in (StoreUnavailable, StoreBusy, StoreFull, ReadOnly)}

KEPT_BACKUPS = 5
"""Older versions of the workbook that are kept. What persons saved is never taken away."""


def write(
    places: Places,
    header: Header,
    schema: Schema,
    tables: Mapping[str, Table],
    mark: Mark,
    presentation: Presentation | None,
) -> Fingerprint:
    """Writes the rows as a draft of the workbook, and a copy of it, both verified and synced. Under the checkpoint's lock."""
    kept = places.kept if places.kept.exists() else None
    try:
        _write_verified(places.draft, schema, tables, header.store_id, mark, presentation, kept)
        sync(places.draft)
        copy(places.draft, places.next)
        sync_folder(places.folder)
        written = fingerprint(places.draft)
        if written is None or fingerprint(places.next) != written:
            raise StoreCorrupt("the disk did not give back what was written", path=str(places.next))
    except BaseException:
        _discard(places)
        raise
    return written


def put_in_place(places: Places, now: Loaded, schema: Schema, mark: Mark, written: Fingerprint) -> None:
    """The draft of the rows up to the mark becomes the workbook, its copy the base, and the journal begins anew with what was
    committed since. Under both locks."""
    header = Header(
        store_id=now.header.store_id,
        workbook_id=now.header.store_id,
        base=mark.sequence,
        fingerprint=written,
        schema_version=schema.version,
        schema=schema_digest(schema),
        previous=mark.checksum,
    )
    try:
        check_free(places, now)
        with OpenJournal(places.journal, write=False) as journal:
            later = scan(journal.rest(mark), mark, places.journal).records
        if places.workbook.exists():
            shutil.copymode(places.workbook, places.draft)
        move(places.draft, places.workbook)
    except BaseException:
        _discard(places)
        raise
    # From here on it is a checkpoint, whatever happens: opening the store goes on with it.
    sync_folder(places.workbook.parent)
    keep_base(places, now.header)
    move(places.next, places.base)
    if places.kept.exists():  # what stands beside a row is carried on from where the row is now
        copy(places.base, places.kept)
    sync_folder(places.folder)
    now.mark = create(places.journal, header, later)
    now.header, now.seen, now.edits, now.later = header, written, (), False
    places.settled.unlink(missing_ok=True)
    places.postponed.unlink(missing_ok=True)
    _forget_backups(places)


def _discard(places: Places) -> None:
    places.next.unlink(missing_ok=True)
    places.draft.unlink(missing_ok=True)


def settle(places: Places, now: Loaded) -> None:
    """A person's edits were looked at: their file is kept, and may be replaced."""
    keep_person(places, now)
    with replacing(places.settled) as file:
        file.write(f"{now.seen.size} {now.seen.sha256}".encode())
    now.edits = ()


def back_up(
    target: Path,
    schema: Schema,
    tables: Mapping[str, Table],
    header: Header,
    mark: Mark,
    presentation: Presentation | None,
) -> None:
    """Writes the rows as a workbook of its own, verified; raises :class:`StoreUnavailable` if something is there."""
    target = Path(os.path.realpath(target))
    if target.exists():
        raise StoreUnavailable.phrased("{path} is there already", path=str(target))
    draft = target.with_name(f".{target.name}.{mark.sequence}.tmp")
    with typed_errors(target):
        try:
            _write_verified(draft, schema, tables, header.store_id, mark, presentation, None)
            sync(draft)
            os.link(draft, target)  # unlike a move, never over another file
            sync_folder(target.parent)
        except FileExistsError:
            raise StoreUnavailable.phrased("{path} is there already", path=str(target)) from None
        finally:
            draft.unlink(missing_ok=True)


def check(places: Places, schema: Schema, now: Loaded) -> list[str]:
    """What is wrong with the files, under the writer's lock."""
    from crmcore_excel.checkpoints import read_checkpoint

    findings = []
    with typed_errors(places.folder):
        if fingerprint(places.base) != now.header.fingerprint:
            findings.append(f"{places.base.name} is not the workbook as it was last written")
        there = fingerprint(places.workbook)
        if there is None:
            findings.append("the workbook is missing; opening the store again writes it")
        elif there not in (now.header.fingerprint, told(places.settled)):
            findings += _person_findings(places, schema)
        try:
            with OpenJournal(places.journal, write=False) as journal:
                found = scan(journal.whole()[HEADER_SIZE:], journal.header().mark, places.journal)
            if found.mark != now.mark:
                findings.append("the journal holds other records than were read from it")
        except StoreCorrupt as problem:
            findings.append(problem.message)
        try:
            read_checkpoint(places.base, schema)
        except StorageError as problem:
            findings.append(problem.message)
        findings += [
            f"{path.name} is left over from a crash; opening the store again takes it away" for path in litter(places)
        ]
        owner = owner_of(places.workbook)
        if owner is not None and not owner.live:
            findings.append(
                f"{owner.file.name} seems to be left over from a crash of the program that had the workbook open"
            )
    return findings


def _person_findings(places: Places, schema: Schema) -> list[str]:
    from crmcore_excel.checkpoints import read_checkpoint

    try:
        read_checkpoint(places.workbook, schema)
    except StorageError as problem:
        return [problem.message]
    return []


def tell_postponed(places: Places, code: str, why: str) -> None:
    """Leaves word for whoever asks why the workbook is behind, if that can be. ``code`` is the error's, if it is one of ours."""
    with contextlib.suppress(OSError):
        places.postponed.write_text(f"{code}\n{why}", "utf-8")


def postponed(places: Places) -> str | None:
    """Why the workbook is behind; None when it was written as it should."""
    return _postponed(places)[1]


def was_in_the_way(places: Places) -> bool:
    """Whether the workbook is behind for something that goes away by itself, as a program that had it open."""
    return _postponed(places)[0] in _PASSING


def _postponed(places: Places) -> tuple[str, str | None]:
    try:
        code, _, why = places.postponed.read_text("utf-8").partition("\n")
    except (OSError, ValueError):
        return "", None
    return code, why or code


def waiting(places: Places) -> StoreUnavailable:
    """The error for a workbook that holds a person's edits nobody has looked at."""
    return StoreUnavailable.phrased(
        "{path} was changed by hand; the changes are to be taken in first: open the store anew",
        path=str(places.workbook),
    )


def check_free(places: Places, now: Loaded) -> None:
    """Raises :class:`StoreUnavailable` unless the workbook may be replaced."""
    owner = owner_of(places.workbook)
    if owner is not None and owner.live:
        raise StoreUnavailable.phrased(
            "{path} is open in another program ({file}); it is written at the next use of the store after it was closed"
            " there",
            path=str(places.workbook),
            file=owner.file.name,
        )
    if now.edits or fingerprint(places.workbook) not in (now.seen, None):
        raise waiting(places)


def keep_person(places: Places, now: Loaded) -> None:
    """Keeps the workbook that a person saved: among the backups for ever, and as what the next ones look like."""
    places.backups.mkdir(exist_ok=True)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(places.workbook.stat().st_mtime))
    copy(places.workbook, places.backups / f"saved-{stamp}-{now.seen.sha256[:8]}.xlsx")
    copy(places.workbook, places.kept)


def _write_verified(
    path: Path,
    schema: Schema,
    tables: Mapping[str, Table],
    store_id: str,
    mark: Mark,
    presentation: Presentation | None,
    kept: Path | None,
) -> None:
    from crmcore_excel.checkpoints import read_checkpoint, write_checkpoint

    rows = {name: table.rows.values() for name, table in tables.items()}
    write_checkpoint(
        path, schema, rows, store_id=store_id, sequence=mark.sequence, presentation=presentation, kept=kept
    )
    back = read_checkpoint(path, schema)
    same = all({row[0]: row for row in back.rows.get(name, ())} == table.rows for name, table in tables.items())
    if not same or (back.store_id, back.sequence, back.edited) != (store_id, mark.sequence, False):
        path.unlink(missing_ok=True)
        raise StoreCorrupt(
            "the workbook just written does not hold what was to be in it; the old one stays", path=str(path)
        )


def _older(places: Places) -> list[Path]:
    """Older versions of the workbook, the oldest first."""
    return sorted(places.backups.glob("*-????????????.xlsx"), key=lambda path: path.name[-17:])


def _forget_backups(places: Places) -> None:
    for path in _older(places)[:-KEPT_BACKUPS]:
        path.unlink(missing_ok=True)


def forget_older(places: Places) -> list[str]:
    """Takes every older version of the workbook away, and names the files of persons, which stay."""
    for path in _older(places):
        path.unlink(missing_ok=True)
    sync_folder(places.folder)
    return sorted(map(str, places.backups.glob("*.xlsx")))
