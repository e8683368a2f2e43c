"""Finding backends by scheme, and the hooks: faults are named, and one CRM's plugins are not another's."""

from __future__ import annotations

import importlib
import sys
import types
from importlib.metadata import EntryPoint, EntryPoints

import pytest

import crmcore
from crmcore.errors import (
    BackendNotFound,
    Forbidden,
    InvalidKeys,
    InvalidURL,
    PluginConflict,
    PluginError,
    PluginLoadError,
    Veto,
)
from crmcore.notify import Delivery, Notifier
from crmcore.plugins import PlaybookSource, Plugins, discovery, find_backend, hookspecs, installed, schemes
from crmcore.rules.normalisation import Normaliser, PlainNormaliser
from crmcore.storage import KeyRing


def entries(monkeypatch, *claims: tuple[str, str, str]) -> None:
    """Entry points as other packages would declare them."""
    made = EntryPoints(EntryPoint(name, value, group) for group, name, value in claims)
    monkeypatch.setattr(discovery, "entry_points", made.select)


def test_our_own_backends_are_registered_like_anybody_s():
    assert {"memory", "postgres", "postgresql", "sqlite"} <= set(schemes())


@pytest.mark.parametrize(
    ("url", "error", "says"),
    [
        ("oracle://h/db", BackendNotFound, "install the package that brings it"),
        ("mongo://h/db", BackendNotFound, "installed: .*memory, .*sqlite"),
        ("crm.db", InvalidURL, "sqlite:///crm.db"),
        ("", InvalidURL, "URL"),
        ("memory:?size=1", InvalidURL, "no option size"),
        ("memory:x", InvalidURL, "no name"),
    ],
)
def test_a_store_that_is_not_to_be_had(url, error, says):
    with pytest.raises(error, match=says):
        crmcore.open(url)


def test_two_claims_of_one_scheme_name_both(monkeypatch):
    claims = [("crmcore.backends", "x", "one:Backend"), ("crmcore.backends", "x", "two:Backend")]
    entries(monkeypatch, *claims)
    with pytest.raises(PluginConflict, match=r"one:Backend.*two:Backend"):
        find_backend("x")


def test_a_backend_that_can_t_be_imported_is_named(monkeypatch):
    entries(monkeypatch, ("crmcore.backends", "x", "no_such_module:Backend"))
    with pytest.raises(PluginLoadError, match=r"no_such_module:Backend.*ModuleNotFoundError"):
        find_backend("x")
    entries(monkeypatch, ("crmcore.backends", "x", "json:loads"))
    with pytest.raises(PluginLoadError, match="no Backend"):
        find_backend("x")


def test_a_broken_plugin_harms_no_other(monkeypatch):
    good = types.ModuleType("good_plugin")
    monkeypatch.setitem(sys.modules, "good_plugin", good)
    claims = [("crmcore.plugins", "bad", "no_such_plugin"), ("crmcore.plugins", "good", "good_plugin")]
    entries(monkeypatch, *claims)
    found = installed()
    assert found.plugins == (importlib.import_module("good_plugin"),)
    assert [type(fault) for fault in found.faults] == [PluginLoadError]
    assert "no_such_plugin" in str(found.faults[0])


class Misspelt:
    @crmcore.hookimpl
    def crm_chek(self, change):
        """Never called."""


def test_a_misspelt_hook_is_an_error_with_a_suggestion():
    with pytest.raises(PluginError, match="did you mean crm_check"):
        Plugins([Misspelt()])


def test_a_plugin_registered_twice():
    plugin = types.ModuleType("twice")
    with pytest.raises(PluginConflict):
        Plugins([plugin, plugin])


class Breaking:
    @crmcore.hookimpl
    def crm_check(self, change):
        raise RuntimeError("broken")


def test_hook_crm_check_names_the_plugin_that_broke():
    with crmcore.open("memory:", plugins=[Breaking()]) as crm:
        with pytest.raises(PluginError, match=r"failed in crm_check: RuntimeError") as caught:
            crm.acting_as("a").customers.register(name="x")
        assert caught.value.details["hook"] == "crm_check"
        assert crm.acting_as("a").customers.count() == 0


class Reading:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str | None]] = []

    @crmcore.hookimpl
    def crm_check(self, change, context):
        before = context.get(type(change.after), change.after.id)
        self.seen.append((change.action, context.actor, before.name if before else None))
        if change.reason == "no":
            raise Veto("refused", plugin="Reading")


def test_hook_crm_check_sees_the_change_and_the_circumstances():
    plugin = Reading()
    with crmcore.open("memory:", plugins=[plugin]) as crm:
        me = crm.acting_as("sales.east")
        customer = me.customers.register(name="x")
        with pytest.raises(Veto):
            me.customers.update(customer, reason="no", address="y")
        assert me.customers.get(customer).address is None
    assert [(action, actor) for action, actor, _ in plugin.seen] == [
        ("customer.registered", "sales.east"),
        ("customer.updated", "sales.east"),
    ]


class Life:
    def __init__(self) -> None:
        self.heard: list[str] = []

    @crmcore.hookimpl
    def crm_opened(self, crm):
        self.heard.append(f"opened {crm.playbook.key}")

    @crmcore.hookimpl
    def crm_closing(self):
        self.heard.append("closing")


def test_hooks_crm_opened_and_crm_closing():
    plugin = Life()
    with crmcore.open("memory:", plugins=[plugin]):
        assert plugin.heard == ["opened standard"]
    assert plugin.heard == ["opened standard", "closing"]


class Bringing:
    @crmcore.hookimpl
    def crm_playbooks(self):
        return [PlaybookSource("ours", 'extends = "marketing"\nkey = "ours"\ncurrency = "USD"\n')]


def test_hook_crm_playbooks_brings_one_along():
    with crmcore.open("memory:", "ours", plugins=[Bringing()]) as crm:
        assert (crm.playbook.key, crm.playbook.currency) == ("ours", "USD")
    with pytest.raises(PluginConflict, match="ours"):
        crmcore.open("memory:", "ours", plugins=[Bringing(), Bringing()])


class Keeping:
    def __init__(self, ring: object) -> None:
        self.ring = ring

    @crmcore.hookimpl
    def crm_keys(self):
        return self.ring


def test_hook_crm_keys_brings_the_keys_unless_some_are_given():
    ours, given = KeyRing.of({"ours": bytes(32)}), KeyRing.of({"given": bytes(32)})
    with crmcore.open("memory:", plugins=[Keeping(None), Keeping(ours)]) as crm:
        assert crm.keys == ours
    with crmcore.open("memory:", plugins=[Keeping(ours)], keys=given) as crm:
        assert crm.keys == given
    with crmcore.open("memory:") as crm:
        assert crm.keys is None
    with pytest.raises(PluginConflict, match="two plugins"):
        crmcore.open("memory:", plugins=[Keeping(ours), Keeping(given)])
    with pytest.raises(PluginError, match="no KeyRing"):
        crmcore.open("memory:", plugins=[Keeping("k:secret")])
    with pytest.raises(InvalidKeys):
        crmcore.open("memory:", keys=b"secret")  # type: ignore[arg-type]


def test_two_crms_have_plugins_of_their_own():
    with crmcore.open("memory:", plugins=[Breaking()]) as one, crmcore.open("memory:") as other:
        assert one.plugins.checks
        assert not other.plugins.checks
        other.acting_as("a").customers.register(name="x")


class Denying:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []

    @crmcore.hookimpl
    def crm_permit(self, request):
        self.asked.append((request.actor, request.entity, request.action))
        return request.action != "update"


def test_hook_crm_permit_denies_and_is_asked_only_where_permissions_are_kept():
    denying = Denying()
    with crmcore.open("memory:", plugins=[denying]) as crm:
        root = crm.acting_as("root")
        acme = root.customers.register(name="示例科技有限公司")
        root.customers.update(acme.id, remarks="…")
        assert denying.asked == []
        root.users.add("root", roles=["administrator"])
        with pytest.raises(Forbidden, match="a plugin denies it"):
            root.customers.update(acme.id, remarks="other")
        assert denying.asked[-1] == ("root", "customer", "update")
        assert root.may("update", acme).why == "a plugin denies it"


def test_every_hook_has_a_test():
    hooks = {name for name in vars(hookspecs) if name.startswith("crm_")}
    tests = " ".join(name for name in globals() if name.startswith("test_hook"))
    assert {hook for hook in hooks if hook not in tests} == set()


class Named(Notifier):
    def __init__(self, key: object) -> None:
        self.key = key  # type: ignore[assignment]

    def deliver(self, message):
        return Delivery.sent()


class Offering:
    def __init__(self, *offered: object) -> None:
        self.offered = offered

    @crmcore.hookimpl
    def crm_notifiers(self):
        if not self.offered:
            raise RuntimeError("13800138000")
        return self.offered


def test_hook_crm_notifiers_names_what_is_broken_and_keeps_the_others():
    with crmcore.open("memory:", plugins=[Offering(), Offering(Named("robot"), 3, Named(" "), Named(7))]) as crm:
        found = crm.plugins.notifiers
        assert list(found.notifiers) == ["robot"]
        assert list(map(str, found.faults)) == [
            "Offering failed in crm_notifiers: RuntimeError",
            "Offering': int is no Notifier",
            "Offering': Named has no key",
            "Offering': Named has no key",
        ]
        assert [one.details["plugin"] for one in found.faults] == ["Offering", *["Offering'"] * 3]
    taken = Plugins([Offering(Named("robot")), Offering(Named("robot"), Named("mail"))]).notifiers
    assert list(taken.notifiers) == ["robot", "mail"]
    assert [type(fault) for fault in taken.faults] == [PluginConflict]
    with crmcore.open("memory:", plugins=[Offering()]) as crm, pytest.raises(PluginError, match="Offering failed"):
        crm.acting_as("a").notifications.deliver()


class Country(Normaliser):
    def __init__(self, key: str) -> None:
        self.key = key


class Forms:
    def __init__(self, *offered: object) -> None:
        self.offered = offered

    @crmcore.hookimpl
    def crm_normalisers(self):
        return self.offered


def test_hook_crm_normalisers_uses_the_first_that_is_offered():
    assert Plugins([Forms(), Forms(Country("a"), Country("b")), Forms(Country("c"))]).normaliser.key == "a"
    assert isinstance(Plugins([Forms()]).normaliser, PlainNormaliser)
    with pytest.raises(PluginError, match="int is no Normaliser"):
        _ = Plugins([Forms(3)]).normaliser


class Said:
    def __init__(self, name: str, said: list[str]) -> None:
        self.name, self.said = name, said

    @crmcore.hookimpl
    def crm_opened(self):
        self.said.append(self.name)


def test_plugins_are_called_in_the_order_in_which_they_were_named():
    said: list[str] = []
    with crmcore.open("memory:", plugins=[Said("one", said), Said("two", said)]):
        assert said == ["one", "two"]
