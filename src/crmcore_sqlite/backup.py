"""A copy of a database that is in use: complete, checked, and there only when it is both."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path

from crmcore.errors import StoreCorrupt, StoreUnavailable
from crmcore.storage import Schema
from crmcore_sqlite.database import facts_of
from crmcore_sqlite.errors import DRIVER_ERRORS, translate


def back_up(source: sqlite3.Connection, schema: Schema, path: str, target: str) -> None:
    """Copies the database at ``path`` through SQLite's own backup, in one read: others may read it meanwhile, and with a
    write-ahead log also write; else a writer waits for its turn.

    The file is written under another name, checked, synced and then given its own, which must be free.
    """
    place = Path(os.path.abspath(target))
    if place.exists():
        raise StoreUnavailable(f"{place} is there already", path=str(place))
    try:
        handle, made = tempfile.mkstemp(prefix=f".{place.name}.", suffix=".part", dir=place.parent)
    except OSError as error:
        raise StoreUnavailable(f"{error.strerror}: {place}", path=str(place)) from None
    part = Path(made)
    try:
        os.close(handle)
        shutil.copymode(path, part)
        _copy(source, schema, part)
        _sync(part)
        _name(part, place)
        _sync(place.parent)
    except DRIVER_ERRORS as error:
        raise translate(error) from None
    except OSError as error:
        raise StoreUnavailable(f"{error.strerror}: {place}", path=str(place)) from None
    finally:
        for litter in (part, Path(f"{part}-journal")):
            litter.unlink(missing_ok=True)


def _copy(source: sqlite3.Connection, schema: Schema, part: Path) -> None:
    with closing(sqlite3.connect(part, isolation_level=None)) as copy:
        source.backup(copy)
        # One file, without a log beside it.
        copy.execute("PRAGMA journal_mode=DELETE").fetchone()
        findings = [text for (text,) in copy.execute("PRAGMA integrity_check") if text != "ok"]
        if findings or facts_of(copy) != (schema.version, schema.fingerprint):
            raise StoreCorrupt("the copy is damaged, and so may the database be; look with: crmcore check")


def _name(part: Path, place: Path) -> None:
    try:
        os.link(part, place)  # never takes the place of a file that came meanwhile
    except FileExistsError:
        raise StoreUnavailable(f"{place} is there already", path=str(place)) from None
    except OSError:  # a disk without links
        if place.exists():
            raise StoreUnavailable(f"{place} is there already", path=str(place)) from None
        part.rename(place)


def _sync(path: Path) -> None:
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR
    with suppress(PermissionError):  # Windows opens no folders
        descriptor = os.open(path, flags)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
