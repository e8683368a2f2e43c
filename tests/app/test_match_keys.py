"""Keys by which customers are found again follow the customers; records that were taken off the lists come back as they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import crmcore
from crmcore.app.absent import (
    LONGEST,
    absent_subjects,
    bring_back,
    from_content,
    give_back,
    put_away,
    take_away,
    to_content,
)
from crmcore.app.match_keys import MADE_BY, key_rows, made_by
from crmcore.domain import ENTITIES, AbsentRecord, Contact, Customer, Entity, MatchKey, Setting
from crmcore.errors import DuplicateCustomer, PluginError, StoreCorrupt
from crmcore.plugins import Installed, manager
from crmcore.rules.normalisation import Normalised, Normaliser
from crmcore.storage.codec import CODECS
from crmcore.testing import strategies
from crmcore.testing.difficult import TEXTS


def kept_keys(crm: crmcore.CRM) -> set[tuple[object, ...]]:
    """Every kept key but for its version."""
    with crm.store.transaction() as transaction:
        return {(row[0], *row[2:]) for row in transaction.scan("match_keys")}


def derived_keys(crm: crmcore.CRM) -> set[tuple[object, ...]]:
    """The keys that follow from the customers and contacts."""
    with crm.store.transaction() as transaction:
        found = [CODECS[cls].load(row) for cls in (Customer, Contact) for row in transaction.scan(cls.collection)]
    return {(row[0], *row[2:]) for one in found for row in key_rows(one, crm.plugins.normaliser)}


PHONES = st.lists(st.sampled_from(["13800138000", "138 0013 8000", "010-88885678"]), max_size=3)


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["甲公司", "乙公司", "丙"]), PHONES), max_size=8))
def test_keys_are_those_of_the_customers_and_contacts_whatever_was_changed(steps) -> None:
    with crmcore.open("memory:") as crm:
        me = crm.acting_as("hua")
        customers = [me.customers.register(name=f"示例{place}") for place in range(3)]
        contacts: dict[int, Contact] = {}
        for place, name, phones in steps:
            me.customers.update(customers[place].id, name=f"{name}{place}")
            if place in contacts:
                me.contacts.update(contacts[place].id, phones=phones)
            else:
                contacts[place] = me.contacts.add(customers[place].id, name=name, phones=phones, email="A@Example.com")
            assert kept_keys(crm) == derived_keys(crm)


def test_one_customer_has_a_key_of_each_kind(me: crmcore.Session) -> None:
    contact = {"name": "王总", "phones": ["138 0013 8000"], "email": "Zoe@Example.com", "wechat": "Wxid_Zoe"}
    acme = me.customers.register(name="ＡＢＣ 贸易", uscc="91310000MA1FL0L82X", contacts=[contact])
    keys = me.crm.acting_as("x").customers.listed(MatchKey)
    assert {key.customer_id for key in keys} == {acme.id}
    assert {(key.subject, key.kind) for key in keys} == {
        *(("customer", kind) for kind in ("name", "uscc")),
        *(("contact", kind) for kind in ("phone", "email", "wechat")),
    }
    # The value may be sealed; the id is in plain whatever happens.
    assert not any(key.value in key.id for key in keys)


def test_a_store_without_keys_gets_them_when_it_is_opened_and_others_by_recompute(
    open_crm: Callable[..., crmcore.CRM],
) -> None:
    crm = open_crm()
    crm.acting_as("hua").customers.register(name="示例", contacts=[{"name": "王总", "phone": "13800138000"}])
    wanted = kept_keys(crm)

    def drop(work) -> None:
        for key in work.find(MatchKey):
            work.remove(key)

    crm.write("hua", drop)
    assert not kept_keys(crm)
    crm.acting_as("hua").obligations.recompute()
    assert kept_keys(crm) == wanted
    assert crm.read(made_by) == crm.plugins.normaliser.key

    def never_had(work) -> None:
        drop(work)
        work.remove(work.get(Setting, MADE_BY))

    crm.write("hua", never_had)
    again = crmcore.open(crm.store, "marketing", clock=crm.clock)
    assert not kept_keys(crm)
    again.acting_as("hua").users.add("li")
    assert kept_keys(crm) == wanted


of_any_entity = st.sampled_from(ENTITIES).flatmap(strategies.entities)


@given(of_any_entity)
def test_a_record_is_told_and_read_again_without_a_loss(entity: Entity) -> None:
    again = from_content(entity.entity, to_content(entity))
    assert CODECS[type(entity)].dump(again) == CODECS[type(entity)].dump(entity)


def test_a_record_that_was_taken_off_the_lists_comes_back_as_it_was(me: crmcore.Session) -> None:
    acme = me.customers.register(name="示例", remarks="  ".join(TEXTS)[:10_000] + "陈 " * 9000, tags=["a b"])
    crm = me.crm
    crm.write("hua", lambda work: take_away(work, work.current(Customer, acme), acme.id, "deleted"))
    assert me.customers.count() == 0
    assert not kept_keys(crm)
    parts = me.customers.listed(AbsentRecord)
    assert len(parts) > 1
    assert max(len(part.content) for part in parts) <= LONGEST
    assert all(part.content.isascii() for part in parts)
    assert crm.write("hua", lambda work: list(absent_subjects(work, acme.id))) == [("customer", acme.id)]
    crm.write("hua", lambda work: bring_back(work, "customer", acme.id))
    assert me.customers.get(acme.number) == acme
    assert kept_keys(crm) == derived_keys(crm)
    assert not me.customers.listed(AbsentRecord)
    assert crm.write("hua", lambda work: bring_back(work, "customer", acme.id)) is None


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_missing_piece_is_no_record(part: int) -> None:
    with crmcore.open("memory:") as crm:
        crm.write("hua", lambda work: put_away(work, "c", "merge", "c", ["x" * LONGEST, "y" * LONGEST], "merged"))
        crm.write("hua", lambda work: work.remove(work.get(AbsentRecord, f"merge:c:{part}")))
        with pytest.raises(StoreCorrupt):
            crm.write("hua", lambda work: give_back(work, "merge", "c"))


class Loud(Normaliser):
    key = "loud"

    def company_name(self, text: str) -> Normalised:
        return attrs.evolve(super().company_name(text), key=f"loud {text}")


class LoudPlugin:
    @crmcore.hookimpl
    def crm_normalisers(self) -> list[Normaliser]:
        return [Loud()]


def test_a_store_is_read_by_the_forms_that_its_keys_were_made_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = f"sqlite:///{(tmp_path / 'crm.db').as_posix()}"
    with crmcore.open(store, "standard") as crm:
        crm.acting_as("hua").customers.register(name="甲公司")
    with crmcore.open(store, plugins=[LoudPlugin()]) as crm:
        before = kept_keys(crm)
        with pytest.raises(DuplicateCustomer):
            crm.acting_as("hua").customers.register(name="甲公司")
        assert kept_keys(crm) == before, "what is refused changes nothing"
        crm.acting_as("hua").customers.register(name="丙公司")
    with crmcore.open(store) as crm:  # no plugin is named, and none is installed that brings them
        with pytest.raises(PluginError, match="loud"):
            crm.acting_as("hua").customers.register(name="乙公司")
        assert crm.acting_as("hua").customers.count() == 2
    monkeypatch.setattr(manager, "installed", lambda: Installed((LoudPlugin(),), ()))
    with crmcore.open(store) as crm, pytest.raises(DuplicateCustomer):
        crm.acting_as("hua").customers.register(name="甲公司")
    monkeypatch.undo()
    with crmcore.open(store) as crm:
        crm.acting_as("hua").obligations.recompute()
        assert crm.acting_as("hua").customers.register(name="乙公司").name == "乙公司"
