"""Cells that hold more than one field, taken apart (:data:`crmcore.domain.playbook.COMPOUND_FIELDS`)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from crmcore.domain.fields import Unclean
from crmcore.domain.playbook import Playbook
from crmcore.interchange.cells import CellOptions, parse
from crmcore.interchange.sheets import Cell
from crmcore.rules.validation import is_email

Parts: TypeAlias = Iterator[tuple[str, Any]]
Split: TypeAlias = Callable[[Cell, CellOptions, Playbook, str], Parts]

_BETWEEN = re.compile(r"[;；、\n]+")
_BAND = re.compile(r"(\d[\d,]*)\s*(?:-|~|—|–|至|到)\s*(\d[\d,]*)\s*(?:人|名|employees)?", re.IGNORECASE)
_AT_LEAST = re.compile(r"(\d[\d,]*)\s*(?:人|名)?\s*(?:以上|\+)")
_AT_MOST = re.compile(r"(\d[\d,]*)\s*(?:人|名)?\s*以下")
_ONE = re.compile(r"(\d[\d,]*)(?:\.0+)?\s*(?:人|名)?")
_WECHAT = re.compile(r"(?:微信号?|wechat)\s*[::]?\s*(?P<named>[A-Za-z][-\w]{5,19})|(?P<plain>wxid_\w+)", re.IGNORECASE)


def _reach(cell: Cell, options: CellOptions, playbook: Playbook, entity: str) -> Parts:
    """联系方式: a phone, an e-mail or a WeChat name, told by its content; several with ; or 、 between."""
    if not isinstance(cell, str):
        yield f"{entity}.phones", parse("phones", cell, options=options)
        return
    for part in filter(None, map(str.strip, _BETWEEN.split(cell))):
        wechat = _WECHAT.fullmatch(part)
        if is_email(part):
            yield f"{entity}.emails", (part,)
        elif wechat:
            yield f"{entity}.wechat", wechat["named"] or wechat["plain"]
        else:
            yield f"{entity}.phones", parse("phones", part, options=options)


def _headcount(cell: Cell, options: CellOptions, playbook: Playbook, entity: str) -> Parts:
    """100-500人, 500人以上, or one number; and the scale that the playbook gives it where none is said."""
    text = unicodedata.normalize("NFKC", str(parse("text", cell, options=options)))
    low = high = None
    if found := _BAND.fullmatch(text):
        low, high = _number(found[1]), _number(found[2])
    elif found := _AT_LEAST.fullmatch(text):
        low = _number(found[1])
    elif found := _AT_MOST.fullmatch(text):
        high = _number(found[1])
    elif found := _ONE.fullmatch(text):
        low = high = _number(found[1])
    else:
        raise Unclean("bad_number")
    if low is not None and high is not None and low > high:
        raise Unclean("out_of_range", limit="a band from low to high")
    yield "customer.headcount_low", low
    yield "customer.headcount_high", high
    bands = sorted(playbook.scale_bands.items(), key=lambda band: -band[1])
    scale = next((key for key, least in bands if low is not None and low >= least), None)
    if scale is not None:
        yield "customer.scale", scale


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def _grading(cell: Cell, options: CellOptions, playbook: Playbook, entity: str) -> Parts:
    """大型企业/紧急/A级: scale, urgency and potential, in any order (seed 003)."""
    text = str(parse("text", cell, options=options))
    for part in filter(None, map(str.strip, re.split(r"[/／|]", text))):
        for field in ("customer.scale", "customer.urgency", "customer.potential"):
            key = playbook.choice_key(field, part)
            if key is not None:
                yield field, key
                if field == "customer.potential" and key in {tier.key for tier in playbook.tiers}:
                    yield "customer.tier", key
                break
        else:
            raise Unclean("bad_choice", allowed="规模/紧急度/潜力")


def _registered_on(cell: Cell, options: CellOptions, playbook: Playbook, entity: str) -> Parts:
    """建档日期: kept beside the customer, and taken for the day of first contact where the sheet names no other."""
    day = parse("day", cell, options=options)
    yield "customer.custom", {"registered_on": day.isoformat()}
    yield "customer.first_contact_on", day


COMPOUNDS: Mapping[str, Split] = {
    "reach": _reach,
    "headcount": _headcount,
    "grading": _grading,
    "registered_on": _registered_on,
}
