"""What the command's exit codes mean, and which error ends in which."""

from __future__ import annotations

from collections.abc import Mapping

from crmcore.errors import (
    BackendNotFound,
    Conflict,
    CRMError,
    DuplicateKey,
    Forbidden,
    InvalidKeys,
    InvalidURL,
    PlaybookError,
    QueryError,
    StoreBusy,
    StoreCorrupt,
)

OK, FAILURE, USAGE, REJECTED, CONFLICT, FORBIDDEN, CORRUPT, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 3, 4, 5, 6, 130, 141

EXIT_CODES: Mapping[int, str] = {
    OK: "done",
    FAILURE: "failed: refused by a rule, a file or a store that can't be used",
    USAGE: "the command line can't be followed: an unknown verb or option, a value, URL or playbook that can't be used",
    REJECTED: "imported, but for some rows, which are named",
    CONFLICT: "somebody else changed the record, or held the store for longer than the wait allowed",
    FORBIDDEN: "the user's role does not permit it",
    CORRUPT: "an integrity check failed",
    INTERRUPTED: "interrupted; every batch that was committed stays",
    BROKEN_PIPE: "the program that read the output went away",
}

# The first class that fits decides; what is not named here is a plain failure.
_BY_ERROR: tuple[tuple[type[CRMError], int], ...] = (
    (InvalidURL, USAGE),
    (InvalidKeys, USAGE),
    (BackendNotFound, USAGE),
    (PlaybookError, USAGE),
    (QueryError, USAGE),
    (Conflict, CONFLICT),
    (DuplicateKey, CONFLICT),
    (StoreBusy, CONFLICT),
    (Forbidden, FORBIDDEN),
    (StoreCorrupt, CORRUPT),
)


def exit_code(error: CRMError) -> int:
    """The exit code that an error ends in."""
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), FAILURE)
