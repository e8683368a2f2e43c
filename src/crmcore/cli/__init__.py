"""The ``crmcore`` command: the library's use cases from a shell.

Nothing is imported here that the extra ``cli`` brings, so that its absence can be said in one line.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code (:mod:`crmcore.cli.exits`); ``arguments`` are ``sys.argv``'s unless given."""
    if find_spec("click") is None or find_spec("rich") is None:
        print('error [missing_extra]: the command needs click and rich: pip install "crmcore[cli]"', file=sys.stderr)
        return 1
    from crmcore.cli.program import run

    return run(arguments)
