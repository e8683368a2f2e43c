"""Tables and their statements from the schema, by SQLAlchemy Core, for any SQL database.

What differs between databases is said in a :class:`Flavour`. Everything becomes text once: running SQLAlchemy's own
constructs costs several times the query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, cast

import attrs
from sqlalchemy import Column, Index, MetaData, Table, bindparam, delete, insert, select, update
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import BindParameter, ClauseElement, ColumnElement
from sqlalchemy.types import TypeEngine

from crmcore.storage import Collection, FieldType, Query, Schema

Adapter: TypeAlias = Callable[[Any], Any] | None


@attrs.frozen(kw_only=True)
class Flavour:
    """What one SQL database asks for."""

    dialect: Dialect
    """Renders placeholders by position, in the paramstyle of the driver."""
    types: Mapping[FieldType, TypeEngine[Any]]
    adapters: Mapping[FieldType, Callable[[Any], Any]]
    """How a value that is compared with goes to the driver; types that are missing go as they are."""
    contains: Callable[[ColumnElement[Any], ColumnElement[Any]], ColumnElement[bool]]
    """Whether a text holds another one, to the letter."""
    incomparable: frozenset[FieldType] = frozenset()
    """Types whose columns can't be compared or sorted as their values are: left to the Python evaluation."""
    nulls_lowest: bool = False
    """Whether NULL sorts below everything without being told to."""
    most_parameters: int
    table_options: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Statement:
    """SQL text, and which of the values goes to which of its placeholders (None: each to its own)."""

    sql: str
    slots: tuple[int, ...] | None
    constants: tuple[Any, ...] = ()

    def arguments(self, values: list[Any]) -> list[Any]:
        """The values by placeholder."""
        if self.slots is None:
            return values
        supply = [*values, *self.constants]
        return [supply[slot] for slot in self.slots]


def render(clause: ClauseElement, dialect: Dialect, names: list[str]) -> Statement:
    """The text of a clause whose parameters go by these names, in the order in which values will come."""
    compiled = cast(SQLCompiler, clause.compile(dialect=dialect))
    places = {name: place for place, name in enumerate(names)}
    slots: list[int] = []
    constants: list[Any] = []
    for name in compiled.positiontup or ():
        if name not in places:
            places[name] = len(names) + len(constants)
            constants.append(compiled.params[name])
        slots.append(places[name])
    straight = slots == list(range(len(names)))
    return Statement(str(compiled), None if straight else tuple(slots), tuple(constants))


def table_of(collection: Collection, flavour: Flavour) -> Table:
    """The table of a collection, with its indices."""
    columns = [
        Column(
            field.name,
            flavour.types[field.type],
            primary_key=field.name == "id",
            nullable=field.nullable and field.name not in ("id", "version"),
        )
        for field in collection.fields
    ]
    table = Table(collection.name, MetaData(), *columns, **flavour.table_options)
    for keys, unique in ((collection.unique, True), (collection.indexes, False)):
        for key in keys:
            name = "_".join(("uq" if unique else "ix", collection.name, *key))
            Index(name, *(table.c[field] for field in key), unique=unique)
    return table


def definitions(schema: Schema, flavour: Flavour) -> Iterator[str]:
    """The statements that make all tables and indices."""
    for collection in schema.collections.values():
        table = table_of(collection, flavour)
        yield str(CreateTable(table).compile(dialect=flavour.dialect))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            yield str(CreateIndex(index).compile(dialect=flavour.dialect))


class Access:
    """A collection's table with the statements on one row. Values come in the order that each says."""

    def __init__(self, collection: Collection, flavour: Flavour) -> None:
        self.collection = collection
        self.table = table = table_of(collection, flavour)
        self.adapters: Mapping[str, Adapter] = {
            field.name: flavour.adapters.get(field.type) for field in collection.fields
        }
        self.incomparable = frozenset(field.name for field in collection.fields if field.type in flavour.incomparable)
        self.nothing_left = Query(collection.name)
        names = list(self.adapters)
        this = table.c.id == bindparam("this")
        at_version = table.c.version == bindparam("expected")
        others: dict[str, BindParameter[Any]] = {name: bindparam(f"new_{name}") for name in names[1:]}

        def text(clause: ClauseElement, *parameters: str) -> str:
            statement = render(clause, flavour.dialect, list(parameters))
            assert statement.slots is None, "the placeholders stand in another order"
            return statement.sql

        self.scan = text(select(table))
        self.get = text(select(table).where(this), "this")
        self.version = text(select(table.c.version).where(this), "this")
        self.insert = text(insert(table), *names)
        """The whole row."""
        self.update = text(
            update(table).where(this, at_version).values(others),
            *(f"new_{name}" for name in others),
            "this",
            "expected",
        )
        """The row without its id, then the id and the version it must be at."""
        self.delete = text(delete(table).where(this, at_version), "this", "expected")
        """The id and the version it must be at."""
