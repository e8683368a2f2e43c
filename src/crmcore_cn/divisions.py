"""The divisions of China: codes and names of GB/T 2260, and the area codes that serve them. Read from data when first used."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files

import attrs

_DATA = files("crmcore_cn") / "data"
_NATIONALITIES = (
    "蒙古|回|藏|维吾尔|苗|彝|壮|布依|朝鲜|满|侗|瑶|白|土家|哈尼|哈萨克|傣|黎|傈僳|佤|畲|高山|拉祜|水|东乡|纳西|景颇|柯尔克孜|土|达斡尔|仫佬"
    "|羌|布朗|撒拉|毛南|仡佬|锡伯|阿昌|普米|塔吉克|怒|乌孜别克|俄罗斯|鄂温克|德昂|保安|裕固|京|塔塔尔|独龙|鄂伦春|赫哲|门巴|珞巴|基诺"
)
_AUTONOMOUS = re.compile(rf"(?:(?:{_NATIONALITIES})族?)+(?:各族)?自治(?P<unit>[州县旗])")
_UNITS = re.compile(
    r"(?:特别行政区|自治区|省|地区|盟|自治州|州|新区|矿区|林区|特区|左旗|右旗|自治县|自治旗|市|区|县|旗)$"
)
#: What else a division is called; ours.
_ALSO: Mapping[str, tuple[str, ...]] = {
    "15": ("内蒙",),
    "1501": ("呼市",),
    "220721": ("前郭县",),
    "310115": ("浦东",),
    "2327": ("大兴安岭",),
}
_PROVINCES: Mapping[str, str] = {
    "15": "内蒙古",
    "45": "广西",
    "54": "西藏",
    "64": "宁夏",
    "65": "新疆",
    "81": "香港",
    "82": "澳门",
}


@attrs.frozen
class Division:
    """A province (code of two digits), a city (four) or a county (six). A former one says what it ``became``."""

    code: str
    name: str
    became: tuple[str, ...] = ()

    @property
    def names(self) -> Iterator[tuple[str, bool]]:
        """What it is called, and whether that leaves its kind unsaid (深圳 for 深圳市)."""
        yield self.name, False
        yield from ((name, not name.endswith(("市", "县"))) for name in _ALSO.get(self.code, ()))
        if len(self.code) == 2:
            yield _PROVINCES.get(self.code, self.name[:-1]), True
            return
        autonomous = _AUTONOMOUS.search(self.name)
        if autonomous and autonomous.start():
            core = self.name[: autonomous.start()]
            yield core + autonomous["unit"], False
            if len(core) > 1:
                yield core, True
            return
        core = _UNITS.sub("", self.name)
        if len(core) > 1 and core != self.name:
            yield core, True


def _lines(name: str) -> Iterator[str]:
    for line in (_DATA / name).read_text("utf-8").splitlines():
        if not line.startswith("#"):
            yield line


@cache
def divisions() -> Mapping[str, Division]:
    """The divisions there are, by code."""
    return {
        code: Division(code, name)
        for code, name in (line.split() for line in _lines("divisions.txt") if line[0] != "-")
    }


@cache
def former_divisions() -> tuple[Division, ...]:
    """The divisions that are no more, or go by another name now."""
    told = (line[1:].split() for line in _lines("divisions.txt") if line[0] == "-")
    return tuple(Division(code, name, tuple(now)) for code, name, *now in told)


@cache
def by_name() -> Mapping[str, tuple[tuple[Division, bool], ...]]:
    """The divisions that go by a name, and whether it leaves their kind unsaid. A former name that stayed is not told twice."""
    found: dict[str, dict[Division, bool]] = {}
    for division in divisions().values():
        for name, bare in division.names:
            found.setdefault(name, {}).setdefault(division, bare)
    for division in former_divisions():
        # Its bare form would be taken for what stands there now.
        if all(divisions()[code].name != division.name for code in division.became):
            found.setdefault(division.name, {})[division] = False
    return {name: tuple(those.items()) for name, those in found.items()}


@cache
def by_head() -> Mapping[str, tuple[tuple[str, tuple[tuple[Division, bool], ...]], ...]]:
    """The names, by the two characters that they begin with, the longest first."""
    found: dict[str, list[tuple[str, tuple[tuple[Division, bool], ...]]]] = {}
    for name, those in sorted(by_name().items(), key=lambda item: -len(item[0])):
        found.setdefault(name[:2], []).append((name, those))
    return {head: tuple(named) for head, named in found.items()}


@cache
def area_codes() -> Mapping[str, tuple[str, ...]]:
    """The divisions that each area code serves: ``0731`` three cities, ``0898`` a province."""
    return {code: tuple(served) for code, *served in map(str.split, _lines("area_codes.txt"))}


@cache
def area_codes_of(division: str) -> tuple[str, ...]:
    """The area codes under which a division may be reached; several for a province."""
    return tuple(
        code
        for code, served in area_codes().items()
        if any(division.startswith(one) or one.startswith(division) for one in served)
    )


def path(code: str) -> tuple[Division, ...]:
    """A division and what it lies in, the largest first."""
    known = divisions()
    return tuple(known[code[:length]] for length in (2, 4, 6) if length <= len(code) and code[:length] in known)


def told(code: str) -> str:
    """A division as it is read: 广东省深圳市南山区."""
    return "".join(division.name for division in path(code))
