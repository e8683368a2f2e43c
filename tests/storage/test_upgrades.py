"""Steps from format to format: put together they do what they do one by one, and nothing goes without being named."""

from __future__ import annotations

import datetime
from collections import Counter
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmcore.domain.policies import Label
from crmcore.errors import SchemaMismatch
from crmcore.storage import Collection, Field, Insert, Row, Schema
from crmcore.storage.codec import SCHEMA
from crmcore.storage.memory import MemoryData, MemoryStore
from crmcore.storage.upgrades import STEPS, Step, fault_of, plan
from crmcore.testing import strategies

SAYS = Label(zh="变更", en="change")
HEAD = (Field("id", "text", nullable=False), Field("version", "integer", nullable=False))


def collection(name: str, *fields: Field, unique: tuple[tuple[str, ...], ...] = ()) -> Collection:
    return Collection(name=name, fields=(*HEAD, *fields), unique=unique)


PEOPLE_1 = collection(
    "people", Field("name", "text", nullable=False), Field("fax", "text"), Field("size", "integer"), unique=(("name",),)
)
VISITS = collection("visits", Field("person_id", "text", nullable=False), Field("on", "date", nullable=False))
SCRAPS = collection("scraps", Field("text", "text"))
PEOPLE_2 = collection(
    "people",
    Field("nick", "text"),
    Field("full_name", "text", nullable=False),
    Field("size", "integer"),
    unique=(("full_name",),),
)
NUMBERS = collection("numbers", Field("person_id", "text", nullable=False), Field("number", "text", nullable=False))
MEETINGS = collection(
    "meetings",
    Field("person_id", "text", nullable=False),
    Field("on", "date", nullable=False),
    Field("year", "integer", nullable=False),
)
PEOPLE_4 = attrs.evolve(PEOPLE_2, fields=(*PEOPLE_2.fields[:-1], Field("scale", "text", nullable=False)))

CHAIN = (
    Step(
        source=1,
        says=SAYS,
        shapes=[PEOPLE_2, NUMBERS],
        renamed={"people.name": "full_name"},
        gone={"people.fax": "now in numbers"},
        extra={
            "people": lambda old: (
                [("numbers", {"id": f"{old['id']}/fax", "version": 1, "person_id": old["id"], "number": old["fax"]})]
                if old["fax"]
                else []
            )
        },
    ),
    Step(
        source=2,
        says=SAYS,
        shapes=[MEETINGS],
        renamed={"visits": "meetings"},
        computed={"meetings.year": lambda old: old["on"].year},  # type: ignore[union-attr]
    ),
    Step(
        source=3,
        says=SAYS,
        shapes=["people"],
        gone={"scraps": "nobody read them", "people.size": "now the scale"},
        computed={"people.scale": lambda old: "large" if (old["size"] or 0) > 100 else "small"},  # type: ignore[operator]
    ),
)
FIRST = Schema.of(1, [PEOPLE_1, VISITS, SCRAPS])
SECOND = Schema.of(2, [PEOPLE_2, VISITS, SCRAPS, NUMBERS])
THIRD = Schema.of(3, [PEOPLE_2, MEETINGS, SCRAPS, NUMBERS])
FOURTH = Schema.of(4, [PEOPLE_4, MEETINGS, NUMBERS])
CHAINED = (FIRST, SECOND, THIRD, FOURTH)


def drawn_rows(schema: Schema) -> st.SearchStrategy[tuple[str, Row]]:
    return st.one_of(
        strategies.rows(shape).map(lambda row, name=name: (name, row)) for name, shape in schema.collections.items()
    )


def one_by_one(name: str, row: Row) -> list[Insert]:
    made = [Insert(name, row)]
    for before, after, step in zip(CHAINED, CHAINED[1:], CHAIN, strict=False):
        way = plan(before, after, [step])
        made = [new for old in made for new in way.of_row(*old)]
    return made


@given(drawn_rows(FIRST))
def test_steps_in_a_row_do_what_they_do_one_by_one(drawn: tuple[str, Row]) -> None:
    assert list(plan(FIRST, FOURTH, CHAIN).of_row(*drawn)) == one_by_one(*drawn)


@given(st.lists(drawn_rows(FIRST), unique_by=lambda drawn: (drawn[0], drawn[1][0])))
def test_every_row_of_the_old_schema_gives_rows_that_fit_the_new(drawn: list[tuple[str, Row]]) -> None:
    old: dict[str, dict[str, Row]] = {name: {} for name in FIRST.collections}
    for name, row in drawn:
        old[name][str(row[2] if name == "people" else row[0])] = row
    store = MemoryStore(MemoryData(FOURTH))
    with store.transaction(write=True) as work:
        work.apply(plan(FIRST, FOURTH, CHAIN).rewrite(lambda name: iter(old[name].values())))
        for name, shape in FOURTH.collections.items():
            assert all(fault_of(shape, row) is None for row in work.scan(name))
        assert work.count("people") == len(old["people"])
        assert work.count("meetings") == len(old["visits"])
        assert work.count("numbers") == sum(row[3] is not None for row in old["people"].values())


@given(strategies.rows(PEOPLE_1))
def test_what_moves_is_all_there_afterwards(row: Row) -> None:
    made = plan(FIRST, SECOND, CHAIN).of_row("people", row)
    values = Counter(value for insert in made for value in insert.row)
    assert not Counter([row[2], row[4]]) - values
    assert row[3] is None or values[row[3]]


def test_a_chain_says_what_it_touches_and_what_things_are_called() -> None:
    way = plan(FIRST, FOURTH, CHAIN)
    assert way.names() == {"people": "people", "visits": "meetings", "scraps": None}
    assert way.changed == {"people", "meetings"}
    assert way.touched == {"people", "meetings", "numbers"}
    assert plan(SECOND, FOURTH, CHAIN).touched == {"people", "meetings"}
    assert (way.source, way.target) == (FIRST, FOURTH)
    assert plan(FOURTH, FOURTH, CHAIN).steps == ()


@st.composite
def made_up_steps(draw: st.DrawFn) -> tuple[Collection, Collection, Step]:
    """A collection, what a step makes of it, and the step: fields renamed, dropped, added, in another order."""
    types = st.sampled_from(["text", "integer", "boolean", "date", "instant", "decimal"])
    fields = [Field(f"f{number}", type) for number, type in enumerate(draw(st.lists(types, min_size=1, max_size=6)))]
    names = [field.name for field in fields]
    gone = draw(st.sets(st.sampled_from(names)))
    renamed = draw(st.sets(st.sampled_from(names))) - gone
    new = [
        attrs.evolve(field, name=f"new_{field.name}") if field.name in renamed else field
        for field in fields
        if field.name not in gone
    ]
    added = [Field(f"added{number}", type) for number, type in enumerate(draw(st.lists(types, max_size=2)))]
    after = draw(st.permutations([*new, *added]))
    step = Step(
        source=1,
        says=SAYS,
        shapes=[collection("things", *after)],
        renamed={f"things.{name}": f"new_{name}" for name in renamed},
        gone={f"things.{name}": "no longer asked for" for name in gone},
    )
    return collection("things", *fields), collection("things", *after), step


@given(made_up_steps(), st.data())
def test_no_step_drops_what_it_does_not_name(made: tuple[Collection, Collection, Step], data: st.DataObject) -> None:
    old, new, step = made
    row = data.draw(strategies.rows(old))
    (insert,) = plan(Schema.of(1, [old]), Schema.of(2, [new]), [step]).of_row("things", row)
    before = dict(zip(old.positions, row, strict=True))
    after = dict(zip(new.positions, insert.row, strict=True))
    kept = {step.renamed.get(f"things.{name}", name): value for name, value in before.items()}
    for name, value in after.items():
        assert value == (None if name.startswith("added") else kept[name])
        assert type(value) is type(None if name.startswith("added") else kept[name])
    assert {f"things.{name}" for name in before if step.renamed.get(f"things.{name}", name) not in after} == set(
        step.gone
    )


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({}, "people.fax ends, and nothing says why"),
        ({"gone": {"people.fax": "x"}}, "people.name ends, and nothing says why"),
        (
            {"renamed": {"people.name": "full_name"}, "gone": {"people.fox": "x"}},
            "people.fox is named, and isn't there",
        ),
        ({"computed": {"people.height": len}}, "people.height is named, and isn't there"),
        ({"extra": {"guests": len}}, "guests is named, and isn't there"),
        ({"gone": {"people.fax": "x", "people.name": "y"}}, "people.full_name is new and has no value"),
    ],
)
def test_a_step_that_would_lose_something_without_a_word_is_refused(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        plan(FIRST, SECOND, [Step(source=1, says=SAYS, shapes=[PEOPLE_2, NUMBERS], **options)])


@pytest.mark.parametrize("field", [Field("size", "text"), Field("size", "integer", nullable=False)])
def test_a_field_that_asks_for_other_values_must_be_computed(field: Field) -> None:
    after = attrs.evolve(PEOPLE_1, fields=(*PEOPLE_1.fields[:-1], field))
    step = Step(source=1, says=SAYS, shapes=[after])
    target = Schema.of(2, [after, VISITS, SCRAPS])
    with pytest.raises(ValueError, match=r"people\.size asks for other values than there were"):
        plan(FIRST, target, [step])
    plan(FIRST, target, [attrs.evolve(step, computed={"people.size": lambda old: "x" if field.type == "text" else 1})])


def test_a_step_leads_to_this_programs_fields_or_nothing_is_done() -> None:
    with pytest.raises(SchemaMismatch, match="other fields than this program has, in scraps"):
        plan(FIRST, Schema.of(2, [PEOPLE_2, VISITS, NUMBERS]), CHAIN)
    with pytest.raises(SchemaMismatch, match="no step leads on from format 4"):
        plan(FIRST, Schema.of(5, FOURTH.collections.values()), CHAIN)
    with pytest.raises(SchemaMismatch, match="a newer crmcore is needed"):
        plan(FOURTH, THIRD, CHAIN)


def failing(old: Any) -> Any:
    raise ValueError(f"{old['name']} is odd")


@pytest.mark.parametrize("make", [failing, lambda old: 1, lambda old: None, lambda old: ""])
def test_a_row_that_a_step_cannot_take_is_named_by_its_id_alone(make: Any) -> None:
    shape = collection("people", Field("name", "text", nullable=False))
    step = Step(source=1, says=SAYS, shapes=[shape], computed={"people.name": make})
    old = collection("people", Field("name", "text"))
    with pytest.raises(SchemaMismatch) as caught:
        list(plan(Schema.of(1, [old]), Schema.of(2, [shape]), [step]).of_row("people", ("7", 1, "secret")))
    assert caught.value.details["id"] == "7"
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("type", "value"),
    [
        ("text", 1),
        ("text", ""),
        ("integer", True),
        ("integer", 2**63),
        ("boolean", 1),
        ("date", datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)),
        ("instant", datetime.datetime(2026, 1, 1)),
        ("instant", datetime.datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=datetime.UTC)),
        ("decimal", 1.5),
    ],
)
def test_values_of_another_type_do_not_fit(type: Any, value: Any) -> None:
    shape = collection("things", Field("value", type))
    assert fault_of(shape, ("1", 1, value)) == "value"
    assert fault_of(shape, ("1", 1, None)) is None
    assert fault_of(shape, ("1", 1)) == "number of fields"
    assert fault_of(shape, (None, 1, None)) == "id"


def test_each_format_up_to_this_one_has_one_step() -> None:
    sources = [step.source for step in STEPS]
    assert sources == list(range(1, len(sources) + 1))
    assert set(range(1, SCHEMA.version)) <= set(sources)
