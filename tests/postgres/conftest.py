"""A server that a test may do anything to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from postgres_server import Server


@pytest.fixture(scope="session")
def server_of_its_own() -> Iterator[Server]:
    """A server whose roles, settings and processes may be changed; a test that stops it starts it again."""
    server = Server(guarded=("guarded",))
    yield server
    server.remove()
