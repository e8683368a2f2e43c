"""A store whose values are sealed before they reach it and opened behind it, so that every store has encryption.

What the store itself may not see, it is not asked: conditions, orders and sums over sealed fields are finished here, over opened
rows; equality where a column holds a blind index, and everything else, stays with the store.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import cast

import attrs

from crmcore.domain import Setting
from crmcore.errors import DuplicateKey, KeyMissing, SealedValueBroken
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Change, Delete, Insert, Pushed, Store, Transaction, Update, check_tally
from crmcore.storage.keys import KeyRing
from crmcore.storage.presentation import Edit, Presentation
from crmcore.storage.query import And, Eq, In, Not, Or, Query, Where
from crmcore.storage.schema import Row, Scalar, Schema
from crmcore.storage.sealed_rows import ColumnShape, Shape, shapes_of
from crmcore.storage.sealing import Sealer

ShapesOf = Callable[..., dict[str, Shape]]
SETTING = "encryption"
"""The setting that tells what is encrypted in a store."""


@attrs.frozen(kw_only=True)
class Encryption:
    """What a store keeps about its encryption, and no key: the dotted fields, each key id in use with its check value.

    ``pending`` says that not every row is as it should be yet; ``leaving`` are fields that are being decrypted.
    """

    fields: tuple[str, ...]
    keys: Mapping[str, str]
    pending: bool = False
    leaving: tuple[str, ...] = ()

    @classmethod
    def of(cls, row: Row | None) -> Encryption | None:
        """What the setting's row tells; None where nothing is encrypted."""
        if row is None:
            return None
        told = json.loads(CODECS[Setting].load(row).value)
        return cls(
            fields=tuple(told["fields"]), keys=told["keys"], pending=told["pending"], leaving=tuple(told["leaving"])
        )

    def change(self, before: Row | None) -> Change:
        """What keeps it, in place of the setting's row before."""
        version = 1 if before is None else cast(int, before[1]) + 1
        value = json.dumps(attrs.asdict(self), ensure_ascii=False, sort_keys=True)
        row = CODECS[Setting].dump(Setting(id=SETTING, version=version, value=value))
        return Insert("settings", row) if before is None else Update("settings", row, version - 1)


class Sealing:
    """How rows are sealed under one state of the encryption. Raises :class:`KeyUnknown` for a ring that lacks its keys."""

    def __init__(self, schema: Schema, encryption: Encryption, sealer: Sealer, shapes_of: ShapesOf = shapes_of) -> None:
        sealer.require(encryption.keys.items())
        self.encryption, self.sealer = encryption, sealer
        keys = dict.fromkeys([*encryption.keys, sealer.ring.current])
        self.shapes = shapes_of(
            schema,
            encryption.fields,
            sealer,
            keys,
            strict=not encryption.pending,
            leaving=encryption.leaving,
        )


def refuse_sealed(transaction: Transaction) -> None:
    """Raises :class:`KeyMissing` where the store is encrypted and the transaction doesn't seal: nothing plain gets in."""
    if not isinstance(transaction, SealedTransaction) and transaction.get("settings", SETTING) is not None:
        raise KeyMissing("the store is encrypted; open it with its keys")


class SealedStore(Store):
    """A store of crmcore's schema under a key ring. Before anything is encrypted in it, it is the store itself."""

    def __init__(self, store: Store, ring: KeyRing, shapes_of: ShapesOf = shapes_of) -> None:
        """``shapes_of`` tells how the rows of a schema are kept, for one that isn't crmcore's."""
        self.store = store
        self._shapes_of = shapes_of
        self.schema = store.schema
        self.ring = ring
        self._sealer: Sealer | None = None
        self.sealing: Sealing | None = None
        with store.transaction() as transaction:
            self.adopt(Encryption.of(transaction.get("settings", SETTING)))

    @property
    def sealer(self) -> Sealer:
        """The ciphers. Raises :class:`MissingExtra` without their library."""
        if self._sealer is None:
            self._sealer = Sealer(self.ring)
        return self._sealer

    @property
    def encryption(self) -> Encryption | None:
        """What is encrypted, as far as this handle knows."""
        return self.sealing.encryption if self.sealing else None

    def adopt(self, encryption: Encryption | None) -> None:
        """Goes by what the store tells of its encryption."""
        self.sealing = self.made(encryption)

    def made(self, encryption: Encryption | None) -> Sealing | None:
        """How rows are sealed under it."""
        if encryption is None or (self.sealing and self.sealing.encryption == encryption):
            return self.sealing if encryption else None
        return Sealing(self.schema, encryption, self.sealer, self._shapes_of)

    def transaction(self, *, write: bool = False) -> AbstractContextManager[Transaction]:
        if self.sealing is None and not write:
            return self.store.transaction()
        return self._sealed(write)

    @contextmanager
    def _sealed(self, write: bool) -> Iterator[Transaction]:
        with self.store.transaction(write=write) as transaction:
            if write:
                row = transaction.get("settings", SETTING)
                self.adopt(Encryption.of(row))
                if self.sealing is None:
                    yield transaction
                    return
            assert self.sealing is not None
            yield SealedTransaction(transaction, self, self.sealing)

    def raw(self, *, write: bool = False) -> AbstractContextManager[Transaction]:
        """A piece of work on the rows as they are kept."""
        return self.store.transaction(write=write)

    def claim(self, query: Query, change: Callable[[Row], Row]) -> list[Row]:
        if self.sealing is None or query.collection not in self.sealing.shapes:
            return self.store.claim(query, change)
        return super().claim(query, change)

    def backup(self, target: str) -> None:
        self.store.backup(target)

    def clean(self) -> Sequence[str]:
        return self.store.clean()

    def present(self, presentation: Presentation) -> None:
        if self.sealing is not None:
            shapes = self.sealing.shapes
            presentation = attrs.evolve(
                presentation,
                sheets={
                    name: attrs.evolve(
                        sheet,
                        fields={
                            field: view
                            for field, view in sheet.fields.items()
                            if name not in shapes or field not in shapes[name].columns
                        },
                        called=tuple(
                            field for field in sheet.called if name not in shapes or field not in shapes[name].columns
                        ),
                    )
                    for name, sheet in presentation.sheets.items()
                },
            )
        self.store.present(presentation)

    def edits(self) -> Sequence[Edit]:
        return self.store.edits()

    def settle_edits(self) -> None:
        self.store.settle_edits()

    def describe(self) -> dict[str, object]:
        return {**self.store.describe(), **described(self.encryption)}

    def check(self) -> list[str]:
        return self.store.check()

    def close(self) -> None:
        self.store.close()


def described(encryption: Encryption | None) -> dict[str, object]:
    """Facts for ``crmcore doctor``: which fields are encrypted, and under which keys; nothing where none is."""
    if encryption is None:
        return {}
    return {
        "encrypted_fields": list(encryption.fields),
        "key_ids": list(encryption.keys),
        "encryption_pending": encryption.pending,
    }


class SealedTransaction(Transaction):
    """A transaction whose rows are opened on their way out and sealed on their way in."""

    def __init__(self, inner: Transaction, store: SealedStore, sealing: Sealing) -> None:
        super().__init__(inner.schema)
        self.inner = inner
        self._store = store
        self._sealing = sealing
        self._noted = False

    def get(self, collection: str, id: str) -> Row | None:
        shape = self._sealing.shapes.get(collection)
        if shape is None:
            return self.inner.get(collection, id)
        if "id" in shape.columns:
            return self.get_many(collection, [id]).get(id)
        row = self.inner.get(collection, id)
        return None if row is None else self._open(collection, row)

    def get_many(self, collection: str, ids: Sequence[str]) -> dict[str, Row]:
        shape = self._sealing.shapes.get(collection)
        if shape is None:
            return self.inner.get_many(collection, ids)
        asked = list(ids)
        if "id" in shape.columns:
            asked = [cast(str, form) for id in ids for form in shape.stored_forms("id", id)]
        rows = (self._open(collection, row) for row in self.inner.get_many(collection, asked).values())
        return {cast(str, row[0]): row for row in rows}

    def scan(self, collection: str) -> Iterator[Row]:
        return self._opened(collection, self.inner.scan(collection))

    def apply(self, changes: Iterable[Change]) -> None:
        self.inner.apply(self._sealed(changes))

    def push(self, query: Query) -> Pushed:
        shape = self._sealing.shapes.get(query.collection)
        if shape is None or not shape.columns:
            rows, rest = self.inner.push(query)
            return Pushed(self._opened(query.collection, rows), rest)
        pushed, kept = divided(query.where, shape)
        ordered_here = any(name.removeprefix("-") in shape.columns for name in query.order)
        if ordered_here:
            asked = Query(query.collection, pushed)
        elif kept is not None:
            asked = Query(query.collection, pushed, query.order, query.after)
        else:
            asked = attrs.evolve(query, where=pushed)
        rows, left = self.inner.push(asked)
        opened = self._opened(query.collection, rows)
        where = kept if left.where is None else left.where if kept is None else And(left.where, kept)
        if ordered_here:
            return Pushed(opened, attrs.evolve(query, where=where))
        return Pushed(
            opened, Query(query.collection, where, left.order, left.after, query.limit if kept else left.limit)
        )

    def tally(self, collection: str, where: Where | None, by: Sequence[str], sums: Sequence[str] = ()) -> list[Row]:
        shape = self._sealing.shapes.get(collection)
        check_tally(self.schema, collection, where, by, sums)
        if shape is None or not shape.columns & {*fields_of(where), *by, *sums}:
            return self.inner.tally(collection, where, by, sums)
        return super().tally(collection, where, by, sums)

    # Rows in and out

    def _open(self, collection: str, row: Row) -> Row:
        try:
            return self._sealing.shapes[collection].open(row)
        except SealedValueBroken:
            if not self._refreshed():
                raise
        return self._open(collection, row)

    def _refreshed(self) -> bool:
        """Whether the encryption is another one, as this transaction sees it, than the store had told; then it goes by that."""
        found = Encryption.of(self.inner.get("settings", SETTING))
        sealing = self._store.made(found)
        if sealing is None or found == self._sealing.encryption:
            return False
        self._sealing = sealing
        return True

    def _opened(self, collection: str, rows: Iterable[Row]) -> Iterator[Row]:
        if collection not in self._sealing.shapes:
            return iter(rows)
        return (self._open(collection, row) for row in rows)

    def _sealed(self, changes: Iterable[Change]) -> Iterator[Change]:
        shapes = self._sealing.shapes
        if not self._noted:
            yield from self._note_key()
        for change in changes:
            shape = shapes.get(change.collection)
            if shape is None:
                yield change
            elif isinstance(change, Delete):
                yield change._replace(id=self._kept_id(shape, change.collection, change.id))
            elif isinstance(change, Insert):
                self._refuse_taken(shape, change)
                yield Insert(change.collection, shape.seal(change.row))
            else:
                yield from self._replaced(shape, change)

    def _replaced(self, shape: Shape, change: Update) -> Iterator[Change]:
        row = shape.seal(change.row)
        if (
            "id" in shape.columns
            and (kept := self._kept_id(shape, change.collection, cast(str, change.row[0]))) != row[0]
        ):
            yield Delete(change.collection, kept, change.expected_version)
            yield Insert(change.collection, row)
            return
        yield Update(change.collection, row, change.expected_version)

    def _kept_id(self, shape: Shape, collection: str, id: str) -> str:
        """The id under which a row is kept."""
        if "id" not in shape.columns:
            return id
        forms = [cast(str, form) for form in shape.stored_forms("id", id)]
        return next(iter(self.inner.get_many(collection, forms)), id)

    def _refuse_taken(self, shape: Shape, change: Insert) -> None:
        """Raises :class:`DuplicateKey` for an id that is there in another form than the one that would be written."""
        if "id" in shape.columns and isinstance(shape, ColumnShape):
            id = cast(str, change.row[0])
            if self._kept_id(shape, change.collection, id) not in (id, shape.form(id)):
                told = f"{change.collection} already holds this id"
                raise DuplicateKey(told, collection=change.collection, fields=("id",))

    def _note_key(self) -> Iterator[Change]:
        """Notes in the store that the current key is in use, before anything is written with it."""
        self._noted = True
        encryption, ring = self._sealing.encryption, self._store.ring
        if ring.current not in encryption.keys:
            before = self.inner.get("settings", SETTING)
            keys = {**encryption.keys, ring.current: ring.check_value(ring.current)}
            yield attrs.evolve(encryption, keys=keys).change(before)


def fields_of(where: Where | None) -> set[str]:
    """The fields that a condition asks for."""
    match where:
        case None:
            return set()
        case And(parts) | Or(parts):
            return set().union(*map(fields_of, parts))
        case Not(part):
            return fields_of(part)
        case _:
            return {where.field}


def divided(where: Where | None, shape: Shape) -> tuple[Where | None, Where | None]:
    """What of a condition a store can be asked, and what is left to be asked of opened rows; both hold where it holds."""
    parts = where.parts if isinstance(where, And) else () if where is None else (where,)
    pushed: list[Where] = []
    kept: list[Where] = []
    for part in parts:
        if not fields_of(part) & shape.columns:
            pushed.append(part)
            continue
        kept.append(part)
        values: tuple[Scalar, ...] = (
            (part.value,) if isinstance(part, Eq) else part.values if isinstance(part, In) else ()
        )
        if isinstance(part, (Eq, In)) and values and all(isinstance(value, str) for value in values):
            forms = [form for value in values for form in shape.stored_forms(part.field, cast(str, value))]
            if forms:
                pushed.append(In(part.field, tuple(forms)))
    return _all(pushed), _all(kept)


def _all(parts: list[Where]) -> Where | None:
    return None if not parts else parts[0] if len(parts) == 1 else And(*parts)
