"""By what a customer is found again, and what is left of one that was taken off the lists."""

from __future__ import annotations

from datetime import datetime

from crmcore.domain.entity import Entity, entity
from crmcore.domain.fields import choice, count, instant, text, whole

#: The exact keys that there are: what a customer or a contact is found again by.
KEY_KINDS = ("uscc", "name", "phone", "email", "wechat")


@entity(collection="match_keys", indexes=["customer_id", ("kind", "value")])
class MatchKey(Entity):
    """One value by which a customer is found again, in its normal form. Derived from the customer and its contacts.

    The id says whose key it is and which of its kind; not the value, which may be kept in another form than plain.
    """

    id: str = text()
    version: int = whole(default=1)
    customer_id: str = text()
    subject: str = text()
    """Whose it is: ``customer`` or ``contact``."""
    subject_id: str = text()
    kind: str = choice(*KEY_KINDS, default="name")
    value: str = text()


@entity(collection="absent_records", indexes=["customer_id", ("subject", "subject_id")])
class AbsentRecord(Entity):
    """A part of a record that is off the lists and may come back: of an absorbed or a deleted customer.

    ``content`` is a piece of one JSON text in ASCII; all pieces together are the row as it was. A record without much in it has
    one part.
    """

    id: str = text()
    version: int = whole(default=1)
    customer_id: str = text()
    """The customer that is off the lists, whose record this is."""
    subject: str = text()
    """The kind of record: ``contact``."""
    subject_id: str = text()
    part: int = count(default=0)
    content: str = text()
    reason: str = choice("merged", "deleted", default="merged")
    at: datetime = instant()
    by: str = text()


@entity(collection="aliases", indexes=["customer_id", "absorbed_id"])
class Alias(Entity):
    """A number that once was a customer's own, and the customer that has it now. Chains are collapsed: it names one on the lists.

    The id is the number.
    """

    id: str = text()
    version: int = whole(default=1)
    customer_id: str = text()
    absorbed_id: str = text()
    """The customer that had the number."""
    at: datetime = instant()
    by: str = text()
