"""Plugins: hooks with documentation, typed records, discovery by entry point."""

from crmcore.plugins.discovery import find_backend, open_store, schemes
from crmcore.plugins.hookspecs import hookimpl
from crmcore.plugins.manager import Installed, OfferedNotifiers, Plugins, installed, installed_normaliser
from crmcore.plugins.records import AccessRequest, Context, PlaybookSource, ProposedChange

__all__ = [
    "AccessRequest",
    "Context",
    "Installed",
    "OfferedNotifiers",
    "PlaybookSource",
    "Plugins",
    "ProposedChange",
    "find_backend",
    "hookimpl",
    "installed",
    "installed_normaliser",
    "open_store",
    "schemes",
]
