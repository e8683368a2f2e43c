"""The hooks that a plugin can implement: one function each, documented here and in ``docs/reference/hooks.md``.

A plugin is a module or an object with functions marked :data:`hookimpl`. An implementation may take fewer arguments than
its hook gives.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pluggy

from crmcore.notify.contract import Notifier
from crmcore.plugins.records import AccessRequest, Context, PlaybookSource, ProposedChange
from crmcore.rules.normalisation import Normaliser
from crmcore.storage.keys import KeyRing

PROJECT = "crmcore"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def crm_playbooks() -> Iterable[PlaybookSource]:
    """Playbooks that the plugin brings along, each under a key that ``crmcore.open(..., playbook=key)`` then knows."""
    return ()


@hookspec
def crm_notifiers() -> Iterable[Notifier]:
    """Ways to tell somebody something that the plugin brings along, each under a key of its own."""
    return ()


@hookspec
def crm_normalisers() -> Iterable[Normaliser]:
    """Normalisers that the plugin brings along, each for the forms of one country; the first of all is used."""
    return ()


@hookspec
def crm_keys() -> KeyRing | None:
    """The keys for what is encrypted and chained, from wherever the plugin keeps them; not asked where keys were given."""
    return None


@hookspec
def crm_check(change: ProposedChange, context: Context) -> None:
    """Called for every record about to be stored, inside the transaction; not for what the library works out by itself
    (obligations, counters). Raise :class:`crmcore.errors.Veto` to
    refuse it: then nothing of the whole unit of work is kept. It can refuse, never allow what a rule refuses.
    """


@hookspec
def crm_permit(request: AccessRequest) -> bool | None:
    """Called where permissions are kept, for everything that the playbook's table allows. Return False to deny it: a record that may
    not be read isn't there for the one who asks. It can deny, never allow what the table doesn't.
    """


@hookspec
def crm_opened(crm: Any) -> None:
    """Called once, when a CRM was opened and before anybody uses it."""


@hookspec
def crm_closing(crm: Any) -> None:
    """Called once, before the CRM closes its store."""
