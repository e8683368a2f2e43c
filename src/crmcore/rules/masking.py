"""Masks (脱敏): enough of a value to tell that it is the right one, too little to use it.

What is shown is never the value itself, has as many characters as a phone, a name or a code has (an address and a text tell no length),
and of a short value shows nothing but asterisks. The forms are those that people know: ``138****5678``, ``d********@126.com``, ``段**``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from crmcore.domain.fields import Kind

STAR = "*"
UNSEEN = "***"
"""What stands for a text of which nothing is shown, where a text must stand."""

_MOBILE = re.compile(r"1[3-9]\d{9}")
_HAS_HAN = re.compile(r"[㐀-鿿\U00020000-\U0003ffff]")


def _covered(text: str, head: int, tail: int) -> str:
    """The text with all but its ends covered; wholly where less than half of it would be."""
    if len(text) < 2 * (head + tail) or len(text) < 2:
        return STAR * max(len(text), len(UNSEEN))
    return text[:head] + STAR * (len(text) - head - tail) + (text[-tail:] if tail else "")


def mask_phone(phone: str) -> str:
    """A mobile number without its middle four digits (002: 138****5678), any other number without all but its last two.

    ``010-62345678`` is ``010-******78``: an area code tells no more than the town.
    """
    area, dash, rest = phone.partition("-")
    if dash and area.startswith("0") and area.isdigit() and len(area) <= 4 and len(rest) >= 5:
        return f"{area}-{STAR * (len(rest) - 2)}{rest[-2:]}"
    digits = re.sub(r"[\s-]", "", phone)
    mobile = _MOBILE.search(digits)
    if mobile and len(digits) - 11 <= 5:
        start = mobile.start()
        return digits[: start + 3] + STAR * 4 + digits[start + 7 :]
    return _covered(digits, 0, 2)


def mask_email(email: str) -> str:
    """The first letter and the domain: ``d********@126.com``; of one letter nothing."""
    name, at, domain = email.rpartition("@")
    if not at:
        return _covered(email, 1, 0)
    shown = name[:1] if len(name) > 1 else ""
    return f"{shown}{STAR * max(len(name) - len(shown), 1)}@{domain}"


def mask_name(name: str) -> str:
    """A person's or a firm's name: its first character, and an asterisk for each that follows; of one character nothing."""
    return name[0] + STAR * (len(name) - 1) if len(name) > 1 else STAR


def mask_code(code: str) -> str:
    """A code or an account (USCC, WeChat, an order's reference): its first and last two characters, of a short one fewer."""
    if len(code) >= 10:
        return _covered(code, 2, 2)
    return _covered(code, 1, 1) if len(code) >= 6 else STAR * max(len(code), len(UNSEEN))


def mask_address(address: str) -> str:
    """Province and town, or a quarter of a short address; the rest is one mark, whatever its length."""
    shown = min(6, len(address) // 4)
    return address[:shown] + UNSEEN


def mask_text(text: str) -> str:
    """Any other text: its first character where it has at least four; the rest is one mark, whatever its length."""
    return (text[0] if len(text) >= 4 else "") + UNSEEN


def mask_reach(text: str) -> str:
    """Something by which somebody is reached, told by its form."""
    if "@" in text:
        return mask_email(text)
    return mask_phone(text) if sum(character.isdigit() for character in text) >= 5 else mask_code(text)


_BY_FIELD: Mapping[str, Callable[[str], str]] = {
    "phones": mask_phone,
    "emails": mask_email,
    "wechat": mask_code,
    "uscc": mask_code,
    "reference": mask_code,
    "sha256": mask_code,
    "address": mask_address,
    "name": mask_name,
    "short_name": mask_name,
    "decision_makers": mask_name,
    "participants": mask_name,
    "service_contact": mask_name,
    "referred_name": mask_name,
    "display_name": mask_name,
    "referred_reach": mask_reach,
}


def masked(field: str, kind: Kind, value: Any) -> Any:
    """What is shown of a field's value at the level masked: of a number, a day, an amount and a choice nothing."""
    if value is None or value == kind.default:
        return value
    mask = _BY_FIELD.get(field, mask_text)
    if kind.name == "texts":
        return tuple(dict.fromkeys(_unlike(text, mask(text)) for text in value))
    if kind.name == "text":
        return _unlike(value, mask(value))
    return unseen(kind)


def mask_custom(value: Any) -> Any:
    """A value of a team's own field: of a text its beginning, of anything else nothing."""
    return _unlike(value, mask_text(value)) if isinstance(value, str) else None


def _unlike(text: str, mask: str) -> str:
    """The mask, unless the text is written in asterisks itself and is the same."""
    return mask if mask != text else UNSEEN if text != UNSEEN else UNSEEN + STAR


def unseen(kind: Kind) -> Any:
    """What stands for a value of which nothing is shown."""
    return UNSEEN if kind.name == "text" and kind.required else kind.default
