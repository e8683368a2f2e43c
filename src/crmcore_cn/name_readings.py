"""The ways to read two Chinese company names beside each other: what is a place, a core or a trade in the light of the other."""

from collections.abc import Iterator
from functools import lru_cache

import attrs

from crmcore_cn.company_names import LOCALITY_WORDS, CompanyName
from crmcore_cn.regions import region_at


def readings(first: CompanyName, second: CompanyName) -> Iterator[tuple[CompanyName, CompanyName]]:
    """Each way to read the two. A place may be part of a core only where the other name has it, and not as a place."""
    yield first, second
    for left, own in _with_cores(first):
        for right, its in _with_cores(second):
            if (left is first and right is second) or own & its:
                continue
            if _may_be_core(own, right) and _may_be_core(its, left):
                yield left, right


def _with_cores(name: CompanyName) -> Iterator[tuple[CompanyName, frozenset[str]]]:
    """The ways to read a name, each with the places that are part of its core and none in the other way."""
    other = name.alternative
    if other is None:
        yield name, frozenset()
    elif other.branch != name.branch:
        yield name, frozenset()
        yield other, frozenset()
    else:
        yield name, _stems(other) - _stems(name)
        yield other, _stems(name) - _stems(other)


def _may_be_core(places: frozenset[str], other: CompanyName) -> bool:
    return not places & _stems(other) and all(place in other.text for place in places)


def _stems(name: CompanyName) -> frozenset[str]:
    return frozenset(region.stem for region in name.regions)


@lru_cache(maxsize=8192)
def is_place(text: str) -> bool:
    """Whether a text is the name of a place and no more."""
    place = region_at(text, 0)
    return place is not None and len(place.text) == len(text)


def with_locality_of(name: CompanyName, other: CompanyName) -> CompanyName:
    """A name whose core starts with the other's town, read as having that town: 鲁权屯嘉功 beside 鲁权屯镇嘉功."""
    town = LOCALITY_WORDS.sub("", other.locality)
    if not town or name.locality or not name.core.startswith(town) or len(name.core) - len(town) < 2:
        return name
    return attrs.evolve(name, locality=town, core=name.core[len(town) :])


def with_trades_cut(one: CompanyName, other: CompanyName) -> tuple[CompanyName, CompanyName, bool]:
    """Two names whose cores start alike, without the unknown trades that their cores go on with.

    瑞恒|钎具 and 瑞恒|钻具, where no trade is known; 瑞恒|餐具消毒 beside 瑞恒, where three or more characters follow.
    """
    shorter, longer = sorted((one.core, other.core), key=len)
    cut = 0
    if len(shorter) > 1 and longer.startswith(shorter) and len(longer) - len(shorter) > 2:
        cut = len(shorter)
    elif not one.trade and not other.trade and len(shorter) > 3 and shorter[:2] == longer[:2]:
        cut = 2
    if not cut or is_place(longer[:cut]):
        return one, other, False
    first, second = (
        attrs.evolve(name, core=name.core[:cut], trade=name.core[cut:] + name.trade) for name in (one, other)
    )
    return first, second, True
