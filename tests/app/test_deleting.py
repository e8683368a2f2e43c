"""The bin: a customer is on no list, and comes back exactly as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lives import CANARY, lived

import crmcore
from crmcore.domain import ENTITIES, Customer
from crmcore.errors import Invalid, NotFound

#: What tells of what was done, and what is derived of it.
TOLD = ("events", "chains", "obligations", "settings")


def rows(crm: crmcore.CRM) -> dict[str, dict[Any, Any]]:
    with crm.store.transaction() as transaction:
        return {cls.collection: {row[0]: row for row in transaction.scan(cls.collection)} for cls in ENTITIES}


def owed(crm: crmcore.CRM) -> dict[Any, Any]:
    """Every obligation but for its version."""
    return {id: row[2:] for id, row in rows(crm)["obligations"].items()}


def test_restoring_brings_back_exactly_what_was(me: crmcore.Session) -> None:
    person = lived(me)
    before, duties = rows(me.crm), owed(me.crm)
    deleted = me.customers.delete(person, "登记错误")
    assert deleted == person
    away = rows(me.crm)
    for name, kept in away.items():
        if name not in (*TOLD, "absent_records", "aliases", "imported_rows"):
            assert not any(CANARY in str(row) or person.id in row for row in kept.values()), name
    assert not any(person.id in row for row in away["obligations"].values())
    assert me.crm.check().findings == ()
    assert me.crm.audit.verify().faults == ()

    assert me.customers.restore(person.number, reason="是对的") == person
    after = rows(me.crm)
    assert {name: kept for name, kept in after.items() if name not in TOLD} == {
        name: kept for name, kept in before.items() if name not in TOLD
    }
    assert owed(me.crm) == duties
    assert me.crm.check().findings == ()
    assert me.crm.audit.verify().faults == ()
    actions = [event.action for event in me.customers.timeline(person)]
    assert actions[:2] == ["customer.restored", "customer.deleted"]


def test_what_is_in_the_bin_is_listed_and_found_nowhere_else(me: crmcore.Session, clock: Any) -> None:
    person = lived(me)
    count = me.customers.count()
    me.customers.delete(person, "登记错误")
    clock.forward(minutes=1)
    other = me.customers.delete(me.customers.find().items[0], "倒闭")
    assert me.customers.count() == count - 2
    assert [(one.customer.number, one.reason) for one in me.customers.deleted()] == [
        (other.number, "倒闭"),
        (person.number, "登记错误"),
    ]
    for gone in (person, person.number, person.id):
        with pytest.raises(NotFound):
            me.customers.get(gone)
    assert not me.customers.find(search=CANARY).items
    with pytest.raises(Invalid):  # its number stays taken
        me.customers.register(name="别人", kind="individual", number=person.number)
    me.customers.restore(other.id)
    assert [one.customer.number for one in me.customers.deleted()] == [person.number]


def test_only_what_is_in_the_bin_is_restored_and_only_once(me: crmcore.Session) -> None:
    person = lived(me)
    for number in (person.number, "nobody", person.id):
        with pytest.raises(NotFound):
            me.customers.restore(number)
    for reason in ("", "  ", None):
        with pytest.raises(Invalid):
            me.customers.delete(person, reason)  # type: ignore[arg-type]
    me.customers.delete(person, "登记错误")
    with pytest.raises(NotFound):
        me.customers.delete(person, "再一次")
    me.customers.restore(person.number)
    with pytest.raises(NotFound):
        me.customers.restore(person.number)


def test_one_that_absorbed_another_is_restored_with_its_numbers(me: crmcore.Session) -> None:
    one = me.customers.register(name="甲有限公司", industry="制造业")
    two = me.customers.register(name="乙有限公司", industry="制造业", contacts=[{"name": "李四"}])
    me.customers.merge(one, two)
    me.customers.delete(one.number, "登记错误")
    with pytest.raises(NotFound):
        me.customers.get(two.number)
    assert me.crm.check().findings == ()
    me.customers.restore(one.number)
    assert me.customers.get(two.number).id == one.id
    me.customers.unmerge(two.number)
    assert me.customers.get(two.number).id == two.id
    assert me.crm.check().findings == ()
    assert me.crm.audit.verify().faults == ()


def test_what_hangs_on_the_bin_is_not_reported(open_crm: Callable[..., crmcore.CRM]) -> None:
    crm = open_crm("standard")
    me = crm.acting_as("sales.east")
    person = lived(me)
    before = me.reports.overview().tables
    me.customers.delete(person, "登记错误")
    assert me.reports.overview().tables != before
    me.customers.restore(person.number)
    assert me.reports.overview().tables == before
    assert isinstance(me.customers.get(person.number), Customer)
