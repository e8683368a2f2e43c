"""Where a database lies and how it is run, from its URL and from what SQLite and the disk can do."""

from __future__ import annotations

import os
import re
import sqlite3
from typing import Literal

import attrs

from crmcore.errors import InvalidURL
from crmcore.storage import StoreURL
from crmcore.storage.filesystems import filesystem_of, is_remote

Journal = Literal["wal", "truncate"]

OPTIONS = {"wait": "5", "journal": "auto"}

SAFE_WAL = (3, 51, 3)
"""Below, a reset of the write-ahead log could corrupt the database."""


@attrs.frozen
class Settings:
    """The file, the seconds to wait for a turn to write, and the journal that keeps a commit whole."""

    path: str
    wait_seconds: float
    journal: Journal

    @classmethod
    def of(cls, url: StoreURL) -> Settings:
        """The settings that a URL asks for; raises :class:`InvalidURL`."""
        options = url.take(OPTIONS)
        if url.host:
            raise InvalidURL("a SQLite file is named after three slashes: sqlite:///crm.db, sqlite:////srv/crm.db")
        if not url.path:
            raise InvalidURL("the URL names no file; write sqlite:///crm.db")
        if url.path == ":memory:":
            raise InvalidURL("a database in memory would be gone at the first close; memory: is the store for that")
        if "\0" in url.path:
            raise InvalidURL("a file name holds no NUL")
        path = os.path.abspath(url.path)
        journal = journal_for(options["journal"], sqlite3.sqlite_version_info, filesystem_of(path))
        return cls(path, _seconds(options["wait"]), journal)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,5}(\.\d+)?s?", text, re.ASCII):
        raise InvalidURL("wait is a number of seconds, such as 5 or 0.5s")
    return float(text.removesuffix("s"))


def journal_for(wish: str, version: tuple[int, ...], filesystem: str | None) -> Journal:
    """The journal to use: a write-ahead log where it is safe, else the rollback journal.

    ``filesystem`` is the type of the file system, None where it isn't known. Raises :class:`InvalidURL` for a wish that
    would endanger the data.
    """
    remote = is_remote(filesystem)
    if wish == "auto":
        return "wal" if version >= SAFE_WAL and not remote else "truncate"
    if wish == "truncate":
        return "truncate"
    if wish != "wal":
        raise InvalidURL("journal is auto, wal or truncate")
    if version < SAFE_WAL:
        raise InvalidURL(
            f"journal=wal needs SQLite {'.'.join(map(str, SAFE_WAL))}, here is {'.'.join(map(str, version))}:"
            " older ones can corrupt a database when its log is reset"
        )
    if remote:
        raise InvalidURL(f"journal=wal needs a local disk, and this is {filesystem}: its memory isn't shared")
    return "wal"
