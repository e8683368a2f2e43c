"""Finding installed plugins through entry points: only the one that is asked for is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from crmcore.errors import BackendNotFound, CRMError, PluginConflict, PluginLoadError
from crmcore.storage.contract import Backend, Store
from crmcore.storage.schema import Schema
from crmcore.storage.url import StoreURL

BACKENDS = "crmcore.backends"
PLUGINS = "crmcore.plugins"

#: Which extra brings a scheme that isn't installed.
_EXTRAS: Mapping[str, str] = {"sqlite": "sqlite"}


def _described(entry: EntryPoint) -> str:
    return f"{entry.value} (of {entry.dist.name if entry.dist else 'an unknown package'})"


def entry_points_of(group: str) -> list[EntryPoint]:
    """The entry points of a group, by name and value; one that two copies of a package declare counts once."""
    found = {(entry.name, entry.value): entry for entry in entry_points(group=group)}
    return [found[key] for key in sorted(found)]


def find_entry_point(group: str, name: str) -> EntryPoint | None:
    """The one entry point of that name, or None. Raises :class:`PluginConflict` that names both when there are two."""
    found = [entry for entry in entry_points_of(group) if entry.name == name]
    if len(found) > 1:
        claims = " and ".join(map(_described, found))
        raise PluginConflict(f"{name} is claimed twice in {group}: {claims}; remove one of them", name=name)
    return found[0] if found else None


def load_entry_point(entry: EntryPoint) -> Any:
    """What the entry point names; of a class, an instance made without arguments.

    Raises :class:`PluginLoadError` that names it; a typed error of ours passes.
    """
    try:
        found = entry.load()
        return found() if isinstance(found, type) else found
    except CRMError:
        raise
    except Exception as error:
        raise PluginLoadError(
            f"{_described(entry)} can't be loaded: {type(error).__name__}: {error}", plugin=entry.name
        ) from error


def schemes() -> list[str]:
    """The URL schemes that installed packages serve."""
    return sorted({entry.name for entry in entry_points_of(BACKENDS)})


def find_backend(scheme: str) -> Backend:
    """The backend for a URL scheme. Raises :class:`BackendNotFound` that says what is installed and what to install."""
    entry = find_entry_point(BACKENDS, scheme)
    if entry is None:
        extra = _EXTRAS.get(scheme)
        hint = f'pip install "crmcore[{extra}]"' if extra else "install the package that brings it"
        raise BackendNotFound(
            f"nothing installed serves {scheme}: (installed: {', '.join(schemes())}); {hint}", scheme=scheme
        )
    backend = load_entry_point(entry)
    if not isinstance(backend, Backend):
        raise PluginLoadError(f"{_described(entry)} is no Backend", plugin=entry.name)
    return backend


def open_store(url: str, schema: Schema) -> Store:
    """The store that a URL names, opened with the schema."""
    address = StoreURL.parse(url)
    return find_backend(address.scheme).open(address, schema)
