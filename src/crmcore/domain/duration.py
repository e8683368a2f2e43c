"""A length of time as a policy says it: ``7 days``, ``24 hours``, ``1 month``, ``3 working_days``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, cast, get_args

import attrs

Unit = Literal["minutes", "hours", "days", "months", "working_days", "working_hours"]

UNITS: tuple[Unit, ...] = get_args(Unit)
LONGEST = 999_999
_LARGER: Mapping[str, tuple[str, int]] = {"weeks": ("days", 7), "years": ("months", 12)}
_ALLOWED = f"a duration is a whole number from 1 to {LONGEST}, a space and a unit ({', '.join((*UNITS, *_LARGER))}), as in 7 days"
_WRITTEN = re.compile(r"([1-9][0-9]{0,5}) ([a-z_]+)")


def _amount(instance: object, attribute: attrs.Attribute[int], value: int) -> None:
    if type(value) is not int or not 1 <= value <= LONGEST:
        raise ValueError(_ALLOWED)


def _unit(instance: object, attribute: attrs.Attribute[Unit], value: Unit) -> None:
    if value not in UNITS:
        raise ValueError(_ALLOWED)


@attrs.frozen
class Duration:
    """A positive amount of one unit. What it comes to is the business of the rules that know calendars and zones.

    Minutes and hours are elapsed time, days and months calendar time, the working units count open time alone.

    >>> Duration.parse("2 weeks")
    Duration(amount=14, unit='days')
    >>> str(Duration(1, "months"))
    '1 month'
    """

    amount: int = attrs.field(validator=_amount)
    unit: Unit = attrs.field(validator=_unit)

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Reads what ``str`` writes; weeks become days, years months. Raises ValueError that says what is allowed."""
        written = _WRITTEN.fullmatch(text)
        if not written:
            raise ValueError(_ALLOWED)
        unit = written[2].removesuffix("s") + "s"
        kept, times = _LARGER.get(unit, (unit, 1))
        amount = int(written[1]) * times
        if amount > LONGEST:
            most = f"{unit} are kept as {kept}, and {LONGEST} {kept} ({LONGEST // times} {unit}) are the most"
            raise ValueError(f"{_ALLOWED}; {most}")
        return cls(amount, cast(Unit, kept))

    def __str__(self) -> str:
        return f"{self.amount} {self.unit.removesuffix('s') if self.amount == 1 else self.unit}"
