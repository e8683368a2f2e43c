"""Settings and fixtures that every test shares."""

from __future__ import annotations

import datetime
import itertools
import os
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import postgres_server as postgres
import pytest
from hypothesis import HealthCheck, settings

import crmcore

settings.register_profile("quick", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("nightly", max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("CRMCORE_TEST_PROFILE", "quick"))

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = datetime.datetime(2023, 10, 9, 2, 0, tzinfo=datetime.UTC)

    def __call__(self) -> datetime.datetime:
        return self.now

    def forward(self, **lengths: float) -> None:
        self.now += datetime.timedelta(**lengths)


@pytest.fixture
def clock() -> Clock:
    return Clock()


#: Whose tests run on PostgreSQL, too: they write in every way there is. All of them there would take minutes.
ON_POSTGRES = frozenset(
    {
        "test_registering",
        "test_units_of_work",
        "test_relay",
        "test_merging",
        "test_encryption",
        "test_permission_worlds",
    }
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "store_url" in metafunc.fixturenames:
        more = ["postgresql"] if metafunc.module.__name__ in ON_POSTGRES else []
        metafunc.parametrize("store_url", ["memory", "sqlite", *more], indirect=True)


@pytest.fixture
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgres_url")()
        return url
    return "memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/crm.db"


@pytest.fixture
def open_crm(store_url: str, clock: Clock) -> Iterator[Callable[..., crmcore.CRM]]:
    """Opens a CRM with a fixed clock and counted ids, on each store in turn."""
    opened: list[crmcore.CRM] = []
    counter = itertools.count(1)

    def make(playbook: str = "marketing", **options: object) -> crmcore.CRM:
        ids = lambda: f"00000000-0000-7000-8000-{next(counter):012}"  # noqa: E731
        crm = crmcore.open(store_url, playbook, **{"clock": clock, "ids": ids, **options})
        opened.append(crm)
        return crm

    yield make
    for crm in opened:
        crm.close()


@pytest.fixture
def me(open_crm: Callable[..., crmcore.CRM]) -> crmcore.Session:
    return open_crm().acting_as("sales.east")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED.is_dir():
        pytest.skip("the shared data sets are not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Callable[..., str]]:
    """Gives URLs on a PostgreSQL server: one of this process's own, or the one that CRMCORE_TEST_PG_URL names."""
    given = os.environ.get("CRMCORE_TEST_PG_URL")
    if given:
        yield partial(postgres.with_options, given)
        return
    server = postgres.Server()
    yield server.url
    server.remove()


@pytest.fixture
def postgres_url(postgres_server: Callable[..., str]) -> Iterator[Callable[..., str]]:
    """Gives URLs of a store in a schema that is this test's alone, and gone at its end."""
    name = f"t{uuid.uuid4().hex}"
    yield partial(postgres_server, schema=name)
    postgres.drop(postgres_server(), name)
