"""Small values that entities are made of: money, frozen mappings, the folded form of a name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

import attrs

#: ISO 4217 currencies whose minor unit is not a hundredth.
MINOR_DIGITS: Mapping[str, int] = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV"), 0),
    **dict.fromkeys(("XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}
_DIGITS = 40
_CURRENCY = re.compile(r"[A-Z]{3}")


def _integer(instance: object, attribute: attrs.Attribute[int], value: int) -> None:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise ValueError("money is counted in whole minor units of at most 64 bits")


def _currency(instance: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not isinstance(value, str) or not _CURRENCY.fullmatch(value):
        raise ValueError("a currency is three capital letters (ISO 4217)")


@attrs.frozen(order=False)
class Money:
    """An amount in minor units (fen, cents) of one currency; never a float, never silently rounded.

    >>> Money.of("1234.50", "CNY")
    Money(minor=123450, currency='CNY')
    >>> str(Money(minor=123450, currency="CNY"))
    'CNY 1234.50'
    """

    minor: int = attrs.field(validator=_integer)
    currency: str = attrs.field(default="CNY", validator=_currency)

    @classmethod
    def of(cls, amount: str | int | Decimal, currency: str = "CNY", *, rounded: bool = False) -> Money:
        """An amount in major units (yuan). More decimals than the currency has are refused unless ``rounded`` (half up).

        Raises ``ValueError``, also for a float, which is not exact.
        """
        if not isinstance(amount, (str, int, Decimal)) or isinstance(amount, bool):
            raise ValueError("an amount is given as text, as a whole number or as a Decimal; floats are not exact")
        try:
            given = Decimal(amount)
            with localcontext(prec=max(_DIGITS, len(given.as_tuple().digits) + 4)):
                scaled = given.scaleb(MINOR_DIGITS.get(currency, 2))
                whole = scaled.to_integral_value(rounding=ROUND_HALF_UP)
        except ArithmeticError as error:
            raise ValueError("this is not an amount of money") from error
        if not whole.is_finite():
            raise ValueError("this is not an amount of money")
        if whole != scaled and not rounded:
            raise ValueError("the amount has more decimals than its currency")
        return cls(int(whole), currency)

    @property
    def amount(self) -> Decimal:
        """The amount in major units, exact."""
        return Decimal(self.minor).scaleb(-MINOR_DIGITS.get(self.currency, 2))

    def __add__(self, other: Money) -> Money:
        if not isinstance(other, Money):
            return NotImplemented
        if other.currency != self.currency:
            raise ValueError("money of two currencies can't be added")
        return Money(self.minor + other.minor, self.currency)

    def __str__(self) -> str:
        return f"{self.currency} {self.amount:f}"


class FrozenMap(Mapping[str, Any]):
    """A mapping that can't change, for the custom fields of an entity."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, Any] | None = None) -> None:
        self._items: dict[str, Any] = dict(items or {})

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and self._items == dict(other)

    def __repr__(self) -> str:
        return f"FrozenMap({self._items!r})"

    def __reduce__(self) -> tuple[type[FrozenMap], tuple[dict[str, Any]]]:
        return FrozenMap, (self._items,)


NO_CUSTOM = FrozenMap()
_SPACES = re.compile(r"\s+")


def fold(text: str) -> str:
    """The form in which names are compared and searched: NFKC, no case, no spaces.

    >>> fold("ＡＢＣ　Trading Ltd")
    'abctradingltd'
    """
    if text.isascii():
        return "".join(text.split()).lower()
    # Casefolding can leave the normal form, and so can taking away what stood before a combining mark.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFKC", _SPACES.sub("", folded))
