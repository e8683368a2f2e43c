"""What is left of a record, and of what is told of it, once a person's data are erased from it 删除个人信息.

What counts, sorts and dates a record stays (choices, amounts, days, owners, stages), so that reports say the same as before; texts
that a person wrote of a person are replaced by a word, so that a field that was filled is still filled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from crmcore.domain import Contact, Customer
from crmcore.domain.entity import Entity
from crmcore.domain.fields import Kind

ERASED = "已删除"
"""What stands where something was."""

#: Texts that are no person's but the team's own words, by the name of the field; ids and users are among them.
_KEPT = frozenset(
    {
        "id",
        "created_by",
        "updated_by",
        "number",
        "stage",
        "pipeline",
        "tier",
        "owner",
        "registrar",
        "recorder",
        "responsible",
        "assignee",
        "collaborator",
        "collaborators",
        "industry",
        "source",
        "topic",
        "type",
        "product",
        "purpose",
        "cycle",
        "channel",
        "media_type",
        "sample",
        "checked_by",
        "wrong_fields",
    }
)
#: Kept texts that name nothing but records, users and words of the playbook: nobody writes a name there.
_NEVER_NAMING = _KEPT - {"industry", "source", "topic", "type", "product", "channel"}
#: What is compared when duplicates are sought: a word that many have would make them one.
_COMPARED = frozenset({"uscc", "wechat"})

Scrub = Callable[[str], str]
"""A text without what names a person."""


def is_kept(name: str) -> bool:
    """Whether a text of that name stays, but for what names the person."""
    return name in _KEPT or name.endswith("_id")


def scrubbing(identifiers: Iterable[str]) -> Scrub:
    """Replaces names, addresses and telephone numbers wherever they stand in a text, in any case.

    A telephone number is found also with blanks, hyphens, dots or brackets between its digits, and behind a country code. A
    name is found as it is written; a part of it (王总 for 王磊) is not. What is shorter than two characters is not looked for.
    """
    parts = [part for given in sorted(set(identifiers), key=len, reverse=True) if (part := _pattern(given.strip()))]
    if not parts:
        return lambda text: text
    found = re.compile("|".join(parts), re.IGNORECASE)
    return lambda text: found.sub(ERASED, text)


def _pattern(given: str) -> str | None:
    digits = re.sub(r"\D", "", given)
    if len(digits) >= 5 and not re.search(r"[^\d\s()\-.+]", given):
        digits = digits.removeprefix("0086")
        digits = digits[2:] if digits.startswith("86") and len(digits) == 13 else digits
        return r"(?<!\d)" + r"[\s\-.()]{0,2}".join(digits) + r"(?!\d)"
    return re.escape(given) if len(given) >= 2 and given != ERASED else None


def is_erased(record: Customer | Contact) -> bool:
    """Whether a person's data were erased from the record."""
    return record.name == (f"{ERASED}{record.number}" if isinstance(record, Customer) else ERASED)


def identifiers_of(record: Customer | Contact) -> list[str]:
    """By what a text names a person: a contact, or a customer that is one."""
    if isinstance(record, Contact):
        return [record.name, *record.phones, *record.emails, *([record.wechat] if record.wechat else [])]
    if record.kind != "individual":
        return []
    named = [record.name, record.short_name, record.uscc, record.address, *record.decision_makers]
    return [one for one in named if one]


def erased_values(entity: Entity, scrub: Scrub) -> dict[str, Any]:
    """The fields of a record that change when its person is erased, and what they are then."""
    changes: dict[str, Any] = {}
    for name, kind in type(entity).kinds.items():
        old = getattr(entity, name)
        new = _erased(name, kind, old, scrub, entity.id)
        if isinstance(entity, Customer) and name == "name":
            new = f"{ERASED}{entity.number}"
        if new != old:
            changes[name] = new
    return changes


def scrubbed_values(entity: Entity, scrub: Scrub) -> dict[str, Any]:
    """The fields of a record that name the person, and what they are without."""
    changes: dict[str, Any] = {}
    for name in type(entity).kinds:
        old = getattr(entity, name)
        new = old if name in _NEVER_NAMING or name.endswith("_id") else _scrubbed(old, scrub)
        if new != old:
            changes[name] = new
    return changes


def erased_changes(cls: type[Entity] | None, id: str, changes: Mapping[str, Any], scrub: Scrub) -> dict[str, Any]:
    """What an event tells of a record's changes once its person is erased: the same fields, before and after."""
    kinds = cls.kinds if cls is not None else {}
    told: dict[str, Any] = {}
    for name, pair in changes.items():
        kind = kinds.get(name)
        told[name] = [
            _scrubbed(value, scrub) if kind is None else _erased(name, kind, value, scrub, id) for value in pair
        ]
    return told


def scrubbed_changes(changes: Mapping[str, Any], scrub: Scrub) -> dict[str, Any]:
    """What an event tells without what names the person."""
    return {
        name: list(pair) if name in _NEVER_NAMING or name.endswith("_id") else _scrubbed(list(pair), scrub)
        for name, pair in changes.items()
    }


def scrubbed_content(content: Any, scrub: Scrub) -> Any:
    """What JSON can say, without what names the person."""
    return _scrubbed(content, scrub)


def _erased(name: str, kind: Kind, value: Any, scrub: Scrub, id: str) -> Any:
    """A value in place of one that a field holds, or that an event tells as JSON."""
    if value is None or kind.name not in ("text", "texts", "custom"):
        return value
    if kind.name == "custom":
        return {key: _blank(one) for key, one in value.items()} if value else value
    if name in _NEVER_NAMING or name.endswith("_id"):
        return value
    if is_kept(name):
        return _scrubbed(value, scrub)
    if name in _COMPARED:
        return f"{ERASED}-{id}"
    if isinstance(value, str):
        return ERASED
    return type(value)([ERASED]) if value else value


def _blank(value: Any) -> Any:
    return ERASED if isinstance(value, str) else type(value)()


def _scrubbed(value: Any, scrub: Scrub) -> Any:
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, (list, tuple)):
        return type(value)(_scrubbed(one, scrub) for one in value)
    if isinstance(value, Mapping):
        return {key: _scrubbed(one, scrub) for key, one in value.items()}
    return value
