"""The kinds of field an entity can have, and how each cleans what it is given.

A cleaner takes any value and returns the one to keep, or raises :class:`Unclean` with the code of the issue. What a
field is (type, length, choices, uniqueness) is said once, here and in the entity; the storage schema, the checks of an
import and the drop-downs of a template all follow from it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, cast

import attrs

from crmcore.domain.values import NO_CUSTOM, FrozenMap, Money

MAX_TEXT = 32_767  #: the longest text that a spreadsheet cell keeps
MAX_NAME = 1_000  #: the longest text that is searched in its folded form, which can be longer
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1

FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(9000, 12, 31)
"""What a calendar of customers needs; it leaves room for durations to be added on either side."""

KindName = Literal["text", "choice", "integer", "flag", "day", "instant", "money", "decimal", "texts", "custom"]
Clean = Callable[[Any], Any]


class Unclean(ValueError):
    """A value that a field can't hold: the code of the issue and its facts.

    ``parts`` has each part at fault by name, for a field that holds several values.
    """

    def __init__(self, code: str, **facts: Any) -> None:
        super().__init__(code)
        self.code, self.facts = code, facts
        self.parts: Mapping[str, Unclean] = {}


@attrs.frozen(kw_only=True)
class Kind:
    """What a field holds, read by the schema, the codec and the import from the attribute's metadata."""

    name: KindName
    clean: Clean
    required: bool = False
    default: Any = None
    choices: tuple[str, ...] = ()
    folded: bool = False
    """Whether a search form without case and spaces is stored beside it."""


def clean_text(value: Any) -> str | None:
    """NFC text without control characters (line feed and tab stay) and broken surrogates; blank is None."""
    if type(value) is not str:
        raise Unclean("bad_type", expected="text")
    if not value.isprintable():
        value = value.replace("\r\n", "\n").replace("\r", "\n").replace("\u00a0", " ")
        for character in value:
            if character not in "\n\t" and unicodedata.category(character) in ("Cc", "Cs", "Cn"):
                raise Unclean("bad_text")
    if not value.isascii() and not unicodedata.is_normalized("NFC", value):
        value = unicodedata.normalize("NFC", value)
    value = value.strip()
    # A cell counts what lies beyond the basic plane twice.
    if len(value) > MAX_TEXT or (len(value) > MAX_TEXT // 2 and len(value.encode("utf-16-le")) > 2 * MAX_TEXT):
        raise Unclean("too_long", limit=MAX_TEXT)
    return value or None


def clean_name(value: Any) -> str | None:
    """A text of at most :data:`MAX_NAME` characters."""
    cleaned = clean_text(value)
    if cleaned is not None and len(cleaned) > MAX_NAME:
        raise Unclean("too_long", limit=MAX_NAME)
    return cleaned


def clean_integer(value: Any) -> int:
    """A whole number of 64 bits; True and 1.0 are not whole numbers."""
    if type(value) is not int:
        raise Unclean("bad_type", expected="a whole number")
    if not MIN_INTEGER <= value <= MAX_INTEGER:
        raise Unclean("out_of_range", limit="64 bits")
    return value


def clean_count(value: Any) -> int:
    """A whole number from zero on."""
    if clean_integer(value) < 0:
        raise Unclean("out_of_range", limit="numbers from zero on")
    return cast(int, value)


def clean_flag(value: Any) -> bool:
    """True or False and nothing else."""
    if type(value) is not bool:
        raise Unclean("bad_type", expected="true or false")
    return value


def clean_day(value: Any) -> date:
    """A calendar date; a date-time is refused, since its day depends on the zone."""
    if type(value) is not date:
        raise Unclean("bad_date")
    if not FIRST_DAY <= value <= LAST_DAY:
        raise Unclean("out_of_range", limit="the years 1900 to 9000")
    return value


def clean_instant(value: Any) -> datetime:
    """An aware date-time, kept in UTC and cut to milliseconds."""
    if not isinstance(value, datetime):
        raise Unclean("bad_type", expected="a date and time")
    if value.tzinfo is not UTC:
        if value.utcoffset() is None:
            raise Unclean("naive_time")
        try:
            value = value.astimezone(UTC)
        except OverflowError:
            raise Unclean("out_of_range", limit="the years 1900 to 9000") from None
    moment: datetime = value
    if not FIRST_DAY.year <= moment.year <= LAST_DAY.year:
        raise Unclean("out_of_range", limit="the years 1900 to 9000")
    extra = moment.microsecond % 1000
    return moment - timedelta(microseconds=extra) if extra else moment


def clean_money(value: Any) -> Money:
    """A :class:`Money` from zero on; a bare number has no currency and is refused."""
    if type(value) is not Money:
        raise Unclean("bad_money")
    if value.minor < 0:
        raise Unclean("out_of_range", limit="amounts from zero on")
    return value


def clean_decimal(value: Any) -> Decimal:
    """A finite decimal number."""
    if type(value) is not Decimal or not value.is_finite():
        raise Unclean("bad_number")
    return value


def clean_texts(value: Any) -> tuple[str, ...]:
    """Texts in their order, blanks and repetitions dropped."""
    if value == ():
        return ()
    if isinstance(value, str) or not isinstance(value, (list, tuple)):
        raise Unclean("bad_type", expected="a list of texts")
    cleaned = dict.fromkeys(text for text in map(clean_text, value) if text)
    if sum(map(len, cleaned)) + 6 * len(cleaned) > MAX_TEXT:
        raise Unclean("too_long", limit=MAX_TEXT)
    return tuple(cleaned)


def clean_custom(value: Any) -> FrozenMap:
    """A team's own fields: names to text, whole numbers, true/false or nothing. Their types are the playbook's."""
    if not isinstance(value, Mapping):
        raise Unclean("bad_type", expected="a mapping")
    cleaned: dict[str, Any] = {}
    problems: dict[str, Unclean] = {}
    for name, item in value.items():
        key = clean_text(name) if type(name) is str else None
        if key is None:
            raise Unclean("bad_type", expected="a mapping with names for its keys")
        try:
            kept = _clean_custom_value(item)
        except Unclean as problem:
            problems[key] = problem
            continue
        if kept is not None:
            cleaned[key] = kept
    if problems:
        told = Unclean("bad_type", expected=_CUSTOM_VALUES)
        told.parts = problems
        raise told
    if sum(len(f"{key}{item}") + 8 for key, item in cleaned.items()) > MAX_TEXT // 2:
        raise Unclean("too_long", limit=MAX_TEXT // 2)
    return FrozenMap(cleaned) if cleaned else NO_CUSTOM


_CUSTOM_VALUES = "text, a whole number, true or false"


def _clean_custom_value(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if type(value) is int:
        return clean_integer(value)
    if value is not None and type(value) is not bool:
        raise Unclean("bad_type", expected=_CUSTOM_VALUES)
    return value


def _field(kind: Kind) -> Any:
    return attrs.field(default=attrs.NOTHING if kind.required else kind.default, metadata={"kind": kind})


# The specifiers below are typed as what they stand for, so that an entity reads as plain annotations; type checkers see
# a field without ``default`` as one that must be given.


def text(*, folded: bool = False) -> Any:
    """A text that must be there."""
    return _field(Kind(name="text", clean=clean_name if folded else clean_text, required=True, folded=folded))


def optional_text(*, default: str | None = None) -> Any:
    """A text, or None."""
    return _field(Kind(name="text", clean=clean_text, default=default))


def choice(*choices: str, default: str | None = None) -> Any:
    """One of a fixed set of words, or the default."""
    allowed = frozenset(choices)

    def clean_choice(value: Any) -> str:
        if type(value) is not str or value not in allowed:
            raise Unclean("bad_choice", allowed=", ".join(choices))
        return value

    return _field(Kind(name="choice", clean=clean_choice, default=default, choices=choices))


def whole(*, default: int | None = None) -> Any:
    """A whole number of 64 bits, or the default."""
    return _field(Kind(name="integer", clean=clean_integer, default=default))


def count(*, default: int | None = None) -> Any:
    """A whole number from zero on, or the default."""
    return _field(Kind(name="integer", clean=clean_count, default=default))


def flag(*, default: bool = False) -> Any:
    """True or False."""
    return _field(Kind(name="flag", clean=clean_flag, default=default))


def day(*, default: date | None = None) -> Any:
    """A calendar date, or None."""
    return _field(Kind(name="day", clean=clean_day, default=default))


def required_day() -> Any:
    """A calendar date that must be there."""
    return _field(Kind(name="day", clean=clean_day, required=True))


def instant() -> Any:
    """A moment that must be there: aware, UTC, milliseconds."""
    return _field(Kind(name="instant", clean=clean_instant, required=True))


def optional_instant(*, default: datetime | None = None) -> Any:
    """A moment, or None."""
    return _field(Kind(name="instant", clean=clean_instant, default=default))


def money(*, default: Money | None = None) -> Any:
    """An amount of money from zero on, or None."""
    return _field(Kind(name="money", clean=clean_money, default=default))


def texts(*, default: tuple[str, ...] = ()) -> Any:
    """A tuple of texts."""
    return _field(Kind(name="texts", clean=clean_texts, default=default))


def custom(*, default: FrozenMap = NO_CUSTOM) -> Any:
    """A team's own fields."""
    return _field(Kind(name="custom", clean=clean_custom, default=default))


def kind_of(attribute: attrs.Attribute[Any]) -> Kind:
    """The kind that an entity's attribute was declared with."""
    return cast(Kind, attribute.metadata["kind"])
