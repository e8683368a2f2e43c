"""Chinese company names in their parts: place, core (字号), trade, legal form, and what hangs on them.

By the Regulations on the Registration of Enterprise Names a name is place + core + trade + form: 山东|凯越|电力器材|有限公司. The
core alone tells firms of a place and trade apart. The place may stand in brackets after the core; a branch follows the form.
"""

import re
import unicodedata
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final

import attrs

from crmcore_cn.company_words import BRANCHES, LEGAL_FORMS, SHORT_TRADES, FormKind
from crmcore_cn.regions import Region, narrowed, region_at

#: A part of a place below counties: a zone, a town, a street, a village.
_ZONES: Final = (
    "旅游度假区 高新技术产业开发区 经济技术开发区 生态经济开发区 经济开发区 高新技术开发区 高新开发区 开发区 高新区 度假区 工业园区 "
    "工业园 产业园区 产业园 经济区 保税区 示范区 管理区 新区 街道办事处 街道办 街道"
)
_LOCALITY: Final = re.compile(
    f"(?:[^省市县()]{{0,6}}?(?:{'|'.join(_ZONES.split())})|[^省市县区()]{{1,4}}?(?:镇|乡)|[^省市县镇乡()]{{2,4}}?(?<![社小景园校厂矿山特])区)"
)
_VILLAGE: Final = re.compile("[^省市县区()]{1,4}?(?<![山农乡新])村")
#: What a town or zone is called besides its name.
LOCALITY_WORDS: Final = re.compile(f"(?:{'|'.join(_ZONES.split())}|办事处|镇|乡|村|区)$")
_KEPT: Final = re.compile(r"[^\w()]|_")
_FORM_KINDS: Final[dict[str, FormKind]] = {form: kind for kind, forms in LEGAL_FORMS.items() for form in forms.split()}
_FORMS: Final = tuple(sorted(_FORM_KINDS, key=lambda form: (-len(form), form)))
_COMPANY_FORMS: Final = tuple(form for form in _FORMS if form.endswith("公司"))
_BRANCHES: Final = tuple(sorted(BRANCHES.split(), key=lambda word: (-len(word), word)))


@attrs.frozen(kw_only=True)
class CompanyName:
    """A name in its parts; ``text`` is the whole of it after normalising. Parts that aren't there are empty.

    ``descriptive`` says that the core is only a place or a trade: 佛山|陶瓷. ``alternative`` is another way to read it, where
    the name of a place may be the core: 东方|铁塔 or 东方铁塔.
    """

    original: str
    text: str
    regions: tuple[Region, ...] = ()
    locality: str = ""
    core: str = ""
    trade: str = ""
    form: str = ""
    kind: FormKind | None = None
    group: bool = False
    branch: str = ""
    notes: tuple[str, ...] = ()
    descriptive: bool = False
    alternative: "CompanyName | None" = None

    @property
    def body(self) -> str:
        """Core and trade as they stand."""
        return self.core + self.trade

    @property
    def head(self) -> str:
        """All but the legal form and a branch: places, core and trade."""
        return "".join(region.text for region in self.regions) + self.locality + self.core + self.trade


@lru_cache(maxsize=4096)
def localities(text: str) -> frozenset[str]:
    """The names in a locality without what they are: 水城 and 于集 of 水城度假区于集镇. One character alone is no name: 张村."""
    found: list[str] = []
    while text and (match := _LOCALITY.match(text) or _VILLAGE.match(text)):
        stem = LOCALITY_WORDS.sub("", match.group())
        found.append(match.group() if len(stem) == 1 else stem)
        text = text[match.end() :]
    return frozenset(filter(None, (*found, text)))


@lru_cache(maxsize=4096)
def normalise(name: str) -> str:
    """NFKC, capitals, one kind of brackets, without blanks and marks. 〔〕【】 and the like are brackets too."""
    text = unicodedata.normalize("NFKC", name).upper()
    text = re.sub(r"[\[{<〈《【〔〖「『]", "(", text)
    text = re.sub(r"[\]}>〉》】〕〗」』]", ")", text)
    return _KEPT.sub("", text)


def parse(name: str) -> CompanyName:
    """The parts of a name. Whatever is read gives a result; what can't be placed is core."""
    text = normalise(name)
    plain, bracketed, notes, group = _without_brackets(text)
    head, branch, tail = _without_branch(plain)
    body, form = _without_form(head)
    if body.endswith("集团") and len(body) > 2:
        body, group = body[:-2], True
    regions, body = _leading_regions(body)
    locality, body = _leading_locality(body, placed=bool(regions))
    rest = CompanyName(
        original=name,
        text=text,
        regions=(*regions, *bracketed),
        locality=locality,
        form=form,
        kind=_FORM_KINDS.get(form),
        group=group,
        branch=branch,
        notes=(*notes, tail) if tail else notes,
    )
    core, trade = _core_and_trade(body)
    first = attrs.evolve(rest, core=core, trade=trade)
    if not core:
        core, trade = _first_word(trade)
        first = attrs.evolve(rest, core=core, trade=trade, descriptive=True)
    if branch and (own := _name_of_its_own(branch, regions)):
        return attrs.evolve(first, alternative=attrs.evolve(own, original=name, text=text))
    if not regions or regions[-1].definite:
        return first
    given = regions[-1].text
    if locality:
        if not localities(locality) - {locality} or LOCALITY_WORDS.fullmatch(locality):
            return first
        return attrs.evolve(
            first, alternative=attrs.evolve(first, regions=(*regions[:-1], *bracketed), locality=given + locality)
        )
    own_core, own_trade = _core_and_trade(given + body)
    second = attrs.evolve(
        rest,
        regions=(*regions[:-1], *bracketed),
        core=own_core or given,
        trade=own_trade,
        descriptive=own_core in ("", given),
    )
    if first.descriptive or len(core) < 2:
        return attrs.evolve(second, alternative=first)
    return attrs.evolve(first, alternative=second)


def _without_brackets(text: str) -> tuple[str, tuple[Region, ...], tuple[str, ...], bool]:
    """The text without its brackets, and what these say: places, 集团, legal forms are left out, notes."""
    regions: list[Region] = []
    notes: list[str] = []
    group = False
    plain: list[str] = []
    for index, piece in enumerate(re.split(r"\(([^()]*)\)?", text)):
        if index % 2 == 0:
            plain.append(piece.replace(")", ""))
        elif piece in ("集团", "控股集团"):
            group = True
        elif (place := region_at(piece, 0)) and len(place.text) == len(piece):
            regions.append(place)
        elif (
            piece in ("中国", "")
            or piece in _FORM_KINDS
            or piece.endswith(("合伙", "独资", "独资企业", "自然人投资或控股"))
        ):
            continue
        else:
            notes.append(piece)
    joined = "".join(plain)
    return (joined or text.strip("()"), tuple(regions), tuple(notes), group)


def _without_branch(text: str) -> tuple[str, str, str]:
    """The name of the company, of its branch that stands after the form, and what else stands there."""
    for form in ("有限责任公司", "有限公司", "公司", "有限"):
        at = text.find(form, 2)
        end = at + len(form)
        if at < 0 or end >= len(text):
            continue
        tail = text[end:]
        if tail.endswith(("分公司", "支公司")) or (tail.endswith(_BRANCHES) and "公司" not in tail):
            return text[:end], tail, ""
        if form.endswith("公司") and (region_at(tail, 0) or "公司" not in tail):
            return (text[:end], tail, "") if region_at(tail, 0) and tail.endswith(_FORMS) else (text[:end], "", tail)
        if form == "有限" and tail.endswith("公司") and tail != "责任公司" and not tail.endswith("有限责任公司"):
            return text[:at] + tail[:-2] + "有限公司", "", ""
    return text, "", ""


def _name_of_its_own(branch: str, regions: tuple[Region, ...]) -> CompanyName | None:
    """A branch that is called as a firm is, by a place, a core and a form: 西湖区瑞恒食品厂, or 黄花镇食品厂 in the company's county."""
    if branch.endswith(("分公司", "支公司")):
        return None
    if region_at(branch, 0):
        own = parse(branch)
        return attrs.evolve(own, alternative=None) if own.form and len(own.core) > 1 else None
    own = parse("".join(region.text for region in regions) + branch)
    return attrs.evolve(own, alternative=None) if own.form and own.locality else None


def _without_form(text: str) -> tuple[str, str]:
    for form in _FORMS:
        if text.endswith(form) and len(text) - len(form) >= 2:
            return text[: -len(form)], form
    return text, ""


def _leading_regions(text: str) -> tuple[tuple[Region, ...], str]:
    """The places that a text starts with, each within the one before where the codes tell."""
    found: list[Region] = []
    while len(text) > 2 and len(found) < 4:
        region = region_at(text, 0)
        if region is None or len(region.text) >= len(text) + (1 if region.definite else 0):
            break
        if not region.definite and text.startswith(("镇", "乡", "村", "街道"), len(region.text)):
            break
        if found:
            inner = narrowed(region.codes, found[-1].codes)
            if not inner and (not region.definite or region.stem != found[-1].stem):
                break
            region = attrs.evolve(region, codes=inner or region.codes)
        found.append(region)
        text = text[len(region.text) :]
    return tuple(found), text


def _leading_locality(text: str, *, placed: bool) -> tuple[str, str]:
    """A town, street or zone at the start; at most two, one in the other."""
    end = 0
    for _ in range(2):
        match = _LOCALITY.match(text, end) or (_VILLAGE.match(text, end) if placed or end else None)
        if match is None or len(text) - match.end() < 2:
            break
        end = match.end()
    return text[:end], text[end:]


@cache
def _trades() -> tuple[frozenset[str], int]:
    lines = files("crmcore_cn").joinpath("data/trades.txt").read_text("utf-8").splitlines()
    words = frozenset(word for line in lines if not line.startswith("#") for word in line.split())
    return words, max(map(len, words))


@lru_cache(maxsize=16384)
def _core_and_trade(body: str) -> tuple[str, str]:
    """Cut words of trades off the end, long ones first; the rest is the core."""
    trades, longest = _trades()
    end = len(body)
    known = any(body.endswith(word) for length in range(2, longest + 1) if (word := body[-length:]) in trades)
    if end > 2 and body[-1] in SHORT_TRADES and not known:
        end -= 1
    while end > 0:
        for length in range(min(longest, end), 1, -1):
            if body[end - length : end] in trades:
                end -= length
                break
        else:
            break
    return body[:end], body[end:]


def _first_word(trade: str) -> tuple[str, str]:
    """A trade in its first word and the rest, for names that have no core: 污水处理厂."""
    trades, longest = _trades()
    for length in range(min(longest, len(trade)), 1, -1):
        if trade[:length] in trades and length < len(trade):
            return trade[:length], trade[length:]
    return trade, ""
