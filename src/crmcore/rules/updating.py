"""How what a file says is put together with what is on file: which fields change, and which stay against it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from crmcore.domain import Entity
from crmcore.domain.values import FrozenMap, fold

UPDATES: Mapping[str, str] = FrozenMap(
    {
        "fill": "only what is blank on file is filled in",
        "overwrite": "what the file says replaces what is on file",
        "append": "lists, remarks and custom fields grow; anything else is filled in where it is blank",
    }
)
"""The ways to update a record, each with what it does. In none of them does a blank cell take anything away."""

#: Texts that grow by what another says.
_GROWING = ("remarks",)


@attrs.frozen
class Combined:
    """``changes`` are the fields to set; ``kept`` names those for which the file says something else than what stays."""

    changes: Mapping[str, Any]
    kept: tuple[str, ...]


def combine(record: Entity, told: Mapping[str, Any], update: str) -> Combined:
    """What comes of a record and what a file tells of it.

    ``told`` are clean values by field, ``update`` a key of :data:`UPDATES`. A list or a custom field that a file adds to is not
    in ``kept``; nor is a value that differs in case and spaces alone.
    """
    changes: dict[str, Any] = {}
    kept: list[str] = []
    for name, new in told.items():
        old = getattr(record, name)
        if _blank(new) or old == new:
            continue
        merged: Any
        if name == "custom":
            merged = {**old, **new} if update == "overwrite" else {**new, **old}
            differs = any(key in old and old[key] != value for key, value in new.items())
        elif _blank(old) or update == "overwrite":
            merged, differs = new, False
        elif update == "append" and isinstance(old, tuple):
            merged, differs = tuple(dict.fromkeys((*old, *new))), False
        elif update == "append" and name in _GROWING:
            merged, differs = old if _says(old, new) else f"{old}\n{new}", False
        else:
            merged, differs = old, not _alike(old, new)
        if merged != old:
            changes[name] = merged
        if differs and (name != "custom" or update != "overwrite"):
            kept.append(name)
    return Combined(changes, tuple(kept))


def _blank(value: Any) -> bool:
    return value is None or value in ((), "") or (isinstance(value, Mapping) and not value)


def _says(text: str, part: str) -> bool:
    return fold(part) in fold(text)


def _alike(old: Any, new: Any) -> bool:
    if isinstance(old, str) and isinstance(new, str):
        return fold(old) == fold(new)
    return isinstance(old, tuple) and isinstance(new, tuple) and set(new) <= set(old)
