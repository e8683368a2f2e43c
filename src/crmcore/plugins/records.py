"""What goes in and out of hooks, as typed values."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import attrs

from crmcore.domain import Entity


@attrs.frozen(kw_only=True)
class ProposedChange:
    """One entity about to be stored: ``before`` is None for a new one. ``action`` is the event's (``customer.moved``)."""

    action: str
    before: Entity | None
    after: Entity
    reason: str | None = None


@attrs.frozen(kw_only=True)
class Context:
    """In what circumstances: when (aware, UTC), by whom, and a way to read other records of the same transaction."""

    now: datetime
    actor: str
    get: Callable[[type[Entity], str], Entity | None]


@attrs.frozen(kw_only=True)
class AccessRequest:
    """What somebody would do, and the table lets them: an action of :data:`crmcore.rules.permissions.ACTIONS` on one record as
    it is kept, or as it would be for a new one; None for a whole entity."""

    actor: str
    action: str
    entity: str
    record: Entity | None


@attrs.frozen
class PlaybookSource:
    """A playbook of a plugin: its key and its TOML, as a path or as text."""

    key: str
    toml: Path | str
