"""The PostgreSQL store keeps the storage contract."""

from collections.abc import Callable

import pytest

from crmcore.storage import StoreURL
from crmcore.testing import SCHEMA, Harness, StoreContract
from crmcore_postgres import PostgresBackend


class TestPostgres(StoreContract):
    @pytest.fixture
    def harness(self, postgres_url: Callable[..., str]) -> Harness:
        url = postgres_url()
        backend = PostgresBackend()
        impatient = StoreURL.parse(f"{url}&wait=0.05")
        return Harness(backend=backend, url=url, impatient=lambda: backend.open(impatient, SCHEMA))
