"""A file that appears whole or not at all: written beside its place, then moved there."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from crmcore.errors import CRMError, ReadOnly, StorageError, StoreFull, StoreUnavailable

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write; on leaving without an error it takes the place of ``path``, otherwise nothing is left of it.

    Raises :class:`StoreUnavailable` (a folder in the way, or none to write to), :class:`ReadOnly` or :class:`StoreFull`.
    A plain :class:`OSError` from within the block is taken for one of writing.
    """
    # A link keeps pointing to the file that is replaced.
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise StoreUnavailable(f"{path} is a folder, not a file", path=str(path))
    if target.exists() and not os.access(target, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise ReadOnly(f"{path} may not be written", path=str(path))
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with draft.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            draft.chmod(target.stat().st_mode & 0o777)
        draft.replace(target)
    except CRMError:  # some of them are an OSError too
        raise
    except OSError as problem:
        raise cannot_write(problem, path) from problem
    finally:
        draft.unlink(missing_ok=True)


def cannot_write(problem: OSError, path: Path) -> StorageError:
    """The typed error for what the system said when a file was to be written."""
    if problem.errno in _FULL:
        return StoreFull(f"no space is left for {path}", path=str(path))
    if problem.errno in _FORBIDDEN:
        return ReadOnly(f"{path} may not be written; is it open in another program?", path=str(path))
    return StoreUnavailable(f"{path} can't be written: {problem.strerror}", path=str(path))
