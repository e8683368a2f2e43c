"""crmcore's use cases on a store in which contract amount and decision makers are encrypted, and filled in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import crmcore
from crmcore.storage import KeyRing
from subjects import crmcore_use_cases

KEYS = KeyRing.of({"benchmark": bytes(range(32))})


class Candidate(crmcore_use_cases.Candidate):
    title = "crmcore use cases, encrypted"
    key_ring = KEYS

    def _values(self, serial: int) -> dict[str, Any]:
        amount = crmcore.Money(serial * 100 + 500_000, "CNY")
        return {**super()._values(serial), "contract_amount": amount, "decision_makers": [f"决策人{serial}"]}

    def make(self, path: Path, customers: int) -> None:
        super().make(path, customers)
        self.open(path)
        assert self.crm.store.describe()["encrypted_fields"]
        self.close()
