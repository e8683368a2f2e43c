"""How a number for people is put together: ``C{year}{month}{day}{serial:3}`` gives ``C20240515001`` (seed 002).

A template is literal text around ``{short_name}`` (公司简称, seed 001), ``{year}``, ``{month}``, ``{day}`` and one ``{serial:N}`` of
N digits. The serial starts again in each scope: the short name and the parts of the date that the template has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import NamedTuple

import attrs

from crmcore.errors import Invalid, Issue, NumbersExhausted

_PIECE = re.compile(r"\{(\w+)(?::([1-9][0-9]?))?\}|[^{}\s]")
_PERIOD = {"year": r"[0-9]{4}", "month": r"[0-9]{2}", "day": r"[0-9]{2}"}
_PERIOD_DIGITS = {"year": ("0123456789",) * 4, "month": ("01", "0123456789"), "day": ("0123", "0123456789")}
MOST_DIGITS = 18
ALLOWED = (
    "a number scheme is text without spaces, {short_name}, {year}, {month}, {day} (each once at most)"
    f" and one {{serial:N}}, N from 1 to {MOST_DIGITS}"
)


class Place(NamedTuple):
    """A place that numbers hold a character in: which ones it can be (None: any), and whether it repeats."""

    allowed: frozenset[str] | None
    repeats: bool = False


@attrs.frozen
class NumberScheme:
    """A template, read. Pure: which serial is next is the store's to know.

    >>> scheme = NumberScheme.parse("{year}{month}{serial:3}")
    >>> scheme.format(1, date(2023, 10, 8)), scheme.scope("customer", date(2023, 10, 8))
    ('202310001', 'customer:202310')
    """

    template: str
    pieces: tuple[str, ...]
    """Literal characters, and the names of the parts in braces."""
    width: int
    """The digits of the serial."""

    @classmethod
    def parse(cls, template: str) -> NumberScheme:
        """Reads a template. Raises ValueError that says what is allowed."""
        pieces, width, end = [], 0, 0
        for found in _PIECE.finditer(template):
            name, digits = found[1], found[2]
            if found.start() != end or not found[0].isprintable():
                raise ValueError(ALLOWED)
            if name is not None:
                right = 1 <= int(digits or 0) <= MOST_DIGITS if name == "serial" else digits is None
                if not right or name not in ("serial", "short_name", *_PERIOD) or f"{{{name}}}" in pieces:
                    raise ValueError(ALLOWED)
                width = int(digits) if digits else width
            pieces.append(found[0] if name is None else f"{{{name}}}")
            end = found.end()
        if end != len(template) or not width:
            raise ValueError(ALLOWED)
        return cls(template, tuple(pieces), width)

    def parts(self, on: date, short_name: str | None = None) -> Mapping[str, str]:
        """What the template takes from the day and the company; raises :class:`Invalid` where it needs a short name."""
        has = {
            "year": f"{on.year:04}",
            "month": f"{on.month:02}",
            "day": f"{on.day:02}",
            "short_name": short_name or "",
        }
        parts = {name: text for name, text in has.items() if f"{{{name}}}" in self.pieces}
        if parts.get("short_name") == "":
            raise Invalid([Issue(code="required", field="customer.short_name")])
        return parts

    def scope(self, series: str, on: date, short_name: str | None = None) -> str:
        """The name of the counter that the serial comes from: ``customer:202310``. ``on`` is a day in the team's zone."""
        return self.scope_of(series, self.parts(on, short_name))

    def scope_of(self, series: str, parts: Mapping[str, str]) -> str:
        """The same for parts that :meth:`read` gave."""
        period = "".join(parts[name] for name in _PERIOD if name in parts)
        return ":".join(text for text in (series, period, parts.get("short_name", "")) if text)

    def format(self, serial: int, on: date, short_name: str | None = None) -> str:
        """The number. Raises :class:`NumbersExhausted` for a serial wider than the template, never a longer number."""
        if serial < 1:
            raise ValueError("serials count from 1")
        if serial >= 10**self.width:
            raise NumbersExhausted(
                f"the series {self.template} has no number left: its {self.width} digits end at {10**self.width - 1}",
                scheme=self.template,
                width=self.width,
            )
        texts = {**self.parts(on, short_name), "serial": f"{serial:0{self.width}}"}
        return "".join(texts[piece[1:-1]] if len(piece) > 1 else piece for piece in self.pieces)

    def read(self, number: str) -> tuple[Mapping[str, str], int] | None:
        """The parts and the serial of a number of this scheme; None where it is not one (another form, no such day, serial 0)."""
        kinds = {**_PERIOD, "serial": rf"[0-9]{{{self.width}}}", "short_name": r".+"}
        pattern = "".join(f"(?P<{p[1:-1]}>{kinds[p[1:-1]]})" if len(p) > 1 else re.escape(p) for p in self.pieces)
        found = re.fullmatch(pattern, number, re.DOTALL)
        if not found:
            return None
        parts = found.groupdict()
        serial = int(parts.pop("serial"))
        # 2000 has a 29 February, for a scheme without its year.
        year, month, day = (int(parts.get(name, other)) for name, other in (("year", 2000), ("month", 1), ("day", 1)))
        try:
            date(year, month, day)
        except ValueError:
            return None
        return (parts, serial) if serial else None

    def places(self) -> Iterator[Place]:
        """The places of its numbers, left to right."""
        for piece in self.pieces:
            if piece == "{short_name}":
                yield Place(None, repeats=True)
            elif piece == "{serial}":
                yield from [Place(frozenset("0123456789"))] * self.width
            elif len(piece) > 1:
                yield from (Place(frozenset(digits)) for digits in _PERIOD_DIGITS[piece[1:-1]])
            else:
                yield Place(frozenset(piece))


def may_collide(one: NumberScheme, other: NumberScheme) -> bool:
    """Whether two schemes could give the same number. May say yes where none is (``{day}`` against ``35``), never no where one is."""
    left, right = tuple(one.places()), tuple(other.places())
    seen, todo = {(0, 0)}, [(0, 0)]
    while todo:
        at, by = todo.pop()
        if at == len(left) and by == len(right):
            return True
        if at == len(left) or by == len(right):
            continue
        mine, theirs = left[at], right[by]
        if mine.allowed is None or theirs.allowed is None or mine.allowed & theirs.allowed:
            # One character is taken; a place that repeats can be left or taken again.
            for step in (
                (at + 1, by + 1),
                (at, by + 1) if mine.repeats else None,
                (at + 1, by) if theirs.repeats else None,
            ):
                if step and step not in seen:
                    seen.add(step)
                    todo.append(step)
    return False
