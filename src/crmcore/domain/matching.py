"""How a team tells that two records are of one customer (一户一档; seeds 003, 004): rules as data, ours where the seeds are silent.

Which fields are compared, and how; by which fields candidates are sought; how sure one must be. What the fields weigh is
not said here: it is learned from the records themselves (:mod:`crmcore.rules.duplicates`).
"""

from __future__ import annotations

import attrs

#: So many fields have room in the pattern of a pair.
MOST_FIELDS = 20


@attrs.frozen(kw_only=True)
class FieldRule:
    """One field that is compared.

    ``comparer`` names how: ``exact``, ``code`` (numbers and dates, a slip or two), ``name`` (one or few words), ``text``,
    ``address``, ``words`` (names of organisations: which words they share), or one of the caller's own.

    ``identifies``: the value belongs to one customer alone (统一社会信用代码). Equal values decide, different values
    contradict. ``required``: where this field isn't at least close, or one side lacks it, nothing but an identifying field
    decides. ``seek``: whether candidates are sought by this field alone. ``without``: fields whose words say nothing in this
    one, as the city in the name of a company.
    """

    field: str
    comparer: str = "exact"
    identifies: bool = False
    required: bool = False
    seek: bool = True
    without: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class MatchRules:
    """How two records are compared, and when they are the same.

    ``together`` are fields whose values are too common alone, and by which candidates are sought together. ``swapped`` are
    pairs of fields that people write into each other's place; both have the same comparer. Of the fields ``of_one_person``
    that agree, only the one that weighs most counts: a person brings their name and telephone along to every customer.

    A value that more than ``block_limit`` records have is not sought by. Two records are compared when so much as they
    share is to be expected in at most ``chance_limit`` records. A pair is ``same`` from that probability on, ``suspect``
    from the other on.
    """

    fields: tuple[FieldRule, ...]
    together: tuple[tuple[str, ...], ...] = ()
    swapped: tuple[tuple[str, str], ...] = ()
    of_one_person: tuple[str, ...] = ()
    same: float = 0.8
    suspect: float = 0.01
    block_limit: int = 50
    chance_limit: int = 8

    def __attrs_post_init__(self) -> None:
        names = [rule.field for rule in self.fields]
        if not names or len(set(names)) != len(names):
            raise ValueError("matching rules need fields, each of them once")
        if len(names) > MOST_FIELDS:
            raise ValueError(f"at most {MOST_FIELDS} fields are compared")
        if not 0 < self.suspect <= self.same < 1:
            raise ValueError("a suspicion begins above 0 and not above the decision, and that below 1")
        if self.block_limit < 2 or self.chance_limit < 1:
            raise ValueError("a block holds two records at least, and chance finds one at least")
        groups = (*self.together, *self.swapped, self.of_one_person, *(rule.without for rule in self.fields))
        if unknown := {name for group in groups for name in group} - set(names):
            raise ValueError(f"named, but not compared: {', '.join(sorted(unknown))}")


#: People: what a form asks of a person. Fields that the records don't have are left out of the comparison.
PEOPLE = MatchRules(
    fields=(
        FieldRule(field="given_name", comparer="name"),
        FieldRule(field="family_name", comparer="name"),
        FieldRule(field="date_of_birth", comparer="code"),
        FieldRule(field="id_number", comparer="code"),
        FieldRule(field="phone", comparer="code"),
        FieldRule(field="email", comparer="name"),
        FieldRule(field="wechat", comparer="name"),
        FieldRule(field="street_number", comparer="code"),
        FieldRule(field="street", comparer="text"),
        FieldRule(field="place", comparer="text"),
        FieldRule(field="city", comparer="name"),
        FieldRule(field="postcode", comparer="code"),
        FieldRule(field="region", seek=False),
    ),
    together=(
        ("given_name", "family_name"),
        ("family_name", "postcode"),
        ("family_name", "city"),
        ("given_name", "postcode"),
        ("street", "postcode"),
    ),
    swapped=(("given_name", "family_name"), ("street", "place")),
)

#: Organisations: a company, a shop, a restaurant. The name must resemble; a telephone may be an agent's, an address a tower.
ORGANISATIONS = MatchRules(
    fields=(
        FieldRule(field="uscc", identifies=True),
        FieldRule(field="name", comparer="words", required=True, without=("city",)),
        FieldRule(field="contact", comparer="name"),
        FieldRule(field="phone", comparer="code"),
        FieldRule(field="email", comparer="name"),
        FieldRule(field="wechat", comparer="name"),
        FieldRule(field="address", comparer="address"),
        FieldRule(field="city", comparer="words", seek=False),
        FieldRule(field="industry", comparer="words", seek=False),
    ),
    together=(("name", "city"), ("contact", "city")),
    of_one_person=("contact", "phone", "email", "wechat"),
)
