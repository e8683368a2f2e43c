"""Whether a store is whole: as its backend can tell, row by row as the domain knows them, and in what follows from what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import attrs

from crmcore.app.engine import Engine
from crmcore.app.obligations import Obligations
from crmcore.domain import ENTITIES, AbsentRecord, Alias, Customer, Entity, Event, Opportunity
from crmcore.domain.event import UNDONE, changes_of
from crmcore.errors import Invalid, Language, SchemaMismatch, StoreCorrupt, language_of
from crmcore.playbooks import Playbook
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Transaction
from crmcore.storage.digest import Digest, overall
from crmcore.storage.query import Eq, Query
from crmcore.storage.schema import Row
from crmcore.storage.upgrades import fault_of

Kind = Literal["store", "row", "value", "playbook", "reference", "obligations"]
Progress = Callable[[str, int], None]
"""Told what is being looked at: the collection, and how many rows of it so far."""
_TOLD_EVERY = 1000

_TEXTS: Mapping[Kind, tuple[str, str]] = {
    "store": ("the store itself: {told}", "存储自检:{told}"),
    "row": ("{collection}, {id}: {field} can't be read", "{collection},{id}:{field}无法读取"),
    "value": ("{collection}, {id}: {field} holds what may not stand there", "{collection},{id}:{field}的内容不合规则"),
    "playbook": (
        "{collection}, {id}: {field} holds what the playbook doesn't know",
        "{collection},{id}:{field}的内容不在方案之内",
    ),
    "reference": (
        "{collection}, {id}: {field} names a record that isn't there",
        "{collection},{id}:{field}所指的记录不存在",
    ),
    "obligations": (
        "what is owed is not what follows from what happened: {told}; crmcore recompute brings it in line",
        "待办事项与历史记录推算的不一致:{told};可用 crmcore recompute 修正",
    ),
}

#: Which collection a field names a record of.
_REFERENCES: Mapping[str, str] = {
    "customer_id": "customers",
    "referrer_id": "customers",
    "referred_id": "customers",
    "opportunity_id": "opportunities",
    "order_id": "orders",
    "plan_id": "follow_up_plans",
    "follow_up_id": "follow_ups",
}
_MAY_NAME_ABSENT = frozenset(("event", "absent_record", "outbox_message", "alias", "erasure"))


@attrs.frozen(kw_only=True)
class Finding:
    """One thing that is wrong: in which row and field it lies, never what stands there."""

    kind: Kind
    collection: str | None = None
    id: str | None = None
    field: str | None = None
    told: str | None = None

    def text(self, language: Language = "en") -> str:
        """The finding for a reader. What a store's own check says is told as it says it."""
        english, chinese = _TEXTS[self.kind]
        return (english if language_of(language) == "en" else chinese).format_map(attrs.asdict(self))


@attrs.frozen(kw_only=True)
class Checked:
    """What a check came to: what is wrong, and rows and digest by collection, with one digest of them all."""

    findings: tuple[Finding, ...]
    rows: Mapping[str, int]
    digests: Mapping[str, str]
    digest: str | None
    """None where the rows can't all be read."""
    outdated: bool
    """Whether the playbook's rules have changed since what is owed was worked out; then it isn't compared."""


def check(engine: Engine, progress: Progress | None = None) -> Checked:
    """Looks through the whole store, which others may use meanwhile; writes nothing.

    Every row must be readable, hold what the domain would take, stand at stages and tiers of the playbook, and name records
    that are there; what is owed must be what the rules derive from what happened.
    """
    findings = [Finding(kind="store", told=told) for told in engine.store.check()]
    digests: dict[str, Digest] = {}
    try:
        with engine.store.transaction() as transaction:
            for cls in ENTITIES:
                digests[cls.collection] = Digest(CODECS[cls].collection)
                findings += _looked_through(cls, transaction, digests[cls.collection], progress)
            findings += _unknown(engine.playbook, transaction)
            findings += _dangling(transaction)
        outdated = Obligations(engine, "crmcore").outdated()
        if not outdated and not findings:
            findings += _not_derived(engine)
    except (StoreCorrupt, SchemaMismatch) as damage:
        findings.append(Finding(kind="store", told=str(damage)))
        return Checked(findings=tuple(findings), rows={}, digests={}, digest=None, outdated=False)
    told = {name: digest.hexdigest() for name, digest in digests.items()}
    return Checked(
        findings=tuple(findings),
        rows={name: digest.count for name, digest in digests.items()},
        digests=told,
        digest=overall(told),
        outdated=outdated,
    )


def _looked_through(
    cls: type[Entity], transaction: Transaction, digest: Digest, progress: Progress | None
) -> Iterator[Finding]:
    for row in transaction.scan(cls.collection):
        if fault := fault_of(digest.collection, row):
            yield Finding(kind="row", collection=cls.collection, id=_id(row), field=fault)
            continue
        digest.add(row)
        if progress and not digest.count % _TOLD_EVERY:
            progress(cls.collection, digest.count)
        for field in _faults(cls, row):
            yield Finding(kind="value", collection=cls.collection, id=_id(row), field=field)


def _id(row: Row) -> str | None:
    return row[0] if isinstance(row[0], str) else None


def _faults(cls: type[Entity], row: Row) -> list[str]:
    """The fields with which the domain would not make the record as it is kept."""
    codec = CODECS[cls]
    try:
        entity: Any = codec.load(row)
        made = cls(**{name: getattr(entity, name) for name in cls.kinds})
        if isinstance(entity, Event):
            changes_of(entity)
    except Invalid as problem:
        return [(issue.field or "").partition(".")[2] for issue in problem.issues]
    except StoreCorrupt as damage:
        return [damage.details.get("field") or "changes"]
    again = codec.dump(made)
    return [field.name for field, kept, value in zip(codec.collection.fields, row, again, strict=True) if kept != value]


def _unknown(playbook: Playbook, transaction: Transaction) -> Iterator[Finding]:
    """Stages and tiers that the playbook doesn't have, be it that somebody else wrote them or that it was changed.

    Numbers are let be: an import keeps those of other systems, and a scheme may change.
    """
    stages: dict[Any, tuple[str, ...]] = {key: graph.keys for key, graph in playbook.pipelines.items()}
    tiers = {None, *(tier.key for tier in playbook.tiers)}

    customers, opportunities = (CODECS[cls].collection for cls in (Customer, Opportunity))
    stage, tier = (customers.position(name) for name in ("stage", "tier"))
    for row in transaction.scan(customers.name):
        if row[stage] not in playbook.lifecycle.keys:
            yield Finding(kind="playbook", collection=customers.name, id=_id(row), field="stage")
        if row[tier] not in tiers:
            yield Finding(kind="playbook", collection=customers.name, id=_id(row), field="tier")
    pipeline, stage = (opportunities.position(name) for name in ("pipeline", "stage"))
    for row in transaction.scan(opportunities.name):
        if row[stage] not in stages.get(row[pipeline], ()):
            field = "stage" if row[pipeline] in stages else "pipeline"
            yield Finding(kind="playbook", collection=opportunities.name, id=_id(row), field=field)


def _dangling(transaction: Transaction) -> Iterator[Finding]:
    ids = {name: {row[0] for row in transaction.scan(name)} for name in dict.fromkeys(_REFERENCES.values())}
    absent = CODECS[AbsentRecord].collection.position("subject_id")
    off_the_lists = {row[absent] for row in transaction.scan("absent_records")}
    # Of an absorbed customer that was erased nothing is left but its number.
    absorbed = CODECS[Alias].collection.position("absorbed_id")
    off_the_lists |= {row[absorbed] for row in transaction.scan("aliases")}
    subject = CODECS[Event].collection.position("subject_id")
    taken_back = Query("events", Eq("action", f"customer.{UNDONE}"))
    off_the_lists |= {row[subject] for row in transaction.find(taken_back)}
    for cls in ENTITIES:
        shape = CODECS[cls].collection
        # What tells of what was may name a customer that is off the lists.
        more = off_the_lists if cls.entity in _MAY_NAME_ABSENT else set()
        named = [
            (field, shape.position(field), ids[target] | more)
            for field, target in _REFERENCES.items()
            if field in cls.kinds
        ]
        for row in transaction.scan(cls.collection) if named else ():
            for field, place, known in named:
                if row[place] is not None and row[place] not in known:
                    yield Finding(kind="reference", collection=cls.collection, id=_id(row), field=field)


def _not_derived(engine: Engine) -> Iterator[Finding]:
    found = Obligations(engine, "crmcore").recompute(dry_run=True)
    if found.begun or found.changed or found.gone:
        yield Finding(kind="obligations", told=f"+{found.begun} ~{found.changed} -{found.gone}")
