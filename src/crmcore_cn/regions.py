"""Divisions of China at the start of a name: which places a piece of text may mean, by the codes of GB/T 2260.

A name of a place has codes of two (province), four (prefecture) or six digits (county), several where it is used twice or was
moved. One code lies within another that it starts with.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

import attrs

SUFFIXES: Final = (
    "特别行政区",
    "自治区",
    "自治州",
    "自治县",
    "自治旗",
    "地区",
    "省",
    "市",
    "县",
    "区",
    "盟",
    "旗",
    "州",
)
#: Names of peoples in the names of autonomous places: 延边朝鲜族自治州 is called 延边.
_PEOPLES: Final = re.compile(
    "(?:壮族|回族|维吾尔|哈萨克|蒙古族|蒙古|藏族|羌族|彝族|苗族|侗族|布依族|土家族|朝鲜族|满族|瑶族|白族|傣族|景颇族|傈僳族|哈尼族|"
    "黎族|畲族|水族|纳西族|拉祜族|佤族|布朗族|独龙族|怒族|普米族|土族|撒拉族|东乡族|保安族|裕固族|仫佬族|毛南族|仡佬族|锡伯族|"
    "塔吉克|柯尔克孜|达斡尔族|鄂温克族|鄂伦春族|各族)+$"
)
#: What follows 市 or 区 where these are the start of another word.
_NOT_A_SUFFIX: Final = {"市": "场政容", "区": "块域", "州": "", "县": "", "省": ""}


@attrs.frozen
class Region:
    """A place as it was written. ``stem`` is it without 省, 市, 县 …; ``definite`` says that such a word was written."""

    text: str
    stem: str
    codes: frozenset[str]
    definite: bool

    @property
    def level(self) -> int:
        """The shortest of its codes: 2 a province, 4 a prefecture, 6 a county."""
        return min(map(len, self.codes))


def stem_of(name: str) -> str:
    """A division's name without what it is: 广西 of 广西壮族自治区, 莘县 of 莘县."""
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            whole = name[: -len(suffix)]
            stem = _PEOPLES.sub("", whole)
            return stem if len(stem) > 1 else whole if len(whole) > 1 else name
    return name


@cache
def _places() -> tuple[Mapping[str, frozenset[str]], Mapping[str, tuple[str, ...]]]:
    """Codes by full name and by stem, and the names by their first two characters, long ones first.

    A place that changed its level or was moved within its province has the codes of then and now: 莱芜市 and 济南市莱芜区.
    """
    codes: dict[str, set[str]] = {}
    for line in files("crmcore_cn").joinpath("data/regions.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            name, *own = line.split(" ")
            codes.setdefault(name, set()).update(own)
            codes.setdefault(stem_of(name), set()).update(own)
    for name, own_codes in codes.items():
        provinces = {code[:2] for code in own_codes}
        own_codes.update([code for code in codes[stem_of(name)] if code[:2] in provinces])
    names: dict[str, list[str]] = {}
    for name in sorted(codes, key=lambda name: (-len(name), name)):
        names.setdefault(name[:2], []).append(name)
    return {name: frozenset(own) for name, own in codes.items()}, {key: tuple(own) for key, own in names.items()}


def region_at(text: str, start: int) -> Region | None:
    """The longest name of a place that stands at ``start``, with its 省, 市, 县 … if that follows."""
    codes, names = _places()
    for name in names.get(text[start : start + 2], ()):
        if text.startswith(name, start):
            stem = stem_of(name)
            if stem != name or name.endswith(SUFFIXES):
                return Region(name, stem, codes[name], definite=True)
            for suffix in SUFFIXES:
                after = start + len(name) + len(suffix)
                if text.startswith(suffix, start + len(name)) and text[after : after + 1] not in tuple(
                    _NOT_A_SUFFIX.get(suffix, "")
                ):
                    return Region(name + suffix, stem, codes[name], definite=True)
            return Region(name, stem, codes[name], definite=False)
    return None


def within(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether a place of the one may lie in a place of the other, or be it."""
    return any(code.startswith(outer) for code in one for outer in other)


def narrowed(inner: frozenset[str], outer: frozenset[str]) -> frozenset[str]:
    """Of the codes of the inner place those that lie in the outer one."""
    return frozenset(code for code in inner if any(code.startswith(part) and code != part for part in outer))
