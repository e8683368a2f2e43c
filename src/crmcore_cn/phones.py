"""Telephone numbers as people in China write them: mobiles, landlines with their area code, service numbers, extensions.

What a number is, libphonenumber says; which digits are the number, the area code and the extension, we say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import attrs

from crmcore.domain.values import FrozenMap
from crmcore.rules.normalisation import Candidate, Normalised, finding, half_width
from crmcore_cn.addresses import division_of
from crmcore_cn.divisions import area_codes, area_codes_of, divisions
from crmcore_cn.libraries import library

_LABEL = re.compile(
    r"^(?:(?:联系|办公|公司|移动|固定)?(?:电话|手机|座机)|固话|热线|tel(?:ephone)?|phone|mobile|mob|cell|[tmp](?=[:.]))"
    r"(?:号码|号)?\s*[:.]?\s*",
    re.IGNORECASE,
)
_BESIDE = re.compile(r"\s*\(?(?:微信同号|同微信|微信同步)\)?$")
_DASHES = re.compile(r"[‐‑‒–—―−~_·/]")
_EXTENSION = re.compile(
    r"[-\s]*(?:(?:转接?|分机号?|内线|ext(?:ension|n)?\.?|[x#*])[-\s:.]*)+(?P<extension>[0-9]{1,6})$", re.IGNORECASE
)
_NUMBER = re.compile(r"\+?[0-9\s.-]+")
_WHOLE = re.compile(r"([0-9]+)\.0+")
_SCIENTIFIC = re.compile(r"(?P<first>[0-9])(?:\.(?P<more>[0-9]+))?E\+?(?P<exponent>[0-9]{1,2})", re.IGNORECASE)
_MOBILE = re.compile(r"0?(1[3-9][0-9]{9})")
_SERVICE = re.compile(r"[48]00[0-9]{7}|9[56][0-9]{3,4}|1[02][0-9]{3}")
_LOCAL = re.compile(r"[2-9][0-9]{6,7}")
_BETWEEN = re.compile(r"[;、,\n]|或者?")
_LONGEST, _LONGEST_LIST = 60, 1000
_PLAIN_MOBILE = re.compile(r"1[3-9][0-9]{9}")
#: Regions whose numbers are often written without a plus: Hong Kong, Macao, Taiwan.
_NEAR = ("852", "853", "886")


@attrs.frozen
class _Reading:
    """One way to read the digits: a number of China has a kind and no country, another one the digits behind its plus."""

    kind: str
    number: str
    area: str = ""
    extension: str = ""

    @property
    def key(self) -> str:
        if self.kind == "foreign":
            return f"+{self.number}"
        return f"+86{self.area.removeprefix('0')}{self.number}"

    @property
    def shown(self) -> str:
        extension = f"转{self.extension}" if self.extension else ""
        if self.kind == "foreign":
            phonenumbers = library("phonenumbers")
            shown = phonenumbers.format_number(
                phonenumbers.parse(self.key), phonenumbers.PhoneNumberFormat.INTERNATIONAL
            )
            return f"{shown}{extension}"
        if self.kind == "service" and len(self.number) == 10:
            return f"{self.number[:3]}-{self.number[3:6]}-{self.number[6:]}{extension}"
        return f"{self.area}{'-' if self.area else ''}{self.number}{extension}"

    @property
    def parts(self) -> FrozenMap:
        country = "86"
        if self.kind == "foreign":
            country = str(library("phonenumbers").parse(self.key).country_code)
        told = {
            "kind": self.kind,
            "country": country,
            "area_code": self.area,
            "number": self.number.removeprefix(country) if self.kind == "foreign" else self.number,
            "extension": self.extension,
            "province": _province(self.area),
        }
        return FrozenMap({name: part for name, part in told.items() if part})


def read_phones(text: str, area: str | None = None) -> tuple[Normalised, ...]:
    """Every number in a text: between ``; 、 , 或`` and line breaks, or whole ones side by side.

    A number without an area code has that of the one before it; ``88886666/7`` ends in another digit.
    """
    found: list[Normalised] = []
    for piece in _pieces(text):
        found.append(read_phone(piece, area))
        area = found[-1].parts.get("area_code", area)
    return tuple(found)


def read_phone(text: str, area: str | None = None) -> Normalised:
    """The one number in a text; several are candidates. ``area`` is an area code, or an address, for a number without one."""
    if _PLAIN_MOBILE.fullmatch(text) and _in_use(mobile := _Reading("mobile", text)):
        return _read(text, mobile)
    pieces = list(_pieces(text))
    if len(pieces) > 1:
        return _several(text, [one for one in read_phones(text, area) if one.key])
    return attrs.evolve(_read_one(pieces[0], area), original=text) if pieces else _unread(text, "bad_phone")


def _read_one(text: str, area: str | None) -> Normalised:
    plain = _digits_of(half_width(text))
    if plain is None:
        return _unread(text, "precision_lost")
    if len(plain) > _LONGEST:
        return _unread(text, "bad_phone")
    plain = _DASHES.sub("-", _BESIDE.sub("", _LABEL.sub("", plain)))
    extension = ""
    if found := _EXTENSION.search(plain):
        plain, extension = plain[: found.start()], found["extension"]
    plain = re.sub(r"[()]", " ", plain).strip()
    if not _NUMBER.fullmatch(plain):
        return _unread(text, "bad_phone")
    readings = list(dict.fromkeys(_readings(plain, extension, area)))
    sure = [reading for reading in readings if _in_use(reading)]
    if not sure:
        # Numbering plans move on: what has the form of a mobile or a landline is one.
        sure = [reading for reading in readings if reading.kind in ("mobile", "landline")]
        if len(sure) != 1:
            code = "no_area_code" if not readings and _LOCAL.fullmatch(re.sub(r"[^0-9]", "", plain)) else "bad_phone"
            return _unread(text, code)
        return _read(text, sure[0], "unassigned_phone")
    if len({reading.key for reading in sure}) > 1:
        return _several(text, [_read(text, reading) for reading in sure])
    return _read(text, sure[0])


def _pieces(text: str) -> Iterator[str]:
    """The texts of single numbers: whole ones beside each other are several, ``88886666/7`` is another ending."""
    if len(text) > _LONGEST_LIST:
        yield text
        return
    for part in _BETWEEN.split(text.replace("／", "/").replace("；", ";").replace("，", ",")):
        before = ""
        for piece in filter(None, map(half_width, part.split("/"))):
            ending = before and piece.isdigit() and len(piece) < 5
            before = before[: -len(piece)] + piece if ending else piece
            chunks = before.split()
            whole = len(chunks) == 1 or not all(_count(chunk) >= 7 for chunk in chunks) or _read_one(before, None).key
            yield from [before] if whole else chunks


def _count(text: str) -> int:
    return sum(map(str.isdigit, text))


def _digits_of(plain: str) -> str | None:
    """What a spreadsheet made of a number, as digits again; None where it dropped some."""
    if whole := _WHOLE.fullmatch(plain):
        return whole[1]
    if found := _SCIENTIFIC.fullmatch(plain):
        more, exponent = found["more"] or "", int(found["exponent"])
        return found["first"] + more if len(more) == exponent else None
    return plain


def _readings(plain: str, extension: str, area: str | None) -> Iterator[_Reading]:
    groups = re.findall(r"[0-9]+", plain)
    digits = "".join(groups)
    if plain.startswith("+") or digits.startswith("00"):
        digits = digits if plain.startswith("+") else digits[2:]
        if not digits.startswith("86"):
            yield _Reading("foreign", digits, extension=extension)
            return
        groups = _without_country(groups)
        digits = "".join(groups)
    elif digits.startswith("86") and len(digits) > 11:
        groups = _without_country(groups)
        digits = "".join(groups)
    yield from _national(groups, extension, area)
    if not extension and len(groups) > 1 and len(groups[-1]) <= 6:
        yield from _national(groups[:-1], groups[-1], area)
    if digits.startswith(_NEAR):
        yield _Reading("foreign", digits, extension=extension)


def _without_country(groups: list[str]) -> list[str]:
    """The groups of digits without ``86``, whether it stands by itself, behind ``00``, or runs on into the number."""
    first = groups[0].removeprefix("00").removeprefix("86")
    return [first, *groups[1:]] if first else groups[1:]


def _national(groups: list[str], extension: str, area: str | None) -> Iterator[_Reading]:
    digits = "".join(groups)
    if not digits:
        return
    if mobile := _MOBILE.fullmatch(digits):
        yield _Reading("mobile", mobile[1], extension=extension)
    if _SERVICE.fullmatch(digits):
        yield _Reading("service", digits, extension=extension)
    # A cell that holds a number has lost the zero in front; 212-555-1234 is no number of area 21.
    lost = not digits.startswith("0")
    whole = f"0{digits}" if lost else digits
    for length in (3, 4):
        code, local = whole[:length], whole[length:]
        apart = not lost or len(groups) == 1 or groups[0] == code[1:]
        if apart and code in area_codes() and _LOCAL.fullmatch(local):
            yield _Reading("landline", local, code, extension)
    if area and _LOCAL.fullmatch(digits):
        hinted = _area_code(area)
        if hinted:
            yield _Reading("landline", digits, hinted, extension)


@cache
def _province(area: str) -> str:
    """The province that an area code lies in; none lies in two."""
    served = area_codes().get(area)
    return divisions()[served[0][:2]].name if served else ""


def _area_code(area: str) -> str | None:
    """The one area code that an area code or an address names."""
    digits = half_width(area)
    if digits.isdigit():
        whole = digits if digits.startswith("0") else f"0{digits}"
        return whole if whole in area_codes() else None
    division = division_of(area)
    codes = area_codes_of(division) if division else ()
    return codes[0] if len(codes) == 1 else None


def _in_use(reading: _Reading) -> bool:
    phonenumbers = library("phonenumbers")
    if reading.kind == "service":
        return True
    if reading.kind == "foreign":
        try:
            return bool(phonenumbers.is_valid_number(phonenumbers.parse(reading.key)))
        except phonenumbers.NumberParseException:
            return False
    number = phonenumbers.PhoneNumber(country_code=86, national_number=int(reading.key[3:]))
    return bool(phonenumbers.is_valid_number(number))


def _read(text: str, reading: _Reading, *codes: str) -> Normalised:
    findings = tuple(map(finding, codes))
    return Normalised(original=text, key=reading.key, shown=reading.shown, parts=reading.parts, findings=findings)


def _several(text: str, found: list[Normalised]) -> Normalised:
    candidates = tuple(dict.fromkeys(Candidate(str(one.key), one.shown) for one in found))
    doubt = finding("ambiguous_phone" if candidates else "bad_phone")
    return Normalised(original=text, key=None, shown=text, candidates=candidates, findings=(doubt,))


def _unread(text: str, code: str) -> Normalised:
    return Normalised(original=text, key=None, shown=text, findings=(finding(code),))
