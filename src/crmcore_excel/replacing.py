"""A file that appears whole or not at all: written beside its place, then moved there."""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO

from crmcore.errors import CRMError, ReadOnly, StorageError, StoreFull, StoreUnavailable

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}

# Windows: somebody has one of the files open. A virus scanner or a cloud folder lets go soon.
_IN_USE = {5, 32, 33}
_PATIENCE, _LOOK_AGAIN = 2.5, 0.05


def move(source: Path, target: Path) -> None:
    """``os.replace``, again and again for a few seconds where Windows says that a file is in use; raises :class:`OSError`."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            os.replace(source, target)
            return
        except OSError as problem:
            if getattr(problem, "winerror", None) not in _IN_USE or time.monotonic() >= deadline:
                raise
        time.sleep(_LOOK_AGAIN)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder last; Windows does that itself."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class typed_errors:  # noqa: N801 - used like a function, and at every commit, so it is not a generator
    """An :class:`OSError` within the block comes out as one of the library: :class:`StoreFull`, :class:`ReadOnly`,
    :class:`StoreUnavailable`."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Some of the library's own are an OSError too.
        if isinstance(error, OSError) and not isinstance(error, CRMError):
            raise cannot_write(error, self._path) from error


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write; on leaving without an error it takes the place of ``path``, otherwise nothing is left of it.

    Raises :class:`StoreUnavailable` (a folder in the way, or none to write to), :class:`ReadOnly` or :class:`StoreFull`.
    A plain :class:`OSError` from within the block is taken for one of writing.
    """
    # A link keeps pointing to the file that is replaced.
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise StoreUnavailable.phrased("{path} is a folder, not a file", path=str(path))
    if target.exists() and not os.access(target, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise ReadOnly.phrased("{path} may not be written", path=str(path))
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with typed_errors(path):
            with draft.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                draft.chmod(target.stat().st_mode & 0o777)
            move(draft, target)
    finally:
        draft.unlink(missing_ok=True)


def cannot_write(problem: OSError, path: Path) -> StorageError:
    """The typed error for what the system said when a file was to be written."""
    if problem.errno in _FULL:
        return StoreFull.phrased("no space is left for {path}", path=str(path))
    if problem.errno in _FORBIDDEN:
        return ReadOnly.phrased("{path} may not be written; is it open in another program?", path=str(path))
    return StoreUnavailable.phrased("{path} can't be written: {reason}", path=str(path), reason=problem.strerror)
