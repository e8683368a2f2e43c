"""Where a workbook and what lies beside it are, and how the store is run, from its URL."""

from __future__ import annotations

import hashlib
import os
import re
from functools import cached_property
from pathlib import Path
from typing import Literal, cast

import attrs

from crmcore.errors import InvalidURL, StoreUnavailable
from crmcore.storage import StoreURL
from crmcore.storage.filesystems import filesystem_of, is_remote
from crmcore_excel.journal import Fingerprint

OPTIONS = {"wait": "5", "checkpoint": "close", "network": "refuse"}

CheckpointRule = Literal["close", "manual"]


@attrs.frozen(slots=False)
class Places:
    """A workbook and the hidden folder beside it."""

    workbook: Path

    @cached_property
    def folder(self) -> Path:
        """What belongs to the workbook."""
        return self.workbook.with_name(f".{self.workbook.name}.crm")

    @cached_property
    def journal(self) -> Path:
        """What was committed since the workbook was written."""
        return self.folder / "journal"

    @cached_property
    def lock(self) -> Path:
        """Whose lock the writer holds."""
        return self.folder / "lock"

    @cached_property
    def turn(self) -> Path:
        """Whose lock is held while the workbook is written; others go on committing."""
        return self.folder / "checkpoint.lock"

    @cached_property
    def base(self) -> Path:
        """The workbook as it was last written."""
        return self.folder / "base.xlsx"

    @cached_property
    def next(self) -> Path:
        """The workbook as it is just being written: the base as soon as it is in place."""
        return self.folder / "next.xlsx"

    @cached_property
    def draft(self) -> Path:
        """The same, until it takes the place of the workbook."""
        return self.folder / "draft.xlsx"

    @cached_property
    def kept(self) -> Path:
        """The workbook as a person last saved it, for what its formatting is."""
        return self.folder / "kept.xlsx"

    @cached_property
    def settled(self) -> Path:
        """The fingerprint of a person's file whose edits were looked at."""
        return self.folder / "settled"

    @cached_property
    def postponed(self) -> Path:
        """Why the workbook could not be written when it was last to be."""
        return self.folder / "postponed"

    @cached_property
    def backups(self) -> Path:
        """Older workbooks, and persons' files."""
        return self.folder / "backups"


@attrs.frozen
class Settings:
    """The workbook, the seconds to wait for a turn to write, and when the workbook is written."""

    places: Places
    wait_seconds: float
    checkpoint: CheckpointRule

    @classmethod
    def of(cls, url: StoreURL) -> Settings:
        """The settings that a URL asks for; raises :class:`InvalidURL`, :class:`StoreUnavailable` on a network disk."""
        options = url.take(OPTIONS)
        if url.host:
            raise InvalidURL("a workbook is named after three slashes: excel:///crm.xlsx, excel:////srv/crm.xlsx")
        if not url.path:
            raise InvalidURL("the URL names no file; write excel:///crm.xlsx")
        if "\0" in url.path:
            raise InvalidURL("a file name holds no NUL")
        if not url.path.lower().endswith(".xlsx"):
            raise InvalidURL("a store is kept in an .xlsx workbook; others are read by crmcore import")
        if not re.fullmatch(r"\d{1,5}(\.\d+)?s?", options["wait"], re.ASCII):
            raise InvalidURL("wait is a number of seconds, such as 5 or 0.5s")
        if options["checkpoint"] not in ("close", "manual"):
            raise InvalidURL("checkpoint is close or manual")
        if options["network"] not in ("refuse", "allow"):
            raise InvalidURL("network is refuse or allow")
        # A link keeps pointing to the file that is replaced.
        path = os.path.realpath(url.path)
        kind = filesystem_of(path)
        if options["network"] == "refuse" and is_remote(kind):
            raise StoreUnavailable(
                f"{path} lies on a network disk ({kind}), whose locks can't be trusted: keep the workbook on a local disk,"
                " use a database server for several machines, or add ?network=allow if only ever one machine opens it",
                path=path,
            )
        wait = float(options["wait"].removesuffix("s"))
        return cls(Places(Path(path)), wait, cast(CheckpointRule, options["checkpoint"]))


def fingerprint(path: Path) -> Fingerprint | None:
    """What the file at that path is known by; None where there is none. Raises :class:`OSError`."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
            return Fingerprint(file.tell(), digest.hexdigest())
    except FileNotFoundError:
        return None
