"""A transaction whose rows are opened on their way out and sealed on their way in.

What the store itself may not see, it is not asked: conditions, orders and sums over sealed fields are finished here, over opened
rows; equality where a column holds a blind index, and everything else, stays with the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import cast

import attrs

from crmcore.errors import DuplicateKey, SealedValueBroken
from crmcore.storage.contract import Change, Delete, Insert, Pushed, Transaction, Update, check_tally
from crmcore.storage.query import And, Eq, In, Not, Or, Query, Where
from crmcore.storage.schema import Row, Scalar
from crmcore.storage.sealed_rows import Shape
from crmcore.storage.sealed_shapes import ColumnShape
from crmcore.storage.sealed_state import SETTING, Encryption, Sealing


class SealedTransaction(Transaction):
    """A transaction whose rows are opened on their way out and sealed on their way in."""

    def __init__(
        self, inner: Transaction, sealing: Sealing, remade: Callable[[Encryption | None], Sealing | None]
    ) -> None:
        """``remade`` gives the sealing under another state of the encryption than the one that was known."""
        super().__init__(inner.schema)
        self.inner = inner
        self._remade = remade
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
        sealing = self._remade(found)
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
        encryption, ring = self._sealing.encryption, self._sealing.sealer.ring
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
    kept = [part for part in parts if fields_of(part) & shape.columns]
    return _all([asked for part in parts if (asked := _asked(part, shape)) is not None]), _all(kept)


def _asked(where: Where, shape: Shape) -> Where | None:
    """What a store can be asked in place of a condition: it holds wherever that holds. None where nothing is known."""
    if not fields_of(where) & shape.columns:
        return where
    match where:
        case And(parts):
            return _all([asked for part in parts if (asked := _asked(part, shape)) is not None])
        case Or(parts):
            each = [_asked(part, shape) for part in parts]
            return None if None in each else Or(*(asked for asked in each if asked is not None))
        case Eq(field, value):
            return _one_of(field, (value,), shape)
        case In(field, values):
            return _one_of(field, values, shape)
        case _:
            return None


def _one_of(field: str, values: Iterable[Scalar], shape: Shape) -> Where | None:
    forms: list[Scalar] = []
    for value in values:
        stored = shape.stored_forms(field, value) if isinstance(value, str) else []
        if not stored:
            return None
        forms += stored
    return In(field, tuple(forms))


def _all(parts: list[Where]) -> Where | None:
    return None if not parts else parts[0] if len(parts) == 1 else And(*parts)
