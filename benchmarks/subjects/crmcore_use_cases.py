"""crmcore through its public use cases: validation, stage rules, events, obligations and a plugin hook on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import crmcore
from crmcore.domain import Customer
from crmcore.storage import KeyRing
from crmcore.storage.codec import CODECS
from crmcore.storage.query import Gt
from replay import Read
from subjects.contract import Subject

COLUMNS = ", ".join(f'"{field.name}"' for field in CODECS[Customer].collection.fields)
ONE = f"SELECT {COLUMNS} FROM customers WHERE number = ?"
PAGE = f"SELECT {COLUMNS} FROM customers WHERE number > ? ORDER BY number, id LIMIT 50"


class Watcher:
    """A plugin that listens, so that hooks are paid for."""

    @crmcore.hookimpl
    def crm_check(self, change: Any) -> None:
        """Lets everything pass."""


class Candidate(Subject):
    title = "crmcore use cases"
    key_ring: KeyRing | None = None

    def _values(self, serial: int) -> dict[str, Any]:
        return {
            "name": f"示例科技有限公司{serial}",
            "industry": "制造业",
            "address": f"上海市示例路{serial}号",
            "source": "展会推广",
            "core_need": "采购办公设备",
            "tier": "ABC"[serial % 3],
            "contacts": [
                {"name": f"联系人{serial}", "phone": f"138{serial:08}", "email": f"contact{serial}@example.com"}
            ],
        }

    def make(self, path: Path, customers: int) -> None:
        self.open(path)
        for serial in range(customers):
            self.me.customers.register(**self._values(serial))
        self.close()

    def open(self, path: Path) -> None:
        self.crm = crmcore.open(f"sqlite:///{path}", "standard", plugins=[Watcher()], keys=self.key_ring)
        self.me = self.crm.acting_as("sales.east")
        with self.crm.store.transaction() as transaction:
            rows = sorted(transaction.scan("customers"), key=lambda row: str(row[7]))
        self.ids = [str(row[0]) for row in rows]
        self.numbers = [CODECS[Customer].load(row).number for row in rows]
        self.made = len(rows)

    def close(self) -> None:
        self.crm.close()

    def pragmas(self) -> Mapping[str, str]:
        facts = self.crm.store.describe()
        return {"journal_mode": str(facts["journal"]), "synchronous": "2"}

    def create(self, serial: int) -> Any:
        return self.me.customers.register(**self._values(self.made + serial))

    def move(self, serial: int) -> Any:
        return self.me.customers.move(self.ids[serial], "interested")

    def follow_up(self, serial: int) -> Any:
        return self.me.follow_ups.log(self.ids[serial], summary="谈了报价和交期", method="phone", result="progressing")

    def read(self, serial: int) -> Any:
        return self.me.customers.get(self.numbers[serial])

    def page(self, serial: int) -> Any:
        start = self.numbers[serial * 7 % (self.made - 1)]
        return self.me.customers.find(Gt("number", start), limit=50)

    def by_hand(self, operation: str, serial: int) -> Sequence[Read]:
        if operation == "read":
            return [Read(ONE, (self.numbers[serial],))]
        return [Read(PAGE, (self.numbers[serial * 7 % (self.made - 1)],))]

    def keys(self, answer: Any) -> list[str]:
        return [answer.id] if isinstance(answer, Customer) else [customer.id for customer in answer]
