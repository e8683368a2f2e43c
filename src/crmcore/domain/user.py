"""The people who use the library's host, and the posts 岗位 they hold (seed 002)."""

from __future__ import annotations

from crmcore.domain.entity import Record, entity
from crmcore.domain.fields import flag, optional_text, text, texts

ROLES = ("sales", "service", "marketing", "manager", "data_steward", "finance", "administrator")
ADMINISTRATOR = "administrator"
"""Who may do everything. From the first active one on, permissions are kept."""


@entity(collection="users", unique=["name"])
class User(Record):
    """A user, known everywhere by ``name``. ``roles`` are of :data:`ROLES`."""

    name: str = text()
    display_name: str | None = optional_text()
    department: str | None = optional_text()
    roles: tuple[str, ...] = texts()
    active: bool = flag(default=True)
