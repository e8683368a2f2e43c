"""What is wrong with a table of permissions: names that lead nowhere, and rights without the sight that they need."""

from __future__ import annotations

from collections.abc import Iterator

from crmcore.domain import ENTITIES
from crmcore.domain.playbook import Playbook
from crmcore.domain.policies import Permission
from crmcore.domain.user import ADMINISTRATOR, ROLES
from crmcore.playbooks.telling import bad_keys, unknown
from crmcore.rules.permissions import ACTIONS, ANY, SEEN_AS, TOLD_OF, Level, concealable, governed, levels_of, scope_of

_ENTITIES = {cls.entity: cls for cls in ENTITIES if cls.entity not in (*SEEN_AS, TOLD_OF)}
#: What nobody does without seeing the record that it is done to.
_WITH_SIGHT = tuple(action for action in ACTIONS if action not in ("read", "create", "import"))


def permission_problems(playbook: Playbook) -> Iterator[str]:
    """Everything that is wrong with the permissions of a playbook."""
    yield from bad_keys("permissions", (table.key for table in playbook.permissions))
    for table in playbook.permissions:
        path = f"permissions.{table.key}"
        if table.key == ADMINISTRATOR:
            yield f"{path}: an administrator may do everything; leave it out"
        elif table.key not in ROLES:
            yield f"{path}: {unknown('role', table.key, ROLES)}"
        yield from _actions(f"{path}.actions", table)
        yield from _fields(f"{path}.fields", table, playbook)


def _actions(path: str, table: Permission) -> Iterator[str]:
    for entity, scopes in table.actions.items():
        if entity != ANY and entity not in _ENTITIES:
            yield f"{path}.{entity}: {unknown('entity', entity, {*_ENTITIES, ANY})}"
            continue
        yield from (
            f"{path}.{entity}: {unknown('action', action, ACTIONS)}" for action in scopes if action not in ACTIONS
        )
    for entity in _ENTITIES:
        sight = scope_of(table, entity, "read")
        for action in _WITH_SIGHT:
            if (scope := scope_of(table, entity, action)) > sight:
                yield f"{path}: {entity}.{action} reaches {scope.name.lower()}, further than {entity}.read, {sight.name.lower()}"


def _telling(playbook: Playbook) -> dict[str, str]:
    """The fields that something owed would tell of: what of the playbook asks for them."""
    told = {target.on: f"targets.{target.key}.on" for target in playbook.targets}
    told |= {field: f"targets.{target.key}.where" for target in playbook.targets for field in target.where}
    return told | {reminder.on: f"reminders.{reminder.key}.on" for reminder in playbook.reminders}


def _fields(path: str, table: Permission, playbook: Playbook) -> Iterator[str]:
    telling = _telling(playbook)
    for entity, fields in table.fields.items():
        cls = _ENTITIES.get(entity)
        if cls is None:
            yield f"{path}.{entity}: {unknown('entity', entity, _ENTITIES)}"
            continue
        own = {
            f"custom.{name}"
            for key in playbook.custom_fields
            for owner, _, name in [key.partition(".")]
            if owner == entity
        }
        allowed, hideable = {*governed(cls), *own}, {*concealable(cls), *own}
        for name, level in fields.items():
            place = f"{path}.{entity}.{name}"
            if name not in allowed:
                yield f"{place}: {unknown('field that can have a level', name, allowed)}"
                continue
            near, team, far = levels_of(level)
            if min(near, team, far) < Level.READ and name not in hideable:
                yield f"{place}: a {entity} can't be shown without it; its level is read or write"
            if min(near, team, far) < Level.READ and (asks := telling.get(f"{entity}.{name.removeprefix('custom.')}")):
                yield f"{place}: what is owed by {asks} would tell it; its level is read or write"
            if not near >= team >= far:
                yield f"{place}: there is no less of it in one's own records than in others': own, then team, then all"
