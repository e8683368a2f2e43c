"""What looks wrong of a customer and keeps nobody from writing it down: doubtful forms, contradictions, vague needs. Pure.

Every finding is a warning. What breaks a rule is an error, and :mod:`crmcore.rules.validation`'s to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from itertools import combinations
from typing import Any

import attrs

from crmcore.domain.playbook import Playbook
from crmcore.errors import Issue
from crmcore.rules.normalisation import Normalised, Normaliser, finding
from crmcore.rules.timing import local_day, zone_named
from crmcore.rules.validation import vague_needs

_REGIONAL = ("customer.address", "customer.uscc", "contact.phones")
"""The fields that say in which province somebody is, the most telling first."""


def customer_findings(
    values: Mapping[str, Any], contacts: Sequence[Mapping[str, Any]], playbook: Playbook, normaliser: Normaliser
) -> list[Issue]:
    """What is doubtful of a customer and its people, whose fields are given by name; a field that isn't there says nothing."""
    read = list(_read_customer(values, normaliser))
    people = [pair for contact in contacts for pair in _read_contact(contact, normaliser)]
    found = [*_told(read), *_told(people)]
    found += _contradictions(values, playbook, normaliser)
    found += _regions([*read, *people])
    found += vague_needs(values, playbook)
    return list({(issue.field, issue.code, tuple(issue.facts.items())): issue for issue in found}.values())


def contact_findings(values: Mapping[str, Any], normaliser: Normaliser) -> list[Issue]:
    """What is doubtful of one person."""
    return list(_told(_read_contact(values, normaliser)))


def _read_customer(values: Mapping[str, Any], normaliser: Normaliser) -> Iterator[tuple[str, Normalised]]:
    forms = {"uscc": normaliser.registration, "industry": normaliser.industry, "address": normaliser.address}
    if values.get("kind", "enterprise") == "enterprise":
        forms["name"] = normaliser.company_name
    for name, form in forms.items():
        text = values.get(name)
        if isinstance(text, str) and text.strip():
            yield f"customer.{name}", form(text)


def _read_contact(values: Mapping[str, Any], normaliser: Normaliser) -> Iterator[tuple[str, Normalised]]:
    for text in _texts(values.get("phones")):
        yield from (("contact.phones", phone) for phone in normaliser.phones(text))
    for text in _texts(values.get("emails")):
        yield "contact.emails", normaliser.email(text)
    for text in _texts([values.get("wechat")]):
        yield "contact.wechat", normaliser.wechat(text)


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, (list, tuple)) else []


def _told(read: Iterable[tuple[str, Normalised]]) -> Iterator[Issue]:
    for field, normalised in read:
        yield from (attrs.evolve(issue, field=field) for issue in normalised.findings)


def _contradictions(values: Mapping[str, Any], playbook: Playbook, normaliser: Normaliser) -> Iterator[Issue]:
    first, last = values.get("first_contact_on"), values.get("last_follow_up_at")
    last_day = _day_of(last, playbook)
    if type(first) is date and last_day is not None and first > last_day:
        yield _contradiction("customer.last_follow_up_at", "customer.first_contact_on")
    signed, expires = values.get("contract_signed_on"), values.get("contract_expires_on")
    if type(signed) is date and type(expires) is date and expires < signed:
        yield _contradiction("customer.contract_expires_on", "customer.contract_signed_on")
    if values.get("kind") == "individual":
        if values.get("uscc"):
            yield _contradiction("customer.kind", "customer.uscc")
        name = values.get("name")
        if isinstance(name, str) and normaliser.is_company(name):
            yield _contradiction("customer.kind", "customer.name")
    banded = _banded(values.get("headcount_low"), playbook)
    if banded is not None and values.get("scale") not in (None, banded):
        yield _contradiction("customer.scale", "customer.headcount_low")


def _day_of(moment: Any, playbook: Playbook) -> date | None:
    """The day of a moment in the team's zone."""
    if not isinstance(moment, datetime) or moment.utcoffset() is None:
        return None
    return local_day(moment, zone_named(playbook.timezone))


def _banded(headcount: Any, playbook: Playbook) -> str | None:
    """The scale that a number of people has by the playbook's bands; None below all of them."""
    if type(headcount) is not int:
        return None
    reached = {least: scale for scale, least in playbook.scale_bands.items() if headcount >= least}
    return reached[max(reached)] if reached else None


def _regions(read: Iterable[tuple[str, Normalised]]) -> Iterator[Issue]:
    """Fields that name two provinces: each against the most telling one that names another."""
    provinces: dict[str, set[str]] = {}
    for field, normalised in read:
        if field in _REGIONAL and (province := normalised.parts.get("province")):
            provinces.setdefault(field, set()).add(province)
    told: set[str] = set()
    for one, other in combinations([field for field in _REGIONAL if field in provinces], 2):
        if other not in told and not provinces[one] & provinces[other]:
            told.add(other)
            yield _contradiction(other, one)


def _contradiction(field: str, other: str) -> Issue:
    return attrs.evolve(finding("contradiction", other=other), field=field)
