"""The plugins of one CRM: registered by name, checked against the hooks, and called at no cost when there are none."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import attrs
import pluggy

from crmcore.errors import CRMError, PluginConflict, PluginError
from crmcore.notify.contract import Notifier
from crmcore.plugins import hookspecs
from crmcore.plugins.discovery import PLUGINS, entry_points_of, load_entry_point
from crmcore.plugins.records import AccessRequest, Context, PlaybookSource, ProposedChange
from crmcore.rules.normalisation import Normaliser, PlainNormaliser
from crmcore.storage.keys import KeyRing


@attrs.frozen
class Installed:
    """The plugins that installed packages offer, and what was wrong with those that can't be loaded."""

    plugins: tuple[Any, ...]
    faults: tuple[PluginError, ...]


@attrs.frozen
class OfferedNotifiers:
    """The notifiers that plugins bring, by key, and what was wrong with others; a broken one harms no other."""

    notifiers: dict[str, Notifier]
    faults: tuple[PluginError, ...]


def installed() -> Installed:
    """Loads every plugin in the group ``crmcore.plugins``; a broken one is named in ``faults`` and harms no other."""
    plugins, faults = [], []
    for entry in entry_points_of(PLUGINS):
        try:
            plugins.append(load_entry_point(entry))
        except PluginError as fault:
            faults.append(fault)
    return Installed(tuple(plugins), tuple(faults))


def installed_normaliser(key: str) -> Normaliser | None:
    """The normaliser of that key which an installed package brings; None where none does."""
    offered = (Plugins([plugin]).normaliser for plugin in installed().plugins)
    return next((one for one in offered if one.key == key), None)


class Plugins:
    """A pluggy manager of its own per CRM, so that two in one process don't meet."""

    def __init__(self, plugins: Iterable[Any] = ()) -> None:
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        for plugin in plugins:
            self._register(plugin)
        # Asked for once: pluggy spends six stage moves on a hook that nobody implements.
        self.checks = bool(self._manager.hook.crm_check.get_hookimpls())
        self.permits = bool(self._manager.hook.crm_permit.get_hookimpls())

    def _register(self, plugin: Any) -> None:
        if isinstance(plugin, (str, bytes)) or plugin is None:
            raise PluginError("a plugin is a module or an object, not its name", plugin=repr(plugin))
        name = getattr(plugin, "__name__", type(plugin).__qualname__)
        while self._manager.has_plugin(name):
            name += "'"
        try:
            self._manager.register(plugin, name)
        except ValueError as error:
            raise PluginConflict(f"a plugin is registered twice: {plugin!r}") from error
        except pluggy.PluginValidationError as error:
            raise PluginError(str(error), plugin=repr(plugin)) from error
        for caller in self._manager.get_hookcallers(plugin) or ():
            for implementation in caller.get_hookimpls():
                if implementation.plugin is plugin and (implementation.wrapper or implementation.hookwrapper):
                    raise PluginError(f"{name}: a hook can't be wrapped here ({caller.name})", plugin=name)
        known = [hook for hook in vars(hookspecs) if hook.startswith("crm_")]
        for caller in self._manager.get_hookcallers(plugin) or ():
            if not caller.has_spec():
                near = difflib.get_close_matches(caller.name, known, 1)
                hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
                raise PluginError(f"{name}: there is no hook {caller.name}{hint}", plugin=name)

    def names(self) -> list[str]:
        """The registered plugins."""
        return [name for name, _ in self._manager.list_name_plugin()]

    def playbooks(self) -> dict[str, PlaybookSource]:
        """Every playbook that a plugin brings, by key. Raises :class:`PluginConflict` for a key that two bring."""
        found: dict[str, PlaybookSource] = {}
        for sources in self._call("crm_playbooks"):
            for source in sources:
                if source.key in found:
                    raise PluginConflict(f"two plugins bring a playbook {source.key}", key=source.key)
                found[source.key] = source
        return found

    def playbook_texts(self) -> dict[str, Path | str]:
        """Every playbook that a plugin brings, by key: its TOML or where that is."""
        return {key: source.toml for key, source in self.playbooks().items()}

    def keys(self) -> KeyRing | None:
        """The keys that a plugin brings, None where none does. Raises :class:`PluginConflict` where two do."""
        found = self._call("crm_keys")
        if len(found) > 1:
            raise PluginConflict("two plugins bring keys")
        if found and not isinstance(found[0], KeyRing):
            raise PluginError("what a plugin brings as keys is no KeyRing")
        return found[0] if found else None

    @cached_property
    def notifiers(self) -> OfferedNotifiers:
        """Every notifier that a plugin brings; they are asked for once.

        What fails, is no notifier or has a key that is taken is named and left out.
        """
        found: dict[str, Notifier] = {}
        faults: list[PluginError] = []
        for implementation in self._manager.hook.crm_notifiers.get_hookimpls():
            name = implementation.plugin_name
            try:
                offered: list[Any] = [*cast(Iterable[Any], implementation.function())]
            except Exception as error:
                told = PluginError(f"{name} failed in crm_notifiers: {type(error).__name__}", plugin=name)
                told.__cause__ = error
                faults.append(told)
                continue
            for one in offered:
                key = getattr(one, "key", None)
                if not isinstance(one, Notifier):
                    faults.append(PluginError(f"{name}: {type(one).__name__} is no Notifier", plugin=name))
                elif not isinstance(key, str) or not key.isprintable() or not key.strip():
                    faults.append(PluginError(f"{name}: {type(one).__name__} has no key", plugin=name))
                elif key in found:
                    faults.append(PluginConflict(f"{name}: there is another notifier {key}", plugin=name, key=key))
                else:
                    found[key] = one
        return OfferedNotifiers(found, tuple(faults))

    @cached_property
    def normaliser(self) -> Normaliser:
        """The first normaliser that a plugin brings, else the plain one; they are asked for once.

        Raises :class:`PluginError` for what is none: keys made by another would find nothing.
        """
        for offered in self._call("crm_normalisers"):
            for one in offered:
                if not isinstance(one, Normaliser):
                    raise PluginError(f"{type(one).__name__} is no Normaliser", plugin=type(one).__name__)
                return one
        return PlainNormaliser()

    def check(self, change: ProposedChange, context: Context) -> None:
        """Lets every plugin refuse the change."""
        self._call("crm_check", change=change, context=context)

    def permit(self, request: AccessRequest) -> bool:
        """Whether no plugin denies it."""
        return False not in self._call("crm_permit", request=request)

    def opened(self, crm: Any) -> None:
        """Tells every plugin that the CRM is open."""
        self._call("crm_opened", crm=crm)

    def closing(self, crm: Any) -> None:
        """Tells every plugin that the CRM is about to close, also when one of them fails."""
        self._call("crm_closing", all_of_them=True, crm=crm)

    def _call(self, hook: str, *, all_of_them: bool = False, **arguments: Any) -> list[Any]:
        results: list[Any] = []
        failed: CRMError | None = None
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            given = {name: arguments[name] for name in implementation.argnames}
            result = None
            try:
                result = implementation.function(**given)
            except CRMError as error:
                failed = error
            except Exception as error:
                # What the plugin says may hold personal data: it stays in the cause.
                told = f"{implementation.plugin_name} failed in {hook}: {type(error).__name__}"
                failed = PluginError(told, plugin=implementation.plugin_name, hook=hook)
                failed.__cause__ = error
            if failed is not None and not all_of_them:
                raise failed
            if result is not None:
                results.append(result)
        if failed is not None:
            raise failed
        return results
