"""Tamperings with the events of a SQLite store, by somebody who writes into the file: each must be found, and placed.

    python benchmarks/reliability/tampering.py [--tamperings 1000] [--customers 30] [--seed N] [--keyed]

Each begins with the same untouched file. Found is what gives a fault; placed, what gives one in the chain that was touched,
at an entry that was touched. Some also hide their traces: they number the rest anew, put the head back, or make
all digests anew as one can without a key; of a store that has one these must be found too, without a checkpoint. Ends with 1 if any
was not. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs

import crmcore
from crmcore.app.audit import Checkpoint, Verified
from crmcore.domain import Event
from crmcore.rules.audit import Keys, chained
from crmcore.storage.keys import KeyRing

FIELDS = (
    "customer_id",
    "subject",
    "subject_id",
    "action",
    "at",
    "by",
    "changes",
    "reason",
    "salt",
    "content",
    "digest",
)
RING = KeyRing.of({"k1": bytes(range(32))})


@attrs.frozen
class Done:
    """What a tampering touched: the chains, and in each of them these places (none: the chain as a whole)."""

    places: dict[str, set[int]]
    needs_checkpoint: bool = False


Tamper = Callable[[sqlite3.Connection, random.Random], Done]


def one(connection: sqlite3.Connection, chance: random.Random, *, longest: int = 10**9) -> tuple[str, int, int]:
    """A chain of at least three entries, its length, and a place in it."""
    chains = connection.execute("SELECT id, length FROM chains WHERE length >= 3 ORDER BY id").fetchall()
    id, length = chance.choice(chains)
    return id, length, chance.randint(1, min(length, longest))


def where(chain: str) -> str:
    return f"(customer_id = '{chain}' OR customer_id IS NULL AND subject_id = '{chain}')"


def edit(connection: sqlite3.Connection, chance: random.Random) -> Done:
    """Another value in one field."""
    chain, _, place = one(connection, chance)
    field = chance.choice([name for name in FIELDS if name != "customer_id"])
    (old,) = connection.execute(
        f"SELECT {field} FROM events WHERE {where(chain)} AND sequence = ?", (place,)
    ).fetchone()
    if field == "at":
        new: Any = f"20{chance.randint(10, 22)}-01-0{chance.randint(1, 9)}T00:00:00.000000Z"[: len(old)]
        new = old.replace(old[:4], str(int(old[:4]) - 1))
    elif field == "changes":
        new = '{"name":[null,"x"]}' if chance.random() < 0.5 else None
        new = "{}" if new == old else new
    elif old is None:
        new = "because"
    else:
        at = chance.randrange(len(old))
        new = (
            old[:at] + chance.choice([letter for letter in "0123456789abcdefxyz" if letter != old[at]]) + old[at + 1 :]
        )
    if field == "subject_id":  # of a chain without a customer it would be another chain
        connection.execute(f"UPDATE events SET {field} = ? WHERE customer_id = ? AND sequence = ?", (new, chain, place))
    else:
        connection.execute(f"UPDATE events SET {field} = ? WHERE {where(chain)} AND sequence = ?", (new, place))
    return Done({chain: {place}})


def delete(connection: sqlite3.Connection, chance: random.Random) -> Done:
    """One or several entries gone from the middle."""
    chain, length, place = one(connection, chance)
    place = min(place, length - 1)
    last = min(length - 1, place + chance.randint(0, 2))
    connection.execute(f"DELETE FROM events WHERE {where(chain)} AND sequence BETWEEN ? AND ?", (place, last))
    return Done({chain: set(range(place, last + 1))})


def delete_and_number(connection: sqlite3.Connection, chance: random.Random) -> Done:
    """One entry gone, and the rest numbered anew, head and all."""
    chain, length, place = one(connection, chance)
    place = min(place, length - 1)
    connection.execute(f"DELETE FROM events WHERE {where(chain)} AND sequence = ?", (place,))
    connection.execute(f"UPDATE events SET sequence = sequence - 1 WHERE {where(chain)} AND sequence > ?", (place,))
    connection.execute("UPDATE chains SET length = length - 1 WHERE id = ?", (chain,))
    return Done({chain: set(range(place, length + 1))})


def swap(connection: sqlite3.Connection, chance: random.Random) -> Done:
    """Two entries of a chain in each other's place, or with each other's content."""
    chain, length, place = one(connection, chance)
    other = chance.choice([number for number in range(1, length + 1) if number != place])
    if chance.random() < 0.5:
        for old, new in ((place, -1), (other, place), (-1, other)):
            connection.execute(f"UPDATE events SET sequence = ? WHERE {where(chain)} AND sequence = ?", (new, old))
    else:
        names = chance.choice(("changes, reason", "changes, reason, salt, content", "action, at, by", "salt, content"))
        held = [
            connection.execute(f"SELECT {names} FROM events WHERE {where(chain)} AND sequence = ?", (n,)).fetchone()
            for n in (place, other)
        ]
        if held[0] == held[1]:
            return edit(connection, chance)
        marks = ", ".join("?" * len(held[0]))
        for number, values in zip((place, other), reversed(held), strict=True):
            sql = f"UPDATE events SET ({names}) = ({marks}) WHERE {where(chain)} AND sequence = ?"
            connection.execute(sql, (*values, number))
    return Done({chain: {place, other}})


def _copy(connection: sqlite3.Connection, chain: str, place: int, **changes: Any) -> None:
    names = [row[1] for row in connection.execute("PRAGMA table_info(events)")]
    row = connection.execute(f"SELECT * FROM events WHERE {where(chain)} AND sequence = ?", (place,)).fetchone()
    values = {**dict(zip(names, row, strict=True)), "id": "forged", **changes}
    connection.execute(f"INSERT INTO events VALUES ({', '.join('?' * len(names))})", tuple(values.values()))


def insert(connection: sqlite3.Connection, chance: random.Random) -> Done:
    """An entry that nobody made: without a place, at a place that is taken, behind the end, or the rest moved on for it."""
    chain, length, place = one(connection, chance)
    way = chance.randrange(4)
    if way == 0:
        _copy(connection, chain, place, sequence=None, salt=None, content=None, digest=None)
        return Done({chain: set()})
    if way == 1:
        _copy(connection, chain, place)
        return Done({chain: {place}})
    if way == 2:
        _copy(connection, chain, place, sequence=length + chance.randint(1, 3))
        return Done({chain: set(range(length + 1, length + 4))})
    connection.execute(f"UPDATE events SET sequence = sequence + 1 WHERE {where(chain)} AND sequence > ?", (place,))
    _copy(connection, chain, place, sequence=place + 1)
    connection.execute("UPDATE chains SET length = length + 1 WHERE id = ?", (chain,))
    return Done({chain: set(range(place + 1, length + 2))})


def move(connection: sqlite3.Connection, chance: random.Random) -> Done:
    """An entry given to another customer."""
    chain, _, place = one(connection, chance)
    other = one(connection, chance)[0]
    if other == chain:
        return edit(connection, chance)
    connection.execute(f"UPDATE events SET customer_id = ? WHERE {where(chain)} AND sequence = ?", (other, place))
    return Done({chain: {place}})


def cut(connection: sqlite3.Connection, chance: random.Random) -> Done:
    """The last entries gone."""
    chain, length, _ = one(connection, chance)
    first = length - chance.randint(0, length - 2)
    connection.execute(f"DELETE FROM events WHERE {where(chain)} AND sequence >= ?", (first,))
    return Done({chain: set(range(first, length + 1))})


def cut_with_head(connection: sqlite3.Connection, chance: random.Random) -> Done:
    """The last entries gone, and the head set back to where the chain ends now."""
    done = cut(connection, chance)
    (chain,) = done.places
    connection.execute(
        f"UPDATE chains SET (length, digest) = (SELECT sequence, digest FROM events WHERE {where(chain)} ORDER BY sequence"
        " DESC LIMIT 1) WHERE id = ?",
        (chain,),
    )
    return Done({chain: set()})


def head(connection: sqlite3.Connection, chance: random.Random) -> Done:
    """Another length, digest or seal at the end, or none at all."""
    chain, length, _ = one(connection, chance)
    statement = chance.choice(
        (
            "UPDATE chains SET length = length - 1 WHERE id = ?",
            "UPDATE chains SET digest = 'x' || digest WHERE id = ?",
            "UPDATE chains SET seal = 'x' WHERE id = ?",
            "UPDATE chains SET seal = NULL WHERE id = ?",
            "DELETE FROM chains WHERE id = ?",
        )
    )
    connection.execute(statement, (chain,))
    return Done({chain: {length, length - 1}})


def remove_chain(connection: sqlite3.Connection, chance: random.Random) -> Done:
    """A customer's whole history gone."""
    chain = one(connection, chance)[0]
    connection.execute(f"DELETE FROM events WHERE {where(chain)}")
    connection.execute("DELETE FROM chains WHERE id = ?", (chain,))
    return Done({chain: set()}, needs_checkpoint=True)


def forge(connection: sqlite3.Connection, chance: random.Random) -> Done:
    """One entry changed, and every digest behind it made anew without a key, the head's too."""
    done = edit_changes(connection, chance)
    (chain,) = done.places
    rows = connection.execute(
        f"SELECT id, customer_id, subject, subject_id, action, at, by, changes, reason FROM events WHERE {where(chain)}"
        " ORDER BY sequence"
    ).fetchall()
    names = ("id", "customer_id", "subject", "subject_id", "action", "at", "by", "changes", "reason")
    events = [
        Event(**{**dict(zip(names, row, strict=True)), "at": datetime.fromisoformat(row[5]).replace(tzinfo=UTC)})
        for row in rows
    ]
    end, placed = chained(chain, None, events, Keys(), lambda: f"{chance.getrandbits(128):032x}")
    for event in placed:
        connection.execute(
            "UPDATE events SET (salt, content, digest) = (?, ?, ?) WHERE id = ?",
            (event.salt, event.content, event.digest, event.id),
        )
    connection.execute("UPDATE chains SET (digest, seal) = (?, ?) WHERE id = ?", (end.digest, end.seal, chain))
    return Done({chain: set()}, needs_checkpoint=True)


def edit_changes(connection: sqlite3.Connection, chance: random.Random) -> Done:
    """Another content."""
    chain, _, place = one(connection, chance)
    sql = f"UPDATE events SET changes = '{{\"forged\":[1,2]}}' WHERE {where(chain)} AND sequence = ?"
    connection.execute(sql, (place,))
    return Done({chain: {place}})


KINDS: dict[str, Tamper] = {
    "edit": edit,
    "delete": delete,
    "delete, the rest numbered anew": delete_and_number,
    "swap": swap,
    "insert": insert,
    "give to another customer": move,
    "cut the tail": cut,
    "cut the tail, the head put back": cut_with_head,
    "change the head": head,
    "remove a chain": remove_chain,
    "forge without a key": forge,
}


def build(path: Path, customers: int, chance: random.Random, keys: KeyRing | None) -> Checkpoint:
    """A store with histories of several lengths, and the checkpoint of it."""
    now = datetime(2026, 1, 5, 2, 0, tzinfo=UTC)
    with crmcore.open(f"sqlite:///{path}?journal=truncate", "standard", clock=lambda: now, keys=keys) as crm:
        me = crm.acting_as("li.ming")
        for number in range(customers):
            customer = me.customers.register(
                name=f"示例{number}有限公司",
                industry="制造业",
                contacts=[{"name": "王磊", "phones": [f"1380013{number:04}"]}],
            )
            for turn in range(chance.randint(0, 12)):
                now += timedelta(minutes=7)
                me.follow_ups.log(customer, summary=f"第{turn}次")
        me.opportunities.open(name="散单")
        assert crm.audit.verify().faults == ()
        return crm.audit.checkpoint()


def is_placed(done: Done, found: Verified) -> bool:
    """Whether every chain that was touched has a fault at an entry that was touched, or at its end where that was."""
    for chain, places in done.places.items():
        mine = [fault for fault in found.faults if fault.chain == chain]
        spans = [range(fault.sequence, (fault.until or fault.sequence) + 1) for fault in mine if fault.sequence]
        if not mine or (places and spans and not any(place in span for span in spans for place in places)):
            return False
    return True


def run(folder: Path, tamperings: int, customers: int, seed: int, keys: KeyRing | None) -> int:
    """Everything; prints the figures and gives what to end with."""
    chance = random.Random(seed)
    base, path = folder / "base.db", folder / "crm.db"
    checkpoint = build(base, customers, chance, keys)
    tried: Counter[str] = Counter()
    found: Counter[str] = Counter()
    placed: Counter[str] = Counter()
    for number in range(tamperings):
        kind = list(KINDS)[number % len(KINDS)]
        shutil.copyfile(base, path)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            before = list(connection.iterdump())
            done = KINDS[kind](connection, chance)
            assert list(connection.iterdump()) != before, f"{kind} did nothing"
        with crmcore.open(f"sqlite:///{path}?journal=truncate", keys=keys) as crm:
            told = crm.audit.verify(checkpoint if done.needs_checkpoint and not keys else None)
        tried[kind] += 1
        found[kind] += bool(told.faults)
        placed[kind] += is_placed(done, told)
        if not is_placed(done, told):
            print(f"VIOLATION {kind}: touched {done.places}, found {told.faults}")
    for kind in KINDS:
        print(f"{tried[kind]:5}  {kind}: {found[kind]} found, {placed[kind]} placed")
    print(f"{tried.total():5}  tamperings, {tried.total() - placed.total()} violations")
    return int(tried != placed)


def main() -> None:
    parser = argparse.ArgumentParser(description="Tamperings with a SQLite store, each of which must be found.")
    parser.add_argument("--tamperings", type=int, default=1000)
    parser.add_argument("--customers", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keyed", action="store_true", help="of a store with a key, and without a checkpoint")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        keys = RING if options.keyed else None
        sys.exit(run(Path(folder), options.tamperings, options.customers, options.seed, keys))


if __name__ == "__main__":
    main()
