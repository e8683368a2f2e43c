"""A store whose values are sealed before they reach it and opened behind it, so that every store has encryption."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import attrs

from crmcore.errors import KeyMissing
from crmcore.storage.contract import Store, Transaction
from crmcore.storage.keys import KeyRing
from crmcore.storage.presentation import Edit, Presentation
from crmcore.storage.query import Query
from crmcore.storage.schema import Row
from crmcore.storage.sealed_shapes import shapes_of
from crmcore.storage.sealed_state import SETTING, Encryption, Sealing, ShapesOf
from crmcore.storage.sealed_transaction import SealedTransaction
from crmcore.storage.sealing import Sealer


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
            yield SealedTransaction(transaction, self.sealing, self.made)

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
