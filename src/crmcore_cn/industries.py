"""Industries by GB/T 4754-2017: codes, names, and the words people write for them. What can mean several is left open."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files

from crmcore.domain.values import FrozenMap, fold
from crmcore.rules.normalisation import Candidate, Normalised, finding, half_width

STANDARD = "GB/T 4754-2017"
_DATA = files("crmcore_cn") / "data"
_CODE = re.compile(r"(?P<section>[A-T])?(?P<digits>\d{2,4})?(?:\s*(?P<name>\D.*))?")
_BETWEEN = re.compile(r"\s*([-/>|—–→:,;、])+\s*")
_LISTED = ",;、"
_ENDING = re.compile(r"(?:行业|产业|领域|企业|公司|类|业)$")
#: The four levels, by the length of the code.
LEVELS: Mapping[int, str] = {1: "section", 3: "division", 4: "group", 5: "class"}
_MOST = 8
_LONGEST = 100


@cache
def industries() -> Mapping[str, str]:
    """The name of each code: ``C`` 制造业, ``C36`` 汽车制造业, ``C361``, ``C3611``."""
    return dict(_lines("industries.txt", " "))


def _lines(name: str, between: str) -> Iterable[tuple[str, str]]:
    for line in (_DATA / name).read_text("utf-8").splitlines():
        if not line.startswith("#"):
            word, _, rest = line.partition(between)
            yield word, rest


@cache
def words() -> Mapping[str, tuple[str, ...]]:
    """What each word can mean, by its plain form."""
    return {_plain(word): tuple(codes.split()) for word, codes in _lines("industry_words.txt", " = ")}


@cache
def _by_name() -> Mapping[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for code, name in industries().items():
        found.setdefault(_plain(name), []).append(code)
    return {name: _broadest(codes) for name, codes in found.items()}


@cache
def _by_digits() -> Mapping[str, str]:
    """The code of its digits: a division lies in one section only."""
    return {code[1:]: code for code in industries() if len(code) > 1}


def _plain(text: str) -> str:
    """What tells one name from another: no case, no signs, no word for industry at its end."""
    folded = re.sub(r"[\W_]", "", fold(text))
    return _ENDING.sub("", _ENDING.sub("", folded)) or folded


def _broadest(codes: Iterable[str]) -> tuple[str, ...]:
    """The codes that lie in no other of them: a group with one class bears its name."""
    kept: list[str] = []
    for code in sorted(codes, key=len):
        if not any(code.startswith(one) for one in kept):
            kept.append(code)
    return tuple(sorted(kept))


def read_industry(text: str) -> Normalised:
    """The code of an industry, by a code, a name of the standard or a common word; of a path of levels its deepest."""
    plain = half_width(text)
    if len(plain) > _LONGEST:
        return _open(text, ())
    codes = _codes(plain)
    if not codes:
        parts = _BETWEEN.split(plain)
        levels = [found for found in map(_codes, parts[::2]) if found]
        codes = _broadest(_all(levels)) if set(parts[1::2]) & set(_LISTED) else _deepest(levels, "/" in parts[1::2])
    if len(codes) == 1:
        return _read(text, codes[0])
    return _open(text, codes or _holding(plain))


def _codes(text: str) -> tuple[str, ...]:
    """What a text says by itself: nothing, one code, or the few it can mean."""
    plain = _plain(text)
    named = _by_name().get(plain) or words().get(plain) or ()
    found = None if named else _CODE.fullmatch(text.upper())
    if found and (found["digits"] or (found["section"] and not found["name"])):
        digits = found["digits"] or ""
        code = f"{found['section']}{digits}" if found["section"] else _by_digits().get(digits, "")
        coded = (code,) if code in industries() else ()
        beside = _codes(found["name"]) if found["name"] else ()
        # A code and its own name say one thing.
        return coded if not beside or (coded and industries()[code] == found["name"]) else _broadest([*coded, *beside])
    return named


def _deepest(levels: list[tuple[str, ...]], wholly: bool) -> tuple[str, ...]:
    """The end of a path whose levels lie in each other; else whatever any of them can mean.

    A level may leave a choice that the one above it settles, unless it must lie in that ``wholly``.
    """
    path: tuple[str, ...] = ()
    for codes in levels:
        inner = tuple(code for code in codes if not path or code.startswith(path))
        if not inner or (wholly and len(inner) < len(codes)):
            return _broadest(_all(levels))
        path = inner
    return path


def _all(levels: Iterable[tuple[str, ...]]) -> Iterable[str]:
    return (code for codes in levels for code in codes)


def _holding(plain: str) -> tuple[str, ...]:
    """The broadest industries whose name holds the text."""
    wanted = _plain(plain)
    if len(wanted) < 2:
        return ()
    return _broadest(code for code, name in industries().items() if wanted in _plain(name))[:_MOST]


def _read(text: str, code: str) -> Normalised:
    name = industries()[code]
    parts = FrozenMap(
        {"name": name, "level": LEVELS[len(code)], "section": code[0], "section_name": industries()[code[0]]}
    )
    shown = name if _by_name()[_plain(name)] == (code,) else f"{code} {name}"
    return Normalised(original=text, key=code, shown=shown, parts=parts)


def _open(text: str, codes: tuple[str, ...]) -> Normalised:
    candidates = tuple(Candidate(code, f"{code} {industries()[code]}") for code in codes)
    if candidates:
        doubt = finding("ambiguous", candidates=", ".join(candidate.shown for candidate in candidates))
    else:
        doubt = finding("unknown_industry", standard=STANDARD)
    return Normalised(original=text, key=None, shown=text, candidates=candidates, findings=(doubt,))
