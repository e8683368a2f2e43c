"""Tables and their statements from the schema, by SQLAlchemy Core, for any SQL database.

What differs between databases is said in a :class:`Flavour`. Everything becomes text once: running SQLAlchemy's own
constructs costs several times the query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
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
Pack: TypeAlias = Callable[[Iterable[Any]], Any] | None
Parameter: TypeAlias = Callable[[TypeEngine[Any]], BindParameter[Any]]
"""Makes the next parameter of a statement."""

_LONGEST_NAME = 60  # databases cut names at 63 bytes or so


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
    pack: Pack = None
    """Makes one parameter of the values of a list; None where each of them is a parameter of its own."""
    contained: Callable[[ColumnElement[Any], Parameter], ColumnElement[bool]] | None = None
    """Whether a value is in such a list."""
    limits_written: bool = False
    """Whether a limit stands in the text: for a planner that would take a parameter for any number of rows."""
    table_options: Mapping[str, Any] = attrs.field(factory=dict)
    namespace: str | None = None
    """The schema, as databases call it, that the tables stand in."""


@attrs.frozen
class Statement:
    """SQL text, and which of the values goes to which of its placeholders (None: each to its own)."""

    sql: str
    slots: tuple[int, ...] | None
    constants: tuple[Any, ...] = ()
    types: tuple[TypeEngine[Any], ...] = ()
    """What each placeholder takes."""

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
    types = tuple(compiled.binds[name].type for name in compiled.positiontup or ())
    return Statement(str(compiled), None if straight else tuple(slots), tuple(constants), types)


def index_name(collection: Collection, key: Sequence[str], *, unique: bool) -> str:
    """The name of an index, which in many databases is one of its own among all tables."""
    name = "_".join(("uq" if unique else "ix", collection.name, *key))
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 9]}_{sha256(name.encode()).hexdigest()[:8]}"


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
    table = Table(collection.name, MetaData(schema=flavour.namespace), *columns, **flavour.table_options)

    def term(name: str) -> ColumnElement[Any]:
        column = table.c[name]
        # As orders ask for it: an index with None at its other end would be no help to them.
        return column.asc().nulls_first() if column.nullable and not flavour.nulls_lowest else column

    for keys, unique in ((collection.unique, True), (collection.indexes, False)):
        for key in keys:
            Index(index_name(collection, key, unique=unique), *map(term, key), unique=unique)
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
        self.name = flavour.dialect.identifier_preparer.format_table(table)
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
