"""Amounts that are not one but a range: 20-30万, 10万以上, 不超过50万. Pure."""

from __future__ import annotations

import re
import unicodedata

from crmcore.domain.fields import Unclean
from crmcore.domain.values import Money
from crmcore.interchange.cells import CellOptions, parse
from crmcore.interchange.sheets import Cell

_BAND = re.compile(r"(?P<low>[^-~—–至到]+)[-~—–至到]+(?P<high>[^-~—–至到]+)")
_AT_LEAST = re.compile(r"(?:(?:不低于|不少于|至少|最低|≥|>=?)(?P<behind>.+)|(?P<before>.+?)(?:及?以上|起|\+))")
_AT_MOST = re.compile(
    r"(?:(?:不超过|不高于|不多于|至多|最高|≤|<=?)(?P<behind>.+)|(?P<before>.+?)(?:及?以下|以内|之内|封顶))"
)
_ENDS = re.compile(r"(?P<coin>\D*)[\d.,]+(?P<scale>\D*)")


def read_range(cell: Cell, options: CellOptions) -> tuple[Money | None, Money | None]:
    """The lowest and the highest amount that a cell says; None where it sets no such end, twice the same for one amount.

    In 20-30万 the scale and the coin of one end are the other's too. Raises ``Unclean`` with ``bad_money`` for anything else,
    ``out_of_range`` for a range that runs backwards.
    """
    try:
        amount = parse("money", cell, options=options)
        return amount, amount
    except Unclean:
        if not isinstance(cell, str):
            raise
    text = unicodedata.normalize("NFKC", cell).casefold().replace(" ", "")
    if found := _BAND.fullmatch(text):
        low, high = found["low"], found["high"]
        first, last = _ENDS.fullmatch(low), _ENDS.fullmatch(high)
        if first and last:
            low += "" if first["scale"] else last["scale"]
            high = ("" if last["coin"] else first["coin"]) + high
        ends = parse("money", low, options=options), parse("money", high, options=options)
        if ends[0].currency != ends[1].currency:
            raise Unclean("bad_money")
        if ends[0].minor > ends[1].minor:
            raise Unclean("out_of_range", limit="a band from low to high")
        return ends
    if found := _AT_LEAST.fullmatch(text):
        return parse("money", found["behind"] or found["before"], options=options), None
    if found := _AT_MOST.fullmatch(text):
        return None, parse("money", found["behind"] or found["before"], options=options)
    raise Unclean("bad_money")


def is_range(cell: Cell, options: CellOptions) -> bool:
    """Whether a cell says a range of amounts, and not one."""
    try:
        low, high = read_range(cell, options)
    except Unclean:
        return False
    return low != high
