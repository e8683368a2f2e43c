"""Who has a workbook open: the owner files that Excel, WPS and LibreOffice lay beside it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import attrs

_FORGOTTEN = 24 * 3600.0
"""Seconds after which an owner file is taken for one left behind by a crash, where the system can't tell."""

# Size of the file, and where the length and the UTF-16 text of the name are.
_LAYOUTS = {165: 55, 162: 54}


@attrs.frozen
class Owner:
    """A program that has the workbook open, and the user's name as it stands in its file. ``live`` is False for one that
    is taken for a rest of a crash."""

    file: Path
    user: str
    live: bool


def owner_of(workbook: Path) -> Owner | None:
    """The owner file beside a workbook; one that is live if there is any."""
    name = workbook.name
    # Excel and WPS; the shortened form, in which two letters make room for the mark; WPS on Linux; LibreOffice.
    names = (f"~${name}", f"~${name[2:]}", f".~{name}", f".~lock.{name}#")
    found = [owner for each in names if (owner := _read(workbook.with_name(each))) is not None]
    return max(found, key=lambda owner: owner.live, default=None)


def _read(file: Path) -> Owner | None:
    try:
        age = time.time() - file.stat().st_mtime
    except OSError:
        return None
    return Owner(file, _user(file), _is_open(file) if os.name == "nt" else age < _FORGOTTEN)


def _is_open(file: Path) -> bool:
    # Excel keeps its owner file open; Windows lets nobody else write into it.
    try:
        with file.open("r+b"):
            return False
    except OSError:
        return True


def _user(file: Path) -> str:
    try:
        data = file.read_bytes()[:4096]
    except OSError:
        return ""
    if file.name.endswith("#"):
        fields = data.decode("utf-8", "replace").split(",")
        return (fields[0] or "".join(fields[1:2])).strip()
    place = _LAYOUTS.get(len(data))
    if place is not None:
        length = int.from_bytes(data[place : place + 2], "little")
        wide = data[place + 2 : place + 2 + 2 * length]
        if length and len(wide) == 2 * length:
            return wide.decode("utf-16-le", "replace").strip()
    length = data[0] if data else 0
    return data[1 : 1 + length].decode("utf-8", "replace").strip("\0 ")
