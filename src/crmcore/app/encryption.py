"""Turning encryption on in a store, and giving its values another key, while others read and write.

Both are the same: every row that is not kept as it should be now is written anew, some rows per transaction. Whoever is
interrupted goes on where it stopped, since a row that is as it should be is passed over.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeVar, cast

import attrs

from crmcore.domain.playbook import Playbook
from crmcore.errors import Conflict, KeyMissing, StorageError, StoreBusy
from crmcore.storage.codec import SEALED
from crmcore.storage.contract import Change, Store, Transaction, Update
from crmcore.storage.keys import KeyRing
from crmcore.storage.query import Contains, Gt, Prefix, Query, Where
from crmcore.storage.schema import Row
from crmcore.storage.sealed_rows import Shape
from crmcore.storage.sealed_state import SETTING, Encryption
from crmcore.storage.sealed_store import SealedStore
from crmcore.storage.sealed_transaction import SealedTransaction
from crmcore.storage.sealing import MARK

T = TypeVar("T")
Progress = Callable[[str, int], None]
"""Told what is being looked through: the collection, and how many rows of it so far."""

BATCH = 4_000
"""Rows per transaction: others wait for no longer than these take."""
PASSES = 3
_ATTEMPTS = 20
_PAUSE_SECONDS = 0.005


@attrs.frozen(kw_only=True)
class Rekeyed:
    """What became of it: how many rows were written anew, under which key, and which others are no longer, or still, in use.

    ``remains`` says where values may still lie as they were: files that the store has no hold of.
    """

    rows: int
    key_id: str
    retired: tuple[str, ...]
    still_used: tuple[str, ...]
    remains: tuple[str, ...] = ()


def opened_with(store: Store, ring: KeyRing | None) -> Store:
    """The store as it is used with these keys. Raises :class:`KeyMissing` where it is encrypted and there are none."""
    if ring is not None:
        return store if isinstance(store, SealedStore) else SealedStore(store, ring)
    with store.transaction() as transaction:
        if not isinstance(store, SealedStore) and transaction.get("settings", SETTING) is not None:
            raise KeyMissing("the store is encrypted; open it with its keys")
    return store


def encrypted_fields(playbook: Playbook) -> tuple[str, ...]:
    """The fields that a playbook has encrypted; a custom field lies among all of its entity."""
    entities = {field: field.partition(".")[0] for field in playbook.custom_fields}
    fields = (f"{entities[field]}.custom" if field in entities else field for field in playbook.privacy.encrypted)
    return tuple(dict.fromkeys(fields))


def begin(store: Store, fields: Sequence[str]) -> None:
    """Encrypts these fields in a store in which nothing lies yet; any other stays as it is."""
    if not fields or not isinstance(store, SealedStore) or store.encryption is not None:
        return
    with store.raw() as transaction:
        if not _is_empty(transaction):
            return
    ring = store.sealer.ring
    with store.raw(write=True) as transaction:
        if transaction.get("settings", SETTING) is None and _is_empty(transaction):
            keys = {ring.current: ring.check_value(ring.current)}
            transaction.apply([Encryption(fields=tuple(fields), keys=keys).change(None)])
    with store.raw() as transaction:
        store.adopt(Encryption.of(transaction.get("settings", SETTING)))


def _is_empty(transaction: Transaction) -> bool:
    names = (name for name in transaction.schema.collections if name != "settings")
    return not any(list(transaction.find(Query(name, limit=1))) for name in names)


def encrypt(store: Store, fields: Sequence[str], progress: Progress | None = None) -> Rekeyed:
    """Encrypts exactly these fields from now on, and brings every row that is there in line; see :meth:`CRM.encrypt`."""
    store = _with_keys(store)
    ring = store.sealer.ring

    def settle(transaction: Transaction) -> None:
        row = transaction.get("settings", SETTING)
        before = Encryption.of(row)
        keys = {**(before.keys if before else {}), ring.current: ring.check_value(ring.current)}
        known = {*before.fields, *before.leaving} if before else set()
        wanted = Encryption(fields=tuple(fields), keys=keys, pending=True, leaving=tuple(sorted(known - set(fields))))
        if before is None or (before.fields, before.pending) != (wanted.fields, False):
            transaction.apply([wanted.change(row)])

    _patiently(lambda: _write_raw(store, settle))
    _follow(store)
    done = rekey(store, progress)
    return attrs.evolve(done, remains=_cleaned(store.store))


def _cleaned(store: Store) -> tuple[str, ...]:
    """Takes what was plain out of the store's files, and says what may still hold it."""
    try:
        return tuple(store.clean())
    except StorageError as problem:  # others use it just now, or it can't
        return (problem.message,)


def rekey(store: Store, progress: Progress | None = None) -> Rekeyed:
    """Gives every encrypted value the current key; see :meth:`CRM.rekey`. Raises :class:`KeyMissing` where nothing is encrypted."""
    store = _with_keys(store)
    _follow(store)
    if store.sealing is None:
        raise KeyMissing("nothing is encrypted in this store")
    before, written = store.sealing.encryption.keys, 0
    used: Iterable[str] = ()
    for _ in range(PASSES):
        written += sum(_brought_in_line(store, name, progress) for name in store.sealing.shapes)
        used = _patiently(lambda: _write_raw(store, lambda work: _settled(store, work)))
        if not used:
            break
    _follow(store)
    current = store.ring.current
    retired = (id for id in before if id != current and id not in used)
    return Rekeyed(rows=written, key_id=current, retired=tuple(retired), still_used=tuple(used))


def _with_keys(store: Store) -> SealedStore:
    if not isinstance(store, SealedStore):
        raise KeyMissing("no keys were given; name them: --keys env:NAME or --keys file:PATH")
    return store


def _follow(store: SealedStore) -> None:
    with store.raw() as transaction:
        store.adopt(Encryption.of(transaction.get("settings", SETTING)))


def _write_raw(store: SealedStore, work: Callable[[Transaction], T]) -> T:
    with store.raw(write=True) as transaction:
        return work(transaction)


def _patiently(work: Callable[[], T]) -> T:
    """Does a piece of work whose turn may have to be waited for among busy writers."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return work()
        except StoreBusy:
            time.sleep(_PAUSE_SECONDS * (1 + random.random()))  # noqa: S311 - spreads rivals, guards nothing
    return work()


def _brought_in_line(store: SealedStore, name: str, progress: Progress | None) -> int:
    """Writes the rows of a collection anew that are not as they should be; how many."""
    looked_at = written = 0
    last = ""
    while True:
        with store.raw() as transaction:
            rows = list(transaction.find(Query(name, Gt("id", last) if last else None, ("id",), None, BATCH)))
        if not rows:
            return written
        last = cast(str, rows[-1][0])
        shape = _shape(store, name)
        stale = [row for row in rows if not shape.is_current(row)]
        if stale:
            written += _patiently(partial(_rewritten, store, name, stale))
            time.sleep(_PAUSE_SECONDS)  # another writer's turn
        looked_at += len(rows)
        if progress:
            progress(name, looked_at)


def _shape(store: SealedStore, name: str) -> Shape:
    assert store.sealing is not None
    return store.sealing.shapes[name]


def _rewritten(store: SealedStore, name: str, rows: Sequence[Row]) -> int:
    """Writes rows anew that were read a moment ago; those that were changed meanwhile are read again."""
    shape = _shape(store, name)
    try:
        with store.transaction(write=True) as transaction:
            transaction.apply(_next_versions(name, shape, rows))
        return len(rows)
    except Conflict:
        pass
    with store.transaction(write=True) as transaction:
        assert isinstance(transaction, SealedTransaction)
        shape = _shape(store, name)
        there = transaction.inner.get_many(name, [cast(str, row[0]) for row in rows]).values()
        rows = [row for row in there if not shape.is_current(row)]
        transaction.apply(_next_versions(name, shape, rows))
    return len(rows)


def _next_versions(name: str, shape: Shape, rows: Iterable[Row]) -> Iterator[Change]:
    for row in rows:
        opened, version = shape.open(row), cast(int, row[1])
        yield Update(name, (opened[0], version + 1, *opened[2:]), version)


def _settled(store: SealedStore, transaction: Transaction) -> list[str]:
    """Notes that all is as it should be, and which keys are in use; gives those that are, beside the current one."""
    row = transaction.get("settings", SETTING)
    encryption = Encryption.of(row)
    assert encryption is not None and store.sealing is not None
    current = store.ring.current
    used = [id for id in encryption.keys if id != current and _is_used(store.sealing.shapes, transaction, id)]
    keys = {id: check for id, check in encryption.keys.items() if id == current or id in used}
    keys[current] = store.ring.check_value(current)
    after = Encryption(fields=encryption.fields, keys=keys)
    if after != encryption:
        transaction.apply([after.change(row)])
    return used


def _is_used(shapes: Iterable[str], transaction: Transaction, id: str) -> bool:
    """Whether a key opens anything. The store looks for it in the texts; nothing is opened."""
    mark = f"{MARK}{id}:"
    for name in shapes:
        columns = transaction.schema.collection(name).positions
        asked: list[Where] = []
        if SEALED in columns:
            asked.append(Contains(SEALED, f'":"{id}:'))
        elif name == "events":
            asked += [Contains("changes", f'"{mark}'), Prefix("salt", mark), Prefix("cause", mark)]
        else:
            asked += [Prefix(column, mark) for column in ("id", "value", "content") if column in columns]
        if any(list(transaction.find(Query(name, where, limit=1))) for where in asked):
            return True
    return False
