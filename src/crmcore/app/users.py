"""The users on file, and the posts they hold: whom work can be given to."""

from __future__ import annotations

from typing import Any

from crmcore.app.engine import UseCases
from crmcore.app.loops import build
from crmcore.app.work import STAMPS, Work, refuse_fixed
from crmcore.domain import User
from crmcore.domain.user import ROLES
from crmcore.errors import Issue
from crmcore.storage.query import Eq


class Users(UseCases):
    """The use cases about users. A user is named by itself, its name or its id."""

    def add(self, name: str, **values: Any) -> User:
        """Puts a user on file. ``values`` are fields of :class:`User`: ``roles`` of
        :data:`crmcore.domain.user.ROLES` such as ``("service",)``, ``department``.
        """

        def decide(work: Work) -> User:
            refuse_fixed("user", values, (*STAMPS, "active"))
            roles = values.get("roles")
            unknown = isinstance(roles, (list, tuple)) and any(
                isinstance(role, str) and role not in ROLES for role in roles
            )
            facts = {"allowed": ", ".join(ROLES)}
            issues = [Issue(code="bad_choice", field="user.roles", facts=facts)] if unknown else []
            return work.begin(build(work, User, {**values, "name": name}, issues), "user.added")

        return self.write(decide)

    def deactivate(self, user: User | str) -> User:
        """Says that a user is no longer there: nothing is given to them from now on."""

        def decide(work: Work) -> User:
            return work.change(work.current_by(User, user, "name"), "user.deactivated", {"active": False})

        return self.write(decide)

    def find(self, *, active: bool | None = True) -> list[User]:
        """The active users by name; with ``active=None`` all."""
        return self.listed(User, None if active is None else Eq("active", active), ("name",))
