"""Numbers of companies: the unified social credit code of GB 32100-2015, and what went before it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product

from crmcore.domain.values import FrozenMap
from crmcore.errors import Issue
from crmcore.rules.normalisation import Normalised, finding, without_blanks
from crmcore_cn.divisions import divisions
from crmcore_cn.libraries import library

ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""The characters of a code: the letters I, O, S, V and Z, which look like others, are none (GB 32100-2015, 3.3)."""
#: What a character that a code can't have is written for.
_MEANT = {"I": "1", "L": "1", "O": "0", "S": "5", "Z": "2", "V": "UY", "Q": "0"}
_LABEL = re.compile(
    r"^(?:统一社会信用代码|社会信用代码|信用代码|组织机构代码|注册号|税号|纳税人识别号)(?:证|/[^:]*)?[:.]?"
)
_MARKS = re.compile(r"[\s.\-_·:,'\"]+")
_AUTHORITIES = "123456789ANY"
"""The first character: what kind of authority keeps the register (1 offices, 5 associations, 9 companies, N farmers, Y others)."""
_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)
#: The check character is weighed as well: a right code comes to nothing.
_PLACE_WEIGHTS: tuple[int, ...] = (*(pow(3, place, 31) for place in range(17)), 1)


def read_registration(text: str) -> Normalised:
    """A code of 18 characters, or an older one: 15 digits of a business licence, 9 characters of an organisation."""
    plain = without_blanks(_MARKS.sub("", _LABEL.sub("", without_blanks(text).upper())))
    if len(plain) == 18:
        return _social_credit_code(text, plain)
    if len(plain) == 15 and plain.isascii() and plain.isdigit():
        module = library("stdnum.iso7064.mod_11_10")
        return _old(text, plain, "business_licence", bool(module.is_valid(plain)))
    if len(plain) == 9 and plain.isascii() and plain[:8].isalnum():
        return _old(text, plain, "organisation", organisation_check(plain[:8]) == plain[8])
    shown = plain if plain.isascii() and plain.isalnum() else text
    return Normalised(
        original=text, key=None, shown=shown, findings=(finding("registration_length", length=len(plain)),)
    )


def _social_credit_code(text: str, plain: str) -> Normalised:
    strange = [place for place, sign in enumerate(plain) if sign not in ALPHABET]
    if not strange:
        at_fault = faults(plain)
        if not at_fault:
            return _right(text, plain)
        return _wrong(text, plain, at_fault)
    # A letter that no code has can only be meant for another sign; the check says which.
    choices = [_MEANT.get(plain[place], "") for place in strange]
    if len(strange) <= 4:
        fitting = [whole for signs in product(*choices) if not faults(whole := _replaced(plain, strange, signs))]
        if len(fitting) == 1:
            return _right(text, fitting[0], finding("misread_registration", positions=_told(strange)))
    return _wrong(text, plain, strange)


def _replaced(plain: str, places: list[int], signs: tuple[str, ...]) -> str:
    characters = list(plain)
    for place, sign in zip(places, signs, strict=True):
        characters[place] = sign
    return "".join(characters)


def faults(code: str) -> list[int]:
    """The places, from 0 on, at which one wrong character explains a code of 18 possible ones; none where it is right.

    Where no single one does, all of them.
    """
    if _is_right(code):
        return []
    excess = _residue(code)
    places = []
    for place, weight in enumerate(_PLACE_WEIGHTS):
        # 31 is a prime: at each place just one sign satisfies the check.
        sign = ALPHABET[(ALPHABET.index(code[place]) - excess * pow(weight, -1, 31)) % 31]
        if sign != code[place] and _is_right(code[:place] + sign + code[place + 1 :]):
            places.append(place)
    return places or list(range(18))


def _is_right(code: str) -> bool:
    """Whether authority, division and both check characters are as GB 32100 and GB 11714 say."""
    return (
        code[0] in _AUTHORITIES
        and code[2:8].isdigit()
        and (code[2:8] == "100000" or code[2:4] in divisions())
        and _residue(code) == 0
        and organisation_check(code[8:16]) == code[16]
    )


def _residue(code: str) -> int:
    return sum(weight * ALPHABET.index(sign) for weight, sign in zip(_PLACE_WEIGHTS, code, strict=True)) % 31


def organisation_check(code: str) -> str:
    """The check character of the 8 characters of an organisation's code (GB 11714-1997)."""
    total = sum(weight * int(sign, 36) for weight, sign in zip(_WEIGHTS, code, strict=True))
    return "0123456789X0"[(11 - total % 11)]


def _right(text: str, code: str, *findings: Issue) -> Normalised:
    province = divisions().get(code[2:4])
    parts = FrozenMap(
        {
            "kind": "social_credit",
            "division": code[2:8],
            **({"province": province.name} if province else {}),
            "organisation": code[8:17],
        }
    )
    return Normalised(original=text, key=code, shown=code, parts=parts, findings=findings)


def _wrong(text: str, plain: str, places: list[int]) -> Normalised:
    return Normalised(
        original=text, key=None, shown=plain, findings=(finding("bad_registration", positions=_told(places)),)
    )


def _old(text: str, plain: str, kind: str, right: bool) -> Normalised:
    if not right:
        return _wrong(text, plain, list(range(len(plain))))
    return Normalised(original=text, key=plain, shown=plain, parts=FrozenMap({"kind": kind}))


def _told(places: list[int]) -> str:
    """Places as people count them, runs joined: ``1-8, 18``."""
    return ", ".join(f"{run[0] + 1}-{run[-1] + 1}" if len(run) > 1 else f"{run[0] + 1}" for run in _runs(places))


def _runs(places: list[int]) -> Iterator[list[int]]:
    run: list[int] = []
    for place in places:
        if run and place != run[-1] + 1:
            yield run
            run = []
        run.append(place)
    yield run
