"""The stores of every format that was released are opened by this program, after an upgrade where they are older."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import crmcore
from crmcore.domain import Customer
from crmcore.errors import SchemaMismatch
from crmcore.plugins import find_backend, open_store
from crmcore.storage.codec import CODECS, SCHEMA
from crmcore.storage.digest import digest_of
from crmcore.storage.upgrades import fault_of
from crmcore.storage.url import StoreURL

STORES = Path(__file__).parent / "stores"
KEPT = sorted(STORES.glob("v*/story.db"), key=lambda path: int(path.parent.name[1:]))


@pytest.fixture(params=KEPT, ids=lambda path: path.parent.name)
def kept(request: pytest.FixtureRequest) -> Path:
    """The folder of a format."""
    folder: Path = request.param.parent
    return folder


@pytest.fixture
def url(kept: Path, tmp_path: Path) -> str:
    shutil.copy(kept / "story.db", tmp_path)
    return f"sqlite:///{(tmp_path / 'story.db').as_posix()}"


def test_there_is_a_store_of_every_format_and_the_format_of_this_program_is_written_down() -> None:
    assert [path.parent.name for path in KEPT] == [f"v{version}" for version in range(1, SCHEMA.version + 1)]
    written = (STORES / f"v{SCHEMA.version}" / "schema.json").read_text("utf-8").strip()
    assert SCHEMA.fingerprint == written, (
        "the fields of the schema changed: raise SCHEMA_VERSION, write the step in storage/upgrades.py and keep a store"
        " of the new format (tests/storage/stores/story.py)"
    )


def test_a_store_says_its_format(kept: Path, url: str) -> None:
    address = StoreURL.parse(url)
    stored = find_backend("sqlite").stored(address)
    assert stored is not None
    assert f"v{stored.version}" == kept.name
    assert stored.fingerprint == (kept / "schema.json").read_text("utf-8").strip()
    rows = json.loads((kept / "rows.json").read_text("utf-8"))
    with find_backend("sqlite").open(address, stored) as store, store.transaction() as transaction:
        for name in stored.collections:
            digest = digest_of(transaction, name)
            assert {"rows": digest.count, "digest": digest.hexdigest()} == rows[name], name


def test_a_kept_store_is_upgraded_and_used(kept: Path, url: str) -> None:
    older = kept.name != f"v{SCHEMA.version}"
    if older:
        with pytest.raises(SchemaMismatch, match="crmcore upgrade"):
            crmcore.open(url)
    rehearsed = crmcore.upgrade(url, dry_run=True)
    done = crmcore.upgrade(url)
    assert done.digest == rehearsed.digest
    assert bool(done.steps) == older
    before = json.loads((kept / "rows.json").read_text("utf-8"))
    with open_store(url, SCHEMA) as store, store.transaction() as transaction:
        assert store.check() == []
        for cls, codec in CODECS.items():
            for row in transaction.scan(cls.collection):
                assert fault_of(codec.collection, row) is None
                entity = codec.load(row)
                assert codec.dump(entity.replace()) == row
        for change in done.changes:
            if change.state == "kept":
                assert digest_of(transaction, change.name).hexdigest() == before[change.name]["digest"]
    with crmcore.open(url) as crm:
        me = crm.acting_as("li.ming")
        assert me.customers.count() == before[Customer.collection]["rows"]
        found = me.obligations.recompute(dry_run=True)
        assert (found.begun, found.changed, found.gone) == (0, 0, 0) or me.obligations.outdated()
        customer = me.customers.register(name="新客户有限公司", industry="制造业")
        assert me.obligations.of(customer)
    assert crmcore.upgrade(url).steps == ()
