"""Making one customer out of two that are the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import attrs

from crmcore.app.absent import from_content, put_away, take_away, to_content
from crmcore.app.work import Work
from crmcore.domain import ENTITIES, Alias, Contact, Customer, Entity, MatchKey, OutboxMessage
from crmcore.domain.duplicates import LEFT_BEHIND
from crmcore.errors import Invalid, Issue, MergeRefused
from crmcore.rules.merging import MERGED, NEVER_PREFERRED, SIDES_ONLY, STAMPS, Choice, Source, choices
from crmcore.rules.normalisation import Normaliser, match_keys
from crmcore.rules.validation import check_customer, meant
from crmcore.storage.query import Eq, In

#: Fields that name the customer whose record it is, or that it is about, by collection and field.
_NAMING: tuple[tuple[type[Entity], str], ...] = tuple(
    (cls, name)
    for cls in ENTITIES
    if cls.entity not in LEFT_BEHIND
    for name in ("customer_id", "referrer_id", "referred_id")
    if name in cls.kinds
)
_Moving: TypeAlias = tuple[type[Entity], str, list[Entity]]
"""Records of a kind that change hands, and the field that names whose they are."""


@attrs.frozen(kw_only=True)
class Merged:
    """Two customers that are one, or would be: ``customer`` is what ``kept`` came to by taking ``absorbed`` in.

    ``moved`` counts the records that change hands, by kind. ``same_people`` are pairs of ids of contacts that look like one
    person: the same name and a telephone number or an address in common; both stay.
    """

    customer: Customer
    kept: Customer
    absorbed: Customer
    moved: Mapping[str, int]
    same_people: tuple[tuple[str, str], ...]
    decided: tuple[tuple[str, Source, str, bool], ...]
    """Of each field whose value it has, by which rule, and whether it changes; the values are the customers'."""

    @property
    def fields(self) -> tuple[Choice, ...]:
        """What became of each field, and why, as far as the user may see the three."""
        return tuple(
            Choice(
                field=name,
                value=getattr(self.customer, name),
                kept=getattr(self.kept, name),
                absorbed=getattr(self.absorbed, name),
                source=source,
                rule=rule,
            )
            for name, source, rule, _ in self.decided
        )

    @property
    def changed(self) -> tuple[Choice, ...]:
        """The fields of the customer that is kept that change."""
        return tuple(one for one, (_, _, _, changes) in zip(self.fields, self.decided, strict=True) if changes)


@attrs.frozen
class MergeRecord:
    """What is kept of a merge beside the lists."""

    keep: str
    event: str
    before: Customer
    after: Customer
    prefer: Mapping[str, Any]
    moved: Mapping[str, list[str]]
    """Ids of the records that changed hands, by collection and field: ``contacts.customer_id``."""

    def told(self) -> dict[str, Any]:
        """As JSON can say it."""
        given = {name: value for name, value in self.prefer.items() if value not in ("keep", "absorb")}
        # A preferred value is read again from the customer that it became part of.
        sides = {name: value for name, value in self.prefer.items() if name not in given}
        return {
            "keep": self.keep,
            "event": self.event,
            "before": to_content(self.before),
            "after": to_content(self.after),
            "sides": sides,
            "given": to_content(self.before.replace(**given)) if given else {},
            "given_fields": sorted(given),
            "moved": self.moved,
        }

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> MergeRecord:
        """The record of which :meth:`told` told."""
        given = from_content("customer", told["given"]) if told["given"] else None
        return cls(
            keep=told["keep"],
            event=told["event"],
            before=customer_from(told["before"]),
            after=customer_from(told["after"]),
            prefer={**told["sides"], **{name: getattr(given, name) for name in told["given_fields"]}},
            moved=told["moved"],
        )


def customer_from(content: Mapping[str, Any]) -> Customer:
    found = from_content("customer", content)
    assert isinstance(found, Customer)
    return found


# Merging


def plan_merge(
    work: Work, keep: Customer | str, absorb: Customer | str, prefer: Mapping[str, Any]
) -> tuple[Merged, dict[str, Any], list[_Moving]]:
    """What a merge would make, what is preferred, cleaned, and the records that change hands.

    Raises :class:`MergeRefused`, :class:`Invalid`.
    """
    kept, absorbed = _present(work, keep), _present(work, absorb)
    for side in (kept, absorbed):
        work.ask(side, "merge")
    work.must_write(kept, prefer)
    if kept.id == absorbed.id:
        raise MergeRefused("a customer is not merged with itself")
    meant = _preferred(work, kept, absorbed, prefer)
    registration = work.normaliser.registration
    if kept.uscc and absorbed.uscc and "uscc" not in prefer:
        one, other = (registration(uscc).key or uscc for uscc in (kept.uscc, absorbed.uscc))
        if one != other:
            raise MergeRefused("the two have different registration numbers; say which one is right: prefer uscc")
    found = choices(kept, absorbed, work.playbook.lifecycle, meant)
    changes = {one.field: one.value for one in found if one.value != one.kept}
    after = kept.replace(**changes)
    moved = list(_moved(work, absorbed.id))
    counted: dict[str, int] = {}
    for cls, _, records in moved:
        counted[cls.entity] = counted.get(cls.entity, 0) + len(records)
    told = Merged(
        customer=after,
        kept=kept,
        absorbed=absorbed,
        decided=tuple((one.field, one.source, one.rule, one.value != one.kept) for one in found),
        moved={name: number for name, number in counted.items() if number},
        same_people=tuple(_same_people(work, kept.id, absorbed.id)),
    )
    return told, meant, moved


def merge(
    work: Work,
    keep: Customer | str,
    absorb: Customer | str,
    prefer: Mapping[str, Any],
    reason: str | None = None,
) -> Merged:
    """Merges within a unit of work; see :meth:`Customers.merge`."""
    planned, meant, moving = plan_merge(work, keep, absorb, prefer)
    with work.following():
        return _merge(work, planned, meant, moving, reason)


def _merge(work: Work, planned: Merged, meant: Mapping[str, Any], moving: list[_Moving], reason: str | None) -> Merged:
    kept, absorbed = work.current(Customer, planned.customer.id), planned.absorbed
    changes = {one.field: one.value for one in planned.changed}
    after = work.change(kept, "customer.merged", changes, reason=reason, silent=True)
    told = {one.field: [one.kept, one.value] for one in planned.changed}
    event = work.note(after, MERGED, {**told, "absorbed": [None, absorbed.number]}, reason)
    work.note(absorbed, MERGED, {"into": [None, kept.number]}, reason)
    moved: dict[str, list[str]] = {}
    for cls, field, records in moving:
        for record in records:
            present = work.get(cls, record.id) or record  # a referral may name the customer twice
            hand(work, present, field, after)
        if records:
            moved[f"{cls.collection}.{field}"] = [record.id for record in records]
    inner = work.find(Alias, Eq("customer_id", absorbed.id))
    for alias in inner:
        work.put(alias.replace(customer_id=kept.id, version=alias.version + 1), alias, MERGED)
    work.add(
        Alias(
            id=absorbed.number,
            customer_id=kept.id,
            absorbed_id=absorbed.id,
            into_id=kept.id,
            at=work.now,
            by=work.actor,
        ),
        MERGED,
    )
    point_keys(work, [absorbed.id, *(one.absorbed_id for one in inner)], kept.id)
    done = MergeRecord(kept.id, event.id, kept, after, meant, moved)
    put_away(work, absorbed.id, "merge", absorbed.id, done.told(), "merged")
    take_away(work, absorbed, absorbed.id, "merged")
    return attrs.evolve(planned, customer=after)


def point_keys(work: Work, absorbed_ids: list[str], customer_id: str) -> None:
    """By the name and the registration number of an absorbed customer the one is found that it is now."""
    for key in work.find(MatchKey, In("subject_id", tuple(absorbed_ids))) if absorbed_ids else ():
        work.put(key.replace(customer_id=customer_id, version=key.version + 1), key, MERGED)


def _present(work: Work, wanted: Customer | str) -> Customer:
    """A customer that is on the lists. Raises :class:`MergeRefused` for one that is absorbed."""
    found = work.current(Customer, wanted)
    named = (wanted,) if isinstance(wanted, str) else (wanted.id, wanted.number)
    if found.id not in named and found.number not in named:
        raise MergeRefused.phrased("{number} was absorbed by {into} already", number=named[-1], into=found.number)
    return found


def _preferred(work: Work, kept: Customer, absorbed: Customer, prefer: Mapping[str, Any]) -> dict[str, Any]:
    """What is preferred, in the playbook's words and cleaned. Raises :class:`Invalid` with every issue."""
    issues: list[Issue] = []
    if not prefer.keys() <= Customer.kinds.keys():
        fields = [name for name in Customer.kinds if name not in (*STAMPS, *NEVER_PREFERRED)]
        issues.append(Issue(code="bad_choice", field="customer.prefer", facts={"allowed": ", ".join(fields)}))
    given: dict[str, Any] = {}
    for name, value in prefer.items():
        side = isinstance(value, str) and value in ("keep", "absorb")
        if name not in Customer.kinds:
            continue
        if name in STAMPS or name in NEVER_PREFERRED:
            issues.append(Issue(code="refused", field=f"customer.{name}", facts={"why": "it is not set this way"}))
        elif not side and name in SIDES_ONLY:
            issues.append(Issue(code="bad_choice", field=f"customer.{name}", facts={"allowed": "keep, absorb"}))
        elif not side:
            given[name] = value
    told = meant("customer", given, work.playbook)
    values = {name: told.get(name, getattr(kept, name)) for name in Customer.kinds}
    issues += [
        issue
        for issue in check_customer(values, None, work.playbook)
        if issue.level == "error" and (issue.field or "").partition(".")[2] in told
    ]
    cleaned = kept
    try:
        cleaned = kept.replace(**told)
    except Invalid as invalid:
        reported = {issue.field for issue in issues}
        issues += [issue for issue in invalid.issues if issue.field not in reported]
    if issues:
        raise Invalid(issues)
    return {name: getattr(cleaned, name) if name in told else value for name, value in prefer.items()}


def _moved(work: Work, customer_id: str) -> Iterator[_Moving]:
    """The records that change hands with a customer, by kind and by the field that names the customer."""
    for cls, field in _NAMING:
        records: list[Entity] = list(work.find(cls, Eq(field, customer_id), ("id",)))
        if cls is OutboxMessage:
            # What is being sent, or was, is told of the customer as it was.
            records = [one for one in records if waits(work, one)]
        yield cls, field, records


def waits(work: Work, message: Any) -> bool:
    claimed = message.claimed_until is not None and message.claimed_until > work.now
    return message.state == "waiting" and not claimed


def hand(work: Work, record: Entity, field: str, customer: Customer) -> Entity:
    """Gives a record to another customer, without an event of its own: that of the customers tells it."""
    changes: dict[str, Any] = {field: customer.id, "version": work.next_version(record)}
    if isinstance(record, OutboxMessage):
        changes["customer_number"] = customer.number
    changed = record.replace(**changes)
    work.put(changed, record, MERGED)
    return changed


def _same_people(work: Work, keep_id: str, absorb_id: str) -> Iterator[tuple[str, str]]:
    """Contacts of both that share their name and a number or an address."""
    kept, absorbed = (work.find(Contact, Eq("customer_id", id), ("id",)) for id in (keep_id, absorb_id))
    known = [(one, _person(one, work.normaliser)) for one in kept]
    for other in absorbed:
        name, keys = _person(other, work.normaliser)
        for one, (own_name, own_keys) in known:
            if name == own_name and keys & own_keys:
                yield one.id, other.id


def _person(contact: Contact, normaliser: Normaliser) -> tuple[str | None, set[tuple[str, str]]]:
    return normaliser.person_name(contact.name).key, set(match_keys(contact, normaliser))
