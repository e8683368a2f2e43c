"""Entities to rows and back: the generated functions against the entities' own constructors."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmcore.domain import ENTITIES, Customer, Entity, FrozenMap, Money
from crmcore.domain.values import fold
from crmcore.storage import Collection, Insert, Row
from crmcore.storage.codec import CODECS, SCHEMA, SEALED, codec_of, collection_of, schema_of, to_plain
from crmcore.storage.memory import MemoryData, MemoryStore
from crmcore.testing import strategies

PYTHON = {"text": str, "integer": int, "boolean": bool, "date": date, "instant": datetime, "decimal": Decimal}

of_any_entity = st.sampled_from(ENTITIES).flatmap(strategies.entities)


def columns(entity: Entity) -> dict[str, Any]:
    """What each field is kept as, said again the slow way."""
    kept: dict[str, Any] = {}
    for name, kind in entity.kinds.items():
        value = getattr(entity, name)
        if kind.name == "money":
            kept[name] = None if value is None else value.minor
            kept[f"{name}_currency"] = None if value is None else value.currency
        elif kind.name in ("texts", "custom"):
            kept[name] = (
                json.dumps(
                    dict(value) if kind.name == "custom" else list(value), ensure_ascii=False, separators=(",", ":")
                )
                if value
                else None
            )
        else:
            kept[name] = value
        if kind.folded:
            kept[f"{name}_key"] = fold(value)
    return kept


def assert_fits(row: Row, collection: Collection) -> None:
    assert len(row) == len(collection.fields)
    for field, value in zip(collection.fields, row, strict=True):
        assert type(value) is PYTHON[field.type] or (value is None and field.nullable), field


@settings(max_examples=200)
@given(entity=of_any_entity)
def test_an_entity_comes_back_from_its_row(entity: Entity) -> None:
    codec = CODECS[type(entity)]
    row = codec.dump(entity)
    assert_fits(row, codec.collection)
    named = dict(zip(codec.collection.positions, row, strict=True))
    assert named.pop(SEALED, None) is None
    assert named == columns(entity)
    loaded = codec.load(row)
    assert type(loaded) is type(entity)
    assert loaded == entity
    given = {field.name: getattr(entity, field.name) for field in attrs.fields(type(entity))}
    assert loaded == type(entity)(**given)
    assert codec.dump(loaded) == row


@settings(max_examples=30)
@given(entities=st.lists(of_any_entity, max_size=4, unique_by=lambda entity: entity.id))
def test_entities_come_back_from_a_store(entities: list[Entity]) -> None:
    store = MemoryStore(
        MemoryData(
            attrs.evolve(SCHEMA, collections={n: attrs.evolve(c, unique=()) for n, c in SCHEMA.collections.items()})
        )
    )
    with store.transaction(write=True) as work:
        work.apply(Insert(entity.collection, CODECS[type(entity)].dump(entity)) for entity in entities)
    with store.transaction() as work:
        for entity in entities:
            row = work.get(entity.collection, entity.id)
            assert row is not None
            assert CODECS[type(entity)].load(row) == entity


@settings(max_examples=100)
@given(entity=of_any_entity)
def test_an_entity_is_plain_json(entity: Entity) -> None:
    plain = to_plain(entity)
    assert json.loads(json.dumps(plain, ensure_ascii=False)) == plain
    assert list(plain) == list(entity.kinds)
    for name, kind in entity.kinds.items():
        value = getattr(entity, name)
        if value is None:
            assert plain[name] is None
        elif kind.name == "money":
            assert plain[name]["currency"] == value.currency
            assert Money.of(plain[name]["amount"], value.currency) == value
        elif kind.name == "instant":
            assert datetime.fromisoformat(plain[name]) == value
        elif kind.name == "day":
            assert date.fromisoformat(plain[name]) == value


def test_what_may_be_none_says_so() -> None:
    wrong = [
        f"{cls.entity}.{field.name}"
        for cls in ENTITIES
        for field in attrs.fields(cls)
        for kind in [cls.kinds[field.name]]
        if ("None" in str(field.type)) is (kind.required or kind.default is not None)
    ]
    assert wrong == []


def test_money_reads_as_people_write_it() -> None:
    assert to_plain(Money.of("1234.50", "CNY")) == {"amount": "1234.50", "currency": "CNY"}
    assert to_plain(Money(5, "JPY")) == {"amount": "5", "currency": "JPY"}
    assert to_plain(Money(2**63 - 1, "CNY"))["amount"] == "92233720368547758.07"


@pytest.mark.parametrize("cls", ENTITIES, ids=lambda cls: cls.__name__)
def test_a_collection_follows_from_its_entity(cls: type[Entity]) -> None:
    collection = collection_of(cls)
    assert collection == SCHEMA.collection(cls.collection) == codec_of(cls).collection
    assert [field.name for field in collection.fields[:2]] == ["id", "version"]
    assert not collection.fields[0].nullable
    names = [field.name for field in collection.fields]
    assert len(set(names)) == len(names)
    for name, kind in cls.kinds.items():
        assert collection.field(name).nullable is (
            not kind.required and (kind.default is None or kind.name in ("texts", "custom"))
        )
        assert (f"{name}_key" in names) is kind.folded
        assert (f"{name}_currency" in names) is (kind.name == "money")
    assert set(cls.unique) == set(collection.unique)
    assert set(cls.indexes) == set(collection.indexes)


def test_the_schema_tells_its_formats_apart() -> None:
    assert schema_of(ENTITIES).fingerprint == SCHEMA.fingerprint
    assert schema_of(ENTITIES[1:]).fingerprint != SCHEMA.fingerprint
    fields, unique = json.loads(SCHEMA.fingerprint)["customers"]
    assert (fields[0], unique) == (["id", "text", False], [["number"]])


def test_what_is_empty_is_none_in_the_row() -> None:
    now = datetime(2024, 1, 31, tzinfo=UTC)
    customer = Customer(
        id="1", number="1", name="示例 Ltd", stage="lead", stage_since=now,
        created_at=now, created_by="li", updated_at=now, updated_by="li", custom=FrozenMap({}),
    )  # fmt: skip
    row = dict(zip(SCHEMA.collection("customers").positions, CODECS[Customer].dump(customer), strict=True))
    assert row["tags"] is None
    assert row["custom"] is None
    assert row["name_key"] == "示例ltd"
    assert row["annual_revenue"] is row["annual_revenue_currency"] is None
