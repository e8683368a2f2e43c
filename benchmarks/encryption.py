"""What an encrypted field costs, and whether anything that was tampered with opens.

    python benchmarks/encryption.py [--records 5000] [--tamperings 10000]

Processor time of sealing and opening a customer with some encrypted fields, per field, beside the ciphers alone. Then values are
changed, cut, swapped and moved in every way; it ends with 1 where one of them opens.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from statistics import median

from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from crmcore import Money
from crmcore.domain import Customer
from crmcore.errors import KeyUnknown, SealedValueBroken
from crmcore.storage import KeyRing, Row
from crmcore.storage.codec import CODECS, SCHEMA, SEALED
from crmcore.storage.sealed_shapes import shapes_of
from crmcore.storage.sealing import Sealer

NOW = datetime(2026, 11, 30, tzinfo=UTC)
RING = KeyRing.of({"old": bytes(32), "new": bytes(range(32))})
FIELDS = ("contract_amount", "decision_makers", "remarks", "uscc")
GOAL = 15.0
PLACE = SCHEMA.collection("customers").position(SEALED)


def rows(count: int) -> list[Row]:
    """Customers with a value in every field that is encrypted."""
    stamps = {"created_at": NOW, "created_by": "a", "updated_at": NOW, "updated_by": "a"}
    return [
        CODECS[Customer].dump(
            Customer(
                id=f"00000000-0000-7000-8000-{n:012}",
                number=f"N{n}",
                name=f"第{n}有限公司",
                stage="prospect",
                stage_since=NOW,
                contract_amount=Money(n * 100, "CNY"),
                decision_makers=(f"决策人{n}",),
                remarks=f"第{n}家客户的备注",
                uscc=f"91110000600037{n:04}",
                **stamps,
            )
        )
        for n in range(count)
    ]


def spent(work: Callable[[], object], count: int, rounds: int = 5) -> float:
    """Microseconds of processor time per item: the middle of some rounds."""
    found = []
    for _ in range(rounds):
        begun = time.process_time()
        work()
        found.append((time.process_time() - begun) / count * 1e6)
    return median(found)


def costs(count: int) -> float:
    """Prints what sealing and opening costs; the greatest figure per field."""
    cipher, nonce, place = AESGCMSIV(bytes(32)), os.urandom(12), b"customers\0contract_amount\0id"
    sealed = cipher.encrypt(nonce, bytes(32), place)
    alone = spent(lambda: [cipher.encrypt(os.urandom(12), bytes(32), place) for _ in range(count)], count)
    back = spent(lambda: [cipher.decrypt(nonce, sealed, place) for _ in range(count)], count)
    print(f"the cipher alone: {alone:.1f} µs to encrypt, {back:.1f} µs to decrypt")
    plain, worst = rows(count), 0.0
    for fields in (FIELDS[:1], FIELDS[:2], FIELDS):
        shape = shapes_of(SCHEMA, [f"customer.{name}" for name in fields], Sealer(RING), RING.ids, strict=True)[
            "customers"
        ]
        kept = [shape.seal(row) for row in plain]
        assert [shape.open(row) for row in kept] == plain
        way_in = spent(lambda shape=shape: [shape.seal(row) for row in plain], count)  # type: ignore[misc]
        way_out = spent(lambda shape=shape, kept=kept: [shape.open(row) for row in kept], count)  # type: ignore[misc]
        worst = max(worst, way_in / len(fields), way_out / len(fields))
        told = f"{way_in / len(fields):.1f} µs in, {way_out / len(fields):.1f} µs out"
        print(f"{len(fields)} of a customer's fields: {told} per field (goal {GOAL:.0f})")
    return worst


def tampered(pick: random.Random, sealed: Row, other: Row) -> Row:
    """A row in whose sealed values one thing is not as it was."""
    told = str(sealed[PLACE])
    parts, others = json.loads(told), json.loads(str(other[PLACE]))
    one, two = pick.sample(sorted(parts), 2)
    way = pick.randrange(6)
    if way == 0:
        parts[one], parts[two] = parts[two], parts[one]
    elif way == 1:
        parts[one] = others[one]
    elif way == 2:
        parts[one] = parts[one][: pick.randrange(len(parts[one]))]
    elif way == 3:
        parts[one] += pick.choice("A=+ \n")
    elif way == 4:
        parts[one] = parts[one].replace("new:", "old:")
    else:
        place = pick.randrange(len(told))
        return (*sealed[:PLACE], told[:place] + chr(ord(told[place]) ^ 1 << pick.randrange(7)) + told[place + 1 :])
    return (*sealed[:PLACE], json.dumps(parts, separators=(",", ":")))


def unseen(count: int) -> int:
    """How many of so many tamperings open all the same."""
    pick, passed = random.Random(2026), 0
    shape = shapes_of(SCHEMA, [f"customer.{name}" for name in FIELDS], Sealer(RING), RING.ids, strict=True)["customers"]
    plain = rows(50)
    for _ in range(count):
        one, other = pick.sample(plain, 2)
        try:
            shape.open(tampered(pick, shape.seal(one), shape.seal(other)))
        except (SealedValueBroken, KeyUnknown):
            continue
        passed += 1
    return passed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=5_000)
    parser.add_argument("--tamperings", type=int, default=10_000)
    given = parser.parse_args()
    worst, passed = costs(given.records), unseen(given.tamperings)
    print(f"{given.tamperings:,} tamperings, {given.tamperings - passed:,} found, {passed} opened")
    return 1 if passed or worst > GOAL else 0


if __name__ == "__main__":
    sys.exit(main())
