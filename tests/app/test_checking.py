"""What a check of the whole store finds: everything that the domain would not have written, and nothing else."""

from __future__ import annotations

import datetime
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import crmcore
from crmcore.app.checking import Checked
from crmcore.errors import StoreCorrupt
from crmcore.plugins import open_store
from crmcore.storage.codec import SCHEMA
from crmcore.storage.digest import digest_of

KEPT = Path(__file__).parents[1] / "storage" / "stores" / "v1" / "story.db"


def lived(me: crmcore.Session) -> None:
    acme = me.customers.register(
        name="示例科技有限公司", industry="制造业", contacts=[{"name": "王磊", "phone": "13800138000"}]
    )
    me.follow_ups.log(acme, summary="电话", next_step="x", next_on=datetime.date(2023, 10, 20))
    me.opportunities.open(name="数控机床", customer=acme, expected_amount=crmcore.Money.of("0.01"))


def test_a_store_that_only_the_library_wrote_is_whole(me) -> None:
    assert me.crm.check() == me.crm.check()
    lived(me)
    told: list[tuple[str, int]] = []
    found = me.crm.check(lambda name, count: told.append((name, count)))
    assert found.findings == ()
    assert (found.rows["customers"], found.rows["contacts"], found.outdated) == (1, 1, False)
    with me.crm.store.transaction() as transaction:
        assert found.digests == {name: digest_of(transaction, name).hexdigest() for name in SCHEMA.collections}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with every kind of record, in this program's format."""
    path = Path(shutil.copy(KEPT, tmp_path))
    crmcore.upgrade(f"sqlite:///{path.as_posix()}", backup=False)
    crmcore.open(f"sqlite:///{path.as_posix()}").close()  # which makes what format 1 had no place for
    return path


def checked(path: Path, *damage: str) -> Checked:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in damage:
            assert connection.execute(statement).rowcount > 0, statement
    with crmcore.open(f"sqlite:///{path.as_posix()}") as crm:
        return crm.check()


def test_a_kept_store_is_whole(path: Path) -> None:
    assert checked(path).findings == ()


@pytest.mark.parametrize(
    ("damage", "kind", "where"),
    [
        ("UPDATE customers SET name_key = 'x' WHERE number LIKE '%01'", "value", "customers.name_key"),
        ("UPDATE customers SET kind = 'factory' WHERE number LIKE '%01'", "value", "customers.kind"),
        ("UPDATE customers SET remarks = ' x ' WHERE number LIKE '%01'", "value", "customers.remarks"),
        ("UPDATE customers SET remarks = 'a' || char(7) WHERE number LIKE '%01'", "value", "customers.remarks"),
        ("UPDATE customers SET headcount_low = -1 WHERE number LIKE '%01'", "value", "customers.headcount_low"),
        ("UPDATE customers SET tags = '[1' WHERE number LIKE '%01'", "value", "customers.tags"),
        ("UPDATE customers SET need_tags = '7' WHERE number LIKE '%01'", "value", "customers.need_tags"),
        ("UPDATE customers SET custom = '[]' WHERE number LIKE '%01'", "value", "customers.custom"),
        ("UPDATE orders SET amount_currency = 'x' WHERE number = 'HT-001'", "value", "orders.amount"),
        ("UPDATE customers SET tags = '[{\"a\":[1]}]' WHERE number LIKE '%01'", "value", "customers.tags"),
        ("UPDATE customers SET custom = '{' WHERE number LIKE '%01'", "value", "customers.custom"),
        ("UPDATE contacts SET phones = 'not json' WHERE name = 'Zoë'", "value", "contacts.phones"),
        ("UPDATE events SET changes = '{' WHERE action = 'customer.registered'", "value", "events.changes"),
        ("UPDATE events SET changes = '{\"stage\":1}' WHERE action = 'customer.moved'", "value", "events.changes"),
        ("UPDATE customers SET stage = 'factory' WHERE number LIKE '%01'", "playbook", "customers.stage"),
        ("UPDATE customers SET tier = 'factory' WHERE number LIKE '%01'", "playbook", "customers.tier"),
        ("UPDATE opportunities SET stage = 'factory'", "playbook", "opportunities.stage"),
        ("UPDATE opportunities SET pipeline = 'factory'", "playbook", "opportunities.pipeline"),
        ("UPDATE contacts SET customer_id = 'x' WHERE name = 'Zoë'", "reference", "contacts.customer_id"),
        ("DELETE FROM orders WHERE number = 'HT-001'", "reference", "instalments.order_id"),
        ("DELETE FROM obligations WHERE state = 'open' AND customer_id IS NOT NULL", "obligations", "None.None"),
        ("UPDATE obligations SET due_at = '2026-01-01T00:00:00.000Z' WHERE state = 'open'", "obligations", "None.None"),
        ("UPDATE customers SET first_contact_on = '2026-02-30' WHERE number LIKE '%01'", "store", "None.None"),
        ("UPDATE events SET at = 'yesterday' WHERE action = 'customer.registered'", "store", "None.None"),
    ],
)
def test_what_somebody_else_wrote_is_found_and_not_told(path: Path, damage: str, kind: str, where: str) -> None:
    found = checked(path, damage).findings
    assert {one.kind for one in found} == {kind}
    assert f"{found[0].collection}.{found[0].field}" == where
    for language in ("en", "zh-CN"):
        assert all("factory" not in one.text(language) and "yesterday" not in one.text(language) for one in found)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("DROP TABLE contacts", "the table contacts is not there"),
        ("ALTER TABLE follow_ups DROP COLUMN summary", "follow_ups has no column summary"),
    ],
)
def test_a_table_or_column_that_is_gone_is_found(path: Path, damage: str, told: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(damage)
    findings = checked(path).findings
    assert {one.kind for one in findings} == {"store"}
    assert told in [one.told for one in findings]


def test_under_changed_rules_what_is_owed_is_not_compared(path: Path) -> None:
    found = checked(path, "DELETE FROM obligations", "UPDATE settings SET value = 'other' WHERE id = 'rules'")
    assert (found.findings, found.outdated) == ((), True)


def test_checking_writes_nothing(path: Path) -> None:
    before = path.read_bytes()
    checked(path)
    assert path.read_bytes() == before
    with open_store(f"sqlite:///{path.as_posix()}", SCHEMA) as store:
        assert store.check() == []


@pytest.mark.parametrize(
    "damage", ["events SET changes = '{'", "customers SET custom = '{'", "contacts SET phones = '{'"]
)
def test_a_text_that_cannot_be_read_is_a_damaged_store(path: Path, damage: str) -> None:
    checked(path, f"UPDATE {damage}")
    with crmcore.open(f"sqlite:///{path.as_posix()}") as crm:
        me = crm.acting_as("li.ming")
        with pytest.raises(StoreCorrupt):
            me.obligations.recompute(dry_run=True)
            for customer in me.customers.find():
                me.contacts.of(customer)
