"""What a table of permissions says, read a second time and apart from the library: plain dictionaries in, answers out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

SCOPES = ("none", "own", "team", "all")
LEVELS = ("hidden", "masked", "read", "write")
BUSINESS = (
    *("customer", "contact", "opportunity", "order", "instalment", "follow_up_plan", "follow_up", "objection"),
    *("feedback", "ticket", "referral", "attachment", "action_plan", "obligation", "quality_check"),
)
PEOPLE = ["owner", "assignee", "responsible", "recipient", "created_by", "registrar", "recorder"]
GIVEN = ["owner", "assignee", "responsible", "recipient"]


class Oracle:
    """``table`` is what stands under ``permissions``; ``users`` are name to roles, department and whether active."""

    def __init__(self, table: Mapping[str, Any], users: Mapping[str, tuple[Iterable[str], str | None, bool]]) -> None:
        self.table = table
        self.users = users

    def may_act(self, actor: str) -> bool:
        return actor in self.users and self.users[actor][2]

    def is_administrator(self, actor: str) -> bool:
        return "administrator" in self.users[actor][0]

    def names(self, record: Mapping[str, Any], parent: Mapping[str, Any] | None) -> set[str]:
        """Whose a record is, by itself and by its customer."""
        found = {record[field] for field in PEOPLE if record.get(field)}
        found |= {entry.split("/")[0] for entry in record.get("collaborators") or ()}
        if "roles" in record:
            found.add(record["name"])
        return found | (self.names(parent, None) if parent else set())

    def near(self, actor: str, names: set[str]) -> int:
        """1 for one's own, 2 for the team's, 3 for anybody else's."""
        department = self.users[actor][1]
        team = {name for name, (_, other, _) in self.users.items() if department is not None and other == department}
        return 1 if actor in names else 2 if team & names else 3

    def scope(self, role: str, entity: str, action: str) -> int:
        actions = self.table.get(role, {}).get("actions", {})
        word = actions.get(entity, {}).get(action)
        if word is None and entity in BUSINESS:
            word = actions.get("any", {}).get(action)
        return SCOPES.index(word or "none")

    def may(self, actor: str, entity: str, action: str, near: int) -> bool:
        if self.is_administrator(actor):
            return True
        return any(self.scope(role, entity, action) >= near for role in self.users[actor][0])

    def level(self, actor: str, entity: str, field: str, near: int) -> int:
        """How much there is of a field in a record so near: the most that a role has who sees it, if any does."""
        if self.is_administrator(actor):
            return 3
        most = 0
        roles = self.users[actor][0]
        for role in [role for role in roles if self.scope(role, entity, "read") >= near] or roles:
            fields = self.table.get(role, {}).get("fields", {}).get(entity, {})
            word = fields.get(field, fields.get("custom", "write") if field.startswith("custom.") else "write")
            if isinstance(word, dict):
                word = word["own"] if near == 1 else word.get("team", word["all"]) if near == 2 else word["all"]
            most = max(most, LEVELS.index(word))
        return most

    def can_ask(self, actor: str, entity: str, field: str) -> bool:
        """Whether records may be looked for by a field: there is all of it in each record that is seen."""
        seen = [near for near in (1, 2, 3) if self.may(actor, entity, "read", near)]
        return all(self.level(actor, entity, field, near) >= 2 for near in seen)

    def near_of_new(self, actor: str, record: Mapping[str, Any], parent: Mapping[str, Any] | None) -> int:
        """How near a record would be that is put on file: by its customer, or by whom it is given to."""
        names = self.names(parent, None) if parent else {record[field] for field in GIVEN if record.get(field)}
        return self.near(actor, names)
