"""What the audit of a store finds, with keys and without, after upgrades and copies, and by a checkpoint."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import crmcore
from crmcore.app import stores
from crmcore.app.audit import Checkpoint, fault_text
from crmcore.errors import DomainError
from crmcore.storage import Delete
from crmcore.storage.keys import KeyRing

KEPT = Path(__file__).parents[1] / "storage" / "stores"
OLD = KeyRing.of({"k1": bytes(range(32))})
RING = KeyRing.of({"k1": bytes(range(32)), "k2": bytes(range(1, 33))})


def lived(me: crmcore.Session) -> crmcore.Customer:
    acme = me.customers.register(name="示例科技有限公司", industry="制造业", contacts=[{"name": "王磊"}])
    for turn in range(4):
        me.follow_ups.log(acme, summary=f"第{turn}次")
    me.opportunities.open(name="散单")
    return acme


def test_what_the_library_wrote_holds(me: crmcore.Session) -> None:
    assert me.crm.audit.verify().faults == ()
    lived(me)
    me.customers.register(name="另一家有限公司", industry="零售业")
    found = me.crm.audit.verify(me.crm.audit.checkpoint())
    assert (found.faults, found.chains, found.keyed, found.sealed_later) == ((), 3, False, 0)
    assert found.entries == me.crm.read(lambda transaction: transaction.count("events"))


def test_a_unit_of_work_that_fails_leaves_the_chain(me: crmcore.Session) -> None:
    acme = lived(me)
    before = me.crm.audit.checkpoint().chains
    with pytest.raises(crmcore.errors.Invalid):
        me.follow_ups.log(acme, summary="")
    assert me.crm.audit.checkpoint().chains == before


def test_a_checkpoint_shows_what_the_store_can_not(open_crm: Callable[..., crmcore.CRM]) -> None:
    crm = open_crm()
    me = crm.acting_as("sales.east")
    acme = lived(me)
    other = me.customers.register(name="另一家有限公司", industry="零售业")
    kept = Checkpoint.parse(crm.audit.checkpoint().to_json())
    assert kept.entries == crm.audit.verify().entries
    me.follow_ups.log(acme, summary="后来")
    assert crm.audit.verify(kept).faults == ()

    # A whole customer is gone, as if it had never been.
    with crm.store.transaction(write=True) as work:
        gone = [row for row in work.scan("events") if row[2] == other.id]
        work.apply(Delete("events", row[0], row[1]) for row in gone)
        work.apply([Delete("chains", other.id, work.get("chains", other.id)[1])])
        work.apply([Delete("customers", other.id, work.get("customers", other.id)[1])])
    assert crm.audit.verify().faults == ()
    (fault,) = crm.audit.verify(kept).faults
    assert (fault.kind, fault.chain, fault.sequence, fault.until) == ("removed", other.id, 1, len(gone))


def test_a_checkpoint_is_named_by_its_file(me: crmcore.Session, tmp_path: Path) -> None:
    lived(me)
    path = tmp_path / "checkpoint.json"
    path.write_text(me.crm.audit.checkpoint().to_json(), "utf-8")
    assert me.crm.audit.verify(path).faults == me.crm.audit.verify(str(path)).faults == ()
    for wrong in (tmp_path, tmp_path / "none.json", "", "a\0b"):
        with pytest.raises(DomainError, match="checkpoint can't be read"):
            me.crm.audit.verify(wrong)
    path.write_bytes(b"\xff")
    with pytest.raises(DomainError, match="no checkpoint"):
        me.crm.audit.verify(path)


def test_a_checkpoint_that_was_changed_is_told(me: crmcore.Session) -> None:
    lived(me)
    kept = me.crm.audit.checkpoint()
    text, id = kept.to_json(), next(iter(kept.chains))
    changed = Checkpoint(made_at=kept.made_at, chains={**kept.chains, id: (1, "00")}, digest=kept.digest)
    (fault,) = me.crm.audit.verify(changed).faults
    assert fault.kind == "checkpoint"
    for broken in ("", "{}", "[]", text[:-30], text.replace("checkpoint 1", "checkpoint 9")):
        with pytest.raises(DomainError):
            Checkpoint.parse(broken)


@pytest.mark.parametrize("format", ["v1", "v2"])
def test_what_was_there_before_is_sealed_from_then_on(tmp_path: Path, format: str) -> None:
    path = Path(shutil.copy(KEPT / format / "story.db", tmp_path))
    url = f"sqlite:///{path.as_posix()}"
    crmcore.upgrade(url, backup=False)
    with crmcore.open(url) as crm:
        found = crm.audit.verify()
        assert (found.faults, found.sealed_later) == ((), found.entries)
        crm.acting_as("li.ming").customers.register(name="新公司", industry="制造业")
        assert crm.audit.verify().faults == ()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE events SET by = 'x' WHERE id IN (SELECT id FROM events ORDER BY id LIMIT 1)")
        # An event of an old format that somebody slips in has no place, and is no part of what was there.
        connection.execute(
            "INSERT INTO events (id, version, subject, subject_id, action, at, by) SELECT 'x', 1, subject, subject_id,"
            " action, at, by FROM events LIMIT 1"
        )
        connection.execute("DELETE FROM settings WHERE id = 'audit'")
    with crmcore.open(url) as crm:
        kinds = sorted(fault.kind for fault in crm.audit.verify().faults)
        assert kinds == ["changed", "head_changed", "inserted"]


def test_a_copy_holds_as_well(tmp_path: Path) -> None:
    with crmcore.open(f"sqlite:///{tmp_path}/a.db", "standard") as crm:
        lived(crm.acting_as("x"))
        kept = crm.audit.checkpoint()
    stores.copy(f"sqlite:///{tmp_path}/a.db", f"excel:///{tmp_path}/b.xlsx")
    with crmcore.open(f"excel:///{tmp_path}/b.xlsx") as crm:
        assert crm.audit.verify(kept).faults == ()


def test_a_store_comes_to_have_a_key_and_another_one(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    with crmcore.open(url, "standard") as crm:
        acme = lived(crm.acting_as("x"))
        first = crm.audit.checkpoint()
    with crmcore.open(url, keys=OLD) as crm:
        crm.acting_as("x").follow_ups.log(acme.number, summary="第一次有密钥")
        found = crm.audit.verify()
        assert found.keyed
        # What stands under no key could have been made by anybody, and going on from it vouches for nothing before.
        assert {fault.kind for fault in found.faults} == {"unkeyed"}
        assert acme.id in {fault.chain for fault in found.faults}
        told = fault_text(found.faults[0], "en"), fault_text(found.faults[0], "zh-CN")
        assert all("crmcore verify --seal" in text for text in told)
        assert crm.audit.seal() > 0
        assert crm.audit.verify(first).faults == ()
    with crmcore.open(url, keys=RING) as crm:
        assert crm.audit.verify().faults == ()
        assert crm.audit.seal() == len(first.chains)
        assert crm.audit.seal() == 0
        crm.acting_as("x").follow_ups.log(acme.number, summary="第二把密钥")
        assert crm.audit.verify(first).faults == ()
    with crmcore.open(url) as crm:
        assert {fault.kind for fault in crm.audit.verify().faults} == {"wrong_key"}
        with crm.store.transaction(write=True) as work:
            row = next(iter(work.scan("events")))
            work.apply([Delete("events", str(row[0]), int(row[1]))])  # type: ignore[arg-type]
        with pytest.raises(DomainError):
            crm.audit.seal()


def test_a_fault_is_told_in_both_languages(me: crmcore.Session) -> None:
    acme = lived(me)
    with me.crm.store.transaction(write=True) as work:
        row = next(row for row in work.scan("events") if row[2] == acme.id)
        work.apply([Delete("events", str(row[0]), int(row[1]))])  # type: ignore[arg-type]
    (fault,) = me.crm.audit.verify().faults
    assert fault_text(fault) == f"{acme.number}, entry {fault.sequence}: is gone"
    assert fault_text(fault, "zh-CN") == f"{acme.number} 第{fault.sequence}条:已缺失"


@pytest.mark.parametrize(
    "forging",
    [
        (),
        ("UPDATE events SET sequence = NULL",),
        ("UPDATE events SET sequence = NULL", "DELETE FROM events WHERE action = 'follow_up.logged'"),
        ("UPDATE events SET sequence = NULL, salt = NULL, content = NULL, digest = NULL",),
    ],
    ids=["as placed", "without places", "with some gone", "as before the chains"],
)
@pytest.mark.parametrize("note", [None, '{"upgraded": true}'], ids=["no note", "a forged note"])
def test_a_history_without_its_chains_is_never_sealed_under_the_key(
    tmp_path: Path, forging: tuple[str, ...], note: str | None
) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    with crmcore.open(url, "standard", keys=OLD) as crm:
        acme = lived(crm.acting_as("x"))
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as connection:
        connection.execute("UPDATE events SET by = 'wang'")
        for statement in (*forging, "DELETE FROM chains", "DELETE FROM settings WHERE id = 'audit'"):
            connection.execute(statement)
        if note is not None:
            connection.execute("INSERT INTO settings (id, version, value) VALUES ('audit', 1, ?)", [note])
    with crmcore.open(url, keys=OLD) as crm:
        kinds = {fault.kind for fault in crm.audit.verify().faults}
        assert ("head_changed" if note is None else "unkeyed") in kinds
        crm.acting_as("x").follow_ups.log(acme.number, summary="后来")
        assert crm.audit.verify().faults
    with crmcore.open(url, keys=OLD) as crm:
        found = crm.audit.verify().faults
        assert ("head_changed" if note is None else "unkeyed") in {fault.kind for fault in found}
        assert note is not None or "the note of when the chains began is gone" in fault_text(found[0])


def test_what_was_there_before_an_upgrade_comes_under_the_key_when_asked(tmp_path: Path) -> None:
    path = Path(shutil.copy(KEPT / "v2" / "story.db", tmp_path))
    url = f"sqlite:///{path.as_posix()}"
    crmcore.upgrade(url, backup=False)
    with crmcore.open(url, keys=OLD) as crm:
        assert {fault.kind for fault in crm.audit.verify().faults} == {"unkeyed"}
        assert crm.audit.seal() > 0
        assert crm.audit.verify().faults == ()
