"""What a store keeps: named collections of rows, described by core, never by a backend."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import Literal, TypeAlias

import attrs

from crmcore.errors import QueryError, SchemaMismatch

Scalar: TypeAlias = bool | int | str | date | datetime | Decimal | None
Row: TypeAlias = tuple[Scalar, ...]
"""A record at the border: one scalar per field of its collection, in the collection's order; id first, version second."""

FieldType = Literal["text", "integer", "boolean", "date", "instant", "decimal"]
"""``instant`` is an aware UTC datetime in whole milliseconds; ``integer`` fits 64 bits; ``text`` is NFC."""


@attrs.frozen
class Field:
    """One column: ``nullable`` says that None may stand there."""

    name: str
    type: FieldType
    nullable: bool = True


@attrs.frozen(kw_only=True, slots=False)
class Collection:
    """One kind of record. ``fields[0]`` is ``id`` (text, unique), ``fields[1]`` is ``version`` (integer)."""

    name: str
    fields: tuple[Field, ...]
    unique: tuple[tuple[str, ...], ...] = ()
    indexes: tuple[tuple[str, ...], ...] = ()

    def __attrs_post_init__(self) -> None:
        if [(field.name, field.type) for field in self.fields[:2]] != [("id", "text"), ("version", "integer")]:
            raise ValueError(f"the first fields of {self.name} must be id and version")
        for key in (*self.unique, *self.indexes):
            for name in key:
                self.position(name)

    @cached_property
    def positions(self) -> Mapping[str, int]:
        """Field name to place in the row."""
        return {field.name: place for place, field in enumerate(self.fields)}

    def position(self, name: str) -> int:
        """The place of a field in the row; raises :class:`QueryError` for a field that isn't there."""
        try:
            return self.positions[name]
        except KeyError:
            raise QueryError(f"{self.name} has no field {name}", collection=self.name, field=name) from None

    def field(self, name: str) -> Field:
        """The field of that name; raises :class:`QueryError`."""
        return self.fields[self.position(name)]


@attrs.frozen(slots=False)
class Schema:
    """All collections of one data format. ``version`` goes up whenever the format does."""

    version: int
    collections: Mapping[str, Collection]

    @classmethod
    def of(cls, version: int, collections: Iterable[Collection]) -> Schema:
        """A schema of these collections, by name."""
        return cls(version, {collection.name: collection for collection in collections})

    def collection(self, name: str) -> Collection:
        """The collection of that name; raises :class:`QueryError`."""
        try:
            return self.collections[name]
        except KeyError:
            raise QueryError(f"there is no collection {name}", collection=name) from None

    @cached_property
    def fingerprint(self) -> str:
        """The whole format as text, to be kept beside the data and compared when they are opened."""
        return json.dumps(
            {
                name: [[[field.name, field.type, field.nullable] for field in collection.fields], collection.unique]
                for name, collection in sorted(self.collections.items())
            },
            separators=(",", ":"),
        )

    def require(self, version: int, fingerprint: str) -> None:
        """Raises :class:`SchemaMismatch` for data that are kept in another format or, under the same number, in other fields."""
        if version != self.version:
            Schema(version, {}).require_older(self.version)
            raise SchemaMismatch(
                "the data are kept in an older format; upgrade them with: crmcore upgrade",
                found=version,
                expected=self.version,
            )
        if fingerprint != self.fingerprint:
            raise SchemaMismatch(
                "the data were written with other fields under the same format: the versions of crmcore and its plugins"
                " differ from those that made them",
                found=version,
                expected=self.version,
            )

    def require_older(self, version: int) -> None:
        """Raises :class:`SchemaMismatch` for data in a newer format than that of this program."""
        if self.version > version:
            raise SchemaMismatch(
                "the data are kept in a newer format than this program knows; a newer crmcore is needed",
                found=self.version,
                expected=version,
            )

    @classmethod
    def from_fingerprint(cls, version: int, text: str) -> Schema:
        """The schema that a fingerprint was made of, without its indexes; raises ValueError for another text."""
        try:
            return cls.of(
                version,
                [
                    Collection(
                        name=name,
                        fields=tuple(Field(*field) for field in fields),
                        unique=tuple(map(tuple, unique)),
                    )
                    for name, (fields, unique) in json.loads(text).items()
                ],
            )
        except (TypeError, AttributeError, QueryError) as problem:
            raise ValueError("this is no fingerprint of a schema") from problem
