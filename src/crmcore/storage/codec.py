"""Entities to rows and back, and to plain JSON for people and programs.

Rows are read by the hundred thousand, so each entity gets one generated function per direction; the plain reference is
the entity's own constructor, and ``tests/storage/test_codec.py`` holds the two together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar

import attrs
import cattrs

from crmcore.domain import ENTITIES, Entity, Record
from crmcore.domain.fields import Kind
from crmcore.domain.values import NO_CUSTOM, FrozenMap, Money, fold
from crmcore.errors import KeyMissing, StoreCorrupt
from crmcore.storage.schema import Collection, Field, FieldType, Row, Schema

E = TypeVar("E", bound=Entity)

SCHEMA_VERSION = 3
SEALED = "sealed"

_SEALED_TOLD = "the store is encrypted; open it with its keys"
_SCALARS: dict[str, FieldType] = {
    "text": "text",
    "choice": "text",
    "integer": "integer",
    "flag": "boolean",
    "day": "date",
    "instant": "instant",
    "decimal": "decimal",
    "texts": "text",
    "custom": "text",
}


@attrs.frozen
class Codec(Generic[E]):
    """How one entity is kept: its collection, and the functions between it and a row."""

    entity: type[E]
    collection: Collection
    load: Callable[[Row], E]
    dump: Callable[[E], Row]


def _columns(name: str, kind: Kind) -> list[Field]:
    nullable = not kind.required and (kind.default is None or kind.name in ("texts", "custom"))
    if kind.name == "money":
        return [Field(name, "integer"), Field(f"{name}_currency", "text")]
    columns = [Field(name, _SCALARS[kind.name], nullable)]
    if kind.folded:
        columns.append(Field(f"{name}_key", "text", nullable))
    return columns


def collection_of(cls: type[Entity]) -> Collection:
    """The collection that an entity's declaration describes: money in two fields, a search form beside a folded text.

    A record has one field more, ``sealed``: the values of its encrypted fields, which are not where they would be in plain.
    """
    fields = [column for name, kind in cls.kinds.items() for column in _columns(name, kind)]
    if issubclass(cls, Record):
        fields.append(Field(SEALED, "text"))
    return Collection(name=cls.collection, fields=tuple(fields), unique=cls.unique, indexes=cls.indexes)


def texts_to_scalar(values: tuple[str, ...]) -> str | None:
    """A tuple of texts as one text."""
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")) if values else None


def texts_from_scalar(value: str | None) -> tuple[str, ...]:
    """The tuple that :func:`texts_to_scalar` wrote."""
    return tuple(json.loads(value)) if value else ()


def _custom_to_scalar(values: FrozenMap) -> str | None:
    return json.dumps(dict(values), ensure_ascii=False, separators=(",", ":")) if values else None


def _custom_from_scalar(value: str | None) -> FrozenMap:
    return FrozenMap(json.loads(value)) if value else NO_CUSTOM


def _generate(cls: type[E]) -> tuple[Callable[[Row], E], Callable[[E], Row]]:
    """One line per field, nothing looked up per row; see :mod:`crmcore.domain.entity` for the open twin."""
    scope: dict[str, Any] = {
        "create": object.__new__,
        "cls": cls,
        "twin": cls._open,
        "Money": Money,
        "fold": fold,
        "texts_out": texts_to_scalar,
        "texts_in": texts_from_scalar,
        "custom_out": _custom_to_scalar,
        "custom_in": _custom_from_scalar,
        "NO_CUSTOM": NO_CUSTOM,
        "unreadable": lambda row: unreadable(cls, row),
        "KeyMissing": KeyMissing,
    }
    read, write, names = [], [], []
    for name, kind in cls.kinds.items():
        names.append(name)
        loaded, dumped = name, [f"e.{name}"]
        if kind.name == "texts":
            loaded, dumped = f"texts_in({name}) if {name} else ()", [f"texts_out(e.{name}) if e.{name} else None"]
        elif kind.name == "custom":
            loaded = f"custom_in({name}) if {name} else NO_CUSTOM"
            dumped = [f"custom_out(e.{name}) if e.{name} is not NO_CUSTOM else None"]
        elif kind.name == "money":
            names.append(f"{name}_currency")
            loaded = f"None if {name} is None else Money({name}, {name}_currency)"
            dumped = [
                f"None if (m := e.{name}) is None else m.minor",
                f"None if (m := e.{name}) is None else m.currency",
            ]
        if kind.folded:
            names.append(f"{name}_key")
            dumped.append(f"fold(e.{name})")
        read.append(f"        e.{name} = {loaded}")
        write += dumped
    if issubclass(cls, Record):
        names.append("_")
        write.append("None")
    source = [
        "def load(row):",
        "    try:",
        f"        {', '.join(names)} = row",
        *(
            ["        if _ is not None:", f"            raise KeyMissing({_SEALED_TOLD!r})"]
            if issubclass(cls, Record)
            else []
        ),
        "        e = create(twin)",
        *read,
        "        e.__class__ = cls",
        "        return e",
        "    except (ValueError, TypeError):",
        "        raise unreadable(row) from None",
        "def dump(e):",
        f"    return ({', '.join(write)},)",
    ]
    exec("\n".join(source), scope)  # noqa: S102 - built from our own attribute names alone
    return scope["load"], scope["dump"]


def unreadable(cls: type[Entity], row: Row) -> StoreCorrupt:
    """The error for a row that is no entity of that class; ``details`` name collection, id and field, as far as one is to blame."""
    shape = collection_of(cls)
    told: dict[str, Any] = {"collection": shape.name}
    if len(row) == len(shape.fields):
        told |= {"id": row[0], "field": next((name for name in cls.kinds if not _reads(cls, name, row)), None)}
    return StoreCorrupt("a row can't be read; look with: crmcore check", **told)


def _reads(cls: type[Entity], name: str, row: Row) -> bool:
    at = collection_of(cls).position(name)
    value: Any = row[at]
    try:
        match cls.kinds[name].name:
            case "texts":
                texts_from_scalar(value)
            case "custom":
                _custom_from_scalar(value)
            case "money" if value is not None:
                Money(value, row[at + 1])  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return False
    return True


def codec_of(cls: type[E]) -> Codec[E]:
    """The codec of an entity class, made anew; core's own are in :data:`CODECS`."""
    return Codec(cls, collection_of(cls), *_generate(cls))


def schema_of(entities: Iterable[type[Entity]], version: int = SCHEMA_VERSION) -> Schema:
    """The schema that keeps these entities."""
    return Schema.of(version, map(collection_of, entities))


CODECS: dict[type[Entity], Codec[Any]] = {cls: codec_of(cls) for cls in ENTITIES}
SCHEMA = Schema.of(SCHEMA_VERSION, [codec.collection for codec in CODECS.values()])


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(omit_if_default=False)
    converter.register_unstructure_hook(
        Money, lambda money: {"amount": f"{money.amount:f}", "currency": money.currency}
    )
    converter.register_unstructure_hook(FrozenMap, dict)
    converter.register_unstructure_hook(datetime, datetime.isoformat)
    converter.register_unstructure_hook(date, date.isoformat)
    return converter


_converter = _make_converter()


def to_plain(value: Any) -> Any:
    """Any value of the library as what JSON can say: money as amount and currency, times as ISO 8601 in UTC."""
    return _converter.unstructure(value)


def plain_fields(entity: Entity, names: Iterable[str]) -> dict[str, Any]:
    """Some fields of an entity as an event tells them: what JSON makes of them."""
    told: dict[str, Any] = json.loads(json.dumps({name: getattr(entity, name) for name in names}, default=to_plain))
    return told


def from_plain(cls: type[Entity], values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields as an event tells them, as the entity takes them: the way back from :func:`plain_fields`."""
    return {
        name: None if value is None else _MEANT.get(cls.kinds[name].name, _same)(value)
        for name, value in values.items()
    }


def _same(value: Any) -> Any:
    return value


_MEANT: Mapping[str, Callable[[Any], Any]] = {
    "day": date.fromisoformat,
    "instant": datetime.fromisoformat,
    "money": lambda told: Money.of(told["amount"], told["currency"]),
    "decimal": Decimal,
    "texts": tuple,
}
