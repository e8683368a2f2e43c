"""The subjects of ``use_cases.py``: each module here that has a ``Candidate`` class is one, named by its file."""

from __future__ import annotations

import importlib
import pkgutil

from subjects.contract import Subject


def names() -> list[str]:
    """Every subject there is."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "contract")


def subject(name: str) -> type[Subject]:
    """The class of a subject. Raises ImportError where its library isn't installed."""
    found: type[Subject] = importlib.import_module(f"subjects.{name}").Candidate
    return found
