"""The contenders: each module here that has a ``Contestant`` class is one, named by its file."""

from __future__ import annotations

import importlib
import pkgutil

from contenders.contract import Contender


def names() -> list[str]:
    """Every contender there is, the limit first."""
    found = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "contract")
    return sorted(found, key=lambda name: name != "raw_sqlite3")


def contender(name: str) -> type[Contender]:
    """The class of a contender. Raises ImportError where its library isn't installed."""
    found: type[Contender] = importlib.import_module(f"contenders.{name}").Contestant
    return found
