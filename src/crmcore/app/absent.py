"""Taking records off the lists, and bringing them back exactly as they were.

A record that is absent is in no collection that a list, a report or a workbook reads: it lies as JSON text, in pieces, in
``absent_records``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from crmcore.app.work import Work
from crmcore.domain import ENTITIES, AbsentRecord, Entity
from crmcore.errors import StoreCorrupt
from crmcore.storage.codec import CODECS
from crmcore.storage.query import And, Eq
from crmcore.storage.schema import FieldType, Row, Scalar

#: The longest piece. As ASCII it has as many bytes, so that a piece that is encrypted still fits into one text.
LONGEST = 24_000

_BY_NAME: Mapping[str, type[Entity]] = {cls.entity: cls for cls in ENTITIES}
_OUT: Mapping[FieldType, Callable[[Any], Any]] = {
    "date": date.isoformat,
    "instant": datetime.isoformat,
    "decimal": str,
}
_IN: Mapping[FieldType, Callable[[Any], Any]] = {
    "date": date.fromisoformat,
    "instant": lambda text: datetime.fromisoformat(text).astimezone(UTC),
    "decimal": Decimal,
}


def to_content(entity: Entity) -> dict[str, Any]:
    """The row of a record as JSON can say it: what it holds, by field."""
    codec = CODECS[type(entity)]
    return {
        field.name: _OUT[field.type](value) if field.type in _OUT else value
        for field, value in zip(codec.collection.fields, codec.dump(entity), strict=True)
        if value is not None
    }


def from_content(subject: str, content: Mapping[str, Any]) -> Entity:
    """The record of which :func:`to_content` told. Fields that came to be since are blank."""
    codec = CODECS[_BY_NAME[subject]]

    def value(name: str, type: FieldType) -> Scalar:
        kept = content.get(name)
        return None if kept is None else _IN[type](kept) if type in _IN else kept

    row: Row = tuple(value(field.name, field.type) for field in codec.collection.fields)
    entity: Entity = codec.load(row)
    return entity


def put_away(work: Work, customer_id: str, subject: str, subject_id: str, content: Any, reason: str) -> None:
    """Keeps something that JSON can say beside the lists, under a subject and its id."""
    # A piece may begin or end anywhere: blanks, which a text loses at its ends, are written as what they are not.
    told = json.dumps(content, separators=(",", ":")).replace(" ", "\\u0020")
    for part, start in enumerate(range(0, len(told), LONGEST)):
        work.add(
            AbsentRecord(
                id=f"{subject}:{subject_id}:{part}",
                customer_id=customer_id,
                subject=subject,
                subject_id=subject_id,
                part=part,
                content=told[start : start + LONGEST],
                reason=reason,
                at=work.now,
                by=work.actor,
            ),
            "absent_record.kept",
        )


def kept_content(work: Work, subject: str, subject_id: str) -> Any:
    """What :func:`put_away` keeps; None where there is nothing. Raises :class:`StoreCorrupt` where a piece is missing."""
    return content_of(_parts(work, subject, subject_id))


def give_back(work: Work, subject: str, subject_id: str) -> Any:
    """What :func:`put_away` keeps, which is not kept any longer; None where there is nothing."""
    parts = _parts(work, subject, subject_id)
    for part in parts:
        work.remove(part)
    return content_of(parts)


def rewrite(work: Work, customer_id: str, subject: str, subject_id: str, content: Any, reason: str) -> None:
    """Keeps something else in place of what was put away."""
    for part in _parts(work, subject, subject_id):
        work.remove(part)
    work.flush()  # the new pieces have the ids of the old ones
    put_away(work, customer_id, subject, subject_id, content, reason)


def take_away(work: Work, record: Entity, customer_id: str, reason: str) -> None:
    """Takes a record off the lists, as a part of what a customer's absence took along; ``reason`` is merged or deleted.

    What was merged is still found by its keys.
    """
    put_away(work, customer_id, record.entity, record.id, to_content(record), reason)
    work.remove(record, findable=reason == "merged")


def bring_back(work: Work, subject: str, subject_id: str, action: str = "customer.restored") -> Entity | None:
    """Puts an absent record on the lists again, exactly as it was; None where it isn't absent.

    Plugins are told of it by the action.
    """
    content = give_back(work, subject, subject_id)
    if content is None:
        return None
    record = from_content(subject, content)
    work.add(record, action, recalled=True)
    return record


def absent_subjects(work: Work, customer_id: str) -> Iterator[tuple[str, str]]:
    """Every record that a customer's absence took along: the kind and the id of each."""
    for part in work.find(AbsentRecord, And(Eq("customer_id", customer_id), Eq("part", 0)), ("id",)):
        yield part.subject, part.subject_id


def _parts(work: Work, subject: str, subject_id: str) -> list[AbsentRecord]:
    return work.find(AbsentRecord, And(Eq("subject", subject), Eq("subject_id", subject_id)), ("part",))


def content_of(parts: list[AbsentRecord]) -> Any:
    """What the pieces of one record say together, in their order; None where there are none."""
    if not parts:
        return None
    try:
        if [part.part for part in parts] != list(range(len(parts))):
            raise ValueError("a piece is missing")
        return json.loads("".join(part.content for part in parts))
    except ValueError:
        told = "an absent record can't be read; look with: crmcore check"
        raise StoreCorrupt(told, collection="absent_records", id=parts[0].id) from None
