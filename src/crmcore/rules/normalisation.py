"""One form for what people write in many: telephone numbers, addresses, names, codes (seeds 000, 004). Pure.

A :class:`Normaliser` knows the forms of one country; a plugin brings one by the hook ``crm_normalisers``. What it makes of
a text is a :class:`Normalised`: the text as it was written, the form to show, and the value to compare by. It never raises
for a text, and never guesses between two readings: then there are ``candidates`` and no key. What looks wrong is a finding,
which keeps nobody from writing it.
"""

from __future__ import annotations

import re
import unicodedata
from abc import ABC
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import attrs

from crmcore.domain import Contact, Customer
from crmcore.domain.policies import Label
from crmcore.domain.values import FrozenMap, fold
from crmcore.errors import Issue
from crmcore.rules.validation import is_email, is_phone

NO_PARTS = FrozenMap()


@attrs.frozen
class Candidate:
    """One of several readings of a text: the value to compare by, and how a person reads it."""

    key: str
    shown: str


@attrs.frozen(kw_only=True)
class Normalised:
    """What a normaliser made of a text.

    ``key`` is the value to compare by; None where the text has no sure reading. ``shown`` is the one form to show, the
    text itself where there is none. ``parts`` are what it is made of, by names that each method of :class:`Normaliser` gives.
    ``candidates`` are the readings between which the text leaves a choice. ``findings`` are warnings without a field, which
    the caller knows.
    """

    original: str
    key: str | None
    shown: str
    parts: Mapping[str, str] = NO_PARTS
    candidates: tuple[Candidate, ...] = ()
    findings: tuple[Issue, ...] = ()


def finding(code: str, **facts: Any) -> Issue:
    """A warning of that code, without a field."""
    return Issue(code=code, level="warning", facts=facts)


def half_width(text: str) -> str:
    """The text in NFKC, what can't be seen in it left out, and single blanks between its words."""
    plain = unicodedata.normalize("NFKC", text)
    # Format characters come along with what is copied from chats and web pages.
    if not plain.isprintable():
        seen = (sign for sign in plain if sign.isspace() or unicodedata.category(sign) not in ("Cf", "Cc", "Cs"))
        plain = unicodedata.normalize("NFKC", "".join(seen))
    return " ".join(plain.split())


def without_blanks(text: str) -> str:
    """The text in half width with no blanks at all."""
    # A mark that stood behind a blank joins the letter before it.
    return unicodedata.normalize("NFKC", half_width(text).replace(" ", ""))


class NameReason(Protocol):
    """Why two names resemble each other, or don't."""

    @property
    def label(self) -> Label:
        """The words for it in both languages."""
        ...


class NameIndex(Protocol):
    """Names of companies under ids, to be found by what resembles them."""

    def add(self, id: str, name: str, *former: str) -> None:
        """Put names under an id."""

    def remove(self, id: str) -> None:
        """Forget an id and its names; one that isn't there is no error."""

    def find(self, name: str, limit: int = 10) -> Sequence[tuple[str, float, Sequence[NameReason]]]:
        """The ids with the nearest names, best first, with a score from 0 to 1; from 0.5 on somebody should look at the two."""
        ...


class Normaliser(ABC):
    """The forms of one country. The methods here know none and need no library; a country's own class overrides what it knows.

    Every method is pure, takes any text without raising, and gives the same for what it made: what ``shown`` says has the
    key that the text had.
    """

    key: str
    """A short name: ``cn``."""

    def phone(self, text: str, *, area: str | None = None) -> Normalised:
        """A telephone number as it is dialled.

        ``area`` is an area code or an address that a local number without one belongs to. The key has the country (``+86…``)
        and no extension: who shares a line shares the key. Parts: ``kind`` (``mobile``, ``landline``, ``service``, ``foreign``),
        ``country``, ``area_code``, ``number``, ``extension``, ``province``.
        """
        plain = half_width(text)
        digits = "".join(sign for sign in plain if sign.isdigit())
        if not is_phone(plain):
            return Normalised(original=text, key=None, shown=text, findings=(finding("bad_phone"),))
        return Normalised(original=text, key=f"+{digits}" if plain.startswith("+") else digits, shown=plain)

    def phones(self, text: str, *, area: str | None = None) -> tuple[Normalised, ...]:
        """Every number in a text; here the text is one."""
        return (self.phone(text, area=area),)

    def email(self, text: str) -> Normalised:
        """An e-mail address. The key is without case. Parts: ``local``, ``domain``."""
        plain = half_width(text)
        if not is_email(plain):
            return Normalised(original=text, key=None, shown=text, findings=(finding("bad_email"),))
        local, _, domain = plain.rpartition("@")
        shown = f"{local}@{domain.lower()}"
        parts = FrozenMap({"local": local, "domain": domain.lower()})
        return Normalised(original=text, key=fold(shown), shown=shown, parts=parts)

    def wechat(self, text: str) -> Normalised:
        """A WeChat name, which is without case."""
        return _folded(text)

    def registration(self, text: str) -> Normalised:
        """The number under which a country registers a company. Parts are the country's own, and ``province``."""
        plain = without_blanks(without_blanks(text).upper())
        return Normalised(original=text, key=plain or None, shown=plain or text)

    def company_name(self, text: str) -> Normalised:
        """The name of a company. Parts: ``region``, ``core`` (字号), ``industry``, ``form`` (legal form), ``branch``."""
        return _folded(text)

    def is_company(self, text: str) -> bool:
        """Whether no person has such a name."""
        return False

    def person_name(self, text: str) -> Normalised:
        """The name of a person. Parts, where they are sure: ``family``, ``given``."""
        return _folded(text)

    def address(self, text: str) -> Normalised:
        """A postal address. Parts: ``division`` (a code), ``province``, ``city``, ``county``, ``rest``."""
        return _folded(text)

    def industry(self, text: str) -> Normalised:
        """An industry; the key is a code of the country's standard. Parts: ``name``, ``section``."""
        return _folded(text)

    def name_index(self) -> NameIndex | None:
        """An empty index of names of companies that knows what people mistake in them; None where there is none."""
        return None

    def short_code(self, text: str) -> str | None:
        """The capital letters and digits that stand for a name in a number (seed 001: ``AB20240001``); None where none do.

        Here the initials of the words of a Latin name, or its one word.
        """
        plain = half_width(text).upper()
        if not plain.isascii():
            return None
        words = re.findall(r"[A-Z0-9]+", plain)
        return "".join(word[0] for word in words) if len(words) > 1 else "".join(words) or None


class PlainNormaliser(Normaliser):
    """What holds in every country; used where no plugin brings another."""

    key = "plain"


def _folded(text: str) -> Normalised:
    plain = half_width(text)
    return Normalised(original=text, key=fold(plain) or None, shown=plain or text)


def reads_phone(normaliser: Normaliser, text: str) -> bool:
    """Whether a text is a telephone number, or one that the normaliser reads without a doubt, with words around it."""
    if is_phone(text):
        return True
    found = normaliser.phones(text)
    return bool(found) and all(one.key and not one.findings for one in found)


def match_keys(entity: Customer | Contact, normaliser: Normaliser) -> tuple[tuple[str, str], ...]:
    """The exact keys by which a customer or a contact is found again: pairs of a kind and a value, each once.

    A customer has ``uscc`` and, unless it is a person, ``name``; a contact ``phone``, ``email`` and ``wechat``: two people may
    share a name. What has no sure reading gives no key.
    """
    return tuple(dict.fromkeys(_keys(entity, normaliser)))


def _keys(entity: Customer | Contact, normaliser: Normaliser) -> Iterator[tuple[str, str]]:
    made: list[tuple[str, Normalised]] = []
    if isinstance(entity, Customer):
        if entity.uscc:
            made.append(("uscc", normaliser.registration(entity.uscc)))
        if entity.kind == "enterprise":
            made.append(("name", normaliser.company_name(entity.name)))
    else:
        made += [("phone", phone) for text in entity.phones for phone in normaliser.phones(text)]
        made += [("email", normaliser.email(email)) for email in entity.emails]
        if entity.wechat:
            made.append(("wechat", normaliser.wechat(entity.wechat)))
    for kind, normalised in made:
        if normalised.key:
            yield kind, normalised.key
