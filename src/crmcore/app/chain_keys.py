"""The keys of the audit, from the ring that the store was opened with."""

from __future__ import annotations

from crmcore.rules.audit import Keys
from crmcore.storage.keys import KeyRing

PURPOSE = "audit"


def keys_of(ring: KeyRing | None) -> Keys:
    """The keys of the chain: one of each key of the ring, none without a ring."""
    if ring is None:
        return Keys()
    return Keys({id: ring.subkey(PURPOSE, id) for id in ring.ids}, ring.current)
