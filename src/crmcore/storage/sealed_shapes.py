"""What is sealed in each collection of crmcore, and collections with one column that tells what the fields of others hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import cast

from crmcore.domain import ENTITIES, Entity, Record
from crmcore.domain.fields import MAX_TEXT
from crmcore.errors import Invalid, Issue
from crmcore.storage.schema import Collection, Row, Scalar, Schema
from crmcore.storage.sealed_events import EventShape
from crmcore.storage.sealed_rows import RecordShape, Shape
from crmcore.storage.sealing import MARK, Sealer, broken

#: The field from which the keys of a kind are made, by which a customer is found again.
_MADE_FROM: Mapping[str, str] = {
    "uscc": "customer.uscc",
    "name": "customer.name",
    "phone": "contact.phones",
    "email": "contact.emails",
    "wechat": "contact.wechat",
}


class ColumnShape:
    """One column that tells what the fields of others hold. ``fixed`` is one that is searched for equal values, as ``id``."""

    def __init__(
        self,
        shape: Collection,
        column: str,
        sealer: Sealer,
        keys: Iterable[str],
        *,
        fixed: bool,
        strict: bool,
        wanted: Callable[[Row], bool],
        purpose: str | None = None,
    ) -> None:
        """``wanted`` tells of a row whether its value is to be sealed; columns of one ``purpose`` hold the same form."""
        self._name, self._column, self._place = shape.name, column, shape.position(column)
        self._sealer, self._keys, self._fixed, self._strict, self._wanted = sealer, tuple(keys), fixed, strict, wanted
        self._purpose = purpose or f"{shape.name}.{column}"
        self.columns = frozenset({column})

    def seal(self, row: Row) -> Row:
        value = cast("str | None", row[self._place])
        if value is None or (not self._wanted(row) and not value.startswith(MARK)):
            return row
        return self._with(row, self.form(value) if self._fixed else self._sealed(row, value))

    def _sealed(self, row: Row, value: str) -> str:
        text = MARK + self._sealer.seal(self._purpose, f"{self._name}\0{self._column}\0{row[0]}", value.encode())
        if len(text) > MAX_TEXT:
            raise Invalid(
                [Issue(code="too_long", field=f"{self._name}.{self._column}", facts={"limit": MAX_TEXT * 3 // 4 - 100})]
            )
        return text

    def form(self, value: str, id: str | None = None) -> str:
        """The form of a value that is searched for, under the current key or another."""
        return self._sealer.fix(self._purpose, value, id)

    def open(self, row: Row) -> Row:
        value = cast("str | None", row[self._place])
        if value is None:
            return row
        if not value.startswith(MARK):
            if self._strict and self._wanted(row):
                raise broken(self._name, self._column, row[0])
            return row
        try:
            if self._fixed:
                return self._with(row, self._sealer.unfix(self._purpose, value))
            place = f"{self._name}\0{self._column}\0{row[0]}"
            return self._with(row, self._sealer.open(self._purpose, place, value.removeprefix(MARK)).decode())
        except ValueError:
            raise broken(self._name, self._column, row[0]) from None

    def is_current(self, row: Row) -> bool:
        value = cast("str | None", row[self._place])
        if value is None:
            return True
        if self._wanted(row):
            return value.startswith(f"{MARK}{self._sealer.ring.current}:")
        return not value.startswith(MARK)

    def stored_forms(self, column: str, value: str) -> list[Scalar]:
        if not self._fixed or column != self._column:
            return []
        return [value, *(self.form(value, id) for id in self._keys)]

    def _with(self, row: Row, value: str) -> Row:
        return (*row[: self._place], value, *row[self._place + 1 :])


class ShapeOfTwo:
    """A collection in which two things are sealed that don't touch each other."""

    def __init__(self, one: Shape, other: Shape) -> None:
        self._one, self._other = one, other
        self.columns = one.columns | other.columns

    def seal(self, row: Row) -> Row:
        return self._other.seal(self._one.seal(row))

    def open(self, row: Row) -> Row:
        return self._one.open(self._other.open(row))

    def is_current(self, row: Row) -> bool:
        return self._one.is_current(row) and self._other.is_current(row)

    def stored_forms(self, column: str, value: str) -> list[Scalar]:
        return self._one.stored_forms(column, value) or self._other.stored_forms(column, value)


def shapes_of(
    schema: Schema,
    fields: Iterable[str],
    sealer: Sealer,
    keys: Iterable[str],
    *,
    strict: bool,
    leaving: Iterable[str] = (),
) -> dict[str, Shape]:
    """The shapes of all collections in which something is sealed, for dotted fields (``customer.budget``).

    ``keys`` are the ids under which values may be kept; ``strict`` says that no plain value of the fields may stand anywhere;
    ``leaving`` are fields that may still be sealed and are to be no longer.
    """
    keys, wanted = tuple(keys), frozenset(fields)
    names, former = _by_collection(wanted), _by_collection(leaving)
    shapes: dict[str, Shape] = {}
    for cls in _records(schema):
        shape = schema.collection(cls.collection)
        shapes[cls.collection] = RecordShape(
            shape,
            names.get(cls.collection, ()),
            sealer,
            keys,
            entity=cls.entity,
            strict=strict,
            leaving=former.get(cls.collection, ()),
        )
    events = schema.collection("events")
    column = partial(ColumnShape, sealer=sealer, keys=keys, strict=strict)

    def anything(row: Row) -> bool:
        return bool(wanted)

    # A digest of a row that was imported tells whoever guesses the row whether it was that.
    digest = partial(column, fixed=True, wanted=anything, purpose="imported_rows.id")
    shapes["events"] = ShapeOfTwo(EventShape(events, names, sealer, strict=strict), digest(events, "cause"))
    shapes["imported_rows"] = digest(schema.collection("imported_rows"), "id")
    match_keys = schema.collection("match_keys")
    kinds = frozenset(kind for kind, field in _MADE_FROM.items() if field in wanted)
    kind = match_keys.position("kind")
    shapes["match_keys"] = column(match_keys, "value", fixed=True, wanted=lambda row: row[kind] in kinds)
    shapes["absent_records"] = column(schema.collection("absent_records"), "content", fixed=False, wanted=anything)
    return shapes


def _by_collection(fields: Iterable[str]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for field in sorted(fields):
        entity, _, name = field.partition(".")
        for cls in ENTITIES:
            if cls.entity == entity and name in cls.kinds:
                names.setdefault(cls.collection, []).append(name)
    return names


def _records(schema: Schema) -> Iterator[type[Entity]]:
    return (cls for cls in ENTITIES if issubclass(cls, Record) and cls.collection in schema.collections)
