"""Whether permissions are kept, who stands where, and whether a change may be made: the table's decision at each of its places."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import attrs

from crmcore.app.sight import Sight
from crmcore.domain import Customer, Entity, Obligation, Record, User
from crmcore.domain.user import ADMINISTRATOR
from crmcore.errors import Forbidden, PlaybookError
from crmcore.playbooks import load
from crmcore.plugins import AccessRequest, Plugins
from crmcore.rules.permissions import (
    ENTERED,
    PARENTS,
    RESPONSIBLE,
    SHARED,
    Level,
    Rights,
    Scope,
    Standing,
    asked_of,
    changed_fields,
    filled_fields,
    governed,
    parent_of,
    people_of,
    rights_of,
)
from crmcore.rules.reminders import Notice
from crmcore.storage.codec import CODECS, texts_from_scalar
from crmcore.storage.contract import Store, Transaction
from crmcore.storage.query import And, Contains, Eq, In, Or, Query, Where

if TYPE_CHECKING:  # both work with what stands here
    from crmcore.app.engine import Engine
    from crmcore.app.work import Work

#: An administrator who is there. Roles are kept as a JSON list of plain words.
ADMINISTRATORS: Where = And(Eq("active", True), Contains("roles", f'"{ADMINISTRATOR}"'))
_ANYBODY = Query("users", ADMINISTRATORS, limit=1)


def standing_of(transaction: Transaction, engine: Engine, actor: str) -> Standing | None:
    """Where a user stands; None while permissions aren't kept, and for who may do everything.

    Raises :class:`Forbidden` for one who is not on file, or not active any more.
    """
    if next(transaction.find(_ANYBODY), None) is None:
        return None
    load = CODECS[User].load
    user: User | None = next(map(load, transaction.find(Query("users", Eq("name", actor), limit=1))), None)
    if user is None or not user.active:
        raise Forbidden("whoever acts is not on file as an active user")
    rights = engine.rights(user.roles)
    if rights.unlimited and not engine.plugins.permits:
        return None
    team = {user.name}
    if user.department is not None:
        team.update(load(row).name for row in transaction.find(Query("users", Eq("department", user.department))))
    return Standing(name=user.name, team=frozenset(team), rights=rights)


def ask_at(store: Store, actor: str, action: str, playbooks: Mapping[str, Path | str]) -> None:
    """Raises :class:`Forbidden` where a user may not do that (``read``, ``update``) to all settings of a store: to all of it.

    The store may be kept in another format, or under a playbook that can't be read any more: then it takes an administrator.
    ``playbooks`` are those that plugins bring.
    """
    if "users" not in store.schema.collections:
        return  # it is none of a CRM
    users, settings = (store.schema.collection(name) for name in ("users", "settings"))
    with store.transaction() as transaction:
        found = [dict(zip(users.positions, row, strict=True)) for row in transaction.scan("users")]
        kept = transaction.get("settings", "playbook")
    there = {one["name"]: texts_from_scalar(cast(Any, one["roles"])) for one in found if one["active"]}
    if not any(ADMINISTRATOR in roles for roles in there.values()):
        return
    if actor not in there:
        raise Forbidden("whoever acts is not on file as an active user")
    rights = Rights(roles=there[actor], unlimited=ADMINISTRATOR in there[actor])
    with suppress(PlaybookError):
        rights = rights_of(load(str(kept and kept[settings.position("value")]), playbooks), there[actor])
    if rights.scope("setting", action) < Scope.ALL:
        refuse(rights, f"setting.{action}")


def own_where(cls: type[Entity], standing: Standing, scope: Scope) -> Where | None:
    """The condition on the records of one's own, or of one's team, as a store can be asked it.

    None where it can't: whose a record is that hangs on a customer, the customer says, too.
    """
    if any(field in cls.kinds for field in PARENTS):
        return None
    people = (standing.name,) if scope is Scope.OWN else tuple(sorted(standing.team))
    fields = [field for field in (*RESPONSIBLE, *ENTERED) if field in cls.kinds]
    if cls is User:
        fields.append("name")
    parts: list[Where] = [In(field, people) for field in fields]
    for field in SHARED:
        if field in cls.kinds:
            parts += [Contains(field, text) for name in people for text in entries_of(name)]
    return Or(*parts)


def entries_of(name: str) -> Iterable[str]:
    """How a list as it is kept begins an entry of that user, alone or with a department. Within an entry a quote has a stroke before it."""
    if "/" in name:
        return
    text = json.dumps(name, ensure_ascii=False)[:-1]
    for before in "[,":
        for after in '"/':
            yield f"{before}{text}{after}"


def refuse(rights: Rights, what: str, phrase: str = "the roles {roles} do not allow {what}") -> NoReturn:
    """Raises :class:`Forbidden`: which roles, and what they don't allow; nothing of the data."""
    raise Forbidden.phrased(phrase, roles=", ".join(rights.roles) or "-", what=what)


NOT_READ = "the roles {roles} do not see {what}, on which this rests"


def demand(
    standing: Standing, plugins: Plugins, entity: str, action: str, reach: Scope, record: Entity | None = None
) -> None:
    """Raises :class:`Forbidden` where the table, or a plugin, doesn't allow an action that reaches so far."""
    if not standing.decide(entity, action, reach):
        refuse(standing.rights, f"{entity}.{action}")
    if plugins.permits and not plugins.permit(
        AccessRequest(actor=standing.name, action=action, entity=entity, record=record)
    ):
        refuse(standing.rights, f"{entity}.{action}", "the roles {roles} would allow {what}, but a plugin denies it")


class Permit:
    """Whether the user of one unit of work may make its changes."""

    def __init__(self, work: Work, standing: Standing, plugins: Plugins) -> None:
        self._work = work
        self._plugins = plugins
        self.standing = standing
        self.sight = Sight(work.transaction, standing, plugins)
        self.also: tuple[str, ...] = ()
        """What is asked for beside each record that is created: ``import``."""

    def check(self, before: Record | None, after: Record) -> None:
        """Raises :class:`Forbidden` where the table doesn't allow a change, or one of the fields that it changes."""
        actions = asked_of(before, after)
        if before is None:
            reach = self._reach_of_new(after)
            for action in (*actions, *self.also):
                self._ask(after, action, reach)
            self._check_fields(after, [name for name in filled_fields(after) if not self._drawn(after, name)])
            return
        reach = self._reach(before)
        for action in actions:
            self._ask(before, action, reach)
        changed = changed_fields(before, after)
        if any(field in changed for field in PARENTS) and parent_of(after) is not None:
            self._ask(after, "create", self._reach_of_new(after))
        self._check_fields(before, changed)

    def ask(self, record: Entity, action: str) -> None:
        """Raises :class:`Forbidden` where the table doesn't allow an action on a record."""
        self._ask(record, action, self._reach(record))

    def readable(self, record: Entity, field: str) -> bool:
        """Whether the user has the field of that record in full."""
        return self.standing.rights.level(record.entity, field, self._reach(record)) >= Level.READ

    def must_read(self, record: Record, fields: Iterable[str]) -> None:
        """Raises :class:`Forbidden` for a field that the user doesn't have in full."""
        for field in fields:
            if not self.readable(record, field):
                refuse(self.standing.rights, f"{record.entity}.{field}", NOT_READ)

    def must_write(self, record: Record, fields: Iterable[str]) -> None:
        """Raises :class:`Forbidden` for a field that the user may not write."""
        self._check_fields(record, fields)

    def sees(self, record: Entity) -> bool:
        """Whether the user sees the record."""
        return self.sight.allowed(record, self._reach(record))

    def _ask(self, record: Entity, action: str, reach: Scope) -> None:
        demand(self.standing, self._plugins, record.entity, action, reach, record)

    def _check_fields(self, record: Record, names: Iterable[str]) -> None:
        rights, entity = self.standing.rights, record.entity
        if not rights.levels.get(entity):
            return
        open_to_levels, reach = governed(type(record)), self._reach(record)
        for name in names:
            level = rights.level(entity, name, reach)
            if name.partition(".")[0] in open_to_levels and level < Level.WRITE:
                refuse(rights, f"{entity}.{name}", "the roles {roles} may not write {what}")

    def _drawn(self, record: Record, name: str) -> bool:
        """Whether a new record's field holds what the library puts there by itself."""
        return name == "tier" and getattr(record, name) == self._work.playbook.default_tier

    def _reach(self, record: Entity) -> Scope:
        return self.standing.reach(people_of(record) | self._people_of_parent(record))

    def _reach_of_new(self, record: Record) -> Scope:
        """Whose a record will be: its customer's people's, or without a customer whose it is given to."""
        if parent_of(record) is not None:
            return self.standing.reach(self._people_of_parent(record))
        given = {getattr(record, field, None) for field in RESPONSIBLE}
        return self.standing.reach(given)

    def _people_of_parent(self, record: Entity) -> frozenset[str]:
        id = parent_of(record)
        customer = None if id is None else self._work.get(Customer, id)
        return frozenset() if customer is None else people_of(customer)


class Recipients:
    """Who may be told what: a notice goes to none who may not see the customer, or the record, that it is about."""

    def __init__(self, work: Work, engine: Engine) -> None:
        self._work = work
        self._engine = engine
        self._sights: dict[str, Sight | None] = {}
        self._kept = next(work.transaction.find(_ANYBODY), None) is not None

    def of(self, notice: Notice, customer: Customer | None) -> Notice | None:
        """The notice for those whom it may reach; None where that is nobody of those it was for."""
        if not self._kept or not notice.to:
            return notice
        to = tuple(name for name in notice.to if self._may(name, notice, customer))
        return attrs.evolve(notice, to=to) if to else None

    def _may(self, name: str, notice: Notice, customer: Customer | None) -> bool:
        if name not in self._sights:
            try:
                standing = standing_of(self._work.transaction, self._engine, name)
            except Forbidden:
                return False
            sight = None if standing is None else Sight(self._work.transaction, standing, self._engine.plugins)
            self._sights[name] = sight
        sight = self._sights[name]
        if sight is None:
            return True
        obligation = self._work.get(Obligation, notice.id.removesuffix(f":{notice.reminder.key}"))
        return all(sight.sees(one) for one in (customer, obligation) if one is not None)
