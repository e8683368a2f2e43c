"""How data of an earlier format become data of this one. Core owns the steps; a store only replaces its rows.

A step goes from one format to the next and says what changes, as data; whatever it doesn't name stays as it is. Steps are
pure, go one way, and are put one behind the other. What the data are kept in is read from the store itself, so no step
repeats what was there before; that the last step leads to exactly this program's schema is checked before anything is
written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TypeAlias

import attrs

from crmcore.domain.policies import Label
from crmcore.errors import SchemaMismatch
from crmcore.storage.contract import Insert, Scan
from crmcore.storage.schema import Collection, FieldType, Row, Scalar, Schema

Record: TypeAlias = Mapping[str, Scalar]
"""A row with the names of its fields."""
Passage: TypeAlias = Callable[[Row], list[tuple[str, Row]]]
"""What becomes of a row of one collection: rows, each with the name of its collection."""


@attrs.frozen(kw_only=True)
class Step:
    """From format ``source`` to the next one.

    Fields are named with their collection, ``customers.fax``: by the new name where they are new or come to be, by the old
    name where they end.
    """

    source: int
    says: Label
    """What changes, for those whose data it is."""
    shapes: Sequence[Collection | str] = ()
    """Collections that are new or whose fields or keys change, each as it is afterwards and whole. A mere name stands for the
    collection as the program has it; the next step that changes it writes it out here."""
    renamed: Mapping[str, str] = attrs.field(factory=dict)
    """New names of fields and of collections, by the old ones."""
    gone: Mapping[str, str] = attrs.field(factory=dict)
    """Fields and collections that end, with where their values went, or why they go. What ends and isn't named is a fault."""
    computed: Mapping[str, Callable[[Record], Scalar]] = attrs.field(factory=dict)
    """Fields whose value is made of the record as it was; other new fields are None."""
    extra: Mapping[str, Callable[[Record], Iterable[tuple[str, Record]]]] = attrs.field(factory=dict)
    """Further records, of the new shapes, that are made of each record of a collection as it was."""


STEPS: Sequence[Step] = (
    Step(
        source=1,
        says=Label(zh="新增通知发件箱", en="notices to be sent get a place of their own"),
        shapes=["outbox"],
    ),
    Step(
        source=2,
        says=Label(
            zh="审计链、加密字段、合并与撤销导入各有其位",
            en="the chain of the audit, encrypted fields, merges and imports that can be undone get places of their own",
        ),
        shapes=[
            "users",
            "customers",
            "contacts",
            "opportunities",
            "orders",
            "instalments",
            "follow_up_plans",
            "follow_ups",
            "objections",
            "feedback",
            "tickets",
            "referrals",
            "attachments",
            "action_plans",
            "events",
            "imported_rows",
            "import_runs",
            "quality_checks",
            "match_keys",
            "absent_records",
            "aliases",
            "judged_pairs",
            "chains",
            "erasures",
        ],
        computed={"imported_rows.outcome": lambda row: "created"},
        # Every store has this setting. The first opening reads the note, and gives the events that are there their places.
        extra={
            "settings": lambda row: (
                [("settings", {"id": "audit", "version": 1, "value": '{"upgraded": true}'})]
                if row["id"] == "playbook"
                else []
            )
        },
    ),
)
"""Every step that there is, the oldest first."""


@attrs.frozen
class Upgrade:
    """Steps in a row, from the schema that data are kept in to another one. Made by :func:`plan`."""

    steps: tuple[Step, ...]
    schemas: tuple[Schema, ...]
    """The schema before each step, and the one after the last."""
    _passages: tuple[Mapping[str, Passage], ...]

    @property
    def source(self) -> Schema:
        """What the data are kept in."""
        return self.schemas[0]

    @property
    def target(self) -> Schema:
        """What they are kept in afterwards."""
        return self.schemas[-1]

    @property
    def changed(self) -> frozenset[str]:
        """The new names of collections of whose old rows a step makes something else."""
        reached: set[str] = set()
        for step, passages in zip(self.steps, self._passages, strict=True):
            reached = {step.renamed.get(name, name) for name in reached | passages.keys()}
        return frozenset(reached & self.target.collections.keys())

    @property
    def touched(self) -> frozenset[str]:
        """The new names of collections into which rows may come that were not in them before."""
        return frozenset(self.target.collections) if any(step.extra for step in self.steps) else self.changed

    def names(self) -> dict[str, str | None]:
        """The new name of each old collection, None of one that ends."""
        names: dict[str, str | None] = {name: name for name in self.source.collections}
        for step, after in zip(self.steps, self.schemas[1:], strict=True):
            renamed = {old: step.renamed.get(name, name) if name else None for old, name in names.items()}
            names = {old: name if name in after.collections else None for old, name in renamed.items()}
        return names

    def rewrite(self, scan: Scan) -> Iterator[Insert]:
        """Every row of the new data, of a scan of the old ones; nothing is held back.

        Raises :class:`SchemaMismatch`, which names collection and id, for a row that a step can't take.
        """
        for name in self.source.collections:
            for row in scan(name):
                yield from self.of_row(name, row)

    def of_row(self, collection: str, row: Row) -> Iterator[Insert]:
        """What becomes of one row."""
        rows = [(collection, row)]
        for number, passages in enumerate(self._passages):
            if any(name in passages for name, _ in rows):
                rows = [made for name, old in rows for made in self._passed(number, passages, name, old)]
        for name, new in rows:
            if fault := fault_of(self.target.collection(name), new):
                raise SchemaMismatch(f"a row that comes to {name} has no fitting {fault}", collection=name, id=row[0])
            yield Insert(name, new)

    def _passed(self, number: int, passages: Mapping[str, Passage], name: str, row: Row) -> Iterable[tuple[str, Row]]:
        if name not in passages:
            return ((name, row),)
        try:
            return passages[name](row)
        except Exception as error:
            # A step's own function: what it says may hold data.
            source = self.steps[number].source
            raise SchemaMismatch(
                f"the step from format {source} to {source + 1} failed on a row of {name} ({type(error).__name__})",
                collection=name,
                id=row[0],
            ) from None


def plan(stored: Schema, target: Schema, steps: Iterable[Step] = STEPS) -> Upgrade:
    """The way from the schema that data are kept in to another one.

    Raises :class:`SchemaMismatch` for newer data, and where no steps lead there, or lead to other fields.
    """
    stored.require_older(target.version)
    known = {step.source: step for step in steps}
    missing = [version for version in range(stored.version, target.version) if version not in known]
    if missing:
        raise SchemaMismatch(
            f"no step leads on from format {missing[0]}", found=stored.version, expected=target.version
        )
    taken = tuple(known[version] for version in range(stored.version, target.version))
    schemas, passages = [stored], []
    for step in taken:
        after = _schema_after(step, schemas[-1], target)
        passages.append(_passages_of(step, schemas[-1], after))
        schemas.append(after)
    if schemas[-1].fingerprint != target.fingerprint:
        differ = [
            name
            for name in sorted(schemas[-1].collections.keys() | target.collections.keys())
            if not _alike(schemas[-1].collections.get(name), target.collections.get(name))
        ]
        raise SchemaMismatch(
            f"the steps lead to other fields than this program has, in {', '.join(differ)}",
            found=stored.version,
            expected=target.version,
        )
    return Upgrade(taken, (*schemas[:-1], target), tuple(passages))


def _alike(one: Collection | None, other: Collection | None) -> bool:
    return one is not None and other is not None and (one.fields, one.unique) == (other.fields, other.unique)


def _schema_after(step: Step, before: Schema, target: Schema) -> Schema:
    """What the data are kept in after a step. Collections keep their order, new ones follow."""
    shapes = {
        shape.name: shape
        for shape in (target.collection(given) if isinstance(given, str) else given for given in step.shapes)
    }
    after: dict[str, Collection] = {}
    for name, collection in before.collections.items():
        new = step.renamed.get(name, name)
        if new in shapes:
            after[new] = shapes.pop(new)
        elif name not in step.gone:
            after[new] = collection if new == name else attrs.evolve(collection, name=new)
    return Schema(before.version + 1, {**after, **shapes})


def _passages_of(step: Step, before: Schema, after: Schema) -> dict[str, Passage]:
    """What becomes of the rows of each collection that the step changes. Raises ValueError that says every fault of the step."""
    faults = [f"{place} is named, and isn't there" for place in _strangers(step, before, after)]
    passages: dict[str, Passage] = {}
    for name, old in before.collections.items():
        new = after.collections.get(step.renamed.get(name, name))
        if new is None and name not in step.gone:
            faults.append(f"{name} ends, and nothing says why")
        elif new is not None:
            faults += _faults(step, old, new)
        if new is None or new is not old or name in step.extra or _computed(step, new):
            passages[name] = _passage(step, old, new, after)
    if faults:
        raise ValueError(f"the step from format {step.source}: {'; '.join(faults)}")
    return passages


def _strangers(step: Step, before: Schema, after: Schema) -> Iterator[str]:
    """Names in the step that the schema doesn't have."""
    for schema, places in ((before, (*step.renamed, *step.gone, *step.extra)), (after, step.computed)):
        for place in places:
            name, _, field = place.partition(".")
            collection = schema.collections.get(name)
            if collection is None or (field and field not in collection.positions):
                yield place


def _faults(step: Step, old: Collection, new: Collection) -> Iterator[str]:
    """What would be lost without a word, and what would have no value."""
    computed, origins = _computed(step, new), _origins(step, old, new)
    for field in old.fields:
        if f"{old.name}.{field.name}" not in step.gone and field.name not in origins.values():
            yield f"{old.name}.{field.name} ends, and nothing says why"
    for field in new.fields:
        if field.name in computed:
            continue
        origin = old.fields[old.positions[origins[field.name]]] if field.name in origins else None
        if origin is None and not field.nullable:
            yield f"{new.name}.{field.name} is new and has no value"
        elif origin is not None and (origin.type != field.type or (origin.nullable and not field.nullable)):
            yield f"{new.name}.{field.name} asks for other values than there were"


def _computed(step: Step, new: Collection) -> dict[str, Callable[[Record], Scalar]]:
    return {
        place.partition(".")[2]: make for place, make in step.computed.items() if place.partition(".")[0] == new.name
    }


def _origins(step: Step, old: Collection, new: Collection) -> dict[str, str]:
    """The old name of each field that is carried over, by its new name."""
    carried = [field.name for field in old.fields if f"{old.name}.{field.name}" not in step.gone]
    origins = {step.renamed.get(f"{old.name}.{name}", name): name for name in carried}
    return {name: origin for name, origin in origins.items() if name in new.positions}


def _passage(step: Step, old: Collection, new: Collection | None, after: Schema) -> Passage:
    names = [field.name for field in old.fields]
    extra = step.extra.get(old.name)
    computed = _computed(step, new) if new else {}
    origins = _origins(step, old, new) if new else {}
    #: Per new field: how to compute it, or the place to take it from, or neither.
    sources = [
        (computed.get(field.name), old.positions[origins[field.name]] if field.name in origins else None)
        for field in (new.fields if new else ())
    ]

    def take(row: Row) -> list[tuple[str, Row]]:
        record: Record = dict(zip(names, row, strict=True)) if computed or extra else {}
        made: list[tuple[str, Row]] = []
        if new:
            values = [
                compute(record) if compute else None if place is None else row[place] for compute, place in sources
            ]
            made.append((new.name, tuple(values)))
        for name, further in extra(record) if extra else ():
            shape = after.collection(name)
            for field in further:
                shape.position(field)
            made.append((name, tuple(further.get(field.name) for field in shape.fields)))
        return made

    return take


_TYPES: Mapping[FieldType, type] = {
    "text": str,
    "integer": int,
    "boolean": bool,
    "date": date,
    "instant": datetime,
    "decimal": Decimal,
}


def fault_of(collection: Collection, row: Row) -> str | None:
    """The first field whose value is of another type than the collection says, or None; it says nothing of the value."""
    if len(row) != len(collection.fields):
        return "number of fields"
    for field, value in zip(collection.fields, row, strict=True):
        if value is None:
            if not field.nullable or field.name in ("id", "version"):
                return field.name
        elif (
            type(value) is not _TYPES[field.type]
            or (isinstance(value, int) and not -(2**63) <= value < 2**63)
            or (isinstance(value, datetime) and (value.utcoffset() is None or value.microsecond % 1000))
            or (isinstance(value, Decimal) and not value.is_finite())
            or value == ""
        ):
            return field.name
    return None
