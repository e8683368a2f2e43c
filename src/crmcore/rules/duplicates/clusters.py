"""Clusters: all records of one customer, from the pairs that are the same.

Pairs chain: if the first is the second, and the second the third, the first is the third. That is right until something
contradicts it. So the surest pairs are joined first, and a pair is held apart, and said to be, that would bring under one roof
two different identifying values (two codes 统一社会信用代码), or two records that are suspects because their required fields
aren't close (two sister companies, by a file that has only the name of both).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from crmcore.rules.duplicates.comparers import Comparer
from crmcore.rules.duplicates.forms import Form, Preparing, Values
from crmcore.rules.duplicates.pairs import Pair


@attrs.frozen(kw_only=True)
class Clusters:
    """``groups`` are the ids of one customer each, two at least, in order; ``held_apart`` the pairs that would join what contradicts."""

    groups: tuple[tuple[str, ...], ...] = ()
    held_apart: tuple[Pair, ...] = ()


def cluster(
    pairs: Iterable[Pair], records: Mapping[str, Values], *, comparers: Mapping[str, Comparer] | None = None
) -> Clusters:
    """The records that the pairs of the tier ``same`` bring together; the same in whatever order the pairs come.

    ``records`` are asked for their identifying fields only.
    """
    pairs = list(pairs)
    sure = sorted(
        (pair for pair in pairs if pair.tier == "same"),
        key=lambda pair: (-pair.weights.bits(pair.pattern, pair.rules), pair.one, pair.other),
    )
    if not sure:
        return Clusters()
    against: dict[str, list[str]] = {}
    for pair in pairs:
        if pair.contradictions or (pair.unlike and pair.tier == "suspect"):
            against.setdefault(pair.one, []).append(pair.other)
            against.setdefault(pair.other, []).append(pair.one)
    preparing = Preparing.by(sure[0].rules, comparers)
    identifying = [place for place, rule in enumerate(preparing.rules.fields) if rule.identifies]
    above: dict[str, str] = {}
    known: dict[str, list[set[str]]] = {}
    members: dict[str, list[str]] = {}

    def top(id: str) -> str:
        while (higher := above[id]) != id:
            above[id] = above[higher]
            id = higher
        return id

    for id in sorted({id for pair in sure for id in (pair.one, pair.other)}):
        above[id], members[id] = id, [id]
        known[id] = [_values(preparing.form(place, records.get(id, {}))) for place in identifying]
    held_apart = []
    for pair in sure:
        one, other = sorted((top(pair.one), top(pair.other)))
        if one == other:
            continue
        fewer, more = sorted((one, other), key=lambda id: len(members[id]))
        if any(
            here and there and here.isdisjoint(there) for here, there in zip(known[one], known[other], strict=True)
        ) or any(above.get(foe) and top(foe) == more for id in members[fewer] for foe in against.get(id, ())):
            held_apart.append(pair)
            continue
        above[other] = one
        members[one] += members.pop(other)
        known[one] = [here | there for here, there in zip(known[one], known.pop(other), strict=True)]
    groups = sorted(tuple(sorted(group)) for group in members.values() if len(group) > 1)
    return Clusters(groups=tuple(groups), held_apart=tuple(held_apart))


def _values(form: Form) -> set[str]:
    return set() if form is None else {form} if isinstance(form, str) else set(form)
