"""What a playbook asks of a record beyond the types of its fields (seeds 000, 004): every issue at once."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crmcore.domain.numbering import NumberScheme
from crmcore.domain.playbook import Playbook
from crmcore.domain.values import fold
from crmcore.errors import Issue
from crmcore.rules.stages import unknown_stage

#: Linear in time and deliberately wide: it finds what can't be an address. A strict check is a normaliser's business.
_EMAIL = re.compile(r"[^\s@,;]{1,64}@[^\s@,;.]{1,63}(?:\.[^\s@,;.]{1,63}){1,8}")
_PHONE_NOISE = re.compile(r"[\s()\-—–~.+/;:=#*]|转|分机号?|内线|ext|x", re.IGNORECASE)


def is_email(text: str) -> bool:
    """Whether a text has the form of an e-mail address."""
    return bool(_EMAIL.fullmatch(text))


def is_phone(text: str) -> bool:
    """Whether a text is 5 to 20 digits with the usual marks between them."""
    digits = _PHONE_NOISE.sub("", text if text.isascii() else unicodedata.normalize("NFKC", text))
    return digits.isdigit() and 5 <= len(digits) <= 20


def vague_needs(values: Mapping[str, Any], playbook: Playbook) -> list[Issue]:
    """A need that nobody can act on, as a warning (seed 000: "需要产品" is too vague), whatever signs stand around its words."""
    need = values.get("core_need")
    if isinstance(need, str) and _words(need) in {_words(vague) for vague in playbook.vague}:
        return [Issue(code="vague", field="customer.core_need", level="warning")]
    return []


def _words(text: str) -> str:
    return "".join(sign for sign in fold(text) if sign.isalnum())


def _blank(value: Any) -> bool:
    return value is None or value in ((), []) or (isinstance(value, str) and not value.strip())


def check_customer(
    values: Mapping[str, Any],
    contacts: Sequence[Mapping[str, Any]] | None,
    playbook: Playbook,
    reads_phone: Callable[[str], bool] = is_phone,
) -> list[Issue]:
    """What is missing from a customer, what names nothing in the playbook, and what is too vague to act on (a warning).

    A required field of a contact must be there in at least one of ``contacts`` (seed 000: one phone and one e-mail);
    with None for ``contacts`` nothing is asked of them. ``reads_phone`` tells whether a text is a telephone number.
    """
    issues: list[Issue] = []
    custom = values.get("custom")
    custom = custom if isinstance(custom, Mapping) else {}
    for field in playbook.required_fields("customer", values):
        entity, _, name = field.rpartition(".")
        if entity in ("", "customer"):
            if _blank(values.get(name)) and _blank(custom.get(name)):
                issues.append(Issue(code="required", field=f"customer.{name}"))
        elif contacts is not None and all(_blank(contact.get(name)) for contact in contacts):
            issues.append(Issue(code="required", field=field))
    stage = values.get("stage")
    if stage is not None and playbook.lifecycle.stage_key(str(stage)) != stage:
        issues.append(unknown_stage(playbook.lifecycle, "customer"))
    tiers = [tier.key for tier in playbook.tiers]
    if values.get("tier") is not None and tiers and values["tier"] not in tiers:
        issues.append(Issue(code="bad_choice", field="customer.tier", facts={"allowed": ", ".join(tiers)}))
    low, high = values.get("headcount_low"), values.get("headcount_high")
    if type(low) is int and type(high) is int and low > high:
        facts = {"limit": "numbers from headcount_low on"}
        issues.append(Issue(code="out_of_range", field="customer.headcount_high", facts=facts))
    issues += _custom_issues(custom, playbook)
    issues += vague_needs(values, playbook)
    for contact in contacts or ():
        issues += check_contact(contact, reads_phone)
    return issues


_CUSTOM_TYPES: Mapping[str, tuple[type, str]] = {
    "text": (str, "text"),
    "integer": (int, "a whole number"),
    "flag": (bool, "true or false"),
}


def _custom_issues(custom: Mapping[str, Any], playbook: Playbook) -> list[Issue]:
    """Custom fields that the playbook declares with another type; one that it doesn't declare is free."""
    issues = []
    for name, value in custom.items():
        declared = playbook.custom_fields.get(f"customer.{name}")
        if declared is not None and value is not None:
            kind, expected = _CUSTOM_TYPES[declared.kind]
            if type(value) is not kind:
                issues.append(Issue(code="bad_type", field=f"customer.{name}", facts={"expected": expected}))
    return issues


def meant(entity: str, values: Mapping[str, Any], playbook: Playbook) -> dict[str, Any]:
    """The values with every word that the playbook knows in place of what people say for it: ``企业客户`` is enterprise."""
    return {
        # A stage belongs to a graph of its own.
        name: (playbook.choice_key(f"{entity}.{name}", value) or value)
        if type(value) is str and name != "stage"
        else value
        for name, value in values.items()
    }


def _texts(value: Any) -> list[str]:
    """The texts of a list; what is no list of texts is for the field itself to refuse."""
    return [text for text in value if isinstance(text, str)] if isinstance(value, (list, tuple)) else []


def check_contact(values: Mapping[str, Any], reads_phone: Callable[[str], bool] = is_phone) -> list[Issue]:
    """Phones and e-mail addresses that can't be any."""
    issues = []
    phones, emails = _texts(values.get("phones")), _texts(values.get("emails"))
    if not all(map(reads_phone, phones)):
        issues.append(Issue(code="bad_phone", field="contact.phones"))
    if not all(map(is_email, emails)):
        issues.append(Issue(code="bad_email", field="contact.emails"))
    return issues


def check_number(series: str, number: Any, playbook: Playbook) -> list[Issue]:
    """A given number that only case, width or spaces tell from one of the series: ``crm2024-001`` beside ``CRM2024-001``.

    Any other that the series could not give comes from another system, and stays as it is.
    """
    template = playbook.numbering.get(series)
    if template is None or not isinstance(number, str) or NumberScheme.parse(template).read(number.strip()):
        return []
    if NumberScheme.parse(fold(template)).read(fold(number)) is None:
        return []
    return [Issue(code="bad_number_format", field=f"{series}.number", facts={"scheme": template})]
