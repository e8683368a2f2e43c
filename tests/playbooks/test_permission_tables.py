"""A table of permissions is checked when it is read: every word leads somewhere, and no right goes without its sight."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmcore.domain import Customer, Ticket
from crmcore.domain.user import ROLES
from crmcore.errors import PlaybookError
from crmcore.playbooks import load
from crmcore.playbooks.loading import BUNDLED
from crmcore.rules.permissions import (
    ACTIONS,
    Level,
    Scope,
    Standing,
    asked_of,
    concealable,
    governed,
    rights_of,
)


def refused(text: str) -> tuple[str, ...]:
    with pytest.raises(PlaybookError) as found:
        load("own", {"own": f'key = "own"\nextends = "standard"\n{text}'})
    return found.value.problems


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[permissions.boss.actions]\nany = { read = 'all' }", "permissions.boss: there is no role 'boss'"),
        ("[permissions.administrator.actions]\nany = { read = 'own' }", "an administrator may do everything"),
        ("[permissions.sales.actions]\ncustomers = { read = 'all' }", "permissions.sales.actions.customers: there is no entity"),
        ("[permissions.sales.actions]\nevent = { read = 'all' }", "permissions.sales.actions.event: there is no entity"),
        ("[permissions.sales.actions]\ncustomer = { see = 'all' }", "permissions.sales.actions.customer: there is no action 'see'"),
        ("[permissions.sales.actions]\ncustomer = { read = 'mine' }", "permissions.sales.actions.customer.read: there is no value 'mine'"),
        ("[permissions.sales.actions]\ncustomer = { read = 'own', update = 'all' }", "customer.update reaches all, further than customer.read, own"),
        ("[permissions.sales.fields]\ncustomer = { fame = 'hidden' }", "permissions.sales.fields.customer.fame: there is no field"),
        ("[permissions.sales.fields]\ncustomer = { stage = 'read' }", "permissions.sales.fields.customer.stage: there is no field"),
        ("[permissions.sales.fields]\ncustomer = { remarks = 'blurred' }", "permissions.sales.fields.customer.remarks: there is no value 'blurred'"),
        ("[permissions.sales.fields]\ncustomer = { remarks = { own = 'read' } }", "must be one word"),
        ("[permissions.sales.fields]\ncustomer = { remarks = { own = 'read', all = 'hidden', mine = 'read' } }", "there is no key 'mine'"),
        ("[permissions.sales.fields]\ncustomer = { remarks = { own = 'masked', all = 'read' } }", "no less of it in one's own records"),
        ("[permissions.sales.fields]\nticket = { priority = 'hidden' }", "a ticket can't be shown without it"),
        ("[permissions.sales.fields]\ncustomer = { contract_expires_on = 'hidden' }", "what is owed by"),
        ("[permissions.sales.fields]\ncustomer = { 'custom.region' = 'hidden' }", "customer.custom.region: there is no field"),
        ("[permissions.sales]\nfoo = 1", "permissions.sales.foo: there is no key"),
    ],
)  # fmt: skip
def test_what_leads_nowhere_is_said_with_its_path(text: str, told: str) -> None:
    assert any(told in problem for problem in refused(text)), refused(text)


def test_every_bundled_playbook_has_a_table_for_each_role() -> None:
    for key in BUNDLED:
        assert {table.key for table in load(key).permissions} == {*ROLES} - {"administrator"}


def test_the_seed_rule_is_in_the_table() -> None:
    rights = rights_of(load("lifecycle"), ["sales"])
    assert rights.scope("customer", "read") is Scope.ALL
    assert rights.scope("follow_up", "update") is Scope.OWN
    assert rights.level("customer", "contract_amount", Scope.ALL) is Level.HIDDEN


def test_a_custom_field_has_its_own_level_or_that_of_all_of_them() -> None:
    text = """key = "own"
extends = "standard"
[custom_fields.customer]
region = { kind = "text", label = { zh = "大区", en = "Region" } }
[permissions.sales.fields]
customer = { custom = "masked", "custom.region" = "read" }
"""
    rights = rights_of(load("own", {"own": text}), ["sales"])
    assert rights.level("customer", "custom.region", Scope.ALL) is Level.READ
    assert rights.level("customer", "custom.other", Scope.ALL) is Level.MASKED


def test_what_is_steered_by_has_no_level() -> None:
    assert not governed(Customer) & {"id", "number", "stage", "owner", "collaborators", "created_by", "confirmed_at"}
    assert concealable(Ticket) < governed(Ticket)


@given(
    st.sets(st.sampled_from(ROLES)), st.sampled_from(sorted(ACTIONS)), st.sampled_from(["customer", "ticket", "user"])
)
def test_another_role_takes_nothing_away(roles: set[str], action: str, entity: str) -> None:
    playbook = load("standard")
    together = rights_of(playbook, roles)
    for role in roles:
        assert together.scope(entity, action) >= rights_of(playbook, [role]).scope(entity, action)


@given(st.sets(st.sampled_from(["me", "you", "them", None])), st.sampled_from(sorted(ACTIONS)))
def test_what_reaches_others_reaches_ones_own(people: set[str | None], action: str) -> None:
    standing = Standing(name="me", team=frozenset({"me", "you"}), rights=rights_of(load("standard"), ["manager"]))
    reach = standing.reach(people)
    assert reach is (Scope.OWN if "me" in people else Scope.TEAM if "you" in people else Scope.ALL)
    if standing.decide("customer", action, reach):
        assert standing.decide("customer", action, Scope.OWN)


def test_a_decision_names_its_cell() -> None:
    standing = Standing(name="me", team=frozenset({"me"}), rights=rights_of(load("standard"), ["sales"]))
    told = standing.decide("customer", "update", Scope.ALL)
    assert (told.allowed, told.why) == (False, "sales: customer.update = own, and this is somebody else's")
    assert standing.decide("customer", "erase", Scope.OWN).why == "sales: customer.erase = none"


def test_what_changes_says_which_action_it_is(me) -> None:
    customer = me.customers.register(name="示例科技有限公司")
    assert asked_of(None, customer) == ("create",)
    assert asked_of(customer, customer.replace(stage="x", owner="y", remarks="z")) == ("update", "move", "assign")
    assert asked_of(customer, customer.replace(collaborators=["hua"])) == ("assign",)
    assert asked_of(customer, customer) == ("update",)
