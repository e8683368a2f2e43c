"""Addresses: the divisions at their head, by GB/T 2260, and what is left. Never a guess between two."""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs

from crmcore.domain.values import FrozenMap, fold
from crmcore.rules.normalisation import Candidate, Normalised, finding, half_width
from crmcore_cn.divisions import Division, by_head, path, told

_LABEL = re.compile(r"^(?:(?:公司|单位|客户|联系|通讯|通信|详细|注册|办公)?地址|地区|所在地)\s*[:：]\s*")
_COUNTRY = re.compile(r"^(?:中华人民共和国|中国)\s*")
_POSTCODE = re.compile(r"^(?:邮编:?)?\d{6}(?!\d)\s*|\s*\(?(?:邮编|邮政编码):?\s*\d{6}\)?$")
#: What stands between divisions and is none of GB/T 2260: 雄安新区 has three counties of 保定.
_NO_DIVISION = re.compile(r"[\s,;/|·-]+|市辖区|(?:省|自治区)?直辖县级行政区划|雄安新区")
_LONGEST = 500
_BETWEEN = " ,;/|·-"
#: What makes a place of its own of the name before it: 北京路, 南山大道, 西湖东路, 吉林大学.
_OF_ITS_OWN = re.compile(
    r"[东西南北中新老]?[一二三四五六七八九十\d]*(?:路|街|大道|道|巷|弄|胡同|里|村|镇|乡|站|广场|大厦|大学)"
)


@attrs.frozen
class _Reading:
    """A way to read the head of an address: how far it goes, where that is, and whether a name may be the next word's."""

    end: int
    division: Division | None = None
    doubtful: bool = False


def read_address(text: str) -> Normalised:
    """An address: its most exact division and the rest. Several readings are candidates; what all of them share is in the parts."""
    plain = _bare(half_width(text))
    readings = _best(plain)
    meant = {
        f"{code}|{reading.end}": (code, plain[reading.end :].strip(_BETWEEN))
        for reading in readings
        for code in (_now(reading.division) if reading.division else ("",))
    }
    choices = [meant[key] for key in sorted(meant)]
    shared, rest = choices[0] if len(choices) == 1 else (_shared([code for code, _ in choices]), "")
    parts = _parts(shared, rest)
    if len(choices) > 1:
        candidates = tuple(Candidate(f"{code}{fold(rest)}", told(code) + rest) for code, rest in choices)
        named = ", ".join(dict.fromkeys(told(code) for code, _ in choices if code))
        doubt = finding("ambiguous", candidates=named)
        return Normalised(original=text, key=None, shown=plain, parts=parts, candidates=candidates, findings=(doubt,))
    key, shown = f"{shared}{fold(rest)}", told(shared) + rest
    former = any(reading.division and reading.division.became for reading in readings)
    findings = (finding("former_division", now=told(shared)),) if former else ()
    return Normalised(original=text, key=key or None, shown=shown or text, parts=parts, findings=findings)


def _bare(text: str) -> str:
    """The text without what stands around an address: a label, the country, a postcode."""
    if len(text) > _LONGEST:
        return text
    plain = _POSTCODE.sub("", _LABEL.sub("", text.strip(_BETWEEN)))
    without = _COUNTRY.sub("", plain)
    # 中国人民大学 is no 人民大学.
    if without != plain and any(reading.division for reading in _best(_POSTCODE.sub("", without))):
        plain = without
    return plain if plain == text else _bare(plain)


def division_of(text: str) -> str | None:
    """The code of the one division that an address names for sure: of its county, else its city, else its province."""
    code = read_address(text).parts.get("division")
    return str(code) if code else None


def _parts(code: str, rest: str) -> FrozenMap:
    levels = {2: "province", 4: "city", 6: "county"}
    named = {levels[len(division.code)]: division.name for division in path(code)}
    return FrozenMap({**({"division": code} if code else {}), **named, **({"rest": rest} if rest else {})})


def _shared(codes: list[str]) -> str:
    """The code of the smallest division that all lie in; empty where there is none."""
    heads = [division.code for division in path(min(codes, key=len))]
    return next((head for head in reversed(heads) if all(code.startswith(head) for code in codes)), "")


def _now(division: Division) -> tuple[str, ...]:
    return division.became or (division.code,)


def _best(text: str) -> list[_Reading]:
    """The readings that go furthest; a doubtful one leaves the reading without it open."""
    readings = list(_readings(text, 0, None))
    sure = max((reading.end for reading in readings if not reading.doubtful), default=0)
    furthest = max((reading.end for reading in readings), default=0)
    kept = [reading for reading in readings if reading.end == (furthest if reading.doubtful else sure)]
    return [reading for reading in kept if not (reading.doubtful and reading.end < sure)]


def _readings(text: str, start: int, scope: Division | None) -> Iterator[_Reading]:
    """Every chain of divisions, each within the one before, that the text begins with from here on."""
    at = start
    if start or scope:
        while gap := _NO_DIVISION.match(text, at):
            at = gap.end()
        if scope and text.startswith(scope.name, at):  # 北京市北京市: a municipality is its own city
            at += len(scope.name)
    for name, those in by_head().get(text[at : at + 2], ()):
        if not text.startswith(name, at):
            continue
        possible = [(one, unsaid) for one, unsaid in those if scope is None or _lies_in(one, scope)]
        behind = text[at + len(name) :]
        for division, unsaid in possible:
            unit = _unit_apart(division, name, behind) if unsaid else 0
            end, bare = at + len(name) + unit, unsaid and not unit
            if bare and _overshadowed(division, [one for one, _ in possible], goes_on=bool(behind)):
                continue
            deeper = list(_readings(text, end, division)) if len(division.code) < 6 else []
            nested = [reading for reading in deeper if reading.end > end]
            yield from nested
            if not bare:
                yield _Reading(end, division)
            elif all(reading.doubtful for reading in nested) and not _OF_ITS_OWN.match(text, end):
                # A county's bare name runs on into the next word: 西湖文化广场 lies in another county than 西湖.
                yield _Reading(
                    end,
                    division,
                    len(division.code) == 6
                    and end < len(text)
                    and text[end] not in _BETWEEN
                    and not text[end].isdigit(),
                )
    if scope is None:
        yield _Reading(0)


def _unit_apart(division: Division, name: str, behind: str) -> int:
    """How far a blank and what the name lacks of the division's own go: 深圳 市, and no 深圳 市民中心."""
    lacks = division.name.removeprefix(name)
    apart = re.match(rf"\s+{lacks}(?=$|[{_BETWEEN}])", behind) if lacks and lacks != division.name else None
    return apart.end() if apart else 0


def _overshadowed(division: Division, others: list[Division], *, goes_on: bool) -> bool:
    """Whether nobody means that one by its bare name: 长沙县 in 长沙市, which is right in either case; and 天津市河北区 where
    河北 begins a longer address."""
    if len(division.code) != 6:
        return False
    county, city = division.name.endswith("县"), f"{division.name[:-1]}市"
    within = county and any(one.name == city and division.code.startswith(one.code) for one in others)
    return within or (goes_on and any(len(one.code) == 2 for one in others))


def _lies_in(inner: Division, outer: Division) -> bool:
    places = _now(outer)
    return len(inner.code) > len(outer.code) and any(code.startswith(place) for code in _now(inner) for place in places)
