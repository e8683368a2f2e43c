"""How a problem of a playbook is said: ``key path: what is wrong and what is allowed``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

from crmcore.domain.duration import Duration
from crmcore.domain.playbook import FIELD_KINDS, Playbook
from crmcore.domain.policies import Label
from crmcore.domain.values import fold

_FLAG_WORDS = ("true", "false")
_CENTURY: Mapping[str, int] = {
    "minutes": 52_560_000,
    "hours": 876_000,
    "days": 36_500,
    "months": 1_200,
    "working_hours": 876_000,
    "working_days": 36_500,
}


def unknown(what: str, word: str, allowed: Iterable[str]) -> str:
    """Says that a word is not one of those allowed, and which it may have been meant for."""
    known = sorted(allowed)
    close = get_close_matches(word, known, n=1)
    meant = f"; did you mean {close[0]}?" if close else ""
    listed = f" Allowed: {', '.join(known) or 'none'}." if len(known) <= 40 else ""
    return f"there is no {what} {word!r}{meant or '.' * bool(listed)}{listed}"


def bad_labels(path: str, label: Label) -> Iterator[str]:
    """Blank labels and aliases."""
    for language in ("zh", "en"):
        if not getattr(label, language).strip():
            yield f"{path}.{language}: a label can't be blank"
    if any(not alias.strip() for alias in label.aliases):
        yield f"{path}.aliases: an alias can't be blank"


def bad_keys(path: str, keys: Iterable[str]) -> Iterator[str]:
    """Keys that are no names, or are there twice."""
    seen: set[str] = set()
    for key in keys:
        if not key.isidentifier():
            yield f"{path}.{key}: a key is made of letters, digits and underscores, and starts with no digit"
        if key in seen:
            yield f"{path}.{key}: is there twice"
        seen.add(key)


def too_long(path: str, length: Duration | None) -> Iterator[str]:
    """A length after which nobody is there any more to do anything."""
    if length is not None and length.amount > _CENTURY[length.unit]:
        yield f"{path}: must be at most 100 years, so that it can be due"


def unknown_fields(path: str, fields: Iterable[str], allowed: Iterable[str]) -> Iterator[str]:
    """Fields that are not among those allowed."""
    known = set(allowed)
    for field in fields:
        if field not in known:
            yield f"{path}: {unknown('field', field, known)}"


def ambiguous(path: str, labels: Mapping[str, Label]) -> Iterator[str]:
    """Spellings that mean two keys, compared as the playbook compares them."""
    claimed: dict[str, str] = {}
    for key, label in labels.items():
        for spelling in (key, *label.spellings):
            first = claimed.setdefault(fold(spelling), key)
            if first != key:
                yield f"{path}.{key}: {spelling!r} already means {first}"


def values_of(playbook: Playbook, field: str) -> tuple[str, ...]:
    """The only values that a field can have; empty where anything goes."""
    if field == "opportunity.stage":
        return tuple(stage.key for graph in playbook.pipelines.values() for stage in graph.stages)
    if field in ("customer.tier", "customer.stage"):
        return tuple(playbook.vocabulary(field))
    return fixed_values(field)


def fixed_values(field: str) -> tuple[str, ...]:
    """The values that the domain fixes for a field; empty where it doesn't."""
    kind = FIELD_KINDS.get(field)
    if kind is None:
        return ()
    return _FLAG_WORDS if kind.name == "flag" else kind.choices
