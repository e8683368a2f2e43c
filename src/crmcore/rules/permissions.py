"""Who may do what (002, 004): the table of a playbook compiled for the roles of one user, and the one place that decides.

Everything is data in and an answer out: who the user is, whom the record belongs to, what is to be done. A table says for a
role, an entity and an action how far it reaches (:class:`Scope`), and for a field how much of it there is (:class:`Level`). Of
several roles the most permissive cell holds. What no table names is not allowed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import IntEnum
from types import MappingProxyType
from typing import cast

import attrs

from crmcore.domain import ENTITIES, Entity, Record
from crmcore.domain.playbook import Playbook
from crmcore.domain.policies import FieldLevel, Permission
from crmcore.domain.user import ADMINISTRATOR

#: What can be done to a record, and so be allowed or not.
ACTIONS: Mapping[str, str] = {
    "read": "see it, alone, in lists, reports, the timeline and notices",
    "create": "put it on file; how far is told by the customer that it hangs on, or by the owner that it is given",
    "update": "change its fields",
    "move": "bring it to another stage",
    "assign": "give it to somebody else, or let others in to work on it",
    "delete": "take it away, or bring it back",
    "merge": "make one of two, or two of one again",
    "import": "take it in from a file, where it may be created, too",
    "export": "give it out as a sheet, where it may be read, too",
    "erase": "erase what is kept of a person",
}

ANY = "any"
#: The entities that ``any`` stands for. Others are named one by one: a new one is nobody's until a table says so.
BUSINESS = (
    *("customer", "contact", "opportunity", "order", "instalment", "follow_up_plan", "follow_up", "objection"),
    *("feedback", "ticket", "referral", "attachment", "action_plan", "obligation", "quality_check"),
)
#: What is seen by who sees something else: the number under which a customer was known before it was merged.
SEEN_AS: Mapping[str, str] = {"alias": "customer"}
#: An event is seen by who sees what it is about.
TOLD_OF = "event"

#: Fields that name whose a record is.
RESPONSIBLE = ("owner", "assignee", "responsible", "recipient")
#: Fields that name who entered it: 谁录入、谁维护.
ENTERED = ("created_by", "registrar", "recorder", "by")
#: Fields that name several, each with a department after a slash where it is known.
SHARED = ("collaborators",)
#: Fields that name the customer that a record hangs on.
PARENTS = ("customer_id", "referrer_id")

_GIVEN = (*RESPONSIBLE, *SHARED)
_MOVED = ("stage", "stage_since", "pipeline", "outcome")
_SET = ("number", "state", "cycle", "kind", "roles", "active", "confirmed_by", "confirmed_at")
#: What the library steers by: it can always be read, and is changed by an action of its own, not by a level.
_STEERING = frozenset((*Record.kinds, *RESPONSIBLE, *ENTERED, *SHARED, *_MOVED, *_SET)) - {"custom"}


class Scope(IntEnum):
    """How far an action reaches; and of a record, from how far on it is reached."""

    NONE = 0
    OWN = 1
    TEAM = 2
    ALL = 3


class Level(IntEnum):
    """How much of a field there is for somebody."""

    HIDDEN = 0
    MASKED = 1
    READ = 2
    WRITE = 3


#: The level in records that are reached from :attr:`Scope.OWN`, TEAM and ALL on.
Levels = tuple[Level, Level, Level]
FULL: Levels = (Level.WRITE, Level.WRITE, Level.WRITE)


@attrs.frozen
class Decision:
    """Whether something is allowed, and by which cell of the table: ``sales: customer.update = own``."""

    allowed: bool
    why: str

    def __bool__(self) -> bool:
        return self.allowed


@attrs.frozen(kw_only=True)
class Rights:
    """A playbook's table for one set of roles. ``unlimited`` is an administrator's: everything, whatever stands there."""

    roles: tuple[str, ...]
    unlimited: bool = False
    scopes: Mapping[tuple[str, str], tuple[Scope, str]] = MappingProxyType({})
    """By entity and action: how far, and the role that says so."""
    levels: Mapping[str, Mapping[str, Levels]] = MappingProxyType({})
    """By entity and field, where it is less than written everywhere."""

    def scope(self, entity: str, action: str) -> Scope:
        """How far the action reaches among the records of the entity."""
        if self.unlimited:
            return Scope.ALL
        return self.scopes.get((SEEN_AS.get(entity, entity), action), (Scope.NONE, ""))[0]

    def level(self, entity: str, field: str, reach: Scope) -> Level:
        """How much of a field there is in a record that is reached from there on."""
        if self.unlimited:
            return Level.WRITE
        named = self.levels.get(entity, {})
        # A field of the team's own that isn't named is one of all of them.
        levels = named.get(field) or named.get(field.partition(".")[0], FULL)
        return levels[max(reach, Scope.OWN) - 1]

    def can_be_asked(self, entity: str, field: str) -> bool:
        """Whether records can be looked for, sorted and grouped by a field: it must be open in each that can be seen."""
        furthest = self.scope(entity, "read")
        return all(self.level(entity, field, reach) >= Level.READ for reach in Scope if 0 < reach <= furthest)

    @property
    def conceals(self) -> bool:
        """Whether anything of any entity is kept from these roles."""
        return any(min(levels) < Level.READ for fields in self.levels.values() for levels in fields.values())


@attrs.frozen(kw_only=True)
class Standing:
    """Who acts: the name, the names of their department with their own, and what their roles may do."""

    name: str
    team: frozenset[str]
    rights: Rights

    def reach(self, people: Collection[str | None]) -> Scope:
        """From how far on a record is reached that belongs to these people."""
        if self.name in people:
            return Scope.OWN
        return Scope.ALL if self.team.isdisjoint(people) else Scope.TEAM

    def decide(self, entity: str, action: str, reach: Scope) -> Decision:
        """Whether the action may be done to a record of the entity that is reached from there on."""
        rights = self.rights
        if rights.unlimited:
            return Decision(True, f"{ADMINISTRATOR}: everything")
        scope, role = rights.scopes.get((entity, action), (Scope.NONE, ""))
        if scope is Scope.NONE:
            held = ", ".join(rights.roles) or "no role"
            return Decision(False, f"{held}: {entity}.{action} = none")
        allowed = scope >= reach
        told = "" if allowed else f", and this is {_BELONGS[reach]}"
        return Decision(allowed, f"{role}: {entity}.{action} = {scope.name.lower()}{told}")


_BELONGS = {Scope.TEAM: "a colleague's", Scope.ALL: "somebody else's"}


def rights_of(playbook: Playbook, roles: Iterable[str]) -> Rights:
    """What these roles may do under the playbook: its table, compiled. A field has the level of the roles that see the record."""
    held = tuple(dict.fromkeys(roles))
    if ADMINISTRATOR in held:
        return Rights(roles=held, unlimited=True)
    tables = [one for one in playbook.permissions if one.key in held]
    scopes: dict[tuple[str, str], tuple[Scope, str]] = {}
    levels: dict[str, dict[str, Levels]] = {}
    for entity in (cls.entity for cls in ENTITIES):
        for action in ACTIONS:
            cells = [(scope_of(table, entity, action), table.key) for table in tables]
            best = max(cells, key=lambda cell: cell[0], default=(Scope.NONE, ""))
            if best[0]:
                scopes[entity, action] = best
        for name in dict.fromkeys(name for table in tables for name in table.fields.get(entity, {})):
            most = tuple(_most(tables, entity, name, reach) for reach in (Scope.OWN, Scope.TEAM, Scope.ALL))
            if most != FULL:
                levels.setdefault(entity, {})[name] = cast(Levels, most)
    return Rights(roles=held, scopes=scopes, levels=levels)


def scope_of(table: Permission, entity: str, action: str) -> Scope:
    """How far a role's action reaches, by the entity's own row or by that of ``any``."""
    own = table.actions.get(entity, {})
    shared = table.actions.get(ANY, {}) if entity in BUSINESS else {}
    return Scope[(own.get(action) or shared.get(action) or "none").upper()]


def levels_of(level: FieldLevel) -> Levels:
    """A field's level as it is compared: in one's own records, in the team's, in all others."""
    return Level[level.own.upper()], Level[level.team.upper()], Level[level.all.upper()]


def _most(tables: Sequence[Permission], entity: str, name: str, reach: Scope) -> Level:
    """The most that a role has of a field in records that it sees from there on; where none sees any, that any role fills in."""
    seeing = [table for table in tables if scope_of(table, entity, "read") >= reach] or tables
    named = (table.fields.get(entity, {}).get(name) for table in seeing)
    return max((Level.WRITE if one is None else levels_of(one)[reach - 1] for one in named), default=Level.HIDDEN)


# What a table can name, for the check of a playbook.


def governed(cls: type[Entity]) -> frozenset[str]:
    """The fields that can have a level: not those that the library steers by, nor those that name another record."""
    return frozenset(name for name in cls.kinds if name not in _STEERING and not name.endswith("_id"))


def concealable(cls: type[Entity]) -> frozenset[str]:
    """The fields of which a level can keep something back: without them a record is still one."""
    return frozenset(
        name
        for name in governed(cls)
        if (kind := cls.kinds[name]).name in ("text", "texts", "custom")
        or (not kind.required and (kind.default is None or kind.name == "flag"))
    )


# What a change is, as a table names it.


def asked_of(before: Record | None, after: Record) -> tuple[str, ...]:
    """The actions that a change of a record is: told by what changes, whatever it is called."""
    if before is None:
        return ("create",)
    steps = _MOVED if "stage" in type(after).kinds else ()
    kinds = {
        "move" if name in steps else "assign" if name in _GIVEN else "update" for name in changed_fields(before, after)
    }
    return tuple(action for action in ACTIONS if action in (kinds or {"update"}))


def changed_fields(before: Record, after: Record) -> tuple[str, ...]:
    """The fields that a change changes, but for the stamps; one of the team's own as ``custom.region``."""
    names = (name for name in type(after).kinds if name not in _STAMPS)
    changed = [name for name in names if getattr(before, name) != getattr(after, name)]
    own = before.custom, after.custom
    if "custom" in changed:
        changed.remove("custom")
        changed += [f"custom.{key}" for key in sorted({*own[0], *own[1]}) if own[0].get(key) != own[1].get(key)]
    return tuple(changed)


def filled_fields(record: Record) -> tuple[str, ...]:
    """The fields that hold something else than nothing or their default, in the names of :func:`changed_fields`."""
    kinds = type(record).kinds
    others = (name for name in kinds if name not in _STAMPS and name != "custom")
    filled = [name for name in others if getattr(record, name) != kinds[name].default]
    return (*filled, *(f"custom.{key}" for key in record.custom))


_STAMPS = frozenset(Record.kinds) - {"custom"}


def people_of(record: Entity, *, entered: bool = True) -> frozenset[str]:
    """The users whose a record is by its own fields; without ``entered`` not those who only entered it."""
    names = {getattr(record, field, None) for field in (*RESPONSIBLE, *(ENTERED if entered else ()))}
    if record.entity == "user":
        names.add(getattr(record, "name"))  # noqa: B009
    for field in SHARED:
        names.update(entry.partition("/")[0] for entry in getattr(record, field, ()))
    return frozenset(name for name in names if name is not None)


def parent_of(record: Entity) -> str | None:
    """The id of the customer that a record hangs on."""
    return next((id for field in PARENTS if (id := getattr(record, field, None)) is not None), None)
