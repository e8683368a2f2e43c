"""What is the memory store's own, beside the contract that the kit holds it to."""

import pytest

from crmcore.errors import InvalidURL, StoreBusy
from crmcore.storage import Insert, Query, StoreURL
from crmcore.storage.memory import MemoryBackend, MemoryData, MemoryStore
from crmcore.testing import SCHEMA
from crmcore.testing.kit_schema import group_row, values_row

MEMORY = StoreURL.parse("memory:")


def test_every_opening_is_a_new_store() -> None:
    with MemoryBackend().open(MEMORY, SCHEMA) as one, MemoryBackend().open(MEMORY, SCHEMA) as other:
        with one.transaction(write=True) as work:
            work.apply([Insert("values", values_row("a"))])
        with other.transaction() as work:
            assert work.count("values") == 0


@pytest.mark.parametrize("text", ["memory:crm", "memory:///crm", "memory://host", "memory:?wait=1"])
def test_it_takes_no_name_and_no_options(text: str) -> None:
    with pytest.raises(InvalidURL):
        MemoryBackend().open(StoreURL.parse(text), SCHEMA)


def test_the_wait_is_bounded_and_told() -> None:
    data = MemoryData(SCHEMA)
    with MemoryStore(data).transaction(write=True):
        with (
            pytest.raises(StoreBusy, match=r"over 0\.05 s") as raised,
            MemoryStore(data, wait_seconds=0.05).transaction(write=True),
        ):
            pytest.fail("two writers at once")
        assert isinstance(raised.value, TimeoutError)


def test_readers_do_not_wait_for_a_writer() -> None:
    data = MemoryData(SCHEMA)
    with MemoryStore(data).transaction(write=True) as work:
        work.apply([Insert("values", values_row("a"))])
        with MemoryStore(data, wait_seconds=0).transaction() as reader:
            assert list(reader.find(Query("values"))) == []


def test_a_reader_sees_nothing_of_what_is_committed_after_a_commit_to_another_collection() -> None:
    data = MemoryData(SCHEMA)
    store = MemoryStore(data)
    with store.transaction() as reader:
        for change in (
            Insert("group", group_row("a")),
            Insert("values", values_row("a")),
            Insert("values", values_row("b")),
        ):
            with store.transaction(write=True) as work:
                work.apply([change])
        assert (reader.count("group"), reader.count("values")) == (0, 0)
    with store.transaction() as reader:
        assert (reader.count("group"), reader.count("values")) == (1, 2)
    assert {name: table.readers for name, table in data.tables.items()} == dict.fromkeys(SCHEMA.collections, 0)
