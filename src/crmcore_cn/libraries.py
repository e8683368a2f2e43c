"""The libraries that the extra brings: imported when first needed, since they take longer to load than the core."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from crmcore.errors import MissingExtra

NEEDED = ("email_validator", "phonenumbers", "pypinyin", "stdnum")


def installed() -> bool:
    """Whether everything that the extra brings is there."""
    return all(find_spec(name) is not None for name in NEEDED)


def library(name: str) -> ModuleType:
    """The module of that name. Raises :class:`MissingExtra` that says what to install."""
    try:
        return import_module(name)
    except ImportError as absent:
        raise MissingExtra('Chinese forms need an optional library: pip install "crmcore[cn]"', name=name) from absent
