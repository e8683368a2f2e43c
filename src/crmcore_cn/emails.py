"""E-mail addresses by their standards (RFC 5321, 5322, 6531), without asking any server."""

from __future__ import annotations

import re

from crmcore.domain.values import FrozenMap, fold
from crmcore.rules.normalisation import Normalised, finding, half_width
from crmcore_cn.libraries import library

_LABEL = re.compile(r"^(?:(?:电子)?邮箱|(?:电子)?邮件|e-?mail|mail|mailto)(?:地址)?\s*:\s*", re.IGNORECASE)
_LONGEST = 254
#: What most addresses are like, and right without a closer look. Names that only look registered have two letters at least.
_PLAIN = re.compile(
    r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*@[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z0-9]+(?:-[a-z0-9]+)*)*\.(?:com|cn|net|org)"
)


def read_email(text: str) -> Normalised:
    """One address; the key is without case, whatever a server makes of it."""
    plain = _LABEL.sub("", half_width(text).replace("。", "."))
    plain = plain.removeprefix("<").removesuffix(">").strip()
    if len(plain) > _LONGEST:
        return Normalised(original=text, key=None, shown=text, findings=(finding("bad_email"),))
    if not (len(plain) <= 64 and _PLAIN.fullmatch(plain)):
        validator = library("email_validator")
        try:
            plain = validator.validate_email(plain, check_deliverability=False, strict=True).normalized
        except validator.EmailNotValidError:
            return Normalised(original=text, key=None, shown=text, findings=(finding("bad_email"),))
    local, _, domain = plain.rpartition("@")
    return Normalised(original=text, key=fold(plain), shown=plain, parts=FrozenMap({"local": local, "domain": domain}))
