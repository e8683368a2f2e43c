"""Marks on cells that the parser does not give: which show an error, and which hold a formula."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import IO

import attrs

from crmcore.interchange.rejections import rejected

MAX_FORMULAS = 100_000
MAX_ERRORS = 1_000_000
MAX_ROW, MAX_COLUMN = 1_048_576, 16_384
_WINDOW = 2**20
_OVERLAP = 2**17  # longer than the longest formula with its value

# Each pattern is linear on any input: no part of it can match the same text in two ways.
_OPEN = rb"<(?:[A-Za-z_][\w.-]*+:)?"
_PLACE = rb"""c\s(?>[^<>]*?\br=["'])([A-Z]++)(\d++)["'][^<>]*+(?<!/)>"""
_FILLED = re.compile(_OPEN + _PLACE)
_FORMULA = re.compile(_OPEN + _PLACE + rb"\s*+" + _OPEN + rb"f[\s/>]")
_FORMULA_TEXT = rb"(?:" + _OPEN + rb"f\b[^<>]*+>(?:(?<=/>)|[^<]*+</[^<>]*+>)\s*+)?"
_ERROR = re.compile(
    _OPEN + rb"""(?=c\s[^<>]*?\bt=["']e["'])""" + _PLACE + rb"\s*+" + _FORMULA_TEXT + _OPEN + rb"v>(#[^<]{1,40})<"
)


@attrs.frozen(kw_only=True)
class Marks:
    """Places (row, column; from 1) of one sheet."""

    errors: Mapping[tuple[int, int], str] = attrs.field(factory=dict)
    formulas: frozenset[tuple[int, int]] = frozenset()
    from_1904: bool = False


def scan_sheet(part: IO[bytes], *, name: str, max_cells: int) -> Marks:
    """The marks of a worksheet's XML, read in windows.

    Raises ``ImportRejected``: ``bad_reference`` for a cell outside every sheet, ``too_large`` where the filled cells span
    more than ``max_cells``. A file that leaves out the places of its cells has no marks.
    """
    errors: dict[tuple[int, int], str] = {}
    formulas: set[tuple[int, int]] = set()
    places: dict[bytes, int] = {}  # column letters as written: their number
    lowest, highest = MAX_ROW, 0
    for window in _windows(part):
        found = _FILLED.findall(window)
        if found:
            letters, rows = zip(*found, strict=True)
            for letter in set(letters) - places.keys():
                places[letter] = _column(letter, name)
            numbers = [_row(row, name) for row in set(rows)]
            lowest, highest = min(lowest, *numbers), max(highest, *numbers)
            width = max(places.values()) - min(places.values()) + 1
            if width * (highest - lowest + 1) > max_cells:
                raise rejected("too_large", part=name)
        if (b"<f" in window or b":f" in window) and len(formulas) < MAX_FORMULAS:
            formulas.update((_row(row, name), _column(letter, name)) for letter, row in _FORMULA.findall(window))
        if b'"e"' in window or b"'e'" in window:
            for letter, row, code in _ERROR.findall(window):
                errors[_row(row, name), _column(letter, name)] = code.decode("ascii", "replace")
        if len(errors) > MAX_ERRORS:
            raise rejected("too_large", part=name)
    return Marks(errors=errors, formulas=frozenset(formulas))


def _windows(part: IO[bytes]) -> Iterator[bytes]:
    """The content in pieces of whole cells."""
    rest = b""
    while chunk := part.read(_WINDOW):
        rest += chunk
        cut = max(rest.rfind(b"</c>"), rest.rfind(b":c>"))
        cut = cut + 4 if cut >= 0 else max(0, len(rest) - _OVERLAP)
        yield rest[:cut]
        rest = rest[cut:]
    yield rest


def _column(letters: bytes, part: str) -> int:
    number = 0
    for letter in letters[:4]:
        number = number * 26 + letter - 64
    if number > MAX_COLUMN:
        raise rejected("bad_reference", part=part)
    return number


def _row(digits: bytes, part: str) -> int:
    number = int(digits[:8])
    if not 0 < number <= MAX_ROW:
        raise rejected("bad_reference", part=part)
    return number
