"""By what a customer is found again, and what is left of one that was taken off the lists."""

from __future__ import annotations

from datetime import datetime

from crmcore.domain.entity import Entity, entity
from crmcore.domain.fields import choice, count, instant, optional_text, text, whole

#: The exact keys that there are: what a customer or a contact is found again by.
KEY_KINDS = ("uscc", "name", "phone", "email", "wechat")

#: Kinds of record that name a customer and don't change hands when it is absorbed: they are derived, or tell of what was.
LEFT_BEHIND = frozenset(("event", "obligation", "match_key", "absent_record", "alias", "erasure"))


@entity(collection="match_keys", indexes=["subject_id", "value"])
class MatchKey(Entity):
    """One value by which a customer is found again, in its normal form. Derived from the customer and its contacts; of a
    customer that was absorbed, name and registration number find the one that absorbed it.

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


@entity(collection="judged_pairs")
class JudgedPair(Entity):
    """Two customers that look alike and are not the same: somebody said so, and they aren't shown as duplicates again.

    The id is made of the ids of both, in order.
    """

    id: str = text()
    version: int = whole(default=1)
    one_id: str = text()
    other_id: str = text()
    reason: str | None = optional_text()
    at: datetime = instant()
    by: str = text()


@entity(collection="aliases", indexes=["customer_id", "absorbed_id", "into_id"])
class Alias(Entity):
    """A number that once was a customer's own, and the customer that has it now. Chains are collapsed: it names one on the lists.

    The id is the number.
    """

    id: str = text()
    version: int = whole(default=1)
    customer_id: str = text()
    absorbed_id: str = text()
    """The customer that had the number."""
    into_id: str = text()
    """The customer that absorbed it, which may have been absorbed since."""
    at: datetime = instant()
    by: str = text()
