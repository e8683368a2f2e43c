"""On what kind of file system a path lies: some share a file between machines without sharing its locks."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

_MOUNTS = "/proc/mounts"
_NETWORK = re.compile(
    r"nfs\d?|cifs|smb\w*|ncpfs|9p|afs|ceph|lustre|gpfs|beegfs|gfs2?|ocfs2|glusterfs|vboxsf|virtiofs|prl_fs|fuse\..+"
)


def is_remote(filesystem: str | None) -> bool:
    """Whether other machines may have the file too. An unknown file system is taken for a local one."""
    return filesystem is not None and _NETWORK.fullmatch(filesystem) is not None


def filesystem_of(path: str) -> str | None:
    """The type of the file system that a path lies on; None where the system doesn't tell."""
    if sys.platform == "win32":
        return "smb" if os.path.realpath(path).startswith("\\\\") else None
    try:
        mounts = Path(_MOUNTS).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    return mounted_type(os.path.realpath(path), mounts)


def mounted_type(path: str, mounts: str) -> str | None:
    """The type of the innermost mount that holds a path, out of the text of ``/proc/mounts``."""
    best, kind = -1, None
    for line in mounts.splitlines():
        _, point, filesystem, *_ = line.split(" ")
        point = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), point)
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:  # a later mount on the same point hides the earlier
            best, kind = len(point), filesystem
    return kind
