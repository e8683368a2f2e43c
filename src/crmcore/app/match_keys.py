"""Keeping the keys by which a customer is found again equal to what the customers and their contacts say."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence

from crmcore.domain import Contact, Customer, Entity, MatchKey, Setting
from crmcore.rules.normalisation import Normaliser, match_keys
from crmcore.storage.codec import CODECS
from crmcore.storage.contract import Change, Delete, Insert, Transaction, Update
from crmcore.storage.query import Gt, In, Query
from crmcore.storage.schema import Row

#: The setting that tells by whose forms the kept keys were made.
MADE_BY = "match_keys"
#: The most of a value that is kept; what is longer is compared by its beginning.
LONGEST = 1000
BATCH = 500

_SHAPE = CODECS[MatchKey].collection
_SUBJECT_ID = _SHAPE.position("subject_id")


def key_rows(entity: Entity | None, normaliser: Normaliser) -> list[Row]:
    """The keys of a customer or a contact, as they are kept; none of anything else."""
    if not isinstance(entity, (Customer, Contact)):
        return []
    whose = entity.id if isinstance(entity, Customer) else entity.customer_id
    counted: dict[str, int] = {}
    rows: list[Row] = []
    for kind, value in match_keys(entity, normaliser):
        place = counted[kind] = counted.get(kind, -1) + 1
        rows.append((f"{entity.id}:{kind}:{place}", 1, whose, entity.entity, entity.id, kind, value[:LONGEST]))
    return rows


def key_changes(
    transaction: Transaction,
    changed: Iterable[tuple[Entity | None, Entity | None]],
    normaliser: Normaliser,
    known_ids: Container[str] = (),
) -> Iterator[Change]:
    """What keeps the keys in step with changes: pairs of before (None: new) and after (None: gone).

    New ones need no look, but for ``known_ids``, which may have keys already.
    """
    known: list[tuple[Entity, list[Row]]] = []
    for before, after in changed:
        if before is None and after is not None and after.id in known_ids:
            known.append((after, key_rows(after, normaliser)))
        elif before is None:
            for row in key_rows(after, normaliser):
                yield Insert("match_keys", row)
        elif isinstance(before, (Customer, Contact)):
            wanted = key_rows(after, normaliser)
            if wanted != key_rows(before, normaliser):
                known.append((before, wanted))
    yield from _brought_in_line(transaction, known)


def _brought_in_line(transaction: Transaction, known: Sequence[tuple[Entity, list[Row]]]) -> Iterator[Change]:
    """The changes that leave exactly the wanted keys of each customer or contact, which is given as it was."""
    for start in range(0, len(known), BATCH):
        some = known[start : start + BATCH]
        kept: dict[object, list[Row]] = {entity.id: [] for entity, _ in some}
        for row in transaction.find(Query("match_keys", In("subject_id", tuple(entity.id for entity, _ in some)))):
            kept[row[_SUBJECT_ID]].append(row)
        for entity, wanted in some:
            before = {row[0]: row for row in kept[entity.id]}
            for row in wanted:
                old = before.pop(row[0], None)
                if old is None:
                    yield Insert("match_keys", row)
                elif old[2:] != row[2:]:
                    yield Update("match_keys", (row[0], _version(old) + 1, *row[2:]), _version(old))
            for row in before.values():
                yield Delete("match_keys", str(row[0]), _version(row))


def _version(row: Row) -> int:
    return row[1]  # type: ignore[return-value]


def refresh(
    write: Callable[[Callable[[Transaction], int]], int],
    normaliser: Normaliser,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Makes all keys anew, some customers or contacts per transaction; gives the number of changes."""
    made = 0
    for cls in (Customer, Contact):
        after: str | None = ""
        while after is not None:
            last: list[str] = []

            def some(
                transaction: Transaction, cls: type[Entity] = cls, after: str = after, last: list[str] = last
            ) -> int:
                last.clear()
                query = Query(cls.collection, Gt("id", after) if after else None, ("id",), None, BATCH)
                found = list(map(CODECS[cls].load, transaction.find(query)))
                changes = list(_brought_in_line(transaction, [(one, key_rows(one, normaliser)) for one in found]))
                transaction.apply(changes)
                if len(found) == BATCH:
                    last.append(found[-1].id)
                return len(changes)

            made += write(some)
            if progress:
                progress(made)
            after = last[0] if last else None
    return made


def made_by(transaction: Transaction) -> str | None:
    """By whose forms the kept keys were made; None in a store that never had any."""
    row = transaction.get("settings", MADE_BY)
    return None if row is None else str(CODECS[Setting].load(row).value)
